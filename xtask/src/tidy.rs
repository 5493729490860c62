//! `cargo xtask tidy`: what the documents say and what the code does, held together.
//!
//! Every check returns its findings as sentences that say what to do; all are printed, and any of them is a failure.

mod files;
mod proofs;
mod protocol;
mod sources;
mod tables;

use crate::planted;
use crate::run::run;
use anyhow::{Result, bail};
use files::Files;

/// What sync-core must be without: it knows no document, no runtime, no browser and no randomness.
const CORE_WITHOUT: [&str; 9] =
    ["automerge", "futures-util", "getrandom", "js-sys", "rand", "rusqlite", "tokio", "wasm-bindgen", "web-sys"];

/// Runs all checks. With `wire_reviewed` it first records in PROTOCOL.md that the wire is as the document says.
pub fn tidy(wire_reviewed: bool) -> Result<()> {
    let mut files = Files::of_repository()?;
    if wire_reviewed {
        protocol::record_wire(&files)?;
        files = Files::of_repository()?;
    }
    let tests = proofs::TestNames::find(&files);
    println!("{} files, {} tests", files.len(), tests.len());
    let mut findings = protocol::check(&files, &tests);
    findings.extend(proofs::check(&files, &tests));
    findings.extend(sources::check(&files));
    findings.extend(core_dependencies()?);
    findings.extend(planted::check()?);
    for finding in &findings {
        println!("  {finding}");
    }
    if !findings.is_empty() {
        bail!("{} findings", findings.len());
    }
    Ok(())
}

fn core_dependencies() -> Result<Vec<String>> {
    let arguments =
        ["tree", "--package=sync-core", "--edges=normal,build", "--target=all", "--prefix=none", "--format={p}"];
    let tree = run("cargo", arguments).output()?;
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    let found = CORE_WITHOUT.iter().filter(|name| names.contains(name));
    Ok(found
        .map(|name| format!("sync-core depends on {name}; `cargo tree -p sync-core -i {name}` shows through what"))
        .collect())
}
