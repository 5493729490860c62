//! A subscriber is a position in the log. Catch-up and live are the same read of it (R6): a live batch is handed over
//! only to a position that it continues, any other reads the log. What the device has not confirmed is bounded by the
//! window, and streams that have more take turns, frame by frame.

mod catch_up;
mod own;

use super::Relay;
use super::input::SharedBatch;
use super::output::{Output, Request};
use super::requests::Purpose;
use super::store::{ReadAnswer, ReadRequest, ResumeInfo, ResumeRequest, Snapshot, StoreError};
use crate::ids::*;
use crate::limits::*;
use crate::wire::*;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use bytes::Bytes;

/// Kept out of catch-up's reach, so that a keystroke finds room in the window beside it.
const LIVE_BYTES: usize = 2 * FRAME_BYTES_TARGET;

/// All that a connection follows.
#[derive(Default)]
pub(super) struct Subscriptions {
    /// Boxed, because a map's node has room for eleven and most connections follow few streams.
    by_stream: BTreeMap<StreamName, Box<Subscription>>,
    /// Streams that have more in the store, in the order of their turns.
    turns: VecDeque<StreamName>,
    /// Sent and not confirmed, all streams together.
    unconfirmed_bytes: usize,
    /// What the reads under way may bring.
    reserved_bytes: usize,
    reads: usize,
    records: usize,
}

/// One followed stream.
pub(super) struct Subscription {
    pub producer: ProducerId,
    pub settled: Sequence,
    pub access: Access,
    pub epoch: Epoch,
    records: Vec<ProducerId>,
    taken: own::Taken,
    phase: Phase,
    /// The log's last offset as far as known: a lower bound. The greatest of all: read until nothing more comes.
    head: Offset,
    /// All up to here was sent.
    position: Offset,
    /// There may be more in the store behind `position`.
    behind: bool,
    /// It waits for its turn.
    queued: bool,
    /// The only request whose answer still counts.
    waits_for: Option<u64>,
    /// What the read under way may bring; a frame that did not fit tells its size.
    reserve_bytes: usize,
    /// What was sent and not confirmed, oldest first.
    unconfirmed: VecDeque<Sent>,
}

struct Sent {
    upto: Offset,
    bytes: usize,
    is_snapshot_part: bool,
}

enum Phase {
    /// The store was asked what the log has. The device's cursor and check, if it asked, are compared with the answer.
    Asking(Option<(Epoch, Offset, Check)>),
    /// The answer waits to hear whose turn it is to heal.
    TurnAwaited(Box<Subscribed>),
    /// Everything behind `position` is owed.
    Following,
    /// A snapshot goes first.
    Snapshot { snapshot: Snapshot, part: usize },
    /// The store cannot be trusted with this stream.
    Failed,
}

impl Subscriptions {
    pub fn get(&self, stream: &StreamName) -> Option<&Subscription> {
        self.by_stream.get(stream).map(Box::as_ref)
    }
    /// Sent and not confirmed, all streams together.
    pub fn unconfirmed_bytes(&self) -> usize {
        self.unconfirmed_bytes
    }
    /// The request under way for a stream is not wanted any more.
    fn cancel(&mut self, stream: &StreamName) -> Option<u64> {
        let sub = self.by_stream.get_mut(stream)?;
        let request = sub.waits_for.take()?;
        if matches!(sub.phase, Phase::Following) {
            self.reads -= 1;
            self.reserved_bytes -= core::mem::take(&mut sub.reserve_bytes);
        }
        Some(request)
    }
    /// Nothing that was sent of a stream will be confirmed.
    fn forget_unconfirmed(&mut self, stream: &StreamName) {
        if let Some(sub) = self.by_stream.get_mut(stream) {
            self.unconfirmed_bytes -= sub.unconfirmed.drain(..).map(|sent| sent.bytes).sum::<usize>();
        }
    }
    /// Whether a frame of this size fits beside what is unconfirmed and what reads may bring. One always fits alone.
    fn has_room(&self, bytes: usize, window_bytes: usize) -> bool {
        let taken = self.unconfirmed_bytes + self.reserved_bytes;
        taken == 0 || taken + bytes <= window_bytes
    }
    /// Enters the stream for a turn, if it has something to send and is not yet entered. A stream of which nothing is
    /// under way goes first: it may have one keystroke to read, behind another's large catch-up.
    fn queue(&mut self, stream: &StreamName) {
        let Some(sub) = self.by_stream.get_mut(stream) else { return };
        let has_more = match sub.phase {
            Phase::Following => sub.behind && sub.waits_for.is_none(),
            Phase::Snapshot { .. } => true,
            _ => false,
        };
        if has_more && !sub.queued {
            sub.queued = true;
            match sub.is_quiet() {
                true => self.turns.push_front(stream.clone()),
                false => self.turns.push_back(stream.clone()),
            }
        }
    }
    fn sent(&mut self, stream: &StreamName, upto: Offset, bytes: usize, is_snapshot_part: bool) {
        let Some(sub) = self.by_stream.get_mut(stream) else { return };
        sub.unconfirmed.push_back(Sent { upto, bytes, is_snapshot_part });
        self.unconfirmed_bytes += bytes;
    }
}

