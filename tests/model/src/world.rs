//! The world: devices, one relay, the network, and every fault as an action.

use crate::props;
use crate::relay;
use crate::rules::Mutation;
use crate::types::*;
use std::sync::Arc;

/// Bounds of one scenario. A fault with budget 0 does not happen.
#[derive(Clone, Debug)]
pub struct Model {
    /// The scenario.
    pub name: &'static str,
    /// In words.
    pub about: &'static str,
    /// Devices in use at the start, and of those, how many appends each may make.
    pub appends: Vec<u8>,
    /// One more device slot that a clone of device 0 may fill, with this many appends.
    pub clone_appends: Option<u8>,
    /// Connections cut or given up.
    pub cuts: u8,
    /// Relay processes that die.
    pub relay_crashes: u8,
    /// Relay disks that are lost.
    pub relay_losses: u8,
    /// Relay disks that are taken back.
    pub relay_restores: u8,
    /// Profiles taken back.
    pub device_restores: u8,
    /// Profiles wiped.
    pub wipes: u8,
    /// Events refused.
    pub refusals: u8,
    /// Logs trimmed.
    pub trims: u8,
    /// Events discarded.
    pub discards: u8,
    /// Events are unsent until they are handed to a socket; else, to save states where nothing is discarded, from the
    /// start not.
    pub marks: bool,
    /// Let batches be under way, more than one at a time (else they are read and delivered in one step).
    pub slow_batches: bool,
    /// The rule that is left out.
    pub dropped: Option<Mutation>,
    /// Of the checker.
    pub settled: Arc<props::Settled>,
}

impl Model {
    /// A scenario with no fault in it.
    pub fn bounded(name: &'static str, about: &'static str, appends: &[u8]) -> Model {
        Model {
            name,
            about,
            appends: appends.to_vec(),
            clone_appends: None,
            cuts: 0,
            relay_crashes: 0,
            relay_losses: 0,
            relay_restores: 0,
            device_restores: 0,
            wipes: 0,
            refusals: 0,
            trims: 0,
            discards: 0,
            marks: false,
            slow_batches: false,
            dropped: None,
            settled: Arc::new(props::Settled::new()),
        }
    }
    /// Whether this rule is left out.
    pub fn drops(&self, m: Mutation) -> bool {
        self.dropped == Some(m)
    }
    /// Whether devices read sockets that they gave up.
    pub fn reads_old_sockets(&self) -> bool {
        self.drops(Mutation::OldSocket) || self.drops(Mutation::NoCoverage)
    }
    /// How many appends a device may make.
    pub fn appends_of(&self, d: usize) -> u8 {
        self.appends.get(d).copied().or(self.clone_appends).unwrap_or(0)
    }
}

/// The state of everything.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct World {
    /// What the relay has.
    pub store: Arc<Store>,
    /// Only for the mutation DurableAck: what is really on the disk.
    pub synced: Option<Arc<Store>>,
    /// An older copy.
    pub backup: Option<Arc<Store>>,
    /// The devices.
    pub devices: Vec<Arc<Device>>,
    /// What may still happen, as in [`Model`].
    pub cuts_left: u8,
    /// See `cuts_left`.
    pub relay_crashes_left: u8,
    /// See `cuts_left`.
    pub relay_losses_left: u8,
    /// See `cuts_left`.
    pub relay_restores_left: u8,
    /// See `cuts_left`.
    pub device_restores_left: u8,
    /// See `cuts_left`.
    pub wipes_left: u8,
    /// See `cuts_left`.
    pub refusals_left: u8,
    /// See `cuts_left`.
    pub trims_left: u8,
    /// See `cuts_left`.
    pub discards_left: u8,
    /// See `cuts_left`.
    pub clones_left: u8,
    /// Ground truth. `alive`: appended, not discarded, and not destroyed by a storage fault.
    pub alive: u16,
    /// Shown to a user as saved on the relay.
    pub accepted: u16,
    /// Refused by the relay at some time.
    pub refused: u16,
    /// What the author of a birth had in view when it made it.
    pub deps: [u16; 12],
    /// The relay's store lost something at some time.
    pub relay_lost: bool,
    /// A device's store went back in time or was copied at some time.
    pub device_forked: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Action {
    /// A device makes its next event.
    Append(usize),
    /// It opens a socket, and the relay reads its subscribe.
    Connect(usize),
    /// It hands its next message to the socket.
    Send(usize),
    /// The relay reads one.
    RelayReceives(usize),
    /// The relay reads one and refuses the event.
    RelayRefuses(usize),
    /// It reads one from a socket that the device gave up.
    RelayReceivesOld(usize),
    /// And refuses the event.
    RelayRefusesOld(usize),
    /// It hands a device the next of the log.
    RelayPumps(usize),
    /// Only for the mutations OldSocket and NoCoverage: a device reads a socket that it gave up.
    DeviceReadsOld(usize),
    /// A device reads one message.
    DeviceReceives(usize),
    // faults
    /// Both sides lose everything in flight.
    Cut(usize),
    /// The device (crash, sleep, new network) gives the socket up; its bytes may still arrive.
    Abandon(usize),
    /// The relay's process dies and starts again.
    RelayCrash,
    /// Only for the mutation DurableAck: its disk catches up.
    RelaySync,
    /// A copy of its store is made.
    RelayBackup,
    /// The copy takes the store's place.
    RelayRestore,
    /// The store is empty.
    RelayLoses,
    /// The log is replaced by a snapshot.
    Trim,
    /// A copy of a profile is made.
    DeviceSaves(usize),
    /// The copy takes the profile's place.
    DeviceRestores(usize),
    /// The profile is empty.
    DeviceWiped(usize),
    /// The first device's profile is used on another machine too.
    Clone,
    /// A user throws the first event away that was not sent.
    Discard(usize),
    /// Only for the mutation CursorApart: the cursor follows its effect.
    CursorCommits(usize),
}

