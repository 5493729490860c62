//! The device: one handler for each message, and the local transactions. What it sends is in `send.rs`.
//!
//! Each function that changes `disk` is one durable transaction; everything in `link` is volatile.

use crate::rules::Mutation::*;
use crate::types::*;
use crate::world::Model;

impl Device {
    /// True when nothing is left to send or to see.
    pub fn settled(&self) -> bool {
        let gap = |e: &Entry| self.link.as_ref().is_some_and(|l| l.gaps.contains(&e.id()));
        self.disk.pending().is_empty() && self.disk.strays.is_empty() && self.disk.heal.iter().all(gap)
    }

    /// Begins a link.
    pub fn subscribe(&mut self) {
        let d = &self.disk;
        let last_id = d.kept.last().map_or((0, 0), |e| (e.producer, e.seq));
        let open = OwnEvent::is_open;
        let settled = d.mine.iter().position(open).unwrap_or(d.mine.len()) as u8 + 1;
        let open_strays = d.strays.iter().filter(|s| !s.void);
        let strays = open_strays.flat_map(|s| [s.event.producer, s.event.refile().producer]);
        let records = strays.chain(d.heal.iter().map(|e| e.producer)).filter(|p| *p != d.producer).collect();
        self.link = Some(Link::asking(Some(Ask {
            producer: d.producer,
            epoch: d.epoch,
            after: d.cursor,
            check: d.check,
            last_id,
            settled,
            records,
        })));
    }

    /// Handles one message. `fresh` is an unused producer id, should one be needed.
    pub fn receive(&mut self, m: &Model, msg: Down, fresh: Producer) {
        let id_before = self.disk.producer;
        self.link.iter_mut().for_each(|link| link.wave = false);
        let asking = self.link.as_ref().is_some_and(|link| link.phase == Phase::Asking);
        match msg {
            Down::Subscribed { epoch, head, resume, known } => {
                self.subscribed(m, epoch, head, resume, &known);
                self.reconcile(m, &known, fresh);
            }
            // What is under way of an older subscription is not read.
            _ if asking => return,
            Down::Snapshot(s) => self.snapshot(m, s),
            Down::Events { after, events } => {
                if after > self.disk.cursor && !m.drops(NoCoverage) {
                    self.link = None;
                    return;
                }
                // R6: what begins below the cursor is taken from the cursor on.
                let seen = if m.drops(NoCoverage) { 0 } else { self.disk.cursor - after };
                for e in events.into_iter().skip(seen.into()) {
                    if !self.apply(m, e) {
                        break;
                    }
                }
            }
            Down::Accepted { producer, seq } => {
                // A void may be what an event of the same producer waited for.
                self.retry_gaps(producer);
                self.answered(m, producer, seq, Own::Accepted);
            }
            Down::Rejected { producer, seq } => self.answered(m, producer, seq, Own::Refused),
            Down::Have { producer, seq, count, known, head } if producer == self.disk.producer => {
                self.hears(head, known.last);
                if let Some(link) = &mut self.link {
                    link.unanswered.retain(|(p, s)| *p != producer || !(seq..seq + count).contains(s));
                }
                self.reconcile(m, &known, fresh);
            }
            Down::Have { producer, seq, known, head, .. } => self.have_stray(producer, seq, &known, head),
            Down::Healed { event, head, verdict } => {
                if let Some(link) = &mut self.link {
                    link.answered(event.producer, event.seq);
                    match verdict {
                        // R10: only a copy can have put something else there.
                        Verdict::Branch | Verdict::Other if event.producer == self.disk.producer => self.suspect = true,
                        Verdict::Gap if !follow_on(m, &mut self.disk, &event) => drop(link.gaps.insert(event.id())),
                        Verdict::Gap | Verdict::Later => {
                            link.heal_sent.remove(&event.id());
                            if event.producer == self.disk.producer {
                                link.next = link.next.min(event.seq);
                            }
                        }
                        _ => link.verdicts.push((event, verdict, head)),
                    }
                }
            }
        }
        if self.disk.producer != id_before {
            self.ids += 1;
        }
        self.caught_up(m);
        if self.suspect {
            self.link = None;
        }
        self.heal_no_refused();
        self.settle_voids(m);
    }

    fn subscribed(&mut self, m: &Model, epoch: u8, head: u8, resume: bool, known: &Known) {
        if !resume {
            self.reset(m, epoch);
        } else if self.disk.cursor == 0 {
            self.disk.check = seed(epoch);
        }
        self.disk.epoch = epoch;
        if let Some(link) = &mut self.link {
            link.phase = Phase::Live { head, last: known.last };
        }
    }

