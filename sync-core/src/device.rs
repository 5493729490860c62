//! The device: a local event log and a consumer offset for each stream it follows.

mod input;
mod output;

pub use input::{Append, Input, Socket, StorageError};
pub use output::{Connection, Notice, Output, Own, Page, Rejection, StreamState, Table, Write};
