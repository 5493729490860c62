//! Documents that edit at the same time end the same, and the patches of each step lead to what the document holds.

mod world;

use sync_document::{Document, Opening};
use world::{Device, Random, defaults};

/// Rounds of edits on several devices; what each wrote reaches the others late and in batches of any size.
fn run(seed: u64, devices: usize, rounds: usize) -> (usize, usize) {
    let mut random = Random(seed);
    let mut world: Vec<Device> = (0..devices).map(|_| Device::new(random.actor())).collect();
    // One log, as the relay keeps it, and how much of it each device has applied.
    let mut log: Vec<Vec<u8>> = Vec::new();
    let mut cursors = vec![0; devices];
    let mut sent = vec![0; devices];
    let (mut replayed, mut batched) = (0, 0);
    for round in 0..rounds {
        let at = random.below(devices);
        // At times everyone is up to date, so that what comes next is concurrent with nothing.
        if random.chance(4) {
            for at in 0..devices {
                world[at].commit();
                log.extend_from_slice(&world[at].log[sent[at]..]);
                sent[at] = world[at].log.len();
            }
            for at in 0..devices {
                let applied = world[at].apply(&log[cursors[at]..]);
                assert_eq!(
                    (applied.waiting, applied.rebuilt, applied.skipped),
                    (0, 0, vec![]),
                    "seed {seed} round {round}"
                );
                replayed += applied.replayed;
                batched += applied.batched;
                cursors[at] = log.len();
                world[at].check(&format!("seed {seed} round {round}, all in step"));
            }
        }
        let device = &mut world[at];
        match random.below(3) {
            0 => {
                device.edit(&mut random);
                device.check(&format!("seed {seed} round {round}, after an edit"));
                if !random.chance(3) {
                    device.commit();
                }
            }
            1 => {
                log.extend_from_slice(&device.log[sent[at]..]);
                sent[at] = device.log.len();
            }
            _ => {
                device.commit();
                let upto = cursors[at] + random.below(log.len() - cursors[at] + 1);
                let applied = device.apply(&log[cursors[at]..upto]);
                assert_eq!(applied.skipped, [], "seed {seed} round {round}");
                assert_eq!(applied.rebuilt, 0, "seed {seed} round {round}: a replay came out differently");
                replayed += applied.replayed;
                batched += applied.batched;
                cursors[at] = upto;
                device.check(&format!("seed {seed} round {round}, after {applied:?}"));
            }
        }
    }
    for (at, device) in world.iter_mut().enumerate() {
        device.commit();
        log.extend_from_slice(&device.log[sent[at]..]);
    }
    for (at, device) in world.iter_mut().enumerate() {
        let applied = device.apply(&log[cursors[at]..]);
        assert_eq!((applied.waiting, applied.skipped), (0, vec![]), "seed {seed}");
        device.check(&format!("seed {seed}, at the end"));
    }
    let payloads = log.iter().map(Vec::as_slice).collect();
    let opening = Opening { actor: [9; 16], defaults: defaults(), payloads, ..Opening::default() };
    let (mut fresh, applied) = Document::open(&opening).expect("opens");
    assert_eq!(applied.skipped, [], "seed {seed}");
    for device in &mut world {
        assert_eq!(device.document.heads(), fresh.heads(), "seed {seed}");
        assert_eq!(device.document.value(), fresh.value(), "seed {seed}");
    }
    (replayed, batched)
}

/// Random edits of every type on two and three devices converge, and patches are exact.
#[test]
fn random_edits_converge() {
    let (mut replayed, mut batched) = (0, 0);
    for seed in 0..120 {
        let counts = run(seed, 2 + (seed % 2) as usize, 60);
        replayed += counts.0;
        batched += counts.1;
    }
    // Both ways were taken often enough to mean something.
    assert!(replayed > 200 && batched > 200, "{replayed} replayed, {batched} in batches");
}
