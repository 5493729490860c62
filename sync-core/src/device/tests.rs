//! The device against the relay's machine and the stores in memory, without a network: what the seeded world in `tests/`
//! does not look at.

use super::*;
use crate::event::{Content, Kind};
use crate::memory::{MemoryDisk, MemoryStore};
use crate::relay::store::{ReadAnswer, Snapshot};
use crate::relay::{self, Answer, Reason, Relay, RelayConfig, Request, Validator};
use crate::wire::{CloseCode, Known, Turn};
use std::sync::Arc;

/// One device, its disk, its connection, and the store.
struct World {
    device: Device,
    disk: MemoryDisk,
    store: MemoryStore,
    relay: Option<Relay>,
    now: Millis,
    wake: Option<Millis>,
    notices: Vec<Notice>,
    pages: Vec<Page>,
    /// What the device has said.
    said: Vec<Up>,
    /// The next commit is answered with this.
    fails: Option<StorageError>,
    /// The store has only this of the beginning of the log.
    trimmed: Option<(Epoch, Snapshot)>,
}

impl World {
    fn new() -> World {
        World {
            device: Device::new([1; 32], Options { relay: true, wants_token: false }),
            disk: MemoryDisk::default(),
            store: MemoryStore::default(),
            relay: None,
            now: Millis(0),
            wake: None,
            notices: vec![],
            pages: vec![],
            said: vec![],
            fails: None,
            trimmed: None,
        }
    }
    fn restart(&mut self) {
        self.device = Device::new([2; 32], Options { relay: true, wants_token: false });
        self.relay = None;
    }

    fn input(&mut self, input: Input) {
        let mut to_device = VecDeque::new();
        // What a new device asks for first is answered before anything is said to it.
        self.perform(&mut to_device);
        to_device.push_back(input);
        while let Some(input) = to_device.pop_front() {
            self.device.handle_input(self.now, input);
            self.perform(&mut to_device);
        }
    }

    fn perform(&mut self, to_device: &mut VecDeque<Input>) {
        let mut to_relay = VecDeque::new();
        while let Some(output) = self.device.poll_output() {
            match output {
                Output::Commit { transaction, writes } => to_device.push_back(match self.fails.take() {
                    Some(error) => Input::StorageFailed(error),
                    None => {
                        self.disk.commit(writes);
                        Input::Committed { transaction }
                    }
                }),
                Output::Load { request, table, from, to, bytes_max } => {
                    let (rows, more) = self.disk.load(table, from, to, bytes_max);
                    to_device.push_back(Input::Loaded { request, rows, more });
                }
                Output::Dial(socket) => {
                    self.relay = Some(Relay::new(RelayConfig::new([9; 16]), Arc::new(NoSpam), [3; 32], self.now));
                    to_device.push_back(Input::SocketOpened(socket));
                }
                Output::Send { bytes, .. } => {
                    self.said.extend(Up::decode_frame(&bytes).expect("a device's own"));
                    to_relay.push_back(relay::Input::Message(bytes));
                }
                Output::HangUp(_) => self.relay = None,
                Output::NeedsToken { .. } => unreachable!("no token is wanted"),
                Output::WakeAt(at) => self.wake = Some(at),
                Output::Page(page) => self.pages.push(page),
                Output::Notice(notice) => self.notices.push(notice),
            }
        }
        let socket = self.device.session.socket();
        let Some(relay) = &mut self.relay else { return };
        while let Some(input) = to_relay.pop_front() {
            relay.handle_input(input, self.now);
            while let Some(output) = relay.poll_output() {
                match output {
                    relay::Output::Authenticate { .. } => to_relay.push_back(relay::Input::Authenticated {
                        subject: None,
                        access: Access::Write,
                        time: 0,
                    }),
                    relay::Output::Send(bytes) => {
                        to_device.extend(socket.map(|socket| Input::Frame { socket, bytes }));
                    }
                    relay::Output::Store { request, ask } => {
                        let (answer, brought) = match (&self.trimmed, &ask) {
                            (Some((_, snapshot)), Request::Read(read)) if read.after < snapshot.offset => {
                                (Answer::Read(Ok(ReadAnswer::Trimmed)), None)
                            }
                            (Some(trimmed), Request::Snapshot { .. }) => {
                                (Answer::Snapshot(Ok(Some(trimmed.clone()))), None)
                            }
                            _ => self.store.answer(&ask),
                        };
                        to_relay.push_back(relay::Input::Stored { request, answer });
                        to_relay.extend(brought.map(|batch| relay::Input::Advanced(Arc::new(batch))));
                    }
                    _ => {}
                }
            }
        }
    }

