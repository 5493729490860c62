//! What machines do to each other: frames, timers, effects.

use super::World;
use crate::birth::{Birth, birth_of};
use crate::device_node::Effect;
use crate::memory::Held;
use crate::network::{Arrival, Connection, NetworkInput, Way};
use crate::oracle::Broken;
use crate::skew;
use sync_core::device::{Notice, Own, Socket};
use sync_core::time::Millis;

impl World {
    pub(super) fn arrives(&mut self, connection: Connection, way: Way) {
        let Some((device, socket)) = self.network.end(connection) else { return };
        let Some(arrival) = self.network.poll_output(connection, way) else { return };
        self.coverage.arrival(&arrival, way, self.devices[device].version);
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
                    Arrival::Frame(bytes) => {
                        let bytes = skew::up(self.devices[device].version, bytes);
                        self.relay.receive(self.now, connection, bytes);
                    }
                    Arrival::Closed(_) => self.relay.closed(self.now, connection),
                }
            }
            Way::Down => {
                if says {
                    self.say(format!("relay -> {letter}/{connection}: {what}"));
                }
                if !self.opened.contains_key(&connection) && matches!(arrival, Arrival::Frame(_)) {
                    self.coverage.is("network", "frame on a socket given up");
                }
                if matches!(arrival, Arrival::Closed(_)) {
                    self.opened.remove(&connection);
                }
                let arrival = match arrival {
                    Arrival::Frame(bytes) => Arrival::Frame(skew::down(self.devices[device].version, bytes)),
                    other => other,
                };
                self.devices[device].arrives(self.now, socket, arrival);
            }
        }
    }

    /// Time moves to the next timer, and whoever set it is called.
    pub(super) fn passes(&mut self) {
        if let Some(at) = self.next_wake() {
            self.now = self.now.max(at);
            self.wake();
        }
    }

    pub(super) fn next_wake(&self) -> Option<Millis> {
        let devices = self.devices.iter().filter_map(|node| node.wake_at());
        let slow = self.slow.values().copied().filter(|at| *at > self.now);
        let network = self.network.wake_at().filter(|at| *at > self.now);
        devices.chain(network).chain(slow).chain(self.relay.wake_at()).filter(|at| *at < Millis(u64::MAX)).min()
    }

    pub(super) fn wake(&mut self) {
        self.relay.wake(self.now);
        for device in 0..self.devices.len() {
            self.devices[device].wake(self.now);
        }
    }

    /// Hands what machines have done to the network and the oracle.
    pub(super) fn carry(&mut self) {
        while let Some(input) = self.relay.poll_output() {
            self.network.handle_input(self.now, input);
        }
        for (connection, held) in std::mem::take(&mut self.relay.held) {
            self.holds(&format!("the relay for {connection}"), held);
        }
        for device in 0..self.devices.len() {
            while let Some(effect) = self.devices[device].poll_output() {
                self.effect(device, effect);
            }
        }
    }

    pub(super) fn effect(&mut self, device: usize, effect: Effect) {
        let connection = |world: &World, number: Socket| world.network.connection(device, number);
        match effect {
            Effect::Dial(number) => {
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
                self.coverage.notice(&notice);
                if let Notice::Appended { event, .. } = &*notice {
                    self.trace.knows(event);
                }
                if let Notice::Applied { events, .. } = &*notice
                    && events.iter().filter_map(|event| birth_of(&event.content)).any(|birth| self.is_of(device, birth))
                {
                    self.coverage.own(Own::Seen);
                }
                if let Some(text) = self.trace.notice(&notice) {
                    self.say(format!("{} {text}", World::letter(device)));
                }
                self.oracle.told(device, &self.devices[device], &self.relay.store, &notice);
            }
            Effect::Misread(why) => self.breaks(3, format!("device {device}: {why}")),
            Effect::Holds(held) => self.holds(&format!("device {device}"), held),
        }
    }

    fn is_of(&self, device: usize, birth: Birth) -> bool {
        self.oracle.born.get(birth as usize).is_some_and(|born| born.device == device)
    }

    /// Promise 7.
    fn holds(&mut self, who: &str, held: Held) {
        match held {
            Held::Full(what) => self.coverage.is("full", what),
            Held::TooMuch(how) => self.breaks(7, format!("{who} holds {how}")),
        }
    }
    fn breaks(&mut self, promise: u8, how: String) {
        self.seen.get_or_insert(Broken { promise, how });
    }
}
