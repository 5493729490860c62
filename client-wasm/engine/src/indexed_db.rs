//! The local store in IndexedDB: an object store for each table, keys and values as bytes, and `lease` with the fence.
//!
//! A commit is one `readwrite` transaction with `durability: "strict"`, over its tables and `lease`; it counts when the
//! transaction's `complete` event comes, never before. In it the fence is read: another host raised it, so nothing of
//! this commit is stored (R15).

use crate::js_error::storage_code;
use crate::storage::Rows;
use crate::timer::Timer;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use js_sys::{Array, ArrayBuffer, Function, JsString, Object, Promise, Reflect, Uint8Array};
use sync_core::device::{StorageError, Table, Write};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DomException, IdbDatabase, IdbFactory, IdbKeyRange, IdbObjectStore, IdbOpenDbRequest, IdbRequest, IdbTransaction,
    IdbTransactionMode, IdbVersionChangeEvent,
};

/// Raised whenever a build writes what an older one cannot read.
pub const SCHEMA_VERSION: u32 = 1;
/// The object store beside the tables: the number of the host that may write.
const LEASE: &str = "lease";
const FENCE_KEY: &str = "fence";

/// The name of the database of one user's data of one app. Parts are percent-encoded, so that no two share a name.
pub fn database_name(database: &str, user: Option<&str>) -> String {
    let encode = |part: &str| String::from(js_sys::encode_uri_component(part));
    ["tidelog:", &encode(database), ":", &user.map(encode).unwrap_or_default()].concat()
}

/// Why there is no database.
#[derive(Debug, PartialEq, Eq)]
pub enum OpenError {
    /// A newer build wrote it.
    Newer,
    /// Private mode, blocked, broken, or no IndexedDB at all; in words for a log.
    Unavailable(String),
}

/// How an open database came to its end from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The browser closed it: its data was deleted, or its disk failed.
    Lost,
    /// Somebody deletes it, and waited for us to let go.
    Deleted,
    /// A newer build upgrades it, and waited for us to let go.
    Upgraded,
}

/// The number that a host's transactions must find.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fence {
    /// This host has taken over with this number.
    Raised(f64),
    /// There was no room to write even that. The first commit that succeeds raises this number; until then only the
    /// host's Web Lock keeps others out.
    Seen(f64),
}

/// An open database.
pub struct IndexedDb {
    database: IdbDatabase,
    fence: Cell<Fence>,
    ended: Rc<Cell<bool>>,
    _on_close: Closure<dyn FnMut()>,
    _on_version_change: Closure<dyn FnMut(IdbVersionChangeEvent)>,
}

impl IndexedDb {
    /// Opens or makes the database and raises its fence. `on_end` is called at most once, when it is taken away.
    pub async fn open(name: &str, on_end: impl Fn(Ended) + 'static) -> Result<IndexedDb, OpenError> {
        let database = open_database(name).await?;
        let ended = Rc::new(Cell::new(false));
        let (on_end, once) = (Rc::new(on_end), Rc::clone(&ended));
        let end = move |how| {
            if !once.replace(true) {
                on_end(how);
            }
        };
        let (end_too, closing) = (end.clone(), database.clone());
        let on_close = Closure::<dyn FnMut()>::new(move || end(Ended::Lost));
        let on_version_change = Closure::<dyn FnMut(_)>::new(move |event: IdbVersionChangeEvent| {
            // In the event's own task: whoever waits goes on as soon as this connection is closed.
            closing.close();
            end_too(if event.new_version().is_some() { Ended::Upgraded } else { Ended::Deleted });
        });
        database.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        database.set_onversionchange(Some(on_version_change.as_ref().unchecked_ref()));
        let fence = Cell::new(Fence::Seen(0.0));
        let opened = IndexedDb { database, fence, ended, _on_close: on_close, _on_version_change: on_version_change };
        match opened.raise_fence().await {
            Ok(()) | Err(StorageError::Full) => Ok(opened),
            Err(error) => {
                Err(OpenError::Unavailable(["its fence could not be raised: ", storage_code(error)].concat()))
            }
        }
    }