    fn append(&mut self, write: u64, payload: &[u8]) {
        let payload = Bytes::copy_from_slice(payload);
        let append = Append { write, stream: stream(), kind: Kind::Application, time: 0, payload, dependent: false };
        self.input(Input::Append(append));
    }
    /// All events of the local log as a reader sees them, page by page.
    fn read_all(&mut self) -> Vec<Event> {
        let (mut events, mut after) = (vec![], Offset::ZERO);
        loop {
            self.input(Input::Read { request: 1, stream: stream(), after, bytes_max: 2000 });
            let page = self.pages.pop().expect("a read is answered");
            assert_eq!(page.after, after, "a reader gets no gap");
            after = page.upto;
            events.extend(page.events);
            if !page.more {
                return events;
            }
        }
    }
    /// What a relay says that is no relay's machine.
    fn hears(&mut self, message: Down) {
        let socket = self.device.session.socket().expect("connected");
        self.input(Input::Frame { socket, bytes: message.encode() });
    }
    /// The publishes since this was asked last: first sequence, and how many.
    fn published(&mut self) -> Vec<(Sequence, usize)> {
        let publish = |up: Up| match up {
            Up::Publish(publish) => Some((publish.first, publish.items.len())),
            _ => None,
        };
        core::mem::take(&mut self.said).into_iter().filter_map(publish).collect()
    }
    fn rows(&self, table: Table) -> usize {
        self.disk.load(table, vec![], vec![0xFF], usize::MAX).0.len()
    }
    fn failures(&self) -> Vec<(u64, &'static str)> {
        let failed = |notice: &Notice| match notice {
            Notice::Failed { write, code, .. } => Some((*write, *code)),
            _ => None,
        };
        self.notices.iter().filter_map(failed).collect()
    }
}

/// Refuses `spam`.
struct NoSpam;

impl Validator for NoSpam {
    fn validate(&self, _: Option<&str>, _: &StreamName, content: &Content) -> Result<(), Reason> {
        let refusal = Reason { code: "unwelcome".into(), reason: String::new() };
        if &content.payload[..] == b"spam" { Err(refusal) } else { Ok(()) }
    }
}

fn stream() -> StreamName {
    StreamName::new("notes/shopping").expect("a name")
}

#[test]
fn small_batches_are_folded_when_it_is_quiet_and_nothing_is_missing() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    for write in 1..=300 {
        world.append(write, b"one keystroke");
    }
    assert!(world.rows(Table::Events) < 100, "a page that never rests does not collect rows for ever");
    world.now = world.now.plus(3_000);
    world.input(Input::Timer);
    assert!(world.rows(Table::Events) <= 2, "{} rows", world.rows(Table::Events));
    assert_eq!(world.read_all(), world.store.events(&stream()));
    world.restart();
    world.input(Input::Open { stream: stream() });
    world.append(301, b"after a restart");
    assert_eq!(world.read_all(), world.store.events(&stream()));
    assert_eq!(world.read_all().len(), 301);
}

