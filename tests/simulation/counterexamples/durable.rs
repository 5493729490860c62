//! R1, R2, R4, R5, R14, R15: what is on stable storage before somebody is told, and what may still be thrown away.

use crate::history::{A, B, History, play};
use harness::world::Action;
use sync_core::device::Input;

// ------------------------------------------------------------------------------------------------------------------ R1

#[test]
fn r1_a1_appended_crash_before_the_commit() {
    play(1, |w| {
        w.awhile()?;
        w.writes(A)?;
        w.go(|_, action| !matches!(action, Action::Disk(..)))?;
        w.expect_log("[]");
        w.switch_off(A, false);
        w.start(A);
        w.awhile()?;
        w.expect_log("[]");
        Ok(())
    });
}

#[test]
fn r1_a1_committed_crash_before_anyone_was_told() {
    play(1, |w| {
        w.awhile()?;
        w.writes(A)?;
        w.go(|_, action| !matches!(action, Action::Disk(..)))?;
        w.switch_off(A, true);
        w.start(A);
        w.awhile()?;
        w.expect_log("[a1]");
        Ok(())
    });
}

// ------------------------------------------------------------------------------------------------------------------ R2

#[test]
fn r2_a1_accepted_relay_crash() {
    play(1, |w| {
        w.writes(A)?;
        w.awhile()?;
        w.perform(Action::RelayCrash)?;
        w.expect_log("[a1]");
        Ok(())
    });
}

// ------------------------------------------------------------------------------------------------------------------ R4

#[test]
fn r4_a2_accepted_not_read_back_restored_to_a1() {
    play(1, |w| {
        w.writes(A)?;
        w.awhile()?;
        w.backup()?;
        w.writes(A)?;
        w.go(|_, action| !matches!(action, Action::RelayPumps(_)))?;
        assert_eq!((w.log().as_str(), w.view(A).as_str()), ("[a1 a2]", "[a1]"));
        w.restore()?;
        w.expect_log("[a1]");
        w.awhile()?;
        w.expect_log("[a1 a2]");
        Ok(())
    });
}

// ------------------------------------------------------------------------------------------------------------------ R5

#[test]
fn r5_crash_between_a_batch_and_the_word_that_it_is_stored() {
    for landed in [false, true] {
        play(2, |w| {
            w.awhile()?;
            w.writes(B)?;
            w.go(|_, action| !matches!(action, Action::Disk(A, _)))?;
            w.switch_off(A, landed);
            w.start(A);
            w.awhile()?;
            assert_eq!(w.view(A), "[b1]");
            Ok(())
        });
    }
}

// ----------------------------------------------------------------------------------------------------------------- R14

#[test]
fn r14_discarded_a1_goes_as_a_void_and_a2_follows() {
    play(2, |w| {
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        w.awhile()?;
        w.perform(Action::Discard(A))?;
        w.writes(A)?;
        w.online(A)?;
        w.expect_log("[a2]");
        Ok(())
    });
}

#[test]
fn r14_a1_handed_to_a_socket_is_not_discarded() {
    play(1, |w| {
        w.awhile()?;
        w.writes(A)?;
        w.go(|_, action| matches!(action, Action::Disk(..)))?;
        let pending = w.devices[A].pending(&w.streams[0].clone());
        let id = pending[0].0.id;
        let stream = w.streams[0].clone();
        w.tell(A, Input::Discard { stream, id })?;
        w.awhile()?;
        w.expect_log("[a1]");
        Ok(())
    });
}

// ----------------------------------------------------------------------------------------------------------------- R15

#[test]
fn r15_what_a_replaced_host_had_under_way_is_not_stored_over_what_the_new_one_wrote() {
    play(1, |w| {
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        // Its transaction is under way.
        w.devices[A].take_over(w.now, false);
        w.oracle.host_gone(A);
        w.tell(A, Input::Disconnect)?;
        w.awhile()?;
        w.writes(A)?;
        w.awhile()?;
        w.perform(Action::HostThaws(A))?;
        w.online(A)
    });
}
