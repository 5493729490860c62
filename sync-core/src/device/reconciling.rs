//! What the relay says of this device's own events: `subscribed`, `accepted`, `rejected`, `have`, `healed`.

use super::applying::Next;
use super::io::Io;
use super::output::{Notice, Own, Rejection, Table};
use super::rows::{OwnEvent, StrayRow, range_of};
use super::sending::NEED_GONE;
use super::stream::{Link, Phase, Stream};
use crate::digest;
use crate::ids::*;
use crate::relay::store::DEPENDS_ON_REJECTED;
use crate::sorted::SortedSet;
use crate::wire::{HealFate, Known, Refusal, Verdict};
use alloc::vec;
use alloc::vec::Vec;

impl Stream {
    /// R7: another log, or another history of this one. Start at 0, keep what it may lack: the caller has put the
    /// batches of the present generation into the heal list.
    pub(super) fn reset(&mut self, epoch: Epoch, io: &mut Io) {
        // R9: passed over in the log that is gone, and the answer that would say why will not come.
        let passed = |s: &Sequence| *s < self.record.seen && self.own(*s) == Own::Sent;
        let lost: Vec<Sequence> = self.outbox.keys().copied().filter(passed).collect();
        lost.iter().for_each(|s| self.reject(*s, "reason-lost", "", io));
        let r = &mut self.record;
        r.generation += 1;
        r.oldest = self.heal.oldest().unwrap_or(r.generation);
        (r.epoch, r.cursor, r.check) = (epoch, Offset::ZERO, digest::check_of_empty(epoch));
        if r.seen > 0 {
            r.accepted.insert(1, r.seen);
        }
        r.seen = 0;
        r.log_bytes = 0;
        if r.snapshot > Offset::ZERO {
            r.snapshot = Offset::ZERO;
            io.delete_range(Table::Snapshots, range_of(&self.name));
        }
        r.resets += 1;
        self.dirty = true;
        io.notice_after_commit(Notice::Reset { stream: self.name.clone(), epoch });
    }

    /// R10: whether the relay's (last, tag) is in this device's own chain.
    pub(super) fn agrees(&mut self, known: &Known) -> bool {
        !core::mem::take(&mut self.suspect) && self.own_tag(known.last) == Some(known.tag)
    }

    /// R8: puts the outbox in line with what the relay has of this producer.
    pub(super) fn reconcile(&mut self, known: &Known, io: &mut Io) {
        if self.record.relay_last != known.last {
            (self.record.relay_last, self.dirty) = (known.last, true);
        }
        // A copy of this profile may have sent what this one has not.
        if self.record.sent < known.last {
            (self.record.sent, self.dirty) = (known.last, true);
        }
        for refusal in known.refused.iter().filter(|f| f.sequence <= known.last) {
            self.refused(refusal, io);
        }
        if let Some(link) = &mut self.link {
            // What is under way has its own answer. To send it again would be answered by `have`, and that by more of it.
            let is_under_way = link.unanswered.iter().any(|(p, ..)| *p == self.record.producer);
            let at_least = if is_under_way { link.next } else { 0 };
            link.next = at_least.max(known.last + 1);
        }
    }

    /// The relay has used own sequences up to `last`, and the log that tells their fates ends at `head` (R9).
    pub(super) fn hears(&mut self, at: Offset, used_up: Sequence) {
        if let Some(Link { phase: Phase::Live { head, last, .. }, .. }) = &mut self.link {
            (*head, *last) = (at.max(*head), used_up.max(*last));
        }
    }

    /// An own event that the relay recorded as refused.
    fn refused(&mut self, refusal: &Refusal, io: &mut Io) {
        if self.own_tag(refusal.sequence) != Some(refusal.tag) {
            return;
        }
        match self.own(refusal.sequence) {
            Own::Unsent | Own::Sent | Own::Accepted | Own::Owed => {
                self.reject(refusal.sequence, &refusal.code, &refusal.reason, io);
            }
            Own::Refused => self.explain(self.own_id(refusal.sequence), refusal, io),
            Own::Seen | Own::Void => {}
        }
    }
    /// The reason came after all.
    fn explain(&mut self, id: EventId, refusal: &Refusal, io: &mut Io) {
        let known = io.rejections.get(&(self.name.clone(), id)).filter(|r| r.code == "reason-lost");
        if let Some(content) = known.map(|r| r.content.clone()) {
            let (code, reason) = (refusal.code.clone(), refusal.reason.clone());
            self.list(Rejection { id, code, reason, content }, io);
        }
    }

