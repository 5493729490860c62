//! Records, messages and durable state: what each side keeps and what each message carries.
//!
//! One stream, one relay, a few devices. Sizes are small on purpose: a payload is a *birth number* (which append of which
//! physical device made it), so "the same event twice" is visible as a number.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Ground truth: the n-th append of a physical device. Never reused, not even after a rollback.
pub type Birth = u8;
/// A producer id. Random in the real protocol; here `device * 16 + n`, or a hash for a re-filed event.
pub type Producer = u32;
/// Stands for an 8-byte digest.
pub type Tag = u32;

/// The digest used for chains. Collisions at these sizes would show up as false alarms.
pub fn mix(a: u32, b: u32) -> u32 {
    let mut x = (u64::from(a) << 32 | u64::from(b)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (x ^ (x >> 32)) as u32
}

/// Set in derived producer ids only.
const REFILED: Producer = 0x8000_0000;

/// The producer id under which an event is filed whose own id is taken by another event (R11).
/// A function of the event, so that every holder of it files it under the same id.
pub fn refiled(producer: Producer, seq: u8, tag: Tag) -> Producer {
    mix(mix(producer, u32::from(seq)), tag) | REFILED
}

/// An event's id, and the tag that tells it from another one under that id.
pub type Id = (Producer, u8, Tag);

/// One event as the relay's log and the devices keep it. Its offset is its position.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub producer: Producer,
    /// Which.
    pub seq: u8,
    /// Producer chain: digest of the producer's events 1..=seq.
    pub tag: Tag,
    /// The same up to the sequence before.
    pub before: Tag,
    /// What it holds.
    pub birth: Birth,
    /// The producer's sequence that entered the log before this one. Every reader of the log can work it out (from the
    /// log, or from a snapshot's table); the model writes it down.
    pub prev: u8,
    /// The tag of `prev`: a heal behind another event under that id has to wait (R12).
    pub prev_tag: Tag,
}

impl Entry {
    /// Its id.
    pub fn id(&self) -> Id {
        (self.producer, self.seq, self.tag)
    }
    /// Whether both are one event, wherever they stand.
    pub fn same_event(&self, other: &Entry) -> bool {
        self.id() == other.id()
    }
    /// Whether its id is a derived one.
    pub fn is_refiled(&self) -> bool {
        self.producer & REFILED > 0
    }
    /// The same event after it was re-filed under an id derived from it.
    pub fn refile(&self) -> Entry {
        let producer = refiled(self.producer, self.seq, self.tag);
        Entry { producer, seq: 1, before: 0, prev: 0, prev_tag: 0, ..*self }
    }
}

/// What the relay knows of one producer, for ever, whatever is trimmed.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct ProducerRecord {
    /// The last sequence used up.
    pub last: u8,
    /// Its tag.
    pub tag: Tag,
    /// The last sequence that entered the log (not refused, not void).
    pub logged: (u8, Tag),
    /// Sequences it refused, with the tag of what was refused.
    pub refused: BTreeMap<u8, Tag>,
}

/// A snapshot at an offset: the state, the log check there, and what it contains of each producer.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Snapshot {
    /// Where it stands.
    pub offset: u8,
    /// The state.
    pub births: Vec<Birth>,
    /// The log check there.
    pub check: Tag,
    /// What it contains: of all producers in the store, of those that were asked for in a message.
    pub producers: BTreeMap<Producer, ProducerRecord>,
}

/// The relay's durable store for the stream. Cloned whole by a backup.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Store {
    /// Names the log's incarnation.
    pub epoch: u8,
    /// What stands for the events before `log`.
    pub snapshot: Snapshot,
    /// Events after `snapshot.offset`.
    pub log: Vec<Entry>,
    /// What it knows of each producer.
    pub producers: BTreeMap<Producer, ProducerRecord>,
}

impl Store {
    /// An empty log.
    pub fn new(epoch: u8) -> Store {
        let snapshot = Snapshot { check: seed(epoch), ..Snapshot::default() };
        Store { epoch, snapshot, ..Store::default() }
    }
    /// Events up to here are only in the snapshot.
    pub fn floor(&self) -> u8 {
        self.snapshot.offset
    }
    /// The last offset.
    pub fn head(&self) -> u8 {
        self.floor() + self.log.len() as u8
    }
    /// Log check: digest of everything up to `offset`. None below the floor or beyond the head.
    pub fn check_at(&self, offset: u8) -> Option<Tag> {
        if offset < self.floor() || offset > self.head() {
            return None;
        }
        let n = (offset - self.floor()) as usize;
        Some(self.log[..n].iter().fold(self.snapshot.check, chain))
    }
    /// All events, those in the snapshot too, in order.
    pub fn births(&self) -> Vec<Birth> {
        self.snapshot.births.iter().copied().chain(self.log.iter().map(|e| e.birth)).collect()
    }
}

/// The log check of an empty log.
pub fn seed(epoch: u8) -> Tag {
    mix(0xE, u32::from(epoch))
}