impl Subscription {
    /// From which of a producer's sequences on the device may not know what was refused. `first`: what it has just sent.
    pub fn settled_of(&self, producer: ProducerId, first: Sequence) -> Sequence {
        if producer == self.producer { self.settled } else { first }
    }
    /// From where on a hint's batch is wanted. `None`: the log is being read.
    pub fn live_position(&self) -> Option<Offset> {
        let is_live = matches!(self.phase, Phase::Following) && !self.behind && self.waits_for.is_none();
        is_live.then_some(self.position)
    }
    /// Whether the stream is served.
    pub fn is_served(&self) -> bool {
        !matches!(self.phase, Phase::Failed)
    }
    /// There is more than was told, nobody knows how much.
    fn read_to_end(&mut self) {
        (self.behind, self.head) = (true, Offset::MAX);
    }
    /// Whether everything that was sent is confirmed.
    fn is_quiet(&self) -> bool {
        self.unconfirmed.is_empty()
    }
    /// How much of the window what is read for it may fill.
    fn window_bytes(&self) -> usize {
        if self.is_quiet() { WINDOW_BYTES } else { WINDOW_BYTES - LIVE_BYTES }
    }
}

impl Relay {
    /// `subscribe`: for the first time, or again on the same socket, which starts again where the device says it is.
    pub(super) fn subscribe(&mut self, ask: Subscribe) {
        let stream = ask.stream.clone();
        let asked_before = self.subscriptions.get(&stream).map(|sub| sub.records.len());
        self.subscriptions.records += ask.records.len();
        self.subscriptions.records -= asked_before.unwrap_or(0);
        let is_new = asked_before.is_none();
        let full = is_new && self.subscriptions.by_stream.len() as u64 >= self.config.limits.streams_max;
        if full || self.subscriptions.records > RECORDS_PER_CONNECTION_MAX {
            return self.close(CloseCode::Limit);
        }
        if is_new {
            self.out.push(Output::Follow(stream.clone()));
        }
        self.restart(&stream);
        let old = self.subscriptions.by_stream.remove(&stream);
        let sub = Subscription {
            producer: ask.producer,
            settled: ask.settled,
            access: self.access,
            epoch: old.as_ref().map_or(Epoch::NONE, |old| old.epoch),
            records: ask.records,
            taken: Default::default(),
            phase: Phase::Following,
            head: Offset::ZERO,
            position: ask.after,
            behind: false,
            queued: old.is_some_and(|old| old.queued),
            waits_for: None,
            reserve_bytes: 0,
            unconfirmed: VecDeque::new(),
        };
        self.subscriptions.by_stream.insert(stream.clone(), Box::new(sub));
        self.ask_to_resume(&stream, Some((ask.epoch, ask.after, ask.check)));
    }

    /// `unsubscribe`.
    pub(super) fn unsubscribe(&mut self, stream: &StreamName) {
        self.restart(stream);
        if let Some(sub) = self.subscriptions.by_stream.remove(stream) {
            self.subscriptions.records -= sub.records.len();
            self.subscriptions.turns.retain(|queued| queued != stream);
            self.out.push(Output::TurnDone(stream.clone()));
            self.out.push(Output::Unfollow(stream.clone()));
        }
    }

    /// Forgets what is under way of a stream.
    fn restart(&mut self, stream: &StreamName) {
        if let Some(request) = self.subscriptions.cancel(stream) {
            self.requests.forget(request);
        }
        self.subscriptions.forget_unconfirmed(stream);
    }

