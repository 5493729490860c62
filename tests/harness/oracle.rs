//! The ground truth of a run, and the promises of tests/README.md as questions about every state that the world is in.
//!
//! Nothing here asks a machine what it believes, but for what it tells pages: the log is read out of the store, the
//! device's rows out of its disk, what a user sees through `Input::Read` and the notices.

use crate::birth::{Birth, birth_of};
use crate::device_node::{DeviceNode, Tab};
use crate::store::Store;
use std::collections::{BTreeMap, BTreeSet};
use sync_core::device::{Notice, Own, Rejection, Table};
use sync_core::ids::*;

/// A promise that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which promise of tests/README.md.
    pub promise: u8,
    /// How.
    pub how: String,
}

impl Broken {
    /// The name of the question that found it.
    pub fn oracle(&self) -> &'static str {
        match self.promise {
            1 => "durable-before-sent",
            2 => "durable-before-visible",
            3 => "one-order",
            4 => "effectively-once",
            5 => "cursor-with-effect",
            6 => "convergence",
            7 => "bounded-memory",
            8 => "causal-order",
            9 => "rejected-is-not-lost",
            _ => "no-panic",
        }
    }
}

/// What a device can send again from.
const RESTORABLE: [Table; 5] = [Table::Outbox, Table::Events, Table::Heals, Table::Strays, Table::Rejections];
/// What an author has in view.
const IN_VIEW: [Table; 5] = [Table::Outbox, Table::Events, Table::Heals, Table::Strays, Table::Snapshots];

/// What the world knows of an append.
#[derive(Clone, Debug)]
pub struct Born {
    /// Who made it.
    pub device: usize,
    /// Where.
    pub stream: StreamName,
    /// What its author had in view of the same stream, or of another stream that it follows.
    pub past: BTreeSet<Birth>,
    /// What it was made on top of, if it says so.
    pub needs: Option<Birth>,
}

/// Ground truth.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// By birth number.
    pub born: Vec<Born>,
    /// Told to be saved on a device, not discarded, and not destroyed by a fault of storage.
    pub alive: BTreeSet<Birth>,
    /// Told to be saved on the relay.
    pub accepted: BTreeSet<Birth>,
    /// Thrown away by a user before it was sent.
    thrown_away: BTreeSet<Birth>,
    /// In a log when it got a new epoch: what they name of other streams is in logs that are gone (R16, limits).
    renewed: BTreeSet<Birth>,
    /// On somebody's list of rejections at some time.
    refused: BTreeSet<Birth>,
    /// Refused by the relay at some time.
    pub refused_by_relay: BTreeSet<Birth>,
    /// Thrown away on stable storage.
    pub discarded: BTreeSet<Birth>,
    /// Handed to a device's present host, and neither saved nor failed yet.
    handed_in: BTreeSet<(usize, Birth)>,
    /// Thrown away, but not yet on stable storage.
    discarding: BTreeSet<(usize, Birth)>,
    /// How often the relay's store lost something.
    pub losses: u32,
    /// Devices whose profile went back in time, was copied, is a copy, or was wiped at some time.
    forked: BTreeSet<usize>,
    /// A log was trimmed at some time.
    pub trimmed: bool,
    /// Which birth each device knows an id by.
    ids: BTreeMap<(usize, StreamName, EventId), Birth>,
    /// The first thing that a notice broke.
    told: Option<Broken>,
    /// On a device's disk at some time.
    stored: BTreeSet<Birth>,
    seen_version: u64,
    /// What the last check has looked at: it looks again only if something of it has changed.
    looked_at: (u64, u64, u64),
    /// The same of each device: the store's version, its inputs, whether it is connected.
    looked_at_devices: BTreeMap<usize, (u64, u64, bool)>,
    notices: u64,
}

fn broken(promise: u8, how: String) -> Result<(), Broken> {
    Err(Broken { promise, how })
}

