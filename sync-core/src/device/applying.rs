//! What comes from the log: events, snapshots, and the fates that they decide, each in one transaction with the cursor (R5).

use super::io::Io;
use super::output::{Notice, Own, Table};
use super::rows::{self, BatchRow, batch_key, key};
use super::stream::{Link, Phase, Stream};
use crate::digest;
use crate::event::Event;
use crate::ids::*;
use crate::limits::SNAPSHOT_BYTES_MAX;
use crate::relay::store::DEPENDS_ON_REJECTED;
use crate::wire::{HealFate, SnapshotPart};
use alloc::vec;
use alloc::vec::Vec;

/// What a message of the relay means for the subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on.
    On,
    /// Give the link up and ask again.
    AskAgain,
}

impl Stream {
    /// Applies the events of one batch up to `upto`: effect, cursor and the fate of own events in one transaction.
    pub(super) fn apply(&mut self, events: Vec<Event>, upto: Offset, io: &mut Io) -> Next {
        let after = self.record.cursor;
        let mut kept = Vec::with_capacity(events.len());
        let mut next = Next::On;
        for event in events {
            if !self.apply_one(&event, io) {
                next = Next::AskAgain;
                break;
            }
            kept.push(event);
        }
        let upto = if next == Next::On { upto } else { kept.last().map_or(after, |event| event.offset) };
        if upto == after {
            return next;
        }
        self.asks = 0;
        self.record.cursor = upto;
        self.record.check = kept.iter().fold(self.record.check, |check, e| digest::check(check, e.id, e.tag));
        self.dirty = true;
        let (check, epoch) = (self.record.check, self.record.epoch);
        if let Some(first) = kept.first() {
            self.meet(&first.content);
            let batch = BatchRow { after, check, events: kept.clone() };
            let row = batch.encode();
            self.folding.note(after, upto, row.len(), io.now);
            self.record.log_bytes += row.len() as u64;
            io.put(Table::Events, batch_key(&self.name, self.record.generation, upto), row);
        }
        let stream = self.name.clone();
        io.notice_after_commit(Notice::Applied { stream, epoch, after, upto, check, events: kept });
        next
    }

    /// False when it cannot be applied: some other copy of this device made it (R10).
    fn apply_one(&mut self, event: &Event, io: &mut Io) -> bool {
        if event.id.producer == self.record.producer {
            if self.own_tag(event.id.sequence) != Some(event.tag) {
                self.suspect = true;
                return false;
            }
            self.see_own(event, io);
        }
        if self.is_own_refiled(event) {
            self.suspect = true;
            return false;
        }
        self.heal.retry_gaps(event.id.producer);
        let name = self.name.clone();
        self.heal.meet(&name, event, io);
        if let Some(tag) = self.heal.get(event.id).map(|entry| entry.tag) {
            if tag == event.tag {
                self.heal.remove(&name, event.id, io);
            } else {
                // What comes behind it in that producer's chain is on the other branch too.
                self.heal.refile_from(&name, event.id, io);
            }
        }
        let same = |s: &&rows::StrayRow| {
            s.tag == event.tag && (s.id == event.id || digest::derived_producer(s.id, s.tag) == event.id.producer)
        };
        if let Some((id, from)) = self.strays.iter().find(same).map(|stray| (stray.id, stray.shown_id())) {
            let is_void = self.forget_stray(id, io).is_some_and(|stray| stray.is_void());
            if from != event.id && !is_void {
                io.notice_after_commit(Notice::Renamed { stream: name, from, to: event.id });
            }
        }
        true
    }

    /// Whether it is an own open event under its derived id: only a copy of this device can have made that necessary.
    fn is_own_refiled(&self, event: &Event) -> bool {
        if event.id.sequence != 1 {
            return false;
        }
        let own = self.tags.iter().position(|tag| *tag == event.tag);
        own.map(|at| self.own_id(at as Sequence + 1)).is_some_and(|id| {
            // What only a snapshot of a lost log contained went as a void: its id is used up, by this device itself.
            self.is_kept(id.sequence) && digest::derived_producer(id, event.tag) == event.id.producer
        })
    }

