//! The Tidelog relay: axum around sync-core, and its log store.
