//! Rules that are broken on purpose: each has to be noticed, or the simulation proves nothing.

use harness::scenarios::{Scenario, caught, mixed, scenario};
use harness::store::Planted;
use harness::world::{Action, World};

/// Within so many walks a broken rule must show.
const SEEDS: u64 = 3_000;

fn must_be_caught(scenario: Scenario, promises: &[u8]) {
    let failure = caught(&scenario, SEEDS).unwrap_or_else(|| panic!("{:?} was not noticed", scenario.planted));
    let broken = failure.broken;
    assert!(promises.contains(&broken.promise), "noticed as promise {}: {}", broken.promise, broken.how);
}

fn store_breaks(rule: Planted, name: &str, promises: &[u8]) {
    must_be_caught(Scenario { planted: Some(rule), ..scenario(name) }, promises);
}

/// R2: the relay answers before its store has synced.
#[test]
fn answer_before_sync() {
    store_breaks(Planted::DurableAck, "base", &[1, 2]);
}

/// R5: the cursor is stored before its effect, and the device dies in between.
#[test]
fn cursor_before_effect() {
    let history = |seed: u64| {
        let mut world = World::new(seed, 2, &["s"]);
        world.devices[0].disk.cursor_first = true;
        world.perform(Action::Append(1, 0, false))?;
        world.run_ms(5_000)?;
        world.perform(Action::Append(1, 0, false))?;
        world.go(|_, action| !matches!(action, Action::Disk(0, _)))?;
        world.switch_off(0, false);
        world.start(0);
        world.settle()
    };
    for seed in 0..20 {
        let broken = history(seed).expect_err("the batch was lost and the cursor was not");
        assert!([3, 5].contains(&broken.promise), "noticed as promise {}: {}", broken.promise, broken.how);
    }
}

/// R7: the relay takes every check for its own.
#[test]
fn ignore_the_check() {
    store_breaks(Planted::NoCheck, "restore", &[3, 5, 6]);
}

/// R8: the store does not compare the tag before a publish.
#[test]
fn skip_the_tag() {
    store_breaks(Planted::NoPrevTag, "clone", &[3, 4, 6, 8]);
}

/// R8: everything at or below the last sequence counts as stored.
#[test]
fn take_every_repeat_for_the_same() {
    store_breaks(Planted::SilentDup, "clone", &[1, 2, 6, 8, 9]);
}

/// R9: a refusal uses up no sequence.
#[test]
fn refusal_uses_up_nothing() {
    store_breaks(Planted::RefusedFree, "refuse", &[1, 2, 6, 9]);
}

/// R9: refusals are remembered in memory only.
#[test]
fn refusals_in_memory() {
    store_breaks(Planted::RefusedInMemory, "clone+crash", &[6, 8, 9]);
}

/// R12: a healed event enters although its predecessor is missing.
#[test]
fn heal_over_gaps() {
    store_breaks(Planted::HealGaps, "restore+trim-2", &[1, 3, 6, 8, 9]);
}

/// R12: the tag of a healed event's predecessor is not compared.
#[test]
fn heal_without_the_tag_of_the_predecessor() {
    store_breaks(Planted::HealPrevUntagged, "restore+clone-3", &[3, 6, 8]);
}

/// R13: a snapshot does not say what it contains.
#[test]
fn snapshot_without_records() {
    store_breaks(Planted::SnapshotNoTable, "trim", &[4, 6, 9]);
}

/// R13: trimming forgets the producers.
#[test]
fn trimming_forgets_producers() {
    store_breaks(Planted::TrimForgets, "trim", &[1, 3, 4, 6, 8, 9]);
}

/// Decision 11: an event enters whatever became of what it was made on top of.
#[test]
fn drop_needs() {
    let mut scenario = scenario("refuse");
    scenario.dependents = true;
    must_be_caught(Scenario { planted: Some(Planted::NeedsDropped), ..scenario }, &[9]);
}

/// The other way round: with nothing planted the same walks find nothing, so what is noticed above is what was planted.
#[test]
fn nothing_planted_nothing_noticed() {
    for name in ["base", "restore", "clone", "refuse", "trim"] {
        assert!(caught(&scenario(name), 50).is_none(), "{name}");
    }
    assert!(caught(&mixed(), 20).is_none());
}
