//! What a new document contains: changes that come out byte for byte equal on every device.
//!
//! Documents have names, so two devices may create the same one offline. Ordinary first changes would make two lists
//! where one was meant, of which one hides. So:
//!
//! - one **fixed first change** is in every document. Its operations leave nothing behind; they only see to it that
//!   whatever anyone sets later counts higher than any default, whenever that default is added;
//! - each top-level key of the defaults is **one change** that depends on nothing, and whose actor is derived from its
//!   own content. A default that a newer build brings is one more such change: it shows where nobody set the key.

use crate::error::DocumentError;
use crate::limits::WHOLE_EDIT_BYTES_MAX;
use crate::recorder::{NewValue, Operation, Recording, Target};
use crate::size::check_size;
use crate::value::Value;
use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, AutoCommit, Change, Prop, ROOT, TextEncoding};

/// Defaults by top-level key.
pub type Defaults = Vec<(String, Value)>;

/// The actor of the fixed first change, and of the draft from which a default's actor is derived.
const FIRST_ACTOR: [u8; 16] = [0; 16];

/// Leading bytes of a default's actor: of two operations with the same counter the higher actor wins, and a default
/// must win over nobody.
const DEFAULT_PREFIX: [u8; 4] = [0; 4];

/// Whether an actor is one of first changes, the fixed one's included. No page's is, but for one in 2^32.
pub fn is_of_defaults(actor: &ActorId) -> bool {
    actor.to_bytes().starts_with(&DEFAULT_PREFIX)
}

/// The fixed first change, then one for each key.
pub(crate) fn first_changes(defaults: &Defaults) -> Result<Vec<Change>, DocumentError> {
    let mut changes = vec![fixed_change()?];
    for (key, value) in defaults {
        changes.push(default_change(key, value)?);
    }
    Ok(changes)
}

fn fixed_change() -> Result<Change, DocumentError> {
    let mut doc = scratch(&FIRST_ACTOR);
    doc.put(ROOT, "tidelog", true)?;
    doc.delete(ROOT, "tidelog")?;
    close(&mut doc)
}

fn default_change(key: &str, value: &Value) -> Result<Change, DocumentError> {
    let mut operations = Vec::new();
    let mut made = 0;
    put(&mut operations, &mut made, Target::Object(ROOT), Place::Key(key.to_owned()), value);
    check_size(&operations, WHOLE_EDIT_BYTES_MAX)?;
    let mut draft = scratch(&FIRST_ACTOR);
    Recording::new(&mut draft, false).run(&operations)?;
    let hash = close(&mut draft)?.hash();
    let mut actor = [0; 16];
    actor.copy_from_slice(&hash.0[..16]);
    actor[..DEFAULT_PREFIX.len()].copy_from_slice(&DEFAULT_PREFIX);
    let mut doc = scratch(&actor);
    Recording::new(&mut doc, false).run(&operations)?;
    close(&mut doc)
}

fn scratch(actor: &[u8]) -> AutoCommit {
    AutoCommit::new_with_encoding(TextEncoding::Utf16CodeUnit).with_actor(ActorId::from(actor))
}

fn close(doc: &mut AutoCommit) -> Result<Change, DocumentError> {
    doc.commit_with(CommitOptions::default().with_time(0)).ok_or(DocumentError::Broken)?;
    doc.get_last_local_change().ok_or(DocumentError::Broken)
}

enum Place {
    Key(String),
    End(usize),
}

/// Records `value` with all that is in it. Keys are sorted: builds may list them in another order.
fn put(operations: &mut Vec<Operation>, made: &mut usize, target: Target, place: Place, value: &Value) {
    let new = match value {
        Value::Scalar(scalar) => NewValue::Scalar(scalar.clone()),
        Value::Text(text) => NewValue::Text(text.clone()),
        Value::List(_) => NewValue::List,
        Value::Map(_) => NewValue::Map,
    };
    let is_object = !matches!(new, NewValue::Scalar(_));
    operations.push(match place {
        Place::Key(key) => Operation::Put(target, Prop::Map(key), new),
        Place::End(index) => Operation::Insert(target, index, new),
    });
    let this = Target::Made(*made);
    *made += usize::from(is_object);
    match value {
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                put(operations, made, this.clone(), Place::End(index), item);
            }
        }
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (key, item) in entries {
                put(operations, made, this.clone(), Place::Key(key.clone()), item);
            }
        }
        Value::Scalar(_) | Value::Text(_) => {}
    }
}
