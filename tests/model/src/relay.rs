//! The relay: one handler for each message, and the pump that feeds a subscriber from the log.

use crate::rules::Mutation::*;
use crate::types::*;
use crate::world::{Model, World, bit};
use std::sync::Arc;

/// How many messages may be under way in one direction of a connection.
pub const WINDOW: usize = 2;

/// What the relay tells a subscriber of a producer: of its own, the refusals that it may not know; of another, those from
/// the sequence on that it asked about.
fn known(w: &World, producer: Producer, first: u8, subscriber: Option<&Subscriber>, m: &Model) -> Known {
    let r = w.store.producers.get(&producer).cloned().unwrap_or_default();
    let own = subscriber.filter(|s| s.producer == producer).map(|s| s.settled);
    let mut refused = r.refused;
    refused.retain(|seq, _| *seq >= own.unwrap_or(first) && !m.drops(RefusedUnasked));
    Known { last: r.last, tag: r.tag, refused }
}

/// Handles one message, or several publishes or heals that came as one. Answers go to `link`, if that connection still has a
/// reading end. `refuse`: the validator's verdict on one of them, chosen by the checker.
pub fn receive(m: &Model, w: &mut World, mut link: Option<&mut Link>, run: &[Up], refuse: Option<usize>) {
    if m.drops(DurableAck) && w.synced.is_none() {
        w.synced = Some(w.store.clone());
    }
    let mut answers = vec![];
    match &run[0] {
        Up::Subscribe(ask) => {
            if let (true, Some(r)) = (m.drops(RefusedPruned), w.store_mut().producers.get_mut(&ask.producer)) {
                r.refused.retain(|seq, _| *seq >= ask.settled);
            }
            let Some(link) = link else { return };
            let resume = resumes(m, &w.store, ask);
            let Ask { producer, settled, records, .. } = ask.clone();
            let position = if resume { ask.after } else { 0 };
            let subscriber = Subscriber { position, producer, settled, records };
            let known = known(w, producer, 0, Some(&subscriber), m);
            link.subscriber = Some(subscriber);
            let (epoch, head) = (w.store.epoch, w.store.head());
            link.down.push(Down::Subscribed { epoch, head, resume, known });
            return;
        }
        Up::Publish { .. } => {
            let subscriber = link.as_deref_mut().and_then(|link| link.subscriber.clone());
            answers = publish(m, w, run, refuse, subscriber.as_ref());
        }
        Up::Heal(_) => {
            let mut held_up = false;
            let mut heal = |msg| {
                let healed = heal(m, w, msg, held_up)?;
                held_up |= matches!(healed.1, Verdict::Other | Verdict::Branch) && !m.drops(HealOvertaken);
                Some(healed)
            };
            let verdicts: Vec<(Entry, Verdict)> = run.iter().filter_map(&mut heal).collect();
            let head = w.store.head();
            if !m.drops(HealNoVerdict) {
                answers.extend(verdicts.into_iter().map(|(event, verdict)| Down::Healed { event, head, verdict }));
            }
        }
    }
    if let Some(link) = link {
        link.down.append(&mut answers);
    }
}

/// R12: takes an event that an earlier log had accepted. `held_up`: one before it goes on under another id first.
fn heal(m: &Model, w: &mut World, msg: &Up, held_up: bool) -> Option<(Entry, Verdict)> {
    let Up::Heal(event) = *msg else { return None };
    let store = w.store_mut();
    let r = store.producers.entry(event.producer).or_default();
    // Nothing may slip in below a sequence once the last has passed it.
    let is_other = |at: (u8, Tag)| event.prev == at.0 && event.prev_tag != at.1;
    let stands = |at: (u8, Tag)| event.seq != at.0 || event.tag == at.1 || m.drops(HealBranchPassed);
    // As a publish has to, what comes next continues the chain.
    let breaks = r.last > 0 && event.seq == r.last + 1 && event.before != r.tag && !m.drops(HealChainUnchecked);
    let other = breaks || (is_other(r.logged) || is_other((r.last, r.tag))) && !m.drops(HealPrevUntagged);
    let gap = event.prev > r.last && !m.drops(HealGaps);
    if r.refused.get(&event.seq) == Some(&event.tag) {
        return Some((event, Verdict::Refused));
    } else if !stands(r.logged) || !stands((r.last, r.tag)) {
        return Some((event, Verdict::Branch));
    } else if event.seq <= r.last {
        // Another event under its id the reader of the log sees, and knows that what follows is on another branch too.
        let logged = store.log.iter().any(|e| (e.producer, e.seq) == (event.producer, event.seq));
        let other = !logged && told(store, event.producer, event.seq);
        return Some((event, if other { Verdict::Other } else { Verdict::Passed }));
    } else if held_up {
        return Some((event, Verdict::Later));
    } else if other && !m.drops(HealGaps) {
        return Some((event, Verdict::Branch));
    } else if gap {
        return Some((event, Verdict::Gap));
    }
    let (prev, prev_tag) = r.logged;
    (r.last, r.tag, r.logged) = (event.seq, event.tag, (event.seq, event.tag));
    store.log.push(Entry { prev, prev_tag, ..event });
    Some((event, Verdict::Passed))
}

