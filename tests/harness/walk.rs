//! A scenario walked at random with the real machines.
//!
//! The model's actions are the world's: what the model does in one step is several here (an append and its commit, a frame
//! and the store's answer to it), so every interleaving of the model is one of these walks, and many more are. Each walk
//! draws how likely each kind of action is (some walks have many crashes, some none), goes on until its steps are used up,
//! then faults stop and all must converge.
//!
//! The steps of a walk can be performed again, all or some of them: that is how a failing case becomes small.

use crate::network::Way;
use crate::oracle::Broken;
use crate::rng::Rng;
use crate::scenarios::Scenario;
use crate::skew::Version;
use crate::store::Store;
use crate::world::{Action, World};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Steps of a walk before faults stop, at most.
const STEPS_MAX: u64 = 400;
/// Time for each step of a scenario's opening: to connect and for everything behind it.
const OPENING_MS: u64 = 5_000;
/// Lines of a trace that a failure shows.
const LINES: usize = 60;

/// One step of a walk: what is done, and the seed of the chance in it (where a frame is cut, which event is refused).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// The seed of its chance.
    pub dice: u64,
}

/// A walk that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which promise and how.
    pub broken: Broken,
    /// The seed.
    pub seed: u64,
    /// The last lines of the trace.
    pub lines: String,
    /// What was done until then.
    pub steps: Vec<Step>,
}

/// One walk. Returns the world as it came to rest. `loud`: the trace is printed.
pub fn walk(scenario: &Scenario, seed: u64, loud: bool) -> Result<World, Box<Failure>> {
    run(scenario, seed, loud, |world, end, steps| {
        let mut chance = Rng::new(seed ^ 1);
        let taste = Taste::draw(&mut chance);
        for _ in 0..taste.steps {
            let action = taste.next(&world.actions(), &mut chance);
            steps.push(Step { action, dice: chance.number() });
            world.throw(steps[steps.len() - 1].dice);
            world.perform(action)?;
        }
        end(world)
    })
}

/// The walk of these steps: those that are not possible are left out, or done in the nearest way that is.
pub fn again(scenario: &Scenario, seed: u64, steps: &[Step], loud: bool) -> Result<World, Box<Failure>> {
    run(scenario, seed, loud, |world, end, done| {
        for step in steps {
            let possible = world.actions();
            let same = possible.contains(&step.action).then_some(step.action);
            let Some(action) = same.or_else(|| possible.into_iter().find(|other| resembles(*other, step.action)))
            else {
                continue;
            };
            done.push(Step { action, dice: step.dice });
            world.throw(step.dice);
            world.perform(action)?;
        }
        end(world)
    })
}

/// The same kind of step, on the same side.
fn resembles(one: Action, other: Action) -> bool {
    match (one, other) {
        (Action::Arrives(_, way), Action::Arrives(_, other)) => way == other,
        _ => std::mem::discriminant(&one) == std::mem::discriminant(&other),
    }
}

type End<'e> = &'e dyn Fn(&mut World) -> Result<(), Broken>;

fn run(
    scenario: &Scenario,
    seed: u64,
    loud: bool,
    steps: impl FnOnce(&mut World, End<'_>, &mut Vec<Step>) -> Result<(), Broken>,
) -> Result<World, Box<Failure>> {
    let mut world = World::bounded(seed, &scenario.streams, scenario.budget.clone());
    world.trace.loud = loud;
    world.dependents = scenario.dependents;
    world.documents = scenario.documents;
    world.padding_bytes_max = scenario.padding_bytes_max;
    world.promise = scenario.promise;
    let mut chance = Rng::new(seed);
    if scenario.embedded {
        world.relay.store = Store::embedded(seed);
    }
    world.relay.store.set_stride([1, 1, 7][chance.below(3) as usize]);
    world.network.delay_ms_max = [0, 0, 0, 200][chance.below(4) as usize];
    world.network.late_reads = chance.percent(50);
    if world.network.delay_ms_max > 0 {
        world.coverage.is("network", "delay");
    }
    if scenario.versions {
        for device in &mut world.devices {
            device.version = [Version::Same, Version::Older, Version::Newer][chance.below(3) as usize];
        }
    }
    let (cuts_all, dice) = (chance.percent(50), chance.number());
    let end = |world: &mut World| {
        world.throw(dice);
        if cuts_all {
            world.cut_all();
        }
        world.settle()
    };
    let mut done = vec![];
    // A machine that fails one of its own assertions must not end the other walks.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for action in &scenario.opening {
            world.perform(*action)?;
            world.run_ms(OPENING_MS)?;
        }
        steps(&mut world, &end, &mut done)
    }));
    let outcome = outcome.unwrap_or_else(|panic| Err(Broken { promise: 10, how: message(&*panic) }));
    match outcome {
        Ok(()) => Ok(world),
        Err(broken) => Err(Box::new(Failure { broken, seed, lines: world.trace.last(LINES), steps: done })),
    }
}

