//! Both sides, step by step, and the comparison after each.

use super::messages::{Said, Telling, batch};
use super::names::{Difference, Names, same};
use super::real::Real;
use harness::birth::birth_of;
use harness::network::Connection;
use protocol_model::relay;
use protocol_model::types::{self as model, Down, Link, Up};
use protocol_model::world::{Action, Model, World, step};
use std::collections::{BTreeMap, VecDeque};
use sync_core::device::Own;
use sync_core::relay::store::ReadRequest;
use sync_core::wire::decode_run;

/// The model's side of a connection: what is under way, and the relay's end.
struct Wire {
    up: VecDeque<Up>,
    down: VecDeque<Down>,
    end: Link,
}

/// A real world and a model world that are driven in step.
pub struct Pair {
    /// The scenario, perhaps with a rule left out.
    model: Model,
    /// The model's world. Its devices' queues are always empty: what is under way is in the wires here.
    pub world: World,
    /// The real world.
    pub real: Real,
    wires: BTreeMap<Connection, Wire>,
    names: Names,
}

impl Pair {
    /// Both sides at the beginning of a scenario.
    pub fn new(model: &Model, seed: u64) -> Pair {
        let model = Model { marks: true, ..model.clone() };
        let real = Real::new(seed, model.appends.len(), model.clone_appends.is_some());
        Pair { world: World::new(&model), model, real, wires: BTreeMap::new(), names: Names::new() }
    }
    /// The scenario.
    pub fn model(&self) -> &Model {
        &self.model
    }

    // ------------------------------------------------------------------------------------------------------- steps

