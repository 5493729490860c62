//! One device at the relay: a state machine for each connection. It keeps the drain rule: give it one
//! [`Input`], then perform outputs until [`poll_output`](Relay::poll_output) says `None`.
//!
//! It owns no order and no log. The store alone decides what a publish becomes (R8); subscribers are served from the
//! store's feed and reads only, never from an append's answer; and nothing here grows because a device is slow.

mod healing;
mod input;
mod output;
mod publishing;
mod requests;
pub mod store;
mod subscription;
mod turns;

use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
pub use input::{Answer, Input, SharedBatch};
pub use output::{Output, Request};
pub use publishing::{Reason, TakeAll, Validator};
pub use turns::{ConnectionId, HealTurns};

use crate::event::Author;
use crate::ids::{Offset, StreamName};
use crate::limits::*;
use crate::time::Millis;
use crate::wire::codec::Reader;
use crate::wire::{Access, CloseCode, Down, Hello, Limits, Message, Up, Welcome};
use alloc::sync::Arc;
use bytes::Bytes;
use requests::{Asked, Purpose};
use store::StoreError;

/// What a request counts for while it is not answered, beside its events.
const REQUEST_BYTES: usize = 1024;

/// What a relay tells every device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// Names the relay process in logs.
    pub relay: [u8; 16],
    /// What it takes; no more than the protocol's own maxima.
    pub limits: Limits,
}

impl RelayConfig {
    /// A relay of this name with the protocol's own limits.
    pub fn new(relay: [u8; 16]) -> RelayConfig {
        let limits = Limits {
            event_bytes_max: EVENT_BYTES_MAX as u64,
            frame_bytes_max: MESSAGE_BYTES_MAX as u64,
            streams_max: STREAMS_PER_CONNECTION_MAX as u64,
        };
        RelayConfig { relay, limits }
    }
}

/// One device's connection.
pub struct Relay {
    config: RelayConfig,
    validator: Arc<dyn Validator>,
    phase: Phase,
    subject: Author,
    access: Access,
    subscriptions: subscription::Subscriptions,
    publishing: publishing::Publishing,
    healing: healing::Healing,
    requests: requests::Requests,
    out: output::Outputs,
    /// Bytes of publishes and heals that wait for the store.
    unanswered_bytes: usize,
    heard: Millis,
    sent: Millis,
    now: Millis,
    wake: Option<Millis>,
    drained: bool,
}

/// What a connection holds because somebody else is slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queued {
    /// Publishes and heals that the store has not answered.
    pub unanswered_bytes: usize,
    /// `events` and `snapshot` that the device has not confirmed.
    pub unconfirmed_bytes: usize,
    /// Requests that the store has not answered.
    pub requests: usize,
}

enum Phase {
    /// The socket is open and has said nothing.
    AwaitingHello { until: Millis },
    /// The shell checks the token; what comes meanwhile is kept as it came.
    Authenticating { version: u32, until: Millis, held: Vec<Bytes> },
    /// Everything is allowed.
    Open,
    /// Goodbye was said: what is under way is finished, nothing new is taken.
    Draining,
    /// Nothing happens any more.
    Closed,
}

impl Relay {
    /// A connection whose socket has just opened. `seed` is random and this connection's own.
    pub fn new(config: RelayConfig, validator: Arc<dyn Validator>, seed: [u8; 32], now: Millis) -> Relay {
        Relay {
            config,
            validator,
            phase: Phase::AwaitingHello { until: now.plus(HANDSHAKE_MS_MAX) },
            subject: None,
            access: Access::None,
            subscriptions: Default::default(),
            publishing: Default::default(),
            healing: Default::default(),
            requests: requests::Requests::new(seed),
            out: Default::default(),
            unanswered_bytes: 0,
            heard: now,
            sent: now,
            now,
            wake: None,
            drained: true,
        }
    }

    /// Whether the next message should be read from the socket: backpressure for what the store has not answered.
    pub fn wants_input(&self) -> bool {
        match &self.phase {
            Phase::Authenticating { .. } | Phase::Closed => false,
            _ => self.unanswered_bytes + self.requests.len() * REQUEST_BYTES < UNANSWERED_BYTES_MAX,
        }
    }

    /// The position from which a followed stream's next batch is wanted. `None`: it is not followed, or not by hints now.
    pub fn position(&self, stream: &StreamName) -> Option<Offset> {
        self.subscriptions.get(stream).and_then(|sub| sub.live_position())
    }

