//! Replay: a remote change made again as a local transaction under its author's actor.
//!
//! Automerge walks all operations of an object to apply a change to it; a local transaction does not. So a change whose
//! dependencies are exactly what is here (nothing concurrent, the common case) is decoded and made again, with its time
//! and message. The hash that comes out must be the change's own: it covers every byte of it. If it is not, the
//! document is rebuilt from its other changes.

use crate::document::Document;
use crate::patch::{Action, Patch, PatchList};
use crate::recorder::{current, width_at};
use crate::value::Value;
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{AutoCommit, Change, Cursor, ObjId, ObjType, Prop, ReadDoc, ScalarValue};

/// How a replay came out.
#[derive(Debug, PartialEq)]
pub(crate) enum Replayed {
    /// The change is part of the document.
    Same(Vec<Patch>),
    /// It is not one that can be replayed; nothing was done.
    NotPossible,
    /// The document now holds another change in its place and must be rebuilt.
    Differs,
}

impl Document {
    /// Replays a change that has passed all checks.
    pub(crate) fn replay(&mut self, change: &Change, operations: &[Op]) -> Replayed {
        if !self.replays || !self.follows_directly(change) {
            return Replayed::NotPossible;
        }
        self.doc.set_actor(change.actor_id().clone());
        let mut replay = Replay { doc: &mut self.doc, patches: PatchList::default() };
        let done = replay.operations(change.start_op().get(), operations);
        let patches = replay.patches.into_patches();
        let outcome = if done.is_none() {
            self.doc.rollback();
            Replayed::NotPossible
        } else {
            let mut options = CommitOptions::default().with_time(change.timestamp());
            options.message = change.message().map(str::to_owned);
            match self.doc.commit_with(options) {
                // Nothing came of it, so nothing is wrong in the document either.
                None => Replayed::NotPossible,
                Some(hash) if hash == change.hash() => Replayed::Same(patches),
                Some(_) => Replayed::Differs,
            }
        };
        self.doc.set_actor(self.actor.clone());
        if let Replayed::Same(_) = outcome {
            self.track(change);
        }
        outcome
    }

    /// Would a local transaction of its author, made now, have the same head?
    fn follows_directly(&mut self, change: &Change) -> bool {
        // Automerge names the author's last change too, where it is not a head.
        let mut expected = self.doc.get_heads();
        if let Some(tip) = self.tips.get(change.actor_id())
            && !expected.contains(&tip.hash)
        {
            expected.push(tip.hash);
        }
        expected.sort_unstable();
        expected == change.deps()
            && change.start_op().get() == self.max_op + 1
            && change.extra_bytes().is_empty()
            && !change.is_empty()
    }
}

struct Replay<'a> {
    doc: &'a mut AutoCommit,
    patches: PatchList,
}

/// Operations in a row that one call can make: characters inserted one behind the other.
struct Run {
    text: ObjId,
    index: usize,
    content: String,
    last: OpId,
}

