//! One open document.

use crate::batch::Applied;
use crate::defaults::{Defaults, first_changes};
use crate::elements::{Elements, object_id};
use crate::error::DocumentError;
use crate::recorder::Operation;
use crate::value::{Value, read};
use automerge::legacy::OpId;
use automerge::{
    ActorId, AutoCommit, Change, ChangeHash, Cursor, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue, TextEncoding,
};
use std::collections::{BTreeMap, BTreeSet};

/// An Automerge document with what it takes to apply the changes of a log to it.
///
/// It has no clock and no randomness: actors and times are given. It may keep recorded edits uncommitted; whatever
/// reads history or applies changes wants them committed first.
#[derive(Debug)]
pub struct Document {
    pub(crate) doc: AutoCommit,
    /// This page's own actor; the one set on `doc` except during a replay.
    pub(crate) actor: ActorId,
    /// The last change of each actor.
    pub(crate) tips: BTreeMap<ActorId, Tip>,
    /// The highest operation counter of all changes.
    pub(crate) max_op: u64,
    /// Changes that the log has not shown yet: own ones, or all of them when it was replaced.
    pub(crate) pending: BTreeMap<(ActorId, u64), ChangeHash>,
    /// First changes of the defaults that the log has not shown, and that no commit has handed out.
    pub(crate) unsent: Vec<Change>,
    /// Changes whose dependencies are not here yet.
    pub(crate) waiting: Vec<Change>,
    /// Changes that will never be part of this document.
    pub(crate) left_out: BTreeSet<ChangeHash>,
    /// Their actors.
    pub(crate) spoilt: BTreeSet<ActorId>,
    /// What the open change was recorded from, to do it again when a later edit of it fails.
    pub(crate) recorded: Vec<Vec<Operation>>,
    /// What it takes, about.
    pub(crate) open_bytes: usize,
    /// What was cut off it.
    pub(crate) parts: Vec<Change>,
    /// Which list or text an element is in.
    pub(crate) elements: Elements,
    /// False after a replayed change came out with another hash: from then on only batches.
    pub(crate) replays: bool,
}

/// The last change of an actor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tip {
    pub(crate) seq: u64,
    pub(crate) hash: ChangeHash,
    pub(crate) max_op: u64,
}

/// How a document is opened.
#[derive(Debug, Default)]
pub struct Opening<'a> {
    /// The actor of this page's changes: 16 random bytes that nobody else uses.
    pub actor: [u8; 16],
    /// What a new document contains.
    pub defaults: Defaults,
    /// Payloads of the log in its order, then own ones that it has not shown. Each is a change or a whole document.
    pub payloads: Vec<&'a [u8]>,
    /// How many at the end are such own ones.
    pub pending: usize,
}

/// One of several values at one place.
#[derive(Debug, Clone, PartialEq)]
pub struct Conflict {
    /// The value with all that is in it.
    pub value: Value,
    /// Who wrote it.
    pub actor: ActorId,
    /// The one that shows.
    pub winner: bool,
}

impl Document {
    /// Opens a document. Payloads that cannot be applied are told in [`Applied::skipped`].
    pub fn open(opening: &Opening<'_>) -> Result<(Self, Applied), DocumentError> {
        let actor = ActorId::from(&opening.actor);
        let doc = AutoCommit::new_with_encoding(TextEncoding::Utf16CodeUnit).with_actor(actor.clone());
        let mut document = Self {
            doc,
            actor,
            tips: BTreeMap::new(),
            max_op: 0,
            pending: BTreeMap::new(),
            unsent: Vec::new(),
            waiting: Vec::new(),
            left_out: BTreeSet::new(),
            spoilt: BTreeSet::new(),
            recorded: Vec::new(),
            open_bytes: 0,
            parts: Vec::new(),
            elements: Elements::default(),
            replays: true,
        };
        // The first changes are there before anything that is written here, and only then: what the log brings of
        // them is the same bytes.
        document.unsent = first_changes(&opening.defaults)?;
        let first = document.unsent.clone();
        document.apply_checked(first)?;
        let applied = document.apply_all(&opening.payloads, opening.pending, false)?;
        Ok((document, applied))
    }