impl Oracle {
    /// A device is about to append.
    pub fn appends(&mut self, device: usize, node: &DeviceNode, stream: &StreamName, dependent: bool) {
        // Of a stream that no page has open it has nothing in view but what it wrote itself.
        let open: Vec<&StreamName> =
            node.streams.iter().filter(|other| node.follows(other) || *other == stream).collect();
        let mut past = BTreeSet::new();
        for other in open {
            past.extend(node.disk.births(&IN_VIEW, Some(other)));
            past.extend(node.tabs(other).flat_map(|tab| &tab.births));
        }
        past.extend(self.unsaved(device, node));
        let open = |(event, own): &(sync_core::event::Event, Own)| {
            (!matches!(own, Own::Refused | Own::Void | Own::Seen)).then(|| birth_of(&event.content)).flatten()
        };
        // Before the stream is loaded nobody can tell what the event will be on top of.
        let is_loaded = node.state(stream).is_some_and(|state| state.loaded);
        let handed_in = self.handed_in(device);
        let of_stream = |birth: &Birth| self.born[*birth as usize].stream == *stream;
        let newest = handed_in.iter().copied().filter(|b| of_stream(b) && !self.thrown_away.contains(b)).max();
        let waiting = || is_loaded.then(|| node.pending(stream).iter().filter_map(open).last()).flatten();
        let needs = dependent.then(|| newest.or_else(waiting)).flatten();
        past.extend(handed_in);
        self.handed_in.insert((device, self.born.len() as Birth));
        self.born.push(Born { device, stream: stream.clone(), past, needs });
    }
    /// What a device's present host has got and not saved.
    fn handed_in(&self, device: usize) -> Vec<Birth> {
        self.handed_in.range((device, 0)..=(device, Birth::MAX)).map(|(_, birth)| *birth).collect()
    }
    /// A device's host is gone, and what it had not saved with it.
    pub fn host_gone(&mut self, device: usize) {
        self.handed_in.retain(|(owner, _)| *owner != device);
    }
    /// Own events that wait for the disk.
    fn unsaved(&self, device: usize, node: &DeviceNode) -> Vec<Birth> {
        let mut births: Vec<Birth> = node.disk.births_under_way().into_iter().collect();
        for stream in &node.streams {
            births.extend(node.pending(stream).iter().filter_map(|(event, _)| birth_of(&event.content)));
        }
        births.retain(|birth| self.born.get(*birth as usize).is_some_and(|born| born.device == device));
        births
    }

    /// A device told its pages something.
    pub fn told(&mut self, device: usize, node: &DeviceNode, store: &Store, notice: &Notice) {
        self.notices += 1;
        match notice {
            Notice::Appended { stream, event, .. } => {
                let Some(birth) = birth_of(&event.content) else { return };
                self.handed_in.remove(&(device, birth));
                self.ids.insert((device, stream.clone(), event.id), birth);
                if self.thrown_away.contains(&birth) {
                    return;
                }
                self.alive.insert(birth);
                if !node.disk.births(&RESTORABLE, Some(stream)).contains(&birth) {
                    self.says(1, format!("birth {birth} was said to be saved and is on no row of the disk"));
                }
            }
            // The world numbers writes as births, from 1.
            Notice::Failed { write, .. } => {
                self.handed_in.remove(&(device, (*write - 1) as Birth));
            }
            Notice::Renamed { stream, from, to } => {
                if let Some(birth) = self.ids.get(&(device, stream.clone(), *from)) {
                    self.ids.insert((device, stream.clone(), *to), *birth);
                }
            }
            Notice::Accepted { stream, ids } => {
                let pending = node.pending(stream);
                for id in ids {
                    let open = pending.iter().find(|(event, _)| event.id == *id);
                    let open = open.and_then(|(event, _)| birth_of(&event.content));
                    let known = self.ids.get(&(device, stream.clone(), *id)).copied();
                    self.accepted.extend(open.or(known));
                }
            }
            Notice::Applied { stream, events, .. } => {
                let shown = node.disk.births(&IN_VIEW, None);
                let logged: BTreeSet<Birth> = store.logs().flat_map(|(_, log)| log.births().iter().copied()).collect();
                for birth in events.iter().filter_map(|event| birth_of(&event.content)) {
                    self.shows(node, stream, birth, &shown, &logged);
                }
            }
            _ => {}
        }
    }
    /// Promise 8: everything that the author had seen of the streams that this device follows is here already, if it is
    /// anywhere to be read.
    fn shows(
        &mut self,
        node: &DeviceNode,
        stream: &StreamName,
        birth: Birth,
        shown: &BTreeSet<Birth>,
        logged: &BTreeSet<Birth>,
    ) {
        let Some(born) = self.born.get(birth as usize) else { return };
        let missing = born.past.iter().find(|past| {
            let other = self.born.get(**past as usize);
            let followed = other.is_some_and(|past| past.stream != *stream && node.follows(&past.stream));
            followed && !shown.contains(past) && logged.contains(past)
        });
        let is_bound = !self.relay_lost() && self.forked.is_empty() && !self.trimmed && !self.renewed.contains(&birth);
        if let Some(missing) = missing.filter(|_| is_bound) {
            self.says(8, format!("birth {birth} is shown before birth {missing}, which its author had seen"));
        }
    }
    fn says(&mut self, promise: u8, how: String) {
        self.told.get_or_insert(Broken { promise, how });
    }

