//! The world: devices, a relay, a network, disks and a store, on one virtual clock, all of it drawn from one seed.
//!
//! # The fault model
//!
//! * **Network.** A connection breaks anywhere, inside a frame too, and both sides find out in their own time. Frames are
//!   late; within a connection they keep their order. A lane falls silent while the other goes on (half-open). A device
//!   gives a socket up, and what it had sent still reaches the relay. Dialling may fail.
//! * **Relay.** Its process dies between any two steps; what it had asked of the store was done or not. Its disk is lost, or
//!   replaced by an older backup, with nobody noticing or with new epochs. It restarts in good order, with a goodbye.
//! * **Store.** It is slow, busy, or does not know whether it has stored. Hints of its feed come before or after the
//!   answers, twice, or never (then a hint says later that there is something to read). Logs are trimmed behind a snapshot.
//! * **Device.** It dies between any two steps; the transaction under way was stored whole or not at all. Its disk is full
//!   for a while, or fails once. Its profile is taken back to an older copy, copied to another machine and used on both,
//!   or wiped.
//! * **Refusals** of any event, at the moment when the store takes it.
//!
//! Not in the model: bytes that change under way (TCP and TLS), rows that rot, a store whose sync lies (planted as
//! `DurableAck`), a relay or a device that does not keep the protocol.
//!
//! A step is an [`Action`]. Time stands still during one; it moves when the walk says so or when nothing else is left to do.

pub use crate::actions::{Action, Budget};
use crate::birth::Names;
use crate::birth::{Birth, birth_of, payload};
use crate::device_node::{DeviceNode, Effect};
use crate::network::{Arrival, Connection, Network, NetworkInput, Way};
use crate::oracle::{Broken, Oracle};
use crate::relay_node::{Manner, RelayNode, Ticket};
use crate::rng::Rng;
use crate::store::{Planted, Store};
use crate::trace::Trace;
use std::collections::BTreeMap;
use sync_core::device::{Append, Input, Notice, Own, Socket};
use sync_core::event::Kind;
use sync_core::ids::{Offset, StreamName};
use sync_core::relay::Request;
use sync_core::time::Millis;

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
    backup: Option<Store>,
    /// A device's events of an append that says to be on top of another.
    pub dependents: bool,
    /// Content bytes to add to an event, at most.
    pub padding_bytes_max: u64,
    writes: u64,
    misread: Option<String>,
    opened: BTreeMap<Connection, (usize, Socket)>,
}

