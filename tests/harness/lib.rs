//! The seeded world in which real devices and relays run on virtual time.
