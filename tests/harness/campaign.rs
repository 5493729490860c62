//! Many walks, on all cores: seed after seed, each scenario in turn.

use crate::scenarios::Scenario;
use crate::walk::{Failure, walk};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often progress is told.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// So many failures are kept.
const FAILURES_MAX: usize = 100;

/// What to walk, and for how long.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// Each seed walks each of them.
    pub scenarios: Vec<Scenario>,
    /// The first seed.
    pub seed: u64,
    /// How many seeds; `None`: as many as there is time for.
    pub seeds: Option<u64>,
    /// For so long at most.
    pub time: Option<Duration>,
    /// Ends with the first failure.
    pub until_failure: bool,
    /// How many walks go on at once.
    pub threads: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Walks of each scenario.
    pub walks: Vec<(&'static str, u64)>,
    /// The scenario's place, and how it failed; in the order in which they were begun.
    pub failures: Vec<(usize, Box<Failure>)>,
    /// Walks that failed.
    pub failed: u64,
    /// How long it took.
    pub time: Duration,
    /// What was reached, by how many walks.
    pub reached: BTreeMap<String, u64>,
}

impl Campaign {
    /// Walks. `tell` is told of progress: walks done, walks that failed, time.
    pub fn run(&self, tell: impl Fn(u64, u64, Duration) + Sync) -> Outcome {
        let started = Instant::now();
        let total = self.seeds.map_or(u64::MAX, |seeds| seeds.saturating_mul(self.scenarios.len() as u64));
        let (next, done, failed) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        let over = AtomicBool::new(false);
        let failures = Mutex::new(vec![]);
        let reached: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
        let walk_on = || {
            while !over.load(Ordering::SeqCst) && self.time.is_none_or(|time| started.elapsed() < time) {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= total {
                    break;
                }
                let (scenario, seed) = self.walk_of(number);
                let outcome = walk(&self.scenarios[scenario], seed, false);
                if let Ok(world) = &outcome {
                    let mut reached = reached.lock().expect("walks do not panic");
                    for what in world.coverage.clone().into_reached() {
                        *reached.entry(what).or_default() += 1;
                    }
                }
                if let Err(failure) = outcome {
                    failed.fetch_add(1, Ordering::SeqCst);
                    let mut failures = failures.lock().expect("walks do not panic");
                    if failures.len() < FAILURES_MAX {
                        failures.push((number, scenario, failure));
                    }
                    // Those that were begun before it are still done: the first failure is the same however fast each is.
                    over.fetch_or(self.until_failure, Ordering::SeqCst);
                }
                done.fetch_add(1, Ordering::SeqCst);
            }
        };
        std::thread::scope(|scope| {
            let walkers: Vec<_> = (0..self.threads.max(1)).map(|_| scope.spawn(walk_on)).collect();
            let mut told = Instant::now();
            while walkers.iter().any(|walker| !walker.is_finished()) {
                std::thread::sleep(Duration::from_millis(5));
                if told.elapsed() >= PROGRESS_EVERY {
                    told = Instant::now();
                    tell(done.load(Ordering::SeqCst), failed.load(Ordering::SeqCst), started.elapsed());
                }
            }
        });
        let mut failures = failures.into_inner().expect("walks do not panic");
        failures.sort_by_key(|(number, ..)| *number);
        if self.until_failure {
            failures.truncate(1);
        }
        Outcome {
            walks: self.walks(done.load(Ordering::SeqCst)),
            failures: failures.into_iter().map(|(_, scenario, failure)| (scenario, failure)).collect(),
            failed: failed.load(Ordering::SeqCst),
            time: started.elapsed(),
            reached: reached.into_inner().expect("walks do not panic"),
        }
    }

    /// The scenario's place and the seed of the walk of this number.
    fn walk_of(&self, number: u64) -> (usize, u64) {
        let scenarios = self.scenarios.len() as u64;
        ((number % scenarios) as usize, self.seed.wrapping_add(number / scenarios))
    }
    /// How often each scenario is among the first walks.
    fn walks(&self, done: u64) -> Vec<(&'static str, u64)> {
        let scenarios = self.scenarios.len() as u64;
        let of = |place: usize| done / scenarios + u64::from((place as u64) < done % scenarios);
        self.scenarios.iter().enumerate().map(|(place, scenario)| (scenario.name, of(place))).collect()
    }
}

impl Outcome {
    /// Walks altogether.
    pub fn walks(&self) -> u64 {
        self.walks.iter().map(|(_, walks)| walks).sum()
    }
    /// Walks in a second.
    pub fn per_second(&self) -> f64 {
        self.walks() as f64 / self.time.as_secs_f64().max(1e-9)
    }
    /// For programs.
    pub fn to_json(&self, campaign: &Campaign) -> Value {
        let failure = |(scenario, failure): &(usize, Box<Failure>)| {
            let scenario = &campaign.scenarios[*scenario];
            json!({
                "scenario": scenario.name,
                "seed": failure.seed,
                "oracle": failure.broken.oracle(),
                "how": failure.broken.how,
                "replay": failure.command(scenario),
            })
        };
        let walks: serde_json::Map<String, Value> =
            self.walks.iter().map(|(name, walks)| (name.to_string(), json!(walks))).collect();
        json!({
            "first_seed": campaign.seed,
            "walks": walks,
            "failed": self.failed,
            "failures": self.failures.iter().map(failure).collect::<Vec<_>>(),
            "seconds": self.time.as_secs_f64(),
            "reached": self.reached,
        })
    }
}