/// A run that broke a promise.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which promise and how.
    pub broken: Broken,
    /// The seed.
    pub seed: u64,
    /// The last lines of the trace.
    pub lines: String,
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
            padding_bytes_max: 0,
            writes: 0,
            misread: None,
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

    /// Breaks a rule on purpose.
    pub fn plant(&mut self, rule: Planted) {
        self.relay.store.planted = Some(rule);
    }

    fn say(&mut self, text: String) {
        self.trace.line(self.now, &text);
    }
    fn letter(device: usize) -> char {
        Names::device(device)
    }

    // ------------------------------------------------------------------------------------------------ what may happen

    /// What can go on now without time passing.
    pub fn progress(&self) -> Vec<Action> {
        let mut actions = vec![];
        for (device, node) in self.devices.iter().enumerate().filter(|(_, node)| node.is_on()) {
            actions.extend(node.disk.steps().map(|step| Action::Disk(device, step)));
        }
        let hears = |(connection, way): &(Connection, Way)| *way == Way::Down || self.relay.wants_input(*connection);
        let lanes = self.network.ready(self.now).into_iter().filter(hears);
        actions.extend(lanes.map(|(connection, way)| Action::Arrives(connection, way)));
        actions.extend(self.relay.under_way().map(|(ticket, _)| Action::Store(ticket)));
        actions.extend(self.relay.hinted().map(Action::RelayPumps));
        actions
    }

    /// Everything that may happen now.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = self.progress();
        actions.push(Action::Passes);
        let left = &self.left;
        let is_free = |used: usize| used > 0;
        for (device, node) in self.devices.iter().enumerate().filter(|(_, node)| node.is_on()) {
            let appends = left.appends.get(device).copied().or(left.clone_appends).unwrap_or(0);
            if node.appends < appends {
                for stream in 0..self.streams.len() {
                    actions.push(Action::Append(device, stream, false));
                    if self.dependents {
                        actions.push(Action::Append(device, stream, true));
                    }
                }
            }
            if is_free(left.discards) && self.discardable(device).is_some() {
                actions.push(Action::Discard(device));
            }
            if is_free(left.cuts) {
                actions.push(Action::Abandon(device));
            }
            if node.away {
                actions.push(Action::Returns(device));
            } else if is_free(left.absences) {
                actions.push(Action::Leaves(device));
            }
            if is_free(left.device_crashes) {
                actions.push(Action::DeviceCrash(device));
            }
            if is_free(left.device_restores) {
                let same = node.saved.as_ref().map(|saved| saved.same_rows(&node.disk));
                if same != Some(true) {
                    actions.push(Action::DeviceSaves(device));
                }
                if same == Some(false) {
                    actions.push(Action::DeviceRestores(device));
                }
            }
            if is_free(left.wipes) {
                actions.push(Action::DeviceWiped(device));
            }
            if node.disk.full {
                actions.push(Action::DiskFrees(device));
            } else if is_free(left.disk_faults) {
                actions.extend([Action::DiskFills(device), Action::DiskFails(device)]);
            }
        }
        self.relay_faults(&mut actions);
        let is_used = self.devices.first().is_some_and(|node| node.disk.commits > 1);
        let has_slot = self.devices.last().is_some_and(|node| !node.used);
        if left.clone_appends.is_some() && is_used && has_slot {
            actions.push(Action::Clone);
        }
        actions
    }

    fn relay_faults(&self, actions: &mut Vec<Action>) {
        let left = &self.left;
        for (ticket, under_way) in self.relay.under_way().filter(|(_, under_way)| under_way.answer.is_none()) {
            if left.refusals > 0 && !self.relay.refusable(ticket).is_empty() {
                actions.push(Action::Refuses(ticket));
            }
            if left.store_faults > 0 {
                actions.push(Action::StoreFails(ticket, Manner::Busy));
                if matches!(under_way.ask, Request::Append(_) | Request::Heal(_)) {
                    actions.push(Action::StoreFails(ticket, Manner::UnknownStored));
                    actions.push(Action::StoreFails(ticket, Manner::UnknownLost));
                }
            }
        }
        if left.store_faults > 0 {
            actions.extend(self.relay.hinted().flat_map(|c| [Action::HintFails(c, false), Action::HintFails(c, true)]));
        }
        if left.cuts > 0 {
            for connection in self.network.open() {
                actions.push(Action::Cut(connection));
                actions.extend([Action::Silence(connection, Way::Up), Action::Silence(connection, Way::Down)]);
            }
        }
        if left.relay_crashes > 0 {
            actions.extend([Action::RelayCrash, Action::RelayDrain]);
        }
        if self.relay.store.planted == Some(Planted::DurableAck) {
            actions.push(Action::RelaySync);
        }
        if left.relay_losses > 0 && self.head() > 0 {
            actions.push(Action::RelayLoses);
        }
        if left.relay_restores > 0 {
            let same = self.backup.as_ref().map(|backup| backup.version == self.relay.store.version);
            if same != Some(true) {
                actions.push(Action::RelayBackup);
            }
            if same == Some(false) {
                actions.push(Action::RelayRestore);
            }
        }
        let trimmable =
            |(_, stream): &(usize, &StreamName)| self.relay.store.log(stream).is_some_and(|log| !log.events.is_empty());
        if left.trims > 0 {
            actions.extend(self.streams.iter().enumerate().filter(trimmable).map(|(stream, _)| Action::Trim(stream)));
        }
    }
    fn head(&self) -> u64 {
        self.relay.store.logs().map(|(_, log)| log.head).max().unwrap_or(Offset::ZERO).0
    }
    fn discardable(&self, device: usize) -> Option<(StreamName, sync_core::event::Event)> {
        let node = &self.devices[device];
        node.streams.iter().find_map(|stream| {
            let pending = node.pending(stream);
            let unsent = pending.into_iter().find(|(_, own)| *own == Own::Unsent);
            unsent.map(|(event, _)| (stream.clone(), event))
        })
    }

    // ------------------------------------------------------------------------------------------------- what happens

    /// Does it, lets everything follow that takes no time, and asks the oracle. A history that is told step by step may go
    /// beyond the budget, which binds walks only.
    pub fn perform(&mut self, action: Action) -> Result<(), Broken> {
        match action {
            Action::Disk(device, step) => {
                self.say(format!("{} disk {step:?}", World::letter(device)));
                self.devices[device].disk_step(self.now, step);
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
            Action::RelaySync => self.relay.store.sync(),
            Action::RelayBackup => self.backup = Some(self.relay.store.clone()),
            Action::RelayRestore => {
                self.left.relay_restores = self.left.relay_restores.saturating_sub(1);
                let Some(backup) = self.backup.clone() else { return };
                self.relay_stops();
                self.relay.store.replace(&backup);
                self.relay_forgot();
            }
            Action::NewEpochs => self.relay.new_epochs(),
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
                self.oracle.forks();
                self.start(last);
            }
            other => self.device_fault(other),
        }
    }

    fn network_fault(&mut self, action: Action) {
        self.left.cuts = self.left.cuts.saturating_sub(1);
        match action {
            Action::Cut(connection) => {
                let up_bytes = self.rng.below(self.network.bytes(connection, Way::Up) as u64 + 1) as usize;
                let down_bytes = self.rng.below(self.network.bytes(connection, Way::Down) as u64 + 1) as usize;
                self.network.handle_input(self.now, NetworkInput::Cut { connection, up_bytes, down_bytes });
            }
            Action::Silence(connection, way) => {
                let until = self.now.plus(30_000 + self.rng.below(60_000));
                self.network.handle_input(self.now, NetworkInput::Silence { connection, way, until });
            }
            Action::Abandon(device) => {
                self.devices[device].handle_input(self.now, Input::Disconnect);
                self.carry();
                self.devices[device].handle_input(self.now, Input::Connect);
            }
            _ => unreachable!("not a fault of the network"),
        }
    }

    fn device_fault(&mut self, action: Action) {
        match action {
            Action::Leaves(device) => {
                self.left.absences = self.left.absences.saturating_sub(1);
                self.devices[device].away = true;
                self.devices[device].handle_input(self.now, Input::Disconnect);
            }
            Action::Returns(device) => {
                self.devices[device].away = false;
                self.devices[device].handle_input(self.now, Input::Connect);
            }
            Action::DeviceCrash(device) => {
                self.left.device_crashes = self.left.device_crashes.saturating_sub(1);
                let landed = self.rng.percent(50);
                self.switch_off(device, landed);
                self.start(device);
            }
            Action::DeviceSaves(device) => self.devices[device].saved = Some(self.devices[device].disk.copy()),
            Action::DeviceRestores(device) => {
                self.left.device_restores = self.left.device_restores.saturating_sub(1);
                self.switch_off(device, false);
                self.devices[device].disk =
                    self.devices[device].saved.as_ref().map_or_else(Default::default, |s| s.copy());
                self.profile_changed(device);
            }
            Action::DeviceWiped(device) => {
                self.left.wipes = self.left.wipes.saturating_sub(1);
                self.switch_off(device, false);
                self.devices[device].disk = Default::default();
                self.profile_changed(device);
            }
            Action::DiskFills(device) => {
                self.left.disk_faults = self.left.disk_faults.saturating_sub(1);
                self.devices[device].disk.full = true;
            }
            Action::DiskFrees(device) => self.devices[device].disk.full = false,
            Action::DiskFails(device) => {
                self.left.disk_faults = self.left.disk_faults.saturating_sub(1);
                self.devices[device].disk.failing = true;
            }
            other => unreachable!("{other:?} is no fault of a device"),
        }
    }
    fn profile_changed(&mut self, device: usize) {
        self.oracle.forks();
        self.oracle.excuse(&self.relay.store, &self.devices);
        self.start(device);
    }
    /// Switches a device on.
    pub fn start(&mut self, device: usize) {
        self.devices[device].start(self.now);
        self.carry();
    }
    /// A device dies: its sockets close, what it had sent still arrives.
    pub fn switch_off(&mut self, device: usize, landed: bool) {
        self.devices[device].crash(landed);
        let own: Vec<Connection> =
            self.opened.iter().filter(|(_, (owner, _))| *owner == device).map(|(connection, _)| *connection).collect();
        for connection in own {
            self.opened.remove(&connection);
            self.network.handle_input(self.now, NetworkInput::HangUp { connection, way: Way::Up, code: None });
        }
    }
    fn relay_stops(&mut self) {
        let finish = self.rng.percent(50);
        for connection in self.relay.crash(finish) {
            self.network.handle_input(self.now, NetworkInput::HangUp { connection, way: Way::Down, code: None });
        }
    }
    fn relay_forgot(&mut self) {
        self.oracle.relay_lost = true;
        self.oracle.excuse(&self.relay.store, &self.devices);
    }

    fn append(&mut self, device: usize, stream: usize, dependent: bool) {
        let stream = self.streams[stream].clone();
        let node = &mut self.devices[device];
        node.appends += 1;
        let birth = self.trace.names.born(device, node.appends);
        self.oracle.appends(device, node, &stream, dependent);
        self.writes += 1;
        let padding_bytes = self.rng.below(self.padding_bytes_max + 1) as usize;
        let append = Append {
            write: self.writes,
            stream,
            kind: Kind::Application,
            time: self.now.0,
            payload: payload(birth, padding_bytes).into(),
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
        if let Some(birth) = birth.filter(|_| !still) {
            self.oracle.discards(device, birth);
        }
    }

    fn store(&mut self, ticket: Ticket, manner: Manner) {
        let Some((_, under_way)) = self.relay.under_way().find(|(number, _)| *number == ticket) else { return };
        let what = match &under_way.ask {
            Request::Append(append) => {
                format!("append {}:{}", self.trace.names.producer(append.producer), append.first)
            }
            Request::Heal(heal) => format!("heal {} events", heal.events.len()),
            Request::Resume(_) => "resume".into(),
            Request::Read(read) => format!("read after {:?}", read.after),
            Request::Snapshot { .. } => "snapshot".into(),
        };
        let connection = under_way.connection;
        let text = match under_way.answer {
            Some(_) => format!("store answers {connection}: {what}"),
            None => format!("store {manner:?} {connection}: {what}"),
        };
        self.relay.step(self.now, ticket, manner);
        let logs: Vec<String> = self
            .relay
            .store
            .logs()
            .map(|(stream, log)| format!("{stream}{}", self.trace.names.list(log.births())))
            .collect();
        self.say(format!("{text} | {}", logs.join(" ")));
    }

    fn arrives(&mut self, connection: Connection, way: Way) {
        let Some((device, socket)) = self.network.end(connection) else { return };
        let Some(arrival) = self.network.poll_output(connection, way) else { return };
        let what = match (&arrival, way) {
            (Arrival::Frame(bytes), Way::Up) => self.trace.up(device, bytes),
            (Arrival::Frame(bytes), Way::Down) => self.trace.down(bytes),
            (other, _) => format!("{other:?}"),
        };
        let letter = World::letter(device);
        // Keep-alives would fill the last lines of a run that does not come to rest.
        let says = what != "alive";
        match way {
            Way::Up => {
                if says {
                    self.say(format!("{letter}/{connection} -> relay: {what}"));
                }
                match arrival {
                    Arrival::Opened => self.relay.accept(self.now, connection),
                    Arrival::Frame(bytes) => self.relay.receive(self.now, connection, bytes),
                    Arrival::Closed(_) => self.relay.closed(self.now, connection),
                }
            }
            Way::Down => {
                if says {
                    self.say(format!("relay -> {letter}/{connection}: {what}"));
                }
                if matches!(arrival, Arrival::Closed(_)) {
                    self.opened.remove(&connection);
                }
                self.devices[device].arrives(self.now, socket, arrival);
            }
        }
    }

    /// Time moves to the next timer, and whoever set it is called.
    fn passes(&mut self) {
        if let Some(at) = self.next_wake() {
            self.now = self.now.max(at);
            self.wake();
        }
    }
    fn next_wake(&self) -> Option<Millis> {
        let devices = self.devices.iter().filter_map(|node| node.wake);
        let network = self.network.wake_at().filter(|at| *at > self.now);
        devices.chain(network).chain(self.relay.wake_at()).filter(|at| *at < Millis(u64::MAX)).min()
    }
    fn wake(&mut self) {
        self.relay.wake(self.now);
        for device in 0..self.devices.len() {
            if self.devices[device].wake.is_some_and(|wake| wake <= self.now) {
                self.devices[device].wake = None;
                self.devices[device].handle_input(self.now, Input::Timer);
            }
        }
    }

    /// Hands what machines have done to the network and the oracle.
    fn carry(&mut self) {
        while let Some(input) = self.relay.poll_output() {
            self.network.handle_input(self.now, input);
        }
        for device in 0..self.devices.len() {
            while let Some(effect) = self.devices[device].poll_output() {
                self.effect(device, effect);
            }
        }
    }
    fn effect(&mut self, device: usize, effect: Effect) {
        let connection = |world: &World, socket: Socket| {
            let number = world.devices[device].socket_number(socket);
            world.network.connection(device, number)
        };
        match effect {
            Effect::Dial(socket) => {
                let number = self.devices[device].socket_number(socket);
                self.network.handle_input(self.now, NetworkInput::Dial { device, socket: number });
                if let Some(connection) = self.network.connection(device, number) {
                    self.opened.insert(connection, (device, number));
                }
            }
            Effect::Send(socket, bytes) => {
                if let Some(connection) = connection(self, socket) {
                    self.network.handle_input(self.now, NetworkInput::Send { connection, way: Way::Up, bytes });
                }
            }
            Effect::HangUp(socket) => {
                if let Some(connection) = connection(self, socket) {
                    self.opened.remove(&connection);
                    let hang_up = NetworkInput::HangUp { connection, way: Way::Up, code: None };
                    self.network.handle_input(self.now, hang_up);
                }
            }
            Effect::Notice(notice) => {
                if let Notice::Appended { event, .. } = &*notice {
                    self.trace.knows(event);
                }
                if let Some(text) = self.trace.notice(&notice) {
                    self.say(format!("{} {text}", World::letter(device)));
                }
                self.oracle.told(device, &self.devices[device], &self.relay.store, &notice);
            }
            Effect::Misread(why) => self.misread = Some(format!("device {device}: {why}")),
        }
    }

    fn ask_oracle(&mut self) -> Result<(), Broken> {
        if let Some(how) = self.misread.take() {
            return Err(Broken { promise: 3, how });
        }
        let live: Vec<bool> = (0..self.devices.len())
            .map(|device| self.opened.iter().any(|(c, (owner, _))| *owner == device && self.relay.serves(*c)))
            .collect();
        self.oracle.check(&self.relay.store, &self.devices, &live)
    }

    // ---------------------------------------------------------------------------------------------- runs

    /// One step of progress, drawn by chance. False: only time can go on.
    fn goes_on(&mut self) -> Result<bool, Broken> {
        let actions = self.progress();
        if actions.is_empty() {
            return Ok(false);
        }
        let action = actions[self.rng.below(actions.len() as u64) as usize];
        self.perform(action).map(|()| true)
    }

    /// Progress of the kinds that `may` allows, until there is none. Time stands still.
    pub fn go(&mut self, may: impl Fn(&World, Action) -> bool) -> Result<(), Broken> {
        loop {
            let actions: Vec<Action> = self.progress().into_iter().filter(|action| may(self, *action)).collect();
            if actions.is_empty() {
                return Ok(());
            }
            let action = actions[self.rng.below(actions.len() as u64) as usize];
            self.perform(action)?;
        }
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
    /// Everything goes on without faults for so long.
    pub fn run_ms(&mut self, ms: u64) -> Result<(), Broken> {
        let end = self.now.plus(ms);
        loop {
            while self.goes_on()? {}
            match self.next_wake() {
                Some(at) if at <= end => self.perform(Action::Passes)?,
                _ => break,
            }
        }
        self.now = end;
        Ok(())
    }

    /// Faults stop. All must come to rest, equal, within this time and so many frames.
    pub fn settle(&mut self) -> Result<(), Broken> {
        const MS_MAX: u64 = 10 * 60_000;
        self.say("-- faults stop".into());
        self.left = Budget::default();
        self.backup = None;
        self.network.calm();
        for device in 0..self.devices.len() {
            self.devices[device].disk.full = false;
            self.devices[device].disk.failing = false;
            self.devices[device].away = false;
            if self.devices[device].used && !self.devices[device].is_on() {
                self.start(device);
            }
            self.devices[device].handle_input(self.now, Input::Connect);
        }
        self.carry();
        let end = self.now.plus(MS_MAX);
        let frames_max = self.network.frames + 2_000 + 200 * (self.oracle.born.len() * self.devices.len()) as u64;
        loop {
            while self.goes_on()? {
                if self.network.frames > frames_max {
                    return self.never(format!("no rest after {frames_max} frames"));
                }
            }
            let unsettled = self.oracle.unsettled(&self.relay.store, &self.devices);
            let Some(why) = unsettled else { break };
            if self.now > end || self.next_wake().is_none() {
                return self.never(why);
            }
            self.perform(Action::Passes)?;
        }
        self.reload()
    }
    fn never(&self, how: String) -> Result<(), Broken> {
        Err(Broken { promise: 6, how: format!("faults have stopped, and still: {how}") })
    }
    /// Pages are loaded anew and must show the same.
    fn reload(&mut self) -> Result<(), Broken> {
        for device in 0..self.devices.len() {
            self.devices[device].reload(self.now);
        }
        self.carry();
        while self.goes_on()? {}
        match self.oracle.unsettled(&self.relay.store, &self.devices) {
            None => Ok(()),
            Some(how) => Err(Broken { promise: 5, how: format!("after reading the local log anew: {how}") }),
        }
    }

    /// All connections break at once, and nothing of what is under way arrives.
    pub fn cut_all(&mut self) {
        for connection in self.network.open() {
            self.network.handle_input(self.now, NetworkInput::Cut { connection, up_bytes: 0, down_bytes: 0 });
        }
        self.say("-- all connections are cut".into());
    }
    /// What to tell of a broken promise.
    pub fn failure(&self, broken: Broken) -> Failure {
        Failure { broken, seed: self.seed, lines: self.trace.last(40) }
    }
    /// The relay's log of the first stream, in the model's notation.
    pub fn log(&self) -> String {
        let births = self.relay.store.log(&self.streams[0]).map_or(vec![], |log| log.births().to_vec());
        self.trace.names.list(&births)
    }
    /// What a device shows of the first stream.
    pub fn view(&self, device: usize) -> String {
        let births: Vec<Birth> =
            self.devices[device].tabs.get(&self.streams[0]).map_or(vec![], |tab| tab.births.clone());
        self.trace.names.list(&births)
    }
    /// A device's rejections, in order of their ids.
    pub fn rejected(&self, device: usize) -> String {
        let births: Vec<Birth> =
            self.devices[device].rejections().iter().filter_map(|(_, r)| birth_of(&r.content)).collect();
        self.trace.names.list(&births)
    }
    /// A number of the world's own, for runs that draw their actions.
    pub fn rng(&mut self) -> &mut Rng {
        &mut self.rng
    }
}
