//! What the tests share: seeded randomness, random edits of every type, and a copy of a document kept by patches.

#![allow(dead_code, missing_docs, clippy::missing_panics_doc, reason = "each test uses a part")]

use automerge::{ObjId, ObjType, Prop, ROOT, ScalarValue};
use sync_document::{Action, Document, NewValue, Opening, Operation, Patch, Target, Value, automerge};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    pub fn word(&mut self) -> String {
        let length = 1 + self.below(6);
        (0..length).map(|_| ['a', 'b', 'c', ' ', 'é', '漢', '😀', '\n'][self.below(8)]).collect()
    }

    pub fn actor(&mut self) -> [u8; 16] {
        let mut actor = [0; 16];
        actor[..8].copy_from_slice(&self.next().to_be_bytes());
        actor[8..].copy_from_slice(&self.next().to_be_bytes());
        actor
    }
}

pub fn key(name: &str) -> Prop {
    Prop::Map(name.to_owned())
}

pub fn root() -> Target {
    Target::Object(ROOT)
}

pub fn map(entries: &[(&str, Value)]) -> Value {
    Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
}

/// Defaults with one key of each kind that merges.
pub fn defaults() -> Vec<(String, Value)> {
    vec![
        ("title".to_owned(), Value::Text("untitled".into())),
        ("list".to_owned(), Value::List(vec![])),
        ("votes".to_owned(), Value::Scalar(ScalarValue::counter(0))),
        (
            "deep".to_owned(),
            map(&[("b", Value::Scalar(ScalarValue::Null)), ("a", Value::List(vec![Value::Text("x".into())]))]),
        ),
    ]
}

pub fn open(actor: [u8; 16]) -> Document {
    Document::open(&Opening { actor, defaults: defaults(), ..Opening::default() }).expect("opens").0
}

/// A document, the copy of its content that its patches keep, and what it has written.
pub struct Device {
    pub document: Document,
    pub mirror: Value,
    pub log: Vec<Vec<u8>>,
}

impl Device {
    pub fn new(actor: [u8; 16]) -> Self {
        let document = open(actor);
        let mirror = document.value();
        Self { document, mirror, log: Vec::new() }
    }

    pub fn record(&mut self, operations: Vec<Operation>) {
        let patches = self.document.record(operations).expect("fits the document");
        patch_value(&mut self.mirror, &patches);
    }

    pub fn commit(&mut self) {
        if let Some(commit) = self.document.commit(7, None).expect("commits") {
            self.log.extend(commit.first.into_iter().chain([commit.change]).map(|change| change.bytes));
        }
    }

    pub fn apply(&mut self, payloads: &[Vec<u8>]) -> sync_document::Applied {
        let payloads: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        let applied = self.document.apply(&payloads).expect("applies");
        patch_value(&mut self.mirror, &applied.patches);
        applied
    }

    pub fn check(&self, at: &str) {
        assert_eq!(self.mirror, self.document.value(), "the copy kept by patches differs: {at}");
    }

    /// Some random edits somewhere in the document.
    pub fn edit(&mut self, random: &mut Random) {
        for _ in 0..=random.below(4) {
            let operations = self.random_operations(random);
            self.record(operations);
        }
    }

    fn random_operations(&mut self, random: &mut Random) -> Vec<Operation> {
        let (object, kind, value) = self.random_object(random);
        let target = Target::Object(object.clone());
        match value {
            Value::Text(text) => {
                let length = text.encode_utf16().count();
                let index = random.below(length + 1);
                let delete = random.below(4).min(length - index);
                match random.below(5) {
                    0 => vec![Operation::UpdateText(target, random.word())],
                    1 => vec![Operation::Splice(target, index, delete, String::new())],
                    _ => vec![Operation::Splice(target, index, delete, random.word())],
                }
            }
            Value::List(items) => list_operations(random, target, &items),
            Value::Map(entries) => {
                let name = ["title", "list", "votes", "deep", "a", "b", "c"][random.below(7)];
                let there = entries.iter().find(|(key, _)| key == name).map(|(_, value)| value);
                match there {
                    Some(Value::Scalar(ScalarValue::Counter(_))) if !random.chance(6) => {
                        vec![Operation::Increment(target, key(name), random.below(9) as i64 - 4)]
                    }
                    Some(_) if random.chance(5) => vec![Operation::Delete(target, key(name), 1)],
                    _ => {
                        let new = new_value(random);
                        let fill = fill(random, &new);
                        [vec![Operation::Put(target, key(name), new)], fill].concat()
                    }
                }
            }
            Value::Scalar(_) => unreachable!("{kind} is an object"),
        }
    }

