//! The real relay binary over real sockets. Every wait is for an observed state, with a deadline.

mod client;
mod hostile;
mod kill;
mod operation;
mod process;
mod sync;
