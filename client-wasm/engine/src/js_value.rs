//! What the engine tells JavaScript, shape by shape: the Rust side of `js/src/engine/engine.ts`.

use crate::js_error::{ErrorInfo, message};
use crate::streams::Streams;
use bytes::Bytes;
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use sync_core::device::{Connection, Own, Rejection, StreamState};
use sync_core::event::{Cause, Content, Event, Kind};
use sync_core::ids::*;
use sync_core::wire::Access;
use wasm_bindgen::JsValue;

/// A value as JavaScript gets it: maps as objects, nothing as null, bytes as `Uint8Array`.
pub fn to_js(value: &impl Serialize) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::new().serialize_maps_as_objects(true);
    let value = value.serialize(&serializer.serialize_missing_as_null(true));
    value.expect(
        "no value of this file has a number beyond 2^53 - 1: offsets are checked on the wire, times by `append`",
    )
}

/// Everything that a host is told.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum EngineEvent<'a> {
    /// Committed in the local log: saved on this device.
    Appended { stream: Text<'a, StreamName>, write: u64, event: LogEvent<'a> },
    /// Not saved.
    Failed { stream: Text<'a, StreamName>, write: u64, code: &'static str, message: &'static str },
    /// Committed together with the cursor.
    Applied {
        stream: Text<'a, StreamName>,
        epoch: Text<'a, Epoch>,
        after: u64,
        upto: u64,
        check: Text<'a, Check>,
        events: Vec<LogEvent<'a>>,
    },
    /// On stable storage at the relay.
    Accepted { stream: Text<'a, StreamName>, ids: Vec<Text<'a, EventId>> },
    /// Refused by the relay.
    Rejected { stream: Text<'a, StreamName>, rejections: Vec<RejectionValue<'a>> },
    /// An id changed.
    Renamed { stream: Text<'a, StreamName>, from: Text<'a, EventId>, to: Text<'a, EventId> },
    /// The stream has another log.
    Reset { stream: Text<'a, StreamName>, epoch: Text<'a, Epoch> },
    /// One stream's whole state.
    Stream(StreamValue<'a>),
    /// The device's whole state.
    Status(StatusValue),
    /// The host answers with `authenticate`.
    NeedsToken { refused: bool },
    /// For developers; never content, never a token.
    Log { level: &'static str, message: &'a str },
}

/// Something that is shown as text.
pub struct Text<'a, T>(pub &'a T);

impl<T: std::fmt::Display> Serialize for Text<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// Bytes as one `Uint8Array` of their own.
pub struct Binary(pub Bytes);

impl Serialize for Binary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

/// One event of a log or an outbox.
#[derive(Serialize)]
pub struct LogEvent<'a> {
    id: Text<'a, EventId>,
    offset: Option<u64>,
    kind: u8,
    time: u64,
    author: Option<&'a str>,
    payload: Binary,
    causes: CausesValue<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

impl<'a> LogEvent<'a> {
    /// An event of the log, with the log's check at its offset where that is known.
    pub fn logged(event: &'a Event, check: Option<Check>, streams: &'a Streams) -> LogEvent<'a> {
        let content = readable(&event.content);
        LogEvent {
            id: Text(&event.id),
            offset: (event.offset > Offset::ZERO).then_some(event.offset.0),
            kind: content.kind as u8,
            time: content.time.min(Offset::MAX.0),
            author: event.author.as_deref(),
            payload: Binary(content.payload),
            causes: CausesValue { causes: &event.causes, streams },
            state: None,
            check: check.map(|check| check.to_string()),
        }
    }
    /// An own event that was not seen in the log yet.
    pub fn own(event: &'a Event, own: Own, streams: &'a Streams) -> LogEvent<'a> {
        let state = match own {
            Own::Unsent => Some("unsent"),
            Own::Sent => Some("sent"),
            Own::Accepted => Some("accepted"),
            Own::Owed => Some("owed"),
            Own::Seen | Own::Refused | Own::Void => None,
        };
        LogEvent { state, ..LogEvent::logged(event, None, streams) }
    }
}

/// What an author encoded. Rubbish is an application event with nothing in it: none that any definition knows, so the
/// package skips and counts it.
fn readable(content: &Bytes) -> Content {
    Content::decode(content).unwrap_or(Content { kind: Kind::Application, time: 0, payload: Bytes::new() })
}

/// Causes by stream name. Those of streams that this device has never met are left out.
struct CausesValue<'a> {
    causes: &'a [Cause],
    streams: &'a Streams,
}

#[derive(Serialize)]
struct Place<'a> {
    epoch: Text<'a, Epoch>,
    offset: u64,
}

impl Serialize for CausesValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for cause in self.causes {
            if let Some(name) = self.streams.name_of(cause.stream) {
                let place = Place { epoch: Text(&cause.epoch), offset: cause.offset.0 };
                map.serialize_entry(name.as_str(), &place).map_err(S::Error::custom)?;
            }
        }
        map.end()
    }
}

