//! R3, R6, R7: which socket is read, which batch goes on, and from where.

use crate::history::{A, B, C, History, play};
use harness::network::Way;
use harness::world::{Action, World};
use sync_core::device::Input;

fn has_received(world: &World, device: usize, list: &str) -> bool {
    world.view(device) == list
}

// -------------------------------------------------------------------------------------------------------------- R3, R6

#[test]
fn r3_subscribed_of_the_old_socket_comes_late() {
    play(2, |w| {
        w.network.late_reads = true;
        w.writes(A)?;
        w.awhile()?;
        w.backup()?;
        w.writes(B)?;
        w.awhile()?;
        w.offline(A)?;
        w.restore()?;
        // Its answer says `resume: no`; it stays under way while A dials anew.
        w.tell(A, Input::Connect)?;
        w.go(|world, action| match action {
            Action::Arrives(connection, Way::Down) => world.owner(connection) != Some(A) || world.now.0 % 2 == 0,
            _ => true,
        })?;
        w.perform(Action::Abandon(A))?;
        w.awhile()?;
        assert!(has_received(w, A, &w.log()), "seed {}\n{}", w.seed, w.trace.last(40));
        Ok(())
    });
}

#[test]
fn r6_batch_of_the_old_socket_comes_beside_the_new_ones() {
    play(2, |w| {
        w.network.late_reads = true;
        w.awhile()?;
        w.writes(B)?;
        w.go(|world, action| match action {
            Action::Arrives(connection, Way::Down) => world.owner(connection) != Some(A),
            _ => true,
        })?;
        w.perform(Action::Abandon(A))?;
        w.awhile()?;
        assert_eq!(w.view(A), "[b1]");
        Ok(())
    });
}

// ------------------------------------------------------------------------------------------------------------------ R7

#[test]
fn r7_backup_empty_a1_accepted_restore_b1_accepted() {
    play(2, |w| {
        w.awhile()?;
        w.offline(B)?;
        w.backup()?;
        w.writes(A)?;
        w.awhile()?;
        w.expect_log("[a1]");
        w.offline(A)?;
        w.restore()?;
        w.writes(B)?;
        w.online(B)?;
        w.expect_log("[b1]");
        w.online(A)?;
        w.expect_log("[b1 a1]");
        assert_eq!(w.view(A), "[b1 a1]");
        Ok(())
    });
}

#[test]
fn r7_old_log_b1_a2_restored_and_the_same_id_at_the_same_offset_over_another_prefix() {
    play(3, |w| {
        w.awhile()?;
        w.offline(C)?;
        w.backup()?;
        w.writes(B)?;
        w.awhile()?;
        w.writes(A)?;
        w.go(|world, action| match action {
            // A hears that its event is accepted, and does not read it.
            Action::RelayPumps(connection) => world.owner(connection) != Some(A),
            _ => true,
        })?;
        w.offline(A)?;
        w.expect_log("[b1 a1]");
        assert_eq!(w.view(B), "[b1 a1]");
        w.perform(Action::DeviceWiped(A))?;
        w.tell(A, Input::Disconnect)?;
        w.offline(B)?;
        w.restore()?;
        w.writes(C)?;
        w.online(C)?;
        w.expect_log("[c1]");
        w.online(B)?;
        w.expect_log("[c1 b1 a1]");
        assert_eq!(w.view(B), "[c1 b1 a1]");
        Ok(())
    });
}

#[test]
fn r7_disk_lost_and_filled_to_the_same_head() {
    play(2, |w| {
        w.writes(A)?;
        w.awhile()?;
        w.offline(A)?;
        w.offline(B)?;
        w.perform(Action::RelayLoses)?;
        w.writes(B)?;
        w.perform(Action::DeviceWiped(B))?;
        w.writes(B)?;
        w.awhile()?;
        w.expect_log("[b2]");
        w.online(A)?;
        w.expect_log("[b2 a1]");
        Ok(())
    });
}
