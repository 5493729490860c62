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
    /// The store's disk catches up (only where it answers before).
    RelaySync,
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
}
