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
