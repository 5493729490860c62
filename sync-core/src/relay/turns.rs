//! Whose turn it is to heal a stream, shared by all connections of a relay: a thousand devices that all met an empty
//! log must not send a thousand copies. Turns only save traffic; that healing is correct rests on R12.

use crate::ids::StreamName;
use crate::limits::HEAL_TURN_MS_MAX;
use crate::time::Millis;
use crate::wire::Turn;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Names a connection within one relay.
pub type ConnectionId = u64;

/// Who heals which stream, and who waits.
#[derive(Debug, Default)]
pub struct HealTurns {
    streams: BTreeMap<StreamName, Turns>,
}

#[derive(Debug)]
struct Turns {
    holder: ConnectionId,
    until: Millis,
    waiting: VecDeque<ConnectionId>,
}

impl HealTurns {
    /// Nobody heals anything.
    pub fn new() -> HealTurns {
        HealTurns::default()
    }
    /// This connection's device has something to heal: may it?
    pub fn wanted(&mut self, connection: ConnectionId, stream: &StreamName, now: Millis) -> Turn {
        let until = now.plus(HEAL_TURN_MS_MAX);
        let first = || Turns { holder: connection, until, waiting: VecDeque::new() };
        let turns = self.streams.entry(stream.clone()).or_insert_with(first);
        if turns.holder == connection {
            turns.until = until;
            return Turn::Go;
        }
        if !turns.waiting.contains(&connection) {
            turns.waiting.push_back(connection);
        }
        Turn::Wait
    }
    /// It has just healed something: its turn goes on.
    pub fn used(&mut self, connection: ConnectionId, stream: &StreamName, now: Millis) {
        if let Some(turns) = self.streams.get_mut(stream).filter(|turns| turns.holder == connection) {
            turns.until = now.plus(HEAL_TURN_MS_MAX);
        }
    }
    /// It has nothing more to heal in this stream. Returns whose turn has come.
    pub fn done(&mut self, connection: ConnectionId, stream: &StreamName, now: Millis) -> Option<ConnectionId> {
        let turns = self.streams.get_mut(stream)?;
        turns.waiting.retain(|waiting| *waiting != connection);
        if turns.holder != connection {
            return None;
        }
        let Some(next) = turns.waiting.pop_front() else {
            self.streams.remove(stream);
            return None;
        };
        (turns.holder, turns.until) = (next, now.plus(HEAL_TURN_MS_MAX));
        Some(next)
    }
    /// The connection is gone. Returns whose turns have come, and where.
    pub fn disconnected(&mut self, connection: ConnectionId, now: Millis) -> Vec<(ConnectionId, StreamName)> {
        let streams: Vec<StreamName> = self.streams.keys().cloned().collect();
        streams.into_iter().filter_map(|stream| Some((self.done(connection, &stream, now)?, stream))).collect()
    }
    /// Passes on the turns whose holders have not healed for too long. Returns whose have come, and where.
    pub fn expired(&mut self, now: Millis) -> Vec<(ConnectionId, StreamName)> {
        let late = self.streams.iter().filter(|(_, turns)| turns.until <= now);
        let late: Vec<_> = late.map(|(stream, turns)| (turns.holder, stream.clone())).collect();
        late.into_iter().filter_map(|(holder, stream)| Some((self.done(holder, &stream, now)?, stream))).collect()
    }
    /// When to call [`expired`](Self::expired) next.
    pub fn expires_at(&self) -> Option<Millis> {
        self.streams.values().map(|turns| turns.until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_heals_at_a_time_and_the_turn_passes_on() {
        let stream = StreamName::new("s").expect("a name");
        let mut turns = HealTurns::new();
        assert_eq!(turns.wanted(1, &stream, Millis(0)), Turn::Go);
        assert_eq!(turns.wanted(2, &stream, Millis(0)), Turn::Wait);
        assert_eq!(turns.wanted(3, &stream, Millis(0)), Turn::Wait);
        assert_eq!(turns.wanted(1, &stream, Millis(10)), Turn::Go, "asking again changes nothing");
        assert_eq!(turns.done(1, &stream, Millis(20)), Some(2), "done: the next");
        assert_eq!(turns.disconnected(2, Millis(30)), vec![(3, stream.clone())], "gone: the next");
        assert_eq!(turns.done(3, &stream, Millis(40)), None);
        assert_eq!(turns.expires_at(), None, "nothing is kept of a stream that nobody heals");
    }

    #[test]
    fn a_holder_that_does_not_heal_loses_its_turn() {
        let stream = StreamName::new("s").expect("a name");
        let mut turns = HealTurns::new();
        turns.wanted(1, &stream, Millis(0));
        turns.wanted(2, &stream, Millis(0));
        turns.used(1, &stream, Millis(3_000));
        assert_eq!(turns.expired(Millis(HEAL_TURN_MS_MAX)), vec![], "it has healed since");
        assert_eq!(turns.expired(Millis(3_000 + HEAL_TURN_MS_MAX)), vec![(2, stream.clone())]);
        turns.used(1, &stream, Millis(9_000));
        assert_eq!(turns.wanted(1, &stream, Millis(9_000)), Turn::Wait, "the slow one waits like any other");
    }
}
