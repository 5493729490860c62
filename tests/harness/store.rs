//! The log store of the simulation: the rules of the protocol for a log, in memory, as short as they can be said, and the
//! rules that can be broken on purpose. It remembers the fate of every sequence, which a real store need not.

use crate::birth::{Birth, birth_of};
use crate::rng::Rng;
use bytes::Bytes;
use std::collections::BTreeMap;
use sync_core::digest;
use sync_core::event::{Bodies, Event, Run};
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::{Known, Record, Refusal, encode_run};

/// A rule of the store that is broken on purpose. The names are the model's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// R2: answers and feeds before it has synced.
    DurableAck,
    /// R7: says that every prefix is the device's own.
    NoCheck,
    /// R8: takes the next sequence without comparing the tag before it.
    NoPrevTag,
    /// R8: says that any sequence at or below the last was stored.
    SilentDup,
    /// R9: a refusal uses up no sequence and is not recorded.
    RefusedFree,
    /// R9: refusals do not survive a restart.
    RefusedInMemory,
    /// R9: `resume` does not tell refusals.
    RefusedUnasked,
    /// R12: takes a healed event although its predecessor is missing.
    HealGaps,
    /// R12: does not compare the tag of a healed event's predecessor.
    HealPrevUntagged,
    /// R13: a snapshot brings no records.
    SnapshotNoTable,
    /// R13: trimming forgets the producers.
    TrimForgets,
    /// R13: trusts a cursor below the floor.
    BelowFloorTrusted,
    /// Decision 11: takes an event whatever became of what it was made on top of.
    NeedsDropped,
}

/// What the log has of one producer, for ever, whatever is trimmed.
#[derive(Clone, Debug, Default)]
struct Producer {
    last: Sequence,
    tag: Tag,
    logged: (Sequence, Tag),
    refused: Vec<Refusal>,
    fates: BTreeMap<Sequence, (Tag, Outcome)>,
}

impl Producer {
    fn uses_up(&mut self, sequence: Sequence, tag: Tag, outcome: Outcome) {
        (self.last, self.tag) = (sequence, tag);
        match &outcome {
            Outcome::Logged(_) => self.logged = (sequence, tag),
            Outcome::Refused { code, reason } => {
                self.refused.push(Refusal { sequence, tag, code: code.clone(), reason: reason.clone() });
            }
            Outcome::Void => {}
        }
        self.fates.insert(sequence, (tag, outcome));
    }
}

/// The log of one stream.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Its incarnation.
    pub epoch: Epoch,
    /// Its last offset.
    pub head: Offset,
    /// What stands for the events up to the floor.
    pub snapshot: Option<Snapshot>,
    /// Events behind the floor.
    pub events: Vec<Event>,
    /// The births of all events, those in the snapshot first.
    births: Vec<Birth>,
    producers: BTreeMap<ProducerId, Producer>,
}

impl Log {
    /// Events up to here are only in the snapshot.
    pub fn floor(&self) -> Offset {
        self.snapshot.as_ref().map_or(Offset::ZERO, |snapshot| snapshot.offset)
    }
    /// The digest of the prefix; `None` where it is not known.
    pub fn check_at(&self, offset: Offset) -> Option<Check> {
        if offset < self.floor() || offset > self.head {
            return None;
        }
        let start =
            self.snapshot.as_ref().map_or_else(|| digest::check_of_empty(self.epoch), |snapshot| snapshot.check);
        let prefix = self.events.iter().take_while(|event| event.offset <= offset);
        Some(prefix.fold(start, |check, event| digest::check(check, event.id, event.tag)))
    }
    /// The births of the log up to an offset, those in the snapshot included.
    pub fn births_to(&self, offset: Offset) -> Vec<Birth> {
        let events = self.events.iter().take_while(|event| event.offset <= offset).count();
        let trimmed = self.births.len() - self.events.len();
        self.births[..trimmed + events].to_vec()
    }
    /// All births, in order.
    pub fn births(&self) -> &[Birth] {
        &self.births
    }
    fn push(&mut self, event: Event) {
        self.head = event.offset;
        self.births.push(birth_of(&event.content).expect("every event of the world holds its birth"));
        self.events.push(event);
    }
    /// Whether it would take this as the producer's next.
    pub fn continues(&self, append: &Append) -> bool {
        let (last, tag) = self.producers.get(&append.producer).map_or((0, Tag::ZERO), |p| (p.last, p.tag));
        (append.first, append.tag_before) == (last + 1, tag)
    }
    fn known(&self, producer: ProducerId) -> Known {
        let known = |p: &Producer| Known { last: p.last, tag: p.tag, refused: p.refused.clone() };
        self.producers.get(&producer).map_or_else(Known::default, known)
    }
    fn records(&self) -> Vec<Record> {
        let record =
            |(id, p): (&ProducerId, &Producer)| Record { producer: *id, logged: p.logged, refused: p.refused.clone() };
        self.producers.iter().map(record).collect()
    }
}

