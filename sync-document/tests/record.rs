//! Recording: all or nothing, within limits.

mod world;

use sync_document::automerge::{Prop, ScalarValue};
use sync_document::limits::DEPTH_MAX;
use sync_document::{DocumentError, NewValue, Operation, Target};
use world::{Device, key, root};

fn put(target: Target, name: &str, value: NewValue) -> Operation {
    Operation::Put(target, key(name), value)
}

/// A recording that fails in the middle leaves what was recorded before it in the same change, and nothing of itself.
#[test]
fn what_fails_leaves_nothing() {
    let mut device = Device::new([1; 16]);
    device.record(vec![put(root(), "a", NewValue::Map), put(Target::Made(0), "b", NewValue::Text("x".into()))]);
    let (list, _) = device.document.find(&[key("list")]).expect("a default");
    let (title, _) = device.document.find(&[key("title")]).expect("a default");
    let (list, title) = (Target::Object(list), Target::Object(title));
    let null = || NewValue::Scalar(ScalarValue::Null);
    let wrong = [
        Operation::Insert(list.clone(), 1, null()),
        Operation::Put(list.clone(), Prop::Seq(0), null()),
        Operation::Put(list.clone(), key("x"), null()),
        Operation::Put(root(), Prop::Seq(0), null()),
        Operation::Put(Target::Made(7), key("x"), null()),
        Operation::Delete(list.clone(), Prop::Seq(0), 1),
        Operation::Delete(list.clone(), Prop::Seq(usize::MAX), 2),
        Operation::Increment(root(), key("a"), 1),
        Operation::Increment(root(), key("nothing"), 1),
        Operation::Splice(title.clone(), 99, 0, "x".into()),
        Operation::Splice(title.clone(), 0, usize::MAX, String::new()),
        Operation::Splice(list, 0, 0, "x".into()),
        Operation::UpdateText(root(), "x".into()),
        Operation::Put(title, Prop::Seq(0), null()),
    ];
    for operation in wrong {
        let about = format!("{operation:?}");
        let failed = device.document.record(vec![put(root(), "title", NewValue::Text("gone".into())), operation]);
        assert!(matches!(failed, Err(DocumentError::InvalidOperation(_))), "{about}: {failed:?}");
        device.check(&about);
    }
    device.commit();
    let mut reader = Device::new([2; 16]);
    assert_eq!(reader.apply(&device.log).replayed, 1);
    assert_eq!(reader.document.value(), device.document.value());
    reader.check("after reading it");
}

/// Objects nest only so deep, whether in one recording or on and on.
#[test]
fn depth_is_limited() {
    let mut device = Device::new([1; 16]);
    let nested = |depth: usize| -> Vec<Operation> {
        let inner = (1..depth).map(|made| put(Target::Made(made - 1), "in", NewValue::Map));
        [put(root(), "deep2", NewValue::Map)].into_iter().chain(inner).collect()
    };
    let refused = device.document.record(nested(DEPTH_MAX + 1));
    assert_eq!(refused, Err(DocumentError::TooLarge("depth of objects")));
    device.record(nested(DEPTH_MAX));
    device.check("at the limit");
    let path: Vec<Prop> = [key("deep2")].into_iter().chain((1..DEPTH_MAX).map(|_| key("in"))).collect();
    let (deepest, _) = device.document.find(&path).expect("it is there");
    let refused = device.document.record(vec![put(Target::Object(deepest), "in", NewValue::List)]);
    assert_eq!(refused, Err(DocumentError::TooLarge("depth of objects")));
    device.commit();
    let mut reader = Device::new([2; 16]);
    assert_eq!(reader.apply(&device.log).skipped, []);
    assert_eq!(reader.document.value(), device.document.value());
}

/// A message has its limit; an edit is kept when the commit is refused for it.
#[test]
fn messages_are_limited() {
    let mut device = Device::new([1; 16]);
    device.record(vec![put(root(), "a", NewValue::Map)]);
    let refused = device.document.commit(0, Some("x".repeat(1025)));
    assert_eq!(refused, Err(DocumentError::TooLarge("the message of a change")));
    assert!(device.document.is_uncommitted());
    let commit = device.document.commit(5, Some("why".into())).expect("commits").expect("something was recorded");
    let entry = &device.document.changes()[0];
    assert_eq!((entry.hash, entry.time, entry.message.as_deref()), (commit.change.hash, 5, Some("why")));
}

/// The object at a key of the root.
fn at(device: &Device, name: &str) -> Target {
    Target::Object(device.document.find(&[key(name)]).expect("it is there").0)
}

