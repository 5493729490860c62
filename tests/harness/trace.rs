//! The trace of a run, one line for each step, in the model's notation: `a3` is device A's third event, `A:3` its id, `@17`
//! an offset, `[a1 b1]` a list of events. The same seed gives the same trace, byte for byte.

use crate::birth::{Birth, Names, birth_of, births_in};
use bytes::Bytes;
use std::collections::BTreeMap;
use sync_core::device::Notice;
use sync_core::event::{Bodies, Event, Run};
use sync_core::ids::*;
use sync_core::time::Millis;
use sync_core::wire::{Down, HealFate, Item, Known, Message, Turn, Up};

/// The lines of a run.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// What things are called.
    pub names: Names,
    lines: Vec<String>,
    /// Own contents that came back without payload: what the id stands for.
    ids: BTreeMap<(EventId, Tag), Birth>,
    /// Prints each line at once.
    pub loud: bool,
}

impl Trace {
    /// Adds a line.
    pub fn line(&mut self, now: Millis, text: &str) {
        let line = format!("{:>5} {:>9.3}s  {text}", self.lines.len(), now.0 as f64 / 1000.0);
        if self.loud {
            println!("{line}");
        }
        self.lines.push(line);
    }
    /// All of it.
    pub fn text(&self) -> String {
        self.lines.join("\n")
    }
    /// The last lines.
    pub fn last(&self, lines: usize) -> String {
        self.lines[self.lines.len().saturating_sub(lines)..].join("\n")
    }
    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }
    /// Whether nothing has happened.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// An event was made: its id stands for this birth.
    pub fn knows(&mut self, event: &Event) {
        if let Some(birth) = birth_of(&event.content) {
            self.ids.insert((event.id, event.tag), birth);
            self.names.derived(event.refiled().id.producer, event.id);
        }
    }

    /// A frame of a device.
    pub fn up(&mut self, device: usize, frame: &Bytes) -> String {
        let Ok(messages) = Up::decode_frame(frame) else { return format!("{} bytes", frame.len()) };
        let mut said = vec![];
        for message in &messages {
            if let Up::Hello(hello) = message {
                self.names.producer_of(hello.producer, device);
            }
            if let Up::Subscribe(ask) = message {
                self.names.producer_of(ask.producer, device);
            }
            said.push(self.up_message(message));
        }
        said.join("; ")
    }

    fn up_message(&self, message: &Up) -> String {
        match message {
            Up::Hello(hello) => format!("hello {}", self.names.producer(hello.producer)),
            Up::Authenticate { .. } => "authenticate".into(),
            Up::Subscribe(ask) => format!(
                "subscribe {} as {} after {:?} settled {}",
                ask.stream,
                self.names.producer(ask.producer),
                ask.after,
                ask.settled
            ),
            Up::Unsubscribe { stream } => format!("unsubscribe {stream}"),
            Up::Publish(publish) => {
                let item = |item: &Item| match item {
                    Item::Event { content, needs, causes } => {
                        let name = birth_of(content).map_or("?".into(), |birth| self.names.birth(birth).to_string());
                        let needs = needs.map_or(String::new(), |(sequence, _)| format!("<{sequence}"));
                        let causes: String = causes.iter().map(|cause| format!("{:?}", cause.offset)).collect();
                        format!("{name}{needs}{causes}")
                    }
                    Item::Void { .. } => "void".into(),
                };
                let items: Vec<String> = publish.items.iter().map(item).collect();
                let id = EventId { producer: publish.producer, sequence: publish.first };
                format!("publish {} {} [{}]", publish.stream, self.names.id(id), items.join(" "))
            }
            Up::Heal(heal) => {
                let done = if heal.done { " done" } else { "" };
                format!("heal {} {}{done}", heal.stream, self.runs(&heal.runs))
            }
            Up::Applied { stream, cursor } => format!("applied {stream} {cursor:?}"),
            Up::Alive => "alive".into(),
        }
    }

    /// A frame of the relay.
    pub fn down(&self, frame: &Bytes) -> String {
        let Ok(messages) = Down::decode_frame(frame) else { return format!("{} bytes", frame.len()) };
        messages.iter().map(|message| self.down_message(message)).collect::<Vec<_>>().join("; ")
    }

    fn down_message(&self, message: &Down) -> String {
        match message {
            Down::Welcome(_) => "welcome".into(),
            Down::Subscribed(answer) => format!(
                "subscribed {} {} head {:?} resume {} {}{}",
                answer.stream,
                short(answer.epoch),
                answer.head,
                if answer.resume { "yes" } else { "no" },
                known(&answer.known),
                if answer.turn == Turn::Go { "" } else { " wait" }
            ),
            Down::Snapshot(part) => {
                let births = self.names.list(&births_in(&part.bytes));
                format!("snapshot {} {:?} part {}/{} {births}", part.stream, part.offset, part.part + 1, part.parts)
            }
            Down::Events(events) => {
                format!("events {} ({:?}, {:?}] {}", events.stream, events.after, events.upto, self.runs(&events.runs))
            }
            Down::Accepted { stream, producer, first, last } => {
                format!("accepted {stream} {}:{first}..{last}", self.names.producer(*producer))
            }
            Down::Rejected { stream, producer, refusal } => {
                let id = EventId { producer: *producer, sequence: refusal.sequence };
                format!("rejected {stream} {} {}", self.names.id(id), refusal.code)
            }
            Down::Have { stream, producer, sequence, known: has, head } => {
                let id = EventId { producer: *producer, sequence: *sequence };
                format!("have {stream} for {} {} head {head:?}", self.names.id(id), known(has))
            }
            Down::Healed { stream, head, verdicts } => {
                let verdict = |v: &sync_core::wire::Verdict| {
                    let id = EventId { producer: v.producer, sequence: v.sequence };
                    match v.fate {
                        HealFate::Passed => self.names.id(id),
                        fate => format!("{} {}", self.names.id(id), format!("{fate:?}").to_lowercase()),
                    }
                };
                let verdicts: Vec<String> = verdicts.iter().map(verdict).collect();
                format!("healed {stream} head {head:?} [{}]", verdicts.join(" "))
            }
            Down::Turn { stream, turn } => format!("turn {stream} {turn:?}"),
            Down::Error { stream, code, .. } => format!("error {stream:?} {code}"),
            Down::Goodbye { delay_ms } => format!("goodbye {delay_ms} ms"),
            Down::Alive => "alive".into(),
        }
    }

    fn runs(&self, runs: &[Run]) -> String {
        let mut names = vec![];
        for run in runs {
            let id = |index: usize| EventId { producer: run.producer, sequence: run.first + index as u64 };
            for index in 0..run.bodies.len() {
                let birth = match &run.bodies {
                    Bodies::Contents(contents) => birth_of(&contents[index]),
                    Bodies::Own(tags) => self.ids.get(&(id(index), tags[index])).copied(),
                };
                let name = birth.map_or("?".into(), |birth| self.names.birth(birth).to_string());
                names.push(format!("{name}={}", self.names.id(id(index))));
            }
        }
        format!("[{}]", names.join(" "))
    }

    /// What a device tells its pages; `None`: not worth a line.
    pub fn notice(&self, notice: &Notice) -> Option<String> {
        let name = |event: &Event| {
            let birth = birth_of(&event.content).map_or("?", |birth| self.names.birth(birth));
            format!("{birth}={}", self.names.id(event.id))
        };
        Some(match notice {
            Notice::Appended { event, stream, .. } => format!("saved {stream} {}", name(event)),
            Notice::Failed { stream, code, .. } => format!("not saved {stream}: {code}"),
            Notice::Applied { stream, after, upto, events, .. } => {
                let events: Vec<String> = events.iter().map(name).collect();
                format!("applied {stream} ({after:?}, {upto:?}] [{}]", events.join(" "))
            }
            Notice::Accepted { stream, ids } => {
                let ids: Vec<String> = ids.iter().map(|id| self.names.id(*id)).collect();
                format!("accepted {stream} {}", ids.join(" "))
            }
            Notice::Rejected { stream, rejections } => {
                let ids: Vec<String> =
                    rejections.iter().map(|r| format!("{} ({})", self.names.id(r.id), r.code)).collect();
                format!("rejected {stream} {}", ids.join(" "))
            }
            Notice::Renamed { stream, from, to } => {
                format!("renamed {stream} {} -> {}", self.names.id(*from), self.names.id(*to))
            }
            Notice::Reset { stream, epoch } => format!("reset {stream} {}", short(*epoch)),
            Notice::Stream { stream, state } => {
                format!(
                    "{stream}: cursor {:?} head {:?} pending {}{}{}",
                    state.cursor,
                    state.head,
                    state.pending,
                    if state.caught_up { " caught up" } else { "" },
                    state.error.map_or(String::new(), |error| format!(" error {error}"))
                )
            }
            Notice::Connection(connection) => format!("{connection:?}"),
            Notice::Storage(error) => format!("storage {error:?}"),
        })
    }
}

fn short(epoch: Epoch) -> String {
    format!("e{:02x}{:02x}", epoch.0[0], epoch.0[1])
}

fn known(known: &Known) -> String {
    let refused: Vec<String> = known.refused.iter().map(|refusal| refusal.sequence.to_string()).collect();
    let refused = if refused.is_empty() { String::new() } else { format!(" refused {}", refused.join(" ")) };
    format!("last {}{refused}", known.last)
}
