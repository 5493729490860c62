//! What `cargo xtask demo`, `test` and `ci` are made of: steps, each with the steps that it needs.

use crate::chromium::chromium;
use crate::run::{self, Run, run};
use crate::{chaos, core_wasm, npm, programs, rust, sim, size, tidy, wasm};
use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// One thing to do.
pub struct Step {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What it proves or makes, for people.
    pub about: &'static str,
    /// Steps without which it makes no sense.
    needs: &'static [&'static str],
    action: fn() -> Result<()>,
}

/// All of them, each after those that it needs; what is quick and fails often comes first.
pub const STEPS: &[Step] = &[
    Step { name: "npm", about: "npm packages", needs: &[], action: npm::npm },
    Step { name: "chromium", about: "a browser for the end-to-end tests", needs: &[], action: || chromium().map(drop) },
    Step { name: "fmt", about: "Rust is formatted", needs: &[], action: fmt },
    Step { name: "tidy", about: "documents, tests and code agree", needs: &[], action: || tidy::tidy(false) },
    Step { name: "clippy", about: "Rust has no warnings", needs: &[], action: clippy },
    Step { name: "rust", about: "tests of all crates", needs: &[], action: tests_of_crates },
    Step { name: "sim", about: "the simulated world, fixed and fresh seeds", needs: &[], action: sim::step },
    Step { name: "core-wasm", about: "tests of sync-core as wasm32", needs: &[], action: core_wasm::core_wasm },
    Step { name: "wasm", about: "WebAssembly modules", needs: &["npm"], action: || wasm::wasm(&[], false) },
    Step { name: "js", about: "the package tidelog", needs: &["wasm"], action: || script("js", "build") },
    Step { name: "js-check", about: "types of the package", needs: &["js"], action: || script("js", "check") },
    Step { name: "js-test", about: "tests of the package", needs: &["js"], action: || script("js", "test") },
    Step { name: "demo", about: "the demo", needs: &["js"], action: || script("demo", "build") },
    Step { name: "demo-check", about: "types of the demo", needs: &["js"], action: || script("demo", "check") },
    Step { name: "demo-test", about: "tests of the demo", needs: &["js"], action: || script("demo", "test") },
    Step { name: "tests-check", about: "types of the tests", needs: &["js"], action: || script("tests", "check") },
    Step { name: "size", about: "downloads within their budgets", needs: &["js"], action: size::size },
    Step { name: "relay", about: "the relay", needs: &[], action: programs::build_relay },
    Step { name: "e2e", about: "two browsers and a relay", needs: &["demo", "relay", "chromium"], action: e2e },
    Step {
        name: "chaos",
        about: "two rounds of real processes under faults",
        needs: &["js", "relay", "chromium"],
        action: chaos::smoke,
    },
    Step {
        name: "replay",
        about: "editing traces end as recorded",
        needs: &["relay"],
        action: || programs::replay(&[]),
    },
];

fn fmt() -> Result<()> {
    rust::add_component("rustfmt", "fmt")?;
    run("cargo", ["fmt", "--all", "--check"]).go()
}

fn clippy() -> Result<()> {
    rust::add_component("clippy", "clippy")?;
    let deny = ["--", "--deny", "warnings"];
    run("cargo", ["clippy", "--workspace", "--all-targets"].into_iter().chain(deny)).go()?;
    rust::add_target(wasm::TARGET)?;
    let browser = ["--package", "tidelog-engine", "--package", "tidelog-document", "--target", wasm::TARGET];
    run("cargo", ["clippy"].into_iter().chain(browser).chain(deny)).go()
}

/// The programs first: tests start them, and cargo builds a crate's programs only for that crate's own tests.
fn tests_of_crates() -> Result<()> {
    run("cargo", ["build", "--workspace", "--bins"]).go()?;
    run("cargo", ["test", "--workspace", "--no-fail-fast"]).go()
}

fn script(package: &str, name: &str) -> Result<()> {
    npm::script(package, name)?.limit(Duration::from_secs(15 * 60)).go()
}

fn e2e() -> Result<()> {
    wasm::wasm(&["device-storage-page".into()], true)?;
    with_browser(npm::script("tests", "test")?)?.limit(Duration::from_secs(30 * 60)).go()
}

/// Tells the tests which browser and which relay to start.
fn with_browser(command: Run) -> Result<Run> {
    Ok(command.env("CHROME_PATH", chromium()?).env("TIDELOG_RELAY", programs::relay()?))
}

