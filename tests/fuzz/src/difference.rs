//! Devices that edit, read the log in pieces, open from files and lose changes again, beside plain Automerge that reads
//! the same changes from scratch.
//!
//! Each device's value is what its patches say, and what plain Automerge shows for the changes that it holds; its heads
//! are Automerge's; and in the end all devices and a fresh one are equal.

use crate::memory::within;
use crate::world::{Device, Random, defaults, patch_value};
use arbitrary::{Result, Unstructured};
use sync_document::automerge::marks::{ExpandMark, Mark};
use sync_document::automerge::transaction::{CommitOptions, Transactable};
use sync_document::automerge::{
    self, ActorId, AutoCommit, Automerge, Change, LoadOptions, ObjId, ObjType, ROOT, ReadDoc, TextEncoding,
};
use sync_document::{Document, Opening, Value, read_change};

const BYTES_MAX: usize = 64 << 20;
const DEVICES: usize = 3;
/// Steps are dear, and their price grows with the document.
const STEPS_MAX: usize = 48;

/// Interprets the bytes as steps.
pub fn run(data: &[u8]) {
    within(BYTES_MAX, "three documents", || {
        let mut bytes = Unstructured::new(data);
        let mut world = World::new();
        for _ in 0..STEPS_MAX {
            // The bytes have ended: so has the story.
            let Ok(()) = world.step(&mut bytes) else { break };
            if bytes.is_empty() {
                break;
            }
        }
        world.end();
    });
}

struct World {
    devices: Vec<Device>,
    /// How much of its own log a device has sent, and how much of the common one it has applied.
    sent: [usize; DEVICES],
    cursors: [usize; DEVICES],
    /// As the relay keeps it.
    log: Vec<Vec<u8>>,
    /// An app that uses Automerge as it comes, with what we do not write: marks.
    foreign: AutoCommit,
    foreign_cursor: usize,
    actors: u8,
}

impl World {
    fn new() -> World {
        let devices = (0..DEVICES).map(|at| Device::new([at as u8 + 1; 16])).collect();
        let foreign = AutoCommit::new_with_encoding(TextEncoding::Utf16CodeUnit).with_actor(ActorId::from([0xFA; 16]));
        let (sent, cursors) = ([0; DEVICES], [0; DEVICES]);
        World { devices, sent, cursors, log: vec![], foreign, foreign_cursor: 0, actors: DEVICES as u8 }
    }

    fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let at = bytes.int_in_range(0..=DEVICES - 1)?;
        match bytes.int_in_range(0..=11)? {
            0..=3 => {
                let mut random = Random(bytes.arbitrary::<u16>()?.into());
                self.devices[at].edit(&mut random);
                self.devices[at].check("after an edit");
                if bytes.ratio(2u8, 3u8)? {
                    self.devices[at].commit();
                }
            }
            4 | 5 => self.send(at),
            6..=8 => {
                let upto = bytes.int_in_range(self.cursors[at]..=self.log.len())?;
                self.apply(at, upto);
            }
            9 => self.foreign_edit(bytes)?,
            10 => self.reopen(at, bytes)?,
            _ => self.forget(at, bytes)?,
        }
        Ok(())
    }

    fn send(&mut self, at: usize) {
        self.devices[at].commit();
        self.log.extend_from_slice(&self.devices[at].log[self.sent[at]..]);
        self.sent[at] = self.devices[at].log.len();
    }

    fn apply(&mut self, at: usize, upto: usize) {
        let device = &mut self.devices[at];
        device.commit();
        let applied = device.apply(&self.log[self.cursors[at]..upto]);
        self.cursors[at] = upto;
        assert_eq!((applied.skipped, applied.waiting, applied.rebuilt), (vec![], 0, 0), "the log is honest");
        device.check("after part of the log");
        compare(device);
    }

    fn foreign_edit(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        if bytes.arbitrary()? {
            let new = self.log[self.foreign_cursor..].iter().map(|payload| read_change(payload).expect("honest"));
            self.foreign.apply_changes(new.collect::<Vec<_>>()).expect("honest");
            self.foreign_cursor = self.log.len();
        }
        let doc = &mut self.foreign;
        let text = match doc.get(ROOT, "title").expect("the root is there") {
            Some((automerge::Value::Object(ObjType::Text), id)) => id,
            _ => doc.put_object(ROOT, "title", ObjType::Text).expect("the root is there"),
        };
        let length = doc.length(&text);
        doc.splice_text(&text, bytes.int_in_range(0..=1)?.min(length), 0, "m\u{e9}n").expect("within the text");
        let expand = *bytes.choose(&[ExpandMark::Before, ExpandMark::After, ExpandMark::Both, ExpandMark::None])?;
        let start = bytes.int_in_range(0..=length)?;
        doc.mark(&text, Mark::new("bold".into(), bytes.arbitrary::<bool>()?, start, length + 3), expand)
            .expect("within");
        if doc.commit_with(CommitOptions::default().with_time(0)).is_some() {
            self.log.push(doc.get_last_local_change().expect("just made").raw_bytes().to_vec());
        }
        Ok(())
    }

    /// The page is closed and opened: from the log, or from a file and what is behind it.
    fn reopen(&mut self, at: usize, bytes: &mut Unstructured<'_>) -> Result<()> {
        let device = &mut self.devices[at];
        device.commit();
        let file = if bytes.arbitrary()? { Some(device.document.export()) } else { None };
        let own = &device.log[self.sent[at]..];
        let mut payloads: Vec<&[u8]> = file.iter().map(Vec::as_slice).collect();
        payloads.extend(self.log[..self.cursors[at]].iter().map(Vec::as_slice));
        payloads.extend(own.iter().map(Vec::as_slice));
        self.actors += 1;
        let opening = Opening { actor: [self.actors; 16], defaults: defaults(), payloads, pending: own.len() };
        let (document, applied) = Document::open(&opening).expect("its own changes");
        let value = document.value();
        // What was sent is in nobody's log here until it is read back, but in the file.
        if file.is_some() || self.cursors[at] == self.log.len() {
            assert_eq!(applied.skipped, vec![], "its own changes");
            assert_eq!(value, device.mirror, "another after it was opened again");
            device.document = document;
            device.mirror = value;
            compare(device);
        }
        Ok(())
    }

    /// A change that the relay refused leaves the device again, before anybody saw it.
    fn forget(&mut self, at: usize, bytes: &mut Unstructured<'_>) -> Result<()> {
        let device = &mut self.devices[at];
        device.commit();
        // The first changes of a new document may be somebody else's too.
        let unsent = device.log.len() - self.sent[at];
        if unsent == 0 || self.sent[at] == 0 {
            return Ok(());
        }
        let first = self.sent[at] + bytes.int_in_range(0..=unsent - 1)?;
        let hash = read_change(&device.log[first]).expect("honest").hash();
        let without = device.document.without(&[hash]).expect("it is there");
        patch_value(&mut device.mirror, &without.patches);
        device.check("without a change");
        device.log.retain(|payload| {
            let hash = read_change(payload).expect("honest").hash();
            without.dropped.iter().all(|dropped| dropped.hash != hash)
        });
        compare(device);
        Ok(())
    }

    fn end(&mut self) {
        for at in 0..DEVICES {
            self.send(at);
        }
        for at in 0..DEVICES {
            self.apply(at, self.log.len());
        }
        let payloads = self.log.iter().map(Vec::as_slice).collect();
        let opening = Opening { actor: [0xEE; 16], defaults: defaults(), payloads, ..Opening::default() };
        let (mut fresh, _) = Document::open(&opening).expect("the log is honest");
        for device in &mut self.devices {
            assert_eq!(device.document.value(), fresh.value(), "devices differ");
            assert_eq!(device.document.heads(), fresh.heads(), "devices have other heads");
        }
    }
}

/// Plain Automerge of the same changes: given one by one, and as the file of them.
fn compare(device: &mut Device) {
    let file = device.document.export();
    let options = LoadOptions::new().text_encoding(TextEncoding::Utf16CodeUnit);
    let loaded = Automerge::load_with_options(&file, options).expect("its own file");
    let changes: Vec<Change> = loaded.get_changes(&[]);
    let mut plain = Automerge::new_with_encoding(TextEncoding::Utf16CodeUnit);
    for change in changes {
        plain.apply_changes([change]).expect("honest");
    }
    for doc in [&loaded, &plain] {
        let mut heads = doc.get_heads();
        heads.sort_unstable();
        let mut own = device.document.heads();
        own.sort_unstable();
        assert_eq!(own, heads, "other heads than Automerge");
        assert_eq!(device.mirror, read(doc, &ROOT, ObjType::Map), "another value than Automerge");
    }
}

/// As plain as it can be read.
fn read(doc: &Automerge, object: &ObjId, kind: ObjType) -> Value {
    let at = |value: Option<(automerge::Value<'_>, ObjId)>| match value.expect("it was listed") {
        (automerge::Value::Object(kind), id) => read(doc, &id, kind),
        (automerge::Value::Scalar(scalar), _) => Value::Scalar(scalar.into_owned()),
    };
    match kind {
        ObjType::Text => Value::Text(doc.text(object).expect("it is there")),
        ObjType::List => {
            Value::List((0..doc.length(object)).map(|index| at(doc.get(object, index).expect("a list"))).collect())
        }
        ObjType::Map | ObjType::Table => {
            let keys: Vec<String> = doc.keys(object).collect();
            let entry = |name: String| (name.clone(), at(doc.get(object, name.as_str()).expect("a map")));
            Value::Map(keys.into_iter().map(entry).collect())
        }
    }
}
