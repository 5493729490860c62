//! The machine against a small store in memory, which answers at once unless a test holds it back.

use super::store::*;
use super::*;
use crate::digest;
use crate::event::{Bodies, Content, Event, Kind, Run};
use crate::ids::*;
use crate::wire::*;
use std::collections::{BTreeMap, VecDeque};

const MINE: ProducerId = ProducerId([1; 16]);
const OTHERS: ProducerId = ProducerId([2; 16]);
const EPOCH: Epoch = Epoch([7; 16]);

#[derive(Default)]
struct Log {
    epoch: Epoch,
    events: Vec<Event>,
    known: BTreeMap<ProducerId, Known>,
    /// What is up to its offset is only in it.
    snapshot: Option<Snapshot>,
    /// Items of one append.
    append_max: Option<usize>,
}

impl Log {
    fn floor(&self) -> Offset {
        self.snapshot.as_ref().map_or(Offset::ZERO, |snapshot| snapshot.offset)
    }
    fn head(&self) -> DurableOffset {
        DurableOffset::minted_by_store(Offset(self.events.len() as u64))
    }
    fn put(&mut self, id: EventId, tag: Tag, tag_before: Tag, content: Bytes) -> DurableOffset {
        let prev = self.events.iter().rev().find(|e| e.id.producer == id.producer);
        let prev = prev.map_or((0, Tag::ZERO), |e| (e.id.sequence, e.tag));
        let offset = Offset(self.events.len() as u64 + 1);
        let (author, causes, needs_prev) = (None, vec![], false);
        self.events.push(Event { id, tag, tag_before, prev, offset, author, needs_prev, causes, content });
        self.epoch = EPOCH;
        self.head()
    }
    fn append(&mut self, append: &Append) -> Result<Appended, StoreError> {
        let has_event = append.items.iter().any(|item| matches!(item.body, Body::Event { .. }));
        if has_event && self.append_max.is_some_and(|max| append.items.len() > max) {
            return Err(StoreError::TooLarge);
        }
        let known = self.known.get(&append.producer).cloned().unwrap_or_default();
        let last = append.first + append.items.len() as u64 - 1;
        let inside = (append.first..=last).contains(&known.last);
        let repeats = inside && append.items[(known.last - append.first) as usize].tag == known.tag;
        if !repeats && (append.first, append.tag_before) != (known.last + 1, known.tag) {
            return Err(StoreError::Chain { known, head: self.head().offset() });
        }
        let old = if repeats { (known.last + 1 - append.first) as usize } else { 0 };
        let (mut outcomes, mut before) = (vec![], append.origin);
        for (index, item) in append.items.iter().enumerate() {
            let id = EventId { producer: append.producer, sequence: append.first + index as u64 };
            let known = self.known.entry(append.producer).or_default();
            let refusal = known.refused.iter().find(|r| r.sequence == id.sequence).cloned();
            if index >= old {
                (known.last, known.tag) = (id.sequence, item.tag);
            }
            outcomes.push(match (&item.body, refusal) {
                (_, Some(Refusal { code, reason, .. })) => Outcome::Refused { code, reason },
                (Body::Void, _) => Outcome::Void,
                (Body::Refused { code, reason }, _) => {
                    let (code, reason) = (code.clone(), reason.clone());
                    let refusal = (id.sequence, item.tag, code.clone(), reason.clone());
                    let (sequence, tag, c, r) = refusal;
                    known.refused.push(Refusal { sequence, tag, code: c, reason: r });
                    Outcome::Refused { code, reason }
                }
                (Body::Event { .. }, _) if index < old => Outcome::Logged(self.head()),
                (Body::Event { content, .. }, _) => Outcome::Logged(self.put(id, item.tag, before, content.clone())),
            });
            before = item.tag;
        }
        Ok(Appended { epoch: self.epoch, outcomes, new: append.items.len() - old, head: self.head() })
    }
    fn read(&self, after: Offset, bytes_max: usize) -> Batch {
        let (mut runs, mut bytes, mut upto) = (vec![], 0, self.head().offset());
        for event in &self.events[after.0 as usize..] {
            let encoded: Bytes = encode_run(&Run::of(event)).into();
            if bytes > 0 && bytes + encoded.len() > bytes_max {
                upto = Offset(event.offset.0 - 1);
                break;
            }
            bytes += encoded.len();
            runs.push(EncodedRun {
                producer: event.id.producer,
                first: event.id.sequence,
                events: 1,
                offset: event.offset,
                content_bytes: event.content.len() as u32,
                bytes: encoded,
            });
        }
        Batch { after, upto: DurableOffset::minted_by_store(upto), runs }
    }
    fn answer(&mut self, ask: &Request) -> Answer {
        match ask {
            Request::Resume(ask) => Answer::Resume(Ok(ResumeInfo {
                epoch: self.epoch,
                head: self.head().offset(),
                floor: self.floor(),
                check: ask.check_at.and_then(|(epoch, at)| (epoch == self.epoch).then(|| self.check(at))?),
                known: self.known.get(&ask.producer).map(|k| k.told_from(ask.settled)).unwrap_or_default(),
            })),
            Request::Append(append) => Answer::Append(self.append(append)),
            Request::Heal(heal) => Answer::Heal(Ok(Healed {
                epoch: EPOCH,
                outcomes: heal.events.iter().map(|e| self.heal(e)).collect(),
                head: self.head(),
            })),
            Request::Read(ask) => Answer::Read(Ok(if ask.epoch == self.epoch && ask.after < self.floor() {
                ReadAnswer::Trimmed
            } else if ask.epoch == self.epoch {
                ReadAnswer::Batch(self.read(ask.after, ask.bytes_max))
            } else {
                ReadAnswer::Replaced { epoch: self.epoch }
            })),
            Request::Snapshot { .. } => Answer::Snapshot(Ok(self.snapshot.clone().map(|s| (self.epoch, s)))),
        }
    }
    fn check(&self, at: Offset) -> Option<Check> {
        let start = digest::check_of_empty(self.epoch);
        let events = self.events.get(..at.0 as usize)?;
        Some(events.iter().fold(start, |check, e| digest::check(check, e.id, e.tag)))
    }
    fn heal(&mut self, event: &Event) -> HealOutcome {
        let last = self.known.get(&event.id.producer).map_or(0, |known| known.last);
        if event.id.sequence <= last {
            return HealOutcome::Passed;
        }
        if event.prev.0 > last {
            return HealOutcome::Gap;
        }
        let known = self.known.entry(event.id.producer).or_default();
        (known.last, known.tag) = (event.id.sequence, event.tag);
        HealOutcome::Taken(self.put(event.id, event.tag, event.tag_before, event.content.clone()))
    }
}