/// One step of the log check.
pub fn chain(check: Tag, e: &Entry) -> Tag {
    mix(check, mix(mix(e.producer, u32::from(e.seq)), e.tag))
}

/// Where one of the device's own events stands.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Own {
    /// In the outbox, never handed to a socket: may be discarded or squashed.
    Unsent,
    /// In the outbox, may be at the relay.
    Sent,
    /// The relay has it; it has not come back in the log yet.
    Accepted,
    /// A log that is gone had accepted it; the present one has not got it yet.
    Owed,
    /// The cursor passed it.
    Seen,
    /// Refused; it is in the rejections list.
    Refused,
    /// Discarded by the user before it was sent. Its sequence is sent as a void.
    Void,
}

/// One own event.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct OwnEvent {
    /// The chain's tag at it.
    pub tag: Tag,
    /// What it holds.
    pub birth: Birth,
    /// Where it stands.
    pub at: Own,
    /// Its content is only inside a snapshot: it cannot be healed, and its sequence goes as a void.
    pub gone: bool,
}

/// The device's durable log of the stream. Every change of it is one local transaction.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Disk {
    /// The device's own producer id.
    pub producer: Producer,
    /// Own events 1, 2, 3 ... of `producer`.
    pub mine: Vec<OwnEvent>,
    /// The log that the cursor is in.
    pub epoch: u8,
    /// Everything up to here is applied.
    pub cursor: u8,
    /// The log check there.
    pub check: Tag,
    /// The view: births applied, in order (snapshot included).
    pub view: Vec<Birth>,
    /// Applied events still kept one by one (after the last snapshot).
    pub kept: Vec<Entry>,
    /// Events applied from a log that is gone and not yet seen in the present one, in their old order.
    pub heal: Vec<Entry>,
    /// What a log did not take of it.
    pub gone: Vec<Entry>,
    /// Own events of a producer id that was given up, not yet seen in the log, and the voids of their chain.
    pub strays: Vec<Stray>,
    /// The list of rejections.
    pub rejected: Vec<Birth>,
    /// May be in the log or not: only a snapshot could tell, and it does not. The app decides.
    pub unsure: Vec<Birth>,
}

/// An own event of a given-up producer id, with the tag its chain had before it.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub struct Stray {
    /// The event, under the id that it had.
    pub event: Entry,
    /// Nothing is to enter the log: it was refused or thrown away, and the next of its chain could not come without it.
    pub void: bool,
    /// Its own id was taken by another event: it is sent under its derived one, to any later log too.
    pub taken: bool,
}

impl Stray {
    /// An event, not a void.
    pub fn is_open(&self) -> bool {
        !self.void
    }
}

/// What a device asks with `subscribe`.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Ask {
    /// Its producer id.
    pub producer: Producer,
    /// The log that its cursor is in.
    pub epoch: u8,
    /// Its cursor.
    pub after: u8,
    /// The log check there.
    pub check: Tag,
    /// Only for the mutation IdCheck: the event at the cursor.
    pub last_id: (Producer, u8),
    /// The fate of all own sequences below it is known here.
    pub settled: u8,
    /// Whose records a snapshot is to bring, besides its own.
    pub records: BTreeSet<Producer>,
}

/// device -> relay
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum Up {
    /// The first message of a link.
    Subscribe(Ask),
    /// An own sequence.
    Publish {
        /// Whose: its own, a given-up or a derived id.
        producer: Producer,
        /// Which.
        seq: u8,
        /// The chain's tag before it.
        prev_tag: Tag,
        /// The chain's tag at it.
        tag: Tag,
        /// What it holds. None is a void: the sequence is used up, nothing enters the log.
        body: Option<Birth>,
    },
    /// An event that an earlier log had accepted, with its old id.
    Heal(Entry),
}

/// relay -> device
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum Down {
    /// The answer to `subscribe`.
    Subscribed {
        /// The log.
        epoch: u8,
        /// Its last offset.
        head: u8,
        /// Go on from the cursor, or start again at 0.
        resume: bool,
        /// What the relay has of the device's producer.
        known: Known,
    },
    /// Stands for the log's beginning.
    Snapshot(Snapshot),
    /// Covers `(after, after + events.len()]`.
    Events {
        /// Behind this.
        after: u8,
        /// In log order.
        events: Vec<Entry>,
    },
    /// The sequence is used up: logged, or void.
    Accepted {
        /// Whose.
        producer: Producer,
        /// Which.
        seq: u8,
    },
    /// The sequence is used up by a refusal.
    Rejected {
        /// Whose.
        producer: Producer,
        /// Which.
        seq: u8,
    },
    /// Answer to a publish that does not continue the producer's chain.
    Have {
        /// Whose.
        producer: Producer,
        /// What was published.
        seq: u8,
        /// How many sequences the publish had, which the device knows: not on the wire.
        count: u8,
        /// What the relay has instead.
        known: Known,
        /// The log's last offset.
        head: u8,
    },
    /// Answer to a heal.
    Healed {
        /// The event.
        event: Entry,
        /// The verdict stands once the cursor reaches this.
        head: u8,
        /// The verdict.
        verdict: Verdict,
    },
}