    /// A device makes its next event.
    pub fn append(&mut self, device: usize) -> Result<(), Difference> {
        let birth = self.real.append(device);
        self.names.birth(birth, device as u8 * 4 + self.world.devices[device].appends)?;
        step(&self.model, &mut self.world, Action::Append(device));
        self.sends(device);
        self.compare_device(device)
    }
    /// A device comes online; its `subscribe` is under way.
    pub fn connect(&mut self, device: usize) -> Result<(), Difference> {
        self.real.connect(device);
        if let Some(connection) = self.real.links.get(&device) {
            let wire = Wire { up: VecDeque::new(), down: VecDeque::new(), end: Link::asking(None) };
            self.wires.insert(*connection, wire);
        }
        self.sends(device);
        self.compare_device(device)
    }
    /// The next frame of a connection reaches the relay. `refuse`: so many events of it are passed over, the next one is
    /// refused.
    pub fn relay_receives(&mut self, connection: Connection, refuse: Option<usize>) -> Result<(), Difference> {
        let messages = self.real.up(connection, refuse);
        for said in messages.into_iter().filter(|said| !said.is_empty()) {
            let Some(wire) = self.wires.get_mut(&connection) else { continue };
            let run: Vec<Up> = wire.up.drain(..said.len()).collect();
            let events = said.iter().enumerate().filter(|(_, said)| matches!(said, Said::Publish(_, _, _, Some(_))));
            let refused = refuse.and_then(|n| events.map(|(index, _)| index).nth(n));
            relay::receive(&self.model, &mut self.world, Some(&mut wire.end), &run, refused);
            wire.down.extend(wire.end.down.drain(..));
        }
        self.compare_relay()
    }
    /// Whether the next frame of a connection is a publish that goes on where the log is, and how many events it has.
    pub fn refusable(&self, connection: Connection) -> usize {
        let next = self.wires.get(&connection).and_then(|wire| wire.up.front());
        if !next.is_some_and(|msg| relay::may_refuse(&self.model, &self.world, msg)) {
            return 0;
        }
        let frame = self.real.wires.get(&connection).and_then(|wire| wire.up.front());
        let said = frame.into_iter().flat_map(|(_, said)| said.iter().flatten());
        said.filter(|said| matches!(said, Said::Publish(_, _, _, Some(_)))).count()
    }
    /// The next hint of the feed reaches a connection.
    pub fn relay_pumps(&mut self, connection: Connection) -> Result<(), Difference> {
        self.real.pump(connection);
        self.under_way(connection)
    }
    /// The next frame of a connection reaches its device, which may have given it up (R3).
    pub fn device_receives(&mut self, connection: Connection) -> Result<(), Difference> {
        let Some(device) = self.real.wires.get(&connection).map(|wire| wire.device) else { return Ok(()) };
        let is_read = self.real.links.get(&device) == Some(&connection);
        for telling in self.real.down(connection) {
            self.hears(device, connection, telling, is_read)?;
        }
        self.sends(device);
        self.compare_device(device)
    }
    fn hears(
        &mut self,
        device: usize,
        connection: Connection,
        telling: Telling,
        is_read: bool,
    ) -> Result<(), Difference> {
        let Some(wire) = self.wires.get_mut(&connection) else { return Ok(()) };
        let mut messages: Vec<Down> = wire.down.drain(..telling.told.len()).collect();
        let dev = self.world.dev(device);
        if !is_read && !self.model.reads_old_sockets() {
            return Ok(());
        }
        if telling.covers.is_some() {
            messages = batch(messages).into_iter().collect();
        }
        for msg in messages {
            let fresh = dev.fresh(device);
            dev.receive(&self.model, msg, fresh);
        }
        if let (Some(link), Some(go)) = (&mut dev.link, telling.go) {
            link.go = go;
        }
        Ok(())
    }
    /// The model's device sends what it can, as the real one has done: it subscribes where it is not subscribed.
    fn sends(&mut self, device: usize) {
        let Some(wire) = self.real.links.get(&device).and_then(|c| self.wires.get_mut(c)) else { return };
        let dev = self.world.dev(device);
        if dev.link.is_none() {
            dev.subscribe();
        }
        wire.up.extend(dev.link.iter_mut().flat_map(|link| link.up.drain(..)));
        while let Some(msg) = dev.next_to_send(&self.model) {
            wire.up.push_back(msg);
        }
    }
    /// A device gives its connection up; `restarts`: because its process died.
    pub fn abandon(&mut self, device: usize, restarts: bool) -> Result<(), Difference> {
        self.real.abandon(device, restarts);
        self.offline(device);
        if restarts {
            // It is in memory only; what led to it will come again.
            self.world.dev(device).suspect = false;
        }
        self.compare_device(device)
    }
    /// A connection breaks, and nothing that is under way arrives.
    pub fn cut(&mut self, device: usize) -> Result<(), Difference> {
        self.real.cut(device);
        self.offline(device);
        self.compare()
    }
    fn offline(&mut self, device: usize) {
        self.world.cuts_left = self.world.cuts_left.saturating_sub(1);
        self.world.dev(device).gives_up(&self.model);
        self.forget_wires();
    }
    fn forget_wires(&mut self) {
        self.wires.retain(|connection, _| self.real.wires.contains_key(connection));
    }
    /// A step that has nothing to do with the network.
    pub fn fault(&mut self, action: Action) -> Result<(), Difference> {
        match action {
            Action::RelayCrash => self.real.relay_crash(),
            Action::RelayBackup => self.real.relay_backup(),
            Action::RelayRestore => self.real.relay_restore(),
            Action::RelayLoses => self.real.relay_loses(),
            Action::Trim => {
                // In the model a batch under way was read before the log was trimmed.
                loop {
                    let next = self.real.relay.hinted().next();
                    let Some(connection) = next else { break };
                    self.relay_pumps(connection)?;
                }
                self.real.trim();
            }
            Action::DeviceSaves(device) => self.real.device_saves(device),
            Action::DeviceRestores(device) => self.real.device_restores(device, true),
            Action::DeviceWiped(device) => self.real.device_restores(device, false),
            Action::Clone => self.real.clone_profile(),
            Action::Discard(device) => self.real.discard(device),
            other => return Err(format!("{other:?} is a step of the network")),
        }
        step(&self.model, &mut self.world, action);
        if let Action::Discard(device) = action {
            self.sends(device);
        }
        self.forget_wires();
        self.compare()
    }