    /// Counts a change that is now part of the document.
    pub(crate) fn track(&mut self, change: &Change) {
        // An empty change has no highest operation of its own.
        let max_op = (change.start_op().get() + change.len() as u64).saturating_sub(1);
        let tip = Tip { seq: change.seq(), hash: change.hash(), max_op };
        self.tips.insert(change.actor_id().clone(), tip);
        self.max_op = self.max_op.max(max_op);
    }

    /// Counts all changes anew.
    pub(crate) fn count_all(&mut self) {
        self.tips.clear();
        self.max_op = 0;
        for meta in self.doc.get_changes_meta(&[]) {
            self.max_op = self.max_op.max(meta.max_op);
            let tip = Tip { seq: meta.seq, hash: meta.hash, max_op: meta.max_op };
            let known = self.tips.entry(meta.actor.into_owned()).or_insert(tip);
            if known.seq < tip.seq {
                *known = tip;
            }
        }
    }

    /// The actor of this page's changes. A change of its own that had to leave the document ends its use.
    pub fn actor(&self) -> &ActorId {
        &self.actor
    }

    /// Writes under this actor from now on, unless one of its sequences is in doubt here: a change of it was left out, or
    /// waits for others. The caller sees to it that nobody else writes under it, and that all of its changes have come.
    pub fn take_actor(&mut self, actor: [u8; 16]) -> bool {
        debug_assert!(!self.is_uncommitted());
        let actor = ActorId::from(&actor);
        let waits = self.waiting.iter().any(|change| *change.actor_id() == actor);
        if waits || self.spoilt.contains(&actor) {
            return false;
        }
        self.doc.set_actor(actor.clone());
        self.actor = actor;
        true
    }

    /// Another log takes the place of the one that the changes came from. Of two changes with one number every device takes
    /// the one that is first in the log, and that may be the other one now: no change counts as shown by the log yet.
    pub fn log_replaced(&mut self) {
        debug_assert!(!self.is_uncommitted());
        let changes = self.doc.get_changes(&[]);
        self.pending = changes.iter().map(|c| ((c.actor_id().clone(), c.seq()), c.hash())).collect();
        self.left_out.clear();
    }

    /// The whole content, uncommitted edits included.
    pub fn value(&self) -> Value {
        read(&self.doc, &ROOT, ObjType::Map, None)
    }

    /// The current heads. Uncommitted edits belong to none.
    pub fn heads(&mut self) -> Vec<ChangeHash> {
        debug_assert!(!self.is_uncommitted());
        self.doc.get_heads()
    }

    /// Is this change part of the document?
    pub fn holds(&mut self, hash: &ChangeHash) -> bool {
        self.doc.get_change_meta_by_hash(hash).is_some()
    }

    /// The object at `key` of an object, or `None` if there is none. With `heads`, as of then.
    pub fn child(&self, object: &ObjId, key: &Prop, heads: Option<&[ChangeHash]>) -> Option<(ObjId, ObjType)> {
        match self.at(object, key, heads)? {
            (automerge::Value::Object(kind), id) => Some((id, kind)),
            _ => None,
        }
    }

    /// The scalar at `key` of an object. With `heads`, as of then.
    pub fn scalar(&self, object: &ObjId, key: &Prop, heads: Option<&[ChangeHash]>) -> Option<ScalarValue> {
        match self.at(object, key, heads)? {
            (automerge::Value::Scalar(scalar), _) => Some(scalar.into_owned()),
            _ => None,
        }
    }

    fn at(&self, object: &ObjId, key: &Prop, heads: Option<&[ChangeHash]>) -> Option<(automerge::Value<'_>, ObjId)> {
        match heads {
            Some(heads) => self.doc.get_at(object, key.clone(), heads).ok()?,
            None => self.doc.get(object, key.clone()).ok()?,
        }
    }

