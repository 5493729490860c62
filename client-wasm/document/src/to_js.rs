//! Writes what JavaScript gets: contents, patches, results.

use js_sys::{Array, Date, Error, Object, Reflect, Uint8Array};
use sync_document::automerge::{ChangeHash, ObjType, Prop, ScalarValue};
use sync_document::{Action, Applied, Commit, Committed, DocumentError, Dropped, Patch, SkipReason, Skipped, Value};
use wasm_bindgen::JsValue;

/// Content as plain JavaScript: counters are numbers, both kinds of strings are strings.
pub(crate) fn value(value: &Value) -> JsValue {
    match value {
        Value::Scalar(value) => scalar(value),
        Value::Text(text) => text.into(),
        Value::List(items) => items.iter().map(self::value).collect::<Array>().into(),
        Value::Map(entries) => {
            let pair = |(key, item): &(String, Value)| Array::of2(&key.into(), &self::value(item));
            // Defines each key, `__proto__` too, where assigning would do something else.
            let pairs = entries.iter().map(pair).collect::<Array>();
            Object::from_entries(&pairs).map_or(JsValue::NULL, Into::into)
        }
    }
}

fn scalar(value: &ScalarValue) -> JsValue {
    match value {
        ScalarValue::Bytes(bytes) => Uint8Array::from(&bytes[..]).into(),
        ScalarValue::Str(text) => text.as_str().into(),
        ScalarValue::Int(number) => (*number as f64).into(),
        ScalarValue::Uint(number) => (*number as f64).into(),
        ScalarValue::F64(number) => (*number).into(),
        ScalarValue::Counter(counter) => (i64::from(counter) as f64).into(),
        ScalarValue::Timestamp(time) => Date::new(&(*time as f64).into()).into(),
        ScalarValue::Boolean(yes) => (*yes).into(),
        // Of a newer Automerge.
        ScalarValue::Unknown { .. } | ScalarValue::Null => JsValue::NULL,
    }
}

/// Patches `[action, path, content, object, kinds]`; actions: 0 put, 1 insert (list), 2 splice (text), 3 delete,
/// 4 increment, 5 conflict. The content is a value, values, a string, a count, a number, nothing. `kinds` has the
/// [`kind`] of each value of a put or insert.
pub(crate) fn patches(patches: &[Patch]) -> Array {
    let patch = |patch: &Patch| {
        let (action, content) = match &patch.action {
            Action::Put(value) => (0, self::value(value)),
            Action::Insert(values) => (1, values.iter().map(self::value).collect::<Array>().into()),
            Action::Splice(text) => (2, text.into()),
            Action::Delete(count) => (3, (*count as f64).into()),
            Action::Increment(by) => (4, (*by as f64).into()),
            Action::Conflict => (5, JsValue::UNDEFINED),
        };
        let path = patch.path.iter().map(key).collect::<Array>();
        let kinds = match &patch.action {
            Action::Put(value) => Array::of1(&kind_of(value)),
            Action::Insert(values) => values.iter().map(kind_of).collect(),
            _ => Array::new(),
        };
        Array::of5(&action.into(), &path, &content, &patch.object.to_string().into(), &kinds)
    };
    patches.iter().map(patch).collect()
}

fn kind_of(value: &Value) -> JsValue {
    match value {
        Value::Scalar(scalar) => kind(scalar),
        _ => JsValue::UNDEFINED,
    }
}

/// What plain JavaScript values do not show: 6 a counter, 7 an immutable string. As in recorded operations.
pub(crate) fn kind(scalar: &ScalarValue) -> JsValue {
    match scalar {
        ScalarValue::Counter(_) => 6.into(),
        ScalarValue::Str(_) => 7.into(),
        _ => JsValue::UNDEFINED,
    }
}

fn key(key: &Prop) -> JsValue {
    match key {
        Prop::Map(key) => key.into(),
        Prop::Seq(index) => (*index as f64).into(),
    }
}

/// Hashes in hex.
pub(crate) fn hashes(hashes: &[ChangeHash]) -> Array {
    hashes.iter().map(hash).collect()
}

pub(crate) fn hash(hash: &ChangeHash) -> JsValue {
    hash.to_string().into()
}

/// `[hash, bytes]`
pub(crate) fn committed(change: &Committed) -> Array {
    Array::of2(&hash(&change.hash), &Uint8Array::from(&change.bytes[..]))
}

/// `[hash, bytes, [changes that go before it]]`
pub(crate) fn commit(commit: &Commit) -> Array {
    let first = commit.first.iter().map(committed).collect::<Array>();
    let all = committed(&commit.change);
    all.push(&first);
    all
}

/// `[[hash, patches]]`
pub(crate) fn dropped(dropped: &[Dropped]) -> Array {
    dropped.iter().map(|dropped| Array::of2(&hash(&dropped.hash), &patches(&dropped.patches))).collect()
}

/// `[patches, skipped, displaced, replayed, waiting, rebuilt]`
pub(crate) fn applied(applied: &Applied) -> Array {
    let parts: [JsValue; 6] = [
        patches(&applied.patches).into(),
        applied.skipped.iter().map(skipped).collect::<Array>().into(),
        dropped(&applied.displaced).into(),
        (applied.replayed as f64).into(),
        (applied.waiting as f64).into(),
        (applied.rebuilt as f64).into(),
    ];
    parts.iter().collect()
}

/// `[index, reason, hash]`
fn skipped(skipped: &Skipped) -> Array {
    let reason = match skipped.reason {
        SkipReason::Malformed => "malformed",
        SkipReason::SequenceTaken => "sequence-taken",
        SkipReason::NeedsLeftOut => "needs-left-out",
        SkipReason::TooManyWait => "too-many-wait",
    };
    let index = skipped.index.map_or(JsValue::from(-1.0), |index| JsValue::from(index as f64));
    Array::of3(&index, &reason.into(), &skipped.hash.as_ref().map_or(JsValue::NULL, hash))
}

/// `[id, type]`
pub(crate) fn object(object: Option<(sync_document::automerge::ObjId, ObjType)>) -> JsValue {
    object.map_or(JsValue::UNDEFINED, |(id, kind)| Array::of2(&id.to_string().into(), &kind.to_string().into()).into())
}

/// A JavaScript error with the package's `code`.
pub(crate) fn error(error: DocumentError) -> JsValue {
    let code = match error {
        DocumentError::InvalidOperation(_) => "invalid-value",
        DocumentError::TooLarge(_) => "too-large",
        DocumentError::UnknownHeads => "history-cut",
        DocumentError::Malformed(_) | DocumentError::Broken => "engine-failed",
    };
    let thrown = Error::new(&error.to_string());
    // Setting a property of a fresh object cannot fail.
    let _ = Reflect::set(&thrown, &"code".into(), &code.into());
    thrown.into()
}