#[test]
fn a_full_disk_fails_the_write_and_nothing_else() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    world.append(1, b"a1");
    world.fails = Some(StorageError::Full);
    world.append(2, b"lost, and said so");
    assert_eq!(world.failures(), [(2, "storage-full")]);
    world.now = world.now.plus(BACKOFF_MS_MAX);
    world.input(Input::Timer);
    world.append(3, b"a2");
    let payloads = |events: &[Event]| -> Vec<Bytes> {
        events.iter().map(|e| Content::decode(&e.content).expect("content").payload).collect()
    };
    assert_eq!(payloads(world.store.events(&stream())), ["a1", "a2"]);
    assert_eq!(world.read_all(), world.store.events(&stream()));
}

#[test]
fn an_event_over_the_limit_is_an_error_of_its_writer() {
    let mut world = World::new();
    world.append(1, &vec![0; EVENT_BYTES_MAX]);
    assert_eq!(world.failures(), [(1, "too-large")]);
    world.append(2, b"small");
    assert_eq!(world.store.events(&stream()).len(), 1);
}

#[test]
fn a_store_of_a_newer_format_is_not_touched() {
    let mut world = World::new();
    world.append(1, b"a1");
    let mut row = crate::wire::codec::Writer::new();
    row.begin_map().u64(0).u64(rows::FORMAT + 1).end();
    let (table, key, value) = (Table::Device, rows::key_of_device(), row.finish().into());
    world.disk.commit(vec![Write::Put { table, key, value }]);
    let before = world.disk.clone();
    world.restart();
    world.append(2, b"refused");
    assert_eq!(world.device.failure(), Some("outdated-app"));
    assert_eq!(world.failures(), [(2, "outdated-app")]);
    assert_eq!(world.disk, before);
}

#[test]
fn what_is_larger_than_the_window_arrives_snapshot_and_events() {
    let mut world = World::new();
    for write in 1..=100 {
        world.append(write, &vec![write as u8; 3 * WINDOW_BYTES / 100]);
    }
    let events = world.store.events(&stream()).to_vec();
    let epoch = world.device.streams.values().next().expect("the stream").record.epoch;
    let check = events[..3].iter().fold(digest::check_of_empty(epoch), |check, e| digest::check(check, e.id, e.tag));
    let parts = vec![Bytes::from(vec![7; FRAME_BYTES_TARGET]); 3 * WINDOW_BYTES / FRAME_BYTES_TARGET];
    let bytes_total: usize = parts.iter().map(Bytes::len).sum();
    world.trimmed = Some((epoch, Snapshot { offset: Offset(3), check, parts, records: vec![] }));
    world.disk = MemoryDisk::default();
    world.restart();
    world.input(Input::Open { stream: stream() });
    world.input(Input::Read { request: 1, stream: stream(), after: Offset::ZERO, bytes_max: usize::MAX });
    let page = world.pages.pop().expect("a read is answered");
    assert_eq!((page.snapshot.map(|bytes| bytes.len()), page.upto), (Some(bytes_total), Offset(3)));
    world.input(Input::Read { request: 2, stream: stream(), after: page.upto, bytes_max: usize::MAX });
    assert_eq!(world.pages.pop().map(|page| page.events), Some(events[3..].to_vec()));
}

#[test]
fn a_device_comes_back_after_a_close_code_below_4100_and_not_from_there_on() {
    let ended_with = |code: CloseCode| {
        let mut world = World::new();
        world.input(Input::Open { stream: stream() });
        let socket = world.device.session.socket().expect("connected");
        world.input(Input::SocketClosed { socket, code: Some(code) });
        world.now = world.now.plus(BACKOFF_MS_MAX + 1);
        world.input(Input::Timer);
        world.device.session.connection()
    };
    use CloseCode::*;
    for code in [GoingAway, Silence, Overloaded, HandshakeTimeout] {
        assert_eq!(ended_with(code), Connection::Connected, "{code:?}");
    }
    assert_eq!(ended_with(Unauthorized), Connection::NeedsAuth);
    assert_eq!(ended_with(Version), Connection::Stopped { code: "outdated-app" });
    for code in [Malformed, TooLarge, Unexpected, Limit] {
        assert_eq!(ended_with(code), Connection::Stopped { code: "engine-failed" }, "{code:?}");
    }
}

