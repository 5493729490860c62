//! `read-log FOLDER STREAM...`: what a relay's store file holds, as JSON, and what is wrong with it. Nobody else may use
//! the folder meanwhile.
//!
//! It believes nothing that the store could get wrong with itself: ids, order, the producers' chains and the log's check
//! are followed event by event, and a document is made of the log's changes from scratch.
//!
//! Out comes `{ problems: [text], streams: [{ name, head, events, refused, document }] }`. An event is `{ offset, id, kind,
//! payload }`, the payload being the JSON of an application event, or the hash of a change. `refused` is a list of ids,
//! `document` null or `{ value, heads, skipped, waiting }`.

use relay_server::log_store::embedded::{EmbeddedLog, EmbeddedReader, Options};
use relay_server::log_store::{Log, LogReader};
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::path::Path;
use sync_core::digest;
use sync_core::event::{Content, Event, Kind};
use sync_core::ids::{EventId, Offset, ProducerId, Sequence, StreamName, Tag};
use sync_core::relay::store::{ReadAnswer, ReadRequest, ResumeInfo, ResumeRequest};
use sync_core::wire::decode_run;
use sync_document::automerge::ScalarValue;
use sync_document::{Document, Opening, Value, read_change};

/// Small, so that a read is many batches and their seams are looked at.
const READ_BYTES: usize = 16 * 1024;

/// How the actors of a document's deterministic first changes begin (`sync-document/src/defaults.rs`).
const FIRST_PREFIX: [u8; 4] = [0; 4];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: read-log FOLDER STREAM...")?;
    let folder = Path::new(&folder);
    let mut problems = file_problems(folder)?;
    let log = EmbeddedLog::open(folder, Options::new([0; 32]))?;
    let mut reader = log.reader()?;
    let mut streams = vec![];
    for name in arguments {
        let name = StreamName::new(&name).map_err(|_| format!("{name} is no stream's name"))?;
        streams.push(read_stream(&mut reader, &name, &mut problems)?);
    }
    println!("{}", json!({ "problems": problems, "streams": streams }));
    Ok(())
}

/// What SQLite itself finds wrong with the file.
fn file_problems(folder: &Path) -> Result<Vec<String>> {
    let db = rusqlite::Connection::open(folder.join("log.sqlite"))?;
    let mut statement = db.prepare("PRAGMA integrity_check")?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(found.into_iter().filter(|said| said != "ok").collect())
}

fn read_stream(reader: &mut EmbeddedReader, name: &StreamName, problems: &mut Vec<String>) -> Result<Json> {
    let mut complain = |what: String| problems.push(format!("{name}: {what}"));
    let info = resume(reader, name, ProducerId([0; 16]))?;
    let events = read_events(reader, name, &info)?;
    check_order(&events, &mut complain);

    let mut check = digest::check_of_empty(info.epoch);
    for (index, event) in events.iter().enumerate() {
        check = digest::check(check, event.id, event.tag);
        let is_asked = index % 50 == 49 || index + 1 == events.len();
        if is_asked && reader.check(name, info.epoch, event.offset)? != Some(check) {
            complain(format!("the check at {} is not that of the events up to there", event.offset.0));
        }
    }
    if events.last().map_or(Offset::ZERO, |event| event.offset) != info.head {
        complain(format!("the head is {} and the last event is not there", info.head.0));
    }

    let producers: BTreeSet<ProducerId> = events.iter().map(|event| event.id.producer).collect();
    let logged: BTreeSet<EventId> = events.iter().map(|event| event.id).collect();
    let mut refused = vec![];
    for producer in producers {
        for refusal in resume(reader, name, producer)?.known.refused {
            let id = EventId { producer, sequence: refusal.sequence };
            if logged.contains(&id) {
                complain(format!("{id} is refused and in the log"));
            }
            refused.push(id.to_string());
        }
    }

    let mut shown = vec![];
    let mut changes: Vec<Vec<u8>> = vec![];
    let mut hashes = BTreeSet::new();
    for event in &events {
        let content = Content::decode(&event.content)?;
        let payload = match content.kind {
            Kind::Application => serde_json::from_slice(&content.payload)?,
            Kind::Change | Kind::Document => {
                let change = read_change(&content.payload)?;
                let hash = change.hash();
                // Every device that is the first to write brings the same first changes.
                let is_first = change.actor_id().to_bytes().starts_with(&FIRST_PREFIX);
                if !hashes.insert(hash) && !is_first {
                    complain(format!("the change {hash} is in the log twice, again as {}", event.id));
                }
                changes.push(content.payload.to_vec());
                json!(hash.to_string())
            }
        };
        let kind = content.kind as u8;
        shown.push(json!({ "offset": event.offset.0, "id": event.id.to_string(), "kind": kind, "payload": payload }));
    }
    let document = if changes.is_empty() { Json::Null } else { document(&changes)? };
    Ok(json!({
        "name": name.as_str(), "head": info.head.0, "events": shown, "refused": refused, "document": document,
    }))
}

