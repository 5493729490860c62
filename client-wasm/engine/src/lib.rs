//! The Tidelog engine for the browser: IndexedDB and WebSocket around sync-core.
//!
//! This file is what JavaScript may call (`js/src/engine/engine.ts` mirrors it, shape by shape). Around the `Device`:
//! `driver.rs` performs what it asks for, with `storage.rs` (`indexed_db.rs`, or `memory_storage.rs` where there is none),
//! `web_socket.rs` and `timer.rs`; `changes.rs` says what changed, `questions.rs` answers. It runs in a page, a worker and
//! a shared worker alike: nothing here needs a window.
//!
//! The module itself is built without Rust's standard library: its formatting and its panics would be a fifth of it.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod changes;
mod driver;
pub mod indexed_db;
mod js_error;
mod js_value;
pub mod memory_storage;
#[cfg(all(target_family = "wasm", feature = "module"))]
mod module;
mod questions;
mod quota;
pub mod storage;
mod streams;
mod timer;
mod web_socket;

use crate::changes::Changes;
use crate::driver::Driver;
use crate::indexed_db::{Ended, database_name, delete_database};
use crate::js_error::EngineError;
use crate::questions::{Answer, Question};
use crate::storage::Storage;
use alloc::boxed::Box;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::pin::Pin;
use js_sys::{Function, Promise};
use sync_core::device::{Append, Input, Options, Rejection, StorageError};
use sync_core::event::{Content, Kind};
use sync_core::ids::*;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn get_random_values(bytes: &mut [u8]);
}

/// How long `stop` waits for what was handed in to be saved.
const SAVE_MS_MAX: u64 = 5_000;

/// A running engine: one for each (origin, database, user), whatever its relay; its host holds the Web Lock of that name.
#[wasm_bindgen]
pub struct Engine {
    driver: Rc<Driver>,
    database: String,
}

#[wasm_bindgen]
impl Engine {
    /// Opens the local data, takes it over, and loads the device. `options`: `{ url, database, user, token }`, of which
    /// `url` and `user` may be null and `token` says whether a page can be asked for one. Where there is no durable storage it goes on in memory and says so in its status.
    /// Rejects with `outdated-app` if a newer build wrote the local data: then nothing of it is read.
    #[wasm_bindgen(unchecked_return_type = "Promise<Engine>")]
    pub fn start(options: JsValue, listener: Function) -> Promise {
        promise(Box::pin(async move { Ok(start(options, listener).await?.into()) }))
    }

    /// Follows a stream; harmless if it is followed already. Throws `invalid-name`.
    pub fn open(&self, stream: &str) -> Result<(), JsValue> {
        self.driver.feed(Input::Open { stream: name(stream)? });
        Ok(())
    }

    /// Stops following it. Its local log stays, and what waits to be sent is sent.
    pub fn close(&self, stream: &str) -> Result<(), JsValue> {
        self.driver.feed(Input::Close { stream: name(stream)? });
        Ok(())
    }

    /// Writes an event. `write` comes back in `appended` or `failed`; `kind` is 1, 2 or 3; `time` is in milliseconds since
    /// 1970; `dependent`: made on top of an own event that was not seen in the log yet. Throws `invalid-name`,
    /// `invalid-value`, `closed`.
    pub fn append(
        &self,
        write: f64,
        stream: &str,
        kind: u8,
        time: f64,
        payload: Vec<u8>,
        dependent: bool,
    ) -> Result<(), JsValue> {
        self.driver.with(|state| state.storage().map(drop))?;
        let stream = name(stream)?;
        let kind = Kind::from_number(kind).ok_or(EngineError::new("invalid-value"))?;
        let (write, time) = (whole(write)?, whole(time)?);
        self.driver.feed(Input::Append(Append { write, stream, kind, time, payload: payload.into(), dependent }));
        Ok(())
    }

    /// A page of the committed local log behind `after` (0: from the start), near `max_bytes` but at least one event if
    /// there is one.
    pub fn read(&self, stream: &str, after: f64, max_bytes: f64) -> Result<Promise, JsValue> {
        let (stream, after) = (name(stream)?, Offset(whole(after)?));
        let bytes_max = usize::try_from(whole(max_bytes)?).unwrap_or(usize::MAX);
        let (promise, answer) = Answer::promise();
        let request = self.driver.with(|state| state.questions.begin_read(answer));
        self.driver.feed(Input::Read { request, stream, after, bytes_max });
        Ok(promise)
    }

