//! What a commit will do: each request in turn against what is committed and what the requests before it bring. Nothing
//! in memory changes here; the decision becomes a row of the tail, and the row, once synced, changes the memory.

use super::places::Search;
use super::row::{self, Entry};
use super::tables::{self, TableError};
use super::tail::{ProducerRecord, Stream, Tail};
use crate::log_store::{Limits, Request, SequenceRange};
use rusqlite::Connection;
use std::collections::HashMap;
use sync_core::digest::{self, Random};
use sync_core::event::{Event, Run};
use sync_core::ids::*;
use sync_core::limits::FRAME_BYTES_TARGET;
use sync_core::relay::store::*;
use sync_core::wire::Refusal;
use sync_core::wire::codec::Writer;

/// Content bytes of one run: a frame or a chunk must not be much larger because of it.
const RUN_BYTES_MAX: usize = FRAME_BYTES_TARGET / 2;

/// A commit in the making.
pub(super) struct Decisions<'a> {
    db: &'a Connection,
    tail: &'a Tail,
    random: &'a mut Random,
    limits: Limits,
    touched: Vec<Touched>,
    index: HashMap<StreamName, usize>,
}

/// A stream in a commit.
pub(super) struct Touched {
    /// Its name.
    pub name: StreamName,
    /// Its state after the requests so far. `records` holds those that were asked for, `runs` nothing.
    pub stream: Stream,
    /// It was born in this commit.
    pub is_new: bool,
    /// What the commit does to it.
    entries: Vec<Making>,
}

enum Making {
    /// Still open: the next event may go on with it.
    Run {
        run: Run,
        bytes: usize,
        tag: Tag,
        check: Check,
    },
    Other(Entry),
}

/// An item's fate before it is synced. No durable offset is minted before.
pub(super) enum Fate {
    Logged(Offset),
    Void,
    Refused { code: String, reason: String },
    Passed,
    Gap,
    Later,
    Branch,
}

/// A reply before it is synced.
pub(super) enum Decided {
    Append { epoch: Epoch, fates: Vec<Fate>, new: usize, head: Offset },
    Heal { epoch: Epoch, fates: Vec<Fate>, head: Offset },
    AppendFailed(StoreError),
    HealFailed(StoreError),
}

/// What `Decisions` end in.
pub(super) struct Outcome {
    /// The row of the tail; empty if nothing was used up.
    pub row: Vec<u8>,
    /// Streams born by it, with their numbers.
    pub born: Vec<(StreamName, Stream)>,
}

type Result<T> = std::result::Result<T, TableError>;