/// A page of the local log.
#[derive(Serialize)]
pub struct PageValue<'a> {
    pub epoch: Text<'a, Epoch>,
    pub after: u64,
    pub upto: u64,
    pub check: Text<'a, Check>,
    pub more: bool,
    pub events: Vec<LogEvent<'a>>,
}

/// A refused event.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RejectionValue<'a> {
    id: Text<'a, EventId>,
    stream: Text<'a, StreamName>,
    kind: u8,
    code: &'a str,
    reason: &'a str,
    time: f64,
    event_time: u64,
    payload: Binary,
}

impl<'a> RejectionValue<'a> {
    /// `learned`: when this device heard of it, if that was in this engine's life.
    pub fn new(stream: &'a StreamName, rejection: &'a Rejection, learned: Option<f64>) -> RejectionValue<'a> {
        let content = readable(&rejection.content);
        let event_time = content.time.min(Offset::MAX.0);
        RejectionValue {
            id: Text(&rejection.id),
            stream: Text(stream),
            kind: content.kind as u8,
            code: &rejection.code,
            reason: &rejection.reason,
            time: learned.unwrap_or(event_time as f64),
            event_time,
            payload: Binary(content.payload),
        }
    }
}

/// `true`, `false` or `"unknown"`.
struct Exists(Option<bool>);

impl Serialize for Exists {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Some(exists) => serializer.serialize_bool(exists),
            None => serializer.serialize_str("unknown"),
        }
    }
}

/// One stream's state on this device.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamValue<'a> {
    stream: Text<'a, StreamName>,
    phase: &'static str,
    exists: Exists,
    caught_up: bool,
    epoch: Text<'a, Epoch>,
    cursor: u64,
    head: Option<u64>,
    pending: usize,
    rejected: usize,
    access: &'static str,
    saved_on: &'static str,
    error: Option<ErrorInfo>,
}

impl<'a> StreamValue<'a> {
    /// `unsaved`: something written here is not on this device's disk.
    pub fn new(stream: &'a StreamName, state: &'a StreamState, unsaved: bool) -> StreamValue<'a> {
        StreamValue {
            stream: Text(stream),
            phase: match (state.loaded, state.error) {
                (true, _) => "ready",
                (false, Some(_)) => "failed",
                (false, None) => "loading",
            },
            exists: Exists(state.exists),
            caught_up: state.caught_up,
            epoch: Text(&state.epoch),
            cursor: state.cursor.0,
            head: state.head.map(|head| head.0),
            pending: state.pending,
            rejected: state.rejected,
            access: match state.access {
                Access::None => "none",
                Access::Read => "read",
                Access::Write => "write",
            },
            saved_on: if unsaved {
                "none"
            } else if state.pending > 0 {
                "device"
            } else {
                "relay"
            },
            error: state.error.map(ErrorInfo::new),
        }
    }
}

/// The connection, with the time of the next try by the wall clock.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConnectionValue {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorInfo>,
}

impl ConnectionValue {
    /// `wall_time` says when that is, in milliseconds since 1970.
    pub fn new(connection: &Connection, wall_time: impl Fn(sync_core::time::Millis) -> f64) -> ConnectionValue {
        let (state, retry_at, error) = match connection {
            Connection::Idle => ("idle", None, None),
            Connection::Offline => ("offline", None, None),
            Connection::Connecting => ("connecting", None, None),
            Connection::Connected => ("connected", None, None),
            Connection::Waiting { until } => ("waiting", Some(wall_time(*until)), Some(ErrorInfo::unreachable())),
            Connection::NeedsAuth => ("needs-auth", None, Some(ErrorInfo::new("needs-auth"))),
            Connection::Stopped { code } => ("stopped", None, Some(ErrorInfo::new(code))),
        };
        ConnectionValue { state, retry_at, error }
    }
    /// The engine has ended.
    pub fn closed() -> ConnectionValue {
        ConnectionValue { state: "closed", retry_at: None, error: None }
    }
}

/// The local storage's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StorageValue {
    /// `persistent`, `best-effort` or `memory`.
    pub durability: &'static str,
    /// What the origin uses, if the browser says.
    pub used_bytes: Option<f64>,
    /// What it may use.
    pub quota_bytes: Option<f64>,
    /// Why writes are not saved.
    pub error: Option<ErrorInfo>,
}

/// The device's state.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusValue {
    pub connection: ConnectionValue,
    pub pending: usize,
    pub rejected: usize,
    /// Followed streams that are not caught up.
    pub behind: usize,
    /// Events handed to `append` and not yet committed.
    pub unsaved: usize,
    pub storage: StorageValue,
}

/// A stream that this device has.
#[derive(Serialize)]
pub struct StreamItem<'a> {
    pub name: Text<'a, StreamName>,
    pub pending: usize,
}

/// A `failed` event.
pub fn failed<'a>(stream: &'a StreamName, write: u64, code: &'static str) -> EngineEvent<'a> {
    EngineEvent::Failed { stream: Text(stream), write, code, message: message(code) }
}