    /// From here on every other host's commits are refused.
    async fn raise_fence(&self) -> Result<(), StorageError> {
        let transaction = self.transaction(&Array::of1(&LEASE.into()), IdbTransactionMode::Readwrite)?;
        let done = completion(&transaction);
        let waiting = transaction.clone();
        // It may have ended by itself already; then there is nothing to abort.
        let late = Timer::new(move || drop(waiting.abort()));
        late.arm(OPEN_MS_MAX);
        let lease = lease(&transaction)?;
        let number = self.result(&lease.get(&FENCE_KEY.into()).map_err(failure)?).await?.as_f64().unwrap_or(0.0);
        self.fence.set(Fence::Seen(number));
        lease.put_with_key(&(number + 1.0).into(), &FENCE_KEY.into()).map_err(failure)?;
        done.await.map_err(|_| self.why_aborted(&transaction))?;
        self.fence.set(Fence::Raised(number + 1.0));
        Ok(())
    }

    /// Makes all the changes or none; returns when the transaction is complete.
    pub async fn commit(&self, writes: Vec<Write>) -> Result<(), StorageError> {
        let is_written = |table: &&Table| writes.iter().any(|write| table_of(write) == **table);
        let names = Array::of1(&LEASE.into());
        for table in Table::ALL.iter().filter(is_written) {
            names.push(&table.name().into());
        }
        let transaction = self.transaction(&names, IdbTransactionMode::Readwrite)?;
        let fenced = Rc::new(Cell::new(false));
        let on_fence = self.check_fence(&transaction, &fenced)?;
        let done = completion(&transaction);
        for write in &writes {
            if let Err(error) = request(&transaction, write) {
                // It may have ended by itself already; then there is nothing to abort.
                let _ = transaction.abort();
                let _ = done.await;
                return Err(failure(error));
            }
        }
        let ended = done.await;
        drop(on_fence);
        match ended {
            Ok(_) => {
                if let Fence::Seen(number) = self.fence.get() {
                    self.fence.set(Fence::Raised(number + 1.0));
                }
                Ok(())
            }
            Err(_) if fenced.get() => Err(StorageError::Fenced),
            Err(_) => Err(self.why_aborted(&transaction)),
        }
    }

    /// Reads the fence and aborts in the very event that brings it, before any other request of the transaction is
    /// answered, if it is another host's.
    fn check_fence(
        &self,
        transaction: &IdbTransaction,
        fenced: &Rc<Cell<bool>>,
    ) -> Result<Closure<dyn FnMut()>, StorageError> {
        let lease = lease(transaction)?;
        let request = lease.get(&FENCE_KEY.into()).map_err(failure)?;
        let (fence, found) = (self.fence.get(), request.clone());
        let (transaction, fenced) = (transaction.clone(), Rc::clone(fenced));
        let on_fence = Closure::<dyn FnMut()>::new(move || {
            let number = found.result().ok().and_then(|number| number.as_f64()).unwrap_or(0.0);
            let (Fence::Raised(own) | Fence::Seen(own)) = fence;
            if number == own {
                return;
            }
            fenced.set(true);
            // Its own request is being answered, so it is active and can be aborted.
            let _ = transaction.abort();
        });
        request.set_onsuccess(Some(on_fence.as_ref().unchecked_ref()));
        if let Fence::Seen(number) = fence {
            lease.put_with_key(&(number + 1.0).into(), &FENCE_KEY.into()).map_err(failure)?;
        }
        Ok(on_fence)
    }

