//! `resume`, `read`, `check` and `offsets_of`.

use crate::world::*;
use relay_server::log_store::{Placed, SequenceRange};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use sync_core::digest;
use sync_core::event::Cause;
use sync_core::ids::*;
use sync_core::relay::store::*;

pub async fn a_stream_never_written_is_empty_and_is_not_made_by_asking(mut world: World) {
    let a = Author::new("s", 1);
    for _ in 0..2 {
        let info = world.store().resume(a.resume(Some((Epoch([1; 16]), Offset(3))))).await.unwrap();
        assert_eq!(info, ResumeInfo::default());
        assert!(read_all(&mut world, &a.stream, Offset::ZERO, 1000).await.is_empty());
        let check = world.store().check(a.stream.clone(), Epoch([1; 16]), Offset::ZERO).await;
        assert_eq!(check, Ok(None));
        assert_eq!(world.store().snapshot(a.stream.clone(), vec![a.producer]).await, Ok(None));
    }
}

pub async fn twenty_thousand_events_read_as_written(mut world: World) {
    let mut authors = [1, 2, 3].map(|number| Author::new("s", number));
    let mut written = vec![];
    for round in 0..100 {
        let author = &mut authors[round % 3];
        let batch = author.events(200);
        written.extend(as_events(&batch));
        world.steady().append(batch).await.unwrap();
    }
    for bytes_max in [1 << 20, 10_000] {
        let read = read_all(&mut world, &stream("s"), Offset::ZERO, bytes_max).await;
        assert_eq!(read.len(), 20_000);
        for ((read, written), offset) in read.iter().zip(&written).zip(1..) {
            assert_eq!((read.id, read.tag, &read.content), (written.id, written.tag, &written.content));
            assert_eq!((read.offset, read.prev, read.tag_before), (Offset(offset), written.prev, written.tag_before));
        }
    }
}

pub async fn a_read_begins_anywhere(mut world: World) {
    let (mut a, mut b) = (Author::new("s", 1), Author::new("s", 2));
    for _ in 0..3 {
        world.store().append(a.events(7)).await.unwrap();
        world.store().append(b.batch(|b| vec![b.event("x"), b.void(), b.event("y")])).await.unwrap();
    }
    let all = read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await;
    for after in 0..=all.len() {
        for bytes_max in [0, 200, 1 << 20] {
            let rest = read_all(&mut world, &a.stream, Offset(after as u64), bytes_max).await;
            assert_eq!(rest, all[after..]);
        }
    }
}

pub async fn a_read_in_a_log_that_is_gone_is_replaced(mut world: World) {
    let mut a = Author::new("s", 1);
    let read = |epoch, after| ReadRequest { stream: stream("s"), epoch, after: Offset(after), bytes_max: 1000 };
    let nothing = world.store().read(read(Epoch([1; 16]), 0)).await;
    assert_eq!(nothing, Ok(ReadAnswer::Replaced { epoch: Epoch::NONE }));
    let epoch = world.store().append(a.events(2)).await.unwrap().epoch;
    for gone in [read(Epoch([1; 16]), 0), read(epoch, 3), read(Epoch::NONE, 0)] {
        assert_eq!(world.store().read(gone).await, Ok(ReadAnswer::Replaced { epoch }));
    }
}

pub async fn the_check_at_every_offset_is_the_recomputed_chain(mut world: World) {
    let (mut a, mut b) = (Author::new("s", 1), Author::new("s", 2));
    for round in 0..12 {
        world.store().append(a.events(1 + round % 5)).await.unwrap();
        world.store().append(b.batch(|b| vec![b.refused("no"), b.event("x"), b.void()])).await.unwrap();
    }
    let epoch = epoch_of(&mut world, &a.stream).await;
    let events = read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await;
    let mut check = digest::check_of_empty(epoch);
    for offset in 0..=events.len() as u64 {
        if let Some(event) = offset.checked_sub(1).map(|index| &events[index as usize]) {
            check = digest::check(check, event.id, event.tag);
        }
        let told = world.store().check(a.stream.clone(), epoch, Offset(offset)).await;
        assert_eq!(told, Ok(Some(check)), "at {offset}");
        let info = world.store().resume(a.resume(Some((epoch, Offset(offset))))).await.unwrap();
        assert_eq!(info.check, Some(check));
    }
    let beyond = Offset(events.len() as u64 + 1);
    assert_eq!(world.store().check(a.stream.clone(), epoch, beyond).await, Ok(None));
    assert_eq!(world.store().check(a.stream.clone(), Epoch([1; 16]), Offset(1)).await, Ok(None));
    let info = world.store().resume(a.resume(Some((Epoch([1; 16]), Offset(1))))).await.unwrap();
    assert_eq!((info.check, info.epoch), (None, epoch));
}

