//! The log store for tests: in memory, as plain as it can be, with every outcome that a real store may have on demand.
//! It shares no code with the embedded one, so that each is a check of the other.

use super::*;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use sync_core::digest::{self, Random};
use sync_core::event::Run;
use sync_core::wire::{Known, Refusal, encode_run};

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

#[derive(Clone, Default)]
struct State {
    streams: BTreeMap<StreamName, Stream>,
    faults: VecDeque<Fault>,
}

#[derive(Clone, Default)]
struct Stream {
    epoch: Epoch,
    floor: Offset,
    floor_check: Check,
    /// Behind the floor, without gaps.
    events: Vec<Event>,
    snapshot: Option<Snapshot>,
    producers: BTreeMap<ProducerId, Producer>,
    /// Something that the log held is gone.
    is_partial: bool,
}

#[derive(Clone, Default)]
struct Producer {
    last: Sequence,
    tag: Tag,
    logged: (Sequence, Tag),
    refused: Vec<Refusal>,
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
        let before = state.streams.get(&name).map_or(Offset::ZERO, Stream::head);
        let mut reply = match (request, refused) {
            (Request::Append(_), Some(error)) => Reply::Append(Err(error)),
            (Request::Heal(_), Some(error)) => Reply::Heal(Err(error)),
            (Request::Append(append), None) => {
                Reply::Append(append_to(&mut state, &mut self.random, self.limits, &append))
            }
            (Request::Heal(heal), None) => Reply::Heal(heal_in(&mut state, &mut self.random, self.limits, &heal)),
        };
        let told = state.streams.get(&name).filter(|stream| stream.head() > before);
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

/// The stream of a request, born if need be.
fn stream_for<'s>(
    state: &'s mut State,
    random: &mut Random,
    name: &StreamName,
    epoch: Option<Epoch>,
) -> Result<(Stream, &'s mut BTreeMap<StreamName, Stream>), StoreError> {
    let stream = match state.streams.get(name) {
        Some(stream) => match epoch {
            Some(epoch) if epoch != stream.epoch => return Err(StoreError::Epoch { current: stream.epoch }),
            _ => stream.clone(),
        },
        None if epoch.unwrap_or(Epoch::NONE) != Epoch::NONE => return Err(StoreError::Epoch { current: Epoch::NONE }),
        None => {
            let epoch = Epoch(random.bytes());
            Stream { epoch, floor_check: digest::check_of_empty(epoch), ..Stream::default() }
        }
    };
    Ok((stream, &mut state.streams))
}

fn append_to(state: &mut State, random: &mut Random, limits: Limits, append: &Append) -> Result<Appended, StoreError> {
    if !limits.allow_append(append) {
        return Err(StoreError::TooLarge);
    }
    let (mut stream, streams) = stream_for(state, random, &append.stream, append.epoch)?;
    let known = stream.producers.get(&append.producer).cloned().unwrap_or_default();
    let broken = StoreError::Chain { known: known.known(), head: stream.head() };
    let last = append.first + append.items.len() as u64 - 1;
    let repeated = if append.first == known.last + 1 && append.tag_before == known.tag {
        0
    } else if (append.first..=last).contains(&known.last)
        && append.items[(known.last - append.first) as usize].tag == known.tag
    {
        (known.last - append.first + 1) as usize
    } else {
        return Err(broken);
    };
    let mut outcomes = vec![];
    for sequence in (append.first..).take(repeated) {
        outcomes.push(stream.fate(append.producer, sequence).ok_or(broken.clone())?);
    }
    let mut tag_before = if repeated == 0 { append.origin } else { append.items[repeated - 1].tag };
    for (sequence, item) in (append.first..).zip(&append.items).skip(repeated) {
        let id = EventId { producer: append.producer, sequence };
        let logged = stream.producers.get(&append.producer).cloned().unwrap_or_default().logged;
        let outcome = match &item.body {
            Body::Event { needs: Some(need), .. } if *need != logged => {
                stream.refuse(id, item.tag, DEPENDS_ON_REJECTED, "")
            }
            Body::Event { content, causes, needs } => {
                let offset = stream.log(Event {
                    id,
                    tag: item.tag,
                    tag_before,
                    prev: logged,
                    offset: Offset::ZERO,
                    author: append.author.clone(),
                    needs_prev: needs.is_some(),
                    causes: causes.clone(),
                    content: content.clone(),
                });
                Outcome::Logged(DurableOffset::minted_by_store(offset))
            }
            Body::Void => {
                stream.use_up(id, item.tag);
                Outcome::Void
            }
            Body::Refused { code, reason } => stream.refuse(id, item.tag, code, reason),
        };
        outcomes.push(outcome);
        tag_before = item.tag;
    }
    let head = DurableOffset::minted_by_store(stream.head());
    let appended = Appended { epoch: stream.epoch, outcomes, new: append.items.len() - repeated, head };
    streams.insert(append.stream.clone(), stream);
    Ok(appended)
}