    /// Rows with `from <= key < to`: near `bytes_max` bytes of values, at least one row if there is one.
    pub async fn load(&self, table: Table, from: Vec<u8>, to: Vec<u8>, bytes_max: usize) -> Result<Rows, StorageError> {
        let mut rows = Rows::default();
        if from >= to {
            return Ok(rows);
        }
        // One transaction for all batches, so that they are of one state.
        let transaction = self.transaction(&Array::of1(&table.name().into()), IdbTransactionMode::Readonly)?;
        let store = transaction.object_store(table.name()).map_err(failure)?;
        let to = Uint8Array::from(to.as_slice());
        let mut range = bound(&Uint8Array::from(from.as_slice()), false, &to)?;
        loop {
            let count = batch_rows(&rows, bytes_max);
            let keys = store.get_all_keys_with_key_and_limit(&range, count).map_err(failure)?;
            let values = store.get_all_with_key_and_limit(&range, count).map_err(failure)?;
            // In the order of the requests, so the keys' promise is settled by then.
            let values = Array::from(&self.result(&values).await?);
            let keys = Array::from(&keys.result().map_err(failure)?);
            for (key, value) in keys.iter().zip(values.iter()) {
                let (Ok(key), Ok(value)) = (key.dyn_into::<ArrayBuffer>(), value.dyn_into::<Uint8Array>()) else {
                    return Err(StorageError::Lost); // nothing that this engine writes
                };
                rows.push(Uint8Array::new(&key).to_vec(), value.to_vec().into(), bytes_max);
                if rows.more {
                    return Ok(rows);
                }
            }
            if keys.length() < count {
                return Ok(rows);
            }
            range = bound(&keys.get(keys.length() - 1), true, &to)?;
        }
    }

    /// Lets go of it, so that it can be deleted. What is under way still ends.
    pub fn close(&self) {
        self.ended.set(true);
        self.database.close();
    }

    fn transaction(&self, names: &Array, mode: IdbTransactionMode) -> Result<IdbTransaction, StorageError> {
        // web-sys has the call with options only among its unstable interfaces.
        let begin = Reflect::get(&self.database, &"transaction".into()).map_err(failure)?;
        let begin: Function = begin.dyn_into().map_err(failure)?;
        let options = Object::new();
        Reflect::set(&options, &"durability".into(), &"strict".into()).map_err(failure)?;
        let transaction = begin.call3(&self.database, names, &mode.into(), &options).map_err(failure)?;
        transaction.dyn_into().map_err(failure)
    }

    fn why_aborted(&self, transaction: &IdbTransaction) -> StorageError {
        if self.ended.get() {
            return StorageError::Lost;
        }
        transaction.error().map_or(StorageError::Failed, |error| named(&error.name()))
    }

    async fn result(&self, request: &IdbRequest) -> Result<JsValue, StorageError> {
        match answer(request).await {
            Ok(_) => request.result().map_err(failure),
            Err(_) if self.ended.get() => Err(StorageError::Lost),
            Err(_) => Err(request.error().ok().flatten().map_or(StorageError::Failed, |error| named(&error.name()))),
        }
    }
}

impl Drop for IndexedDb {
    fn drop(&mut self) {
        self.database.set_onclose(None);
        self.database.set_onversionchange(None);
        self.database.close();
    }
}

/// Deletes a database; other connections to it are told and let go. `false`: one of them does not.
pub async fn delete_database(name: &str) -> Result<bool, JsValue> {
    let request = factory().ok_or("there is no IndexedDB")?.delete_database(name)?;
    let deleted = settled(&request, DELETE_MS_MAX).await;
    Ok(matches!(deleted, Settled::Succeeded))
}

/// How long another connection may take to let go.
const BLOCKED_MS_MAX: u64 = 3_000;
/// How long opening may take at all: behind a frozen page's transaction it would be for ever.
const OPEN_MS_MAX: u64 = 15_000;
/// How long deleting may take.
const DELETE_MS_MAX: u64 = 10_000;

/// The global's `indexedDB`: a page's or a worker's.
fn factory() -> Option<IdbFactory> {
    // The getter itself throws in some private modes and sandboxes.
    Reflect::get(&js_sys::global(), &"indexedDB".into()).ok()?.dyn_into().ok()
}

