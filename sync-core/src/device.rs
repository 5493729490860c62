//! The device: a local event log and a consumer offset for each stream it follows.
//!
//! `input.rs` and `output.rs` are all that it can be told and all that it asks for. Inside: `session.rs` the connection,
//! `stream.rs` a stream and its own events, `step.rs` what a step ends with, `sending.rs` what goes to the relay, `reconciling.rs` what the relay says of
//! own events, `applying.rs` what comes from the log, `folding.rs` how its rows stay few, `healing.rs` what a log that is gone had, `causes.rs` order across
//! streams, `writing.rs` what pages write,
//! `opening.rs` and `rows.rs` the local store.

mod applying;
mod causes;
mod folding;
mod healing;
mod input;
mod io;
mod opening;
mod output;
mod ranges;
mod reconciling;
mod rows;
mod sending;
mod session;
mod step;
mod stream;
mod writing;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
pub use input::{Append, Input, Socket, StorageError};
pub use output::{Connection, LocalStream, Notice, Output, Own, Page, Queued, Rejection, StreamState, Table, Write};

use crate::digest;
use crate::event::Event;
use crate::ids::*;
use crate::limits::*;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Millis;
use crate::wire::{Access, Down, Message, Subscribed, Turn, Up};
use alloc::collections::VecDeque;
use applying::Next;
use bytes::Bytes;
use causes::{Asked, Others};
use io::Io;
use opening::{Deferred, Start};
use session::Session;
use stream::{Held, Phase, Stream};
use writing::Waiting;

/// What a device is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// There is a relay to connect to. Otherwise this device is alone, for good.
    pub relay: bool,
    /// The relay wants a token: ask the shell for one before dialling.
    pub wants_token: bool,
}

/// See the module and the crate's first page.
pub struct Device {
    options: Options,
    io: Io,
    session: Session,
    start: Start,
    /// What came before the local store was read.
    queue: VecDeque<Input>,
    producer: ProducerId,
    streams: SortedMap<StreamName, Box<Stream>>,
    names: SortedMap<StreamHash, StreamName>,
    /// Appends that wait for streams to be loaded, in the order in which pages wrote them.
    waiting: VecDeque<Waiting>,
    deferred: Vec<(u64, Deferred)>,
    asked: SortedMap<StreamName, Asked>,
    /// Streams to look at before the step ends, those whose record is to be written, those that wait for another stream.
    touched: SortedSet<StreamName>,
    dirty: SortedSet<StreamName>,
    frames: u64,
    advances: u64,
    woken_at: Option<Millis>,
}

impl Device {
    /// A device that begins by reading its local store. `seed`: 32 random bytes, new at every start.
    pub fn new(seed: [u8; 32], options: Options) -> Device {
        let mut device = Device {
            options,
            io: Io::new(seed),
            session: Session::new(options.wants_token),
            start: Start::Loading(0),
            queue: VecDeque::new(),
            producer: ProducerId::default(),
            streams: SortedMap::new(),
            names: SortedMap::new(),
            waiting: VecDeque::new(),
            deferred: vec![],
            asked: SortedMap::new(),
            touched: SortedSet::new(),
            dirty: SortedSet::new(),
            frames: 0,
            advances: 0,
            woken_at: None,
        };
        device.begin();
        device
    }

    /// Takes one input. Drain [`Device::poll_output`] before the next (the drain rule).
    pub fn handle_input(&mut self, now: Millis, input: Input) {
        debug_assert!(self.io.outputs.is_empty() || matches!(self.start, Start::Loading(_)), "the drain rule");
        self.io.now = self.io.now.max(now);
        let is_answer = matches!(input, Input::Loaded { .. } | Input::Committed { .. } | Input::StorageFailed(_));
        if !is_answer && matches!(self.start, Start::Loading(_)) {
            self.queue.push_back(input);
            return;
        }
        self.take(input);
        while !matches!(self.start, Start::Loading(_)) {
            let Some(input) = self.queue.pop_front() else { break };
            self.take(input);
        }
        self.finish_step();
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.io.outputs.pop_front()
    }

