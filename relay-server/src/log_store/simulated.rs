//! The log store for tests: in memory, as plain as it can be, with every outcome that a real store may have on demand. It
//! shares no code with the embedded one, so that each is a check of the other; the conformance suite runs on it, and the
//! simulation's relays keep their logs in it.

mod stream;

use super::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use stream::{Producer, Stream, append_to, heal_in};
use sync_core::digest::{self, Random};

/// What the next request meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answered [`StoreError::Unknown`]. Its hint comes if it was stored: ahead of the answer to its repetition.
    Unknown {
        /// Whether it was stored.
        stored: bool,
    },
    /// Not stored, answered [`StoreError::Busy`].
    Busy,
    /// Not stored, answered [`StoreError::Corrupt`].
    Corrupt,
    /// Stored and answered, but its hint never comes.
    HintLost,
    /// Stored and answered; its hint comes with the next commit's: behind the answer.
    HintLate,
    /// Its hint comes twice.
    HintTwice,
    /// Its hint has no events with it.
    HintBare,
    /// Its hint was too much for the feed.
    HintOverflows,
}

/// What survives: reopening a [`SimulatedLog`] on the same disk is a restart. Clones are the same disk.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<State>>);

#[derive(Clone)]
struct State {
    streams: BTreeMap<StreamName, Stream>,
    faults: VecDeque<Fault>,
    /// The first offset of a commit is a multiple of it: offsets are not dense in every store.
    stride: u64,
}

impl Default for State {
    fn default() -> State {
        State { streams: BTreeMap::new(), faults: VecDeque::new(), stride: 1 }
    }
}

/// The writing half.
pub struct SimulatedLog {
    disk: Disk,
    random: Random,
    limits: Limits,
    late: Vec<Hint>,
}

/// The reading half.
pub struct SimulatedReader(Disk);

