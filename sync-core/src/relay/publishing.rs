//! From `publish` to its answer. What is handed to the store and what is durable are never mixed up: only an outcome
//! that the store minted becomes `accepted` or `rejected`. One append of a producer is under way at a time; what
//! arrives meanwhile is joined to the next.

use super::Relay;
use super::output::Request;
use super::requests::Purpose;
use super::store::{Append, AppendItem, Appended, Body, Outcome, ResumeInfo, ResumeRequest, StoreError};
use crate::digest;
use crate::event::Content;
use crate::ids::*;
use crate::limits::*;
use crate::wire::{Access, CloseCode, Down, Item, Known, Publish, Refusal};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

/// Says which events may enter a stream. Asked before the store, about every event of a publish, repeats included.
pub trait Validator: Send + Sync {
    /// Whether `subject` may append this event to this stream. It depends on nothing but its arguments: a repeat must
    /// not fare otherwise.
    fn validate(&self, subject: Option<&str>, stream: &StreamName, content: &Content) -> Result<(), Reason>;
}

/// Why an event is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// For programs, at most [`CODE_BYTES_MAX`] bytes.
    pub code: String,
    /// For people, at most [`REASON_BYTES_MAX`] bytes.
    pub reason: String,
}

/// Takes everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct TakeAll;

impl Validator for TakeAll {
    fn validate(&self, _: Option<&str>, _: &StreamName, _: &Content) -> Result<(), Reason> {
        Ok(())
    }
}

/// What waits at this connection, by stream. One append of a stream is under way at a time, whatever its producer: strays
/// under derived ids have a producer each, and must reach the log in the order in which they were sent.
#[derive(Default)]
pub(super) struct Publishing {
    chains: BTreeMap<StreamName, Chain>,
}

#[derive(Default)]
struct Chain {
    under_way: Option<u64>,
    waiting: VecDeque<Waiting>,
}

/// What goes to the store as one append.
pub(super) struct Waiting {
    pub append: Append,
    /// What it costs.
    pub bytes: usize,
    /// The first sequences of the publishes that were joined to the first.
    pub joined: Vec<Sequence>,
}

impl Publishing {
    /// Whether anything is not answered yet.
    pub fn is_idle(&self) -> bool {
        self.chains.is_empty()
    }
}

impl Waiting {
    /// Joins `next` to this one if it goes on where this one ends and both together are no larger than a publish; else
    /// gives it back.
    fn join(&mut self, next: Waiting) -> Option<Waiting> {
        let (mine, other) = (&mut self.append, &next.append);
        let goes_on = other.producer == mine.producer
            && other.first == mine.first + mine.items.len() as u64
            && mine.items.last().map(|item| item.tag) == Some(other.tag_before)
            && other.origin == other.tag_before
            && (&other.author, other.epoch) == (&mine.author, mine.epoch);
        let fits =
            mine.items.len() + other.items.len() <= PUBLISH_EVENTS_MAX && self.bytes + next.bytes <= EVENT_BYTES_MAX;
        if !goes_on || !fits {
            return Some(next);
        }
        self.joined.push(next.append.first);
        self.joined.extend(next.joined);
        mine.items.extend(next.append.items);
        self.bytes += next.bytes;
        None
    }
    /// The store takes less at once: half of it, or, of one event, its refusal.
    fn shrink(mut self) -> (Waiting, Option<Waiting>) {
        let items = &mut self.append.items;
        if let [item] = &mut items[..] {
            item.body = too_large();
            return (self, None);
        }
        let rest = items.split_off(items.len() / 2);
        let tag_before = items.last().map_or(self.append.tag_before, |item| item.tag);
        let first = self.append.first + items.len() as u64;
        let append = Append { first, tag_before, origin: tag_before, items: rest, ..self.append.clone() };
        let bytes = self.bytes / 2;
        self.bytes -= bytes;
        let (joined, rest) = core::mem::take(&mut self.joined).into_iter().partition(|joined| *joined < first);
        self.joined = joined;
        (self, Some(Waiting { append, bytes, joined: rest }))
    }
}

fn too_large() -> Body {
    refused("too-large", "the event is larger than this relay takes")
}

fn refused(code: &str, reason: &str) -> Body {
    Body::Refused { code: code.into(), reason: reason.into() }
}