async fn open_database(name: &str) -> Result<IdbDatabase, OpenError> {
    let unavailable = |error: JsValue| OpenError::Unavailable(said(&error));
    let factory = factory().ok_or_else(|| OpenError::Unavailable("there is no IndexedDB".into()))?;
    let request = factory.open_with_u32(name, SCHEMA_VERSION).map_err(unavailable)?;
    let upgrading = request.clone();
    let on_upgrade = Closure::<dyn FnMut(JsValue)>::new(move |_| make_tables(&upgrading));
    request.set_onupgradeneeded(Some(on_upgrade.as_ref().unchecked_ref()));
    match settled(&request, OPEN_MS_MAX).await {
        Settled::Succeeded => {}
        Settled::Failed => {
            let error = request.error().ok().flatten();
            return Err(match error {
                Some(error) if error.name() == "VersionError" => OpenError::Newer,
                Some(error) => OpenError::Unavailable(said(&error)),
                None => OpenError::Unavailable("it could not be opened".into()),
            });
        }
        Settled::TimedOut => {
            close_when_opened(&request, on_upgrade);
            return Err(OpenError::Unavailable("another page holds it and does not let go".into()));
        }
    }
    let database: IdbDatabase = request.result().map_err(unavailable)?.dyn_into().map_err(unavailable)?;
    let names = database.object_store_names();
    let missing = Table::ALL.iter().map(|table| table.name()).chain([LEASE]).find(|name| !names.contains(name));
    if let Some(name) = missing {
        database.close();
        return Err(OpenError::Unavailable(["it has no table ", name].concat()));
    }
    Ok(database)
}

/// Makes the tables of a new database. What fails here aborts the upgrade, and opening fails.
fn make_tables(request: &IdbOpenDbRequest) {
    let Some(database) = request.result().ok().and_then(|database| database.dyn_into::<IdbDatabase>().ok()) else {
        return;
    };
    for name in Table::ALL.iter().map(|table| table.name()).chain([LEASE]) {
        if let Err(error) = database.create_object_store(name) {
            wasm_bindgen::throw_val(error);
        }
    }
}

/// Nobody waits for it any more: should it open after all, it must not stand in another's way.
fn close_when_opened(request: &IdbOpenDbRequest, on_upgrade: Closure<dyn FnMut(JsValue)>) {
    let opened = request.clone();
    request.set_onsuccess(Some(
        Closure::once_into_js(move || {
            drop(on_upgrade);
            if let Some(database) = opened.result().ok().and_then(|it| it.dyn_into::<IdbDatabase>().ok()) {
                database.close();
            }
        })
        .unchecked_ref(),
    ));
}

fn lease(transaction: &IdbTransaction) -> Result<IdbObjectStore, StorageError> {
    transaction.object_store(LEASE).map_err(failure)
}

fn table_of(write: &Write) -> Table {
    match write {
        Write::Put { table, .. } | Write::DeleteRange { table, .. } => *table,
    }
}

/// Asks for one change; the transaction says whether it was made. Bytes are copied out of the module's memory: a view
/// of it would be stored with all of that memory.
fn request(transaction: &IdbTransaction, write: &Write) -> Result<(), JsValue> {
    match write {
        Write::Put { table, key, value } => {
            let store = transaction.object_store(table.name())?;
            store.put_with_key(&Uint8Array::from(&value[..]), &Uint8Array::from(key.as_slice()))?;
        }
        Write::DeleteRange { table, from, to } => {
            if from < to {
                let (from, to) = (Uint8Array::from(from.as_slice()), Uint8Array::from(to.as_slice()));
                let range = IdbKeyRange::bound_with_lower_open_and_upper_open(&from, &to, false, true)?;
                transaction.object_store(table.name())?.delete(&range)?;
            }
        }
    }
    Ok(())
}

