//! What a stream sends next on its present link: heal list, strays, outbox, in that order.

use super::causes::{Others, Ready};
use super::healing::Missing;
use super::io::{Io, Purpose};
use super::output::{Own, Rejection, Table};
use super::rows::{OwnEvent, Record, StrayRow, batch_key};
use super::session::Session;
use super::stream::{Link, Stream};
use crate::event::{Event, Run};
use crate::ids::*;
use crate::limits::*;
use crate::relay::store::DEPENDS_ON_REJECTED;
use crate::wire::{Access, Heal, Item, Publish, Turn, Up};
use alloc::vec;
use alloc::vec::Vec;

/// Bytes that may wait in the socket's own buffer: more would delay what is written next.
const BUFFERED_BYTES_MAX: usize = 256 * 1024;

/// In place of the tag of what a stray needs: this device refused or threw it away, so only a copy of this device can have
/// sent both.
pub(super) const NEED_GONE: Tag = Tag::ZERO;

impl Stream {
    /// Sends what may be sent now. Everything that leaves was committed before (R1, R14).
    pub(super) fn pump(&mut self, session: &mut Session, others: &Others<'_>, io: &mut Io) {
        while self.may_send(session) {
            let sent = self.send_heals(session, others, io).unwrap_or_else(|| {
                self.say_done(session, io);
                match self.strays.is_empty() {
                    false => self.send_stray(session, others, io),
                    true => self.send_own(session, others, io),
                }
            });
            if !sent {
                return;
            }
        }
    }

    fn may_send(&self, session: &Session) -> bool {
        let Some(link) = &self.link else { return false };
        self.is_live()
            && session.is_live()
            && self.access == Access::Write
            && session.buffered_bytes < BUFFERED_BYTES_MAX
            && link.unanswered_bytes() < UNANSWERED_BYTES_MAX
            && self.durable.producer == self.record.producer
    }

    fn sent(&mut self, session: &mut Session, message: Up, ids: (ProducerId, Sequence, Sequence), io: &mut Io) {
        let bytes = session.send(&message, io);
        if let Some(link) = &mut self.link {
            link.unanswered.push((ids.0, ids.1, ids.2, bytes));
        }
    }

    /// Sends the next events to heal. `None`: nothing is left to heal but what waits for its predecessor.
    fn send_heals(&mut self, session: &mut Session, others: &Others<'_>, io: &mut Io) -> Option<bool> {
        if self.heal.is_only_gaps() {
            return None;
        }
        let go = self.link.as_ref().is_some_and(|link| link.turn == Turn::Go);
        if !self.is_caught_up() || !go || self.awaits_verdicts() {
            return Some(false);
        }
        let own = self.record.producer;
        let mut events: Vec<Event> = vec![];
        let mut sent: Vec<EventId> = vec![];
        let mut bytes = 0;
        let mut missing = None;
        for (entry, event) in self.heal.unsent() {
            let id = entry.id;
            if events.len() >= PUBLISH_EVENTS_MAX || bytes >= FRAME_BYTES_TARGET {
                break;
            } else if id.producer == own && self.own(id.sequence) != Own::Owed {
                // The relay has used this sequence up: the log will tell, or `caught_up`.
                sent.push(id);
                continue;
            } else if id.producer == own && self.has_hole_below(id.sequence) {
                break;
            }
            let Ok(mut event) = event.map_err(|batch| missing = Some(batch)) else { break };
            if others.stamp_healed(&mut event) != Ready::Now(()) {
                break;
            }
            event.offset = Offset::ZERO;
            bytes += event.bytes();
            sent.push(id);
            events.push(event);
        }
        // One message holds what fits, of many small batches too: the next one waits for the answer to it.
        if let Some(batch) = missing {
            self.load_heal_batch(batch, io);
            return Some(false);
        }
        sent.into_iter().for_each(|id| self.heal.set_sent(id));
        self.heal.unload();
        if events.is_empty() {
            let next = self.heal.unsent().next().map(|(entry, _)| entry.id).filter(|id| id.producer == own);
            let is_behind_hole = next.is_some_and(|id| self.has_hole_below(id.sequence));
            return Some(is_behind_hole && self.send_own(session, others, io));
        }
        self.send_heal_of(&events, session, io);
        Some(true)
    }

    /// Heals go one message after the other: behind what goes on under another id, the relay takes nothing (R12).
    fn awaits_verdicts(&self) -> bool {
        self.link.as_ref().is_some_and(|link| !link.unanswered.is_empty() || !link.verdicts.is_empty())
    }

    /// Whether an own sequence between the last sent and this one is known only from inside a snapshot: it goes as a
    /// void, or what follows it could never come.
    fn has_hole_below(&self, sequence: Sequence) -> bool {
        let next = self.link.as_ref().map_or(sequence, |link| link.next);
        (next..sequence).any(|s| self.is_hole(s))
    }
    fn is_hole(&self, s: Sequence) -> bool {
        self.own(s) == Own::Owed && !self.outbox.contains_key(&s) && self.heal.get(self.own_id(s)).is_none()
    }

