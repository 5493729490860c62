//! The two simplest shells: a log store and a local store in memory. For examples and tests; nothing here survives.

use crate::device::{Table, Write};
use crate::digest;
use crate::event::{Event, Run};
use crate::ids::*;
use crate::relay::store::*;
use crate::relay::{Answer, Request, SharedBatch};
use crate::wire::{Known, Refusal};
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Rows of bytes under keys of bytes, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryDisk(BTreeMap<(Table, Vec<u8>), Bytes>);

impl MemoryDisk {
    /// Performs [`crate::device::Output::Commit`].
    pub fn commit(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put { table, key, value } => drop(self.0.insert((table, key), value)),
                Write::DeleteRange { table, from, to } => {
                    self.0.retain(|(t, key), _| *t != table || *key < from || *key >= to);
                }
            }
        }
    }
    /// Performs [`crate::device::Output::Load`]: rows, and whether there are more.
    pub fn load(&self, table: Table, from: Vec<u8>, to: Vec<u8>, bytes_max: usize) -> (Vec<(Vec<u8>, Bytes)>, bool) {
        let (mut rows, mut bytes) = (vec![], 0);
        for ((_, key), value) in self.0.range((table, from)..(table, to)) {
            if bytes >= bytes_max {
                return (rows, true);
            }
            bytes += value.len();
            rows.push((key.clone(), value.clone()));
        }
        (rows, false)
    }
}

/// The log of one stream.
#[derive(Clone, Debug, Default)]
struct Log {
    epoch: Epoch,
    events: Vec<Event>,
    producers: BTreeMap<ProducerId, Producer>,
}

#[derive(Clone, Debug, Default)]
struct Producer {
    known: Known,
    logged: (Sequence, Tag),
}

/// A log store in memory: answers at once, keeps everything, trims nothing.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    logs: BTreeMap<StreamName, Log>,
    births: u8,
}

impl MemoryStore {
    /// Answers one request, with what it brought to its stream: for the connections that follow it.
    pub fn answer(&mut self, request: &Request) -> (Answer, Option<SharedBatch>) {
        match request {
            Request::Resume(ask) => (Answer::Resume(Ok(self.log(&ask.stream).resume(ask))), None),
            Request::Read(ask) => (Answer::Read(Ok(self.log(&ask.stream).read(ask))), None),
            Request::Snapshot { .. } => (Answer::Snapshot(Ok(None)), None),
            Request::Append(append) => {
                let log = self.born(&append.stream);
                let before = log.head();
                let answer = log.append(append);
                (Answer::Append(answer), log.news(&append.stream, before))
            }
            Request::Heal(heal) => {
                let log = self.born(&heal.stream);
                let before = log.head();
                let outcomes = heal.events.iter().map(|event| log.heal(event)).collect();
                let healed = Healed { epoch: log.epoch, outcomes, head: DurableOffset::minted_by_store(log.head()) };
                (Answer::Heal(Ok(healed)), log.news(&heal.stream, before))
            }
        }
    }
    /// The events of a stream, in order.
    pub fn events(&self, stream: &StreamName) -> &[Event] {
        self.logs.get(stream).map_or(&[], |log| &log.events)
    }

    fn log(&mut self, stream: &StreamName) -> &mut Log {
        self.logs.entry(stream.clone()).or_default()
    }
    fn born(&mut self, stream: &StreamName) -> &mut Log {
        self.births = self.births.wrapping_add(1);
        let epoch = Epoch([self.births.max(1); 16]);
        let log = self.log(stream);
        if log.epoch == Epoch::NONE {
            log.epoch = epoch;
        }
        log
    }
}

impl Log {
    fn head(&self) -> Offset {
        Offset(self.events.len() as u64)
    }
    fn check(&self, at: Offset) -> Option<Check> {
        let events = self.events.get(..usize::try_from(at.0).ok()?)?;
        let start = digest::check_of_empty(self.epoch);
        Some(events.iter().fold(start, |check, event| digest::check(check, event.id, event.tag)))
    }
    fn resume(&self, ask: &ResumeRequest) -> ResumeInfo {
        let check = ask.check_at.filter(|(epoch, _)| *epoch == self.epoch).and_then(|(_, at)| self.check(at));
        let known = self.producers.get(&ask.producer).map(|p| p.known.told_from(ask.settled)).unwrap_or_default();
        ResumeInfo { epoch: self.epoch, head: self.head(), floor: Offset::ZERO, check, known }
    }

