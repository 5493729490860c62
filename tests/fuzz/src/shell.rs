//! The honest surroundings of a device that a target then disturbs: a local store, sockets, and behind each of them a
//! real relay over one store in memory, which may lose what it has, and may begin a log with a snapshot.

use crate::forge::Seen;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use sync_core::device::{Device, Input, Notice, Options, Output, Socket};
use sync_core::event::{Content, Kind};
use sync_core::ids::*;
use sync_core::memory::{MemoryDisk, MemoryStore};
use sync_core::relay::store::{Append, AppendItem, Body, ReadAnswer, Snapshot};
use sync_core::relay::{self, Answer, Relay, RelayConfig, Request, SharedBatch, TakeAll};
use sync_core::time::Millis;
use sync_core::wire::{Access, Turn};
use sync_core::{digest, limits};

/// A store in memory, with a snapshot where somebody put one.
#[derive(Clone, Default)]
pub struct Store {
    pub memory: MemoryStore,
    pub snapshots: BTreeMap<StreamName, Snapshot>,
}

impl Store {
    /// A store whose logs get other epochs than those of stores of other numbers.
    pub fn numbered(number: u8) -> Store {
        let mut store = Store::default();
        let elsewhere = StreamName::new("elsewhere").expect("a name");
        for count in 0..u64::from(number % 8) * 3 {
            let append = next_event(&mut store, &elsewhere, ProducerId([0xEE; 16]), Bytes::from(vec![count as u8]));
            store.answer(&Request::Append(append));
        }
        store
    }

    /// As the memory store does, but that a log's beginning is only in its snapshot.
    pub fn answer(&mut self, request: &Request) -> (Answer, Option<SharedBatch>) {
        let (answer, news) = self.memory.answer(request);
        let floor = |stream| self.snapshots.get(stream).map_or(Offset::ZERO, |snapshot| snapshot.offset);
        let answer = match (answer, request) {
            (Answer::Resume(Ok(mut info)), Request::Resume(ask)) => {
                info.floor = floor(&ask.stream);
                info.check = info.check.filter(|_| ask.check_at.is_some_and(|(_, at)| at >= info.floor));
                Answer::Resume(Ok(info))
            }
            (Answer::Read(Ok(ReadAnswer::Batch(_))), Request::Read(ask)) if ask.after < floor(&ask.stream) => {
                Answer::Read(Ok(ReadAnswer::Trimmed))
            }
            (Answer::Snapshot(Ok(None)), Request::Snapshot { stream, .. }) => {
                let epoch = self.known(stream, ProducerId::default()).0;
                Answer::Snapshot(Ok(self.snapshots.get(stream).map(|snapshot| (epoch, snapshot.clone()))))
            }
            (answer, _) => answer,
        };
        (answer, news)
    }

    /// The epoch of a log, and what it has of a producer: its last sequence and that one's tag.
    pub fn known(&mut self, stream: &StreamName, producer: ProducerId) -> (Epoch, Sequence, Tag) {
        let ask = relay::store::ResumeRequest { stream: stream.clone(), producer, settled: 1, check_at: None };
        match self.memory.answer(&Request::Resume(ask)).0 {
            Answer::Resume(Ok(info)) => (info.epoch, info.known.last, info.known.tag),
            other => unreachable!("a memory store answers what it is asked: {other:?}"),
        }
    }
}

/// The next event of somebody whose chain the store has.
pub fn next_event(store: &mut Store, stream: &StreamName, producer: ProducerId, payload: Bytes) -> Append {
    let (_, last, tag_before) = store.known(stream, producer);
    let content = Content { kind: Kind::Application, time: 0, payload }.encode();
    let tag = digest::tag(tag_before, &content);
    let body = Body::Event { content, causes: vec![], needs: None };
    Append {
        stream: stream.clone(),
        epoch: None,
        producer,
        first: last + 1,
        tag_before,
        origin: tag_before,
        author: None,
        items: vec![AppendItem { tag, body }],
    }
}

