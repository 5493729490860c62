//! Everything that can happen in the world, one step at a time, and how often.

use crate::disk::DiskStep;
use crate::network::{Connection, Way};
use crate::relay_node::{Manner, Ticket};

/// One step of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    // progress: what a fair run keeps doing
    /// The device's disk does something.
    Disk(usize, DiskStep),
    /// Something arrives.
    Arrives(Connection, Way),
    /// The store does a request, or its answer arrives.
    Store(Ticket),
    /// A hint of the feed reaches a connection.
    RelayPumps(Connection),
    /// Nothing happens until the next timer.
    Passes,
    // work
    /// A device writes into its stream of this number; on top of its own last event, or not.
    Append(usize, usize, bool),
    /// A user throws an unsent event away.
    Discard(usize),
    // faults
    /// The store does the request, but for an event that is refused.
    Refuses(Ticket),
    /// The store does a request in another way.
    StoreFails(Ticket, Manner),
    /// The feed loses a hint (`false`) or tells it twice.
    HintFails(Connection, bool),
    /// The connection breaks.
    Cut(Connection),
    /// The device gives its socket up and dials again.
    Abandon(usize),
    /// The device goes offline, for as long as it likes.
    Leaves(usize),
    /// It comes back.
    Returns(usize),
    /// A lane is silent for a minute or more.
    Silence(Connection, Way),
    /// The relay's process dies and is started again.
    RelayCrash,
    /// The relay restarts in good order.
    RelayDrain,
    /// A backup of the store is made.
    RelayBackup,
    /// The store is replaced by the backup.
    RelayRestore,
    /// The operator gives all logs new epochs.
    NewEpochs,
    /// The store is empty.
    RelayLoses,
    /// A stream's log is replaced by a snapshot.
    Trim(usize),
    /// The device dies and is started again.
    DeviceCrash(usize),
    /// A copy of the profile is made.
    DeviceSaves(usize),
    /// The profile is replaced by the copy.
    DeviceRestores(usize),
    /// The profile is empty.
    DeviceWiped(usize),
    /// The first device's profile is used on another machine too.
    Clone,
    /// The disk is full.
    DiskFills(usize),
    /// There is room again.
    DiskFrees(usize),
    /// The next transaction fails.
    DiskFails(usize),
    /// The host of the device's engine stands still while another takes over.
    HostFreezes(usize),
    /// The old host goes on, with what it had under way.
    HostThaws(usize),
    /// A second page of the device is opened.
    PageOpens(usize),
    /// It is closed again.
    PageCloses(usize),
    /// All pages of the device let this stream go.
    StreamCloses(usize, usize),
    /// A page opens it again.
    StreamOpens(usize, usize),
    /// The device stands still for minutes; its own clock stands still with it, or not.
    Sleeps(usize, bool),
    /// Nobody does anything for days.
    Days,
    /// The wall clock of a device jumps, either way.
    ClockJumps(usize),
    /// A request takes the store seconds.
    StoreSlow(Ticket),
    /// The relay's disk is full: nothing more is stored ...
    RelayFills,
    /// ... until there is room again.
    RelayFrees,
}

