//! The Tidelog sync protocol as two deterministic state machines: [`device::Device`], a local event log with a consumer
//! offset for each stream it follows, and [`relay::Relay`], one connection of the relay that orders and stores them.
//! There is no clock here, no socket, no disk, no task, and no Automerge; same inputs, same outputs, byte for byte.
//!
//! **The drain rule: one input, then drain the outputs until there are none.** A shell hands a machine one
//! [`device::Input`] together with the time, then performs every output that [`device::Device::poll_output`] gives, in
//! order, before the next input. What an output asks for (a commit, a row, a socket) is answered by a later input. The
//! last [`device::Output::WakeAt`] says when to call again at the latest. The relay's machine works the same.
//!
//! | module | what it is |
//! | --- | --- |
//! | [`ids`], [`digest`], [`event`] | names and numbers; tags and checks; events and runs of them |
//! | [`wire`] | the messages and their bytes, in PROTOCOL.md's order |
//! | [`limits`] | every maximum, with its reason |
//! | [`device`] | the device's machine |
//! | [`relay`] | the relay's machine, and in [`relay::store`] what it asks of a log store |
//! | [`memory`] | the two simplest shells: stores in memory, for examples and tests |
//!
//! Two devices and a relay that converge, with no network and no thread:
//!
//! ```
//! use sync_core::device::{Append, Device, Input, Options, Output};
//! use sync_core::event::Kind;
//! use sync_core::ids::StreamName;
//! use sync_core::memory::{MemoryDisk, MemoryStore};
//! use sync_core::relay::{self, Relay, RelayConfig, TakeAll};
//! use sync_core::time::Millis;
//! use std::{collections::VecDeque, sync::Arc};
//!
//! struct Side {
//!     device: Device,
//!     disk: MemoryDisk,
//!     relay: Relay,
//!     to_device: VecDeque<Input>,
//!     to_relay: VecDeque<relay::Input>,
//! }
//!
//! let now = Millis(0);
//! let config = RelayConfig::new([9; 16]);
//! let stream = StreamName::new("notes/shopping")?;
//! let mut store = MemoryStore::default();
//! let mut sides = [1, 2].map(|seed| Side {
//!     device: Device::new([seed; 32], Options { relay: true, wants_token: false }),
//!     disk: MemoryDisk::default(),
//!     relay: Relay::new(config, Arc::new(TakeAll), [seed; 32], now),
//!     to_device: VecDeque::from([
//!         Input::Open { stream: stream.clone() },
//!         Input::Append(Append {
//!             write: 1, stream: stream.clone(), kind: Kind::Application, time: 0,
//!             payload: format!(r#"{{"type":"added","payload":{seed}}}"#).into(), dependent: false,
//!         }),
//!     ]),
//!     to_relay: VecDeque::new(),
//! });
//! loop {
//!     let mut news = vec![];
//!     for side in &mut sides {
//!         while let Some(output) = side.device.poll_output() {
//!             match output {
//!                 Output::Commit { transaction, writes } => {
//!                     side.disk.commit(writes);
//!                     side.to_device.push_back(Input::Committed { transaction });
//!                 }
//!                 Output::Load { request, table, from, to, bytes_max } => {
//!                     let (rows, more) = side.disk.load(table, from, to, bytes_max);
//!                     side.to_device.push_back(Input::Loaded { request, rows, more });
//!                 }
//!                 Output::Dial(socket) => side.to_device.push_back(Input::SocketOpened(socket)),
//!                 Output::Send { bytes, .. } => side.to_relay.push_back(relay::Input::Message(bytes)),
//!                 _ => {} // notices for pages, timers that nothing here needs
//!             }
//!         }
//!         while let Some(output) = side.relay.poll_output() {
//!             match output {
//!                 relay::Output::Authenticate { .. } => side.to_relay.push_back(relay::Input::Authenticated {
//!                     subject: None, access: sync_core::wire::Access::Write, time: 0,
//!                 }),
//!                 relay::Output::Send(bytes) => side.to_device.push_back(Input::Frame { socket: 1, bytes }),
//!                 relay::Output::Store { request, ask } => {
//!                     let (answer, brought) = store.answer(&ask);
//!                     side.to_relay.push_back(relay::Input::Stored { request, answer });
//!                     news.extend(brought.map(Arc::new));
//!                 }
//!                 _ => {}
//!             }
//!         }
//!     }
//!     // What one commit brought goes to every connection, encoded once.
//!     for side in &mut sides {
//!         side.to_relay.extend(news.iter().cloned().map(relay::Input::Advanced));
//!     }
//!     if sides.iter().all(|side| side.to_device.is_empty() && side.to_relay.is_empty()) {
//!         break;
//!     }
//!     for side in &mut sides {
//!         if let Some(input) = side.to_device.pop_front() {
//!             side.device.handle_input(now, input);
//!         }
//!         if let Some(input) = side.to_relay.pop_front() {
//!             side.relay.handle_input(input, now);
//!         }
//!     }
//! }
//! assert_eq!(store.events(&stream).len(), 2);
//! for side in &sides {
//!     let state = side.device.stream_state(&stream).expect("it is open");
//!     assert!(state.caught_up && state.pending == 0 && state.cursor == store.events(&stream)[1].offset);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod device;
pub mod digest;
pub mod event;
pub mod ids;
pub mod limits;
pub mod memory;
pub mod relay;
pub mod sorted;
pub mod time;
pub mod wire;
