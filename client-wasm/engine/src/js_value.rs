//! What the engine tells JavaScript, shape by shape: the Rust side of `js/src/engine/engine.ts`.
//!
//! Objects are made field by field, by hand: a general serializer would be a tenth of the engine.

use crate::js_error::{ErrorInfo, message};
use crate::streams::Streams;
use alloc::vec::Vec;
use bytes::Bytes;
use js_sys::{Array, Uint8Array};
use sync_core::device::{Connection, LocalStream, Own, Page, Rejection, StreamState};
use sync_core::event::{Content, Event, Kind};
use sync_core::ids::*;
use sync_core::wire::Access;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = js_sys::Object)]
    type Fields;
    #[wasm_bindgen(method, indexing_setter)]
    fn set(this: &Fields, key: &str, value: JsValue);
}

/// An object of JavaScript that is being made.
struct Object(Fields);

impl Object {
    fn new() -> Object {
        Object(js_sys::Object::new().unchecked_into())
    }
    fn with(self, key: &str, value: impl Into<JsValue>) -> Object {
        self.0.set(key, value.into());
        self
    }
    /// A number; none of this file is beyond 2^53 - 1: offsets are checked on the wire, times by `append`.
    fn number(self, key: &str, value: u64) -> Object {
        self.with(key, value as f64)
    }
    fn bytes(self, key: &str, value: &Bytes) -> Object {
        self.with(key, Uint8Array::from(&value[..]))
    }
    /// Nothing is null.
    fn or_null(self, key: &str, value: Option<JsValue>) -> Object {
        self.with(key, value.unwrap_or(JsValue::NULL))
    }
}

impl From<Object> for JsValue {
    fn from(object: Object) -> JsValue {
        object.0.into()
    }
}

/// An array of JavaScript.
pub fn list(values: impl Iterator<Item = JsValue>) -> JsValue {
    let array = Array::new();
    for value in values {
        array.push(&value);
    }
    array.into()
}

/// What a host is told begins with its type.
fn told(kind: &str) -> Object {
    Object::new().with("type", kind)
}
/// The same, of a stream.
fn told_of(kind: &str, stream: &StreamName) -> Object {
    told(kind).with("stream", stream.as_str())
}

/// Committed in the local log: saved on this device.
pub fn appended(stream: &StreamName, write: u64, event: JsValue) -> JsValue {
    told_of("appended", stream).number("write", write).with("event", event).into()
}
/// Not saved.
pub fn failed(stream: &StreamName, write: u64, code: &str) -> JsValue {
    told_of("failed", stream).number("write", write).with("code", code).with("message", message(code)).into()
}
/// Committed together with the cursor.
pub fn applied(stream: &StreamName, epoch: Epoch, after: Offset, upto: (Offset, Check), events: JsValue) -> JsValue {
    let object = told_of("applied", stream).with("epoch", epoch.to_hex()).number("after", after.0);
    object.number("upto", upto.0.0).with("check", upto.1.to_hex()).with("events", events).into()
}
/// On stable storage at the relay.
pub fn accepted(stream: &StreamName, ids: &[EventId]) -> JsValue {
    told_of("accepted", stream).with("ids", list(ids.iter().map(|id| id.to_text().into()))).into()
}
/// Refused by the relay.
pub fn rejected(stream: &StreamName, rejections: JsValue) -> JsValue {
    told_of("rejected", stream).with("rejections", rejections).into()
}
/// An id changed.
pub fn renamed(stream: &StreamName, from: EventId, to: EventId) -> JsValue {
    told_of("renamed", stream).with("from", from.to_text()).with("to", to.to_text()).into()
}
/// The stream has another log.
pub fn reset(stream: &StreamName, epoch: Epoch) -> JsValue {
    told_of("reset", stream).with("epoch", epoch.to_hex()).into()
}
/// The host answers with `authenticate`.
pub fn needs_token(refused: bool) -> JsValue {
    told("needs-token").with("refused", refused).into()
}
/// For developers; never content, never a token.
pub fn log(level: &str, message: &str) -> JsValue {
    told("log").with("level", level).with("message", message).into()
}

