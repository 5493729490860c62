//! The embedded log store without sockets: the second floor. Appends events of 200 bytes to 1,000 streams, one batch at a
//! time, each batch synced before the next; then reads one stream of 100,000 events, once from memory, where the tail of all
//! logs is, and once from the file, where all but the last of it was folded into chunks.

use bytes::Bytes;
use relay_server::log_store::embedded::{EmbeddedLog, Options};
use relay_server::log_store::{Log, LogReader, Reply, Request};
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};
use sync_core::digest;
use sync_core::event::{Content, Kind};
use sync_core::ids::*;
use sync_core::relay::store::*;

const STREAMS: usize = 1_000;
const PAYLOAD_BYTES: usize = 200;
/// Bytes of a generation of the tail, so that nearly all of 21 MB is folded; the usual one holds them all.
const SMALL_GENERATION_BYTES: usize = 1 << 20;

/// Measures and prints a line each.
pub fn print(folder: &Path, seconds: u64) -> Result<(), Box<dyn Error + Send + Sync>> {
    let folder = folder.join("store-alone");
    for batch in [1, 10, 100, 1000] {
        let measured = appends(&folder, batch, Duration::from_secs(seconds));
        std::fs::remove_dir_all(&folder)?;
        println!("log store alone, {}", measured?);
    }
    let usual = Options::new([1; 32]);
    let small = Options { generation_bytes_max: SMALL_GENERATION_BYTES, ..usual.clone() };
    for (place, options) in [("memory", usual), ("the file", small)] {
        let measured = read_of_100_000(&folder, &options);
        std::fs::remove_dir_all(&folder)?;
        println!("log store alone, reading from {place}: {}", measured?);
    }
    Ok(())
}

/// A producer of its own in each stream.
struct Author {
    stream: StreamName,
    last: Sequence,
    tag: Tag,
}

impl Author {
    fn new(number: usize) -> Result<Author, InvalidName> {
        Ok(Author { stream: StreamName::new(&format!("bench/{number}"))?, last: 0, tag: Tag::ZERO })
    }
    fn append(&mut self, events: usize) -> Append {
        let (first, tag_before) = (self.last + 1, self.tag);
        let payload = Bytes::from(vec![b'x'; PAYLOAD_BYTES]);
        let content = Content { kind: Kind::Application, time: first, payload }.encode();
        let items = (0..events).map(|_| {
            (self.last, self.tag) = (self.last + 1, digest::tag(self.tag, &content));
            let body = Body::Event { content: content.clone(), causes: vec![], needs: None };
            AppendItem { tag: self.tag, body }
        });
        let items = items.collect();
        let (stream, producer) = (self.stream.clone(), ProducerId([7; 16]));
        Append { stream, epoch: None, producer, first, tag_before, origin: tag_before, author: None, items }
    }
}

fn commit(log: &mut EmbeddedLog, appends: Vec<Append>) -> Result<(), StoreError> {
    let requests = appends.into_iter().map(Request::Append).collect();
    for reply in log.commit(requests).replies {
        if let Reply::Append(appended) = reply {
            appended?;
        }
    }
    Ok(())
}

fn appends(folder: &Path, batch: usize, duration: Duration) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut log = EmbeddedLog::open(folder, Options::new([1; 32]))?;
    let mut authors = (0..STREAMS).map(Author::new).collect::<Result<Vec<_>, _>>()?;
    commit(&mut log, authors.iter_mut().map(|author| author.append(1)).collect())?;
    let (mut events, mut next, mut slowest) = (0, 0, Duration::ZERO);
    let start = Instant::now();
    while start.elapsed() < duration {
        let appends = (0..batch).map(|_| {
            // Spread, so that neighbours in time are not neighbours among the streams.
            next = (next + 617) % STREAMS;
            authors[next].append(1)
        });
        let appends = appends.collect();
        let began = Instant::now();
        commit(&mut log, appends)?;
        slowest = slowest.max(began.elapsed());
        events += batch;
    }
    let rate = events as f64 / start.elapsed().as_secs_f64();
    Ok(format!("batches of {batch:>4}: {rate:>9.0} durable events/s, slowest batch {slowest:.1?}"))
}

fn read_of_100_000(folder: &Path, options: &Options) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut log = EmbeddedLog::open(folder, options.clone())?;
    let mut author = Author::new(0)?;
    for _ in 0..1_000 {
        commit(&mut log, vec![author.append(100)])?;
    }
    drop(log);
    let began = Instant::now();
    let log = EmbeddedLog::open(folder, options.clone())?;
    let opened = began.elapsed();
    let mut reader = log.reader()?;
    let resume =
        ResumeRequest { stream: author.stream.clone(), producer: ProducerId([7; 16]), settled: 1, check_at: None };
    let epoch = reader.resume(&resume)?.epoch;
    let began = Instant::now();
    let (mut after, mut bytes) = (Offset::ZERO, 0);
    loop {
        let request = ReadRequest { stream: author.stream.clone(), epoch, after, bytes_max: 64 * 1024 };
        let ReadAnswer::Batch(batch) = reader.read(&request)? else { return Err("the log is gone".into()) };
        if batch.runs.is_empty() {
            break;
        }
        bytes += batch.runs.iter().map(|run| run.bytes.len()).sum::<usize>();
        after = batch.upto.offset();
    }
    let took = began.elapsed();
    Ok(format!("{} events, {bytes} bytes, of one stream: {took:.1?}; opening before it: {opened:.1?}", after.0))
}
