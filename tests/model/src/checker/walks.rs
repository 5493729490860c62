//! Random walks of a scenario, for those that are too deep to reach every state of.

use crate::props::{PROMISES, explain};
use crate::world::{Action, Model, World, progress, step};
use fastrand::Rng;
use std::time::{Duration, Instant};

/// Steps of a walk, at most.
const STEPS_MAX: usize = 150;

/// Walks, seed after seed, until a promise is broken or the time is over.
pub fn walks(model: &Model, limit: Duration, first: u64) {
    let start = Instant::now();
    let mut seed = first;
    while start.elapsed() < limit {
        if let Err(broken) = walk(model, seed) {
            println!("  seed {seed} of {} BROKEN {broken}", model.name);
            return;
        }
        seed += 1;
    }
    println!("  {} walks", seed - first);
}

fn walk(model: &Model, seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let mut world = World::new(model);
    let mut taken = vec![];
    // Some walks have many faults early, some have few.
    let patience = rng.usize(1..6);
    while taken.len() < STEPS_MAX {
        let (mut fair, mut all) = (vec![], vec![]);
        if rng.usize(0..patience) > 0 {
            progress(model, &world, &mut fair);
        }
        stateright::Model::actions(model, &world, &mut all);
        rng.shuffle(&mut fair);
        rng.shuffle(&mut all);
        // What changes nothing is passed over.
        let changes = |action: Action| {
            let mut next = world.clone();
            step(model, &mut next, action).then_some((action, next))
        };
        let Some((action, next)) = fair.into_iter().chain(all).find_map(changes) else { break };
        world = next;
        taken.push(format!("{action:?}"));
        if let Some((promise, _)) = PROMISES.iter().find(|(_, holds)| !holds(model, &world)) {
            return Err(format!("{promise}\n    {}\n    -> {}", taken.join(" "), explain(model, &world)));
        }
    }
    Ok(())
}
