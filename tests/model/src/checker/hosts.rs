//! R15: two hosts of one local store. The old one is frozen at any point and thaws later.
//!
//! A host works from its memory: it computes a write, and the store commits it later (or never).
//! Any interleaving of the two hosts is a freeze and a thaw.

use stateright::{Model, Property};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The fencing number is compared inside the write transaction.
    InTransaction,
    /// Compared, but before the transaction.
    Before,
    Never,
    /// Compared in the transaction, but an event is sent without a committed `sent` mark.
    SentUnmarked,
}

/// The rows of the local store.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Rows {
    fence: u8,
    /// Row `seq - 1`: the birth, None when discarded.
    outbox: Vec<Option<u8>>,
    /// Up to here an event may have been handed to a socket.
    sent: u8,
    /// Remote events applied; the cursor is its length.
    view: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Write {
    Append(u8),
    Apply,
    MarkSent,
    Discard(u8),
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Host {
    memory: Rows,
    pending: Option<Write>,
    /// Only with Rule::Before: the check that was made earlier.
    checked: bool,
    sent: u8,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct State {
    store: Rows,
    hosts: [Option<Host>; 2],
    starts: u8,
    births: u8,
    /// What the relay has of this producer, by sequence.
    relay: Vec<Option<u8>>,
    committed: Vec<(u8, u8)>,
    discarded: Vec<u8>,
    longest_view: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    TakeOver(usize),
    Compute(usize, Write),
    Commit(usize),
    Send(usize),
}

pub struct Hosts {
    pub rule: Rule,
    pub starts: u8,
    pub births: u8,
    pub remote: u8,
}

impl Model for Hosts {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let store = Rows::default();
        vec![State {
            store,
            hosts: [None, None],
            starts: 0,
            births: 0,
            relay: vec![],
            committed: vec![],
            discarded: vec![],
            longest_view: 0,
        }]
    }

    fn actions(&self, s: &State, out: &mut Vec<Action>) {
        for i in 0..2 {
            if s.starts < self.starts {
                out.push(Action::TakeOver(i));
            }
            let Some(h) = &s.hosts[i] else { continue };
            if h.pending.is_some() {
                out.push(Action::Commit(i));
                continue;
            }
            let len = h.memory.outbox.len() as u8;
            if s.births < self.births {
                out.push(Action::Compute(i, Write::Append(s.births)));
            }
            if (h.memory.view.len() as u8) < self.remote {
                out.push(Action::Compute(i, Write::Apply));
            }
            if h.memory.sent < len {
                out.push(Action::Compute(i, Write::MarkSent));
                if h.memory.outbox[h.memory.sent as usize].is_some() {
                    out.push(Action::Compute(i, Write::Discard(h.memory.sent + 1)));
                }
            }
            if h.sent < h.memory.sent || self.rule == Rule::SentUnmarked && h.sent < len {
                out.push(Action::Send(i));
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut s = last.clone();
        match action {
            Action::TakeOver(i) => {
                s.starts += 1;
                s.store.fence += 1;
                let sent = s.relay.len() as u8;
                s.hosts[i] = Some(Host { memory: s.store.clone(), pending: None, checked: false, sent });
            }
            Action::Compute(i, write) => {
                if matches!(write, Write::Append(_)) {
                    s.births += 1;
                }
                let fence = s.store.fence;
                let h = s.hosts[i].as_mut()?;
                h.pending = Some(write);
                h.checked = h.memory.fence == fence;
            }
            Action::Commit(i) => commit(self.rule, &mut s, i)?,
            Action::Send(i) => {
                let h = s.hosts[i].as_mut()?;
                h.sent += 1;
                let body = h.memory.outbox[h.sent as usize - 1];
                if s.relay.len() as u8 == h.sent - 1 {
                    s.relay.push(body);
                }
            }
        }
        Some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("P1 a committed event is never overwritten", |_, s: &State| {
                s.committed
                    .iter()
                    .all(|(seq, b)| s.discarded.contains(b) || s.store.outbox.get(*seq as usize - 1) == Some(&Some(*b)))
            }),
            Property::always("P3 remote events applied in order, once", |_, s: &State| {
                s.store.view.iter().enumerate().all(|(i, b)| usize::from(*b) == i)
            }),
            Property::always("P5 the cursor never goes back", |_, s: &State| {
                s.store.view.len() as u8 >= s.longest_view
            }),
            Property::always("P4 the relay has what the store has", |_, s: &State| {
                s.relay.iter().zip(&s.store.outbox).all(|(r, o)| r.is_none() || o.is_none() || r == o)
            }),
            Property::always("P9 what was discarded is not at the relay", |_, s: &State| {
                !s.relay.iter().flatten().any(|b| s.discarded.contains(b))
            }),
        ]
    }
}

fn commit(rule: Rule, s: &mut State, i: usize) -> Option<()> {
    let h = s.hosts[i].as_mut()?;
    let write = h.pending.take()?;
    let fenced = match rule {
        Rule::InTransaction | Rule::SentUnmarked => h.memory.fence != s.store.fence,
        Rule::Before => !h.checked,
        Rule::Never => false,
    };
    if fenced {
        s.hosts[i] = None; // the old host learns it and stops
        return Some(());
    }
    // Rows are put from the host's memory, as an IndexedDB `put` does.
    match write {
        Write::Append(birth) => {
            h.memory.outbox.push(Some(birth));
            let seq = h.memory.outbox.len();
            s.store.outbox.resize(s.store.outbox.len().max(seq), None);
            s.store.outbox[seq - 1] = Some(birth);
            s.committed.push((seq as u8, birth));
        }
        Write::Apply => {
            h.memory.view.push(h.memory.view.len() as u8);
            s.store.view = h.memory.view.clone();
        }
        Write::MarkSent => {
            h.memory.sent += 1;
            s.store.sent = h.memory.sent;
        }
        Write::Discard(seq) => {
            if let Some(birth) = h.memory.outbox[seq as usize - 1].take() {
                s.store.outbox[seq as usize - 1] = None;
                s.discarded.push(birth);
            }
        }
    }
    s.longest_view = s.longest_view.max(s.store.view.len() as u8);
    Some(())
}
