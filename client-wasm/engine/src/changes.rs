//! What the listener is told: the device's notices as events, and the status that follows from them.

use crate::checks::Checks;
use crate::js_error::{ErrorInfo, storage_code};
use crate::js_value::*;
use crate::timer::Clock;
use std::collections::BTreeMap;
use sync_core::device::{Connection, Device, Input, Notice, StorageError, StreamState};
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;
use wasm_bindgen::JsValue;

/// What was told and is to be told.
pub struct Changes {
    /// Events that the listener has not got yet.
    told: Vec<JsValue>,
    /// Streams by the hash that causes carry.
    pub names: StreamNames,
    /// Checks for readers of pages.
    pub paged: Checks,
    applied: Checks,
    /// Streams that pages follow, as the device said last.
    followed: BTreeMap<StreamName, Option<StreamState>>,
    /// Events handed in and not committed, by stream.
    unsaved: BTreeMap<StreamName, usize>,
    /// When the rejections of this engine's life were heard of, by the wall clock.
    rejected_at: BTreeMap<EventId, f64>,
    connection: ConnectionValue,
    storage: StorageValue,
    status: Option<StatusValue>,
    /// Something happened since the status was told.
    is_stale: bool,
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
            names: StreamNames::new(),
            paged: Checks::default(),
            applied: Checks::default(),
            followed: BTreeMap::new(),
            unsaved: BTreeMap::new(),
            rejected_at: BTreeMap::new(),
            connection: ConnectionValue::new(&Connection::Idle, |_| 0.0),
            storage,
            status: None,
            is_stale: true,
        }
    }

    /// What the listener has not got yet.
    pub fn take(&mut self) -> Vec<JsValue> {
        std::mem::take(&mut self.told)
    }

    /// Tells the listener something.
    pub fn tell(&mut self, event: &EngineEvent<'_>) {
        self.told.push(to_js(event));
    }

    /// A line for developers.
    pub fn log(&mut self, level: &'static str, message: &str) {
        self.tell(&EngineEvent::Log { level, message });
    }

    /// Whether what is handed in now would not be saved.
    pub fn storage_fails(&self) -> bool {
        self.storage.error.is_some()
    }

    /// The device is about to be told this.
    pub fn note(&mut self, input: &Input) {
        match input {
            Input::Open { stream } => {
                self.meet(stream);
                self.followed.entry(stream.clone()).or_default();
            }
            Input::Close { stream } => {
                self.followed.remove(stream);
                self.applied.forget(stream);
                self.paged.forget(stream);
            }
            Input::Append(append) => {
                self.meet(&append.stream);
                *self.unsaved.entry(append.stream.clone()).or_default() += 1;
            }
            Input::Committed { .. } if self.storage.durability != "memory" => self.storage.error = None,
            _ => return,
        }
        self.is_stale = true;
    }

    /// A stream that causes may name from now on.
    pub fn meet(&mut self, stream: &StreamName) {
        self.names.entry(digest::stream_hash(stream)).or_insert_with(|| stream.clone());
    }

    /// Tells what the device noticed.
    pub fn publish(&mut self, notice: &Notice, clock: &Clock) {
        self.is_stale = true;
        match notice {
            Notice::Appended { write, stream, event } => {
                self.saved(stream);
                let event = LogEvent::logged(event, None, &self.names);
                let told = to_js(&EngineEvent::Appended { stream: Text(stream), write: *write, event });
                self.told.push(told);
            }
            Notice::Failed { write, stream, code } => {
                self.saved(stream);
                self.tell(&failed(stream, *write, code));
            }
            Notice::Applied { stream, epoch, after, upto, check, events } => {
                let checks = self.applied.follow(stream, *epoch, *after, (*upto, *check), events);
                let told = to_js(&EngineEvent::Applied {
                    stream: Text(stream),
                    epoch: Text(epoch),
                    after: after.0,
                    upto: upto.0,
                    check: Text(check),
                    events: logged(events, checks, &self.names),
                });
                self.told.push(told);
            }
            Notice::Accepted { stream, ids } => {
                self.tell(&EngineEvent::Accepted { stream: Text(stream), ids: ids.iter().map(Text).collect() });
            }
            Notice::Rejected { stream, rejections } => {
                let now = clock.wall_time(clock.now());
                let values = rejections.iter().map(|rejection| {
                    let at = *self.rejected_at.entry(rejection.id).or_insert(now);
                    RejectionValue::new(stream, rejection, Some(at))
                });
                let rejections = values.collect();
                self.tell(&EngineEvent::Rejected { stream: Text(stream), rejections });
            }
            Notice::Renamed { stream, from, to } => {
                self.tell(&EngineEvent::Renamed { stream: Text(stream), from: Text(from), to: Text(to) });
            }
            Notice::Reset { stream, epoch } => {
                self.tell(&EngineEvent::Reset { stream: Text(stream), epoch: Text(epoch) });
            }
            Notice::Stream { stream, state } => {
                if let Some(followed) = self.followed.get_mut(stream) {
                    *followed = Some(state.clone());
                }
                let is_unsaved = self.unsaved.contains_key(stream);
                let lasts = self.storage.durability != "memory" || state.pending == 0;
                self.tell(&EngineEvent::Stream(StreamValue::new(stream, state, is_unsaved || !lasts)));
            }
            Notice::Connection(connection) => {
                self.connection = ConnectionValue::new(connection, |at| clock.wall_time(at));
            }
            Notice::Storage(error) => self.storage_failed(*error),
        }
    }

    /// One write less is on its way to the disk.
    fn saved(&mut self, stream: &StreamName) {
        if let Some(count) = self.unsaved.get_mut(stream) {
            *count -= 1;
            if *count == 0 {
                self.unsaved.remove(stream);
            }
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

    /// What the browser says of this origin's storage.
    pub fn measured(&mut self, persistent: bool, used_bytes: Option<f64>, quota_bytes: Option<f64>) {
        if self.storage.durability != "memory" {
            self.storage.durability = if persistent { "persistent" } else { "best-effort" };
        }
        (self.storage.used_bytes, self.storage.quota_bytes) = (used_bytes, quota_bytes);
        self.is_stale = true;
    }

    /// The list of rejections of all streams.
    pub fn rejections(&self, device: &Device) -> JsValue {
        let rejections = device.rejections();
        let values = rejections.iter().map(|(stream, rejection)| {
            RejectionValue::new(stream, rejection, self.rejected_at.get(&rejection.id).copied())
        });
        to_js(&values.collect::<Vec<_>>())
    }

    /// Tells how the device stands, if that is not what was told last.
    pub fn publish_status(&mut self, device: &Device) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let is_behind = |state: &&Option<StreamState>| state.as_ref().is_none_or(|state| !state.caught_up);
        let status = StatusValue {
            connection: self.connection.clone(),
            pending: device.streams().iter().map(|(_, pending)| pending).sum(),
            rejected: device.rejections().len(),
            behind: self.followed.values().filter(is_behind).count(),
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
            self.tell(&EngineEvent::Status(status.clone()));
            self.status = Some(status);
        }
    }
}

fn logged<'a>(events: &'a [Event], checks: Vec<Option<Check>>, names: &'a StreamNames) -> Vec<LogEvent<'a>> {
    events.iter().zip(checks).map(|(event, check)| LogEvent::logged(event, check, names)).collect()
}