/// What one commit brought to a stream: what the feed tells.
#[derive(Clone, Debug)]
pub struct Advance {
    /// The stream.
    pub stream: StreamName,
    /// Its log.
    pub epoch: Epoch,
    /// The log is a new one.
    pub born: bool,
    /// The events.
    pub batch: Batch,
}

/// The logs of all streams: cloned whole by a backup.
#[derive(Clone, Debug)]
pub struct Store {
    rng: Rng,
    logs: BTreeMap<StreamName, Log>,
    /// Offsets of a commit start at a multiple of this.
    pub stride: u64,
    /// The rule that it breaks.
    pub planted: Option<Planted>,
    /// What is really on stable storage, where it answers before.
    synced: Option<Box<Store>>,
    /// Changes so far.
    pub version: u64,
    advances: Vec<Advance>,
}

impl Store {
    /// An empty store.
    pub fn new(seed: u64) -> Store {
        let rng = Rng::new(seed);
        Store { rng, logs: BTreeMap::new(), stride: 1, planted: None, synced: None, version: 0, advances: vec![] }
    }
    fn breaks(&self, rule: Planted) -> bool {
        self.planted == Some(rule)
    }
    /// A stream's log, if it was ever written.
    pub fn log(&self, stream: &StreamName) -> Option<&Log> {
        self.logs.get(stream)
    }
    /// All logs.
    pub fn logs(&self) -> impl Iterator<Item = (&StreamName, &Log)> {
        self.logs.iter()
    }
    /// What was committed since this was asked last.
    pub fn advances(&mut self) -> Vec<Advance> {
        std::mem::take(&mut self.advances)
    }

    /// Adds a producer's next sequences (R8, R9).
    pub fn append(&mut self, append: &Append) -> Result<Appended, StoreError> {
        self.before_change();
        let born = self.open(&append.stream, append.epoch)?;
        let log = self.logs.get(&append.stream).cloned().unwrap_or_default();
        let p = log.producers.get(&append.producer).cloned().unwrap_or_default();
        let repeated = (p.last + 1).saturating_sub(append.first);
        let inside = append.first <= p.last && repeated <= append.items.len() as u64;
        let continues = if append.first == p.last + 1 {
            append.tag_before == p.tag || self.breaks(Planted::NoPrevTag)
        } else {
            inside && append.items[repeated as usize - 1].tag == p.tag
                || append.first <= p.last && self.breaks(Planted::SilentDup)
        };
        if !continues {
            return Err(StoreError::Chain { known: log.known(append.producer), head: log.head });
        }
        let mut work = Work { planted: self.planted, before: log.head, born, ..Work::new(log, self.stride) };
        let mut outcomes = vec![];
        let mut tag_before = append.origin;
        for (item, sequence) in append.items.iter().zip(append.first..) {
            let fate = p.fates.get(&sequence).map(|(_, outcome)| outcome.clone());
            let outcome = match fate {
                Some(outcome) => outcome,
                None if sequence <= p.last => Outcome::Void,
                None => work.add(append, item, sequence, tag_before),
            };
            outcomes.push(outcome);
            tag_before = item.tag;
        }
        let new = append.items.len() - (repeated as usize).min(append.items.len());
        let (epoch, head) = self.commit(&append.stream, work);
        Ok(Appended { epoch, outcomes, new, head })
    }

    /// Takes events that an earlier log had accepted (R12).
    pub fn heal(&mut self, request: &HealRequest) -> Result<Healed, StoreError> {
        self.before_change();
        let born = self.open(&request.stream, request.epoch)?;
        let log = self.logs.get(&request.stream).cloned().unwrap_or_default();
        let mut work = Work { planted: self.planted, before: log.head, born, ..Work::new(log, self.stride) };
        let outcomes = request.events.iter().map(|event| work.heal(event)).collect();
        let (epoch, head) = self.commit(&request.stream, work);
        Ok(Healed { epoch, outcomes, head })
    }

