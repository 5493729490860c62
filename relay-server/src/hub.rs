//! From the store's feed to the connections. What a commit brought to a stream is encoded once, here; a subscriber gets
//! a note that there is news, and takes the shared frames when it comes to it. Nothing grows because one is slow: the
//! recent frames of a stream are few, and whoever comes too late for them reads the log.

use crate::log_store::{Hint, LogStore};
use futures_util::task::AtomicWaker;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;
use sync_core::ids::{Offset, StreamName};
use sync_core::relay::{ConnectionId, SharedBatch};

/// Frames of one stream that wait for their subscribers.
const RECENT_BYTES_MAX: usize = 256 * 1024;
/// Frames of all streams that wait for their subscribers; beyond it they are read from the log.
const RECENT_BYTES_MAX_OF_ALL: usize = 64 * 1024 * 1024;

/// Who follows what.
pub struct Hub {
    store: Arc<dyn LogStore>,
    channels: Mutex<HashMap<StreamName, Arc<Channel>>>,
    mailboxes: Mutex<HashMap<ConnectionId, Arc<Mailbox>>>,
    recent_bytes: AtomicUsize,
}

/// One followed stream.
pub struct Channel {
    /// Its name.
    pub stream: StreamName,
    state: Mutex<ChannelState>,
}

#[derive(Default)]
struct ChannelState {
    followers: HashMap<ConnectionId, Follower>,
    recent: VecDeque<Arc<SharedBatch>>,
    recent_bytes: usize,
    /// Followers that have not taken their news.
    waiting: usize,
}

struct Follower {
    mailbox: Arc<Mailbox>,
    news: News,
}

/// What a follower has not heard of a stream. The greater one says all that the smaller one says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Nothing.
    None,
    /// There are new batches.
    Advanced,
    /// The log is to be read.
    Behind,
    /// The log was replaced.
    NewEpoch,
}

/// What waits for one connection.
#[derive(Default)]
pub struct Mailbox {
    letters: Mutex<Letters>,
    waker: AtomicWaker,
}

/// See [`Mailbox::take`].
#[derive(Default)]
pub struct Letters {
    /// Streams that have news, each once.
    pub channels: Vec<Arc<Channel>>,
    /// Streams whose turn to heal has come.
    pub turns: Vec<StreamName>,
    /// The relay goes away: what to tell the device to wait, in milliseconds.
    pub drain: Option<u64>,
}

impl Mailbox {
    /// Takes what is there, else wakes the task of `context` when something is.
    pub fn poll(&self, context: &Context<'_>) -> Option<Letters> {
        self.take().or_else(|| {
            self.waker.register(context.waker());
            self.take()
        })
    }
    fn take(&self) -> Option<Letters> {
        let mut letters = lock(&self.letters);
        let is_empty = letters.channels.is_empty() && letters.turns.is_empty() && letters.drain.is_none();
        (!is_empty).then(|| std::mem::take(&mut *letters))
    }
    fn put(&self, put: impl FnOnce(&mut Letters)) {
        put(&mut lock(&self.letters));
        self.waker.wake();
    }
}