    /// An own event came back in the log at the cursor (R4).
    fn see_own(&mut self, event: &Event, io: &mut Io) {
        let sequence = event.id.sequence;
        // R9: the relay decides a producer's events in order, so what it passed over it refused, or a copy of this profile
        // had used it up by a void. What was asked on this link will still be answered, with the reason.
        let producer = self.record.producer;
        for passed in self.open_upto(sequence - 1).into_members() {
            if !self.link.as_ref().is_some_and(|link| link.is_asked(producer, passed)) {
                self.reject(passed, "reason-lost", "", io);
            }
        }
        let was = self.own(sequence);
        self.forget_own(sequence, io);
        // What was thrown away here, or refused by a log that is gone, a copy of this profile may have sent.
        self.record.voids.remove(sequence);
        self.record.refused.remove(sequence);
        self.record.seen = self.record.seen.max(sequence);
        self.record.relay_last = self.record.relay_last.max(sequence);
        self.relay_has(sequence);
        self.stamped.extend(event.causes.iter().map(|c| (c.stream, (c.epoch, c.offset))));
        self.dirty = true;
        if matches!(was, Own::Sent | Own::Unsent | Own::Owed) {
            io.notice_after_commit(Notice::Accepted { stream: self.name.clone(), ids: vec![event.id] });
        }
    }

    /// R9, R12: what the caught-up log does not hold will not come.
    pub(super) fn caught_up(&mut self, io: &mut Io) {
        let cursor = self.record.cursor;
        let Some(Link { phase: Phase::Live { head, last, .. }, .. }) = self.link else { return };
        if cursor >= head {
            if self.record.resets > 0 {
                (self.record.resets, self.dirty) = (0, true);
            }
            self.open_upto(last).into_members().for_each(|s| self.reject(s, "reason-lost", "", io));
        }
        self.settle_verdicts(cursor, io);
        self.settle_voids(io);
    }

    fn settle_verdicts(&mut self, cursor: Offset, io: &mut Io) {
        let Some(link) = self.link.as_mut().filter(|link| !link.verdicts.is_empty()) else { return };
        let (ripe, unripe) = core::mem::take(&mut link.verdicts).into_iter().partition(|(.., head)| cursor >= *head);
        link.verdicts = unripe;
        let ripe: Vec<(EventId, Tag, HealFate, Offset)> = ripe;
        for (id, tag, fate, _) in ripe {
            let own = id.producer == self.record.producer && self.own_tag(id.sequence) == Some(tag);
            // `accepted` of a later one has come first: then it does not look owed any more.
            if own && matches!(self.own(id.sequence), Own::Owed | Own::Accepted) {
                self.reject(id.sequence, "reason-lost", "", io);
            } else if self.heal.get(id).is_some_and(|entry| entry.tag == tag) {
                let name = self.name.clone();
                match fate {
                    // What follows it in its producer's chain is on the other branch too.
                    HealFate::Branch => self.heal.refile_from(&name, id, io),
                    HealFate::Other if self.heal.refile(&name, id, io) => {}
                    _ => {
                        self.heal.let_go(&name, id, io);
                        if fate == HealFate::Refused {
                            self.reject_dependents(id, DEPENDS_ON_REJECTED, io);
                        }
                    }
                }
            }
            let stray = self.open_strays().find(|stray| stray.id == id && stray.tag == tag).map(|stray| stray.order);
            if let Some(order) = stray {
                self.record.taken.insert(order, order);
                self.dirty = true;
            }
        }
    }

    /// One part of a snapshot came.
    pub(super) fn snapshot_part(&mut self, part: SnapshotPart, io: &mut Io) -> Next {
        let Some(link) = &mut self.link else { return Next::On };
        let assembly = &mut link.assembly;
        if part.part == 0 {
            *assembly = Default::default();
            assembly.records = part.records;
        }
        let fits = assembly.bytes.len() + part.bytes.len() <= part.bytes_total.min(SNAPSHOT_BYTES_MAX) as usize;
        if part.part != assembly.next || part.part >= part.parts || !fits {
            return Next::AskAgain;
        }
        assembly.next += 1;
        assembly.bytes.extend_from_slice(&part.bytes);
        if assembly.next < part.parts {
            return Next::On;
        }
        let assembly = core::mem::take(assembly);
        self.snapshot(part.offset, part.check, assembly, io)
    }

