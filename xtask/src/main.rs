//! One command for what spans cargo, npm and the browser: `cargo xtask <command>`.
//!
//! Every command prints what it runs, so that each step can be repeated by hand.

mod chaos;
mod chromium;
mod core_wasm;
mod demo;
mod fuzz;
mod npm;
mod panics;
mod planted;
mod programs;
mod run;
mod rust;
mod short_names;
mod sim;
mod size;
mod steps;
mod tidy;
mod wasm;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "What spans cargo, npm and the browser", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build everything, start the relay with the demo, open it
    Demo(demo::Options),
    /// Run every check and test; installs what is missing
    Test(TestOptions),
    /// The same, with CI=true for what it starts
    Ci(TestOptions),
    /// Print what a browser downloads; fail over budget
    Size,
    /// Play editing traces through real devices and a real relay
    Replay {
        /// Handed on: trace files, or flags (see `cargo xtask replay -- --help`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measure (`cargo xtask bench relay`)
    Bench {
        /// Handed on: what to measure, and flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Walk the simulated world, seed after seed (`cargo xtask sim --seeds 1000`)
    Sim {
        /// Handed on: how many seeds, which scenario ... (see `cargo xtask sim -- --help`)
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run rounds of the real relay and real browsers under faults
    Chaos(chaos::Options),
    /// Feed what nobody sane would send to codec, machines, documents and store
    Fuzz(fuzz::Options),
    /// Check that documents, tests and code agree
    Tidy {
        /// PROTOCOL.md has been read beside a change of the wire: record that
        #[arg(long)]
        wire_reviewed: bool,
    },
    /// Break one rule at a time in a copy of the code: the simulation must notice
    Planted(planted::Options),
    /// Build the WebAssembly modules into js/wasm
    Wasm {
        /// Only these modules
        #[arg(value_parser = ["engine", "document", "device-storage-page"])]
        names: Vec<String>,
        /// Quickly and unoptimised
        #[arg(long)]
        dev: bool,
    },
    /// Run the tests of sync-core as WebAssembly under Node.js
    CoreWasm,
    /// Install the npm packages if they are missing or outdated
    Npm,
}

#[derive(clap::Args)]
struct TestOptions {
    /// Only this step and what it needs (may be repeated)
    #[arg(long)]
    only: Vec<String>,
    /// List the steps
    #[arg(long)]
    list: bool,
}

/// Whether all steps passed; how many did is the last line.
fn test(options: &TestOptions) -> Result<bool> {
    if options.list {
        for step in steps::STEPS {
            println!("{:<11} {}", step.name, step.about);
        }
        return Ok(true);
    }
    let only: Vec<&str> = options.only.iter().map(String::as_str).collect();
    let all: Vec<&str> = steps::STEPS.iter().map(|step| step.name).collect();
    let (passed, failed) = steps::perform(if only.is_empty() { &all } else { &only })?;
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

fn perform(command: Command) -> Result<bool> {
    match command {
        Command::Test(options) => return test(&options),
        Command::Ci(options) => {
            run::in_ci();
            return test(&options);
        }
        Command::Demo(options) => demo::demo(options),
        Command::Chaos(options) => chaos::chaos(&options),
        Command::Fuzz(options) => fuzz::fuzz(&options),
        Command::Size => size::size(),
        Command::Replay { arguments } => programs::replay(&arguments),
        Command::Bench { arguments } => programs::bench(&arguments),
        Command::Sim { arguments } => sim::sim(&arguments),
        Command::Tidy { wire_reviewed } => tidy::tidy(wire_reviewed),
        Command::Planted(options) => planted::planted(&options),
        Command::Wasm { names, dev } => wasm::wasm(&names, dev),
        Command::CoreWasm => core_wasm::core_wasm(),
        Command::Npm => npm::npm(),
    }?;
    Ok(true)
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    match run::catch_interrupts().and_then(|()| perform(command)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(_) if run::interrupted() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