fn message(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("with something that is no text"))
}

/// How likely each kind of action is in one walk.
struct Taste {
    weights: [u64; KINDS],
    steps: u64,
}

const KINDS: usize = 16;

impl Taste {
    fn draw(chance: &mut Rng) -> Taste {
        let mut weights = [0; KINDS];
        for weight in &mut weights {
            *weight = [1, 4, 16][chance.below(3) as usize];
        }
        // Progress, or else the world stands still; and time passes slowly.
        weights[0] = weights[0].max(4) * 4;
        Taste { weights, steps: 40 + chance.below(STEPS_MAX - 40) }
    }
    fn kind(action: Action) -> usize {
        match action {
            Action::Disk(..) | Action::Store(_) | Action::RelayPumps(_) | Action::Arrives(_, Way::Up) => 0,
            Action::Arrives(_, Way::Down) => 1,
            Action::Passes => 2,
            Action::Append(..) => 3,
            Action::Discard(_) => 4,
            Action::Refuses(_) => 5,
            Action::StoreFails(..) | Action::HintFails(..) | Action::StoreSlow(_) => 6,
            Action::Cut(_) | Action::Abandon(_) | Action::Silence(..) => 7,
            Action::RelayCrash | Action::RelayDrain | Action::RelayLoses => 8,
            Action::RelayFills | Action::RelayFrees => 8,
            Action::RelayBackup | Action::RelayRestore | Action::NewEpochs | Action::Trim(_) => 9,
            Action::DeviceCrash(_) | Action::DiskFills(_) | Action::DiskFrees(_) | Action::DiskFails(_) => 10,
            Action::Leaves(_) | Action::Returns(_) => 12,
            Action::HostFreezes(_) | Action::HostThaws(_) => 13,
            Action::PageOpens(_) | Action::PageCloses(_) => 14,
            Action::StreamCloses(..) | Action::StreamOpens(..) => 14,
            Action::Sleeps(..) | Action::ClockJumps(_) | Action::Days => 15,
            Action::DeviceSaves(_) | Action::DeviceRestores(_) | Action::DeviceWiped(_) | Action::Clone => 11,
        }
    }
    /// One of what may happen. A kind is drawn first: that many frames are under way makes no fault less likely.
    fn next(&self, actions: &[Action], chance: &mut Rng) -> Action {
        let mut per_kind = [0; KINDS];
        actions.iter().for_each(|action| per_kind[Taste::kind(*action)] += 1);
        let weights: Vec<u64> =
            (0..KINDS).map(|kind| if per_kind[kind] > 0 { self.weights[kind] } else { 0 }).collect();
        let kind = chance.weighted(&weights);
        let mut of_kind = actions.iter().filter(|action| Taste::kind(**action) == kind);
        of_kind.nth(chance.below(per_kind[kind]) as usize).copied().unwrap_or(Action::Passes)
    }
}

/// Walks a scenario with so many seeds.
///
/// # Panics
/// With the seed, the last lines of the trace and the command to replay, when a promise is broken.
pub fn explore(scenario: &Scenario, seeds: u64) {
    for seed in 0..seeds {
        if let Err(failure) = walk(scenario, seed, false) {
            panic!("{}", failure.report(scenario));
        }
    }
}

/// The first of so many seeds that shows how the scenario breaks a promise.
pub fn caught(scenario: &Scenario, seeds: u64) -> Option<Box<Failure>> {
    (0..seeds).find_map(|seed| walk(scenario, seed, false).err())
}

impl Failure {
    /// For people: what is broken, the last of the trace, how to see all of it.
    pub fn report(&self, scenario: &Scenario) -> String {
        let Failure { broken: Broken { promise, how }, lines, .. } = self;
        format!(
            "{}, seed {}: promise {promise} is broken: {how}\nthe last of the trace:\n{lines}\nreplay: {}",
            scenario.name,
            self.seed,
            self.command(scenario)
        )
    }
    /// The command that shows its whole trace.
    pub fn command(&self, scenario: &Scenario) -> String {
        let settings: String = scenario.settings().iter().map(|setting| format!(" --set {setting}")).collect();
        format!("cargo xtask sim --scenario {}{settings} --seed {} --trace", scenario.name, self.seed)
    }
}
