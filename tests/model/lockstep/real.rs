//! The real side: devices and a relay of the harness, and connections whose frames wait until a step delivers them. Time
//! stands still. A step ends when the device's disk, or the relay's store for that connection, has nothing more to do.

use super::messages::{Parts, Said, Telling, said, told};
use super::names::Difference;
use harness::birth::{Birth, payload};
use harness::device_node::{DeviceNode, Effect};
use harness::network::{Arrival, Connection, NetworkInput, Way};
use harness::relay_node::{Manner, RelayNode};
use harness::rng::Rng;
use harness::store::Backup;
use std::collections::{BTreeMap, VecDeque};
use sync_core::device::{Append, Input, Own, Socket};
use sync_core::event::Kind;
use sync_core::ids::*;
use sync_core::relay::Request;
use sync_core::relay::store::{AppendItem, Body};
use sync_core::time::Millis;

/// What is under way to the relay: as it will arrive, and what it stands for.
type UpFrame = (Arrival, Vec<Vec<Said>>);
/// What is under way to a device.
type DownFrame = (Arrival, Vec<Telling>);

/// One connection.
pub struct Wire {
    /// Whose.
    pub device: usize,
    socket: Socket,
    /// To the relay.
    pub up: VecDeque<UpFrame>,
    /// To the device.
    pub down: VecDeque<DownFrame>,
    parts: Parts,
}

/// See the module.
pub struct Real {
    now: Millis,
    rng: Rng,
    /// The relay.
    pub relay: RelayNode,
    /// The devices; the last one is the clone's machine, where there is to be one.
    pub devices: Vec<DeviceNode>,
    /// The one stream.
    pub stream: StreamName,
    /// Connections of which something may still arrive.
    pub wires: BTreeMap<Connection, Wire>,
    /// The connection that each device reads.
    pub links: BTreeMap<usize, Connection>,
    backup: Option<Backup>,
    connections: Connection,
    births: Birth,
    trouble: Option<Difference>,
}

impl Real {
    /// Devices that are offline, a relay whose log is born and empty.
    pub fn new(seed: u64, devices: usize, clone: bool) -> Real {
        let mut rng = Rng::new(seed);
        let stream = StreamName::new("s").expect("a name");
        let all = devices + usize::from(clone);
        let mut real = Real {
            now: Millis(1_000),
            relay: RelayNode::new(rng.number()),
            devices: (0..all).map(|_| DeviceNode::new(rng.number(), std::slice::from_ref(&stream))).collect(),
            rng,
            stream,
            wires: BTreeMap::new(),
            links: BTreeMap::new(),
            backup: None,
            connections: 0,
            births: 0,
            trouble: None,
        };
        real.bear();
        (0..devices).for_each(|device| real.start(device));
        real
    }

    /// Lets the log begin, with nothing in it but a void of a stranger.
    fn bear(&mut self) {
        let tag = Tag([1; 8]);
        let append = sync_core::relay::store::Append {
            stream: self.stream.clone(),
            epoch: None,
            producer: ProducerId([0xFF; 16]),
            first: 1,
            tag_before: Tag::ZERO,
            origin: Tag::ZERO,
            author: None,
            items: vec![AppendItem { tag, body: Body::Void }],
        };
        self.relay.store.append(&append).expect("an empty log takes its first append");
        self.relay.store.hints();
    }