/// What a device asked of its shell and was not answered.
#[derive(Clone, Debug)]
pub enum Ask {
    Commit { transaction: u64, writes: Vec<sync_core::device::Write> },
    Load { request: u64, table: sync_core::device::Table, from: Vec<u8>, to: Vec<u8>, bytes_max: usize },
    Dial(Socket),
}

/// One socket's far end.
pub struct Line {
    relay: Relay,
    /// Frames that the device has not read.
    pub to_device: VecDeque<Bytes>,
}

/// A device with all that is around it.
pub struct Shell {
    pub device: Device,
    pub disk: MemoryDisk,
    pub asks: Vec<Ask>,
    pub store: Store,
    pub lines: BTreeMap<Socket, Line>,
    pub seen: Seen,
    pub now: Millis,
    /// What the device told since this was last taken.
    pub notices: Vec<Notice>,
    pub pages: Vec<sync_core::device::Page>,
    commits: usize,
    /// Bytes of frames since it last committed: what they lead to is told with the commit that it waits for.
    heard: usize,
    wakes_at: Option<Millis>,
}

/// Outputs of one input beside one for each of its bytes, and inputs until all is quiet while time stands still: far more than any honest run needs.
const OUTPUTS_MAX: usize = 4096;
const ROUNDS_MAX: usize = 20_000;

impl Shell {
    pub fn new(options: Options) -> Shell {
        let mut shell = Shell {
            device: Device::new([7; 32], options),
            disk: MemoryDisk::default(),
            asks: vec![],
            store: Store::numbered(0),
            lines: BTreeMap::new(),
            seen: Seen::default(),
            now: Millis(1000),
            notices: vec![],
            pages: vec![],
            commits: 0,
            heard: 0,
            wakes_at: None,
        };
        shell.drain();
        shell
    }

    /// Another start of the device on what it has stored; what it had under way never happens.
    pub fn restart(&mut self, seed: u8, options: Options) {
        self.device = Device::new([seed; 32], options);
        (self.asks, self.lines, self.wakes_at) = (vec![], BTreeMap::new(), None);
        (self.commits, self.heard) = (0, 0);
        self.drain();
    }

    /// One input, and all that it leads to.
    pub fn give(&mut self, input: Input) {
        let is_commit = matches!(input, Input::Committed { .. } | Input::StorageFailed(_));
        if let Input::Frame { bytes, .. } = &input {
            self.heard += bytes.len();
        }
        if is_commit {
            self.commits = 0;
        }
        self.device.handle_input(self.now, input);
        self.drain_within(OUTPUTS_MAX + self.heard);
        if is_commit {
            self.heard = 0;
        }
    }

    fn drain(&mut self) {
        self.drain_within(OUTPUTS_MAX);
    }

    fn drain_within(&mut self, outputs_max: usize) {
        let mut outputs = 0;
        while let Some(output) = self.device.poll_output() {
            outputs += 1;
            assert!(outputs <= outputs_max, "one input made more than {outputs_max} outputs");
            match output {
                Output::Commit { transaction, writes } => {
                    self.commits += 1;
                    assert_eq!(self.commits, 1, "a second transaction while one is under way");
                    self.asks.push(Ask::Commit { transaction, writes });
                }
                Output::Load { request, table, from, to, bytes_max } => {
                    self.asks.push(Ask::Load { request, table, from, to, bytes_max });
                }
                Output::Dial(socket) => self.asks.push(Ask::Dial(socket)),
                Output::Send { socket, bytes } => {
                    assert!(bytes.len() <= limits::MESSAGE_BYTES_MAX, "a message of {} bytes", bytes.len());
                    self.seen.note_ups(&bytes);
                    self.relay_hears(socket, relay::Input::Message(bytes));
                }
                Output::HangUp(socket) => drop(self.lines.remove(&socket)),
                Output::WakeAt(at) => {
                    assert!(at > self.now, "to be woken at once is to never sleep");
                    self.wakes_at = Some(at);
                }
                Output::Page(page) => self.pages.push(page),
                Output::Notice(notice) => self.notices.push(notice),
                Output::NeedsToken { .. } => {}
            }
        }
    }

