//! Random walks: which step comes next, until faults stop and all must come to rest.

use super::names::Difference;
use super::pair::Pair;
use harness::network::Connection;
use harness::rng::Rng;
use protocol_model::world::{Action, Model, work};

/// Steps of a walk before faults stop in any case.
const STEPS_MAX: u64 = 80;
/// Steps within which all must be at rest when faults have stopped.
const REST_STEPS_MAX: usize = 2_000;

/// One step of both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connect(usize),
    RelayReceives(Connection),
    RelayPumps(Connection),
    DeviceReceives(Connection),
    Cut(usize),
    Abandon(usize),
    Other(Action),
}

/// A walk that found a difference.
#[derive(Debug)]
pub struct Found {
    /// What differs.
    pub difference: Difference,
    /// The steps that led there.
    pub steps: Vec<String>,
}

/// One walk of a scenario. Returns how many steps it took.
pub fn walk(model: &Model, seed: u64) -> Result<usize, Box<Found>> {
    let mut walk = Walk { pair: Pair::new(model, seed), rng: Rng::new(seed ^ 0x10C2_57E9), steps: vec![] };
    match walk.run() {
        Ok(()) => Ok(walk.steps.len()),
        Err(difference) => Err(Box::new(Found { difference, steps: walk.steps })),
    }
}

struct Walk {
    pair: Pair,
    rng: Rng,
    steps: Vec<String>,
}

impl Walk {
    fn run(&mut self) -> Result<(), Difference> {
        let length = 20 + self.rng.below(STEPS_MAX - 20);
        // Some walks have frames pile up, some have many faults.
        let (eager, faulty) = (1 + self.rng.below(4), 1 + self.rng.below(3));
        for _ in 0..length {
            let (progress, rest) = (self.progress(), self.rest());
            let weights = [eager * u64::from(!progress.is_empty()), faulty * u64::from(!rest.is_empty())];
            if weights == [0, 0] {
                break;
            }
            let steps = if self.rng.weighted(&weights) == 0 { progress } else { rest };
            self.take(&steps)?;
        }
        let world = &mut self.pair.world;
        (world.refusals_left, world.discards_left) = (0, 0);
        for _ in 0..REST_STEPS_MAX {
            let steps = self.progress();
            if steps.is_empty() {
                return self.pair.converged();
            }
            self.take(&steps)?;
        }
        Err("never at rest".into())
    }
    fn take(&mut self, steps: &[Step]) -> Result<(), Difference> {
        let step = steps[self.rng.below(steps.len() as u64) as usize];
        self.steps.push(format!("{step:?}"));
        self.perform(step)
    }

    /// What a fair run keeps doing.
    fn progress(&self) -> Vec<Step> {
        let real = &self.pair.real;
        let mut steps = vec![];
        let offline = |device: &usize| real.devices[*device].is_on() && !real.links.contains_key(device);
        steps.extend((0..real.devices.len()).filter(offline).map(Step::Connect));
        for (connection, wire) in &real.wires {
            steps.extend((!wire.up.is_empty()).then_some(Step::RelayReceives(*connection)));
            steps.extend((!wire.down.is_empty()).then_some(Step::DeviceReceives(*connection)));
        }
        steps.extend(real.relay.hinted().map(Step::RelayPumps));
        steps
    }
    /// New work and faults.
    fn rest(&self) -> Vec<Step> {
        let mut actions = vec![];
        work(self.pair.model(), &self.pair.world, &mut actions);
        let mut steps: Vec<Step> = actions.into_iter().map(Step::Other).collect();
        if self.pair.world.cuts_left > 0 {
            steps.extend(self.pair.real.links.keys().flat_map(|d| [Step::Cut(*d), Step::Abandon(*d)]));
        }
        steps
    }

    fn perform(&mut self, step: Step) -> Result<(), Difference> {
        match step {
            Step::Connect(device) => self.pair.connect(device),
            Step::RelayReceives(connection) => {
                let events = self.pair.refusable(connection) as u64;
                let refuses = events > 0 && self.rng.percent(40);
                let refused = refuses.then(|| self.rng.below(events) as usize);
                if let Some(refused) = refused {
                    self.steps.push(format!("(refuses {refused})"));
                }
                self.pair.relay_receives(connection, refused)
            }
            Step::RelayPumps(connection) => self.pair.relay_pumps(connection),
            Step::DeviceReceives(connection) => self.pair.device_receives(connection),
            Step::Cut(device) => self.pair.cut(device),
            Step::Abandon(device) => {
                let restarts = self.rng.percent(50);
                self.pair.abandon(device, restarts)
            }
            Step::Other(Action::Append(device)) => self.pair.append(device),
            Step::Other(action) => self.pair.fault(action),
        }
    }
}