    /// Switches a device on, offline.
    fn start(&mut self, device: usize) {
        self.devices[device].start(self.now);
        self.devices[device].handle_input(self.now, Input::Disconnect);
        self.settle(device);
        // It has dialled while it read its disk; nobody has heard of that yet.
        self.wires.retain(|_, wire| !matches!(wire.up.front(), Some((Arrival::Opened, _))));
    }
    /// Lets its disk do what it has to do.
    fn settle(&mut self, device: usize) {
        loop {
            let steps: Vec<_> = self.devices[device].disk.steps().collect();
            if steps.is_empty() {
                break;
            }
            let step = steps[self.rng.below(steps.len() as u64) as usize];
            self.devices[device].disk_step(self.now, step);
        }
        self.carry();
    }
    /// Puts what the machines have sent on its way.
    fn carry(&mut self) {
        while let Some(output) = self.relay.poll_output() {
            match output {
                NetworkInput::Send { connection, way: Way::Down, bytes } => {
                    let Some(wire) = self.wires.get_mut(&connection) else { continue };
                    match told(&bytes, &mut wire.parts) {
                        Ok(telling) => wire.down.push_back((Arrival::Frame(bytes), telling)),
                        Err(trouble) => self.trouble = Some(trouble),
                    }
                }
                other => self.trouble = Some(format!("the relay has done this: {other:?}")),
            }
        }
        for device in 0..self.devices.len() {
            while let Some(effect) = self.devices[device].poll_output() {
                self.effect(device, effect);
            }
        }
    }
    fn effect(&mut self, device: usize, effect: Effect) {
        match effect {
            Effect::Dial(socket) => {
                self.connections += 1;
                let (up, down) = (VecDeque::from([(Arrival::Opened, vec![])]), VecDeque::new());
                self.wires.insert(self.connections, Wire { device, socket, up, down, parts: Parts::default() });
                self.links.insert(device, self.connections);
            }
            Effect::Send(_, bytes) => {
                let Some(wire) = self.links.get(&device).and_then(|c| self.wires.get_mut(c)) else { return };
                match said(&bytes) {
                    Ok(said) => wire.up.push_back((Arrival::Frame(bytes), said)),
                    Err(trouble) => self.trouble = Some(trouble),
                }
            }
            Effect::HangUp(_) => {
                if let Some(wire) = self.links.remove(&device).and_then(|c| self.wires.get_mut(&c)) {
                    wire.up.push_back((Arrival::Closed(None), vec![]));
                }
            }
            Effect::Misread(why) => self.trouble = Some(format!("device {device} misread its log: {why}")),
            Effect::Notice(_) | Effect::Holds(_) => {}
        }
    }
    /// What should never happen on the real side, if it has.
    pub fn trouble(&self) -> Result<(), Difference> {
        self.trouble.clone().map_or(Ok(()), Err)
    }

    fn tell(&mut self, device: usize, input: Input) {
        self.devices[device].handle_input(self.now, input);
        self.carry();
        self.settle(device);
    }
    /// A device makes its next event.
    pub fn append(&mut self, device: usize) -> Birth {
        let birth = self.births;
        self.births += 1;
        let (stream, payload) = (self.stream.clone(), payload(birth, 0).into());
        let append = Append {
            write: birth.into(),
            stream,
            kind: Kind::Application,
            time: self.now.0,
            payload,
            dependent: false,
        };
        self.tell(device, Input::Append(append));
        birth
    }
    /// A user throws the first event away that was not sent.
    pub fn discard(&mut self, device: usize) {
        let unsent = self.devices[device].pending(&self.stream).into_iter().find(|(_, own)| *own == Own::Unsent);
        if let Some((event, _)) = unsent {
            self.tell(device, Input::Discard { stream: self.stream.clone(), id: event.id });
        }
    }

    /// A device comes online: dials and shakes hands. Its `subscribe` is under way.
    pub fn connect(&mut self, device: usize) {
        self.tell(device, Input::Connect);
        let Some(connection) = self.links.get(&device).copied() else { return };
        for _ in 0..2 {
            self.up(connection, None);
            self.down(connection);
        }
    }
    /// A device gives its connection up; what it had sent still arrives. `restarts`: because its process died.
    pub fn abandon(&mut self, device: usize, restarts: bool) {
        self.tell(device, Input::Disconnect);
        if restarts {
            self.devices[device].crash(false);
            self.start(device);
        }
    }
    /// A connection breaks, and nothing that is under way arrives.
    pub fn cut(&mut self, device: usize) {
        let Some(connection) = self.links.get(&device).copied() else { return };
        self.tell(device, Input::Disconnect);
        self.wires.remove(&connection);
        self.relay.closed(self.now, connection);
        self.carry();
    }

