//! What the listener is told: the device's notices as events, and the status that follows from them.

use crate::js_error::{ErrorInfo, storage_code};
use crate::js_value::{self, ConnectionValue, StatusValue, StorageValue};
use crate::streams::{StreamEntry, Streams};
use crate::timer::Clock;
use alloc::vec;
use alloc::vec::Vec;
use sync_core::device::{Connection, Device, Input, Notice, StorageError, StreamState};
use sync_core::ids::*;
use sync_core::time::Millis;
use wasm_bindgen::JsValue;

/// How often the browser is asked what this origin uses, while that changes.
const MEASURE_EVERY_MS: u64 = 30_000;

/// What was told and is to be told.
pub struct Changes {
    /// Events that the listener has not got yet.
    told: Vec<JsValue>,
    /// What is known of each stream.
    pub streams: Streams,
    /// Own events that wait for the relay, in all streams.
    pending: usize,
    /// Refused ones.
    rejected: usize,
    connection: ConnectionValue,
    storage: StorageValue,
    status: Option<StatusValue>,
    /// Something happened since the status was told.
    is_stale: bool,
    /// Something was committed, or refused for want of room, since the storage was measured.
    is_unmeasured: bool,
    measured_at: Millis,
}

impl Changes {
    /// Nothing told yet.
    pub fn new(in_memory: bool) -> Changes {
        let storage = StorageValue {
            durability: if in_memory { "memory" } else { "best-effort" },
            used_bytes: None,
            quota_bytes: None,
            error: in_memory.then(|| ErrorInfo::new("storage-unavailable")),
        };
        Changes {
            told: vec![],
            streams: Streams::default(),
            pending: 0,
            rejected: 0,
            connection: ConnectionValue::new(&Connection::Idle, JsValue::NULL, |_| 0.0),
            storage,
            status: None,
            is_stale: true,
            is_unmeasured: false,
            measured_at: Millis::default(),
        }
    }

    /// What the listener has not got yet.
    pub fn take(&mut self) -> Vec<JsValue> {
        core::mem::take(&mut self.told)
    }

    /// Tells the listener something.
    pub fn tell(&mut self, event: JsValue) {
        self.told.push(event);
    }

    /// A line for developers.
    pub fn log(&mut self, level: &'static str, message: &str) {
        self.tell(js_value::log(level, message));
    }

    /// Whether what is handed in now would not be saved.
    pub fn storage_fails(&self) -> bool {
        self.storage.error.is_some()
    }

    /// The device is about to be told this.
    pub fn note(&mut self, input: &Input) {
        match input {
            Input::Open { stream } => self.streams.entry(stream).is_followed = true,
            Input::Close { stream } => self.streams.entry(stream).is_followed = false,
            Input::Append(append) => self.streams.entry(&append.stream).unsaved += 1,
            Input::Committed { .. } => {
                self.is_unmeasured = true;
                if self.storage.durability != "memory" {
                    self.storage.error = None;
                }
            }
            _ => return,
        }
        self.is_stale = true;
    }

    /// Tells what the device noticed.
    pub fn publish(&mut self, notice: &Notice, clock: &Clock, closed: JsValue) {
        self.is_stale = true;
        match notice {
            Notice::Appended { write, stream, event } => {
                let event = js_value::log_event(event, None, None, &self.streams);
                self.tell(js_value::appended(stream, *write, event));
                self.saved(stream);
            }
            Notice::Failed { write, stream, code } => {
                self.tell(js_value::failed(stream, *write, code));
                self.saved(stream);
            }
            Notice::Applied { stream, epoch, after, upto, check, events } => {
                let entry = self.streams.entry(stream);
                let checks = entry.applied.follow(*epoch, *after, (*upto, *check), events);
                let events = js_value::logged(events, checks, &self.streams);
                self.tell(js_value::applied(stream, *epoch, *after, (*upto, *check), events));
            }
            Notice::Accepted { stream, ids } => {
                self.tell(js_value::accepted(stream, ids));
            }
            Notice::Rejected { stream, rejections } => {
                let values = rejections.iter().map(|rejection| js_value::rejection(stream, rejection));
                self.tell(js_value::rejected(stream, js_value::list(values)));
            }
            Notice::Renamed { stream, from, to } => {
                self.tell(js_value::renamed(stream, *from, *to));
            }
            Notice::Reset { stream, epoch } => {
                self.tell(js_value::reset(stream, *epoch));
            }
            Notice::Stream { stream, state } => {
                self.count(stream, state.pending, state.rejected);
                self.streams.entry(stream).state = Some(state.clone());
                self.tell_stream(stream, state);
            }
            Notice::Connection(connection) => {
                self.connection = ConnectionValue::new(connection, closed, |at| clock.wall_time(at));
            }
            Notice::Storage(error) => self.storage_failed(*error),
        }
    }

