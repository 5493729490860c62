//! A device: the real `Device` on a simulated disk, with tabs that read its log. What a shell does is done here.

use crate::birth::{Birth, birth_of, births_in};
use crate::disk::{Disk, DiskInput, DiskStep};
use crate::document::{self, Change, changes_in};
use crate::memory::{self, Held};
use crate::network::Arrival;
use crate::rng::Rng;
use crate::skew::Version;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use sync_core::device::{
    Device, Input, Notice, Options, Output, Own, Page, Rejection, Socket, StorageError, StreamState,
};
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;
use sync_core::time::Millis;

/// How many bytes a tab reads at once: few, so that it needs many pages.
const PAGE_BYTES: usize = 300;

/// A socket as the network knows it: of this start of the device's host, and its number there.
const SOCKETS_PER_START: u64 = 1_000_000;

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
    /// Holds as much as it may, or more.
    Holds(Held),
}

/// A page that shows one stream: a reader with a position, which follows what is applied and reads what it has missed.
#[derive(Debug, Default)]
pub struct Tab {
    /// The log that its position is in.
    pub epoch: Epoch,
    /// What it has read up to.
    pub position: Offset,
    /// The check of what it has read, by its own computation. `None`: it began with a snapshot and was not told yet.
    check: Option<Check>,
    /// What it shows.
    pub births: Vec<Birth>,
    /// The same as changes of a document ...
    changes: Vec<Change>,
    /// ... which is open once somebody has written into it or looked at it.
    document: Option<document::Page>,
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
            self.brings(changes_in(&event.content));
            self.check = self.check.map(|before| digest::check(before, event.id, event.tag));
        }
        self.position = upto;
        if self.check.is_some_and(|own| own != check) {
            return Err(format!("the check at {upto:?} is not that of the events before it"));
        }
        self.check = Some(check);
        Ok(())
    }
    fn brings(&mut self, changes: Vec<Change>) {
        if let Some(document) = self.document.as_mut().filter(|_| !changes.is_empty()) {
            document.apply(&changes);
        }
        self.changes.extend(changes);
    }
    /// Its document: what it has read, and then what waits.
    fn document(&mut self, actor: impl FnOnce() -> [u8; 16], own: &[Change]) -> &mut document::Page {
        self.document.get_or_insert_with(|| document::Page::open(actor(), &self.changes, own))
    }
}