pub async fn resume_is_of_one_moment_and_fresh(mut world: World) {
    let store = world.steady();
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writer = {
        let (store, acknowledged, mut author) = (store.clone(), acknowledged.clone(), Author::new("s", 1));
        tokio::spawn(async move {
            for _ in 0..300 {
                let appended = store.append(author.events(1)).await.unwrap();
                acknowledged.store(appended.head.offset().0, Ordering::SeqCst);
            }
        })
    };
    let author = Author::new("s", 1);
    while !writer.is_finished() {
        let before = acknowledged.load(Ordering::SeqCst);
        let info = store.resume(author.resume(None)).await.unwrap();
        // One event a sequence, one producer: at one moment both numbers are the same.
        assert_eq!(info.known.last, info.head.0);
        assert!(info.head.0 >= before, "older than what was acknowledged before");
        if info.epoch == Epoch::NONE {
            continue;
        }
        let at = Offset(info.head.0 / 2);
        let info = store.resume(author.resume(Some((info.epoch, at)))).await.unwrap();
        assert!(info.check.is_some());
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

pub async fn offsets_of_tells_where_sequences_went(mut world: World) {
    let (mut a, mut b) = (Author::new("s", 1), Author::new("s", 2));
    world.store().append(a.batch(|a| vec![a.event("one"), a.void(), a.refused("no")])).await.unwrap();
    world.store().append(b.events(5)).await.unwrap();
    world.store().append(a.batch(|a| vec![a.event("four"), a.event("five")])).await.unwrap();
    let ask = |first, count| SequenceRange { first, count };
    let place = |at| Some(DurableOffset::minted_by_store(Offset(at)));
    let (s, p) = (a.stream.clone(), a.producer);
    let all = world.store().offsets_of(s.clone(), p, ask(1, 5)).await.unwrap();
    assert_eq!(all, Placed::Offsets(vec![place(1), None, None, place(7), place(8)]));
    let middle = world.store().offsets_of(s.clone(), p, ask(2, 3)).await.unwrap();
    assert_eq!(middle, Placed::Offsets(vec![None, None, place(7)]));
    assert_eq!(world.store().offsets_of(s.clone(), p, ask(5, 0)).await.unwrap(), Placed::Offsets(vec![]));
    assert!(world.store().offsets_of(s, p, ask(1, 100_000)).await.is_err());
}

pub async fn author_causes_and_needs_come_back(mut world: World) {
    let mut a = Author::new("s", 1);
    a.subject = Some("someone@example.org".into());
    let cause = Cause { stream: digest::stream_hash(&stream("t")), epoch: Epoch([3; 16]), offset: Offset(9) };
    let batch = a.batch(|a| {
        let one = a.event("one");
        let need = Some((a.last, a.tag));
        vec![one, a.event_with("two", vec![cause, cause], need), a.event("three")]
    });
    world.store().append(batch.clone()).await.unwrap();
    a.subject = None;
    world.store().append(a.events(1)).await.unwrap();
    let read = read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await;
    for (read, written) in read.iter().zip(as_events(&batch)) {
        assert_eq!(read.author.as_deref(), Some("someone@example.org"));
        assert_eq!((read.needs_prev, &read.causes), (written.needs_prev, &written.causes));
    }
    assert_eq!((read.len(), &read[3].author), (4, &None));
}
