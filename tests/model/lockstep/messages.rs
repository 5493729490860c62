//! What is under way, in the model's terms: a real message is one or more of the model's, since the real side sends runs.

use super::names::{Difference, Names, same};
use protocol_model::types::{self as model, Entry};
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;
use sync_core::wire::{Down, HealFate, Item, Known, Message, Record, Subscribe, Turn, Up};

/// One model message to the relay, as the real device said it.
#[derive(Clone, Debug)]
pub enum Said {
    Subscribe(Subscribe),
    /// Whose, which, the tag before it, its tag, what it holds.
    Publish(EventId, Tag, Tag, Option<harness::birth::Birth>),
    Heal(Event),
}

/// One model message to a device, as the real relay told it.
#[derive(Clone, Debug)]
pub enum Told {
    Subscribed { epoch: Epoch, head: Offset, resume: bool, known: Known },
    Snapshot { offset: Offset, check: Check, births: Vec<harness::birth::Birth>, records: Vec<Record> },
    Event(Event),
    Accepted(EventId),
    Rejected(EventId),
    Have { id: EventId, known: Known, head: Offset },
    Healed { id: EventId, tag: Tag, fate: HealFate, head: Offset },
}

/// The model messages of one frame, grouped by the real messages that stand for them. What has no counterpart in the model
/// (the handshake, `applied`, keep-alive, the last empty `heal`) is an empty group.
pub fn said(frame: &[u8]) -> Result<Vec<Vec<Said>>, Difference> {
    let messages = Up::decode_frame(&frame.to_vec().into()).map_err(|error| format!("a device sent {error}"))?;
    messages.into_iter().map(said_in).collect()
}

fn said_in(message: Up) -> Result<Vec<Said>, Difference> {
    Ok(match message {
        Up::Subscribe(ask) => vec![Said::Subscribe(ask)],
        Up::Publish(publish) => {
            let (mut before, mut origin) = (publish.tag_before, publish.origin.unwrap_or(publish.tag_before));
            let sequences = publish.first..;
            let said = publish.items.into_iter().zip(sequences).map(|(item, sequence)| {
                let (tag, birth) = match item {
                    Item::Void { tag } => (tag, None),
                    Item::Event { content, .. } => (digest::tag(origin, &content), harness::birth::birth_of(&content)),
                };
                let id = EventId { producer: publish.producer, sequence };
                let said = Said::Publish(id, before, tag, birth);
                (before, origin) = (tag, tag);
                said
            });
            said.collect()
        }
        Up::Heal(heal) => {
            let mut said = vec![];
            for run in heal.runs {
                let events = run.events(|_, _| None).ok_or("a heal without contents")?;
                said.extend(events.into_iter().map(Said::Heal));
            }
            said
        }
        _ => vec![],
    })
}

/// One real message to a device.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    /// The model messages that it stands for.
    pub told: Vec<Told>,
    /// It says whose turn it is to heal, which the model is told.
    pub go: Option<bool>,
    /// How much of the log it covers, if it is a batch.
    pub covers: Option<(Offset, Offset)>,
}

/// A snapshot that arrives in parts.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    births: Vec<harness::birth::Birth>,
    records: Vec<Record>,
}

/// The messages of one frame.
pub fn told(frame: &[u8], parts: &mut Parts) -> Result<Vec<Telling>, Difference> {
    let messages = Down::decode_frame(&frame.to_vec().into()).map_err(|error| format!("a relay sent {error}"))?;
    messages.into_iter().map(|message| told_in(message, parts)).collect()
}

fn told_in(message: Down, parts: &mut Parts) -> Result<Telling, Difference> {
    let id = |producer, sequence| EventId { producer, sequence };
    let (mut go, mut covers) = (None, None);
    let told = match message {
        Down::Subscribed(answer) => {
            go = Some(answer.turn == Turn::Go);
            let (epoch, head, resume, known) = (answer.epoch, answer.head, answer.resume, answer.known);
            vec![Told::Subscribed { epoch, head, resume, known }]
        }
        Down::Turn { turn, .. } => {
            go = Some(turn == Turn::Go);
            vec![]
        }
        Down::Snapshot(part) => {
            if part.part == 0 {
                *parts = Parts { births: vec![], records: part.records };
            }
            parts.births.extend(harness::birth::births_in(&part.bytes));
            if part.part + 1 < part.parts {
                vec![]
            } else {
                let Parts { births, records } = std::mem::take(parts);
                vec![Told::Snapshot { offset: part.offset, check: part.check, births, records }]
            }
        }
        Down::Events(events) => {
            covers = Some((events.after, events.upto));
            let mut told = vec![];
            for run in events.runs {
                let of_run = run.events(|_, _| None).ok_or("events without contents")?;
                told.extend(of_run.into_iter().map(Told::Event));
            }
            told
        }
        Down::Accepted { producer, first, last, .. } => {
            (first..=last).map(|sequence| Told::Accepted(id(producer, sequence))).collect()
        }
        Down::Rejected { producer, refusal, .. } => vec![Told::Rejected(id(producer, refusal.sequence))],
        Down::Have { producer, sequence, known, head, .. } => {
            vec![Told::Have { id: id(producer, sequence), known, head }]
        }
        Down::Healed { head, verdicts, .. } => {
            let verdict = |v: &sync_core::wire::Verdict| Told::Healed {
                id: id(v.producer, v.sequence),
                tag: v.tag,
                fate: v.fate,
                head,
            };
            verdicts.iter().map(verdict).collect()
        }
        Down::Error { code, message, .. } => return Err(format!("a relay sent the error {code}: {message}")),
        Down::Welcome(_) | Down::Goodbye { .. } | Down::Alive => vec![],
    };
    Ok(Telling { told, go, covers })
}

