//! The tests there are, and the promises and rules that tests/README.md says they prove.

use super::files::Files;
use super::tables;
use std::collections::BTreeSet;

const DOCUMENT: &str = "tests/README.md";
const BUGS: &str = "tests/planted/bugs.toml";
const ORACLES: &str = "tests/harness/oracle.rs";
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

/// Each promise and each rule has a row in the table, and its tests exist.
pub fn check(files: &Files, tests: &TestNames) -> Vec<String> {
    let Some(text) = files.text(DOCUMENT) else {
        return vec![format!(
            "{DOCUMENT} is missing: a table of rows `| 1 | ... | test |` and `| R1 | ... | test |` is wanted"
        )];
    };
    let wanted = (1..=PROMISES).map(|n| n.to_string()).chain((1..=RULES).map(|n| format!("R{n}")));
    let mut findings: Vec<String> = wanted.flat_map(|key| missing(DOCUMENT, text, &key, tests)).collect();
    let (bugs, oracles) = (files.text(BUGS).unwrap_or_default(), files.text(ORACLES).unwrap_or_default());
    findings.extend(unplanted(text, bugs));
    findings.extend(unknown_oracles(text, oracles));
    findings
}

/// Rows of what is broken on purpose: the rule, what is broken, the oracles that notice it, the test.
fn broken_on_purpose(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let (_, chapter) = text.split_once("\n## Broken on purpose\n").unwrap_or_default();
    tables::rows(chapter).filter(|row| row.len() == 4).skip(1)
}

/// Rules that nobody breaks on purpose: that a violation is noticed is not shown.
fn unplanted(text: &str, bugs: &str) -> Vec<String> {
    let rules = (1..=RULES).map(|n| format!("R{n}"));
    let is_planted = |rule: &String| {
        broken_on_purpose(text).any(|row| tables::keys(&row).contains(&rule.as_str()))
            || bugs.contains(&format!("\nrule = \"{rule}\"\n"))
    };
    let missing = rules.filter(|rule| !is_planted(rule));
    missing.map(|rule| format!("nothing breaks {rule} on purpose, neither in {DOCUMENT} nor in {BUGS}")).collect()
}

/// Oracles that a row names and the simulation does not know.
fn unknown_oracles(text: &str, oracles: &str) -> Vec<String> {
    let mut findings = vec![];
    for row in broken_on_purpose(text).filter(|row| !row[2].starts_with("---")) {
        let named = row[2].split(',').map(str::trim);
        let unknown = named.filter(|oracle| !oracles.contains(&format!("=> \"{oracle}\",")));
        findings.extend(unknown.map(|oracle| format!("{DOCUMENT}: there is no oracle `{oracle}` in {ORACLES}")));
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

/// Titles of `test("...")`, `it("...")` and `describe("...")`, in any of JavaScript's quotes.
fn javascript_tests(text: &str) -> Vec<String> {
    let mut titles = Vec::new();
    for call in ["test(", "it(", "describe("] {
        for (position, _) in text.match_indices(call) {
            let before = text[..position].chars().next_back();
            let mut rest = text[position + call.len()..].trim_start().chars();
            let Some(quote @ ('"' | '\'' | '`')) = rest.next() else { continue };
            if before.is_none_or(|c| !c.is_alphanumeric() && !"_.$".contains(c)) {
                titles.push(string(rest, quote));
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
    fn rules_that_nobody_breaks_and_oracles_that_are_not_are_found() {
        let text = "| R3 | x | `y` |\n\n## Broken on purpose\n\n| rule | what | oracles | test |\n| --- | --- | --- | --- |\n| R2 | x | here, gone | `y` |\n";
        let findings = unplanted(text, "\nrule = \"R1\"\n");
        assert_eq!(findings.len(), RULES as usize - 2, "{findings:?}");
        let findings = unknown_oracles(text, "1 => \"here\",");
        assert!(matches!(&findings[..], [one] if one.contains("`gone`")), "{findings:?}");
    }

    #[test]
    fn javascript_tests_are_titles() {
        let text = "test(\"a \\\"b\\\"\", () => {});\n  it(\n    'two', x);\n split(\"no\"); regex.test(\"no\"); describe(`all`, f)";
        assert_eq!(javascript_tests(text), ["a \"b\"", "two", "all"]);
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
