//! What random walks have found, told again step by step: each history broke a promise once.

use crate::history::{A, B, History, copied, play, play_with};
use harness::world::{Action, World};
use sync_core::device::Input;
use sync_core::relay::Request;

fn is_append(world: &World, action: Action) -> bool {
    let Action::Store(ticket) = action else { return false };
    let found = world.relay.under_way().find(|(number, _)| *number == ticket);
    found.is_some_and(|(_, under_way)| matches!(under_way.ask, Request::Append(_)))
}

/// R16: b1 waits in `t`, the device is started again, and b2 is written into `s` before `t` is read.
#[test]
fn what_waits_in_a_stream_that_is_being_loaded_is_a_cause() {
    play_with(2, &["s", "t"], |w| {
        w.awhile()?;
        w.offline(B)?;
        w.perform(Action::Append(B, 1, false))?;
        w.awhile()?;
        w.switch_off(B, true);
        w.start(B);
        w.writes(B)?;
        w.awhile()
    });
}

/// R9: a copy of the profile threw a1 away, its void takes a1's place; A is told by `have`, with a1's own tag.
#[test]
fn what_a_copy_threw_away_is_listed_where_it_was_sent() {
    play(2, |w| {
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        w.awhile()?;
        copied(w)?;
        w.perform(Action::Discard(B))?;
        w.awhile()?;
        // A's subscribe is answered before the void is there.
        w.tell(A, Input::Connect)?;
        w.go(|world, action| !is_append(world, action))?;
        w.online(B)
    });
}

/// R11: a stray is under way to a log that gets a new epoch first: nothing answers it.
#[test]
fn a_stray_that_meets_a_new_epoch_is_sent_again() {
    play(2, |w| {
        w.writes(A)?;
        w.awhile()?;
        w.offline(A)?;
        copied(w)?;
        for device in [A, B] {
            w.writes(device)?;
            w.writes(device)?;
        }
        w.awhile()?;
        w.online(A)?;
        w.tell(B, Input::Connect)?;
        w.go(|world, action| !is_append(world, action))?;
        w.perform(Action::NewEpochs)?;
        w.go(|world, action| !is_append(world, action))?;
        w.go(|_, _| true)
    });
}
