//! What may happen in a walk, by name: the protocol model's scenarios, and larger ones.

use crate::actions::{Action, Budget};
use crate::world::Promise;

/// What may happen in a walk, and how often.
#[derive(Clone, Debug, Default)]
pub struct Scenario {
    /// The model's name, if it has this scenario.
    pub name: &'static str,
    /// What may happen.
    pub budget: Budget,
    /// The streams; one, if none is named.
    pub streams: Vec<&'static str>,
    /// Some events are made on top of others.
    pub dependents: bool,
    /// Events carry changes of real documents.
    pub documents: bool,
    /// Bytes to add to an event's content, at most.
    pub padding_bytes_max: u64,
    /// Devices of other versions of the protocol.
    pub versions: bool,
    /// The relay's store is SQLite on a disk that fails now and then.
    pub embedded: bool,
    /// What has happened when the walk begins, each with time to come to rest.
    pub opening: Vec<Action>,
    /// One more promise: one that does not hold makes a walk fail.
    pub promise: Option<Promise>,
}

/// All of them.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = of_the_model();
    all.extend([mixed(), embedded(), store(), takeover(), pages(), snapshots(), heal(), large(), slow(), documents()]);
    all
}

/// The protocol model's.
pub fn of_the_model() -> Vec<Scenario> {
    let scenario = |name, appends: &[usize], budget: Budget| Scenario {
        name,
        // In the model a device connects when it likes.
        budget: Budget { appends: appends.to_vec(), absences: 3, ..budget },
        streams: vec!["s"],
        ..Scenario::default()
    };
    let none = Budget::default;
    let cut = || Budget { cuts: 1, ..none() };
    let cloned = || Budget { clone_appends: Some(1), ..none() };
    let copied_and_cut = || Budget { clone_appends: Some(2), refusals: 1, discards: 1, ..cut() };
    vec![
        scenario("base", &[2, 1], Budget { cuts: 2, relay_crashes: 1, ..none() }),
        scenario("refuse", &[3, 1], Budget { cuts: 2, refusals: 2, ..none() }),
        scenario("lost", &[2, 1], Budget { relay_losses: 1, ..cut() }),
        scenario("restore", &[2, 1], Budget { relay_restores: 1, ..cut() }),
        scenario("profile", &[2, 1], Budget { device_restores: 1, ..cut() }),
        scenario("clone", &[2], Budget { clone_appends: Some(2), ..cut() }),
        scenario("wipe", &[2, 1], Budget { wipes: 1, ..cut() }),
        scenario("trim", &[2, 1], Budget { trims: 2, ..cut() }),
        scenario("refuse+crash", &[2], Budget { relay_crashes: 1, refusals: 1, ..cut() }),
        scenario("restore+wipe", &[2, 1], Budget { relay_restores: 1, wipes: 1, ..none() }),
        scenario("restore+refuse", &[2, 1], Budget { relay_restores: 1, refusals: 1, ..cut() }),
        scenario("restore+profile", &[2, 1], Budget { relay_restores: 1, device_restores: 1, ..cut() }),
        scenario("restore+clone", &[2], Budget { relay_restores: 1, clone_appends: Some(1), ..none() }),
        scenario("restore+clone-3", &[3], Budget { relay_restores: 1, clone_appends: Some(1), ..none() }),
        scenario(
            "restore+clone+refuse",
            &[2],
            Budget { relay_restores: 1, refusals: 1, clone_appends: Some(1), ..none() },
        ),
        scenario("clone+refuse", &[2], Budget { refusals: 1, clone_appends: Some(1), ..cut() }),
        scenario("profile+refuse", &[2, 1], Budget { refusals: 1, device_restores: 1, ..cut() }),
        scenario("profile-twice", &[3], Budget { device_restores: 2, ..none() }),
        scenario("clone+crash", &[1], Budget { relay_crashes: 1, refusals: 1, clone_appends: Some(1), ..none() }),
        scenario("restore+trim-2", &[2, 0], Budget { relay_restores: 1, trims: 1, ..none() }),
        scenario("restore+trim", &[2, 1], Budget { relay_restores: 1, trims: 1, ..cut() }),
        scenario("trim+refuse", &[2, 1], Budget { refusals: 1, trims: 1, ..cut() }),
        scenario("clone+trim", &[2], Budget { clone_appends: Some(1), trims: 1, ..none() }),
        scenario("discard+restore", &[2, 1], Budget { discards: 1, relay_restores: 1, ..cut() }),
        scenario("seam", &[1, 1], cut()),
        scenario("restore-3", &[1, 1, 1], Budget { relay_restores: 1, ..none() }),
        scenario("lost-3", &[1, 1, 1], Budget { relay_losses: 1, ..none() }),
        scenario("discard", &[3], Budget { discards: 1, ..cut() }),
        scenario("lost-twice", &[2, 1], Budget { relay_losses: 2, ..none() }),
        scenario("clone+discard+lost", &[3], Budget { discards: 1, relay_losses: 1, ..cloned() }),
        scenario("clone+discard+lost-twice", &[3], Budget { discards: 1, relay_losses: 2, ..cloned() }),
        scenario("clone+refuse+lost", &[3], Budget { refusals: 1, relay_losses: 1, ..cloned() }),
        scenario("clone+refuse+lost-twice", &[3], Budget { refusals: 1, relay_losses: 2, ..cloned() }),
        scenario("mixed-lost", &[3, 1], Budget { relay_losses: 1, ..copied_and_cut() }),
        scenario("mixed-restore", &[3, 1], Budget { relay_restores: 1, ..copied_and_cut() }),
        Scenario { streams: vec!["s", "t"], ..scenario("causes", &[2, 2, 0], Budget { relay_restores: 1, ..none() }) },
    ]
}

