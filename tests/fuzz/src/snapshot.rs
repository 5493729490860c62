//! Snapshots on their way in parts, from a store through a real relay into a real device, with parts lost, repeated and
//! bent, and parts of a hostile relay among them.
//!
//! The device must not panic nor hold more than a snapshot may have. If nobody lied, what a reader gets in the end is the
//! snapshot, byte for byte, and the events behind it.

use crate::forge::{Forge, streams};
use crate::memory::within;
use crate::shell::Shell;
use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use sync_core::device::{Append, Input, Options, Page};
use sync_core::event::{Event, Kind};
use sync_core::ids::*;
use sync_core::relay::store::{ResumeRequest, Snapshot};
use sync_core::relay::{Answer, Request};
use sync_core::wire::{Down, Message, Record};

const BYTES_MAX: usize = 32 << 20;

/// Interprets the bytes as a snapshot, how it is cut, and what happens to it.
pub fn run(data: &[u8]) {
    within(BYTES_MAX, "a device with a snapshot", || {
        let _ = story(&mut Unstructured::new(data));
    });
}

fn story(bytes: &mut Unstructured<'_>) -> Result<()> {
    let [stream, ..] = streams();
    let mut shell = Shell::new(Options { relay: true, wants_token: false });
    // Own events that are in the snapshot, and the local log of one that was away since.
    if bytes.arbitrary()? {
        shell.give(Input::Open { stream: stream.clone() });
        shell.settle();
        write(&mut shell, &stream, bytes.int_in_range(0..=3)?);
        shell.settle();
        shell.lines.clear();
        // Never sent; the snapshot is made without them.
        write(&mut shell, &stream, bytes.int_in_range(0..=2)?);
    }
    let others = [ProducerId([1; 16]), ProducerId([2; 16])];
    for _ in 0..bytes.int_in_range(1..=6)? {
        let producer = *bytes.choose(&others)?;
        shell.write_elsewhere(&stream, producer, Bytes::from_static(b"event"));
    }
    let had = shell.device.stream_state(&stream).map_or(Offset::ZERO, |state| state.cursor);
    let whole = put_snapshot(&mut shell, &stream, bytes)?;
    if bytes.arbitrary()? {
        shell.restart(bytes.arbitrary()?, Options { relay: true, wants_token: false });
    } else {
        shell.give(Input::SocketClosed { socket: 1, code: None });
    }
    shell.give(Input::Open { stream: stream.clone() });
    let honest = disturb(&mut shell, bytes)?;
    for _ in 0..6 {
        shell.settle();
        shell.pass_time();
    }
    shell.settle();
    if honest {
        arrived(&mut shell, &stream, had, &whole);
    }
    Ok(())
}

fn write(shell: &mut Shell, stream: &StreamName, events: u64) {
    for write in 0..events {
        let (kind, payload) = (Kind::Application, Bytes::from_static(b"own"));
        shell.give(Input::Append(Append { write, stream: stream.clone(), kind, time: 0, payload, dependent: false }));
        // It is committed, whether or not somebody reads what it sends.
        while !shell.asks.is_empty() {
            shell.answer(0);
        }
    }
}

/// Cuts a snapshot into parts and puts it somewhere into the log.
fn put_snapshot(shell: &mut Shell, stream: &StreamName, bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let head = shell.store.memory.events(stream).len() as u64;
    let offset = Offset(bytes.int_in_range(1..=head)?);
    let (epoch, ..) = shell.store.known(stream, ProducerId::default());
    let ask = ResumeRequest {
        stream: stream.clone(),
        producer: ProducerId::default(),
        settled: 1,
        check_at: Some((epoch, offset)),
    };
    let Answer::Resume(Ok(info)) = shell.store.answer(&Request::Resume(ask)).0 else {
        unreachable!("a memory store answers what it is asked");
    };
    let mut records: Vec<Record> = vec![];
    for event in &shell.store.memory.events(stream)[..offset.0 as usize] {
        let (producer, logged) = (event.id.producer, (event.id.sequence, event.tag));
        records.retain(|record| record.producer != producer);
        records.push(Record { producer, logged, refused: vec![] });
    }
    let mut parts = vec![];
    for part in 0..bytes.int_in_range(1..=5)? {
        let large = bytes.ratio(1u8, 12u8)?;
        let length = if large { 70_000 } else { bytes.int_in_range(0..=50)? };
        parts.push(Bytes::from(vec![part; length]));
    }
    let whole = parts.concat();
    let check = info.check.expect("it is in the log");
    shell.store.snapshots.insert(stream.clone(), Snapshot { offset, check, parts, records });
    Ok(whole)
}