/// One connection, its store, and what its device was sent.
struct World {
    relay: Relay,
    logs: BTreeMap<StreamName, Log>,
    /// Held-back questions, oldest first; `None`: the store answers at once.
    held: Option<VecDeque<(u64, Request)>>,
    now: Millis,
    told: Vec<Down>,
    frames: Vec<Bytes>,
    others: Vec<Output>,
    closed: Option<CloseCode>,
}

struct Words(&'static str);

impl Validator for Words {
    fn validate(&self, _: Option<&str>, _: &StreamName, content: &Content) -> Result<(), Reason> {
        let has_word = content.payload.windows(self.0.len()).any(|part| part == self.0.as_bytes());
        if has_word { Err(Reason { code: "word".into(), reason: "not here".into() }) } else { Ok(()) }
    }
}

impl World {
    fn silent() -> World {
        let config = RelayConfig::new([9; 16]);
        World {
            relay: Relay::new(config, Arc::new(Words("spam")), [3; 32], Millis(0)),
            logs: BTreeMap::new(),
            held: None,
            now: Millis(0),
            told: vec![],
            frames: vec![],
            others: vec![],
            closed: None,
        }
    }
    fn new() -> World {
        let mut world = World::silent();
        world.say(hello());
        assert!(matches!(world.told.remove(0), Down::Welcome(welcome) if welcome.version == 1));
        world
    }
    fn say(&mut self, up: Up) -> &mut World {
        self.input(Input::Message(up.encode()))
    }
    fn input(&mut self, input: Input) -> &mut World {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            self.relay.handle_input(input, self.now);
            while let Some(output) = self.relay.poll_output() {
                assert!(self.closed.is_none(), "nothing follows a close");
                match output {
                    Output::Send(frame) => {
                        self.told.extend(Down::decode_frame(&frame).expect("the relay speaks the protocol"));
                        self.frames.push(frame);
                    }
                    Output::Authenticate { .. } => {
                        inputs.push_back(Input::Authenticated { subject: None, access: Access::Write, time: 5 });
                    }
                    Output::Store { request, ask } => match &mut self.held {
                        Some(held) => held.push_back((request, ask)),
                        None => inputs.push_back(Input::Stored { request, answer: self.answer(&ask) }),
                    },
                    Output::TurnWanted(stream) => inputs.push_back(Input::Turn { stream, turn: Turn::Go }),
                    Output::Close(code) => self.closed = Some(code),
                    other => self.others.push(other),
                }
            }
        }
        self
    }
    fn answer(&mut self, ask: &Request) -> Answer {
        let stream = match ask {
            Request::Resume(ask) => &ask.stream,
            Request::Append(ask) => &ask.stream,
            Request::Heal(ask) => &ask.stream,
            Request::Read(ask) => &ask.stream,
            Request::Snapshot { stream, .. } => stream,
        };
        self.logs.entry(stream.clone()).or_default().answer(ask)
    }
    /// Answers the oldest question that was held back.
    fn let_answer(&mut self) -> &mut World {
        let (request, ask) = self.held.as_mut().and_then(VecDeque::pop_front).expect("a question");
        let answer = self.answer(&ask);
        self.input(Input::Stored { request, answer })
    }
    fn told(&mut self) -> Vec<Down> {
        std::mem::take(&mut self.told)
    }
    /// Others write `n` events of `bytes` bytes into the log; the feed tells of them in one hint.
    fn others_write(&mut self, stream: &str, n: usize, bytes: usize) -> Input {
        let log = self.logs.entry(name(stream)).or_default();
        let after = log.head().offset();
        for _ in 0..n {
            let known = log.known.entry(OTHERS).or_default();
            let content = content(&vec![b'x'; bytes]);
            let (id, before) = (EventId { producer: OTHERS, sequence: known.last + 1 }, known.tag);
            (known.last, known.tag) = (id.sequence, digest::tag(before, &content));
            let tag = known.tag;
            log.put(id, tag, before, content);
        }
        Input::Advanced(Arc::new(SharedBatch::new(name(stream), log.epoch, log.read(after, usize::MAX))))
    }
}

