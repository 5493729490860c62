//! Events as the log holds them, and runs of them as wire, relay and device pass them on.

use crate::digest;
use crate::ids::*;
use crate::wire::DecodeError;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// What an event's payload is. The core passes all of them on unparsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// UTF-8 JSON of `{type, payload}`.
    Application = 1,
    /// One Automerge change, as an uncompressed chunk.
    Change = 2,
    /// A whole Automerge document.
    Document = 3,
}

impl Kind {
    /// From its number on the wire.
    pub fn from_number(number: u8) -> Option<Kind> {
        [Kind::Application, Kind::Change, Kind::Document].into_iter().find(|k| *k as u8 == number)
    }
}

/// What an author's content bytes say. The bytes are hashed and passed on as they are; nobody encodes them again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What the payload is.
    pub kind: Kind,
    /// Milliseconds since 1970 by the author's clock. To show, never to order by.
    pub time: u64,
    /// The application's bytes.
    pub payload: Bytes,
}

impl Content {
    /// The content's bytes: a CBOR array of kind, time and payload.
    pub fn encode(&self) -> Bytes {
        let mut out = crate::wire::codec::Writer::new();
        out.array(3).u64(self.kind as u64).u64(self.time).bytes(&self.payload);
        out.finish().into()
    }
    /// Reads content bytes. Unknown kinds and further elements are errors of the author, not of the wire.
    pub fn decode(bytes: &Bytes) -> Result<Content, DecodeError> {
        let mut input = crate::wire::codec::Reader::new(bytes);
        input.array_of(3)?;
        let kind = u8::try_from(input.u64()?).ok().and_then(Kind::from_number);
        Ok(Content {
            kind: kind.ok_or_else(|| input.error("unknown kind of content"))?,
            time: input.u64()?,
            payload: input.bytes()?,
        })
    }
}

/// What the author had applied of another stream when it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The other stream.
    pub stream: StreamHash,
    /// The incarnation of its log that the offset is in.
    pub epoch: Epoch,
    /// The author's cursor there.
    pub offset: Offset,
}

/// The token's subject, set by the relay. `None`: anonymous.
pub type Author = Option<Arc<str>>;

/// One event as a log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its id from end to end.
    pub id: EventId,
    /// The digest of the producer's chain up to it.
    pub tag: Tag,
    /// The tag that its own was computed from: that of the sequence before it.
    pub tag_before: Tag,
    /// The producer's sequence that entered the log before it (0: none), and that one's tag.
    pub prev: (Sequence, Tag),
    /// Where it is in the log.
    pub offset: Offset,
    /// Who wrote it, says the relay.
    pub author: Author,
    /// It was made on top of `prev` and is refused where that one is.
    pub needs_prev: bool,
    /// What its author had applied of other streams.
    pub causes: Vec<Cause>,
    /// What the author encoded.
    pub content: Bytes,
}

impl Event {
    /// The same event after it was filed under an id derived from it (R11).
    pub fn refiled(&self) -> Event {
        let producer = digest::derived_producer(self.id, self.tag);
        Event { id: EventId { producer, sequence: 1 }, prev: (0, Tag::ZERO), needs_prev: false, ..self.clone() }
    }
    /// Memory and wire bytes of it, roughly: content and a fixed share for the rest.
    pub fn bytes(&self) -> usize {
        self.content.len() + 64 + self.causes.len() * 40
    }
}

/// What a run holds of each of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bodies {
    /// The contents.
    Contents(Vec<Bytes>),
    /// The reader is the author and has the contents: their tags.
    Own(Vec<Tag>),
}

impl Bodies {
    /// How many events.
    pub fn len(&self) -> usize {
        match self {
            Bodies::Contents(contents) => contents.len(),
            Bodies::Own(tags) => tags.len(),
        }
    }
    /// Whether there are none: never true of a decoded run.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Events of one producer with consecutive sequences and consecutive offsets. A refusal or a void in between starts a
/// new run, so `prev` and `tag_before` of the first say all that a reader cannot compute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whose events.
    pub producer: ProducerId,
    /// The first one's sequence.
    pub first: Sequence,
    /// The first one's offset. In a heal, where there is none yet, zero.
    pub offset: Offset,
    /// Who wrote them.
    pub author: Author,
    /// The producer's sequence that entered the log before the first, and its tag.
    pub prev: (Sequence, Tag),
    /// The tag that the first one's tag is computed from.
    pub tag_before: Tag,
    /// The events.
    pub bodies: Bodies,
    /// One bit an event, lowest bit first: whether it needs the one that entered before it. May be shorter than the run.
    pub needs: Vec<u8>,
    /// Causes by index, only of events that have some; indexes ascend.
    pub causes: Vec<(u32, Vec<Cause>)>,
}

