//! What the browser says of this origin's storage, and of the network. A page and a worker have it in the same place,
//! but for `persist`, which only a page has.

use crate::driver::Driver;
use alloc::rc::Rc;
use js_sys::{Function, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, spawn_local};

/// Whether the browser is sure that there is no network. It is never sure that there is one.
pub fn is_offline() -> bool {
    navigator("onLine").is_some_and(|on_line| on_line.is_falsy())
}

/// Asks for lasting storage, or only how it stands where asking is not possible.
pub async fn persist() -> bool {
    if let Some(answer) = ask("persist").await {
        return answer.is_truthy();
    }
    ask("persisted").await.is_some_and(|answer| answer.is_truthy())
}

/// Puts what is used and allowed into the status, some time later.
pub fn measure(driver: &Rc<Driver>) {
    let driver = Rc::downgrade(driver);
    spawn_local(async move {
        let is_persistent = ask("persisted").await.is_some_and(|answer| answer.is_truthy());
        let estimate = ask("estimate").await.unwrap_or(JsValue::UNDEFINED);
        let bytes = |key: &str| Reflect::get(&estimate, &key.into()).ok().and_then(|bytes| bytes.as_f64());
        if let Some(driver) = driver.upgrade() {
            driver.with(|state| state.changes.measured(is_persistent, bytes("usage"), bytes("quota")));
        }
    });
}

/// What `navigator.storage` answers. `None` where it has no such method: an insecure address, or a worker.
async fn ask(method: &str) -> Option<JsValue> {
    let storage = navigator("storage")?;
    let method: Function = Reflect::get(&storage, &method.into()).ok()?.dyn_into().ok()?;
    let promise: Promise = method.call0(&storage).ok()?.dyn_into().ok()?;
    JsFuture::from(promise).await.ok()
}

fn navigator(key: &str) -> Option<JsValue> {
    let navigator = Reflect::get(&js_sys::global(), &"navigator".into()).ok()?;
    let value = Reflect::get(&navigator, &key.into()).ok()?;
    (!value.is_undefined()).then_some(value)
}