    // -------------------------------------------------------------------------------------------------- comparison

    /// Whether both sides are in the same state, whatever the step has changed.
    pub fn compare(&mut self) -> Result<(), Difference> {
        for device in 0..self.real.devices.len() {
            if self.real.devices[device].is_on() {
                self.compare_device(device)?;
            }
        }
        self.compare_relay()
    }
    /// What a step of a device may have changed.
    fn compare_device(&mut self, device: usize) -> Result<(), Difference> {
        self.real.trouble()?;
        self.device(device).map_err(|difference| format!("device {device}: {difference}"))?;
        self.real.links.get(&device).copied().map_or(Ok(()), |connection| self.under_way(connection))
    }
    /// What a step of the relay may have changed.
    fn compare_relay(&mut self) -> Result<(), Difference> {
        self.real.trouble()?;
        for connection in self.real.wires.keys().copied().collect::<Vec<_>>() {
            self.under_way(connection)?;
        }
        self.log().map_err(|difference| format!("relay: {difference}"))
    }

    fn device(&mut self, device: usize) -> Result<(), Difference> {
        let Pair { world, real, names, .. } = self;
        let (node, disk) = (&real.devices[device], &world.devices[device].disk);
        let tab = node.tab(&real.stream).ok_or("shows nothing of its stream")?;
        names.births("view", &tab.births, &disk.view)?;
        let state = node.state(&real.stream).ok_or("does not know its stream")?;
        same("cursor", state.cursor, disk.cursor, state.cursor.0 == u64::from(disk.cursor))?;

        let pending = node.pending(&real.stream);
        let in_heal = |seq: u8| disk.heal.iter().any(|e| (e.producer, e.seq) == (disk.producer, seq));
        let own: Vec<(u8, &model::OwnEvent)> = (1..).zip(&disk.mine).collect();
        let own = own.into_iter().filter(|(seq, o)| o.is_open() && !in_heal(*seq)).collect::<Vec<_>>();
        let births = pending.iter().filter_map(|(event, _)| birth_of(&event.content)).collect::<Vec<_>>();
        let open_strays: Vec<&model::Stray> = disk.strays.iter().filter(|stray| !stray.void).collect();
        let of_model = open_strays.iter().map(|s| s.event.birth).chain(own.iter().map(|(_, o)| o.birth));
        names.births("pending", &births, &of_model.collect::<Vec<_>>())?;
        let (strays, outbox) = pending.split_at(open_strays.len());
        for ((event, _), stray) in strays.iter().zip(open_strays) {
            names.id(event.id, event.tag, stray.event.refile().id())?;
        }
        for ((event, at), (seq, o)) in outbox.iter().zip(own) {
            names.id(event.id, event.tag, (disk.producer, seq, o.tag))?;
            same("own event", at, o.at, stands(*at) == o.at)?;
        }

        let healing = node.healing(&real.stream);
        same("heal list", &healing, &disk.heal, healing.len() == disk.heal.len())?;
        for ((id, tag), entry) in healing.into_iter().zip(&disk.heal) {
            names.derivable(id, tag, entry)?;
        }
        let list = |unsure: bool| {
            let rejections = node.rejections().into_iter().filter(move |(_, r)| (r.code == "unsure") == unsure);
            let mut births: Vec<_> = rejections.filter_map(|(_, r)| birth_of(&r.content)).collect();
            births.sort_unstable();
            births
        };
        for (what, real, model) in [("rejected", list(false), &disk.rejected), ("unsure", list(true), &disk.unsure)] {
            names.births(what, &real, &in_real_order(names, model))?;
        }
        Ok(())
    }

