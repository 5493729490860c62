//! Values as they are read: independent of any document.

use crate::limits::DEPTH_MAX;
use automerge::{ChangeHash, ObjId, ObjType, ReadDoc, ScalarValue};

/// A value of a document, with all that is in it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Anything that is no object.
    Scalar(ScalarValue),
    /// A collaborative string: what a plain JavaScript string is.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A map, in the order of its keys.
    Map(Vec<(String, Value)>),
}

impl Value {
    /// An object of this type with nothing in it: what patches insert before they fill it.
    pub(crate) fn empty(kind: ObjType) -> Self {
        match kind {
            ObjType::Text => Self::Text(String::new()),
            ObjType::List => Self::List(Vec::new()),
            ObjType::Map | ObjType::Table => Self::Map(Vec::new()),
        }
    }
}

/// Reads an object whole, now or as of `heads`. What is deeper than [`DEPTH_MAX`] is left out.
pub(crate) fn read(doc: &impl ReadDoc, object: &ObjId, kind: ObjType, heads: Option<&[ChangeHash]>) -> Value {
    read_to(doc, object, kind, heads, DEPTH_MAX)
}

fn read_to(doc: &impl ReadDoc, object: &ObjId, kind: ObjType, heads: Option<&[ChangeHash]>, depth: usize) -> Value {
    let child = |value: automerge::Value<'_>, id: ObjId| match value {
        automerge::Value::Scalar(scalar) => Some(Value::Scalar(scalar.into_owned())),
        automerge::Value::Object(_) if depth == 0 => None,
        automerge::Value::Object(kind) => Some(read_to(doc, &id, kind, heads, depth - 1)),
    };
    match kind {
        ObjType::Text => {
            let text = heads.map_or_else(|| doc.text(object), |heads| doc.text_at(object, heads));
            Value::Text(text.unwrap_or_default())
        }
        ObjType::List => {
            let items = match heads {
                Some(heads) => doc.list_range_at(object, .., heads),
                None => doc.list_range(object, ..),
            };
            // A hole would move the indexes behind it, so what is too deep shows as null here.
            let null = Value::Scalar(ScalarValue::Null);
            let item = |item: automerge::iter::ListRangeItem<'_>| {
                let id = item.id();
                child(item.value.into_value(), id).unwrap_or(null.clone())
            };
            Value::List(items.map(item).collect())
        }
        ObjType::Map | ObjType::Table => {
            let items = match heads {
                Some(heads) => doc.map_range_at(object, .., heads),
                None => doc.map_range(object, ..),
            };
            let entries = items.filter_map(|item| {
                let id = item.id();
                Some((item.key.to_string(), child(item.value.into_value(), id)?))
            });
            Value::Map(entries.collect())
        }
    }
}