fn name(stream: &str) -> StreamName {
    StreamName::new(stream).expect("a name")
}

fn hello() -> Up {
    Up::Hello(Hello { version_min: 1, version_max: 9, producer: MINE, token: None })
}

fn content(payload: &[u8]) -> Bytes {
    Content { kind: Kind::Application, time: 1, payload: payload.to_vec().into() }.encode()
}

fn subscribe(stream: &str, after: u64) -> Up {
    let (epoch, check) = (EPOCH, Check::default());
    let (after, producer, settled, records) = (Offset(after), MINE, 1, vec![]);
    Up::Subscribe(Subscribe { stream: name(stream), epoch, after, check, producer, settled, records })
}

/// A publish of own events with these payloads, `first` being 1 or what follows `before`.
fn publish(stream: &str, before: &[&str], payloads: &[&str]) -> Up {
    let tag_before = before.iter().fold(Tag::ZERO, |tag, payload| digest::tag(tag, &content(payload.as_bytes())));
    let event = |payload: &&str| Item::Event { content: content(payload.as_bytes()), causes: vec![], needs: None };
    Up::Publish(Publish {
        stream: name(stream),
        producer: MINE,
        first: before.len() as u64 + 1,
        tag_before,
        origin: None,
        items: payloads.iter().map(event).collect(),
    })
}

fn accepted(told: &[Down]) -> Vec<(Sequence, Sequence)> {
    let range = |down: &Down| match down {
        Down::Accepted { first, last, .. } => Some((*first, *last)),
        _ => None,
    };
    told.iter().filter_map(range).collect()
}

fn events(told: &[Down]) -> Vec<(u64, u64)> {
    let range = |down: &Down| match down {
        Down::Events(events) => Some((events.after.0, events.upto.0)),
        _ => None,
    };
    told.iter().filter_map(range).collect()
}

#[test]
fn a_publish_is_accepted_once_and_only_after_the_store_has_it() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).told();
    world.held = Some(VecDeque::new());
    world.say(publish("s", &[], &["a1"]));
    assert_eq!(world.told(), vec![], "nothing is said before the store has answered (R2)");
    world.say(publish("s", &["a1"], &["a2"])).say(publish("s", &["a1", "a2"], &["a3"]));
    assert_eq!(world.held.as_ref().map(VecDeque::len), Some(1), "one append of a producer at a time");
    world.let_answer();
    assert_eq!(accepted(&world.told()), vec![(1, 1)]);
    // The birth of the log is asked about first; then comes one append of all that arrived meanwhile.
    while world.held.as_ref().is_some_and(|held| !held.is_empty()) {
        world.let_answer();
    }
    let told = world.told();
    assert_eq!(accepted(&told), vec![(2, 3)], "what arrived meanwhile is one append");
    assert!(told.iter().any(|d| matches!(d, Down::Subscribed(s) if s.epoch == EPOCH && s.resume)), "born");
}

#[test]
fn a_devices_repeat_gets_have_and_so_does_a_broken_chain() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).say(publish("s", &[], &["a1", "a2"])).told();
    world.say(publish("s", &[], &["a1", "a2"]));
    assert!(matches!(&world.told()[..], [Down::Have { sequence: 1, known, .. }] if known.last == 2));
    world.say(publish("s", &["b1", "b2"], &["a3"]));
    assert!(matches!(&world.told()[..], [Down::Have { sequence: 3, known, .. }] if known.last == 2));
    assert_eq!(world.logs[&name("s")].events.len(), 2);
}