#[test]
fn a_silent_device_says_alive_and_gives_a_silent_relay_up() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    // From here on the relay hears and says nothing.
    world.relay = None;
    world.now = world.now.plus(ALIVE_EVERY_MS);
    world.device.handle_input(world.now, Input::Timer);
    let sent = std::iter::from_fn(|| world.device.poll_output()).find_map(|output| match output {
        Output::Send { bytes, .. } => Some(bytes),
        _ => None,
    });
    assert_eq!(sent, Some(crate::wire::Up::Alive.encode()));
    world.now = world.now.plus(SILENCE_MS_MAX - ALIVE_EVERY_MS - 1);
    world.input(Input::Timer);
    assert_eq!(world.device.session.connection(), Connection::Connected);
    world.now = world.now.plus(1);
    world.input(Input::Timer);
    assert!(matches!(world.device.session.connection(), Connection::Waiting { .. }));
}

#[test]
fn the_head_is_known_on_a_live_connection_only_and_each_refresh_is_answered() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    world.append(1, b"a1");
    // The second answer came unasked, when the stream was born.
    let state = world.device.stream_state(&stream()).expect("the stream");
    assert_eq!((state.head, state.answers, state.caught_up), (Some(Offset(1)), 2, true));
    world.input(Input::Refresh { stream: stream() });
    let state = StreamState { answers: 3, ..state };
    assert_eq!(
        world.notices.iter().rfind(|notice| matches!(notice, Notice::Stream { .. })),
        Some(&Notice::Stream { stream: stream(), state })
    );
    world.input(Input::Disconnect);
    let state = world.device.stream_state(&stream()).expect("the stream");
    assert_eq!((state.head, state.caught_up), (None, false));
}

/// R8: to send it again would be answered by `have`, and that by more of it.
#[test]
fn what_is_under_way_is_not_sent_again_before_its_own_answer() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    // From here on the test is the relay.
    world.relay = None;
    for write in 1..=3 {
        world.append(write, b"typing");
    }
    assert_eq!(world.published(), [(1, 1), (2, 1), (3, 1)]);
    let a1 = world.device.pending(&stream())[0].0.clone();
    let (producer, known) = (a1.id.producer, Known { last: 1, tag: a1.tag, refused: vec![] });
    let has = |known: &Known, head: u64| {
        let (epoch, head, turn) = (Epoch([5; 16]), Offset(head), Turn::Wait);
        let (access, known) = (Access::Write, known.clone());
        Down::Subscribed(Subscribed { stream: stream(), epoch, head, resume: true, known, access, turn })
    };
    let have = |sequence: Sequence| {
        let known = known.clone();
        Down::Have { stream: stream(), producer, sequence, known, head: Offset(1) }
    };
    // The log is born, and a1 that came over an older socket gets into it. The publishes are still under way.
    for told in [has(&Known::default(), 0), has(&known, 1), have(1), have(2)] {
        world.hears(told.clone());
        assert_eq!(world.published(), [], "told {told:?}");
    }
    world.hears(have(3));
    assert_eq!(world.published(), [(2, 2)]);
}

#[test]
fn what_is_told_to_a_device_that_loads_is_unsaved_only_if_it_is_a_write() {
    let mut device = Device::new([1; 32], Options { relay: true, wants_token: false });
    device.handle_input(Millis(0), Input::Open { stream: stream() });
    assert!(device.is_loading());
    assert_eq!(device.unsaved(), 0);
    let payload = Bytes::from_static(b"a1");
    let append = Append { write: 1, stream: stream(), kind: Kind::Application, time: 0, payload, dependent: false };
    device.handle_input(Millis(0), Input::Append(append));
    assert_eq!(device.unsaved(), 1);
}

