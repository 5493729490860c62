//! The tests there are, the promises and rules that tests/README.md says they prove, and the findings that FINDINGS.md says
//! they would notice.

use super::files::Files;
use super::tables;
use crate::workspace::root;
use std::collections::BTreeSet;

const DOCUMENT: &str = "tests/README.md";
const BUGS: &str = "tests/planted/bugs.toml";
const FOUND: &str = "FINDINGS.md";
const SCENARIOS: &str = "tests/harness/scenarios.rs";
const BY_HAND: &str = "\n## Broken on purpose\n";
const PROMISES: u32 = 11;
const RULES: u32 = 16;

/// The names of all tests: functions in Rust, titles in JavaScript.
pub struct TestNames(BTreeSet<String>);

impl TestNames {
    /// Looks through all source files.
    pub fn find(files: &Files) -> Self {
        let mut names = BTreeSet::new();
        for file in files.iter() {
            if file.is(&["rs"]) {
                names.extend(rust_tests(&file.text));
            } else if file.is_source() {
                names.extend(javascript_tests(&file.text));
            }
        }
        Self(names)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a test has this name.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(name)
    }
}

/// Each promise and each rule has a row in the table, what was broken and what was found has what notices it, and all that
/// these name exists.
pub fn check(files: &Files, tests: &TestNames) -> Vec<String> {
    let Some(text) = files.text(DOCUMENT) else {
        return vec![format!(
            "{DOCUMENT} is missing: a table of rows `| 1 | ... | test |` and `| R1 | ... | test |` is wanted"
        )];
    };
    let wanted = (1..=PROMISES).map(|n| n.to_string()).chain((1..=RULES).map(|n| format!("R{n}")));
    let mut findings: Vec<String> = wanted.flat_map(|key| missing(DOCUMENT, text, &key, tests)).collect();
    let bugs = files.text(BUGS).unwrap_or_default();
    findings.extend(unplanted(bugs));
    findings.extend(unbroken(text, tests));
    let found = files.text(FOUND).unwrap_or_default();
    findings.extend(unnoticed(found, tests, bugs, files.text(SCENARIOS).unwrap_or_default(), |path| {
        root().join(path).exists()
    }));
    findings
}

/// Rules that nobody breaks on purpose: that a violation is noticed is not shown.
fn unplanted(bugs: &str) -> Vec<String> {
    let rules = (1..=RULES).map(|n| format!("R{n}"));
    let missing = rules.filter(|rule| !bugs.contains(&format!("\nrule = \"{rule}\"\n")));
    missing.map(|rule| format!("nothing in {BUGS} breaks {rule} on purpose")).collect()
}

/// What was broken by hand, `| what is broken | tests |`, and the tests that are said to notice it do not exist.
fn unbroken(text: &str, tests: &TestNames) -> Vec<String> {
    let (_, chapter) = text.split_once(BY_HAND).unwrap_or_default();
    let rows: Vec<Vec<&str>> = tables::rows(chapter).skip(2).collect();
    if rows.is_empty() {
        return vec![format!("{DOCUMENT}: no row `| what is broken | test |` under `{}`", BY_HAND.trim())];
    }
    let names = rows.iter().flat_map(|row| tables::test_names(row));
    let unknown = names.filter(|name| !tests.has(name));
    unknown.map(|name| format!("{DOCUMENT}: broken on purpose names the test `{name}`, which does not exist")).collect()
}

/// What would notice a finding today, and does not exist: in the last cell of a numbered row, in backticks, stands a test, a
/// planted bug, a scenario, or a path.
fn unnoticed(text: &str, tests: &TestNames, bugs: &str, scenarios: &str, exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = vec![];
    for row in tables::rows(text).filter(|row| row[0].parse::<u32>().is_ok()) {
        let names = row[row.len() - 1].split('`').skip(1).step_by(2);
        let unknown = names.filter(|name| {
            let is_bug = bugs.contains(&format!("\nname = \"{name}\"\n"));
            let is_scenario = scenarios.contains(&format!("name: \"{name}\","));
            !(tests.has(name) || is_bug || is_scenario || name.contains('/') && exists(name))
        });
        findings.extend(unknown.map(|name| {
            format!("{FOUND}: {} names `{name}`: no test, planted bug, scenario or file is called so", row[0])
        }));
    }
    findings
}

/// What is wrong with the rows of `key` in the tables of a document: no row, no test in it, or one that does not exist.
pub fn missing(document: &str, text: &str, key: &str, tests: &TestNames) -> Vec<String> {
    let rows: Vec<Vec<&str>> = tables::rows(text).filter(|row| tables::keys(row).contains(&key)).collect();
    let names: Vec<&str> = rows.iter().flat_map(|row| tables::test_names(row)).collect();
    if names.is_empty() {
        return vec![format!("{document}: no row `| {key} | ... | test |` names a test of {key}")];
    }
    let unknown = names.into_iter().filter(|name| !tests.has(name));
    unknown.map(|name| format!("{document}: {key} names the test `{name}`, which does not exist")).collect()
}

/// Names of functions with a test attribute, and those that a macro of the same file makes tests of.
fn rust_tests(text: &str) -> Vec<String> {
    let mut names: Vec<String> = macros_of_tests(text).flat_map(|name| words_of_calls(text, name)).collect();
    let mut attribute = false;
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("#[") {
            let path = rest.split(['(', ']']).next().unwrap_or_default();
            attribute |= path.rsplit("::").next().is_some_and(|last| last == "test" || last == "wasm_bindgen_test");
        } else if !line.is_empty() && !line.starts_with("//") {
            if attribute && let Some(name) = function_name(line) {
                names.push(name.to_owned());
            }
            attribute = false;
        }
    }
    names
}

