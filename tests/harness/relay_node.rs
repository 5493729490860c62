//! The relay's process: one real `Relay` for each connection, around the simulated store. What a shell does is done here,
//! step by step, at moments that the world chooses: the store's requests, its answers, the hints of its feed.

use crate::memory::{self, Held};
use crate::network::{Connection, NetworkInput, Way};
use crate::rng::Rng;
use crate::store::Store;
use bytes::Bytes;
use relay_server::log_store::Hint;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use sync_core::ids::{Epoch, StreamName};
use sync_core::relay::store::{Body, StoreError};
use sync_core::relay::{Answer, HealTurns, Input, Output, Relay, RelayConfig, Request, SharedBatch, TakeAll};
use sync_core::time::Millis;
use sync_core::wire::{Access, CloseCode, Turn};

/// Names a request to the store within the relay's process, in the order in which they were made.
pub type Ticket = u64;

/// Within so many milliseconds a lost hint becomes one that says to read.
const HINT_MS_MAX: u64 = 1_000;

/// A request to the store.
#[derive(Clone, Debug)]
pub struct UnderWay {
    /// Who asked.
    pub connection: Connection,
    /// The connection's number for it.
    pub request: u64,
    /// What.
    pub ask: Request,
    /// Done, and not yet told.
    pub answer: Option<Answer>,
}

/// How the store does a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Manner {
    /// As asked.
    Do,
    /// The validator refuses this event of it.
    Refuse(usize),
    /// It is done, and the answer is *unknown*.
    UnknownStored,
    /// It is not done, and the answer is *unknown*.
    UnknownLost,
    /// It is not done, and the answer is *busy*.
    Busy,
}

/// What the feed has for a connection and has not reached it.
#[derive(Clone, Debug)]
enum News {
    Advanced(Arc<SharedBatch>),
    Behind(StreamName),
    NewEpoch(StreamName),
}

impl News {
    fn stream(&self) -> &StreamName {
        match self {
            News::Advanced(batch) => &batch.stream,
            News::Behind(stream) | News::NewEpoch(stream) => stream,
        }
    }
    fn into_input(self) -> Input {
        match self {
            News::Advanced(batch) => Input::Advanced(batch),
            News::Behind(stream) => Input::Behind(stream),
            News::NewEpoch(stream) => Input::NewEpoch(stream),
        }
    }
}

struct Serving {
    machine: Relay,
    wake: Option<Millis>,
    followed: BTreeSet<StreamName>,
    hints: VecDeque<News>,
    lost: Vec<(Millis, StreamName)>,
}

/// The relay's process.
pub struct RelayNode {
    rng: Rng,
    /// What it has on stable storage.
    pub store: Store,
    turns: HealTurns,
    connections: BTreeMap<Connection, Serving>,
    under_way: BTreeMap<Ticket, UnderWay>,
    tickets: Ticket,
    outputs: VecDeque<NetworkInput>,
    /// Why connections were closed by the relay.
    pub closed: Vec<(Connection, CloseCode)>,
    /// Connections that hold as much as they may, or more, since this was taken last.
    pub held: Vec<(Connection, Held)>,
}

impl RelayNode {
    /// A relay with an empty store.
    pub fn new(seed: u64) -> RelayNode {
        let mut rng = Rng::new(seed);
        let store = Store::new(rng.number());
        RelayNode {
            rng,
            store,
            turns: HealTurns::new(),
            connections: BTreeMap::new(),
            under_way: BTreeMap::new(),
            tickets: 0,
            outputs: VecDeque::new(),
            closed: vec![],
            held: vec![],
        }
    }

    /// A device's socket has reached it.
    pub fn accept(&mut self, now: Millis, connection: Connection) {
        let config = RelayConfig::new([7; 16]);
        let machine = Relay::new(config, Arc::new(TakeAll), self.rng.seed(), now);
        let serving = Serving { machine, wake: None, followed: BTreeSet::new(), hints: VecDeque::new(), lost: vec![] };
        self.connections.insert(connection, serving);
        self.perform(now, connection, None);
    }
    /// The socket is gone.
    pub fn closed(&mut self, now: Millis, connection: Connection) {
        if self.connections.remove(&connection).is_some() {
            let turns = self.turns.disconnected(connection, now);
            self.tell_turns(now, turns);
        }
    }
    /// A frame came.
    pub fn receive(&mut self, now: Millis, connection: Connection, frame: Bytes) {
        self.perform(now, connection, Some(Input::Message(frame)));
    }
    /// Whether it reads this connection's socket now.
    pub fn wants_input(&self, connection: Connection) -> bool {
        self.connections.get(&connection).is_none_or(|serving| serving.machine.wants_input())
    }
    /// Whether the connection is served by this process.
    pub fn serves(&self, connection: Connection) -> bool {
        self.connections.contains_key(&connection)
    }

