//! What JavaScript may call.

use crate::{from_js, to_js};
use js_sys::{Array, Uint8Array};
use sync_document::{Applied, Document, DocumentError, Opening, changes_of, is_of_defaults, read_change};
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsError, JsValue};

type Result<T> = std::result::Result<T, JsValue>;

/// One open document.
#[wasm_bindgen(js_name = Document)]
#[derive(Debug)]
pub struct WasmDocument {
    document: Document,
    opened: Applied,
}

#[wasm_bindgen(js_class = Document)]
impl WasmDocument {
    /// Opens a document: 16 bytes of actor, encoded defaults, payloads, and how many of them at the end are own ones that
    /// the log has not shown.
    #[wasm_bindgen(constructor)]
    pub fn new(actor: &[u8], defaults: &Array, payloads: &Array, pending: usize) -> Result<WasmDocument> {
        let actor = actor_of(actor)?;
        let payloads = from_js::payloads(payloads);
        let opening = Opening {
            actor,
            defaults: from_js::defaults(defaults).map_err(to_js::error)?,
            payloads: payloads.iter().map(Vec::as_slice).collect(),
            pending,
        };
        let (document, opened) = Document::open(&opening).map_err(to_js::error)?;
        Ok(Self { document, opened })
    }

    /// What opening did with the payloads; once.
    pub fn opened(&mut self) -> Array {
        to_js::applied(&std::mem::take(&mut self.opened))
    }

    /// The whole content.
    pub fn value(&self) -> JsValue {
        to_js::value(&self.document.value())
    }

    /// The whole content as of heads.
    #[wasm_bindgen(js_name = valueAt)]
    pub fn value_at(&mut self, heads: &Array) -> Result<JsValue> {
        let heads = from_js::hashes(heads).map_err(to_js::error)?;
        Ok(to_js::value(&self.document.value_at(&heads).map_err(to_js::error)?))
    }

    /// Applies recorded operations to the open change; gives patches. Time (in seconds) and message are for parts that must
    /// be cut off it.
    pub fn record(&mut self, operations: &Array, time: f64, message: Option<String>) -> Result<Array> {
        let operations = from_js::operations(&self.document, operations).map_err(to_js::error)?;
        Ok(to_js::patches(&self.document.record_with(operations, time as i64, message).map_err(to_js::error)?))
    }

    /// Closes the open change. Time in seconds.
    pub fn commit(&mut self, time: f64, message: Option<String>) -> Result<Option<Array>> {
        let commit = self.document.commit(time as i64, message).map_err(to_js::error)?;
        Ok(commit.as_ref().map(to_js::commit))
    }

    /// A change as if made at heads: `[commit, patches]`, or nothing.
    #[wasm_bindgen(js_name = changeAt)]
    pub fn change_at(
        &mut self,
        heads: &Array,
        operations: &Array,
        time: f64,
        message: Option<String>,
    ) -> Result<Option<Array>> {
        let heads = from_js::hashes(heads).map_err(to_js::error)?;
        let operations = from_js::operations(&self.document, operations).map_err(to_js::error)?;
        let changed = self.document.change_at(&heads, &operations, time as i64, message).map_err(to_js::error)?;
        Ok(changed.map(|(commit, patches)| Array::of2(&to_js::commit(&commit), &to_js::patches(&patches))))
    }

    /// Applies payloads of the log.
    pub fn apply(&mut self, payloads: &Array) -> Result<Array> {
        let payloads = from_js::payloads(payloads);
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        Ok(to_js::applied(&self.document.apply(&payloads).map_err(to_js::error)?))
    }

    /// Writes under this actor from now on. False, and not done, where its numbers are in doubt.
    #[wasm_bindgen(js_name = takeActor)]
    pub fn take_actor(&mut self, actor: &[u8]) -> Result<bool> {
        Ok(self.document.take_actor(actor_of(actor)?))
    }

    /// What comes from now on is of another log, from its beginning.
    #[wasm_bindgen(js_name = logReplaced)]
    pub fn log_replaced(&mut self) {
        self.document.log_replaced();
    }

    /// Takes changes out: `[patches, dropped]`.
    pub fn without(&mut self, hashes: &Array) -> Result<Array> {
        let hashes = from_js::hashes(hashes).map_err(to_js::error)?;
        let without = self.document.without(&hashes).map_err(to_js::error)?;
        Ok(Array::of2(&to_js::patches(&without.patches), &to_js::dropped(&without.dropped)))
    }

    /// The current heads.
    pub fn heads(&mut self) -> Array {
        to_js::hashes(&self.document.heads())
    }

    /// Patches from one moment to another.
    pub fn diff(&mut self, from: &Array, to: &Array) -> Result<Array> {
        let from = from_js::hashes(from).map_err(to_js::error)?;
        let to = from_js::hashes(to).map_err(to_js::error)?;
        Ok(to_js::patches(&self.document.diff(&from, &to).map_err(to_js::error)?))
    }

    /// `[[hash, actor, seconds, message]]`, newest first.
    pub fn changes(&mut self) -> Array {
        let entry = |entry: sync_document::HistoryEntry| {
            let message = entry.message.map_or(JsValue::NULL, Into::into);
            let actor = entry.actor.to_string().into();
            Array::of4(&to_js::hash(&entry.hash), &actor, &(entry.time as f64).into(), &message)
        };
        self.document.changes().into_iter().map(entry).collect()
    }

