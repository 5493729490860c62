//! The end of a step: every stream that was touched does what it now can, and what changed is written in one transaction.

use super::Device;
use super::applying::Next;
use super::causes::Others;
use super::io::Effect;
use super::output::{Notice, Output, Table};
use super::stream::{Held, Link, Stream};
use crate::event::Event;
use crate::ids::*;
use crate::limits::*;
use crate::wire::Up;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

impl Device {
    /// Lets every touched stream do what it now can, then writes what changed.
    pub(super) fn finish_step(&mut self) {
        // A stream that moved may let others go on, which may let it go on: each round moves something.
        while let Some(name) = self.touched.pop_first() {
            let Some(mut stream) = self.streams.remove(&name) else { continue };
            self.look_at(&mut stream);
            // Since the last look, not since the beginning of this one: a refusal is worked in before.
            let awaited = stream.awaited();
            let moved = core::mem::replace(&mut stream.seen_awaited, awaited) != awaited;
            if stream.dirty {
                stream.dirty = false;
                self.dirty.insert(name.clone());
            }
            self.streams.insert(name, stream);
            if moved {
                self.advances += 1;
                self.touch_blocked();
            }
        }
        if self.options.relay && self.streams.values().any(|s| s.opened || s.has_work()) {
            self.session.want(&mut self.io);
        }
        self.session.tell(&mut self.io);
        // What was put off until a transaction is stored may have none to wait for.
        self.run_deferred();
        self.commit();
        self.wake();
    }

    /// Streams that wait for another: with batches held, or with own events whose causes have no offset yet.
    pub(super) fn touch_blocked(&mut self) {
        let waits = |s: &Stream| s.link.as_ref().is_some_and(|link| !link.held.is_empty()) || s.has_work();
        let waiting = self.streams.values().filter(|s| s.link.is_some() && waits(s)).map(|s| s.name.clone());
        self.touched.extend(waiting);
    }

    pub(super) fn look_at(&mut self, stream: &mut Stream) {
        if !stream.is_ready() {
            return self.tell(stream);
        }
        let wanted = stream.opened || stream.has_work();
        if wanted && stream.link.is_none() && stream.error.is_none() && self.session.is_live() {
            stream.link = Some(Link::asking());
            self.session.send(&Up::Subscribe(stream.subscribe()), &mut self.io);
        }
        let cursor = stream.record.cursor;
        if self.release(stream) == Next::AskAgain {
            self.ask_again(stream);
            self.touched.insert(stream.name.clone());
        }
        stream.caught_up(&mut self.io);
        if stream.record.cursor != cursor {
            stream.advanced = self.advances;
        }
        let others = Others { streams: &self.streams, names: &self.names, asked: &self.asked };
        stream.pump(&mut self.session, &others, &mut self.io);
        stream.fold(&mut self.io);
        if !stream.opened && !stream.has_work() {
            self.let_go(stream);
        }
        self.tell(stream);
    }

    /// Applies what came, as far as its causes are here.
    pub(super) fn release(&mut self, stream: &mut Stream) -> Next {
        loop {
            let Some(held) = stream.link.as_mut().and_then(|link| link.held.pop_front()) else {
                if let Some(link) = &mut stream.link {
                    link.held_since = None;
                }
                return Next::On;
            };
            let cursor = stream.record.cursor;
            if held.events.after > cursor {
                return Next::AskAgain;
            }
            let Some(events) = self.read_events(stream, &held) else { return Next::AskAgain };
            let others = Others { streams: &self.streams, names: &self.names, asked: &self.asked };
            let waits = |event: &Event| {
                let missing = others.missing(event, held.frame);
                missing.is_some_and(|name| !others.waits_for(&name, stream, event))
            };
            let ready = events.iter().position(waits).unwrap_or(events.len());
            let upto =
                if ready == events.len() { held.events.upto } else { Offset(events[ready].offset.0 - 1).max(cursor) };
            let all = ready == events.len();
            let next = if upto > cursor {
                stream.apply(events.into_iter().take(ready).collect(), upto, &mut self.io)
            } else {
                Next::On
            };
            let Some(link) = stream.link.as_mut() else { return next };
            if all {
                link.unconfirmed_bytes += held.bytes;
            } else {
                link.held.push_front(held);
                link.held_since.get_or_insert(self.io.now);
                return next;
            }
            if next == Next::AskAgain {
                return next;
            }
        }
    }