    /// R13: the snapshot replaces the log up to its offset; its records tell which own and kept events are in it.
    fn snapshot(&mut self, offset: Offset, check: Check, assembly: super::stream::Assembly, io: &mut Io) -> Next {
        let records = assembly.records;
        let record = |p: ProducerId| records.iter().find(|r| r.producer == p);
        let logged = |p: ProducerId| record(p).map_or((0, Tag::ZERO), |r| r.logged);
        let refusal = |id: EventId, tag: Tag| {
            record(id.producer).and_then(|r| r.refused.iter().find(|f| (f.sequence, f.tag) == (id.sequence, tag)))
        };
        let own = logged(self.record.producer);
        if self.own_tag(own.0) != Some(own.1) {
            self.suspect = true;
            return Next::AskAgain;
        }
        let name = self.name.clone();
        // Where the record tells of another event under its id, an entry is on another branch of its producer's chain.
        let entries: Vec<(EventId, Tag)> = self.heal.entries().map(|entry| (entry.id, entry.tag)).collect();
        for (id, tag) in entries {
            let (last, last_tag) = logged(id.producer);
            if id.sequence == last && tag != last_tag {
                self.heal.refile_from(&name, id, io);
            } else if id.sequence <= last {
                self.heal.remove(&name, id, io);
            }
        }
        self.heal.begin_link();
        for sequence in self.open().into_members() {
            let id = self.own_id(sequence);
            if let Some(f) = self.own_tag(sequence).and_then(|tag| refusal(id, tag)) {
                self.reject(sequence, &f.code, &f.reason, io);
            } else if sequence <= own.0 {
                self.forget_own(sequence, io);
            }
        }
        self.settle_strays(&logged, &refusal, io);
        let r = &mut self.record;
        (r.cursor, r.check, r.snapshot) = (offset, check, offset);
        r.seen = r.seen.max(own.0);
        r.relay_last = r.relay_last.max(own.0);
        self.relay_has(own.0);
        let r = &mut self.record;
        // Readers' positions are in a log that begins with the snapshot now; what was kept before it is contained in it.
        let from = key(&name, &[&r.generation.to_be_bytes()]);
        r.generation += 1;
        let to = key(&name, &[&r.generation.to_be_bytes()]);
        io.delete_range(Table::Events, (from, to));
        r.log_bytes = assembly.bytes.len() as u64;
        io.put(Table::Snapshots, key(&name, &[]), rows::encode_snapshot(offset, check, &assembly.bytes));
        self.dirty = true;
        io.notice_after_commit(Notice::Reset { stream: name, epoch: self.record.epoch });
        Next::On
    }

    /// A stray at or below the record's sequence: the same event only if the chain agrees there.
    fn settle_strays<'a>(
        &mut self,
        logged: &impl Fn(ProducerId) -> (Sequence, Tag),
        refusal: &impl Fn(EventId, Tag) -> Option<&'a crate::wire::Refusal>,
        io: &mut Io,
    ) {
        for stray in self.open_strays().cloned().collect::<Vec<_>>() {
            if self.open_strays().all(|other| other.id != stray.id) {
                continue;
            }
            let last = logged(stray.id.producer);
            let contained = logged(digest::derived_producer(stray.id, stray.tag)).0 >= 1;
            let (code, reason) = if contained || (stray.id.sequence, stray.tag) == last {
                self.forget_stray(stray.id, io);
                continue;
            } else if let Some(f) = refusal(stray.id, stray.tag) {
                (f.code.as_str(), f.reason.as_str())
            } else if stray.id.sequence <= last.0 {
                ("unsure", "")
            } else {
                continue;
            };
            self.list_stray(stray.id, code, reason, io);
            // What was made on top of one that is unsure is unsure too.
            let code = if code == "unsure" { code } else { DEPENDS_ON_REJECTED };
            self.reject_dependents(stray.id, code, io);
        }
        if let Some(link) = &mut self.link {
            link.strays_sent.clear();
        }
    }
}