#[test]
fn a_pending_event_counts_as_saved_with_its_transaction_and_not_before() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    world.input(Input::Disconnect);
    world.append(1, b"a1");
    let payload = Bytes::from_static(b"a2");
    let append = Append { write: 2, stream: stream(), kind: Kind::Application, time: 0, payload, dependent: false };
    world.device.handle_input(world.now, Input::Append(append)); // its commit is not answered
    let saved = |device: &Device| -> Vec<bool> {
        device.pending(&stream()).iter().map(|(event, _)| device.is_saved(&stream(), event.id)).collect()
    };
    assert_eq!(saved(&world.device), [true, false]);
    let mut inputs = VecDeque::new();
    world.perform(&mut inputs);
    for input in inputs {
        world.device.handle_input(world.now, input);
    }
    assert_eq!(saved(&world.device), [true, true]);
}

/// R16: it waits for the own event in the other stream, and a refusal ends that as well as a place in the log does.
#[test]
fn an_event_goes_as_soon_as_its_cause_in_another_stream_is_refused() {
    let mut world = World::new();
    let other = StreamName::new("s/2").expect("a name");
    for stream in [stream(), other.clone()] {
        world.input(Input::Open { stream });
    }
    world.input(Input::Disconnect);
    world.append(1, b"spam");
    let payload = Bytes::from_static(b"b1");
    let append =
        Append { write: 2, stream: other.clone(), kind: Kind::Application, time: 0, payload, dependent: false };
    world.input(Input::Append(append));
    world.input(Input::Connect);
    assert_eq!(world.device.rejections().len(), 1);
    assert_eq!(world.store.events(&other).len(), 1, "it does not wait for a timer");
}

#[test]
fn an_own_event_that_had_no_effect_is_listed_once_and_goes_its_way() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    world.input(Input::Disconnect);
    world.append(1, b"a1");
    let event = world.device.pending(&stream())[0].0.clone();
    let rejection = |id: EventId| {
        let (code, reason) = ("profile-copied".into(), String::new());
        Input::Reject { stream: stream(), rejection: Rejection { id, code, reason, content: event.content.clone() } }
    };
    world.input(rejection(event.id));
    world.input(rejection(EventId { sequence: 7, ..event.id })); // another page, which knew it by another id
    let told = world.notices.iter().filter(|notice| matches!(notice, Notice::Rejected { .. })).count();
    assert_eq!((told, world.device.pending(&stream()).len()), (1, 1));
    world.input(Input::Connect);
    assert_eq!(world.store.events(&stream()).len(), 1);
    world.restart();
    world.input(Input::Open { stream: stream() });
    let listed = world.device.rejections();
    assert_eq!((listed.len(), listed[0].1.id, &*listed[0].1.code), (1, event.id, "profile-copied"));
    world.input(Input::DropRejection { stream: stream(), id: event.id });
    assert_eq!(world.device.rejections(), []);
}

#[test]
fn writers_of_one_device_have_ids_of_their_own() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    let ids = [world.device.writer(0), world.device.writer(1)];
    assert_ne!(ids[0], ids[1]);
    world.restart();
    world.input(Input::Open { stream: stream() });
    assert_eq!([world.device.writer(0), world.device.writer(1)], ids);
}

#[test]
fn what_a_device_holds_is_told_with_its_kind_and_size_also_after_a_restart() {
    let mut world = World::new();
    world.input(Input::Open { stream: stream() });
    assert_eq!(world.device.streams(), [], "nothing is here yet");
    world.append(1, &[7; 1000]);
    let held = world.device.streams();
    assert_eq!((&held[0].name, held[0].kind, held[0].pending), (&stream(), Kind::Application, 0));
    assert!((1000..1200).contains(&held[0].used_bytes), "{} bytes", held[0].used_bytes);
    world.restart();
    world.input(Input::Timer);
    assert_eq!(world.device.streams(), held);
    world.input(Input::Disconnect);
    world.append(2, b"waits");
    assert_eq!(world.device.streams()[0].pending, 1);
}
