//! The repository's text files, read once.

use crate::workspace::root;
use anyhow::{Context as _, Result};
use std::path::Path;

/// Folders of things that are made, not written.
const MADE: [&str; 6] = [".git", "dist", "js/wasm", "node_modules", "target", "test-results"];

/// A text file.
pub struct File {
    /// From the root, with `/`.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl File {
    /// Whether its name ends in one of these.
    pub fn is(&self, kinds: &[&str]) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, kind)| kinds.contains(&kind))
    }

    /// Code that people write.
    pub fn is_source(&self) -> bool {
        self.is(&["rs", "ts", "tsx", "js", "mjs"])
    }

    /// Its text up to the unit tests at its end.
    pub fn without_tests(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
    }
}

/// The text files of the repository, ordered by path.
pub struct Files(Vec<File>);

impl Files {
    /// Reads them all.
    pub fn of_repository() -> Result<Self> {
        let mut files = Vec::new();
        read_folder(root(), &mut files)?;
        Ok(Self::new(files))
    }

    /// Puts files in order.
    pub fn new(mut files: Vec<File>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Self(files)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &File> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The text of one.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.iter().find(|file| file.path == path).map(|file| file.text.as_str())
    }
}

fn read_folder(folder: &Path, files: &mut Vec<File>) -> Result<()> {
    for entry in folder.read_dir().with_context(|| format!("could not read {}", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        let shown = crate::workspace::shown(&path).replace('\\', "/");
        let name = entry.file_name();
        if MADE.iter().any(|made| shown == *made || name == **made) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            read_folder(&path, files)?;
        } else if kind.is_file()
            && let Ok(text) =
                String::from_utf8(std::fs::read(&path).with_context(|| format!("could not read {shown}"))?)
        {
            files.push(File { path: shown, text });
        }
    }
    Ok(())
}
