//! What random walks have found, told again step by step: each history broke a promise once.

use crate::history::{A, B, C, History, copied, play, play_with};
use harness::disk::DiskStep;
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

/// R12: B's void has the place of a1 in the new log. C heals a1 and c1, which was written behind a1: a1 goes on under its
/// derived id, and c1 waits for it.
#[test]
fn what_goes_on_under_its_derived_id_is_not_overtaken() {
    play(3, |w| {
        w.offline(A)?;
        w.writes(A)?;
        w.awhile()?;
        copied(w)?;
        w.perform(Action::Discard(B))?;
        w.online(A)?;
        w.writes(C)?;
        w.awhile()?;
        w.expect_log("[a1 c1]");
        w.offline(A)?;
        w.offline(C)?;
        w.perform(Action::RelayLoses)?;
        w.online(B)?;
        w.online(C)?;
        w.expect_log("[a1 c1]");
        w.online(A)
    });
}

/// R9: a3 is written on top of a1 while `t` is being loaded. Before a3 is made, a1 is refused.
#[test]
fn a_write_that_waits_is_refused_with_what_it_was_made_on_top_of() {
    play_with(1, &["s", "t"], |w| {
        w.offline(A)?;
        w.perform(Action::Append(A, 0, false))?;
        w.perform(Action::Append(A, 1, false))?;
        w.awhile()?;
        w.switch_off(A, true);
        w.start(A);
        while !w.devices[A].state(&w.streams[0]).is_some_and(|state| state.loaded) {
            w.goes_on()?;
        }
        w.perform(Action::Append(A, 0, true))?;
        w.tell(A, Input::Connect)?;
        let without_loads = |action| !matches!(action, Action::Disk(_, DiskStep::Load));
        w.go(|world, action| without_loads(action) && !is_append(world, action))?;
        let ticket =
            w.relay.under_way().map(|(ticket, _)| ticket).find(|ticket| !w.relay.refusable(*ticket).is_empty());
        w.perform(Action::Refuses(ticket.expect("a1 is under way")))?;
        w.go(|_, action| without_loads(action))?;
        assert_eq!(w.rejected(A), "[a1]", "{}", w.trace.last(60));
        w.awhile()?;
        w.expect_log("[]");
        assert_eq!(w.rejected(A), "[a1 a3]", "{}", w.trace.last(60));
        Ok(())
    });
}
