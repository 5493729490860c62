//! What pages write: events, made in the order of the writes, and what they say of events that had no effect.

use super::Device;
use super::causes::Others;
use super::input::Append;
use super::opening::Start;
use super::output::{Notice, Own, Rejection, Table};
use super::rows::{self, OwnEvent};
use super::stream::Life;
use crate::digest;
use crate::event::Content;
use crate::ids::*;
use crate::limits::EVENT_BYTES_MAX;
use crate::relay::store::DEPENDS_ON_REJECTED;
use crate::wire::Access;

/// An append that waits, and the own event that it was made on top of, if it says so and that is known by now.
pub(super) struct Waiting {
    pub(super) append: Append,
    pub(super) base: Option<(EventId, Tag)>,
}

impl Device {
    pub(super) fn append(&mut self, append: Append) {
        if let Start::Failed(code) = self.start {
            return self.io.notice(Notice::Failed { write: append.write, stream: append.stream, code });
        }
        let name = append.stream.clone();
        self.open(name.clone(), false);
        if let Some(Life::Failed(code)) = self.streams.get(&name).map(|stream| stream.life) {
            return self.io.notice(Notice::Failed { write: append.write, stream: name, code });
        }
        self.waiting.push_back(Waiting { append, base: None });
        self.find_base(&name);
        self.append_waiting();
    }

    /// What the first append that waits for this stream was made on top of: its fate may be decided before the event is
    /// made.
    pub(super) fn find_base(&mut self, name: &StreamName) {
        let Some(stream) = self.streams.get(name).filter(|stream| stream.is_ready()) else { return };
        let newest = stream.newest_open();
        self.set_base(name, newest);
    }
    fn set_base(&mut self, name: &StreamName, base: Option<(EventId, Tag)>) {
        let first = self.waiting.iter_mut().find(|waiting| waiting.append.stream == *name);
        if let Some(first) = first.filter(|first| first.append.dependent && first.base.is_none()) {
            first.base = base;
        }
    }

    /// R16: what was written before an event, and what waits in an outbox, is among its causes, in other streams too. So
    /// events are made in the order of the writes, and none before what may wait elsewhere is loaded.
    pub(super) fn append_waiting(&mut self) {
        if self.waiting.is_empty() || self.streams.values().any(|s| s.is_loading_work()) {
            return;
        }
        while let Some(waiting) = self.waiting.pop_front() {
            let name = waiting.append.stream.clone();
            match self.streams.get(&name).map(|stream| stream.life) {
                Some(Life::Ready) => {
                    let made = self.append_ready(waiting);
                    self.set_base(&name, made);
                }
                Some(Life::Failed(code)) => {
                    self.io.notice(Notice::Failed { write: waiting.append.write, stream: name, code });
                }
                // It may have been let go while another was loaded: then it is loaded again.
                _ => {
                    self.open(name, false);
                    return self.waiting.push_front(waiting);
                }
            }
        }
    }

    /// Makes the event, and says which it is.
    fn append_ready(&mut self, waiting: Waiting) -> Option<(EventId, Tag)> {
        let Waiting { append: Append { write, stream: name, kind, time, payload, dependent }, base } = waiting;
        let content = Content { kind, time, payload }.encode();
        if content.len() > self.session.event_bytes_max.min(EVENT_BYTES_MAX) {
            self.io.notice(Notice::Failed { write, stream: name, code: "too-large" });
            return None;
        }
        let mut stream = self.streams.remove(&name)?;
        let others = Others { streams: &self.streams, names: &self.names, asked: &self.asked };
        let causes = others.causes_of_append(&stream);
        let needs = dependent.then(|| stream.newest_open()).flatten();
        let is_free = stream.heal.is_empty() && stream.strays.is_empty() && !stream.heals_own();
        // The mark is committed with the event itself where it can be sent right after (R14).
        let goes_at_once = stream.is_live() && stream.access == Access::Write && is_free;
        let own = OwnEvent { content, causes, needs };
        let id = stream.append(own, goes_at_once, &mut self.io);
        if let Some(event) = stream.own_event(id.sequence) {
            self.io.notice_after_commit(Notice::Appended { write, stream: name.clone(), event });
        }
        if base.is_some_and(|base| self.is_rejected(&name, base)) {
            stream.reject(id.sequence, DEPENDS_ON_REJECTED, "", &mut self.io);
        }
        let made = stream.own_tag(id.sequence).map(|tag| (id, tag));
        self.streams.insert(name.clone(), stream);
        self.touched.insert(name);
        made
    }

    /// Whether an own event is in the list of rejections, under its derived id perhaps.
    fn is_rejected(&self, stream: &StreamName, (id, tag): (EventId, Tag)) -> bool {
        let derived = digest::derived_producer(id, tag);
        let is_it = |other: EventId| other == id || other.producer == derived;
        self.io.rejections.keys().any(|(of, other)| of == stream && is_it(*other))
    }

    pub(super) fn drop_rejection(&mut self, stream: StreamName, id: EventId) {
        if self.io.rejections.remove(&(stream.clone(), id)).is_some() {
            let row = rows::key(&stream, &[&id.producer.0, &id.sequence.to_be_bytes()]);
            self.io.delete(Table::Rejections, row);
            self.touched.insert(stream);
        }
    }

    /// Lists an own event that had no effect; the same one only once, whatever its id was then.
    pub(super) fn reject(&mut self, name: StreamName, rejection: Rejection) {
        let is_listed = self.io.rejections.iter().any(|((of, _), r)| *of == name && r.content == rejection.content);
        if let Some(stream) = self.streams.get_mut(&name).filter(|_| !is_listed) {
            stream.list(rejection, &mut self.io);
            self.touched.insert(name);
        }
    }

    /// R14: only an event never handed to a socket, and none that a write may be on top of which waits to be made.
    pub(super) fn discard(&mut self, name: &StreamName, id: EventId) {
        let is_needed = self.waiting.iter().any(|w| w.append.dependent && w.append.stream == *name);
        let Some(stream) = self.streams.get_mut(name).filter(|_| !is_needed) else { return };
        if id.producer == stream.record.producer
            && stream.outbox.contains_key(&id.sequence)
            && stream.own(id.sequence) == Own::Unsent
        {
            stream.record.voids.insert(id.sequence, id.sequence);
            stream.dirty = true;
            stream.forget_own(id.sequence, &mut self.io);
            self.touched.insert(name.clone());
        }
    }
}
