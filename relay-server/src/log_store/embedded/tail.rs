//! What is in memory: for each stream that was touched lately its head, what the tail holds of it, and what is known of
//! its producers. Only committed and synced things are here, so that readers may take all they see; a transaction that
//! fails has changed nothing.

use super::row::{self, Entry};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sync_core::digest;
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::{DecodeError, Known, Refusal, decode_run};

/// All streams in memory, shared by the writer, which alone changes them, and the readers.
#[derive(Default)]
pub(super) struct Tail(Mutex<Streams>);

impl Tail {
    /// No storage is touched under this lock.
    pub fn lock(&self) -> MutexGuard<'_, Streams> {
        // What a panic left is whole: it is changed by one thread, in steps that cannot panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Tail`].
#[derive(Default)]
pub(super) struct Streams {
    by_name: HashMap<StreamName, Stream>,
    names: HashMap<i64, StreamName>,
    /// Producers' records in memory, of all streams.
    records: usize,
    /// Streams and records that forgetting left, the last time.
    left: (usize, usize),
}

/// One stream.
#[derive(Clone)]
pub(super) struct Stream {
    /// Its number in rows.
    pub id: i64,
    /// Writes of its row: a reader compares, to know that its transaction and this memory are of one moment.
    pub version: i64,
    /// The log's incarnation.
    pub epoch: Epoch,
    /// Events up to here are only in the snapshot.
    pub floor: Offset,
    /// Events up to here are in chunks.
    pub folded: Offset,
    /// The log's check there.
    pub folded_check: Check,
    /// What commits up to this brought is gone.
    pub reset: u64,
    /// The last offset.
    pub head: Offset,
    /// The log's check there.
    pub check: Check,
    /// `(folded, head]`, in order.
    pub runs: VecDeque<TailRun>,
    /// What is known of some producers; of those that are missing, the table `producer` tells.
    pub records: HashMap<ProducerId, ProducerRecord>,
    /// Those whose record here is newer than the table's.
    pub dirty: BTreeSet<ProducerId>,
}

/// What a commit added to a log.
pub(super) struct Advance {
    pub stream: StreamName,
    pub epoch: Epoch,
    pub after: Offset,
    pub runs: Vec<EncodedRun>,
}

/// A run of the tail.
#[derive(Clone, Debug)]
pub(super) struct TailRun {
    /// The commit that brought it.
    pub commit: u64,
    /// As encoded.
    pub run: EncodedRun,
    /// The log's check at its end.
    pub check: Check,
}

/// What is known of a producer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProducerRecord {
    /// The last sequence used up.
    pub last: Sequence,
    /// Its tag.
    pub tag: Tag,
    /// The last one that entered the log, and its tag.
    pub logged: (Sequence, Tag),
    /// What was refused, by sequence.
    pub refused: Arc<Vec<Refusal>>,
}

impl ProducerRecord {
    /// As a device is told that has settled everything before `settled`.
    pub fn known(&self, settled: Sequence) -> Known {
        let from = self.refused.partition_point(|refusal| refusal.sequence < settled);
        Known { last: self.last, tag: self.tag, refused: refusals_told(&self.refused[from..]) }
    }
    /// The refusal of a sequence.
    pub fn refusal(&self, sequence: Sequence) -> Option<&Refusal> {
        let found = self.refused.binary_search_by_key(&sequence, |refusal| refusal.sequence);
        found.ok().map(|at| &self.refused[at])
    }
    /// Uses a sequence up by an event.
    pub fn log(&mut self, sequence: Sequence, tag: Tag) {
        (self.last, self.tag, self.logged) = (sequence, tag, (sequence, tag));
    }
    /// Uses a sequence up by nothing.
    pub fn void(&mut self, sequence: Sequence, tag: Tag) {
        (self.last, self.tag) = (sequence, tag);
    }
    /// Uses a sequence up by a refusal.
    pub fn refuse(&mut self, refusal: Refusal) {
        (self.last, self.tag) = (refusal.sequence, refusal.tag);
        Arc::make_mut(&mut self.refused).push(refusal);
    }
}

