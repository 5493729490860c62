//! What a run has reached: faults and pairs of them, messages, codes, states. A set of walks that never reaches something
//! that it lists proves less than it says.

use crate::actions::Action;
use crate::network::{Arrival, Way};
use crate::skew::Version;
use std::collections::{BTreeMap, BTreeSet};
use sync_core::device::{Connection, Notice, Own, StreamState};
use sync_core::wire::{Down, HealFate, Item, Message, Up};

/// Faults of one walk, and everything else by name.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    faults: BTreeSet<&'static str>,
    reached: BTreeSet<String>,
}

impl Coverage {
    /// A step.
    pub fn fault(&mut self, action: Action) {
        self.faults.extend(action.fault());
    }
    /// Something arrived from a device of this version or at one.
    pub fn arrival(&mut self, arrival: &Arrival, way: Way, version: Version) {
        match version {
            Version::Same => {}
            Version::Older => self.is("version", "older"),
            Version::Newer => self.is("version", "newer"),
        }
        match (arrival, way) {
            (Arrival::Frame(frame), Way::Up) => {
                Up::decode_frame(frame).unwrap_or_default().iter().for_each(|message| self.up(message));
            }
            (Arrival::Frame(frame), Way::Down) => {
                Down::decode_frame(frame).unwrap_or_default().iter().for_each(|message| self.down(message));
            }
            (Arrival::Closed(Some(code)), _) => self.is("close", &format!("{code:?}")),
            _ => {}
        }
    }
    fn up(&mut self, message: &Up) {
        self.is("up", up(message));
        if let Up::Publish(publish) = message
            && publish.items.iter().any(|item| matches!(item, Item::Void { .. }))
        {
            self.is("item", "void");
        }
    }
    fn down(&mut self, message: &Down) {
        self.is("down", down(message));
        match message {
            Down::Subscribed(answer) => self.is("resume", if answer.resume { "yes" } else { "no" }),
            Down::Error { code, .. } => self.is("error", code),
            Down::Rejected { refusal, .. } => self.is("refusal", &refusal.code),
            Down::Healed { verdicts, .. } => verdicts.iter().for_each(|verdict| self.is("verdict", fate(verdict.fate))),
            Down::Snapshot(part) if part.parts > 1 => self.is("snapshot", "in parts"),
            _ => {}
        }
    }
    /// A device told its pages something.
    pub fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Connection(connection) => self.is("connection", self::connection(connection)),
            Notice::Rejected { rejections, .. } => rejections.iter().for_each(|r| self.is("rejection", &r.code)),
            Notice::Renamed { .. } => self.is("own", "renamed"),
            Notice::Reset { .. } => self.is("stream", "reset"),
            Notice::Failed { code, .. } => self.is("failed", code),
            Notice::Storage(error) => self.is("storage", &format!("{error:?}")),
            Notice::Stream { state, .. } => self.stream(state),
            _ => {}
        }
    }
    fn stream(&mut self, state: &StreamState) {
        let is_behind = state.head.is_some_and(|head| head > state.cursor);
        let phase = match state {
            StreamState { error: Some(code), .. } => code,
            StreamState { loaded: false, .. } => "not loaded",
            StreamState { head: None, .. } => "not answered",
            StreamState { caught_up: false, .. } if is_behind => "behind",
            StreamState { caught_up: false, .. } => "at the head, not caught up",
            StreamState { caught_up: true, .. } => "caught up",
        };
        self.is("stream", phase);
    }
    /// Where own events of a device stand.
    pub fn own(&mut self, own: Own) {
        self.is("own", &format!("{own:?}").to_lowercase());
    }
    /// A state was reached.
    pub fn is(&mut self, kind: &str, what: &str) {
        let name = format!("{kind} {what}");
        if !self.reached.contains(&name) {
            self.reached.insert(name);
        }
    }

    /// All that was reached, faults and pairs of faults of this walk among it.
    pub fn into_reached(mut self) -> BTreeSet<String> {
        let faults: Vec<&str> = self.faults.iter().copied().collect();
        for (place, fault) in faults.iter().enumerate() {
            self.reached.insert(format!("fault {fault}"));
            self.reached.extend(faults[place + 1..].iter().map(|other| format!("pair {fault} + {other}")));
        }
        self.reached
    }
}

fn up(message: &Up) -> &'static str {
    match message {
        Up::Hello(_) => "hello",
        Up::Authenticate { .. } => "authenticate",
        Up::Subscribe(_) => "subscribe",
        Up::Unsubscribe { .. } => "unsubscribe",
        Up::Publish(_) => "publish",
        Up::Heal(_) => "heal",
        Up::Applied { .. } => "applied",
        Up::Alive => "alive",
    }
}

fn down(message: &Down) -> &'static str {
    match message {
        Down::Welcome(_) => "welcome",
        Down::Subscribed(_) => "subscribed",
        Down::Snapshot(_) => "snapshot",
        Down::Events(_) => "events",
        Down::Accepted { .. } => "accepted",
        Down::Rejected { .. } => "rejected",
        Down::Have { .. } => "have",
        Down::Healed { .. } => "healed",
        Down::Turn { .. } => "turn",
        Down::Error { .. } => "error",
        Down::Goodbye { .. } => "goodbye",
        Down::Alive => "alive",
    }
}

