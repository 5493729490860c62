//! R16: what an event's author had applied of other streams, on the way out and on the way in.

use super::input::Socket;
use super::rows::OwnCause;
use super::stream::{Life, Stream, stamped};
use crate::event::{Cause, Event};
use crate::ids::*;
use crate::limits::CAUSES_MAX;
use crate::sorted::SortedMap;
use crate::time::Millis;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// When a held event's causes were last asked about: the head and epoch in the answer bound them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) socket: Socket,
    pub(super) at: Millis,
    /// The answer: for what came in frames before this one, the head is all that there is to wait for.
    pub(super) bound: Option<(Offset, u64)>,
}

/// The other streams of the device, while one is at work.
pub(super) struct Others<'a> {
    pub(super) streams: &'a SortedMap<StreamName, Box<Stream>>,
    pub(super) names: &'a SortedMap<StreamHash, StreamName>,
    pub(super) asked: &'a SortedMap<StreamName, Asked>,
}

/// Whether something may go on.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Ready<T> {
    Now(T),
    /// Not before this stream moved.
    After(StreamName),
}

impl Others<'_> {
    fn followed(&self, name: &StreamName) -> Option<&Stream> {
        let is_followed = |s: &&Stream| match s.life {
            Life::Loading(_) => s.opened,
            life => life == Life::Ready && s.link.is_some() && s.error.is_none(),
        };
        self.streams.get(name).map(Box::as_ref).filter(is_followed)
    }
    fn named(&self, hash: StreamHash) -> Option<&Stream> {
        self.names.get(&hash).and_then(|name| self.followed(name))
    }

    /// The causes of a new event: where the others stand, the newest first, and own events there that wait.
    pub(super) fn causes_of_append(&self, stream: &Stream) -> Vec<OwnCause> {
        let mut moved: Vec<(u64, OwnCause)> = vec![];
        // Of one that is being loaded the record tells: nothing waits in it.
        let is_known = |other: &Stream| matches!(other.life, Life::Ready | Life::Loading(_));
        for (name, other) in self.streams.iter().filter(|(name, other)| **name != stream.name && is_known(other)) {
            let waiting = other.outbox.last().map(|(s, _)| other.own_id(*s));
            let own = waiting.or(other.open_strays().next_back().map(|stray| stray.id));
            let hash = crate::digest::stream_hash(name);
            let said = stream.stamped.get(&hash);
            let (epoch, offset) = (other.record.epoch, other.record.cursor);
            let is_new = offset > Offset::ZERO && said.is_none_or(|said| said.0 != epoch || said.1 < offset);
            // A stream that nobody follows here any more says nothing new; own events that wait there still count.
            if (is_new && other.opened) || own.is_some() {
                // Put in its place: there are few, and the code of a sort would be more than that of all this file.
                let place = moved.partition_point(|(advanced, _)| *advanced >= other.advanced);
                moved.insert(place, (other.advanced, OwnCause { stream: name.clone(), epoch, offset, own }));
                moved.truncate(CAUSES_MAX);
            }
        }
        moved.into_iter().map(|(_, cause)| cause).collect()
    }

    /// The causes of an own event as they go out.
    pub(super) fn stamp_own(&self, causes: &[OwnCause]) -> Ready<Vec<Cause>> {
        let mut out = vec![];
        for cause in causes {
            // Of one that is not loaded the record tells: nothing waits there.
            let is_known = |s: &&Stream| !matches!(s.life, Life::Failed(_));
            let Some(other) = self.streams.get(&cause.stream).map(Box::as_ref).filter(is_known) else {
                out.extend((cause.offset > Offset::ZERO).then(|| stamped(cause)));
                continue;
            };
            if let Some(id) = cause.own
                && (other.is_loading_work() || is_open(other, id))
            {
                return Ready::After(cause.stream.clone());
            }
            match self.restamp(other, stamped(cause), cause.own.is_some()) {
                Ready::Now(cause) => out.extend(cause),
                Ready::After(name) => return Ready::After(name),
            }
        }
        Ready::Now(out)
    }

    /// The causes of an event to heal as they go out.
    pub(super) fn stamp_healed(&self, event: &mut Event) -> Ready<()> {
        let mut out = vec![];
        for cause in &event.causes {
            let Some(other) = self.named(cause.stream) else {
                out.push(*cause);
                continue;
            };
            match self.restamp(other, *cause, false) {
                Ready::Now(cause) => out.extend(cause),
                Ready::After(name) => return Ready::After(name),
            }
        }
        event.causes = out;
        Ready::Now(())
    }

    /// After a reset a cause points into a log that is gone: it waits until no heal entry that it covers is left, and
    /// becomes the sender's present cursor.
    fn restamp(&self, other: &Stream, cause: Cause, anew: bool) -> Ready<Option<Cause>> {
        let r = &other.record;
        if r.generation > 0 && other.heal.covers(cause.offset) {
            return Ready::After(other.name.clone());
        }
        if anew || r.generation > 0 || cause.epoch != r.epoch {
            let now = Cause { stream: cause.stream, epoch: r.epoch, offset: r.cursor };
            return Ready::Now((r.cursor > Offset::ZERO).then_some(now));
        }
        Ready::Now(Some(cause))
    }

    /// The stream that an event has to wait for, if there is one.
    pub(super) fn missing(&self, event: &Event, frame: u64) -> Option<StreamName> {
        let waits = |cause: &&Cause| {
            let Some(other) = self.named(cause.stream) else { return false };
            let bound = self.asked.get(&other.name).and_then(|asked| asked.bound);
            let bound = bound.filter(|(_, answered)| frame <= *answered).map(|(head, _)| head);
            let reached = other.record.cursor >= cause.offset || bound.is_some_and(|b| other.record.cursor >= b);
            // A cause in a log that this device has not got to yet, or that is gone: the answer to asking again tells.
            let known = cause.epoch == other.record.epoch || bound.is_some();
            let is_void = known && cause.epoch != other.record.epoch;
            !(is_void || reached && known)
        };
        let cause = event.causes.iter().find(waits)?;
        self.names.get(&cause.stream).cloned()
    }

    /// Whether what `name` waits for waits, in the end, for an event of `stream` or what is behind it: impossible in one
    /// history, so its causes are void. What stands before the event is applied in the same step.
    pub(super) fn waits_for(&self, name: &StreamName, stream: &Stream, event: &Event) -> bool {
        let mut at = name.clone();
        for _ in 0..=self.streams.len() {
            if at == stream.name {
                return true;
            }
            let Some((held, frame)) = self.streams.get(&at).and_then(|s| first_held(s)) else { return false };
            let works = |cause: &Cause| {
                let to = self.names.get(&cause.stream) == Some(&stream.name);
                to && (cause.epoch != stream.record.epoch || cause.offset >= event.offset)
            };
            if held.causes.iter().any(works) {
                return true;
            }
            let Some(next) = self.missing(&held, frame) else { return false };
            at = next;
        }
        false
    }
    /// The stream that this one's first held event waits for.
    pub(super) fn held_for(&self, stream: &Stream) -> Option<StreamName> {
        let (held, frame) = first_held(stream)?;
        self.missing(&held, frame)
    }
}

/// The first event that waits for its causes, and the frame in which it came.
fn first_held(stream: &Stream) -> Option<(Event, u64)> {
    let held = stream.link.as_ref()?.held.front()?;
    let own = |id, tag| stream.own_content(id, tag);
    let events = held.events.runs.iter().flat_map(|run| run.events(own).unwrap_or_default());
    let first = events.into_iter().find(|event| event.offset > stream.record.cursor)?;
    Some((first, held.frame))
}

/// Whether an own event of that stream, or one before it, is still without an offset: it may have been thrown away itself.
fn is_open(stream: &Stream, id: EventId) -> bool {
    let before = |other: EventId| other.producer == id.producer && other.sequence <= id.sequence;
    // One that is known only from inside a snapshot will not come again, whatever the present log lacks.
    // One that is thrown away comes back if that is not committed.
    let is_settled = || stream.record.voids == stream.durable.voids && stream.open_upto(id.sequence).is_empty();
    let own = id.producer == stream.record.producer && !is_settled();
    own || stream.open_strays().any(|stray| before(stray.id))
}