/// Frames come, or not, or others do. Whether nobody lied.
fn disturb(shell: &mut Shell, bytes: &mut Unstructured<'_>) -> Result<bool> {
    let mut honest = true;
    let mut old = vec![];
    while !bytes.is_empty() {
        let socket = shell.lines.keys().last().copied().unwrap_or(1);
        match bytes.int_in_range(0..=11)? {
            0..=2 if !shell.asks.is_empty() => shell.answer(0),
            0..=5 => {
                if let Some(frame) = shell.take_frame(socket) {
                    old.push(frame.clone());
                    shell.give(Input::Frame { socket, bytes: frame });
                }
            }
            6 => {
                shell.lines.remove(&socket);
                shell.give(Input::SocketClosed { socket, code: None });
            }
            7 => shell.pass_time(),
            8 => shell.restart(bytes.arbitrary()?, Options { relay: true, wants_token: false }),
            kind => {
                honest = false;
                let next = shell.take_frame(socket);
                let mut forge = Forge { seen: &shell.seen, bytes };
                let frame = match (kind, next) {
                    (9, Some(frame)) => forge.bent(&frame)?,
                    (10, _) if !old.is_empty() => forge.bytes.choose(&old)?.clone(),
                    _ => {
                        let mut part = forge.snapshot_part()?;
                        part.stream = streams()[0].clone();
                        Down::Snapshot(part).encode()
                    }
                };
                shell.give(Input::Frame { socket, bytes: frame });
            }
        }
    }
    Ok(honest)
}

/// A reader that begins at 0 gets the snapshot, unless the device `had` all that is in it, and the log behind it.
fn arrived(shell: &mut Shell, stream: &StreamName, had: Offset, whole: &[u8]) {
    shell.give(Input::Open { stream: stream.clone() });
    for _ in 0..4 {
        shell.settle();
        shell.pass_time();
    }
    let state = shell.device.stream_state(stream).expect("it is open");
    let head = shell.store.memory.events(stream).len() as u64;
    assert!(state.caught_up && state.cursor.0 == head, "the head is {head}: {state:?}");
    shell.pages.clear();
    let first = read(shell, stream, Offset::ZERO);
    let floor = shell.store.snapshots[stream].offset;
    match &first.snapshot {
        Some(snapshot) => assert!(snapshot == whole && first.after == floor, "the snapshot is another: {first:?}"),
        None => assert!(had >= floor && first.after == Offset::ZERO, "no snapshot for {had:?}, it ends at {floor:?}"),
    }
    let (behind, mut page) = (first.after.0 as usize, first);
    let mut shown = std::mem::take(&mut page.events);
    while page.more {
        page = read(shell, stream, page.upto);
        shown.append(&mut page.events);
    }
    let logged = &shell.store.memory.events(stream)[behind..];
    let what = |event: &Event| (event.offset, event.id, event.tag, event.content.clone());
    assert!(page.upto.0 == head && shown.iter().map(what).eq(logged.iter().map(what)), "{shown:?} is not {logged:?}");
}

/// The page behind a position.
fn read(shell: &mut Shell, stream: &StreamName, after: Offset) -> Page {
    shell.give(Input::Read { request: 1, stream: stream.clone(), after, bytes_max: usize::MAX });
    shell.settle();
    let page = shell.pages.pop().expect("it was asked for");
    assert!(shell.pages.is_empty(), "one page for one question");
    page
}
