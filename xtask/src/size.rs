//! `cargo xtask size`: what a browser downloads, and whether that is within the budget.

use crate::workspace::{read, root, shown};
use anyhow::{Context as _, Result, bail};
use brotli::enc::BrotliEncoderParams;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// How a response is compressed.
#[derive(Clone, Copy, PartialEq)]
enum Encoding {
    Gzip,
    Brotli,
}

/// Files that are downloaded together, and how large they may be.
struct Budget {
    name: &'static str,
    files: &'static [&'static str],
    encoding: Encoding,
    /// The check fails above.
    bytes_max: usize,
    reason: &'static str,
}

const BUDGETS: [Budget; 3] = [
    Budget {
        name: "engine",
        files: &["js/wasm/engine/engine_bg.wasm", "js/wasm/engine/engine.js"],
        encoding: Encoding::Gzip,
        bytes_max: 100 * 1024,
        reason: "every page loads it, also one that only syncs events",
    },
    Budget {
        name: "document",
        files: &["js/wasm/document/document_bg.wasm"],
        encoding: Encoding::Brotli,
        bytes_max: 400_000,
        reason: "loaded when the first document opens; Automerge's own package is three times that",
    },
    Budget {
        name: "tidelog/react",
        files: &[
            "js/dist/react/index.js",
            "js/dist/react/provider.js",
            "js/dist/react/read.js",
            "js/dist/react/reading.js",
            "js/dist/react/select.js",
            "js/dist/react/store.js",
        ],
        encoding: Encoding::Gzip,
        bytes_max: 8 * 1024,
        reason: "as it is published, before a bundler makes it smaller",
    },
];

/// Shown, without a budget, when they have been built.
const OTHERS: [&str; 3] = ["js/wasm/document/document.js", "js/dist", "demo/dist"];
/// Copies of what was shown before.
const COPIES: &str = "js/dist/wasm";

/// The sizes of some bytes.
#[derive(Clone, Copy, Default)]
struct Size {
    raw: usize,
    gzip: usize,
    brotli: usize,
}

/// Prints each artefact raw, gzip and brotli; fails if one is missing or over its budget.
pub fn size() -> Result<()> {
    println!("{:<40} {:>10} {:>10} {:>10}", "bytes", "raw", "gzip", "brotli");
    let mut over = Vec::new();
    for budget in &BUDGETS {
        let mut total = Size::default();
        for file in budget.files {
            let size = measure(
                &read(&root().join(file)).context("an artefact is missing; `cargo xtask test --only js` makes it")?,
            )?;
            print_row(file, size);
            total.add(size);
        }
        let bytes = if budget.encoding == Encoding::Gzip { total.gzip } else { total.brotli };
        let encoding = if budget.encoding == Encoding::Gzip { "gzip" } else { "brotli" };
        let Budget { name, bytes_max, reason, .. } = budget;
        let verdict = format!("{name}: {bytes} of {bytes_max} bytes {encoding} ({reason})");
        println!("  {verdict}");
        if bytes > budget.bytes_max {
            over.push(verdict);
        }
    }
    for other in OTHERS {
        for file in files(&root().join(other))? {
            print_row(&shown(&file), measure(&read(&file)?)?);
        }
    }
    if !over.is_empty() {
        bail!("over budget: {}", over.join("; "));
    }
    Ok(())
}

fn print_row(name: &str, size: Size) {
    println!("{name:<40} {:>10} {:>10} {:>10}", size.raw, size.gzip, size.brotli);
}

impl Size {
    fn add(&mut self, other: Size) {
        self.raw += other.raw;
        self.gzip += other.gzip;
        self.brotli += other.brotli;
    }
}

/// What a browser loads from a path: itself, or all in the folder that is code or style. None if it does not exist.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    if path.is_dir() && path != root().join(COPIES) {
        for entry in path.read_dir().with_context(|| format!("could not read {}", shown(path)))? {
            let path = entry?.path();
            let loaded = path.extension().is_some_and(|kind| ["js", "css", "wasm", "html"].iter().any(|k| kind == *k));
            if path.is_dir() || loaded {
                found.extend(files(&path)?);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Compresses at the highest level, as one does for files that are compressed once.
fn measure(bytes: &[u8]) -> Result<Size> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    let mut brotli = Vec::new();
    let params = BrotliEncoderParams { quality: 11, lgwin: 22, size_hint: bytes.len(), ..Default::default() };
    brotli::BrotliCompress(&mut &bytes[..], &mut brotli, &params)?;
    Ok(Size { raw: bytes.len(), gzip: gzip.finish()?.len(), brotli: brotli.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_sizes_are_those_of_decodable_streams() {
        let bytes = b"tidelog ".repeat(1000);
        let size = measure(&bytes).unwrap();
        assert_eq!(size.raw, 8000);
        assert!((20..200).contains(&size.gzip), "{}", size.gzip);
        assert!((5..200).contains(&size.brotli), "{}", size.brotli);
    }
}