/// A set of births with one member.
pub fn bit(birth: Birth) -> u16 {
    1 << birth
}

/// A set of births.
pub fn bits<'a>(births: impl IntoIterator<Item = &'a Birth>) -> u16 {
    births.into_iter().fold(0, |acc, b| acc | bit(*b))
}

impl World {
    /// A device, to be changed.
    pub fn dev(&mut self, d: usize) -> &mut Device {
        Arc::make_mut(&mut self.devices[d])
    }
    /// The store, to be changed.
    pub fn store_mut(&mut self) -> &mut Store {
        Arc::make_mut(&mut self.store)
    }
    /// Devices with empty profiles, a relay with an empty store.
    pub fn new(m: &Model) -> World {
        let mut devices: Vec<Arc<Device>> = (0..m.appends.len()).map(|d| Arc::new(Device::new(d, true))).collect();
        if m.clone_appends.is_some() {
            devices.push(Arc::new(Device::new(devices.len(), false)));
        }
        World {
            store: Arc::new(Store::new(1)),
            synced: None,
            backup: None,
            devices,
            cuts_left: m.cuts,
            relay_crashes_left: m.relay_crashes,
            relay_losses_left: m.relay_losses,
            relay_restores_left: m.relay_restores,
            device_restores_left: m.device_restores,
            wipes_left: m.wipes,
            refusals_left: m.refusals,
            trims_left: m.trims,
            discards_left: m.discards,
            clones_left: u8::from(m.clone_appends.is_some()),
            alive: 0,
            accepted: 0,
            refused: 0,
            deps: [0; 12],
            relay_lost: false,
            device_forked: false,
        }
    }
}

/// New work, and the faults that have nothing to do with the network.
pub fn work(m: &Model, w: &World, out: &mut Vec<Action>) {
    for (d, dev) in w.devices.iter().enumerate().filter(|(_, dev)| dev.used) {
        if dev.appends < m.appends_of(d) {
            out.push(Action::Append(d));
        }
        if w.device_restores_left > 0 {
            match &dev.saved {
                None => out.push(Action::DeviceSaves(d)),
                Some(saved) if **saved != dev.disk => out.push(Action::DeviceRestores(d)),
                Some(_) => {}
            }
        }
        if w.wipes_left > 0 {
            out.push(Action::DeviceWiped(d));
        }
        let discardable = if m.drops(Mutation::DiscardSent) { Own::Sent } else { Own::Unsent };
        if w.discards_left > 0 && dev.disk.mine.iter().any(|o| o.at == discardable || o.at == Own::Unsent) {
            out.push(Action::Discard(d));
        }
    }
    if w.relay_crashes_left > 0 {
        out.push(Action::RelayCrash);
    }
    if w.relay_losses_left > 0 && w.store.head() > 0 {
        out.push(Action::RelayLoses);
    }
    if w.relay_restores_left > 0 {
        match &w.backup {
            None => out.push(Action::RelayBackup),
            Some(b) if *b != w.store => out.push(Action::RelayRestore),
            Some(_) => {}
        }
    }
    if w.trims_left > 0 && !w.store.log.is_empty() {
        out.push(Action::Trim);
    }
    if w.clones_left > 0 && w.devices[0].disk.cursor + w.devices[0].disk.mine.len() as u8 > 0 {
        out.push(Action::Clone);
    }
}

