//! Bytes from outside cause errors, never panics, and what they leave behind is still a document.

mod world;

use flate2::{Compression, write::DeflateEncoder};
use std::io::Write;
use sync_document::automerge::{ExpandedChange, ObjType, ScalarValue, legacy};
use sync_document::{Document, DocumentError, Opening, SkipReason, automerge::Change, changes_of, read_change};
use world::{Device, Random, defaults, key};

/// A device with some history, and all its changes.
fn history(seed: u64) -> Device {
    let mut random = Random(seed);
    let mut device = Device::new(random.actor());
    for _ in 0..12 {
        device.edit(&mut random);
        device.commit();
    }
    device
}

/// What comes after must still work: the document takes an honest edit, and saves and loads to the same.
fn still_a_document(document: &mut Document, random: &mut Random, about: &str) {
    let operation =
        sync_document::Operation::Put(world::root(), key("after"), sync_document::NewValue::Text(random.word()));
    document.record(vec![operation]).unwrap_or_else(|error| panic!("{about}: {error}"));
    document.commit(0, None).unwrap_or_else(|error| panic!("{about}: {error}"));
    let file = document.export();
    let opening = Opening { actor: random.actor(), defaults: defaults(), payloads: vec![&file], ..Opening::default() };
    let (reopened, _) = Document::open(&opening).unwrap_or_else(|error| panic!("{about}: {error}"));
    assert_eq!(reopened.value(), document.value(), "{about}");
}

