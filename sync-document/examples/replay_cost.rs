//! What it costs to apply remote keystrokes, one a change: by replay, and by `apply_changes` one by one.
//!
//! `cargo run --release -p sync-document --example replay_cost -- 5000 50000`: prints microseconds for each keystroke, in
//! fifths of each run. The second way is left out above 10,000 keystrokes: its cost grows with the text.

use std::time::Instant;
use sync_document::automerge::{AutoCommit, ROOT, TextEncoding};
use sync_document::{Document, NewValue, Opening, Operation, Target};

type Anything = Box<dyn std::error::Error>;

fn main() -> Result<(), Anything> {
    let counts: Vec<usize> = std::env::args().skip(1).map(|count| count.parse()).collect::<Result<_, _>>()?;
    for count in if counts.is_empty() { vec![5_000] } else { counts } {
        let started = Instant::now();
        let log = typing(count)?;
        println!("{count} keystrokes: typed in {:.1} us each", micros(started, count));
        println!("  replayed        {}", replayed(&log)?);
        if count <= 10_000 {
            println!("  apply_changes   {}", applied_one_by_one(&log)?);
        }
    }
    Ok(())
}

/// Someone types words here and there and takes some back: one change for each key.
fn typing(count: usize) -> Result<Vec<Vec<u8>>, Anything> {
    let (mut document, _) = Document::open(&Opening { actor: [1; 16], ..Opening::default() })?;
    document.record(vec![Operation::Put(Target::Object(ROOT), "text".into(), NewValue::Text(String::new()))])?;
    let commit = document.commit(0, None)?.ok_or("nothing recorded")?;
    let mut log: Vec<Vec<u8>> = commit.first.into_iter().chain([commit.change]).map(|change| change.bytes).collect();
    let (text, _) = document.find(&["text".into()]).ok_or("no text")?;
    let (mut length, mut at, mut seed) = (0usize, 0usize, 12_345u64);
    for key in 0..count {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if key % 50 == 0 {
            at = (seed >> 33) as usize % (length + 1);
        }
        let target = Target::Object(text.clone());
        if key % 7 == 6 && at > 0 {
            document.record(vec![Operation::Splice(target, at - 1, 1, String::new())])?;
            (at, length) = (at - 1, length - 1);
        } else {
            document.record(vec![Operation::Splice(target, at, 0, "x".into())])?;
            (at, length) = (at + 1, length + 1);
        }
        log.push(document.commit(0, None)?.ok_or("nothing recorded")?.change.bytes);
    }
    Ok(log)
}

fn replayed(log: &[Vec<u8>]) -> Result<String, Anything> {
    let (mut document, _) = Document::open(&Opening { actor: [2; 16], ..Opening::default() })?;
    let mut replayed = 0;
    let fifths = in_fifths(log, |payload| {
        replayed += document.apply(&[payload])?.replayed;
        Ok(())
    })?;
    Ok(format!("{fifths}   ({replayed} of {} by replay, patches included)", log.len()))
}

fn applied_one_by_one(log: &[Vec<u8>]) -> Result<String, Anything> {
    let mut document = AutoCommit::new_with_encoding(TextEncoding::Utf16CodeUnit);
    in_fifths(log, |payload| {
        document.apply_changes([sync_document::read_change(payload)?])?;
        Ok(())
    })
}

/// Microseconds for each payload, in fifths of the log.
fn in_fifths(log: &[Vec<u8>], mut apply: impl FnMut(&[u8]) -> Result<(), Anything>) -> Result<String, Anything> {
    let mut fifths = String::new();
    for fifth in log.chunks(log.len().div_ceil(5)) {
        let started = Instant::now();
        fifth.iter().try_for_each(|payload| apply(payload))?;
        fifths.push_str(&format!("{:8.1}", micros(started, fifth.len())));
    }
    Ok(format!("{fifths} us each"))
}

fn micros(started: Instant, count: usize) -> f64 {
    started.elapsed().as_secs_f64() * 1e6 / count as f64
}