    /// The next frame of a connection reaches the relay. `refuse`: so many events of it are passed over, the next one is
    /// refused.
    pub fn up(&mut self, connection: Connection, mut refuse: Option<usize>) -> Vec<Vec<Said>> {
        let Some((arrival, said)) = self.wires.get_mut(&connection).and_then(|wire| wire.up.pop_front()) else {
            return vec![];
        };
        match arrival {
            Arrival::Opened => {
                self.relay.accept(self.now, connection);
                if let Some(wire) = self.wires.get_mut(&connection) {
                    wire.down.push_back((Arrival::Opened, vec![]));
                }
            }
            Arrival::Frame(bytes) => self.relay.receive(self.now, connection, bytes),
            Arrival::Closed(_) => {
                self.relay.closed(self.now, connection);
                self.wires.remove(&connection);
            }
        }
        self.serve(connection, &mut refuse);
        said
    }
    /// The store does all that this connection asks of it.
    fn serve(&mut self, connection: Connection, refuse: &mut Option<usize>) {
        loop {
            self.carry();
            let next = self.relay.under_way().find(|(_, ask)| ask.connection == connection);
            let Some((ticket, ask)) = next else { return };
            let is_new = ask.answer.is_none() && matches!(ask.ask, Request::Append(_));
            let event = refuse.filter(|_| is_new).and_then(|n| self.relay.refusable(ticket).get(n).copied());
            if event.is_some() {
                *refuse = None;
            }
            self.relay.step(self.now, ticket, event.map_or(Manner::Do, Manner::Refuse));
        }
    }
    /// The next hint of the feed reaches a connection.
    pub fn pump(&mut self, connection: Connection) {
        self.relay.pump(self.now, connection);
        self.serve(connection, &mut None);
    }
    /// The next frame of a connection reaches its device.
    pub fn down(&mut self, connection: Connection) -> Vec<Telling> {
        let Some(wire) = self.wires.get_mut(&connection) else { return vec![] };
        let Some((arrival, telling)) = wire.down.pop_front() else { return vec![] };
        let (device, socket) = (wire.device, wire.socket);
        self.devices[device].arrives(self.now, socket, arrival);
        self.carry();
        self.settle(device);
        telling
    }

    /// All devices are offline, and nothing that is under way arrives.
    fn cut_all(&mut self) {
        for device in self.links.keys().copied().collect::<Vec<_>>() {
            self.tell(device, Input::Disconnect);
        }
        self.wires.clear();
        self.relay.crash(false);
    }
    /// The relay's process dies and starts again.
    pub fn relay_crash(&mut self) {
        self.cut_all();
    }
    /// A copy of its store is made.
    pub fn relay_backup(&mut self) {
        self.backup = Some(self.relay.store.backup());
    }
    /// The copy takes the store's place.
    pub fn relay_restore(&mut self) {
        self.cut_all();
        if let Some(backup) = &self.backup {
            self.relay.store.restore(backup);
        }
    }
    /// The store is empty, and a new log begins.
    pub fn relay_loses(&mut self) {
        self.cut_all();
        self.relay.store.lose();
        self.bear();
    }
    /// The log is replaced by a snapshot. What the feed has told reaches the connections before.
    pub fn trim(&mut self) {
        let part_births_max = 1 + self.rng.below(4) as usize;
        self.relay.store.trim(&self.stream, part_births_max);
    }

    /// A copy of the profile is made.
    pub fn device_saves(&mut self, device: usize) {
        self.devices[device].saved = Some(self.devices[device].disk.copy());
    }
    /// The copy takes the profile's place; `None`: an empty one does.
    pub fn device_restores(&mut self, device: usize, saved: bool) {
        self.tell(device, Input::Disconnect);
        self.devices[device].crash(false);
        let copy = self.devices[device].saved.as_ref().filter(|_| saved).map(|disk| disk.copy());
        self.devices[device].disk = copy.unwrap_or_default();
        self.start(device);
    }
    /// The first device's profile is used on the last device too.
    pub fn clone_profile(&mut self) {
        let last = self.devices.len() - 1;
        self.devices[last].disk = self.devices[0].disk.copy();
        self.start(last);
    }
}