#[test]
fn haves_come_in_the_order_of_the_publishes_and_before_what_was_published_behind() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).say(publish("s", &[], &["a1"])).told();
    world.held = Some(VecDeque::new());
    world.say(publish("s", &["b1", "b2"], &["a3"])).say(publish("s", &["b1"], &["a2"])).say(publish(
        "s",
        &["a1"],
        &["a2"],
    ));
    while world.held.as_ref().is_some_and(|held| !held.is_empty()) {
        assert_eq!(world.held.as_ref().map(VecDeque::len), Some(1), "one question of a stream's publishes at a time");
        world.let_answer();
    }
    let answers: Vec<_> = world
        .told()
        .iter()
        .filter_map(|down| match down {
            Down::Have { sequence, .. } => Some(*sequence),
            Down::Accepted { first, .. } => Some(100 + first),
            _ => None,
        })
        .collect();
    assert_eq!(answers, [3, 2, 102]);
}

/// A device waits for the answer to each of its publishes, and does not know which of them became one append.
#[test]
fn each_publish_has_its_own_have_those_that_were_joined_too() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).say(publish("s", &[], &["a1"])).told();
    world.held = Some(VecDeque::new());
    world.say(publish("s", &["a1"], &["a2"]));
    // These two arrive while the store has the first: they go to it as one.
    world.say(publish("s", &["b1", "b2"], &["b3"])).say(publish("s", &["b1", "b2", "b3"], &["b4"]));
    while world.held.as_ref().is_some_and(|held| !held.is_empty()) {
        world.let_answer();
    }
    let told = world.told();
    let haves = told.iter().filter_map(|down| match down {
        Down::Have { sequence, known, .. } => Some((*sequence, known.last)),
        _ => None,
    });
    assert_eq!(haves.collect::<Vec<_>>(), [(3, 2), (4, 2)], "{told:?}");
}

#[test]
fn a_refusal_uses_its_sequence_up_and_is_told_again_from_settled_on() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).say(publish("s", &[], &["a1", "spam", "a3"]));
    let told = world.told();
    assert_eq!(accepted(&told), vec![(1, 1), (3, 3)]);
    let refused = told.iter().find_map(|d| match d {
        Down::Rejected { refusal, .. } => Some(refusal.clone()),
        _ => None,
    });
    assert_eq!(refused.map(|r| (r.sequence, r.code)), Some((2, "word".into())));
    let Up::Subscribe(mut ask) = subscribe("s", 0) else { unreachable!("it is a subscribe") };
    world.say(Up::Subscribe(ask.clone()));
    assert!(world.told().iter().any(|d| matches!(d, Down::Subscribed(s) if s.known.refused.len() == 1)));
    ask.settled = 3;
    world.say(Up::Subscribe(ask));
    assert!(world.told().iter().any(|d| matches!(d, Down::Subscribed(s) if s.known.refused.is_empty())));
}

#[test]
fn an_unknown_outcome_is_settled_by_the_same_request_and_the_device_hears_nothing_meanwhile() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).told();
    world.held = Some(VecDeque::new());
    world.say(publish("s", &[], &["a1"]));
    let (request, ask) = world.held.as_mut().and_then(VecDeque::pop_front).expect("the append");
    let _stored = world.answer(&ask);
    world.input(Input::Stored { request, answer: Answer::Append(Err(StoreError::Unknown)) });
    assert_eq!(world.told(), vec![]);
    assert_eq!(world.held.as_ref().map(VecDeque::len), Some(0), "not at once");
    world.now = Millis(5_000);
    world.input(Input::Timer);
    assert_eq!(world.held.as_ref().and_then(|held| held.front().cloned()), Some((request, ask)));
    world.let_answer();
    assert_eq!(accepted(&world.told()), vec![(1, 1)], "the repeat was the relay's own: accepted, not have");
}

#[test]
fn what_a_copy_threw_away_while_an_append_was_unsure_is_not_accepted() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).told();
    world.held = Some(VecDeque::new());
    world.say(publish("s", &[], &["a1", "a2"]));
    let (request, ask) = world.held.as_mut().and_then(VecDeque::pop_front).expect("the append");
    world.input(Input::Stored { request, answer: Answer::Append(Err(StoreError::Unknown)) });
    world.now = Millis(5_000);
    world.input(Input::Timer);
    assert_eq!(world.held.as_mut().and_then(VecDeque::pop_front), Some((request, ask)));
    // The append was lost; meanwhile a copy of the profile has used the first sequence up by a void of the same tag.
    let second = DurableOffset::minted_by_store(Offset(1));
    let outcomes = vec![Outcome::Void, Outcome::Logged(second)];
    let appended = Appended { epoch: EPOCH, outcomes, new: 1, head: second };
    world.input(Input::Stored { request, answer: Answer::Append(Ok(appended)) });
    while world.held.as_ref().is_some_and(|held| !held.is_empty()) {
        world.let_answer();
    }
    let told = world.told();
    assert_eq!(accepted(&told), vec![(2, 2)]);
    assert!(told.iter().any(|d| matches!(d, Down::Have { sequence: 1, .. })), "{told:?}");
}