/// How a step ended.
enum Outcome {
    Passed,
    /// Why, and what it printed that looked like a failure.
    Failed(String, Vec<String>),
}

/// Does these steps and what they need; all of them, even when one fails, except those that need it. Returns how many
/// passed and how many failed, what could not be tried among them.
pub fn perform(names: &[&str]) -> Result<(usize, usize)> {
    let steps = with_needs(names)?;
    let mut done: Vec<(&Step, Outcome, Duration)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        println!("\n[{}/{}] {}: {}", index + 1, steps.len(), step.name, step.about);
        let started = Instant::now();
        let failed = |need: &&&str| done.iter().any(|(s, o, _)| s.name == **need && matches!(o, Outcome::Failed(..)));
        run::take_complaints();
        let outcome = match step.needs.iter().find(failed) {
            Some(need) => Outcome::Failed(format!("not tried: it needs `{need}`"), vec![]),
            None => match (step.action)() {
                Ok(()) => Outcome::Passed,
                Err(error) => Outcome::Failed(format!("{error:#}"), run::take_complaints()),
            },
        };
        if run::interrupted() {
            bail!("interrupted");
        }
        let took = started.elapsed();
        match &outcome {
            Outcome::Passed => {
                println!("[{}/{}] {}: passed, {}", index + 1, steps.len(), step.name, run::duration(took))
            }
            Outcome::Failed(why, _) => println!("[{}/{}] {}: FAILED: {why}", index + 1, steps.len(), step.name),
        }
        done.push((step, outcome, took));
    }
    println!();
    for (step, outcome, took) in &done {
        match outcome {
            Outcome::Passed => println!("  passed  {:<11} {:>14}  {}", step.name, run::duration(*took), step.about),
            Outcome::Failed(why, _) => {
                let why: String = why.chars().take(100).collect();
                println!("  FAILED  {:<11} {:>14}  {why}", step.name, run::duration(*took));
            }
        }
    }
    for (step, outcome, _) in &done {
        if let Outcome::Failed(_, complaints) = outcome {
            complaints.iter().for_each(|line| println!("  {}: {line}", step.name));
        }
    }
    let passed = done.iter().filter(|(_, outcome, _)| matches!(outcome, Outcome::Passed)).count();
    Ok((passed, done.len() - passed))
}

/// The named steps and, before them, those that they need.
fn with_needs(names: &[&str]) -> Result<Vec<&'static Step>> {
    let mut wanted: Vec<&str> = names.to_vec();
    let mut next = 0;
    while let Some(name) = wanted.get(next) {
        let Some(step) = STEPS.iter().find(|step| step.name == *name) else {
            bail!("there is no step `{name}`: `cargo xtask test --list` shows them");
        };
        wanted.extend(step.needs);
        next += 1;
    }
    Ok(STEPS.iter().filter(|step| wanted.contains(&step.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{read_json, root};
    use serde_json::Value;

    #[test]
    fn every_step_comes_after_what_it_needs() {
        for (index, step) in STEPS.iter().enumerate() {
            for need in step.needs {
                let position = STEPS.iter().position(|other| other.name == *need);
                assert!(position.is_some_and(|position| position < index), "{} needs {need}", step.name);
            }
        }
    }

    #[test]
    fn a_step_brings_what_it_needs_and_nothing_else() {
        let names: Vec<&str> = with_needs(&["js-test"]).unwrap().iter().map(|step| step.name).collect();
        assert_eq!(names, ["npm", "wasm", "js", "js-test"]);
        assert!(with_needs(&["no such step"]).is_err());
    }

    /// A check that nobody runs is green for ever.
    #[test]
    fn every_check_and_test_of_an_npm_package_is_a_step() {
        let package_json = |folder: &str| read_json(&root().join(folder).join("package.json")).unwrap();
        for folder in package_json("")["workspaces"].as_array().unwrap().iter().filter_map(Value::as_str) {
            let scripts = &package_json(folder)["scripts"];
            for script in ["check", "test"].into_iter().filter(|script| scripts[script].is_string()) {
                let step = match (folder, script) {
                    ("tests", "test") => "e2e".to_owned(), // it needs a browser and a relay
                    _ => format!("{folder}-{script}"),
                };
                assert!(STEPS.iter().any(|known| known.name == step), "no step `{step}` runs {folder}'s `{script}`");
            }
        }
    }
}
