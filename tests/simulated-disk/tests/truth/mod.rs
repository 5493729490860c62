//! What is offered to the store, and what it must then hold: the simulated store, and the checks by the real store's
//! epochs.

use bytes::Bytes;
use relay_server::log_store::simulated::{Disk, SimulatedLog, SimulatedReader};
use relay_server::log_store::{Log, LogReader, Reply, Request};
use std::collections::BTreeMap;
use sync_core::digest::{self, Random};
use sync_core::event::{Cause, Content, Event, Kind};
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::{Record, decode_run};

/// What a walk does to the logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Append,
    Heal,
    Snapshot,
    Trim,
    NewEpoch,
    Delete,
}

pub const STREAMS: u64 = 3;
pub const PRODUCERS: u64 = 4;

pub fn stream(number: u64) -> StreamName {
    StreamName::new(&format!("s/{number}")).unwrap()
}

pub fn producer(number: u64) -> ProducerId {
    ProducerId([number as u8 + 1; 16])
}

/// Chance, from one seed.
pub struct Chance(Random);

impl Chance {
    pub fn new(seed: u64) -> Chance {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Chance(Random::new(bytes))
    }
    pub fn below(&mut self, end: u64) -> u64 {
        let bytes: [u8; 16] = self.0.bytes();
        u64::from_be_bytes(bytes[..8].try_into().unwrap()) % end.max(1)
    }
    pub fn seed(&mut self) -> [u8; 32] {
        let (one, two): ([u8; 16], [u8; 16]) = (self.0.bytes(), self.0.bytes());
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&one);
        seed[16..].copy_from_slice(&two);
        seed
    }
}

/// A device's chain in one stream: what it has offered so far.
#[derive(Clone, Default)]
struct Chain {
    last: Sequence,
    tag: Tag,
    /// The last event that was logged.
    logged: (Sequence, Tag),
    /// What it offered last, for repeats.
    newest: Option<Append>,
}

/// The truth.
pub struct Truth {
    log: SimulatedLog,
    pub reader: SimulatedReader,
    chains: BTreeMap<(u64, u64), Chain>,
    /// By the real store's epochs: the check at each offset from the floor on.
    pub logs: BTreeMap<StreamName, Kept>,
    /// Events that an earlier log had, to be healed.
    lost: Vec<(StreamName, Event)>,
    time: u64,
}

/// A log as the real store must have it.
#[derive(Clone)]
pub struct Kept {
    pub epoch: Epoch,
    pub checks: BTreeMap<Offset, Check>,
}

impl Truth {
    pub fn new() -> Truth {
        let disk = Disk::default();
        let log = SimulatedLog::open(disk, [3; 32]);
        let reader = log.reader().unwrap();
        Truth { log, reader, chains: BTreeMap::new(), logs: BTreeMap::new(), lost: vec![], time: 0 }
    }

    /// Requests of different producers, for one commit.
    pub fn offers(&mut self, step: Step, chance: &mut Chance) -> Vec<Request> {
        let mut requests = vec![];
        let first = chance.below(STREAMS * PRODUCERS);
        for number in 0..1 + chance.below(3) {
            let at = (first + number) % (STREAMS * PRODUCERS);
            let (stream, producer) = (at / PRODUCERS, at % PRODUCERS);
            match step {
                Step::Heal if number == 0 => requests.extend(self.heal(chance)),
                _ if chance.below(8) == 0 => requests.extend(self.repeat(stream, producer)),
                _ => requests.push(Request::Append(self.append(stream, producer, chance))),
            }
        }
        requests
    }

    fn content(&mut self, chance: &mut Chance) -> Bytes {
        self.time += 1;
        let bytes = [0, 10, 200, 3_000, 20_000][chance.below(5) as usize];
        Content { kind: Kind::Application, time: self.time, payload: vec![b'x'; bytes].into() }.encode()
    }

