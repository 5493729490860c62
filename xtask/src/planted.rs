//! `cargo xtask planted`: breaks one rule at a time in a copy of the code and asks the simulation to notice. The bugs stand
//! in `tests/planted/bugs.toml`; the product's own code holds nothing of them.
//!
//! All bugs whose edits do not overlap are built into one copy, each behind a switch that the environment turns on, so that
//! there are a few builds and not one for each bug.

use crate::run::{Run, interrupted, run};
use crate::workspace::{read_json, read_text, root, shown, target};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where the bugs stand.
const BUGS: &str = "tests/planted/bugs.toml";
/// Where the table goes.
const TABLE_IN: &str = "docs/guarantees.md";
const TABLE_BEGINS: &str = "<!-- made by `cargo xtask planted --table` -->";
const TABLE_ENDS: &str = "<!-- end -->";
/// The environment variable that turns a bug on.
const SWITCH: &str = "TIDELOG_PLANTED";
/// The crate that holds the switch: all others that are broken use it.
const CORE: &str = "sync-core/";
/// A bug that is not noticed by then is not noticed: some, such as a retry storm, make walks endless.
const BUG_LIMIT: Duration = Duration::from_secs(5 * 60);

/// What `cargo xtask planted` is told.
#[derive(clap::Args)]
pub struct Options {
    /// Only this bug (may be repeated)
    #[arg(long)]
    only: Vec<String>,
    /// Writes the table into docs/guarantees.md; with `--only`, the rows of these bugs
    #[arg(long)]
    table: bool,
}

#[derive(Deserialize)]
struct File {
    bug: Vec<Bug>,
}

#[derive(Deserialize)]
struct Bug {
    name: String,
    rule: String,
    text: String,
    #[serde(flatten)]
    by: By,
    edit: Vec<Edit>,
}

/// What has to notice it.
#[derive(Deserialize)]
#[serde(untagged)]
enum By {
    /// One of so many walks.
    Walks {
        scenario: String,
        /// Settings of the scenario, as `cargo xtask sim --set`.
        #[serde(default)]
        set: Vec<String>,
        seeds: u64,
    },
    /// The history by which the model's checker broke the rule, a test of `tests/simulation`: walks meet it too seldom.
    History { history: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: String,
    find: String,
    with: String,
}

/// How it was noticed.
struct Caught {
    oracle: String,
    /// For people.
    how: String,
    /// After so many walks.
    seeds: Option<u64>,
}

/// Plants each bug and asks the simulation. An error if one is not noticed.
pub fn planted(options: &Options) -> Result<()> {
    let bugs = read_bugs()?;
    if let Some(unknown) = options.only.iter().find(|name| bugs.iter().all(|bug| bug.name != **name)) {
        bail!("{BUGS} has no bug `{unknown}`");
    }
    let is_asked = |bug: &&Bug| options.only.is_empty() || options.only.contains(&bug.name);
    let mut caught: BTreeMap<&str, Caught> = BTreeMap::new();
    let mut missed = vec![];
    for group in groups(&bugs)?.into_iter().filter(|group| group.iter().any(is_asked)) {
        // All of them, asked for or not: the next one is there without a build.
        let copy = Copy::make(&group)?;
        for bug in group.into_iter().filter(is_asked) {
            match copy.notice(bug) {
                Ok(found) => {
                    println!("{}: noticed, {}: {}", bug.name, found.oracle, found.how);
                    caught.insert(&bug.name, found);
                }
                Err(_) if interrupted() => bail!("interrupted"),
                Err(why) => {
                    println!("{}: NOT noticed: {why:#}", bug.name);
                    missed.push(bug.name.as_str());
                }
            }
        }
    }
    println!("{} bugs were noticed, {} were not", caught.len(), missed.len());
    if options.table {
        write_table(&bugs, &caught, &missed)?;
    }
    ensure!(missed.is_empty(), "not noticed: {}", missed.join(", "));
    Ok(())
}

/// Checks that each bug can still be planted: quick, for `cargo xtask tidy`.
pub fn check() -> Result<Vec<String>> {
    let bugs = read_bugs()?;
    let mut wrong = vec![];
    let names: BTreeSet<&str> = bugs.iter().map(|bug| bug.name.as_str()).collect();
    if names.len() != bugs.len() {
        wrong.push(format!("{BUGS}: two bugs have one name"));
    }
    for bug in &bugs {
        for edit in &bug.edit {
            if let Err(error) = edit.place() {
                wrong.push(format!("{BUGS}: {}: {error}", bug.name));
            }
            if !edit.with.contains("PLANTED") {
                wrong.push(format!("{BUGS}: {}: an edit without PLANTED would always be on", bug.name));
            }
        }
    }
    Ok(wrong)
}

fn read_bugs() -> Result<Vec<Bug>> {
    let file: File = toml::from_str(&read_text(&root().join(BUGS))?).context(BUGS)?;
    Ok(file.bug)
}

impl Edit {
    /// Where in its file it goes.
    fn place(&self) -> Result<Range<usize>> {
        let text = read_text(&root().join(&self.file))?;
        let mut places = text.match_indices(&self.find);
        match (places.next(), places.next()) {
            (Some((at, found)), None) => Ok(at..at + found.len()),
            (None, _) => bail!("{} does not contain `{}`", self.file, self.find),
            _ => bail!("{} contains more than once `{}`", self.file, self.find),
        }
    }
    /// The text to put in, with the bug's switch.
    fn text(&self, bug: &str) -> String {
        let crate_name = if self.file.starts_with(CORE) { "crate" } else { "sync_core" };
        self.with.replace("PLANTED", &format!("{crate_name}::planted::is(\"{bug}\")"))
    }
}

/// Where an edit goes: file and bytes.
type Place<'a> = (&'a str, Range<usize>);

