//! The store of the world's relay: a log store of the product, driven one request at a time, and beside it what can be
//! read in its logs, which is what the oracle compares the devices with.

use crate::birth::{Birth, birth_of, births_in, payload};
use crate::document::{self, Change, carried_in, changes_in};
use crate::medium::{self, Halves, Medium};
use crate::rng::Rng;
use bytes::Bytes;
use relay_server::log_store::{Committed, Hint, Reply, Request, SnapshotPut};
use std::collections::{BTreeMap, BTreeSet};
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::{Known, Record, decode_run};

/// What can be read in the log of one stream.
#[derive(Clone, Debug)]
pub struct Log {
    /// Its incarnation.
    pub epoch: Epoch,
    /// Its last offset.
    pub head: Offset,
    /// Events behind the floor: offsets, and the digest of the log up to each.
    pub events: Vec<(Offset, Check)>,
    floor: Offset,
    floor_check: Check,
    /// The births of all events, those in the snapshot first.
    births: Vec<Birth>,
    /// Changes of a document that they carry.
    carried: BTreeMap<Birth, Vec<Change>>,
    /// The last event of each producer.
    logged: BTreeMap<ProducerId, (Sequence, Tag)>,
}

impl Log {
    /// Events up to here are only in the snapshot.
    pub fn floor(&self) -> Offset {
        self.floor
    }
    /// The digest of the prefix; `None` where it is not known.
    pub fn check_at(&self, offset: Offset) -> Option<Check> {
        let known = self.floor <= offset && offset <= self.head;
        known.then(|| self.events[..self.behind_floor(offset)].last().map_or(self.floor_check, |(_, check)| *check))
    }
    /// The births of the log up to an offset, those in the snapshot included.
    pub fn births_to(&self, offset: Offset) -> Vec<Birth> {
        let trimmed = self.births.len() - self.events.len();
        self.births[..trimmed + self.behind_floor(offset)].to_vec()
    }
    /// All births, in order.
    pub fn births(&self) -> &[Birth] {
        &self.births
    }
    /// All changes of the document, in order.
    pub fn changes(&self) -> Vec<Change> {
        self.births.iter().filter_map(|birth| self.carried.get(birth)).flatten().cloned().collect()
    }
    fn behind_floor(&self, offset: Offset) -> usize {
        self.events.partition_point(|(at, _)| *at <= offset)
    }
    fn push(&mut self, event: &Event) {
        let check = self.events.last().map_or(self.floor_check, |(_, check)| *check);
        self.events.push((event.offset, digest::check(check, event.id, event.tag)));
        let birth = birth_of(&event.content).expect("every event of the world holds its birth");
        self.births.push(birth);
        let changes = changes_in(&event.content);
        if !changes.is_empty() {
            self.carried.insert(birth, changes);
        }
        self.logged.insert(event.id.producer, (event.id.sequence, event.tag));
        self.head = event.offset;
    }
}

/// What a store held at some moment.
pub struct Backup {
    copy: medium::Copy,
    /// The store's [`Store::version`] then.
    pub version: u64,
}

/// The store.
pub struct Store {
    rng: Rng,
    medium: Medium,
    /// `None`: it is being opened.
    open: Option<Box<dyn Halves>>,
    logs: BTreeMap<StreamName, Log>,
    /// All that were ever named.
    streams: BTreeSet<StreamName>,
    /// All that were ever named.
    producers: BTreeSet<ProducerId>,
    /// Changes so far.
    pub version: u64,
    hints: Vec<Hint>,
}

impl Store {
    /// An empty store in memory.
    pub fn new(seed: u64) -> Store {
        Store::on(Medium::simulated(), Rng::new(seed))
    }
    /// An empty one of SQLite on a disk that fails now and then.
    pub fn embedded(seed: u64) -> Store {
        let mut rng = Rng::new(seed);
        Store::on(Medium::embedded(&mut rng), rng)
    }
    fn on(medium: Medium, mut rng: Rng) -> Store {
        Store {
            open: Some(medium.open(&mut rng)),
            rng,
            medium,
            logs: BTreeMap::new(),
            streams: BTreeSet::new(),
            producers: BTreeSet::new(),
            version: 0,
            hints: vec![],
        }
    }
    /// From now on the first offset of a commit is a multiple of it, where the store can have that.
    pub fn set_stride(&mut self, stride: u64) {
        if let Medium::Simulated(disk) = &self.medium {
            disk.set_stride(stride);
        }
    }
    /// How many calls of its disk have failed.
    pub fn failed_calls(&self) -> u64 {
        self.medium.failed_calls()
    }
    /// From now on its disk does not fail.
    pub fn calm(&mut self) {
        self.medium.calm();
    }
    /// A stream's log, if it was ever written.
    pub fn log(&self, stream: &StreamName) -> Option<&Log> {
        self.logs.get(stream)
    }
    /// All logs.
    pub fn logs(&self) -> impl Iterator<Item = (&StreamName, &Log)> {
        self.logs.iter()
    }
    /// What the feed has told since this was asked last.
    pub fn hints(&mut self) -> Vec<Hint> {
        std::mem::take(&mut self.hints)
    }

