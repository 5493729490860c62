//! `cargo xtask core-wasm`: sync-core where there is no clock, no thread and no randomness.
//!
//! It must compile for the browser's target, and its own tests must pass as wasm32 under Node.js. The browser's target has no
//! standard output, hence no test harness; wasm32-wasip1 is the same instruction set with one, and Node.js can run it.

use crate::run::run;
use crate::{npm, rust, wasm, workspace};
use anyhow::{Context as _, Result};
use std::time::Duration;

const TEST_TARGET: &str = "wasm32-wasip1";

/// Compiles sync-core for the browser and runs its tests as WebAssembly.
pub fn core_wasm() -> Result<()> {
    npm::check_node()?;
    rust::add_target(wasm::TARGET)?;
    run("cargo", ["build", "--package", "sync-core", "--target", wasm::TARGET]).go()?;
    rust::add_target(TEST_TARGET)?;
    let runner = workspace::root().join("xtask/wasi-runner.mjs");
    let runner = runner.to_str().context("the path of the repository is not Unicode")?;
    let runner = format!("target.{TEST_TARGET}.runner=[\"node\", \"--no-warnings\", {runner:?}]");
    let arguments = ["test", "--config", &runner, "--package", "sync-core", "--target", TEST_TARGET];
    // A panic ends the program there, and with it what the harness would have kept to show later.
    let uncaptured = ["--", "--nocapture"];
    run("cargo", arguments.into_iter().chain(uncaptured)).limit(Duration::from_secs(15 * 60)).go()
}
