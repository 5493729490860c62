//! `cargo xtask sim`: the simulated world, seed after seed.

use crate::run::run;
use anyhow::Result;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seeds may run over a night.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Walks of each scenario of the model in step with the machines. Rules of which fewer notice nothing are listed in the test.
const LOCKSTEP_WALKS: &str = "4000";

/// A step of the tests: the protocol's model in step with the machines, then seeds of the world that are always the same,
/// which must reach all that is listed, and two minutes of fresh ones.
pub fn step() -> Result<()> {
    let lockstep =
        ["test", "--profile", "sim", "--package", "protocol-model", "--no-default-features", "--test", "lockstep"];
    run("cargo", lockstep).env("TIDELOG_WALKS", LOCKSTEP_WALKS).go()?;
    sim(&["--scenario", "all", "--seeds", "200", "--coverage"])?;
    let fresh = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() * 1_000_000;
    println!("fresh seeds from {fresh}");
    sim(&["--scenario", "all", "--minutes", "2", "--seed", &fresh.to_string()])
}

/// Runs it, optimised and with every assertion; the arguments are its own.
pub fn sim<S: AsRef<str>>(arguments: &[S]) -> Result<()> {
    let fixed = ["run", "--quiet", "--profile", "sim", "--package", "harness", "--bin", "sim", "--"];
    run("cargo", fixed.into_iter().chain(arguments.iter().map(AsRef::as_ref))).limit(LIMIT).go()
}
