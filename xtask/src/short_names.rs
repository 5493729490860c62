//! Short names for what a module and its JavaScript call of each other.
//!
//! wasm-bindgen ends the name of each import in a hash, which stands in both files and cannot be compressed: a fiftieth of
//! what a page downloads.

use crate::workspace::{read_text, shown};
use anyhow::{Context as _, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use walrus::Module;

/// Renames imports and exports of the module in this file, and in these files of JavaScript and TypeScript.
pub fn shorten(wasm: &Path, texts: &[&Path]) -> Result<()> {
    let mut module = Module::from_file(wasm).with_context(|| format!("could not read {}", shown(wasm)))?;
    let mut short = BTreeMap::new();
    let mut rename = |name: &mut String| {
        // Only names that wasm-bindgen made: `memory` is JavaScript's own word for something else too.
        if name.contains('_') {
            let next = format!("${}", radix_36(short.len()));
            *name = short.entry(name.clone()).or_insert(next).clone();
        }
    };
    module.imports.iter_mut().for_each(|import| rename(&mut import.name));
    module.exports.iter_mut().for_each(|export| rename(&mut export.name));
    module.emit_wasm_file(wasm).with_context(|| format!("could not write {}", shown(wasm)))?;
    for text in texts {
        let renamed = renamed(&read_text(text)?, &short);
        fs::write(text, renamed).with_context(|| format!("could not write {}", shown(text)))?;
    }
    Ok(())
}

/// The text with other names where a whole word is one of `names`.
fn renamed(text: &str, names: &BTreeMap<String, String>) -> String {
    let is_in_word = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c| !is_in_word(c)).unwrap_or(rest.len());
        let (word, behind) = rest.split_at(word);
        out.push_str(names.get(word).map_or(word, String::as_str));
        let between = behind.find(is_in_word).unwrap_or(behind.len());
        let (between, behind) = behind.split_at(between);
        out.push_str(between);
        rest = behind;
    }
    out
}

fn radix_36(number: usize) -> String {
    let digit = char::from_digit((number % 36) as u32, 36).expect("it is below 36");
    if number < 36 { digit.to_string() } else { format!("{}{digit}", radix_36(number / 36)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_are_renamed() {
        let names = BTreeMap::from([("__wbg_new_1f".into(), "$0".into()), ("engine_open".into(), "$1".into())]);
        let text = "({__wbg_new_1f:()=>x.engine_open(engine_opens,'é')})";
        assert_eq!(renamed(text, &names), "({$0:()=>x.$1(engine_opens,'é')})");
    }

    #[test]
    fn numbers_have_names_of_their_own() {
        let names: Vec<String> = (0..3000).map(radix_36).collect();
        assert_eq!((&*names[0], &*names[35], &*names[36], &*names[1295]), ("0", "z", "10", "zz"));
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 3000);
    }
}