impl Stream {
    /// A log without events, born by the commit under way or emptied.
    pub fn empty(id: i64, epoch: Epoch) -> Stream {
        let check = digest::check_of_empty(epoch);
        Stream {
            id,
            version: 0,
            epoch,
            floor: Offset::ZERO,
            folded: Offset::ZERO,
            folded_check: check,
            reset: 0,
            head: Offset::ZERO,
            check,
            runs: VecDeque::new(),
            records: HashMap::new(),
            dirty: BTreeSet::new(),
        }
    }
    /// The same without runs and records.
    pub fn outline(&self) -> Stream {
        Stream { runs: VecDeque::new(), records: HashMap::new(), dirty: BTreeSet::new(), ..*self }
    }
    /// Takes over what a transaction did to the row of this stream, whose tail was folded.
    pub fn become_changed(&mut self, stored: &Stream) {
        let records = std::mem::take(&mut self.records);
        *self = Stream { records, version: self.version + 1, ..stored.outline() };
    }
    /// Whether all of it is in the tables.
    pub fn is_clean(&self) -> bool {
        self.runs.is_empty() && self.dirty.is_empty()
    }
    /// The tail's runs behind `after`, at least one, until they are `bytes_max`. `after` is not below `folded`.
    pub fn runs_behind(&self, after: Offset, bytes_max: usize) -> Vec<EncodedRun> {
        let start = self.runs.partition_point(|tail| row::last_offset(&tail.run) <= after);
        let mut bytes = 0;
        let mut runs = vec![];
        for tail in self.runs.range(start..) {
            if bytes > 0 && bytes + tail.run.bytes.len() > bytes_max {
                break;
            }
            bytes += tail.run.bytes.len();
            runs.push(tail.run.clone());
        }
        runs
    }
    /// Where to begin to compute the check at an offset of the tail, and the run to compute it over, if any.
    pub fn check_at(&self, offset: Offset) -> Option<(Check, Option<EncodedRun>)> {
        if offset == self.head {
            return Some((self.check, None));
        }
        if offset < self.folded || offset > self.head {
            return None;
        }
        let index = self.runs.partition_point(|tail| row::last_offset(&tail.run) <= offset);
        let before = index.checked_sub(1).map_or(self.folded_check, |before| self.runs[before].check);
        let run = self.runs.get(index).map(|tail| &tail.run).filter(|run| run.offset <= offset);
        Some((before, run.cloned()))
    }
    /// Takes in what a commit did.
    fn apply(&mut self, commit: u64, entry: Entry) {
        // On opening, what is in the tables already comes by once more: offsets and sequences tell.
        match entry {
            Entry::Run { run, tag, check } => {
                let last = run.first + u64::from(run.events) - 1;
                let record = self.records.entry(run.producer).or_default();
                if record.last < last {
                    record.log(last, tag);
                    self.dirty.insert(run.producer);
                }
                let end = row::last_offset(&run);
                if end > self.head {
                    (self.head, self.check) = (end, check);
                    self.runs.push_back(TailRun { commit, run, check });
                }
            }
            Entry::Void { producer, sequence, tag } => {
                let record = self.records.entry(producer).or_default();
                if record.last < sequence {
                    record.void(sequence, tag);
                    self.dirty.insert(producer);
                }
            }
            Entry::Refused { producer, refusal } => {
                let record = self.records.entry(producer).or_default();
                if record.last < refusal.sequence {
                    record.refuse(refusal);
                    self.dirty.insert(producer);
                }
            }
        }
    }
}