    /// The object at a path. `None` if there is none.
    pub fn find(&self, path: &[Prop]) -> Option<(ObjId, ObjType)> {
        path.iter().try_fold((ROOT, ObjType::Map), |(object, _), key| self.child(&object, key, None))
    }

    /// An object by its written id, whether it shows or not.
    pub fn object(&self, id: &str) -> Result<(ObjId, ObjType), DocumentError> {
        if id == "_root" {
            return Ok((ROOT, ObjType::Map));
        }
        // Checked here, since Automerge takes the part behind the `@` for hexadecimal without looking.
        let hex = id.split_once('@').map(|(counter, actor)| (counter.parse::<u32>().is_ok(), actor));
        let valid = hex.is_some_and(|(counter, actor)| counter && ActorId::try_from(actor).is_ok());
        if valid { Ok(self.doc.import(id)?) } else { Err(DocumentError::InvalidOperation("no such object")) }
    }

    /// The content of a text, or `None` if it does not show in the document.
    pub fn text(&self, object: &ObjId) -> Option<String> {
        crate::patch::path_of(&self.doc, object)?;
        self.doc.text(object).ok()
    }

    /// A place in a text or list that stays where it is while the text changes around it.
    pub fn cursor_at(&self, object: &ObjId, index: usize) -> Result<String, DocumentError> {
        let length = self.doc.length(object);
        if index > length {
            return Err(DocumentError::InvalidOperation("index out of range"));
        }
        if index == length {
            return Ok(Cursor::End.to_string());
        }
        Ok(self.doc.get_cursor(object, index, None)?.to_string())
    }

    /// Where a cursor is now; `None` if its surroundings are unknown here.
    pub fn index_of(&mut self, object: &ObjId, cursor: &str) -> Option<usize> {
        if !matches!(self.doc.object_type(object), Ok(ObjType::Text | ObjType::List)) {
            return None;
        }
        if !matches!(cursor, "s" | "e") {
            let (counter, actor) = cursor.strip_prefix('-').unwrap_or(cursor).split_once('@')?;
            let element = OpId(u64::from(counter.parse::<u32>().ok()?), ActorId::try_from(actor).ok()?);
            // What was typed and is not committed yet is in no change.
            let uncommitted = element.1 == self.actor && element.0 > self.max_op;
            if uncommitted || !self.elements.holds(&self.doc, &object_id(object), &element) {
                return None;
            }
        }
        self.doc.get_cursor_position(object, &Cursor::try_from(cursor).ok()?, None).ok()
    }

    /// All values at a place, the winner last; empty when there are less than two.
    pub fn conflicts(&self, path: &[Prop]) -> Vec<Conflict> {
        let Some((key, parent)) = path.split_last() else { return Vec::new() };
        let Some((object, kind)) = self.find(parent) else { return Vec::new() };
        if kind == ObjType::Text {
            return Vec::new();
        }
        let values = self.doc.get_all(&object, key.clone()).unwrap_or_default();
        let last = values.len().wrapping_sub(1);
        if last == 0 {
            return Vec::new();
        }
        let conflict = |(at, (value, id)): (usize, (automerge::Value<'_>, ObjId))| {
            let ObjId::Id(_, actor, _) = &id else { return None };
            let actor = actor.clone();
            let value = match value {
                automerge::Value::Scalar(scalar) => Value::Scalar(scalar.into_owned()),
                automerge::Value::Object(kind) => read(&self.doc, &id, kind, None),
            };
            Some(Conflict { value, actor, winner: at == last })
        };
        values.into_iter().enumerate().filter_map(conflict).collect()
    }

    /// The document as an Automerge file. Changes that wait for others are not in it.
    pub fn export(&mut self) -> Vec<u8> {
        debug_assert!(!self.is_uncommitted());
        self.doc.save()
    }
}
