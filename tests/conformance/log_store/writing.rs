//! `append` and `heal`.

use crate::world::*;
use bytes::Bytes;
use std::collections::BTreeMap;
use sync_core::digest;
use sync_core::event::{Content, Event};
use sync_core::ids::*;
use sync_core::limits::{MESSAGE_BYTES_MAX, PUBLISH_EVENTS_MAX, REASON_BYTES_MAX};
use sync_core::relay::store::*;
use sync_core::wire::Known;

fn logged(offset: u64) -> impl Fn(&Outcome) -> bool {
    move |outcome| matches!(outcome, Outcome::Logged(at) if at.offset().0 == offset)
}

fn is_refused(outcome: &Outcome, with: &str) -> bool {
    matches!(outcome, Outcome::Refused { code, .. } if code == with)
}

pub async fn an_append_gets_dense_offsets_and_its_head(mut world: World) {
    let (mut a, mut b) = (Author::new("s", 1), Author::new("s", 2));
    let first = world.store().append(a.events(3)).await.unwrap();
    let second = world.store().append(b.events(2)).await.unwrap();
    let third = world.store().append(a.events(1)).await.unwrap();
    assert_eq!((offsets(&first), first.new, first.head.offset()), (vec![1, 2, 3], 3, Offset(3)));
    assert_eq!((offsets(&second), second.epoch), (vec![4, 5], first.epoch));
    assert_eq!((offsets(&third), third.head.offset()), (vec![6], Offset(6)));
    let other = world.store().append(Author::new("t", 1).events(1)).await.unwrap();
    assert_eq!(offsets(&other), [1]);
    assert_ne!(other.epoch, first.epoch);
    assert_ne!(other.epoch, Epoch::NONE);
}