    fn ask_to_resume(&mut self, stream: &StreamName, asked: Option<(Epoch, Offset, Check)>) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        let position = asked.map(|(epoch, after, _)| (epoch, after));
        let check_at = position.filter(|(epoch, after)| *after != Offset::ZERO && *epoch != Epoch::NONE);
        let (producer, settled) = (sub.producer, sub.settled);
        let request = Request::Resume(ResumeRequest { stream: stream.clone(), producer, settled, check_at });
        sub.waits_for = Some(self.requests.ask(request, Purpose::Follow(stream.clone()), &mut self.out));
        (sub.phase, sub.behind) = (Phase::Asking(asked), false);
    }

    /// The log was born or replaced: `subscribed` again, unasked, before anything else of it (decision 6). Whoever was
    /// sent something of the log before starts again.
    pub(super) fn log_replaced(&mut self, stream: &StreamName) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        match sub.phase {
            Phase::Failed => {}
            Phase::Asking(_) | Phase::TurnAwaited(_) => sub.read_to_end(),
            Phase::Following | Phase::Snapshot { .. } => {
                if let Some(request) = self.subscriptions.cancel(stream) {
                    self.requests.forget(request);
                }
                self.ask_to_resume(stream, None);
            }
        }
    }

    /// R7: may this device go on from its cursor?
    pub(super) fn resume_answered(&mut self, number: u64, stream: &StreamName, info: Result<ResumeInfo, StoreError>) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream).filter(|sub| sub.waits_for == Some(number)) else {
            return;
        };
        sub.waits_for = None;
        let Phase::Asking(asked) = sub.phase else { return };
        let Ok(info) = info else { return self.fail(stream) };
        if asked.is_none() && info.epoch == sub.epoch {
            // A hint that was late: the log is the one that the device knows.
            sub.phase = Phase::Following;
            if info.epoch != Epoch::NONE {
                sub.read_to_end();
            }
            return self.subscriptions.queue(stream);
        }
        let resume = match asked {
            Some((_, Offset::ZERO, _)) => true,
            Some((epoch, after, check)) => {
                let is_inside = info.floor <= after && after <= info.head;
                epoch == info.epoch && is_inside && info.check == Some(check)
            }
            None => sub.position == Offset::ZERO,
        };
        self.subscriptions.forget_unconfirmed(stream);
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        (sub.epoch, sub.taken) = (info.epoch, Default::default());
        sub.head = if sub.behind { Offset::MAX } else { info.head };
        if !resume {
            sub.position = Offset::ZERO;
        }
        let answer = Subscribed {
            stream: stream.clone(),
            epoch: info.epoch,
            head: info.head,
            resume,
            known: info.known,
            access: sub.access,
            turn: Turn::Go,
        };
        sub.phase = Phase::TurnAwaited(Box::new(answer));
        if resume {
            // It has nothing new to heal; and a device that goes on with its list does no harm.
            self.turn(stream, Turn::Go);
        } else {
            self.out.push(Output::TurnWanted(stream.clone()));
        }
    }

    /// Whose turn it is to heal.
    pub(super) fn turn(&mut self, stream: &StreamName, turn: Turn) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        let phase = core::mem::replace(&mut sub.phase, Phase::Following);
        let Phase::TurnAwaited(mut answer) = phase else {
            sub.phase = phase;
            return self.out.tell(&Down::Turn { stream: stream.clone(), turn });
        };
        answer.turn = turn;
        self.out.tell(&Down::Subscribed(*answer));
        if sub.access == Access::None {
            sub.phase = Phase::Failed;
        }
        sub.behind |= sub.position < sub.head;
        self.subscriptions.queue(stream);
    }

    /// A hint of the feed: handed over if it continues the position and fits, else the log will be read.
    pub(super) fn advanced(&mut self, shared: &SharedBatch) {
        let stream = &shared.stream;
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        if shared.epoch != sub.epoch {
            return self.log_replaced(stream);
        }
        let upto = shared.batch.upto.offset();
        sub.head = sub.head.max(upto);
        let is_waiting = sub.behind || sub.waits_for.is_some() || !matches!(sub.phase, Phase::Following);
        if is_waiting || sub.position != shared.batch.after || shared.frame.len() > FRAME_BYTES_TARGET {
            sub.behind |= sub.position < upto;
            return self.subscriptions.queue(stream);
        }
        let frame = sub.frame(stream, &shared.batch, Some(&shared.frame));
        self.send_events(stream, upto, frame, WINDOW_BYTES);
    }

    /// A hint of the feed: there is more to read.
    pub(super) fn behind(&mut self, stream: &StreamName) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        sub.read_to_end();
        self.subscriptions.queue(stream);
    }

    /// Sends a frame up to `upto`, or leaves it in the log until there is room in the window.
    fn send_events(&mut self, stream: &StreamName, upto: Offset, frame: Bytes, window_bytes: usize) {
        let has_room = self.subscriptions.has_room(frame.len(), window_bytes);
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        if has_room {
            (sub.position, sub.reserve_bytes) = (upto, 0);
            sub.behind |= upto < sub.head;
            self.subscriptions.sent(stream, upto, frame.len(), false);
            self.out.push(Output::Send(frame));
        } else {
            (sub.behind, sub.reserve_bytes) = (true, frame.len());
        }
        self.subscriptions.queue(stream);
    }

    /// The device has applied everything up to `cursor`. While a snapshot arrives its cursor stands still: then each
    /// `applied` confirms one part.
    pub(super) fn applied(&mut self, stream: &StreamName, cursor: Offset) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        while let Some(sent) = sub.unconfirmed.front() {
            let one_part = sent.is_snapshot_part && cursor < sent.upto;
            if !one_part && cursor < sent.upto {
                break;
            }
            self.subscriptions.unconfirmed_bytes -= sent.bytes;
            sub.unconfirmed.pop_front();
            if one_part {
                break;
            }
        }
    }

    /// The store cannot be trusted with this stream: it is not served any more.
    pub(super) fn fail(&mut self, stream: &StreamName) {
        self.restart(stream);
        if let Some(sub) = self.subscriptions.by_stream.get_mut(stream) {
            sub.phase = Phase::Failed;
        }
        self.tell_error(stream, "stream-unavailable", false, "the relay cannot serve this stream");
    }

    pub(super) fn tell_error(&mut self, stream: &StreamName, code: &str, retry: bool, message: &str) {
        let stream = Some(stream.clone());
        self.out.tell(&Down::Error { stream, code: code.into(), retry, message: message.into() });
    }
}
