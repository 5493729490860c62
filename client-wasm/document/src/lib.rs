//! The Tidelog document module for the browser: `sync-document` behind wasm-bindgen.
//!
//! A thin shell: [`document`] is what JavaScript may call, [`from_js`] reads recorded operations and values, [`to_js`]
//! writes contents and patches. What crosses the border are plain arrays, described where they are read and written;
//! `js/src/document/module.ts` holds the same as TypeScript types.

mod document;
mod from_js;
mod to_js;

pub use document::WasmDocument;