/// Random bytes, truncated and bent changes: skipped, whether or not they look like a chunk.
#[test]
fn bent_bytes_are_skipped() {
    let device = history(1);
    let mut random = Random(2);
    let (mut document, _) =
        Document::open(&Opening { actor: [5; 16], defaults: defaults(), ..Opening::default() }).expect("opens");
    for round in 0..3000 {
        let mut bytes = device.log[random.below(device.log.len())].clone();
        match random.below(4) {
            0 => bytes.truncate(random.below(bytes.len())),
            1 => bytes = (0..random.below(200)).map(|_| random.next() as u8).collect(),
            2 => bytes.extend((0..=random.below(9)).map(|_| random.next() as u8)),
            _ => {
                for _ in 0..=random.below(4) {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
            }
        }
        let applied = document.apply(&[&bytes]).expect("an answer");
        if !device.log.contains(&bytes) {
            assert_eq!((applied.skipped.len(), applied.waiting), (1, 0), "round {round}");
        }
    }
    still_a_document(&mut document, &mut random, "after bent bytes");
}

/// Bent in the body with the checksum made right again, so that the columns themselves are what is wrong.
#[test]
fn bent_columns_with_a_right_checksum_never_panic() {
    let device = history(3);
    let mut random = Random(4);
    let mut accepted = 0;
    for round in 0..6000 {
        let at = random.below(device.log.len());
        let mut bytes = device.log[at].clone();
        for _ in 0..=random.below(3) {
            let place = 9 + random.below(bytes.len() - 9);
            bytes[place] = if random.chance(2) { random.next() as u8 } else { bytes[place] ^ (1 << random.below(8)) };
        }
        let hash = sha256(&bytes[8..]);
        bytes[4..8].copy_from_slice(&hash[..4]);
        if read_change(&bytes).is_err() {
            continue;
        }
        let before: Vec<&[u8]> = device.log[..at].iter().map(Vec::as_slice).collect();
        let opening = Opening { actor: [6; 16], defaults: defaults(), payloads: before, ..Opening::default() };
        let (mut document, _) = Document::open(&opening).expect("opens");
        let applied = document.apply(&[&bytes]).expect("an answer");
        accepted += applied.replayed + applied.batched;
        document.value();
        if round % 50 == 0 {
            still_a_document(&mut document, &mut random, &format!("round {round}"));
        }
    }
    assert!(accepted > 0, "nothing came as far as the document");
}

/// Changes that are well formed and make no sense: each of their parts points somewhere else.
#[test]
fn changes_that_make_no_sense_never_panic() {
    let device = history(5);
    let honest: Vec<ExpandedChange> =
        device.log.iter().map(|bytes| read_change(bytes).expect("honest").decode()).collect();
    let mut random = Random(6);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..4000 {
        let at = 5 + random.below(honest.len() - 5);
        let mut change = honest[at].clone();
        let other = honest[random.below(honest.len())].clone();
        for _ in 0..=random.below(2) {
            bend(&mut change, &other, &mut random);
        }
        let change = Change::from(change);
        let before: Vec<&[u8]> = device.log[..at].iter().map(Vec::as_slice).collect();
        let opening = Opening { actor: [7; 16], defaults: defaults(), payloads: before, ..Opening::default() };
        let (mut document, _) = Document::open(&opening).expect("opens");
        let applied = document.apply(&[change.raw_bytes()]).expect("an answer");
        accepted += applied.replayed + applied.batched;
        refused += applied.skipped.iter().filter(|skipped| skipped.reason == SkipReason::Malformed).count();
        document.value();
    }
    assert!(accepted > 100 && refused > 100, "{accepted} accepted, {refused} refused");
}

fn bend(change: &mut ExpandedChange, other: &ExpandedChange, random: &mut Random) {
    let number = random.below(change.operations.len());
    let start = change.start_op.get();
    let foreign = other.operations.get(random.below(other.operations.len())).cloned();
    let op = &mut change.operations[number];
    let id = legacy::OpId(
        random.below(60) as u64,
        if random.chance(2) { change.actor_id.clone() } else { other.actor_id.clone() },
    );
    match random.below(13) {
        0 => op.obj = legacy::ObjectId::Id(id),
        1 => op.obj = foreign.map_or(legacy::ObjectId::Root, |op| op.obj),
        2 => op.key = legacy::Key::Seq(legacy::ElementId::Id(id)),
        3 => op.key = foreign.map_or_else(legacy::Key::head, |op| op.key),
        4 => op.key = legacy::Key::Map("x".into()),
        5 => op.insert = !op.insert,
        6 => {
            op.action =
                legacy::OpType::Make([ObjType::Map, ObjType::List, ObjType::Text, ObjType::Table][random.below(4)])
        }
        7 => op.action = legacy::OpType::Delete,
        8 => op.action = legacy::OpType::Increment(i64::MAX),
        9 => op.action = legacy::OpType::Put(ScalarValue::counter(i64::MAX)),
        10 => op.pred = vec![id].into(),
        11 => change.seq = random.below(4) as u64,
        _ => change.start_op = (start + random.next() % (1 << (random.below(40)))).try_into().expect("not zero"),
    }
}

/// Whole files, bent in the body with the checksum made right again.
#[test]
fn bent_files_with_a_right_checksum_are_errors() {
    let mut device = history(8);
    let file = device.document.export();
    let mut random = Random(9);
    let mut refused = 0;
    for round in 0..4000 {
        let mut bytes = file.clone();
        for _ in 0..=random.below(3) {
            let place = 12 + random.below(bytes.len() - 12);
            bytes[place] = if random.chance(2) { random.next() as u8 } else { bytes[place] ^ (1 << random.below(8)) };
        }
        let hash = sha256(&bytes[8..]);
        bytes[4..8].copy_from_slice(&hash[..4]);
        let opening = Opening { actor: [6; 16], defaults: defaults(), ..Opening::default() };
        let (mut document, _) = Document::open(&opening).expect("opens");
        match document.import(&[&bytes]) {
            Ok(_) => still_a_document(&mut document, &mut random, &format!("round {round}")),
            Err(error) => {
                assert!(matches!(error, DocumentError::Malformed(_) | DocumentError::TooLarge(_)), "{error}");
                refused += 1;
            }
        }
    }
    assert!(refused > 1000, "{refused} refused");
}

/// A file whose columns inflate without end, one with too many rows, and one that is too large are refused before Automerge
/// sees them.
#[test]
fn a_small_file_does_not_make_much_work() {
    let mut deflater = DeflateEncoder::new(Vec::new(), Compression::best());
    for _ in 0..300 {
        deflater.write_all(&vec![0; 1 << 20]).expect("into memory");
    }
    let bomb = deflater.finish().expect("into memory");
    // 2^40 rows of one value.
    let long = [0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x01].to_vec();
    for (specification, column) in [(21 | 8, bomb), (21, long)] {
        let mut body = vec![1, 2, 7, 7, 0, 0, 1, specification];
        unsigned(column.len(), &mut body);
        body.extend(column);
        let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 0];
        unsigned(body.len(), &mut bytes);
        bytes.extend(body);
        let hash = sha256(&bytes[8..]);
        bytes[4..8].copy_from_slice(&hash[..4]);
        let start = std::time::Instant::now();
        assert_eq!(changes_of(&bytes), Err(DocumentError::Malformed("no Automerge document, or one over the limits")));
        assert!(start.elapsed().as_secs() < 20);
    }
    let too_large = vec![0; sync_document::limits::FILE_BYTES_MAX + 1];
    assert_eq!(changes_of(&too_large), Err(DocumentError::TooLarge("an Automerge file")));
}