/// Actions that are not faults and not new work: what a fair run keeps doing.
pub fn progress(m: &Model, w: &World, out: &mut Vec<Action>) {
    if w.synced.is_some() {
        out.push(Action::RelaySync);
    }
    for (d, dev) in w.devices.iter().enumerate().filter(|(_, dev)| dev.used) {
        if !dev.old_up.is_empty() {
            out.push(Action::RelayReceivesOld(d));
        }
        if dev.loose_cursor.is_some() {
            out.push(Action::CursorCommits(d));
        }
        let Some(link) = &dev.link else {
            out.push(Action::Connect(d));
            continue;
        };
        if !link.up.is_empty() && link.down.len() < relay::WINDOW {
            out.push(Action::RelayReceives(d));
        }
        let more = link.subscriber.as_ref().is_some_and(|s| s.position < w.store.head());
        if !link.down.is_empty() || more && !m.slow_batches {
            out.push(Action::DeviceReceives(d));
        }
        if more && m.slow_batches && link.down.len() < relay::WINDOW {
            out.push(Action::RelayPumps(d));
        }
        if matches!(link.phase, Phase::Live { .. }) && link.up.len() < relay::WINDOW {
            out.push(Action::Send(d));
        }
    }
}

/// Carries an action out. False: it changes nothing.
pub fn step(m: &Model, w: &mut World, action: Action) -> bool {
    match action {
        Action::Append(d) => append(m, w, d),
        // The relay reads a subscription at once: nothing the device does meanwhile changes it.
        Action::Connect(d) => {
            w.dev(d).subscribe();
            relay_receives(m, w, d, false);
        }
        Action::Send(d) => {
            let Some(msg) = w.dev(d).next_to_send(m) else { return false };
            if let Some(link) = &mut w.dev(d).link {
                link.up.push(msg);
            }
        }
        Action::RelayReceives(d) => relay_receives(m, w, d, false),
        Action::RelayRefuses(d) => relay_receives(m, w, d, true),
        Action::RelayReceivesOld(d) | Action::RelayRefusesOld(d) => {
            let msg = w.dev(d).old_up.remove(0);
            let refuse = matches!(action, Action::RelayRefusesOld(_)).then_some(0);
            relay::receive(m, w, None, &[msg], refuse);
        }
        Action::RelayPumps(d) => return pump(w, d),
        // A batch read late equals one read early: a restart of the relay cuts the link in any case.
        Action::DeviceReceives(d) => {
            if w.devices[d].link.as_ref().is_some_and(|l| l.down.is_empty()) && !pump(w, d) {
                return false;
            }
            let dev = w.dev(d);
            let Some(link) = &mut dev.link else { return false };
            let msg = link.down.remove(0);
            let fresh = dev.fresh(d);
            dev.receive(m, msg, fresh);
            note_accepted(w, d);
        }
        Action::DeviceReadsOld(d) => {
            let dev = w.dev(d);
            let msg = dev.old_down.remove(0);
            let fresh = dev.fresh(d);
            dev.receive(m, msg, fresh);
            note_accepted(w, d);
        }
        Action::Cut(d) => {
            w.cuts_left -= 1;
            w.dev(d).link = None;
            w.dev(d).loose_cursor = None;
        }
        Action::Abandon(d) => {
            w.cuts_left -= 1;
            let dev = w.dev(d);
            let Some(link) = dev.gives_up(m) else { return false };
            dev.old_up = link.up;
            if m.reads_old_sockets() {
                dev.old_down = link.down;
            }
            dev.old_up.retain(|msg| !matches!(msg, Up::Subscribe(_)));
        }
        Action::RelaySync => w.synced = None,
        Action::RelayCrash => {
            w.relay_crashes_left -= 1;
            if let Some(disk) = w.synced.take() {
                w.store = disk;
            }
            if m.drops(Mutation::RefusedInMemory) {
                w.store_mut().producers.values_mut().for_each(|r| r.refused.clear());
            }
            cut_all(w);
        }
        Action::RelayBackup => w.backup = Some(w.store.clone()),
        Action::RelayRestore => {
            w.relay_restores_left -= 1;
            w.store = w.backup.clone().unwrap_or_default();
            w.relay_lost = true;
            cut_all(w);
            excuse(w);
        }
        Action::RelayLoses => {
            w.relay_losses_left -= 1;
            w.store = Arc::new(Store::new(w.store.epoch + 1));
            w.relay_lost = true;
            cut_all(w);
            excuse(w);
        }
        Action::Trim => {
            w.trims_left -= 1;
            relay::trim(m, w);
        }
        Action::DeviceSaves(d) => w.dev(d).saved = Some(Arc::new(w.devices[d].disk.clone())),
        Action::DeviceRestores(d) => {
            w.device_restores_left -= 1;
            let dev = w.dev(d);
            dev.disk = dev.saved.as_deref().cloned().unwrap_or_default();
            forked(w, d);
        }
        Action::DeviceWiped(d) => {
            w.wipes_left -= 1;
            let dev = w.dev(d);
            dev.ids += 1;
            dev.disk = Disk::new(d as u32 * 16 + u32::from(dev.ids));
            forked(w, d);
        }
        Action::Clone => {
            w.clones_left -= 1;
            let disk = w.devices[0].disk.clone();
            let last = w.devices.len() - 1;
            let copy = w.dev(last);
            (copy.used, copy.disk) = (true, disk);
            w.device_forked = true;
        }
        Action::Discard(d) => {
            w.discards_left -= 1;
            let mine = &mut w.dev(d).disk.mine;
            let discardable = |o: &OwnEvent| o.at == Own::Unsent || o.at == Own::Sent && m.drops(Mutation::DiscardSent);
            let Some(o) = mine.iter_mut().find(|o| discardable(o)) else {
                return false;
            };
            o.at = Own::Void;
            w.alive &= !bit(o.birth);
        }
        Action::CursorCommits(d) => {
            let dev = w.dev(d);
            if let Some((cursor, check)) = dev.loose_cursor.take() {
                (dev.disk.cursor, dev.disk.check) = (cursor, check);
            }
        }
    }
    true
}