#[test]
fn resume_is_by_digest() {
    let mut world = World::new();
    let _hint = world.others_write("s", 3, 1);
    let Up::Subscribe(mut ask) = subscribe("s", 2) else { unreachable!("it is a subscribe") };
    let resumes = |world: &mut World, ask: &Subscribe| {
        world.say(Up::Subscribe(ask.clone()));
        let told = world.told();
        let resume = told.iter().find_map(|d| if let Down::Subscribed(s) = d { Some(s.resume) } else { None });
        (resume, events(&told))
    };
    assert_eq!(resumes(&mut world, &ask), (Some(false), vec![(0, 3)]), "another digest: from the start");
    ask.check = world.logs[&name("s")].check(Offset(2)).expect("known");
    assert_eq!(resumes(&mut world, &ask), (Some(true), vec![(2, 3)]));
    ask.epoch = Epoch([8; 16]);
    assert_eq!(resumes(&mut world, &ask), (Some(false), vec![(0, 3)]), "another epoch: from the start");
    (ask.epoch, ask.after) = (EPOCH, Offset(9));
    assert_eq!(resumes(&mut world, &ask), (Some(false), vec![(0, 3)]), "beyond the head: from the start");
    ask.after = Offset(0);
    assert_eq!(resumes(&mut world, &ask), (Some(true), vec![(0, 3)]), "nothing held: nothing to compare");
    ask.stream = name("never-written");
    world.say(Up::Subscribe(ask));
    let never = |d: &Down| matches!(d, Down::Subscribed(s) if s.epoch == Epoch::NONE && s.head.0 == 0 && s.resume);
    assert!(world.told().iter().any(never));
}

#[test]
fn live_batches_are_shared_and_a_batch_that_does_not_continue_is_read_instead() {
    let mut world = World::new();
    let _hint = world.others_write("s", 1, 10);
    world.say(subscribe("s", 0)).told();
    world.frames.clear();
    let live = world.others_write("s", 2, 10);
    let Input::Advanced(shared) = &live else { unreachable!("it is a hint") };
    let frame = shared.frame.clone();
    world.input(live.clone());
    assert_eq!(world.frames[0].as_ptr(), frame.as_ptr(), "the very bytes that all subscribers share");
    world.input(live);
    assert_eq!(events(&world.told()), vec![(1, 3)], "a repeated hint brings nothing twice");
    let _lost = world.others_write("s", 1, 10);
    let next = world.others_write("s", 1, 10);
    world.input(next);
    assert_eq!(events(&world.told()), vec![(3, 5)], "after a lost hint the log is read: no gap");
}

#[test]
fn an_author_is_spared_his_own_payload_if_it_is_large() {
    let mut world = World::new();
    world.say(subscribe("s", 0));
    let large = "x".repeat(2_000);
    world.say(publish("s", &[], &["small"])).input(Input::Behind(name("s"))).told();
    world.say(publish("s", &["small"], &[&large])).input(Input::Behind(name("s")));
    let own = |told: &[Down]| -> Vec<Tag> {
        let runs = told.iter().flat_map(|down| if let Down::Events(events) = down { &events.runs[..] } else { &[] });
        let tags = runs.filter_map(|run| if let Bodies::Own(tags) = &run.bodies { Some(tags) } else { None });
        tags.flatten().copied().collect()
    };
    let small_tag = digest::tag(Tag::ZERO, &content(b"small"));
    let large_tag = digest::tag(small_tag, &content(large.as_bytes()));
    assert_eq!(own(&world.told()), [large_tag], "as it was when it was published");
    world.say(subscribe("s", 0));
    assert_eq!(own(&world.told()), [small_tag, large_tag], "computed from the log");
    let Up::Subscribe(mut ask) = subscribe("s", 0) else { unreachable!("it is a subscribe") };
    ask.settled = 3;
    world.say(Up::Subscribe(ask));
    let told = world.told();
    assert_eq!((events(&told).len(), own(&told)), (1, vec![]), "what is settled comes whole: the device may lack it");
}

#[test]
fn the_window_bounds_what_is_unconfirmed_and_a_keystroke_passes_a_catch_up() {
    let mut world = World::new();
    let _hint = world.others_write("large", 300, 10_000);
    let _hint = world.others_write("small", 1, 10);
    world.say(subscribe("small", 0)).say(subscribe("large", 0));
    let sent: usize = world.frames.iter().map(Bytes::len).sum();
    assert!(sent <= WINDOW_BYTES && sent > WINDOW_BYTES / 2, "{sent}");
    world.told();
    let live = world.others_write("small", 1, 10);
    world.input(live);
    assert_eq!(events(&world.told()), vec![(1, 2)], "the keystroke does not wait for the catch-up");
    let mut cursor = 0;
    while cursor < 300 {
        let before = world.frames.len();
        cursor += 6;
        world.say(Up::Applied { stream: name("large"), cursor: Offset(cursor) });
        assert!(world.frames.len() <= before + 2, "one confirmed, one sent");
    }
    let ranges = events(&world.told());
    assert!(ranges.windows(2).all(|pair| pair[0].1 == pair[1].0), "no gap and nothing twice: {ranges:?}");
    assert_eq!(ranges.last().map(|r| r.1), Some(300));
    assert!(world.frames.iter().all(|frame| frame.len() <= FRAME_BYTES_TARGET + 1_000));
}

