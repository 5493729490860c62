//! The protocol model and the real machines in step: random walks of the model's scenarios, each step done on both sides,
//! and after each step both sides in the same state.
//!
//! # A step
//!
//! The real side is coarser than the model: a device commits and sends all it may in one go, and what it sends goes in runs.
//! So one step is what the real side does before something else can happen: one frame reaches the relay, and its store does
//! all that is asked of it; one hint of the feed reaches a connection; one frame reaches a device, which commits, and sends
//! what it then may; an append; a fault. The model does the same in several of its own steps, in the order of the real
//! messages: it reads the messages that the frame stands for, and sends until it has nothing more to send. The model's
//! handlers are used as they are; the network between them is the real side's, frame by frame.
//!
//! # What is compared
//!
//! Of a device: its view, its cursor, its pending events with their ids, tags and states, strays and heal list in order,
//! rejections, *unsure* ones apart. Of the relay: the log with ids, tags and predecessors, its epoch, head and floor; of each
//! producer the last sequence, its tag, and the refusals. Of each connection: every message under way in both directions and
//! all that it carries. Ids, tags, checks, epochs and births have other names on both sides; they are paired when they first
//! appear together and must stay so (`names.rs`). After a step that is compared which the step may have changed; after
//! a fault and at the end, everything.
//!
//! # What is not, and why
//!
//! * **Heal turns** are told to the model: they save traffic, and which device comes first changes nothing that R12 promises.
//! * **How much of the log one message brings** is the real relay's choice: the model hands over as much, one by one.
//! * **Time** stands still: keep-alive, backoff and the end of a turn after 5 s are the simulation's.
//! * **Concurrency inside a step**: a frame that arrives while the disk or the store is at work, answers behind the events
//!   that they announce, a store that fails or does not know. The model's steps are whole; the simulation has these.
//! * **The birth of a log** and the second `subscribed` with it: both sides begin with an empty log that is born.
//! * **Needs, causes, several streams**: not in this model (`README.md`); they are in the simulation.
//! * `applied`, and the empty `heal` that passes the turn on, say nothing that the model knows.

mod messages;
mod names;
mod pair;
mod real;
mod walk;

use protocol_model::rules::{ALL, Mutation};
use protocol_model::scenarios::scenarios;
use protocol_model::world::Model;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use walk::{Found, walk};

/// Walks of each scenario; `TIDELOG_WALKS` asks for another number.
const WALKS: u64 = 200;

/// A number that the environment gives.
fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The first of these walks that finds a difference.
fn first(model: &Model, seeds: impl IntoIterator<Item = u64>) -> Option<(u64, Box<Found>)> {
    seeds.into_iter().find_map(|seed| Some((seed, walk(model, seed).err()?)))
}

/// Does this for each, on all cores, and gives what came of it in order.
fn on_all_cores<T: Sync, R: Send>(tasks: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = vec![];
        while let Some((index, task)) = Some(next.fetch_add(1, Relaxed)).and_then(|i| Some((i, tasks.get(i)?))) {
            done.push((index, work(task)));
        }
        done
    };
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("a worker's panic is the test's")).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Walks in which the two once differed, beyond those that are always walked.
const DIFFERED: &[(&str, u64)] = &[
    ("clone+discard+lost", 4_937),
    ("clone+refuse+lost-twice", 6_583),
    ("mixed-lost", 11_812),
    ("mixed-lost", 17_500),
    ("mixed-lost", 18_351),
    ("mixed-restore", 26_852),
    ("restore+trim", 1_776),
];

#[test]
fn model_and_code_agree() {
    let chosen = std::env::var("TIDELOG_SCENARIO").ok();
    let seed = number("TIDELOG_SEED");
    let seeds = seed.map_or(0..number("TIDELOG_WALKS").unwrap_or(WALKS), |seed| seed..seed + 1);
    let is_chosen = |model: &Model| chosen.as_deref().is_none_or(|name| name == model.name);
    let told = |model: &Model| {
        let others = DIFFERED.iter().filter(|(name, _)| *name == model.name && seed.is_none()).map(|(_, seed)| *seed);
        let all = seeds.clone().chain(others);
        let (seed, Found { difference, steps }) = first(model, all).map(|(seed, found)| (seed, *found))?;
        let (name, steps) = (model.name, steps.join("\n  "));
        let replay =
            format!("TIDELOG_SCENARIO={name} TIDELOG_SEED={seed} cargo test -p protocol-model --test lockstep");
        Some(format!("{name}: {difference}\n  {steps}\nreplay: {replay}"))
    };
    let scenarios: Vec<Model> = scenarios().into_iter().filter(is_chosen).collect();
    let differences: Vec<String> = on_all_cores(&scenarios, told).into_iter().flatten().collect();
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

/// Walks in which a rule that the model leaves out must show, of each scenario where it is expected to.
const MUTANT_WALKS: u64 = 300;

/// Rules that need more walks, since the states in which they matter are rare. How many is rounded up.
const RARE: &[(Mutation, u64)] = &[
    (Mutation::HealBranchPassed, 1_000),
    (Mutation::HealNoConflict, 1_000),
    (Mutation::StrayPlaceEmpty, 4_000),
    (Mutation::NoLostVerdict, 10_000),
    (Mutation::HealPrevGone, 30_000),
    (Mutation::HealGaps, 30_000),
    (Mutation::OwnRefiledUnnoticed, 50_000),
    (Mutation::IdCheck, 50_000),
    // Not in 100,000. The first changes nothing: the check begins with the epoch.
    (Mutation::NoEpoch, u64::MAX),
    (Mutation::HealPrevUntagged, u64::MAX),
    (Mutation::HealRefiledUnmet, u64::MAX),
    (Mutation::SnapshotUnchecked, u64::MAX),
    (Mutation::NoOrderVerdict, u64::MAX),
];

#[test]
fn a_rule_left_out_of_the_model_is_noticed() {
    let walks = number("TIDELOG_WALKS").unwrap_or(MUTANT_WALKS);
    let left_out = |(rule, _, hints, _): &(Mutation, &str, &str, &str)| {
        let expected = scenarios().into_iter().filter(|model| hints.split(' ').any(|hint| hint == model.name));
        expected.map(|model| Model { dropped: Some(*rule), ..model }).find_map(|model| {
            let (seed, found) = first(&model, 0..walks)?;
            Some(format!("{}, walk {seed}: {}", model.name, found.difference))
        })
    };
    let noticed = on_all_cores(ALL, left_out);
    for ((rule, ..), how) in ALL.iter().zip(&noticed) {
        println!("{rule:?}: {}", how.as_deref().unwrap_or("not noticed"));
    }
    let unnoticed = ALL.iter().zip(&noticed).filter(|(_, how)| how.is_none()).map(|((rule, ..), _)| *rule);
    let is_rare = |rule: &Mutation| RARE.iter().any(|(rare, needed)| rare == rule && *needed > walks);
    let surprises: Vec<Mutation> = unnoticed.filter(|rule| !is_rare(rule)).collect();
    assert_eq!(surprises, []);
}
