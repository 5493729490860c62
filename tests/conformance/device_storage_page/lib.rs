//! The engine's IndexedDB as a page can drive it: the browser's side of `device_storage.json`.

use js_sys::{Array, Uint8Array};
use std::cell::Cell;
use std::rc::Rc;
use sync_core::device::{StorageError, Table, Write};
use tidelog_engine::indexed_db::{Ended, IndexedDb, OpenError};
use wasm_bindgen::prelude::*;

/// An open database of one host.
#[wasm_bindgen]
pub struct DeviceStorage {
    database: IndexedDb,
    ended: Rc<Cell<Option<Ended>>>,
}

#[wasm_bindgen]
impl DeviceStorage {
    /// Opens a database and takes it over. Rejects with `newer`, or with the reason why there is none.
    pub async fn open(name: String) -> Result<DeviceStorage, JsValue> {
        let ended = Rc::new(Cell::new(None));
        let told = Rc::clone(&ended);
        match IndexedDb::open(&name, move |how| told.set(Some(how))).await {
            Ok(database) => Ok(DeviceStorage { database, ended }),
            Err(OpenError::Newer) => Err("newer".into()),
            Err(OpenError::Unavailable(why)) => Err(why.into()),
        }
    }

    /// `writes`: `["put", table, key, value]` and `["delete", table, from, to]`. Resolves to the outcome's name.
    pub async fn commit(&self, writes: Array) -> Result<String, JsValue> {
        let writes = writes.iter().map(|write| read_write(&Array::from(&write))).collect::<Result<Vec<_>, _>>()?;
        Ok(match self.database.commit(writes).await {
            Ok(()) => "committed".into(),
            Err(error) => outcome(error).into(),
        })
    }

    /// `[rows, more]`, a row being key and value; or the outcome's name.
    pub async fn load(&self, table: String, from: Vec<u8>, to: Vec<u8>, bytes_max: usize) -> Result<JsValue, JsValue> {
        let loaded = match self.database.load(table_named(&table)?, from, to, bytes_max).await {
            Ok(loaded) => loaded,
            Err(error) => return Ok(outcome(error).into()),
        };
        let rows = loaded.rows.iter().map(|(key, value)| {
            Array::of2(&Uint8Array::from(key.as_slice()).into(), &Uint8Array::from(&value[..]).into())
        });
        Ok(Array::of2(&rows.collect::<Array>().into(), &loaded.more.into()).into())
    }

    /// How the database was taken away, if it was.
    pub fn ended(&self) -> Option<String> {
        self.ended.get().map(|how| format!("{how:?}").to_lowercase())
    }

    /// Lets go of it.
    pub fn close(&self) {
        self.database.close();
    }
}

fn outcome(error: StorageError) -> &'static str {
    match error {
        StorageError::Full => "full",
        StorageError::Lost => "lost",
        StorageError::Fenced => "fenced",
        StorageError::Failed => "failed",
    }
}

fn table_named(name: &str) -> Result<Table, JsValue> {
    Table::ALL.into_iter().find(|table| table.name() == name).ok_or_else(|| format!("no table {name}").into())
}

fn read_write(write: &Array) -> Result<Write, JsValue> {
    let text = |index| write.get(index).as_string().unwrap_or_default();
    let bytes = |index| Uint8Array::new(&write.get(index)).to_vec();
    let table = table_named(&text(1))?;
    match text(0).as_str() {
        "put" => Ok(Write::Put { table, key: bytes(2), value: bytes(3).into() }),
        "delete" => Ok(Write::DeleteRange { table, from: bytes(2), to: bytes(3) }),
        other => Err(format!("no write {other}").into()),
    }
}
