//! The scenarios: what may happen, and how often.

use crate::world::Model;

/// All of them.
pub fn scenarios() -> Vec<Model> {
    let s = Model::bounded;
    vec![
        Model { cuts: 2, relay_crashes: 1, ..s("base", "cuts, old sockets, relay crash", &[2, 1]) },
        Model { cuts: 2, refusals: 2, ..s("refuse", "refusals with lost answers", &[3, 1]) },
        Model { cuts: 1, relay_losses: 1, ..s("lost", "relay disk lost", &[2, 1]) },
        Model { cuts: 1, relay_restores: 1, ..s("restore", "relay restored from an older backup", &[2, 1]) },
        Model { cuts: 1, device_restores: 1, ..s("profile", "device restored from an older copy", &[2, 1]) },
        Model { cuts: 1, clone_appends: Some(2), ..s("clone", "one profile on two machines", &[2]) },
        Model { cuts: 1, wipes: 1, ..s("wipe", "device storage wiped", &[2, 1]) },
        Model { cuts: 1, trims: 2, ..s("trim", "snapshot and trimming", &[2, 1]) },
        Model { cuts: 1, relay_crashes: 1, refusals: 1, ..s("refuse+crash", "refusals, relay crash", &[2]) },
        Model { relay_restores: 1, wipes: 1, ..s("restore+wipe", "relay restored, an author wiped", &[2, 1]) },
        Model { cuts: 1, relay_restores: 1, refusals: 1, ..s("restore+refuse", "relay restored, refusals", &[2, 1]) },
        Model {
            cuts: 1,
            relay_restores: 1,
            device_restores: 1,
            ..s("restore+profile", "relay and a device restored", &[2, 1])
        },
        Model {
            cuts: 0,
            relay_restores: 1,
            clone_appends: Some(1),
            ..s("restore+clone", "relay restored, profile cloned", &[2])
        },
        Model {
            relay_restores: 1,
            clone_appends: Some(1),
            ..s("restore+clone-3", "relay restored, profile cloned, a chain of three", &[3])
        },
        Model {
            relay_restores: 1,
            refusals: 1,
            clone_appends: Some(1),
            ..s("restore+clone+refuse", "relay restored, profile cloned, refusals", &[2])
        },
        Model { cuts: 1, refusals: 1, clone_appends: Some(1), ..s("clone+refuse", "profile cloned, refusals", &[2]) },
        Model { cuts: 1, refusals: 1, device_restores: 1, ..s("profile+refuse", "device restored, refusals", &[2, 1]) },
        Model { cuts: 0, device_restores: 2, ..s("profile-twice", "device restored twice from one copy", &[3]) },
        Model {
            relay_crashes: 1,
            refusals: 1,
            clone_appends: Some(1),
            ..s("clone+crash", "profile cloned, refusals, relay crash", &[1])
        },
        Model { relay_restores: 1, trims: 1, ..s("restore+trim-2", "relay restored, trimming, one author", &[2, 0]) },
        Model { cuts: 1, relay_restores: 1, trims: 1, ..s("restore+trim", "relay restored, trimming", &[2, 1]) },
        Model { cuts: 1, refusals: 1, trims: 1, ..s("trim+refuse", "trimming, refusals", &[2, 1]) },
        Model { cuts: 0, clone_appends: Some(1), trims: 1, ..s("clone+trim", "profile cloned, trimming", &[2]) },
        Model { cuts: 1, discards: 1, relay_restores: 1, ..s("discard+restore", "discards, relay restored", &[2, 1]) },
        Model {
            clone_appends: Some(1),
            discards: 1,
            relay_losses: 1,
            ..s("clone+discard+lost", "profile cloned, an event discarded, relay disk lost", &[3])
        },
        Model { relay_losses: 2, ..s("lost-twice", "relay disk lost twice", &[2, 1]) },
        Model {
            clone_appends: Some(1),
            refusals: 1,
            relay_losses: 1,
            ..s("clone+refuse+lost", "profile cloned, refusals, relay disk lost", &[3])
        },
        Model {
            clone_appends: Some(1),
            refusals: 1,
            relay_losses: 2,
            ..s("clone+refuse+lost-twice", "profile cloned, refusals, relay disk lost twice", &[3])
        },
        Model {
            clone_appends: Some(1),
            discards: 1,
            relay_losses: 2,
            ..s("clone+discard+lost-twice", "profile cloned, an event discarded, relay disk lost twice", &[3])
        },
        Model {
            cuts: 1,
            clone_appends: Some(2),
            refusals: 1,
            discards: 1,
            relay_losses: 1,
            ..s("mixed-lost", "profile cloned, a second author, cuts, refusals, discards, relay disk lost", &[3, 1])
        },
        Model {
            cuts: 1,
            clone_appends: Some(2),
            refusals: 1,
            discards: 1,
            relay_restores: 1,
            ..s("mixed-restore", "profile cloned, a second author, cuts, refusals, discards, relay restored", &[3, 1])
        },
        Model { cuts: 1, slow_batches: true, ..s("seam", "batches under way while others write", &[1, 1]) },
        Model { relay_restores: 1, ..s("restore-3", "three devices, relay restored", &[1, 1, 1]) },
        Model { relay_losses: 1, ..s("lost-3", "three devices, relay disk lost", &[1, 1, 1]) },
        Model { cuts: 1, discards: 1, ..s("discard", "events discarded before they are sent", &[3]) },
    ]
}
