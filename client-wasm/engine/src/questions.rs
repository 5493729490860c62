//! Promises that JavaScript holds, until the device can answer them.

use crate::changes::Changes;
use crate::js_error::{EngineError, storage_code};
use crate::js_value;
use alloc::vec::Vec;
use js_sys::{Function, Promise};
use sync_core::device::{Device, Page, StorageError};
use sync_core::ids::*;
use wasm_bindgen::JsValue;

/// The two ends of a promise.
pub struct Answer {
    resolve: Function,
    reject: Function,
}

impl Answer {
    /// A promise and its ends.
    pub fn promise() -> (Promise, Answer) {
        let mut ends = None;
        let promise = Promise::new(&mut |resolve, reject| ends = Some(Answer { resolve, reject }));
        (promise, ends.expect("a promise calls its executor before it returns"))
    }
    fn settle(self, result: Result<JsValue, EngineError>) {
        // Neither end of a promise throws.
        let _ = match result {
            Ok(value) => self.resolve.call1(&JsValue::NULL, &value),
            Err(error) => self.reject.call1(&JsValue::NULL, &error.into()),
        };
    }
}

/// What can be asked that is not answered by an output.
pub enum Question {
    /// That the device has read its local store.
    Loaded,
    /// Own open events of a stream, once its local log is loaded.
    Pending(StreamName),
    /// That a rejection is gone from the list.
    Dropped(StreamName, EventId),
    /// That everything handed in is saved, or will never be.
    Saved,
}

/// What is not answered yet.
#[derive(Default)]
pub struct Questions {
    reads: Vec<(u64, Answer)>,
    reads_begun: u64,
    waiting: Vec<(Question, Answer)>,
    /// `Question::Loaded` was answered.
    pub is_loaded: bool,
}

impl Questions {
    /// Answers once it can be answered.
    pub fn ask(&mut self, question: Question, answer: Answer) {
        self.waiting.push((question, answer));
    }

    /// The number of a new read.
    pub fn begin_read(&mut self, answer: Answer) -> u64 {
        self.reads_begun += 1;
        self.reads.push((self.reads_begun, answer));
        self.reads_begun
    }

    /// A page came.
    pub fn answer_page(&mut self, page: Page, changes: &mut Changes) {
        let Some(at) = self.reads.iter().position(|(request, _)| *request == page.request) else { return };
        let (_, answer) = self.reads.swap_remove(at);
        let entry = changes.streams.entry(&page.stream);
        let checks = entry.paged.follow(page.epoch, page.after, (page.upto, page.check), &page.events);
        let events = js_value::logged(&page.events, checks, &changes.streams);
        answer.settle(Ok(js_value::page(&page, events)));
    }

    /// No page will come.
    pub fn fail_reads(&mut self, error: StorageError) {
        for (_, answer) in core::mem::take(&mut self.reads) {
            answer.settle(Err(EngineError::new(storage_code(error))));
        }
    }

    /// Answers what can be answered now.
    pub fn settle(&mut self, device: &Device, changes: &mut Changes, is_running: bool) {
        if !is_running {
            self.fail_reads(StorageError::Fenced);
        }
        for (question, answer) in core::mem::take(&mut self.waiting) {
            let result = match is_running {
                true => answer_of(&question, device, changes),
                false => Some(Err(EngineError::new("closed"))),
            };
            match result {
                Some(result) => {
                    if matches!(question, Question::Loaded) && is_running {
                        changes.loaded(device);
                        self.is_loaded = true;
                    }
                    answer.settle(result);
                }
                None => self.waiting.push((question, answer)),
            }
        }
    }
}

fn answer_of(question: &Question, device: &Device, changes: &Changes) -> Option<Result<JsValue, EngineError>> {
    match question {
        Question::Loaded => match device.failure() {
            Some(code) => Some(Err(EngineError::new(code))),
            None => (!device.is_loading()).then_some(Ok(JsValue::UNDEFINED)),
        },
        Question::Pending(stream) => match device.stream_state(stream) {
            None => Some(Err(EngineError::new("not-ready"))),
            Some(state) if state.loaded => {
                let mut pending = device.pending(stream);
                // The others are told by `appended` or `failed`: whoever had them from here would keep them twice, or for ever.
                pending.retain(|(event, _)| device.is_saved(stream, event.id));
                Some(Ok(js_value::pending(&pending, &changes.streams)))
            }
            Some(state) => state.error.map(|code| Err(EngineError::new(code))),
        },
        Question::Dropped(stream, id) => {
            let is_listed = device.rejections().iter().any(|(of, rejection)| (of, rejection.id) == (stream, *id));
            (!is_listed).then_some(Ok(JsValue::UNDEFINED))
        }
        Question::Saved => {
            let is_done = device.unsaved() == 0 || changes.storage_fails();
            is_done.then_some(Ok(JsValue::UNDEFINED))
        }
    }
}
