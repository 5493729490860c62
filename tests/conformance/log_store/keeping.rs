//! Snapshots, trimming, new epochs and deleting.

use crate::world::*;
use bytes::Bytes;
use relay_server::log_store::{Placed, SequenceRange, SnapshotPut};
use sync_core::digest;
use sync_core::ids::*;
use sync_core::relay::store::*;
use sync_core::wire::{Record, Refusal};

async fn snapshot_at(world: &mut World, author: &Author, offset: u64) -> (Epoch, Snapshot) {
    let info = world.store().resume(author.resume(None)).await.unwrap();
    let check = world.store().check(author.stream.clone(), info.epoch, Offset(offset)).await.unwrap().unwrap();
    let record = Record { producer: author.producer, logged: (author.last, author.tag), refused: info.known.refused };
    let parts = vec![Bytes::from_static(b"first part"), Bytes::from_static(b"second part")];
    (info.epoch, Snapshot { offset: Offset(offset), check, parts, records: vec![record] })
}

pub async fn a_trim_never_passes_the_snapshot_and_keeps_the_records(mut world: World) {
    let mut a = Author::new("s", 1);
    let first = a.batch(|a| vec![a.event("one"), a.refused("no"), a.event("three")]);
    world.store().append(first.clone()).await.unwrap();
    world.store().append(a.events(4)).await.unwrap();
    let whole = read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await;
    let epoch = epoch_of(&mut world, &a.stream).await;
    let floor = world.store().trim(a.stream.clone(), epoch, Offset(5)).await;
    assert_eq!(floor, Ok(Offset::ZERO), "nothing is trimmed without a snapshot");
    let (_, snapshot) = snapshot_at(&mut world, &a, 4).await;
    assert_eq!(world.store().put_snapshot(a.stream.clone(), epoch, snapshot).await, Ok(SnapshotPut::Stored));
    for upto in [3, 2, 3] {
        assert_eq!(world.store().trim(a.stream.clone(), epoch, Offset(upto)).await, Ok(Offset(3)));
    }
    assert_eq!(world.store().trim(a.stream.clone(), epoch, Offset(6)).await, Ok(Offset(4)));
    let read = |after| ReadRequest { stream: stream("s"), epoch, after: Offset(after), bytes_max: 1000 };
    for after in 0..4 {
        assert_eq!(world.store().read(read(after)).await, Ok(ReadAnswer::Trimmed));
        assert_eq!(world.store().check(a.stream.clone(), epoch, Offset(after)).await, Ok(None));
        let info = world.store().resume(a.resume(Some((epoch, Offset(after))))).await.unwrap();
        assert_eq!((info.check, info.floor), (None, Offset(4)));
    }
    assert_eq!(read_all(&mut world, &a.stream, Offset(4), 1 << 20).await, whole[4..]);
    let check = world.store().check(a.stream.clone(), epoch, Offset(5)).await.unwrap();
    let chain = |check, event: &sync_core::event::Event| digest::check(check, event.id, event.tag);
    assert_eq!(check, Some(whole[..5].iter().fold(digest::check_of_empty(epoch), chain)));
    let info = world.store().resume(a.resume(None)).await.unwrap();
    assert_eq!((info.known.last, info.known.tag, info.known.refused.len()), (7, a.tag, 1));
    // A repeat whose fates are trimmed is not told fates: the device learns from the snapshot's record.
    let mut repeat = first;
    repeat.items.extend(a.clone().events(0).items);
    assert!(matches!(world.store().append(repeat).await, Err(StoreError::Chain { .. })));
    let sequences = SequenceRange { first: 1, count: 3 };
    let placed = world.store().offsets_of(a.stream.clone(), a.producer, sequences).await;
    assert_eq!(placed, Ok(Placed::Trimmed));
    assert_eq!(offsets(&world.store().append(a.events(1)).await.unwrap()), [7]);
}

pub async fn a_repeat_of_a_batch_that_the_floor_cuts_is_not_told_as_void(mut world: World) {
    let mut a = Author::new("s", 1);
    let batch = a.events(3);
    world.store().append(batch.clone()).await.unwrap();
    let (epoch, snapshot) = snapshot_at(&mut world, &a, 2).await;
    world.store().put_snapshot(a.stream.clone(), epoch, snapshot).await.unwrap();
    world.store().trim(a.stream.clone(), epoch, Offset(2)).await.unwrap();
    assert!(matches!(world.store().append(batch).await, Err(StoreError::Chain { .. })));
    let sequences = SequenceRange { first: 1, count: 3 };
    assert_eq!(world.store().offsets_of(a.stream.clone(), a.producer, sequences).await, Ok(Placed::Trimmed));
    let last = SequenceRange { first: 3, count: 1 };
    let placed = world.store().offsets_of(a.stream.clone(), a.producer, last).await;
    assert_eq!(placed, Ok(Placed::Offsets(vec![Some(DurableOffset::minted_by_store(Offset(3)))])));
}