    fn send_heal_of(&mut self, events: &[Event], session: &mut Session, io: &mut Io) {
        let own = self.record.producer;
        if let Some(link) = &mut self.link {
            let newest = events.iter().filter(|e| e.id.producer == own).map(|e| e.id.sequence).max();
            link.next = link.next.max(newest.map_or(0, |sequence| sequence + 1));
        }
        let heal = Heal { stream: self.name.clone(), runs: Run::group(events), done: false };
        let bytes = session.send(&Up::Heal(heal), io) / events.len().max(1);
        let Some(link) = &mut self.link else { return };
        for event in events {
            link.unanswered.push((event.id.producer, event.id.sequence, event.id.sequence, bytes));
        }
    }

    fn load_heal_batch(&mut self, (generation, upto): Missing, io: &mut Io) {
        let key = batch_key(&self.name, generation, upto);
        if io.is_loading(|p| matches!(p, Purpose::HealBatch { key: k, .. } if *k == key)) {
            return;
        }
        let mut to = key.clone();
        to.push(0);
        let purpose = Purpose::HealBatch { stream: self.name.clone(), key: key.clone() };
        io.load(purpose, Table::Events, (key, to), FRAME_BYTES_TARGET);
    }

    /// The turn may pass on: this device has nothing more to heal for now.
    fn say_done(&mut self, session: &mut Session, io: &mut Io) {
        if self.holds_turn && self.is_caught_up() {
            self.holds_turn = false;
            session.send(&Up::Heal(Heal { stream: self.name.clone(), runs: vec![], done: true }), io);
        }
    }

    /// R11: under its own id first; under the derived one once that id was taken. Then its place in its chain is a void's:
    /// what is behind it may still go under its own.
    fn send_stray(&mut self, session: &mut Session, others: &Others<'_>, io: &mut Io) -> bool {
        let Some(Link { strays_sent, .. }) = &self.link else { return false };
        // Those of one given-up id are in order by its chain; those of the next wait until all of it are seen.
        let Some(first) = self.strays.first().map(|stray| stray.id.producer) else { return false };
        let last = self.last_of_chain(first);
        let unsent = |stray: &StrayRow| {
            let taken = self.record.taken.contains(stray.order);
            let own = (!taken || last > Some(stray.order)) && !strays_sent.contains(&stray.id);
            let id = if own { stray.id } else { stray.shown_id() };
            (own || taken && !stray.is_void() && !strays_sent.contains(&id)).then_some((id, taken, !own))
        };
        let mut of_chain = self.strays.iter().filter(|stray| stray.id.producer == first);
        let next = of_chain.find_map(|stray| unsent(stray).map(|next| (stray.clone(), next)));
        let Some((stray, (id, taken, derived))) = next else { return false };
        // Answers may come in any order: under derived ids nothing overtakes what was made before it.
        let overtakes = |other: &StrayRow| other.order < stray.order && !self.record.taken.contains(other.order);
        if derived && self.open_strays().any(overtakes) {
            return false;
        }
        // That it is taken is committed first, as everything that leaves.
        if taken && !self.durable.taken.contains(stray.order) {
            return false;
        }
        let item = if taken && !derived || stray.is_void() {
            Item::Void { tag: stray.tag }
        } else {
            let needed = stray.own.needs.filter(|(id, _)| derived || id.producer != stray.id.producer);
            if needed.is_some_and(|(id, _)| self.open_strays().any(|other| other.id == id)) {
                return false;
            }
            if derived && stray.own.needs.is_some_and(|(_, tag)| tag == NEED_GONE) {
                self.list_stray(stray.id, DEPENDS_ON_REJECTED, "", io);
                self.reject_dependents(stray.id, DEPENDS_ON_REJECTED, io);
                return true;
            }
            let Ready::Now(causes) = others.stamp_own(&stray.own.causes) else { return false };
            let needs = stray.own.needs.filter(|_| needed.is_none()).map(|(id, tag)| (id.sequence, tag));
            Item::Event { content: stray.own.content, causes, needs }
        };
        let publish = Publish {
            stream: self.name.clone(),
            producer: id.producer,
            first: id.sequence,
            tag_before: if derived { Tag::ZERO } else { stray.tag_before },
            origin: derived.then_some(stray.tag_before),
            items: vec![item],
        };
        self.sent(session, Up::Publish(publish), (id.producer, id.sequence, id.sequence), io);
        if let Some(link) = &mut self.link {
            link.strays_sent.insert(id);
        }
        true
    }

