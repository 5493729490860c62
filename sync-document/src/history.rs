//! The past: heads, views, differences, and documents without some of their changes.

use crate::batch::{Applied, read_change, read_payload};
use crate::defaults::first_changes;
use crate::document::{Document, Opening};
use crate::elements::Elements;
use crate::error::DocumentError;
use crate::patch::{Patch, from_automerge};
use crate::recorder::Committed;
use crate::value::{Value, read};
use automerge::{ActorId, AutoCommit, Change, ChangeHash, ObjType, ROOT, TextEncoding};
use std::collections::{BTreeMap, BTreeSet};

/// One change of the history.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// The change; as heads: the document as of it.
    pub hash: ChangeHash,
    /// Who made it.
    pub actor: ActorId,
    /// Seconds since 1970 by its author's clock.
    pub time: i64,
    /// What its author wrote about it.
    pub message: Option<String>,
}

/// A change that was taken out of the document.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropped {
    /// The change.
    pub hash: ChangeHash,
    /// What it had done, on the document as its author had it.
    pub patches: Vec<Patch>,
}

/// What [`Document::without`] did.
#[derive(Debug, Default, PartialEq)]
pub struct Without {
    /// The named changes and all that depended on them, oldest first.
    pub dropped: Vec<Dropped>,
    /// From the document before to the one after.
    pub patches: Vec<Patch>,
}

/// What [`Document::import`] did.
#[derive(Debug, PartialEq)]
pub struct Imported {
    /// As for any payloads.
    pub applied: Applied,
    /// The changes that were new here, in an order in which they can be applied.
    pub changes: Vec<Committed>,
}

impl Document {
    /// All changes, newest first.
    pub fn changes(&mut self) -> Vec<HistoryEntry> {
        let entries = self.doc.get_changes_meta(&[]).into_iter().rev().map(|meta| HistoryEntry {
            hash: meta.hash,
            actor: meta.actor.into_owned(),
            time: meta.timestamp,
            message: meta.message.map(|message| message.into_owned()).filter(|message| !message.is_empty()),
        });
        entries.collect()
    }

    /// The whole content as of `heads`.
    pub fn value_at(&mut self, heads: &[ChangeHash]) -> Result<Value, DocumentError> {
        self.check_heads(heads)?;
        Ok(read(&self.doc, &ROOT, ObjType::Map, Some(heads)))
    }

    /// What leads from one moment to another, forward or back.
    pub fn diff(&mut self, from: &[ChangeHash], to: &[ChangeHash]) -> Result<Vec<Patch>, DocumentError> {
        self.check_heads(from)?;
        self.check_heads(to)?;
        let doc = self.doc.document();
        let patches = doc.diff(from, to);
        Ok(from_automerge(doc, patches))
    }

    pub(crate) fn check_heads(&mut self, heads: &[ChangeHash]) -> Result<(), DocumentError> {
        if heads.iter().all(|hash| self.holds(hash)) { Ok(()) } else { Err(DocumentError::UnknownHeads) }
    }

    /// Takes changes out of the document, with all that depend on them. Own edits among them leave the actor too: its
    /// sequence must not be used twice.
    pub fn without(&mut self, hashes: &[ChangeHash]) -> Result<Without, DocumentError> {
        debug_assert!(!self.is_uncommitted());
        let mut gone: BTreeSet<ChangeHash> = hashes.iter().copied().collect();
        let depends = |change: &Change, gone: &BTreeSet<_>| change.deps().iter().any(|dep| gone.contains(dep));
        let mut kept = Vec::new();
        let mut dropped: Vec<Change> = Vec::new();
        // Dependencies come first in this order.
        for change in self.doc.get_changes(&[]) {
            // An author's later changes continue the numbering of the dropped one even where they do not name it.
            let continues = dropped.iter().any(|gone| gone.actor_id() == change.actor_id());
            if gone.contains(&change.hash()) || depends(&change, &gone) || continues {
                gone.insert(change.hash());
                dropped.push(change);
            } else {
                kept.push(change);
            }
        }
        self.waiting.retain(|change| !gone.contains(&change.hash()) && !depends(change, &gone));
        if dropped.is_empty() {
            return Ok(Without::default());
        }
        let edits = dropped
            .iter()
            .map(|change| Ok(Dropped { hash: change.hash(), patches: self.diff(change.deps(), &[change.hash()])? }));
        let edits = edits.collect::<Result<Vec<_>, DocumentError>>()?;
        if let Some(own) = dropped.iter().rfind(|change| *change.actor_id() == self.actor) {
            self.actor = ActorId::from(&own.hash().0[..16]);
        }
        self.pending.retain(|_, hash| !gone.contains(hash));
        let before = self.heads();
        let mut old = self.replace(kept)?;
        let after = self.heads();
        let old = old.document();
        let patches = from_automerge(old, old.diff(&before, &after));
        Ok(Without { dropped: edits, patches })
    }