    /// The relay has used own sequences up to `used_up`, and the log that tells their fates ends at `at` (R9).
    fn hears(&mut self, at: u8, used_up: u8) {
        if let Some(Link { phase: Phase::Live { head, last }, .. }) = &mut self.link {
            (*head, *last) = (at.max(*head), used_up.max(*last));
        }
    }

    /// Gives its connection up.
    pub fn gives_up(&mut self, m: &Model) -> Option<Link> {
        let link = self.link.take();
        self.loose_cursor = None;
        while m.drops(SendFirst) && link.is_some() && self.disk.mine.last().is_some_and(|o| o.at == Own::Sent) {
            self.disk.mine.pop();
        }
        link
    }

    /// R7: another log, or another history of this one. Start at 0, keep what it may lack.
    fn reset(&mut self, m: &Model, epoch: u8) {
        let d = &mut self.disk;
        // R9: passed over in the log that is gone, and the answer that would say why will not come.
        let seen = d.mine.iter().rposition(|o| o.at == Own::Seen).unwrap_or(0);
        if !m.drops(NoOrderVerdict) {
            refuse(&mut d.mine[..seen], &mut d.rejected);
        }
        let mut heal = std::mem::take(&mut d.kept);
        let old: Vec<Entry> = d.heal.iter().filter(|e| !heal.iter().any(|k| k.same_event(e))).copied().collect();
        heal.extend(old);
        d.heal = heal;
        d.view.clear();
        (d.cursor, d.check) = (0, seed(epoch));
        if m.drops(StrayTakenForgotten) {
            d.strays.iter_mut().for_each(|stray| stray.taken = false);
        }
        for o in d.mine.iter_mut().filter(|o| o.at == Own::Seen) {
            o.at = Own::Accepted;
        }
    }

    /// R8, R10: puts the outbox in line with what the relay has of this producer.
    fn reconcile(&mut self, m: &Model, known: &Known, fresh: Producer) {
        let agrees = if std::mem::take(&mut self.suspect) {
            false
        } else if m.drops(ForkByLast) {
            usize::from(known.last) <= self.disk.mine.len()
        } else {
            self.disk.own_tag(known.last) == Some(known.tag)
        };
        if !agrees {
            return self.fork(m, known, fresh);
        }
        let d = &mut self.disk;
        for (i, o) in d.mine.iter_mut().enumerate() {
            let seq = i as u8 + 1;
            if seq > known.last {
                if matches!(o.at, Own::Accepted | Own::Seen) && !m.drops(DropOnAccepted) {
                    o.at = if m.drops(HealValidated) { Own::Sent } else { Own::Owed };
                }
            } else if o.is_open() {
                // A copy of this profile may have sent what this one has not.
                if o.at == Own::Unsent {
                    o.at = Own::Sent;
                }
                if known.refused.get(&seq) == Some(&o.tag) {
                    o.at = Own::Refused;
                    d.rejected.push(o.birth);
                } else if m.drops(AcceptByLast) {
                    o.at = Own::Accepted;
                }
            }
        }
        self.used_up(known.last);
        if let Some(link) = &mut self.link {
            // What is under way has its own answer.
            let is_under_way = link.unanswered.iter().any(|(p, _)| *p == self.disk.producer);
            let at_least = if is_under_way { link.next } else { 0 };
            link.next = at_least.max(known.last + 1);
        }
    }

    /// R10: another copy of this device has used this producer id. Take a new one, start afresh.
    fn fork(&mut self, m: &Model, known: &Known, fresh: Producer) {
        let d = &mut self.disk;
        let mine = std::mem::take(&mut d.mine);
        let old = d.producer;
        d.producer = fresh;
        let mut voids = vec![];
        for (i, o) in mine.iter().enumerate() {
            let before = if i == 0 { 0 } else { mine[i - 1].tag };
            let e = Entry { producer: old, seq: i as u8 + 1, tag: o.tag, before, birth: o.birth, prev: 0, prev_tag: 0 };
            let refused = o.is_open() && known.refused.get(&e.seq) == Some(&e.tag);
            if refused {
                d.rejected.push(e.birth);
                let_go(d, |h| h.same_event(&e));
            }
            if refused || matches!(o.at, Own::Refused | Own::Void) {
                voids.push(Stray { event: e, void: true, taken: false });
            } else if !o.is_open() || d.heal.iter().any(|h| h.same_event(&e)) {
                voids.clear();
            } else {
                if !m.drops(StrayGap) {
                    d.strays.append(&mut voids);
                }
                d.strays.push(Stray { event: e, void: false, taken: false });
            }
        }
        self.link = None;
    }