    /// How much waits for this connection's device, or for the store: for whoever counts that it stays within [`crate::limits`].
    pub fn queued(&self) -> Queued {
        let (unanswered_bytes, requests) = (self.unanswered_bytes, self.requests.len());
        Queued { unanswered_bytes, unconfirmed_bytes: self.subscriptions.unconfirmed_bytes(), requests }
    }

    /// Something happened at `now`.
    pub fn handle_input(&mut self, input: Input, now: Millis) {
        debug_assert!(self.drained, "the drain rule: poll outputs until there are none before the next input");
        self.drained = false;
        self.now = self.now.max(now);
        // What was named is due, whether or not the shell's timer was the first to say so: it is named anew, once.
        self.wake = self.wake.filter(|wake| *wake > self.now);
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match input {
            Input::Message(frame) => self.receive(frame),
            Input::Authenticated { subject, access, time } => self.authenticated(subject, access, time),
            Input::Unauthorized => self.close(CloseCode::Unauthorized),
            Input::Stored { request, answer } => self.stored(request, answer),
            Input::Advanced(batch) => self.advanced(&batch),
            Input::Behind(stream) => self.behind(&stream),
            Input::NewEpoch(stream) => self.log_replaced(&stream),
            Input::Turn { stream, turn } => self.turn(&stream, turn),
            Input::Timer => self.timer(),
            Input::Drain { .. } if matches!(self.phase, Phase::Draining) => {}
            Input::Drain { delay_ms } => {
                self.out.tell(&Down::Goodbye { delay_ms });
                self.phase = Phase::Draining;
            }
        }
        if matches!(self.phase, Phase::Open) {
            self.pump();
        }
        if matches!(self.phase, Phase::Draining) && self.publishing.is_idle() && self.healing.is_idle() {
            self.close(CloseCode::GoingAway);
        }
    }

    /// The next thing to do; `None`: until the next input there is none.
    pub fn poll_output(&mut self) -> Option<Output> {
        if let Some(output) = self.out.pop() {
            if matches!(output, Output::Send(_)) {
                self.sent = self.now;
            }
            return Some(output);
        }
        let due = self.wake_at();
        if let Some(at) = due
            && self.wake.is_none_or(|wake| at < wake)
        {
            self.wake = due;
            return Some(Output::WakeAt(at));
        }
        self.drained = true;
        None
    }

    /// A WebSocket message: one or more messages of the protocol.
    fn receive(&mut self, frame: Bytes) {
        self.heard = self.now;
        if frame.len() as u64 > self.config.limits.frame_bytes_max {
            return self.close(CloseCode::TooLarge);
        }
        if frame.is_empty() {
            return self.close(CloseCode::Malformed);
        }
        let mut input = Reader::new(&frame);
        while !input.is_at_end() {
            match &mut self.phase {
                Phase::Closed | Phase::Draining => return,
                Phase::Authenticating { held, .. } => {
                    held.push(frame.slice(input.position()..));
                    if held.len() > HELD_FRAMES_MAX {
                        self.close(CloseCode::Limit);
                    }
                    return;
                }
                Phase::AwaitingHello { .. } | Phase::Open => match Up::decode_next(&mut input) {
                    Ok(message) => self.message(message),
                    Err(_) => return self.close(CloseCode::Malformed),
                },
            }
            if self.unanswered_bytes > ASKED_BYTES_MAX {
                return self.close(CloseCode::Limit);
            }
        }
    }

    fn message(&mut self, message: Up) {
        match (&self.phase, message) {
            (Phase::AwaitingHello { until }, Up::Hello(hello)) => self.hello(hello, *until),
            (Phase::AwaitingHello { .. }, _) | (_, Up::Hello(_)) => self.close(CloseCode::Unexpected),
            (_, Up::Authenticate { token }) => self.out.push(Output::Authenticate { token: Some(token) }),
            (_, Up::Subscribe(ask)) => self.subscribe(ask),
            (_, Up::Unsubscribe { stream }) => self.unsubscribe(&stream),
            (_, Up::Publish(publish)) => self.publish(publish),
            (_, Up::Heal(heal)) => self.heal(heal),
            (_, Up::Applied { stream, cursor }) => self.applied(&stream, cursor),
            (_, Up::Alive) => {}
        }
    }