pub async fn what_does_not_continue_the_chain_writes_nothing(mut world: World) {
    let mut a = Author::new("s", 1);
    let mut early = a.clone();
    early.last = 1;
    let refused = world.store().append(early.events(1)).await.unwrap_err();
    assert_eq!(refused, StoreError::Chain { known: Default::default(), head: Offset::ZERO });
    assert_eq!(epoch_of(&mut world, &a.stream).await, Epoch::NONE, "a refused append makes no stream");
    let taken = world.store().append(a.events(2)).await.unwrap();
    let mut gap = a.clone();
    gap.event("lost");
    let mut clone = a.clone();
    clone.tag = Tag([9; 8]);
    for append in [gap.events(1), clone.events(1)] {
        match world.store().append(append).await {
            Err(StoreError::Chain { known, head }) => {
                assert_eq!((known.last, known.tag, head), (2, a.tag, taken.head.offset()));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await.len(), 2);
}

pub async fn a_repeat_tells_every_fate_and_counts_the_new(mut world: World) {
    let mut a = Author::new("s", 1);
    let mut whole = a.batch(|a| vec![a.event("one"), a.void(), a.refused("no"), a.event("four"), a.event("five")]);
    let mut part = whole.clone();
    part.items.truncate(4);
    world.store().append(part.clone()).await.unwrap();
    world.store().append(Author::new("s", 2).events(1)).await.unwrap();
    let again = world.store().append(part).await.unwrap();
    assert_eq!(again.new, 0);
    let longer = world.store().append(whole.clone()).await.unwrap();
    assert_eq!(longer.new, 1);
    assert_eq!(longer.outcomes[..4], again.outcomes[..]);
    assert!(logged(1)(&longer.outcomes[0]) && longer.outcomes[1] == Outcome::Void);
    assert!(is_refused(&longer.outcomes[2], "no"));
    assert!(logged(2)(&longer.outcomes[3]) && logged(4)(&longer.outcomes[4]));
    // A repeat may begin in the middle of what was stored.
    whole.tag_before = whole.items[2].tag;
    whole.items.drain(..3);
    whole.first = 4;
    let tail = world.store().append(whole).await.unwrap();
    assert_eq!((offsets(&tail), tail.new, tail.head.offset()), (vec![2, 4], 0, Offset(4)));
    assert_eq!(read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await.len(), 4);
}

pub async fn a_repeat_of_long_ago_or_with_another_tag_is_chain(mut world: World) {
    let mut a = Author::new("s", 1);
    let mut clone = a.clone();
    let old = a.events(2);
    world.store().append(old.clone()).await.unwrap();
    world.store().append(a.events(2)).await.unwrap();
    let other = clone.batch(|clone| (0..6).map(|n| clone.event(&format!("other {n}"))).collect());
    for append in [old, other] {
        let refused = world.store().append(append).await.unwrap_err();
        assert!(matches!(refused, StoreError::Chain { known, .. } if known.last == 4 && known.tag == a.tag));
    }
    assert_eq!(read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await.len(), 4);
}

pub async fn a_refusal_is_recorded_for_ever_and_uses_its_sequence_up(mut world: World) {
    let mut a = Author::new("s", 1);
    let mut tags = vec![];
    for round in 0..5 {
        let batch = a.batch(|a| vec![a.refused(&format!("code-{round}"))]);
        tags.push(batch.items[0].tag);
        world.store().append(batch).await.unwrap();
        world.store().append(a.events(1)).await.unwrap();
    }
    let info = world.store().resume(a.resume(None)).await.unwrap();
    assert_eq!((info.known.last, info.known.tag, info.head), (10, a.tag, Offset(5)));
    let told: Vec<_> = info.known.refused.iter().map(|r| (r.sequence, r.tag, r.code.clone())).collect();
    let expected: Vec<_> = (0..5u64).map(|n| (2 * n + 1, tags[n as usize], format!("code-{n}"))).collect();
    assert_eq!(told, expected);
    assert_eq!(info.known.refused[3].reason, "because of code-3");
}

/// A producer with very many refusals gets no larger answers than another.
pub async fn refusals_are_told_from_settled_on_and_no_more_than_fit(mut world: World) {
    let mut a = Author::new("s", 1);
    let stale = a.clone();
    let reason = "x".repeat(REASON_BYTES_MAX);
    let refused = Body::Refused { code: "no".into(), reason };
    for _ in 0..4 {
        let batch = a.batch(|a| (0..PUBLISH_EVENTS_MAX).map(|_| a.item(refused.clone())).collect());
        world.store().append(batch).await.unwrap();
    }
    let told = |known: &Known| known.refused.iter().map(|refusal| refusal.sequence).collect::<Vec<_>>();
    for settled in [1, 300] {
        let request = ResumeRequest { settled, ..a.resume(None) };
        let known = world.store().resume(request).await.unwrap().known;
        assert_eq!(known.last, a.last);
        let count = known.refused.len();
        assert_eq!(told(&known), (settled..settled + count as u64).collect::<Vec<_>>(), "the lowest first");
        let bytes = count * (REASON_BYTES_MAX + 66);
        assert!(bytes <= MESSAGE_BYTES_MAX / 2 && bytes > MESSAGE_BYTES_MAX / 3, "{count}");
    }
    let request = ResumeRequest { settled: a.last - 2, ..a.resume(None) };
    let known = world.store().resume(request).await.unwrap().known;
    assert_eq!(told(&known), [a.last - 2, a.last - 1, a.last]);
    let error = world.store().append(stale.clone().batch(|stale| vec![stale.event("old")])).await.unwrap_err();
    assert!(matches!(error, StoreError::Chain { known, .. } if known.last == a.last && known.refused.is_empty()));
}

pub async fn needs_are_met_by_the_last_logged_or_refused_down_the_batch(mut world: World) {
    let mut a = Author::new("s", 1);
    let batch = a.batch(|a| {
        let one = a.event("one");
        let need = Some((a.last, a.tag));
        let two = a.event_with("on one", vec![], need);
        let refused = a.refused("no");
        let need = Some((a.last, a.tag));
        let four = a.event_with("on the refused one", vec![], need);
        let need = Some((a.last, a.tag));
        let five = a.event_with("on four", vec![], need);
        let six = a.event("alone");
        vec![one, two, refused, four, five, six]
    });
    let appended = world.store().append(batch).await.unwrap();
    let fates = &appended.outcomes;
    assert!(logged(1)(&fates[0]) && logged(2)(&fates[1]) && is_refused(&fates[2], "no") && logged(3)(&fates[5]));
    assert!(is_refused(&fates[3], DEPENDS_ON_REJECTED) && is_refused(&fates[4], DEPENDS_ON_REJECTED));
    let wrong_tag = a.batch(|a| vec![a.event_with("on a clone's", vec![], Some((6, Tag([7; 8]))))]);
    let appended = world.store().append(wrong_tag).await.unwrap();
    assert!(is_refused(&appended.outcomes[0], DEPENDS_ON_REJECTED));
    let info = world.store().resume(a.resume(None)).await.unwrap();
    let refused: Vec<_> = info.known.refused.iter().map(|refusal| refusal.sequence).collect();
    assert_eq!(refused, [3, 4, 5, 7]);
}

pub async fn a_derived_id_keeps_the_tag_of_its_origin(mut world: World) {
    let mut a = Author::new("s", 1);
    a.events(3);
    let mut stray = a.events(1);
    let id = EventId { producer: stray.producer, sequence: stray.first };
    stray.producer = digest::derived_producer(id, stray.items[0].tag);
    (stray.first, stray.tag_before) = (1, Tag::ZERO);
    assert_ne!(stray.origin, Tag::ZERO);
    world.store().append(stray.clone()).await.unwrap();
    let events = read_all(&mut world, &stray.stream, Offset::ZERO, 1 << 20).await;
    assert_eq!((events[0].tag, events[0].tag_before), (stray.items[0].tag, stray.origin));
    assert_eq!(events[0].prev, (0, Tag::ZERO));
    let again = world.store().append(stray).await.unwrap();
    assert_eq!((offsets(&again), again.new), (vec![1], 0));
}

pub async fn an_append_for_another_log_is_an_epoch_error(mut world: World) {
    let mut a = Author::new("s", 1);
    let lost = Append { epoch: Some(Epoch([5; 16])), ..a.clone().events(1) };
    assert_eq!(world.store().append(lost).await, Err(StoreError::Epoch { current: Epoch::NONE }));
    let born = Append { epoch: Some(Epoch::NONE), ..a.events(1) };
    let epoch = world.store().append(born).await.unwrap().epoch;
    let next = a.events(1);
    for wrong in [Epoch([5; 16]), Epoch::NONE] {
        let lost = Append { epoch: Some(wrong), ..next.clone() };
        assert_eq!(world.store().append(lost).await, Err(StoreError::Epoch { current: epoch }));
    }
    let right = Append { epoch: Some(epoch), ..next.clone() };
    assert_eq!(offsets(&world.store().append(right).await.unwrap()), [2]);
    let healed = HealRequest { epoch: Some(Epoch([5; 16])), ..heal(&a.stream, as_events(&next)) };
    assert_eq!(world.store().heal(healed).await, Err(StoreError::Epoch { current: epoch }));
}

pub async fn what_is_over_a_limit_is_not_written(mut world: World) {
    let a = Author::new("s", 1);
    let large = |bytes| {
        a.clone().batch(|a| {
            let content =
                Content { kind: sync_core::event::Kind::Application, time: 0, payload: Bytes::from(vec![0; bytes]) };
            vec![AppendItem {
                tag: a.tag,
                body: Body::Event { content: content.encode(), causes: vec![], needs: None },
            }]
        })
    };
    let many = a.clone().events(limits().append_events_max + 1);
    let empty = a.clone().events(0);
    let beyond = Append { first: u64::MAX, ..a.clone().events(1) };
    for append in [large(limits().event_bytes_max), many, empty, beyond] {
        assert_eq!(world.store().append(append).await, Err(StoreError::TooLarge));
    }
    let mut backwards = as_events(&a.clone().events(1));
    backwards[0].prev = (1, Tag::ZERO);
    assert_eq!(world.store().heal(heal(&a.stream, backwards)).await, Err(StoreError::TooLarge));
    assert_eq!(epoch_of(&mut world, &a.stream).await, Epoch::NONE);
    world.store().append(large(limits().event_bytes_max - 100)).await.unwrap();
}

pub async fn heal_takes_what_continues_and_passes_what_is_there(mut world: World) {
    let mut a = Author::new("s", 1);
    let old = as_events(&a.batch(|a| vec![a.event("one"), a.refused("no"), a.event("three"), a.event("four")]));
    let healed = world.store().heal(heal(&a.stream, old.clone())).await.unwrap();
    let taken = |at| HealOutcome::Taken(DurableOffset::minted_by_store(Offset(at)));
    assert_eq!(healed.outcomes, [taken(1), taken(2), taken(3)]);
    assert_eq!(healed.head.offset(), Offset(3));
    let again = world.store().heal(heal(&a.stream, old.clone())).await.unwrap();
    assert_eq!(again.outcomes, vec![HealOutcome::Passed; 3]);
    let events = read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await;
    let ids = |events: &[sync_core::event::Event]| events.iter().map(|e| (e.id, e.tag, e.prev)).collect::<Vec<_>>();
    assert_eq!(ids(&events), ids(&old));
    let next = world.store().append(a.events(1)).await.unwrap();
    assert_eq!(offsets(&next), [4]);
}

pub async fn heal_waits_for_the_predecessor_and_for_its_tag(mut world: World) {
    let mut a = Author::new("s", 1);
    let mut clone = a.clone();
    let old = as_events(&a.events(3));
    let gap = world.store().heal(heal(&a.stream, old[1..].to_vec())).await.unwrap();
    assert_eq!(gap.outcomes, [HealOutcome::Gap, HealOutcome::Gap]);
    assert_eq!((gap.epoch, gap.head.offset()), (Epoch::NONE, Offset::ZERO), "nothing taken, nothing made");
    // A clone's other first event took the place: what follows the old one must not follow it.
    world.store().append(clone.batch(|clone| vec![clone.event("another one")])).await.unwrap();
    let behind = world.store().heal(heal(&a.stream, old[1..].to_vec())).await.unwrap();
    assert_eq!(behind.outcomes, [HealOutcome::Branch, HealOutcome::Later]);
    let other = world.store().heal(heal(&a.stream, old)).await.unwrap();
    assert_eq!(other.outcomes, [HealOutcome::Branch, HealOutcome::Later, HealOutcome::Later]);
    assert_eq!(read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await.len(), 1);
}

/// As a publish has to, what comes next continues the chain, also where what is between was refused.
pub async fn heal_takes_what_comes_next_in_its_own_chain_only(mut world: World) {
    let mut a = Author::new("s", 1);
    let mut clone = a.clone();
    let old = as_events(&a.batch(|a| vec![a.event("one"), a.refused("no"), a.event("three"), a.event("four")]));
    let here = clone.batch(|clone| vec![clone.event("one"), clone.event("another one")]);
    world.store().append(here).await.unwrap();
    let healed = world.store().heal(heal(&a.stream, old.clone())).await.unwrap();
    assert_eq!(healed.outcomes, [HealOutcome::Passed, HealOutcome::Branch, HealOutcome::Later]);
    let other = Author::new("t", 1).stream;
    let healed = world.store().heal(heal(&other, old)).await.unwrap();
    assert!(healed.outcomes.iter().all(|outcome| matches!(outcome, HealOutcome::Taken(_))), "{healed:?}");
}

pub async fn heal_tells_what_was_refused_and_what_something_else_took(mut world: World) {
    let mut a = Author::new("s", 1);
    let mut clone = a.clone();
    let same = "not in the log";
    let old = as_events(&a.batch(|a| vec![a.event(same), a.event("two"), a.event(same), a.event("four")]));
    // Here the first was thrown away by a copy of the profile, the third was refused, and another in place of the fourth.
    let here = clone.batch(|clone| vec![clone.void(), clone.event("two"), clone.refused("no"), clone.refused("no")]);
    world.store().append(here).await.unwrap();
    let healed = world.store().heal(heal(&a.stream, old)).await.unwrap();
    assert_eq!(healed.outcomes, [HealOutcome::Other, HealOutcome::Passed, HealOutcome::Refused, HealOutcome::Branch]);
    assert_eq!(read_all(&mut world, &a.stream, Offset::ZERO, 1 << 20).await.len(), 1);
}

/// What goes on under its derived id comes before what was read after it.
pub async fn heal_takes_nothing_behind_what_something_else_took(mut world: World) {
    let (mut a, mut b) = (Author::new("s", 1), Author::new("s", 2));
    let mut clone = a.clone();
    world.store().append(clone.batch(|clone| vec![clone.void()])).await.unwrap();
    let (a, b) = (as_events(&a.events(1)), as_events(&b.events(2)));
    let list = |first: &Event| vec![first.clone(), b[0].clone(), b[1].clone()];
    let healed = world.store().heal(heal(&stream("s"), list(&a[0]))).await.unwrap();
    assert_eq!(healed.outcomes, [HealOutcome::Branch, HealOutcome::Later, HealOutcome::Later]);
    let again = world.store().heal(heal(&stream("s"), list(&a[0].refiled()))).await.unwrap();
    assert!(again.outcomes.iter().all(|outcome| matches!(outcome, HealOutcome::Taken(_))), "{again:?}");
    let events = read_all(&mut world, &stream("s"), Offset::ZERO, 1 << 20).await;
    let contents = |events: &[Event]| events.iter().map(|e| e.content.clone()).collect::<Vec<_>>();
    assert_eq!(contents(&events), contents(&list(&a[0])));
}

pub async fn heal_refuses_what_needs_a_refused_one(mut world: World) {
    let mut a = Author::new("s", 1);
    let refused_here = a.clone().batch(|a| vec![a.event("one"), a.refused("no")]);
    let old = as_events(&a.batch(|a| {
        let one = a.event("one");
        let two = a.event("not in the log");
        let need = Some((a.last, a.tag));
        vec![one, two, a.event_with("on two", vec![], need)]
    }));
    world.store().append(refused_here).await.unwrap();
    let healed = world.store().heal(heal(&a.stream, old)).await.unwrap();
    assert_eq!(healed.outcomes, [HealOutcome::Passed, HealOutcome::Refused, HealOutcome::Refused]);
    let info = world.store().resume(a.resume(None)).await.unwrap();
    let refused: Vec<_> = info.known.refused.iter().map(|r| (r.sequence, r.code.as_str())).collect();
    assert_eq!(refused, [(2, "no"), (3, DEPENDS_ON_REJECTED)]);
    assert_eq!((info.known.last, info.known.tag, info.head), (3, a.tag, Offset(1)));
}

pub async fn heal_keeps_the_order_of_several_producers(mut world: World) {
    let (mut a, mut b) = (Author::new("s", 1), Author::new("s", 2));
    let (a, b) = (as_events(&a.events(2)), as_events(&b.events(2)));
    let old = vec![b[0].clone(), a[0].clone(), a[1].clone(), b[1].clone()];
    world.store().heal(heal(&stream("s"), old.clone())).await.unwrap();
    let events = read_all(&mut world, &stream("s"), Offset::ZERO, 1 << 20).await;
    let ids = |events: &[sync_core::event::Event]| events.iter().map(|e| (e.id, e.tag)).collect::<Vec<_>>();
    assert_eq!(ids(&events), ids(&old));
}

pub async fn many_producers_at_once_are_each_logged_once_in_order(mut world: World) {
    const PRODUCERS: u8 = 20;
    const ROUNDS: usize = 10;
    let store = world.steady();
    let tasks = (0..PRODUCERS).map(|number| {
        let (store, mut author) = (store.clone(), Author::new(&format!("s/{}", number % 3), number));
        tokio::spawn(async move {
            for _ in 0..ROUNDS {
                let batch = author.events(2);
                // The same batch twice at once, as over an old and a new socket: one of them is the repeat.
                let (one, two) = (store.append(batch.clone()), store.append(batch));
                let (one, two) = (one.await.unwrap(), two.await.unwrap());
                assert_eq!(one.outcomes, two.outcomes);
                assert_eq!(one.new + two.new, 2);
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    drop(store);
    for number in 0..3 {
        let mut last = BTreeMap::new();
        let events = read_all(&mut world, &stream(&format!("s/{number}")), Offset::ZERO, 1 << 20).await;
        for event in &events {
            assert_eq!(last.insert(event.id.producer, event.id.sequence).unwrap_or(0) + 1, event.id.sequence);
        }
        assert!(last.values().all(|last| *last == 2 * ROUNDS as u64));
        assert_eq!(events.len(), last.len() * 2 * ROUNDS);
    }
}
