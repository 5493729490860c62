//! Runs without faults, to the end or for a while.

use super::{Budget, World};
use crate::actions::Action;
use crate::network::NetworkInput;
use crate::oracle::Broken;
use sync_core::device::Input;

/// After faults have stopped all must come to rest within this time ...
const MS_MAX: u64 = 10 * 60_000;
/// ... and no device dials more often than this, ...
const DIALS_MAX: u64 = 5;
/// ... sends and receives more frames than this for itself, and for each event that was ever written, ...
const FRAMES_MAX: u64 = 100;
const FRAMES_PER_EVENT_MAX: u64 = 10;
/// ... and more bytes, nor each event's more often.
const BYTES_MAX: u64 = 32 * 1024;
const COPIES_MAX: u64 = 4;

/// What may still go over the network.
struct Allowed {
    dials: u64,
    frames: u64,
    frame_bytes: u64,
}

impl World {
    /// One step of progress, drawn by chance. False: only time can go on.
    pub(super) fn goes_on(&mut self) -> Result<bool, Broken> {
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

    /// The same for a crowd: all that can go on goes on, in order, before it is asked again what can.
    pub fn march_ms(&mut self, ms: u64) -> Result<(), Broken> {
        let end = self.now.plus(ms);
        loop {
            let actions = self.progress();
            if !actions.is_empty() {
                actions.into_iter().try_for_each(|action| self.perform(action))?;
                continue;
            }
            match self.next_wake() {
                Some(at) if at <= end => self.perform(Action::Passes)?,
                _ => break,
            }
        }
        self.now = end;
        Ok(())
    }

    /// Faults stop. All must come to rest, equal, and nobody may need much for it: no retry storms.
    pub fn settle(&mut self) -> Result<(), Broken> {
        self.say("-- faults stop".into());
        self.left = Budget::default();
        self.backup = None;
        self.network.calm();
        self.relay.store.calm();
        if self.relay.store.failed_calls() > 0 {
            self.coverage.is("disk", "call failed");
        }
        self.relay_full = false;
        self.slow.clear();
        for device in 0..self.devices.len() {
            self.devices[device].disk.full = false;
            self.devices[device].disk.failing = false;
            self.devices[device].calm(self.now);
            if self.devices[device].used && !self.devices[device].is_on() {
                self.start(device);
            }
            self.devices[device].handle_input(self.now, Input::Connect);
        }
        self.carry();
        let end = self.now.plus(MS_MAX);
        let allowed = self.allowed();
        loop {
            while self.goes_on()? {
                self.is_calm(&allowed)?;
            }
            let unsettled = self.oracle.unsettled(&self.relay.store, &self.devices);
            let Some(why) = unsettled else { break };
            if self.now > end || self.next_wake().is_none() {
                return self.never(why);
            }
            self.perform(Action::Passes)?;
        }
        self.documents_are_right()?;
        self.reload()?;
        self.documents_are_right()
    }

    /// Every page's document is what plain Automerge makes of the relay's log, which it has never seen.
    fn documents_are_right(&mut self) -> Result<(), Broken> {
        for stream in self.streams.iter().filter(|_| self.documents) {
            let log = self.relay.store.log(stream).map_or(vec![], |log| log.changes());
            for (device, node) in self.devices.iter_mut().enumerate().filter(|(_, node)| node.used) {
                if let Some(how) = node.differs(stream, &log) {
                    let how = format!("the document {stream} of device {device} is not that of the log: {how}");
                    return Err(Broken { promise: 6, how });
                }
            }
        }
        Ok(())
    }

    fn allowed(&self) -> Allowed {
        let (devices, events) = (self.devices.len() as u64, self.oracle.born.len() as u64);
        Allowed {
            dials: self.network.dials() + devices * DIALS_MAX,
            frames: self.network.frames + devices * (FRAMES_MAX + events * FRAMES_PER_EVENT_MAX),
            frame_bytes: self.network.frame_bytes + devices * (BYTES_MAX + self.written_bytes * COPIES_MAX),
        }
    }
    fn is_calm(&self, allowed: &Allowed) -> Result<(), Broken> {
        let Allowed { dials, frames, frame_bytes } = *allowed;
        let network = &self.network;
        let counts = [
            ("dials", network.dials(), dials),
            ("frames", network.frames, frames),
            ("bytes", network.frame_bytes, frame_bytes),
        ];
        match counts.iter().find(|(_, count, max)| count > max) {
            Some((what, ..)) => self.never(format!("no rest after too many {what}")),
            None => Ok(()),
        }
    }

    pub(super) fn never(&self, how: String) -> Result<(), Broken> {
        Err(Broken { promise: 6, how: format!("faults have stopped, and still: {how}") })
    }

    /// Pages are loaded anew and must show the same.
    pub(super) fn reload(&mut self) -> Result<(), Broken> {
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
}
