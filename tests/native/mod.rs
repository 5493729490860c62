//! Real devices on real sockets, and the relay's binary: the shell of `sync_core::device` for a native process, with its
//! local store in memory.

pub mod device;
pub mod relay;
