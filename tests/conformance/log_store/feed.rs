//! `follow`, `unfollow` and `next`.

use crate::world::*;
use relay_server::log_store::{Hint, LogStore};
use std::time::Duration;
use sync_core::ids::*;

/// Hints until one about this stream satisfies.
pub async fn hints_until(store: &dyn LogStore, mut enough: impl FnMut(&Hint) -> bool) -> Vec<Hint> {
    let mut hints = vec![];
    loop {
        let next = tokio::time::timeout(Duration::from_secs(20), store.next()).await.expect("no hint came");
        assert!(!next.is_empty(), "the feed ended");
        hints.extend(next);
        if hints.iter().any(&mut enough) {
            return hints;
        }
    }
}

pub async fn the_feed_tells_each_commit_of_followed_streams_without_gaps(mut world: World) {
    let store = world.steady();
    store.follow(&stream("s"));
    store.follow(&stream("gone"));
    store.unfollow(&stream("gone"));
    let (mut a, mut b) = (Author::new("s", 1), Author::new("s", 2));
    for name in ["other", "gone"] {
        store.append(Author::new(name, 1).events(1)).await.unwrap();
    }
    let mut acknowledged = Offset::ZERO;
    for _ in 0..10 {
        let (one, two) = (store.append(a.events(3)), store.append(b.events(1)));
        acknowledged = one.await.unwrap().head.offset().max(two.await.unwrap().head.offset());
    }
    let is_end = |hint: &Hint| matches!(hint, Hint::Advanced { upto, .. } if upto.offset() == acknowledged);
    let (mut head, mut events, mut known) = (Offset::ZERO, vec![], None);
    for hint in hints_until(&*store, is_end).await {
        assert_eq!(hint.stream(), Some(&stream("s")));
        match hint {
            Hint::NewEpoch { epoch, .. } => known = Some(epoch),
            Hint::Advanced { epoch, after, upto, batch: Some(batch), .. } => {
                assert_eq!((after, Some(epoch)), (head, known), "a gap");
                assert_eq!((batch.after, batch.upto), (after, upto));
                events.extend(decoded(&batch.runs));
                head = upto.offset();
            }
            other => panic!("{other:?}"),
        }
    }
    drop(store);
    assert_eq!(events, read_all(&mut world, &stream("s"), Offset::ZERO, 1 << 20).await);
    assert_eq!(events.len(), 40);
}

pub async fn a_replaced_log_is_told(mut world: World) {
    let store = world.steady();
    let mut a = Author::new("s", 1);
    let old = store.append(a.events(1)).await.unwrap().epoch;
    store.follow(&a.stream);
    let new = store.new_epoch(a.stream.clone(), old).await.unwrap();
    let deleted = store.delete(a.stream.clone()).await.unwrap();
    let told = hints_until(&*store, |hint| matches!(hint, Hint::NewEpoch { epoch, .. } if *epoch == deleted)).await;
    let told: Vec<_> = told
        .into_iter()
        .filter_map(|hint| match hint {
            // That the log was born may be told behind the answer.
            Hint::NewEpoch { epoch, .. } => Some(epoch).filter(|epoch| *epoch != old),
            _ => None,
        })
        .collect();
    assert_eq!(told, [new, deleted]);
}
