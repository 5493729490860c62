//! A document given hostile changes, chunks and whole files among honest ones, in any order, between edits of its own.
//!
//! It must not panic nor hold more memory than the bytes explain; its patches must lead a copy to what it shows; and
//! whatever it took, it remains a document: it takes an edit, and what it exports opens to the same.

use crate::memory::within;
use crate::world::{Device, Random, defaults, key, patch_value, root};
use arbitrary::{Result, Unstructured};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;
use sync_document::automerge::{Change, ExpandedChange, ObjType, ScalarValue, legacy};
use sync_document::{Document, NewValue, Opening, Operation, read_change};

/// Memory of a whole run: some documents of some hundred operations, and what Automerge asks for to load one.
const BYTES_MAX: usize = 96 << 20;
/// Edits are dear; the bytes are worth more elsewhere.
const EDITS_MAX: usize = 24;

/// Interprets the bytes as steps.
pub fn run(data: &[u8]) {
    // Once, so that no run pays for it.
    let history = history();
    within(BYTES_MAX, "a document", || {
        let mut bytes = Unstructured::new(data);
        let mut run = Run { device: Device::new([5; 16]), history, edits: 0 };
        while !bytes.is_empty() && run.edits < EDITS_MAX {
            // The bytes have ended: so has the story.
            let Ok(()) = run.step(&mut bytes) else { break };
        }
        run.still_a_document();
    });
}

struct Run {
    device: Device,
    history: &'static [Vec<u8>],
    edits: usize,
}

/// What two devices wrote, with branches that are concurrent.
fn history() -> &'static [Vec<u8>] {
    static HISTORY: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    HISTORY.get_or_init(|| {
        let mut random = Random(3);
        let mut devices = [Device::new(random.actor()), Device::new(random.actor())];
        let mut log: Vec<Vec<u8>> = vec![];
        for round in 0..10 {
            for device in &mut devices {
                let before = device.log.len();
                device.edit(&mut random);
                device.commit();
                log.extend_from_slice(&device.log[before..]);
            }
            if round % 3 == 0 {
                devices.iter_mut().for_each(|device| drop(device.apply(&log)));
            }
        }
        log
    })
}

impl Run {
    fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=15)? {
            0..=2 => {
                // Some of the log in its order: most of the time what is behind depends on it.
                let upto = bytes.int_in_range(0..=self.history.len())?;
                self.apply(&self.history[..upto]);
            }
            3 => {
                let payload = bytes.choose(self.history)?.clone();
                self.apply(&[payload]);
            }
            4..=6 => {
                let payload = self.bent_operations(bytes)?;
                self.apply(&[payload]);
            }
            7 | 8 => {
                let mut payload = bytes.choose(self.history)?.clone();
                bend_chunk(&mut payload, bytes)?;
                self.apply(&[payload]);
            }
            9 => {
                let payload = chunk(bytes)?;
                self.apply(&[payload]);
            }
            10 | 11 => {
                self.edits += 1;
                self.device.edit(&mut Random(bytes.arbitrary::<u16>()?.into()));
                self.device.commit();
            }
            12 | 13 => self.file(bytes)?,
            14 => self.history_of(bytes)?,
            _ => self.places(bytes)?,
        }
        Ok(())
    }

    fn apply(&mut self, payloads: &[Vec<u8>]) {
        self.device.apply(payloads);
        self.device.check("after payloads");
    }

    /// A change that is well formed and whose parts point somewhere else.
    fn bent_operations(&self, bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        let decode = |payload: &Vec<u8>| read_change(payload).expect("honest").decode();
        let mut change = decode(bytes.choose(self.history)?);
        let other = decode(bytes.choose(self.history)?);
        for _ in 0..bytes.int_in_range(1..=4)? {
            bend(&mut change, &other, bytes)?;
        }
        Ok(Change::from(change).raw_bytes().to_vec())
    }

    /// An Automerge file, bent: imported, or opened in the place of this document.
    fn file(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        self.edits += 1;
        let mut file = self.device.document.export();
        bend_chunk(&mut file, bytes)?;
        if bytes.arbitrary()? {
            if let Ok(imported) = self.device.document.import(&[&file]) {
                patch_value(&mut self.device.mirror, &imported.applied.patches);
            }
            self.device.check("after an import");
        } else {
            let payloads = vec![&file[..]];
            let opening = Opening { actor: [6; 16], defaults: defaults(), payloads, ..Opening::default() };
            if let Ok((document, _)) = Document::open(&opening) {
                let mirror = document.value();
                self.device = Device { document, mirror, log: vec![] };
            }
        }
        Ok(())
    }

    fn history_of(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        self.edits += 1;
        let document = &mut self.device.document;
        let entries = document.changes();
        let (entry, two) = (bytes.choose(&entries)?, bytes.choose(&entries)?.hash);
        let one = entry.hash;
        let mut value = document.value_at(&[one]).expect("it is one of its changes");
        let patches = document.diff(&[one], &[two]).expect("they are two of its changes");
        patch_value(&mut value, &patches);
        assert_eq!(value, document.value_at(&[two]).expect("it is one of its changes"), "from {one} to {two}");
        // Defaults are no page's changes, and come again with the next opening.
        if !entry.actor.to_bytes().starts_with(&[0; 4]) && bytes.arbitrary()? {
            let without = document.without(&[one]).expect("there is room");
            patch_value(&mut self.device.mirror, &without.patches);
            self.device.check("without a change");
        }
        Ok(())
    }

    /// Ids and cursors as a page may write them.
    fn places(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let document = &mut self.device.document;
        let id = if bytes.arbitrary()? {
            let ids: Vec<String> = document.find(&[key("title")]).into_iter().map(|(id, _)| id.to_string()).collect();
            if ids.is_empty() { "_root".into() } else { bytes.choose(&ids)?.clone() }
        } else {
            String::from_utf8_lossy(bytes.bytes(bytes.len().min(12))?).into_owned()
        };
        if let Ok((object, _)) = document.object(&id) {
            let (index, offset) = (usize::from(bytes.arbitrary::<u8>()?), bytes.arbitrary::<u8>()?);
            if let Ok(cursor) = document.cursor_at(&object, index) {
                document.index_of(&object, &cursor);
            }
            let cursor = format!("{offset}@{}", document.actor());
            document.index_of(&object, &cursor);
            document.index_of(&object, &id);
            document.text(&object);
        }
        Ok(())
    }

    fn still_a_document(&mut self) {
        self.device.record(vec![Operation::Put(root(), key("after"), NewValue::Text("all that".into()))]);
        self.device.commit();
        let document = &mut self.device.document;
        let file = document.export();
        let payloads = vec![&file[..]];
        let opening = Opening { actor: [9; 16], defaults: defaults(), payloads, ..Opening::default() };
        let (mut reopened, _) = Document::open(&opening).expect("its own file");
        assert_eq!(reopened.value(), document.value(), "another after it was exported and opened");
        assert_eq!(reopened.heads(), document.heads(), "other heads after it was exported and opened");
    }
}

