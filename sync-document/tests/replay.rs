//! Replay that comes out wrong, and changes that leave the document again.

mod world;

use sync_document::automerge::{Change, ScalarValue};
use sync_document::{Action, Document, NewValue, Opening, Operation, SkipReason, Target, read_change};
use world::{Device, Random, defaults, key, root};

fn put(name: &str, value: &str) -> Operation {
    Operation::Put(root(), key(name), NewValue::Scalar(ScalarValue::Str(value.into())))
}

/// A change that follows directly on what is here and yet is not what a local transaction makes: it leaves out what it
/// overwrites. Its replay gets another hash; the document is rebuilt from its changes, and is as if read from the log.
#[test]
fn a_replay_with_another_hash_rebuilds_the_document() {
    let mut ann = Device::new([1; 16]);
    let mut ben = Device::new([2; 16]);
    for value in ["one", "two", "three"] {
        ann.record(vec![put("key", value)]);
        ann.commit();
    }
    let planted = {
        let mut change = read_change(ann.log.last().expect("some")).expect("honest").decode();
        change.operations[0].pred = vec![].into();
        Change::from(change).raw_bytes().to_vec()
    };
    let honest = &ann.log[..ann.log.len() - 1];
    let before = ben.apply(honest);
    assert_eq!((before.replayed, before.rebuilt), (2, 0));

    let applied = ben.apply(std::slice::from_ref(&planted));
    assert_eq!((applied.replayed, applied.rebuilt, applied.skipped.len()), (0, 1, 0));
    ben.check("after the rebuild");
    let mut log: Vec<&[u8]> = honest.iter().map(Vec::as_slice).collect();
    log.push(&planted);
    let opening = Opening { actor: [3; 16], defaults: defaults(), payloads: log, ..Opening::default() };
    let (mut fresh, _) = Document::open(&opening).expect("opens");
    assert_eq!((ben.document.value(), ben.document.heads()), (fresh.value(), fresh.heads()));
    assert_eq!(ben.document.conflicts(&[key("key")]).len(), 2, "the planted change overwrites nothing");

    // From here on it goes by batches, and goes on.
    let mut carl = Device { mirror: fresh.value(), document: fresh, log: vec![] };
    carl.record(vec![put("key", "four")]);
    carl.commit();
    let applied = ben.apply(&carl.log);
    assert_eq!((applied.replayed, applied.batched, applied.rebuilt), (0, 1, 0));
    ben.check("after the next change");
    assert_eq!(ben.document.value(), carl.document.value());
}

/// Whatever is taken out of a document, what stays is what its other changes make, and its patches say so.
#[test]
fn a_document_without_some_changes_is_that_of_the_others() {
    for seed in 0..60 {
        let mut random = Random(seed);
        let mut devices = [Device::new(random.actor()), Device::new(random.actor())];
        for round in 0..8 {
            for device in &mut devices {
                device.edit(&mut random);
                device.commit();
            }
            if round % 3 == 2 {
                let [one, two] = &mut devices;
                one.apply(&two.log);
                two.apply(&one.log);
            }
        }
        let [device, other] = &mut devices;
        device.apply(&other.log);
        let changes: Vec<Change> = device
            .document
            .changes()
            .iter()
            .rev()
            .map(|entry| entry.hash)
            .map(|hash| {
                let all = [&device.log[..], &other.log[..]].concat();
                let found =
                    all.iter().map(|bytes| read_change(bytes).expect("honest")).find(|change| change.hash() == hash);
                found.unwrap_or_else(|| panic!("seed {seed}: a change that nobody wrote"))
            })
            .collect();
        let refused = changes[5 + random.below(changes.len() - 5)].hash();
        let without = device.document.without(&[refused]).expect("rebuilds");
        world::patch_value(&mut device.mirror, &without.patches);
        device.check(&format!("seed {seed}"));
        let dropped: Vec<_> = without.dropped.iter().map(|dropped| dropped.hash).collect();
        assert!(dropped.contains(&refused), "seed {seed}");
        let kept: Vec<&[u8]> = changes.iter().filter(|c| !dropped.contains(&c.hash())).map(Change::raw_bytes).collect();
        let opening = Opening { actor: [9; 16], defaults: defaults(), payloads: kept, ..Opening::default() };
        let (mut fresh, applied) = Document::open(&opening).expect("opens");
        assert_eq!((applied.waiting, applied.skipped.len()), (0, 0), "seed {seed}");
        assert_eq!((device.document.heads(), device.document.value()), (fresh.heads(), fresh.value()), "seed {seed}");
        for change in changes.iter().filter(|change| dropped.contains(&change.hash())) {
            assert!(change.hash() == refused || change.deps().iter().any(|dep| dropped.contains(dep)), "seed {seed}");
        }
        device.edit(&mut random);
        device.commit();
    }
}