impl Relay {
    /// `publish`: computes the tags, asks the validator, hands on.
    pub(super) fn publish(&mut self, publish: Publish) {
        let Publish { stream, producer, first, tag_before, origin, items } = publish;
        let Some(epoch) = self.may_write(&stream) else { return };
        let origin = origin.unwrap_or(tag_before);
        let (mut bytes, mut before) = (0, origin);
        let items = items.into_iter().map(|item| {
            bytes += 64;
            let item = match item {
                Item::Void { tag } => AppendItem { tag, body: Body::Void },
                Item::Event { content, causes, needs } => {
                    bytes += content.len() + causes.len() * 40;
                    let tag = digest::tag(before, &content);
                    let verdict = self.verdict(&stream, &content);
                    AppendItem { tag, body: verdict.unwrap_or(Body::Event { content, causes, needs }) }
                }
            };
            before = item.tag;
            item
        });
        let items = items.collect();
        let author = self.subject.clone();
        let append = Append { stream: stream.clone(), epoch, producer, first, tag_before, origin, author, items };
        self.unanswered_bytes += bytes;
        // Strays are not joined: each is told its own `have`.
        let is_own = self.subscriptions.get(&stream).is_some_and(|sub| sub.producer == producer);
        let waiting = &mut self.publishing.chains.entry(stream.clone()).or_default().waiting;
        let next = Waiting { append, bytes, joined: vec![] };
        let next = match waiting.back_mut() {
            Some(last) if is_own => last.join(next),
            _ => Some(next),
        };
        waiting.extend(next);
        self.append_next(&stream);
    }

    /// Whether this device may write to the stream, and the log it means; tells the device if not.
    pub(super) fn may_write(&mut self, stream: &StreamName) -> Option<Option<Epoch>> {
        let Some(sub) = self.subscriptions.get(stream) else {
            self.tell_error(stream, "not-subscribed", true, "subscribe to the stream before writing to it");
            return None;
        };
        if !sub.is_served() || sub.access != Access::Write {
            self.tell_error(stream, "access-denied", false, "this stream may not be written to");
            return None;
        }
        Some((sub.epoch != Epoch::NONE).then_some(sub.epoch))
    }

    /// Why this content is not taken.
    fn verdict(&self, stream: &StreamName, content: &bytes::Bytes) -> Option<Body> {
        if content.len() as u64 > self.config.limits.event_bytes_max {
            return Some(too_large());
        }
        let Ok(content) = Content::decode(content) else {
            return Some(refused("invalid-content", "not an event of this protocol"));
        };
        let Reason { code, reason } = self.validator.validate(self.subject.as_deref(), stream, &content).err()?;
        Some(Body::Refused { code: within(code, CODE_BYTES_MAX), reason: within(reason, REASON_BYTES_MAX) })
    }

    fn append_next(&mut self, stream: &StreamName) {
        let Some(chain) = self.publishing.chains.get_mut(stream) else { return };
        if chain.under_way.is_some() {
            return;
        }
        let Some(Waiting { append, bytes, joined }) = chain.waiting.pop_front() else {
            self.publishing.chains.remove(stream);
            return;
        };
        let request = self.requests.ask(Request::Append(append), Purpose::Publish { bytes, joined }, &mut self.out);
        chain.under_way = Some(request);
    }

    /// The store's word on an append.
    pub(super) fn append_answered(&mut self, asked: Waiting, unsure: bool, answer: Result<Appended, StoreError>) {
        let Waiting { append, bytes, joined } = asked;
        let stream = append.stream.clone();
        match answer {
            Ok(appended) => {
                if self.appended(&append, unsure, appended) {
                    self.unanswered_bytes -= bytes;
                    return self.ask_what_it_has(&append, joined);
                }
            }
            Err(StoreError::Chain { .. }) => {
                self.unanswered_bytes -= bytes;
                return self.ask_what_it_has(&append, joined);
            }
            // Not even its refusal: a sequence that no log can hold.
            Err(StoreError::TooLarge) if matches!(&append.items[..], [item] if !matches!(item.body, Body::Event { .. })) =>
            {
                return self.close(CloseCode::Limit);
            }
            Err(StoreError::TooLarge) => {
                let (half, rest) = Waiting { append, bytes, joined }.shrink();
                if let Some(chain) = self.publishing.chains.get_mut(&stream) {
                    chain.under_way = None;
                    rest.into_iter().chain([half]).for_each(|part| chain.waiting.push_front(part));
                }
                return self.append_next(&stream);
            }
            Err(StoreError::Epoch { .. }) => self.log_replaced(&stream),
            Err(StoreError::Corrupt(_) | StoreError::Unknown | StoreError::Busy) => self.fail(&stream),
        }
        self.unanswered_bytes -= bytes;
        self.answered(&stream);
    }