    fn append(&mut self, stream_number: u64, producer_number: u64, chance: &mut Chance) -> Append {
        let mut chain = self.chains.get(&(stream_number, producer_number)).cloned().unwrap_or_default();
        let (first, tag_before) = (chain.last + 1, chain.tag);
        let mut items = vec![];
        for _ in 0..1 + chance.below(4) {
            let content = self.content(chance);
            let cause = Cause { stream: StreamHash([9; 8]), epoch: Epoch([1; 16]), offset: Offset(chance.below(9)) };
            (chain.last, chain.tag) = (chain.last + 1, digest::tag(chain.tag, &content));
            let body = match chance.below(10) {
                0 => Body::Void,
                1 => Body::Refused { code: "no".into(), reason: "x".repeat(chance.below(600) as usize) },
                2 => Body::Event { content, causes: vec![cause], needs: Some(chain.logged) },
                3 => Body::Event { content, causes: vec![], needs: Some((chain.last, Tag::ZERO)) },
                _ => Body::Event { content, causes: vec![], needs: None },
            };
            items.push(AppendItem { tag: chain.tag, body });
        }
        let append = Append {
            stream: stream(stream_number),
            epoch: None,
            producer: producer(producer_number),
            first,
            tag_before,
            origin: tag_before,
            author: None,
            items,
        };
        chain.newest = Some(append.clone());
        self.chains.insert((stream_number, producer_number), chain);
        append
    }

    fn repeat(&self, stream: u64, producer: u64) -> Option<Request> {
        Some(Request::Append(self.chains.get(&(stream, producer))?.newest.clone()?))
    }

    /// Some of what was deleted, in its order, or an event that never was in any log.
    fn heal(&mut self, chance: &mut Chance) -> Option<Request> {
        let at = chance.below(STREAMS);
        let mut events: Vec<Event> =
            self.lost.iter().filter(|(name, _)| *name == stream(at)).map(|(_, event)| event.clone()).take(5).collect();
        let number = 10 + chance.below(3);
        let chain = self.chains.entry((at, number)).or_default();
        let (sequence, prev) = (chain.last + 1 + chance.below(2), (chain.last, chain.tag));
        let content = self.content(chance);
        let chain = self.chains.entry((at, number)).or_default();
        (chain.last, chain.tag) = (sequence, digest::tag(chain.tag, &content));
        events.push(Event {
            id: EventId { producer: producer(number), sequence },
            tag: chain.tag,
            tag_before: prev.1,
            prev,
            offset: Offset::ZERO,
            author: None,
            needs_prev: false,
            causes: vec![],
            content,
        });
        Some(Request::Heal(HealRequest { stream: stream(at), epoch: None, events }))
    }

    /// Takes a request as the real store did, and says what it must have answered. `epoch`: the real log's, as answered.
    pub fn takes(&mut self, request: Request, epoch: Option<Epoch>) -> Reply {
        let name = match &request {
            Request::Append(append) => append.stream.clone(),
            Request::Heal(heal) => heal.stream.clone(),
        };
        let before = self.head(&name);
        let reply = self.log.commit(vec![request]).replies.pop().unwrap();
        let Some(epoch) = epoch.filter(|epoch| *epoch != Epoch::NONE) else {
            assert_eq!(self.head(&name), before, "the real store took nothing: {reply:?}");
            return reply;
        };
        let start = digest::check_of_empty(epoch);
        let kept =
            self.logs.entry(name.clone()).or_insert_with(|| Kept { epoch, checks: [(Offset::ZERO, start)].into() });
        assert_eq!(kept.epoch, epoch, "the epoch of {name} changed by itself");
        let mut check = *kept.checks.get(&before).expect("the check at the head is known");
        for event in self.events(&name, before) {
            check = digest::check(check, event.id, event.tag);
            self.logs.get_mut(&name).unwrap().checks.insert(event.offset, check);
            let number = u64::from(event.id.producer.0[0]) - 1;
            if let Ok(at) = name.as_str()[2..].parse()
                && let Some(chain) = self.chains.get_mut(&(at, number))
            {
                chain.logged = (event.id.sequence, event.tag);
            }
        }
        reply
    }