    /// A random object that shows, by walking down.
    fn random_object(&self, random: &mut Random) -> (ObjId, ObjType, Value) {
        let (mut object, mut kind, mut value) = (ROOT, ObjType::Map, self.document.value());
        for _ in 0..3 {
            let keys: Vec<(Prop, Value)> = match &value {
                Value::Map(entries) => entries.iter().map(|(k, v)| (key(k), v.clone())).collect(),
                Value::List(items) => items.iter().cloned().enumerate().map(|(i, v)| (Prop::Seq(i), v)).collect(),
                _ => vec![],
            };
            let inner: Vec<_> = keys.into_iter().filter(|(_, v)| !matches!(v, Value::Scalar(_))).collect();
            if inner.is_empty() || random.chance(4) {
                break;
            }
            let (at, inside) = inner[random.below(inner.len())].clone();
            (object, kind) = self.document.child(&object, &at, None).expect("it shows");
            value = inside;
        }
        (object, kind, value)
    }
}

fn list_operations(random: &mut Random, target: Target, items: &[Value]) -> Vec<Operation> {
    let index = random.below(items.len() + 1);
    let here = items.get(index);
    match (random.below(6), here) {
        (0, Some(_)) => {
            vec![Operation::Delete(target, Prop::Seq(index), 1 + random.below(2).min(items.len() - index - 1))]
        }
        (1, Some(Value::Scalar(ScalarValue::Counter(_)))) => vec![Operation::Increment(target, Prop::Seq(index), 3)],
        (1 | 2, Some(_)) => {
            let new = new_value(random);
            let fill = fill(random, &new);
            [vec![Operation::Put(target, Prop::Seq(index), new)], fill].concat()
        }
        _ => {
            let new = new_value(random);
            let fill = fill(random, &new);
            [vec![Operation::Insert(target, index, new)], fill].concat()
        }
    }
}

fn new_value(random: &mut Random) -> NewValue {
    NewValue::Scalar(match random.below(13) {
        0 => return NewValue::Map,
        1 => return NewValue::List,
        2 | 3 => return NewValue::Text(random.word()),
        4 => ScalarValue::Null,
        5 => ScalarValue::Boolean(random.chance(2)),
        6 => ScalarValue::Int(random.next() as i64 % 1000),
        7 => ScalarValue::F64(random.below(1000) as f64 / 8.0),
        8 => ScalarValue::Timestamp(random.below(100_000) as i64),
        9 => ScalarValue::Bytes(random.actor()[..random.below(5)].to_vec()),
        10 => ScalarValue::counter(random.below(5) as i64),
        _ => ScalarValue::Str(random.word().into()),
    })
}

fn fill(random: &mut Random, new: &NewValue) -> Vec<Operation> {
    match new {
        NewValue::Map => vec![Operation::Put(Target::Made(0), key("in"), NewValue::Text(random.word()))],
        NewValue::List => vec![Operation::Insert(Target::Made(0), 0, NewValue::Scalar(ScalarValue::counter(1)))],
        _ => vec![],
    }
}

/// What the package does with patches, on a plain value.
pub fn patch_value(value: &mut Value, patches: &[Patch]) {
    for patch in patches {
        let (last, parents) = patch.path.split_last().expect("a place");
        let place = parents.iter().fold(&mut *value, |value, key| match (value, key) {
            (Value::Map(entries), Prop::Map(key)) => {
                &mut entries.iter_mut().find(|(name, _)| name == key).expect("a key that is there").1
            }
            (Value::List(items), Prop::Seq(index)) => &mut items[*index],
            (value, key) => panic!("no {key} in {value:?}"),
        });
        patch_place(place, last, &patch.action);
    }
}

fn patch_place(place: &mut Value, last: &Prop, action: &Action) {
    match (place, last, action) {
        (_, _, Action::Conflict) => {}
        (Value::Map(entries), Prop::Map(key), action) => {
            let at = entries.binary_search_by(|(name, _)| name.cmp(key));
            match (at, action) {
                (Ok(at), Action::Put(value)) => entries[at].1 = value.clone(),
                (Err(at), Action::Put(value)) => entries.insert(at, (key.clone(), value.clone())),
                (Ok(at), Action::Delete(1)) => drop(entries.remove(at)),
                (Ok(at), Action::Increment(by)) => increment(&mut entries[at].1, *by),
                (_, action) => panic!("{action:?} on a map"),
            }
        }
        (Value::List(items), Prop::Seq(index), action) => match action {
            Action::Put(value) => items[*index] = value.clone(),
            Action::Insert(values) => drop(items.splice(index..index, values.iter().cloned())),
            Action::Delete(count) => drop(items.drain(*index..index + count)),
            Action::Increment(by) => increment(&mut items[*index], *by),
            action => panic!("{action:?} on a list"),
        },
        (Value::Text(text), Prop::Seq(index), action) => {
            let mut units: Vec<u16> = text.encode_utf16().collect();
            match action {
                Action::Splice(insert) => drop(units.splice(index..index, insert.encode_utf16())),
                Action::Delete(count) => drop(units.drain(*index..index + count)),
                action => panic!("{action:?} on a text"),
            }
            *text = String::from_utf16(&units).expect("whole characters");
        }
        (place, key, action) => panic!("{action:?} at {key} of {place:?}"),
    }
}

fn increment(value: &mut Value, by: i64) {
    let Value::Scalar(ScalarValue::Counter(counter)) = value else { panic!("{value:?} is no counter") };
    *value = Value::Scalar(ScalarValue::counter(i64::from(&*counter) + by));
}
