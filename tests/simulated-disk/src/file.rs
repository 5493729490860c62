//! One file: what readers see, what stable storage has, and what is between.

use crate::rng::Rng;
use std::sync::Arc;

/// What a disk writes whole, or cut off at one place.
const SECTOR_BYTES: usize = 512;

/// A change that was not synced.
#[derive(Clone)]
pub(crate) enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Truncate { bytes: usize },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { at, bytes } => {
                content.resize(content.len().max(at + bytes.len()), 0);
                content[*at..at + bytes.len()].copy_from_slice(bytes);
            }
            Change::Truncate { bytes } => content.resize(*bytes, 0),
        }
    }
    /// Its sectors, each a change of its own.
    fn pieces(self) -> Vec<Change> {
        let Change::Write { at, bytes } = self else { return vec![self] };
        let (mut pieces, mut from) = (vec![], 0);
        while from < bytes.len() {
            let end = bytes.len().min(from + SECTOR_BYTES - (at + from) % SECTOR_BYTES);
            pieces.push(Change::Write { at: at + from, bytes: bytes[from..end].to_vec() });
            from = end;
        }
        pieces
    }
    /// The part of a sector that a disk had written when the power went.
    fn cut_off(self, rng: &mut Rng) -> Change {
        match self {
            Change::Write { at, mut bytes } => {
                bytes.truncate(rng.below(bytes.len() as u64) as usize);
                Change::Write { at, bytes }
            }
            truncate => truncate,
        }
    }
}

/// The memory that connections share: in regions that do not move.
#[derive(Default)]
pub(crate) struct Shared {
    pub regions: std::sync::Mutex<Vec<Box<[u64]>>>,
}

/// Who holds what: the lock of the whole file, and those of the shared memory.
#[derive(Clone, Copy, Default)]
pub(crate) struct Held {
    /// SQLite's level, 0 to 4.
    pub level: i32,
    /// A bit for each slot held with others.
    pub shared: u8,
    /// A bit for each slot held alone.
    pub alone: u8,
}

/// A file.
#[derive(Default)]
pub(crate) struct Node {
    /// What readers see.
    pub visible: Vec<u8>,
    /// What a power cut leaves at least.
    pub durable: Vec<u8>,
    pending: Vec<Change>,
    /// Its name is durable.
    pub is_named: bool,
    pub shared: Arc<Shared>,
    /// By the number of the opening.
    pub held: std::collections::BTreeMap<u64, Held>,
}

impl Node {
    pub fn durable(bytes: Vec<u8>) -> Node {
        Node { visible: bytes.clone(), durable: bytes, is_named: true, ..Node::default() }
    }
    pub fn change(&mut self, change: Change) {
        change.apply(&mut self.visible);
        self.pending.push(change);
    }
    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            change.apply(&mut self.durable);
        }
    }
    /// A sync that fails: some is durable, some is still to be synced, some never will be.
    pub fn fail_sync(&mut self, rng: &mut Rng) {
        for piece in std::mem::take(&mut self.pending).into_iter().flat_map(Change::pieces) {
            match rng.below(3) {
                0 => piece.apply(&mut self.durable),
                1 => self.pending.push(piece),
                _ => {}
            }
        }
    }
    pub fn power_cut(&mut self, rng: &mut Rng, survives_percent: u32) {
        for piece in std::mem::take(&mut self.pending).into_iter().flat_map(Change::pieces) {
            if rng.percent(survives_percent) {
                let is_cut_off = rng.percent(5);
                let piece = if is_cut_off { piece.cut_off(rng) } else { piece };
                piece.apply(&mut self.durable);
            }
        }
        self.visible = self.durable.clone();
    }
    pub fn forget_holders(&mut self) {
        self.held.clear();
        self.shared = Arc::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(at: usize, byte: u8, bytes: usize) -> Change {
        Change::Write { at, bytes: vec![byte; bytes] }
    }

    #[test]
    fn a_power_cut_leaves_any_subset_of_sectors_and_what_was_synced() {
        let mut left = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let mut node = Node::default();
            node.change(written(0, 1, 1024));
            node.sync();
            node.change(written(0, 2, 1024));
            node.power_cut(&mut Rng::new(seed), 50);
            assert_eq!(node.visible.len(), 1024);
            left.insert((node.visible[0], node.visible[511], node.visible[512], node.visible[1023]));
        }
        for subset in [(1, 1, 1, 1), (2, 2, 1, 1), (1, 1, 2, 2), (2, 2, 2, 2), (2, 1, 1, 1)] {
            assert!(left.contains(&subset), "{subset:?} never happened");
        }
    }

    #[test]
    fn what_a_failed_sync_lost_is_seen_until_the_power_is_cut() {
        let mut node = Node::default();
        node.change(written(0, 1, 8 * SECTOR_BYTES));
        node.fail_sync(&mut Rng::new(1));
        assert!(node.visible.iter().all(|byte| *byte == 1));
        node.sync();
        node.power_cut(&mut Rng::new(2), 100);
        assert!(node.visible.contains(&0), "a later sync made it durable");
    }
}
