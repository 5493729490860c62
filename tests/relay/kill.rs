//! SIGKILL at random moments: what was acknowledged is there after the restart, once and in order.

use crate::client::*;
use crate::process::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use sync_core::digest::Random;
use sync_core::event::Event;
use sync_core::ids::*;
use sync_core::wire::*;

const ROUNDS: u64 = 20;
const CONNECTIONS: u64 = 50;
const STREAMS: u64 = 5;

/// One of the fifty, over all rounds.
struct Writer {
    author: Author,
    /// Every sequence up to here was acknowledged.
    acknowledged: Sequence,
}

impl Writer {
    fn new(number: u64) -> Writer {
        let author = Author::new(&format!("s/{}", number % STREAMS), producer(number));
        Writer { author, acknowledged: 0 }
    }
    fn content(&self, sequence: Sequence) -> bytes::Bytes {
        content(&format!("{}:{sequence}", self.author.producer))
    }
    /// Publishes until the connection ends. Counts what is acknowledged in `acknowledgements`.
    async fn write(mut self, address: String, acknowledgements: Arc<AtomicU64>) -> Writer {
        let producer = self.author.producer;
        let mut client = Client::open(&address).await;
        client.producer = producer;
        client.say(hello(producer)).await;
        let stream = self.author.stream.clone();
        let Ok(subscribed) = client.subscribe(&stream).await else { return self };
        let known = subscribed.known;
        assert!(
            known.last >= self.acknowledged,
            "{producer}: {} was acknowledged, {} is there",
            self.acknowledged,
            known.last
        );
        assert_eq!(self.author.tags.get(known.last as usize), Some(&known.tag), "the relay has what was sent");
        self.author.tags.truncate(known.last as usize + 1);
        loop {
            let next = self.author.tags.len() as u64;
            let contents: Vec<_> = (next..next + 1 + next % 3).map(|sequence| self.content(sequence)).collect();
            let last = next + contents.len() as u64 - 1;
            client.say(self.author.publish(contents)).await;
            while self.acknowledged < last {
                match client.hear().await {
                    Ok(Down::Accepted { producer: whose, last, .. }) if whose == producer => {
                        self.acknowledged = last;
                        acknowledgements.fetch_add(1, Relaxed);
                    }
                    Ok(Down::Events(events)) => {
                        client.say(Up::Applied { stream: events.stream, cursor: events.upto }).await;
                    }
                    Ok(other) => assert!(matches!(other, Down::Subscribed(_)), "{other:?}"),
                    Err(_) => return self,
                }
            }
        }
    }
    /// Everything acknowledged is in the log once, in order, with its own content.
    fn check(&self, log: &[Event]) {
        let mine: Vec<&Event> = log.iter().filter(|event| event.id.producer == self.author.producer).collect();
        for (index, event) in mine.iter().enumerate() {
            assert_eq!(event.id.sequence, index as u64 + 1, "none missing, none twice");
            assert_eq!(event.content, self.content(event.id.sequence));
        }
        assert!(mine.len() as u64 >= self.acknowledged, "{} acknowledged, {} there", self.acknowledged, mine.len());
    }
}

/// Promise 2 and 4. (That the bytes were synced and not only written, a kill cannot show: the recording file layer does.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_missing_or_double_after_a_kill() {
    let folder = Folder::new();
    let mut random = Random::new([4; 32]);
    let mut writers: Vec<Writer> = (1..=CONNECTIONS).map(Writer::new).collect();
    let mut total = 0;
    for round in 1..=ROUNDS {
        let relay = Relay::start(&folder, &[]);
        let acknowledgements = Arc::new(AtomicU64::new(0));
        let running: Vec<_> = writers
            .into_iter()
            .map(|writer| tokio::spawn(writer.write(relay.address.clone(), acknowledgements.clone())))
            .collect();
        // The moment is a number of acknowledgements, so that every round has work under way, and then a random while.
        let wanted = random.below(400) + 1;
        let enough = async {
            while acknowledgements.load(Relaxed) < wanted {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), enough).await.expect("the relay acknowledges");
        tokio::time::sleep(Duration::from_micros(random.below(20_000))).await;
        relay.kill();
        writers = vec![];
        for writer in running {
            writers.push(writer.await.expect("no writer fails"));
        }
        let relay = Relay::start(&folder, &[]);
        let mut logs: BTreeMap<String, Vec<Event>> = BTreeMap::new();
        let mut reader = Client::connect(&relay.address, producer(1_000)).await;
        for stream in (0..STREAMS).map(|number| format!("s/{number}")) {
            let log = reader.read_all(&stream).await.expect("open");
            assert!(log.windows(2).all(|pair| pair[0].offset < pair[1].offset));
            logs.insert(stream, log);
        }
        writers.iter().for_each(|writer| writer.check(&logs[&writer.author.stream]));
        total = logs.values().map(Vec::len).sum();
        relay.kill();
        eprintln!("round {round}: {} acknowledgements, {total} events in the log", acknowledgements.load(Relaxed));
    }
    assert!(total as u64 > ROUNDS, "the rounds have written");
}