fn bound(from: &JsValue, from_open: bool, to: &Uint8Array) -> Result<IdbKeyRange, StorageError> {
    IdbKeyRange::bound_with_lower_open_and_upper_open(from, to, from_open, true).map_err(failure)
}

/// How many rows to ask for next: as many as should fit, going by the rows so far, and one more to see that there is more.
fn batch_rows(rows: &Rows, bytes_max: usize) -> u32 {
    const FIRST: usize = 8;
    const MAX: usize = 512;
    let so_far = rows.rows.len();
    if so_far == 0 {
        return FIRST as u32;
    }
    let row_bytes = (rows.bytes() / so_far).max(1);
    let left = bytes_max.saturating_sub(rows.bytes()) / row_bytes + 1;
    left.min(so_far * 4).min(MAX) as u32
}

/// Ends when the transaction is complete, with an error when it is aborted. Its handlers are in place at once.
fn completion(transaction: &IdbTransaction) -> JsFuture {
    JsFuture::from(Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onabort(Some(&reject));
    }))
}

/// Ends with the request's event.
fn answer(request: &IdbRequest) -> JsFuture {
    JsFuture::from(Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
    }))
}

enum Settled {
    Succeeded,
    Failed,
    TimedOut,
}

/// Waits for an open or delete request; not for ever, and not long once it says that others are in its way.
async fn settled(request: &IdbOpenDbRequest, ms_max: u64) -> Settled {
    const TIMED_OUT: &str = "timed out";
    let mut timer = None;
    let done = JsFuture::from(Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
        // Rejecting a promise that is settled changes nothing.
        timer = Some(Rc::new(Timer::new(move || drop(reject.call1(&JsValue::NULL, &TIMED_OUT.into())))));
    }));
    let late = timer.clone();
    let on_blocked = Closure::<dyn FnMut()>::new(move || late.iter().for_each(|late| late.arm(BLOCKED_MS_MAX)));
    request.set_onblocked(Some(on_blocked.as_ref().unchecked_ref()));
    timer.iter().for_each(|late| late.arm(ms_max));
    let settled = match done.await {
        Ok(_) => Settled::Succeeded,
        Err(error) if error == TIMED_OUT => Settled::TimedOut,
        Err(_) => Settled::Failed,
    };
    request.set_onblocked(None);
    settled
}

/// What became of the local store, by what IndexedDB threw.
fn failure(error: JsValue) -> StorageError {
    error.dyn_ref::<DomException>().map_or(StorageError::Failed, |error| named(&error.name()))
}

/// By the name of a `DOMException`.
fn named(error: &str) -> StorageError {
    match error {
        "QuotaExceededError" => StorageError::Full,
        // A closed database, a missing table, rows that cannot be read back.
        "InvalidStateError" | "NotFoundError" | "DataError" | "DataCloneError" | "NotReadableError" => {
            StorageError::Lost
        }
        _ => StorageError::Failed,
    }
}

/// An error in words, for the log.
fn said(error: &JsValue) -> String {
    let text = Reflect::get(error, &"message".into()).ok().and_then(|message| message.dyn_into::<JsString>().ok());
    text.map_or_else(|| "unknown error".into(), String::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_grow_with_what_is_known_of_the_rows() {
        let mut rows = Rows::default();
        assert_eq!(batch_rows(&rows, 1000), 8);
        for key in 0..8 {
            rows.push(vec![key], bytes::Bytes::from(vec![0; 100]), 10_000);
        }
        assert_eq!(batch_rows(&rows, 1000), 3);
        assert_eq!(batch_rows(&rows, 800), 1);
        assert_eq!(batch_rows(&rows, 1_000_000), 32);
    }

    #[test]
    fn what_indexed_db_throws_has_its_meaning() {
        assert_eq!(named("QuotaExceededError"), StorageError::Full);
        assert_eq!(named("InvalidStateError"), StorageError::Lost);
        assert_eq!(named("AbortError"), StorageError::Failed);
    }
}
