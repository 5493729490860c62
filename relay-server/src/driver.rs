//! One connection: performs what its `Relay` asks for. It keeps the drain rule: one input, then all outputs.
//!
//! Everything that may happen is polled in one place. Reading stops while the store owes answers or the device does not
//! take what is sent; writing waits until nothing else is ready, so that what one commit brings (an answer and a frame,
//! say) leaves in one write.

use crate::addresses::Place;
use crate::hub::{Letters, Mailbox, News, lock};
use crate::server::Shared;
use axum::extract::ws::{CloseFrame, Message, WebSocket};
use bytes::Bytes;
use futures_util::stream::FuturesUnordered;
use futures_util::{Sink, Stream};
use std::collections::{BTreeSet, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use sync_core::ids::StreamName;
use sync_core::limits::FRAME_BYTES_TARGET;
use sync_core::relay::{Answer, ConnectionId, Input, Output, Relay, Request};
use sync_core::time::Millis;
use sync_core::wire::{Access, CloseCode};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::Error as SocketError;

/// Frames are handed to the socket early, before everything else is polled, when so much waits.
const WRITE_EARLY_BYTES: usize = 4 * FRAME_BYTES_TARGET;
/// Nothing is done for a device that leaves so much unread, until it reads or is silent for too long.
const UNREAD_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Nothing is read from a device for which the store has so many questions to answer, forgotten ones included.
const ANSWERS_MAX: usize = 512;
/// How long a closing socket may take to say that it has understood.
pub const CLOSE_MS_MAX: u64 = 2_000;

type Answering = Pin<Box<dyn Future<Output = (u64, Answer)> + Send>>;

/// A connection and all that it holds.
pub struct Driver {
    shared: Arc<Shared>,
    id: ConnectionId,
    place: Arc<Place>,
    relay: Relay,
    socket: WebSocket,
    mailbox: Arc<Mailbox>,
    followed: BTreeSet<StreamName>,
    answers: FuturesUnordered<Answering>,
    outgoing: VecDeque<Bytes>,
    outgoing_bytes: usize,
    unflushed: bool,
    timer: Pin<Box<Sleep>>,
    close: Option<CloseCode>,
}

/// What happens to a connection.
enum Happened {
    Input(Input),
    Letters(Letters),
    /// The device has closed the socket, or the network has.
    Gone,
}

impl Driver {
    /// A connection that has just opened.
    pub fn new(shared: Arc<Shared>, socket: WebSocket, place: Arc<Place>) -> Driver {
        let id = shared.next_connection();
        let relay = Relay::new(shared.relay_config(), shared.validator(), crate::server::seed(), shared.now());
        let mailbox = shared.hub.connect(id);
        Driver {
            shared,
            id,
            place,
            relay,
            socket,
            mailbox,
            followed: BTreeSet::new(),
            answers: FuturesUnordered::new(),
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            unflushed: false,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            close: None,
        }
    }

    /// Serves the connection to its end.
    pub async fn run(mut self: Box<Self>) {
        tracing::debug!(connection = self.id, "opened");
        self.input(Input::Timer);
        while self.close.is_none() {
            match poll_fn(|context| self.poll(context)).await {
                Happened::Input(input) => self.input(input),
                Happened::Letters(letters) => self.open_letters(letters),
                Happened::Gone => break,
            }
        }
        match self.close {
            Some(code) => tracing::debug!(connection = self.id, code = code as u16, "closing: {code:?}"),
            None => tracing::debug!(connection = self.id, "the device has closed"),
        }
        let end = async {
            if let Some(code) = self.close {
                self.say_close(code).await;
            }
            // Reads on until the socket ends: dropped with unread bytes, it would take the last words with it.
            while let Some(Ok(_)) = poll_fn(|context| Pin::new(&mut self.socket).poll_next(context)).await {}
        };
        if tokio::time::timeout(Duration::from_millis(CLOSE_MS_MAX), end).await.is_err() {
            tracing::debug!(connection = self.id, "did not answer the close");
        }
    }

    /// One thing that has happened, or the socket's turn to write.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Happened> {
        if self.outgoing_bytes >= WRITE_EARLY_BYTES && self.perform_socket(context).is_err() {
            return Poll::Ready(Happened::Gone);
        }
        if self.timer.as_mut().poll(context).is_ready() {
            self.timer.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(3_600));
            return Poll::Ready(Happened::Input(Input::Timer));
        }
        if self.outgoing_bytes < UNREAD_BYTES_MAX
            && let Some(happened) = self.poll_happened(context)
        {
            return Poll::Ready(happened);
        }
        match self.perform_socket(context).and_then(|()| self.flush(context)) {
            Ok(()) => Poll::Pending,
            Err(_) => Poll::Ready(Happened::Gone),
        }
    }

    fn poll_happened(&mut self, context: &mut Context<'_>) -> Option<Happened> {
        if let Poll::Ready(Some((request, answer))) = Pin::new(&mut self.answers).poll_next(context) {
            return Some(Happened::Input(Input::Stored { request, answer }));
        }
        if let Some(letters) = self.mailbox.poll(context) {
            return Some(Happened::Letters(letters));
        }
        while self.relay.wants_input() && self.answers.len() < ANSWERS_MAX {
            let Poll::Ready(message) = Pin::new(&mut self.socket).poll_next(context) else { break };
            if let Some(happened) = self.received(message) {
                return Some(happened);
            }
        }
        None
    }

    /// What a message of the WebSocket means. `None`: nothing, it was the WebSocket's own.
    fn received(&mut self, message: Option<Result<Message, axum::Error>>) -> Option<Happened> {
        match message {
            Some(Ok(Message::Binary(frame))) => Some(Happened::Input(Input::Message(frame))),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
            Some(Ok(Message::Text(_))) => self.refuse(CloseCode::Malformed),
            Some(Err(error)) => match error.into_inner().downcast_ref() {
                Some(SocketError::Capacity(_)) => self.refuse(CloseCode::TooLarge),
                Some(SocketError::Protocol(_) | SocketError::Utf8(_)) => self.refuse(CloseCode::Malformed),
                _ => Some(Happened::Gone),
            },
            Some(Ok(Message::Close(_))) | None => Some(Happened::Gone),
        }
    }

    /// What came was no message that a `Relay` could be given.
    fn refuse(&mut self, code: CloseCode) -> Option<Happened> {
        self.close = Some(code);
        Some(Happened::Letters(Letters::default()))
    }

    fn open_letters(&mut self, letters: Letters) {
        for channel in letters.channels {
            let position = self.relay.position(&channel.stream);
            let (news, batches) = self.shared.hub.take(self.id, &channel, position);
            batches.into_iter().for_each(|batch| self.input(Input::Advanced(batch)));
            match news {
                News::None | News::Advanced => {}
                News::Behind => self.input(Input::Behind(channel.stream.clone())),
                News::NewEpoch => self.input(Input::NewEpoch(channel.stream.clone())),
            }
        }
        for stream in letters.turns {
            self.input(Input::Turn { stream, turn: sync_core::wire::Turn::Go });
        }
        if let Some(delay_ms) = letters.drain {
            self.input(Input::Drain { delay_ms });
        }
    }

    /// One input, then all outputs; those that are answered at once are inputs again.
    fn input(&mut self, input: Input) {
        let (mut next, mut answers) = (Some(input), VecDeque::new());
        while let Some(input) = next {
            self.relay.handle_input(input, self.shared.now());
            while let Some(output) = self.relay.poll_output() {
                answers.extend(self.perform(output));
            }
            next = answers.pop_front();
        }
    }

    fn perform(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send(frame) => {
                self.outgoing_bytes += frame.len();
                self.outgoing.push_back(frame);
            }
            Output::Store { request, ask } => self.perform_storage(request, ask),
            // Who a device is comes with access control; until then everybody is the same nobody.
            Output::Authenticate { token: _ } => {
                self.place.greeted();
                let (subject, access) = (None, Access::Write);
                return Some(Input::Authenticated { subject, access, time: crate::server::wall_clock_ms() });
            }
            Output::Follow(stream) => {
                self.shared.hub.follow(self.id, &self.mailbox, &stream);
                self.followed.insert(stream);
            }
            Output::Unfollow(stream) => {
                self.shared.hub.unfollow(self.id, &stream);
                self.followed.remove(&stream);
            }
            Output::TurnWanted(stream) => {
                let turn = lock(&self.shared.turns).wanted(self.id, &stream, self.shared.now());
                return Some(Input::Turn { stream, turn });
            }
            Output::TurnUsed(stream) => lock(&self.shared.turns).used(self.id, &stream, self.shared.now()),
            Output::TurnDone(stream) => {
                let next = lock(&self.shared.turns).done(self.id, &stream, self.shared.now());
                self.shared.hub.tell_turns(next.map(|connection| (connection, stream)));
            }
            Output::WakeAt(at) => self.arm_timer(at),
            Output::Close(code) => self.close = Some(code),
        }
        None
    }

    fn perform_storage(&mut self, request: u64, ask: Request) {
        let store = &self.shared.store;
        let answering: Answering = match ask {
            Request::Resume(ask) => answer(request, store.resume(ask), Answer::Resume),
            Request::Append(append) => answer(request, store.append(append), Answer::Append),
            Request::Heal(heal) => answer(request, store.heal(heal), Answer::Heal),
            Request::Read(read) => answer(request, store.read(read), Answer::Read),
            Request::Snapshot { stream, records } => answer(request, store.snapshot(stream, records), Answer::Snapshot),
        };
        self.answers.push(answering);
    }

    fn arm_timer(&mut self, at: Millis) {
        let wait = Duration::from_millis(at.since(self.shared.now()));
        self.timer.as_mut().reset(tokio::time::Instant::now() + wait);
    }

    /// Hands frames to the socket as long as it takes them.
    fn perform_socket(&mut self, context: &mut Context<'_>) -> Result<(), axum::Error> {
        while !self.outgoing.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(context) {
                Poll::Ready(ready) => ready?,
                Poll::Pending => return Ok(()),
            }
            if let Some(frame) = self.outgoing.pop_front() {
                self.outgoing_bytes -= frame.len();
                self.unflushed = true;
                Pin::new(&mut self.socket).start_send(Message::Binary(frame))?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), axum::Error> {
        if self.unflushed
            && let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(context)
        {
            self.unflushed = false;
            flushed?;
        }
        Ok(())
    }

    /// Sends what is left and the close code.
    async fn say_close(&mut self, code: CloseCode) {
        let reason = format!("{code:?}");
        let close = Message::Close(Some(CloseFrame { code: code as u16, reason: reason.into() }));
        let frames = std::mem::take(&mut self.outgoing).into_iter().map(Message::Binary).chain([close]);
        for message in frames {
            if poll_fn(|context| Pin::new(&mut self.socket).poll_ready(context)).await.is_err()
                || Pin::new(&mut self.socket).start_send(message).is_err()
            {
                return;
            }
        }
        // A socket that is broken says so when it is read.
        let _ = poll_fn(|context| Pin::new(&mut self.socket).poll_flush(context)).await;
    }
}

impl Drop for Driver {
    /// Whatever ended it: nobody waits for this connection any more.
    fn drop(&mut self) {
        self.shared.hub.disconnect(self.id, &self.followed);
        let turns = lock(&self.shared.turns).disconnected(self.id, self.shared.now());
        self.shared.hub.tell_turns(turns);
    }
}

fn answer<T: 'static>(
    request: u64,
    asked: crate::log_store::Answer<T>,
    wrap: fn(Result<T, sync_core::relay::store::StoreError>) -> Answer,
) -> Answering {
    Box::pin(async move { (request, wrap(asked.await)) })
}
