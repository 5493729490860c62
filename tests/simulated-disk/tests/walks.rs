//! Random walks of the embedded log store over the simulated disk, beside the simulated store as the truth: whatever the
//! disk does, all that was acknowledged is there once, nothing that was not is half there, and what failed says whether it
//! was written.
//!
//! `TIDELOG_SEED=17` walks one seed and prints what it does; `TIDELOG_SEEDS_FACTOR=100` walks more of them.

mod store;
mod truth;

use simulated_disk::{Crash, Rates};
use store::{Folder, Walked};
use truth::Step;

/// What may go wrong in a walk.
#[derive(Clone, Copy, Default)]
struct Faults {
    crashes: bool,
    errors: bool,
    full: bool,
}

fn walk(name: &str, seed: u64, faults: Faults, loud: bool) {
    let folder = Folder::new(&format!("{name}-{seed}"));
    let mut walked = Walked::new(&folder, seed, loud);
    for _ in 0..60 {
        let chance = walked.below(100);
        match chance {
            0..=4 if faults.crashes => {
                let survives_percent = [0, 10, 50, 90, 100][walked.below(5) as usize];
                let is_killed = walked.below(4) == 0;
                walked.crash(if is_killed { Crash::Killed } else { Crash::PowerCut { survives_percent } });
            }
            5..=7 => walked.reopens(),
            8..=15 if faults.errors => {
                let mut rates = Rates::default();
                let rate = [20, 300, 3_000, 10_000][walked.below(4) as usize];
                match walked.below(5) {
                    0 => rates.reads = rate,
                    1 => rates.writes = rate,
                    2 => rates.syncs = rate,
                    3 => rates.names = rate,
                    _ => rates = Rates { reads: 20, writes: 50, syncs: 100, names: 100 },
                }
                walked.set_rates(rates);
            }
            16..=25 if faults.errors => walked.set_rates(Rates::default()),
            26..=29 if faults.full => walked.fills(),
            30..=36 if faults.full => walked.frees(),
            37..=40 => walked.does(Step::Snapshot),
            41..=44 => walked.does(Step::Trim),
            45 => walked.does(Step::NewEpoch),
            46 => walked.does(Step::Delete),
            47..=52 => walked.looks(),
            53..=57 => walked.does(Step::Heal),
            _ => walked.does(Step::Append),
        }
    }
    walked.ends();
}

fn walks(name: &str, seeds: u64, faults: Faults) {
    let seeds_factor = std::env::var("TIDELOG_SEEDS_FACTOR").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    let chosen: Option<u64> = std::env::var("TIDELOG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or(0..seeds * seeds_factor, |seed| seed..seed + 1);
    for seed in seeds {
        let done = std::panic::catch_unwind(|| walk(name, seed, faults, chosen.is_some()));
        if let Err(panic) = done {
            eprintln!("replay: TIDELOG_SEED={seed} cargo test -p simulated-disk --test walks {name} -- --nocapture");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn without_faults_the_two_stores_are_one() {
    walks("without_faults_the_two_stores_are_one", 20, Faults::default());
}

#[test]
fn crashes_lose_nothing_acknowledged() {
    walks("crashes_lose_nothing_acknowledged", 40, Faults { crashes: true, ..Faults::default() });
}

#[test]
fn errors_are_answered_as_errors() {
    walks("errors_are_answered_as_errors", 40, Faults { errors: true, ..Faults::default() });
}

#[test]
fn a_full_disk_is_busy_and_goes_on_when_it_is_free_again() {
    let faults = Faults { full: true, crashes: true, ..Faults::default() };
    walks("a_full_disk_is_busy_and_goes_on_when_it_is_free_again", 40, faults);
}

#[test]
fn all_faults_of_a_disk_at_once() {
    walks("all_faults_of_a_disk_at_once", 60, Faults { crashes: true, errors: true, full: true });
}
