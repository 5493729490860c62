//! Messages that a hostile side may send: out of values that it has seen, so that they come deep, and out of any others.

use arbitrary::{Arbitrary, Result, Unstructured};
use bytes::Bytes;
use sync_core::event::{Bodies, Cause, Content, Event, Kind, Run};
use sync_core::ids::*;
use sync_core::limits::MESSAGE_BYTES_MAX;
use sync_core::wire::*;

/// The streams of every target.
pub fn streams() -> [StreamName; 3] {
    ["a", "b/c", "notes/shopping"].map(|name| StreamName::new(name).expect("a name"))
}

/// What has been seen: a hostile side knows all of it.
#[derive(Default)]
pub struct Seen {
    producers: Vec<ProducerId>,
    epochs: Vec<Epoch>,
    tags: Vec<Tag>,
    checks: Vec<Check>,
    contents: Vec<Bytes>,
}

/// More are forgotten, oldest first.
const SEEN_MAX: usize = 12;

fn note<T: PartialEq>(seen: &mut Vec<T>, value: T) {
    if !seen.contains(&value) {
        seen.push(value);
        if seen.len() > SEEN_MAX {
            seen.remove(0);
        }
    }
}

impl Seen {
    /// Remembers what a device sent.
    pub fn note_ups(&mut self, frame: &Bytes) {
        for up in Up::decode_frame(frame).unwrap_or_default() {
            match up {
                Up::Hello(hello) => note(&mut self.producers, hello.producer),
                Up::Subscribe(ask) => {
                    note(&mut self.producers, ask.producer);
                    note(&mut self.checks, ask.check);
                    note(&mut self.epochs, ask.epoch);
                }
                Up::Publish(publish) => {
                    note(&mut self.producers, publish.producer);
                    note(&mut self.tags, publish.tag_before);
                    for item in publish.items {
                        match item {
                            Item::Event { content, .. } => note(&mut self.contents, content),
                            Item::Void { tag } => note(&mut self.tags, tag),
                        }
                    }
                }
                Up::Heal(heal) => heal.runs.iter().for_each(|run| self.note_run(run)),
                Up::Authenticate { .. } | Up::Unsubscribe { .. } | Up::Applied { .. } | Up::Alive => {}
            }
        }
    }
    /// Remembers what a relay sent.
    pub fn note_downs(&mut self, frame: &Bytes) {
        for down in Down::decode_frame(frame).unwrap_or_default() {
            match down {
                Down::Subscribed(answer) => {
                    note(&mut self.epochs, answer.epoch);
                    note(&mut self.tags, answer.known.tag);
                }
                Down::Events(events) => events.runs.iter().for_each(|run| self.note_run(run)),
                Down::Have { known, .. } => note(&mut self.tags, known.tag),
                Down::Rejected { refusal, .. } => note(&mut self.tags, refusal.tag),
                Down::Snapshot(part) => note(&mut self.checks, part.check),
                _ => {}
            }
        }
    }
    /// Remembers what stands in a log.
    pub fn note_event(&mut self, event: &Event) {
        note(&mut self.producers, event.id.producer);
        note(&mut self.tags, event.tag);
        note(&mut self.contents, event.content.clone());
    }
    fn note_run(&mut self, run: &Run) {
        for event in run.events(|_, _| None).unwrap_or_default() {
            self.note_event(&event);
        }
    }
}

/// Makes values out of the fuzzer's bytes.
pub struct Forge<'s, 'u, 'b> {
    /// What has been seen.
    pub seen: &'s Seen,
    /// The bytes.
    pub bytes: &'u mut Unstructured<'b>,
}