/// Bugs that can be built together: no two edits of a group overlap.
fn groups(bugs: &[Bug]) -> Result<Vec<Vec<&Bug>>> {
    let mut groups: Vec<(Vec<&Bug>, Vec<Place<'_>>)> = vec![];
    for bug in bugs {
        let places = bug.edit.iter().map(|edit| Ok((edit.file.as_str(), edit.place()?)));
        let places: Vec<_> = places.collect::<Result<_>>().with_context(|| format!("{BUGS}: {}", bug.name))?;
        let overlap =
            |(file, a): &Place<'_>, (other, b): &Place<'_>| file == other && a.start < b.end && b.start < a.end;
        let is_free = |taken: &[Place<'_>]| !places.iter().any(|p| taken.iter().any(|t| overlap(p, t)));
        match groups.iter_mut().find(|(_, taken)| is_free(taken)) {
            Some((group, taken)) => {
                group.push(bug);
                taken.extend(places);
            }
            None => groups.push((vec![bug], places)),
        }
    }
    Ok(groups.into_iter().map(|(group, _)| group).collect())
}

/// A copy of the repository with a group of bugs in it, built.
struct Copy {
    sources: PathBuf,
    built: PathBuf,
    summary: PathBuf,
}

impl Copy {
    fn make(bugs: &[&Bug]) -> Result<Copy> {
        let folder = target()?.join("planted");
        let sources = folder.join("sources");
        let mut texts = tracked_files()?;
        for (file, text) in &mut texts {
            plant(file, text, bugs)?;
        }
        let module = Path::new(CORE).join("src/planted.rs");
        texts.insert(module.to_str().context("a path of ours")?.to_owned(), switch().into_bytes());
        for (file, text) in &texts {
            write_if_changed(&sources.join(file), text)?;
        }
        let copy = Copy { sources, built: folder.join("target"), summary: folder.join("summary.json") };
        copy.test(&["--no-run"]).go().context("building the copy with the bugs")?;
        Ok(copy)
    }

    /// The simulation's tests; the program that walks is built with them.
    fn test(&self, arguments: &[&str]) -> Run {
        let simulation = ["test", "--profile", "sim", "--package", "harness", "--test", "simulation"];
        let tests = run("cargo", simulation.iter().chain(arguments));
        // The lints of the workspace hold for the code as it is, not for what is broken.
        tests.folder(&self.sources).env("CARGO_TARGET_DIR", &self.built).env("RUSTFLAGS", "--cap-lints allow")
    }

    /// An error: it is not noticed.
    fn notice(&self, bug: &Bug) -> Result<Caught> {
        match &bug.by {
            By::Walks { scenario, set, seeds } => self.walk_until_noticed(&bug.name, scenario, set, *seeds),
            By::History { history } => {
                ensure!(!self.passes(history, &bug.name)?, "{history} passes");
                ensure!(self.passes(history, "")?, "{history} fails without it too");
                let how = format!("{history} fails");
                Ok(Caught { oracle: "the history's test".into(), how, seeds: None })
            }
        }
    }

    /// Whether the test passes with a bug turned on.
    fn passes(&self, history: &str, on: &str) -> Result<bool> {
        let test = self.test(&["--", "--exact", &format!("counterexamples::{history}")]);
        Ok(test.env(SWITCH, on).quiet().start()?.wait(BUG_LIMIT)?.success())
    }

    /// A walk that fails without the bug too says nothing of it.
    fn walk_until_noticed(&self, bug: &str, scenario: &str, set: &[String], seeds: u64) -> Result<Caught> {
        let mut first = 0;
        while let Some((seed, oracle, how)) = self.walk(bug, scenario, set, first..seeds)? {
            let seeds = seed + 1;
            let Some((_, oracle, how)) = self.walk("", scenario, set, seed..seeds)? else {
                return Ok(Caught { oracle, how: format!("after {seeds} seeds, {how}"), seeds: Some(seeds) });
            };
            println!("seed {seed} of {scenario} fails without {bug} too: {oracle}: {how}");
            first = seeds;
        }
        bail!("{seeds} seeds of {scenario} found nothing")
    }

    /// Walks with a bug turned on until one fails: its seed, what noticed it, and how.
    fn walk(
        &self,
        on: &str,
        scenario: &str,
        set: &[String],
        seeds: Range<u64>,
    ) -> Result<Option<(u64, String, String)>> {
        let unicode = |path: &Path| path.to_str().map(str::to_owned).context("the target folder's path is not Unicode");
        let (program, summary) = (unicode(&self.built.join("sim").join("sim"))?, unicode(&self.summary)?);
        let (first, count) = (seeds.start.to_string(), (seeds.end - seeds.start).to_string());
        let mut arguments = vec!["--scenario", scenario, "--seed", &first, "--seeds", &count];
        arguments.extend(["--until-failure", "--json", &summary]);
        set.iter().for_each(|setting| arguments.extend(["--set", setting]));
        // A summary of an earlier walk would be taken for this one's.
        if self.summary.exists() {
            fs::remove_file(&self.summary).with_context(|| shown(&self.summary))?;
        }
        // It ends with a failure where the bug is noticed: the summary says what came of it.
        run(&program, arguments).env(SWITCH, on).quiet().start()?.wait(BUG_LIMIT)?;
        ensure!(self.summary.exists(), "no walks: is `{scenario}` a scenario, and are {set:?} settings of it?");
        let summary = read_json(&self.summary)?;
        let Some(failure) = summary["failures"].get(0) else { return Ok(None) };
        let text = |key: &str| failure[key].as_str().map(str::to_owned).with_context(|| format!("no `{key}`"));
        let seed = failure["seed"].as_u64().context("no `seed`")?;
        Ok(Some((seed, text("oracle")?, text("how")?)))
    }
}

/// What git knows of, as it lies in the folder now.
fn tracked_files() -> Result<BTreeMap<String, Vec<u8>>> {
    let names = run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).output()?;
    let wanted = |name: &&str| name.ends_with(".rs") || name.ends_with(".toml") || *name == "Cargo.lock";
    let names = names.split('\0').filter(wanted).filter(|name| root().join(name).is_file());
    names.map(|name| Ok((name.to_owned(), crate::workspace::read(&root().join(name))?))).collect()
}

/// Puts the bugs' edits of a file in, the last ones first, so that the places of the others stay right.
fn plant(file: &str, text: &mut Vec<u8>, bugs: &[&Bug]) -> Result<()> {
    if Path::new(file) == Path::new(CORE).join("src/lib.rs") {
        text.extend(b"\n/// Bugs planted on purpose.\npub mod planted;\n");
    }
    let edits = bugs.iter().flat_map(|bug| bug.edit.iter().map(|edit| (bug.name.as_str(), edit)));
    let edits = edits.filter(|(_, edit)| edit.file == file);
    let mut edits: Vec<_> = edits.map(|(bug, edit)| Ok((edit.place()?, edit.text(bug)))).collect::<Result<_>>()?;
    edits.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, with) in edits {
        text.splice(place, with.into_bytes());
    }
    Ok(())
}