/// Commits; each change must fit into an event, beside the head of its content. Gives how many there are.
fn commit_in_events(device: &mut Device, about: &str) -> usize {
    const EVENT_BYTES_MAX: usize = 448 * 1024;
    let commit = device.document.commit(5, Some("why".into())).expect("commits").expect("something was recorded");
    let changes: Vec<_> = commit.first.into_iter().chain([commit.change]).map(|change| change.bytes).collect();
    for change in &changes {
        assert!(change.len() < EVENT_BYTES_MAX - 64, "{about}: {} bytes", change.len());
    }
    device.log.extend_from_slice(&changes);
    device.check(about);
    changes.len()
}

/// What is too large for one change becomes several, and all of them together are what was recorded.
#[test]
fn large_edits_are_cut() {
    let wide: String = "aäb€c😀".chars().cycle().take(110_000).collect();
    let mut device = Device::new([1; 16]);
    device.record(vec![put(root(), "before", NewValue::Map)]);
    let long = NewValue::Text("lorem ipsu".repeat(25_000));
    device.record(vec![
        put(root(), "map", NewValue::Map),
        put(Target::Made(0), "a", long),
        put(Target::Made(0), "b", NewValue::List),
    ]);
    device.record(vec![put(root(), "after", NewValue::Map)]);
    assert!(commit_in_events(&mut device, "a long text") > 1);
    let times: Vec<_> = device.document.changes().into_iter().map(|entry| (entry.time, entry.message)).collect();
    assert_eq!(times[0], (5, Some("why".into())));

    device.record(vec![Operation::Splice(at(&device, "title"), 0, 0, wide.clone())]);
    assert!(commit_in_events(&mut device, "characters of all widths") > 1);
    device.record(vec![put(root(), "short", NewValue::Text("x".repeat(25_000)))]);
    device.record(vec![Operation::UpdateText(at(&device, "short"), "x".repeat(25_001))]);
    assert_eq!(commit_in_events(&mut device, "a small part of a large text"), 1);
    device.record(vec![Operation::UpdateText(at(&device, "short"), "y".repeat(25_000))]);
    assert!(commit_in_events(&mut device, "another text in its place") > 1);

    let item = |index| Operation::Insert(Target::Made(0), index, NewValue::Scalar(ScalarValue::Int(index as i64)));
    device.record([put(root(), "many", NewValue::List)].into_iter().chain((0..10_000).map(item)).collect());
    assert!(commit_in_events(&mut device, "many values") > 1);
    device.record(vec![
        Operation::Delete(at(&device, "many"), Prop::Seq(0), 10_000),
        Operation::Splice(at(&device, "title"), 1, 25_000, String::new()),
    ]);
    assert!(commit_in_events(&mut device, "much of it deleted") > 1);

    let mut reader = Device::new([2; 16]);
    let applied = reader.apply(&device.log);
    assert_eq!((applied.skipped, applied.waiting), (vec![], 0));
    assert_eq!(reader.document.value(), device.document.value());
}

/// A large edit that fails leaves neither its parts nor what was recorded before it.
#[test]
fn a_large_edit_that_fails_leaves_nothing() {
    let mut device = Device::new([1; 16]);
    device.record(vec![put(root(), "a", NewValue::Text("kept".into()))]);
    let long = "lorem ipsu".repeat(20_000);
    let failed = device.document.record(vec![
        put(root(), "b", NewValue::Text(long)),
        Operation::Splice(Target::Made(0), usize::MAX, 0, "x".into()),
    ]);
    assert!(matches!(failed, Err(DocumentError::InvalidOperation(_))), "{failed:?}");
    device.check("after it");
    device.record(vec![Operation::Splice(at(&device, "a"), 4, 0, ", too".into())]);
    commit_in_events(&mut device, "what was recorded around it");
    let mut reader = Device::new([2; 16]);
    assert_eq!(reader.apply(&device.log).skipped, []);
    assert_eq!(reader.document.value(), device.document.value());
    reader.check("after reading it");
}

/// What would take too long, or has a value that no change can hold, is refused before anything is done.
#[test]
fn what_cannot_be_cut_is_refused() {
    let mut device = Device::new([1; 16]);
    let heads = device.document.heads();
    let bytes = |length| NewValue::Scalar(ScalarValue::Bytes(vec![1; length]));
    device.record(vec![put(root(), "a", bytes(430 << 10)), put(root(), "b", bytes(430 << 10))]);
    assert!(commit_in_events(&mut device, "large values") > 1);
    let text = |length: usize| NewValue::Text("x".repeat(length));
    for operations in [
        vec![put(root(), "c", bytes(441 << 10))],
        vec![put(root(), "c", NewValue::Map), put(root(), "d", text(3 << 20))],
    ] {
        assert!(matches!(device.document.record(operations), Err(DocumentError::TooLarge(_))));
        assert!(!device.document.is_uncommitted());
    }
    let past = device.document.change_at(&heads, &[put(root(), "c", text(1 << 20))], 0, None);
    assert!(matches!(past, Err(DocumentError::TooLarge(_))), "of the past it must be one change");
    device.check("after all of them");
}
