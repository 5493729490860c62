//! One stream on this device: its durable record, its own events, and the link while it is subscribed.

use super::folding::Folding;
use super::healing::Heal;
use super::io::Io;
use super::output::{Notice, Own, Rejection, StreamState, Table};
use super::rows::{self, OwnEvent, Record, StrayRow, key};
use crate::digest;
use crate::event::{Content, Event};
use crate::ids::*;
use crate::sorted::{SortedMap, SortedSet};
use crate::time::Millis;
use crate::wire::{Access, Down, Events, HealFate, Subscribe, Turn, Up};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// Tags of own events in one row of the local store.
const TAGS_PER_ROW: u64 = 512;

/// What the stream's life on this device is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// Only the record is in memory.
    Dormant,
    /// So many loads are still to be answered.
    Loading(usize),
    Ready,
    /// The local rows cannot be read.
    Failed(&'static str),
}

/// The subscription's phase on the present connection.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// `subscribe` sent.
    Asking,
    /// The answer said to start again; what the old log brought is being moved to the heal list.
    Resetting,
    /// Answered: `head` and `last` as the relay said then.
    Live { head: Offset, last: Sequence },
}

/// Parts of a snapshot that came so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Assembly {
    pub(super) bytes: Vec<u8>,
    pub(super) next: u64,
    pub(super) records: Vec<crate::wire::Record>,
}

/// A batch as it came.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) events: Events,
    pub(super) bytes: usize,
    /// Which frame it came in, counted by the device.
    pub(super) frame: u64,
}

/// Everything about a stream that ends with the connection.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) phase: Phase,
    pub(super) turn: Turn,
    /// Next own sequence to send.
    pub(super) next: Sequence,
    /// What was sent and not answered: whose, first, last, bytes.
    pub(super) unanswered: Vec<(ProducerId, Sequence, Sequence, usize)>,
    /// Fates that stand once the cursor reaches the offset.
    pub(super) verdicts: Vec<(EventId, Tag, HealFate, Offset)>,
    /// The ids under which strays were sent on this link.
    pub(super) strays_sent: SortedSet<EventId>,
    /// Batches that are not applied yet: they wait for their causes.
    pub(super) held: VecDeque<Held>,
    pub(super) held_since: Option<Millis>,
    /// Answers that wait for the reset.
    pub(super) inbox: VecDeque<(Down, usize)>,
    pub(super) assembly: Assembly,
    /// Bytes received and not confirmed with `applied`.
    pub(super) unconfirmed_bytes: usize,
}

impl Link {
    pub(super) fn asking() -> Link {
        Link {
            phase: Phase::Asking,
            turn: Turn::Wait,
            next: 1,
            unanswered: vec![],
            verdicts: vec![],
            strays_sent: SortedSet::new(),
            held: VecDeque::new(),
            held_since: None,
            inbox: VecDeque::new(),
            assembly: Assembly::default(),
            unconfirmed_bytes: 0,
        }
    }
    /// Everything is to be sent anew, and what was said of it is of another log.
    pub(super) fn forget_sent(&mut self) {
        self.unanswered.clear();
        self.verdicts.clear();
        self.strays_sent.clear();
    }
    pub(super) fn unanswered_bytes(&self) -> usize {
        self.unanswered.iter().map(|(.., bytes)| bytes).sum()
    }
    /// Received and waiting to be applied.
    pub(super) fn unapplied_bytes(&self) -> usize {
        self.held.iter().map(|held| held.bytes).chain(self.inbox.iter().map(|(_, bytes)| *bytes)).sum()
    }
    /// Whether an answer to this own sequence is still to come on this link.
    pub(super) fn is_asked(&self, producer: ProducerId, sequence: Sequence) -> bool {
        self.unanswered.iter().any(|(p, first, last, _)| *p == producer && (*first..=*last).contains(&sequence))
    }
    /// `have` answers the publish that began with this sequence.
    pub(super) fn answered_by_have(&mut self, producer: ProducerId, first: Sequence) {
        self.unanswered.retain(|(p, f, ..)| (*p, *f) != (producer, first));
    }
    /// Everything up to this sequence of the producer is answered.
    pub(super) fn answered(&mut self, producer: ProducerId, upto: Sequence) {
        self.unanswered.retain(|(p, _, last, _)| *p != producer || *last > upto);
    }
}

