//! The fuzzing engine around one target, named by `TIDELOG_FUZZ_TARGET`. `cargo xtask fuzz` builds and starts it.

#![no_main]

use std::sync::OnceLock;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("TIDELOG_FUZZ_TARGET").unwrap_or_default();
        let found = fuzz::TARGETS.iter().find(|target| target.name == name);
        let target = found.unwrap_or_else(|| panic!("TIDELOG_FUZZ_TARGET names no target: {name:?}"));
        TARGET.get_or_init(|| target.run);
    },
    |data: &[u8]| TARGET.get().expect("set by init")(data)
);