/// Macros whose body has a test attribute.
fn macros_of_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split("\nmacro_rules! ").skip(1).filter_map(|rest| {
        let (name, body) = rest.split_once(" {")?;
        let body = body.split("\n}").next()?;
        (body.contains("#[test]") || body.contains("::test")).then_some(name)
    })
}

/// The words between the braces of a macro's calls at the start of a line: names of tests and of their modules.
fn words_of_calls(text: &str, name: &str) -> Vec<String> {
    let head = format!("\n{name}! {{");
    let calls = text.split(&head).skip(1).filter_map(|rest| rest.split("\n}").next());
    let words = calls.flat_map(|call| call.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let starts_a_function = before.split_whitespace().all(|word| ["async", "const", "pub", "unsafe"].contains(&word));
    let name = after.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (starts_a_function && !name.is_empty()).then_some(name)
}

/// Titles of `test("...")`, `it("...")` and `describe("...")`, in any of JavaScript's quotes; those of `it.each(...)("...")`
/// without the places of its parameters.
fn javascript_tests(text: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for call in ["test(", "it(", "describe(", "test.each(", "it.each("] {
        for (position, _) in text.match_indices(call) {
            let before = text[..position].chars().next_back();
            let mut rest = &text[position + call.len()..];
            if call.ends_with("each(") {
                rest = rest.split_once(")(").map_or("", |(_, title)| title);
            }
            let mut rest = rest.trim_start().chars();
            let Some(quote @ ('"' | '\'' | '`')) = rest.next() else { continue };
            if before.is_none_or(|c| !c.is_alphanumeric() && !"_.$".contains(c)) {
                titles.push(string(rest, quote).replace("%s", ""));
            }
        }
    }
    titles
}

/// A string up to its closing quote.
fn string(characters: std::str::Chars<'_>, quote: char) -> String {
    let mut text = String::new();
    let mut escaped = false;
    for c in characters {
        match c {
            '\\' if !escaped => escaped = true,
            c if c == quote && !escaped => break,
            c => {
                text.push(c);
                escaped = false;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(of: &[&str]) -> TestNames {
        TestNames(of.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn rust_tests_are_functions_with_a_test_attribute() {
        let text = "#[cfg(test)]\nmod tests {\n  fn helper() {}\n  #[test]\n  fn one() {}\n  /// Why.\n  #[tokio::test(flavor = \"x\")]\n  #[should_panic]\n  // and so\n  async fn two() {}\n  #[inline]\n  fn three() {}\n}\n";
        assert_eq!(rust_tests(text), ["one", "two"]);
    }

    #[test]
    fn a_macro_makes_tests_of_the_names_in_its_calls() {
        let text = "\nmacro_rules! each {\n    ($name:ident) => {\n        #[tokio::test]\n        async fn $name() {}\n    };\n}\n\neach! {\n    one\n    two\n}\n\nother! {\n    three\n}\n";
        let names = rust_tests(text);
        assert!(["one", "two"].iter().all(|name| names.iter().any(|found| found == name)), "{names:?}");
        assert!(names.iter().all(|name| name != "three"), "{names:?}");
    }

    #[test]
    fn rules_that_nobody_breaks_are_found() {
        let findings = unplanted("\nrule = \"R1\"\n\nrule = \"R2\"\n");
        assert_eq!(findings.len(), RULES as usize - 2, "{findings:?}");
    }

    #[test]
    fn what_was_broken_by_hand_names_tests_that_exist() {
        let of = |rows: &str| {
            let text = format!("\n## Broken on purpose\n\n| what | noticed by |\n| --- | --- |\n{rows}");
            unbroken(&text, &names(&["good"]))
        };
        assert_eq!(of("| a `detail` | `good` |\n"), [""; 0]);
        assert!(matches!(&of("| x | `good`, `gone` |\n")[..], [one] if one.contains("`gone`")));
        assert_eq!(of("").len(), 1, "a table that is not read is no table");
    }

    #[test]
    fn a_finding_names_what_would_notice_it() {
        let of = |cell: &str| {
            let text = format!("| # | by | noticed |\n| --- | --- | --- |\n| 7 | a `word` | {cell} |\n");
            let (bugs, scenarios) = ("\nname = \"Bug\"\n", "name: \"mixed\",");
            unnoticed(&text, &names(&["a_test", "a title"]), bugs, scenarios, |path| path == "tests/here")
        };
        assert_eq!(of("planted `Bug`, `a_test`, `a title` (e2e), seeds of `mixed`, `tests/here`, the same"), [""; 0]);
        for gone in ["planted `Gone`", "`no_test`", "`tests/gone`", "`here`"] {
            assert!(matches!(&of(gone)[..], [one] if one.starts_with("FINDINGS.md: 7 names")), "{gone}");
        }
    }

    #[test]
    fn javascript_tests_are_titles() {
        let text = "test(\"a \\\"b\\\"\", () => {});\n  it(\n    'two', x);\n split(\"no\"); regex.test(\"no\"); describe(`all`, f); it.each([1, 2])(\"of %s, each\")";
        assert_eq!(javascript_tests(text), ["a \"b\"", "two", "all", "of , each"]);
    }

    #[test]
    fn a_row_without_an_existing_test_is_found() {
        let text = "| 1 | durable | `good` |\n| 2 | order | `gone` |\n| R1, R2 | `good` |\n| R3 | |\n";
        let tests = names(&["good"]);
        let findings = |key| missing("d", text, key, &tests);
        assert!(findings("1").is_empty());
        assert!(findings("R2").is_empty());
        assert_eq!(findings("2"), ["d: 2 names the test `gone`, which does not exist"]);
        assert_eq!(findings("3").len(), 1, "no row");
        assert_eq!(findings("R3").len(), 1, "a row without a test");
    }
}
