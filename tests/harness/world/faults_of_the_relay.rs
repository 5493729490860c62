//! Faults of the network, of the relay and of its store.

use super::World;
use crate::actions::Action;
use crate::birth::birth_of;
use crate::network::{NetworkInput, Way};
use crate::relay_node::{Manner, Ticket};
use sync_core::device::Input;
use sync_core::relay::Request;
use sync_core::relay::store::Body;

impl World {
    pub(super) fn network_fault(&mut self, action: Action) {
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

    pub(super) fn relay_stops(&mut self) {
        let finish = self.rng.percent(50);
        for connection in self.relay.crash(finish) {
            self.network.handle_input(self.now, NetworkInput::HangUp { connection, way: Way::Down, code: None });
        }
    }

    pub(super) fn relay_forgot(&mut self) {
        self.oracle.losses += 1;
        self.oracle.excuse(&self.relay.store, &self.devices);
    }

    pub(super) fn store(&mut self, ticket: Ticket, manner: Manner) {
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
        // A full disk stores nothing; what it has can be read.
        let writes = matches!(under_way.ask, Request::Append(_) | Request::Heal(_)) && under_way.answer.is_none();
        let manner = if self.relay_full && writes { Manner::Busy } else { manner };
        let text = match under_way.answer {
            Some(_) => format!("store answers {connection}: {what}"),
            None => format!("store {manner:?} {connection}: {what}"),
        };
        if let (Request::Append(append), Manner::Refuse(event)) = (&under_way.ask, manner)
            && let Body::Event { content, .. } = &append.items[event].body
        {
            self.oracle.refused_by_relay.extend(birth_of(content));
        }
        self.slow.remove(&ticket);
        self.relay.step(self.now, ticket, manner);
        let logs: Vec<String> = self
            .relay
            .store
            .logs()
            .map(|(stream, log)| format!("{stream}{}", self.trace.names.list(log.births())))
            .collect();
        self.say(format!("{text} | {}", logs.join(" ")));
    }
}