    /// A user threw an event away that was never handed to a socket.
    pub fn discards(&mut self, device: usize, birth: Birth) {
        self.alive.remove(&birth);
        self.thrown_away.insert(birth);
        self.discarding.insert((device, birth));
    }
    fn relay_lost(&self) -> bool {
        self.losses > 0
    }
    /// In a log that is lost one copy of a profile may have had what goes under an id otherwise than another copy has it in
    /// the next: where that is lost too, an event has two ids, and nobody knows both (docs/guarantees.md).
    fn may_have_two_ids(&self, birth: Birth) -> bool {
        self.losses > 1 && self.may_have_copies(birth)
    }
    /// A refusal is final where the relay has its record (docs/guarantees.md).
    fn may_be_forgotten(&self, birth: Birth) -> bool {
        self.losses > 1 && self.refused_by_relay.contains(&birth)
    }
    /// A profile was copied or taken back: what it held may come again from there, discarded or not (the model's README).
    pub fn forks(&mut self, device: usize) {
        self.forked.insert(device);
    }
    /// Whether another copy of its author's profile may hold an event, or held it.
    fn may_have_copies(&self, birth: Birth) -> bool {
        self.born.get(birth as usize).is_some_and(|born| self.forked.contains(&born.device))
    }
    /// A device's profile is another one: ids that are not in it may stand for other events from now on.
    pub fn profile_changed(&mut self, device: usize, node: &DeviceNode) {
        self.forks(device);
        let held = node.disk.births(&Table::ALL, None);
        self.ids.retain(|(owner, ..), birth| *owner != device || held.contains(birth));
    }
    /// An operator gave all logs new epochs.
    pub fn renews(&mut self, store: &Store) {
        self.renewed.extend(store.logs().flat_map(|(_, log)| log.births().iter().copied()));
    }
    /// A fault of storage may have destroyed the last copy of an event: nobody is asked to bring that back.
    pub fn excuse(&mut self, store: &Store, devices: &[DeviceNode]) {
        let held = self.held(store, devices, &RESTORABLE);
        self.alive.retain(|birth| held.contains(birth));
    }
    /// What a device holds only inside a snapshot it cannot heal as events (the model's README, limits). And the snapshot's
    /// record says up to where it contains a producer's chain, not of which copy of the profile (R13).
    fn excuse_compacted(&mut self, store: &Store, devices: &[DeviceNode]) {
        let restorable = self.held(store, devices, &RESTORABLE);
        let compacted = self.held(store, devices, &[Table::Snapshots]);
        let mut alive = std::mem::take(&mut self.alive);
        alive.retain(|b| restorable.contains(b) || !compacted.contains(b) && !self.may_have_copies(*b));
        self.alive = alive;
    }
    /// What comes before it in its producer's chain may be only inside a snapshot of a log that is gone: it waits for ever on
    /// the device that has it, since a device that has forked does not know the chain that it gave up.
    fn may_wait_for_compacted(&self, birth: Birth) -> bool {
        self.trimmed && self.relay_lost() && self.may_have_copies(birth)
    }
    /// Whether an event was made on top of one that nobody can heal as an event any more: a relay refuses it without that.
    fn need_is_compacted(&self, birth: Birth) -> bool {
        let needs = self.born.get(birth as usize).and_then(|born| born.needs);
        needs.is_some_and(|needs| !self.alive.contains(&needs) || self.need_is_compacted(needs))
    }
    fn held(&self, store: &Store, devices: &[DeviceNode], tables: &[Table]) -> BTreeSet<Birth> {
        let mut held: BTreeSet<Birth> = store.logs().flat_map(|(_, log)| log.births().iter().copied()).collect();
        for node in devices.iter().filter(|node| node.used) {
            held.extend(node.disk.births(tables, None));
        }
        held
    }

