//! Questions about the device's durable log.

use crate::types::*;

impl OwnEvent {
    /// In the outbox, or accepted and not yet seen in the log.
    pub fn is_open(&self) -> bool {
        matches!(self.at, Own::Unsent | Own::Sent | Own::Accepted | Own::Owed) && !self.gone
    }
}

impl Disk {
    /// An empty one.
    pub fn new(producer: Producer) -> Disk {
        Disk { producer, ..Disk::default() }
    }
    /// The producer chain's tag at own sequence `seq`; None beyond what was minted.
    pub fn own_tag(&self, seq: u8) -> Option<Tag> {
        match seq {
            0 => Some(0),
            n => self.mine.get(n as usize - 1).map(|o| o.tag),
        }
    }
    /// Own event `seq` as the log would hold it.
    pub fn own_entry(&self, seq: u8) -> Entry {
        let o = &self.mine[seq as usize - 1];
        // As the log that is gone had it.
        if let Some(e) = self.heal.iter().find(|e| e.id() == (self.producer, seq, o.tag)) {
            return *e;
        }
        let own = |n: &u8| &self.mine[*n as usize - 1];
        let logged = |n: &u8| own(n).gone || matches!(own(n).at, Own::Accepted | Own::Owed | Own::Seen);
        let prev = (1..seq).rev().find(logged).unwrap_or(0);
        Entry {
            producer: self.producer,
            seq,
            tag: o.tag,
            before: self.own_tag(seq - 1).unwrap_or_default(),
            birth: o.birth,
            prev,
            prev_tag: self.own_tag(prev).unwrap_or_default(),
        }
    }
    /// Own events shown on top of the view.
    pub fn pending(&self) -> Vec<Birth> {
        let mine = self.mine.iter().filter(|o| o.is_open());
        self.strays.iter().filter(|s| !s.void).map(|s| s.event.birth).chain(mine.map(|o| o.birth)).collect()
    }
    /// Makes an own event.
    pub fn append(&mut self, birth: Birth, at: Own) {
        let seq = self.mine.len() as u8 + 1;
        let prev = self.own_tag(seq - 1).unwrap_or_default();
        self.mine.push(OwnEvent { tag: mix(prev, u32::from(birth) + 1), birth, at, gone: false });
    }
}