    /// The next own events: those that are owed to this log as heals, the others as a publish.
    fn send_own(&mut self, session: &mut Session, others: &Others<'_>, io: &mut Io) -> bool {
        let Some(first) = self.link.as_ref().map(|link| link.next) else { return false };
        if first > self.record.minted {
            return false;
        }
        if self.own(first) == Own::Owed && self.outbox.contains_key(&first) {
            return self.send_owed(first, session, others, io);
        }
        if self.heals_own() {
            return false;
        }
        let mut items = vec![];
        let mut bytes = 0;
        for sequence in first..=self.record.minted {
            if items.len() >= PUBLISH_EVENTS_MAX || bytes >= FRAME_BYTES_TARGET {
                break;
            }
            let Some(item) = self.item(sequence, session, others, io) else { break };
            bytes += match &item {
                Item::Event { content, .. } => content.len() + 48,
                Item::Void { .. } => 16,
            };
            items.push(item);
        }
        if items.is_empty() {
            return false;
        }
        let last = first + items.len() as u64 - 1;
        let producer = self.record.producer;
        let tag_before = self.own_tag(first - 1).unwrap_or_default();
        let publish = Publish { stream: self.name.clone(), producer, first, tag_before, origin: None, items };
        self.sent(session, Up::Publish(publish), (producer, first, last), io);
        if let Some(link) = &mut self.link {
            link.next = last + 1;
        }
        true
    }

    /// Own sequence as an item of a publish. `None`: not yet, or not in this message.
    fn item(&mut self, sequence: Sequence, session: &Session, others: &Others<'_>, io: &mut Io) -> Option<Item> {
        let tag = self.own_tag(sequence)?;
        let Some(own) = self.outbox.get(&sequence).cloned() else {
            // That it was refused or thrown away is committed first, as everything that leaves: else it might come back.
            let is_used_up = |r: &Record| r.voids.contains(sequence) || r.refused.contains(sequence);
            if is_used_up(&self.record) && !is_used_up(&self.durable) {
                return None;
            }
            // Or it is known only from inside a snapshot; what is to be healed goes as a heal.
            return self.heal.get(self.own_id(sequence)).is_none().then_some(Item::Void { tag });
        };
        if sequence > self.record.sent {
            (self.record.sent, self.dirty) = (self.record.minted, true);
        }
        if sequence > self.durable.sent || sequence > self.durable.minted || self.own(sequence) == Own::Owed {
            return None;
        }
        if own.content.len() > session.event_bytes_max {
            self.reject(sequence, "too-large", "larger than this relay takes", io);
            return None;
        }
        let needs = own.needs.filter(|(id, _)| id.producer == self.record.producer);
        match others.stamp_own(&own.causes) {
            Ready::Now(causes) => {
                let needs = needs.map(|(id, tag)| (id.sequence, tag));
                Some(Item::Event { content: own.content, causes, needs })
            }
            Ready::After(_) => None,
        }
    }

    /// Own events go as heals, now or next. These and publishes wait for the store apart from each other: in the wrong
    /// order the answer would be `have`, and both would go again, and again.
    pub(super) fn heals_own(&self) -> bool {
        let Some(link) = &self.link else { return false };
        let is_owed = |sequence: Sequence| self.own(sequence) == Own::Owed && !self.is_hole(sequence);
        is_owed(link.next) || link.unanswered.iter().any(|(p, first, ..)| *p == self.record.producer && is_owed(*first))
    }

    fn send_owed(&mut self, first: Sequence, session: &mut Session, others: &Others<'_>, io: &mut Io) -> bool {
        if self.awaits_verdicts() {
            return false;
        }
        let mut events = vec![];
        let mut bytes = 0;
        for sequence in first..=self.record.minted {
            let owed =
                self.own(sequence) == Own::Owed && bytes < FRAME_BYTES_TARGET && events.len() < PUBLISH_EVENTS_MAX;
            let Some(mut event) = self.own_event(sequence).filter(|_| owed) else { break };
            match self.outbox.get(&sequence).map(|own| others.stamp_own(&own.causes)) {
                Some(Ready::Now(causes)) => event.causes = causes,
                _ => break,
            }
            bytes += event.bytes();
            events.push(event);
        }
        if events.is_empty() {
            return false;
        }
        self.send_heal_of(&events, session, io);
        true
    }

    /// A stray goes to the list of rejections. Its place in its chain is a void's from now on.
    pub(super) fn list_stray(&mut self, id: EventId, code: &str, reason: &str, io: &mut Io) {
        let Some(stray) = self.strays.iter_mut().find(|stray| stray.id == id) else { return };
        let own = core::mem::replace(&mut stray.own, OwnEvent::empty());
        io.put(Table::Strays, stray.key(&self.name), stray.encode());
        let (id, code, reason) = (stray.shown_id(), code.into(), reason.into());
        self.list(Rejection { id, code, reason, content: own.content }, io);
        self.settle_voids(io);
    }

    /// Events that were made on top of an own event of a given-up id which was refused, or perhaps: the relay cannot know.
    pub(super) fn reject_dependents(&mut self, id: EventId, code: &str, io: &mut Io) {
        let mut refused = vec![id];
        while let Some(id) = refused.pop() {
            let needs = |own: &OwnEvent| own.needs.is_some_and(|(needed, _)| needed == id);
            while let Some(stray) = self.strays.iter().find(|s| needs(&s.own)).map(|s| s.id) {
                self.list_stray(stray, code, "", io);
                refused.push(stray);
            }
            while let Some(sequence) = self.outbox.iter().find(|(_, own)| needs(own)).map(|(s, _)| *s) {
                self.reject(sequence, code, "", io);
            }
        }
    }
}
