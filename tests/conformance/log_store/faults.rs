//! The simulated store's faults: each outcome that a store may have, on demand.

use crate::feed::hints_until;
use crate::world::*;
use relay_server::log_store::shell::Store;
use relay_server::log_store::simulated::{Disk, Fault, SimulatedLog};
use relay_server::log_store::{Hint, LogStore};
use sync_core::ids::*;
use sync_core::relay::store::*;

fn open() -> (Disk, Store<SimulatedLog>) {
    let disk = Disk::default();
    let store = Store::start(SimulatedLog::open(disk.clone(), [1; 32]), 1).unwrap();
    (disk, store)
}

fn upto(hint: &Hint) -> Option<u64> {
    match hint {
        Hint::Advanced { upto, .. } => Some(upto.offset().0),
        _ => None,
    }
}

#[tokio::test]
async fn stored_and_unknown_is_settled_by_the_same_append_and_the_feed_is_ahead_of_it() {
    let (disk, store) = open();
    let mut a = Author::new("s", 1);
    store.follow(&a.stream);
    disk.plan(Fault::Unknown { stored: true });
    let batch = a.events(2);
    assert_eq!(store.append(batch.clone()).await, Err(StoreError::Unknown));
    let hints = hints_until(&store, |hint| upto(hint) == Some(2)).await;
    assert!(hints.iter().any(|hint| upto(hint) == Some(2)));
    let settled = store.append(batch).await.unwrap();
    assert_eq!((offsets(&settled), settled.new), (vec![1, 2], 0));
}

#[tokio::test]
async fn unknown_and_not_stored_is_settled_by_the_same_append_too() {
    let (disk, store) = open();
    let mut a = Author::new("s", 1);
    disk.plan(Fault::Unknown { stored: false });
    let batch = a.events(2);
    assert_eq!(store.append(batch.clone()).await, Err(StoreError::Unknown));
    assert_eq!(store.append(batch).await.unwrap().new, 2);
}

#[tokio::test]
async fn busy_and_corrupt_write_nothing() {
    let (disk, store) = open();
    let a = Author::new("s", 1);
    disk.plan(Fault::Busy);
    disk.plan(Fault::Corrupt);
    assert_eq!(store.append(a.clone().events(1)).await, Err(StoreError::Busy));
    let healed = store.heal(heal(&a.stream, as_events(&a.clone().events(1)))).await;
    assert!(matches!(healed, Err(StoreError::Corrupt(_))));
    assert_eq!(store.resume(a.resume(None)).await, Ok(ResumeInfo::default()));
}

#[tokio::test]
async fn hints_are_lost_late_repeated_bare_or_behind() {
    let (disk, store) = open();
    let mut a = Author::new("s", 1);
    store.follow(&a.stream);
    for fault in [Fault::HintLost, Fault::HintLate, Fault::HintTwice, Fault::HintBare, Fault::HintOverflows] {
        disk.plan(fault);
        // Answered whatever the feed does.
        store.append(a.events(1)).await.unwrap();
    }
    let hints = hints_until(&store, |hint| matches!(hint, Hint::Behind { .. })).await;
    let told: Vec<_> = hints.iter().map(upto).collect();
    assert_eq!(told, [Some(2), Some(3), Some(3), Some(4), None]);
    assert!(matches!(&hints[3], Hint::Advanced { batch: None, .. }));
}

#[tokio::test]
async fn an_unnoticed_restore_keeps_the_epoch_and_shows_in_the_check() {
    let (disk, store) = open();
    let mut a = Author::new("s", 1);
    let epoch = store.append(a.events(1)).await.unwrap().epoch;
    let backup = disk.copy();
    store.append(a.events(1)).await.unwrap();
    let before = store.check(a.stream.clone(), epoch, Offset(2)).await.unwrap();
    disk.restore(&backup);
    store.append(Author::new("s", 2).events(1)).await.unwrap();
    let after = store.check(a.stream.clone(), epoch, Offset(2)).await.unwrap();
    assert!(before.is_some() && after.is_some() && before != after);
}
