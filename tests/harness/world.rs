//! The world: devices, a relay, a network, disks and a store, on one virtual clock, all of it drawn from one seed.
//!
//! # The fault model
//!
//! * **Network.** A connection breaks anywhere, inside a frame too (`cut`), and both sides find out in their own time. Frames
//!   are late; within a connection they keep their order. A lane falls silent while the other goes on (`half-open`). A device
//!   gives a socket up, and what it had sent still reaches the relay, what was under way to it still arrives (`old-socket`);
//!   two live connections of one profile (`host-frozen`, `clone`). It goes away and comes back (`absence`).
//! * **Relay.** Its process dies between any two steps; what it had asked of the store was done or not (`relay-crash`). Its disk
//!   is lost (`relay-loss`), replaced by an older backup with nobody noticing (`relay-restore`), given new epochs
//!   (`new-epochs`), full for a while (`relay-disk-full`). It restarts in good order, with a goodbye (`relay-drain`).
//! * **Store.** It is busy (`store-busy`), takes seconds (`store-slow`), or does not know whether it has stored
//!   (`store-unknown`). Hints of its feed come before or after the answers, twice (`hint-twice`), or never: then one says later
//!   that there is something to read (`hint-lost`). Logs are trimmed behind a snapshot (`trim`).
//! * **Device.** It dies between any two steps; the transaction under way was stored whole or not at all (`device-crash`). Its
//!   disk is full for a while (`quota`), or fails once (`disk-failure`). Its profile is taken back to an older copy
//!   (`device-restore`), copied to another machine and used on both (`clone`), or wiped (`wipe`).
//! * **Host.** It stands still between any two steps while another host takes the device over (`host-frozen`), and then goes on
//!   with what had come meanwhile and with what it was about to write (`host-thawed`).
//! * **Pages.** A second one reads the same log (`second-page`, `page-closed`); all let a stream go and open it again
//!   (`stream-closed`). Users throw unsent events away (`discard`).
//! * **Time.** A device sleeps for minutes, its clock with it or not (`sleep`); nobody does anything for days (`days`); wall
//!   clocks jump both ways (`clock-jump`).
//! * **Versions.** Devices offer older and newer versions of the protocol too, and write keys that nobody here knows; so
//!   does the relay ([`crate::skew`]).
//! * **Refusals** of any event, at the moment when the store takes it (`refusal`).
//!
//! The names are those of [`Action::fault`]. [`Budget`] switches them in groups of what is alike (`cuts`: `cut`, `old-socket`
//! and `half-open`); [`Scenario`](crate::scenarios::Scenario) says whether there are other versions and which store, and each
//! walk draws whether frames are late.
//!
//! Not in the model: bytes that change under way (TCP and TLS), rows that rot, a store whose sync lies, a relay or a device
//! that does not keep the protocol.
//!
//! A step is an [`Action`]. Time stands still during one; it moves when the walk says so or when nothing else is left to do.

mod carry;
mod choices;
mod faults_of_devices;
mod faults_of_the_relay;
mod rest;

pub use crate::actions::{Action, Budget};
use crate::birth::{Birth, Names, birth_of, payload};
use crate::coverage::Coverage;
use crate::device_node::DeviceNode;
use crate::document;
use crate::network::{Connection, Network};
use crate::oracle::{Broken, Oracle};
use crate::relay_node::{Manner, RelayNode, Ticket};
use crate::rng::Rng;
use crate::store::Backup;
use crate::trace::Trace;
use std::collections::BTreeMap;
use sync_core::device::{Append, Input, Own, Socket};
use sync_core::event::Kind;
use sync_core::ids::StreamName;
use sync_core::time::Millis;

/// A question to every state that the world is in.
pub type Promise = fn(&World) -> Result<(), Broken>;

/// The world.
pub struct World {
    /// Its seed.
    pub seed: u64,
    rng: Rng,
    /// Its clock.
    pub now: Millis,
    /// Between devices and relay.
    pub network: Network,
    /// The relay.
    pub relay: RelayNode,
    /// The devices.
    pub devices: Vec<DeviceNode>,
    /// The streams.
    pub streams: Vec<StreamName>,
    /// The ground truth.
    pub oracle: Oracle,
    /// What happened.
    pub trace: Trace,
    /// What may still happen.
    pub left: Budget,
    backup: Option<Backup>,
    /// A device's events of an append that says to be on top of another.
    pub dependents: bool,
    /// Events carry changes of a real document, one for each stream.
    pub documents: bool,
    /// Content bytes to add to an event, at most.
    pub padding_bytes_max: u64,
    writes: u64,
    /// Bytes of all payloads.
    written_bytes: u64,
    /// A promise that something broke on the way, before the next state was looked at.
    seen: Option<Broken>,
    /// Requests that take the store so long.
    slow: BTreeMap<Ticket, Millis>,
    relay_full: bool,
    /// What was reached.
    pub coverage: Coverage,
    /// One more promise.
    pub promise: Option<Promise>,
    opened: BTreeMap<Connection, (usize, Socket)>,
}