    /// R10: another copy of this device has used this producer id. Take a new one, start afresh; all open own events
    /// become strays, with the voids before them: in a log that is new an event without these would not continue the
    /// chain, and would look as if its id were taken (R11).
    pub(super) fn fork(&mut self, known: &Known, fresh: ProducerId, io: &mut Io) {
        let old = self.record.producer;
        let refused = |sequence: Sequence, tag: Tag| {
            known.refused.iter().find(|f| (f.sequence, f.tag) == (sequence, tag)).cloned()
        };
        // Own events to heal have it in the outbox's place.
        for f in &known.refused {
            if self.own_tag(f.sequence) == Some(f.tag) && self.heal.get(self.own_id(f.sequence)).is_some() {
                self.reject(f.sequence, &f.code, &f.reason, io);
            }
        }
        let is_used_up = |s: &Stream, sequence: Sequence| matches!(s.own(sequence), Own::Refused | Own::Void);
        let mut gone = SortedSet::new();
        let mut next = 1;
        for (sequence, mut own) in core::mem::take(&mut self.outbox).into_entries() {
            let Some(tag) = self.own_tag(sequence) else { continue };
            let id = EventId { producer: old, sequence };
            // Under another id the relay is not asked whether it has what the event was made on top of.
            let is_gone = |(needed, _): (EventId, Tag)| {
                gone.contains(&needed) || needed.producer == old && is_used_up(self, needed.sequence)
            };
            if let Some((needed, _)) = own.needs.filter(|needs| is_gone(*needs)) {
                own.needs = Some((needed, NEED_GONE));
            }
            if let Some(f) = refused(sequence, tag) {
                self.list(Rejection { id, code: f.code, reason: f.reason, content: own.content }, io);
                gone.insert(id);
                continue;
            }
            let is_void = |void: &Sequence| is_used_up(self, *void) || gone.contains(&self.own_id(*void));
            let voids = (next..sequence).rev().take_while(is_void).last().unwrap_or(sequence);
            for void in voids..sequence {
                self.stray(void, OwnEvent::empty(), io);
            }
            self.stray(sequence, own, io);
            next = sequence + 1;
        }
        self.record.has_strays = !self.strays.is_empty();
        io.delete_range(Table::Outbox, range_of(&self.name));
        io.delete_range(Table::Tags, range_of(&self.name));
        self.tags.clear();
        self.stamped.clear();
        let r = &mut self.record;
        r.producer = fresh;
        (r.minted, r.sent, r.seen, r.relay_last) = (0, 0, 0, 0);
        [&mut r.accepted, &mut r.refused, &mut r.voids].into_iter().for_each(|ranges| ranges.clear());
        self.dirty = true;
    }

    /// `accepted`: the relay has these sequences on stable storage.
    pub(super) fn accepted(&mut self, producer: ProducerId, first: Sequence, last: Sequence, io: &mut Io) {
        if let Some(link) = &mut self.link {
            link.answered(producer, last);
        }
        // A void may be what an event of the same producer waited for.
        self.heal.retry_gaps(producer);
        let stream = self.name.clone();
        if producer != self.record.producer {
            let is = |s: &StrayRow| match self.record.taken.contains(s.order) {
                true => digest::derived_producer(s.id, s.tag) == producer,
                false => s.id.producer == producer && (first..=last).contains(&s.id.sequence),
            };
            if let Some(stray) = self.open_strays().find(|stray| is(stray)) {
                io.notice(Notice::Accepted { stream, ids: vec![stray.shown_id()] });
            }
            return;
        }
        // Voids among them too: what comes before is decided.
        let used_up = last.min(self.record.minted);
        if self.record.relay_last < used_up {
            (self.record.relay_last, self.dirty) = (used_up, true);
        }
        let last = last.min(self.record.sent);
        let sent = |s: &Sequence| self.own(*s) == Own::Sent;
        let ids: Vec<EventId> = self
            .outbox
            .iter_from(&first)
            .map(|(s, _)| *s)
            .take_while(|s| *s <= last)
            .filter(sent)
            .map(|s| self.own_id(s))
            .collect();
        let Some(newest) = ids.last() else { return };
        self.record.accepted.insert(first, newest.sequence);
        self.dirty = true;
        io.notice_after_commit(Notice::Accepted { stream, ids });
    }

