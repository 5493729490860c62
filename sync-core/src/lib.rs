//! The Tidelog sync protocol as deterministic state machines, without clock, socket or disk.