/// A panic while a lock was held leaves at worst a stale note; the log heals that.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// Nobody follows anything.
    pub fn new(store: Arc<dyn LogStore>) -> Hub {
        Hub { store, channels: Mutex::default(), mailboxes: Mutex::default(), recent_bytes: AtomicUsize::new(0) }
    }

    /// Passes on what the store's feed says, until the store is closed.
    pub async fn pass_on(&self) {
        loop {
            let hints = self.store.next().await;
            if hints.is_empty() {
                return;
            }
            hints.into_iter().for_each(|hint| self.announce(hint));
        }
    }

    fn announce(&self, hint: Hint) {
        let Some(stream) = hint.stream() else {
            let all: Vec<_> = lock(&self.channels).values().cloned().collect();
            return all.iter().for_each(|channel| self.tell(channel, News::Behind));
        };
        let Some(channel) = lock(&self.channels).get(stream).cloned() else { return };
        match hint {
            Hint::Advanced { stream, epoch, batch: Some(batch), .. } => {
                let shared = SharedBatch::new(stream, epoch, batch);
                let has_room = self.recent_bytes.load(Relaxed) < RECENT_BYTES_MAX_OF_ALL;
                if !has_room || shared.frame.len() > RECENT_BYTES_MAX {
                    return self.tell(&channel, News::Behind);
                }
                self.keep(&mut lock(&channel.state), shared);
                self.tell(&channel, News::Advanced);
            }
            Hint::NewEpoch { .. } => self.tell(&channel, News::NewEpoch),
            Hint::Advanced { .. } | Hint::Behind { .. } | Hint::AllBehind => self.tell(&channel, News::Behind),
        }
    }

    fn keep(&self, state: &mut ChannelState, shared: SharedBatch) {
        let bytes = shared.frame.len();
        while state.recent_bytes + bytes > RECENT_BYTES_MAX {
            let Some(oldest) = state.recent.pop_front() else { break };
            state.recent_bytes -= oldest.frame.len();
            self.recent_bytes.fetch_sub(oldest.frame.len(), Relaxed);
        }
        state.recent_bytes += bytes;
        self.recent_bytes.fetch_add(bytes, Relaxed);
        state.recent.push_back(Arc::new(shared));
    }

    fn tell(&self, channel: &Arc<Channel>, news: News) {
        let state = &mut *lock(&channel.state);
        for follower in state.followers.values_mut() {
            if follower.news == News::None {
                state.waiting += 1;
                follower.mailbox.put(|letters| letters.channels.push(channel.clone()));
            }
            follower.news = follower.news.max(news);
        }
        self.forget_if_taken(state);
    }

    fn forget_if_taken(&self, state: &mut ChannelState) {
        if state.waiting == 0 {
            state.recent.clear();
            self.recent_bytes.fetch_sub(std::mem::take(&mut state.recent_bytes), Relaxed);
        }
    }

    /// What this follower has not heard, and of the recent batches those from `position` on; without a position only the
    /// last one, which says how far the log is.
    pub fn take(
        &self,
        connection: ConnectionId,
        channel: &Channel,
        position: Option<Offset>,
    ) -> (News, Vec<Arc<SharedBatch>>) {
        let state = &mut *lock(&channel.state);
        let Some(follower) = state.followers.get_mut(&connection) else { return (News::None, vec![]) };
        let news = std::mem::replace(&mut follower.news, News::None);
        let batches = match position {
            Some(position) => state.recent.iter().filter(|batch| batch.batch.after >= position).cloned().collect(),
            None => state.recent.back().cloned().into_iter().collect(),
        };
        if news != News::None {
            state.waiting -= 1;
            self.forget_if_taken(state);
        }
        (news, batches)
    }

    /// This connection's mailbox, from now until [`disconnect`](Self::disconnect).
    pub fn connect(&self, connection: ConnectionId) -> Arc<Mailbox> {
        lock(&self.mailboxes).entry(connection).or_default().clone()
    }

    /// The connection is gone.
    pub fn disconnect<'s>(&self, connection: ConnectionId, followed: impl IntoIterator<Item = &'s StreamName>) {
        followed.into_iter().for_each(|stream| self.unfollow(connection, stream));
        lock(&self.mailboxes).remove(&connection);
    }

    /// From now on this connection hears of the stream.
    pub fn follow(&self, connection: ConnectionId, mailbox: &Arc<Mailbox>, stream: &StreamName) {
        let mut channels = lock(&self.channels);
        let channel = channels.entry(stream.clone()).or_insert_with(|| {
            self.store.follow(stream);
            Arc::new(Channel { stream: stream.clone(), state: Mutex::default() })
        });
        let follower = Follower { mailbox: mailbox.clone(), news: News::None };
        lock(&channel.state).followers.insert(connection, follower);
    }

    /// It does not any more.
    pub fn unfollow(&self, connection: ConnectionId, stream: &StreamName) {
        let mut channels = lock(&self.channels);
        let Some(channel) = channels.get(stream).cloned() else { return };
        let state = &mut *lock(&channel.state);
        if state.followers.remove(&connection).is_some_and(|follower| follower.news != News::None) {
            state.waiting -= 1;
            self.forget_if_taken(state);
        }
        if state.followers.is_empty() {
            channels.remove(stream);
            self.store.unfollow(stream);
        }
    }

    /// The turn to heal has come to these connections.
    pub fn tell_turns(&self, turns: impl IntoIterator<Item = (ConnectionId, StreamName)>) {
        for (connection, stream) in turns {
            if let Some(mailbox) = lock(&self.mailboxes).get(&connection) {
                mailbox.put(|letters| letters.turns.push(stream));
            }
        }
    }

    /// The relay goes away: every connection is told to wait for what `delay_ms` draws.
    pub fn drain(&self, mut delay_ms: impl FnMut() -> u64) {
        for mailbox in lock(&self.mailboxes).values() {
            let delay_ms = delay_ms();
            mailbox.put(|letters| letters.drain = Some(delay_ms));
        }
    }
}
