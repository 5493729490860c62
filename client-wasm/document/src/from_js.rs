//! Reads what JavaScript hands in: recorded operations, default values, heads, paths.

use js_sys::{Array, Uint8Array};
use sync_document::automerge::{ChangeHash, Prop, ScalarValue};
use sync_document::limits::DEPTH_MAX;
use sync_document::{Document, DocumentError, NewValue, Operation, Target, Value};
use wasm_bindgen::{JsCast, JsValue};

/// What our own JavaScript never sends.
const WRONG: DocumentError = DocumentError::InvalidOperation("not a recorded operation");

/// Whole numbers that a double holds exactly.
const SAFE: f64 = 9_007_199_254_740_991.0;

/// Operations `[code, target, ...]`:
/// `[0, target, key, kind, content]` put, `[1, target, index, kind, content]` insert, `[2, target, key, count]` delete,
/// `[3, target, key, by]` increment, `[4, target, index, deleteCount, insert]` splice, `[5, target, text]` update text.
/// `target` is an object's id, or the number of an object that these operations made.
pub(crate) fn operations(document: &Document, list: &Array) -> Result<Vec<Operation>, DocumentError> {
    list.iter().map(|operation| read_operation(document, operation.unchecked_ref())).collect()
}

fn read_operation(document: &Document, parts: &Array) -> Result<Operation, DocumentError> {
    let target = match parts.get(1).as_string() {
        Some(id) => Target::Object(document.object(&id)?.0),
        None => Target::Made(index(&parts.get(1))?),
    };
    Ok(match parts.get(0).as_f64() {
        Some(0.0) => Operation::Put(target, key(&parts.get(2))?, new_value(&parts.get(3), &parts.get(4))?),
        Some(1.0) => Operation::Insert(target, index(&parts.get(2))?, new_value(&parts.get(3), &parts.get(4))?),
        Some(2.0) => Operation::Delete(target, key(&parts.get(2))?, index(&parts.get(3))?),
        Some(3.0) => Operation::Increment(target, key(&parts.get(2))?, whole(&parts.get(3))?),
        Some(4.0) => {
            let (at, count) = (index(&parts.get(2))?, index(&parts.get(3))?);
            Operation::Splice(target, at, count, string(&parts.get(4))?)
        }
        Some(5.0) => Operation::UpdateText(target, string(&parts.get(2))?),
        _ => return Err(WRONG),
    })
}

/// Kinds: 0 null, 1 boolean, 2 whole number, 3 other number, 4 date (ms), 5 bytes, 6 counter, 7 immutable string, 8 text,
/// 9 map, 10 list.
fn new_value(kind: &JsValue, content: &JsValue) -> Result<NewValue, DocumentError> {
    Ok(match kind.as_f64() {
        Some(8.0) => NewValue::Text(string(content)?),
        Some(9.0) => NewValue::Map,
        Some(10.0) => NewValue::List,
        _ => NewValue::Scalar(scalar(kind, content)?),
    })
}

fn scalar(kind: &JsValue, content: &JsValue) -> Result<ScalarValue, DocumentError> {
    Ok(match kind.as_f64() {
        Some(0.0) => ScalarValue::Null,
        Some(1.0) => ScalarValue::Boolean(content.as_bool().ok_or(WRONG)?),
        Some(2.0) => ScalarValue::Int(whole(content)?),
        Some(3.0) => ScalarValue::F64(content.as_f64().ok_or(WRONG)?),
        Some(4.0) => ScalarValue::Timestamp(whole(content)?),
        Some(5.0) => ScalarValue::Bytes(content.dyn_ref::<Uint8Array>().ok_or(WRONG)?.to_vec()),
        Some(6.0) => ScalarValue::counter(whole(content)?),
        Some(7.0) => ScalarValue::Str(string(content)?.into()),
        _ => return Err(WRONG),
    })
}

/// Defaults `[[key, [kind, content]]]`; the content of a map is again such a list, that of a list `[[kind, content]]`.
pub(crate) fn defaults(entries: &Array) -> Result<Vec<(String, Value)>, DocumentError> {
    map_entries(entries, 0)
}

fn map_entries(entries: &Array, depth: usize) -> Result<Vec<(String, Value)>, DocumentError> {
    let entry = |entry: JsValue| {
        let entry: &Array = entry.unchecked_ref();
        Ok((string(&entry.get(0))?, value(&entry.get(1), depth + 1)?))
    };
    entries.iter().map(entry).collect()
}

fn value(encoded: &JsValue, depth: usize) -> Result<Value, DocumentError> {
    if depth > DEPTH_MAX {
        return Err(DocumentError::TooLarge("depth of objects"));
    }
    let parts: &Array = encoded.unchecked_ref();
    let (kind, content) = (parts.get(0), parts.get(1));
    Ok(match kind.as_f64() {
        Some(8.0) => Value::Text(string(&content)?),
        Some(9.0) => Value::Map(map_entries(content.unchecked_ref(), depth)?),
        Some(10.0) => {
            let items = content.unchecked_ref::<Array>().iter().map(|item| value(&item, depth + 1));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        _ => Value::Scalar(scalar(&kind, &content)?),
    })
}

/// A key of a map or an index.
pub(crate) fn key(key: &JsValue) -> Result<Prop, DocumentError> {
    match key.as_string() {
        Some(key) => Ok(Prop::Map(key)),
        None => Ok(Prop::Seq(index(key)?)),
    }
}

pub(crate) fn path(path: &Array) -> Result<Vec<Prop>, DocumentError> {
    path.iter().map(|part| key(&part)).collect()
}

/// Hashes in hex.
pub(crate) fn hashes(list: &Array) -> Result<Vec<ChangeHash>, DocumentError> {
    list.iter().map(|hash| string(&hash)?.parse().map_err(|_| DocumentError::UnknownHeads)).collect()
}

/// Copies byte arrays in.
pub(crate) fn payloads(list: &Array) -> Vec<Vec<u8>> {
    list.iter().map(|payload| Uint8Array::new(&payload).to_vec()).collect()
}

pub(crate) fn string(value: &JsValue) -> Result<String, DocumentError> {
    value.as_string().ok_or(WRONG)
}

fn whole(value: &JsValue) -> Result<i64, DocumentError> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && number.abs() <= SAFE);
    Ok(number.ok_or(DocumentError::InvalidOperation("not a whole number that JavaScript holds exactly"))? as i64)
}

fn index(value: &JsValue) -> Result<usize, DocumentError> {
    usize::try_from(whole(value)?).map_err(|_| DocumentError::InvalidOperation("index out of range"))
}