    /// Adds a producer's next sequences (R8, R9).
    pub fn append(&mut self, append: &Append) -> Result<Appended, StoreError> {
        let mut tag_before = append.origin;
        for item in &append.items {
            if let Body::Event { content, .. } = &item.body {
                assert_eq!(item.tag, digest::tag(tag_before, content), "the relay computes tags from contents");
            }
            tag_before = item.tag;
        }
        self.producers.insert(append.producer);
        match self.commit(&append.stream, Request::Append(append.clone())) {
            Reply::Append(answer) => answer,
            Reply::Heal(_) => unreachable!("a log replies to each request, in order"),
        }
    }
    /// Takes events that an earlier log had accepted (R12).
    pub fn heal(&mut self, heal: &HealRequest) -> Result<Healed, StoreError> {
        self.producers.extend(heal.events.iter().map(|event| event.id.producer));
        match self.commit(&heal.stream, Request::Heal(heal.clone())) {
            Reply::Heal(answer) => answer,
            Reply::Append(_) => unreachable!("a log replies to each request, in order"),
        }
    }
    fn commit(&mut self, stream: &StreamName, request: Request) -> Reply {
        let Committed { mut replies, hints } = self.open().commit(request);
        self.streams.insert(stream.clone());
        // A store that was opened again may have more than it had said.
        if hints.contains(&Hint::AllBehind) {
            self.look_at_all()
        } else {
            self.look(stream)
        }
        self.hints.extend(hints);
        replies.pop().expect("a log replies to each request")
    }
    fn open(&mut self) -> &mut dyn Halves {
        &mut **self.open.as_mut().expect("it is open")
    }
    fn halves(&self) -> &dyn Halves {
        &**self.open.as_ref().expect("it is open")
    }
    /// While the disk does not fail.
    fn calmly<T>(&mut self, work: impl FnOnce(&mut dyn Halves) -> T) -> T {
        self.medium.set_failing(false);
        let done = work(self.open());
        self.medium.set_failing(true);
        done
    }

    /// What a subscribe needs.
    pub fn resume(&self, request: &ResumeRequest) -> Result<ResumeInfo, StoreError> {
        self.halves().resume(request)
    }
    /// The events behind a position.
    pub fn read(&self, request: &ReadRequest) -> Result<ReadAnswer, StoreError> {
        self.halves().read(request)
    }
    /// The snapshot with the records of these producers.
    pub fn snapshot(
        &self,
        stream: &StreamName,
        records: &[ProducerId],
    ) -> Result<Option<(Epoch, Snapshot)>, StoreError> {
        self.halves().snapshot(stream, records)
    }
    /// What the log has of a producer.
    pub fn known(&self, stream: &StreamName, producer: ProducerId) -> Known {
        let request = ResumeRequest { stream: stream.clone(), producer, settled: 1, check_at: None };
        self.medium.set_failing(false);
        let info = self.halves().resume(&request);
        self.medium.set_failing(true);
        info.map_or_else(|_| Known::default(), |info| info.known)
    }

