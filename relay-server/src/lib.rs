//! The Tidelog relay: axum around sync-core, and its log store.
//!
//! [`run`] serves a [`LogStore`](log_store::LogStore) on a listener. A socket becomes a connection in [`connection`],
//! its driver performs what the core's `Relay` asks for in [`driver`], and [`hub`] brings it what the store's feed says.

pub mod addresses;
pub mod config;
pub mod connection;
pub mod driver;
mod files;
pub mod hub;
pub mod log_store;
pub mod server;
pub mod validator;

pub use config::Config;
pub use server::{run, seed};
