//! The promises as properties of every reachable state.

use crate::types::*;
use crate::world::{Model, World, bit, bits, progress, step};
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex};

/// A promise, and whether it is kept in a state.
pub type Promise = (&'static str, fn(&Model, &World) -> bool);

/// All of them.
pub const PROMISES: &[Promise] = &[
    ("P4 the log holds no event twice", |_, w| log_exact(w)),
    ("P3 a live device's view is the log up to its cursor", |_, w| w.devices.iter().all(|d| view_is_prefix(w, d))),
    ("P4 no device shows an event twice", |_, w| w.devices.iter().all(|d| shown_once(d))),
    ("P9 no event is both rejected and in the log", |_, w| binding(w) & bits(&w.store.births()) == 0),
    ("P9 accepted is final", |_, w| w.device_forked || rejected(w) & w.accepted == 0),
    ("P2 accepted stays in the relay that lost nothing", |_, w| {
        w.relay_lost || w.accepted & !bits(&w.store.births()) == 0
    }),
    ("P6 no step destroys the last copy of an event", |_, w| w.alive & !held(w) == 0),
    ("P3 nothing stands before what its author had seen", causal),
    // A copy of the profile may have sent it.
    ("P9 what was discarded is not in the log", |m, w| {
        m.discards == 0 || w.device_forked || discarded(w) & bits(&w.store.births()) == 0
    }),
    ("L  when faults stop, all converge", settle_ok),
];

fn log_exact(w: &World) -> bool {
    distinct(&w.store.births()) && {
        let mut ids: Vec<_> = w.store.log.iter().map(|e| (e.producer, e.seq)).collect();
        let n = ids.len();
        ids.sort_unstable();
        ids.dedup();
        ids.len() == n
    }
}

fn distinct(births: &[Birth]) -> bool {
    bits(births).count_ones() as usize == births.len()
}

fn view_is_prefix(w: &World, d: &Device) -> bool {
    let Some(Link { phase: Phase::Live { .. }, .. }) = d.link else {
        return true;
    };
    if d.disk.cursor < w.store.floor() {
        return true; // a snapshot is on its way
    }
    let births = w.store.births();
    d.disk.view.len() == usize::from(d.disk.cursor) && births.starts_with(&d.disk.view)
}

fn shown_once(d: &Device) -> bool {
    let mut all = d.disk.view.clone();
    all.extend(d.disk.pending());
    distinct(&all)
}

fn rejected(w: &World) -> u16 {
    w.devices.iter().fold(0, |acc, d| acc | bits(&d.disk.rejected))
}

/// Rejections that stand. Another copy of its author's profile is not bound by one whose record the relay has lost.
fn binding(w: &World) -> u16 {
    if w.relay_lost && w.device_forked { 0 } else { rejected(w) }
}

fn unsure(w: &World) -> u16 {
    w.devices.iter().fold(0, |acc, d| acc | bits(&d.disk.unsure))
}

fn discarded(w: &World) -> u16 {
    let voids = |d: &Device| bits(d.disk.mine.iter().filter(|o| o.at == Own::Void && !o.gone).map(|o| &o.birth));
    w.devices.iter().fold(0, |acc, d| acc | voids(d))
}

/// Births that some device could send again or the relay has, each as an event of its own.
pub fn restorable(w: &World) -> u16 {
    let mut held = bits(&w.store.births());
    for Disk { mine, kept, heal, strays, rejected, unsure, .. } in w.devices.iter().filter(|d| d.used).map(|d| &d.disk)
    {
        held |= bits(mine.iter().filter(|o| o.at != Own::Void && !o.gone).map(|o| &o.birth))
            | bits(rejected)
            | bits(unsure);
        held |=
            bits(kept.iter().chain(heal).chain(strays.iter().filter(|s| !s.void).map(|s| &s.event)).map(|e| &e.birth));
    }
    held
}

fn held(w: &World) -> u16 {
    w.devices.iter().fold(restorable(w), |acc, d| acc | bits(&d.disk.view))
}

fn causal(m: &Model, w: &World) -> bool {
    if m.trims > 0 && w.relay_lost {
        return true; // what is only in a snapshot cannot be healed as events (README, limits)
    }
    let births = w.store.births();
    let mut before = 0;
    // What one copy of a profile has thrown away, or was refused by a log that is gone, may come later, from another.
    let again = if w.relay_lost && w.device_forked { rejected(w) | w.refused } else { 0 };
    for b in births.into_iter().filter(|b| w.alive & !again & bit(*b) != 0) {
        // an event in `before` that had seen b
        if (0..12).any(|a| before & (1 << a) != 0 && w.deps[a] & bit(b) != 0) {
            return false;
        }
        before |= bit(b);
    }
    true
}

/// States from which a fair run is known to end well, by fingerprint: one set for each schedule.
#[derive(Default)]
pub struct Settled([Vec<Mutex<HashSet<u64>>>; 2]);

impl std::fmt::Debug for Settled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

impl Settled {
    /// None is known.
    pub fn new() -> Settled {
        let shards = || (0..64).map(|_| Mutex::default()).collect();
        Settled([shards(), shards()])
    }
    /// True if it was there already.
    fn insert(&self, schedule: usize, key: u64) -> bool {
        !self.0[schedule][key as usize % 64].lock().expect("no panics").insert(key)
    }
}

/// A fair run without faults from this state ends with everyone equal and nothing left to send.
/// Two schedules: finish what is under way first, or begin with all connections cut and go the other way round.
fn settle_ok(m: &Model, w: &World) -> bool {
    let mut calm = w.clone();
    calm.backup = None;
    (calm.refusals_left, calm.cuts_left, calm.relay_crashes_left, calm.relay_losses_left) = (0, 0, 0, 0);
    (calm.relay_restores_left, calm.device_restores_left, calm.wipes_left) = (0, 0, 0);
    (calm.trims_left, calm.discards_left, calm.clones_left) = (0, 0, 0);
    for d in calm.devices.iter_mut().filter(|d| d.saved.is_some()) {
        Arc::make_mut(d).saved = None;
    }
    let mut cut = calm.clone();
    for d in cut.devices.iter_mut().map(Arc::make_mut) {
        d.link = None;
        d.old_up.clear();
        d.loose_cursor = None;
    }
    settles(m, calm, 0) && settles(m, cut, 1)
}

/// Why a fair run from this state does not end well: the world where it stops, in short.
pub fn explain(m: &Model, w: &World) -> String {
    for schedule in [0, 1] {
        let mut w = w.clone();
        w.refusals_left = 0;
        if schedule == 1 {
            w.devices.iter_mut().map(Arc::make_mut).for_each(|d| (d.link, d.old_up) = (None, vec![]));
        }
        let mut todo = vec![];
        let mut steps = 0;
        loop {
            todo.clear();
            progress(m, &w, &mut todo);
            if schedule == 1 {
                todo.reverse();
            }
            steps += 1;
            if steps > 400 || !todo.iter().any(|a| step(m, &mut w, *a)) {
                break;
            }
        }
        if steps <= 400 && converged(m, &w) {
            continue;
        }
        let mut out = format!(
            "ends with log {:?}, expected {:?}{}",
            w.store.births(),
            (0..12).filter(|b| w.alive & bit(*b) != 0).collect::<Vec<_>>(),
            if steps > 400 { ", never rests" } else { "" }
        );
        for (i, d) in w.devices.iter().enumerate().filter(|(_, d)| d.used) {
            let k = &d.disk;
            out += &format!(
                "; device {i}: view {:?} waiting {:?} heal {:?} rejected {:?}",
                k.view,
                k.pending(),
                k.heal.iter().map(|e| e.birth).collect::<Vec<_>>(),
                k.rejected
            );
        }
        return out;
    }
    String::new()
}

/// Follows one schedule until nothing is left to do, or until a state known to end well.
/// Keys are added before the end is known: a bad end is reported at once, so none outlives one.
fn settles(m: &Model, mut w: World, schedule: usize) -> bool {
    let mut todo = vec![];
    let mut own = vec![];
    let hasher = std::hash::BuildHasherDefault::<std::collections::hash_map::DefaultHasher>::default();
    for _ in 0..400 {
        let key = hasher.hash_one(&w);
        if own.contains(&key) {
            return false; // a loop
        }
        if m.settled.insert(schedule, key) {
            return true;
        }
        own.push(key);
        todo.clear();
        progress(m, &w, &mut todo);
        if schedule == 1 {
            todo.reverse();
        }
        if !todo.iter().any(|a| step(m, &mut w, *a)) {
            return converged(m, &w);
        }
    }
    false
}

fn converged(m: &Model, w: &World) -> bool {
    let births = w.store.births();
    let same = |d: &Arc<Device>| d.disk.view == births && d.disk.cursor == w.store.head() && d.settled();
    w.devices.iter().filter(|d| d.used).all(same)
        && w.alive & !(bits(&births) | rejected(w) | unsure(w)) == 0
        && log_exact(w)
        && causal(m, w)
        && binding(w) & bits(&births) == 0
}
