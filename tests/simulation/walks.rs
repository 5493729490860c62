//! Random walks of the model's scenarios.

use harness::scenarios::{explore, mixed, scenario, walk};

const SEEDS: u64 = 300;

macro_rules! walks {
    ($($test:ident $name:literal;)*) => {
        $(#[test]
        fn $test() {
            explore(&scenario($name), concat!("walks::", stringify!($test)), SEEDS);
        })*
    };
}

walks! {
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
}

#[test]
fn everything_at_once() {
    explore(&mixed(), "walks::everything_at_once", SEEDS);
}

/// Style 3: deterministic means replayable.
#[test]
fn same_seed_gives_same_trace() {
    for seed in 0..20 {
        let run = || walk(&mixed(), seed, false).map(|world| world.trace.text()).map_err(|failure| failure.lines);
        assert_eq!(run(), run(), "seed {seed}");
    }
}