#[test]
fn streams_that_catch_up_take_turns() {
    let mut world = World::new();
    let _hint = world.others_write("a", 100, 30_000);
    let _hint = world.others_write("b", 100, 30_000);
    world.held = Some(VecDeque::new());
    world.say(subscribe("a", 0)).say(subscribe("b", 0));
    while world.held.as_ref().is_some_and(|held| !held.is_empty()) {
        world.let_answer();
    }
    let of = |world: &World, stream: &str| {
        world.told.iter().filter(|d| matches!(d, Down::Events(e) if e.stream == name(stream))).count()
    };
    let (a, b) = (of(&world, "a"), of(&world, "b"));
    assert!(a > 3 && a.abs_diff(b) <= 1, "{a} {b}");
}

#[test]
fn a_replaced_log_is_said_before_its_first_events() {
    let mut world = World::new();
    let _hint = world.others_write("s", 2, 1);
    world.say(subscribe("s", 0)).told();
    world.logs.insert(name("s"), Log::default());
    let hint = world.others_write("s", 1, 1);
    world.logs.get_mut(&name("s")).expect("written").epoch = Epoch([8; 16]);
    world.input(Input::NewEpoch(name("s")));
    let told = world.told();
    assert!(matches!(&told[0], Down::Subscribed(s) if !s.resume && s.epoch == Epoch([8; 16])), "{told:?}");
    assert_eq!(events(&told), vec![(0, 1)]);
    world.input(hint);
    assert_eq!(world.told(), vec![], "a late hint of the old log neither resets the device nor brings anything");
}

#[test]
fn healed_events_get_verdicts_and_the_turn_ends_with_the_list() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).told();
    let mut old = World::new();
    let _hint = old.others_write("s", 3, 5);
    let old = &old.logs[&name("s")].events;
    let runs = Run::group([&old[0], &old[2]]);
    world.say(Up::Heal(Heal { stream: name("s"), runs, done: false }));
    let gaps = |told: Vec<Down>| {
        told.into_iter().find_map(|d| match d {
            Down::Healed { verdicts, .. } => Some(verdicts.iter().map(|v| v.fate == HealFate::Gap).collect::<Vec<_>>()),
            _ => None,
        })
    };
    assert_eq!(gaps(world.told()), Some(vec![false, true]), "the third before the second: a gap (R12)");
    world.say(Up::Heal(Heal { stream: name("s"), runs: Run::group(&old[1..]), done: true }));
    assert_eq!(gaps(world.told()), Some(vec![false, false]));
    assert!(matches!(world.others.last(), Some(Output::TurnDone(_))));
    let ids = |events: &[Event]| events.iter().map(|e| (e.id, e.tag)).collect::<Vec<_>>();
    assert_eq!(ids(&world.logs[&name("s")].events), ids(old), "old ids, old order");
}

#[test]
fn what_is_not_allowed_closes_with_its_code() {
    let close = |frames: &[Bytes]| {
        let mut world = World::silent();
        for frame in frames {
            world.input(Input::Message(frame.clone()));
        }
        world.closed
    };
    let versions = Hello { version_min: 2, version_max: 9, producer: MINE, token: None };
    assert_eq!(close(&[Up::Hello(versions).encode()]), Some(CloseCode::Version));
    assert_eq!(close(&[subscribe("s", 0).encode()]), Some(CloseCode::Unexpected), "nothing before hello");
    assert_eq!(close(&[hello().encode(), hello().encode()]), Some(CloseCode::Unexpected));
    assert_eq!(close(&[Bytes::new()]), Some(CloseCode::Malformed));
    assert_eq!(close(&[hello().encode(), Bytes::from_static(b"rubbish")]), Some(CloseCode::Malformed));
    assert_eq!(close(&[vec![0; MESSAGE_BYTES_MAX + 1].into()]), Some(CloseCode::TooLarge));
    let mut world = World::new();
    for n in 0..=STREAMS_PER_CONNECTION_MAX {
        world.say(subscribe(&format!("s/{n}"), 0));
    }
    assert_eq!(world.closed, Some(CloseCode::Limit));
}

