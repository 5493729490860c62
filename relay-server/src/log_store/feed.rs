//! The feed inside one process: a bounded queue of hints. It loses nothing but by overflow, and that becomes
//! [`Hint::Behind`].

use super::Hint;
use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use sync_core::ids::StreamName;
use tokio::sync::Notify;

/// Bytes of batches in the queue. They are shared with the tail, so it is how far a relay may lag, not memory.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// Hints in the queue.
const HINTS_MAX: usize = 64 * 1024;

/// From the thread that commits to the task that asks `next`.
#[derive(Default)]
pub(super) struct Feed {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Default)]
struct State {
    followed: HashSet<StreamName>,
    queue: VecDeque<Hint>,
    bytes: usize,
    /// Streams whose last word in the queue is `Behind`: nothing more is told of them until it is taken.
    behind: HashSet<StreamName>,
    is_closed: bool,
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
    /// See [`super::LogStore::follow`].
    pub fn follow(&self, stream: &StreamName) {
        let mut state = self.lock();
        if !state.followed.contains(stream) {
            state.followed.insert(stream.clone());
        }
    }
    /// See [`super::LogStore::unfollow`].
    pub fn unfollow(&self, stream: &StreamName) {
        self.lock().followed.remove(stream);
    }
    /// What a commit brought.
    pub fn push(&self, hints: impl IntoIterator<Item = Hint>) {
        let mut state = self.lock();
        hints.into_iter().for_each(|hint| state.push(hint));
        if !state.queue.is_empty() {
            self.arrived.notify_one();
        }
    }
    /// Nothing more comes.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }
    /// See [`super::LogStore::next`].
    pub async fn next(&self) -> Vec<Hint> {
        loop {
            {
                let mut state = self.lock();
                if !state.queue.is_empty() {
                    state.bytes = 0;
                    state.behind.clear();
                    return std::mem::take(&mut state.queue).into();
                }
                if state.is_closed {
                    return vec![];
                }
            }
            self.arrived.notified().await;
        }
    }
}

impl State {
    fn push(&mut self, hint: Hint) {
        let Some(stream) = hint.stream() else {
            // It says all that the others could say.
            self.queue.clear();
            self.behind.clear();
            self.bytes = 0;
            self.queue.push_back(hint);
            return;
        };
        if !self.followed.contains(stream) || (self.behind.contains(stream) && !matches!(hint, Hint::NewEpoch { .. })) {
            return;
        }
        if self.queue.len() >= HINTS_MAX {
            return self.push(Hint::AllBehind);
        }
        let bytes = match &hint {
            Hint::Advanced { batch: Some(batch), .. } => batch.runs.iter().map(|run| run.bytes.len()).sum(),
            _ => 0,
        };
        let is_full = bytes > 0 && self.bytes + bytes > BYTES_MAX && !self.queue.is_empty();
        self.bytes += if is_full { 0 } else { bytes };
        let hint = if is_full { Hint::Behind { stream: stream.clone() } } else { hint };
        if let Hint::Behind { stream } = &hint {
            self.behind.insert(stream.clone());
        }
        self.queue.push_back(hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sync_core::ids::*;
    use sync_core::relay::store::{Batch, EncodedRun};

    fn advanced(stream: &StreamName, at: u64, bytes: usize) -> Hint {
        let run = EncodedRun {
            producer: ProducerId([1; 16]),
            first: at,
            events: 1,
            offset: Offset(at),
            content_bytes: 1,
            bytes: vec![0; bytes].into(),
        };
        let (after, upto) = (Offset(at - 1), DurableOffset::minted_by_store(Offset(at)));
        let batch = Some(Batch { after, upto, runs: vec![run] });
        Hint::Advanced { stream: stream.clone(), epoch: Epoch::NONE, after, upto, batch }
    }

    #[tokio::test]
    async fn overflow_becomes_behind_once_and_order_is_kept() {
        let feed = Feed::default();
        let (a, b) = (StreamName::new("a").unwrap(), StreamName::new("b").unwrap());
        feed.follow(&a);
        feed.push([advanced(&b, 1, 1), advanced(&a, 1, BYTES_MAX), advanced(&a, 2, 1), advanced(&a, 3, 1)]);
        let hints = feed.next().await;
        assert_eq!(hints, [advanced(&a, 1, BYTES_MAX), Hint::Behind { stream: a.clone() }]);
        feed.push([advanced(&a, 4, 1)]);
        assert_eq!(feed.next().await, [advanced(&a, 4, 1)]);
    }

    #[tokio::test]
    async fn more_hints_than_the_queue_holds_become_all_behind() {
        let feed = Feed::default();
        let a = StreamName::new("a").unwrap();
        feed.follow(&a);
        feed.push((1..=HINTS_MAX as u64 + 1).map(|at| advanced(&a, at, 0)));
        assert_eq!(feed.next().await, [Hint::AllBehind]);
    }

    #[tokio::test]
    async fn a_closed_feed_ends_after_what_it_held() {
        let feed = Feed::default();
        let a = StreamName::new("a").unwrap();
        feed.follow(&a);
        feed.push([advanced(&a, 1, 1)]);
        feed.close();
        assert_eq!(feed.next().await.len(), 1);
        assert_eq!(feed.next().await, []);
    }
}
