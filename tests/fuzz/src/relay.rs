//! The relay's machine, told anything in any order: by a device that is honest, bent or hostile, by a log store that
//! answers late, in any order, or that it does not know, and by hints that are lost, repeated or stale.
//!
//! It must not panic, must hold no more than its limits, sends nothing after it has closed, has one append of a stream
//! under way at a time, accepts only what is stored, and sends each log without a gap and within the window.

use crate::forge::{Forge, Seen};
use crate::memory::within;
use crate::shell::{Store, next_event};
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use sync_core::event::{Content, Kind};
use sync_core::ids::*;
use sync_core::limits::*;
use sync_core::relay::store::StoreError;
use sync_core::relay::{Answer, Input, Output, Reason, Relay, RelayConfig, Request, SharedBatch, Validator};
use sync_core::time::Millis;
use sync_core::wire::{Access, Down, Events, Message, Turn, Up};

/// Memory of a whole run, the store and all frames included.
const BYTES_MAX: usize = 64 << 20;
/// Contents of a size that fills frames.
const LARGE_MAX: usize = 24;
const LARGE_BYTES: usize = 150_000;
/// Outputs of an input beside one for each of its bytes: a turn for every stream, a request again, an alarm.
const OUTPUTS_MAX: usize = 256;

/// Refuses what ends with an exclamation mark, for a reason.
struct RefuseSome;

impl Validator for RefuseSome {
    fn validate(&self, _: Option<&str>, _: &StreamName, content: &Content) -> std::result::Result<(), Reason> {
        if content.payload.last() != Some(&b'!') {
            return Ok(());
        }
        Err(Reason { code: "shouted".into(), reason: "é".repeat(REASON_BYTES_MAX) })
    }
}

/// Interprets the bytes as steps.
pub fn run(data: &[u8]) {
    within(BYTES_MAX, "a relay's run", || {
        let mut bytes = Unstructured::new(data);
        let mut run = Run::new();
        while !bytes.is_empty() {
            // The bytes have ended: so has the story.
            let Ok(()) = run.step(&mut bytes) else { break };
        }
        run.end();
    });
}

struct Run {
    relay: Relay,
    store: Store,
    now: Millis,
    seen: Seen,
    /// Asked and not answered.
    asks: BTreeMap<u64, Request>,
    /// Hints that were made and may come, once, twice or never.
    news: Vec<Arc<SharedBatch>>,
    closed: bool,
    /// An honest device's chains, so that something is taken.
    chains: BTreeMap<StreamName, (Sequence, Tag)>,
    large: usize,
    /// What the device was sent of each stream: the epoch, and up to where, once that is known.
    positions: BTreeMap<StreamName, (Epoch, Option<Offset>)>,
    accepted: BTreeSet<(StreamName, ProducerId, Sequence)>,
}

/// The honest device.
const DEVICE: ProducerId = ProducerId([0xDD; 16]);

impl Run {
    fn new() -> Run {
        let config = RelayConfig::new([9; 16]);
        let relay = Relay::new(config, Arc::new(RefuseSome), [3; 32], Millis(0));
        Run {
            relay,
            store: Store::numbered(0),
            now: Millis(0),
            seen: Seen::default(),
            asks: BTreeMap::new(),
            news: vec![],
            closed: false,
            chains: BTreeMap::new(),
            large: 0,
            positions: BTreeMap::new(),
            accepted: BTreeSet::new(),
        }
    }