#[test]
fn what_is_over_a_limit_ends_the_connection() {
    let mut old = World::new();
    let _hint = old.others_write("s", 1, EVENT_BYTES_MAX + 1);
    let large = Run::of(&old.logs[&name("s")].events[0]);
    let many = Run { bodies: crate::event::Bodies::Contents(vec![content(b"x"); 257]), ..large.clone() };
    for run in [large, many] {
        let mut world = World::new();
        world.say(subscribe("s", 0)).say(Up::Heal(Heal { stream: name("s"), runs: vec![run], done: false }));
        assert_eq!(world.closed, Some(CloseCode::Limit));
    }
    let mut world = World::new();
    for n in 0..=16 {
        let Up::Subscribe(mut ask) = subscribe(&format!("s/{n}"), 0) else { unreachable!("it is a subscribe") };
        ask.records = vec![OTHERS; RECORDS_ASKED_MAX];
        assert_eq!(world.closed, None, "16,384 records are not too many");
        world.say(Up::Subscribe(ask));
    }
    assert_eq!(world.closed, Some(CloseCode::Limit));
    // Nobody has said yet whether the token is good.
    let mut world = World::silent();
    let mut say = |up: Up| {
        world.relay.handle_input(Input::Message(up.encode()), Millis(0));
        std::iter::from_fn(|| world.relay.poll_output()).collect::<Vec<Output>>()
    };
    say(hello());
    let closes = |outputs: Vec<Output>| matches!(outputs[..], [Output::Close(CloseCode::Limit)]);
    assert!((0..16).all(|_| !closes(say(subscribe("s", 0)))));
    assert!(closes(say(subscribe("s", 0))));
}

/// A host that slept, or a busy one: what comes when the timer is overdue is served, and the timer is asked for once.
#[test]
fn a_message_behind_an_overdue_timer_asks_for_it_once() {
    let mut world = World::new();
    world.others.clear();
    world.now = Millis(ALIVE_EVERY_MS + 1);
    world.relay.handle_input(Input::Message(Up::Alive.encode()), world.now);
    let outputs: Vec<Output> = std::iter::from_fn(|| world.relay.poll_output()).take(3).collect();
    assert!(matches!(outputs[..], [Output::WakeAt(at)] if at <= world.now), "{outputs:?}");
    assert_eq!(world.input(Input::Timer).told(), vec![Down::Alive]);
}

/// A heal of many events without content is small; a frame holds many such heals.
#[test]
fn a_frame_of_many_small_messages_does_not_ask_for_much_memory() {
    let mut old = World::new();
    let _hint = old.others_write("s", 1, 1);
    let log = Run::of(&old.logs[&name("s")].events[0]);
    let mut world = World::new();
    world.say(subscribe("s", 0));
    world.held = Some(VecDeque::new());
    let run = |at: u64| Run {
        first: 1 + at * 256,
        prev: (0, Tag::ZERO),
        bodies: crate::event::Bodies::Contents(vec![Bytes::new(); 256]),
        ..log.clone()
    };
    let heal = |at: u64| Up::Heal(Heal { stream: name("s"), runs: vec![run(at)], done: false }).encode();
    world.input(Input::Message(heal(0)));
    assert_eq!(world.closed, None, "one of them is allowed");
    let frame: Vec<u8> = (1..100).flat_map(heal).collect();
    world.input(Input::Message(frame.into()));
    assert_eq!(world.closed, Some(CloseCode::Limit));
}

#[test]
fn time_closes_and_keeps_alive() {
    let mut world = World::silent();
    world.now = Millis(HANDSHAKE_MS_MAX);
    assert_eq!(world.input(Input::Timer).closed, Some(CloseCode::HandshakeTimeout));
    let mut world = World::new();
    world.now = Millis(ALIVE_EVERY_MS);
    assert_eq!(world.input(Input::Timer).told(), vec![Down::Alive]);
    world.say(Up::Alive);
    world.now = Millis(SILENCE_MS_MAX);
    assert_eq!(world.input(Input::Timer).closed, None, "it was heard since");
    world.now = Millis(ALIVE_EVERY_MS + SILENCE_MS_MAX);
    assert_eq!(world.input(Input::Timer).closed, Some(CloseCode::Silence));
}

#[test]
fn goodbye_waits_for_what_is_under_way() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).told();
    world.held = Some(VecDeque::new());
    world.say(publish("s", &[], &["a1"])).input(Input::Drain { delay_ms: 700 });
    assert_eq!((world.told(), world.closed), (vec![Down::Goodbye { delay_ms: 700 }], None));
    world.let_answer();
    assert_eq!(accepted(&world.told()), vec![(1, 1)]);
    assert_eq!(world.closed, Some(CloseCode::GoingAway));
}

#[test]
fn what_the_store_has_not_answered_stops_the_reading() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).told();
    world.held = Some(VecDeque::new());
    let large = "x".repeat(UNANSWERED_BYTES_MAX);
    world.say(publish("s", &[], &[&large]));
    assert!(!world.relay.wants_input());
    world.let_answer();
    while world.held.as_ref().is_some_and(|held| !held.is_empty()) {
        world.let_answer();
    }
    assert!(world.relay.wants_input());
}