    /// After a replay that came out wrong: the same document with the right change. From here on only batches.
    pub(crate) fn rebuild_with(&mut self, change: &Change) -> Result<Vec<Patch>, DocumentError> {
        self.replays = false;
        let wrong = (change.actor_id().clone(), change.seq());
        let mut changes = self.doc.get_changes(&[]);
        changes.retain(|held| (held.actor_id(), held.seq()) != (&wrong.0, wrong.1));
        self.replace(changes)?;
        let before = self.heads();
        self.apply_checked(vec![change.clone()])?;
        let after = self.heads();
        self.diff(&before, &after)
    }

    /// Puts a document of these changes in the place of this one, which it gives back.
    fn replace(&mut self, changes: Vec<Change>) -> Result<AutoCommit, DocumentError> {
        let mut fresh = AutoCommit::new_with_encoding(TextEncoding::Utf16CodeUnit);
        let count = changes.len();
        fresh.apply_changes(changes).map_err(|_| DocumentError::Broken)?;
        if fresh.get_changes_meta(&[]).len() != count {
            return Err(DocumentError::Broken);
        }
        fresh.set_actor(self.actor.clone());
        let old = std::mem::replace(&mut self.doc, fresh);
        self.elements = Elements::default();
        self.count_all();
        Ok(old)
    }

    /// The edits of a change that is in no document, on the document as its author had it. `payloads` hold what it was made
    /// on top of, among others; `Malformed` if they lack some of that.
    pub fn edits_of(payload: &[u8], payloads: &[&[u8]]) -> Result<Vec<Patch>, DocumentError> {
        let change = read_change(payload)?;
        let mut known: BTreeMap<ChangeHash, Change> = BTreeMap::new();
        for other in payloads.iter().flat_map(|payload| read_payload(payload).unwrap_or_default()) {
            known.insert(other.hash(), other);
        }
        known.extend(first_changes(&Vec::new())?.into_iter().map(|first| (first.hash(), first)));
        // Only those: another one may have the sequence of one of them.
        let mut chosen = vec![change.clone()];
        let mut missing = change.deps().to_vec();
        while let Some(hash) = missing.pop() {
            if let Some(dependency) = known.remove(&hash) {
                missing.extend_from_slice(dependency.deps());
                chosen.push(dependency);
            }
        }
        // Dependencies stand behind what needs them, mostly.
        let payloads = chosen.iter().rev().map(Change::raw_bytes).collect();
        let (mut document, _) = Document::open(&Opening { payloads, ..Opening::default() })?;
        if !document.holds(&change.hash()) {
            return Err(DocumentError::Malformed("what this change was made on top of is not here"));
        }
        document.diff(change.deps(), &[change.hash()])
    }

    /// Merges an Automerge file, or changes of one, of this document's history or of another.
    pub fn import(&mut self, payloads: &[&[u8]]) -> Result<Imported, DocumentError> {
        let mut changes = Vec::new();
        for payload in payloads {
            changes.append(&mut read_payload(payload)?);
        }
        changes.retain(|change| !self.holds(&change.hash()));
        let payloads: Vec<&[u8]> = changes.iter().map(Change::raw_bytes).collect();
        let applied = self.apply_all(&payloads, payloads.len(), true)?;
        changes.retain(|change| self.holds(&change.hash()));
        let changes = changes.iter().map(Committed::from).collect();
        Ok(Imported { applied, changes })
    }
}