    /// R8, R9: the sequencer.
    fn append(&mut self, append: &Append) -> Result<Appended, StoreError> {
        let producer = self.producers.entry(append.producer).or_default();
        let known = producer.known.clone();
        let last = append.first + append.items.len() as u64 - 1;
        let inside = (append.first..=last).contains(&known.last);
        let repeats = inside && append.items[(known.last - append.first) as usize].tag == known.tag;
        if !repeats && (append.first, append.tag_before) != (known.last + 1, known.tag) {
            return Err(StoreError::Chain { known, head: self.head() });
        }
        let repeated = if repeats { (known.last + 1 - append.first) as usize } else { 0 };
        let mut tag_before = append.origin;
        let mut outcomes = vec![];
        for (index, item) in append.items.iter().enumerate() {
            let id = EventId { producer: append.producer, sequence: append.first + index as u64 };
            outcomes.push(if index < repeated { self.fate(id) } else { self.take(append, id, item, tag_before) });
            tag_before = item.tag;
        }
        let head = DurableOffset::minted_by_store(self.head());
        Ok(Appended { epoch: self.epoch, outcomes, new: append.items.len() - repeated, head })
    }
    fn fate(&self, id: EventId) -> Outcome {
        let refused = self.producers.get(&id.producer).map_or(&[][..], |p| &p.known.refused);
        if let Some(Refusal { code, reason, .. }) = refused.iter().find(|r| r.sequence == id.sequence).cloned() {
            return Outcome::Refused { code, reason };
        }
        let logged = self.events.iter().find(|event| event.id == id);
        logged.map_or(Outcome::Void, |event| Outcome::Logged(DurableOffset::minted_by_store(event.offset)))
    }
    fn take(&mut self, append: &Append, id: EventId, item: &AppendItem, tag_before: Tag) -> Outcome {
        let producer = self.producers.entry(id.producer).or_default();
        (producer.known.last, producer.known.tag) = (id.sequence, item.tag);
        let (code, reason) = match &item.body {
            Body::Void => return Outcome::Void,
            Body::Refused { code, reason } => (code.clone(), reason.clone()),
            Body::Event { needs, .. } if needs.is_some_and(|needs| needs != producer.logged) => {
                (DEPENDS_ON_REJECTED.into(), String::new())
            }
            Body::Event { content, causes, needs } => {
                let event = Event {
                    id,
                    tag: item.tag,
                    tag_before,
                    prev: producer.logged,
                    offset: Offset::ZERO,
                    author: append.author.clone(),
                    needs_prev: needs.is_some(),
                    causes: causes.clone(),
                    content: content.clone(),
                };
                return Outcome::Logged(self.log(event));
            }
        };
        let refusal = Refusal { sequence: id.sequence, tag: item.tag, code: code.clone(), reason: reason.clone() };
        producer.known.refused.push(refusal);
        Outcome::Refused { code, reason }
    }
    fn log(&mut self, event: Event) -> DurableOffset {
        let offset = Offset(self.head().0 + 1);
        self.producers.entry(event.id.producer).or_default().logged = (event.id.sequence, event.tag);
        self.events.push(Event { offset, ..event });
        DurableOffset::minted_by_store(offset)
    }

    /// R12: nothing may slip in below a sequence once the last has passed it.
    fn heal(&mut self, event: &Event) -> HealOutcome {
        let producer = self.producers.entry(event.id.producer).or_default();
        let (known, logged) = (&mut producer.known, producer.logged);
        if known.refused.iter().any(|r| (r.sequence, r.tag) == (event.id.sequence, event.tag)) {
            return HealOutcome::Refused;
        }
        if event.id.sequence <= known.last {
            let is_logged = self.events.iter().any(|other| other.id == event.id);
            return if is_logged { HealOutcome::Passed } else { HealOutcome::Other };
        }
        let is_other = |at: (Sequence, Tag)| event.prev.0 == at.0 && event.prev.1 != at.1;
        if event.prev.0 > known.last || is_other(logged) || is_other((known.last, known.tag)) {
            return HealOutcome::Gap;
        }
        (known.last, known.tag) = (event.id.sequence, event.tag);
        if event.needs_prev && logged != event.prev {
            let (sequence, tag) = (event.id.sequence, event.tag);
            known.refused.push(Refusal { sequence, tag, code: DEPENDS_ON_REJECTED.into(), reason: String::new() });
            return HealOutcome::Refused;
        }
        HealOutcome::Taken(self.log(event.clone()))
    }

    fn read(&self, ask: &ReadRequest) -> ReadAnswer {
        if ask.epoch != self.epoch {
            return ReadAnswer::Replaced { epoch: self.epoch };
        }
        let mut bytes = 0;
        let fits = |event: &&Event| {
            let had = bytes;
            bytes += event.bytes();
            had < ask.bytes_max
        };
        let events: Vec<&Event> = self.events.iter().skip(ask.after.0 as usize).take_while(fits).collect();
        ReadAnswer::Batch(batch(ask.after, &events))
    }
    fn news(&self, stream: &StreamName, before: Offset) -> Option<SharedBatch> {
        let events: Vec<&Event> = self.events.iter().skip(before.0 as usize).collect();
        (!events.is_empty()).then(|| SharedBatch::new(stream.clone(), self.epoch, batch(before, &events)))
    }
}

fn batch(after: Offset, events: &[&Event]) -> Batch {
    let upto = events.last().map_or(after, |event| event.offset);
    let runs = Run::group(events.iter().copied()).iter().map(EncodedRun::from).collect();
    Batch { after, upto: DurableOffset::minted_by_store(upto), runs }
}