pub(super) struct Stream {
    pub(super) name: StreamName,
    pub(super) life: Life,
    /// Some page needs it.
    pub(super) opened: bool,
    pub(super) record: Record,
    /// The record as it was committed last.
    pub(super) durable: Record,
    /// The record changed since it was last put into a transaction.
    pub(super) dirty: bool,
    /// The chain's tags of own sequences 1, 2, 3 ...
    pub(super) tags: Vec<Tag>,
    /// Own events that were not seen in the log yet, but for those in the heal list.
    pub(super) outbox: SortedMap<Sequence, OwnEvent>,
    pub(super) strays: Vec<StrayRow>,
    pub(super) heal: Heal,
    pub(super) heal_rows: SortedMap<(u32, Offset), rows::HealRow>,
    pub(super) folding: Folding,
    pub(super) link: Option<Link>,
    /// The relay waits for the word that this device has nothing more to heal here, and lets others wait.
    pub(super) holds_turn: bool,
    /// An event under this device's producer id came by that it did not make (R10).
    pub(super) suspect: bool,
    /// Times that the link was given up since the cursor moved.
    pub(super) asks: u32,
    pub(super) access: Access,
    /// Whether the relay said on some connection that there is something.
    pub(super) exists: Option<bool>,
    /// Answers to `subscribe` so far.
    pub(super) answers: u64,
    pub(super) error: Option<&'static str>,
    /// Causes of the own event seen last: they need not be said again.
    pub(super) stamped: SortedMap<StreamHash, (Epoch, Offset)>,
    /// When the cursor moved last, as a count of the device: the newest causes come first.
    pub(super) advanced: u64,
    /// What [`Stream::awaited`] was when the device looked at this stream last.
    pub(super) seen_awaited: (Offset, usize, usize, usize),
    pub(super) told: Option<StreamState>,
}