    /// What the user sees as rejected, and what the app is asked about since only a snapshot could tell.
    pub fn rejected(&self, devices: &[DeviceNode]) -> (BTreeSet<Birth>, BTreeSet<Birth>) {
        let (mut rejected, mut unsure) = (BTreeSet::new(), BTreeSet::new());
        for (_, rejection) in devices.iter().flat_map(DeviceNode::rejections) {
            let list = if rejection.code == "unsure" { &mut unsure } else { &mut rejected };
            list.extend(birth_of(&rejection.content));
        }
        (rejected, unsure)
    }

    /// The promises that hold in every state.
    /// `live`: the devices whose connection is served.
    pub fn check(
        &mut self,
        store: &Store,
        devices: &[DeviceNode],
        live: impl FnOnce() -> BTreeSet<usize>,
    ) -> Result<(), Broken> {
        if let Some(broken) = self.told.take() {
            return Err(broken);
        }
        let state = (store.version, devices.iter().map(|node| node.disk.commits).sum(), self.notices);
        if std::mem::replace(&mut self.looked_at, state) == state {
            return Ok(());
        }
        self.settle_discards(devices);
        self.stored.extend(devices.iter().flat_map(|node| node.disk.births(&RESTORABLE, None)));
        let (rejected, _) = self.rejected(devices);
        self.refused.extend(&rejected);
        if store.version != self.seen_version {
            self.seen_version = store.version;
            store.logs().try_for_each(|(stream, log)| self.log_is_right(stream, log.births()))?;
        }
        let logged: BTreeSet<Birth> = store.logs().flat_map(|(_, log)| log.births().iter().copied()).collect();
        if let Some(birth) = logged.difference(&self.stored).next() {
            return broken(1, format!("birth {birth} is in the log and was on no device's disk before"));
        }
        // Another copy of its author's profile is not bound by a refusal whose record the relay has lost, nor by what a user
        // threw away elsewhere.
        let excused = |birth: &Birth| {
            let again = self.relay_lost() || self.thrown_away.contains(birth);
            self.may_have_copies(*birth) && again || self.may_be_forgotten(*birth)
        };
        if let Some(birth) = rejected.intersection(&logged).find(|birth| !excused(birth)) {
            return broken(9, format!("birth {birth} is both refused and in the log"));
        }
        let alone = |birth: &&Birth| !self.may_have_copies(**birth);
        let stands =
            |birth: &&Birth| alone(birth) && !self.need_is_compacted(**birth) && !self.may_be_forgotten(**birth);
        if let Some(birth) = rejected.intersection(&self.accepted).find(stands) {
            return broken(9, format!("birth {birth} was accepted and then refused"));
        }
        if let Some(birth) = self.discarded.intersection(&logged).find(alone) {
            return broken(9, format!("birth {birth} was discarded and is in the log"));
        }
        if let Some(birth) = self.accepted.difference(&logged).next().filter(|_| !self.relay_lost()) {
            return broken(2, format!("birth {birth} was accepted and is not in the log of a relay that lost nothing"));
        }
        if self.trimmed && self.relay_lost() {
            self.excuse_compacted(store, devices);
        }
        if !self.alive.is_subset(&logged) {
            let held = self.held(store, devices, &Table::ALL);
            if let Some(birth) = self.alive.difference(&held).next() {
                return broken(1, format!("the last copy of birth {birth} is gone"));
            }
        }
        let live = live();
        for (device, node) in devices.iter().enumerate().filter(|(_, node)| node.is_on()) {
            let is_live = live.contains(&device);
            let state = (store.version, node.inputs, is_live);
            if self.looked_at_devices.insert(device, state) != Some(state) {
                node.streams
                    .iter()
                    .try_for_each(|stream| self.device_is_right(store, node, stream, is_live, device))?;
            }
        }
        Ok(())
    }

