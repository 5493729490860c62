//! What the real side calls one thing and the model another: producer ids, tags, checks, epochs and births, paired when they
//! are first seen together. A pair never changes, on neither side: so each comparison is equality up to names.

use protocol_model::types as model;
use std::collections::BTreeMap;
use std::fmt::Debug;
use sync_core::digest;
use sync_core::event::Event;
use sync_core::ids::*;
use sync_core::wire::Known;

/// Where the two sides differ.
pub type Difference = String;

/// Fails with what was compared and both sides of it.
pub fn same<R: Debug, M: Debug>(what: &str, real: R, model: M, is_same: bool) -> Result<(), Difference> {
    if is_same { Ok(()) } else { Err(format!("{what}: real {real:?}, model {model:?}")) }
}

/// Pairs of names, each of which has one partner.
#[derive(Clone, Debug)]
struct Pairs<R, M> {
    models: BTreeMap<R, M>,
    reals: BTreeMap<M, R>,
}

impl<R: Ord + Copy + Debug, M: Ord + Copy + Debug> Pairs<R, M> {
    fn new(pairs: impl IntoIterator<Item = (R, M)>) -> Pairs<R, M> {
        let mut new = Pairs { models: BTreeMap::new(), reals: BTreeMap::new() };
        for (real, model) in pairs {
            new.models.insert(real, model);
            new.reals.insert(model, real);
        }
        new
    }
    /// Whether both name the same thing; if neither was seen before, they do from now on.
    fn pair(&mut self, what: &str, real: R, model: M) -> Result<(), Difference> {
        match (self.models.get(&real), self.reals.get(&model)) {
            (None, None) => {
                self.models.insert(real, model);
                self.reals.insert(model, real);
                Ok(())
            }
            (m, r) => same(what, (real, r), (model, m), m == Some(&model) && r == Some(&real)),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Names {
    producers: Pairs<ProducerId, model::Producer>,
    tags: Pairs<Tag, model::Tag>,
    checks: Pairs<Check, model::Tag>,
    epochs: Pairs<Epoch, u8>,
    births: Pairs<harness::birth::Birth, model::Birth>,
}

impl Names {
    /// The empty chain is named on both sides, nothing else.
    pub fn new() -> Names {
        Names {
            producers: Pairs::new([]),
            tags: Pairs::new([(Tag::ZERO, 0)]),
            checks: Pairs::new([]),
            epochs: Pairs::new([]),
            births: Pairs::new([]),
        }
    }

    /// A producer id.
    pub fn producer(&mut self, real: ProducerId, model: model::Producer) -> Result<(), Difference> {
        self.producers.pair("producer", real, model)
    }
    /// The real name of a producer, if it has appeared.
    pub fn real_producer(&self, model: model::Producer) -> Option<ProducerId> {
        self.producers.reals.get(&model).copied()
    }
    /// A chain's tag.
    pub fn tag(&mut self, real: Tag, model: model::Tag) -> Result<(), Difference> {
        self.tags.pair("tag", real, model)
    }
    /// A log's check.
    pub fn check(&mut self, real: Check, model: model::Tag) -> Result<(), Difference> {
        self.checks.pair("check", real, model)
    }
    /// A log's epoch.
    pub fn epoch(&mut self, real: Epoch, model: u8) -> Result<(), Difference> {
        self.epochs.pair("epoch", real, model)
    }
    /// What an event holds.
    pub fn birth(&mut self, real: harness::birth::Birth, model: model::Birth) -> Result<(), Difference> {
        self.births.pair("birth", real, model)
    }
    /// The real name of a birth, if it was made.
    pub fn real_birth(&self, model: model::Birth) -> Option<harness::birth::Birth> {
        self.births.reals.get(&model).copied()
    }
    /// Births in order.
    pub fn births(
        &mut self,
        what: &str,
        real: &[harness::birth::Birth],
        model: &[model::Birth],
    ) -> Result<(), Difference> {
        let known: Vec<model::Birth> = real.iter().filter_map(|birth| self.births.models.get(birth).copied()).collect();
        same(what, (&known, real), model, known.len() == real.len() && known == model)
    }

    /// An event under its id.
    pub fn id(&mut self, real: EventId, tag: Tag, model: model::Id) -> Result<(), Difference> {
        self.producer(real.producer, model.0)?;
        same("sequence", real.sequence, model.1, real.sequence == u64::from(model.1))?;
        self.tag(tag, model.2)
    }
    /// An event under its id, which may go on under a derived one.
    pub fn derivable(&mut self, real: EventId, tag: Tag, model: &model::Entry) -> Result<(), Difference> {
        self.id(real, tag, model.id())?;
        self.producer(digest::derived_producer(real, tag), model.refile().producer)
    }
    /// A whole event as a log has it.
    pub fn event(&mut self, real: &Event, model: &model::Entry) -> Result<(), Difference> {
        self.id(real.id, real.tag, model.id())?;
        same("prev", real.prev.0, model.prev, real.prev.0 == u64::from(model.prev))?;
        self.tag(real.prev.1, model.prev_tag)?;
        let birth = harness::birth::birth_of(&real.content).ok_or("an event without a birth")?;
        self.birth(birth, model.birth)
    }
    /// What the relay has of a producer.
    pub fn known(&mut self, real: &Known, model: &model::Known) -> Result<(), Difference> {
        let refused: Vec<u64> = real.refused.iter().map(|refusal| refusal.sequence).collect();
        let model_refused: Vec<u64> = model.refused.keys().map(|seq| u64::from(*seq)).collect();
        let is_same = real.last == u64::from(model.last) && refused == model_refused;
        same("known", (real.last, &refused), (model.last, &model_refused), is_same)?;
        for (refusal, tag) in real.refused.iter().zip(model.refused.values()) {
            self.tag(refusal.tag, *tag)?;
        }
        self.tag(real.tag, model.tag)
    }
}