impl Names {
    /// Whether both devices said the same.
    pub fn said(&mut self, real: &Said, model: &model::Up) -> Result<(), Difference> {
        match (real, model) {
            (Said::Subscribe(ask), model::Up::Subscribe(of_model)) => self.ask(ask, of_model),
            (Said::Publish(id, before, tag, birth), model::Up::Publish { producer, seq, prev_tag, tag: t, body }) => {
                self.id(*id, *tag, (*producer, *seq, *t))?;
                self.tag(*before, *prev_tag)?;
                match (birth, body) {
                    (Some(real), Some(model)) => self.birth(*real, *model),
                    (real, model) => same("void", real, model, real.is_none() && model.is_none()),
                }
            }
            (Said::Heal(event), model::Up::Heal(entry)) => self.event(event, entry),
            (real, model) => same("message up", real, model, false),
        }
    }

    fn ask(&mut self, real: &Subscribe, model: &model::Ask) -> Result<(), Difference> {
        self.producer(real.producer, model.producer)?;
        let is_same = (real.after.0, real.settled) == (model.after.into(), model.settled.into());
        same("subscribe", (real.after, real.settled), (model.after, model.settled), is_same)?;
        if model.after > 0 {
            self.epoch(real.epoch, model.epoch)?;
            self.check(real.check, model.check)?;
        }
        let wanted = model.records.iter().map(|p| self.real_producer(*p));
        let mut wanted: Vec<ProducerId> =
            wanted.collect::<Option<_>>().ok_or("records of a producer without a name")?;
        wanted.sort();
        same("records asked for", &real.records, &wanted, real.records == wanted)
    }

    /// Whether both relays told the same.
    pub fn told(&mut self, real: &Told, model: &model::Down) -> Result<(), Difference> {
        let at = |what: &str, real: Offset, model: u8| same(what, real, model, real.0 == u64::from(model));
        match (real, model) {
            (
                Told::Subscribed { epoch, head, resume, known },
                model::Down::Subscribed { epoch: e, head: h, resume: r, known: k },
            ) => {
                self.epoch(*epoch, *e)?;
                at("head", *head, *h)?;
                same("resume", resume, r, resume == r)?;
                self.known(known, k)
            }
            (Told::Snapshot { offset, check, births, records }, model::Down::Snapshot(snapshot)) => {
                at("snapshot", *offset, snapshot.offset)?;
                self.check(*check, snapshot.check)?;
                self.births("snapshot", births, &snapshot.births)?;
                self.records(records, snapshot)
            }
            (Told::Event(event), model::Down::Events { after, events }) => {
                at("event", event.offset, after + 1)?;
                self.event(event, &events[0])
            }
            (Told::Accepted(id), model::Down::Accepted { producer, seq })
            | (Told::Rejected(id), model::Down::Rejected { producer, seq }) => self.sequence(*id, *producer, *seq),
            (Told::Have { id, known, head }, model::Down::Have { producer, seq, known: k, head: h, .. }) => {
                self.sequence(*id, *producer, *seq)?;
                at("head", *head, *h)?;
                self.known(known, k)
            }
            (Told::Healed { id, tag, fate, head }, model::Down::Healed { event, head: h, verdict }) => {
                self.id(*id, *tag, event.id())?;
                at("head", *head, *h)?;
                let is_same = match fate {
                    HealFate::Passed => *verdict == model::Verdict::Passed,
                    HealFate::Gap => *verdict == model::Verdict::Gap,
                    HealFate::Refused => *verdict == model::Verdict::Refused,
                    HealFate::Other => *verdict == model::Verdict::Other,
                    HealFate::Later => *verdict == model::Verdict::Later,
                    HealFate::Branch => *verdict == model::Verdict::Branch,
                };
                same("fate", fate, verdict, is_same)
            }
            (real, model) => same("message down", real, model, false),
        }
    }

    fn sequence(&mut self, real: EventId, producer: model::Producer, seq: u8) -> Result<(), Difference> {
        self.producer(real.producer, producer)?;
        same("sequence", real.sequence, seq, real.sequence == u64::from(seq))
    }

    fn records(&mut self, real: &[Record], model: &model::Snapshot) -> Result<(), Difference> {
        let of_model = model.producers.iter().filter(|(_, record)| record.last > 0);
        let names: Vec<Option<ProducerId>> = of_model.clone().map(|(p, _)| self.real_producer(*p)).collect();
        same("records", real, &names, real.len() == names.len())?;
        for (producer, record) in of_model {
            let name = self.real_producer(*producer);
            let Some(found) = real.iter().find(|r| Some(r.producer) == name) else {
                return same("record", real, (producer, record), false);
            };
            let refused: Vec<u64> = found.refused.iter().map(|refusal| refusal.sequence).collect();
            let model_refused: Vec<u64> = record.refused.keys().map(|seq| u64::from(*seq)).collect();
            let is_same = found.logged.0 == u64::from(record.logged.0) && refused == model_refused;
            same("record", found, record, is_same)?;
            self.tag(found.logged.1, record.logged.1)?;
        }
        Ok(())
    }
}

/// One batch of the model out of its events one by one.
pub fn batch(events: Vec<model::Down>) -> Option<model::Down> {
    let mut all: Vec<Entry> = vec![];
    let mut begins = None;
    for event in events {
        let model::Down::Events { after, events } = event else { return None };
        begins.get_or_insert(after);
        all.extend(events);
    }
    Some(model::Down::Events { after: begins?, events: all })
}