impl<'a> Decisions<'a> {
    /// A commit that does nothing yet.
    pub fn new(db: &'a Connection, tail: &'a Tail, random: &'a mut Random, limits: Limits) -> Decisions<'a> {
        Decisions { db, tail, random, limits, touched: vec![], index: HashMap::new() }
    }

    /// Decides one request. An error ends the whole commit.
    pub fn decide(&mut self, request: Request) -> Result<Decided> {
        Ok(match request {
            Request::Append(append) => match self.append(append)? {
                Ok(decided) => decided,
                Err(error) => Decided::AppendFailed(error),
            },
            Request::Heal(heal) => match self.heal(heal)? {
                Ok(decided) => decided,
                Err(error) => Decided::HealFailed(error),
            },
        })
    }

    fn append(&mut self, append: Append) -> Result<std::result::Result<Decided, StoreError>> {
        if !self.limits.allow_append(&append) {
            return Ok(Err(StoreError::TooLarge));
        }
        let known = match self.touch(&append.stream, append.epoch, append.producer)? {
            Ok(at) => at,
            Err(current) => return Ok(Err(StoreError::Epoch { current })),
        };
        let (db, tail, touched) = (self.db, self.tail, &mut self.touched[known]);
        let record = touched.record(append.producer);
        let repeated = match repeated(&record, &append) {
            Some(repeated) => repeated,
            None => return Ok(Err(touched.breaks_chain(&record))),
        };
        let mut fates = vec![];
        if repeated > 0 {
            let wanted = SequenceRange { first: append.first, count: repeated as u32 };
            match touched.fates_of(db, tail, append.producer, wanted)? {
                Some(told) => fates = told,
                None => return Ok(Err(touched.breaks_chain(&record))),
            }
        }
        let new = append.items.len() - repeated;
        let chain = if repeated > 0 { append.items[repeated - 1].tag } else { append.origin };
        touched.use_up(&append, repeated, chain, record, &mut fates);
        let Stream { epoch, head, .. } = touched.stream;
        Ok(Ok(Decided::Append { epoch, fates, new, head }))
    }

    fn heal(&mut self, heal: HealRequest) -> Result<std::result::Result<Decided, StoreError>> {
        if !self.limits.allow_heal(&heal) {
            return Ok(Err(StoreError::TooLarge));
        }
        let mut fates = vec![];
        let mut place = None;
        // What goes on under its derived id must not come behind what its author's reader had seen after it.
        let mut is_held_up = false;
        for event in &heal.events {
            let at = match self.touch(&heal.stream, heal.epoch, event.id.producer)? {
                Ok(at) => at,
                Err(current) => return Ok(Err(StoreError::Epoch { current })),
            };
            let fate = self.touched[at].heal(self.db, self.tail, event, is_held_up)?;
            is_held_up |= matches!(fate, Fate::Void | Fate::Branch);
            fates.push(fate);
            place = Some(at);
        }
        let (epoch, head) = match place {
            Some(at) if self.touched[at].is_there() => (self.touched[at].stream.epoch, self.touched[at].stream.head),
            _ => (Epoch::NONE, Offset::ZERO),
        };
        Ok(Ok(Decided::Heal { epoch, fates, head }))
    }

    /// The stream's place among the touched, with the producer's record in it. A stream that is not there is born, unless
    /// the request is meant for another log: then the present epoch is the error.
    fn touch(
        &mut self,
        name: &StreamName,
        epoch: Option<Epoch>,
        producer: ProducerId,
    ) -> Result<std::result::Result<usize, Epoch>> {
        let at = match self.index.get(name) {
            Some(at) => *at,
            None => {
                let found = load(self.db, self.tail, name)?;
                if found.is_none() && epoch.is_some_and(|epoch| epoch != Epoch::NONE) {
                    return Ok(Err(Epoch::NONE));
                }
                let is_new = found.is_none();
                let stream = found.unwrap_or_else(|| Stream::empty(0, Epoch(self.random.bytes())));
                self.touched.push(Touched { name: name.clone(), stream, is_new, entries: vec![] });
                self.index.insert(name.clone(), self.touched.len() - 1);
                self.touched.len() - 1
            }
        };
        let touched = &mut self.touched[at];
        let meant = epoch.filter(|epoch| !(touched.is_new && *epoch == Epoch::NONE));
        if meant.is_some_and(|epoch| epoch != touched.stream.epoch) {
            return Ok(Err(touched.stream.epoch));
        }
        if !touched.stream.records.contains_key(&producer) {
            let record = if touched.is_new { None } else { load_record(self.db, self.tail, name, producer)? };
            touched.stream.records.insert(producer, record.unwrap_or_default());
        }
        Ok(Ok(at))
    }

    /// Encodes what was decided and makes the streams that were born.
    pub fn finish(self) -> Result<Outcome> {
        let bytes = self.touched.iter().flat_map(|touched| &touched.entries).map(Making::bytes).sum();
        let mut out = Writer::with_capacity(bytes);
        let mut born = vec![];
        for mut touched in self.touched {
            if touched.entries.is_empty() {
                continue;
            }
            if touched.is_new {
                let empty = Stream::empty(0, touched.stream.epoch);
                touched.stream.id = tables::insert_stream(self.db, &touched.name, &empty)?;
                born.push((touched.name, Stream { id: touched.stream.id, ..empty }));
            }
            for entry in touched.entries {
                row::write_entry(&mut out, touched.stream.id, &entry.finish());
            }
        }
        Ok(Outcome { row: out.finish(), born })
    }
}

/// How many items at the batch's start had been used up before (R8; decisions 16). `None`: it does not continue the chain.
fn repeated(record: &ProducerRecord, append: &Append) -> Option<usize> {
    if append.first == record.last + 1 {
        return (append.tag_before == record.tag).then_some(0);
    }
    let inside = usize::try_from(record.last.checked_sub(append.first)?).ok()?;
    (append.items.get(inside)?.tag == record.tag).then_some(inside + 1)
}

/// A stream out of memory, or out of its row and then in memory. Without its runs and records.
pub(super) fn load(db: &Connection, tail: &Tail, name: &StreamName) -> Result<Option<Stream>> {
    if let Some(stream) = tail.lock().get(name) {
        return Ok(Some(stream.outline()));
    }
    let Some(stream) = tables::stream(db, name)? else { return Ok(None) };
    tail.lock().insert(name.clone(), stream.clone());
    Ok(Some(stream))
}

/// A producer's record, out of memory or out of the table and then in memory. The stream is in memory.
pub(super) fn load_record(
    db: &Connection,
    tail: &Tail,
    name: &StreamName,
    producer: ProducerId,
) -> Result<Option<ProducerRecord>> {
    let id = {
        let streams = tail.lock();
        let Some(stream) = streams.get(name) else { return Ok(None) };
        if let Some(record) = stream.records.get(&producer) {
            return Ok(Some(record.clone()));
        }
        stream.id
    };
    let record = tables::producer(db, id, producer)?;
    if let Some(record) = &record {
        tail.lock().keep_record(name, producer, record.clone());
    }
    Ok(record)
}

impl Touched {
    /// Whether the stream exists, as far as the commit has come.
    fn is_there(&self) -> bool {
        !self.is_new || !self.entries.is_empty()
    }