impl Replay<'_> {
    /// `None`: not possible; what was done so far is to be rolled back.
    fn operations(&mut self, first: u64, operations: &[Op]) -> Option<()> {
        let actor = self.doc.get_actor().clone();
        let mut run: Option<Run> = None;
        for (number, op) in operations.iter().enumerate() {
            let id = OpId(first + number as u64, actor.clone());
            if let Some(open) = run.as_mut() {
                if let Some(character) = continues(op, open) {
                    open.content.push_str(character);
                    open.last = id;
                    continue;
                }
                self.finish(run.take()?)?;
            }
            let (object, kind) = self.object(&op.obj)?;
            match &op.key {
                Key::Map(key) => self.map_operation(&object, kind, Prop::Map(key.to_string()), op)?,
                Key::Seq(ElementId::Head) if !op.insert => return None,
                Key::Seq(element) if op.insert && kind == ObjType::Text => {
                    let index = self.behind(&object, kind, element)?;
                    run = Some(Run { text: object, index, content: one_character(op)?.to_owned(), last: id });
                }
                Key::Seq(element) if op.insert => self.insert(&object, kind, element, op)?,
                Key::Seq(ElementId::Id(element)) => self.element_operation(&object, kind, element, op)?,
                Key::Seq(ElementId::Head) => return None,
            }
        }
        run.map_or(Some(()), |run| self.finish(run))
    }

    fn object(&self, object: &ObjectId) -> Option<(ObjId, ObjType)> {
        let id = match object {
            ObjectId::Root => return Some((automerge::ROOT, ObjType::Map)),
            ObjectId::Id(OpId(counter, actor)) => ObjId::Id(*counter, actor.clone(), 0),
        };
        let kind = self.doc.object_type(&id).ok()?;
        Some((id, kind))
    }

    fn map_operation(&mut self, object: &ObjId, kind: ObjType, key: Prop, op: &Op) -> Option<()> {
        if kind != ObjType::Map || op.insert {
            return None;
        }
        self.overwrite(object, key, op)
    }

    fn element_operation(&mut self, object: &ObjId, kind: ObjType, element: &OpId, op: &Op) -> Option<()> {
        let index = self.position(object, element)?;
        match (kind, &op.action) {
            (ObjType::List, _) if index < self.doc.length(object) => self.overwrite(object, Prop::Seq(index), op),
            (ObjType::Text, OpType::Delete) => {
                let units = width_at(self.doc, object, index)?;
                self.doc.splice_text(object, index, 1, "").ok()?;
                self.patches.push(self.doc, object, Prop::Seq(index), Action::Delete(units));
                Some(())
            }
            _ => None,
        }
    }

    /// Sets, deletes or increments what is at `key`.
    fn overwrite(&mut self, object: &ObjId, key: Prop, op: &Op) -> Option<()> {
        let action = match &op.action {
            OpType::Put(value) => {
                self.doc.put(object, key.clone(), value.clone()).ok()?;
                Action::Put(Value::Scalar(value.clone()))
            }
            OpType::Make(kind @ (ObjType::Map | ObjType::List | ObjType::Text)) => {
                self.doc.put_object(object, key.clone(), *kind).ok()?;
                Action::Put(Value::empty(*kind))
            }
            OpType::Delete => {
                self.doc.delete(object, key.clone()).ok()?;
                Action::Delete(1)
            }
            OpType::Increment(by) => {
                let conflicting = self.doc.get_all(object, key.clone()).ok()?.len() > 1;
                self.doc.increment(object, key.clone(), *by).ok()?;
                if conflicting { current(self.doc, object, &key).ok()? } else { Action::Increment(*by) }
            }
            _ => return None,
        };
        self.patches.push(self.doc, object, key, action);
        Some(())
    }

    fn insert(&mut self, list: &ObjId, kind: ObjType, element: &ElementId, op: &Op) -> Option<()> {
        if kind != ObjType::List {
            return None;
        }
        let index = self.behind(list, kind, element)?;
        let value = match &op.action {
            OpType::Put(value) => {
                self.doc.insert(list, index, value.clone()).ok()?;
                Value::Scalar(value.clone())
            }
            OpType::Make(kind @ (ObjType::Map | ObjType::List | ObjType::Text)) => {
                self.doc.insert_object(list, index, *kind).ok()?;
                Value::empty(*kind)
            }
            _ => return None,
        };
        self.patches.push(self.doc, list, Prop::Seq(index), Action::Insert(vec![value]));
        Some(())
    }

    fn finish(&mut self, run: Run) -> Option<()> {
        self.doc.splice_text(&run.text, run.index, 0, &run.content).ok()?;
        self.patches.push(self.doc, &run.text, Prop::Seq(run.index), Action::Splice(run.content));
        Some(())
    }

    /// The index behind an element.
    fn behind(&self, object: &ObjId, kind: ObjType, element: &ElementId) -> Option<usize> {
        let ElementId::Id(id) = element else { return Some(0) };
        let index = self.position(object, id)?;
        Some(index + if kind == ObjType::Text { width_at(self.doc, object, index)? } else { 1 })
    }

    fn position(&self, object: &ObjId, OpId(counter, actor): &OpId) -> Option<usize> {
        let cursor = Cursor::try_from(format!("{counter}@{actor}")).ok()?;
        self.doc.get_cursor_position(object, &cursor, None).ok()
    }
}

/// The character that an operation inserts right behind the last of the run.
fn continues<'a>(op: &'a Op, run: &Run) -> Option<&'a str> {
    let Key::Seq(ElementId::Id(element)) = &op.key else { return None };
    let ObjectId::Id(OpId(counter, actor)) = &op.obj else { return None };
    let same_text = matches!(&run.text, ObjId::Id(c, a, _) if c == counter && a == actor);
    if op.insert && same_text && *element == run.last { one_character(op) } else { None }
}

/// Automerge makes one operation of each character; what others make otherwise is not replayed.
fn one_character(op: &Op) -> Option<&str> {
    match &op.action {
        OpType::Put(ScalarValue::Str(text)) if text.chars().count() == 1 => Some(text.as_str()),
        _ => None,
    }
}
