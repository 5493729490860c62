//! R12, R13: healing and trimming.

use crate::history::{A, B, History, cloned, copied, play, play_clone};
use harness::network::Way;
use harness::world::Action;
use sync_core::device::Input;

// ----------------------------------------------------------------------------------------------------------------- R12

#[test]
fn r12_author_wiped_b_has_a1() {
    play(2, |w| {
        w.awhile()?;
        w.backup()?;
        w.writes(A)?;
        w.awhile()?;
        w.restore()?;
        w.perform(Action::DeviceWiped(A))?;
        w.awhile()?;
        w.expect_log("[a1]");
        Ok(())
    });
}

#[test]
fn r12_heal_is_sent_and_cut_off() {
    play(2, |w| {
        w.awhile()?;
        w.backup()?;
        w.writes(A)?;
        w.awhile()?;
        w.offline(A)?;
        w.perform(Action::DeviceWiped(A))?;
        w.tell(A, Input::Disconnect)?;
        w.restore()?;
        // B subscribes, resets and sends its heal; the heal never arrives.
        for _ in 0..500 {
            let under_way =
                w.network.open().iter().any(|c| w.owner(*c) == Some(B) && w.network.bytes(*c, Way::Up) > 60);
            if w.view(B) == "[]" && under_way {
                break;
            }
            w.goes_on()?;
        }
        w.cut_all();
        w.awhile()?;
        w.expect_log("[a1]");
        Ok(())
    });
}

#[test]
fn r12_b1_written_after_a1_was_seen_does_not_stand_before_it() {
    play(2, |w| {
        w.awhile()?;
        w.backup()?;
        w.writes(A)?;
        w.awhile()?;
        w.offline(A)?;
        w.offline(B)?;
        w.restore()?;
        w.writes(B)?;
        w.online(B)?;
        w.expect_log("[a1 b1]");
        Ok(())
    });
}

#[test]
fn r12_clone_and_restore_a_seen_event_whose_id_is_taken_is_filed_again() {
    play_clone(|w| {
        cloned(w)?;
        w.backup()?;
        w.writes(A)?;
        w.online(A)?;
        w.expect_log("[a1 a2]");
        w.offline(A)?;
        w.restore()?;
        w.writes(B)?;
        w.online(B)?;
        w.expect_log("[a1 b1]");
        w.online(A)?;
        w.expect_log("[a1 b1 a2]");
        Ok(())
    });
}

#[test]
fn r12_backup_a1_cloned_a2_a3_accepted_b_made_b1_restored_a3_does_not_stand_before_a2() {
    play_clone(|w| {
        cloned(w)?;
        w.backup()?;
        w.writes(A)?;
        w.writes(A)?;
        w.online(A)?;
        w.expect_log("[a1 a2 a3]");
        w.offline(A)?;
        w.writes(B)?;
        w.restore()?;
        w.tell(A, Input::Connect)?;
        w.tell(B, Input::Connect)?;
        w.awhile()?;
        let log = w.log();
        let place = |name: &str| log.find(name).unwrap_or_else(|| panic!("{name} is not in {log}"));
        assert!(place("a2") < place("a3"), "{log}");
        Ok(())
    });
}

#[test]
fn r12_b_got_a1_in_a_snapshot_and_heals_a2_only() {
    play(2, |w| {
        w.awhile()?;
        w.backup()?;
        w.offline(B)?;
        w.writes(A)?;
        w.awhile()?;
        w.perform(Action::Trim(0))?;
        w.online(B)?;
        w.writes(A)?;
        w.awhile()?;
        assert_eq!(w.view(B), "[a1 a2]");
        w.offline(A)?;
        w.restore()?;
        w.awhile()?;
        // B cannot heal a1, and a2 must not shut it out.
        w.online(A)?;
        w.expect_log("[a1 a2]");
        Ok(())
    });
}

#[test]
fn r12_what_was_accepted_is_not_validated_again() {
    play(1, |w| {
        w.awhile()?;
        w.backup()?;
        w.writes(A)?;
        w.awhile()?;
        w.restore()?;
        for _ in 0..300 {
            assert!(
                !w.relay.under_way().any(|(ticket, _)| !w.relay.refusable(ticket).is_empty()),
                "a1 is published again"
            );
            w.goes_on()?;
        }
        w.expect_log("[a1]");
        Ok(())
    });
}

// ----------------------------------------------------------------------------------------------------------------- R13

#[test]
fn r13_a1_in_the_snapshot_is_not_shown_as_waiting_too() {
    play(1, |w| {
        w.awhile()?;
        w.writes(A)?;
        w.without_answers()?;
        w.expect_log("[a1]");
        w.perform(Action::Trim(0))?;
        w.cut_all();
        w.awhile()?;
        assert_eq!(w.view(A), "[a1]");
        Ok(())
    });
}

#[test]
fn r13_a1_refused_is_not_contained_in_the_snapshot() {
    play(2, |w| {
        w.writes(B)?;
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        w.tell(A, Input::Connect)?;
        w.refuse_next()?;
        w.perform(Action::Trim(0))?;
        w.cut_all();
        w.awhile()?;
        assert_eq!((w.view(A).as_str(), w.rejected(A).as_str()), ("[b1]", "[a1]"));
        Ok(())
    });
}

#[test]
fn r13_cursor_below_the_floor_of_a_restored_log_is_not_trusted() {
    play(2, |w| {
        w.awhile()?;
        w.backup()?;
        w.writes(A)?;
        w.awhile()?;
        w.offline(A)?;
        w.offline(B)?;
        w.perform(Action::DeviceWiped(A))?;
        w.tell(A, Input::Disconnect)?;
        w.restore()?;
        w.online(A)?;
        w.writes(A)?;
        w.writes(A)?;
        w.awhile()?;
        w.perform(Action::Trim(0))?;
        w.online(B)?;
        w.expect_log("[a2 a3 a1]");
        Ok(())
    });
}

#[test]
fn r13_trimmed_a1_is_not_accepted_again_from_a_clone() {
    play_clone(|w| {
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        copied(w)?;
        w.online(A)?;
        w.perform(Action::Trim(0))?;
        w.online(B)?;
        w.expect_log("[a1]");
        assert_eq!(w.view(B), "[a1]");
        Ok(())
    });
}
