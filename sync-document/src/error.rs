//! What goes wrong in a document.

use automerge::AutomergeError;

/// Why something was refused. Nothing was applied. No message holds document content.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DocumentError {
    /// A recorded operation does not fit the document: no such object, key or index, or a value of another type.
    #[error("{0}")]
    InvalidOperation(&'static str),
    /// More than a change may hold: see [`crate::limits`].
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// Heads that are not in this document's history.
    #[error("that moment is not in this document's history")]
    UnknownHeads,
    /// Bytes that are no Automerge change or document, or that break the format's rules.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The document could not be rebuilt from its own changes; open it again from the log.
    #[error("the document could not be rebuilt from its changes")]
    Broken,
}

impl From<AutomergeError> for DocumentError {
    fn from(error: AutomergeError) -> Self {
        // Automerge's own messages may name keys, which are content.
        match error {
            AutomergeError::InvalidIndex(_) => Self::InvalidOperation("index out of range"),
            AutomergeError::InvalidObjId(_) | AutomergeError::NotAnObject => Self::InvalidOperation("no such object"),
            AutomergeError::InvalidOp(_) => Self::InvalidOperation("not possible on an object of this type"),
            AutomergeError::MissingCounter => Self::InvalidOperation("there is no counter at this place"),
            AutomergeError::InvalidHash(_) | AutomergeError::MissingHash(_) => Self::UnknownHeads,
            _ => Self::InvalidOperation("not possible in this document"),
        }
    }
}