/// A host that stands still while another one has taken the device over.
struct Frozen {
    machine: Device,
    start: u64,
    dialled: BTreeSet<Socket>,
    /// What has come for it.
    inputs: VecDeque<Input>,
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
    /// What each of its pages shows of each.
    tabs: BTreeMap<(StreamName, usize), Tab>,
    /// How many pages are open.
    pub pages: usize,
    /// Streams that no page needs.
    closed: BTreeSet<StreamName>,
    /// A host that stands still, replaced by the present one.
    frozen: Option<Frozen>,
    reads: u64,
    /// When it wants to be woken, by its own clock.
    wake: Option<Millis>,
    /// It sleeps: since when, until when, and whether its clock stands still meanwhile.
    asleep: Option<(Millis, Millis, bool)>,
    /// How far its clock is behind the world's.
    behind_ms: u64,
    /// How far its wall clock is ahead of the world's.
    pub wall_ahead_ms: i64,
    /// Which version of the protocol it is of.
    pub version: Version,
    /// Sockets of this start.
    dialled: BTreeSet<Socket>,
    effects: VecDeque<Effect>,
    /// Ground truth: appends made by this hardware.
    pub appends: usize,
    /// Inputs that its machines have got.
    pub inputs: u64,
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
            pages: 1,
            closed: BTreeSet::new(),
            frozen: None,
            reads: 0,
            wake: None,
            asleep: None,
            behind_ms: 0,
            wall_ahead_ms: 0,
            version: Version::Same,
            dialled: BTreeSet::new(),
            effects: VecDeque::new(),
            appends: 0,
            inputs: 0,
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
        (self.wake, self.asleep) = (None, None);
        self.dialled.clear();
        self.closed.clear();
        self.load_pages();
    }
    /// Pages begin to read.
    fn load_pages(&mut self) {
        let open = self.streams.iter().filter(|stream| !self.closed.contains(*stream));
        let tabs = open.flat_map(|stream| (0..self.pages).map(|page| (stream.clone(), page)));
        self.tabs = tabs.map(|tab| (tab, Tab { behind: true, ..Tab::default() })).collect();
    }
    /// It is gone from one moment to the next. `landed`: the transaction under way was stored.
    pub fn crash(&mut self, landed: bool) {
        (self.machine, self.frozen) = (None, None);
        self.wake = None;
        self.tabs.clear();
        self.effects.clear();
        self.disk.crash(landed);
    }
    /// Whether it is on.
    pub fn is_on(&self) -> bool {
        self.machine.is_some()
    }
    /// Whether it is on and does not sleep.
    pub fn is_awake(&self, now: Millis) -> bool {
        self.is_on() && !self.is_asleep(now)
    }

    // ---------------------------------------------------------------------------------------------------- hosts

    /// Whether there is one that was replaced and does not know.
    pub fn has_frozen_host(&self) -> bool {
        self.frozen.is_some()
    }
    /// The host stands still, another takes over (R15): it raises the fence, and reads what is stored. `landed`: the
    /// transaction under way was stored before.
    pub fn take_over(&mut self, now: Millis, landed: bool) {
        let Some(machine) = self.machine.take() else { return };
        let under_way = self.disk.transaction();
        let inputs = under_way.filter(|_| landed).map(|transaction| Input::Committed { transaction });
        let dialled = std::mem::take(&mut self.dialled);
        let inputs = inputs.into_iter().collect();
        self.frozen = Some(Frozen { machine, start: self.starts, dialled, inputs });
        self.disk.crash(landed);
        self.start(now);
    }
    /// The old host goes on: with what has come, with what it finds out about its transaction, and without effect on the
    /// local store. Then it knows, and leaves.
    pub fn thaw(&mut self, now: Millis, fenced_first: bool) {
        let Some(Frozen { mut machine, start, mut dialled, mut inputs }) = self.frozen.take() else { return };
        let fenced = Input::StorageFailed(StorageError::Fenced);
        if fenced_first {
            inputs.push_front(fenced)
        } else {
            inputs.push_back(fenced)
        }
        let now = self.clock(now);
        while let Some(input) = inputs.pop_front() {
            machine.handle_input(now, input);
            while let Some(output) = machine.poll_output() {
                match output {
                    Output::Commit { .. } | Output::Load { .. } => {
                        inputs.push_back(Input::StorageFailed(StorageError::Fenced));
                    }
                    Output::Send { socket, bytes } => {
                        self.effects.push_back(Effect::Send(start * SOCKETS_PER_START + socket, bytes));
                    }
                    Output::HangUp(socket) => {
                        dialled.remove(&socket);
                        self.effects.push_back(Effect::HangUp(start * SOCKETS_PER_START + socket));
                    }
                    _ => {}
                }
            }
        }
        self.effects.extend(dialled.into_iter().map(|socket| Effect::HangUp(start * SOCKETS_PER_START + socket)));
    }

    // ---------------------------------------------------------------------------------------------------- pages

    /// Whether some page needs the stream.
    pub fn follows(&self, stream: &StreamName) -> bool {
        !self.closed.contains(stream)
    }
    /// So many pages are open.
    pub fn set_pages(&mut self, now: Millis, pages: usize) {
        self.pages = pages;
        self.tabs.retain(|(_, page), _| *page < pages);
        for stream in self.streams.iter().filter(|stream| !self.closed.contains(*stream)) {
            for page in 0..pages {
                self.tabs.entry((stream.clone(), page)).or_insert_with(|| Tab { behind: true, ..Tab::default() });
            }
        }
        self.handle_input(now, Input::Timer);
    }
    /// No page needs the stream any more.
    pub fn close(&mut self, now: Millis, stream: &StreamName) {
        self.closed.insert(stream.clone());
        self.tabs.retain(|(other, _), _| other != stream);
        self.handle_input(now, Input::Close { stream: stream.clone() });
    }
    /// Pages need the stream again.
    pub fn open(&mut self, now: Millis, stream: &StreamName) {
        if self.closed.remove(stream) {
            self.handle_input(now, Input::Open { stream: stream.clone() });
            self.set_pages(now, self.pages);
        }
    }
    /// What the pages show of a stream.
    pub fn tabs(&self, stream: &StreamName) -> impl Iterator<Item = &Tab> {
        self.tabs.range((stream.clone(), 0)..=(stream.clone(), usize::MAX)).map(|(_, tab)| tab)
    }
    /// The user of the first page writes into the stream's document. Nothing, if no page has it open.
    pub fn edit(&mut self, stream: &StreamName) -> Vec<Change> {
        let own = self.waiting_changes(stream);
        let Some(tab) = self.tabs.get_mut(&(stream.clone(), 0)) else { return vec![] };
        let rng = &mut self.rng;
        let actor = rng.id();
        tab.document(|| actor, &own).edit(rng)
    }
    /// How the documents of its pages differ from what plain Automerge makes of the log.
    pub fn differs(&mut self, stream: &StreamName, log: &[Change]) -> Option<String> {
        let own = self.waiting_changes(stream);
        let tabs = self.tabs.range_mut((stream.clone(), 0)..=(stream.clone(), usize::MAX));
        let mut documents = tabs.map(|(_, tab)| tab.document(|| self.rng.id(), &own));
        documents.find_map(|document| document.difference(log))
    }
    fn waiting_changes(&self, stream: &StreamName) -> Vec<Change> {
        let pending = self.pending(stream);
        let open = pending.iter().filter(|(_, own)| !matches!(own, Own::Seen | Own::Refused | Own::Void));
        open.flat_map(|(event, _)| changes_in(&event.content)).collect()
    }
    /// Something that its pages had in their documents is not to come: they make them anew.
    pub fn takes_back(&mut self, stream: &StreamName) {
        for (_, tab) in self.tabs.range_mut((stream.clone(), 0)..=(stream.clone(), usize::MAX)) {
            tab.document = None;
        }
    }
    /// What the first page shows of a stream.
    pub fn tab(&self, stream: &StreamName) -> Option<&Tab> {
        self.tabs(stream).next()
    }

    // ---------------------------------------------------------------------------------------------------- time

    fn clock(&self, now: Millis) -> Millis {
        Millis(now.0 - self.behind_ms)
    }
    /// Its wall clock: what its user's events say.
    pub fn wall_ms(&self, now: Millis) -> u64 {
        (now.0 as i64 + self.wall_ahead_ms).max(0) as u64
    }
    /// It does nothing until then. `stands_still`: its clock does not go on meanwhile.
    pub fn sleep(&mut self, now: Millis, until: Millis, stands_still: bool) {
        self.asleep = Some((now, until, stands_still));
    }
    /// Whether it sleeps.
    pub fn is_asleep(&self, now: Millis) -> bool {
        self.asleep.is_some_and(|(_, until, _)| until > now)
    }
    /// When something is due.
    pub fn wake_at(&self) -> Option<Millis> {
        self.asleep.map(|(_, until, _)| until).or(self.wake.map(|wake| wake.plus(self.behind_ms)))
    }
    /// Does what is due.
    pub fn wake(&mut self, now: Millis) {
        if let Some((since, until, stands_still)) = self.asleep {
            if until > now {
                return;
            }
            self.asleep = None;
            self.behind_ms += if stands_still { now.since(since) } else { 0 };
        }
        if self.wake.is_some_and(|wake| wake <= self.clock(now)) {
            self.wake = None;
            self.handle_input(now, Input::Timer);
        }
    }
    /// Everything is as it should be again: awake, at home, one host, all streams open.
    pub fn calm(&mut self, now: Millis) {
        self.away = false;
        if let Some((_, until, _)) = &mut self.asleep {
            *until = now;
        }
        self.wake(now);
        self.thaw(now, false);
        for stream in self.closed.clone() {
            self.open(now, &stream);
        }
    }

    // ---------------------------------------------------------------------------------------------------- machine

    /// Something arrives on a socket.
    pub fn arrives(&mut self, now: Millis, number: Socket, arrival: Arrival) {
        let (start, socket) = (number / SOCKETS_PER_START, number % SOCKETS_PER_START);
        let input = match arrival {
            Arrival::Opened => Input::SocketOpened(socket),
            Arrival::Frame(bytes) => Input::Frame { socket, bytes },
            Arrival::Closed(code) => Input::SocketClosed { socket, code },
        };
        if start == self.starts {
            self.handle_input(now, input);
        } else if let Some(frozen) = self.frozen.as_mut().filter(|frozen| frozen.start == start) {
            frozen.inputs.push_back(input);
        }
    }
    /// Its disk does something.
    pub fn disk_step(&mut self, now: Millis, step: DiskStep) {
        if let Some(input) = self.disk.poll_output(step) {
            self.handle_input(now, input);
        }
    }

    /// Gives the machine an input and performs its outputs: the drain rule.
    pub fn handle_input(&mut self, now: Millis, input: Input) {
        let (clock, start) = (self.clock(now), self.starts * SOCKETS_PER_START);
        self.inputs += 1;
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(machine) = &mut self.machine else { return };
            machine.handle_input(clock, input);
            while let Some(output) = self.machine.as_mut().and_then(Device::poll_output) {
                match output {
                    Output::Commit { transaction, writes } => {
                        self.disk.handle_input(DiskInput::Commit { transaction, writes });
                    }
                    Output::Load { request, table, from, to, bytes_max } => {
                        self.disk.handle_input(DiskInput::Load { request, table, from, to, bytes_max });
                    }
                    Output::Dial(socket) => {
                        self.dialled.insert(socket);
                        self.effects.push_back(Effect::Dial(start + socket));
                    }
                    Output::Send { socket, bytes } => {
                        self.effects.push_back(Effect::Send(start + socket, bytes));
                        inputs.push_back(Input::Buffered { socket, bytes: 0 });
                    }
                    Output::HangUp(socket) => {
                        self.dialled.remove(&socket);
                        self.effects.push_back(Effect::HangUp(start + socket));
                    }
                    Output::NeedsToken { .. } => inputs.push_back(Input::Token(Some("token".into()))),
                    Output::WakeAt(at) => self.wake = Some(at),
                    Output::Page(page) => self.read(page),
                    Output::Notice(notice) => {
                        self.follow(&notice);
                        self.effects.push_back(Effect::Notice(Box::new(notice)));
                    }
                }
            }
            let queued = self.machine.as_ref().map(Device::queued).unwrap_or_default();
            self.effects.extend(memory::of_device(queued).map(Effect::Holds));
            inputs.extend(self.reads());
        }
    }
    /// What it has done to the world since it was asked last.
    pub fn poll_output(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    fn follow(&mut self, notice: &Notice) {
        if let Notice::Failed { stream, .. } | Notice::Rejected { stream, .. } | Notice::Renamed { stream, .. } = notice
        {
            self.takes_back(stream);
        }
        let (Notice::Reset { stream, .. } | Notice::Applied { stream, .. }) = notice else { return };
        for ((_, _), tab) in self.tabs.iter_mut().filter(|((other, _), _)| other == stream) {
            match notice {
                Notice::Reset { epoch, .. } => tab.reset(*epoch),
                Notice::Applied { epoch, after, upto, check, events, .. } => {
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
    }
    /// A page of the log came.
    fn read(&mut self, page: Page) {
        let Some(tab) = self.tabs.values_mut().find(|tab| tab.waits_for == Some(page.request)) else { return };
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
            tab.brings(changes_in(snapshot));
        }
        tab.behind = page.more || std::mem::take(&mut tab.heard);
        if let Err(why) = tab.take(&page.events, page.upto, page.check) {
            self.effects.push_back(Effect::Misread(format!("read {}: {why}", page.stream)));
        }
    }
    /// The reads that tabs want.
    fn reads(&mut self) -> Vec<Input> {
        let mut wanted = vec![];
        for ((stream, _), tab) in self.tabs.iter_mut().filter(|(_, tab)| tab.behind && tab.waits_for.is_none()) {
            self.reads += 1;
            tab.waits_for = Some(self.reads);
            let (request, after) = (self.reads, tab.position);
            wanted.push(Input::Read { request, stream: stream.clone(), after, bytes_max: PAGE_BYTES });
        }
        wanted
    }
    /// Its pages are loaded anew: they read from the start.
    pub fn reload(&mut self, now: Millis) {
        self.load_pages();
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
    /// What it has to heal in a stream, in order.
    pub fn healing(&self, stream: &StreamName) -> Vec<(EventId, Tag)> {
        self.machine.as_ref().map_or(vec![], |machine| machine.healing(stream))
    }
    /// The list of rejections.
    pub fn rejections(&self) -> Vec<(StreamName, Rejection)> {
        self.machine.as_ref().map_or(vec![], Device::rejections)
    }
}
