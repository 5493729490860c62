//! Every message survives a round trip, and rubbish never panics.

use super::*;
use crate::digest::Random;
use crate::event::{Bodies, Cause, Run};

fn name() -> StreamName {
    StreamName::new("notes/shopping").expect("a name")
}

fn run() -> Run {
    Run {
        producer: ProducerId([1; 16]),
        first: 3,
        offset: Offset(17),
        author: Some("ann".into()),
        prev: (1, Tag([4; 8])),
        tag_before: Tag([2; 8]),
        bodies: Bodies::Contents(vec![Bytes::from_static(b"x"), Bytes::from_static(b"y")]),
        needs: vec![2],
        causes: vec![(1, vec![Cause { stream: StreamHash([5; 8]), epoch: Epoch([6; 16]), offset: Offset(9) }])],
    }
}

fn known() -> Known {
    let refusal = Refusal { sequence: 2, tag: Tag([3; 8]), code: "no".into(), reason: "because".into() };
    Known { last: 4, tag: Tag([9; 8]), refused: vec![refusal] }
}

fn ups() -> Vec<Up> {
    let needs = Some((2, Tag([1; 8])));
    let event = Item::Event { content: Bytes::from_static(b"z"), causes: run().causes[0].1.clone(), needs };
    vec![
        Up::Hello(Hello { version_min: 1, version_max: 2, producer: ProducerId([1; 16]), token: Some("t".into()) }),
        Up::Authenticate { token: "t".into() },
        Up::Subscribe(Subscribe {
            stream: name(),
            epoch: Epoch([7; 16]),
            after: Offset(5),
            check: Check([8; 16]),
            producer: ProducerId([1; 16]),
            settled: 3,
            records: vec![ProducerId([2; 16])],
        }),
        Up::Unsubscribe { stream: name() },
        Up::Publish(Publish {
            stream: name(),
            producer: ProducerId([1; 16]),
            first: 3,
            tag_before: Tag([2; 8]),
            origin: Some(Tag([3; 8])),
            items: vec![event, Item::Void { tag: Tag([4; 8]) }],
        }),
        Up::Heal(Heal { stream: name(), runs: vec![run()], done: true }),
        Up::Applied { stream: name(), cursor: Offset(5) },
        Up::Alive,
    ]
}

fn downs() -> Vec<Down> {
    let producer = ProducerId([1; 16]);
    let limits = Limits { event_bytes_max: 1, frame_bytes_max: 2, streams_max: 3 };
    let verdict = Verdict { producer, sequence: 2, tag: Tag([1; 8]), fate: HealFate::Gap };
    let record = Record { producer, logged: (2, Tag([1; 8])), refused: known().refused };
    let own = Run { bodies: Bodies::Own(vec![Tag([1; 8])]), needs: vec![], causes: vec![], ..run() };
    vec![
        Down::Welcome(Welcome {
            version: 1,
            relay: [1; 16],
            subject: Some("ann".into()),
            limits,
            window_bytes: 9,
            time: 5,
        }),
        Down::Subscribed(Subscribed {
            stream: name(),
            epoch: Epoch([7; 16]),
            head: Offset(9),
            resume: false,
            known: known(),
            access: Access::Read,
            turn: Turn::Wait,
        }),
        Down::Snapshot(SnapshotPart {
            stream: name(),
            offset: Offset(9),
            check: Check([8; 16]),
            part: 0,
            parts: 2,
            bytes_total: 10,
            records: vec![record],
            bytes: Bytes::from_static(b"abc"),
        }),
        Down::Events(Events { stream: name(), after: Offset(16), upto: Offset(19), runs: vec![run(), own] }),
        Down::Accepted { stream: name(), producer, first: 1, last: 3 },
        Down::Rejected { stream: name(), producer, refusal: known().refused.remove(0) },
        Down::Have { stream: name(), producer, sequence: 1, known: known(), head: Offset(9) },
        Down::Healed { stream: name(), head: Offset(9), verdicts: vec![verdict] },
        Down::Turn { stream: name(), turn: Turn::Go },
        Down::Error { stream: None, code: "access-denied".into(), retry: false, message: "no".into() },
        Down::Goodbye { delay_ms: 500 },
        Down::Alive,
    ]
}

#[test]
fn every_message_survives_a_round_trip() {
    for up in ups() {
        assert_eq!(Up::decode_frame(&up.encode()), Ok(vec![up]));
    }
    for down in downs() {
        assert_eq!(Down::decode_frame(&down.encode()), Ok(vec![down]));
    }
}

#[test]
fn a_frame_may_hold_several_messages_but_not_none() {
    let frame: Bytes = ups().iter().flat_map(|up| up.encode()).collect::<Vec<u8>>().into();
    assert_eq!(Up::decode_frame(&frame), Ok(ups()));
    assert!(Up::decode_frame(&Bytes::new()).is_err());
}

#[test]
fn the_parts_of_an_events_frame_make_the_same_bytes() {
    let events = Events { stream: name(), after: Offset(16), upto: Offset(18), runs: vec![run()] };
    let mut frame = events_head(&events.stream, events.after, events.upto, 0);
    frame.extend_from_slice(&encode_run(&events.runs[0]));
    frame.extend_from_slice(&EVENTS_END);
    assert_eq!(Bytes::from(frame), Down::Events(events).encode());
}

#[test]
fn unknown_fields_are_skipped_and_unknown_messages_are_errors() {
    let mut out = Writer::new();
    out.array(2).u64(3).begin_map().u64(99).array(1).begin_map().end().u64(0).text("a").end();
    let stream = StreamName::new("a").expect("a name");
    assert_eq!(Up::decode_frame(&out.finish().into()), Ok(vec![Up::Unsubscribe { stream }]));
    let mut out = Writer::new();
    out.array(2).u64(31).begin_map().end();
    assert!(Up::decode_frame(&out.finish().into()).is_err());
}

#[test]
fn damaged_bytes_are_errors_and_never_panics() {
    let frames: Vec<Bytes> = ups().iter().map(Up::encode).chain(downs().iter().map(Down::encode)).collect();
    let mut random = Random::new([3; 32]);
    for frame in &frames {
        for cut in 0..frame.len() {
            assert!(Up::decode_frame(&frame.slice(..cut)).is_err());
            assert!(Down::decode_frame(&frame.slice(..cut)).is_err());
        }
        for _ in 0..500 {
            let mut bytes = frame.to_vec();
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] = random.below(256) as u8;
            let bytes = Bytes::from(bytes);
            let _ = (Up::decode_frame(&bytes), Down::decode_frame(&bytes));
        }
    }
    for byte in [0x9F, 0x81, 0xBF, 0x5F, 0x9B, 0x7B, 0xDB] {
        let deep: Bytes = [&[0x82, 0x02, 0xBF, 0x18, 0x63][..], &vec![byte; 200_000]].concat().into();
        assert!(Up::decode_frame(&deep).is_err());
    }
}
