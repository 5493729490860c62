//! What a reader would stumble over: files that are too long, notes without a reason, tests that do not run, names of
//! somebody's machine, and durable offsets that no store has stored.

use super::files::{File, Files};

const LINES_MAX: usize = 600;
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Written in two halves, so that this file does not find itself.
const HOMES: [&str; 4] =
    [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/"), concat!("\\Us", "ers\\")];
const NOTE: &str = concat!("TO", "DO");
const NEVER: [(&str, &str); 7] = [
    (concat!("FIX", "ME"), "fix it, or write down why it waits"),
    (concat!("todo", "!("), "it panics"),
    (concat!("unimplemented", "!("), "it panics"),
    (concat!("dbg", "!("), "it prints"),
    (concat!("#[ign", "ore"), "a test that does not run proves nothing"),
    (concat!("test.", "skip("), "a test that does not run proves nothing"),
    (concat!("test.", "only("), "the other tests do not run"),
];

/// Who says that an event is on stable storage: log stores, the one of sync-core's examples among them, and tests.
const MINTS: (&str, [&str; 4]) = (
    concat!("::minted_by", "_store"),
    ["relay-server/src/log_store/", "sync-core/src/memory.rs", "sync-core/src/relay/tests.rs", "tests/"],
);

/// All findings about single files.
pub fn check(files: &Files) -> Vec<String> {
    files.iter().flat_map(|file| [long(file), notes(file), machine(file), mints(file)]).flatten().collect()
}

fn long(file: &File) -> Vec<String> {
    let is_test =
        file.path.split('/').any(|part| ["test", "tests", "tests.rs"].contains(&part)) || file.path.contains(".test.");
    let lines = file.without_tests().lines().count();
    if !file.is_source() || is_test || lines <= LINES_MAX {
        return Vec::new();
    }
    vec![format!("{} has {lines} lines, more than {LINES_MAX}: split it by what it is about", file.path)]
}

fn notes(file: &File) -> Vec<String> {
    if !file.is_source() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        if let Some(position) = line.find(NOTE)
            && !line[position + NOTE.len()..].starts_with('(')
        {
            findings.push(format!("{place} says {NOTE} without a reason: `{NOTE}(why it waits): what`"));
        }
        let never = NEVER.iter().filter(|(word, _)| line.contains(word));
        findings.extend(never.map(|(word, why)| format!("{place} has `{word}`: {why}")));
    }
    findings
}

/// An offset that is said to be durable by somebody who cannot know.
fn mints(file: &File) -> Vec<String> {
    let (name, stores) = MINTS;
    if !file.is_source() || stores.iter().any(|store| file.path.starts_with(store)) {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate().filter(|(_, line)| line.contains(name));
    lines
        .map(|(index, _)| format!("{}:{} mints a durable offset: only a log store knows of one", file.path, index + 1))
        .collect()
}

/// Home folders, and hosts that packages came from.
fn machine(file: &File) -> Vec<String> {
    let mut findings = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        let place = format!("{}:{}", file.path, index + 1);
        if HOMES.iter().any(|home| has_path(line, home)) {
            findings.push(format!("{place} names a folder of somebody's machine"));
        }
        let trimmed = line.trim();
        let host = match file.path.rsplit('/').next() {
            Some("package-lock.json") => trimmed.starts_with("\"resolved\": \"http"),
            Some("Cargo.lock") => trimmed.starts_with("source = ") && !trimmed.contains(CRATES_IO),
            Some(".npmrc") => trimmed.contains("registry=") || trimmed.contains("registry ="),
            _ => false,
        };
        if host {
            findings.push(format!("{place} names the host that a package came from"));
        }
    }
    findings
}

/// Whether an absolute path that starts with `start` is in the line; the same letters inside a longer path are not.
fn has_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(position, _)| {
        let before = line[..position].chars().next_back();
        let after = line[position + start.len()..].chars().next();
        before.is_none_or(|c| !c.is_alphanumeric() && !"._-}~*/".contains(c))
            && after.is_some_and(|c| c.is_alphanumeric() || "._-".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Files::new(vec![File { path: path.into(), text: text.into() }])).len()
    }

    #[test]
    fn notes_need_a_reason() {
        assert_eq!(findings("a.rs", &format!("// {NOTE}: later")), 1);
        assert_eq!(findings("a.rs", &format!("// {NOTE}(the API is not there yet): use it")), 0);
        assert_eq!(findings("a.test.ts", &format!("{}\"x\")", NEVER[6].0)), 1);
        assert_eq!(findings("a.md", NOTE), 0);
    }

    #[test]
    fn long_files_are_found_and_tests_do_not_count() {
        let long = "x\n".repeat(LINES_MAX + 1);
        assert_eq!(findings("a/b.rs", &long), 1);
        assert_eq!(findings("a/tests/b.rs", &long), 0);
        assert_eq!(findings("a/b.md", &long), 0);
        assert_eq!(findings("a/b.rs", &format!("x\n\n#[cfg(test)]\nmod tests {{\n{long}}}")), 0);
    }

    #[test]
    fn only_stores_and_tests_mint_durable_offsets() {
        let mints = format!("DurableOffset{}(offset)", MINTS.0);
        let of = |path: &str| findings(path, &mints);
        assert_eq!(
            ["relay-server/src/hub.rs", "sync-core/src/relay.rs", "relay-server/src/log_store.rs"].map(of),
            [1; 3]
        );
        assert_eq!(
            ["relay-server/src/log_store/feed.rs", "sync-core/src/memory.rs", "tests/fuzz/src/a.rs"].map(of),
            [0; 3]
        );
    }

    #[test]
    fn names_of_a_machine_are_found() {
        assert_eq!(findings("a.md", &format!("see {}ann/x", HOMES[0])), 1);
        assert_eq!(findings("a.md", &format!("https://example.org{}page", HOMES[0])), 0);
        assert_eq!(findings("package-lock.json", "      \"resolved\": \"https://registry.example/a.tgz\","), 1);
        assert_eq!(findings("package-lock.json", "      \"resolved\": \"js\","), 0);
        assert_eq!(findings("Cargo.lock", &format!("source = \"{CRATES_IO}\"")), 0);
        assert_eq!(findings("Cargo.lock", "source = \"registry+https://mirror.example/index\""), 1);
    }
}