    /// Own open events of an open stream, in order.
    pub fn pending(&self, stream: &str) -> Result<Promise, JsValue> {
        Ok(self.driver.ask(Question::Pending(name(stream)?)))
    }

    /// The refused events of all streams.
    pub fn rejections(&self) -> Promise {
        Promise::resolve(&self.driver.with(|state| Changes::rejections(&state.device)))
    }

    /// Forgets a rejection. One that is not there is forgotten already.
    #[wasm_bindgen(js_name = dropRejection)]
    pub fn drop_rejection(&self, id: &str, stream: &str) -> Result<Promise, JsValue> {
        let id: EventId = id.parse().map_err(|_| EngineError::new("invalid-value"))?;
        let stream = name(stream)?;
        self.driver.feed(Input::DropRejection { stream: stream.clone(), id });
        Ok(self.driver.ask(Question::Dropped(stream, id)))
    }

    /// Lists an own event that can have no effect: a copy of this profile used its Automerge actor (`profile-copied`), or it
    /// was not saved (`too-large`, under a new id).
    pub fn reject(
        &self,
        id: &str,
        stream: &str,
        kind: u8,
        time: f64,
        payload: Vec<u8>,
        code: String,
    ) -> Result<(), JsValue> {
        let id = id.parse().map_err(|_| EngineError::new("invalid-value"))?;
        let kind = Kind::from_number(kind).ok_or(EngineError::new("invalid-value"))?;
        let content = Content { kind, time: whole(time)?, payload: payload.into() }.encode();
        let rejection = Rejection { id, code, reason: String::new(), content };
        self.driver.feed(Input::Reject { stream: name(stream)?, rejection });
        Ok(())
    }

    /// Asks the relay again for the stream's head.
    pub fn refresh(&self, stream: &str) -> Result<(), JsValue> {
        self.driver.feed(Input::Refresh { stream: name(stream)? });
        Ok(())
    }

    /// Connects, also after `disconnect`, `needs-auth` and `stopped`.
    pub fn connect(&self) {
        self.driver.feed(Input::Connect);
    }

    /// Stays offline until `connect`.
    pub fn disconnect(&self) {
        self.driver.feed(Input::Disconnect);
    }

    /// The answer to `needs-token`, or a newer token. Null: signed out.
    pub fn authenticate(&self, token: Option<String>) {
        self.driver.feed(Input::Token(token));
    }

    /// What the browser told a page: `online`, `offline`, `visible`, `hidden`, `freeze`, `resume`.
    pub fn hint(&self, what: &str) {
        match what {
            "offline" => self.driver.feed(Input::Network { online: false }),
            "online" => self.driver.feed(Input::Network { online: true }),
            // Timers of a page that was hidden or asleep come late, and a try to connect may be overdue.
            "visible" | "resume" => {
                self.driver.feed(Input::Timer);
                if !quota::is_offline() {
                    self.driver.feed(Input::Network { online: true });
                }
            }
            // Nothing needs an end here: what is handed in is on its way to the disk already.
            _ => {}
        }
    }

    /// Asks the browser to keep this origin's data, where it lets us ask: in a page. In a worker the page has to ask
    /// (`navigator.storage.persist()`) before it calls this, which then says, and puts into the status, what it got.
    #[wasm_bindgen(js_name = requestPersistence)]
    pub fn request_persistence(&self) -> Promise {
        let driver = Rc::clone(&self.driver);
        promise(Box::pin(async move {
            let is_persistent = quota::persist().await;
            quota::measure(&driver);
            Ok(is_persistent.into())
        }))
    }

    /// The streams of which this device has something, by the beginning of their names.
    pub fn streams(&self, prefix: &str) -> Promise {
        let streams = self.driver.with(|state| state.device.streams());
        let held = streams.iter().filter(|held| held.name.as_str().starts_with(prefix));
        Promise::resolve(&js_value::list(held.map(js_value::local_stream)))
    }

    /// The Automerge actor of the `number`th page, 32 hex: the same one until this device has another producer id.
    pub fn actor(&self, number: u32) -> String {
        ProducerId(self.driver.with(|state| state.device.writer(number))).to_hex()
    }