    fn under_way(&mut self, connection: Connection) -> Result<(), Difference> {
        self.real.trouble()?;
        self.lanes(connection).map_err(|difference| format!("connection {connection}: {difference}"))
    }
    fn lanes(&mut self, connection: Connection) -> Result<(), Difference> {
        let Pair { world, real, names, wires, .. } = self;
        let Some(wire) = wires.get_mut(&connection) else { return Ok(()) };
        let of_real = &real.wires[&connection];
        let said: Vec<&Said> = of_real.up.iter().flat_map(|(_, said)| said.iter().flatten()).collect();
        same("under way up", &said, &wire.up, said.len() == wire.up.len())?;
        for (said, msg) in said.into_iter().zip(&wire.up) {
            names.said(said, msg)?;
        }
        let telling = of_real.down.iter().flat_map(|(_, telling)| telling);
        for telling in telling.clone() {
            if let Some((after, upto)) = telling.covers {
                let events = telling.told.len() as u64;
                same("batch", (after, upto), events, after.0 + events == upto.0)?;
            }
        }
        let told: Vec<_> = telling.flat_map(|telling| &telling.told).collect();
        // The real relay has handed over more of the log: so does the model's.
        while wire.down.len() < told.len() && relay::pump(&world.store, &mut wire.end) {
            wire.down.extend(wire.end.down.drain(..));
        }
        for (told, msg) in told.iter().zip(&wire.down) {
            names.told(told, msg)?;
        }
        same("under way down", &told, &wire.down, told.len() == wire.down.len())
    }

    fn log(&mut self) -> Result<(), Difference> {
        let Pair { world, real, names, .. } = self;
        let (store, stream) = (&world.store, real.stream.clone());
        let log = real.relay.store.log(&stream).ok_or("there is no log")?;
        names.births("log", log.births(), &store.births())?;
        same("head", log.head, store.head(), log.head.0 == u64::from(store.head()))?;
        same("floor", log.floor(), store.floor(), log.floor().0 == u64::from(store.floor()))?;
        names.epoch(log.epoch, store.epoch)?;
        let (epoch, after) = (log.epoch, log.floor());
        let read = ReadRequest { stream: stream.clone(), epoch, after, bytes_max: usize::MAX };
        let Ok(sync_core::relay::store::ReadAnswer::Batch(batch)) = real.relay.store.read(&read) else {
            return Err("the log cannot be read".into());
        };
        let runs = batch.runs.iter().filter_map(|run| decode_run(&run.bytes).ok()?.events(|_, _| None));
        for (event, entry) in runs.flatten().zip(&store.log) {
            names.event(&event, entry)?;
        }
        for (producer, record) in store.producers.iter().filter(|(_, record)| record.last > 0) {
            let name = names.real_producer(*producer).ok_or("a producer without a name")?;
            let known = real.relay.store.known(&stream, name);
            let refused = record.refused.clone();
            names.known(&known, &model::Known { last: record.last, tag: record.tag, refused })?;
        }
        Ok(())
    }

    /// Whether all are equal and nothing is left to send.
    pub fn converged(&mut self) -> Result<(), Difference> {
        self.compare()?;
        let births = self.world.store.births();
        for (device, dev) in self.world.devices.iter().enumerate().filter(|(_, dev)| dev.used) {
            let same_view = dev.disk.view == births && dev.disk.cursor == self.world.store.head();
            same(&format!("device {device} at rest"), &births, &dev.disk, same_view && dev.settled())?;
        }
        Ok(())
    }
}

/// Where an own event stands, in the model's words.
fn stands(own: Own) -> model::Own {
    match own {
        Own::Unsent => model::Own::Unsent,
        Own::Sent => model::Own::Sent,
        Own::Accepted => model::Own::Accepted,
        Own::Owed => model::Own::Owed,
        Own::Seen => model::Own::Seen,
        Own::Refused => model::Own::Refused,
        Own::Void => model::Own::Void,
    }
}

/// The model's births in the order of the real ones, each once.
fn in_real_order(names: &Names, births: &[model::Birth]) -> Vec<model::Birth> {
    let mut sorted = births.to_vec();
    sorted.sort_by_key(|birth| names.real_birth(*birth));
    sorted.dedup();
    sorted
}
