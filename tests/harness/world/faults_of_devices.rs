//! Faults of devices, their disks and their profiles.

use super::World;
use crate::actions::Action;
use crate::network::{Connection, NetworkInput, Way};
use sync_core::device::Input;

impl World {
    pub(super) fn device_fault(&mut self, action: Action) {
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
            other => self.host_fault(other),
        }
    }

    /// Hosts, pages and clocks.
    fn host_fault(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::HostFreezes(device) => {
                self.left.takeovers = self.left.takeovers.saturating_sub(1);
                let landed = self.rng.percent(50);
                self.devices[device].take_over(now, landed);
                self.oracle.host_gone(device);
            }
            Action::HostThaws(device) => {
                let notices_first = self.rng.percent(50);
                self.devices[device].thaw(now, notices_first);
            }
            Action::PageOpens(device) | Action::PageCloses(device) => {
                self.left.pages = self.left.pages.saturating_sub(usize::from(action == Action::PageOpens(device)));
                self.devices[device].set_pages(now, if action == Action::PageOpens(device) { 2 } else { 1 });
            }
            Action::StreamCloses(device, stream) => {
                self.left.pages = self.left.pages.saturating_sub(1);
                self.devices[device].close(now, &self.streams[stream]);
            }
            Action::StreamOpens(device, stream) => self.devices[device].open(now, &self.streams[stream]),
            Action::Sleeps(device, stands_still) => {
                self.left.sleeps = self.left.sleeps.saturating_sub(1);
                let until = now.plus(1_000 + self.rng.below(10 * 60_000));
                self.devices[device].sleep(now, until, stands_still);
            }
            Action::ClockJumps(device) => {
                self.left.sleeps = self.left.sleeps.saturating_sub(1);
                self.devices[device].wall_ahead_ms = self.rng.below(1 << 40) as i64 - (1 << 39);
            }
            other => unreachable!("{other:?} is no fault of a device"),
        }
    }

    pub(super) fn profile_changed(&mut self, device: usize) {
        self.oracle.profile_changed(device, &self.devices[device]);
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
        self.oracle.host_gone(device);
        let own: Vec<Connection> =
            self.opened.iter().filter(|(_, (owner, _))| *owner == device).map(|(connection, _)| *connection).collect();
        for connection in own {
            self.opened.remove(&connection);
            self.network.handle_input(self.now, NetworkInput::HangUp { connection, way: Way::Up, code: None });
        }
    }
}
