//! What a step of the device leaves for the shell: outputs, and the one transaction that gathers while another is under way.

use super::input::Input;
use super::output::{Notice, Output, Rejection, Table, Write};
use super::rows::Record;
use crate::digest::Random;
use crate::ids::*;
use crate::sorted::SortedMap;
use crate::time::Millis;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use bytes::Bytes;

/// What may be done once a transaction is on stable storage.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    Notice(Notice),
    /// A stream's record as it was committed.
    Durable {
        stream: StreamName,
        record: Box<Record>,
    },
}

/// What a load was for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    Device,
    Streams,
    Rejections,
    Tags(StreamName),
    Outbox(StreamName),
    Strays(StreamName),
    Heals(StreamName),
    /// Batches of logs that are gone, while a stream is loaded.
    OldBatches(StreamName),
    /// Batches of the present log, because it is gone now (R7).
    Reset(StreamName),
    /// Small batches that become a larger one.
    Fold(StreamName),
    /// One batch whose events are to be healed.
    HealBatch {
        stream: StreamName,
        key: Vec<u8>,
    },
    /// A page for a reader.
    Page {
        reader: u64,
        stream: StreamName,
        after: Offset,
        /// The cursor and its check when the rows were asked for.
        upto: (Offset, Check),
        log: (Epoch, u32),
    },
    /// The snapshot in front of a reader's first page.
    Snapshot {
        reader: u64,
        stream: StreamName,
        bytes_max: usize,
    },
}

pub(super) struct Load {
    pub(super) purpose: Purpose,
    table: Table,
    pub(super) to: Vec<u8>,
    bytes_max: usize,
}

pub(super) struct Io {
    pub(super) now: Millis,
    pub(super) random: Random,
    pub(super) outputs: VecDeque<Output>,
    /// The list of rejections of all streams: few, until somebody decides.
    pub(super) rejections: SortedMap<(StreamName, EventId), Rejection>,
    writes: Vec<Write>,
    after: Vec<Effect>,
    under_way: Option<(u64, Vec<Effect>)>,
    transactions: u64,
    loads: SortedMap<u64, Load>,
    requests: u64,
}

impl Io {
    pub(super) fn new(seed: [u8; 32]) -> Io {
        Io {
            now: Millis::default(),
            random: Random::new(seed),
            outputs: VecDeque::new(),
            rejections: SortedMap::new(),
            writes: vec![],
            after: vec![],
            under_way: None,
            transactions: 0,
            loads: SortedMap::new(),
            requests: 0,
        }
    }

    pub(super) fn put(&mut self, table: Table, key: Vec<u8>, value: Bytes) {
        self.writes.push(Write::Put { table, key, value });
    }
    pub(super) fn delete(&mut self, table: Table, key: Vec<u8>) {
        let mut to = key.clone();
        to.push(0);
        self.writes.push(Write::DeleteRange { table, from: key, to });
    }
    pub(super) fn delete_range(&mut self, table: Table, (from, to): (Vec<u8>, Vec<u8>)) {
        self.writes.push(Write::DeleteRange { table, from, to });
    }
    /// Says something once what is gathered now is on stable storage.
    pub(super) fn notice_after_commit(&mut self, notice: Notice) {
        self.after.push(Effect::Notice(notice));
    }
    pub(super) fn after_commit(&mut self, effect: Effect) {
        self.after.push(effect);
    }
    pub(super) fn notice(&mut self, notice: Notice) {
        self.outputs.push_back(Output::Notice(notice));
    }

    /// The transaction that holds everything put so far.
    pub(super) fn last_needed(&self) -> u64 {
        self.transactions + u64::from(!self.writes.is_empty())
    }
    /// Everything up to this transaction is on stable storage.
    pub(super) fn last_committed(&self) -> u64 {
        self.transactions - u64::from(self.under_way.is_some())
    }
    pub(super) fn may_commit(&self) -> bool {
        self.under_way.is_none() && !(self.writes.is_empty() && self.after.is_empty())
    }
    pub(super) fn is_committing(&self) -> bool {
        self.under_way.is_some()
    }
    pub(super) fn commit(&mut self) {
        self.transactions += 1;
        let writes = core::mem::take(&mut self.writes);
        self.under_way = Some((self.transactions, core::mem::take(&mut self.after)));
        self.outputs.push_back(Output::Commit { transaction: self.transactions, writes });
    }
    pub(super) fn committed(&mut self, transaction: u64) -> Vec<Effect> {
        match self.under_way.take() {
            Some((number, effects)) if number == transaction => effects,
            other => {
                self.under_way = other;
                vec![]
            }
        }
    }
    /// Reads that pages wait for, to be asked again.
    pub(super) fn readers(&self) -> Vec<Input> {
        let read = |load: &Load| match &load.purpose {
            Purpose::Page { reader, stream, after, .. } => {
                let (request, after, bytes_max) = (*reader, *after, load.bytes_max);
                Some(Input::Read { request, stream: stream.clone(), after, bytes_max })
            }
            Purpose::Snapshot { reader, stream, bytes_max } => {
                let (request, after, bytes_max) = (*reader, Offset::ZERO, *bytes_max);
                Some(Input::Read { request, stream: stream.clone(), after, bytes_max })
            }
            _ => None,
        };
        self.loads.values().filter_map(read).collect()
    }
    /// Everything gathered and under way is void. Returns the effects that will not be.
    pub(super) fn failed(&mut self) -> Vec<Effect> {
        self.writes.clear();
        self.loads.clear();
        let mut effects = self.under_way.take().map_or(vec![], |(_, effects)| effects);
        effects.append(&mut self.after);
        effects
    }
    /// Writes handed in by pages that are not on stable storage yet.
    pub(super) fn unsaved(&self) -> impl Iterator<Item = (&StreamName, EventId)> {
        let under_way = self.under_way.iter().flat_map(|(_, effects)| effects);
        under_way.chain(&self.after).filter_map(|effect| match effect {
            Effect::Notice(Notice::Appended { stream, event, .. }) => Some((stream, event.id)),
            _ => None,
        })
    }

    pub(super) fn load(&mut self, purpose: Purpose, table: Table, (from, to): (Vec<u8>, Vec<u8>), bytes_max: usize) {
        self.requests += 1;
        let load = Load { purpose, table, to: to.clone(), bytes_max };
        self.loads.insert(self.requests, load);
        self.outputs.push_back(Output::Load { request: self.requests, table, from, to, bytes_max });
    }
    pub(super) fn loaded(&mut self, request: u64) -> Option<Load> {
        self.loads.remove(&request)
    }
    /// Goes on behind the last row that came.
    pub(super) fn load_more(&mut self, load: Load, last_key: &[u8]) {
        let mut from = last_key.to_vec();
        from.push(0);
        self.load(load.purpose, load.table, (from, load.to), load.bytes_max);
    }
    pub(super) fn is_loading(&self, wanted: impl Fn(&Purpose) -> bool) -> bool {
        self.loads.values().any(|load| wanted(&load.purpose))
    }
}