    /// `rejected`: the sequence is used up by a refusal.
    pub(super) fn rejected(&mut self, producer: ProducerId, refusal: &Refusal, io: &mut Io) {
        if let Some(link) = &mut self.link {
            link.answered(producer, refusal.sequence);
        }
        if producer == self.record.producer {
            self.record.relay_last = self.record.relay_last.max(refusal.sequence);
            self.dirty = true;
            self.refused(refusal, io);
        } else {
            self.reject_strays(producer, core::slice::from_ref(refusal), io);
        }
    }
    fn reject_strays(&mut self, producer: ProducerId, refused: &[Refusal], io: &mut Io) {
        for stray in self.open_strays().cloned().collect::<Vec<_>>() {
            if self.open_strays().all(|other| other.id != stray.id) {
                continue;
            }
            let sequence = if stray.id.producer == producer {
                stray.id.sequence
            } else if digest::derived_producer(stray.id, stray.tag) == producer {
                1
            } else {
                continue;
            };
            if let Some(f) = refused.iter().find(|f| (f.sequence, f.tag) == (sequence, stray.tag)) {
                self.list_stray(stray.id, &f.code, &f.reason, io);
                self.reject_dependents(stray.id, DEPENDS_ON_REJECTED, io);
            }
        }
    }

    /// `have` for a stray: its fate is known once the cursor reaches `head`.
    pub(super) fn have_stray(&mut self, id: EventId, known: &Known, head: Offset, io: &mut Io) {
        self.reject_strays(id.producer, &known.refused, io);
        let Some(link) = &mut self.link else { return };
        link.answered_by_have(id.producer, id.sequence);
        if let Some(stray) = self.strays.iter().find(|stray| stray.id == id) {
            link.verdicts.push((id, stray.tag, HealFate::Passed, head));
        }
    }

    /// Own sequences up to here are in the log, perhaps because another device has healed them: they are not sent again.
    pub(super) fn relay_has(&mut self, last: Sequence) {
        if let Some(link) = &mut self.link {
            link.next = link.next.max(last + 1);
        }
    }

    /// `healed`: the verdicts stand once the cursor reaches `head`. Only a copy of this device can have put something else
    /// into its own chain (R10).
    pub(super) fn healed(&mut self, head: Offset, verdicts: &[Verdict]) -> Next {
        let mut next = Next::On;
        for verdict in verdicts {
            let id = EventId { producer: verdict.producer, sequence: verdict.sequence };
            let is_own = id.producer == self.record.producer;
            let Some(link) = &mut self.link else { return next };
            link.answered(verdict.producer, verdict.sequence);
            let fate = match verdict.fate {
                HealFate::Gap => self.heal.at_gap(id),
                fate => fate,
            };
            match fate {
                HealFate::Branch | HealFate::Other if is_own => {
                    self.suspect = true;
                    next = Next::AskAgain;
                }
                HealFate::Gap => self.heal.set_gap(id, verdict.tag),
                HealFate::Later => {
                    self.heal.send_again(id, verdict.tag);
                    if is_own && self.outbox.contains_key(&id.sequence) {
                        link.next = link.next.min(id.sequence);
                    }
                }
                fate => link.verdicts.push((id, verdict.tag, fate, head)),
            }
        }
        next
    }

    /// Sequences that the relay says it has used up, if this link is answered.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.link, Some(Link { phase: Phase::Live { .. }, .. }))
    }
}