    fn answered(&mut self, m: &Model, producer: Producer, seq: u8, at: Own) {
        if let Some(link) = &mut self.link {
            link.answered(producer, seq);
        }
        if producer == self.disk.producer {
            self.used_up(seq);
            let d = &mut self.disk;
            let Some(o) = d.mine.get_mut(seq as usize - 1) else { return };
            if o.at == Own::Sent || o.at == Own::Accepted && at == Own::Refused {
                o.at = if at == Own::Accepted && m.drops(DropOnAccepted) { Own::Seen } else { at };
                if at == Own::Refused {
                    d.rejected.push(o.birth);
                }
            }
        } else if at == Own::Refused {
            self.reject_strays(|e| (e.producer, e.seq) == (producer, seq) || e.refile().producer == producer);
        }
    }

    /// R11: what was refused or thrown away goes as a void, to a later log too, while something behind it in its chain goes
    /// under its own id.
    fn settle_voids(&mut self, m: &Model) {
        let strays = &mut self.disk.strays;
        let mut i = strays.len();
        while i > 0 {
            i -= 1;
            let behind = |s: &Stray| s.event.producer == strays[i].event.producer && s.is_open() && !s.taken;
            if strays[i].void && (!strays[i + 1..].iter().any(behind) || m.drops(StrayGap)) {
                strays.remove(i);
            }
        }
    }

    /// The relay has used own sequences up to here up: what it owed of them it has, or has refused.
    fn used_up(&mut self, upto: u8) {
        let passed = self.disk.mine.iter_mut().take(upto.into());
        passed.filter(|o| o.at == Own::Owed).for_each(|o| o.at = Own::Accepted);
    }

    /// Own sequences up to here are in the log, perhaps because another device has healed them: they are not sent again.
    fn relay_has(&mut self, last: u8) {
        if let Some(link) = &mut self.link {
            link.next = link.next.max(last + 1);
        }
    }

    /// `have` for a stray: its fate is known once the cursor reaches `head`.
    fn have_stray(&mut self, producer: Producer, seq: u8, known: &Known, head: u8) {
        self.reject_strays(|e| {
            let id = if e.producer == producer { e.seq } else { 1 };
            (e.producer == producer || e.refile().producer == producer) && known.refused.get(&id) == Some(&e.tag)
        });
        let asked = self.disk.strays.iter().find(|s| (s.event.producer, s.event.seq) == (producer, seq));
        let Some(link) = &mut self.link else { return };
        link.unanswered.remove(&(producer, seq));
        if let Some(s) = asked {
            link.verdicts.push((s.event, Verdict::Passed, head));
        }
    }

    fn reject_strays(&mut self, refused: impl Fn(&Entry) -> bool) {
        let d = &mut self.disk;
        for s in d.strays.iter_mut().filter(|s| !s.void && refused(&s.event)) {
            d.rejected.push(s.event.birth);
            s.void = true;
        }
    }

    /// An event of a producer may have filled the gap before another of the same.
    fn retry_gaps(&mut self, producer: Producer) {
        let Some(link) = &mut self.link else { return };
        if link.gaps.iter().any(|(p, ..)| *p == producer) {
            let gaps = std::mem::take(&mut link.gaps);
            link.heal_sent.retain(|id| !gaps.contains(id));
        }
    }

