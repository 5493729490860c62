//! Tidelog documents: Automerge with replay of remote changes, patches and deterministic defaults.
