//! PROTOCOL.md: its clauses exist where code cites them, those with a MUST have a test, and it follows the wire.
//!
//! A clause is a paragraph that starts with its number, `**P12**`. Code cites it in a comment, `(P12)`. The row
//! `| P12 | test |` names its tests.

use super::files::{File, Files};
use super::proofs::{self, TestNames};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;

const DOCUMENT: &str = "PROTOCOL.md";
const WIRE: [&str; 2] = ["sync-core/src/wire.rs", "sync-core/src/wire/"];
const RECORD: (&str, &str) = ("<!-- wire: ", " -->");
const RENEW: &str = "read PROTOCOL.md beside the change, then record it with `cargo xtask tidy --wire-reviewed`";

/// All findings about PROTOCOL.md.
pub fn check(files: &Files, tests: &TestNames) -> Vec<String> {
    let Some(text) = files.text(DOCUMENT) else {
        return vec![format!(
            "{DOCUMENT} is missing: clauses start with `**P1**`, and rows `| P1 | test |` name their tests"
        )];
    };
    let clauses = clauses(text);
    let mut findings = Vec::new();
    if clauses.is_empty() {
        findings.push(format!("{DOCUMENT} has no clause: a paragraph that starts with `**P1**`"));
    }
    for (number, clause) in &clauses {
        if clause.matches(&format!("**{number}**")).count() > 1 {
            findings.push(format!("{DOCUMENT}: the clause {number} is there twice"));
        }
        if words(clause).any(|word| word == "MUST") {
            findings.extend(proofs::missing(DOCUMENT, text, number, tests));
        }
    }
    // This program talks about clauses, it does not follow any.
    for file in files.iter().filter(|file| file.is_source() && !file.path.starts_with("xtask/")) {
        let cited = citations(&file.text).into_iter().filter(|(_, number)| !clauses.contains_key(*number));
        findings.extend(
            cited.map(|(line, number)| format!("{}:{line} cites {number}, which {DOCUMENT} does not have", file.path)),
        );
    }
    match recorded(text) {
        None => findings.push(format!("{DOCUMENT} does not say which wire it describes: {RENEW}")),
        Some(hash) if hash != wire_hash(files) => {
            findings.push(format!("the wire changed and {DOCUMENT} did not: {RENEW}"))
        }
        Some(_) => {}
    }
    findings
}

/// Records in PROTOCOL.md that it describes the wire as it is now.
pub fn record_wire(files: &Files) -> Result<()> {
    let text = files.text(DOCUMENT).with_context(|| format!("{DOCUMENT} is missing"))?;
    let line = format!("{}{}{}", RECORD.0, wire_hash(files), RECORD.1);
    let text = match recorded(text) {
        Some(hash) => text.replace(&format!("{}{hash}{}", RECORD.0, RECORD.1), &line),
        None => format!("{}\n\n{line}\n", text.trim_end()),
    };
    std::fs::write(crate::workspace::root().join(DOCUMENT), text)
        .with_context(|| format!("could not write {DOCUMENT}"))?;
    println!("recorded in {DOCUMENT}: {line}");
    Ok(())
}

/// Clause numbers, each with the text of its paragraph; a number that is used twice with both.
fn clauses(text: &str) -> BTreeMap<&str, String> {
    let mut clauses: BTreeMap<&str, String> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(number) = line.strip_prefix("**").and_then(|rest| rest.split_once("**")).map(|(number, _)| number) {
            current = is_number(number).then_some(number);
        }
        if line.trim().is_empty() {
            current = None;
        }
        if let Some(number) = current {
            let clause = clauses.entry(number).or_default();
            clause.push_str(line);
            clause.push('\n');
        }
    }
    clauses
}

