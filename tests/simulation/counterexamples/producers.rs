//! R8 to R11: sequences, refusals, copies of a profile and their strays.

use crate::history::{A, B, History, cloned, copied, play, play_clone};
use harness::network::Way;
use harness::world::Action;
use sync_core::device::Input;

// -------------------------------------------------------------------------------------------------------------- R8, R10

#[test]
fn r8_clone_has_b2_b3_where_a2_is() {
    play_clone(|w| {
        cloned(w)?;
        w.writes(B)?;
        w.writes(B)?;
        w.writes(A)?;
        w.online(A)?;
        w.expect_log("[a1 a2]");
        w.online(B)?;
        w.expect_log("[a1 a2 b1 b2]");
        Ok(())
    });
}

#[test]
fn r10_clones_at_1_a2_accepted_b_made_one_too() {
    play_clone(|w| {
        cloned(w)?;
        w.writes(A)?;
        w.writes(B)?;
        w.online(A)?;
        w.online(B)?;
        w.expect_log("[a1 a2 b1]");
        Ok(())
    });
}

#[test]
fn r10_live_clone_reads_a2_under_the_id_of_its_own_event() {
    play_clone(|w| {
        cloned(w)?;
        w.online(A)?;
        w.online(B)?;
        w.writes(A)?;
        w.writes(B)?;
        w.awhile()?;
        assert!(["[a1 a2 b1]", "[a1 b1 a2]"].contains(&w.log().as_str()));
        Ok(())
    });
}

// ------------------------------------------------------------------------------------------------------------------ R9

#[test]
fn r9_a1_refused_on_the_new_socket_then_the_old_ones_a1_arrives() {
    play(1, |w| {
        w.awhile()?;
        w.writes(A)?;
        w.go(|_, action| !matches!(action, Action::Arrives(_, Way::Up)))?;
        let old = w.network.open();
        w.perform(Action::Abandon(A))?;
        for _ in 0..200 {
            let mut progress = w.progress().into_iter();
            let next = progress.find(|action| !matches!(action, Action::Arrives(c, _) if old.contains(c)));
            let refusable = w.relay.under_way().map(|(ticket, _)| ticket).find(|t| !w.relay.refusable(*t).is_empty());
            match refusable {
                Some(ticket) => w.perform(Action::Refuses(ticket))?,
                None => w.perform(next.unwrap_or(Action::Passes))?,
            }
            if w.rejected(A) == "[a1]" {
                break;
            }
        }
        assert_eq!(w.rejected(A), "[a1]", "seed {}\n{}", w.seed, w.trace.last(60));
        w.awhile()?;
        w.expect_log("[]");
        Ok(())
    });
}

#[test]
fn r9_a1_refused_relay_crash_and_a_clone_still_has_a1() {
    play_clone(|w| {
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        copied(w)?;
        w.tell(A, Input::Connect)?;
        w.refuse_next()?;
        w.awhile()?;
        assert_eq!(w.rejected(A), "[a1]");
        w.perform(Action::RelayCrash)?;
        w.online(B)?;
        w.expect_log("[]");
        assert_eq!(w.rejected(B), "[a1]");
        Ok(())
    });
}

#[test]
fn r9_a1_refused_a2_accepted_answers_lost_restored_b_heals_a2() {
    play(2, |w| {
        w.awhile()?;
        w.backup()?;
        w.offline(A)?;
        w.writes(A)?;
        w.writes(A)?;
        w.tell(A, Input::Connect)?;
        while !w.relay.under_way().any(|(ticket, _)| w.relay.refusable(ticket).len() == 2) {
            w.goes_on()?;
        }
        let ticket = w.relay.under_way().map(|(ticket, _)| ticket).find(|t| w.relay.refusable(*t).len() == 2);
        let refuses_first = harness::relay_node::Manner::Refuse(0);
        w.perform(Action::StoreFails(ticket.expect("just seen"), refuses_first))?;
        w.expect_log("[a2]");
        // B reads it; A hears nothing.
        w.go(|world, action| match action {
            Action::Arrives(connection, Way::Down) => world.owner(connection) == Some(B),
            _ => true,
        })?;
        assert_eq!(w.view(B), "[a2]");
        w.perform(Action::DeviceCrash(A))?;
        w.tell(A, Input::Disconnect)?;
        w.restore()?;
        w.awhile()?;
        w.expect_log("[a2]");
        w.online(A)?;
        assert_eq!(w.rejected(A), "[a1]", "seed {}\n{}", w.seed, w.trace.last(60));
        Ok(())
    });
}

// ----------------------------------------------------------------------------------------------------------------- R11

#[test]
fn r11_profile_restored_twice_from_one_copy() {
    play(2, |w| {
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        w.awhile()?;
        w.perform(Action::DeviceSaves(A))?;
        w.online(A)?;
        w.expect_log("[a1]");
        for _ in 0..2 {
            w.perform(Action::DeviceRestores(A))?;
            w.writes(A)?;
            w.awhile()?;
        }
        w.expect_log("[a1 a2 a3]");
        Ok(())
    });
}

#[test]
fn r11_clone_forks_with_a1_relay_restored_a_sends_a1_as_its_own() {
    play_clone(|w| {
        w.awhile()?;
        w.backup()?;
        w.offline(A)?;
        w.writes(A)?;
        copied(w)?;
        w.writes(A)?;
        w.writes(B)?;
        // A's two events enter, B finds its second id taken and forks with its a1 still open.
        w.online(A)?;
        w.tell(B, Input::Connect)?;
        w.without_answers()?;
        w.offline(A)?;
        w.offline(B)?;
        w.restore()?;
        w.online(A)?;
        w.online(B)?;
        w.expect_log("[a1 a2 b1]");
        Ok(())
    });
}