impl Forge<'_, '_, '_> {
    fn any<T: Clone + for<'a> Arbitrary<'a>>(&mut self) -> Result<T> {
        self.bytes.arbitrary()
    }
    /// One of those seen, mostly.
    fn seen<T: Clone>(&mut self, seen: &[T], other: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if seen.is_empty() || self.bytes.ratio(1u8, 8u8)? { other(self) } else { self.bytes.choose(seen).cloned() }
    }
    /// Small mostly, or at an edge, or anything.
    pub fn number(&mut self) -> Result<u64> {
        Ok(match self.bytes.int_in_range(0..=9)? {
            0..=6 => self.bytes.int_in_range(0..=7)?,
            7 => (1u64 << 53) - self.bytes.int_in_range(0..=2)?,
            8 => u64::MAX - self.bytes.int_in_range(0..=1)?,
            _ => self.any()?,
        })
    }
    pub fn stream(&mut self) -> Result<StreamName> {
        self.bytes.choose(&streams()).cloned()
    }
    pub fn producer(&mut self) -> Result<ProducerId> {
        let seen = self.seen;
        self.seen(&seen.producers, |forge| forge.any().map(ProducerId))
    }
    fn epoch(&mut self) -> Result<Epoch> {
        let seen = self.seen;
        self.seen(&seen.epochs, |forge| Ok(Epoch([forge.bytes.int_in_range(0..=3)?; 16])))
    }
    fn tag(&mut self) -> Result<Tag> {
        let seen = self.seen;
        self.seen(&seen.tags, |forge| Ok(Tag([forge.bytes.int_in_range(0..=3)?; 8])))
    }
    fn check(&mut self) -> Result<Check> {
        let seen = self.seen;
        self.seen(&seen.checks, |forge| Ok(Check([forge.bytes.int_in_range(0..=3)?; 16])))
    }
    fn offset(&mut self) -> Result<Offset> {
        Ok(Offset(self.number()?.min(Offset::MAX.0)))
    }
    pub fn content(&mut self) -> Result<Bytes> {
        let seen = self.seen;
        self.seen(&seen.contents, |forge| {
            let kind = *forge.bytes.choose(&[Kind::Application, Kind::Change, Kind::Document])?;
            let payload = vec![b'x'; forge.bytes.int_in_range(0..=2000)?];
            Ok(Content { kind, time: 0, payload: payload.into() }.encode())
        })
    }
    /// Up to `max` of something.
    pub fn some<T>(&mut self, max: usize, mut make: impl FnMut(&mut Self) -> Result<T>) -> Result<Vec<T>> {
        (0..self.bytes.int_in_range(0..=max)?).map(|_| make(self)).collect()
    }
    fn causes(&mut self) -> Result<Vec<Cause>> {
        self.some(2, |forge| {
            let stream = sync_core::digest::stream_hash(&forge.stream()?);
            Ok(Cause { stream, epoch: forge.epoch()?, offset: forge.offset()? })
        })
    }
    fn refusal(&mut self) -> Result<Refusal> {
        Ok(Refusal { sequence: self.number()?, tag: self.tag()?, code: "no".into(), reason: String::new() })
    }
    fn known(&mut self) -> Result<Known> {
        Ok(Known { last: self.number()?, tag: self.tag()?, refused: self.some(2, Self::refusal)? })
    }
    fn run(&mut self) -> Result<Run> {
        let bodies = if self.any()? {
            Bodies::Contents(self.some(3, Self::content)?)
        } else {
            Bodies::Own(self.some(3, Self::tag)?)
        };
        let count = bodies.len() as u32;
        let mut causes = vec![];
        for index in 0..count {
            if self.bytes.ratio(1u8, 4u8)? {
                causes.push((index, self.causes()?));
            }
        }
        Ok(Run {
            producer: self.producer()?,
            first: self.number()?,
            offset: self.offset()?,
            author: None,
            prev: (self.number()?, self.tag()?),
            tag_before: self.tag()?,
            bodies,
            needs: self.some(1, Self::any)?,
            causes,
        })
    }

    /// What a device may send.
    pub fn up(&mut self) -> Result<Up> {
        Ok(match self.bytes.int_in_range(0..=9)? {
            0 => Up::Hello(Hello { version_min: 1, version_max: self.any()?, producer: self.producer()?, token: None }),
            1 => Up::Authenticate { token: "token".into() },
            2 | 3 => Up::Subscribe(Subscribe {
                stream: self.stream()?,
                epoch: self.epoch()?,
                after: self.offset()?,
                check: self.check()?,
                producer: self.producer()?,
                settled: self.number()?,
                records: self.some(2, Self::producer)?,
            }),
            4 => Up::Unsubscribe { stream: self.stream()? },
            5 | 6 => Up::Publish(Publish {
                stream: self.stream()?,
                producer: self.producer()?,
                first: self.number()?,
                tag_before: self.tag()?,
                origin: if self.any()? { Some(self.tag()?) } else { None },
                items: self.some(4, |forge| {
                    if forge.bytes.ratio(1u8, 5u8)? {
                        return Ok(Item::Void { tag: forge.tag()? });
                    }
                    let needs = if forge.any()? { Some((forge.number()?, forge.tag()?)) } else { None };
                    Ok(Item::Event { content: forge.content()?, causes: forge.causes()?, needs })
                })?,
            }),
            7 => Up::Heal(Heal { stream: self.stream()?, runs: self.some(3, Self::run)?, done: self.any()? }),
            8 => Up::Applied { stream: self.stream()?, cursor: self.offset()? },
            _ => Up::Alive,
        })
    }

    /// What a relay may send.
    pub fn down(&mut self) -> Result<Down> {
        Ok(match self.bytes.int_in_range(0..=13)? {
            0 => Down::Welcome(Welcome {
                version: 1,
                relay: [0; 16],
                subject: None,
                limits: Limits { event_bytes_max: self.number()?, frame_bytes_max: self.number()?, streams_max: 3 },
                window_bytes: self.number()?,
                time: 0,
            }),
            1 | 2 => Down::Subscribed(Subscribed {
                stream: self.stream()?,
                epoch: self.epoch()?,
                head: self.offset()?,
                resume: self.any()?,
                known: self.known()?,
                access: *self.bytes.choose(&[Access::Write, Access::Read, Access::None])?,
                turn: *self.bytes.choose(&[Turn::Go, Turn::Wait])?,
            }),
            3 => Down::Snapshot(self.snapshot_part()?),
            4 | 5 => Down::Events(Events {
                stream: self.stream()?,
                after: self.offset()?,
                upto: self.offset()?,
                runs: self.some(3, Self::run)?,
            }),
            6 => Down::Accepted {
                stream: self.stream()?,
                producer: self.producer()?,
                first: self.number()?,
                last: self.number()?,
            },
            7 => Down::Rejected { stream: self.stream()?, producer: self.producer()?, refusal: self.refusal()? },
            8 => Down::Have {
                stream: self.stream()?,
                producer: self.producer()?,
                sequence: self.number()?,
                known: self.known()?,
                head: self.offset()?,
            },
            9 => Down::Healed {
                stream: self.stream()?,
                head: self.offset()?,
                verdicts: self.some(3, |forge| {
                    let (producer, sequence) = (forge.producer()?, forge.number()?);
                    let fates = [HealFate::Passed, HealFate::Gap, HealFate::Refused, HealFate::Other];
                    Ok(Verdict { producer, sequence, tag: forge.tag()?, fate: *forge.bytes.choose(&fates)? })
                })?,
            },
            10 => Down::Turn { stream: self.stream()?, turn: *self.bytes.choose(&[Turn::Go, Turn::Wait])? },
            11 => Down::Error {
                stream: if self.any()? { Some(self.stream()?) } else { None },
                code: (*self.bytes.choose(&["access-denied", "not-subscribed", "what"])?).into(),
                retry: self.any()?,
                message: String::new(),
            },
            12 => Down::Goodbye { delay_ms: self.number()? },
            _ => Down::Alive,
        })
    }

    /// One part of a snapshot, of any place and size.
    pub fn snapshot_part(&mut self) -> Result<SnapshotPart> {
        Ok(SnapshotPart {
            stream: self.stream()?,
            offset: self.offset()?,
            check: self.check()?,
            part: self.number()?,
            parts: self.number()?,
            bytes_total: self.number()?,
            records: self.some(2, |forge| {
                let (producer, logged) = (forge.producer()?, (forge.number()?, forge.tag()?));
                Ok(Record { producer, logged, refused: forge.some(2, Self::refusal)? })
            })?,
            bytes: vec![b's'; self.bytes.int_in_range(0..=300)?].into(),
        })
    }

    /// Some messages in one frame, or bytes that are none, no longer than a WebSocket message may be.
    pub fn frame<M: Message>(&mut self, make: impl FnMut(&mut Self) -> Result<M>) -> Result<Bytes> {
        if self.bytes.ratio(1u8, 12u8)? {
            let length = self.bytes.int_in_range(0..=80)?.min(self.bytes.len());
            return Ok(Bytes::copy_from_slice(self.bytes.bytes(length)?));
        }
        let messages = self.some(4, make)?;
        let mut frame: Vec<u8> = messages.iter().flat_map(Message::encode).collect();
        if !frame.is_empty() && self.bytes.ratio(1u8, 48u8)? {
            frame = frame.repeat(MESSAGE_BYTES_MAX / frame.len());
        }
        frame.truncate(MESSAGE_BYTES_MAX);
        Ok(frame.into())
    }
    /// The same frame with some of its bytes changed, or its end missing.
    pub fn bent(&mut self, frame: &Bytes) -> Result<Bytes> {
        let mut bent = frame.to_vec();
        for _ in 0..self.bytes.int_in_range(0..=3)? {
            if let Some(last) = bent.len().checked_sub(1) {
                let at = self.bytes.int_in_range(0..=last)?;
                bent[at] = self.any()?;
            }
        }
        if self.bytes.ratio(1u8, 4u8)? {
            bent.truncate(self.bytes.int_in_range(0..=frame.len())?);
        }
        Ok(bent.into())
    }
}
