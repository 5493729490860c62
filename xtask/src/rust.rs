//! Parts of Rust that not every installation has.

use crate::run::{self, run};
use anyhow::{Result, bail};
use std::path::Path;

/// Installs a compilation target if it is missing.
pub fn add_target(name: &str) -> Result<()> {
    let libraries = run("rustc", ["--print", "target-libdir", "--target", name]).output()?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    add("target", name)
}

/// Installs `rustfmt` or `clippy` if it is missing; `command` is how cargo calls it.
pub fn add_component(name: &str, command: &str) -> Result<()> {
    match run("cargo", [command, "--version"]).output() {
        Ok(_) => Ok(()),
        Err(_) => add("component", name),
    }
}

fn add(what: &str, name: &str) -> Result<()> {
    if !run::exists("rustup") {
        bail!(
            "this Rust has no {what} {name}, and there is no rustup to add it: install it with your system's packages"
        );
    }
    run("rustup", [what, "add", name]).go()
}
