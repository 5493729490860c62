//! What histories are told in: devices A, B and C, and what happens to them. The names are in the model's notation: `a1` is
//! device A's first event, `A:1` its id, `[a1 b1]` a log. Each history is played with twenty schedules.

use harness::oracle::Broken;
use harness::world::{Action, World};
use sync_core::device::Input;

/// Devices by their letters.
pub const A: usize = 0;
/// See `A`.
pub const B: usize = 1;
/// See `A`.
pub const C: usize = 2;

/// Long enough for a reconnect and everything behind it.
pub const AWHILE_MS: u64 = 5_000;

/// Plays a history with many schedules; a broken promise shows its trace.
pub fn play(devices: usize, history: impl Fn(&mut World) -> Result<(), Broken>) {
    play_with(devices, &["s"], history);
}

pub fn play_with(devices: usize, streams: &[&str], history: impl Fn(&mut World) -> Result<(), Broken>) {
    for seed in 0..20 {
        let mut world = World::new(seed, devices, streams);
        if let Err(broken) = history(&mut world).and_then(|()| world.settle()) {
            panic!("seed {seed}: promise {} is broken: {}\n{}", broken.promise, broken.how, world.trace.last(40));
        }
    }
}

/// What the histories are told in.
pub trait History {
    fn awhile(&mut self) -> Result<(), Broken>;
    /// One step of what goes on by itself.
    fn goes_on(&mut self) -> Result<(), Broken>;
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
    fn goes_on(&mut self) -> Result<(), Broken> {
        let next = self.progress().first().copied().unwrap_or(Action::Passes);
        self.perform(next)
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
            self.goes_on()?;
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

/// B's device has A's profile, with all that waits in it, and both are offline.
pub fn copied(w: &mut World) -> Result<(), Broken> {
    w.offline(A)?;
    w.devices[B].disk = w.devices[A].disk.copy();
    w.oracle.forks(A);
    w.oracle.forks(B);
    w.start(B);
    w.offline(B)
}

/// The same, and the log has a1.
pub fn cloned(w: &mut World) -> Result<(), Broken> {
    w.writes(A)?;
    w.awhile()?;
    copied(w)
}

/// Plays it with a device B that was never used.
pub fn play_clone(history: impl Fn(&mut World) -> Result<(), Broken>) {
    play(2, |w| {
        w.switch_off(B, false);
        w.devices[B].disk = Default::default();
        history(w)
    });
}