fn resume(reader: &mut EmbeddedReader, name: &StreamName, producer: ProducerId) -> Result<ResumeInfo> {
    Ok(reader.resume(&ResumeRequest { stream: name.clone(), producer, settled: 1, check_at: None })?)
}

/// All events of a log, batch by batch.
fn read_events(reader: &mut EmbeddedReader, name: &StreamName, info: &ResumeInfo) -> Result<Vec<Event>> {
    let (mut events, mut after) = (vec![], Offset::ZERO);
    loop {
        let request = ReadRequest { stream: name.clone(), epoch: info.epoch, after, bytes_max: READ_BYTES };
        let ReadAnswer::Batch(batch) = reader.read(&request)? else {
            return Err(format!("{name}: the log cannot be read behind {}", after.0).into());
        };
        if batch.runs.is_empty() {
            return Ok(events);
        }
        for run in batch.runs {
            let run = decode_run(&run.bytes)?;
            events.extend(run.events(|_, _| None).ok_or("a stored run has no contents")?);
        }
        after = batch.upto.offset();
    }
}

/// Offsets rise, and each producer's events follow one another by sequence and tag.
fn check_order(events: &[Event], complain: &mut impl FnMut(String)) {
    let mut last: BTreeMap<ProducerId, (Sequence, Tag)> = BTreeMap::new();
    let mut offset = Offset::ZERO;
    for event in events {
        if event.offset <= offset {
            complain(format!("offset {} comes behind {}", event.offset.0, offset.0));
        }
        offset = event.offset;
        let before = last.insert(event.id.producer, (event.id.sequence, event.tag)).unwrap_or((0, Tag::ZERO));
        if event.id.sequence <= before.0 {
            complain(format!("{} comes behind sequence {}", event.id, before.0));
        }
        if event.prev != before {
            complain(format!("{} says that {:?} is before it, and it is {before:?}", event.id, event.prev));
        }
        if event.tag != digest::tag(event.tag_before, &event.content) {
            complain(format!("{} has another tag than its content", event.id));
        }
    }
}

/// The document that a log's changes make, opened at once as by a device that is new.
fn document(changes: &[Vec<u8>]) -> Result<Json> {
    let payloads = changes.iter().map(Vec::as_slice).collect();
    let (mut document, applied) = Document::open(&Opening { payloads, ..Opening::default() })?;
    let mut heads: Vec<String> = document.heads().iter().map(|hash| hash.to_string()).collect();
    heads.sort();
    let value = plain(&document.value());
    Ok(json!({ "value": value, "heads": heads, "skipped": applied.skipped.len(), "waiting": applied.waiting }))
}

/// A value as a page's snapshot shows it.
fn plain(value: &Value) -> Json {
    match value {
        Value::Text(text) => json!(text),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), plain(value))).collect::<serde_json::Map<_, _>>().into()
        }
        Value::Scalar(ScalarValue::Int(number)) => json!(number),
        Value::Scalar(ScalarValue::Uint(number)) => json!(number),
        Value::Scalar(ScalarValue::Boolean(is_set)) => json!(is_set),
        Value::Scalar(ScalarValue::Str(text)) => json!(text.as_str()),
        Value::Scalar(other) => json!(other.to_string()),
    }
}