/// Events of the log, with the log's checks at their offsets where those are known.
pub fn logged(events: &[Event], checks: Vec<Option<Check>>, streams: &Streams) -> JsValue {
    list(events.iter().zip(checks).map(|(event, check)| log_event(event, check, None, streams)))
}
/// Own events that were not seen in the log yet.
pub fn pending(events: &[(Event, Own)], streams: &Streams) -> JsValue {
    list(events.iter().map(|(event, own)| log_event(event, None, Some(*own), streams)))
}

/// One event of a log or an outbox. Causes are by stream name; those of streams that this device has never met are left
/// out.
pub fn log_event(event: &Event, check: Option<Check>, own: Option<Own>, streams: &Streams) -> JsValue {
    let content = readable(&event.content);
    let offset = (event.offset > Offset::ZERO).then_some((event.offset.0 as f64).into());
    let mut causes = Object::new();
    for cause in &event.causes {
        if let Some(name) = streams.name_of(cause.stream) {
            let place = Object::new().with("epoch", cause.epoch.to_hex()).number("offset", cause.offset.0);
            causes = causes.with(name.as_str(), place);
        }
    }
    let mut object = Object::new().with("id", event.id.to_text()).or_null("offset", offset);
    object = object.with("kind", content.kind as u8).number("time", content.time.min(Offset::MAX.0));
    object = object.or_null("author", event.author.as_deref().map(JsValue::from_str));
    object = object.bytes("payload", &content.payload).with("causes", causes);
    let state = own.and_then(|own| match own {
        Own::Unsent => Some("unsent"),
        Own::Sent => Some("sent"),
        Own::Accepted => Some("accepted"),
        Own::Owed => Some("owed"),
        Own::Seen | Own::Refused | Own::Void => None,
    });
    if let Some(state) = state {
        object = object.with("state", state);
    }
    if let Some(check) = check {
        object = object.with("check", check.to_hex());
    }
    object.into()
}

/// What an author encoded. Rubbish is an application event with nothing in it: none that any definition knows, so the
/// package skips and counts it.
fn readable(content: &Bytes) -> Content {
    Content::decode(content).unwrap_or(Content { kind: Kind::Application, time: 0, payload: Bytes::new() })
}

/// A page of the local log with these events.
pub fn page(page: &Page, events: JsValue) -> JsValue {
    let object =
        Object::new().with("epoch", page.epoch.to_hex()).number("after", page.after.0).number("upto", page.upto.0);
    let object = object.with("check", page.check.to_hex()).with("more", page.more).with("events", events);
    match &page.snapshot {
        Some(snapshot) => object.bytes("snapshot", snapshot).into(),
        None => object.into(),
    }
}

/// A refused event.
pub fn rejection(stream: &StreamName, rejection: &Rejection) -> JsValue {
    let content = readable(&rejection.content);
    let mut object = Object::new().with("id", rejection.id.to_text()).with("stream", stream.as_str());
    object = object.with("kind", content.kind as u8).with("code", &*rejection.code).with("reason", &*rejection.reason);
    object.number("time", content.time.min(Offset::MAX.0)).bytes("payload", &content.payload).into()
}

/// One stream's state on this device. `unsaved`: something written here is not on this device's disk.
pub fn stream(stream: &StreamName, state: &StreamState, unsaved: bool) -> JsValue {
    let phase = match (state.loaded, state.error) {
        (true, _) => "ready",
        (false, Some(_)) => "failed",
        (false, None) => "loading",
    };
    let access = match state.access {
        Access::None => "none",
        Access::Read => "read",
        Access::Write => "write",
    };
    let saved_on = match (unsaved, state.pending) {
        (true, _) => "none",
        (false, 0) => "relay",
        (false, _) => "device",
    };
    let mut object = told_of("stream", stream).with("phase", phase);
    object = object.with("exists", state.exists.map_or("unknown".into(), JsValue::from_bool));
    object =
        object.with("caughtUp", state.caught_up).with("epoch", state.epoch.to_hex()).number("cursor", state.cursor.0);
    object = object.or_null("head", state.head.map(|head| (head.0 as f64).into())).number("answers", state.answers);
    object = object.number("pending", state.pending as u64).number("rejected", state.rejected as u64);
    object = object.with("access", access).with("savedOn", saved_on);
    object.or_null("error", state.error.map(|code| ErrorInfo::new(code).into())).into()
}

