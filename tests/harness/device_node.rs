//! A device: the real `Device` on a simulated disk, with tabs that read its log. What a shell does is done here.

use crate::birth::{Birth, birth_of, births_in};
use crate::disk::{Disk, DiskInput, DiskStep};
use crate::rng::Rng;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use sync_core::device::{Device, Input, Notice, Options, Output, Own, Page, Rejection, Socket, StreamState};
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;
use sync_core::time::Millis;

/// How many bytes a tab reads at once: few, so that it needs many pages.
const PAGE_BYTES: usize = 300;

/// What a device does to the world.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Opens a socket.
    Dial(Socket),
    /// Sends a frame.
    Send(Socket, Bytes),
    /// Closes a socket.
    HangUp(Socket),
    /// Tells its pages something.
    Notice(Box<Notice>),
    /// A tab has read its log in another way than it should.
    Misread(String),
}

/// A page that shows one stream: a reader with a position, which follows what is applied and reads what it has missed.
#[derive(Clone, Debug, Default)]
pub struct Tab {
    /// The log that its position is in.
    pub epoch: Epoch,
    /// What it has read up to.
    pub position: Offset,
    /// The check of what it has read, by its own computation. `None`: it began with a snapshot and was not told yet.
    check: Option<Check>,
    /// What it shows.
    pub births: Vec<Birth>,
    /// The read it waits for.
    waits_for: Option<u64>,
    /// It has heard of events behind its position ...
    behind: bool,
    /// ... while it waited for a page.
    heard: bool,
}

impl Tab {
    fn reset(&mut self, epoch: Epoch) {
        *self = Tab { epoch, check: Some(digest::check_of_empty(epoch)), behind: true, ..Tab::default() };
    }
    /// The check of what it has read, if it is known.
    pub fn check(&self) -> Option<Check> {
        self.check
    }
    /// Whether it has nothing more to read that it knows of.
    pub fn is_current(&self) -> bool {
        self.waits_for.is_none() && !self.behind
    }
    fn take(&mut self, events: &[Event], upto: Offset, check: Check) -> Result<(), String> {
        for event in events {
            if event.offset <= self.position || event.offset > upto {
                return Err(format!("{:?} is not in ({:?}, {upto:?}]", event.offset, self.position));
            }
            self.position = event.offset;
            self.births.extend(birth_of(&event.content));
            self.check = self.check.map(|before| digest::check(before, event.id, event.tag));
        }
        self.position = upto;
        if self.check.is_some_and(|own| own != check) {
            return Err(format!("the check at {upto:?} is not that of the events before it"));
        }
        self.check = Some(check);
        Ok(())
    }
}

/// A physical device.
pub struct DeviceNode {
    rng: Rng,
    /// Whether it is in use: a slot for a clone is not before the clone is made.
    pub used: bool,
    machine: Option<Device>,
    /// Its user keeps it offline.
    pub away: bool,
    /// Its profile.
    pub disk: Disk,
    /// An older copy of its profile.
    pub saved: Option<Disk>,
    /// The streams it follows.
    pub streams: Vec<StreamName>,
    /// What its pages show of each.
    pub tabs: BTreeMap<StreamName, Tab>,
    reads: u64,
    /// When it wants to be woken.
    pub wake: Option<Millis>,
    effects: VecDeque<Effect>,
    /// Ground truth: appends made by this hardware.
    pub appends: usize,
    /// How often it was started: a socket of an earlier start is of a machine that is gone.
    starts: u64,
}

impl DeviceNode {
    /// Hardware with an empty profile, switched off.
    pub fn new(seed: u64, streams: &[StreamName]) -> DeviceNode {
        DeviceNode {
            rng: Rng::new(seed),
            used: false,
            machine: None,
            away: false,
            disk: Disk::default(),
            saved: None,
            streams: streams.to_vec(),
            tabs: BTreeMap::new(),
            reads: 0,
            wake: None,
            effects: VecDeque::new(),
            appends: 0,
            starts: 0,
        }
    }

