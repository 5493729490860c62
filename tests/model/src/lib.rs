//! The protocol's executable specification: rules R1 to R16 as a small-step model of one stream, with every fault as an
//! action. `README.md` says which counterexample asks for which rule, and what was explored.
//!
//! [`types`] records and messages, [`relay`] and [`device`](types::Device) the handlers, [`world`] network and faults,
//! [`props`] the promises, [`rules`] the mutations, [`scenarios`] what may happen. The lockstep test drives the real `Device`
//! and `Relay` beside it.

#[cfg(feature = "checker")]
pub mod checker;
mod device;
mod disk;
pub mod props;
pub mod relay;
pub mod rules;
pub mod scenarios;
mod send;
pub mod types;
pub mod world;
