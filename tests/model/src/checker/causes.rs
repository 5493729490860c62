//! R16: two streams whose events name what their author had applied of the other one.
//!
//! Coarser than the main model: a send is one atomic step, ids are exact. The relay's store may be
//! restored from a backup: both streams at once (one file) or one stream alone.

use stateright::{Model, Property};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    Nothing,
    /// A consumer applies an event whatever its cause.
    Hold,
    /// Streams are healed one after the other, not in the order of causes.
    HealInOrder,
    /// Healed and waiting events keep causes that point into a log that is gone.
    Rewrite,
    /// The cause of an event counts applied events only (design.md), not the author's own waiting ones.
    OwnWaiting,
    /// Two streams that wait for each other do so for ever.
    Release,
    /// The relay hands out causes beyond the head of their stream.
    Clamp,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Event {
    id: u8,
    /// Offset in the other stream.
    cause: u8,
}

/// An event to be sent (again). `stale`: its cause is stamped anew when it is sent, because it points
/// into a log that is gone, or has to cover an own event that had no offset yet.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Waiting {
    event: Event,
    stream: usize,
    old_offset: u8,
    stale: bool,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Device {
    online: bool,
    view: [Vec<Event>; 2],
    heal: [Vec<Waiting>; 2],
    outbox: Vec<Waiting>,
    writes: u8,
}

#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct State {
    log: [Vec<Event>; 2],
    backup: Option<[Vec<Event>; 2]>,
    restored: bool,
    wiped: bool,
    devices: Vec<Device>,
    /// Ground truth: what the author of an id had in view.
    past: [u16; 8],
    swapped: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Write(usize, usize),
    Subscribe(usize),
    Send(usize),
    Apply(usize, usize),
    Backup,
    RestoreBoth,
    RestoreOne(usize),
    Wipe(usize),
}

pub struct Causes {
    pub writes: Vec<u8>,
    pub restore_one: bool,
    pub dropped: Dropped,
}

fn ids(events: &[Event]) -> u16 {
    events.iter().fold(0, |acc, e| acc | 1 << e.id)
}

impl Device {
    fn knows(&self) -> u16 {
        let waiting = self.heal.iter().flatten().chain(&self.outbox);
        waiting.fold(ids(&self.view[0]) | ids(&self.view[1]), |acc, w| acc | 1 << w.event.id)
    }

    /// R7 for each stream: start again when the log is not the one this device has applied.
    fn subscribe(&mut self, log: &[Vec<Event>; 2]) {
        self.online = true;
        for (x, log) in log.iter().enumerate() {
            let same = log.starts_with(&self.view[x]);
            if same {
                continue;
            }
            let old = std::mem::take(&mut self.view[x]);
            let waiting =
                |(i, e): (usize, &Event)| Waiting { event: *e, stream: x, old_offset: i as u8 + 1, stale: false };
            self.heal[x] = old.iter().enumerate().map(waiting).collect();
            let pointing = self.heal[1 - x].iter_mut().chain(self.outbox.iter_mut().filter(|w| w.stream != x));
            pointing.for_each(|w| w.stale = true);
        }
        // Both reset: the second one's list was made after the first had marked its own.
        if !self.heal[0].is_empty() && !self.heal[1].is_empty() {
            self.heal.iter_mut().flatten().for_each(|w| w.stale = true);
        }
    }

    /// What to send next, with the cause it gets.
    fn next(&self, dropped: Dropped) -> Option<Waiting> {
        let covered = |w: &Waiting| self.heal[1 - w.stream].iter().any(|h| h.old_offset <= w.event.cause);
        let ready = |w: &&Waiting| dropped == Dropped::HealInOrder || !w.stale || !covered(w);
        let heal = self.heal.iter().filter_map(|list| list.first()).find(ready);
        let outbox = self.outbox.first().filter(|_| self.heal.iter().all(Vec::is_empty));
        let mut w = *heal.or(outbox)?;
        if w.stale && dropped != Dropped::Rewrite {
            w.event.cause = self.view[1 - w.stream].len() as u8;
        }
        Some(w)
    }
}

impl Model for Causes {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            devices: vec![Device { online: true, ..Device::default() }; self.writes.len()],
            ..State::default()
        }]
    }

    fn actions(&self, s: &State, out: &mut Vec<Action>) {
        progress(s, out);
        for (d, dev) in s.devices.iter().enumerate() {
            if dev.writes < self.writes[d] {
                out.extend([Action::Write(d, 0), Action::Write(d, 1)]);
            }
        }
        if s.backup.is_none() {
            out.push(Action::Backup);
        } else if !s.restored {
            out.push(Action::RestoreBoth);
            if self.restore_one {
                out.extend([Action::RestoreOne(0), Action::RestoreOne(1)]);
            }
        } else if self.restore_one && !s.wiped {
            out.extend([Action::Wipe(0), Action::Wipe(1)]);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut s = last.clone();
        self.step(&mut s, action).then_some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "P8 nothing is shown before what its author had seen (whole-store faults)",
                |m: &Causes, s: &State| m.restore_one || !s.swapped,
            ),
            Property::always("L  when faults stop, all converge", |m: &Causes, s: &State| m.settles(s.clone())),
        ]
    }
}

