//! Time in the browser: a clock that also counts sleep, and a timer that can be set anew.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use js_sys::Function;
use sync_core::time::Millis;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::*;

/// What `setTimeout` takes at most; what is later is looked at again then.
const DELAY_MS_MAX: u64 = i32::MAX as u64;
/// A wall clock that runs ahead by more than this has seen a sleep (or was set); less is rounding and clock discipline.
const SLEEP_MS_MIN: f64 = 1000.0;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(handler: &Function, delay_ms: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(id: &JsValue);
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn performance_now() -> f64;
}

/// A clock that never goes back. `performance.now()` stands still on some systems while the machine sleeps, and the wall
/// clock may be set back: so the former counts, and the latter only says when it was asleep.
#[derive(Debug)]
pub struct Clock {
    /// Both clocks' readings, in ms, when this one began.
    began: (f64, f64),
    /// Milliseconds slept since.
    slept: Cell<f64>,
}

impl Clock {
    /// Begins at 0.
    pub fn start() -> Clock {
        Clock::starting_at(performance_now(), js_sys::Date::now())
    }
    fn starting_at(performance: f64, wall: f64) -> Clock {
        Clock { began: (performance, wall), slept: Cell::new(0.0) }
    }
    /// The time since it began.
    pub fn now(&self) -> Millis {
        self.reading(performance_now(), js_sys::Date::now())
    }
    fn reading(&self, performance: f64, wall: f64) -> Millis {
        let ran = performance - self.began.0;
        let ahead = wall - self.began.1 - ran;
        if ahead > self.slept.get() + SLEEP_MS_MIN {
            self.slept.set(ahead);
        }
        Millis((ran + self.slept.get()) as u64)
    }
    /// The same time as milliseconds since 1970, by the wall clock as it is set now.
    pub fn wall_time(&self, at: Millis) -> f64 {
        let now = self.now();
        js_sys::Date::now() + at.since(now) as f64 - now.since(at) as f64
    }
}

/// Calls back once, at the time that was set last.
pub struct Timer {
    callback: Closure<dyn FnMut()>,
    armed: Rc<RefCell<Option<JsValue>>>,
}

impl Timer {
    /// `callback` is called at most once for each `arm`.
    pub fn new(mut callback: impl FnMut() + 'static) -> Timer {
        let armed: Rc<RefCell<Option<JsValue>>> = Rc::default();
        let fired = Rc::clone(&armed);
        let callback = Closure::new(move || {
            fired.borrow_mut().take();
            callback();
        });
        Timer { callback, armed }
    }
    /// In so many milliseconds, instead of what was set before. It may come late: browsers hold timers of hidden pages
    /// back and stop them while frozen.
    pub fn arm(&self, delay_ms: u64) {
        self.cancel();
        let id = set_timeout(self.callback.as_ref().unchecked_ref(), delay_ms.min(DELAY_MS_MAX) as f64);
        *self.armed.borrow_mut() = Some(id);
    }
    /// Whether it is set.
    pub fn is_armed(&self) -> bool {
        self.armed.borrow().is_some()
    }
    /// Not at all.
    pub fn cancel(&self) {
        if let Some(id) = self.armed.borrow_mut().take() {
            clear_timeout(&id);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.cancel();
    }
}

/// A promise that is kept after so many milliseconds.
pub fn after(delay_ms: u64) -> js_sys::Promise {
    js_sys::Promise::new(&mut |resolve, _| {
        set_timeout(&resolve, delay_ms.min(DELAY_MS_MAX) as f64);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_with_performance_now() {
        let clock = Clock::starting_at(500.0, 1e12);
        assert_eq!(clock.reading(500.0, 1e12), Millis(0));
        assert_eq!(clock.reading(1750.5, 1e12 + 1250.0), Millis(1250));
    }

    #[test]
    fn a_sleep_that_performance_now_missed_is_counted_once() {
        let clock = Clock::starting_at(0.0, 1e12);
        assert_eq!(clock.reading(1000.0, 1e12 + 3_601_000.0), Millis(3_601_000));
        assert_eq!(clock.reading(2000.0, 1e12 + 3_602_000.0), Millis(3_602_000));
    }

    #[test]
    fn rounding_and_small_corrections_do_not_move_it() {
        let clock = Clock::starting_at(0.0, 1e12);
        for second in 1..=100 {
            let ran = f64::from(second) * 1000.0;
            assert_eq!(clock.reading(ran, 1e12 + ran + f64::from(second % 7) * 100.0), Millis(second as u64 * 1000));
        }
    }

    #[test]
    fn a_wall_clock_set_back_does_not_set_it_back() {
        let clock = Clock::starting_at(0.0, 1e12);
        assert_eq!(clock.reading(1000.0, 1e12 + 1000.0), Millis(1000));
        assert_eq!(clock.reading(2000.0, 5e11), Millis(2000));
        // Set right again: no sleep either.
        assert_eq!(clock.reading(3000.0, 1e12 + 3000.0), Millis(3000));
    }
}
