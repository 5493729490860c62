//! A device's own events come back to it without their contents, which it has: tags stand in their place.

use super::*;
use crate::event::{Bodies, Run};
use crate::relay::input::{content_bytes, events_frame};
use crate::relay::store::{Append, AppendItem, Batch, Body, EncodedRun};

/// An author is spared his own events in a batch with at least so many bytes of them.
const OWN_BYTES_MIN: usize = 1024;

/// The last publish that the store took and whose contents the device will be spared: its first sequence and its tags. They
/// were computed when it came, and would have to be again when it goes back.
#[derive(Default)]
pub(super) struct Taken {
    first: Sequence,
    tags: Vec<Tag>,
}

impl Taken {
    /// The tags of a run that is just this publish.
    fn tags_of(&self, run: &EncodedRun) -> Option<Vec<Tag>> {
        (run.first == self.first && run.events as usize == self.tags.len()).then(|| self.tags.clone())
    }
}

impl Subscription {
    fn is_own(&self, run: &EncodedRun) -> bool {
        run.producer == self.producer && run.first >= self.settled
    }
    /// The frame for this subscriber: the shared one unless much of it is the device's own (decision 10).
    pub(super) fn frame(&mut self, stream: &StreamName, batch: &Batch, shared: Option<&Bytes>) -> Bytes {
        let (after, upto) = (batch.after, batch.upto.offset());
        if content_bytes(&batch.runs, |run| self.is_own(run)) >= OWN_BYTES_MIN {
            let taken = core::mem::take(&mut self.taken);
            let spare = |run: &EncodedRun| match self.is_own(run) {
                true => without_contents(run, taken.tags_of(run)),
                false => run.bytes.clone(),
            };
            let runs: Vec<Bytes> = batch.runs.iter().map(spare).collect();
            return events_frame(stream, after, upto, runs.iter());
        }
        shared.cloned().unwrap_or_else(|| events_frame(stream, after, upto, batch.runs.iter().map(|run| &run.bytes)))
    }
}

/// The same run as its author gets it: tags in place of contents, computed if they are not known.
fn without_contents(run: &EncodedRun, tags: Option<Vec<Tag>>) -> Bytes {
    let spared = decode_run(&run.bytes).ok().and_then(|decoded| {
        let computed = || Some(decoded.events(|_, _| None)?.into_iter().map(|event| event.tag).collect());
        let bodies = Bodies::Own(tags.or_else(computed)?);
        Some(encode_run(&Run { bodies, ..decoded }).into())
    });
    spared.unwrap_or_else(|| run.bytes.clone())
}

impl Relay {
    /// The store has taken a publish.
    pub(in crate::relay) fn taken(&mut self, append: &Append) {
        let content_bytes = |item: &AppendItem| match &item.body {
            Body::Event { content, .. } => content.len(),
            Body::Void | Body::Refused { .. } => 0,
        };
        let Some(sub) = self.subscriptions.by_stream.get_mut(&append.stream) else { return };
        let is_spared = append.items.iter().map(content_bytes).sum::<usize>() >= OWN_BYTES_MIN;
        if append.producer == sub.producer && is_spared {
            sub.taken = Taken { first: append.first, tags: append.items.iter().map(|item| item.tag).collect() };
        }
    }
}