    /// Switches it on.
    pub fn start(&mut self, now: Millis) {
        self.switch_on();
        for stream in self.streams.clone() {
            self.handle_input(now, Input::Open { stream });
        }
        self.handle_input(now, Input::Connect);
    }
    fn switch_on(&mut self) {
        self.used = true;
        self.away = false;
        self.starts += 1;
        self.machine = Some(Device::new(self.rng.seed(), Options { relay: true, wants_token: false }));
        self.wake = None;
        self.tabs =
            self.streams.iter().map(|stream| (stream.clone(), Tab { behind: true, ..Tab::default() })).collect();
    }
    /// It is gone from one moment to the next. `landed`: the transaction under way was stored.
    pub fn crash(&mut self, landed: bool) {
        self.machine = None;
        self.wake = None;
        self.tabs.clear();
        self.effects.clear();
        self.disk.crash(landed);
    }
    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.machine.is_some()
    }

    /// The number under which the network knows a socket of this start.
    pub fn socket_number(&self, socket: Socket) -> Socket {
        self.starts * 1_000_000 + socket
    }
    /// Something arrives on a socket.
    pub fn arrives(&mut self, now: Millis, number: Socket, arrival: crate::network::Arrival) {
        use crate::network::Arrival;
        if number / 1_000_000 != self.starts {
            return;
        }
        let socket = number % 1_000_000;
        self.handle_input(
            now,
            match arrival {
                Arrival::Opened => Input::SocketOpened(socket),
                Arrival::Frame(bytes) => Input::Frame { socket, bytes },
                Arrival::Closed(code) => Input::SocketClosed { socket, code },
            },
        );
    }
    /// Its disk does something.
    pub fn disk_step(&mut self, now: Millis, step: DiskStep) {
        if let Some(input) = self.disk.poll_output(step) {
            self.handle_input(now, input);
        }
    }

    /// Gives the machine an input and performs its outputs: the drain rule.
    pub fn handle_input(&mut self, now: Millis, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(machine) = &mut self.machine else { return };
            machine.handle_input(now, input);
            while let Some(output) = self.machine.as_mut().and_then(Device::poll_output) {
                match output {
                    Output::Commit { transaction, writes } => {
                        self.disk.handle_input(DiskInput::Commit { transaction, writes });
                    }
                    Output::Load { request, table, from, to, bytes_max } => {
                        self.disk.handle_input(DiskInput::Load { request, table, from, to, bytes_max });
                    }
                    Output::Dial(socket) => self.effects.push_back(Effect::Dial(socket)),
                    Output::Send { socket, bytes } => {
                        self.effects.push_back(Effect::Send(socket, bytes));
                        inputs.push_back(Input::Buffered { socket, bytes: 0 });
                    }
                    Output::HangUp(socket) => self.effects.push_back(Effect::HangUp(socket)),
                    Output::NeedsToken { .. } => inputs.push_back(Input::Token(Some("token".into()))),
                    Output::WakeAt(at) => self.wake = Some(at),
                    Output::Page(page) => self.read(page),
                    Output::Notice(notice) => {
                        self.follow(&notice);
                        self.effects.push_back(Effect::Notice(Box::new(notice)));
                    }
                }
            }
            inputs.extend(self.reads());
        }
    }
    /// What it has done to the world since it was asked last.
    pub fn poll_output(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn follow(&mut self, notice: &Notice) {
        match notice {
            Notice::Reset { stream, epoch } => {
                if let Some(tab) = self.tabs.get_mut(stream) {
                    tab.reset(*epoch);
                }
            }
            Notice::Applied { stream, epoch, after, upto, check, events } => {
                let Some(tab) = self.tabs.get_mut(stream) else { return };
                if tab.waits_for.is_none() && (*epoch, *after) == (tab.epoch, tab.position) {
                    if let Err(why) = tab.take(events, *upto, *check) {
                        self.effects.push_back(Effect::Misread(format!("applied {stream}: {why}")));
                    }
                } else if *epoch != tab.epoch || *upto > tab.position {
                    (tab.behind, tab.heard) = (true, tab.waits_for.is_some());
                }
            }
            _ => {}
        }
    }
    /// A page of the log came.
    fn read(&mut self, page: Page) {
        let Some(tab) = self.tabs.get_mut(&page.stream).filter(|tab| tab.waits_for == Some(page.request)) else {
            return;
        };
        tab.waits_for = None;
        if page.snapshot.is_some() || (page.epoch, page.after) != (tab.epoch, tab.position) {
            if page.snapshot.is_none() && page.after != Offset::ZERO {
                let why = format!("a page of {} goes on at {:?}, not at {:?}", page.stream, page.after, tab.position);
                return self.effects.push_back(Effect::Misread(why));
            }
            let heard = tab.heard;
            tab.reset(page.epoch);
            tab.heard = heard;
        }
        if let Some(snapshot) = &page.snapshot {
            (tab.births, tab.position, tab.check) = (births_in(snapshot), page.after, None);
        }
        tab.behind = page.more || std::mem::take(&mut tab.heard);
        if let Err(why) = tab.take(&page.events, page.upto, page.check) {
            self.effects.push_back(Effect::Misread(format!("read {}: {why}", page.stream)));
        }
    }
    /// The reads that tabs want.
    fn reads(&mut self) -> Vec<Input> {
        let mut wanted = vec![];
        for (stream, tab) in self.tabs.iter_mut().filter(|(_, tab)| tab.behind && tab.waits_for.is_none()) {
            self.reads += 1;
            tab.waits_for = Some(self.reads);
            let (request, after) = (self.reads, tab.position);
            wanted.push(Input::Read { request, stream: stream.clone(), after, bytes_max: PAGE_BYTES });
        }
        wanted
    }
    /// Its pages are loaded anew: they read from the start.
    pub fn reload(&mut self, now: Millis) {
        self.tabs.values_mut().for_each(|tab| *tab = Tab { behind: true, ..Tab::default() });
        self.handle_input(now, Input::Timer);
    }

    /// The state of a stream, if the device is on and follows it.
    pub fn state(&self, stream: &StreamName) -> Option<StreamState> {
        self.machine.as_ref().and_then(|machine| machine.stream_state(stream))
    }
    /// Own open events of a stream, in order.
    pub fn pending(&self, stream: &StreamName) -> Vec<(Event, Own)> {
        self.machine.as_ref().map_or(vec![], |machine| machine.pending(stream))
    }
    /// The list of rejections.
    pub fn rejections(&self) -> Vec<(StreamName, Rejection)> {
        self.machine.as_ref().map_or(vec![], Device::rejections)
    }
}