    fn breaks_chain(&self, record: &ProducerRecord) -> StoreError {
        StoreError::Chain { known: record.known(Sequence::MAX), head: self.stream.head }
    }

    fn record(&self, producer: ProducerId) -> ProducerRecord {
        self.stream.records.get(&producer).cloned().unwrap_or_default()
    }

    /// The fates of sequences that were used up before.
    fn fates_of(
        &self,
        db: &Connection,
        tail: &Tail,
        producer: ProducerId,
        wanted: SequenceRange,
    ) -> Result<Option<Vec<Fate>>> {
        let mut search = Search::new(producer, wanted);
        for entry in self.entries.iter().rev() {
            if let Making::Run { run, .. } = entry {
                search.visit(run.producer, run.first, run.bodies.len() as u32, run.offset);
            }
        }
        if let Some(stream) = tail.lock().get(&self.name) {
            search.visit_tail(stream);
        }
        search.visit_chunks(db, &self.stream)?;
        let record = self.record(producer);
        let Some(places) = search.finish(&self.stream, &record) else { return Ok(None) };
        let fate = |(place, sequence): (Option<Offset>, Sequence)| match (place, record.refusal(sequence)) {
            (Some(offset), _) => Fate::Logged(offset),
            (None, Some(Refusal { code, reason, .. })) => Fate::Refused { code: code.clone(), reason: reason.clone() },
            (None, None) => Fate::Void,
        };
        Ok(Some(places.into_iter().zip(wanted.first..).map(fate).collect()))
    }

    /// Uses up the sequences of a batch's items from `from` on.
    fn use_up(
        &mut self,
        append: &Append,
        from: usize,
        mut tag_before: Tag,
        mut record: ProducerRecord,
        fates: &mut Vec<Fate>,
    ) {
        let producer = append.producer;
        for (sequence, item) in (append.first..).zip(&append.items).skip(from) {
            let tag = item.tag;
            let lacks_need = match &item.body {
                Body::Event { needs: Some(need), .. } => *need != record.logged,
                _ => false,
            };
            fates.push(match &item.body {
                Body::Event { .. } if lacks_need => self.refuse_dependent(producer, sequence, tag, &mut record),
                Body::Event { content, causes, needs } => {
                    let offset = self.log(Event {
                        id: EventId { producer, sequence },
                        tag,
                        tag_before,
                        prev: record.logged,
                        offset: Offset::ZERO,
                        author: append.author.clone(),
                        needs_prev: needs.is_some(),
                        causes: causes.clone(),
                        content: content.clone(),
                    });
                    record.log(sequence, tag);
                    Fate::Logged(offset)
                }
                Body::Void => {
                    self.entries.push(Making::Other(Entry::Void { producer, sequence, tag }));
                    record.void(sequence, tag);
                    Fate::Void
                }
                Body::Refused { code, reason } => {
                    let refusal = Refusal { sequence, tag, code: code.clone(), reason: reason.clone() };
                    self.refuse(producer, refusal, &mut record)
                }
            });
            tag_before = tag;
        }
        self.stream.records.insert(producer, record);
    }