impl Disk {
    /// Plans a fault: each request takes one, in order; without one it is served as it should be.
    pub fn plan(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }
    /// A copy of what is stored now: a backup.
    pub fn copy(&self) -> Disk {
        Disk(Arc::new(Mutex::new(self.lock().clone())))
    }
    /// Puts a backup in its place. Nobody is told.
    pub fn restore(&self, backup: &Disk) {
        let streams = backup.lock().streams.clone();
        self.lock().streams = streams;
    }
    /// From now on the first offset of a commit is a multiple of `stride`, at least 1.
    pub fn set_stride(&self, stride: u64) {
        self.lock().stride = stride.max(1);
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimulatedLog {
    /// Opens the log on a disk. Epochs are drawn from the seed.
    pub fn open(disk: Disk, seed: [u8; 32]) -> SimulatedLog {
        SimulatedLog { disk, random: Random::new(seed), limits: Limits::default(), late: vec![] }
    }

    fn request(&mut self, request: Request, hints: &mut Vec<Hint>) -> Reply {
        let mut state = self.disk.lock();
        let fault = state.faults.pop_front();
        let refused = match fault {
            Some(Fault::Unknown { stored: false }) => Some(StoreError::Unknown),
            Some(Fault::Busy) => Some(StoreError::Busy),
            Some(Fault::Corrupt) => Some(StoreError::Corrupt("planned".into())),
            _ => None,
        };
        let name = match &request {
            Request::Append(append) => append.stream.clone(),
            Request::Heal(heal) => heal.stream.clone(),
        };
        let before = state.streams.get(&name).map_or(Offset::ZERO, |stream| stream.head);
        let mut reply = match (request, refused) {
            (Request::Append(_), Some(error)) => Reply::Append(Err(error)),
            (Request::Heal(_), Some(error)) => Reply::Heal(Err(error)),
            (Request::Append(append), None) => {
                Reply::Append(append_to(&mut state, &mut self.random, self.limits, &append))
            }
            (Request::Heal(heal), None) => Reply::Heal(heal_in(&mut state, &mut self.random, self.limits, &heal)),
        };
        let told = state.streams.get(&name).filter(|stream| stream.head > before);
        let told = told.map(|stream| stream.advanced(&name, before));
        match fault {
            Some(Fault::HintLost) => {}
            Some(Fault::HintLate) => self.late.extend(told),
            Some(Fault::HintTwice) => hints.extend([told.clone(), told].into_iter().flatten()),
            Some(Fault::HintOverflows) => hints.extend(told.map(|_| Hint::Behind { stream: name })),
            Some(Fault::HintBare) => hints.extend(told.map(|hint| match hint {
                Hint::Advanced { stream, epoch, after, upto, .. } => {
                    Hint::Advanced { stream, epoch, after, upto, batch: None }
                }
                other => other,
            })),
            _ => {
                let stream = state.streams.get(&name).filter(|_| before == Offset::ZERO && told.is_some());
                hints.extend(stream.map(|stream| Hint::NewEpoch { stream: name, epoch: stream.epoch }));
                hints.extend(told);
            }
        }
        if let Some(Fault::Unknown { stored: true }) = fault {
            reply = match reply {
                Reply::Append(_) => Reply::Append(Err(StoreError::Unknown)),
                Reply::Heal(_) => Reply::Heal(Err(StoreError::Unknown)),
            };
        }
        reply
    }

    fn change<T>(
        &mut self,
        name: &StreamName,
        epoch: Epoch,
        work: impl FnOnce(&mut Stream, &mut Random) -> T,
    ) -> Result<T, StoreError> {
        let mut state = self.disk.lock();
        let stream = state.streams.get_mut(name).ok_or(StoreError::Epoch { current: Epoch::NONE })?;
        if stream.epoch != epoch {
            return Err(StoreError::Epoch { current: stream.epoch });
        }
        Ok(work(stream, &mut self.random))
    }
}

impl Log for SimulatedLog {
    type Reader = SimulatedReader;

    fn limits(&self) -> Limits {
        self.limits
    }
    fn durability(&self) -> Durability {
        Durability { synced: Synced::NotProvable, replicas: 1 }
    }
    fn commit(&mut self, requests: Vec<Request>) -> Committed {
        let mut hints = std::mem::take(&mut self.late);
        let replies = requests.into_iter().map(|request| self.request(request, &mut hints)).collect();
        Committed { replies, hints }
    }
    fn trim(&mut self, stream: &StreamName, epoch: Epoch, upto: Offset) -> Result<Offset, StoreError> {
        self.change(stream, epoch, |stream, _| {
            let snapshot = stream.snapshot.as_ref().map_or(Offset::ZERO, |snapshot| snapshot.offset);
            let floor = upto.min(snapshot).max(stream.floor);
            stream.floor_check = stream.check(floor).unwrap_or(stream.floor_check);
            stream.events.retain(|event| event.offset > floor);
            stream.is_partial |= floor > stream.floor;
            stream.floor = floor;
            floor
        })
    }
    fn put_snapshot(
        &mut self,
        stream: &StreamName,
        epoch: Epoch,
        snapshot: &Snapshot,
    ) -> Result<SnapshotPut, StoreError> {
        self.change(stream, epoch, |stream, _| {
            if stream.snapshot.as_ref().is_some_and(|there| there.offset >= snapshot.offset) {
                SnapshotPut::Older
            } else if stream.check(snapshot.offset) != Some(snapshot.check) {
                SnapshotPut::Mismatch
            } else {
                stream.snapshot = Some(snapshot.clone());
                SnapshotPut::Stored
            }
        })
    }
    fn new_epoch(&mut self, stream: &StreamName, current: Epoch) -> Result<Epoch, StoreError> {
        self.change(stream, current, |stream, random| {
            stream.epoch = Epoch(random.bytes());
            if stream.floor == Offset::ZERO {
                stream.floor_check = digest::check_of_empty(stream.epoch);
                let check = stream.snapshot.as_ref().and_then(|snapshot| stream.check(snapshot.offset));
                if let (Some(snapshot), Some(check)) = (&mut stream.snapshot, check) {
                    snapshot.check = check;
                }
            }
            stream.epoch
        })
    }
    fn delete(&mut self, stream: &StreamName) -> Result<Epoch, StoreError> {
        let Some(current) = self.disk.lock().streams.get(stream).map(|stream| stream.epoch) else {
            return Ok(Epoch::NONE);
        };
        self.change(stream, current, |stream, random| {
            let (epoch, producers) = (Epoch(random.bytes()), std::mem::take(&mut stream.producers));
            let floor_check = digest::check_of_empty(epoch);
            *stream = Stream { epoch, floor_check, producers, is_partial: true, ..Stream::default() };
            epoch
        })
    }
    fn memory(&self) -> Arc<dyn Memory> {
        Arc::new(NoMemory)
    }
    fn reader(&self) -> Result<SimulatedReader, StoreError> {
        Ok(SimulatedReader(self.disk.clone()))
    }
}

struct NoMemory;

impl Memory for NoMemory {
    fn resume(&self, _: &ResumeRequest) -> Option<ResumeInfo> {
        None
    }
    fn read(&self, _: &ReadRequest) -> Option<ReadAnswer> {
        None
    }
}

impl LogReader for SimulatedReader {
    fn resume(&mut self, request: &ResumeRequest) -> Result<ResumeInfo, StoreError> {
        let state = self.0.lock();
        let Some(stream) = state.streams.get(&request.stream) else { return Ok(ResumeInfo::default()) };
        let at = request.check_at.filter(|(epoch, _)| *epoch == stream.epoch).map(|(_, offset)| offset);
        let producer = stream.producers.get(&request.producer);
        Ok(ResumeInfo {
            epoch: stream.epoch,
            head: stream.head,
            floor: stream.floor,
            check: at.and_then(|at| stream.check(at)),
            known: producer.map(|producer| producer.known(request.settled)).unwrap_or_default(),
        })
    }
    fn read(&mut self, request: &ReadRequest) -> Result<ReadAnswer, StoreError> {
        let state = self.0.lock();
        let empty = Stream::default();
        let stream = state.streams.get(&request.stream).unwrap_or(&empty);
        Ok(if request.epoch != stream.epoch || request.after > stream.head {
            ReadAnswer::Replaced { epoch: stream.epoch }
        } else if request.after < stream.floor {
            ReadAnswer::Trimmed
        } else {
            ReadAnswer::Batch(stream.batch(request.after, request.bytes_max))
        })
    }
    fn check(&mut self, stream: &StreamName, epoch: Epoch, offset: Offset) -> Result<Option<Check>, StoreError> {
        let state = self.0.lock();
        let stream = state.streams.get(stream).filter(|stream| stream.epoch == epoch);
        Ok(stream.and_then(|stream| stream.check(offset)))
    }
    fn offsets_of(
        &mut self,
        stream: &StreamName,
        producer: ProducerId,
        sequences: SequenceRange,
    ) -> Result<Placed, StoreError> {
        let state = self.0.lock();
        let Some(stream) = state.streams.get(stream) else { return Ok(Placed::Trimmed) };
        let last = stream.producers.get(&producer).map_or(0, Producer::last);
        let places = (sequences.first..=sequences.last()).map(|sequence| match stream.fate(producer, sequence) {
            _ if sequence > last => None,
            Some(Outcome::Logged(offset)) => Some(Some(offset)),
            Some(Outcome::Void | Outcome::Refused { .. }) => Some(None),
            None => None,
        });
        Ok(places.collect::<Option<Vec<_>>>().map_or(Placed::Trimmed, Placed::Offsets))
    }
    fn snapshot(
        &mut self,
        stream: &StreamName,
        producers: &[ProducerId],
    ) -> Result<Option<(Epoch, Snapshot)>, StoreError> {
        let state = self.0.lock();
        Ok(state.streams.get(stream).and_then(|stream| {
            let mut snapshot = stream.snapshot.clone()?;
            let record =
                |producer: &ProducerId| snapshot.records.iter().find(|record| record.producer == *producer).cloned();
            snapshot.records = producers.iter().filter_map(record).collect();
            Some((stream.epoch, snapshot))
        }))
    }
}