    /// The device has read its local store: what waits in streams that nobody has opened yet.
    pub fn loaded(&mut self, device: &Device) {
        let rejections = device.rejections();
        for held in device.streams() {
            let rejected = rejections.iter().filter(|(name, _)| *name == held.name).count();
            self.count(&held.name, held.pending, rejected);
        }
        self.is_stale = true;
    }

    fn count(&mut self, stream: &StreamName, pending: usize, rejected: usize) {
        let entry = self.streams.entry(stream);
        self.pending = self.pending + pending - entry.pending;
        self.rejected = self.rejected + rejected - entry.rejected;
        (entry.pending, entry.rejected) = (pending, rejected);
    }

    fn tell_stream(&mut self, stream: &StreamName, state: &StreamState) {
        let lasts = self.storage.durability != "memory" || state.pending == 0;
        let entry = self.streams.entry(stream);
        entry.told_unsaved = entry.unsaved > 0;
        let is_unsaved = entry.told_unsaved || !lasts;
        self.tell(js_value::stream(stream, state, is_unsaved));
    }

    /// One write less is on its way to the disk.
    fn saved(&mut self, stream: &StreamName) {
        let entry = self.streams.entry(stream);
        entry.unsaved = entry.unsaved.saturating_sub(1);
        if entry.unsaved == 0
            && entry.told_unsaved
            && let Some(state) = entry.state.clone()
        {
            self.tell_stream(stream, &state);
        }
    }

    /// The storage does not do what it should.
    pub fn storage_failed(&mut self, error: StorageError) {
        self.storage.error = Some(ErrorInfo::new(storage_code(error)));
        self.is_stale = true;
    }

    /// The local data is a newer build's now.
    pub fn outdated(&mut self) {
        self.storage.error = Some(ErrorInfo::new("outdated-app"));
        self.is_stale = true;
    }

    /// Whether it is time to ask the browser again what is used.
    pub fn is_measure_due(&mut self, now: Millis) -> bool {
        let is_due = self.is_unmeasured && now.since(self.measured_at) >= MEASURE_EVERY_MS;
        if is_due {
            (self.is_unmeasured, self.measured_at) = (false, now);
        }
        is_due
    }

    /// What the browser says of this origin's storage.
    pub fn measured(&mut self, persistent: bool, used_bytes: Option<f64>, quota_bytes: Option<f64>) {
        if self.storage.durability != "memory" {
            self.storage.durability = if persistent { "persistent" } else { "best-effort" };
        }
        (self.storage.used_bytes, self.storage.quota_bytes) = (used_bytes, quota_bytes);
        self.is_stale = true;
    }

    /// The list of rejections of all streams.
    pub fn rejections(device: &Device) -> JsValue {
        let rejections = device.rejections();
        js_value::list(rejections.iter().map(|(stream, rejection)| js_value::rejection(stream, rejection)))
    }

    /// Tells how the device stands, if that is not what was told last.
    pub fn publish_status(&mut self, device: &Device) {
        if !core::mem::take(&mut self.is_stale) {
            return;
        }
        let is_behind =
            |entry: &&StreamEntry| entry.is_followed && entry.state.as_ref().is_none_or(|state| !state.caught_up);
        let status = StatusValue {
            connection: self.connection.clone(),
            pending: self.pending,
            rejected: self.rejected,
            behind: self.streams.iter().filter(is_behind).count(),
            unsaved: device.unsaved(),
            storage: self.storage.clone(),
        };
        self.publish_if_new(status);
    }

    /// Tells that this engine has ended.
    pub fn publish_end(&mut self) {
        if let Some(status) = self.status.clone() {
            self.publish_if_new(StatusValue { connection: ConnectionValue::closed(), ..status });
        }
    }

    fn publish_if_new(&mut self, status: StatusValue) {
        if self.status.as_ref() != Some(&status) {
            self.tell(status.to_js());
            self.status = Some(status);
        }
    }
}