    /// A publish of this stream has its answer: the next one's turn.
    pub(super) fn answered(&mut self, stream: &StreamName) {
        if let Some(chain) = self.publishing.chains.get_mut(stream) {
            chain.under_way = None;
        }
        self.append_next(stream);
    }

    /// Tells the fates of what is stored. What the store had before this connection asked is the device's own repeat:
    /// it gets `have` (decision 16), because `accepted` would be wrong where the earlier one was refused or another's.
    /// Whether there is such.
    fn appended(&mut self, append: &Append, unsure: bool, appended: Appended) -> bool {
        let stream = &append.stream;
        if self.subscriptions.get(stream).is_some_and(|sub| sub.epoch != appended.epoch) {
            self.log_replaced(stream);
        }
        self.taken(append);
        let old = if unsure { 0 } else { append.items.len().saturating_sub(appended.new) };
        let mut is_repeat = old > 0;
        let fates = append.first..;
        let mut accepted: Option<(Sequence, Sequence)> = None;
        for ((sequence, item), outcome) in fates.zip(&append.items).zip(appended.outcomes).skip(old) {
            match outcome {
                Outcome::Refused { code, reason } => {
                    self.tell_accepted(append, accepted.take());
                    let refusal = Refusal { sequence, tag: item.tag, code, reason };
                    let (stream, producer) = (stream.clone(), append.producer);
                    self.out.tell(&Down::Rejected { stream, producer, refusal });
                }
                // While this append was unsure, a copy of the profile threw away what this device sends, or sent what
                // this one threw away.
                fate if (fate == Outcome::Void) != matches!(item.body, Body::Void) => {
                    self.tell_accepted(append, accepted.take());
                    is_repeat = true;
                }
                _ => accepted = Some((accepted.map_or(sequence, |a| a.0), sequence)),
            }
        }
        self.tell_accepted(append, accepted);
        is_repeat
    }

    /// For a `have` to a device that does not continue its producer's chain (R8, R11). What it published behind waits for
    /// it, so that answers come in the order of the publishes.
    fn ask_what_it_has(&mut self, append: &Append, joined: Vec<Sequence>) {
        let (stream, producer, first) = (append.stream.clone(), append.producer, append.first);
        let Some(sub) = self.subscriptions.get(&stream) else { return self.answered(&stream) };
        let settled = sub.settled_of(producer, first);
        let request = ResumeRequest { stream: stream.clone(), producer, settled, check_at: None };
        let purpose = Purpose::Have { stream: stream.clone(), producer, first, joined };
        let number = self.requests.ask(Request::Resume(request), purpose, &mut self.out);
        if let Some(chain) = self.publishing.chains.get_mut(&stream) {
            chain.under_way = Some(number);
        }
    }

    fn tell_accepted(&mut self, append: &Append, accepted: Option<(Sequence, Sequence)>) {
        if let Some((first, last)) = accepted {
            let (stream, producer) = (append.stream.clone(), append.producer);
            self.out.tell(&Down::Accepted { stream, producer, first, last });
        }
    }

    /// What the log has of a producer: an answer to each publish.
    pub(super) fn tell_have(
        &mut self,
        stream: StreamName,
        producer: ProducerId,
        (first, joined): (Sequence, Vec<Sequence>),
        info: ResumeInfo,
    ) {
        if self.subscriptions.get(&stream).is_some() {
            let ResumeInfo { known, head, .. } = info;
            let (last, tag) = (known.last, known.tag);
            self.out.tell(&Down::Have { stream: stream.clone(), producer, sequence: first, known, head });
            // The first has told the refusals.
            for sequence in joined {
                let known = Known { last, tag, refused: vec![] };
                self.out.tell(&Down::Have { stream: stream.clone(), producer, sequence, known, head });
            }
        }
        self.answered(&stream);
    }
}

/// The text, cut to at most `bytes_max` bytes at a character's end.
fn within(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
