//! What Tidelog does with bytes and inputs that nobody sane would send. A target is a function of bytes that must come
//! back: no panic, no overflow, no more memory than it says, and whatever else its first lines promise.
//!
//! `cargo xtask fuzz` runs them under a fuzzing engine; `cargo test -p fuzz` replays the inputs in `corpus/`, one folder
//! a target, each of which once reached something new or broke something.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod codec;
mod device;
mod difference;
mod document;
mod forge;
mod memory;
mod relay;
mod shell;
mod snapshot;
mod store_file;
#[path = "../../../sync-document/tests/world/mod.rs"]
mod world;

/// A function with its name.
pub struct Target {
    /// What `cargo xtask fuzz` and the folder of its corpus call it.
    pub name: &'static str,
    /// Panics if a promise is broken.
    pub run: fn(&[u8]),
}

/// All of them, the quick ones first.
pub const TARGETS: &[Target] = &[
    Target { name: "codec", run: codec::run },
    Target { name: "relay", run: relay::run },
    Target { name: "device", run: device::run },
    Target { name: "snapshot", run: snapshot::run },
    Target { name: "document", run: document::run },
    Target { name: "difference", run: difference::run },
    Target { name: "store_file", run: store_file::run },
];