    /// Applies one event: effect, cursor and the fate of own events in one transaction.
    /// False when it cannot be applied: the link is given up.
    fn apply(&mut self, m: &Model, e: Entry) -> bool {
        // R10: an own event that somebody has filed under its derived id: only a copy can have made that necessary.
        let own = self.disk.producer;
        let is_it = |(seq, o): (u8, &OwnEvent)| o.is_open() && o.tag == e.tag && refiled(own, seq, o.tag) == e.producer;
        if (1..).zip(&self.disk.mine).any(is_it) && !m.drops(OwnRefiledUnnoticed) {
            self.suspect = true;
            return false;
        }
        if e.producer == self.disk.producer {
            let own = self.disk.mine.get(e.seq as usize - 1);
            if !own.is_some_and(|o| o.tag == e.tag || m.drops(EchoById)) {
                // R10: some other copy of me made it. Ask again; the answer brings what a fork needs.
                self.suspect = true;
                return false;
            }
            let own = &mut self.disk.mine[e.seq as usize - 1];
            (own.at, own.gone) = (Own::Seen, false);
            self.used_up(e.seq);
            self.relay_has(e.seq);
            if !m.drops(NoOrderVerdict) {
                self.pass_over(e.seq);
            }
        }
        let d = &mut self.disk;
        d.view.push(e.birth);
        d.kept.push(e);
        if m.drops(CursorApart) {
            self.loose_cursor = Some((d.cursor + 1, chain(d.check, &e)));
        } else {
            d.cursor += 1;
            d.check = chain(d.check, &e);
        }
        self.retry_gaps(e.producer);
        let d = &mut self.disk;
        d.heal.retain(|h| !h.same_event(&e.refile()) || m.drops(HealRefiledUnmet));
        if let Some(i) = d.heal.iter().position(|h| (h.producer, h.seq) == (e.producer, e.seq)) {
            if d.heal[i].same_event(&e) || m.drops(HealNoConflict) {
                d.heal.remove(i);
            } else {
                // R12: what comes behind it in that producer's chain is on the other branch too.
                refile_from(&mut d.heal, &e);
            }
        }
        let same = |s: &Stray| s.event.same_event(&e) || s.event.refile().same_event(&e);
        if let Some(i) = d.strays.iter().position(same) {
            d.strays.remove(i);
        }
        true
    }

    /// R9: the relay decides a producer's events in order, so what it passed over it refused, or a copy of this profile had
    /// it used up by a void. What was asked on this link will still be answered, with the reason.
    fn pass_over(&mut self, seq: u8) {
        let Disk { mine, rejected, producer, .. } = &mut self.disk;
        let asked = |s: u8| self.link.as_ref().is_some_and(|link| link.unanswered.contains(&(*producer, s)));
        for (_, o) in (1..seq).zip(mine).filter(|(s, o)| o.is_open() && !asked(*s)) {
            o.at = Own::Refused;
            rejected.push(o.birth);
        }
    }

    /// R13: the snapshot replaces the view; its table tells which own and kept events are in it.
    fn snapshot(&mut self, m: &Model, s: Snapshot) {
        let has =
            |p: Producer, seq: u8| s.producers.get(&p).is_some_and(|r| seq <= r.logged.0) && !m.drops(SnapshotNoTable);
        let refused =
            |p: Producer, seq: u8, tag: Tag| s.producers.get(&p).is_some_and(|r| r.refused.get(&seq) == Some(&tag));
        let own = s.producers.get(&self.disk.producer).map_or((0, 0), |r| r.logged);
        if self.disk.own_tag(own.0) != Some(own.1) && !m.drops(SnapshotUnchecked) {
            self.suspect = true;
            return;
        }
        let d = &mut self.disk;
        // What was applied of this log before is contained.
        d.kept.clear();
        self.settle_heal(m, &s);
        let d = &mut self.disk;
        d.view = s.births.clone();
        (d.cursor, d.check) = (s.offset, s.check);
        for (i, o) in d.mine.iter_mut().enumerate().filter(|(_, o)| o.is_open()) {
            if refused(d.producer, i as u8 + 1, o.tag) {
                o.at = Own::Refused;
                d.rejected.push(o.birth);
            } else if has(d.producer, i as u8 + 1) {
                o.at = Own::Seen;
            }
        }
        d.mine.iter_mut().filter(|o| o.at == Own::Seen).for_each(|o| o.gone = true);
        // A stray at or below the table's sequence: the same event only if the chain agrees there.
        for stray in std::mem::take(&mut d.strays) {
            let e = stray.event;
            let logged = s.producers.get(&e.producer).map_or((0, 0), |r| r.logged);
            if stray.void {
                d.strays.push(stray);
            } else if has(e.refile().producer, 1) || (e.seq, e.tag) == logged {
                continue;
            } else if refused(e.producer, e.seq, e.tag) {
                d.rejected.push(e.birth);
            } else if e.seq <= logged.0 {
                d.unsure.push(e.birth);
            } else {
                d.strays.push(stray);
            }
        }
        self.used_up(own.0);
        self.relay_has(own.0);
        if let Some(link) = &mut self.link {
            link.heal_sent.clear();
            link.strays_sent.clear();
            link.gaps.clear();
        }
    }