/// Two clones of a page type into one text under one actor. The log's change stays, the clone's own gives way, and
/// everyone leaves out the later one when it comes.
#[test]
fn clones_with_one_actor_break_nothing() {
    let mut ann = Device::new([1; 16]);
    let mut clone = Device::new([1; 16]);
    let mut reader = Device::new([2; 16]);
    let (title, _) = ann.document.find(&[key("title")]).expect("a default");
    let typed = |word: &str| vec![Operation::Splice(Target::Object(title.clone()), 0, 0, word.into())];
    for word in ["a", "b"] {
        ann.record(typed(word));
        ann.commit();
        clone.record(typed(&format!("clone {word} ")));
        clone.commit();
    }
    clone.record(typed("clone c "));
    clone.commit();
    // The log took Ann's first.
    let applied = clone.apply(&ann.log);
    assert_eq!(applied.displaced.len(), 3);
    assert!(applied.skipped.is_empty());
    clone.check("after giving way");
    assert_ne!(clone.document.actor().to_bytes(), [1; 16]);
    // Each reads the log, the own changes in it too.
    let log = ann.log.clone();
    assert_eq!(ann.apply(&log), sync_document::Applied::default());
    reader.apply(&log);
    let late: Vec<Vec<u8>> = clone.log[clone.log.len() - 3..].to_vec();
    for device in [&mut ann, &mut reader, &mut clone] {
        let applied = device.apply(&late[..1]);
        assert_eq!(applied.skipped.len(), 1, "the sequence is taken");
        device.check("after the clone's own change");
    }
    // What was made on top of it can never be applied either, and nobody waits for that.
    for device in [&mut ann, &mut reader, &mut clone] {
        let applied = device.apply(&late[1..]);
        let reasons: Vec<_> = applied.skipped.iter().map(|skipped| skipped.reason).collect();
        assert_eq!((reasons, applied.waiting), (vec![SkipReason::SequenceTaken, SkipReason::NeedsLeftOut], 0));
        assert!(!device.document.take_actor([1; 16]), "its sequences are in doubt");
        assert!(device.document.take_actor([3; 16]));
    }
    // Its edits can be read, though a document with the log's changes in it has no room for them.
    let all: Vec<&[u8]> = log.iter().chain(&late).map(Vec::as_slice).collect();
    let edits = Document::edits_of(&late[2], &all).expect("all of it is here");
    assert!(matches!(&edits[0].action, Action::Splice(text) if text == "clone c "), "{edits:?}");
    assert!(Document::edits_of(&late[2], &all[..log.len()]).is_err());
    // They are made again under the new actor.
    clone.record(typed("clone again "));
    clone.commit();
    let again = clone.log.last().expect("some").clone();
    for device in [&mut ann, &mut reader] {
        assert_eq!(device.apply(std::slice::from_ref(&again)).replayed, 1);
        assert_eq!(device.document.value(), clone.document.value());
    }
}

/// A page takes an actor that an earlier page of its device wrote under, and goes on with its numbers.
#[test]
fn a_leased_actor_goes_on_where_it_was_left() {
    let leased = [7; 16];
    let mut log: Vec<Vec<u8>> = Vec::new();
    let page = |number: u8, log: &[Vec<u8>], pending: usize| {
        let payloads = log.iter().map(Vec::as_slice).collect();
        let opening = Opening { actor: [number; 16], defaults: defaults(), payloads, pending };
        Document::open(&opening).expect("opens").0
    };
    for number in 1..=3 {
        let mut document = page(number, &log, 0);
        assert!(document.take_actor(leased));
        document.record(vec![put("title", &format!("page {number}"))]).expect("recorded");
        let commit = document.commit(0, None).expect("commits").expect("a change");
        log.extend(commit.first.iter().chain([&commit.change]).map(|change| change.bytes.clone()));
    }
    let own =
        log.iter().map(|bytes| read_change(bytes).expect("a change")).filter(|c| c.actor_id().to_bytes() == leased);
    assert_eq!(own.map(|change| change.seq()).collect::<Vec<_>>(), [1, 2, 3]);
    // Its second change is here and what that was made on top of is not: what comes next would be its second once more.
    let last = log.len() - 1;
    let mut document = page(9, &log[last..], 0);
    assert!(!document.take_actor(leased));
    assert_eq!(document.actor().to_bytes(), [9; 16]);
}

#[test]
fn of_two_changes_with_one_number_the_first_in_a_new_log_counts() {
    let mut ann = Device::new([1; 16]);
    let mut clone = Device::new([1; 16]);
    let (title, _) = ann.document.find(&[key("title")]).expect("a default");
    let typed = |word: &str| vec![Operation::Splice(Target::Object(title.clone()), 0, 0, word.into())];
    let begun = ann.log.len();
    for (device, words) in [(&mut ann, ["a ", "b "]), (&mut clone, ["clone a ", "clone b "])] {
        for word in words {
            device.record(typed(word));
            device.commit();
        }
    }
    let (first, of_ann, of_clone) =
        (&ann.log[..begun].to_vec(), ann.log[begun..].to_vec(), clone.log[begun..].to_vec());
    let mut bob = Device::new([2; 16]);
    bob.apply(&[first.clone(), of_ann.clone(), of_clone.clone()].concat());
    bob.record(typed("bob "));
    bob.commit();
    let of_bob = bob.log[bob.log.len() - 1..].to_vec();

    // The log is lost, and healed in another order.
    let healed = [first.clone(), of_clone, of_ann, of_bob].concat();
    let mut newcomer = Device::new([3; 16]);
    newcomer.apply(&healed);
    bob.document.log_replaced();
    let applied = bob.apply(&healed);
    bob.check("in the new log");
    assert_eq!(bob.document.value(), newcomer.document.value());
    assert_eq!(bob.document.heads(), newcomer.document.heads());
    assert_eq!(applied.displaced.len(), 3, "Ann's, and what Bob made on top of them");
    // It comes to the same when all is read once more.
    bob.document.log_replaced();
    assert_eq!((bob.apply(&healed).displaced.len(), bob.document.heads()), (0, newcomer.document.heads()));
}
