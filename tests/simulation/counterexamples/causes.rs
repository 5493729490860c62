//! R16 and needs: what an event waits for.

use crate::history::{A, B, C, History, play, play_with};
use harness::network::Way;
use harness::world::Action;
use sync_core::device::Input;

// ----------------------------------------------------------------------------------------------------------------- R16

#[test]
fn r16_own_event_that_waits_in_another_stream_is_a_cause() {
    play_with(3, &["s", "t"], |w| {
        w.awhile()?;
        w.offline(A)?;
        w.perform(Action::Append(A, 0, false))?;
        w.awhile()?;
        w.perform(Action::Append(A, 1, false))?;
        w.awhile()?;
        w.online(A)
    });
}

#[test]
fn r16_restored_to_empty_t1_is_not_shown_before_s1() {
    play_with(3, &["s", "t"], |w| {
        w.awhile()?;
        w.backup()?;
        w.perform(Action::Append(A, 0, false))?;
        w.awhile()?;
        w.perform(Action::Append(B, 1, false))?;
        w.awhile()?;
        w.offline(C)?;
        w.restore()?;
        w.awhile()?;
        w.online(C)
    });
}

#[test]
fn r16_author_gone_and_the_cause_points_beyond_the_log() {
    play_with(3, &["s", "t"], |w| {
        w.awhile()?;
        w.backup()?;
        w.perform(Action::Append(A, 0, false))?;
        w.awhile()?;
        w.perform(Action::Append(A, 1, false))?;
        w.awhile()?;
        w.offline(A)?;
        w.offline(C)?;
        w.restore()?;
        w.perform(Action::DeviceWiped(A))?;
        w.awhile()?;
        w.online(C)
    });
}

// --------------------------------------------------------------------------------------------------------------- needs

#[test]
fn needs_a2_needs_a1_which_is_refused() {
    play(2, |w| {
        w.awhile()?;
        w.offline(A)?;
        w.writes(A)?;
        w.awhile()?;
        w.perform(Action::Append(A, 0, true))?;
        w.writes(A)?;
        w.tell(A, Input::Connect)?;
        while !w.relay.under_way().any(|(ticket, _)| !w.relay.refusable(ticket).is_empty()) {
            let next = w.progress().first().copied().unwrap_or(Action::Passes);
            w.perform(next)?;
        }
        let ticket = w.relay.under_way().map(|(t, _)| t).find(|t| !w.relay.refusable(*t).is_empty());
        let refuses_first = harness::relay_node::Manner::Refuse(0);
        w.perform(Action::StoreFails(ticket.expect("just seen"), refuses_first))?;
        w.awhile()?;
        w.expect_log("[a3]");
        assert_eq!(w.rejected(A), "[a1 a2]");
        Ok(())
    });
}

#[test]
fn needs_log_a1_a2_answers_lost_restored_to_empty_b_heals_a2_with_a1() {
    play(2, |w| {
        w.awhile()?;
        w.backup()?;
        w.writes(A)?;
        w.perform(Action::Append(A, 0, true))?;
        w.go(|world, action| match action {
            Action::Arrives(connection, Way::Down) => world.owner(connection) == Some(B),
            _ => true,
        })?;
        w.expect_log("[a1 a2]");
        assert_eq!(w.view(B), "[a1 a2]");
        w.restore()?;
        w.awhile()?;
        w.expect_log("[a1 a2]");
        Ok(())
    });
}