    /// The events of a batch behind the cursor. `None`: one of them is said to be this device's and is not.
    pub(super) fn read_events(&mut self, stream: &mut Stream, held: &Held) -> Option<Vec<Event>> {
        let cursor = stream.record.cursor;
        let mut events = vec![];
        let mut last = held.events.after;
        for run in &held.events.runs {
            let Some(read) = run.events(|id, tag| stream.own_content(id, tag)) else {
                // Seen before: its content is in the log, and the batch is a repeat up to here.
                if Offset(run.offset.0 + run.bodies.len() as u64 - 1) <= cursor {
                    continue;
                }
                stream.suspect = true;
                return None;
            };
            for event in read {
                if event.offset <= last || event.offset > held.events.upto {
                    return None;
                }
                last = event.offset;
                if event.offset > cursor {
                    events.push(event);
                }
            }
        }
        Some(events)
    }

    pub(super) fn rejected_of(&self, name: &StreamName) -> usize {
        let from = (name.clone(), EventId { producer: ProducerId::default(), sequence: 0 });
        self.io.rejections.iter_from(&from).take_while(|((stream, _), _)| stream == name).count()
    }

    /// Tells pages how a stream stands, if that changed.
    pub(super) fn tell(&mut self, stream: &mut Stream) {
        let state = stream.state(self.rejected_of(&stream.name));
        if stream.told.as_ref() != Some(&state) {
            stream.told = Some(state.clone());
            self.io.notice(Notice::Stream { stream: stream.name.clone(), state });
        }
    }

    pub(super) fn commit(&mut self) {
        if self.dirty.is_empty() && !self.io.may_commit() || self.io.is_committing() {
            return;
        }
        for name in core::mem::take(&mut self.dirty).into_members() {
            let Some(stream) = self.streams.get(&name) else { continue };
            self.io.put(Table::Streams, name.as_str().as_bytes().to_vec(), stream.record.encode());
            self.io.after_commit(Effect::Durable { stream: name, record: Box::new(stream.record.clone()) });
        }
        self.io.commit();
    }

    pub(super) fn committed(&mut self, transaction: u64) {
        for effect in self.io.committed(transaction) {
            match effect {
                Effect::Notice(notice) => self.io.notice(notice),
                Effect::Durable { stream: name, record } => {
                    if let Some(stream) = self.streams.get_mut(&name) {
                        stream.durable = *record;
                    }
                    self.touched.insert(name);
                }
            }
        }
        self.confirm();
        self.run_deferred();
    }

    /// Tells the relay what is applied and committed, before the window is used up. One message for many events.
    pub(super) fn confirm(&mut self) {
        let unconfirmed: usize =
            self.streams.values().filter_map(|s| s.link.as_ref()).map(|l| l.unconfirmed_bytes).sum();
        if unconfirmed < self.session.window_bytes / 8 || !self.session.is_live() {
            return;
        }
        for stream in self.streams.values_mut() {
            let Some(link) = stream.link.as_mut().filter(|link| link.unconfirmed_bytes > 0) else { continue };
            // Only what is on stable storage; what is not yet is confirmed with the next transaction.
            if stream.durable.cursor == stream.record.cursor {
                link.unconfirmed_bytes = 0;
            }
            self.session.send(&stream.applied(), &mut self.io);
        }
    }

    pub(super) fn wake(&mut self) {
        let held = self.streams.values().filter_map(|s| s.link.as_ref()?.held_since).map(|at| {
            let asked = self.asked.values().map(|asked| asked.at).max();
            asked.map_or(at, |asked| asked.max(at)).plus(HELD_MS_MAX)
        });
        let folds = self.streams.values().filter(|s| s.is_ready()).filter_map(|s| s.folding.due());
        let due = held.chain(self.session.due()).chain(folds).min();
        if due != self.woken_at || due.is_some_and(|due| due <= self.io.now) {
            self.woken_at = due;
            if let Some(due) = due {
                self.io.outputs.push_back(Output::WakeAt(due.max(self.io.now.plus(1))));
            }
        }
    }
}