    /// What a subscribe needs.
    pub fn resume(&self, request: &ResumeRequest) -> ResumeInfo {
        let Some(log) = self.logs.get(&request.stream) else { return ResumeInfo::default() };
        let at = request.check_at.filter(|(epoch, _)| *epoch == log.epoch);
        let mut known = log.known(request.producer);
        if self.breaks(Planted::RefusedUnasked) {
            known.refused.clear();
        }
        ResumeInfo {
            epoch: log.epoch,
            head: log.head,
            floor: log.floor(),
            check: at.and_then(|(_, offset)| log.check_at(offset)),
            known,
        }
    }

    /// The events behind a position.
    pub fn read(&self, request: &ReadRequest) -> ReadAnswer {
        let empty = Log::default();
        let log = self.logs.get(&request.stream).unwrap_or(&empty);
        if log.epoch != request.epoch {
            return ReadAnswer::Replaced { epoch: log.epoch };
        }
        if request.after < log.floor() {
            return ReadAnswer::Trimmed;
        }
        let mut events: Vec<&Event> = vec![];
        let mut bytes = 0;
        let behind: Vec<&Event> = log.events.iter().filter(|event| event.offset > request.after).collect();
        for event in &behind {
            if !events.is_empty() && bytes + event.bytes() > request.bytes_max {
                break;
            }
            bytes += event.bytes();
            events.push(event);
        }
        let upto = if events.len() == behind.len() { log.head } else { events[events.len() - 1].offset };
        ReadAnswer::Batch(batch(request.after, upto.max(request.after), events))
    }

    /// The snapshot with the records of these producers.
    pub fn snapshot(&self, stream: &StreamName, records: &[ProducerId]) -> Option<Snapshot> {
        let mut snapshot = self.logs.get(stream)?.snapshot.clone()?;
        let told = !self.breaks(Planted::SnapshotNoTable);
        snapshot.records.retain(|record| told && records.contains(&record.producer));
        Some(snapshot)
    }

    /// Makes the head the snapshot, in parts of at most so many births, and drops the events before it.
    pub fn trim(&mut self, stream: &StreamName, part_births_max: usize) {
        let forgets = self.breaks(Planted::TrimForgets);
        let Some(log) = self.logs.get_mut(stream) else { return };
        let births = log.births.clone();
        let part = |births: &[Birth]| {
            Bytes::from(births.iter().flat_map(|b| crate::birth::payload(*b, 0)).collect::<Vec<_>>())
        };
        log.snapshot = Some(Snapshot {
            offset: log.head,
            check: log.check_at(log.head).unwrap_or_default(),
            parts: births.chunks(part_births_max.max(1)).map(part).collect(),
            records: log.records(),
        });
        log.events.clear();
        if forgets {
            log.producers.clear();
        }
        self.version += 1;
    }

    /// Gives the logs new epochs, as an operator does who knows that it was restored.
    pub fn new_epochs(&mut self) {
        for log in self.logs.values_mut() {
            log.epoch = Epoch(self.rng.id());
        }
        self.version += 1;
    }

    /// Its process dies.
    pub fn crash(&mut self) {
        if let Some(synced) = self.synced.take() {
            *self = *synced;
        }
        if self.breaks(Planted::RefusedInMemory) {
            self.logs.values_mut().flat_map(|log| log.producers.values_mut()).for_each(|p| p.refused.clear());
        }
        self.advances.clear();
        self.version += 1;
    }
    /// Everything answered so far is on stable storage.
    pub fn sync(&mut self) {
        self.synced = None;
    }
    /// Another store in its place: a backup, or an empty one. Its epochs to come are not the old ones.
    pub fn replace(&mut self, with: &Store) {
        let (rng, version) = (self.rng.clone(), self.version);
        *self = Store { rng, version: version + 1, synced: None, advances: vec![], ..with.clone() };
    }

    /// Nothing is left.
    pub fn lose(&mut self) {
        let mut empty = Store::new(0);
        (empty.planted, empty.stride) = (self.planted, self.stride);
        self.replace(&empty);
    }

    fn before_change(&mut self) {
        if self.breaks(Planted::DurableAck) && self.synced.is_none() {
            self.synced = Some(Box::new(self.clone()));
        }
    }
    /// Whether the log is born by this.
    fn open(&mut self, stream: &StreamName, epoch: Option<Epoch>) -> Result<bool, StoreError> {
        let current = self.logs.get(stream).map_or(Epoch::NONE, |log| log.epoch);
        if epoch.is_some_and(|epoch| epoch != current) {
            return Err(StoreError::Epoch { current });
        }
        Ok(current == Epoch::NONE)
    }
    fn commit(&mut self, stream: &StreamName, work: Work) -> (Epoch, DurableOffset) {
        let Work { mut log, before, born, .. } = work;
        if born {
            log.epoch = Epoch(self.rng.id());
        }
        let new: Vec<&Event> = log.events.iter().filter(|event| event.offset > before).collect();
        if !new.is_empty() || born {
            let batch = batch(before, log.head, new);
            self.advances.push(Advance { stream: stream.clone(), epoch: log.epoch, born, batch });
        }
        let answer = (log.epoch, DurableOffset::minted_by_store(log.head));
        self.logs.insert(stream.clone(), log);
        self.version += 1;
        answer
    }
}

