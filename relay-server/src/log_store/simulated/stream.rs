//! The rules of the protocol for the log of one stream, as short as they can be said.

use super::State;
use crate::log_store::{Hint, Limits};
use std::collections::BTreeMap;
use sync_core::digest::{self, Random};
use sync_core::event::{Event, Run};
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::{Known, Refusal};

/// The log of one stream.
#[derive(Clone, Default)]
pub(super) struct Stream {
    pub epoch: Epoch,
    pub head: Offset,
    pub floor: Offset,
    pub floor_check: Check,
    /// Behind the floor, without gaps.
    pub events: Vec<Event>,
    pub snapshot: Option<Snapshot>,
    pub producers: BTreeMap<ProducerId, Producer>,
    /// Something that the log held is gone.
    pub is_partial: bool,
}

/// What the log has of one producer, for ever.
#[derive(Clone, Default)]
pub(super) struct Producer {
    last: Sequence,
    tag: Tag,
    logged: (Sequence, Tag),
    refused: Vec<Refusal>,
}

/// A request's work on a copy of the stream: it takes the stream's place when it is done.
struct Work {
    stream: Stream,
    before: Offset,
    stride: u64,
}

pub(super) fn append_to(
    state: &mut State,
    random: &mut Random,
    limits: Limits,
    append: &Append,
) -> Result<Appended, StoreError> {
    if !limits.allow_append(append) {
        return Err(StoreError::TooLarge);
    }
    let mut work = Work::on(state, random, &append.stream, append.epoch)?;
    let known = work.producer(append.producer);
    let broken = StoreError::Chain { known: known.known(Sequence::MAX), head: work.stream.head };
    let repeated = work.repeated(&known, append).ok_or(broken.clone())?;
    let mut outcomes = vec![];
    for sequence in (append.first..).take(repeated) {
        outcomes.push(work.stream.fate(append.producer, sequence).ok_or(broken.clone())?);
    }
    let mut tag_before = if repeated == 0 { append.origin } else { append.items[repeated - 1].tag };
    for (sequence, item) in (append.first..).zip(&append.items).skip(repeated) {
        outcomes.push(work.take(append, sequence, item, tag_before));
        tag_before = item.tag;
    }
    let Stream { epoch, head, .. } = work.stream;
    let head = DurableOffset::minted_by_store(head);
    state.streams.insert(append.stream.clone(), work.stream);
    Ok(Appended { epoch, outcomes, new: append.items.len() - repeated, head })
}

pub(super) fn heal_in(
    state: &mut State,
    random: &mut Random,
    limits: Limits,
    heal: &HealRequest,
) -> Result<Healed, StoreError> {
    if !limits.allow_heal(heal) {
        return Err(StoreError::TooLarge);
    }
    let existed = state.streams.contains_key(&heal.stream);
    let mut work = Work::on(state, random, &heal.stream, heal.epoch)?;
    // What goes on under its derived id must not come behind what its author's reader had seen after it.
    let mut is_held_up = false;
    let outcomes = heal.events.iter().map(|event| {
        let outcome = work.heal(event, is_held_up);
        is_held_up |= matches!(outcome, HealOutcome::Other | HealOutcome::Branch);
        outcome
    });
    let outcomes = outcomes.collect();
    let head = DurableOffset::minted_by_store(work.stream.head);
    if !existed && work.stream.producers.is_empty() {
        return Ok(Healed { epoch: Epoch::NONE, outcomes, head });
    }
    let epoch = work.stream.epoch;
    state.streams.insert(heal.stream.clone(), work.stream);
    Ok(Healed { epoch, outcomes, head })
}

impl Work {
    /// On the stream of a request, born if need be.
    fn on(state: &State, random: &mut Random, name: &StreamName, epoch: Option<Epoch>) -> Result<Work, StoreError> {
        let there = state.streams.get(name);
        let current = there.map_or(Epoch::NONE, |stream| stream.epoch);
        if epoch.is_some_and(|epoch| epoch != current) {
            return Err(StoreError::Epoch { current });
        }
        let stream = there.cloned().unwrap_or_else(|| {
            let epoch = Epoch(random.bytes());
            Stream { epoch, floor_check: digest::check_of_empty(epoch), ..Stream::default() }
        });
        Ok(Work { before: stream.head, stream, stride: state.stride })
    }
    fn producer(&self, producer: ProducerId) -> Producer {
        self.stream.producers.get(&producer).cloned().unwrap_or_default()
    }

    /// How many items at the batch's start were used up before (R8). `None`: it does not continue the chain.
    fn repeated(&self, known: &Producer, append: &Append) -> Option<usize> {
        if append.first == known.last + 1 {
            return (append.tag_before == known.tag).then_some(0);
        }
        let repeated = (known.last + 1).checked_sub(append.first)? as usize;
        (append.items.get(repeated - 1)?.tag == known.tag).then_some(repeated)
    }

    fn take(&mut self, append: &Append, sequence: Sequence, item: &AppendItem, tag_before: Tag) -> Outcome {
        let id = EventId { producer: append.producer, sequence };
        let logged = self.producer(append.producer).logged;
        match &item.body {
            Body::Event { needs: Some(need), .. } if *need != logged => {
                self.refuse(id, item.tag, DEPENDS_ON_REJECTED, "")
            }
            Body::Event { content, causes, needs } => Outcome::Logged(self.log(Event {
                id,
                tag: item.tag,
                tag_before,
                prev: logged,
                offset: Offset::ZERO,
                author: append.author.clone(),
                needs_prev: needs.is_some(),
                causes: causes.clone(),
                content: content.clone(),
            })),
            Body::Void => {
                self.use_up(id, item.tag);
                Outcome::Void
            }
            Body::Refused { code, reason } => self.refuse(id, item.tag, code, reason),
        }
    }

