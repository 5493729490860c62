//! The seeded world in which real devices and relays run on virtual time.
//!
//! [`world`] says what can happen and what can go wrong; [`oracle`] what must never be; [`scenarios`] are the protocol
//! model's, walked at random. Everything is drawn from one seed: the same seed gives the same [`trace`], byte for byte.

pub mod actions;
pub mod birth;
pub mod device_node;
pub mod disk;
pub mod network;
pub mod oracle;
pub mod relay_node;
pub mod rng;
pub mod scenarios;
pub mod store;
pub mod trace;
pub mod world;
