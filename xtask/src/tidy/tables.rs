//! Tables of Markdown, and the test names in them.

/// The rows of all tables of a text, header rows among them; each a list of cells.
pub fn rows(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let rows =
        text.lines().map(str::trim).filter(|line| line.len() > 1 && line.starts_with('|') && line.ends_with('|'));
    rows.map(|line| line[1..line.len() - 1].split('|').map(str::trim).collect())
}

/// What a row is about: the first cell, without emphasis, split at commas. `**R1**, R2` is `R1` and `R2`.
pub fn keys<'a>(row: &[&'a str]) -> Vec<&'a str> {
    let first = row.first().copied().unwrap_or_default();
    first.split(',').map(|key| key.trim_matches(|c: char| c.is_whitespace() || "*`".contains(c))).collect()
}

/// The test names of a row: what its last cell has in backticks, or else its words between commas.
///
/// Of a Rust path only the function counts: `relay::hostile::nesting` is `nesting`.
pub fn test_names<'a>(row: &[&'a str]) -> Vec<&'a str> {
    let last = row.get(1..).and_then(<[_]>::last).copied().unwrap_or_default();
    let names: Vec<&str> = if last.contains('`') {
        last.split('`').skip(1).step_by(2).collect()
    } else {
        last.split(',').map(|name| name.trim().trim_matches('"')).collect()
    };
    let names = names.into_iter().filter(|name| !name.is_empty() && !is_path(name));
    names.map(|name| if name.contains(' ') { name } else { name.rsplit("::").next().unwrap_or(name) }).collect()
}

/// A file beside the name of the test in it.
fn is_path(name: &str) -> bool {
    !name.contains(' ') && [".rs", ".ts", ".tsx", ".mjs", ".js"].iter().any(|kind| name.ends_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_keys_and_test_names() {
        let text = "text\n| a | b |\n| --- | --- |\n  | **R1**, `R2` | why | `core::replay::x`, [`a title`](e2e/a.ts) |\n| P3 | one, \"two words\" |\n";
        let rows: Vec<Vec<&str>> = rows(text).collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(keys(&rows[2]), ["R1", "R2"]);
        assert_eq!(test_names(&rows[2]), ["x", "a title"]);
        assert_eq!(test_names(&rows[3]), ["one", "two words"]);
    }

    #[test]
    fn a_row_may_have_no_test() {
        assert_eq!(test_names(&["P1", ""]), [""; 0]);
        assert_eq!(test_names(&["P1"]), [""; 0]);
        assert_eq!(test_names(&["P1", "`tests/e2e/a.test.ts`"]), [""; 0]);
    }
}
