//! The Tidelog sync protocol as deterministic state machines, without clock, socket or disk.

pub mod device;
pub mod digest;
pub mod event;
pub mod ids;
pub mod limits;
pub mod relay;
pub mod time;
pub mod wire;