/// The scenario of this name.
///
/// # Panics
/// There is none.
pub fn scenario(name: &str) -> Scenario {
    find(name).unwrap_or_else(|| panic!("no scenario is called {name}"))
}
/// The scenario of this name, if there is one.
pub fn find(name: &str) -> Option<Scenario> {
    scenarios().into_iter().find(|scenario| scenario.name == name)
}

/// Everything at once, in several streams.
pub fn mixed() -> Scenario {
    Scenario {
        name: "mixed",
        budget: Budget {
            appends: vec![8, 8, 6],
            clone_appends: Some(4),
            cuts: 6,
            absences: 4,
            relay_crashes: 2,
            relay_losses: 1,
            relay_restores: 1,
            device_restores: 1,
            wipes: 1,
            refusals: 3,
            trims: 1,
            discards: 2,
            device_crashes: 4,
            store_faults: 6,
            disk_faults: 3,
            takeovers: 2,
            pages: 4,
            sleeps: 2,
            new_epochs: 1,
            relay_fills: 1,
        },
        streams: vec!["s", "t"],
        dependents: true,
        versions: true,
        ..Scenario::default()
    }
}

/// A store that is busy, slow and unsure most of the time, and a feed that loses and repeats, beside everything else.
fn store() -> Scenario {
    let budget = Budget { store_faults: 40, new_epochs: 3, pages: 8, sleeps: 4, refusals: 6, ..mixed().budget };
    Scenario { name: "store", budget, ..mixed() }
}

/// Hosts that stand still while others take over, on disks that fail.
fn takeover() -> Scenario {
    let budget = Budget { takeovers: 3, cuts: 2, disk_faults: 2, device_crashes: 1, discards: 2, ..Budget::default() };
    Scenario {
        name: "takeover",
        budget: Budget { appends: vec![5, 3], ..budget },
        streams: vec!["s", "t"],
        dependents: true,
        ..Scenario::default()
    }
}

/// Pages that come and go, and devices that sleep.
fn pages() -> Scenario {
    let budget = Budget { pages: 8, sleeps: 3, cuts: 2, trims: 1, relay_crashes: 1, ..Budget::default() };
    Scenario {
        name: "pages",
        budget: Budget { appends: vec![5, 5], ..budget },
        streams: vec!["s", "t"],
        versions: true,
        ..Scenario::default()
    }
}

/// A log that was trimmed is lost, and who wrote it is away: another device cannot heal what it has in a snapshot only, and
/// what stands on it has to wait for the author.
fn snapshots() -> Scenario {
    let budget = Budget { relay_losses: 2, absences: 4, cuts: 2, ..Budget::default() };
    let (a, b) = (0, 1);
    Scenario {
        name: "snapshots",
        budget: Budget { appends: vec![4, 1], ..budget },
        streams: vec!["s"],
        opening: vec![
            Action::Leaves(b),
            Action::Append(a, 0, false),
            Action::Trim(0),
            Action::Returns(b),
            Action::Append(a, 0, false),
            Action::Leaves(a),
        ],
        ..Scenario::default()
    }
}