fn progress(s: &State, out: &mut Vec<Action>) {
    for d in 0..s.devices.len() {
        if s.devices[d].online {
            out.extend([Action::Apply(d, 0), Action::Apply(d, 1), Action::Send(d)]);
        } else {
            out.push(Action::Subscribe(d));
        }
    }
}

impl Causes {
    fn step(&self, s: &mut State, action: Action) -> bool {
        match action {
            Action::Write(d, x) => {
                let dev = &mut s.devices[d];
                let id = d as u8 * 3 + dev.writes;
                dev.writes += 1;
                s.past[id as usize] = dev.knows();
                // While the other stream is being healed its old offsets are what the author saw.
                let behind = dev.heal[1 - x].last().map_or(0, |w| w.old_offset);
                let cause = (dev.view[1 - x].len() as u8).max(behind);
                let event = Event { id, cause };
                // An own event of the other stream that waits has no offset yet: stamp the cause when it has.
                let own = dev.outbox.iter().any(|w| w.stream != x) && self.dropped != Dropped::OwnWaiting;
                dev.outbox.push(Waiting { event, stream: x, old_offset: 0, stale: behind > 0 || own });
            }
            Action::Subscribe(d) => {
                let log = s.log.clone();
                s.devices[d].subscribe(&log);
            }
            Action::Send(d) => {
                let Some(w) = s.devices[d].next(self.dropped) else { return false };
                if s.log.iter().any(|log| ids(log) & 1 << w.event.id != 0) {
                    return false; // there already; it goes when it is seen
                }
                s.log[w.stream].push(w.event);
            }
            Action::Apply(d, x) => return self.apply(s, d, x),
            Action::Wipe(d) => {
                s.wiped = true;
                s.devices[d] = Device { writes: self.writes[d], ..Device::default() };
            }
            Action::Backup => s.backup = Some(s.log.clone()),
            Action::RestoreBoth | Action::RestoreOne(_) => {
                let Some(backup) = s.backup.clone() else { return false };
                s.restored = true;
                match action {
                    Action::RestoreOne(x) => s.log[x] = backup[x].clone(),
                    _ => s.log = backup,
                }
                s.devices.iter_mut().for_each(|d| d.online = false);
            }
        }
        true
    }

    fn apply(&self, s: &mut State, d: usize, x: usize) -> bool {
        let dev = &s.devices[d];
        let Some(e) = s.log[x].get(dev.view[x].len()).copied() else {
            return false;
        };
        // The relay never hands out a cause beyond the head of its stream.
        let clamp = |e: &Event, other: usize| {
            if self.dropped == Dropped::Clamp { e.cause } else { e.cause.min(s.log[other].len() as u8) }
        };
        let held = |x: usize, e: &Event| clamp(e, 1 - x) > dev.view[1 - x].len() as u8;
        // Two streams that wait for each other: impossible in one history, so these causes are void.
        let crossed =
            s.log[1 - x].get(dev.view[1 - x].len()).is_some_and(|o| held(1 - x, o)) && self.dropped != Dropped::Release;
        if held(x, &e) && !crossed && self.dropped != Dropped::Hold {
            return false;
        }
        // Still to come for this device: in a log it has not read so far, or on another device's heal list.
        let shown = dev.knows();
        let logs = ids(&s.log[0]) | ids(&s.log[1]);
        let to_come = s.devices.iter().fold(logs, |acc, o| acc | o.knows());
        s.swapped |= s.past[e.id as usize] & !shown & to_come != 0;
        let dev = &mut s.devices[d];
        dev.view[x].push(e);
        dev.heal[x].retain(|w| w.event.id != e.id);
        dev.outbox.retain(|w| w.event.id != e.id);
        true
    }

    fn settles(&self, mut s: State) -> bool {
        let mut todo = vec![];
        for _ in 0..200 {
            todo.clear();
            progress(&s, &mut todo);
            if !todo.iter().any(|a| self.step(&mut s, *a)) {
                let all = s.devices.iter().fold(0, |acc, d| acc | d.knows());
                let logs = ids(&s.log[0]) | ids(&s.log[1]);
                let same =
                    |d: &Device| (0..2).all(|x| d.view[x] == s.log[x] && d.heal[x].is_empty()) && d.outbox.is_empty();
                return s.devices.iter().all(same) && all & !logs == 0;
            }
        }
        false
    }
}