pub async fn a_snapshot_must_fit_the_log_and_be_newer(mut world: World) {
    let mut a = Author::new("s", 1);
    world.store().append(a.batch(|a| vec![a.event("one"), a.refused("no"), a.event("three")])).await.unwrap();
    world.store().append(a.events(3)).await.unwrap();
    let (epoch, good) = snapshot_at(&mut world, &a, 3).await;
    let s = a.stream.clone();
    let lies = [
        Snapshot { check: Check([1; 16]), ..good.clone() },
        Snapshot { offset: Offset(2), ..good.clone() },
        Snapshot { offset: Offset(9), ..good.clone() },
    ];
    for lie in lies {
        assert_eq!(world.store().put_snapshot(s.clone(), epoch, lie).await, Ok(SnapshotPut::Mismatch));
    }
    let wrong = world.store().put_snapshot(s.clone(), Epoch([1; 16]), good.clone()).await;
    assert_eq!(wrong, Err(StoreError::Epoch { current: epoch }));
    assert_eq!(world.store().snapshot(s.clone(), vec![]).await, Ok(None));
    assert_eq!(world.store().put_snapshot(s.clone(), epoch, good.clone()).await, Ok(SnapshotPut::Stored));
    let (_, older) = snapshot_at(&mut world, &a, 2).await;
    assert_eq!(world.store().put_snapshot(s.clone(), epoch, older).await, Ok(SnapshotPut::Older));
    let read = world.store().snapshot(s.clone(), vec![ProducerId([9; 16]), a.producer]).await.unwrap();
    assert_eq!(read, Some((epoch, good.clone())));
    let refused: Vec<&Refusal> = good.records[0].refused.iter().collect();
    assert_eq!(refused.len(), 1);
    let bare = world.store().snapshot(s.clone(), vec![]).await.unwrap();
    assert_eq!(bare.map(|(_, snapshot)| snapshot.records), Some(vec![]));
    let (_, newer) = snapshot_at(&mut world, &a, 5).await;
    assert_eq!(world.store().put_snapshot(s.clone(), epoch, newer.clone()).await, Ok(SnapshotPut::Stored));
    let read = world.store().snapshot(s, vec![a.producer]).await.unwrap();
    assert_eq!(read, Some((epoch, newer)));
}

pub async fn a_new_epoch_is_compare_and_set_and_renames_the_checks(mut world: World) {
    let mut a = Author::new("s", 1);
    let s = a.stream.clone();
    for _ in 0..5 {
        world.store().append(a.events(3)).await.unwrap();
    }
    let whole = read_all(&mut world, &s, Offset::ZERO, 1 << 20).await;
    let (old, snapshot) = snapshot_at(&mut world, &a, 7).await;
    world.store().put_snapshot(s.clone(), old, snapshot).await.unwrap();
    let wrong = world.store().new_epoch(s.clone(), Epoch([1; 16])).await;
    assert_eq!(wrong, Err(StoreError::Epoch { current: old }));
    let new = world.store().new_epoch(s.clone(), old).await.unwrap();
    assert_ne!(new, old);
    assert_eq!(world.store().new_epoch(s.clone(), old).await, Err(StoreError::Epoch { current: new }));
    assert_eq!(read_all(&mut world, &s, Offset::ZERO, 1 << 20).await, whole);
    let mut check = digest::check_of_empty(new);
    for event in &whole {
        check = digest::check(check, event.id, event.tag);
        assert_eq!(world.store().check(s.clone(), new, event.offset).await, Ok(Some(check)));
        if event.offset == Offset(7) {
            let (epoch, snapshot) = world.store().snapshot(s.clone(), vec![]).await.unwrap().unwrap();
            assert_eq!((epoch, snapshot.check), (new, check));
        }
    }
    assert_eq!(world.store().append(a.events(1)).await.unwrap().epoch, new);
    let none = world.store().new_epoch(stream("never"), old).await;
    assert_eq!(none, Err(StoreError::Epoch { current: Epoch::NONE }));
}

pub async fn a_deleted_log_is_empty_and_nothing_can_be_healed_back(mut world: World) {
    let mut a = Author::new("s", 1);
    let s = a.stream.clone();
    let batch = a.batch(|a| vec![a.event("one"), a.refused("no"), a.event("three")]);
    let old = world.store().append(batch.clone()).await.unwrap().epoch;
    let new = world.store().delete(s.clone()).await.unwrap();
    assert!(new != old && new != Epoch::NONE);
    let info = world.store().resume(a.resume(Some((new, Offset::ZERO)))).await.unwrap();
    assert_eq!((info.epoch, info.head, info.floor), (new, Offset::ZERO, Offset::ZERO));
    assert_eq!(info.check, Some(digest::check_of_empty(new)));
    assert_eq!((info.known.last, info.known.refused.len()), (3, 1));
    assert!(read_all(&mut world, &s, Offset::ZERO, 1000).await.is_empty());
    let healed = world.store().heal(heal(&s, as_events(&batch))).await.unwrap();
    assert_eq!(healed.outcomes, vec![HealOutcome::Passed; 2]);
    assert!(matches!(world.store().append(batch).await, Err(StoreError::Chain { .. })));
    let next = world.store().append(a.events(2)).await.unwrap();
    assert_eq!((offsets(&next), next.epoch), (vec![1, 2], new));
    assert_eq!(read_all(&mut world, &s, Offset::ZERO, 1000).await.len(), 2);
    assert_eq!(world.store().delete(stream("never")).await, Ok(Epoch::NONE));
}