fn append(m: &Model, w: &mut World, d: usize) {
    let dev = Arc::make_mut(&mut w.devices[d]);
    let birth = d as u8 * 4 + dev.appends;
    dev.appends += 1;
    let disk = &mut dev.disk;
    w.deps[birth as usize] = bits(&disk.view) | bits(&disk.pending()) | bits(disk.heal.iter().map(|e| &e.birth));
    disk.append(birth, if m.discards > 0 || m.marks { Own::Unsent } else { Own::Sent });
    w.alive |= bit(birth);
}

fn relay_receives(m: &Model, w: &mut World, d: usize, refuse: bool) {
    let Some(mut link) = w.dev(d).link.take() else { return };
    let msg = link.up.remove(0);
    relay::receive(m, w, Some(&mut link), &[msg], refuse.then_some(0));
    w.dev(d).link = Some(link);
}

fn pump(w: &mut World, d: usize) -> bool {
    let store = w.store.clone();
    w.dev(d).link.as_mut().is_some_and(|link| relay::pump(&store, link))
}

fn note_accepted(w: &mut World, d: usize) {
    let told = |o: &&OwnEvent| matches!(o.at, Own::Accepted | Own::Seen);
    w.accepted |= bits(w.devices[d].disk.mine.iter().filter(told).map(|o| &o.birth));
}

fn cut_all(w: &mut World) {
    for dev in w.devices.iter_mut().map(Arc::make_mut) {
        dev.link = None;
        dev.old_up.clear();
        dev.old_down.clear();
        dev.loose_cursor = None;
    }
}

fn forked(w: &mut World, d: usize) {
    w.dev(d).link = None;
    w.dev(d).loose_cursor = None;
    w.dev(d).suspect = false;
    w.device_forked = true;
    excuse(w);
}

/// A storage fault may have destroyed the last copy of an event: nobody is asked to bring that back.
fn excuse(w: &mut World) {
    w.alive &= props::restorable(w);
}
