//! Programs of other crates: the relay, `cargo xtask replay` and `cargo xtask bench`.

use crate::run::run;
use crate::workspace::target;
use anyhow::{Context as _, Result};
use std::time::Duration;

/// A benchmark may take long.
const BENCH_LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// Builds the relay as it is used: optimised.
pub fn build_relay() -> Result<()> {
    run("cargo", ["build", "--release", "--package", "relay-server", "--bins"]).go()
}

/// The relay's program.
pub fn relay() -> Result<String> {
    let name = if cfg!(windows) { "tidelog-relay.exe" } else { "tidelog-relay" };
    let path = target()?.join("release").join(name);
    Ok(path.to_str().context("the path of the target folder is not Unicode")?.to_owned())
}

/// Plays editing traces through real devices and a real relay.
pub fn replay(arguments: &[String]) -> Result<()> {
    build_relay()?;
    of_tests("replay", arguments)
}

/// Measures.
pub fn bench(arguments: &[String]) -> Result<()> {
    build_relay()?;
    of_tests("bench", arguments)
}

fn of_tests(name: &str, arguments: &[String]) -> Result<()> {
    let fixed = ["run", "--release", "--package", "tests", "--bin", name, "--"];
    let arguments = fixed.into_iter().chain(arguments.iter().map(String::as_str));
    run("cargo", arguments).env("TIDELOG_RELAY", relay()?).limit(BENCH_LIMIT).go()
}