    /// Gives a machine one input and performs its outputs: the drain rule.
    fn perform(&mut self, now: Millis, connection: Connection, input: Option<Input>) {
        let mut inputs: VecDeque<Option<Input>> = VecDeque::from([input]);
        let mut turns = vec![];
        while let Some(input) = inputs.pop_front() {
            let Some(serving) = self.connections.get_mut(&connection) else { break };
            if let Some(input) = input {
                serving.machine.handle_input(input, now);
            }
            let (mut gone, mut sent_bytes) = (None, 0);
            while let Some(output) = serving.machine.poll_output() {
                match output {
                    Output::Authenticate { .. } => inputs.push_back(Some(Input::Authenticated {
                        subject: None,
                        access: Access::Write,
                        time: now.0,
                    })),
                    Output::Send(bytes) => {
                        sent_bytes += bytes.len();
                        self.outputs.push_back(NetworkInput::Send { connection, way: Way::Down, bytes });
                    }
                    Output::Store { request, ask } => {
                        self.tickets += 1;
                        self.under_way.insert(self.tickets, UnderWay { connection, request, ask, answer: None });
                    }
                    Output::Follow(stream) => {
                        serving.followed.insert(stream);
                    }
                    Output::Unfollow(stream) => {
                        serving.followed.remove(&stream);
                    }
                    Output::TurnWanted(stream) => {
                        let turn = self.turns.wanted(connection, &stream, now);
                        inputs.push_back(Some(Input::Turn { stream, turn }));
                    }
                    Output::TurnUsed(stream) => self.turns.used(connection, &stream, now),
                    Output::TurnDone(stream) => {
                        turns.extend(self.turns.done(connection, &stream, now).map(|next| (next, stream)));
                    }
                    Output::WakeAt(at) => serving.wake = Some(at),
                    Output::Close(code) => gone = Some(code),
                }
            }
            let held = memory::of_relay(serving.machine.queued(), sent_bytes);
            self.held.extend(held.map(|held| (connection, held)));
            if let Some(code) = gone {
                self.closed.push((connection, code));
                self.outputs.push_back(NetworkInput::HangUp { connection, way: Way::Down, code: Some(code) });
                self.closed(now, connection);
            }
        }
        self.tell_turns(now, turns);
    }
    fn tell_turns(&mut self, now: Millis, turns: Vec<(Connection, StreamName)>) {
        for (connection, stream) in turns {
            self.perform(now, connection, Some(Input::Turn { stream, turn: Turn::Go }));
        }
    }
    /// What it has done to the network since it was asked last.
    pub fn poll_output(&mut self) -> Option<NetworkInput> {
        self.outputs.pop_front()
    }

    /// Requests that the store has not answered.
    pub fn under_way(&self) -> impl Iterator<Item = (Ticket, &UnderWay)> {
        self.under_way.iter().map(|(ticket, under_way)| (*ticket, under_way))
    }
    /// The events of a request that could be refused now: those of a publish that goes on where the log is.
    pub fn refusable(&self, ticket: Ticket) -> Vec<usize> {
        let Some(UnderWay { ask: Request::Append(append), answer: None, .. }) = self.under_way.get(&ticket) else {
            return vec![];
        };
        let known = self.store.known(&append.stream, append.producer);
        let goes_on = (append.first, append.tag_before) == (known.last + 1, known.tag);
        let is_event = |index: &usize| matches!(append.items[*index].body, Body::Event { .. });
        (0..append.items.len()).filter(|index| goes_on && is_event(index)).collect()
    }

    /// The next step of a request: the store does it, or its answer reaches the connection.
    pub fn step(&mut self, now: Millis, ticket: Ticket, how: Manner) {
        let Some(mut under_way) = self.under_way.remove(&ticket) else { return };
        match under_way.answer.take() {
            None => {
                under_way.answer = Some(self.answer(&under_way, how));
                self.under_way.insert(ticket, under_way);
                self.feed();
            }
            Some(answer) => {
                let UnderWay { connection, request, .. } = under_way;
                self.perform(now, connection, Some(Input::Stored { request, answer }));
            }
        }
    }

    fn answer(&mut self, under_way: &UnderWay, how: Manner) -> Answer {
        let error = match how {
            Manner::Busy => Some(StoreError::Busy),
            Manner::UnknownLost | Manner::UnknownStored => Some(StoreError::Unknown),
            Manner::Do | Manner::Refuse(_) => None,
        };
        let done = !matches!(how, Manner::Busy | Manner::UnknownLost);
        match &under_way.ask {
            Request::Append(append) => {
                let mut append = append.clone();
                if let Manner::Refuse(index) = how {
                    append.items[index].body = Body::Refused { code: "refused".into(), reason: "chance".into() };
                }
                let answer = done.then(|| self.store.append(&append));
                Answer::Append(error.map_or_else(|| answer.unwrap_or(Err(StoreError::Busy)), Err))
            }
            Request::Heal(heal) => {
                let answer = done.then(|| self.store.heal(heal));
                Answer::Heal(error.map_or_else(|| answer.unwrap_or(Err(StoreError::Busy)), Err))
            }
            Request::Resume(resume) => Answer::Resume(error.map_or_else(|| self.store.resume(resume), Err)),
            Request::Read(read) => Answer::Read(error.map_or_else(|| self.store.read(read), Err)),
            Request::Snapshot { stream, records } => {
                Answer::Snapshot(error.map_or_else(|| self.store.snapshot(stream, records), Err))
            }
        }
    }

