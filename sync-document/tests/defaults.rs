//! What a new document contains: equal bytes on every device, and never in the way of what a user set.

mod world;

use std::collections::BTreeSet;
use sync_document::automerge::{ROOT, ScalarValue};
use sync_document::{Commit, Document, NewValue, Opening, Operation, Target, Value};
use world::{Random, defaults, key, map, root};

fn open(random: &mut Random, defaults: Vec<(String, Value)>) -> Document {
    Document::open(&Opening { actor: random.actor(), defaults, ..Opening::default() }).expect("opens").0
}

fn put(document: &mut Document, name: &str, value: NewValue) -> Commit {
    document.record(vec![Operation::Put(root(), key(name), value)]).expect("fits");
    document.commit(0, None).expect("commits").expect("something was recorded")
}

fn payloads(commit: &Commit) -> Vec<&[u8]> {
    commit.first.iter().chain([&commit.change]).map(|change| &change.bytes[..]).collect()
}

/// The bytes must never change: documents in the world start with them.
#[test]
fn first_changes_are_the_same_bytes_for_ever() {
    let mut random = Random(1);
    let mut documents = [open(&mut random, defaults()), open(&mut random, defaults().into_iter().rev().collect())];
    let [one, other] = documents.each_mut().map(|document| put(document, "title", NewValue::Text("x".into())).first);
    let hashes = |first: &[sync_document::Committed]| first.iter().map(|c| c.hash.to_string()).collect::<BTreeSet<_>>();
    assert_eq!(hashes(&one), hashes(&other));
    assert_eq!(hashes(&one), FIRST_CHANGES.map(str::to_owned).into());
}

/// Of the fixed first change and of the four defaults, sorted.
const FIRST_CHANGES: [&str; 5] = [
    "3f7eea9cf715191ddae63b975434d41b5588e869681dc310e96fbcf4682752d5",
    "41b7593e634a22a2edc63e02dc7ef5b27b1ae2d308fd1b7271279328944a0ad0",
    "59fcb64c4b21145125f6a544782f756311ef5876c78eee7964b5121e46cf794c",
    "886d8c5b62c482e5bb72908b4db47a22c4c251a0db630caf741e419b6b76fab8",
    "ec964660cfad2e727cebecc891d4c52d306073cafe5b1ec973ebb46c5fd3d225",
];

/// Two devices create the same document offline: one list, both sides' items, counters add up.
#[test]
fn two_creators_share_their_defaults() {
    let mut random = Random(2);
    let [mut ann, mut ben] = [open(&mut random, defaults()), open(&mut random, defaults())];
    assert_eq!((ann.heads(), ann.value()), (ben.heads(), ben.value()));
    let mut commits = Vec::new();
    for (document, word) in [(&mut ann, "a"), (&mut ben, "b")] {
        let (list, _) = document.find(&[key("list")]).expect("a default");
        let operations = vec![
            Operation::Insert(Target::Object(list), 0, NewValue::Text(word.into())),
            Operation::Increment(root(), key("votes"), 2),
        ];
        document.record(operations).expect("fits");
        commits.push(document.commit(0, None).expect("commits").expect("something was recorded"));
    }
    ann.apply(&payloads(&commits[1])).expect("applies");
    ben.apply(&payloads(&commits[0])).expect("applies");
    assert_eq!(ann.value(), ben.value());
    let Value::Map(entries) = ann.value() else { panic!("a map") };
    let votes = entries.iter().find(|(name, _)| name == "votes");
    assert_eq!(votes.map(|(_, value)| value), Some(&Value::Scalar(ScalarValue::counter(4))));
    let list = entries.iter().find(|(name, _)| name == "list").map(|(_, value)| value.clone());
    assert!(matches!(list, Some(Value::List(items)) if items.len() == 2));
}

/// A default that a newer build adds shows where nobody set the key, and beats nobody, in whatever order things arrive.
#[test]
fn a_late_default_never_beats_a_user() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let late = |random: &mut Random| {
            let value = match random.below(3) {
                0 => Value::Text("late default".into()),
                1 => {
                    map(&[("deep", Value::List((0..random.below(40)).map(|n| Value::Text(format!("{n}"))).collect()))])
                }
                _ => Value::Scalar(ScalarValue::counter(7)),
            };
            vec![("status".to_owned(), value)]
        };
        let mut old = open(&mut random, vec![]);
        let mut new_defaults = if random.chance(2) { defaults() } else { vec![] };
        new_defaults.extend(late(&mut random));
        let mut new = open(&mut random, new_defaults.clone());
        // The old build's user sets the key, perhaps as the very first thing in the document.
        for _ in 0..random.below(3) {
            let commit = put(&mut old, "other", NewValue::Text(random.word()));
            if random.chance(2) {
                new.apply(&payloads(&commit)).expect("applies");
            }
        }
        let kind = if random.chance(2) {
            NewValue::Text("user".into())
        } else {
            NewValue::Scalar(ScalarValue::Str("user".into()))
        };
        put(&mut old, "status", kind);
        // The newer build writes too, so that its default reaches the old one.
        let made = put(&mut new, "another", NewValue::Map);
        let log = old.export();
        new.import(&[&log]).expect("merges");
        old.apply(&payloads(&made)).expect("applies");
        let reopened =
            Opening { actor: random.actor(), defaults: new_defaults, payloads: vec![&log], ..Opening::default() };
        let (reopened, _) = Document::open(&reopened).expect("opens");
        for document in [&old, &new, &reopened] {
            let shown = match document.child(&ROOT, &key("status"), None) {
                Some((object, _)) => document.text(&object),
                None => match document.scalar(&ROOT, &key("status"), None) {
                    Some(ScalarValue::Str(text)) => Some(text.to_string()),
                    _ => None,
                },
            };
            assert_eq!(shown.as_deref(), Some("user"), "seed {seed}: a default beat the user");
        }
    }
}
