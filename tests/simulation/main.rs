//! Real devices and a real relay in the seeded world: the protocol model's scenarios, its counterexamples, and rules that
//! are broken on purpose.

mod counterexamples;
mod planted;
mod walks;