    /// Hands what the feed tells to the connections that follow: what the hub does.
    fn feed(&mut self) {
        for hint in self.store.hints() {
            let shared = match &hint {
                Hint::Advanced { stream, epoch, batch: Some(batch), .. } => {
                    Some(Arc::new(SharedBatch::new(stream.clone(), *epoch, batch.clone())))
                }
                _ => None,
            };
            for serving in self.connections.values_mut() {
                let about = serving.followed.iter().filter(|stream| hint.stream().is_none_or(|s| s == *stream));
                for stream in about.cloned().collect::<Vec<_>>() {
                    serving.hints.push_back(match (&hint, &shared) {
                        (Hint::NewEpoch { .. }, _) => News::NewEpoch(stream),
                        (_, Some(batch)) => News::Advanced(batch.clone()),
                        (Hint::Advanced { .. } | Hint::Behind { .. } | Hint::AllBehind, None) => News::Behind(stream),
                    });
                }
            }
        }
    }
    /// Connections for which the feed has something.
    pub fn hinted(&self) -> impl Iterator<Item = Connection> {
        self.connections.iter().filter(|(_, serving)| !serving.hints.is_empty()).map(|(connection, _)| *connection)
    }
    /// The next hint reaches its connection.
    pub fn pump(&mut self, now: Millis, connection: Connection) {
        let Some(hint) = self.connections.get_mut(&connection).and_then(|serving| serving.hints.pop_front()) else {
            return;
        };
        self.perform(now, connection, Some(hint.into_input()));
    }
    /// The next hint is lost: one that says to read takes its place, later.
    pub fn lose_hint(&mut self, now: Millis, connection: Connection) {
        let Some(serving) = self.connections.get_mut(&connection) else { return };
        if let Some(hint) = serving.hints.pop_front() {
            serving.lost.push((now.plus(self.rng.below(HINT_MS_MAX)), hint.stream().clone()));
        }
    }
    /// The next hint comes twice.
    pub fn repeat_hint(&mut self, connection: Connection) {
        let Some(serving) = self.connections.get_mut(&connection) else { return };
        if let Some(hint) = serving.hints.front().cloned() {
            serving.hints.push_front(hint);
        }
    }

    /// When something is due.
    pub fn wake_at(&self) -> Option<Millis> {
        let of = |serving: &Serving| serving.wake.into_iter().chain(serving.lost.iter().map(|(at, _)| *at)).min();
        self.connections.values().filter_map(of).chain(self.turns.expires_at()).min()
    }
    /// Does what is due.
    pub fn wake(&mut self, now: Millis) {
        let turns = self.turns.expired(now);
        self.tell_turns(now, turns);
        let connections: Vec<Connection> = self.connections.keys().copied().collect();
        for connection in connections {
            let Some(serving) = self.connections.get_mut(&connection) else { continue };
            let due = serving.lost.iter().filter(|(at, _)| *at <= now).map(|(_, stream)| News::Behind(stream.clone()));
            serving.hints.extend(due.collect::<Vec<_>>());
            serving.lost.retain(|(at, _)| *at > now);
            if serving.wake.is_some_and(|wake| wake <= now) {
                serving.wake = None;
                self.perform(now, connection, Some(Input::Timer));
            }
        }
    }

    /// It goes away in good order.
    pub fn drain(&mut self, now: Millis, delay_ms: u64) {
        let connections: Vec<Connection> = self.connections.keys().copied().collect();
        connections.into_iter().for_each(|c| self.perform(now, c, Some(Input::Drain { delay_ms })));
    }

    /// The process dies. `finish`: what it had asked of the store is still done. Returns the connections it had.
    pub fn crash(&mut self, finish: bool) -> Vec<Connection> {
        let under_way = std::mem::take(&mut self.under_way);
        for under_way in under_way.into_values().filter(|under_way| finish && under_way.answer.is_none()) {
            self.answer(&under_way, Manner::Do);
        }
        self.store.crash();
        self.turns = HealTurns::new();
        self.outputs.clear();
        std::mem::take(&mut self.connections).into_keys().collect()
    }
    /// The operator knows that the logs are not what they were.
    pub fn new_epochs(&mut self) {
        self.store.new_epochs();
        self.feed();
    }
    /// The epoch of a stream's log.
    pub fn epoch(&self, stream: &StreamName) -> Epoch {
        self.store.log(stream).map_or(Epoch::NONE, |log| log.epoch)
    }
}
