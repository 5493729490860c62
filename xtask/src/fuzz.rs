//! `cargo xtask fuzz`: the targets of `tests/fuzz` under a fuzzing engine, on stable Rust and with no tool to install.
//!
//! The engine is libFuzzer, built from the sources in its crate. The counters at every branch that it needs the compiler
//! can add on stable; only the sanitizers need nightly, and our code has no `unsafe` for them to watch. Debug assertions
//! and overflow checks are on (profile `fuzz`).

use crate::run::run;
use crate::workspace::{root, shown, target};
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Counters inline, a table of places, branches not folded into one. Comparisons are not traced: that halves the speed, and
/// nothing here hides behind a word that must be guessed.
const FLAGS: [&str; 5] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];
/// Longer inputs find no more than several short ones do, and later.
const INPUT_BYTES_MAX: u32 = 1024;
/// An input that takes longer is a finding.
const INPUT_SECONDS_MAX: u32 = 20;
/// Memory over which an input is a finding, whatever the target itself counts.
const MEMORY_MB_MAX: u32 = 2048;
/// What is looked for when a finding is made smaller.
const MINIMISE_SECONDS: u32 = 60;
/// A store's file is written, synced and thrown away for each input: no disk needs to see it.
const MEMORY_FOLDER: &str = "/dev/shm";
const SLACK: Duration = Duration::from_secs(15 * 60);

#[derive(clap::Args)]
pub struct Options {
    /// Only this target: a folder of tests/fuzz/corpus
    target: Option<String>,
    /// Minutes for each target
    #[arg(long, default_value_t = 5)]
    minutes: u32,
    /// Put what reaches something new into tests/fuzz/corpus, as few inputs as possible
    #[arg(long)]
    keep: bool,
}

/// Runs each target for some minutes; fails at the first that breaks, with its input made small.
pub fn fuzz(options: &Options) -> Result<()> {
    let targets = targets()?;
    let chosen: Vec<&String> =
        targets.iter().filter(|name| options.target.as_ref().is_none_or(|t| t == *name)).collect();
    if chosen.is_empty() {
        bail!("there is no such target; there are: {}", targets.join(", "));
    }
    let program = build()?;
    let mut lines = Vec::new();
    for name in chosen {
        let target = Target::new(&program, name)?;
        let line = target.search(options.minutes)?;
        println!("{line}");
        lines.push(line);
        if options.keep {
            target.keep()?;
        }
    }
    println!("\n{}", lines.join("\n"));
    Ok(())
}

/// Every target has a folder of inputs (`tests/fuzz/tests/corpus.rs` sees to it).
fn targets() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(corpus()).context("no folder of inputs")? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn corpus() -> PathBuf {
    root().join("tests/fuzz/corpus")
}

/// With a target named, so that the flags are for the program and not for what builds it.
fn build() -> Result<PathBuf> {
    let version = run("rustc", ["--version", "--verbose"]).output()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc names no host")?;
    let fixed = ["build", "--profile", "fuzz", "--package", "fuzz", "--features", "engine", "--target", host];
    run("cargo", fixed).env("RUSTFLAGS", FLAGS.join(" ")).go()?;
    Ok(target()?.join(host).join("fuzz").join("fuzz"))
}

struct Target<'a> {
    program: &'a Path,
    name: &'a str,
    /// Inputs that reached something new, here and in the runs before.
    found: PathBuf,
    /// Inputs that broke something.
    broken: PathBuf,
    log: PathBuf,
}

impl<'a> Target<'a> {
    fn new(program: &'a Path, name: &'a str) -> Result<Self> {
        let folder = target()?.join("fuzz-inputs");
        let (found, broken) = (folder.join(name), folder.join(format!("{name}-broken")));
        fs::create_dir_all(&found)?;
        fs::create_dir_all(&broken)?;
        Ok(Self { program, name, found, broken, log: folder.join(format!("{name}.log")) })
    }

    fn engine(&self, flags: &[String], paths: &[&Path], limit: Duration) -> Result<String> {
        let program = self.program.to_string_lossy();
        let common = [
            format!("-max_len={INPUT_BYTES_MAX}"),
            format!("-timeout={INPUT_SECONDS_MAX}"),
            format!("-rss_limit_mb={MEMORY_MB_MAX}"),
        ];
        let paths = paths.iter().map(|path| path.to_string_lossy().into_owned());
        let arguments = common.into_iter().chain(flags.iter().cloned()).chain(paths);
        let mut run = run(&program, arguments).env("TIDELOG_FUZZ_TARGET", self.name).log(&self.log)?;
        if Path::new(MEMORY_FOLDER).is_dir() {
            run = run.env("TMPDIR", MEMORY_FOLDER);
        }
        run.limit(limit + SLACK).go()?;
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// What it did, in a line.
    fn search(&self, minutes: u32) -> Result<String> {
        let seconds = minutes * 60;
        let flags = [
            format!("-max_total_time={seconds}"),
            format!("-artifact_prefix={}/", self.broken.display()),
            "-print_final_stats=1".into(),
            "-len_control=10".into(),
        ];
        let paths = [self.found.as_path(), &corpus().join(self.name)];
        let log = match self.engine(&flags, &paths, Duration::from_secs(seconds.into())) {
            Ok(log) => log,
            Err(error) => return Err(self.explain(error)),
        };
        // `#1234	DONE   cov: 2000 ft: 5000 corp: 300/20Kb lim: 100 exec/s: 400 rss: 35Mb`
        let last = log.lines().rfind(|line| line.contains("DONE")).context("the engine did not say what it did")?;
        let words: Vec<&str> = last.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|w| *w == word).and_then(|at| words.get(at + 1)).unwrap_or(&"?");
        Ok(format!(
            "{:<10} clean: {} inputs in {minutes} min, {} a second; {} places reached, {} features, {} inputs kept",
            self.name,
            words.first().unwrap_or(&"?").trim_start_matches('#'),
            after("exec/s:"),
            after("cov:"),
            after("ft:"),
            after("corp:"),
        ))
    }

    /// Makes the newest finding smaller and says what to do with it.
    fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let tail: Vec<&str> = log.lines().filter(|line| !line.starts_with('#')).collect();
        println!("{}", tail[tail.len().saturating_sub(40)..].join("\n"));
        let newest = fs::read_dir(&self.broken).into_iter().flatten().flatten().map(|entry| entry.path());
        let time = |path: &PathBuf| path.metadata().and_then(|m| m.modified()).ok();
        let Some(input) = newest.max_by_key(time) else { return error };
        let small = self.broken.join("small");
        let flags = [
            "-minimize_crash=1".into(),
            format!("-max_total_time={MINIMISE_SECONDS}"),
            format!("-exact_artifact_path={}", small.display()),
        ];
        let _ = self.engine(&flags, &[&input], Duration::from_secs(u64::from(MINIMISE_SECONDS)));
        let input = if small.is_file() { small } else { input };
        error.context(format!(
            "the target `{}` broke: put {} into tests/fuzz/corpus/{} under a name that says what broke; \
             `cargo test -p fuzz` then replays it",
            self.name,
            shown(&input),
            self.name
        ))
    }

    /// As few inputs as reach what all do; those of the repository come first. Counts of how often do not matter here.
    fn keep(&self) -> Result<()> {
        let flags = ["-merge=1".into(), "-use_counters=0".into(), "-use_cmp=0".into()];
        let into = corpus().join(self.name);
        self.engine(&flags, &[&into, &self.found], Duration::from_secs(600))?;
        println!("{} has {} inputs", shown(&into), fs::read_dir(&into)?.count());
        Ok(())
    }
}
