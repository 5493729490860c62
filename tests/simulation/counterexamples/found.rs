//! What random walks have found, told again step by step: each history broke a promise once.

use crate::history::{A, B, C, History, copied, play, play_with};
use harness::disk::DiskStep;
use harness::oracle::Broken;
use harness::world::{Action, World};
use sync_core::device::Input;
use sync_core::ids::Tag;
use sync_core::relay::Request;

fn is_append(world: &World, action: Action) -> bool {
    let Action::Store(ticket) = action else { return false };
    let found = world.relay.under_way().find(|(number, _)| *number == ticket);
    found.is_some_and(|(_, under_way)| matches!(under_way.ask, Request::Append(_)))
}

/// An event that was not its producer's first is healed under its derived id.
fn is_heal_under_derived_id(world: &World, action: Action) -> bool {
    let Action::Store(ticket) = action else { return false };
    let found = world.relay.under_way().find(|(number, _)| *number == ticket);
    let Some(Request::Heal(heal)) = found.map(|(_, under_way)| &under_way.ask) else { return false };
    heal.events.iter().any(|event| event.id.sequence == 1 && event.tag_before != Tag::ZERO)
}

/// a1 is in the log. A, offline, has written a2, and B, a copy of its profile, has thrown that away.
fn a2_thrown_away_by_a_copy(w: &mut World) -> Result<(), Broken> {
    w.writes(A)?;
    w.awhile()?;
    w.offline(A)?;
    w.writes(A)?;
    w.awhile()?;
    copied(w)?;
    w.perform(Action::Discard(B))
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
        w.refuse_next()?; // a1, which is under way
        w.go(|_, action| without_loads(action))?;
        assert_eq!(w.rejected(A), "[a1]", "{}", w.trace.last(60));
        w.awhile()?;
        w.expect_log("[]");
        assert_eq!(w.rejected(A), "[a1 a3]", "{}", w.trace.last(60));
        Ok(())
    });
}

/// R12: the second log has a void of B's in a2's place, and refuses a3. It is lost before C has healed a4 there. Nobody can
/// bring a3 to the third log: a4 follows there what a3 and a2 followed, also if C was started again in between.
#[test]
fn what_followed_a_refused_event_follows_its_predecessor_in_the_third_log() {
    for is_started_again in [false, true] {
        play(3, |w| {
            w.writes(A)?;
            w.awhile()?;
            w.offline(A)?;
            w.writes(A)?;
            w.writes(A)?;
            w.awhile()?;
            copied(w)?;
            w.perform(Action::Discard(B))?;
            w.writes(A)?;
            w.online(A)?;
            w.expect_log("[a1 a2 a3 a4]");
            w.offline(C)?;
            w.perform(Action::DeviceWiped(A))?;
            w.offline(A)?;
            w.perform(Action::RelayLoses)?;
            w.tell(B, Input::Connect)?;
            w.refuse_next()?;
            w.awhile()?;
            w.offline(B)?;
            w.expect_log("[a1]");
            w.tell(C, Input::Connect)?;
            w.go(|world, action| !is_heal_under_derived_id(world, action))?;
            w.tell(C, Input::Disconnect)?;
            w.perform(Action::RelayLoses)?;
            if is_started_again {
                w.switch_off(C, true);
                w.start(C);
            }
            w.online(C)?;
            w.expect_log("[a1 a2 a4]");
            Ok(())
        });
    }
}

/// R10: a log is lost before A has read its own a2 there. In the next, B's void takes a2's place, and C brings a2 under its
/// derived id.
#[test]
fn an_own_event_that_a_reader_filed_under_its_derived_id_is_not_missed() {
    play(3, |w| {
        a2_thrown_away_by_a_copy(w)?;
        w.tell(A, Input::Connect)?;
        w.go(|_, action| !matches!(action, Action::RelayPumps(_)))?;
        w.offline(A)?;
        assert_eq!((w.view(A).as_str(), w.view(C).as_str()), ("[a1]", "[a1 a2]"));
        w.offline(C)?;
        w.perform(Action::RelayLoses)?;
        w.online(B)?;
        w.online(C)?;
        w.expect_log("[a1 a2]");
        w.online(A)?;
        assert_eq!((w.view(A).as_str(), w.rejected(A).as_str()), ("[a1 a2]", "[]"), "{}", w.trace.last(60));
        Ok(())
    });
}

/// R12: the second log, where a2 was to go on under its derived id, is lost too. In the third, A brings a2 first.
#[test]
fn what_was_to_go_on_under_its_derived_id_knows_itself_under_its_own() {
    play(3, |w| {
        a2_thrown_away_by_a_copy(w)?;
        w.online(A)?;
        w.expect_log("[a1 a2]");
        w.offline(A)?;
        w.offline(C)?;
        w.perform(Action::RelayLoses)?;
        w.online(B)?;
        w.offline(B)?;
        w.tell(C, Input::Connect)?;
        w.go(|world, action| !is_heal_under_derived_id(world, action))?;
        w.tell(C, Input::Disconnect)?;
        w.expect_log("[a1]");
        w.perform(Action::RelayLoses)?;
        w.online(A)?;
        w.online(C)?;
        w.expect_log("[a1 a2]");
        Ok(())
    });
}

/// R9: a3 is on top of a2. Both are accepted, and that log is lost before A has read them. B has thrown a2 away, and its void
/// takes a2's place: a3 does not enter the log without it.
#[test]
fn an_owed_event_does_not_come_back_without_what_it_needs() {
    play(2, |w| {
        a2_thrown_away_by_a_copy(w)?;
        w.perform(Action::Append(A, 0, true))?;
        w.awhile()?;
        w.tell(A, Input::Connect)?;
        w.go(|_, action| !matches!(action, Action::RelayPumps(_)))?;
        w.expect_log("[a1 a2 a3]");
        assert_eq!(w.view(A), "[a1]", "{}", w.trace.last(60));
        w.tell(A, Input::Disconnect)?;
        w.perform(Action::RelayLoses)?;
        w.online(B)?;
        w.online(A)?;
        w.expect_log("[a1]");
        assert_eq!(w.rejected(A), "[a2 a3]", "{}", w.trace.last(60));
        Ok(())
    });
}

/// R11: a2 is on top of a1, which B brought to the log, and b1 has a2's id. Before a2 goes under its derived id that log is
/// lost, and the next one refuses a1, which C sent.
#[test]
fn a_stray_does_not_go_without_what_was_refused_when_it_was_healed() {
    play(3, |w| {
        w.offline(A)?;
        w.writes(A)?;
        w.awhile()?;
        copied(w)?;
        w.devices[C].disk = w.devices[A].disk.copy();
        w.oracle.forks(C);
        w.start(C);
        w.offline(C)?;
        w.perform(Action::Append(A, 0, true))?;
        w.online(B)?;
        w.writes(B)?;
        w.awhile()?;
        w.expect_log("[a1 b1]");
        w.offline(B)?;
        w.tell(A, Input::Connect)?;
        w.go(|world, action| !is_append(world, action))?;
        assert_eq!(w.view(A), "[a1 b1]", "{}", w.trace.last(60));
        w.tell(A, Input::Disconnect)?;
        w.perform(Action::RelayLoses)?;
        w.tell(C, Input::Connect)?;
        w.refuse_next()?;
        w.awhile()?;
        w.online(A)?;
        w.expect_log("[b1]");
        assert_eq!(w.rejected(A), "[a2]", "{}", w.trace.last(60));
        Ok(())
    });
}
