//! One device at the relay.

pub mod store;
