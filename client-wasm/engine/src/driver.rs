//! Drives the `Device`: hands it what happens, one input at a time, and performs all that it asks for before the next
//! (the drain rule).

use crate::changes::Changes;
use crate::js_error::EngineError;
use crate::js_value;
use crate::questions::{Answer, Question, Questions};
use crate::quota;
use crate::storage::Storage;
use crate::timer::{Clock, Timer};
use crate::web_socket::{Sink, WebSockets};
use alloc::collections::VecDeque;
use alloc::rc::{Rc, Weak};
use alloc::string::String;
use core::cell::{Cell, RefCell};
use js_sys::{Function, Promise};
use sync_core::device::{Device, Input, Notice, Options, Output};
use sync_core::time::Millis;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_name = reportError)]
    fn report_error(error: &JsValue);
}

/// The device with its surroundings, and what waits to be told to it.
pub struct Driver {
    me: Weak<Driver>,
    state: RefCell<State>,
    inbox: RefCell<VecDeque<Input>>,
    /// The inbox is being worked off: who puts something in now need not.
    is_busy: Cell<bool>,
    listener: Function,
}

/// What is used while the device is driven.
pub struct State {
    /// The machine.
    pub device: Device,
    /// What the listener is told.
    pub changes: Changes,
    /// What JavaScript waits for.
    pub questions: Questions,
    /// `None`: this engine has ended, nothing is performed any more.
    storage: Option<Rc<Storage>>,
    sockets: Option<WebSockets>,
    clock: Clock,
    timer: Timer,
    sink: Sink,
}

impl Driver {
    /// A device over `storage`, which connects to `url` as soon as something is open.
    pub fn start(
        seed: [u8; 32],
        options: Options,
        url: Option<String>,
        storage: Storage,
        listener: Function,
    ) -> Rc<Driver> {
        let driver = Rc::new_cyclic(|me: &Weak<Driver>| {
            let driver = me.clone();
            let sink: Sink = Rc::new(move |input| {
                if let Some(driver) = driver.upgrade() {
                    driver.feed(input);
                }
            });
            let tick = Rc::clone(&sink);
            let state = State {
                device: Device::new(seed, options),
                changes: Changes::new(storage.is_memory()),
                questions: Questions::default(),
                storage: Some(Rc::new(storage)),
                sockets: url.map(|url| WebSockets::new(url, Rc::clone(&sink))),
                clock: Clock::start(),
                timer: Timer::new(move || tick(Input::Timer)),
                sink,
            };
            let state = RefCell::new(state);
            Driver { me: me.clone(), state, inbox: RefCell::default(), is_busy: Cell::new(false), listener }
        });
        // It begins by reading its store; what it is told before that waits.
        driver.feed(Input::Timer);
        driver
    }

    /// Hands the device an input and performs what follows. From within the listener: behind what is told just now.
    pub fn feed(&self, input: Input) {
        self.inbox.borrow_mut().push_back(input);
        self.run();
    }

    /// Works on the state between two inputs; what it told is passed on.
    pub fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let done = work(&mut self.state.borrow_mut());
        self.run();
        done
    }

    /// A promise for the answer to `question`.
    pub fn ask(&self, question: Question) -> Promise {
        let (promise, answer) = Answer::promise();
        self.with(|state| state.questions.ask(question, answer));
        promise
    }

    fn run(&self) {
        if self.is_busy.replace(true) {
            return;
        }
        loop {
            let input = self.inbox.borrow_mut().pop_front();
            let is_idle = input.is_none();
            let told = {
                let mut state = self.state.borrow_mut();
                match input {
                    Some(input) => state.handle(input),
                    None => state.settle(),
                }
                state.changes.take()
            };
            for event in told {
                if let Err(error) = self.listener.call1(&JsValue::NULL, &event) {
                    report_error(&error); // the host's mistake, which must not stop the engine
                }
            }
            if is_idle && self.inbox.borrow().is_empty() {
                break;
            }
        }
        self.is_busy.set(false);
        if self.state.borrow_mut().is_measure_due()
            && let Some(driver) = self.me.upgrade()
        {
            quota::measure(&driver);
        }
    }
}