    /// One input of a relay, and all that it leads to.
    fn relay_hears(&mut self, socket: Socket, input: relay::Input) {
        let mut inputs = VecDeque::from([(socket, input)]);
        while let Some((socket, input)) = inputs.pop_front() {
            let Some(line) = self.lines.get_mut(&socket) else { continue };
            line.relay.handle_input(input, self.now);
            let mut news = vec![];
            while let Some(output) = line.relay.poll_output() {
                match output {
                    relay::Output::Authenticate { .. } => {
                        let (subject, access) = (None, Access::Write);
                        inputs.push_back((socket, relay::Input::Authenticated { subject, access, time: 0 }));
                    }
                    relay::Output::Send(bytes) => {
                        self.seen.note_downs(&bytes);
                        line.to_device.push_back(bytes);
                    }
                    relay::Output::Store { request, ask } => {
                        let (answer, brought) = self.store.answer(&ask);
                        inputs.push_back((socket, relay::Input::Stored { request, answer }));
                        news.extend(brought.map(Arc::new));
                    }
                    relay::Output::TurnWanted(stream) => {
                        inputs.push_back((socket, relay::Input::Turn { stream, turn: Turn::Go }));
                    }
                    _ => {}
                }
            }
            for batch in news {
                let all = self.lines.keys().map(|socket| (*socket, relay::Input::Advanced(batch.clone())));
                inputs.extend(all);
            }
        }
    }

    /// Somebody else writes.
    pub fn write_elsewhere(&mut self, stream: &StreamName, producer: ProducerId, payload: Bytes) {
        let append = next_event(&mut self.store, stream, producer, payload);
        if let Some(batch) = self.store.answer(&Request::Append(append)).1.map(Arc::new) {
            for socket in self.lines.keys().copied().collect::<Vec<_>>() {
                self.relay_hears(socket, relay::Input::Advanced(batch.clone()));
            }
        }
    }

    /// The relay's disk is another now: its connections are gone.
    pub fn replace_store(&mut self, store: Store) {
        self.store = store;
        for socket in std::mem::take(&mut self.lines).into_keys() {
            self.give(Input::SocketClosed { socket, code: None });
        }
    }

    /// Answers one question as an honest shell does.
    pub fn answer(&mut self, at: usize) {
        match self.asks.remove(at) {
            Ask::Commit { transaction, writes } => {
                self.disk.commit(writes);
                self.give(Input::Committed { transaction });
            }
            Ask::Load { request, table, from, to, bytes_max } => {
                let (rows, more) = self.disk.load(table, from, to, bytes_max);
                self.give(Input::Loaded { request, rows, more });
            }
            Ask::Dial(socket) => {
                let config = RelayConfig::new([9; 16]);
                let relay = Relay::new(config, Arc::new(TakeAll), [3; 32], self.now);
                self.lines.insert(socket, Line { relay, to_device: VecDeque::new() });
                self.give(Input::SocketOpened(socket));
            }
        }
    }

    /// The next frame of a socket.
    pub fn take_frame(&mut self, socket: Socket) -> Option<Bytes> {
        self.lines.get_mut(&socket)?.to_device.pop_front()
    }

    /// Everything is answered and delivered in order, until nothing is left. Time stands still.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let waiting = self.lines.iter().find(|(_, line)| !line.to_device.is_empty()).map(|(socket, _)| *socket);
            if !self.asks.is_empty() {
                self.answer(0);
            } else if let Some(socket) = waiting {
                let bytes = self.take_frame(socket).expect("just seen");
                self.give(Input::Frame { socket, bytes });
                self.give(Input::Buffered { socket, bytes: 0 });
            } else {
                return;
            }
        }
        panic!("not quiet after {ROUNDS_MAX} steps in which no time passed");
    }

    /// Time passes to where the device wants to be woken, and a little more, on both sides.
    pub fn pass_time(&mut self) {
        self.now = self.now.max(self.wakes_at.unwrap_or(self.now)).plus(1);
        for socket in self.lines.keys().copied().collect::<Vec<_>>() {
            self.relay_hears(socket, relay::Input::Timer);
        }
        self.give(Input::Timer);
    }
}
