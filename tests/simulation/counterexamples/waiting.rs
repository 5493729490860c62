//! What an own event waits for, and what it does not: histories that broke a promise in random walks only.

use crate::history::{A, B, History, copied, play, play_with};
use harness::world::{Action, World};
use sync_core::device::Input;
use sync_core::relay::Request;

const S: usize = 0;
const T: usize = 1;

fn births_of(world: &World, stream: usize) -> String {
    let births = world.relay.store.log(&world.streams[stream]).map_or(vec![], |log| log.births().to_vec());
    world.trace.names.list(&births)
}

/// What a request to the store is.
fn asks(world: &World, action: Action, is: impl Fn(&Request) -> bool) -> bool {
    let Action::Store(ticket) = action else { return false };
    world.relay.under_way().any(|(number, under_way)| number == ticket && is(&under_way.ask))
}
fn appends_to(world: &World, action: Action, stream: usize) -> bool {
    asks(world, action, |ask| matches!(ask, Request::Append(append) if append.stream == world.streams[stream]))
}
fn reads(world: &World, action: Action, stream: usize) -> bool {
    asks(world, action, |ask| matches!(ask, Request::Read(read) if read.stream == world.streams[stream]))
}

/// R16: A has a1 only inside a snapshot, and the log of that is lost before a2, which names a1, is stored. a1 will not come
/// again.
#[test]
fn what_only_a_snapshot_of_a_lost_log_held_is_waited_for_by_nobody() {
    play_with(1, &["s", "t"], |w| {
        w.awhile()?;
        w.perform(Action::Append(A, S, false))?;
        w.perform(Action::Append(A, T, false))?;
        // a1 is stored, and A does not hear of it: a2 waits.
        w.without_answers()?;
        w.expect_log("[a1]");
        w.offline(A)?;
        w.perform(Action::Trim(S))?;
        // A reads the snapshot; a2 is under way.
        w.tell(A, Input::Connect)?;
        w.go(|world, action| !appends_to(world, action, T))?;
        assert_eq!((w.view(A).as_str(), births_of(w, T).as_str()), ("[a1]", "[]"), "{}", w.trace.last(60));
        w.perform(Action::RelayLoses)?;
        w.awhile()?;
        assert_eq!(births_of(w, T), "[a2]", "seed {}\n{}", w.seed, w.trace.last(60));
        Ok(())
    });
}

/// R11, R13: b1 has a1's place, which only a snapshot tells of. b2 was made on top of b1, and its own place is free.
#[test]
fn what_was_made_on_top_of_one_that_is_unsure_is_unsure_too() {
    play(2, |w| {
        w.awhile()?;
        copied(w)?;
        w.writes(A)?;
        w.writes(B)?;
        w.perform(Action::Append(B, S, true))?;
        w.awhile()?;
        w.online(A)?;
        w.expect_log("[a1]");
        w.perform(Action::Trim(S))?;
        w.online(B)?;
        w.expect_log("[a1]");
        let codes: Vec<String> = w.devices[B].rejections().into_iter().map(|(_, r)| r.code.to_string()).collect();
        assert_eq!(codes, ["unsure", "unsure"], "seed {}\n{}", w.seed, w.trace.last(60));
        Ok(())
    });
}

/// R16: a3 names a2, the newest that waits in `s`. a2 is thrown away, and a1 before it has no place in the log yet.
#[test]
fn what_names_an_event_that_was_thrown_away_waits_for_those_before_it() {
    play_with(2, &["s", "t"], |w| {
        w.awhile()?;
        // a1 is handed to a socket, and the relay does not get to it.
        w.perform(Action::Append(A, S, false))?;
        w.go(|_, action| matches!(action, Action::Disk(..)))?;
        w.cut_all();
        w.offline(A)?;
        w.expect_log("[]");
        w.perform(Action::Append(A, S, false))?;
        w.perform(Action::Append(A, T, false))?;
        w.awhile()?;
        w.perform(Action::Discard(A))?;
        w.awhile()?;
        w.tell(A, Input::Connect)?;
        w.go(|world, action| !appends_to(world, action, S))?;
        assert_eq!(births_of(w, T), "[]", "seed {}\n{}", w.seed, w.trace.last(60));
        w.awhile()?;
        assert_eq!((births_of(w, S).as_str(), births_of(w, T).as_str()), ("[a1]", "[a3]"));
        Ok(())
    });
}

/// R16: a2 waits for a1. A's page has let `s` go meanwhile, so that a1 is seen and `s` forgotten in one step.
#[test]
fn what_was_seen_in_a_stream_that_nobody_has_open_any_more_is_a_cause() {
    play_with(2, &["s", "t"], |w| {
        w.awhile()?;
        w.offline(B)?;
        w.offline(A)?;
        w.perform(Action::Append(A, S, false))?;
        w.perform(Action::Append(A, T, false))?;
        w.awhile()?;
        w.perform(Action::StreamCloses(A, S))?;
        w.online(A)?;
        assert_eq!((births_of(w, S).as_str(), births_of(w, T).as_str()), ("[a1]", "[a2]"));
        // B gets `t` first.
        w.tell(B, Input::Connect)?;
        w.go(|world, action| !reads(world, action, S))
    });
}