impl World {
    /// Devices that are on and follow all streams, a relay with an empty store.
    pub fn new(seed: u64, devices: usize, streams: &[&str]) -> World {
        let mut rng = Rng::new(seed);
        let streams: Vec<StreamName> =
            streams.iter().map(|name| StreamName::new(name).expect("the world's own names")).collect();
        let network = Network::new(rng.number());
        let relay = RelayNode::new(rng.number());
        let devices: Vec<DeviceNode> = (0..devices).map(|_| DeviceNode::new(rng.number(), &streams)).collect();
        let mut world = World {
            seed,
            rng,
            now: Millis(1_000),
            network,
            relay,
            devices,
            streams,
            oracle: Oracle::default(),
            trace: Trace::default(),
            left: Budget::default(),
            backup: None,
            dependents: false,
            documents: false,
            padding_bytes_max: 0,
            writes: 0,
            written_bytes: 0,
            seen: None,
            slow: BTreeMap::new(),
            relay_full: false,
            coverage: Coverage::default(),
            promise: None,
            opened: BTreeMap::new(),
        };
        for device in 0..world.devices.len() {
            world.start(device);
        }
        world
    }

    /// A world with a budget; the clone's machine, if there is to be one, is the last device and still off.
    pub fn bounded(seed: u64, streams: &[&str], budget: Budget) -> World {
        let mut world = World::new(seed, budget.appends.len(), streams);
        if budget.clone_appends.is_some() {
            let node = DeviceNode::new(world.rng.number(), &world.streams);
            world.devices.push(node);
        }
        world.left = budget;
        world
    }

    fn say(&mut self, text: String) {
        self.trace.line(self.now, &text);
    }

    fn letter(device: usize) -> String {
        Names::device(device)
    }

    /// Does it, lets everything follow that takes no time, and asks the oracle. A history that is told step by step may go
    /// beyond the budget, which binds walks only.
    pub fn perform(&mut self, action: Action) -> Result<(), Broken> {
        self.coverage.fault(action);
        match action {
            Action::Disk(device, step) => {
                self.say(format!("{} disk {step:?}", World::letter(device)));
                self.devices[device].disk_step(self.now, step);
                let node = &self.devices[device];
                let pending = node.streams.iter().flat_map(|stream| node.pending(stream));
                pending.for_each(|(_, own)| self.coverage.own(own));
            }
            Action::Arrives(connection, way) => self.arrives(connection, way),
            Action::Store(ticket) => self.store(ticket, Manner::Do),
            Action::RelayPumps(connection) => {
                self.say(format!("relay pumps {connection}"));
                self.relay.pump(self.now, connection);
            }
            Action::Passes => self.passes(),
            Action::Append(device, stream, dependent) => self.append(device, stream, dependent),
            Action::Discard(device) => self.discard(device),
            Action::Refuses(ticket) => {
                self.left.refusals = self.left.refusals.saturating_sub(1);
                let events = self.relay.refusable(ticket);
                let event = events.get(self.rng.below(events.len() as u64) as usize).copied();
                self.store(ticket, event.map_or(Manner::Do, Manner::Refuse));
            }
            Action::StoreFails(ticket, manner) => {
                self.left.store_faults = self.left.store_faults.saturating_sub(1);
                self.store(ticket, manner);
            }
            Action::HintFails(connection, twice) => {
                self.left.store_faults = self.left.store_faults.saturating_sub(1);
                self.say(format!("hint for {connection} {}", if twice { "comes twice" } else { "is lost" }));
                if twice { self.relay.repeat_hint(connection) } else { self.relay.lose_hint(self.now, connection) }
            }
            fault => self.fault(fault),
        }
        self.carry();
        self.ask_oracle()
    }

    fn fault(&mut self, action: Action) {
        self.say(format!("-- {action:?}"));
        match action {
            Action::Cut(_) | Action::Silence(..) | Action::Abandon(_) => self.network_fault(action),
            Action::RelayCrash | Action::RelayDrain => {
                self.left.relay_crashes = self.left.relay_crashes.saturating_sub(1);
                if action == Action::RelayDrain {
                    self.relay.drain(self.now, 100);
                    self.carry();
                }
                self.relay_stops();
            }
            Action::RelayBackup => self.backup = Some(self.relay.store.backup()),
            Action::RelayRestore => {
                self.left.relay_restores = self.left.relay_restores.saturating_sub(1);
                let Some(backup) = self.backup.take() else { return };
                self.relay_stops();
                self.relay.store.restore(&backup);
                self.backup = Some(backup);
                self.relay_forgot();
            }
            Action::NewEpochs => {
                self.left.new_epochs = self.left.new_epochs.saturating_sub(1);
                self.relay.new_epochs();
                self.oracle.renews(&self.relay.store);
            }
            Action::RelayFills => {
                self.left.relay_fills = self.left.relay_fills.saturating_sub(1);
                self.relay_full = true;
            }
            Action::RelayFrees => self.relay_full = false,
            Action::StoreSlow(ticket) => {
                self.left.store_faults = self.left.store_faults.saturating_sub(1);
                self.slow.insert(ticket, self.now.plus(1_000 + self.rng.below(30_000)));
            }
            Action::Days => {
                self.left.sleeps = self.left.sleeps.saturating_sub(1);
                self.now = self.now.plus((1 + self.rng.below(5)) * 24 * 60 * 60_000);
                self.wake();
            }
            Action::RelayLoses => {
                self.left.relay_losses = self.left.relay_losses.saturating_sub(1);
                self.relay_stops();
                self.relay.store.lose();
                self.relay_forgot();
            }
            Action::Trim(stream) => {
                self.left.trims = self.left.trims.saturating_sub(1);
                self.oracle.trimmed = true;
                let part_births_max = 1 + self.rng.below(4) as usize;
                self.relay.store.trim(&self.streams[stream], part_births_max);
            }
            Action::Clone => {
                self.left.clone_appends.get_or_insert(0);
                let last = self.devices.len() - 1;
                self.devices[last].disk = self.devices[0].disk.copy();
                self.oracle.forks(0);
                self.oracle.profile_changed(last, &self.devices[last]);
                self.start(last);
            }
            other => self.device_fault(other),
        }
    }

