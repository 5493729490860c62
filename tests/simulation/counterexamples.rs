//! The counterexamples of the protocol's rules, one by one: the histories that break a protocol without the rule (the
//! *Else* sentences of the model's README), played with the real machines. The names are in the model's notation: `a1` is
//! device A's first event, `A:1` its id, `[a1 b1]` a log. Each is played with twenty schedules.

use harness::network::Way;
use harness::oracle::Broken;
use harness::world::{Action, World};
use sync_core::device::Input;

const A: usize = 0;
const B: usize = 1;
const C: usize = 2;

/// Long enough for a reconnect and everything behind it.
const AWHILE_MS: u64 = 5_000;

/// Plays a history with many schedules; a broken promise shows its trace.
fn play(devices: usize, history: impl Fn(&mut World) -> Result<(), Broken>) {
    play_with(devices, &["s"], history);
}

fn play_with(devices: usize, streams: &[&str], history: impl Fn(&mut World) -> Result<(), Broken>) {
    for seed in 0..20 {
        let mut world = World::new(seed, devices, streams);
        if let Err(broken) = history(&mut world).and_then(|()| world.settle()) {
            panic!("seed {seed}: promise {} is broken: {}\n{}", broken.promise, broken.how, world.trace.last(40));
        }
    }
}

/// What the histories are told in.
trait History {
    fn awhile(&mut self) -> Result<(), Broken>;
    fn writes(&mut self, device: usize) -> Result<(), Broken>;
    fn offline(&mut self, device: usize) -> Result<(), Broken>;
    fn online(&mut self, device: usize) -> Result<(), Broken>;
    fn backup(&mut self) -> Result<(), Broken>;
    fn restore(&mut self) -> Result<(), Broken>;
    /// Everything goes on, and the next event that reaches the store is refused.
    fn refuse_next(&mut self) -> Result<(), Broken>;
    /// Everything goes on, but the relay's answers to publishes and its batches stay with it.
    fn without_answers(&mut self) -> Result<(), Broken>;
    fn expect_log(&self, log: &str);
}

impl History for World {
    fn awhile(&mut self) -> Result<(), Broken> {
        self.run_ms(AWHILE_MS)
    }
    fn writes(&mut self, device: usize) -> Result<(), Broken> {
        self.perform(Action::Append(device, 0, false))
    }
    fn offline(&mut self, device: usize) -> Result<(), Broken> {
        self.tell(device, Input::Disconnect)?;
        self.awhile()
    }
    fn online(&mut self, device: usize) -> Result<(), Broken> {
        self.tell(device, Input::Connect)?;
        self.awhile()
    }
    fn backup(&mut self) -> Result<(), Broken> {
        self.perform(Action::RelayBackup)
    }
    fn restore(&mut self) -> Result<(), Broken> {
        self.perform(Action::RelayRestore)
    }
    fn refuse_next(&mut self) -> Result<(), Broken> {
        for _ in 0..10_000 {
            let refusable = |world: &World| {
                let mut found = world.relay.under_way().map(|(ticket, _)| ticket);
                found.find(|ticket| !world.relay.refusable(*ticket).is_empty())
            };
            if let Some(ticket) = refusable(self) {
                return self.perform(Action::Refuses(ticket));
            }
            let progress = self.progress();
            self.perform(progress.first().copied().unwrap_or(Action::Passes))?;
        }
        panic!("nothing was there to be refused")
    }
    fn without_answers(&mut self) -> Result<(), Broken> {
        self.go(|world, action| match action {
            Action::Store(ticket) => {
                let found = world.relay.under_way().find(|(number, _)| *number == ticket);
                found.is_some_and(|(_, under_way)| under_way.answer.is_none())
            }
            Action::RelayPumps(_) => false,
            _ => true,
        })
    }
    #[track_caller]
    fn expect_log(&self, log: &str) {
        assert_eq!(self.log(), log, "seed {}\n{}", self.seed, self.trace.last(60));
    }
}

fn has_received(world: &World, device: usize, list: &str) -> bool {
    world.view(device) == list
}

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

// -------------------------------------------------------------------------------------------------------------- R8, R10

/// A and its clone share a1; both are offline.
fn cloned(w: &mut World) -> Result<(), Broken> {
    w.writes(A)?;
    w.awhile()?;
    w.offline(A)?;
    w.devices[B].disk = w.devices[A].disk.copy();
    w.oracle.forks();
    w.start(B);
    w.tell(B, Input::Disconnect)?;
    w.awhile()
}

fn play_clone(history: impl Fn(&mut World) -> Result<(), Broken>) {
    play(2, |w| {
        w.switch_off(B, false);
        w.devices[B].disk = Default::default();
        history(w)
    });
}

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
        w.awhile()?;
        w.devices[B].disk = w.devices[A].disk.copy();
        w.oracle.forks();
        w.start(B);
        w.tell(B, Input::Disconnect)?;
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
            let next = w.progress().first().copied().unwrap_or(Action::Passes);
            w.perform(next)?;
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
        w.awhile()?;
        w.devices[B].disk = w.devices[A].disk.copy();
        w.oracle.forks();
        w.start(B);
        w.tell(B, Input::Disconnect)?;
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
            let next = w.progress().first().copied().unwrap_or(Action::Passes);
            w.perform(next)?;
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
            let next = w.progress().first().copied().unwrap_or(Action::Passes);
            w.perform(next)?;
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
        w.awhile()?;
        w.devices[B].disk = w.devices[A].disk.copy();
        w.oracle.forks();
        w.start(B);
        w.tell(B, Input::Disconnect)?;
        w.online(A)?;
        w.perform(Action::Trim(0))?;
        w.online(B)?;
        w.expect_log("[a1]");
        assert_eq!(w.view(B), "[a1]");
        Ok(())
    });
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