impl Stream {
    pub(super) fn new(name: StreamName, record: Record) -> Stream {
        Stream {
            name,
            life: Life::Dormant,
            opened: false,
            durable: record.clone(),
            record,
            dirty: false,
            tags: vec![],
            outbox: SortedMap::new(),
            strays: vec![],
            heal: Heal::default(),
            heal_rows: SortedMap::new(),
            folding: Folding::default(),
            link: None,
            holds_turn: false,
            suspect: false,
            asks: 0,
            access: Access::Write,
            exists: None,
            answers: 0,
            error: None,
            stamped: SortedMap::new(),
            advanced: 0,
            seen_awaited: Default::default(),
            told: None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.life == Life::Ready
    }
    /// Whether the record alone says that something may wait: it is loaded to see.
    pub(super) fn may_have_work(&self) -> bool {
        let r = &self.record;
        r.minted > r.seen || r.oldest < r.generation || r.has_strays
    }
    /// Something may wait here, and nobody knows yet what.
    pub(super) fn is_loading_work(&self) -> bool {
        matches!(self.life, Life::Loading(_)) && self.may_have_work()
    }
    /// Something waits here for the relay, page or not.
    pub(super) fn has_work(&self) -> bool {
        !self.outbox.is_empty() || !self.strays.is_empty() || !self.heal.is_empty()
    }
    /// What other streams may wait for (R16): the cursor, and own and owed events that have no place in the log yet.
    pub(super) fn awaited(&self) -> (Offset, usize, usize, usize) {
        (self.record.cursor, self.outbox.len(), self.strays.len(), self.heal.len())
    }
    pub(super) fn is_caught_up(&self) -> bool {
        let phase = self.link.as_ref().map(|link| &link.phase);
        matches!(phase, Some(Phase::Live { head, .. }) if self.record.cursor >= *head)
    }

    /// The producer chain's tag at own sequence `sequence`; `None` beyond what was minted.
    pub(super) fn own_tag(&self, sequence: Sequence) -> Option<Tag> {
        match sequence {
            0 => Some(Tag::ZERO),
            n => self.tags.get(usize::try_from(n - 1).ok()?).copied(),
        }
    }
    /// Where own event `sequence` stands.
    pub(super) fn own(&self, sequence: Sequence) -> Own {
        let r = &self.record;
        if r.voids.contains(sequence) {
            Own::Void
        } else if r.refused.contains(sequence) {
            Own::Refused
        } else if sequence <= r.seen && !self.is_kept(sequence) {
            Own::Seen
        } else if r.accepted.contains(sequence) {
            if sequence > r.relay_last { Own::Owed } else { Own::Accepted }
        } else if sequence <= r.sent {
            Own::Sent
        } else {
            Own::Unsent
        }
    }
    /// Whether its content is here and it is not seen. What is still to be healed the present log has passed, perhaps, but not shown.
    pub(super) fn is_kept(&self, sequence: Sequence) -> bool {
        self.outbox.contains_key(&sequence) || self.heal.get(self.own_id(sequence)).is_some()
    }
    pub(super) fn own_id(&self, sequence: Sequence) -> EventId {
        EventId { producer: self.record.producer, sequence }
    }
    /// What a write made now is on top of: the newest own event that is not in the log yet.
    pub(super) fn newest_open(&self) -> Option<(EventId, Tag)> {
        let own = self.outbox.last().and_then(|(s, _)| Some((self.own_id(*s), self.own_tag(*s)?)));
        own.or_else(|| self.open_strays().next_back().map(|stray| (stray.id, stray.tag)))
    }
    /// Own sequences that are open: in the outbox, or owed to a new log.
    pub(super) fn open(&self) -> SortedSet<Sequence> {
        self.open_upto(Sequence::MAX)
    }
    /// Those of them up to `last`: cheap when there are none, however much waits behind.
    pub(super) fn open_upto(&self, last: Sequence) -> SortedSet<Sequence> {
        let heal = self.heal.sequences_of(self.record.producer, last);
        self.outbox.keys().copied().take_while(|sequence| *sequence <= last).chain(heal).collect()
    }
    /// The content of an own event that came without payload.
    pub(super) fn own_content(&self, id: EventId, tag: Tag) -> Option<Bytes> {
        if id.producer != self.record.producer || self.own_tag(id.sequence) != Some(tag) {
            return None;
        }
        let kept = || self.heal.get(id).and_then(|entry| entry.content.clone());
        self.outbox.get(&id.sequence).map(|own| own.content.clone()).or_else(kept)
    }
    /// Own event `sequence` of the outbox as an event, for pages and for heals.
    pub(super) fn own_event(&self, sequence: Sequence) -> Option<Event> {
        let own = self.outbox.get(&sequence)?;
        let logged = |n: &Sequence| matches!(self.own(*n), Own::Accepted | Own::Owed | Own::Seen);
        // Nothing above these was logged: a long outbox is not looked through for each of its events.
        let highest = self.record.accepted.last().max(self.record.seen).min(sequence - 1);
        let prev = || (1..=highest).rev().find(logged).unwrap_or(0);
        // What it needs it names, whatever has become of that.
        let needs = own.needs.filter(|(id, _)| id.producer == self.record.producer);
        let prev = needs.map_or_else(prev, |(id, _)| id.sequence);
        Some(Event {
            id: self.own_id(sequence),
            tag: self.own_tag(sequence)?,
            tag_before: self.own_tag(sequence - 1)?,
            prev: (prev, self.own_tag(prev)?),
            offset: Offset::ZERO,
            author: None,
            needs_prev: own.needs.is_some(),
            causes: own.causes.iter().map(stamped).collect(),
            content: own.content.clone(),
        })
    }

    /// Makes an own event: R1's one transaction.
    pub(super) fn append(&mut self, own: OwnEvent, sent: bool, io: &mut Io) -> EventId {
        let tag_before = self.tags.last().copied().unwrap_or(Tag::ZERO);
        self.tags.push(digest::tag(tag_before, &own.content));
        self.meet(&own.content);
        self.record.minted += 1;
        let sequence = self.record.minted;
        if sent {
            self.record.sent = sequence;
        }
        io.put(Table::Outbox, key(&self.name, &[&sequence.to_be_bytes()]), own.encode());
        self.put_tags(sequence, io);
        self.outbox.insert(sequence, own);
        self.dirty = true;
        self.own_id(sequence)
    }
    /// The first event decides what the stream is.
    pub(super) fn meet(&mut self, content: &Bytes) {
        if self.record.kind.is_none() {
            self.record.kind = Content::decode(content).ok().map(|content| content.kind);
        }
    }
    /// The row of tags that holds own sequence `sequence`.
    fn put_tags(&self, sequence: Sequence, io: &mut Io) {
        let row = (sequence - 1) / TAGS_PER_ROW;
        let first = (row * TAGS_PER_ROW) as usize;
        let tags = &self.tags[first..self.tags.len().min(first + TAGS_PER_ROW as usize)];
        let bytes: Vec<u8> = tags.iter().flat_map(|tag| tag.0).collect();
        io.put(Table::Tags, key(&self.name, &[&row.to_be_bytes()]), bytes.into());
    }
    pub(super) fn load_tags(&mut self, row: &Bytes) {
        self.tags.extend(row.chunks_exact(Tag::BYTES).filter_map(Tag::from_slice));
    }

    /// The outbox lets an own event go.
    pub(super) fn forget_own(&mut self, sequence: Sequence, io: &mut Io) -> Option<OwnEvent> {
        let own = self.outbox.remove(&sequence)?;
        io.delete(Table::Outbox, key(&self.name, &[&sequence.to_be_bytes()]));
        Some(own)
    }
    /// An own open event was refused: it goes to the list of rejections.
    pub(super) fn reject(&mut self, sequence: Sequence, code: &str, reason: &str, io: &mut Io) {
        let id = self.own_id(sequence);
        self.record.refused.insert(sequence, sequence);
        self.dirty = true;
        let outbox = self.forget_own(sequence, io).map(|own| own.content);
        let healed = self.heal.let_go(&self.name.clone(), id, io).and_then(|entry| entry.content);
        if let Some(content) = outbox.or(healed) {
            self.list(Rejection { id, code: code.into(), reason: reason.into(), content }, io);
        }
    }
    /// Puts a rejection into the list, or a better reason to one that is there.
    pub(super) fn list(&mut self, rejection: Rejection, io: &mut Io) {
        let row = key(&self.name, &[&rejection.id.producer.0, &rejection.id.sequence.to_be_bytes()]);
        io.put(Table::Rejections, row, rows::encode_rejection(&rejection));
        io.rejections.insert((self.name.clone(), rejection.id), rejection.clone());
        io.notice_after_commit(Notice::Rejected { stream: self.name.clone(), rejections: vec![rejection] });
    }

    /// Own events of ids that were given up: strays without the voids between them.
    pub(super) fn open_strays(&self) -> impl DoubleEndedIterator<Item = &StrayRow> {
        self.strays.iter().filter(|stray| !stray.is_void())
    }
    /// Own event `sequence` becomes a stray.
    pub(super) fn stray(&mut self, sequence: Sequence, own: OwnEvent, io: &mut Io) {
        let (Some(tag), Some(tag_before)) = (self.own_tag(sequence), self.own_tag(sequence - 1)) else { return };
        let order = self.strays.last().map_or(0, |stray| stray.order + 1);
        let stray = StrayRow { order, id: self.own_id(sequence), tag, tag_before, own };
        io.put(Table::Strays, stray.key(&self.name), stray.encode());
        if !stray.is_void() {
            let (stream, from, to) = (self.name.clone(), stray.id, stray.shown_id());
            io.notice_after_commit(Notice::Renamed { stream, from, to });
        }
        self.strays.push(stray);
    }
    /// A stray has its fate.
    pub(super) fn forget_stray(&mut self, id: EventId, io: &mut Io) -> Option<StrayRow> {
        let at = self.strays.iter().position(|stray| stray.id == id)?;
        let stray = self.strays.remove(at);
        io.delete(Table::Strays, stray.key(&self.name));
        self.record.taken.remove(stray.order);
        (self.record.has_strays, self.dirty) = (!self.strays.is_empty(), true);
        Some(stray)
    }

    /// The stray of this chain that goes under its own id last: what is before it keeps its place there (R11).
    pub(super) fn last_of_chain(&self, producer: ProducerId) -> Option<u64> {
        let mut own = self.open_strays().filter(|s| s.id.producer == producer && !self.record.taken.contains(s.order));
        own.next_back().map(|stray| stray.order)
    }
    /// Voids of strays that nothing needs any more.
    pub(super) fn settle_voids(&mut self, io: &mut Io) {
        let mut needed_by = None;
        let is_idle = |stray: &&StrayRow| {
            if !stray.is_void() && !self.record.taken.contains(stray.order) {
                needed_by = Some(stray.id.producer);
            }
            stray.is_void() && needed_by != Some(stray.id.producer)
        };
        let idle: Vec<EventId> = self.strays.iter().rev().filter(is_idle).map(|stray| stray.id).collect();
        for id in idle {
            self.forget_stray(id, io);
        }
    }

    /// What of this log is applied and on stable storage: right after a reset the stored cursor is still the old log's.
    pub(super) fn applied(&self) -> Up {
        let cursor = self.durable.cursor.min(self.record.cursor);
        Up::Applied { stream: self.name.clone(), cursor }
    }

    /// What to ask the relay (R7).
    pub(super) fn subscribe(&self) -> Subscribe {
        let r = &self.record;
        let settled = self.open().first().copied().unwrap_or(r.minted + 1);
        let strays = self.open_strays().flat_map(|s| [s.id.producer, digest::derived_producer(s.id, s.tag)]);
        // The answer brings the own record too.
        let others = strays.chain(self.heal.producers()).filter(|producer| *producer != r.producer);
        let records: SortedSet<ProducerId> = others.collect();
        Subscribe {
            stream: self.name.clone(),
            epoch: r.epoch,
            after: r.cursor,
            check: r.check,
            producer: r.producer,
            settled,
            records: records.into_members().take(crate::limits::RECORDS_ASKED_MAX - 1).collect(),
        }
    }

    pub(super) fn state(&self, rejected: usize) -> StreamState {
        let caught_up = self.is_caught_up();
        let head = match self.link.as_ref().map(|link| &link.phase) {
            Some(Phase::Live { head, .. }) => Some(*head),
            _ => None,
        };
        let held_here = self.record.cursor > Offset::ZERO || self.record.minted > 0;
        let upto = self.record.accepted.last();
        let answered = self.outbox.keys().take_while(|sequence| **sequence <= upto);
        let accepted = answered.filter(|sequence| self.own(**sequence) == Own::Accepted).count();
        let own_heal = self.heal.entries().filter(|entry| entry.content.is_some()).count();
        StreamState {
            loaded: self.is_ready(),
            exists: if held_here { Some(true) } else { self.exists },
            caught_up,
            epoch: self.record.epoch,
            cursor: self.durable.cursor,
            head,
            answers: self.answers,
            pending: self.outbox.len() - accepted + own_heal + self.open_strays().count(),
            rejected,
            access: self.access,
            error: match self.life {
                Life::Failed(code) => Some(code),
                _ => self.error,
            },
        }
    }
}

/// A cause as it goes out.
pub(super) fn stamped(cause: &rows::OwnCause) -> crate::event::Cause {
    crate::event::Cause { stream: digest::stream_hash(&cause.stream), epoch: cause.epoch, offset: cause.offset }
}