impl State {
    /// One input, then all outputs.
    fn handle(&mut self, input: Input) {
        if self.storage.is_none() {
            return;
        }
        self.changes.note(&input);
        self.device.handle_input(self.clock.now(), input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.device.poll_output() {
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            work @ (Output::Commit { .. } | Output::Load { .. }) => self.perform_storage(work),
            Output::Dial(socket) => self.perform_socket(|sockets| {
                sockets.dial(socket).err().map(|why| (Input::SocketClosed { socket, code: None }, why))
            }),
            Output::Send { socket, bytes } => self.perform_socket(|sockets| {
                sockets.send(socket, bytes);
                None
            }),
            Output::HangUp(socket) => self.perform_socket(|sockets| {
                sockets.hang_up(socket);
                None
            }),
            Output::NeedsToken { refused } => self.changes.tell(js_value::needs_token(refused)),
            Output::WakeAt(at) => self.arm_timer(at),
            Output::Page(page) => self.questions.answer_page(page, &mut self.changes),
            Output::Notice(notice) => self.publish_change(notice),
        }
    }

    /// Commits or loads; what comes of it is the device's next input but for those that came meanwhile.
    fn perform_storage(&self, work: Output) {
        let Some(storage) = self.storage.clone() else { return };
        let sink = Rc::clone(&self.sink);
        spawn_local(async move {
            let done = match work {
                Output::Commit { transaction, writes } => {
                    storage.commit(writes).await.map(|()| Input::Committed { transaction })
                }
                Output::Load { request, table, from, to, bytes_max } => {
                    let loaded = storage.load(table, from, to, bytes_max).await;
                    loaded.map(|loaded| Input::Loaded { request, rows: loaded.rows, more: loaded.more })
                }
                _ => return,
            };
            sink(done.unwrap_or_else(Input::StorageFailed));
        });
    }

    /// `work` says what to tell the device, and why, if it cannot be done at all.
    fn perform_socket(&mut self, work: impl FnOnce(&mut WebSockets) -> Option<(Input, String)>) {
        let Some(sockets) = &mut self.sockets else { return };
        if let Some((input, why)) = work(sockets) {
            self.changes.log("error", &why);
            let sink = Rc::clone(&self.sink);
            // Not from within the drain.
            spawn_local(async move { sink(input) });
        }
    }

    fn arm_timer(&self, at: Millis) {
        self.timer.arm(at.since(self.clock.now()));
    }

    fn publish_change(&mut self, notice: Notice) {
        if let Notice::Storage(error) = &notice {
            self.questions.fail_reads(*error);
        }
        let closed = self.sockets.as_ref().map_or(JsValue::NULL, WebSockets::closed);
        self.changes.publish(&notice, &self.clock, closed);
    }

    /// Nothing is left to be done: answers what waited for that, and says how things stand.
    fn settle(&mut self) {
        let is_running = self.storage.is_some();
        self.questions.settle(&self.device, &mut self.changes, is_running);
        if is_running && self.questions.is_loaded {
            self.changes.publish_status(&self.device);
        }
    }

    fn is_measure_due(&mut self) -> bool {
        self.storage.is_some() && self.changes.is_measure_due(self.clock.now())
    }

    /// Ends: lets go of socket, timer and storage. What the storage is doing still ends.
    pub fn end(&mut self) -> Option<Rc<Storage>> {
        self.timer.cancel();
        self.sockets = None;
        let storage = self.storage.take();
        if let Some(storage) = &storage {
            storage.close();
            self.changes.publish_end();
        }
        storage
    }

    /// The storage, unless this engine has ended.
    pub fn storage(&self) -> Result<Rc<Storage>, EngineError> {
        self.storage.clone().ok_or(EngineError::new("closed"))
    }
}