/// Changes whose dependencies never come wait within a bound, and what came before it is not disturbed.
#[test]
fn what_waits_is_bounded() {
    let mut device = Device::new([1; 16]);
    let mut random = Random(10);
    device.edit(&mut random);
    device.commit();
    let first = device.log.len();
    let mut bytes = vec![7; 400 * 1024];
    let waiting = 2 + sync_document::limits::WAITING_BYTES_MAX / bytes.len();
    for round in 0..=waiting {
        bytes[0] = round as u8;
        let value = sync_document::NewValue::Scalar(ScalarValue::Bytes(bytes.clone()));
        let target = sync_document::Target::Object(sync_document::automerge::ROOT);
        device.document.record(vec![sync_document::Operation::Put(target, key("x"), value)]).expect("recorded");
        let commit = device.document.commit(round as i64, None).expect("commits").expect("a change");
        device.log.push(commit.change.bytes);
    }
    let (mut document, _) = Document::open(&Opening { actor: [2; 16], ..Opening::default() }).expect("opens");
    let orphans: Vec<&[u8]> = device.log[first + 1..].iter().map(Vec::as_slice).collect();
    let applied = document.apply(&orphans).expect("an answer");
    assert!(applied.skipped.iter().all(|skipped| skipped.reason == SkipReason::TooManyWait));
    assert_eq!(applied.waiting + applied.skipped.len(), orphans.len());
    assert!(!applied.skipped.is_empty() && applied.waiting > 10);
    // Opened from the log, where all is there, nothing is missing.
    let payloads = device.log.iter().map(Vec::as_slice).collect();
    let (document, applied) =
        Document::open(&Opening { actor: [2; 16], payloads, ..Opening::default() }).expect("opens");
    assert_eq!((applied.waiting, applied.skipped.len()), (0, 0));
    assert_eq!(document.value(), device.document.value());
}

/// LEB128.
fn unsigned(mut value: usize, into: &mut Vec<u8>) {
    while value > 0x7f {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

/// Runs of columns that stand for billions of operations are seen before anyone counts them.
#[test]
fn a_few_bytes_do_not_make_much_work() {
    let device = history(7);
    let honest = device.log.last().expect("some");
    let change = read_change(honest).expect("honest");
    let mut column = vec![];
    // A delta column whose one run has 2^40 rows.
    column.extend([0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0x01]);
    let mut body = vec![0];
    body.push(16);
    body.extend(change.actor_id().to_bytes());
    body.extend([9, 200, 1, 0, 0, 0, 1, 19, column.len() as u8]);
    body.extend(column);
    let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 1, body.len() as u8];
    bytes.extend(body);
    let hash = sha256(&bytes[8..]);
    bytes[4..8].copy_from_slice(&hash[..4]);
    let start = std::time::Instant::now();
    assert!(read_change(&bytes).is_err());
    assert!(start.elapsed().as_millis() < 100);
}

/// SHA-256 (FIPS 180-4), to make right checksums.
fn sha256(data: &[u8]) -> [u8; 32] {
    let primes = || (2u32..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
    let root = |n: u32, power: f64| ((f64::from(n).powf(power).fract()) * 4_294_967_296.0) as u32;
    let k: Vec<u32> = primes().take(64).map(|n| root(n, 1.0 / 3.0)).collect();
    let mut h: Vec<u32> = primes().take(8).map(|n| root(n, 0.5)).collect();
    let mut padded = data.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64) + if padded.len() % 64 > 56 { 64 } else { 0 } - 8, 0);
    padded.extend((data.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut w: Vec<u32> = block.chunks(4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]])).collect();
        for i in 16..64 {
            let s0 = w[i - 15].rotate_right(7) ^ w[i - 15].rotate_right(18) ^ (w[i - 15] >> 3);
            let s1 = w[i - 2].rotate_right(17) ^ w[i - 2].rotate_right(19) ^ (w[i - 2] >> 10);
            w.push(w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]).wrapping_add(s1));
        }
        let mut v = h.clone();
        for i in 0..64 {
            let s1 = v[4].rotate_right(6) ^ v[4].rotate_right(11) ^ v[4].rotate_right(25);
            let choice = (v[4] & v[5]) ^ (!v[4] & v[6]);
            let t1 = v[7].wrapping_add(s1).wrapping_add(choice).wrapping_add(k[i]).wrapping_add(w[i]);
            let s0 = v[0].rotate_right(2) ^ v[0].rotate_right(13) ^ v[0].rotate_right(22);
            let t2 = s0.wrapping_add((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
            v.rotate_right(1);
            v[4] = v[4].wrapping_add(t1);
            v[0] = t1.wrapping_add(t2);
        }
        h.iter_mut().zip(v).for_each(|(h, v)| *h = h.wrapping_add(v));
    }
    let mut hash = [0; 32];
    hash.chunks_mut(4).zip(h).for_each(|(out, h)| out.copy_from_slice(&h.to_be_bytes()));
    hash
}
