//! The seeded world in which real devices and relays run on virtual time.
//!
//! [`world`] says what can happen and what can go wrong; [`oracle`] what must never be; [`scenarios`] how much of it may happen
//! in a [`walk`], and a [`campaign`] is many walks. Everything is drawn from one seed: the same seed gives the same
//! [`trace`], byte for byte.

pub mod actions;
pub mod birth;
pub mod campaign;
pub mod coverage;
pub mod device_node;
pub mod disk;
pub mod document;
mod medium;
pub mod memory;
pub mod network;
pub mod oracle;
pub mod relay_node;
pub mod rng;
pub mod scenarios;
pub mod shrink;
pub mod skew;
pub mod store;
pub mod trace;
pub mod walk;
pub mod world;