/// A stream that this device has, among others.
pub fn local_stream(held: &LocalStream) -> JsValue {
    let kind = if held.kind == Kind::Application { "stream" } else { "document" };
    let object = Object::new().with("name", held.name.as_str()).with("kind", kind);
    object.number("usedBytes", held.used_bytes).number("pending", held.pending as u64).into()
}

impl From<ErrorInfo> for JsValue {
    fn from(error: ErrorInfo) -> JsValue {
        let object = Object::new().with("code", error.code).with("message", error.message);
        object.with("retryable", error.retryable).into()
    }
}

/// The connection, with the time of the next try by the wall clock.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionValue {
    state: &'static str,
    retry_at: Option<f64>,
    closed: JsValue,
    error: Option<ErrorInfo>,
}

impl ConnectionValue {
    /// `closed`: how the last socket ended, see [`closed`]. `wall_time` says when that is, in milliseconds since 1970.
    pub fn new(
        connection: &Connection,
        closed: JsValue,
        wall_time: impl Fn(sync_core::time::Millis) -> f64,
    ) -> ConnectionValue {
        let (state, retry_at, error) = match connection {
            Connection::Idle => ("idle", None, None),
            Connection::Offline => ("offline", None, None),
            Connection::Connecting => ("connecting", None, None),
            Connection::Connected => ("connected", None, None),
            Connection::Waiting { until } => ("waiting", Some(wall_time(*until)), Some(ErrorInfo::unreachable())),
            Connection::NeedsAuth => ("needs-auth", None, Some(ErrorInfo::new("needs-auth"))),
            Connection::Stopped { code } => ("stopped", None, Some(ErrorInfo::new(code))),
        };
        ConnectionValue { state, retry_at, closed, error }
    }
    /// The engine has ended.
    pub fn closed() -> ConnectionValue {
        ConnectionValue { state: "closed", retry_at: None, closed: JsValue::NULL, error: None }
    }
}

/// How a socket ended, as the browser tells it: 1006 and nothing if it was never open, or broke.
pub fn closed(event: &web_sys::CloseEvent) -> JsValue {
    // A close event has this property, and a string of JavaScript need not become one of Rust's.
    let reason = js_sys::Reflect::get(event, &"reason".into()).unwrap_or_default();
    Object::new().with("code", event.code()).with("reason", reason).into()
}

/// The local storage's state.
#[derive(Clone, Debug, PartialEq)]
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
#[derive(Clone, Debug, PartialEq)]
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

impl StatusValue {
    /// As JavaScript gets it.
    pub fn to_js(&self) -> JsValue {
        let mut connection = Object::new().with("state", self.connection.state);
        if let Some(at) = self.connection.retry_at {
            connection = connection.with("retryAt", at);
        }
        if let Some(error) = self.connection.error {
            connection = connection.with("error", JsValue::from(error)).with("closed", &self.connection.closed);
        }
        let of = &self.storage;
        let storage = Object::new().with("durability", of.durability);
        let storage = storage.or_null("usedBytes", of.used_bytes.map(JsValue::from_f64));
        let storage = storage.or_null("quotaBytes", of.quota_bytes.map(JsValue::from_f64));
        let storage = storage.or_null("error", of.error.map(JsValue::from));
        let object = told("status").with("connection", connection).number("pending", self.pending as u64);
        let object = object.number("rejected", self.rejected as u64).number("behind", self.behind as u64);
        object.number("unsaved", self.unsaved as u64).with("storage", storage).into()
    }
}
