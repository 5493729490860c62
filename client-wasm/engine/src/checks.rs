//! The log's check at each event, which the package's offsets carry. The device says it at the end of a batch or page
//! only; in between it is computed, where what came before is known.

use std::collections::BTreeMap;
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;

/// Where a reader of a stream is: the log, the offset, and the check there.
type Place = (Epoch, Offset, Check);

/// The place of one reader in each stream.
#[derive(Debug, Default)]
pub struct Checks(BTreeMap<StreamName, Place>);

impl Checks {
    /// The check at each of `events`, which lie in `(after, upto]`; `check` is the log's at `upto`. None are known if
    /// the reader's last batch did not end at `after`.
    pub fn follow(
        &mut self,
        stream: &StreamName,
        epoch: Epoch,
        after: Offset,
        (upto, check): (Offset, Check),
        events: &[Event],
    ) -> Vec<Option<Check>> {
        let before = match self.0.get(stream) {
            _ if after == Offset::ZERO => Some(digest::check_of_empty(epoch)),
            Some((e, offset, check)) if (*e, *offset) == (epoch, after) => Some(*check),
            _ => None,
        };
        self.0.insert(stream.clone(), (epoch, upto, check));
        let mut running = before;
        events
            .iter()
            .map(|event| {
                running = running.map(|before| digest::check(before, event.id, event.tag));
                running
            })
            .collect()
    }
    /// Nobody follows the stream any more.
    pub fn forget(&mut self, stream: &StreamName) {
        self.0.remove(stream);
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
        let (stream, epoch) = (StreamName::new("s").unwrap(), Epoch([3; 16]));
        let first = digest::check(digest::check_of_empty(epoch), event(1).id, event(1).tag);
        let second = digest::check(first, event(2).id, event(2).tag);
        let mut checks = Checks::default();
        let at = |n, check| (Offset(n), check);
        assert_eq!(checks.follow(&stream, epoch, Offset(0), at(1, first), &[event(1)]), [Some(first)]);
        assert_eq!(checks.follow(&stream, epoch, Offset(1), at(2, second), &[event(2)]), [Some(second)]);
        assert_eq!(checks.follow(&stream, epoch, Offset(1), at(2, second), &[event(2)]), [None]);
        assert_eq!(checks.follow(&stream, Epoch([4; 16]), Offset(2), at(3, second), &[event(3)]), [None]);
    }
}
