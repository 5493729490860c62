//! The heal list: events applied from a log that is gone and not yet seen in the present one, in their old order (R12).
//! The list holds ids; contents stay in the local store's batches until they are sent.

use super::io::Io;
use super::output::Table;
use super::rows::{self, BatchRow, HealRow, batch_key, has_bit, set_bit};
use crate::digest;
use crate::event::Event;
use crate::ids::*;
use crate::sorted::SortedMap;
use crate::wire::HealFate;
use alloc::vec::Vec;
use bytes::Bytes;

/// One event to heal.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its present id: derived if the one it had is taken.
    pub(super) id: EventId,
    pub(super) tag: Tag,
    pub(super) old_offset: Offset,
    pub(super) refiled: bool,
    /// What entered its producer's log before it, and what did before that where a log did not take it.
    pub(super) prev: (Sequence, Tag),
    pub(super) follows: Option<(Sequence, Tag)>,
    pub(super) needs_prev: bool,
    /// On the present link: sent, or to wait for what stands before it.
    pub(super) sent: bool,
    pub(super) gap: bool,
    /// Only of own events, which may come back without it.
    pub(super) content: Option<Bytes>,
}

/// The newest log's events first, each log in its own order.
type Place = (core::cmp::Reverse<u32>, Offset, usize);

/// Generation and last offset of a batch that is not in memory.
pub(super) type Missing = (u32, Offset);

/// See the module.
#[derive(Default)]
pub(super) struct Heal {
    entries: SortedMap<Place, Entry>,
    places: SortedMap<EventId, Place>,
    batches: SortedMap<(u32, Offset), (HealRow, usize)>,
    /// The producers of events that wait at a gap: few.
    waiting: Vec<ProducerId>,
    /// Batches that were loaded for the next message: few.
    loaded: Vec<(Missing, Vec<Event>)>,
}

