//! Which list or text an element belongs to.
//!
//! Automerge looks an element up by its id alone and panics if it lies in another object than it was asked for. Ids
//! come from outside (changes, cursors), so they are looked up here first.

use automerge::legacy::{ObjectId, Op, OpId};
use automerge::{ActorId, AutoCommit, ObjId, ReadDoc};
use std::collections::BTreeMap;

/// From one operation of an actor to a later one: elements of the same object, or none.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: u32,
    to: u32,
    /// A number of `objects`; 0 is for what is no element.
    object: u32,
}

/// What is known so far, in the order of each actor's counters. The rest is looked up in the history when asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct Elements {
    spans: BTreeMap<ActorId, Vec<Span>>,
    objects: Objects,
}

/// Objects by number; 0 stands for "none".
#[derive(Debug, Clone, Default)]
struct Objects {
    numbers: BTreeMap<(u64, ActorId), u32>,
    /// The last one asked for: operations in a row are mostly about the same.
    last: Option<(OpId, u32)>,
}

impl Objects {
    fn number(&mut self, object: &ObjectId) -> u32 {
        let ObjectId::Id(id) = object else { return 0 };
        if let Some((last, number)) = &self.last
            && last == id
        {
            return *number;
        }
        let next = self.numbers.len() as u32 + 1;
        let number = *self.numbers.entry((id.0, id.1.clone())).or_insert(next);
        self.last = Some((id.clone(), number));
        number
    }

    fn known(&self, object: &ObjectId) -> Option<u32> {
        let ObjectId::Id(id) = object else { return None };
        self.numbers.get(&(id.0, id.1.clone())).copied()
    }
}

impl Elements {
    /// Learns from the operations of a change that is part of the document, or about to be.
    pub(crate) fn learn(&mut self, actor: &ActorId, start_op: u64, operations: &[Op]) {
        let spans = self.spans.entry(actor.clone()).or_default();
        for (counter, op) in (start_op as u32..).zip(operations) {
            let object = if op.insert { self.objects.number(&op.obj) } else { 0 };
            let at = spans.partition_point(|span| span.from <= counter);
            match at.checked_sub(1).map(|before| &mut spans[before]) {
                Some(before) if before.to >= counter => {}
                Some(before) if before.to + 1 == counter && before.object == object => before.to = counter,
                _ => spans.insert(at, Span { from: counter, to: counter, object }),
            }
        }
    }

    /// Is this an element of this object? Looks into the history if need be.
    pub(crate) fn holds(&mut self, doc: &AutoCommit, object: &ObjectId, element: &OpId) -> bool {
        if self.known(object, element).is_none() {
            let id = ObjId::Id(element.0, element.1.clone(), 0);
            let change = doc.hash_for_opid(&id).and_then(|hash| ReadDoc::get_change_by_hash(doc, &hash));
            let Some(change) = change else { return false };
            self.learn(change.actor_id(), change.start_op().get(), &change.decode().operations);
        }
        self.known(object, element).unwrap_or(false)
    }

    /// `None`: not known.
    fn known(&self, object: &ObjectId, OpId(counter, actor): &OpId) -> Option<bool> {
        let counter = u32::try_from(*counter).ok()?;
        let spans = self.spans.get(actor)?;
        let span = spans[spans.partition_point(|span| span.from <= counter).checked_sub(1)?];
        (span.to >= counter).then(|| self.objects.known(object) == Some(span.object))
    }
}

/// An object's id as changes write it.
pub(crate) fn object_id(object: &ObjId) -> ObjectId {
    match object {
        ObjId::Root => ObjectId::Root,
        ObjId::Id(counter, actor, _) => ObjectId::Id(OpId(*counter, actor.clone())),
    }
}