    /// How a stream stands; `None` if this device does not know it.
    pub fn stream_state(&self, stream: &StreamName) -> Option<StreamState> {
        self.streams.get(stream).map(|s| s.state(self.rejected_of(stream)))
    }
    /// Own events that are not in the log yet, in order, and where each stands. Only of an opened stream.
    pub fn pending(&self, stream: &StreamName) -> Vec<(Event, Own)> {
        let Some(s) = self.streams.get(stream) else { return vec![] };
        let strays = s.open_strays().map(|stray| {
            let event = Event {
                id: stray.shown_id(),
                tag: stray.tag,
                tag_before: stray.tag_before,
                prev: (0, Tag::ZERO),
                offset: Offset::ZERO,
                author: None,
                needs_prev: false,
                causes: stray.own.causes.iter().map(stream::stamped).collect(),
                content: stray.own.content.clone(),
            };
            (event, Own::Sent)
        });
        let own = s.outbox.keys().filter_map(|sequence| Some((s.own_event(*sequence)?, s.own(*sequence))));
        strays.chain(own).collect()
    }
    /// Whether an event of [`Device::pending`] is on stable storage, which [`Notice::Appended`] has said of it by now.
    pub fn is_saved(&self, stream: &StreamName, id: EventId) -> bool {
        // A stray is shown under another id than it was appended with.
        let is_stray = |id: EventId| self.streams.get(stream).is_some_and(|s| s.record.producer != id.producer);
        let same = |unsaved: EventId| unsaved == id || is_stray(unsaved) && is_stray(id);
        !self.io.unsaved().any(|(of, unsaved)| of == stream && same(unsaved))
    }
    /// Events that an earlier log had and the present one may lack, in the order in which they are to be healed.
    pub fn healing(&self, stream: &StreamName) -> Vec<(EventId, Tag)> {
        let entries = self.streams.get(stream).map(|s| s.heal.entries().map(|entry| (entry.id, entry.tag)).collect());
        entries.unwrap_or_default()
    }
    /// The list of rejections, by stream and id.
    pub fn rejections(&self) -> Vec<(StreamName, Rejection)> {
        self.io.rejections.iter().map(|((stream, _), rejection)| (stream.clone(), rejection.clone())).collect()
    }
    /// The streams that this device has something of.
    pub fn streams(&self) -> Vec<LocalStream> {
        let held = |s: &Stream| {
            let (kind, used_bytes) = (s.record.kind?, s.record.log_bytes);
            Some(LocalStream { name: s.name.clone(), kind, used_bytes, pending: s.state(0).pending })
        };
        self.streams.values().filter_map(|stream| held(stream)).collect()
    }
    /// The connection's state.
    pub fn connection(&self) -> Connection {
        self.session.connection()
    }
    /// Writes that were handed in and are not on stable storage yet.
    pub fn unsaved(&self) -> usize {
        let queued = self.queue.iter().filter(|input| matches!(input, Input::Append(_))).count();
        self.io.unsaved().count() + self.waiting.len() + queued
    }
    /// It has not read its local store yet: what it is told waits.
    pub fn is_loading(&self) -> bool {
        matches!(self.start, Start::Loading(_))
    }
    /// An id for the `number`th of several that write here at the same time: this device's own, and another one once the
    /// device has a new producer id.
    pub fn writer(&self, number: u32) -> [u8; 16] {
        digest::writer(self.producer, number)
    }
    /// Why the local store cannot be used, if it cannot: `outdated-app`, `storage-lost` ...
    pub fn failure(&self) -> Option<&'static str> {
        match self.start {
            Start::Failed(code) => Some(code),
            _ => None,
        }
    }

    /// How much waits for the relay, or was sent by it: for whoever counts that it stays within [`crate::limits`].
    pub fn queued(&self) -> Queued {
        let links = self.streams.values().filter_map(|stream| stream.link.as_ref());
        links.fold(Queued::default(), |queued, link| Queued {
            unanswered_bytes: queued.unanswered_bytes.max(link.unanswered_bytes()),
            unapplied_bytes: queued.unapplied_bytes + link.unapplied_bytes(),
        })
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Open { stream } => self.open(stream, true),
            Input::Close { stream } => self.close(&stream),
            Input::Append(append) => self.append(append),
            Input::Read { request, stream, after, bytes_max } => self.read(request, stream, after, bytes_max),
            Input::DropRejection { stream, id } => self.drop_rejection(stream, id),
            Input::Reject { stream, rejection } => self.reject(stream, rejection),
            Input::Discard { stream, id } => self.discard(&stream, id),
            Input::Refresh { stream } => self.refresh(&stream),
            Input::Connect if self.options.relay => self.session.connect(&mut self.io),
            Input::Connect => {}
            Input::Disconnect => {
                self.session.disconnect(&mut self.io);
                self.drop_links();
            }
            Input::Token(token) => {
                if let Some(message) = self.session.token(token, &mut self.io) {
                    self.session.send(&message, &mut self.io);
                }
            }
            Input::Network { online } => self.session.network(online, &mut self.io),
            Input::SocketOpened(socket) => self.session.opened(socket, self.producer, &mut self.io),
            Input::SocketClosed { socket, code } if self.session.socket() == Some(socket) => {
                self.session.closed(code, &mut self.io);
                self.drop_links();
            }
            // R3: a socket that was given up is not read.
            Input::SocketClosed { .. } => {}
            Input::Frame { socket, bytes } if self.session.socket() == Some(socket) => self.frame(&bytes),
            Input::Frame { .. } => {}
            Input::Buffered { socket, bytes } if self.session.socket() == Some(socket) => {
                self.session.buffered_bytes = bytes;
                self.touch_linked();
            }
            Input::Buffered { .. } => {}
            Input::Loaded { request, rows, more } => self.loaded(request, rows, more),
            Input::Committed { transaction } => self.committed(transaction),
            Input::StorageFailed(error) => self.storage_failed(error),
            Input::Timer => self.timer(),
        }
    }

    // ------------------------------------------------------------------------------------------------------- pages

    fn close(&mut self, name: &StreamName) {
        let Some(stream) = self.streams.get_mut(name) else { return };
        stream.opened = false;
        self.touched.insert(name.clone());
    }

    fn refresh(&mut self, name: &StreamName) {
        let Some(stream) = self.streams.get(name).filter(|s| s.is_live()) else { return };
        let ask = Up::Subscribe(stream.subscribe());
        self.session.send(&ask, &mut self.io);
    }

    // ------------------------------------------------------------------------------------------------------- relay

    fn frame(&mut self, bytes: &Bytes) {
        self.session.heard(&self.io);
        self.frames += 1;
        let Ok(messages) = Down::decode_frame(bytes) else {
            self.session.stop("engine-failed", &mut self.io);
            return self.drop_links();
        };
        let share = bytes.len() / messages.len().max(1);
        for message in messages {
            self.message(message, share);
        }
    }

    fn message(&mut self, message: Down, bytes: usize) {
        match message {
            Down::Welcome(welcome) => {
                self.session.welcomed(&welcome, &mut self.io);
                self.touched.extend(self.streams.values().filter(|s| s.is_ready()).map(|s| s.name.clone()));
            }
            Down::Goodbye { delay_ms } => {
                self.session.goodbye(delay_ms, &mut self.io);
                self.drop_links();
            }
            Down::Alive | Down::Error { stream: None, .. } => {}
            Down::Subscribed(Subscribed { ref stream, .. })
            | Down::Events(crate::wire::Events { ref stream, .. })
            | Down::Snapshot(crate::wire::SnapshotPart { ref stream, .. })
            | Down::Accepted { ref stream, .. }
            | Down::Rejected { ref stream, .. }
            | Down::Have { ref stream, .. }
            | Down::Healed { ref stream, .. }
            | Down::Turn { ref stream, .. }
            | Down::Error { stream: Some(ref stream), .. } => {
                let name = stream.clone();
                self.route(name, message, bytes);
            }
        }
    }

    fn route(&mut self, name: StreamName, message: Down, bytes: usize) {
        let Some(link) = self.streams.get_mut(&name).and_then(|stream| stream.link.as_mut()) else { return };
        match (&link.phase, &message) {
            // What is under way of an older subscription is not read.
            (Phase::Asking, Down::Subscribed(_) | Down::Error { .. }) => {}
            (Phase::Asking, _) => return,
            (Phase::Resetting, _) => return link.inbox.push_back((message, bytes)),
            (Phase::Live { .. }, _) => {}
        }
        let Some(mut stream) = self.streams.remove(&name) else { return };
        let next = self.handle(&mut stream, message, bytes);
        if next == Next::AskAgain {
            self.ask_again(&mut stream);
        }
        self.streams.insert(name.clone(), stream);
        self.touched.insert(name);
    }

    fn handle(&mut self, stream: &mut Stream, message: Down, bytes: usize) -> Next {
        let io = &mut self.io;
        match message {
            Down::Subscribed(answer) => return self.subscribed(stream, answer),
            Down::Snapshot(part) if part.part < part.parts.saturating_sub(1) => {
                let next = stream.snapshot_part(part, io);
                // The cursor stands still until the last part: each of the others is confirmed as it comes (P14).
                if next == Next::On {
                    self.session.send(&stream.applied(), io);
                }
                return next;
            }
            Down::Snapshot(part) => {
                if let Some(link) = &mut stream.link {
                    link.unconfirmed_bytes += bytes;
                }
                return stream.snapshot_part(part, io);
            }
            Down::Events(events) => {
                if let Some(link) = &mut stream.link {
                    link.held.push_back(Held { events, bytes, frame: self.frames });
                }
            }
            Down::Accepted { producer, first, last, .. } => stream.accepted(producer, first, last, io),
            Down::Rejected { producer, refusal, .. } => stream.rejected(producer, &refusal, io),
            Down::Have { producer, sequence, known, head, .. } if producer == stream.record.producer => {
                stream.hears(head, known.last);
                if let Some(link) = &mut stream.link {
                    link.answered_by_have(producer, sequence);
                }
                return self.reconcile(stream, &known);
            }
            Down::Have { producer, sequence, known, head, .. } => {
                stream.have_stray(EventId { producer, sequence }, &known, head, io);
            }
            Down::Healed { head, verdicts, .. } => return stream.healed(head, &verdicts),
            Down::Turn { turn, .. } => {
                stream.holds_turn = turn == Turn::Go;
                if let Some(link) = &mut stream.link {
                    link.turn = turn;
                }
            }
            Down::Error { code, retry, .. } => {
                stream.link = None;
                if !retry {
                    stream.error = Some(error_code(&code));
                } else {
                    // Not at once: the relay is in trouble, and there may be many of us.
                    self.session.drop_socket(io);
                    self.drop_links();
                }
            }
            Down::Welcome(_) | Down::Goodbye { .. } | Down::Alive => {}
        }
        Next::On
    }

    /// R7: the answer to `subscribe`.
    fn subscribed(&mut self, stream: &mut Stream, answer: Subscribed) -> Next {
        self.session.answered();
        if let Some(asked) = self.asked.get_mut(&stream.name).filter(|asked| asked.bound.is_none()) {
            asked.bound = Some((answer.head, self.frames));
        }
        stream.exists = Some(answer.epoch != Epoch::NONE);
        stream.answers += 1;
        stream.access = answer.access;
        stream.error = (answer.access == Access::None).then_some("access-denied");
        let begins_again = !answer.resume && stream.record.cursor > Offset::ZERO;
        let Some(link) = &mut stream.link else { return Next::On };
        if begins_again {
            if stream.record.resets >= RESETS_IN_A_ROW_MAX {
                stream.error = Some("log-replaced");
                stream.link = None;
                return Next::On;
            }
            link.phase = Phase::Resetting;
            link.held.clear();
            link.inbox.push_front((Down::Subscribed(answer), 0));
            self.deferred.push((self.io.last_needed(), Deferred::Reset(stream.name.clone())));
            return Next::On;
        }
        self.go_live(stream, answer, true)
    }

    fn go_live(&mut self, stream: &mut Stream, answer: Subscribed, resume: bool) -> Next {
        // What was sent to a log that is gone may never be answered. What was sent before there was one is in this one.
        let is_other = stream.record.epoch != answer.epoch && stream.record.epoch != Epoch::NONE;
        let is_new = !stream.is_live() || is_other;
        if stream.record.cursor == Offset::ZERO && stream.record.epoch != answer.epoch {
            (stream.record.epoch, stream.dirty) = (answer.epoch, true);
            stream.record.check = digest::check_of_empty(answer.epoch);
        }
        let Some(link) = &mut stream.link else { return Next::On };
        link.phase = Phase::Live { head: answer.head, last: answer.known.last };
        link.turn = answer.turn;
        // Another link of the same connection may have got it.
        stream.holds_turn |= !resume && answer.turn == Turn::Go;
        if is_new {
            link.forget_sent();
            stream.heal.begin_link();
        }
        self.reconcile(stream, &answer.known)
    }

    fn reconcile(&mut self, stream: &mut Stream, known: &crate::wire::Known) -> Next {
        if stream.agrees(known) {
            stream.reconcile(known, &mut self.io);
            return Next::On;
        }
        // Another stream may have found out before: then the device has its new id already.
        if self.producer == stream.record.producer {
            self.producer = ProducerId(self.io.random.bytes());
            self.io.put(Table::Device, rows::key_of_device(), rows::encode_device(self.producer));
        }
        stream.fork(known, self.producer, &mut self.io);
        Next::AskAgain
    }

    /// Settles what the link has told, gives it up and subscribes again, on the same socket.
    fn ask_again(&mut self, stream: &mut Stream) {
        stream.caught_up(&mut self.io);
        stream.asks += 1;
        stream.link = None;
        if stream.asks > ASKS_MAX {
            stream.asks = 0;
            self.session.drop_socket(&mut self.io);
            self.drop_links();
        }
    }

    fn drop_links(&mut self) {
        for (name, stream) in self.streams.iter_mut() {
            stream.holds_turn = false;
            if stream.link.take().is_some() {
                self.touched.insert(name.clone());
            }
        }
        self.asked.clear();
    }
    fn touch_linked(&mut self) {
        let linked = self.streams.values().filter(|s| s.link.is_some()).map(|s| s.name.clone());
        self.touched.extend(linked);
    }

    fn timer(&mut self) {
        if self.session.timer(&mut self.io) {
            self.drop_links();
        }
        let quiet = self.streams.values().filter(|s| s.folding.due().is_some_and(|due| due <= self.io.now));
        self.touched.extend(quiet.map(|s| s.name.clone()));
        let Some(socket) = self.session.socket().filter(|_| self.session.is_live()) else { return };
        let mut ask = SortedSet::new();
        for stream in self.streams.values() {
            let Some(link) = &stream.link else { continue };
            if link.held_since.is_some_and(|since| self.io.now.since(since) >= HELD_MS_MAX) {
                let others = Others { streams: &self.streams, names: &self.names, asked: &self.asked };
                ask.extend(others.held_for(stream));
            }
        }
        for name in ask.into_members() {
            let due = |asked: &Asked| asked.socket != socket || self.io.now.since(asked.at) >= HELD_MS_MAX;
            if self.asked.get(&name).is_none_or(due) {
                self.asked.insert(name.clone(), Asked { socket, at: self.io.now, bound: None });
                self.refresh(&name);
            }
        }
    }
}

/// An error code as this build knows it.
fn error_code(code: &str) -> &'static str {
    match code {
        "access-denied" => "access-denied",
        "access-revoked" => "access-revoked",
        "needs-auth" => "needs-auth",
        "too-many-streams" => "too-many-streams",
        _ => "engine-failed",
    }
}

#[cfg(test)]
mod tests;