#[test]
fn a_stream_born_beside_a_large_catch_up_is_read_at_once() {
    let mut world = World::new();
    let _hint = world.others_write("large", 300, 10_000);
    world.say(subscribe("new", 0)).say(subscribe("large", 0)).told();
    let _hint = world.others_write("new", 1, 10);
    world.input(Input::NewEpoch(name("new")));
    assert_eq!(
        events(&world.told()),
        vec![(0, 1)],
        "the window is full of the catch-up, but for what is kept for this"
    );
}

#[test]
fn behind_means_read_to_the_end() {
    let mut world = World::new();
    let _hint = world.others_write("s", 1, 10);
    world.say(subscribe("s", 0)).told();
    let _lost = world.others_write("s", 5, 100_000);
    world.input(Input::Behind(name("s")));
    assert_eq!(events(&world.told()).last(), Some(&(5, 6)), "one hint, many frames");
    let live = world.others_write("s", 1, 10);
    world.say(Up::Applied { stream: name("s"), cursor: Offset(6) }).input(live);
    assert_eq!(events(&world.told()), vec![(6, 7)], "and live again at the end");
}

#[test]
fn a_trimmed_log_begins_with_its_snapshot_in_parts_within_the_window() {
    let mut world = World::new();
    let _hint = world.others_write("s", 5, 10);
    let record = Record { producer: MINE, logged: (2, Tag([1; 8])), refused: vec![] };
    let parts = vec![Bytes::from(vec![7; FRAME_BYTES_TARGET]); 40];
    let log = world.logs.get_mut(&name("s")).expect("written");
    let check = log.check(Offset(3)).expect("known");
    log.snapshot = Some(Snapshot { offset: Offset(3), check, parts, records: vec![record.clone()] });
    world.say(subscribe("s", 0));
    let parts = |told: &[Down]| told.iter().filter(|d| matches!(d, Down::Snapshot(_))).count();
    let mut told = world.told();
    assert!(matches!(&told[1], Down::Snapshot(p) if p.part == 0 && p.records == [record] && p.check == check));
    assert!(parts(&told) < WINDOW_BYTES / FRAME_BYTES_TARGET, "no more than the window");
    while parts(&told) < 40 {
        let before = told.len();
        world.say(Up::Applied { stream: name("s"), cursor: Offset(0) });
        told.extend(world.told());
        assert!(told.len() > before, "each confirmed part lets another one come");
    }
    world.say(Up::Applied { stream: name("s"), cursor: Offset(3) });
    told.extend(world.told());
    assert_eq!(events(&told), vec![(3, 5)], "then the events behind it");
    let Up::Subscribe(mut ask) = subscribe("s", 2) else { unreachable!("it is a subscribe") };
    ask.check = world.logs[&name("s")].check(Offset(2)).expect("known to the test");
    world.say(Up::Subscribe(ask));
    assert!(matches!(&world.told()[0], Down::Subscribed(s) if !s.resume), "below the floor nothing is trusted (R13)");
}

#[test]
fn what_the_store_cannot_take_at_once_goes_in_halves_and_an_event_too_large_for_it_is_refused() {
    let mut world = World::new();
    world.say(subscribe("s", 0)).told();
    world.logs.get_mut(&name("s")).expect("asked for").append_max = Some(2);
    world.say(publish("s", &[], &["a1", "a2", "a3", "a4", "a5"]));
    assert_eq!(accepted(&world.told()), vec![(1, 2), (3, 3), (4, 5)], "halves, in order");
    world.logs.get_mut(&name("s")).expect("asked for").append_max = Some(0);
    world.say(publish("s", &["a1", "a2", "a3", "a4", "a5"], &["a6"]));
    let refused = |d: &Down| matches!(d, Down::Rejected { refusal, .. } if refusal.code == "too-large");
    assert!(world.told().iter().any(refused));
    assert!(world.relay.wants_input());
}

#[test]
fn a_stream_that_the_store_cannot_be_trusted_with_is_not_served() {
    let mut world = World::new();
    world.say(subscribe("other", 0));
    world.say(publish("unknown", &[], &["a1"]));
    let error = |told: Vec<Down>| {
        told.into_iter().find_map(|d| if let Down::Error { code, retry, .. } = d { Some((code, retry)) } else { None })
    };
    assert_eq!(error(world.told()), Some(("not-subscribed".into(), true)));
    world.held = Some(VecDeque::new());
    world.say(subscribe("s", 0));
    let (request, _) = world.held.as_mut().and_then(VecDeque::pop_front).expect("the question");
    let answer = Answer::Resume(Err(StoreError::Corrupt("a page".into())));
    world.input(Input::Stored { request, answer });
    assert_eq!(error(world.told()), Some(("stream-unavailable".into(), false)));
    world.say(publish("s", &[], &["a1"])).input(Input::Behind(name("s")));
    assert_eq!(error(world.told()), Some(("access-denied".into(), false)));
    assert_eq!(world.held.take().map(|held| held.len()), Some(0), "the store is not asked again");
    world.say(publish("other", &[], &["a1"]));
    assert_eq!(accepted(&world.told()), vec![(1, 1)], "other streams are served");
}