/// `P` and digits.
fn is_number(word: &str) -> bool {
    word.strip_prefix('P').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Clause numbers in comments, with their lines.
fn citations(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate().filter_map(|(index, line)| Some((index + 1, comment(line)?)));
    lines
        .flat_map(|(line, comment)| words(comment).filter(|word| is_number(word)).map(move |word| (line, word)))
        .collect()
}

/// The comment of a line of code; of `//` and of blocks whose lines start with `*`.
fn comment(line: &str) -> Option<&str> {
    let line = line.trim_start();
    if line.starts_with('*') || line.starts_with("/*") {
        return Some(line);
    }
    line.find("//").map(|position| &line[position..])
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}

/// The hash of the wire that the document was last read beside.
fn recorded(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.trim().strip_prefix(RECORD.0)?.strip_suffix(RECORD.1))
}

/// A hash of all that makes bytes from messages and back, tests apart.
fn wire_hash(files: &Files) -> String {
    let is_wire =
        |file: &&File| (file.path == WIRE[0] || file.path.starts_with(WIRE[1])) && !file.path.ends_with("tests.rs");
    let mut hasher = blake3::Hasher::new();
    for file in files.iter().filter(is_wire) {
        hasher.update(file.path.as_bytes());
        hasher.update(&[0]);
        hasher.update(file.without_tests().as_bytes());
        hasher.update(&[0]);
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &[(&str, &str)]) -> Files {
        Files::new(of.iter().map(|(path, text)| File { path: (*path).into(), text: (*text).into() }).collect())
    }

    #[test]
    fn clauses_are_paragraphs_that_start_with_their_number() {
        let clauses =
            clauses("# P9\n**P1** A relay MUST\nanswer.\n\nElse. **P3** no.\n**bold** no\n**P2** may.\n**P4** x\n");
        assert_eq!(clauses.keys().copied().collect::<Vec<_>>(), ["P1", "P2", "P4"]);
        assert_eq!(clauses["P1"], "**P1** A relay MUST\nanswer.\n");
        assert_eq!(clauses["P2"], "**P2** may.\n");
    }

    #[test]
    fn citations_are_in_comments() {
        let text = "let P1 = 2; // as (P2)\n/// (P3, P4)\n * (P5)\nfn f<P6>() {} // p50 P2P\n";
        assert_eq!(citations(text), [(1, "P2"), (2, "P3"), (2, "P4"), (3, "P5")]);
    }

    #[test]
    fn a_must_without_a_test_and_a_citation_without_a_clause_are_found() {
        let code = "// (P1) (P7)\n#[test]\nfn proves() {}\n";
        let wire = ("sync-core/src/wire.rs", "struct Hello;\n");
        let hash = wire_hash(&files(&[wire]));
        let document = format!(
            "**P1** It MUST.\n\n**P2** It may.\n\n**P3** You MUST NOT.\n\n| P1 | `proves` |\n\n<!-- wire: {hash} -->\n"
        );
        let files = files(&[("PROTOCOL.md", &document), ("a.rs", code), wire]);
        let findings = check(&files, &TestNames::find(&files));
        assert_eq!(
            findings,
            [
                "PROTOCOL.md: no row `| P3 | ... | test |` names a test of P3",
                "a.rs:1 cites P7, which PROTOCOL.md does not have",
            ]
        );
    }

    #[test]
    fn a_change_of_the_wire_is_found_but_not_one_of_its_tests() {
        let before = wire_hash(&files(&[("sync-core/src/wire/codec.rs", "a\n\n#[cfg(test)]\nmod tests {}")]));
        let tests = wire_hash(&files(&[
            ("sync-core/src/wire/codec.rs", "a\n\n#[cfg(test)]\nmod tests { x }"),
            ("sync-core/src/wire/tests.rs", "t"),
            ("other.rs", ""),
        ]));
        assert_eq!(before, tests);
        let after = [
            ("sync-core/src/wire/codec.rs", "b\n"),
            ("PROTOCOL.md", &*format!("**P1** x\n\n<!-- wire: {before} -->\n")),
        ];
        let files = files(&after);
        let findings = check(&files, &TestNames::find(&files));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].starts_with("the wire changed and PROTOCOL.md did not"), "{findings:?}");
    }
}