/// R7: may this device go on from its cursor?
fn resumes(m: &Model, s: &Store, ask: &Ask) -> bool {
    let Ask { epoch, after, .. } = *ask;
    if after == 0 {
        return true;
    }
    if epoch != s.epoch && !m.drops(NoEpoch) {
        return false;
    }
    if after < s.floor() && m.drops(BelowFloorTrusted) {
        return true;
    }
    if after < s.floor() || after > s.head() {
        return false;
    }
    if m.drops(NoCheck) {
        return true;
    }
    if m.drops(IdCheck) {
        let at = after.checked_sub(s.floor() + 1).map(|i| s.log[i as usize]);
        return at.is_none_or(|e| (e.producer, e.seq) == ask.last_id);
    }
    s.check_at(after) == Some(ask.check)
}

/// R8, R9: the sequencer. A run may begin with what the log has already: what is new of it is taken, and the repeat gets
/// `have` behind the other answers.
fn publish(m: &Model, w: &mut World, run: &[Up], refuse: Option<usize>, subscriber: Option<&Subscriber>) -> Vec<Down> {
    let (Some(Up::Publish { producer, seq: first, prev_tag, .. }), store) = (run.first(), Arc::make_mut(&mut w.store))
    else {
        return vec![];
    };
    let (producer, first) = (*producer, *first);
    let r = store.producers.entry(producer).or_default().clone();
    let repeated = usize::from((r.last + 1).saturating_sub(first)).min(run.len());
    let tag_of = |msg: &Up| if let Up::Publish { tag, .. } = msg { *tag } else { 0 };
    let reaches = usize::from(r.last + 1) <= usize::from(first) + run.len();
    let continues = if m.drops(GapsAllowed) {
        first > r.last
    } else if first == r.last + 1 {
        *prev_tag == r.tag || m.drops(NoPrevTag)
    } else {
        first <= r.last
            && reaches
            && tag_of(&run[repeated - 1]) == r.tag
            && (first..=r.last).all(|seq| told(store, producer, seq))
    };
    if m.drops(SilentDup) && first <= r.last {
        return (0..run.len() as u8).map(|i| Down::Accepted { producer, seq: first + i }).collect();
    }
    let mut answers = vec![];
    if continues {
        for (i, msg) in run.iter().enumerate().skip(repeated) {
            answers.extend(take(m, w, msg, refuse == Some(i)));
        }
    }
    if repeated > 0 || !continues {
        let known = known(w, producer, first, subscriber, m);
        answers.push(Down::Have { producer, seq: first, count: run.len() as u8, known, head: w.store.head() });
    }
    answers
}

/// Whether the store can still tell what became of a sequence: what is only in the snapshot it cannot.
fn told(store: &Store, producer: Producer, seq: u8) -> bool {
    let Some(r) = store.producers.get(&producer) else { return false };
    let earlier = || store.log.iter().any(|e| e.producer == producer && e.seq <= seq);
    store.floor() == 0 || r.refused.contains_key(&seq) || seq > r.logged.0 || earlier()
}

/// Uses the producer's next sequence up.
fn take(m: &Model, w: &mut World, msg: &Up, refuse: bool) -> Option<Down> {
    let Up::Publish { producer, seq, prev_tag: before, tag, body } = *msg else { return None };
    if let (true, Some(birth)) = (refuse, body) {
        w.refused |= bit(birth);
    }
    let store = Arc::make_mut(&mut w.store);
    let r = store.producers.entry(producer).or_default();
    let (prev, prev_tag) = r.logged;
    if refuse && m.drops(RefusedFree) {
        w.refusals_left -= 1;
        return Some(Down::Rejected { producer, seq });
    }
    (r.last, r.tag) = (seq, tag);
    let Some(birth) = body else {
        return Some(Down::Accepted { producer, seq });
    };
    if refuse {
        w.refusals_left -= 1;
        r.refused.insert(seq, tag);
        return Some(Down::Rejected { producer, seq });
    }
    r.logged = (seq, tag);
    store.log.push(Entry { producer, seq, tag, before, birth, prev, prev_tag });
    Some(Down::Accepted { producer, seq })
}

/// Whether the validator has a say on this message (else a refusal would be a wasted branch).
pub fn may_refuse(m: &Model, w: &World, msg: &Up) -> bool {
    let Up::Publish { producer, seq, prev_tag, body: Some(_), .. } = msg else {
        return false;
    };
    let r = w.store.producers.get(producer).cloned().unwrap_or_default();
    let next = *seq == r.last + 1 && (m.drops(NoPrevTag) || *prev_tag == r.tag);
    w.refusals_left > 0 && (m.drops(GapsAllowed) && *seq > r.last || next)
}

/// Hands a subscriber the next of the log. A subscriber is a position: the same read serves catch-up and live, so there is
/// no seam.
pub fn pump(store: &Store, link: &mut Link) -> bool {
    let Some(subscriber) = &mut link.subscriber else { return false };
    let position = subscriber.position;
    if link.down.len() >= WINDOW || position >= store.head() {
        return false;
    }
    if position < store.floor() {
        let mut snapshot = store.snapshot.clone();
        snapshot.producers.retain(|p, _| *p == subscriber.producer || subscriber.records.contains(p));
        subscriber.position = store.floor();
        link.down.push(Down::Snapshot(snapshot));
    } else {
        let events = vec![store.log[(position - store.floor()) as usize]];
        subscriber.position = position + 1;
        link.down.push(Down::Events { after: position, events });
    }
    true
}

/// Makes the head the snapshot and drops the events before it.
pub fn trim(m: &Model, w: &mut World) {
    let s = w.store_mut();
    let producers = s.producers.clone();
    let (offset, births, check) = (s.head(), s.births(), s.check_at(s.head()).unwrap_or_default());
    s.snapshot = Snapshot { offset, births, check, producers };
    s.log.clear();
    if m.drops(TrimForgets) {
        s.producers.clear();
    }
}
