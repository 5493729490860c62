//! Errors as JavaScript sees them: a stable `code`, the same codes as in the package's `errors.ts`, and a message.

use sync_core::device::StorageError;
use wasm_bindgen::prelude::*;

/// What a method of the engine throws or rejects with: an `Error` with a `code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineError {
    code: &'static str,
}

impl EngineError {
    /// By its code.
    pub fn new(code: &'static str) -> EngineError {
        EngineError { code }
    }
}

impl From<EngineError> for JsValue {
    fn from(error: EngineError) -> JsValue {
        let object = js_sys::Error::new(message(error.code));
        // A new object takes any property.
        let _ = js_sys::Reflect::set(&object, &"code".into(), &error.code.into());
        object.into()
    }
}

/// An error inside a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorInfo {
    /// See [`EngineError`].
    pub code: &'static str,
    /// In words, for developers.
    pub message: &'static str,
    /// It is tried again by itself.
    pub retryable: bool,
}

impl ErrorInfo {
    /// One that waits for somebody to do something.
    pub fn new(code: &'static str) -> ErrorInfo {
        ErrorInfo { code, message: message(code), retryable: false }
    }
    /// The relay was not reached, and is tried again. The package knows no code of its own for that.
    pub fn unreachable() -> ErrorInfo {
        ErrorInfo { retryable: true, ..ErrorInfo::new("not-on-device") }
    }
}

/// The code for what became of the local storage.
pub fn storage_code(error: StorageError) -> &'static str {
    match error {
        StorageError::Full => "storage-full",
        StorageError::Lost => "storage-lost",
        StorageError::Fenced => "closed",
        StorageError::Failed => "storage-unavailable",
    }
}

/// What a code means, for developers. Never holds content or a token.
pub fn message(code: &str) -> &'static str {
    match code {
        "access-denied" => "the relay does not allow this",
        "access-revoked" => "the relay has withdrawn access to this stream",
        "closed" => "this engine has ended or been replaced",
        "invalid-name" => "not a stream name: 1 to 200 bytes, segments of A-Z a-z 0-9 . _ ~ - joined by /",
        "invalid-value" => "a wrong database, event, id or number",
        "needs-auth" => "the relay wants a token, or refused the last one",
        "not-on-device" => "the relay cannot be reached",
        "not-ready" => "the stream is not open",
        "outdated-app" => "the relay or the local data is newer than this app",
        "storage-full" => "the browser's quota is used up",
        "storage-lost" => "the local data was deleted or is broken",
        "storage-unavailable" => "the local storage does not work: what is not on the relay may be lost",
        "too-large" => "the event is over the size limit",
        "wrong-user" => "the token is another user's",
        _ => "the relay or this device stopped; see the code",
    }
}