    fn append(&mut self, device: usize, stream: usize, dependent: bool) {
        let stream = self.streams[stream].clone();
        let node = &mut self.devices[device];
        node.appends += 1;
        let birth = self.trace.names.born(device, node.appends);
        self.oracle.appends(device, node, &stream, dependent);
        self.writes += 1;
        // Few are large, as in an app.
        let is_large = self.padding_bytes_max > 0 && self.rng.percent(25);
        let padding_bytes = if is_large { self.rng.below(self.padding_bytes_max + 1) as usize } else { 0 };
        let changes = if self.documents { self.devices[device].edit(&stream) } else { vec![] };
        let payload =
            if changes.is_empty() { payload(birth, padding_bytes) } else { document::payload(birth, &changes) };
        self.written_bytes += payload.len() as u64;
        let append = Append {
            write: self.writes,
            stream,
            kind: Kind::Application,
            time: self.devices[device].wall_ms(self.now),
            payload: payload.into(),
            dependent,
        };
        let name = self.trace.names.birth(birth).to_string();
        self.say(format!("{} appends {name}{}", World::letter(device), if dependent { " (dependent)" } else { "" }));
        self.devices[device].handle_input(self.now, Input::Append(append));
    }

    fn discard(&mut self, device: usize) {
        self.left.discards = self.left.discards.saturating_sub(1);
        let Some((stream, event)) = self.discardable(device) else { return };
        let id = event.id;
        let birth = birth_of(&event.content);
        let name = birth.map_or("?".into(), |birth| self.trace.names.birth(birth).to_string());
        self.say(format!("{} discards {name}", World::letter(device)));
        self.devices[device].handle_input(self.now, Input::Discard { stream: stream.clone(), id });
        let still = self.devices[device].pending(&stream).iter().any(|(e, own)| e.id == id && *own != Own::Void);
        self.devices[device].takes_back(&stream);
        if let Some(birth) = birth.filter(|_| !still) {
            self.oracle.discards(device, birth);
        }
    }

    fn ask_oracle(&mut self) -> Result<(), Broken> {
        if let Some(broken) = self.seen.take() {
            return Err(broken);
        }
        let live = || {
            let served = self.opened.iter().filter(|(connection, _)| self.relay.serves(**connection));
            served.map(|(_, (device, _))| *device).collect()
        };
        self.oracle.check(&self.relay.store, &self.devices, live)?;
        self.promise.map_or(Ok(()), |promise| promise(self))
    }

    /// Whose connection it is.
    pub fn owner(&self, connection: Connection) -> Option<usize> {
        self.network.end(connection).map(|(device, _)| device)
    }

    /// Tells a device something.
    pub fn tell(&mut self, device: usize, input: Input) -> Result<(), Broken> {
        self.say(format!("{} is told {input:?}", World::letter(device)));
        self.devices[device].handle_input(self.now, input);
        self.carry();
        self.ask_oracle()
    }

    /// The relay's log of the first stream, in the model's notation.
    pub fn log(&self) -> String {
        let births = self.relay.store.log(&self.streams[0]).map_or(vec![], |log| log.births().to_vec());
        self.trace.names.list(&births)
    }

    /// What a device shows of the first stream.
    pub fn view(&self, device: usize) -> String {
        let births: Vec<Birth> = self.devices[device].tab(&self.streams[0]).map_or(vec![], |tab| tab.births.clone());
        self.trace.names.list(&births)
    }

    /// A device's rejections, in order of their ids.
    pub fn rejected(&self, device: usize) -> String {
        let births: Vec<Birth> =
            self.devices[device].rejections().iter().filter_map(|(_, r)| birth_of(&r.content)).collect();
        self.trace.names.list(&births)
    }

    /// What is left to chance from here on is drawn from this seed.
    pub fn throw(&mut self, dice: u64) {
        self.rng = Rng::new(dice);
    }
}
