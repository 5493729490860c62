//! One command for what spans cargo, npm and the browser: `cargo xtask <command>`.
//!
//! Every command prints what it runs, so that each step can be repeated by hand.

mod npm;
mod run;
mod wasm;
mod workspace;

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
    /// Build the WebAssembly modules into js/wasm
    Wasm {
        /// Only these modules
        #[arg(value_parser = ["engine", "document"])]
        names: Vec<String>,
        /// Quickly and unoptimised
        #[arg(long)]
        dev: bool,
    },
    /// Install the npm packages if they are missing or outdated
    Npm,
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let result = run::catch_interrupts().and_then(|()| match command {
        Command::Wasm { names, dev } => wasm::wasm(&names, dev),
        Command::Npm => npm::npm(),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if run::interrupted() => ExitCode::from(130),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