fn bend(change: &mut ExpandedChange, other: &ExpandedChange, bytes: &mut Unstructured<'_>) -> Result<()> {
    let foreign = bytes.choose(&other.operations)?.clone();
    let actor = if bytes.arbitrary()? { change.actor_id.clone() } else { other.actor_id.clone() };
    let id = legacy::OpId(bytes.int_in_range(0..=60)?, actor);
    let last = change.operations.len() - 1;
    let op = &mut change.operations[bytes.int_in_range(0..=last)?];
    let kinds = [ObjType::Map, ObjType::List, ObjType::Text, ObjType::Table];
    match bytes.int_in_range(0..=17)? {
        0 => op.obj = legacy::ObjectId::Id(id),
        1 => op.obj = foreign.obj,
        2 => op.key = legacy::Key::Seq(legacy::ElementId::Id(id)),
        3 => op.key = foreign.key,
        4 => op.key = legacy::Key::Map("x".into()),
        5 => op.insert = !op.insert,
        6 => op.action = legacy::OpType::Make(*bytes.choose(&kinds)?),
        7 => op.action = legacy::OpType::Delete,
        8 => op.action = legacy::OpType::Increment(bytes.arbitrary()?),
        9 => op.action = legacy::OpType::Put(ScalarValue::counter(bytes.arbitrary()?)),
        10 => op.action = legacy::OpType::Put(ScalarValue::Str("\u{1f600}ab".into())),
        11 => op.action = foreign.action,
        12 => op.pred = vec![id].into(),
        13 => *op = foreign,
        14 => change.seq = bytes.int_in_range(0..=4)?,
        15 => change.actor_id = other.actor_id.clone(),
        16 => change.deps = other.deps.clone(),
        _ => change.start_op = (change.start_op.get() + bytes.arbitrary::<u32>()? as u64).try_into().expect("not zero"),
    }
    Ok(())
}

/// Changes some bytes behind a chunk's header and makes its checksum right again, mostly.
fn bend_chunk(chunk: &mut Vec<u8>, bytes: &mut Unstructured<'_>) -> Result<()> {
    for _ in 0..bytes.int_in_range(0..=4)? {
        let at = bytes.int_in_range(8..=chunk.len() - 1)?;
        match bytes.int_in_range(0..=3)? {
            0 => chunk[at] = bytes.arbitrary()?,
            1 => chunk[at] ^= 1 << bytes.int_in_range(0..=7)?,
            2 => chunk.insert(at, bytes.arbitrary()?),
            _ if chunk.len() > 12 => drop(chunk.remove(at)),
            _ => {}
        }
    }
    if bytes.ratio(7u8, 8u8)? {
        seal(chunk);
    }
    Ok(())
}

/// A chunk around bytes of the fuzzer's own.
fn chunk(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let kind = bytes.int_in_range(0..=3)?;
    let length = bytes.int_in_range(0..=120)?.min(bytes.len());
    let mut chunk = [&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, kind, length as u8], bytes.bytes(length)?].concat();
    seal(&mut chunk);
    Ok(chunk)
}

/// Makes the checksum right.
fn seal(chunk: &mut [u8]) {
    let hash = Sha256::digest(&chunk[8..]);
    chunk[4..8].copy_from_slice(&hash[..4]);
}