    /// R12 for one event. `is_held_up`: one before it goes on under another id first, so this one is not taken yet.
    fn heal(&mut self, event: &Event, is_held_up: bool) -> HealOutcome {
        let known = self.producer(event.id.producer);
        let (prev, prev_tag) = event.prev;
        let is_after_logged = prev == known.logged.0;
        let is_other = |at: (Sequence, Tag)| prev == at.0 && prev_tag != at.1;
        // As a publish has to, what comes next continues the chain.
        let breaks_chain = known.last > 0 && event.id.sequence == known.last + 1 && event.tag_before != known.tag;
        let stands = |at: (Sequence, Tag)| event.id.sequence != at.0 || event.tag == at.1;
        let is_after_other = is_other(known.logged) || is_other((known.last, known.tag));
        if known.refused.iter().any(|r| (r.sequence, r.tag) == (event.id.sequence, event.tag)) {
            HealOutcome::Refused
        } else if !stands(known.logged) || !stands((known.last, known.tag)) {
            HealOutcome::Branch
        } else if event.id.sequence <= known.last {
            match self.stream.fate(event.id.producer, event.id.sequence) {
                Some(Outcome::Logged(_)) | None => HealOutcome::Passed,
                Some(Outcome::Void | Outcome::Refused { .. }) => HealOutcome::Other,
            }
        } else if is_held_up {
            HealOutcome::Later
        } else if is_after_other || breaks_chain {
            HealOutcome::Branch
        } else if prev > known.last {
            HealOutcome::Gap
        } else if event.needs_prev && !is_after_logged {
            self.refuse(event.id, event.tag, DEPENDS_ON_REJECTED, "");
            HealOutcome::Refused
        } else {
            // What precedes it in this log, which may be more than in the one it comes from.
            HealOutcome::Taken(self.log(Event { prev: known.logged, ..event.clone() }))
        }
    }

    fn use_up(&mut self, id: EventId, tag: Tag) -> &mut Producer {
        let producer = self.stream.producers.entry(id.producer).or_default();
        (producer.last, producer.tag) = (id.sequence, tag);
        producer
    }
    fn refuse(&mut self, id: EventId, tag: Tag, code: &str, reason: &str) -> Outcome {
        let (code, reason) = (code.to_string(), reason.to_string());
        let refusal = Refusal { sequence: id.sequence, tag, code: code.clone(), reason: reason.clone() };
        self.use_up(id, tag).refused.push(refusal);
        Outcome::Refused { code, reason }
    }
    fn log(&mut self, event: Event) -> DurableOffset {
        self.use_up(event.id, event.tag).logged = (event.id.sequence, event.tag);
        let next = self.stream.head.0 + 1;
        let is_first = self.stream.head == self.before;
        let offset = Offset(if is_first { next.next_multiple_of(self.stride) } else { next });
        self.stream.head = offset;
        self.stream.events.push(Event { offset, ..event });
        DurableOffset::minted_by_store(offset)
    }
}

impl Producer {
    /// As a device is told that has settled everything before `settled`.
    pub fn known(&self, settled: Sequence) -> Known {
        let from = self.refused.partition_point(|refusal| refusal.sequence < settled);
        Known { last: self.last, tag: self.tag, refused: refusals_told(&self.refused[from..]) }
    }
    /// The last sequence used up.
    pub fn last(&self) -> Sequence {
        self.last
    }
}

impl Stream {
    /// What became of a sequence that was used up; `None`: the log that told is gone.
    pub fn fate(&self, producer: ProducerId, sequence: Sequence) -> Option<Outcome> {
        let known = self.producers.get(&producer)?;
        if let Some(refusal) = known.refused.iter().find(|refusal| refusal.sequence == sequence) {
            return Some(Outcome::Refused { code: refusal.code.clone(), reason: refusal.reason.clone() });
        }
        let mut own = self.events.iter().filter(|event| event.id.producer == producer);
        if let Some(event) = own.clone().find(|event| event.id.sequence == sequence) {
            return Some(Outcome::Logged(DurableOffset::minted_by_store(event.offset)));
        }
        let has_earlier = own.any(|event| event.id.sequence < sequence);
        (!self.is_partial || has_earlier || sequence > known.logged.0).then_some(Outcome::Void)
    }
    /// The digest of the prefix; `None` where it is not known.
    pub fn check(&self, offset: Offset) -> Option<Check> {
        let known = self.floor <= offset && offset <= self.head;
        let events = self.events.iter().take_while(|event| event.offset <= offset);
        known.then(|| events.fold(self.floor_check, |check, event| digest::check(check, event.id, event.tag)))
    }
    /// The events behind an offset, at least one, until they are `bytes_max`.
    pub fn batch(&self, after: Offset, bytes_max: usize) -> Batch {
        let mut bytes = 0;
        let behind = self.events.iter().filter(|event| event.offset > after).take_while(|event| {
            let is_first = bytes == 0;
            bytes += event.bytes();
            is_first || bytes <= bytes_max
        });
        let events: Vec<&Event> = behind.collect();
        let upto = DurableOffset::minted_by_store(events.last().map_or(after, |event| event.offset));
        Batch { after, upto, runs: Run::group(events).iter().map(EncodedRun::from).collect() }
    }
    /// What the feed tells when it has events behind `after`.
    pub fn advanced(&self, stream: &StreamName, after: Offset) -> Hint {
        let batch = self.batch(after, usize::MAX);
        Hint::Advanced { stream: stream.clone(), epoch: self.epoch, after, upto: batch.upto, batch: Some(batch) }
    }
}