impl Heal {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }
    pub(super) fn producers(&self) -> impl Iterator<Item = ProducerId> {
        self.places.keys().map(|id| id.producer)
    }
    /// A producer's sequences up to `last`.
    pub(super) fn sequences_of(&self, producer: ProducerId, last: Sequence) -> impl Iterator<Item = Sequence> {
        let id = |sequence| EventId { producer, sequence };
        let upto = id(last);
        self.places.iter_from(&id(0)).map(|(id, _)| *id).take_while(move |id| *id <= upto).map(|id| id.sequence)
    }
    /// Nothing is left but what waits for its predecessor.
    pub(super) fn is_only_gaps(&self) -> bool {
        self.entries.values().all(|entry| entry.gap)
    }
    pub(super) fn get(&self, id: EventId) -> Option<&Entry> {
        self.places.get(&id).and_then(|place| self.entries.get(place))
    }
    pub(super) fn covers(&self, offset: Offset) -> bool {
        self.entries.values().any(|entry| entry.old_offset <= offset)
    }
    /// A new connection: everything is to be sent, nothing waits.
    pub(super) fn begin_link(&mut self) {
        for entry in self.entries.values_mut() {
            (entry.sent, entry.gap) = (false, false);
        }
        self.waiting.clear();
        self.loaded.clear();
    }

    /// Takes a batch of a log that is gone, once. `row`: what was done of it before.
    pub(super) fn add(&mut self, generation: u32, upto: Offset, batch: &BatchRow, row: HealRow, own: ProducerId) {
        if self.batches.contains_key(&(generation, upto)) {
            return;
        }
        let mut left = 0;
        for (index, event) in batch.events.iter().enumerate().filter(|(index, _)| !has_bit(&row.done, *index)) {
            let refiled = has_bit(&row.refiled, index);
            let id = if refiled { event.refiled().id } else { event.id };
            if self.places.contains_key(&id) {
                continue;
            }
            let place = (core::cmp::Reverse(generation), upto, index);
            let content = (event.id.producer == own).then(|| event.content.clone());
            let (tag, old_offset, prev, needs_prev) = (event.tag, event.offset, event.prev, event.needs_prev);
            let follows = row.follows.iter().rev().find(|(of, _)| *of == index as u64).map(|(_, prev)| *prev);
            let (sent, gap) = (false, false);
            let entry = Entry { id, tag, old_offset, refiled, prev, follows, needs_prev, sent, gap, content };
            self.places.insert(id, place);
            self.entries.insert(place, entry);
            left += 1;
        }
        self.batches.insert((generation, upto), (row, left));
    }

    /// Takes back what was added of a generation: its log is the present one after all.
    pub(super) fn drop_generation(&mut self, generation: u32) {
        self.entries.retain(|(core::cmp::Reverse(g), ..), _| *g != generation);
        self.places.retain(|_, (core::cmp::Reverse(g), ..)| *g != generation);
        self.batches.retain(|(g, _), _| *g != generation);
    }

    /// This log does not have the event under its id, and will not.
    pub(super) fn let_go(&mut self, stream: &StreamName, id: EventId, io: &mut Io) -> Option<Entry> {
        self.skip(stream, id, io);
        self.remove(stream, id, io)
    }
    /// In a later log nobody may bring this event under its id. What followed it in its producer's chain follows there what
    /// it followed.
    fn skip(&mut self, stream: &StreamName, id: EventId, io: &mut Io) {
        let Some(gone) = self.get(id) else { return };
        let (link, next) = ((id.sequence, gone.tag), gone.follows.unwrap_or(gone.prev));
        let of_chain = self.places.iter_from(&id).take_while(|(other, _)| other.producer == id.producer);
        for place in of_chain.map(|(_, place)| *place).collect::<Vec<Place>>() {
            let Some(entry) = self.entries.get_mut(&place) else { continue };
            if entry.prev != link && entry.follows != Some(link) {
                continue;
            }
            entry.follows = Some(next);
            let (core::cmp::Reverse(generation), upto, index) = place;
            if let Some((row, _)) = self.batches.get_mut(&(generation, upto)) {
                row.follows.push((index as u64, next));
                io.put(Table::Heals, batch_key(stream, generation, upto), row.encode());
            }
        }
    }
    /// Its predecessor is missing here. If that was let go it follows another one, unless it needs it.
    pub(super) fn at_gap(&mut self, id: EventId) -> HealFate {
        let entry = self.places.get(&id).and_then(|place| self.entries.get_mut(place));
        match entry.and_then(|entry| entry.follows.take().map(|prev| (entry, prev))) {
            None => HealFate::Gap,
            Some((Entry { needs_prev: true, .. }, _)) => HealFate::Refused,
            Some((entry, prev)) => {
                entry.prev = prev;
                HealFate::Later
            }
        }
    }

    /// Removes an entry: it is in this log, or let go. Part of the step's transaction.
    pub(super) fn remove(&mut self, stream: &StreamName, id: EventId, io: &mut Io) -> Option<Entry> {
        let place = self.places.remove(&id)?;
        let entry = self.entries.remove(&place)?;
        let (core::cmp::Reverse(generation), upto, index) = place;
        if let Some((row, left)) = self.batches.get_mut(&(generation, upto)) {
            set_bit(&mut row.done, index);
            *left -= 1;
            let key = batch_key(stream, generation, upto);
            if *left == 0 {
                self.batches.remove(&(generation, upto));
                io.delete(Table::Events, key.clone());
                io.delete(Table::Heals, key);
            } else {
                io.put(Table::Heals, key, row.encode());
            }
        }
        Some(entry)
    }

    /// The event's id is taken by another: it and what follows it in that producer's chain go on under derived ids.
    pub(super) fn refile_from(&mut self, stream: &StreamName, id: EventId, io: &mut Io) {
        let chain: Vec<EventId> =
            self.places.iter_from(&id).map(|(id, _)| *id).take_while(|other| other.producer == id.producer).collect();
        for id in chain {
            self.refile(stream, id, io);
        }
    }
    /// An event goes on under its derived id. False if it has that id already.
    pub(super) fn refile(&mut self, stream: &StreamName, id: EventId, io: &mut Io) -> bool {
        self.skip(stream, id, io);
        let Some(place) = self.places.get(&id).copied() else { return false };
        let Some(entry) = self.entries.get_mut(&place).filter(|entry| !entry.refiled) else { return false };
        entry.id = EventId { producer: digest::derived_producer(id, entry.tag), sequence: 1 };
        (entry.refiled, entry.sent, entry.gap) = (true, false, false);
        self.places.remove(&id);
        self.places.insert(entry.id, place);
        let (core::cmp::Reverse(generation), upto, index) = place;
        if let Some((row, _)) = self.batches.get_mut(&(generation, upto)) {
            set_bit(&mut row.refiled, index);
            io.put(Table::Heals, batch_key(stream, generation, upto), row.encode());
        }
        true
    }

    /// An event that is to go on under its derived id came under its own.
    pub(super) fn meet(&mut self, stream: &StreamName, event: &Event, io: &mut Io) {
        if !self.is_empty() {
            let id = EventId { producer: digest::derived_producer(event.id, event.tag), sequence: 1 };
            self.remove(stream, id, io);
        }
    }

    /// An event of the producer came: what waited for it may be tried again.
    pub(super) fn retry_gaps(&mut self, producer: ProducerId) {
        if !self.waiting.contains(&producer) {
            return;
        }
        self.waiting.clear();
        for entry in self.entries.values_mut().filter(|entry| entry.gap) {
            (entry.sent, entry.gap) = (false, false);
        }
    }
    pub(super) fn set_gap(&mut self, id: EventId, tag: Tag) {
        let Some(place) = self.places.get(&id) else { return };
        if let Some(entry) = self.entries.get_mut(place).filter(|entry| entry.tag == tag) {
            entry.gap = true;
            self.waiting.push(id.producer);
        }
    }
    pub(super) fn send_again(&mut self, id: EventId, tag: Tag) {
        let Some(place) = self.places.get(&id) else { return };
        if let Some(entry) = self.entries.get_mut(place).filter(|entry| entry.tag == tag) {
            entry.sent = false;
        }
    }
    pub(super) fn set_sent(&mut self, id: EventId) {
        if let Some(entry) = self.places.get(&id).and_then(|place| self.entries.get_mut(place)) {
            entry.sent = true;
        }
    }

    /// The entries to send, in order, and their events as they are to be sent; `Err`: that batch has to be loaded first.
    pub(super) fn unsent(&self) -> impl Iterator<Item = (&Entry, Result<Event, Missing>)> {
        let unsent = self.entries.iter().filter(|(_, entry)| !entry.sent && !entry.gap);
        unsent.map(|((core::cmp::Reverse(generation), upto, index), entry)| {
            let batch = (*generation, *upto);
            let loaded = self.loaded.iter().find(|(loaded, _)| *loaded == batch);
            let event = loaded.and_then(|(_, events)| events.get(*index).cloned());
            let event = event.map(|event| match entry.refiled {
                true => event.refiled(),
                false => Event { prev: entry.prev, ..event },
            });
            (entry, event.ok_or(batch))
        })
    }
    pub(super) fn loaded(&mut self, batch: Missing, events: Vec<Event>) {
        self.loaded.push((batch, events));
    }
    /// Whether nothing that is to be healed of a batch is missing in what was loaded of it.
    pub(super) fn is_here(&self, batch: Missing) -> bool {
        let is_loaded = |index| self.loaded.iter().any(|(loaded, events)| *loaded == batch && index < events.len());
        self.entries.iter().all(|((generation, upto, index), _)| (generation.0, *upto) != batch || is_loaded(*index))
    }
    /// What was loaded for a message is not needed again, but for the batch that the next one begins in.
    pub(super) fn unload(&mut self) {
        let next = self.entries.iter().find(|(_, entry)| !entry.sent && !entry.gap);
        let next = next.map(|((core::cmp::Reverse(generation), upto, _), _)| (*generation, *upto));
        self.loaded.retain(|(batch, _)| Some(*batch) == next);
    }
    /// The lowest generation that has something left; the store's rows below it are gone.
    pub(super) fn oldest(&self) -> Option<u32> {
        self.batches.keys().next().map(|(generation, _)| *generation)
    }
}

/// Generation and last offset out of a batch's key.
pub(super) fn place_of(key: &[u8]) -> Option<(u32, Offset)> {
    let rest = &key[key.iter().position(|b| *b == 0)? + 1..];
    let (generation, upto) = rest.split_at_checked(4)?;
    Some((u32::from_be_bytes(generation.try_into().ok()?), Offset(u64::from_be_bytes(upto.try_into().ok()?))))
}

/// A batch out of its row.
pub(super) fn read_batch(key: &[u8], value: &Bytes) -> Option<(u32, Offset, BatchRow)> {
    let (generation, upto) = place_of(key)?;
    rows::BatchRow::decode(value).ok().map(|batch| (generation, upto, batch))
}