fn fate(fate: HealFate) -> &'static str {
    match fate {
        HealFate::Passed => "passed",
        HealFate::Gap => "gap",
        HealFate::Refused => "refused",
        HealFate::Other => "other",
        HealFate::Later => "later",
        HealFate::Branch => "branch",
    }
}

fn connection(connection: &Connection) -> &'static str {
    match connection {
        Connection::Idle => "idle",
        Connection::Offline => "offline",
        Connection::Connecting => "connecting",
        Connection::Connected => "connected",
        Connection::Waiting { .. } => "waiting",
        Connection::NeedsAuth => "needs-auth",
        Connection::Stopped { .. } => "stopped",
    }
}

/// Everything listed that is not among what was reached.
pub fn missing(reached: &BTreeMap<String, u64>) -> Vec<String> {
    let mut faults: Vec<&str> = LISTED.iter().filter_map(|what| what.strip_prefix("fault ")).collect();
    faults.sort_unstable();
    let pairs = faults.iter().enumerate().flat_map(|(place, fault)| {
        let others = faults[place + 1..].iter();
        others.map(move |other| format!("pair {fault} + {other}"))
    });
    let listed = LISTED.iter().map(|what| what.to_string()).chain(pairs);
    listed.filter(|what| !reached.contains_key(what)).collect()
}

/// What a set of walks of all scenarios has to reach, and each pair of the faults in one walk.
///
/// Not listed is what no device and no relay of this world does, because both keep the protocol, the relay asks for no token
/// and takes every connection: `up authenticate`, `down error`, refusals by a validator or by size, and the closes
/// `Malformed`, `TooLarge`, `Unexpected`, `Limit`, `Version`, `Unauthorized` and `Overloaded`. Tests of the machines
/// (sync-core) and of the relay's program (`tests/relay`) reach those. So with the storage that is gone under a running
/// page (`storage-lost`), which `tests/chaos` deletes. Own events that are refused or void are no longer among a device's open
/// ones: they stand here as `rejection` and `item void`. A heal is told `refused` by one walk in a thousand, which a test of
/// the relay's machine (`heal_tells_what_was_refused_and_what_something_else_took`) and the suite of the stores reach.
pub const LISTED: &[&str] = &[
    "up hello",
    "up subscribe",
    "up unsubscribe",
    "up publish",
    "up heal",
    "up applied",
    "up alive",
    "down welcome",
    "down subscribed",
    "down snapshot",
    "down events",
    "down accepted",
    "down rejected",
    "down have",
    "down healed",
    "down turn",
    "down goodbye",
    "down alive",
    "close GoingAway",
    "close HandshakeTimeout",
    "close Silence",
    "resume yes",
    "resume no",
    "verdict passed",
    "verdict gap",
    "verdict other",
    "verdict later",
    "snapshot in parts",
    "refusal refused",
    "refusal depends-on-rejected",
    "rejection refused",
    "rejection depends-on-rejected",
    "rejection reason-lost",
    "rejection unsure",
    "own unsent",
    "own sent",
    "own accepted",
    "own owed",
    "own seen",
    "item void",
    "own renamed",
    "stream reset",
    "stream not loaded",
    "stream not answered",
    "stream behind",
    "stream at the head, not caught up",
    "stream caught up",
    "full bytes unanswered by the relay",
    "full bytes unanswered by the store",
    "full bytes sent and not confirmed",
    "connection idle",
    "connection offline",
    "connection connecting",
    "connection connected",
    "connection waiting",
    "storage Full",
    "storage Failed",
    "failed storage-full",
    "failed storage-unavailable",
    "version older",
    "version newer",
    "network delay",
    "network frame on a socket given up",
    "disk call failed",
    "fault discard",
    "fault refusal",
    "fault store-busy",
    "fault store-unknown",
    "fault store-slow",
    "fault hint-lost",
    "fault hint-twice",
    "fault cut",
    "fault old-socket",
    "fault absence",
    "fault half-open",
    "fault relay-crash",
    "fault relay-drain",
    "fault relay-restore",
    "fault relay-loss",
    "fault relay-disk-full",
    "fault new-epochs",
    "fault trim",
    "fault device-crash",
    "fault device-restore",
    "fault wipe",
    "fault clone",
    "fault quota",
    "fault disk-failure",
    "fault host-frozen",
    "fault host-thawed",
    "fault second-page",
    "fault page-closed",
    "fault stream-closed",
    "fault sleep",
    "fault days",
    "fault clock-jump",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Without this a gate over an empty list would be open.
    #[test]
    fn what_was_never_reached_is_named() {
        let all = missing(&BTreeMap::new());
        assert!(all.contains(&"fault cut".into()) && all.contains(&"pair cut + trim".into()));
        let mut reached: BTreeMap<String, u64> = all.iter().map(|what| (what.clone(), 1)).collect();
        assert_eq!(missing(&reached), [] as [String; 0]);
        reached.remove("pair cut + trim");
        assert_eq!(missing(&reached), ["pair cut + trim"]);
    }
}