    /// What the snapshot contains is healed, if its chain agrees where the table can tell.
    fn settle_heal(&mut self, m: &Model, s: &Snapshot) {
        let logged = |p: Producer| s.producers.get(&p).map_or((0, 0), |r| r.logged);
        let heal = &mut self.disk.heal;
        for other in heal.clone() {
            let (seq, tag) = logged(other.producer);
            if other.seq == seq && other.tag != tag {
                refile_from(heal, &other);
            }
        }
        heal.retain(|e| e.seq > logged(e.producer).0 || m.drops(SnapshotNoTable));
    }

    /// Whether it has applied all that the relay had when it was asked.
    pub fn is_caught_up(&self) -> bool {
        matches!(self.link.as_ref().map(|l| &l.phase), Some(Phase::Live { head, .. }) if self.disk.cursor >= *head)
    }

    /// R9, R12: what the caught-up log does not hold will not come.
    fn caught_up(&mut self, m: &Model) {
        let Some(link) = &mut self.link else { return };
        let Phase::Live { head, last } = link.phase else { return };
        let d = &mut self.disk;
        if d.cursor >= head && !m.drops(NoLostVerdict) {
            for o in d.mine.iter_mut().take(last as usize).filter(|o| o.is_open()) {
                o.at = Own::Refused;
                d.rejected.push(o.birth);
            }
        }
        let cursor = d.cursor;
        let (ripe, unripe): (Vec<_>, Vec<_>) = link.verdicts.drain(..).partition(|(.., head)| cursor >= *head);
        link.verdicts = unripe;
        for (e, verdict, _) in ripe {
            match verdict {
                Verdict::Branch if d.heal.iter().any(|h| h.same_event(&e)) => refile_from(&mut d.heal, &e),
                _ => {
                    let gone = let_go(d, |h| h.same_event(&e));
                    let other = verdict == Verdict::Other && !m.drops(HealVoidDropped);
                    // What follows it in its chain has verdicts of its own.
                    gone.filter(|_| other).into_iter().for_each(|(at, e)| d.heal.insert(at, e.refile()));
                }
            }
            if let Some(stray) = d.strays.iter_mut().find(|s| s.event == e && !s.void) {
                stray.taken = true;
            }
            let own = d.mine.get_mut(e.seq as usize - 1).filter(|o| e.producer == d.producer && o.tag == e.tag);
            if let Some(o) = own.filter(|o| matches!(o.at, Own::Owed | Own::Accepted) && !o.gone) {
                o.at = Own::Refused;
                d.rejected.push(o.birth);
            }
        }
    }

    /// R9: what is refused is not brought any more, whether or not the link that told of it still stands.
    fn heal_no_refused(&mut self) {
        let (mine, producer) = (self.disk.mine.clone(), self.disk.producer);
        let is_refused =
            |e: &Entry| e.producer == producer && mine.get(e.seq as usize - 1).is_some_and(|o| o.at == Own::Refused);
        while let_go(&mut self.disk, is_refused).is_some() {}
    }
}

/// An event that this log does not have under its id, and will not, leaves the list. Whence, and which.
fn let_go(d: &mut Disk, is_gone: impl Fn(&Entry) -> bool) -> Option<(usize, Entry)> {
    let at = d.heal.iter().position(is_gone)?;
    let gone = d.heal.remove(at);
    d.gone.push(gone);
    Some((at, gone))
}

/// R12: what followed an event that an earlier log did not take follows what that one followed: nobody may bring it any
/// more. In the log that did not take it, it is no gap.
fn follow_on(m: &Model, d: &mut Disk, event: &Entry) -> bool {
    let gone = |e: &Entry| (e.producer, e.seq, e.tag) == (event.producer, event.prev, event.prev_tag);
    let Some(gone) = d.gone.iter().copied().find(gone).filter(|_| !m.drops(HealPrevGone)) else { return false };
    for e in d.heal.iter_mut().filter(|e| e.same_event(event)) {
        (e.prev, e.prev_tag) = (gone.prev, gone.prev_tag);
    }
    true
}

/// The id is taken: what stands under it, and what follows that in its producer's chain, goes on under derived ids.
fn refile_from(heal: &mut [Entry], id: &Entry) {
    for e in heal.iter_mut().filter(|e| e.producer == id.producer && e.seq >= id.seq) {
        *e = e.refile();
    }
}

/// Sent, and never answered: refused, for a reason that is lost.
fn refuse(passed: &mut [OwnEvent], rejected: &mut Vec<Birth>) {
    for o in passed.iter_mut().filter(|o| o.at == Own::Sent) {
        o.at = Own::Refused;
        rejected.push(o.birth);
    }
}
