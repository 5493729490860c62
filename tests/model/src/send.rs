//! What a device sends next on its present link: heal list, strays, outbox, in that order.

use crate::rules::Mutation::*;
use crate::types::*;
use crate::world::Model;

impl Device {
    /// The next message to send on the present link, if any. Committed before it is sent.
    pub fn next_to_send(&mut self, m: &Model) -> Option<Up> {
        let msg = self.choose(m)?;
        if let (Some(link), Some((producer, seq))) = (&mut self.link, sequence(&msg)) {
            link.wave = matches!(msg, Up::Heal(_));
            link.unanswered.insert((producer, seq));
        }
        Some(msg)
    }

    fn choose(&mut self, m: &Model) -> Option<Up> {
        let caught_up = self.is_caught_up();
        let d = &mut self.disk;
        let link = self.link.as_mut()?;
        if !matches!(link.phase, Phase::Live { .. }) || link.up.len() >= crate::relay::WINDOW {
            return None;
        }
        // Both mutants are given the catch-up first: it does not save them.
        let waits = !d.strays.is_empty() && (m.drops(FreshRenumber) || m.drops(RefileAtOnce));
        let only_gaps = |d: &Disk, link: &Link| d.heal.iter().all(|e| link.gaps.contains(&e.id()));
        let heals = !only_gaps(d, link);
        if (waits || heals && !m.drops(HealAtOnce)) && !caught_up {
            return None;
        }
        if m.drops(HealLast) && usize::from(link.next) <= d.mine.len() {
            return Some(publish_next(m, d, link));
        }
        // R12: heals go one message after the other. In step with the code a message holds all that goes at once.
        let awaits = !link.unanswered.is_empty() || !link.verdicts.is_empty();
        let may_heal = !awaits || m.marks && link.wave || m.drops(HealOvertaken);
        if heals && link.go && may_heal {
            let heal = next_heal(m, d, link);
            if heal.is_some() {
                return heal;
            }
        }
        let healing = !only_gaps(d, link);
        if healing && !m.drops(HealPipelined) {
            return None;
        }
        if !d.strays.is_empty() {
            let stray = next_stray(m, d, link);
            if stray.is_some() {
                return stray;
            }
        }
        let first = m.drops(HealPipelined) || !healing && d.strays.is_empty();
        let owed = |seq: u8| d.mine.get(seq as usize - 1).is_some_and(|o| o.at == Own::Owed && !o.gone);
        // What is published waits until what goes as a heal is answered.
        let asked = link.unanswered.iter().any(|(producer, seq)| *producer == d.producer && owed(*seq));
        let waits = asked && !owed(link.next) && !m.drops(HealPipelined);
        let waits = waits || owed(link.next) && !may_heal;
        (first && !waits && usize::from(link.next) <= d.mine.len()).then(|| publish_next(m, d, link))
    }
}

/// Whose sequence a message asks about.
fn sequence(msg: &Up) -> Option<(Producer, u8)> {
    match msg {
        Up::Subscribe(_) => None,
        Up::Publish { producer, seq, .. } => Some((*producer, *seq)),
        Up::Heal(e) => Some((e.producer, e.seq)),
    }
}

/// The first event of the heal list that did not go out yet.
fn next_heal(m: &Model, d: &mut Disk, link: &mut Link) -> Option<Up> {
    let unsent = |e: &Entry, link: &Link| !link.heal_sent.contains(&e.id()) && !link.gaps.contains(&e.id());
    while let Some(i) = d.heal.iter().position(|e| unsent(e, link)) {
        let e = d.heal[i];
        if e.producer == d.producer {
            // Own ones in the order of their sequences, those in the outbox among them.
            while link.next <= e.seq {
                if d.mine[link.next as usize - 1].at == Own::Owed {
                    return Some(publish_next(m, d, link));
                }
                link.next += 1;
            }
            link.heal_sent.insert(e.id());
        } else if m.drops(HealOwnOnly) {
            d.heal.remove(i);
        } else {
            if m.drops(HealUntilSent) {
                d.heal.remove(i);
            } else {
                link.heal_sent.insert(e.id());
            }
            return Some(Up::Heal(e));
        }
    }
    None
}

/// R11: under its own id first; under the derived one once that id was taken.
fn next_stray(m: &Model, d: &mut Disk, link: &mut Link) -> Option<Up> {
    if m.drops(FreshRenumber) {
        let Stray { event, .. } = d.strays.remove(0);
        d.append(event.birth, Own::Sent);
        return Some(publish_next(m, d, link));
    }
    // Those of one given-up id are in order by its chain; those of the next wait until all of it are seen.
    let first = d.strays[0].event.producer;
    let mine = |s: &&Stray| s.event.producer == first;
    for (i, Stray { event, void, taken }) in d.strays.iter().filter(mine).enumerate() {
        let open_behind = d.strays.iter().filter(mine).skip(i + 1).any(|s| s.is_open() && !s.taken);
        let (void, taken) = (*void, *taken || m.drops(RefileAtOnce));
        // Its place in the chain is a void's once it goes under its derived id: what is behind may still go under its own.
        let fills = taken && open_behind && !m.drops(StrayPlaceEmpty);
        let own = (!taken || fills).then_some((event.producer, event.seq, event.before, void || taken));
        let derived = (taken && !void).then(|| (event.refile().producer, 1, 0, false));
        for (producer, seq, prev_tag, void) in own.into_iter().chain(derived) {
            if link.strays_sent.insert((producer, seq, event.tag)) {
                return Some(Up::Publish {
                    producer,
                    seq,
                    prev_tag,
                    tag: event.tag,
                    body: (!void).then_some(event.birth),
                });
            }
        }
    }
    None
}

fn publish_next(m: &Model, d: &mut Disk, link: &mut Link) -> Up {
    if m.drops(DiscardGap) {
        while usize::from(link.next) < d.mine.len() && d.mine[link.next as usize - 1].at == Own::Void {
            link.next += 1;
        }
    }
    let seq = link.next;
    link.next += 1;
    let prev_tag = d.own_tag(seq - 1).unwrap_or_default();
    let o = &mut d.mine[seq as usize - 1];
    if o.at == Own::Unsent {
        o.at = Own::Sent;
    }
    let (at, birth) = (if o.gone { Own::Void } else { o.at }, o.birth);
    let e = d.own_entry(seq);
    if matches!(at, Own::Owed | Own::Accepted) && !m.drops(HealValidated) {
        return Up::Heal(e);
    }
    let forgotten = at == Own::Seen && m.drops(DropOnAccepted);
    let body = (!matches!(at, Own::Refused | Own::Void) && !forgotten).then_some(birth);
    Up::Publish { producer: e.producer, seq, prev_tag, tag: e.tag, body }
}
