//! Is a change from outside one that Automerge could have made? Automerge takes for granted that it is, and panics or
//! breaks the document if not. What is checked here is all that its code relies on.

use crate::elements::Elements;
use crate::limits::{COUNTER_JUMP_MAX, COUNTER_MAX, DEPTH_MAX};
use automerge::legacy::{ElementId, Key, ObjectId, Op, OpId, OpType};
use automerge::{ActorId, AutoCommit, Change, ObjId, ObjType, ReadDoc};
use std::collections::BTreeMap;

/// Objects that changes made which are checked but not applied yet, with their depth.
pub(crate) type Made = BTreeMap<(ActorId, u64), (ObjType, usize)>;

/// What a change is checked against.
pub(crate) struct Checker<'a> {
    pub(crate) doc: &'a AutoCommit,
    pub(crate) elements: &'a mut Elements,
    /// Of the batch so far; this change's are added.
    pub(crate) made: &'a mut Made,
    /// The highest counter of all that comes before it.
    pub(crate) max_op: u64,
    /// The highest counter of its author's earlier changes.
    pub(crate) author_max_op: u64,
}

impl Checker<'_> {
    /// `knows`: is this actor one whose changes came before? The change's dependencies and sequence are in order.
    pub(crate) fn check(&mut self, change: &Change, operations: &[Op], knows: impl Fn(&ActorId) -> bool) -> Option<()> {
        let start = change.start_op().get();
        let room = start > self.author_max_op
            && start <= self.max_op.saturating_add(COUNTER_JUMP_MAX)
            && start + (operations.len() as u64) < COUNTER_MAX;
        let actors_known = change.other_actor_ids().iter().all(knows);
        let author_in_order = change.author().is_none() || change.seq() == 1;
        if !room || !actors_known || !author_in_order {
            return None;
        }
        let actor = change.actor_id();
        let mut made = Made::new();
        for number in 0..operations.len() {
            self.operation(&mut made, actor, start, operations, number)?;
        }
        // Only now: a change that fails leaves no trace here either.
        self.elements.learn(actor, start, operations);
        self.made.append(&mut made);
        Some(())
    }

    fn operation(&mut self, made: &mut Made, actor: &ActorId, start: u64, all: &[Op], number: usize) -> Option<()> {
        let (op, counter) = (&all[number], start + number as u64);
        let kind = self.object(made, &op.obj, counter)?;
        let in_place = match (&op.key, kind) {
            (Key::Map(_), ObjType::Map | ObjType::Table) => !op.insert,
            (Key::Seq(ElementId::Head), ObjType::List | ObjType::Text) => op.insert,
            (Key::Seq(ElementId::Id(element)), ObjType::List | ObjType::Text) if element.0 < counter => {
                match element.0.checked_sub(start).filter(|_| element.1 == *actor) {
                    Some(earlier) => all[earlier as usize].insert && all[earlier as usize].obj == op.obj,
                    None => self.elements.holds(self.doc, &op.obj, element),
                }
            }
            _ => false,
        };
        let fits = match &op.action {
            OpType::Put(_) => true,
            OpType::Make(_) => self.depth(made, &op.obj) < DEPTH_MAX,
            OpType::Delete | OpType::Increment(_) => !op.insert,
            OpType::MarkBegin(_) | OpType::MarkEnd(_) => op.insert && kind == ObjType::Text,
        };
        let overwrites_before = op.pred.iter().all(|pred| pred.0 < counter);
        if !in_place || !fits || !overwrites_before || (op.insert && !op.pred.is_empty()) {
            return None;
        }
        if let OpType::Make(kind) = op.action {
            let depth = self.depth(made, &op.obj) + 1;
            made.insert((actor.clone(), counter), (kind, depth));
        }
        Some(())
    }

    /// Type of an object that was made before this operation.
    fn object(&self, made: &Made, object: &ObjectId, before: u64) -> Option<ObjType> {
        let ObjectId::Id(OpId(counter, actor)) = object else { return Some(ObjType::Map) };
        if *counter >= before {
            return None;
        }
        match self.found(made, object) {
            Some((kind, _)) => Some(kind),
            None => self.doc.object_type(ObjId::Id(*counter, actor.clone(), 0)).ok(),
        }
    }

    /// How deep an object lies. Asked only where something is put into it.
    fn depth(&self, made: &Made, object: &ObjectId) -> usize {
        let ObjectId::Id(OpId(counter, actor)) = object else { return 0 };
        match self.found(made, object) {
            Some((_, depth)) => depth,
            None => {
                let parents = self.doc.parents(ObjId::Id(*counter, actor.clone(), 0));
                parents.map_or(0, |parents| parents.take(DEPTH_MAX + 1).count())
            }
        }
    }

    /// An object of changes that are checked and not applied.
    fn found(&self, made: &Made, object: &ObjectId) -> Option<(ObjType, usize)> {
        let ObjectId::Id(OpId(counter, actor)) = object else { return None };
        if made.is_empty() && self.made.is_empty() {
            return None;
        }
        let id = (actor.clone(), *counter);
        made.get(&id).or_else(|| self.made.get(&id)).copied()
    }
}
