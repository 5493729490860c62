//! One frame of every message lies in this folder as hexadecimal digits: read here, by `golden.test.ts` and shown in
//! PROTOCOL.md. A frame that changes is a change of the wire. `TIDELOG_GOLDEN=write` writes them anew.

use bytes::Bytes;
use std::path::PathBuf;
use sync_core::event::{Bodies, Cause, Content, Kind, Run};
use sync_core::ids::*;
use sync_core::wire::*;

fn stream() -> StreamName {
    StreamName::new("notes/shopping").expect("a name")
}

fn producer() -> ProducerId {
    ProducerId([0xAA; 16])
}

fn content() -> Bytes {
    let payload = Bytes::from_static(br#"{"type":"added"}"#);
    Content { kind: Kind::Application, time: 1_700_000_000_000, payload }.encode()
}

fn run() -> Run {
    Run {
        producer: producer(),
        first: 3,
        offset: Offset(17),
        author: Some("ann".into()),
        prev: (1, Tag([0x11; 8])),
        tag_before: Tag([0x22; 8]),
        bodies: Bodies::Contents(vec![content(), content()]),
        needs: vec![0b10],
        causes: vec![(1, vec![cause()])],
    }
}

fn cause() -> Cause {
    Cause { stream: StreamHash([0x55; 8]), epoch: Epoch([0x66; 16]), offset: Offset(9) }
}

fn refusal() -> Refusal {
    Refusal { sequence: 2, tag: Tag([0x33; 8]), code: "word".into(), reason: "not that word".into() }
}

fn known() -> Known {
    Known { last: 4, tag: Tag([0x44; 8]), refused: vec![refusal()] }
}

fn ups() -> Vec<(&'static str, Up)> {
    let event = Item::Event { content: content(), causes: vec![cause()], needs: Some((2, Tag([0x33; 8]))) };
    vec![
        (
            "hello",
            Up::Hello(Hello { version_min: 1, version_max: 1, producer: producer(), token: Some("token".into()) }),
        ),
        ("authenticate", Up::Authenticate { token: "token".into() }),
        (
            "subscribe",
            Up::Subscribe(Subscribe {
                stream: stream(),
                epoch: Epoch([0x77; 16]),
                after: Offset(17),
                check: Check([0x88; 16]),
                producer: producer(),
                settled: 3,
                records: vec![ProducerId([0xBB; 16])],
            }),
        ),
        ("unsubscribe", Up::Unsubscribe { stream: stream() }),
        (
            "publish",
            Up::Publish(Publish {
                stream: stream(),
                producer: producer(),
                first: 3,
                tag_before: Tag([0x22; 8]),
                origin: Some(Tag([0x99; 8])),
                items: vec![event, Item::Void { tag: Tag([0x44; 8]) }],
            }),
        ),
        ("heal", Up::Heal(Heal { stream: stream(), runs: vec![Run { offset: Offset::ZERO, ..run() }], done: true })),
        ("applied", Up::Applied { stream: stream(), cursor: Offset(18) }),
        ("alive-up", Up::Alive),
    ]
}

fn downs() -> Vec<(&'static str, Down)> {
    let limits = Limits { event_bytes_max: 458_752, frame_bytes_max: 524_288, streams_max: 4096 };
    let verdict = Verdict { producer: producer(), sequence: 3, tag: Tag([0x22; 8]), fate: HealFate::Other };
    let own = Run { bodies: Bodies::Own(vec![Tag([0x23; 8])]), needs: vec![], causes: vec![], ..run() };
    let record = Record { producer: producer(), logged: (3, Tag([0x22; 8])), refused: vec![refusal()] };
    vec![
        (
            "welcome",
            Down::Welcome(Welcome {
                version: 1,
                relay: [0xCC; 16],
                subject: Some("ann".into()),
                limits,
                window_bytes: 1_048_576,
                time: 1_700_000_000_000,
            }),
        ),
        (
            "subscribed",
            Down::Subscribed(Subscribed {
                stream: stream(),
                epoch: Epoch([0x77; 16]),
                head: Offset(18),
                resume: true,
                known: known(),
                access: Access::Write,
                turn: Turn::Go,
            }),
        ),
        (
            "snapshot",
            Down::Snapshot(SnapshotPart {
                stream: stream(),
                offset: Offset(16),
                check: Check([0x88; 16]),
                part: 0,
                parts: 1,
                bytes_total: 4,
                records: vec![record],
                bytes: Bytes::from_static(b"part"),
            }),
        ),
        ("events", Down::Events(Events { stream: stream(), after: Offset(16), upto: Offset(18), runs: vec![run()] })),
        ("events-own", Down::Events(Events { stream: stream(), after: Offset(16), upto: Offset(17), runs: vec![own] })),
        ("accepted", Down::Accepted { stream: stream(), producer: producer(), first: 3, last: 4 }),
        ("rejected", Down::Rejected { stream: stream(), producer: producer(), refusal: refusal() }),
        ("have", Down::Have { stream: stream(), producer: producer(), sequence: 3, known: known(), head: Offset(18) }),
        ("healed", Down::Healed { stream: stream(), head: Offset(18), verdicts: vec![verdict] }),
        ("turn", Down::Turn { stream: stream(), turn: Turn::Go }),
        (
            "error",
            Down::Error {
                stream: Some(stream()),
                code: "access-denied".into(),
                retry: false,
                message: "no right to read this stream".into(),
            },
        ),
        ("goodbye", Down::Goodbye { delay_ms: 1500 }),
        ("alive-down", Down::Alive),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(format!("{name}.hex"))
}

fn read(name: &str, bytes: &Bytes, is: &str) -> Bytes {
    let path = path(name);
    if std::env::var("TIDELOG_GOLDEN").is_ok_and(|v| v == "write") {
        let digits: Vec<String> =
            bytes.chunks(32).map(|line| line.iter().map(|b| format!("{b:02x}")).collect()).collect();
        std::fs::write(&path, format!("# {name}: {is}\n{}\n", digits.join("\n"))).expect("the folder is there");
    }
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let digits: String =
        text.lines().filter(|line| !line.starts_with('#')).flat_map(|line| line.trim().chars()).collect();
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(pair).collect::<Vec<u8>>().into()
}

#[test]
fn every_message_has_its_golden_frame() {
    for (name, up) in ups() {
        let bytes = read(name, &up.encode(), "device -> relay");
        assert_eq!(up.encode(), bytes, "{name}");
        assert_eq!(Up::decode_frame(&bytes), Ok(vec![up]), "{name}");
    }
    for (name, down) in downs() {
        let bytes = read(name, &down.encode(), "relay -> device");
        assert_eq!(down.encode(), bytes, "{name}");
        assert_eq!(Down::decode_frame(&bytes), Ok(vec![down]), "{name}");
    }
}

#[test]
fn protocol_md_shows_the_golden_frames() {
    let protocol =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md")).expect("PROTOCOL.md");
    for name in ups().iter().map(|(name, _)| *name).chain(downs().iter().map(|(name, _)| *name)) {
        assert!(protocol.contains(&format!("(tests/golden/{name}.hex)")), "PROTOCOL.md does not link {name}.hex");
    }
}
