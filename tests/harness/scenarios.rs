//! The protocol model's scenarios, by its names, walked at random with the real machines.
//!
//! The model's actions are the world's: what the model does in one step is several here (an append and its commit, a frame
//! and the store's answer to it), so every interleaving of the model is one of these walks, and many more are. Each walk
//! draws how likely each kind of action is (some walks have many crashes, some none), goes on until its budget is used up,
//! then faults stop and all must converge.

use crate::network::Way;
use crate::oracle::Broken;
use crate::store::Planted;
use crate::world::{Action, Budget, Failure, World};
use std::fmt::Write;

/// Bounds of one scenario, as in the model.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// The model's name.
    pub name: &'static str,
    /// What may happen.
    pub budget: Budget,
    /// The streams; one, if none is named.
    pub streams: Vec<&'static str>,
    /// Some events are made on top of others.
    pub dependents: bool,
    /// A rule that is broken on purpose.
    pub planted: Option<Planted>,
}

/// The model's scenarios.
pub fn scenarios() -> Vec<Scenario> {
    let scenario = |name, appends: &[usize], budget: Budget| Scenario {
        name,
        // In the model a device connects when it likes.
        budget: Budget { appends: appends.to_vec(), absences: 3, ..budget },
        streams: vec!["s"],
        ..Scenario::default()
    };
    let none = Budget::default;
    let cut = || Budget { cuts: 1, ..none() };
    vec![
        scenario("base", &[2, 1], Budget { cuts: 2, relay_crashes: 1, ..none() }),
        scenario("refuse", &[3, 1], Budget { cuts: 2, refusals: 2, ..none() }),
        scenario("lost", &[2, 1], Budget { relay_losses: 1, ..cut() }),
        scenario("restore", &[2, 1], Budget { relay_restores: 1, ..cut() }),
        scenario("profile", &[2, 1], Budget { device_restores: 1, ..cut() }),
        scenario("clone", &[2], Budget { clone_appends: Some(2), ..cut() }),
        scenario("wipe", &[2, 1], Budget { wipes: 1, ..cut() }),
        scenario("trim", &[2, 1], Budget { trims: 2, ..cut() }),
        scenario("refuse+crash", &[2], Budget { relay_crashes: 1, refusals: 1, ..cut() }),
        scenario("restore+wipe", &[2, 1], Budget { relay_restores: 1, wipes: 1, ..none() }),
        scenario("restore+refuse", &[2, 1], Budget { relay_restores: 1, refusals: 1, ..cut() }),
        scenario("restore+profile", &[2, 1], Budget { relay_restores: 1, device_restores: 1, ..cut() }),
        scenario("restore+clone", &[2], Budget { relay_restores: 1, clone_appends: Some(1), ..none() }),
        scenario("restore+clone-3", &[3], Budget { relay_restores: 1, clone_appends: Some(1), ..none() }),
        scenario("clone+refuse", &[2], Budget { refusals: 1, clone_appends: Some(1), ..cut() }),
        scenario("profile+refuse", &[2, 1], Budget { refusals: 1, device_restores: 1, ..cut() }),
        scenario("profile-twice", &[3], Budget { device_restores: 2, ..none() }),
        scenario("clone+crash", &[1], Budget { relay_crashes: 1, refusals: 1, clone_appends: Some(1), ..none() }),
        scenario("restore+trim-2", &[2, 0], Budget { relay_restores: 1, trims: 1, ..none() }),
        scenario("restore+trim", &[2, 1], Budget { relay_restores: 1, trims: 1, ..cut() }),
        scenario("trim+refuse", &[2, 1], Budget { refusals: 1, trims: 1, ..cut() }),
        scenario("clone+trim", &[2], Budget { clone_appends: Some(1), trims: 1, ..none() }),
        scenario("discard+restore", &[2, 1], Budget { discards: 1, relay_restores: 1, ..cut() }),
        scenario("seam", &[1, 1], cut()),
        scenario("restore-3", &[1, 1, 1], Budget { relay_restores: 1, ..none() }),
        scenario("lost-3", &[1, 1, 1], Budget { relay_losses: 1, ..none() }),
        scenario("discard", &[3], Budget { discards: 1, ..cut() }),
        Scenario { streams: vec!["s", "t"], ..scenario("causes", &[2, 2, 0], Budget { relay_restores: 1, ..none() }) },
    ]
}

/// The scenario of this name.
pub fn scenario(name: &str) -> Scenario {
    let found = scenarios().into_iter().find(|scenario| scenario.name == name);
    found.unwrap_or_else(|| panic!("no scenario is called {name}"))
}

/// Everything at once, in several streams.
pub fn mixed() -> Scenario {
    Scenario {
        name: "mixed",
        budget: Budget {
            appends: vec![8, 8, 6],
            clone_appends: Some(4),
            cuts: 6,
            absences: 4,
            relay_crashes: 2,
            relay_losses: 1,
            relay_restores: 1,
            device_restores: 1,
            wipes: 1,
            refusals: 3,
            trims: 0,
            discards: 2,
            device_crashes: 4,
            store_faults: 6,
            disk_faults: 3,
        },
        streams: vec!["s", "t"],
        dependents: true,
        ..Scenario::default()
    }
}

