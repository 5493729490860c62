//! What the store was asked and has not answered. *Unknown* and *busy* are no answers: the same request goes again,
//! after a wait, and the device hears nothing meanwhile.

use super::output::{Output, Outputs, Request};
use crate::digest::Random;
use crate::ids::{ProducerId, Sequence, StreamName};
use crate::time::Millis;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The first wait before a request goes again; doubles up to the maximum.
const WAIT_MS_BASE: u64 = 20;
const WAIT_MS_MAX: u64 = 2_000;

/// What an answer is wanted for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// To say `subscribed`, to read, or to bring a snapshot.
    Follow(StreamName),
    /// To say `have` to a device that repeated itself.
    Have {
        /// The stream.
        stream: StreamName,
        /// The device's own producer or one of its strays'.
        producer: ProducerId,
        /// The first sequence of the publish.
        first: Sequence,
        /// Those of the publishes that were joined to it: each has its answer.
        joined: Vec<Sequence>,
    },
    /// To say what became of a publish.
    Publish {
        /// The bytes that become free with the answer.
        bytes: usize,
        /// The first sequences of the publishes that were joined to the first.
        joined: Vec<Sequence>,
    },
    /// To say what became of a heal.
    Heal {
        /// The bytes that become free with the answer.
        bytes: usize,
    },
}

/// One request under way.
pub(super) struct Asked {
    pub request: Request,
    pub purpose: Purpose,
    /// It was perhaps done before: an answer that says "repeated" may mean this relay's own attempt.
    pub unsure: bool,
    attempt: u32,
}

pub(super) struct Requests {
    last: u64,
    /// Boxed, because a map's node has room for eleven and an idle connection keeps one.
    under_way: BTreeMap<u64, Box<Asked>>,
    waits: BTreeSet<(Millis, u64)>,
    random: Random,
}

impl Requests {
    pub fn new(seed: [u8; 32]) -> Requests {
        Requests { last: 0, under_way: BTreeMap::new(), waits: BTreeSet::new(), random: Random::new(seed) }
    }
    /// Asks, and returns the request's number.
    pub fn ask(&mut self, request: Request, purpose: Purpose, out: &mut Outputs) -> u64 {
        self.last += 1;
        out.push(Output::Store { request: self.last, ask: request.clone() });
        self.under_way.insert(self.last, Box::new(Asked { request, purpose, unsure: false, attempt: 0 }));
        self.last
    }
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.under_way.len()
    }
    /// Takes out what was asked, now that there is an answer. `None`: it was forgotten.
    pub fn take(&mut self, number: u64) -> Option<Box<Asked>> {
        self.under_way.remove(&number)
    }
    /// The store did not answer: the same goes again, later.
    pub fn again(&mut self, number: u64, mut asked: Box<Asked>, unsure: bool, now: Millis) {
        let bound = (WAIT_MS_BASE << asked.attempt.min(16)).min(WAIT_MS_MAX);
        asked.attempt += 1;
        asked.unsure |= unsure;
        self.under_way.insert(number, asked);
        self.waits.insert((now.plus(bound / 2 + self.random.below(bound / 2 + 1)), number));
    }
    /// Its answer is not wanted any more.
    pub fn forget(&mut self, number: u64) {
        self.under_way.remove(&number);
    }
    /// Asks again what has waited long enough.
    pub fn wake(&mut self, now: Millis, out: &mut Outputs) {
        while let Some(&(at, number)) = self.waits.first()
            && at <= now
        {
            self.waits.pop_first();
            if let Some(asked) = self.under_way.get(&number) {
                out.push(Output::Store { request: number, ask: asked.request.clone() });
            }
        }
    }
    /// When the next one goes again.
    pub fn wake_at(&self) -> Option<Millis> {
        self.waits.first().map(|(at, _)| *at)
    }
}
