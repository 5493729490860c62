//! Patches: what happened to a document, in the order in which a copy of its value must repeat it.
//!
//! The shapes are those of `@automerge/automerge`. A new object comes as an empty one and is then filled.

use crate::limits::DEPTH_MAX;
use crate::value::Value;
use automerge::{ObjId, ObjType, PatchAction, Prop, ReadDoc};

/// One step.
#[derive(Debug, Clone, PartialEq)]
pub struct Patch {
    /// The map, list or text in which it happened.
    pub object: ObjId,
    /// From the root to the place; the last part is the key or index within `object`.
    pub path: Vec<Prop>,
    /// What happened there.
    pub action: Action,
}

/// What a patch does at its path.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// A key or index has a new value.
    Put(Value),
    /// Values were inserted into a list, the first at the path's index.
    Insert(Vec<Value>),
    /// Characters were inserted into a text at the path's index (UTF-16).
    Splice(String),
    /// A key was deleted, or this many elements of a list, or UTF-16 units of a text.
    Delete(usize),
    /// A counter was changed by so much.
    Increment(i64),
    /// There are other values beside the one that shows.
    Conflict,
}

/// Length in UTF-16 units, which is how indexes of texts count.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Where an object is now. `None` if it does not show: deleted, behind another value, in a text, or too deep.
pub(crate) fn path_of(doc: &impl ReadDoc, object: &ObjId) -> Option<Vec<Prop>> {
    let mut path = Vec::new();
    for parent in doc.parents(object).ok()? {
        if !parent.visible || parent.typ == ObjType::Text || path.len() > DEPTH_MAX {
            return None;
        }
        path.push(parent.prop);
    }
    path.reverse();
    Some(path)
}

/// Patches of single operations in the order of the operations; what continues the last one is joined with it.
#[derive(Debug, Default)]
pub(crate) struct PatchList {
    patches: Vec<Patch>,
}

impl PatchList {
    /// Adds what happened at `key` of `object`, whose path is that of now. Hidden objects have no patches.
    pub(crate) fn push(&mut self, doc: &impl ReadDoc, object: &ObjId, key: Prop, action: Action) {
        if self.join(object, &key, &action) {
            return;
        }
        if let Some(mut path) = path_of(doc, object) {
            path.push(key);
            self.patches.push(Patch { object: object.clone(), path, action });
        }
    }

    /// Typing and deleting on: the next characters behind the last, or the same index deleted again.
    fn join(&mut self, object: &ObjId, key: &Prop, action: &Action) -> bool {
        let (Some(last), Prop::Seq(index)) = (self.patches.last_mut(), key) else { return false };
        let Some(Prop::Seq(start)) = last.path.last() else { return false };
        if last.object != *object {
            return false;
        }
        match (&mut last.action, action) {
            (Action::Splice(before), Action::Splice(text)) if start + width(before) == *index => before.push_str(text),
            (Action::Insert(before), Action::Insert(values)) if start + before.len() == *index => {
                before.extend(values.iter().cloned());
            }
            (Action::Delete(before), Action::Delete(count)) if start == index => *before += count,
            _ => return false,
        }
        true
    }

    pub(crate) fn into_patches(self) -> Vec<Patch> {
        self.patches
    }
}

/// Automerge's own patches, from a batch or a difference, in our shape.
pub(crate) fn from_automerge(doc: &impl ReadDoc, patches: Vec<automerge::Patch>) -> Vec<Patch> {
    let mut converted = Vec::with_capacity(patches.len());
    for automerge::Patch { obj, path, action } in patches {
        // What is inside a text (blocks of rich text) is not part of a string.
        let in_text = |object: &ObjId| matches!(doc.object_type(object), Ok(ObjType::Text));
        if path.len() > DEPTH_MAX || path.iter().any(|(object, _)| in_text(object)) {
            continue;
        }
        let text = in_text(&obj);
        let mut place: Vec<Prop> = path.into_iter().map(|(_, prop)| prop).collect();
        let mut push = |key: Prop, action: Action| {
            place.push(key);
            converted.push(Patch { object: obj.clone(), path: place.clone(), action });
            place.pop();
        };
        match action {
            PatchAction::PutMap { key, value, conflict } => {
                push(Prop::Map(key.clone()), Action::Put(value_of(value.0)));
                if conflict {
                    push(Prop::Map(key), Action::Conflict);
                }
            }
            PatchAction::PutSeq { index, value, conflict } => {
                push(Prop::Seq(index), Action::Put(value_of(value.0)));
                if conflict {
                    push(Prop::Seq(index), Action::Conflict);
                }
            }
            PatchAction::Insert { index, values, .. } if text => {
                push(Prop::Seq(index), Action::Splice("\u{fffc}".repeat(values.len())));
            }
            PatchAction::Insert { index, values } => {
                let new = values.iter().map(|(value, _, _)| value_of(value.clone())).collect();
                push(Prop::Seq(index), Action::Insert(new));
                for (at, (_, _, conflict)) in values.iter().enumerate() {
                    if *conflict {
                        push(Prop::Seq(index + at), Action::Conflict);
                    }
                }
            }
            PatchAction::SpliceText { index, value, .. } => push(Prop::Seq(index), Action::Splice(value.make_string())),
            PatchAction::Increment { prop, value } => push(prop, Action::Increment(value)),
            PatchAction::Conflict { prop } => push(prop, Action::Conflict),
            PatchAction::DeleteMap { key } => push(Prop::Map(key), Action::Delete(1)),
            PatchAction::DeleteSeq { index, length } => push(Prop::Seq(index), Action::Delete(length)),
            PatchAction::Mark { .. } => {}
        }
    }
    converted
}

fn value_of(value: automerge::Value<'_>) -> Value {
    match value {
        automerge::Value::Object(kind) => Value::empty(kind),
        automerge::Value::Scalar(scalar) => Value::Scalar(scalar.into_owned()),
    }
}
