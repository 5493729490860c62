//! The Tidelog engine for the browser: IndexedDB and WebSocket around sync-core.