/// Steps of a walk before faults stop in any case.
const STEPS_MAX: usize = 400;

/// One walk. Returns the world as it came to rest.
pub fn walk(scenario: &Scenario, seed: u64, loud: bool) -> Result<World, Box<Failure>> {
    let mut world = World::bounded(seed, &scenario.streams, scenario.budget.clone());
    world.trace.loud = loud;
    world.dependents = scenario.dependents;
    if let Some(rule) = scenario.planted {
        world.plant(rule);
    }
    world.relay.store.stride = [1, 1, 7][world.rng().below(3) as usize];
    world.network.delay_ms_max = [0, 0, 0, 200][world.rng().below(4) as usize];
    world.network.late_reads = world.rng().percent(50);
    let taste = Taste::draw(&mut world);
    match taste.steps(&mut world) {
        Ok(()) => Ok(world),
        Err(broken) => Err(Box::new(world.failure(broken))),
    }
}

/// How likely each kind of action is in one walk.
struct Taste {
    weights: [u64; KINDS],
    steps: usize,
}

const KINDS: usize = 13;

impl Taste {
    fn draw(world: &mut World) -> Taste {
        let mut weights = [0; KINDS];
        for weight in &mut weights {
            *weight = [1, 4, 16][world.rng().below(3) as usize];
        }
        // Progress, or else the world stands still; and time passes slowly.
        weights[0] = weights[0].max(4) * 4;
        Taste { weights, steps: 40 + world.rng().below(STEPS_MAX as u64 - 40) as usize }
    }
    fn kind(action: Action) -> usize {
        match action {
            Action::Disk(..) | Action::Store(_) | Action::RelayPumps(_) | Action::Arrives(_, Way::Up) => 0,
            Action::Arrives(_, Way::Down) => 1,
            Action::Passes => 2,
            Action::Append(..) => 3,
            Action::Discard(_) | Action::RelaySync => 4,
            Action::Refuses(_) => 5,
            Action::StoreFails(..) | Action::HintFails(..) => 6,
            Action::Cut(_) | Action::Abandon(_) | Action::Silence(..) => 7,
            Action::RelayCrash | Action::RelayDrain | Action::RelayLoses => 8,
            Action::RelayBackup | Action::RelayRestore | Action::NewEpochs | Action::Trim(_) => 9,
            Action::DeviceCrash(_) | Action::DiskFills(_) | Action::DiskFrees(_) | Action::DiskFails(_) => 10,
            Action::Leaves(_) | Action::Returns(_) => 12,
            Action::DeviceSaves(_) | Action::DeviceRestores(_) | Action::DeviceWiped(_) | Action::Clone => 11,
        }
    }
    fn steps(&self, world: &mut World) -> Result<(), Broken> {
        for _ in 0..self.steps {
            let actions = world.actions();
            // A kind is drawn first: that many frames are under way makes no fault less likely.
            let mut per_kind = [0; KINDS];
            actions.iter().for_each(|action| per_kind[Taste::kind(*action)] += 1);
            let weights: Vec<u64> =
                (0..KINDS).map(|kind| if per_kind[kind] > 0 { self.weights[kind] } else { 0 }).collect();
            let kind = world.rng().weighted(&weights);
            let of_kind: Vec<Action> = actions.into_iter().filter(|action| Taste::kind(*action) == kind).collect();
            let action = of_kind[world.rng().below(of_kind.len() as u64) as usize];
            world.perform(action)?;
        }
        if world.rng().percent(50) {
            world.cut_all();
        }
        world.settle()
    }
}

/// Walks a scenario with so many seeds. `TIDELOG_SEED` picks one and prints all of its trace.
///
/// # Panics
/// With the seed, the last lines of the trace and the command to replay, when a promise is broken.
pub fn explore(scenario: &Scenario, test: &str, seeds: u64) {
    let chosen = std::env::var("TIDELOG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or(0..seeds, |seed: u64| seed..seed + 1);
    for seed in seeds {
        if let Err(failure) = walk(scenario, seed, chosen.is_some()) {
            panic!("{}", report(scenario, test, &failure));
        }
    }
}

/// The seeds of this many that show how the scenario breaks a promise.
pub fn caught(scenario: &Scenario, seeds: u64) -> Option<Box<Failure>> {
    (0..seeds).find_map(|seed| walk(scenario, seed, false).err())
}

fn report(scenario: &Scenario, test: &str, failure: &Failure) -> String {
    let mut text = String::new();
    let Failure { broken, seed, lines } = failure;
    let _ = writeln!(text, "{}: promise {} is broken: {}", scenario.name, broken.promise, broken.how);
    let _ = writeln!(text, "the last of the trace:\n{lines}");
    let _ =
        write!(text, "replay: TIDELOG_SEED={seed} cargo test -p tests --test simulation {test} -- --exact --nocapture");
    text
}
