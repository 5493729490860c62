//! `cargo xtask sim`: walks of the simulated world, seed after seed.

use clap::Parser;
use harness::campaign::{Campaign, Outcome};
use harness::coverage::missing;
use harness::scenarios::{Scenario, find, of_the_model, scenarios};
use harness::shrink::{numbers, pick, shrink};
use harness::walk::{Failure, again, walk};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// So many failures are shown with their traces.
const SHOWN: usize = 3;

/// Walk the simulated world, seed after seed; a failure shows its seed, its trace and how to replay it
#[derive(Parser)]
#[command(name = "cargo xtask sim")]
struct Options {
    /// What may happen: a scenario's name (may be repeated), `model` for those of the protocol model, or `all`; `--list` shows them
    #[arg(long, default_value = "mixed")]
    scenario: Vec<String>,
    /// Changes a setting of the scenarios, e.g. `cuts=0` (may be repeated)
    #[arg(long, value_name = "NAME=VALUE")]
    set: Vec<String>,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// How many seeds each scenario walks [default: 1000, or as many as there is time for]
    #[arg(long)]
    seeds: Option<u64>,
    /// Ends after so many minutes
    #[arg(long)]
    minutes: Option<f64>,
    /// Ends with the first failure
    #[arg(long)]
    until_failure: bool,
    /// Makes the first failure small
    #[arg(long)]
    shrink: bool,
    /// Walks only the first seed and prints all of its trace
    #[arg(long)]
    trace: bool,
    /// With `--trace`: performs only these steps of the walk, as `--shrink` names them
    #[arg(long, value_name = "STEPS")]
    keep: Option<String>,
    /// Writes a summary for programs to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many walks go on at once [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Fails if something of the list in coverage.rs was not reached
    #[arg(long)]
    coverage: bool,
    /// Lists the scenarios
    #[arg(long)]
    list: bool,
}

fn chosen(options: &Options) -> Result<Vec<Scenario>, String> {
    let mut chosen = vec![];
    for name in &options.scenario {
        match name.as_str() {
            "all" => chosen.extend(scenarios()),
            "model" => chosen.extend(of_the_model()),
            _ => chosen.push(find(name).ok_or_else(|| format!("no scenario is called `{name}`: --list shows them"))?),
        }
    }
    for scenario in &mut chosen {
        options.set.iter().try_for_each(|setting| scenario.set(setting))?;
    }
    Ok(chosen)
}

fn main() -> ExitCode {
    match sim(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn sim(options: &Options) -> Result<bool, String> {
    if options.list {
        scenarios().iter().for_each(|scenario| println!("{}", scenario.name));
        return Ok(true);
    }
    let scenarios = chosen(options)?;
    // A walk that panics is a failure and says so; the default words would stand between the lines of others.
    std::panic::set_hook(Box::new(|_| {}));
    if options.trace {
        return trace(options, &scenarios);
    }
    let time = options.minutes.map(|minutes| Duration::from_secs_f64(minutes.max(0.0) * 60.0));
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let campaign = Campaign {
        scenarios,
        seed: options.seed,
        seeds: options.seeds.or(time.is_none().then_some(1_000)),
        time,
        until_failure: options.until_failure || options.shrink,
        threads: options.threads.unwrap_or(cores),
    };
    let outcome = campaign.run(|done, failed, time| {
        eprintln!("  {:>4} s: {done} walks, {failed} failed", time.as_secs());
    });
    tell(&campaign, &outcome);
    if let Some((scenario, failure)) = outcome.failures.first().filter(|_| options.shrink) {
        make_small(&campaign.scenarios[*scenario], failure);
    }
    if let Some(path) = &options.json {
        let summary = format!("{:#}\n", outcome.to_json(&campaign));
        std::fs::write(path, summary).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let covered = !options.coverage || is_covered(&outcome);
    Ok(covered && outcome.failed == 0)
}

/// Whether everything was reached that a set of walks has to reach; what was not is told.
fn is_covered(outcome: &Outcome) -> bool {
    let missing = missing(&outcome.reached);
    let pairs = outcome.reached.keys().filter(|what| what.starts_with("pair ")).count();
    println!("{} things reached, {pairs} pairs of faults among them", outcome.reached.len());
    missing.iter().for_each(|what| println!("never reached: {what}"));
    missing.is_empty()
}

fn tell(campaign: &Campaign, outcome: &Outcome) {
    for (scenario, failure) in outcome.failures.iter().take(SHOWN) {
        println!("{}\n", failure.report(&campaign.scenarios[*scenario]));
    }
    for (scenario, failure) in outcome.failures.iter().skip(SHOWN) {
        let Failure { broken, seed, .. } = &**failure;
        println!("{}, seed {seed}: {}: {}", campaign.scenarios[*scenario].name, broken.oracle(), broken.how);
    }
    println!(
        "{} walks of {} from seed {} in {:.1} s, {:.0} a second: {} failed",
        outcome.walks(),
        outcome.walks.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "),
        campaign.seed,
        outcome.time.as_secs_f64(),
        outcome.per_second(),
        outcome.failed
    );
}

fn make_small(scenario: &Scenario, failure: &Failure) {
    let Some(small) = shrink(scenario, failure) else { return };
    println!(
        "\nsmaller: {} steps of seed {}, {}: {}\n{}\nreplay: {}",
        small.kept.len(),
        small.seed,
        small.failure.broken.oracle(),
        small.failure.broken.how,
        small.failure.lines,
        small.command()
    );
}

fn trace(options: &Options, scenarios: &[Scenario]) -> Result<bool, String> {
    let [scenario] = scenarios else { return Err("--trace shows one scenario".into()) };
    let outcome = match &options.keep {
        None => walk(scenario, options.seed, true),
        Some(keep) => {
            let whole = walk(scenario, options.seed, false).err().ok_or("the walk of this seed does not fail")?;
            again(scenario, options.seed, &pick(&whole.steps, &numbers(keep)?), true)
        }
    };
    match &outcome {
        Ok(_) => println!("no promise was broken"),
        Err(failure) => println!("{}: {}", failure.broken.oracle(), failure.broken.how),
    }
    Ok(outcome.is_ok())
}
