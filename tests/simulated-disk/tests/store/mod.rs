//! The real store on the simulated disk, and what it may answer.

use crate::truth::*;
use relay_server::log_store::embedded::{EmbeddedLog, EmbeddedReader, OpenError, Options};
use relay_server::log_store::{Log, LogReader, Memory, Placed, Reply, Request, SequenceRange, SnapshotPut};
use simulated_disk::{Crash, Disk, Rates, VFS};
use std::path::PathBuf;
use std::sync::Arc;
use sync_core::ids::*;
use sync_core::relay::store::*;

/// A folder of its own, gone in the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        let folder = Folder(std::env::temp_dir().join(format!("tidelog-walk-{}-{name}", std::process::id())));
        std::fs::remove_dir_all(&folder.0).ok();
        folder
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

struct Open {
    log: EmbeddedLog,
    reader: EmbeddedReader,
    memory: Arc<dyn Memory>,
}

/// A store and what it must hold.
pub struct Walked<'f> {
    folder: &'f Folder,
    disk: Disk,
    options: Options,
    open: Option<Open>,
    truth: Truth,
    chance: Chance,
    has_faults: bool,
    loud: bool,
}

/// Tries without faults until something must have worked.
const TRIES_MAX: usize = 3;

impl<'f> Walked<'f> {
    pub fn new(folder: &'f Folder, seed: u64, loud: bool) -> Walked<'f> {
        let mut chance = Chance::new(seed);
        let disk = Disk::new(&folder.0, chance.below(u64::MAX));
        let options = Options {
            vfs: Some(VFS.into()),
            log_pages_max: [5, 50, 16_384][chance.below(3) as usize],
            generation_bytes_max: [1, 2_000, 30_000, 1 << 20][chance.below(4) as usize],
            streams_max: [0, 1, 100][chance.below(3) as usize],
            records_max: [0, 2, 100][chance.below(3) as usize],
            ..Options::new(chance.seed())
        };
        let mut walked =
            Walked { folder, disk, options, open: None, truth: Truth::new(), chance, has_faults: false, loud };
        walked.opens();
        walked
    }
    pub fn below(&mut self, end: u64) -> u64 {
        self.chance.below(end)
    }
    fn say(&self, text: impl FnOnce() -> String) {
        if self.loud {
            println!("{}", text());
        }
    }

    // --------------------------------------------------------------------------------------------------------- the disk

    pub fn set_rates(&mut self, rates: Rates) {
        self.say(|| format!("-- {rates:?}"));
        self.has_faults |= rates != Rates::default();
        self.disk.set_rates(rates);
    }
    pub fn fills(&mut self) {
        let free = self.chance.below(40_000) as usize;
        self.say(|| format!("-- {free} bytes are free"));
        self.has_faults = true;
        self.disk.set_bytes_max(self.disk.bytes() + free);
    }
    pub fn frees(&mut self) {
        self.say(|| "-- the disk is free".into());
        self.disk.set_bytes_max(usize::MAX);
    }
    fn heals(&mut self) {
        self.disk.set_rates(Rates::default());
        self.disk.set_bytes_max(usize::MAX);
        self.has_faults = false;
    }
    pub fn crash(&mut self, crash: Crash) {
        self.say(|| format!("-- {crash:?}"));
        self.disk.crash(crash);
        self.reopens();
        self.looks();
    }
    pub fn reopens(&mut self) {
        self.say(|| "-- reopens".into());
        self.open = None;
        self.opens();
    }
    fn opens(&mut self) {
        for _ in 0..2 {
            match self.open_once() {
                Ok(open) => {
                    self.open = Some(open);
                    return;
                }
                Err(error) => {
                    self.say(|| format!("does not open: {error}"));
                    assert!(self.has_faults, "without a fault: {error}");
                    assert!(matches!(error, OpenError::Sqlite(_)), "the disk's fault is told as another: {error}");
                    self.heals();
                }
            }
        }
        panic!("does not open without faults");
    }
    fn open_once(&mut self) -> Result<Open, OpenError> {
        let options = Options { seed: self.chance.seed(), ..self.options.clone() };
        let log = EmbeddedLog::open(&self.folder.0, options)?;
        let reader = log.open_reader()?;
        Ok(Open { memory: log.memory(), reader, log })
    }
    fn open(&mut self) -> &mut Open {
        self.open.as_mut().expect("a walk keeps it open")
    }

    // ---------------------------------------------------------------------------------------------------------- the log

    /// Does a step, and again until it is settled.
    pub fn does(&mut self, step: Step) {
        match step {
            Step::Append | Step::Heal => {
                let requests = self.truth.offers(step, &mut self.chance);
                self.commits(requests);
            }
            Step::Snapshot => self.puts_snapshot(),
            Step::Trim => {
                let name = stream(self.chance.below(STREAMS));
                let Some(epoch) = self.epoch(&name) else { return };
                let upto = Offset(self.chance.below(30));
                let floor = self.settles(|open| open.log.trim(&name, epoch, upto)).0;
                self.say(|| format!("trim {name} to {upto:?}: {floor:?}"));
                assert_eq!(floor, Ok(self.truth.trim(&name, upto)));
            }
            Step::NewEpoch => {
                let name = stream(self.chance.below(STREAMS));
                let Some(epoch) = self.epoch(&name) else { return };
                let (new, perhaps) = self.settles(|open| open.log.new_epoch(&name, epoch));
                self.say(|| format!("new epoch of {name}: {new:?}"));
                match new {
                    Ok(new) => self.truth.new_epoch(&name, new),
                    Err(StoreError::Epoch { current }) if perhaps => self.truth.new_epoch(&name, current),
                    other => panic!("{other:?}"),
                }
            }
            Step::Delete => {
                let name = stream(self.chance.below(STREAMS));
                let deleted = self.settles(|open| open.log.delete(&name)).0.unwrap();
                self.say(|| format!("delete {name}: {deleted:?}"));
                if self.epoch(&name).is_some() {
                    self.truth.delete(&name, deleted);
                } else {
                    assert_eq!(deleted, Epoch::NONE);
                }
            }
        }
    }
    fn epoch(&self, name: &StreamName) -> Option<Epoch> {
        self.truth.logs.get(name).map(|kept| kept.epoch)
    }

    fn puts_snapshot(&mut self) {
        let Some((name, own, real)) = self.truth.snapshot(&mut self.chance) else { return };
        let Some(epoch) = self.epoch(&name) else { return };
        let there = self.truth.reader.snapshot(&name, &[]).unwrap().map(|(_, snapshot)| snapshot.offset);
        let (put, perhaps) = self.settles(|open| open.log.put_snapshot(&name, epoch, &real));
        self.say(|| format!("snapshot of {name} at {:?}: {put:?}", real.offset));
        let is_newer = there.is_none_or(|there| there < real.offset);
        match put {
            Ok(SnapshotPut::Stored) => assert!(is_newer),
            Ok(SnapshotPut::Older) => assert!(perhaps || !is_newer),
            other => panic!("{other:?}"),
        }
        self.truth.put_snapshot(&name, &own);
    }

    /// One commit. All of it was written or nothing.
    fn commits(&mut self, requests: Vec<Request>) {
        // What is stored before, to know of each request how much of it is new.
        let before: Vec<usize> = requests.iter().map(|request| self.unknown_items(request)).collect();
        let failed = |replies: &[Reply]| {
            replies.iter().find_map(|reply| match reply {
                Reply::Append(Err(error)) | Reply::Heal(Err(error)) if retryable(error) => Some(error.clone()),
                _ => None,
            })
        };
        let (replies, perhaps) = self.settles(|open| {
            let replies = open.log.commit(requests.clone()).replies;
            failed(&replies).map_or(Ok(replies), Err)
        });
        let replies = replies.unwrap();
        self.say(|| format!("commit: {replies:?}"));
        assert_eq!(replies.len(), requests.len());
        let mut written = vec![];
        for ((request, reply), unknown) in requests.into_iter().zip(replies).zip(before) {
            let epoch = match &reply {
                Reply::Append(Ok(appended)) => Some(appended.epoch),
                Reply::Heal(Ok(healed)) => Some(healed.epoch),
                Reply::Append(Err(_)) | Reply::Heal(Err(_)) => None,
            };
            match (self.truth.takes(request, epoch), reply) {
                (Reply::Append(Ok(own)), Reply::Append(Ok(real))) => {
                    assert_eq!(own.outcomes, real.outcomes);
                    assert!(real.head >= own.head);
                    if unknown > 0 {
                        assert!(real.new == own.new || perhaps && real.new == 0, "{own:?} {real:?}");
                        written.push(real.new == own.new);
                    }
                }
                (Reply::Heal(Ok(own)), Reply::Heal(Ok(real))) => {
                    let same = own.outcomes == real.outcomes;
                    let passed = real.outcomes.iter().zip(&own.outcomes);
                    let mut passed = passed.filter(|(real, own)| real != own);
                    assert!(
                        same || perhaps && passed.all(|(real, _)| *real == HealOutcome::Passed),
                        "{own:?} {real:?}"
                    );
                }
                (Reply::Append(Err(own)), Reply::Append(Err(real))) => {
                    assert!(matches!((own, real), (StoreError::Chain { .. }, StoreError::Chain { .. })));
                }
                (own, real) => panic!("{own:?} {real:?}"),
            }
        }
        assert!(written.windows(2).all(|pair| pair[0] == pair[1]), "a part of a commit was written: {written:?}");
    }
    fn unknown_items(&mut self, request: &Request) -> usize {
        let Request::Append(append) = request else { return 0 };
        let known = self.truth.info(&append.stream, append.producer).known;
        (append.first + append.items.len() as u64 - 1).saturating_sub(known.last) as usize
    }

    /// Asks until the answer is not *busy* and not *unknown*. Whether an answer was *unknown*, so that it was perhaps written
    /// before the last asking.
    fn settles<T: std::fmt::Debug>(
        &mut self,
        ask: impl Fn(&mut Open) -> Result<T, StoreError>,
    ) -> (Result<T, StoreError>, bool) {
        let (mut perhaps, mut tries) = (false, 0);
        loop {
            let answer = ask(self.open());
            let error = match answer {
                Err(error) if retryable(&error) => error,
                settled => return (settled, perhaps),
            };
            self.say(|| format!("failed: {error}"));
            assert!(self.has_faults, "without a fault: {error}");
            perhaps |= error == StoreError::Unknown;
            tries += 1;
            match self.chance.below(6) {
                _ if tries >= 6 => {
                    self.heals();
                    let healed = (0..TRIES_MAX).map(|_| ask(self.open())).find(|answer| match answer {
                        Err(error) => !retryable(error),
                        Ok(_) => true,
                    });
                    return (healed.expect("the disk has no faults any more, and the store does not go on"), perhaps);
                }
                0 => self.heals(),
                1 => {
                    let is_killed = self.chance.below(2) == 0;
                    self.disk.crash(if is_killed { Crash::Killed } else { Crash::PowerCut { survives_percent: 50 } });
                    self.reopens();
                }
                2 => self.reopens(),
                _ => {}
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------------ oracle

    /// All that can be read is what must be there. With faults a read may be *busy*, but never wrong.
    pub fn looks(&mut self) {
        for number in 0..STREAMS {
            let name = stream(number);
            let checked = self.look_at(&name);
            if let Err(error) = checked {
                self.say(|| format!("cannot look at {name}: {error}"));
                assert!(self.has_faults && error == StoreError::Busy, "{error}");
            }
        }
    }
    fn look_at(&mut self, name: &StreamName) -> Result<(), StoreError> {
        let Some(kept) = self.truth.logs.get(name).cloned() else { return Ok(()) };
        for number in (0..PRODUCERS).chain(10..13) {
            let own = self.truth.info(name, producer(number));
            let at = Offset(own.floor.0 + self.chance.below(own.head.0 - own.floor.0 + 1));
            let request = ResumeRequest {
                stream: name.clone(),
                producer: producer(number),
                settled: 1,
                check_at: Some((kept.epoch, at)),
            };
            let open = self.open();
            let info = match open.memory.resume(&request) {
                Some(info) => info,
                None => open.reader.resume(&request)?,
            };
            assert_eq!((info.epoch, info.head, info.floor), (kept.epoch, own.head, own.floor), "{name}");
            assert_eq!(info.known, own.known, "{name} {number}");
            assert_eq!(info.check, Some(kept.checks[&at]), "{name} at {at:?}");
            self.look_at_places(name, producer(number), own.known.last)?;
        }
        let floor = self.truth.info(name, producer(0)).floor;
        let own = self.truth.events(name, floor);
        let mut events = vec![];
        let mut after = floor;
        loop {
            let request = ReadRequest { stream: name.clone(), epoch: kept.epoch, after, bytes_max: 5_000 };
            let open = self.open();
            let answer = match open.memory.read(&request) {
                Some(answer) => answer,
                None => open.reader.read(&request)?,
            };
            let ReadAnswer::Batch(batch) = answer else { panic!("{answer:?}") };
            if batch.runs.is_empty() {
                break;
            }
            after = batch.upto.offset();
            events.extend(events_of(&batch));
        }
        assert_eq!(events, own, "{name}");
        let own = self.truth.reader.snapshot(name, &[producer(0)]).unwrap().map(|(_, own)| own);
        let real = self.open().reader.snapshot(name, &[producer(0)])?.map(|(_, real)| real);
        let without_check = |snapshot: Snapshot| (snapshot.offset, snapshot.parts, snapshot.records);
        assert_eq!(real.map(without_check), own.map(without_check), "{name}");
        Ok(())
    }
    fn look_at_places(&mut self, name: &StreamName, producer: ProducerId, last: Sequence) -> Result<(), StoreError> {
        let sequences = SequenceRange { first: last.saturating_sub(5).max(1), count: last.min(6) as u32 };
        let own = self.truth.reader.offsets_of(name, producer, sequences).unwrap();
        let real = self.open().reader.offsets_of(name, producer, sequences)?;
        // The real one does not look further than it must to know.
        assert!(own == real || own == Placed::Trimmed || real == Placed::Trimmed, "{name}: {own:?} {real:?}");
        Ok(())
    }

    /// Faults end. Everything is there, after a power cut too, and the store goes on.
    pub fn ends(&mut self) {
        self.say(|| "-- faults stop".into());
        self.heals();
        self.does(Step::Append);
        self.looks();
        self.crash(Crash::PowerCut { survives_percent: 0 });
        self.does(Step::Append);
        self.looks();
    }
}

/// Ask again.
fn retryable(error: &StoreError) -> bool {
    matches!(error, StoreError::Unknown | StoreError::Busy)
}
