//! `cargo xtask chaos`: rounds of the real relay and real browsers under seeded faults.

use crate::chromium::chromium;
use crate::run::run;
use crate::{npm, programs, steps, workspace};
use anyhow::{Context as _, Result, bail};
use std::time::Duration;

/// Rounds may run over a night.
const LIMIT: Duration = Duration::from_secs(24 * 60 * 60);
/// What the step of `cargo xtask test` runs: two devices with two tabs each and a renderer killed, then pages frozen, a full
/// disk and a relay put back.
const SMOKE: [&str; 4] = ["--rounds", "2", "--seed", "3005"];
const DRIVER: &str = "tests/chaos/dist/driver";
const SCRIPT: &str = "tests/chaos/dist/driver/run.js";

/// What a caller may choose.
#[derive(clap::Args)]
pub struct Options {
    /// Rounds, one after the other; each takes about 15 seconds [default: 10, or as many as fit into --minutes]
    #[arg(long)]
    rounds: Option<u32>,
    /// The first round's seed, the others count up from it [default: random, printed]
    #[arg(long)]
    seed: Option<u32>,
    /// Begin no round after so many minutes
    #[arg(long)]
    minutes: Option<u32>,
    /// Only these faults, separated by commas
    #[arg(long)]
    faults: Option<String>,
}

/// Builds what is needed and runs rounds.
pub fn chaos(options: &Options) -> Result<()> {
    let (_, failed) = steps::perform(&["js", "relay", "chromium"])?;
    if failed > 0 {
        bail!("what the rounds need could not be built");
    }
    let mut arguments = vec![];
    let numbers = [("--rounds", options.rounds), ("--seed", options.seed), ("--minutes", options.minutes)];
    for (name, number) in numbers {
        arguments.extend(number.into_iter().flat_map(|number| [name.to_owned(), number.to_string()]));
    }
    arguments.extend(options.faults.iter().flat_map(|faults| ["--faults".to_owned(), faults.clone()]));
    drive(arguments.iter().map(String::as_str))
}

/// Two known rounds.
pub fn smoke() -> Result<()> {
    drive(SMOKE)
}

/// Builds page, driver and the reader of the store, and runs the driver. It ends what it started when it is asked to stop.
fn drive<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
    run("cargo", ["build", "--release", "--package", "read-log"]).go()?;
    let read_log = workspace::target()?.join("release").join(if cfg!(windows) { "read-log.exe" } else { "read-log" });
    let vite = npm::program("vite")?;
    run(&vite, ["build", "--config", "tests/chaos/page/vite.config.ts"]).go()?;
    run(&vite, ["build", "--logLevel", "warn", "--ssr", "tests/chaos/run.ts", "--outDir", DRIVER]).go()?;
    run("node", [SCRIPT].into_iter().chain(arguments))
        .env("CHROME_PATH", chromium()?)
        .env("TIDELOG_RELAY", programs::relay()?)
        .env("TIDELOG_READ_LOG", read_log.to_str().context("the path of the target folder is not Unicode")?)
        .limit(LIMIT)
        .go()
}
