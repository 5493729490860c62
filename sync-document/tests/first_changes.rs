//! Nobody can put another change in the place of a first one.

mod world;

use sync_document::automerge::{Change, ScalarValue, legacy};
use sync_document::read_change;
use world::Device;

/// A change with the actor and sequence of a default, and other content, comes in the log before the default itself.
/// Whether a device has handed its own first changes out or not, it leaves that change out, so that all remain equal.
#[test]
fn a_forged_first_change_is_left_out_by_all() {
    let mut early = Device::new([1; 16]);
    early.record(vec![sync_document::Operation::UpdateText(early_title(&early), "mine".into())]);
    early.commit();
    let mut forged = read_change(&early.log[0]).expect("the fixed change").decode();
    forged.operations[0].action = legacy::OpType::Put(ScalarValue::Str("forged".into()));
    let log = [vec![Change::from(forged).raw_bytes().to_vec()], early.log.clone()].concat();
    let mut late = Device::new([2; 16]);
    for device in [&mut early, &mut late] {
        let applied = device.apply(&log);
        assert_eq!((applied.skipped.len(), applied.displaced.len()), (1, 0));
    }
    assert_eq!(early.document.value(), late.document.value());
    assert_eq!(early.document.heads(), late.document.heads());
}

fn early_title(device: &Device) -> sync_document::Target {
    let (title, _) = device.document.find(&[world::key("title")]).expect("a default");
    sync_document::Target::Object(title)
}
