//! Real devices and a real relay in the seeded world: the protocol model's scenarios and its counterexamples.

mod counterexamples;
mod crowd;
mod history;
mod walks;