    /// R12 for one event. `is_held_up`: one before it goes on under another id first, so this one is not taken yet.
    fn heal(&mut self, db: &Connection, tail: &Tail, event: &Event, is_held_up: bool) -> Result<Fate> {
        let EventId { producer, sequence } = event.id;
        let mut record = self.record(producer);
        let (prev, prev_tag) = event.prev;
        let is_other = |at: (Sequence, Tag)| prev == at.0 && prev_tag != at.1;
        // As a publish has to, what comes next continues the chain.
        let breaks_chain = record.last > 0 && sequence == record.last + 1 && event.tag_before != record.tag;
        let stands = |at: (Sequence, Tag)| sequence != at.0 || event.tag == at.1;
        let is_there_otherwise = !stands(record.logged) || !stands((record.last, record.tag));
        let fate = if sequence <= record.last {
            let refusal = record.refusal(sequence).filter(|refusal| refusal.tag == event.tag);
            let told = || self.fates_of(db, tail, producer, SequenceRange { first: sequence, count: 1 });
            match refusal {
                Some(Refusal { code, reason, .. }) => Fate::Refused { code: code.clone(), reason: reason.clone() },
                None if is_there_otherwise => Fate::Branch,
                // In the log under this id, or trimmed: the reader sees which.
                None if !matches!(told()?.as_deref(), Some([Fate::Void | Fate::Refused { .. }])) => Fate::Passed,
                None => Fate::Void,
            }
        } else if is_held_up {
            Fate::Later
        } else if is_other(record.logged) || is_other((record.last, record.tag)) || breaks_chain {
            Fate::Branch
        } else if prev > record.last {
            Fate::Gap
        } else if event.needs_prev && prev != record.logged.0 {
            self.refuse_dependent(producer, sequence, event.tag, &mut record)
        } else {
            // What precedes it in this log, which may be more than in the one it comes from.
            let offset = self.log(Event { prev: record.logged, ..event.clone() });
            record.log(sequence, event.tag);
            Fate::Logged(offset)
        };
        self.stream.records.insert(producer, record);
        Ok(fate)
    }

    fn refuse_dependent(
        &mut self,
        producer: ProducerId,
        sequence: Sequence,
        tag: Tag,
        record: &mut ProducerRecord,
    ) -> Fate {
        let (code, reason) = (DEPENDS_ON_REJECTED.into(), String::new());
        self.refuse(producer, Refusal { sequence, tag, code, reason }, record)
    }

    fn refuse(&mut self, producer: ProducerId, refusal: Refusal, record: &mut ProducerRecord) -> Fate {
        let fate = Fate::Refused { code: refusal.code.clone(), reason: refusal.reason.clone() };
        record.refuse(refusal.clone());
        self.entries.push(Making::Other(Entry::Refused { producer, refusal }));
        fate
    }

    /// Gives the event the next offset; it joins the run before it where it can.
    fn log(&mut self, mut event: Event) -> Offset {
        event.offset = Offset(self.stream.head.0 + 1);
        self.stream.head = event.offset;
        self.stream.check = digest::check(self.stream.check, event.id, event.tag);
        let joined = match self.entries.last_mut() {
            Some(Making::Run { run, bytes, tag, check }) if joins(run, *tag, *bytes, &event) => {
                run.put(&event);
                (*bytes, *tag, *check) = (*bytes + event.content.len(), event.tag, self.stream.check);
                true
            }
            _ => false,
        };
        if !joined {
            let (bytes, tag, check) = (event.content.len(), event.tag, self.stream.check);
            self.entries.push(Making::Run { run: Run::of(&event), bytes, tag, check });
        }
        event.offset
    }
}

/// Whether the event goes on where the run ends, and the run has room.
fn joins(run: &Run, tag: Tag, bytes: usize, event: &Event) -> bool {
    event.id == (EventId { producer: run.producer, sequence: run.last() + 1 })
        && event.prev == (run.last(), tag)
        && event.tag_before == tag
        && event.author == run.author
        && bytes + event.content.len() <= RUN_BYTES_MAX
}

impl Making {
    /// About what it takes in a row.
    fn bytes(&self) -> usize {
        match self {
            Making::Run { run, bytes, .. } => bytes + 5 * run.bodies.len() + 192,
            Making::Other(_) => 192,
        }
    }
    fn finish(self) -> Entry {
        match self {
            Making::Run { run, tag, check, .. } => Entry::Run { run: EncodedRun::from(&run), tag, check },
            Making::Other(entry) => entry,
        }
    }
}
