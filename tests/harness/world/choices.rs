//! What may happen next: progress, work, and faults as far as the budget goes.

use super::World;
use crate::actions::Action;
use crate::network::{Connection, Way};
use crate::relay_node::Manner;
use sync_core::device::Own;
use sync_core::event::Event;
use sync_core::ids::{Offset, StreamName};
use sync_core::relay::Request;

impl World {
    /// What can go on now without time passing.
    pub fn progress(&self) -> Vec<Action> {
        let mut actions = vec![];
        for (device, node) in self.devices.iter().enumerate().filter(|(_, node)| node.is_awake(self.now)) {
            actions.extend(node.disk.steps().map(|step| Action::Disk(device, step)));
        }
        let hears = |(connection, way): &(Connection, Way)| match way {
            Way::Down => self.owner(*connection).is_none_or(|device| !self.devices[device].is_asleep(self.now)),
            Way::Up => self.relay.wants_input(*connection),
        };
        let lanes = self.network.ready(self.now).into_iter().filter(hears);
        actions.extend(lanes.map(|(connection, way)| Action::Arrives(connection, way)));
        let is_slow = |ticket: &u64| self.slow.get(ticket).is_some_and(|until| *until > self.now);
        let tickets = self.relay.under_way().map(|(ticket, _)| ticket).filter(|ticket| !is_slow(ticket));
        actions.extend(tickets.map(Action::Store));
        actions.extend(self.relay.hinted().map(Action::RelayPumps));
        actions
    }

    /// Everything that may happen now.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = self.progress();
        actions.push(Action::Passes);
        let left = &self.left;
        let is_free = |used: usize| used > 0;
        for (device, node) in self.devices.iter().enumerate().filter(|(_, node)| node.is_awake(self.now)) {
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
        self.faults_of_hosts(&mut actions);
        self.relay_faults(&mut actions);
        let is_used = self.devices.first().is_some_and(|node| node.disk.commits > 1);
        let has_slot = self.devices.last().is_some_and(|node| !node.used);
        if left.clone_appends.is_some() && is_used && has_slot {
            actions.push(Action::Clone);
        }
        actions
    }

    /// Hosts, pages and clocks.
    fn faults_of_hosts(&self, actions: &mut Vec<Action>) {
        let left = &self.left;
        for (device, node) in self.devices.iter().enumerate().filter(|(_, node)| node.is_awake(self.now)) {
            if node.has_frozen_host() {
                actions.push(Action::HostThaws(device));
            } else if left.takeovers > 0 {
                actions.push(Action::HostFreezes(device));
            }
            if left.pages > 0 {
                actions.push(if node.pages > 1 { Action::PageCloses(device) } else { Action::PageOpens(device) });
            }
            for (number, stream) in self.streams.iter().enumerate() {
                if !node.follows(stream) {
                    actions.push(Action::StreamOpens(device, number));
                } else if left.pages > 0 {
                    actions.push(Action::StreamCloses(device, number));
                }
            }
            if left.sleeps > 0 {
                actions.extend([
                    Action::Sleeps(device, false),
                    Action::Sleeps(device, true),
                    Action::ClockJumps(device),
                ]);
            }
        }
        if left.sleeps > 0 {
            actions.push(Action::Days);
        }
    }

    pub(super) fn relay_faults(&self, actions: &mut Vec<Action>) {
        let left = &self.left;
        for (ticket, under_way) in self.relay.under_way().filter(|(_, under_way)| under_way.answer.is_none()) {
            if left.refusals > 0 && !self.relay.refusable(ticket).is_empty() {
                actions.push(Action::Refuses(ticket));
            }
            if left.store_faults > 0 {
                if !self.slow.contains_key(&ticket) {
                    actions.push(Action::StoreSlow(ticket));
                }
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
        if self.relay_full {
            actions.push(Action::RelayFrees);
        } else if left.relay_fills > 0 {
            actions.push(Action::RelayFills);
        }
        if left.new_epochs > 0 && self.head() > 0 {
            actions.push(Action::NewEpochs);
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

    pub(super) fn head(&self) -> u64 {
        self.relay.store.logs().map(|(_, log)| log.head).max().unwrap_or(Offset::ZERO).0
    }

    pub(super) fn discardable(&self, device: usize) -> Option<(StreamName, Event)> {
        let node = &self.devices[device];
        node.streams.iter().find_map(|stream| {
            let pending = node.pending(stream);
            let unsent = pending.into_iter().find(|(_, own)| *own == Own::Unsent);
            unsent.map(|(event, _)| (stream.clone(), event))
        })
    }
}
