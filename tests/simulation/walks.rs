//! Random walks of the model's scenarios.

use harness::oracle::Broken;
use harness::scenarios::{Scenario, embedded, mixed, scenario};
use harness::shrink::{pick, shrink};
use harness::walk::{again, caught, explore, walk};
use harness::world::World;
use sync_core::device::Table;

const SEEDS: u64 = 300;
const SEEDS_OF_LONG_WALKS: u64 = 60;

macro_rules! walks {
    ($seeds:ident; $($test:ident $name:literal;)*) => {
        $(#[test]
        fn $test() {
            explore(&scenario($name), $seeds);
        })*
    };
}

walks! {
    SEEDS;
    base "base";
    refuse "refuse";
    lost "lost";
    restore "restore";
    profile "profile";
    clone "clone";
    wipe "wipe";
    trim "trim";
    refuse_crash "refuse+crash";
    restore_wipe "restore+wipe";
    restore_refuse "restore+refuse";
    restore_profile "restore+profile";
    restore_clone "restore+clone";
    restore_clone_3 "restore+clone-3";
    restore_clone_refuse "restore+clone+refuse";
    clone_refuse "clone+refuse";
    profile_refuse "profile+refuse";
    profile_twice "profile-twice";
    clone_crash "clone+crash";
    restore_trim_2 "restore+trim-2";
    restore_trim "restore+trim";
    trim_refuse "trim+refuse";
    clone_trim "clone+trim";
    discard_restore "discard+restore";
    seam "seam";
    restore_3 "restore-3";
    lost_3 "lost-3";
    discard "discard";
    causes "causes";
    heal "heal";
    takeover "takeover";
    pages "pages";
}

walks! {
    SEEDS_OF_LONG_WALKS;
    store "store";
    snapshots "snapshots";
    large "large";
    slow "slow";
    documents "documents";
}

#[test]
fn everything_at_once() {
    explore(&mixed(), SEEDS);
}

/// With real SQLite under the relay, on a disk that loses what was not synced and fails.
#[test]
fn everything_at_once_on_the_embedded_store() {
    explore(&embedded(), SEEDS_OF_LONG_WALKS);
}

/// Style 3: deterministic means replayable.
#[test]
fn same_seed_gives_same_trace() {
    for (seed, scenario) in (0..20).flat_map(|seed| [(seed, mixed()), (seed, embedded())]) {
        let run = || walk(&scenario, seed, false).map(|world| world.trace.text()).map_err(|failure| failure.lines);
        assert_eq!(run(), run(), "seed {seed}");
    }
}

/// The same in another process, which has its own addresses and its own hash seeds.
#[test]
fn same_seed_gives_same_trace_in_another_process() {
    let trace = || {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_sim")).args(["--seed", "7", "--trace"]).output();
        String::from_utf8(run.expect("the program is there").stdout).expect("a trace is text")
    };
    let first = trace();
    assert!(first.lines().count() > 50, "{first}");
    assert_eq!(first, trace());
}

/// A promise that does not hold: two copies of a profile never write under one id.
fn no_strays(world: &World) -> Result<(), Broken> {
    let strays: usize = world.devices.iter().map(|device| device.disk.rows(Table::Strays)).sum();
    if strays == 0 { Ok(()) } else { Err(Broken { promise: 4, how: format!("{strays} strays") }) }
}

/// A failing case is made small in one way only, and its replay fails as it did.
#[test]
fn a_failing_case_becomes_small() {
    let scenario = Scenario { promise: Some(no_strays), ..scenario("clone") };
    let failure = caught(&scenario, 300).expect("there are strays");
    let small = shrink(&scenario, &failure).expect("it fails again");
    assert!(small.kept.len() < failure.steps.len(), "{} of {} steps", small.kept.len(), failure.steps.len());
    assert_eq!(small.failure.broken.oracle(), failure.broken.oracle());
    let twice = shrink(&scenario, &failure).expect("it fails again");
    assert_eq!((small.command(), small.failure.lines), (twice.command(), twice.failure.lines));
    let whole = walk(&small.scenario, small.seed, false).err().expect("its seed fails").steps;
    let replayed = again(&small.scenario, small.seed, &pick(&whole, &small.kept), false).err();
    assert_eq!(replayed.expect("it fails").broken, small.failure.broken);
}