/// The module that says which bug is on.
fn switch() -> String {
    format!(
        "//! Which bug is on.\n\nextern crate std;\n\n/// Whether it is this one.\npub fn is(bug: &str) -> bool {{\n    \
         static ON: std::sync::OnceLock<std::string::String> = std::sync::OnceLock::new();\n    \
         ON.get_or_init(|| std::env::var(\"{SWITCH}\").unwrap_or_default()) == bug\n}}\n"
    )
}

/// Cargo builds what is newer than its last build: a file that is as it was keeps its time.
fn write_if_changed(path: &Path, text: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| shown(folder))?;
    }
    fs::write(path, text).with_context(|| shown(path))
}

fn write_table(bugs: &[Bug], caught: &BTreeMap<&str, Caught>, missed: &[&str]) -> Result<()> {
    let path = root().join(TABLE_IN);
    let document = read_text(&path)?;
    let begins = document.find(TABLE_BEGINS).with_context(|| format!("{TABLE_IN} lacks `{TABLE_BEGINS}`"))?;
    let begins = begins + TABLE_BEGINS.len();
    let ends = document[begins..].find(TABLE_ENDS).with_context(|| format!("{TABLE_IN} lacks `{TABLE_ENDS}`"))?;
    let (before, old, after) = (&document[..begins], &document[begins..begins + ends], &document[begins + ends..]);
    let mut table = String::from(
        "| rule | planted bug | what is broken | scenario or history | noticed by | after seeds | at most |\n\
         | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for Bug { name, rule, text, by, .. } in bugs {
        let caught = caught.get(name.as_str());
        if caught.is_none() && !missed.contains(&name.as_str()) {
            // It was not asked for.
            let row = old.lines().find(|row| row.contains(&format!("| `{name}` |")));
            row.into_iter().try_for_each(|row| writeln!(table, "{row}"))?;
            continue;
        }
        let (oracle, seeds) = caught.map_or(("**nothing**", None), |found| (found.oracle.as_str(), found.seeds));
        let (by, at_most) = match by {
            By::Walks { scenario, seeds, .. } => (scenario, seeds.to_string()),
            By::History { history } => (history, String::new()),
        };
        let seeds = seeds.map_or(String::new(), |seeds| seeds.to_string());
        writeln!(table, "| {rule} | `{name}` | {text} | `{by}` | {oracle} | {seeds} | {at_most} |")?;
    }
    fs::write(&path, format!("{before}\n\n{table}\n{after}")).with_context(|| shown(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bugs_that_touch_the_same_lines_are_built_apart() {
        let bugs = read_bugs().unwrap();
        let groups = groups(&bugs).unwrap();
        assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), bugs.len());
        for group in groups {
            let mut places: Vec<_> = group.iter().flat_map(|bug| &bug.edit).collect();
            places.sort_by_key(|edit| (&edit.file, edit.place().unwrap().start));
            for pair in places.windows(2).filter(|pair| pair[0].file == pair[1].file) {
                assert!(pair[0].place().unwrap().end <= pair[1].place().unwrap().start);
            }
        }
    }
}