    /// A discard counts once no row holds the event any more. One that a crash has undone ends with the event in the log.
    fn settle_discards(&mut self, devices: &[DeviceNode]) {
        let mut waiting = BTreeSet::new();
        for (device, birth) in std::mem::take(&mut self.discarding) {
            let disk = &devices[device].disk;
            if disk.births(&[Table::Outbox], None).contains(&birth) || disk.births_under_way().contains(&birth) {
                waiting.insert((device, birth));
            } else if !disk.births(&Table::ALL, None).contains(&birth) {
                self.discarded.insert(birth);
            }
        }
        self.discarding = waiting;
    }

    /// No event twice, none before what its author had seen, none whose need is not there.
    fn log_is_right(&self, stream: &StreamName, births: &[Birth]) -> Result<(), Broken> {
        let mut before: BTreeSet<Birth> = BTreeSet::new();
        // What is only in a snapshot cannot be healed as events (the model's README, limits).
        let excused = self.trimmed && self.relay_lost();
        for birth in births {
            let Some(born) = self.born.get(*birth as usize) else { continue };
            if born.stream != *stream {
                return broken(3, format!("birth {birth} is in the log of {stream}, not of {}", born.stream));
            }
            let early = before.iter().find(|earlier| self.born[**earlier as usize].past.contains(birth));
            // What one copy of a profile threw away another may still send (the model's README, not settled), and what was
            // refused to it too, where the relay has lost the record.
            let was_refused = self.refused.contains(birth) || self.refused_by_relay.contains(birth);
            let again = self.relay_lost() && self.may_have_copies(*birth) && was_refused;
            let again = again || self.may_have_two_ids(*birth) || self.may_be_forgotten(*birth);
            if let Some(early) = early.filter(|_| !excused && !again && !self.thrown_away.contains(birth)) {
                return broken(8, format!("birth {early} stands before birth {birth}, which its author had seen"));
            }
            if let Some(needs) = born.needs.filter(|needs| !before.contains(needs) && !excused) {
                return broken(9, format!("birth {birth} is in the log without birth {needs}, which it needs"));
            }
            if !before.insert(*birth) && !self.may_have_two_ids(*birth) {
                return broken(4, format!("birth {birth} is in the log twice"));
            }
        }
        Ok(())
    }

    fn device_is_right(
        &self,
        store: &Store,
        node: &DeviceNode,
        stream: &StreamName,
        live: bool,
        device: usize,
    ) -> Result<(), Broken> {
        node.tabs(stream).try_for_each(|tab| self.tab_is_right(store, node, stream, live, device, tab))
    }