impl Action {
    /// The kind of fault that it is, by its name in [`Budget::faults`] or here; `None`: progress or work.
    pub fn fault(self) -> Option<&'static str> {
        Some(match self {
            Action::Disk(..) | Action::Arrives(..) | Action::Store(_) | Action::RelayPumps(_) | Action::Passes => {
                return None;
            }
            Action::Append(..) | Action::DeviceSaves(_) | Action::RelayBackup => return None,
            Action::DiskFrees(_) | Action::RelayFrees | Action::Returns(_) | Action::StreamOpens(..) => return None,
            Action::Discard(_) => "discard",
            Action::Refuses(_) => "refusal",
            Action::StoreFails(_, Manner::Busy) => "store-busy",
            Action::StoreFails(..) => "store-unknown",
            Action::HintFails(_, false) => "hint-lost",
            Action::HintFails(_, true) => "hint-twice",
            Action::Cut(_) => "cut",
            Action::Abandon(_) => "old-socket",
            Action::Leaves(_) => "absence",
            Action::Silence(..) => "half-open",
            Action::RelayCrash => "relay-crash",
            Action::RelayDrain => "relay-drain",
            Action::RelayRestore => "relay-restore",
            Action::RelayLoses => "relay-loss",
            Action::NewEpochs => "new-epochs",
            Action::Trim(_) => "trim",
            Action::DeviceCrash(_) => "device-crash",
            Action::DeviceRestores(_) => "device-restore",
            Action::DeviceWiped(_) => "wipe",
            Action::Clone => "clone",
            Action::DiskFills(_) => "quota",
            Action::DiskFails(_) => "disk-failure",
            Action::HostFreezes(_) => "host-frozen",
            Action::HostThaws(_) => "host-thawed",
            Action::PageOpens(_) => "second-page",
            Action::PageCloses(_) => "page-closed",
            Action::StreamCloses(..) => "stream-closed",
            Action::Sleeps(..) => "sleep",
            Action::Days => "days",
            Action::ClockJumps(_) => "clock-jump",
            Action::StoreSlow(_) => "store-slow",
            Action::RelayFills => "relay-disk-full",
        })
    }
}

/// How often each thing may happen. 0: never.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Budget {
    /// Appends of each device.
    pub appends: Vec<usize>,
    /// Appends of the machine that a clone is made on; `None`: no clone is made.
    pub clone_appends: Option<usize>,
    /// Connections that break, are given up, or fall silent.
    pub cuts: usize,
    /// Devices that go offline.
    pub absences: usize,
    /// The relay's process dies or restarts.
    pub relay_crashes: usize,
    /// The relay's disk is lost.
    pub relay_losses: usize,
    /// The relay's disk is taken back.
    pub relay_restores: usize,
    /// A profile is taken back.
    pub device_restores: usize,
    /// A profile is wiped.
    pub wipes: usize,
    /// Events refused.
    pub refusals: usize,
    /// Logs trimmed.
    pub trims: usize,
    /// Events thrown away.
    pub discards: usize,
    /// Devices that die.
    pub device_crashes: usize,
    /// Stores that are busy or do not know, hints lost or repeated.
    pub store_faults: usize,
    /// Disks full or failing.
    pub disk_faults: usize,
    /// Hosts that are taken over while they stand still.
    pub takeovers: usize,
    /// Second pages, and streams that all pages close.
    pub pages: usize,
    /// Devices that sleep, wall clocks that jump, days in which nobody does anything.
    pub sleeps: usize,
    /// The operator gives the logs new epochs.
    pub new_epochs: usize,
    /// The relay's disk is full for a while.
    pub relay_fills: usize,
}

impl Budget {
    /// The kinds of fault, by name, and how often each may happen.
    pub fn faults(&mut self) -> [(&'static str, &mut usize); 18] {
        [
            ("cuts", &mut self.cuts),
            ("absences", &mut self.absences),
            ("relay-crashes", &mut self.relay_crashes),
            ("relay-losses", &mut self.relay_losses),
            ("relay-restores", &mut self.relay_restores),
            ("device-restores", &mut self.device_restores),
            ("wipes", &mut self.wipes),
            ("refusals", &mut self.refusals),
            ("trims", &mut self.trims),
            ("discards", &mut self.discards),
            ("device-crashes", &mut self.device_crashes),
            ("store-faults", &mut self.store_faults),
            ("disk-faults", &mut self.disk_faults),
            ("takeovers", &mut self.takeovers),
            ("pages", &mut self.pages),
            ("sleeps", &mut self.sleeps),
            ("new-epochs", &mut self.new_epochs),
            ("relay-fills", &mut self.relay_fills),
        ]
    }
}
