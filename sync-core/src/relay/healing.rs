//! From `heal` to its verdicts: events that an earlier log had accepted come back under their old ids (R12). They are
//! not asked about again: what was accepted once stays accepted.

use super::Relay;
use super::output::{Output, Request};
use super::requests::Purpose;
use super::store::{HealOutcome, HealRequest, Healed, StoreError};
use crate::event::Event;
use crate::ids::StreamName;
use crate::limits::*;
use crate::wire::{CloseCode, Down, Heal, HealFate, Verdict};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

/// What waits at this connection, by stream, in the device's order.
#[derive(Default)]
pub(super) struct Healing {
    lists: BTreeMap<StreamName, List>,
}

#[derive(Default)]
struct List {
    under_way: Option<u64>,
    waiting: VecDeque<(HealRequest, usize)>,
    /// The device has said that nothing follows.
    done: bool,
}

impl Healing {
    /// Whether anything is not answered yet.
    pub fn is_idle(&self) -> bool {
        self.lists.is_empty()
    }
}

impl Relay {
    /// `heal`.
    pub(super) fn heal(&mut self, heal: Heal) {
        let Heal { stream, runs, done } = heal;
        let Some(epoch) = self.may_write(&stream) else { return };
        if runs.iter().map(|run| run.bodies.len()).sum::<usize>() > PUBLISH_EVENTS_MAX {
            return self.close(CloseCode::Limit);
        }
        let mut events: Vec<Event> = vec![];
        for run in &runs {
            match run.events(|_, _| None) {
                Some(of_run) => events.extend(of_run),
                None => return self.close(CloseCode::Malformed),
            }
        }
        if events.iter().any(|event| event.content.len() as u64 > self.config.limits.event_bytes_max) {
            return self.close(CloseCode::Limit);
        }
        let list = self.healing.lists.entry(stream.clone()).or_default();
        list.done = done;
        if !events.is_empty() {
            let bytes = events.iter().map(Event::bytes).sum();
            self.unanswered_bytes += bytes;
            list.waiting.push_back((HealRequest { stream: stream.clone(), epoch, events }, bytes));
            self.out.push(Output::TurnUsed(stream.clone()));
        }
        self.heal_next(&stream);
    }

    fn heal_next(&mut self, stream: &StreamName) {
        let Some(list) = self.healing.lists.get_mut(stream) else { return };
        if list.under_way.is_some() {
            return;
        }
        if let Some((request, bytes)) = list.waiting.pop_front() {
            let request = self.requests.ask(Request::Heal(request), Purpose::Heal { bytes }, &mut self.out);
            list.under_way = Some(request);
            return;
        }
        if list.done {
            self.out.push(Output::TurnDone(stream.clone()));
        }
        self.healing.lists.remove(stream);
    }

    /// The store's word on a heal: a verdict for each event, to be believed once the cursor reaches the head.
    pub(super) fn heal_answered(&mut self, heal: HealRequest, bytes: usize, answer: Result<Healed, StoreError>) {
        let stream = heal.stream;
        match answer {
            Ok(healed) => {
                if self.subscriptions.get(&stream).is_some_and(|sub| sub.epoch != healed.epoch) {
                    self.log_replaced(&stream);
                }
                let verdict = |(event, outcome): (&Event, HealOutcome)| Verdict {
                    producer: event.id.producer,
                    sequence: event.id.sequence,
                    tag: event.tag,
                    fate: match outcome {
                        HealOutcome::Taken(_) | HealOutcome::Passed => HealFate::Passed,
                        HealOutcome::Refused => HealFate::Refused,
                        HealOutcome::Other => HealFate::Other,
                        HealOutcome::Gap => HealFate::Gap,
                        HealOutcome::Later => HealFate::Later,
                        HealOutcome::Branch => HealFate::Branch,
                    },
                };
                let verdicts = heal.events.iter().zip(healed.outcomes).map(verdict).collect();
                self.out.tell(&Down::Healed { stream: stream.clone(), head: healed.head.offset(), verdicts });
            }
            Err(StoreError::Epoch { .. }) => self.log_replaced(&stream),
            Err(_) => self.fail(&stream),
        }
        self.unanswered_bytes -= bytes;
        if let Some(list) = self.healing.lists.get_mut(&stream) {
            list.under_way = None;
        }
        self.heal_next(&stream);
    }
}