impl Run {
    /// A run of one event.
    pub fn of(event: &Event) -> Run {
        let mut run = Run {
            producer: event.id.producer,
            first: event.id.sequence,
            offset: event.offset,
            author: event.author.clone(),
            prev: event.prev,
            tag_before: event.tag_before,
            bodies: Bodies::Contents(vec![]),
            needs: vec![],
            causes: vec![],
        };
        run.put(event);
        run
    }
    /// The runs of events that are in log order.
    pub fn group<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Run> {
        let mut runs: Vec<Run> = vec![];
        let mut last: Option<&Event> = None;
        for event in events {
            match runs.last_mut() {
                Some(run) if last.is_some_and(|last| follows(last, event)) => run.put(event),
                _ => runs.push(Run::of(event)),
            }
            last = Some(event);
        }
        runs
    }
    /// Adds an event that follows the last one.
    pub fn put(&mut self, event: &Event) {
        let index = self.bodies.len();
        if let Bodies::Contents(contents) = &mut self.bodies {
            contents.push(event.content.clone());
        }
        if event.needs_prev {
            self.needs.resize(self.needs.len().max(index / 8 + 1), 0);
            self.needs[index / 8] |= 1 << (index % 8);
        }
        if !event.causes.is_empty() {
            self.causes.push((index as u32, event.causes.clone()));
        }
    }
    /// The last event's sequence.
    pub fn last(&self) -> Sequence {
        self.first + self.bodies.len() as u64 - 1
    }
    /// Whether event `index` needs the one that entered the log before it.
    pub fn needs_prev(&self, index: usize) -> bool {
        self.needs.get(index / 8).is_some_and(|byte| byte & 1 << (index % 8) != 0)
    }
    /// The causes of event `index`.
    pub fn causes_of(&self, index: usize) -> &[Cause] {
        let found = self.causes.binary_search_by_key(&(index as u32), |(i, _)| *i);
        found.map_or(&[], |at| &self.causes[at].1)
    }
    /// The events one by one, tags computed. `own` gives the content of an own event that came without.
    /// `None` where it has none: the reader is not the author after all.
    pub fn events(&self, mut own: impl FnMut(EventId, Tag) -> Option<Bytes>) -> Option<Vec<Event>> {
        let mut events = Vec::with_capacity(self.bodies.len());
        let (mut tag_before, mut prev) = (self.tag_before, self.prev);
        for index in 0..self.bodies.len() {
            let id = EventId { producer: self.producer, sequence: self.first + index as u64 };
            let (tag, content) = match &self.bodies {
                Bodies::Contents(contents) => (digest::tag(tag_before, &contents[index]), contents[index].clone()),
                Bodies::Own(tags) => (tags[index], own(id, tags[index])?),
            };
            events.push(Event {
                id,
                tag,
                tag_before,
                prev,
                offset: Offset(self.offset.0 + index as u64),
                author: self.author.clone(),
                needs_prev: self.needs_prev(index),
                causes: self.causes_of(index).to_vec(),
                content,
            });
            (tag_before, prev) = (tag, (id.sequence, tag));
        }
        Some(events)
    }
}

/// Whether `event` can stand in the run that `last` ends.
fn follows(last: &Event, event: &Event) -> bool {
    let next = EventId { sequence: last.id.sequence + 1, ..last.id };
    event.id == next
        && event.prev == (last.id.sequence, last.tag)
        && event.tag_before == last.tag
        && event.author == last.author
        && (event.offset.0 == last.offset.0 + 1 || (event.offset, last.offset) == (Offset::ZERO, Offset::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(producer: u8, n: u64) -> Vec<Event> {
        let mut events: Vec<Event> = vec![];
        for sequence in 1..=n {
            let before = events.last();
            let tag_before = before.map_or(Tag::ZERO, |e| e.tag);
            let content =
                Content { kind: Kind::Application, time: sequence, payload: vec![producer; 3].into() }.encode();
            events.push(Event {
                id: EventId { producer: ProducerId([producer; 16]), sequence },
                tag: digest::tag(tag_before, &content),
                tag_before,
                prev: before.map_or((0, Tag::ZERO), |e| (e.id.sequence, e.tag)),
                offset: Offset(sequence),
                author: None,
                needs_prev: sequence % 3 == 0,
                causes: vec![],
                content,
            });
        }
        events
    }

    #[test]
    fn a_run_gives_its_events_back() {
        let events = chain(1, 20);
        let runs = Run::group(&events);
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].events(|_, _| None), Some(events));
    }

    #[test]
    fn a_gap_starts_a_new_run() {
        let mut events = chain(1, 3);
        events.remove(1);
        events[1].offset = Offset(2);
        events[1].prev = (1, events[0].tag);
        let runs = Run::group(&events);
        assert_eq!(runs.len(), 2);
        assert_eq!(runs[1].events(|_, _| None).map(|e| e[0].tag), Some(events[1].tag));
    }

    #[test]
    fn a_refiled_event_keeps_its_tag() {
        let event = chain(1, 4).remove(3).refiled();
        assert_eq!(event.id.sequence, 1);
        assert_eq!(Run::of(&event).events(|_, _| None), Some(vec![event]));
    }

    #[test]
    fn content_survives_a_round_trip_and_rubbish_is_an_error() {
        let content = Content { kind: Kind::Change, time: 5, payload: Bytes::from_static(b"abc") };
        assert_eq!(Content::decode(&content.encode()), Ok(content));
        assert!(Content::decode(&Bytes::from_static(b"\x83\x09\x01\x40")).is_err());
        assert!(Content::decode(&Bytes::new()).is_err());
    }
}