    /// The object at a key: `[id, type]`, or nothing. With heads, as of then.
    pub fn child(&mut self, object: &str, key: &JsValue, heads: Option<Array>) -> Result<JsValue> {
        let (object, key, heads) = self.place(object, key, heads).map_err(to_js::error)?;
        Ok(to_js::object(self.document.child(&object, &key, heads.as_deref())))
    }

    /// What is at a key, for what a snapshot does not show: 6 a counter, 7 an immutable string, else nothing. With heads, as of then.
    pub fn kind(&mut self, object: &str, key: &JsValue, heads: Option<Array>) -> Result<JsValue> {
        let (object, key, heads) = self.place(object, key, heads).map_err(to_js::error)?;
        let scalar = self.document.scalar(&object, &key, heads.as_deref());
        Ok(scalar.as_ref().map_or(JsValue::UNDEFINED, to_js::kind))
    }

    fn place(&self, object: &str, key: &JsValue, heads: Option<Array>) -> std::result::Result<Place, DocumentError> {
        let heads = heads.map(|heads| from_js::hashes(&heads)).transpose()?;
        Ok((self.document.object(object)?.0, from_js::key(key)?, heads))
    }

    /// The object at a path: `[id, type]`, or nothing.
    pub fn find(&self, path: &Array) -> Result<JsValue> {
        Ok(to_js::object(self.document.find(&from_js::path(path).map_err(to_js::error)?)))
    }

    /// The content of a text, or nothing if it does not show.
    pub fn text(&self, object: &str) -> Result<Option<String>> {
        let (object, _) = self.document.object(object).map_err(to_js::error)?;
        Ok(self.document.text(&object))
    }

    /// A place in a text that stays.
    #[wasm_bindgen(js_name = cursorAt)]
    pub fn cursor_at(&self, object: &str, index: usize) -> Result<String> {
        let (object, _) = self.document.object(object).map_err(to_js::error)?;
        self.document.cursor_at(&object, index).map_err(to_js::error)
    }

    /// Where such a place is now.
    #[wasm_bindgen(js_name = indexOf)]
    pub fn index_of(&mut self, object: &str, cursor: &str) -> Result<Option<usize>> {
        let (object, _) = self.document.object(object).map_err(to_js::error)?;
        Ok(self.document.index_of(&object, cursor))
    }

    /// `[[value, actor, winner]]`
    pub fn conflicts(&self, path: &Array) -> Result<Array> {
        let conflicts = self.document.conflicts(&from_js::path(path).map_err(to_js::error)?);
        let conflict = |conflict: &sync_document::Conflict| {
            let actor = conflict.actor.to_string().into();
            Array::of3(&to_js::value(&conflict.value), &actor, &conflict.winner.into())
        };
        Ok(conflicts.iter().map(conflict).collect())
    }

    /// The document as an Automerge file.
    #[wasm_bindgen(js_name = exportFile)]
    pub fn export_file(&mut self) -> Uint8Array {
        Uint8Array::from(&self.document.export()[..])
    }

    /// Merges the changes of an Automerge file: `[applied, [[hash, bytes]]]`.
    pub fn import(&mut self, changes: &Array) -> Result<Array> {
        let changes = from_js::payloads(changes);
        let changes: Vec<&[u8]> = changes.iter().map(Vec::as_slice).collect();
        let imported = self.document.import(&changes).map_err(to_js::error)?;
        let changes = imported.changes.iter().map(to_js::committed).collect::<Array>();
        Ok(Array::of2(&to_js::applied(&imported.applied), &changes))
    }

    /// The changes of an Automerge file, each as a payload. A file from outside may trap: see [`changes_of`].
    #[wasm_bindgen(js_name = changesOf)]
    pub fn changes_of(file: &[u8]) -> Result<Array> {
        let changes = changes_of(file).map_err(to_js::error)?;
        Ok(changes.iter().map(|change| JsValue::from(Uint8Array::from(change.raw_bytes()))).collect())
    }

    /// The edits of a change that is in no document; `payloads` hold what it was made on top of.
    #[wasm_bindgen(js_name = editsOf)]
    pub fn edits_of(payload: &[u8], payloads: &Array) -> Result<Array> {
        let payloads = from_js::payloads(payloads);
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        Ok(to_js::patches(&Document::edits_of(payload, &payloads).map_err(to_js::error)?))
    }

    /// `[hash, actor, is a first change]` of a payload, or nothing if it is no change.
    pub fn inspect(payload: &[u8]) -> Option<Array> {
        let change = read_change(payload).ok()?;
        let (hash, actor) = (to_js::hash(&change.hash()), change.actor_id());
        Some(Array::of3(&hash, &actor.to_string().into(), &is_of_defaults(actor).into()))
    }
}

fn actor_of(bytes: &[u8]) -> Result<[u8; 16]> {
    Ok(bytes.try_into().map_err(|_| JsError::new("an actor has 16 bytes"))?)
}

type Place = (
    sync_document::automerge::ObjId,
    sync_document::automerge::Prop,
    Option<Vec<sync_document::automerge::ChangeHash>>,
);
