//! A thousand devices hold the same log, and the relay has lost its disk. What goes over the network is counted: one device
//! heals at a time, and what one has healed the others do not send (HealTurns, P12 of PROTOCOL.md).

use harness::oracle::Broken;
use harness::world::{Action, World};

const DEVICES: usize = 1_000;
const EVENTS: usize = 20;
/// Long enough for all to connect, be it after a wait, and to read.
const AWHILE_MS: u64 = 30_000;

fn crowd() -> Result<World, Broken> {
    let mut world = World::new(1, DEVICES, &["s"]);
    world.march_ms(AWHILE_MS)?;
    for writer in 0..EVENTS {
        world.perform(Action::Append(writer, 0, false))?;
    }
    world.march_ms(AWHILE_MS)?;
    Ok(world)
}

/// Events in the heals that reached the relay.
fn copies(world: &World) -> usize {
    let trace = world.trace.text();
    let heals = trace.lines().filter(|line| line.contains("-> relay: heal"));
    heals.map(|line| line.matches('=').count()).sum()
}

#[test]
fn a_thousand_devices_and_a_lost_relay_do_not_send_a_thousand_copies() {
    let mut world = crowd().unwrap_or_else(|broken| panic!("{}: {}", broken.oracle(), broken.how));
    assert_eq!(copies(&world), 0, "nothing is lost yet");
    let (dials, frames, bytes) = (world.network.dials(), world.network.frames, world.network.frame_bytes);
    let lost = world.perform(Action::RelayLoses).and_then(|()| world.march_ms(2 * AWHILE_MS));
    if let Err(broken) = lost.and_then(|()| world.settle()) {
        panic!("{}: {}\n{}", broken.oracle(), broken.how, world.trace.last(40));
    }
    let devices = DEVICES as u64;
    let (dials, frames, bytes) =
        (world.network.dials() - dials, world.network.frames - frames, world.network.frame_bytes - bytes);
    let copies = copies(&world);
    println!("{copies} copies of {EVENTS} events, {dials} dials, {frames} frames, {bytes} bytes of {DEVICES} devices");
    assert!((EVENTS..=2 * EVENTS).contains(&copies), "{copies} copies of {EVENTS} events were sent to heal");
    assert!(2 * dials <= 3 * devices, "{dials} dials of {DEVICES} devices");
    assert!(frames <= 16 * devices, "{frames} frames of {DEVICES} devices");
    assert!(bytes <= 3 * 1024 * devices, "{bytes} bytes of {DEVICES} devices");
}
