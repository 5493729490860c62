//! How much operations take in a change, as far as that can be told before it is made.

use crate::error::DocumentError;
use crate::limits::{
    CHANGE_BYTES_MAX, CHANGE_OPERATIONS_MAX, DELETION_BYTES, OPERATION_BYTES, TEXT_PIECE_MAX, VALUE_BYTES_MAX,
};
use crate::recorder::{NewValue, Operation, Target};
use crate::text_diff::text_edits;
use automerge::{AutoCommit, ObjId, Prop, ReadDoc, ScalarValue};

/// Refuses, before any of it is done, what inserts more than `bytes_max`, or a value that fits into no change.
pub(crate) fn check_size(operations: &[Operation], bytes_max: usize) -> Result<(), DocumentError> {
    let mut bytes = 0;
    for operation in operations {
        let (value, text) = match operation {
            Operation::Put(_, key, value) => (value_bytes(key, value), content_bytes(value)),
            Operation::Insert(_, index, value) => (value_bytes(&Prop::Seq(*index), value), content_bytes(value)),
            Operation::Splice(_, _, _, text) | Operation::UpdateText(_, text) => (0, text_bytes(text)),
            Operation::Delete(..) | Operation::Increment(..) => (0, 0),
        };
        if value > VALUE_BYTES_MAX {
            return Err(DocumentError::TooLarge("a value of more than 440 KiB"));
        }
        bytes += value + text;
    }
    if bytes > bytes_max || operations.len() > CHANGE_OPERATIONS_MAX {
        return Err(DocumentError::TooLarge("an edit of several megabytes"));
    }
    Ok(())
}

/// What operations will take, and rather more than less.
pub(crate) fn estimate(doc: &AutoCommit, operations: &[Operation]) -> usize {
    operations.iter().fold(0, |before: usize, operation| {
        before.saturating_add(OPERATION_BYTES).saturating_add(match operation {
            Operation::Put(_, key, value) => value_bytes(key, value) + content_bytes(value),
            Operation::Insert(_, index, value) => value_bytes(&Prop::Seq(*index), value) + content_bytes(value),
            Operation::Delete(_, _, count) => count.saturating_mul(OPERATION_BYTES),
            Operation::Increment(..) => 0,
            Operation::Splice(_, _, delete, insert) => splice_bytes(*delete, insert),
            Operation::UpdateText(Target::Object(object), text) => update_bytes(doc, object, text),
            // It has no more characters than what came before takes bytes.
            Operation::UpdateText(Target::Made(_), text) => splice_bytes(before, text),
        })
    })
}

fn splice_bytes(delete: usize, insert: &str) -> usize {
    delete.saturating_mul(DELETION_BYTES).saturating_add(text_bytes(insert))
}

fn update_bytes(doc: &AutoCommit, object: &ObjId, text: &str) -> usize {
    let most = splice_bytes(doc.length(object), text);
    if most <= CHANGE_BYTES_MAX {
        return most;
    }
    // Mostly a small part of a large text differs.
    let edits = text_edits(&doc.text(object).unwrap_or_default(), text);
    edits.iter().map(|edit| splice_bytes(edit.delete, &edit.insert)).sum()
}

/// What a key and a value take; the characters of a text come on top.
pub(crate) fn value_bytes(key: &Prop, value: &NewValue) -> usize {
    let key = if let Prop::Map(key) = key { key.len() } else { 0 };
    key + match value {
        NewValue::Scalar(ScalarValue::Str(text)) => text.len(),
        NewValue::Scalar(ScalarValue::Bytes(bytes)) => bytes.len(),
        _ => 0,
    }
}

fn content_bytes(value: &NewValue) -> usize {
    if let NewValue::Text(text) = value { text_bytes(text) } else { 0 }
}

/// What inserting a text takes: of each character its bytes and their number.
pub(crate) fn text_bytes(text: &str) -> usize {
    text.len() + text.chars().count()
}

/// A text in pieces, at least one.
pub(crate) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let (piece, more) = rest?.split_at(rest?.floor_char_boundary(TEXT_PIECE_MAX));
        rest = Some(more).filter(|more| !more.is_empty());
        Some(piece)
    })
}