    fn tab_is_right(
        &self,
        store: &Store,
        node: &DeviceNode,
        stream: &StreamName,
        live: bool,
        device: usize,
        tab: &Tab,
    ) -> Result<(), Broken> {
        let mut shown = BTreeSet::new();
        let open = node.pending(stream);
        let open = open.iter().filter(|(_, own)| !matches!(own, Own::Seen | Own::Refused | Own::Void));
        let open: Vec<Birth> = open.filter_map(|(event, _)| birth_of(&event.content)).collect();
        let current = tab.is_current();
        for birth in tab.births.iter().chain(open.iter().filter(|_| current)) {
            if !shown.insert(*birth) && !self.may_have_two_ids(*birth) {
                return broken(4, format!("device {device} shows birth {birth} twice"));
            }
        }
        let Some(state) = node.state(stream).filter(|state| state.loaded && current) else { return Ok(()) };
        let idle = node.disk.steps().next().is_none();
        if idle && (state.cursor, state.epoch) != (tab.position, tab.epoch) && state.cursor != Offset::ZERO {
            let how = format!("device {device} has its cursor at {:?} and rows up to {:?}", state.cursor, tab.position);
            return broken(5, how);
        }
        let Some(log) = store.log(stream) else { return Ok(()) };
        if tab.position < log.floor() || tab.epoch != log.epoch {
            return Ok(());
        }
        let same = log.check_at(tab.position).is_some_and(|check| tab.check() == Some(check));
        let subscribed = live && state.caught_up && idle;
        if (same || subscribed) && log.births_to(tab.position) != tab.births {
            let how = format!(
                "device {device} shows {:?} where the log up to {:?} is {:?}",
                tab.births,
                tab.position,
                log.births_to(tab.position)
            );
            return broken(3, how);
        }
        Ok(())
    }

    /// What is left to happen until all devices are equal and nothing is left to send; `None`: nothing.
    pub fn unsettled(&self, store: &Store, devices: &[DeviceNode]) -> Option<String> {
        let mut logged: BTreeSet<Birth> = BTreeSet::new();
        for (device, node) in devices.iter().enumerate().filter(|(_, node)| node.used) {
            for stream in &node.streams {
                let births = store.log(stream).map_or(vec![], |log| log.births().to_vec());
                let state = node.state(stream);
                let Some(state) = state.filter(|state| state.loaded && state.caught_up && state.head.is_some()) else {
                    return Some(format!("device {device} is not caught up with {stream}: {:?}", node.state(stream)));
                };
                if let Some(error) = state.error {
                    return Some(format!("device {device} has given {stream} up: {error}"));
                }
                let open = node.pending(stream);
                if let Some((event, own)) =
                    open.iter().find(|(_, own)| !matches!(own, Own::Seen | Own::Refused | Own::Void))
                {
                    return Some(format!("device {device}: {:?} is {own:?}", birth_of(&event.content)));
                }
                if let Some(tab) = node.tabs(stream).find(|tab| tab.births != births || !tab.is_current()) {
                    return Some(format!("device {device} shows {:?} of {stream}, the log is {births:?}", tab.births));
                }
                logged.extend(births);
            }
        }
        let mut rejections = devices.iter().flat_map(DeviceNode::rejections);
        let unexplained = rejections.find_map(|(_, rejection)| self.is_unexplained(&rejection));
        if let Some(birth) = unexplained {
            return Some(format!("birth {birth} is listed as refused, and nobody knows why"));
        }
        let (rejected, unsure) = self.rejected(devices);
        let lost = self
            .alive
            .iter()
            .filter(|birth| !logged.contains(birth) && !rejected.contains(birth) && !unsure.contains(birth))
            .find(|birth| !self.may_wait_for_compacted(**birth));
        lost.map(|birth| format!("birth {birth} is in no log and in no list"))
    }

    /// The birth of a rejection whose reason is lost, and the relay has not lost it. Two copies of one profile may hold an
    /// event: what one of them did with it, and what was refused of it, is not always told to the other.
    fn is_unexplained(&self, rejection: &Rejection) -> Option<Birth> {
        let birth = birth_of(&rejection.content).filter(|_| rejection.code == "reason-lost" && !self.relay_lost())?;
        let has_need = self.born.get(birth as usize).is_some_and(|born| born.needs.is_some());
        let excused = has_need || self.thrown_away.contains(&birth) || self.refused_by_relay.contains(&birth);
        (!self.may_have_copies(birth) || !excused).then_some(birth)
    }
}
