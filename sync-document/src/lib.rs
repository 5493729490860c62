//! A document in plain Rust: Automerge, and what it takes to keep one in step with a log of changes.
//!
//! An event of a document's stream carries one Automerge change. A page records edits ([`Document::record`]), closes
//! them into a change once a frame ([`Document::commit`]) and applies what the log brings ([`Document::apply`]). Each of
//! these gives patches, and the patches are all that a copy of the content needs.
//!
//! There is no clock and no randomness here: actors and times are inputs. Bytes from outside are checked before
//! Automerge sees them; they cause errors, never panics.
//!
//! ```
//! use automerge::{Prop, ROOT};
//! use sync_document::{Document, NewValue, Opening, Operation, Target, Value};
//!
//! let title = Operation::Put(Target::Object(ROOT), Prop::from("title"), NewValue::Text("Tide".into()));
//! let (mut ann, _) = Document::open(&Opening { actor: [1; 16], ..Opening::default() })?;
//! ann.record(vec![title])?;
//! let commit = ann.commit(0, None)?.expect("something was recorded");
//!
//! let (mut ben, _) = Document::open(&Opening { actor: [2; 16], ..Opening::default() })?;
//! let payloads: Vec<&[u8]> = commit.first.iter().chain([&commit.change]).map(|change| &change.bytes[..]).collect();
//! let applied = ben.apply(&payloads)?;
//! assert_eq!(applied.replayed, 1);
//! assert_eq!(ben.value(), Value::Map(vec![("title".into(), Value::Text("Tide".into()))]));
//! # Ok::<(), sync_document::DocumentError>(())
//! ```

pub mod limits;

mod batch;
mod check;
mod chunk;
mod defaults;
mod document;
mod elements;
mod error;
mod history;
mod patch;
mod recorder;
mod replay;
mod size;
mod text_diff;
mod value;

pub use automerge;
pub use batch::{Applied, SkipReason, Skipped, changes_of, read_change};
pub use defaults::{Defaults, is_of_defaults};
pub use document::{Conflict, Document, Opening};
pub use error::DocumentError;
pub use history::{Dropped, HistoryEntry, Imported, Without};
pub use patch::{Action, Patch};
pub use recorder::{Commit, Committed, NewValue, Operation, Target};
pub use value::Value;