    fn hello(&mut self, hello: Hello, until: Millis) {
        let version = hello.version_max.min(VERSIONS.1);
        if version < hello.version_min.max(VERSIONS.0) {
            return self.close(CloseCode::Version);
        }
        self.phase = Phase::Authenticating { version, until, held: vec![] };
        self.out.push(Output::Authenticate { token: hello.token });
    }

    fn authenticated(&mut self, subject: Author, access: Access, time: u64) {
        (self.subject, self.access) = (subject, access);
        let phase = core::mem::replace(&mut self.phase, Phase::Open);
        let Phase::Authenticating { version, held, .. } = phase else {
            self.phase = phase;
            return;
        };
        self.out.tell(&Down::Welcome(Welcome {
            version,
            relay: self.config.relay,
            subject: self.subject.as_deref().map(str::to_string),
            limits: self.config.limits,
            window_bytes: WINDOW_BYTES as u64,
            time,
        }));
        held.into_iter().for_each(|frame| self.receive(frame));
    }

    /// An answer of the store goes to whoever asked; one that is no answer is asked for again.
    fn stored(&mut self, number: u64, answer: Answer) {
        let Some(asked) = self.requests.take(number) else { return };
        if let Some(unsure) = not_settled(&answer) {
            return self.requests.again(number, asked, unsure, self.now);
        }
        let Asked { request, purpose, unsure, .. } = *asked;
        match (answer, request, purpose) {
            (Answer::Resume(Ok(info)), _, Purpose::Have { stream, producer, first, joined }) => {
                self.tell_have(stream, producer, (first, joined), info);
            }
            (Answer::Resume(Err(_)), _, Purpose::Have { stream, .. }) => {
                self.fail(&stream);
                self.answered(&stream);
            }
            (Answer::Resume(info), _, Purpose::Follow(stream)) => self.resume_answered(number, &stream, info),
            (Answer::Read(answer), _, Purpose::Follow(stream)) => self.read_answered(number, &stream, answer),
            (Answer::Snapshot(answer), _, Purpose::Follow(stream)) => self.snapshot_answered(number, &stream, answer),
            (Answer::Append(answer), Request::Append(append), Purpose::Publish { bytes, joined }) => {
                self.append_answered(publishing::Waiting { append, bytes, joined }, unsure, answer);
            }
            (Answer::Heal(answer), Request::Heal(heal), Purpose::Heal { bytes }) => {
                self.heal_answered(heal, bytes, answer);
            }
            _ => debug_assert!(false, "the shell answered another question than was asked"),
        }
    }

    fn timer(&mut self) {
        self.wake = None;
        let late = match &self.phase {
            Phase::AwaitingHello { until } | Phase::Authenticating { until, .. } => *until <= self.now,
            _ => false,
        };
        if late {
            return self.close(CloseCode::HandshakeTimeout);
        }
        if self.now.since(self.heard) >= SILENCE_MS_MAX {
            return self.close(CloseCode::Silence);
        }
        if matches!(self.phase, Phase::Open) && self.now.since(self.sent) >= ALIVE_EVERY_MS {
            self.out.tell(&Down::Alive);
        }
        self.requests.wake(self.now, &mut self.out);
    }

    fn wake_at(&self) -> Option<Millis> {
        let of_phase = match &self.phase {
            Phase::AwaitingHello { until } | Phase::Authenticating { until, .. } => Some(*until),
            Phase::Open => Some(self.sent.plus(ALIVE_EVERY_MS).min(self.heard.plus(SILENCE_MS_MAX))),
            Phase::Draining => Some(self.heard.plus(SILENCE_MS_MAX)),
            Phase::Closed => return None,
        };
        of_phase.into_iter().chain(self.requests.wake_at()).min()
    }

    /// Ends the connection; what was not yet handed to the shell is sent before.
    fn close(&mut self, code: CloseCode) {
        if !matches!(self.phase, Phase::Closed) {
            self.phase = Phase::Closed;
            self.out.push(Output::Close(code));
        }
    }
}

/// Whether the answer leaves the request open: `Some(true)` if it was perhaps done, `Some(false)` if it was not.
fn not_settled(answer: &Answer) -> Option<bool> {
    let error = match answer {
        Answer::Resume(answer) => answer.as_ref().err(),
        Answer::Append(answer) => answer.as_ref().err(),
        Answer::Heal(answer) => answer.as_ref().err(),
        Answer::Read(answer) => answer.as_ref().err(),
        Answer::Snapshot(answer) => answer.as_ref().err(),
    };
    match error? {
        StoreError::Unknown => Some(true),
        StoreError::Busy => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