    /// Ends this engine and deletes the database. Rejects with `storage-unavailable` if another page holds it.
    #[wasm_bindgen(js_name = deleteLocalData)]
    pub fn delete_local_data(&self) -> Promise {
        let (driver, database) = (Rc::clone(&self.driver), self.database.clone());
        promise(Box::pin(async move {
            let storage = driver.with(|state| state.end());
            if storage.is_some_and(|storage| storage.is_memory()) {
                return Ok(JsValue::UNDEFINED);
            }
            match delete_database(&database).await {
                Ok(true) => Ok(JsValue::UNDEFINED),
                Ok(false) | Err(_) => Err(EngineError::new("storage-unavailable").into()),
            }
        }))
    }

    /// Ends this engine, once what was handed in is saved.
    pub fn stop(&self) -> Promise {
        let driver = Rc::clone(&self.driver);
        let saved = driver.ask(Question::Saved);
        let late = timer::after(SAVE_MS_MAX);
        let either = js_sys::Array::of2(&saved, &late);
        promise(Box::pin(async move {
            // Whatever came of it, this is the end.
            let _ = JsFuture::from(Promise::race(&either)).await;
            driver.with(|state| state.end());
            Ok(JsValue::UNDEFINED)
        }))
    }
}

/// What `Engine::start` does.
async fn start(options: JsValue, listener: Function) -> Result<Engine, JsValue> {
    let option = |key: &str| js_sys::Reflect::get(&options, &key.into());
    let text = |key: &str| option(key).map(|value| value.as_string());
    let (url, user) = (text("url")?, text("user")?);
    let database = text("database")?.ok_or(EngineError::new("invalid-value"))?;
    let token = option("token")?.is_truthy();
    let database = database_name(&database, user.as_deref());
    // The database may be taken away before there is a driver to tell it to.
    let ended: Rc<RefCell<(Option<Ended>, Weak<Driver>)>> = Rc::new(RefCell::new((None, Weak::new())));
    let told = Rc::clone(&ended);
    let on_end = move |how| {
        let driver = told.borrow().1.upgrade();
        match driver {
            Some(driver) => database_ended(&driver, how),
            None => told.borrow_mut().0 = Some(how),
        }
    };
    let (storage, why_memory) = Storage::open(&database, on_end).await.map_err(|_| EngineError::new("outdated-app"))?;
    let options = Options { relay: url.is_some(), wants_token: token };
    let mut seed = [0; 32];
    get_random_values(&mut seed);
    let driver = Driver::start(seed, options, url, storage, listener);
    ended.borrow_mut().1 = Rc::downgrade(&driver);
    if let Some(how) = ended.borrow_mut().0.take() {
        database_ended(&driver, how);
    }
    if let Some(why) = why_memory {
        driver.with(|state| state.changes.log("warn", &["nothing is kept on this device: ", &why].concat()));
    }
    JsFuture::from(driver.ask(Question::Loaded)).await?;
    if quota::is_offline() {
        driver.feed(Input::Network { online: false });
    }
    quota::measure(&driver);
    Ok(Engine { driver, database })
}

/// A promise of JavaScript for what comes of `work`. Boxed, so that there is one kind of it: each kind is a kilobyte.
fn promise(work: Pin<Box<dyn Future<Output = Result<JsValue, JsValue>>>>) -> Promise {
    future_to_promise(work)
}

/// The database was taken away while in use.
fn database_ended(driver: &Rc<Driver>, how: Ended) {
    let why = match how {
        Ended::Lost => "the local data was deleted, or its disk failed",
        Ended::Deleted => "the local data was deleted by another page",
        Ended::Upgraded => "a newer build of this app upgrades the local data",
    };
    driver.with(|state| state.changes.log("error", why));
    driver.feed(Input::StorageFailed(StorageError::Lost));
    if how == Ended::Upgraded {
        driver.with(|state| state.changes.outdated());
    }
}

fn name(text: &str) -> Result<StreamName, EngineError> {
    StreamName::new(text).map_err(|_| EngineError::new("invalid-name"))
}

/// A number of JavaScript that counts something.
fn whole(number: f64) -> Result<u64, EngineError> {
    let whole = number as u64;
    let is_whole = whole as f64 == number && whole <= Offset::MAX.0;
    is_whole.then_some(whole).ok_or(EngineError::new("invalid-value"))
}