/// One commit in the making.
struct Work {
    log: Log,
    before: Offset,
    born: bool,
    planted: Option<Planted>,
    stride: u64,
}

impl Work {
    fn new(log: Log, stride: u64) -> Work {
        Work { log, before: Offset::ZERO, born: false, planted: None, stride }
    }
    fn next_offset(&self) -> Offset {
        let next = self.log.head.0 + 1;
        Offset(if self.log.head == self.before { next.next_multiple_of(self.stride) } else { next })
    }

    fn add(&mut self, append: &Append, item: &AppendItem, sequence: Sequence, tag_before: Tag) -> Outcome {
        let offset = self.next_offset();
        let logged = self.producer(append.producer).logged;
        let outcome = match &item.body {
            Body::Void => Outcome::Void,
            Body::Refused { code, reason } => Outcome::Refused { code: code.clone(), reason: reason.clone() },
            Body::Event { needs: Some(needs), .. }
                if *needs != logged && self.planted != Some(Planted::NeedsDropped) =>
            {
                Outcome::Refused { code: DEPENDS_ON_REJECTED.into(), reason: String::new() }
            }
            Body::Event { content, causes, needs } => {
                assert_eq!(item.tag, digest::tag(tag_before, content), "the relay computes tags from contents");
                self.log.push(Event {
                    id: EventId { producer: append.producer, sequence },
                    tag: item.tag,
                    tag_before,
                    prev: logged,
                    offset,
                    author: append.author.clone(),
                    needs_prev: needs.is_some(),
                    causes: causes.clone(),
                    content: content.clone(),
                });
                Outcome::Logged(DurableOffset::minted_by_store(offset))
            }
        };
        if !(matches!(outcome, Outcome::Refused { .. }) && self.planted == Some(Planted::RefusedFree)) {
            self.producer(append.producer).uses_up(sequence, item.tag, outcome.clone());
        }
        outcome
    }

    fn heal(&mut self, event: &Event) -> HealOutcome {
        let offset = self.next_offset();
        let planted = self.planted;
        let p = self.producer(event.id.producer);
        let (prev, sequence) = (event.prev, event.id.sequence);
        let other = prev.0 == p.logged.0 && prev.1 != p.logged.1 && planted != Some(Planted::HealPrevUntagged);
        if (prev.0 > p.last || other) && planted != Some(Planted::HealGaps) {
            return HealOutcome::Gap;
        }
        if sequence <= p.last {
            return HealOutcome::Passed;
        }
        let needed = p.fates.get(&prev.0).map(|(tag, outcome)| (*tag, matches!(outcome, Outcome::Logged(_))));
        let met = prev == p.logged || needed == Some((prev.1, true)) || planted == Some(Planted::NeedsDropped);
        if event.needs_prev && !met {
            let outcome = Outcome::Refused { code: DEPENDS_ON_REJECTED.into(), reason: String::new() };
            p.uses_up(sequence, event.tag, outcome);
            return HealOutcome::Passed;
        }
        let needs_prev = event.needs_prev && prev == p.logged;
        let healed = Event { offset, prev: p.logged, needs_prev, ..event.clone() };
        p.uses_up(sequence, event.tag, Outcome::Logged(DurableOffset::minted_by_store(offset)));
        self.log.push(healed);
        HealOutcome::Taken(DurableOffset::minted_by_store(offset))
    }

    fn producer(&mut self, producer: ProducerId) -> &mut Producer {
        self.log.producers.entry(producer).or_default()
    }
}

fn batch(after: Offset, upto: Offset, events: Vec<&Event>) -> Batch {
    let encoded = |run: Run| EncodedRun {
        producer: run.producer,
        first: run.first,
        events: run.bodies.len() as u32,
        offset: run.offset,
        content_bytes: match &run.bodies {
            Bodies::Contents(contents) => contents.iter().map(Bytes::len).sum::<usize>() as u32,
            Bodies::Own(_) => 0,
        },
        bytes: encode_run(&run).into(),
    };
    Batch {
        after,
        upto: DurableOffset::minted_by_store(upto),
        runs: Run::group(events).into_iter().map(encoded).collect(),
    }
}