fn heal_in(state: &mut State, random: &mut Random, limits: Limits, heal: &HealRequest) -> Result<Healed, StoreError> {
    if !limits.allow_heal(heal) {
        return Err(StoreError::TooLarge);
    }
    let existed = state.streams.contains_key(&heal.stream);
    let (mut stream, streams) = stream_for(state, random, &heal.stream, heal.epoch)?;
    let mut outcomes = vec![];
    for event in &heal.events {
        let known = stream.producers.get(&event.id.producer).cloned().unwrap_or_default();
        let (prev, prev_tag) = event.prev;
        let is_after_logged = prev == known.logged.0;
        outcomes.push(if event.id.sequence <= known.last {
            HealOutcome::Passed
        } else if prev > known.last || (is_after_logged && prev_tag != known.logged.1) {
            HealOutcome::Gap
        } else if event.needs_prev && !is_after_logged {
            stream.refuse(event.id, event.tag, DEPENDS_ON_REJECTED, "");
            HealOutcome::Passed
        } else {
            let offset = stream.log(Event { prev: known.logged, ..event.clone() });
            HealOutcome::Taken(DurableOffset::minted_by_store(offset))
        });
    }
    let head = DurableOffset::minted_by_store(stream.head());
    if !existed && stream.producers.is_empty() {
        return Ok(Healed { epoch: Epoch::NONE, outcomes, head });
    }
    let epoch = stream.epoch;
    streams.insert(heal.stream.clone(), stream);
    Ok(Healed { epoch, outcomes, head })
}

impl Producer {
    fn known(&self) -> Known {
        Known { last: self.last, tag: self.tag, refused: self.refused.clone() }
    }
}

impl Stream {
    fn head(&self) -> Offset {
        Offset(self.floor.0 + self.events.len() as u64)
    }
    fn use_up(&mut self, id: EventId, tag: Tag) -> &mut Producer {
        let producer = self.producers.entry(id.producer).or_default();
        (producer.last, producer.tag) = (id.sequence, tag);
        producer
    }
    fn refuse(&mut self, id: EventId, tag: Tag, code: &str, reason: &str) -> Outcome {
        let (code, reason) = (code.to_string(), reason.to_string());
        let refusal = Refusal { sequence: id.sequence, tag, code: code.clone(), reason: reason.clone() };
        self.use_up(id, tag).refused.push(refusal);
        Outcome::Refused { code, reason }
    }
    fn log(&mut self, event: Event) -> Offset {
        self.use_up(event.id, event.tag).logged = (event.id.sequence, event.tag);
        let offset = Offset(self.head().0 + 1);
        self.events.push(Event { offset, ..event });
        offset
    }
    /// What became of a sequence that was used up; `None`: the log that told is gone.
    fn fate(&self, producer: ProducerId, sequence: Sequence) -> Option<Outcome> {
        let known = self.producers.get(&producer)?;
        if let Some(refusal) = known.refused.iter().find(|refusal| refusal.sequence == sequence) {
            return Some(Outcome::Refused { code: refusal.code.clone(), reason: refusal.reason.clone() });
        }
        let mut own = self.events.iter().filter(|event| event.id.producer == producer);
        if let Some(event) = own.clone().find(|event| event.id.sequence == sequence) {
            return Some(Outcome::Logged(DurableOffset::minted_by_store(event.offset)));
        }
        let has_earlier = own.any(|event| event.id.sequence < sequence);
        (!self.is_partial || has_earlier || sequence > known.logged.0).then_some(Outcome::Void)
    }
    fn check(&self, offset: Offset) -> Option<Check> {
        let known = self.floor <= offset && offset <= self.head();
        let events = self.events.iter().take_while(|event| event.offset <= offset);
        known.then(|| events.fold(self.floor_check, |check, event| digest::check(check, event.id, event.tag)))
    }
    fn batch(&self, after: Offset, bytes_max: usize) -> Batch {
        let mut bytes = 0;
        let behind = self.events.iter().filter(|event| event.offset > after).take_while(|event| {
            let is_first = bytes == 0;
            bytes += event.bytes();
            is_first || bytes <= bytes_max
        });
        let events: Vec<&Event> = behind.collect();
        let upto = DurableOffset::minted_by_store(events.last().map_or(after, |event| event.offset));
        Batch { after, upto, runs: Run::group(events).iter().map(encoded).collect() }
    }
    fn advanced(&self, stream: &StreamName, after: Offset) -> Hint {
        let batch = self.batch(after, usize::MAX);
        Hint::Advanced { stream: stream.clone(), epoch: self.epoch, after, upto: batch.upto, batch: Some(batch) }
    }
}

fn encoded(run: &Run) -> EncodedRun {
    let content_bytes = match &run.bodies {
        sync_core::event::Bodies::Contents(contents) => contents.iter().map(|content| content.len() as u32).sum(),
        sync_core::event::Bodies::Own(_) => 0,
    };
    EncodedRun {
        producer: run.producer,
        first: run.first,
        events: run.bodies.len() as u32,
        offset: run.offset,
        content_bytes,
        bytes: encode_run(run).into(),
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
        let check = request.check_at.filter(|(epoch, _)| *epoch == stream.epoch);
        Ok(ResumeInfo {
            epoch: stream.epoch,
            head: stream.head(),
            floor: stream.floor,
            check: check.and_then(|(_, offset)| stream.check(offset)),
            known: stream.producers.get(&request.producer).map(Producer::known).unwrap_or_default(),
        })
    }
    fn read(&mut self, request: &ReadRequest) -> Result<ReadAnswer, StoreError> {
        let state = self.0.lock();
        let empty = Stream::default();
        let stream = state.streams.get(&request.stream).unwrap_or(&empty);
        Ok(if request.epoch != stream.epoch || request.after > stream.head() {
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
        let last = stream.producers.get(&producer).map_or(0, |known| known.last);
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
