//! What is read from the log: streams that have more take turns, frame by frame, and a snapshot goes in parts.

use super::*;
use alloc::vec;

/// Reads of one connection that the store has at a time.
const READS_MAX: usize = 4;

impl Relay {
    /// Gives turns to the streams that have more, as long as the window has room. A stream that does not fit keeps its
    /// place, so that a large event is not passed over for ever.
    pub(in crate::relay) fn pump(&mut self) {
        while let Some(stream) = self.subscriptions.turns.front().cloned() {
            let Some(sub) = self.subscriptions.by_stream.get(&stream) else {
                self.subscriptions.turns.pop_front();
                continue;
            };
            let sends = match &sub.phase {
                Phase::Snapshot { snapshot, part } => snapshot.parts.get(*part).map_or(0, Bytes::len),
                _ if self.subscriptions.reads >= READS_MAX => return,
                _ => sub.reserve_bytes.max(FRAME_BYTES_TARGET),
            };
            if !self.subscriptions.has_room(sends, sub.window_bytes()) {
                return;
            }
            self.subscriptions.turns.pop_front();
            let Some(sub) = self.subscriptions.by_stream.get_mut(&stream) else { return };
            sub.queued = false;
            match sub.phase {
                Phase::Snapshot { .. } => self.send_snapshot_part(&stream),
                Phase::Following if sub.behind && sub.epoch == Epoch::NONE => self.log_replaced(&stream),
                Phase::Following if sub.behind && sub.waits_for.is_none() => self.read_on(&stream, sends),
                _ => {}
            }
        }
    }

    fn read_on(&mut self, stream: &StreamName, reserve_bytes: usize) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        let (epoch, after) = (sub.epoch, sub.position);
        let read = ReadRequest { stream: stream.clone(), epoch, after, bytes_max: FRAME_BYTES_TARGET };
        (sub.behind, sub.reserve_bytes) = (false, reserve_bytes);
        sub.waits_for = Some(self.requests.ask(Request::Read(read), Purpose::Follow(stream.clone()), &mut self.out));
        self.subscriptions.reads += 1;
        self.subscriptions.reserved_bytes += reserve_bytes;
    }

    pub(in crate::relay) fn read_answered(
        &mut self,
        number: u64,
        stream: &StreamName,
        answer: Result<ReadAnswer, StoreError>,
    ) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream).filter(|sub| sub.waits_for == Some(number)) else {
            return;
        };
        sub.waits_for = None;
        self.subscriptions.reads -= 1;
        self.subscriptions.reserved_bytes -= core::mem::take(&mut sub.reserve_bytes);
        match answer {
            Ok(ReadAnswer::Batch(batch)) if batch.after != sub.position => self.fail(stream),
            Ok(ReadAnswer::Batch(batch)) if batch.upto.offset() <= sub.position => {
                if !sub.behind {
                    sub.head = sub.position;
                }
                self.subscriptions.queue(stream);
            }
            Ok(ReadAnswer::Batch(batch)) => {
                let (frame, window_bytes) = (sub.frame(stream, &batch, None), sub.window_bytes());
                self.send_events(stream, batch.upto.offset(), frame, window_bytes);
            }
            Ok(ReadAnswer::Trimmed) => {
                let records = core::iter::once(sub.producer).chain(sub.records.iter().copied()).collect();
                let request = Request::Snapshot { stream: stream.clone(), records };
                let number = self.requests.ask(request, Purpose::Follow(stream.clone()), &mut self.out);
                sub.phase = Phase::Snapshot {
                    snapshot: Snapshot {
                        offset: sub.position,
                        check: Check::default(),
                        parts: vec![],
                        records: vec![],
                    },
                    part: 0,
                };
                sub.waits_for = Some(number);
            }
            Ok(ReadAnswer::Replaced { .. }) | Err(StoreError::Epoch { .. }) => self.log_replaced(stream),
            Err(_) => self.fail(stream),
        }
    }

    pub(in crate::relay) fn snapshot_answered(
        &mut self,
        number: u64,
        stream: &StreamName,
        answer: Result<Option<(Epoch, Snapshot)>, StoreError>,
    ) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream).filter(|sub| sub.waits_for == Some(number)) else {
            return;
        };
        sub.waits_for = None;
        match answer {
            Ok(Some((epoch, _))) if epoch != sub.epoch => self.log_replaced(stream),
            Ok(Some((_, snapshot))) if !snapshot.parts.is_empty() && snapshot.offset > sub.position => {
                sub.phase = Phase::Snapshot { snapshot, part: 0 };
                self.subscriptions.queue(stream);
            }
            Err(StoreError::Epoch { .. }) => self.log_replaced(stream),
            _ => self.fail(stream),
        }
    }

    fn send_snapshot_part(&mut self, stream: &StreamName) {
        let Some(sub) = self.subscriptions.by_stream.get_mut(stream) else { return };
        let Phase::Snapshot { snapshot, part } = &mut sub.phase else { return };
        let (offset, is_first) = (snapshot.offset, *part == 0);
        let Some(bytes) = snapshot.parts.get(*part).cloned() else { return };
        let message = Down::Snapshot(SnapshotPart {
            stream: stream.clone(),
            offset,
            check: snapshot.check,
            part: *part as u64,
            parts: snapshot.parts.len() as u64,
            bytes_total: snapshot.parts.iter().map(|part| part.len() as u64).sum(),
            records: if is_first { core::mem::take(&mut snapshot.records) } else { vec![] },
            bytes,
        });
        *part += 1;
        if *part == snapshot.parts.len() {
            (sub.phase, sub.position) = (Phase::Following, offset);
            sub.behind |= offset < sub.head;
        }
        let frame = message.encode();
        self.subscriptions.sent(stream, offset, frame.len(), true);
        self.out.push(Output::Send(frame));
        self.subscriptions.queue(stream);
    }
}