    /// A snapshot of a random place of a log, as it fits the truth's own log and as it fits the real one.
    pub fn snapshot(&mut self, chance: &mut Chance) -> Option<(StreamName, Snapshot, Snapshot)> {
        let name = stream(chance.below(STREAMS));
        let info = self.info(&name, producer(0));
        let kept = self.logs.get(&name)?.clone();
        let offset = Offset(info.floor.0 + chance.below(info.head.0 - info.floor.0 + 1));
        let check = self.reader.check(&name, info.epoch, offset).unwrap()?;
        let parts =
            (0..chance.below(4)).map(|part| vec![part as u8; 1 + chance.below(9_000) as usize].into()).collect();
        let records: Vec<Record> = (0..PRODUCERS)
            .map(|number| Record { producer: producer(number), logged: (1, Tag::ZERO), refused: vec![] })
            .collect();
        let own = Snapshot { offset, check, parts, records };
        let real = Snapshot { check: kept.checks[&offset], ..own.clone() };
        Some((name, own, real))
    }
    pub fn put_snapshot(&mut self, name: &StreamName, snapshot: &Snapshot) {
        let epoch = self.info(name, producer(0)).epoch;
        self.log.put_snapshot(name, epoch, snapshot).unwrap();
    }
    pub fn trim(&mut self, name: &StreamName, upto: Offset) -> Offset {
        let epoch = self.info(name, producer(0)).epoch;
        let floor = self.log.trim(name, epoch, upto).unwrap();
        self.logs.get_mut(name).unwrap().checks.retain(|offset, _| *offset >= floor);
        floor
    }
    /// The real log has this epoch from now on; its events stay.
    pub fn new_epoch(&mut self, name: &StreamName, epoch: Epoch) {
        let info = self.info(name, producer(0));
        self.log.new_epoch(name, info.epoch).unwrap();
        let kept = self.logs.get_mut(name).unwrap();
        kept.epoch = epoch;
        if info.floor == Offset::ZERO {
            let mut check = digest::check_of_empty(epoch);
            let mut checks = BTreeMap::from([(Offset::ZERO, check)]);
            for event in self.events(name, Offset::ZERO) {
                check = digest::check(check, event.id, event.tag);
                checks.insert(event.offset, check);
            }
            self.logs.get_mut(name).unwrap().checks = checks;
        }
    }
    /// The real log is empty and has this epoch from now on.
    pub fn delete(&mut self, name: &StreamName, epoch: Epoch) {
        let floor = self.info(name, producer(0)).floor;
        let events = self.events(name, floor);
        self.lost.extend(events.into_iter().map(|event| (name.clone(), event)));
        self.log.delete(name).unwrap();
        let checks = BTreeMap::from([(Offset::ZERO, digest::check_of_empty(epoch))]);
        self.logs.insert(name.clone(), Kept { epoch, checks });
    }

    pub fn info(&mut self, name: &StreamName, producer: ProducerId) -> ResumeInfo {
        self.reader.resume(&ResumeRequest { stream: name.clone(), producer, settled: 1, check_at: None }).unwrap()
    }
    fn head(&mut self, name: &StreamName) -> Offset {
        self.info(name, producer(0)).head
    }
    /// The events behind an offset that is not below the floor.
    pub fn events(&mut self, name: &StreamName, after: Offset) -> Vec<Event> {
        let epoch = self.info(name, producer(0)).epoch;
        let request = ReadRequest { stream: name.clone(), epoch, after, bytes_max: usize::MAX };
        match self.reader.read(&request).unwrap() {
            ReadAnswer::Batch(batch) => events_of(&batch),
            other => panic!("{other:?}"),
        }
    }
}

/// The events of a batch.
pub fn events_of(batch: &Batch) -> Vec<Event> {
    let runs = batch.runs.iter().map(|run| decode_run(&run.bytes).unwrap());
    runs.flat_map(|run| run.events(|_, _| None).unwrap()).collect()
}