    fn step(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=23)? {
            0..=5 => self.honest_message(bytes),
            6..=8 => self.hostile_message(bytes),
            9..=13 => self.answer(bytes),
            14 | 15 => self.hint(bytes),
            16 => self.token(bytes),
            17 => self.somebody_else(bytes),
            18 | 19 => self.time(bytes),
            20 if bytes.ratio(1u8, 8u8)? => {
                let delay_ms = bytes.arbitrary()?;
                self.give(Input::Drain { delay_ms });
                Ok(())
            }
            _ => {
                // As a quick store and an honest shell would.
                while let Some(number) = self.asks.keys().next().copied() {
                    self.answer_honestly(number);
                }
                for batch in std::mem::take(&mut self.news) {
                    self.give(Input::Advanced(batch));
                }
                Ok(())
            }
        }
    }

    fn message(&mut self, frame: Bytes) {
        // Backpressure: the shell reads no more.
        if self.relay.wants_input() {
            self.seen.note_ups(&frame);
            self.give(Input::Message(frame));
        }
    }

    fn honest_message(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let mut forge = Forge { seen: &self.seen, bytes };
        let stream = forge.stream()?;
        let up = match forge.bytes.int_in_range(0..=7)? {
            0 => Up::Hello(sync_core::wire::Hello { version_min: 1, version_max: 1, producer: DEVICE, token: None }),
            1 | 2 => {
                let (epoch, after) = match self.positions.get(&stream) {
                    Some((epoch, Some(after))) => (*epoch, *after),
                    _ => (Epoch::NONE, Offset::ZERO),
                };
                let events = self.store.memory.events(&stream);
                let mut check = sync_core::digest::check_of_empty(epoch);
                for event in events.iter().take(after.0 as usize) {
                    check = sync_core::digest::check(check, event.id, event.tag);
                }
                self.chains.remove(&stream);
                let (settled, records) = (1, vec![]);
                Up::Subscribe(sync_core::wire::Subscribe {
                    stream,
                    epoch,
                    after,
                    check,
                    producer: DEVICE,
                    settled,
                    records,
                })
            }
            3 => {
                let cursor = self.positions.get(&stream).and_then(|(_, after)| *after).unwrap_or(Offset::ZERO);
                Up::Applied { stream, cursor }
            }
            _ => {
                let (_, last, tag) = self.store.known(&stream, DEVICE);
                let (last, tag_before) = *self.chains.entry(stream.clone()).or_insert((last, tag));
                let mut items = vec![];
                let mut tag = tag_before;
                for _ in 0..forge.bytes.int_in_range(1..=4)? {
                    let large = self.large < LARGE_MAX && forge.bytes.ratio(1u8, 8u8)?;
                    self.large += usize::from(large);
                    let size = if large { LARGE_BYTES } else { forge.bytes.int_in_range(0..=60)? };
                    let mut payload = vec![b'p'; size];
                    payload.push(*forge.bytes.choose(b"..!")?);
                    let content = Content { kind: Kind::Application, time: 0, payload: payload.into() }.encode();
                    tag = sync_core::digest::tag(tag, &content);
                    items.push(sync_core::wire::Item::Event { content, causes: vec![], needs: None });
                }
                self.chains.insert(stream.clone(), (last + items.len() as u64, tag));
                let (producer, first, origin) = (DEVICE, last + 1, None);
                Up::Publish(sync_core::wire::Publish { stream, producer, first, tag_before, origin, items })
            }
        };
        self.message(up.encode());
        Ok(())
    }

    fn hostile_message(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let mut forge = Forge { seen: &self.seen, bytes };
        let mut frame = forge.frame(Forge::up)?;
        if forge.bytes.ratio(1u8, 6u8)? {
            frame = forge.bent(&frame)?;
        }
        self.message(frame);
        Ok(())
    }

    fn token(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let access = *bytes.choose(&[Access::Write, Access::Write, Access::Write, Access::Read, Access::None])?;
        let subject = if bytes.arbitrary()? { Some("ann".into()) } else { None };
        let refused = bytes.ratio(1u8, 16u8)?;
        self.give(if refused { Input::Unauthorized } else { Input::Authenticated { subject, access, time: 0 } });
        Ok(())
    }

    /// One of the questions is answered: rightly, or that it failed, before or after it was done; perhaps again later.
    fn answer(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let numbers: Vec<u64> = self.asks.keys().copied().collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let number = *bytes.choose(&numbers)?;
        let kind = bytes.int_in_range(0..=9)?;
        if kind < 6 {
            self.answer_honestly(number);
            return Ok(());
        }
        let ask = self.asks.remove(&number).expect("just seen");
        if kind == 6 {
            // Done, and nobody heard of it.
            self.news.extend(self.store.answer(&ask).1.map(Arc::new));
        }
        let error = match kind {
            6 | 7 => StoreError::Unknown,
            8 => StoreError::Busy,
            _ => match (bytes.int_in_range(0..=2)?, &ask) {
                (0, Request::Append(_) | Request::Heal(_)) => {
                    StoreError::Epoch { current: Epoch([bytes.arbitrary()?; 16]) }
                }
                (1, Request::Append(_)) => StoreError::TooLarge,
                _ => StoreError::Corrupt("bent".into()),
            },
        };
        let answer = match ask {
            Request::Resume(_) => Answer::Resume(Err(error)),
            Request::Append(_) => Answer::Append(Err(error)),
            Request::Heal(_) => Answer::Heal(Err(error)),
            Request::Read(_) => Answer::Read(Err(error)),
            Request::Snapshot { .. } => Answer::Snapshot(Err(error)),
        };
        self.give(Input::Stored { request: number, answer });
        Ok(())
    }

    fn answer_honestly(&mut self, number: u64) {
        let Some(ask) = self.asks.remove(&number) else { return };
        let (answer, news) = self.store.answer(&ask);
        self.news.extend(news.map(Arc::new));
        self.give(Input::Stored { request: number, answer });
    }

    fn hint(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let stream = Forge { seen: &self.seen, bytes }.stream()?;
        let input = match bytes.int_in_range(0..=5)? {
            0 => Input::Behind(stream),
            1 => Input::NewEpoch(stream),
            2 => Input::Turn { stream, turn: *bytes.choose(&[Turn::Go, Turn::Wait])? },
            _ if self.news.is_empty() => return Ok(()),
            3 => Input::Advanced(self.news.remove(0)),
            4 => Input::Advanced(bytes.choose(&self.news)?.clone()),
            _ => {
                self.news.pop();
                return Ok(());
            }
        };
        self.give(input);
        Ok(())
    }

    fn somebody_else(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        let stream = Forge { seen: &self.seen, bytes }.stream()?;
        let producer = ProducerId([bytes.int_in_range(1..=3)?; 16]);
        let large = self.large < LARGE_MAX && bytes.ratio(1u8, 3u8)?;
        self.large += usize::from(large);
        let payload = vec![b'o'; if large { LARGE_BYTES } else { 3 }];
        let append = next_event(&mut self.store, &stream, producer, payload.into());
        self.news.extend(self.store.answer(&Request::Append(append)).1.map(Arc::new));
        Ok(())
    }

    fn time(&mut self, bytes: &mut Unstructured<'_>) -> Result<()> {
        match bytes.int_in_range(0..=5)? {
            0 => self.now = self.now.plus(bytes.int_in_range(0..=70_000)?),
            1 => self.now.0 = self.now.0.saturating_sub(bytes.int_in_range(0..=70_000)?),
            _ => self.now = self.now.plus(bytes.int_in_range(0..=3_000)?),
        }
        self.give(Input::Timer);
        Ok(())
    }

    /// One input, and all that it leads to.
    fn give(&mut self, input: Input) {
        let was_closed = self.closed;
        let outputs_max = OUTPUTS_MAX + if let Input::Message(frame) = &input { frame.len() } else { 0 };
        self.relay.handle_input(input, self.now);
        let mut outputs = 0;
        while let Some(output) = self.relay.poll_output() {
            outputs += 1;
            assert!(outputs <= outputs_max, "one input made more than {outputs_max} outputs");
            assert!(!was_closed && !self.closed, "{output:?} after the end");
            match output {
                Output::Send(frame) => self.sent(&frame),
                Output::Store { request, ask } => {
                    self.asks.insert(request, ask);
                    self.check_asks();
                }
                Output::Close(_) => self.closed = true,
                Output::Authenticate { .. }
                | Output::Follow(_)
                | Output::Unfollow(_)
                | Output::TurnWanted(_)
                | Output::TurnUsed(_)
                | Output::TurnDone(_)
                | Output::WakeAt(_) => {}
            }
        }
    }

    fn check_asks(&self) {
        let mut streams = BTreeSet::new();
        for ask in self.asks.values() {
            if let Request::Append(append) = ask {
                assert!(streams.insert(&append.stream), "two appends of {} under way", append.stream);
                assert!(append.items.len() <= PUBLISH_EVENTS_MAX, "an append of {} items", append.items.len());
            }
        }
    }

    fn sent(&mut self, frame: &Bytes) {
        assert!(frame.len() <= MESSAGE_BYTES_MAX, "a frame of {} bytes", frame.len());
        self.seen.note_downs(frame);
        for down in Down::decode_frame(frame).expect("what a relay sends can be read") {
            match down {
                Down::Subscribed(answer) => {
                    let position = if answer.resume { None } else { Some(Offset::ZERO) };
                    self.positions.insert(answer.stream, (answer.epoch, position));
                }
                Down::Events(events) => self.events(&events),
                Down::Accepted { stream, producer, first, last } => {
                    self.accepted.extend((first..=last).map(|sequence| (stream.clone(), producer, sequence)));
                }
                _ => {}
            }
        }
    }

    /// R6, and the store's own events in its own order.
    fn events(&mut self, events: &Events) {
        let (epoch, position) =
            self.positions.get_mut(&events.stream).expect("events of a stream that was not answered");
        assert!(
            position.is_none_or(|position| position == events.after),
            "a gap: {position:?}, then {:?}",
            events.after
        );
        *position = Some(events.upto);
        assert_eq!(*epoch, self.store.known(&events.stream, DEVICE).0, "events of another log");
        let log = self.store.memory.events(&events.stream);
        let mut offset = events.after;
        for run in &events.runs {
            for index in 0..run.bodies.len() as u64 {
                offset = Offset(offset.0 + 1);
                let id = EventId { producer: run.producer, sequence: run.first + index };
                let logged = log.get(offset.0 as usize - 1).map(|event| event.id);
                assert_eq!((Some(id), Offset(run.offset.0 + index)), (logged, offset), "another event than the log's");
            }
        }
        assert_eq!(offset, events.upto, "not all that is between");
    }

    /// What was accepted is stored, and was not refused.
    fn end(&mut self) {
        for (stream, producer, sequence) in &self.accepted {
            let (_, last, _) = self.store.known(stream, *producer);
            assert!(*sequence <= last, "accepted {sequence} of {producer} and has {last}");
        }
    }
}
