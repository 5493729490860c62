//! A SQLite VFS for tests that records and drops syncs.
