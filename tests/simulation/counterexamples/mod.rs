//! The counterexamples of the protocol's rules, one by one: the histories that break a protocol without the rule (the
//! *Else* sentences of the model's README), played with the real machines.

mod causes;
mod durable;
mod found;
mod healing;
mod producers;
mod resuming;
mod waiting;
