//! What the shell knows of each stream: enough to say how it stands, and no more.
//!
//! A sorted list instead of a `BTreeMap`, here and elsewhere in this crate: each kind of tree is 7 KB of code that every
//! visitor of an app would load.

use alloc::vec::Vec;
use sync_core::device::StreamState;
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;

/// How far a reader is: the log, the offset, and the log's check there.
type Place = (Epoch, Offset, Check);

/// One stream.
pub struct StreamEntry {
    /// Its name.
    pub name: StreamName,
    hash: StreamHash,
    /// A page follows it.
    pub is_followed: bool,
    /// As the device said last; `None` before it was loaded.
    pub state: Option<StreamState>,
    /// Events handed in and not committed.
    pub unsaved: usize,
    /// It was told that it holds something unsaved.
    pub told_unsaved: bool,
    /// Own events that wait for the relay, and refused ones.
    pub pending: usize,
    /// See `pending`.
    pub rejected: usize,
    /// Where those are who listen.
    pub applied: Follower,
    /// Where those are who read pages.
    pub paged: Follower,
}

/// All streams that the device has met, by name.
#[derive(Default)]
pub struct Streams(Vec<StreamEntry>);

impl Streams {
    /// The stream's entry, new if need be.
    pub fn entry(&mut self, name: &StreamName) -> &mut StreamEntry {
        let at = self.0.binary_search_by(|entry| entry.name.cmp(name)).unwrap_or_else(|at| {
            self.0.insert(at, StreamEntry::new(name.clone()));
            at
        });
        &mut self.0[at]
    }
    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = &StreamEntry> {
        self.0.iter()
    }
    /// The stream that a cause names.
    pub fn name_of(&self, hash: StreamHash) -> Option<&StreamName> {
        self.0.iter().find(|entry| entry.hash == hash).map(|entry| &entry.name)
    }
}

impl StreamEntry {
    fn new(name: StreamName) -> StreamEntry {
        StreamEntry {
            hash: digest::stream_hash(&name),
            name,
            is_followed: false,
            state: None,
            unsaved: 0,
            told_unsaved: false,
            pending: 0,
            rejected: 0,
            applied: Follower::default(),
            paged: Follower::default(),
        }
    }
}

/// Follows the log's check from event to event. The device says it at the end of a batch or page only; in between it is
/// computed, where what came before is known.
#[derive(Clone, Copy, Default)]
pub struct Follower(Option<Place>);

impl Follower {
    /// The check at each of `events`, which lie in `(after, upto]`; `check` is the log's at `upto`. None are known if
    /// the last batch did not end at `after`.
    pub fn follow(
        &mut self,
        epoch: Epoch,
        after: Offset,
        (upto, check): (Offset, Check),
        events: &[Event],
    ) -> Vec<Option<Check>> {
        let mut running = match self.0 {
            _ if after == Offset::ZERO => Some(digest::check_of_empty(epoch)),
            Some((e, offset, check)) if (e, offset) == (epoch, after) => Some(check),
            _ => None,
        };
        self.0 = Some((epoch, upto, check));
        let mut checks = Vec::with_capacity(events.len());
        for event in events {
            running = running.map(|before| digest::check(before, event.id, event.tag));
            checks.push(running);
        }
        checks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn event(offset: u64) -> Event {
        Event {
            id: EventId { producer: ProducerId([1; 16]), sequence: offset },
            tag: Tag([offset as u8; 8]),
            tag_before: Tag::ZERO,
            prev: (0, Tag::ZERO),
            offset: Offset(offset),
            author: None,
            needs_prev: false,
            causes: vec![],
            content: Bytes::new(),
        }
    }

    #[test]
    fn checks_are_known_from_the_start_or_from_where_the_last_batch_ended() {
        let epoch = Epoch([3; 16]);
        let first = digest::check(digest::check_of_empty(epoch), event(1).id, event(1).tag);
        let second = digest::check(first, event(2).id, event(2).tag);
        let mut follower = Follower::default();
        let at = |n, check| (Offset(n), check);
        assert_eq!(follower.follow(epoch, Offset(0), at(1, first), &[event(1)]), [Some(first)]);
        assert_eq!(follower.follow(epoch, Offset(1), at(2, second), &[event(2)]), [Some(second)]);
        assert_eq!(follower.follow(epoch, Offset(1), at(2, second), &[event(2)]), [None]);
        assert_eq!(follower.follow(Epoch([4; 16]), Offset(2), at(3, second), &[event(3)]), [None]);
    }

    #[test]
    fn streams_are_found_by_name_and_by_hash() {
        let mut streams = Streams::default();
        for name in ["b", "a", "c", "a"] {
            streams.entry(&StreamName::new(name).unwrap()).pending += 1;
        }
        assert_eq!(
            streams.iter().map(|entry| (entry.name.as_str(), entry.pending)).collect::<Vec<_>>(),
            [("a", 2), ("b", 1), ("c", 1)]
        );
        let c = StreamName::new("c").unwrap();
        assert_eq!(streams.name_of(digest::stream_hash(&c)), Some(&c));
        assert_eq!(streams.name_of(StreamHash([0; 8])), None);
    }
}