    /// Makes the head the snapshot, in parts of at most so many births, and drops the events before it.
    pub fn trim(&mut self, stream: &StreamName, part_births_max: usize) {
        let Some(Log { epoch, head, births, carried, logged, .. }) = self.logs.get(stream).cloned() else { return };
        let check = self.logs[stream].check_at(head).expect("the check at the head is known");
        let content = |birth: &Birth| match carried.get(birth) {
            Some(changes) => document::payload(*birth, changes),
            None => payload(*birth, 0),
        };
        let part = |births: &[Birth]| Bytes::from(births.iter().flat_map(content).collect::<Vec<_>>());
        let parts = births.chunks(part_births_max.max(1)).map(part).collect();
        let mut records = vec![];
        for producer in self.producers.clone() {
            let known = self.known(stream, producer);
            let logged = logged.get(&producer).copied().unwrap_or_default();
            if known != Known::default() {
                records.push(Record { producer, logged, refused: known.refused });
            }
        }
        let snapshot = Snapshot { offset: head, check, parts, records };
        let put = self.calmly(|open| open.put_snapshot(stream, epoch, &snapshot));
        assert_eq!(put, Ok(SnapshotPut::Stored), "a snapshot of what can be read");
        assert_eq!(self.calmly(|open| open.trim(stream, epoch, head)), Ok(head));
        self.look(stream);
    }
    /// Gives the logs new epochs, as an operator does who knows that it was restored.
    pub fn new_epochs(&mut self) {
        for (stream, log) in self.logs.clone() {
            let epoch = self.calmly(|open| open.new_epoch(&stream, log.epoch));
            let epoch = epoch.expect("the epoch is the one that was read");
            self.hints.push(Hint::NewEpoch { stream: stream.clone(), epoch });
            self.look(&stream);
        }
    }

    /// Its process dies, and another one opens what is on stable storage.
    pub fn crash(&mut self) {
        self.medium.crash(&mut self.rng);
        self.reopen();
    }
    /// A copy of what it holds.
    pub fn backup(&self) -> Backup {
        Backup { copy: self.medium.copy(), version: self.version }
    }
    /// A backup in its place. Its epochs to come are not the old ones.
    pub fn restore(&mut self, backup: &Backup) {
        self.medium.restore(&backup.copy);
        self.reopen();
    }
    /// Nothing is left.
    pub fn lose(&mut self) {
        self.medium.lose();
        self.reopen();
    }
    fn reopen(&mut self) {
        self.open = None;
        self.open = Some(self.medium.open(&mut self.rng));
        self.hints.clear();
        self.look_at_all();
    }
    fn look_at_all(&mut self) {
        self.logs.clear();
        for stream in self.streams.clone() {
            self.look(&stream);
        }
    }

    /// Reads what is new in a log.
    fn look(&mut self, stream: &StreamName) {
        self.version += 1;
        self.medium.set_failing(false);
        self.look_at(stream);
        self.medium.set_failing(true);
    }
    fn look_at(&mut self, stream: &StreamName) {
        let request =
            ResumeRequest { stream: stream.clone(), producer: ProducerId([0; 16]), settled: 1, check_at: None };
        let info = self.halves().resume(&request).expect("it can be read");
        if info.epoch == Epoch::NONE {
            return;
        }
        let before = self.logs.remove(stream).filter(|log| (log.epoch, log.floor) == (info.epoch, info.floor));
        let mut log = before.unwrap_or_else(|| self.log_at_floor(stream, &info));
        while log.head < info.head {
            let request =
                ReadRequest { stream: stream.clone(), epoch: log.epoch, after: log.head, bytes_max: usize::MAX };
            let answer = self.halves().read(&request).expect("it can be read");
            let ReadAnswer::Batch(batch) = answer else { unreachable!("its own position: {answer:?}") };
            let runs = batch.runs.iter().map(|run| decode_run(&run.bytes).expect("a run that a store made"));
            let events = runs.flat_map(|run| run.events(|_, _| None).unwrap_or_default());
            events.for_each(|event| log.push(&event));
        }
        self.logs.insert(stream.clone(), log);
    }
    fn log_at_floor(&mut self, stream: &StreamName, info: &ResumeInfo) -> Log {
        let producers: Vec<ProducerId> = self.producers.iter().copied().collect();
        let snapshot = self.halves().snapshot(stream, &producers).expect("it can be read");
        let snapshot = snapshot.map(|(_, snapshot)| snapshot).filter(|snapshot| snapshot.offset == info.floor);
        let Snapshot { offset, check, parts, records } = snapshot.unwrap_or_else(|| Snapshot {
            offset: Offset::ZERO,
            check: digest::check_of_empty(info.epoch),
            parts: vec![],
            records: vec![],
        });
        Log {
            epoch: info.epoch,
            head: offset,
            events: vec![],
            floor: offset,
            floor_check: check,
            births: parts.iter().flat_map(|part| births_in(part)).collect(),
            carried: parts.iter().flat_map(|part| carried_in(part)).collect(),
            logged: records.into_iter().map(|record| (record.producer, record.logged)).collect(),
        }
    }
}