/// What became of an event to heal.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq)]
pub enum Verdict {
    /// It is in the log, or its sequence was used up by something else. The log tells which.
    Passed,
    /// Something else has used its sequence up for certain: a void, or another branch of its producer's chain.
    Other,
    /// This very event was refused.
    Refused,
    /// What stood before it is not there yet.
    Gap,
    /// What stood before it is another event here: it is on another branch of its producer's chain.
    Branch,
    /// It stands behind one of the same message that something else took the place of: to be sent again behind that.
    Later,
}

/// What the relay has of a producer.
#[derive(Clone, Debug, Default, Hash, PartialEq, Eq)]
pub struct Known {
    /// The last sequence used up.
    pub last: u8,
    /// Its tag.
    pub tag: Tag,
    /// Refused sequences whose fate the device may not know.
    pub refused: BTreeMap<u8, Tag>,
}

/// Where a subscription stands.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub enum Phase {
    /// `subscribe` sent.
    Asking,
    /// Answered: `head` and `last` as the relay said then.
    Live {
        /// The log's last offset.
        head: u8,
        /// The producer's last sequence.
        last: u8,
    },
}

/// The relay's side of a subscription.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Subscriber {
    /// All up to here was handed over.
    pub position: u8,
    /// Whose device it is.
    pub producer: Producer,
    /// From the ask: refusals of own sequences below it need not be said.
    pub settled: u8,
    /// From the ask: whose records a snapshot brings.
    pub records: BTreeSet<Producer>,
}

/// One connection: both queues, the device's volatile session and the relay's.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Link {
    /// Under way to the relay.
    pub up: Vec<Up>,
    /// Under way to the device.
    pub down: Vec<Down>,
    /// Where the subscription stands.
    pub phase: Phase,
    /// The relay lets this device heal now. It always does in the checker: turns only save traffic.
    pub go: bool,
    /// Next own sequence to send.
    pub next: u8,
    /// What went out of `heal` on this link.
    pub heal_sent: BTreeSet<Id>,
    /// The ids under which strays went out on this link.
    pub strays_sent: BTreeSet<Id>,
    /// What was published or healed here and is not answered.
    pub unanswered: BTreeSet<(Producer, u8)>,
    /// Nothing was received since the last heal was sent: the next goes in the same message.
    pub wave: bool,
    /// Fates that stand once the cursor reaches the offset.
    pub verdicts: Vec<(Entry, Verdict, u8)>,
    /// Events to heal whose predecessor the relay lacks.
    pub gaps: BTreeSet<Id>,
    /// The relay's side, once it has read the subscribe.
    pub subscriber: Option<Subscriber>,
}

impl Link {
    /// A connection on which `ask` is under way.
    pub fn asking(ask: Option<Ask>) -> Link {
        Link {
            up: ask.into_iter().map(Up::Subscribe).collect(),
            down: vec![],
            phase: Phase::Asking,
            go: true,
            next: 1,
            heal_sent: BTreeSet::new(),
            strays_sent: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            wave: false,
            verdicts: vec![],
            gaps: BTreeSet::new(),
            subscriber: None,
        }
    }
    /// Everything up to this sequence of the producer is answered.
    pub fn answered(&mut self, producer: Producer, upto: u8) {
        self.unanswered.retain(|(p, seq)| *p != producer || *seq > upto);
    }
}

/// A physical device.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
pub struct Device {
    /// A slot for a clone is not before the clone is made.
    pub used: bool,
    /// Its profile.
    pub disk: Disk,
    /// An older copy of it.
    pub saved: Option<Arc<Disk>>,
    /// Its connection.
    pub link: Option<Link>,
    /// A socket the device gave up whose bytes may still reach the relay.
    pub old_up: Vec<Up>,
    /// Only for the mutations OldSocket and NoCoverage: what it still reads from that socket.
    pub old_down: Vec<Down>,
    /// Ground truth: appends made by this hardware.
    pub appends: u8,
    /// Ground truth: producer ids taken by this hardware.
    pub ids: u8,
    /// Only for the mutation CursorApart: a cursor not yet committed with its effect.
    pub loose_cursor: Option<(u8, Tag)>,
    /// Volatile: an event under its own producer id came by that it did not make.
    pub suspect: bool,
}

impl Device {
    /// Hardware with an empty profile.
    pub fn new(number: usize, used: bool) -> Device {
        Device {
            used,
            disk: Disk::new(number as Producer * 16 + 1),
            saved: None,
            link: None,
            old_up: vec![],
            old_down: vec![],
            appends: 0,
            ids: 1,
            loose_cursor: None,
            suspect: false,
        }
    }
    /// A producer id that this hardware has not had.
    pub fn fresh(&self, number: usize) -> Producer {
        number as Producer * 16 + 1 + Producer::from(self.ids)
    }
}