/// Two copies of a profile part, users throw away what the other copy had sent, and the relay loses its log twice: what is
/// healed then meets sequences that something else has used up.
fn heal() -> Scenario {
    let budget =
        Budget { clone_appends: Some(3), discards: 3, relay_losses: 2, absences: 6, cuts: 1, ..Budget::default() };
    Scenario { name: "heal", budget: Budget { appends: vec![4], ..budget }, streams: vec!["s"], ..Scenario::default() }
}

/// Contents so large that frames are cut and the window fills.
fn large() -> Scenario {
    let budget = Budget { cuts: 2, relay_restores: 1, trims: 1, sleeps: 1, absences: 3, ..Budget::default() };
    Scenario {
        name: "large",
        budget: Budget { appends: vec![8, 4], ..budget },
        streams: vec!["s", "t"],
        padding_bytes_max: 400_000,
        ..Scenario::default()
    }
}

/// Much to read for devices that sleep, much to store for a relay whose store is slow: windows fill, and senders wait.
fn slow() -> Scenario {
    let budget = Budget { sleeps: 8, absences: 4, store_faults: 8, relay_losses: 1, cuts: 1, ..Budget::default() };
    Scenario {
        name: "slow",
        budget: Budget { appends: vec![40, 4], ..budget },
        streams: vec!["s"],
        padding_bytes_max: 400_000,
        ..Scenario::default()
    }
}

/// Real Automerge documents under everything at once, read in the end by plain Automerge too.
fn documents() -> Scenario {
    Scenario { name: "documents", documents: true, ..mixed() }
}

/// The same on the embedded store: SQLite on a disk that loses what was not synced when the relay's machine dies, and that
/// fails now and then.
pub fn embedded() -> Scenario {
    let budget = Budget { relay_crashes: 5, trims: 1, ..mixed().budget };
    Scenario { name: "embedded", budget, embedded: true, ..mixed() }
}

impl Scenario {
    /// Changes one setting, `name=value`: a fault of [`Budget::faults`] and how often it may happen, `appends` (of each
    /// device, `2.1`), `clone-appends` (`-`: no clone is made), `streams` (how many) or `dependents` (`0` or `1`).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn set(&mut self, setting: &str) -> Result<(), String> {
        let (name, value) = setting.split_once('=').ok_or_else(|| format!("`{setting}` is not name=value"))?;
        let number = |text: &str| text.parse::<usize>().map_err(|_| format!("`{text}` of `{setting}` is no number"));
        match name {
            "appends" => self.budget.appends = value.split('.').map(number).collect::<Result<_, _>>()?,
            "clone-appends" if value == "-" => self.budget.clone_appends = None,
            "clone-appends" => self.budget.clone_appends = Some(number(value)?),
            "streams" => self.streams.truncate(number(value)?.max(1)),
            "dependents" => self.dependents = number(value)? > 0,
            _ => {
                let mut faults = self.budget.faults();
                let fault = faults.iter_mut().find(|(fault, _)| *fault == name);
                let (_, times) = fault.ok_or_else(|| format!("there is no setting `{name}`"))?;
                **times = number(value)?;
            }
        }
        Ok(())
    }
    /// The settings in which it differs from the scenario of its name.
    pub fn settings(&self) -> Vec<String> {
        let mut original = scenario(self.name);
        let mut own = self.clone();
        let mut changed = vec![];
        if own.budget.appends != original.budget.appends {
            let appends: Vec<String> = own.budget.appends.iter().map(usize::to_string).collect();
            changed.push(format!("appends={}", appends.join(".")));
        }
        if own.budget.clone_appends != original.budget.clone_appends {
            let appends = own.budget.clone_appends.map_or("-".into(), |appends| appends.to_string());
            changed.push(format!("clone-appends={appends}"));
        }
        if own.streams != original.streams {
            changed.push(format!("streams={}", own.streams.len()));
        }
        if own.dependents != original.dependents {
            changed.push(format!("dependents={}", u8::from(own.dependents)));
        }
        let faults = own.budget.faults().into_iter().zip(original.budget.faults());
        changed.extend(faults.filter(|((_, a), (_, b))| a != b).map(|((name, times), _)| format!("{name}={times}")));
        changed
    }
}