/// The check at `offset`, from that before `run`. Without a run there is nothing in between.
pub(super) fn check_in_run(before: Check, run: &EncodedRun, offset: Offset) -> Result<Check, DecodeError> {
    let events = decode_run(&run.bytes)?.events(|_, _| None).unwrap_or_default();
    let upto = events.iter().take_while(|event| event.offset <= offset);
    Ok(upto.fold(before, |check, event| digest::check(check, event.id, event.tag)))
}

impl Streams {
    /// A stream that is in memory.
    pub fn get(&self, name: &StreamName) -> Option<&Stream> {
        self.by_name.get(name)
    }
    /// The same, for the writer.
    pub fn get_mut(&mut self, name: &StreamName) -> Option<&mut Stream> {
        self.by_name.get_mut(name)
    }
    /// The name of a stream that is in memory.
    pub fn name(&self, id: i64) -> Option<&StreamName> {
        self.names.get(&id)
    }
    /// Keeps a stream.
    pub fn insert(&mut self, name: StreamName, stream: Stream) {
        self.names.insert(stream.id, name.clone());
        self.records += stream.records.len();
        if let Some(before) = self.by_name.insert(name, stream) {
            self.records -= before.records.len();
        }
    }
    /// Keeps a producer's record as the table has it.
    pub fn keep_record(&mut self, name: &StreamName, producer: ProducerId, record: ProducerRecord) {
        if let Some(stream) = self.by_name.get_mut(name) {
            self.records += usize::from(stream.records.insert(producer, record).is_none());
        }
    }
    /// Takes in what a commit did, out of its row, and tells what it added to each log. Streams and producers' records are
    /// in memory already.
    pub fn apply(&mut self, commit: u64, row: &Bytes) -> Result<Vec<Advance>, DecodeError> {
        let mut advances: Vec<(i64, Advance)> = vec![];
        for (id, entry) in row::read_entries(row)? {
            let Some(name) = self.names.get(&id) else { continue };
            let Some(stream) = self.by_name.get_mut(name).filter(|stream| commit > stream.reset) else { continue };
            if let Entry::Run { run, .. } = &entry {
                if advances.last().is_none_or(|(last, _)| *last != id) {
                    let (stream, epoch, after) = (name.clone(), stream.epoch, stream.head);
                    advances.push((id, Advance { stream, epoch, after, runs: vec![] }));
                }
                if let Some((_, advance)) = advances.last_mut() {
                    advance.runs.push(run.clone());
                }
            }
            let before = stream.records.len();
            stream.apply(commit, entry);
            self.records += stream.records.len() - before;
        }
        Ok(advances.into_iter().map(|(_, advance)| advance).collect())
    }
    /// Streams with something that is only in the tail, oldest number first.
    pub fn unfolded(&self) -> VecDeque<StreamName> {
        let mut names: Vec<_> = self.by_name.iter().filter(|(_, stream)| !stream.is_clean()).collect();
        names.sort_by_key(|(_, stream)| stream.id);
        names.into_iter().map(|(name, _)| name.clone()).collect()
    }
    /// Forgets what is in the tables too, when there is more than `streams_max` or `records_max`, and half as much again
    /// as the last time left: what cannot be forgotten is not looked through at each commit.
    pub fn shrink(&mut self, streams_max: usize, records_max: usize) {
        let is_over = |now: usize, max: usize, left: usize| now > max && now > left + left / 2;
        let streams_over = is_over(self.by_name.len(), streams_max, self.left.0);
        if !streams_over && !is_over(self.records, records_max, self.left.1) {
            return;
        }
        if streams_over {
            self.by_name.retain(|_, stream| !stream.is_clean());
            let by_name = &self.by_name;
            self.names.retain(|_, name| by_name.contains_key(name));
        }
        for stream in self.by_name.values_mut() {
            let dirty = &stream.dirty;
            stream.records.retain(|producer, _| dirty.contains(producer));
        }
        self.records = self.by_name.values().map(|stream| stream.records.len()).sum();
        self.left = (self.by_name.len(), self.records);
    }
}
