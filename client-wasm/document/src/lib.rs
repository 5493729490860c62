//! The Tidelog document module for the browser: sync-document behind wasm-bindgen.
