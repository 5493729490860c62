//! What is measured, the same way for the relay and for the floor. A ratio above 1 means that the relay is better.

use crate::client::{Brought, Client, Server};
use crate::process::Process;
use bytes::Bytes;
use std::fmt;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// An error of any kind: a measure that fails ends the run.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Bytes of one event's payload.
const PAYLOAD_BYTES: usize = 200;

/// Against what a measure runs.
pub struct Setting<'a> {
    pub server: Server,
    pub process: &'a Process,
}

/// What came out.
pub struct Outcome {
    pub value: f64,
    pub unit: &'static str,
    pub more_is_better: bool,
    /// Server CPU seconds for 1,000 events delivered (or acknowledged, where nobody listens).
    pub cpu_per_1000: Option<f64>,
    /// The 99th percentile beside a median.
    pub p99: Option<f64>,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.p99 {
            Some(p99) => write!(f, "{:.2} {} (p99 {p99:.2})", self.value, self.unit),
            None if self.value >= 100.0 => write!(f, "{:.0} {}", self.value, self.unit),
            None => write!(f, "{:.2} {}", self.value, self.unit),
        }
    }
}

/// One measure and its size.
pub enum Measure {
    Publish { producers: u64, time: Duration },
    FanOut { subscribers: u64, time: Duration },
    Rooms { rooms: u32, time: Duration },
    CatchUp { events: u64 },
    Idle { connections: u64 },
    Latency { time: Duration },
}

impl Measure {
    pub fn all(seconds: u64) -> Vec<Measure> {
        let time = Duration::from_secs(seconds);
        let mut all = vec![];
        all.extend([1, 200].map(|producers| Measure::Publish { producers, time }));
        all.extend([1, 100, 1000].map(|subscribers| Measure::FanOut { subscribers, time }));
        all.extend([200, 1000].map(|rooms| Measure::Rooms { rooms, time }));
        all.extend([20_000, 100_000].map(|events| Measure::CatchUp { events }));
        all.extend([2000, 5000].map(|connections| Measure::Idle { connections }));
        all.push(Measure::Latency { time });
        all
    }

    pub fn name(&self) -> String {
        match self {
            Measure::Publish { producers, .. } => format!("durable publishes, {producers} producers, 8 under way each"),
            Measure::FanOut { subscribers, .. } => format!("fan-out, {subscribers} subscribers, 10 producers"),
            Measure::Rooms { rooms, .. } => format!("{rooms} streams, 2 devices each, closed loop"),
            Measure::CatchUp { events } => format!("late joiner, {events} events"),
            Measure::Idle { connections } => format!("memory of a connection, {connections} idle"),
            Measure::Latency { .. } => "latency at 20 edits a second, one writer, one reader".into(),
        }
    }

    pub async fn run(&self, setting: &Setting<'_>) -> Result<Outcome> {
        match self {
            Measure::Publish { producers, time } => publish(setting, *producers, *time).await,
            Measure::FanOut { subscribers, time } => fan_out(setting, *subscribers, *time).await,
            Measure::Rooms { rooms, time } => self::rooms(setting, *rooms, *time).await,
            Measure::CatchUp { events } => catch_up(setting, *events).await,
            Measure::Idle { connections } => idle(setting, *connections).await,
            Measure::Latency { time } => latency(setting, *time).await,
        }
    }
}

fn payload() -> Bytes {
    vec![b'x'; PAYLOAD_BYTES].into()
}

impl Setting<'_> {
    async fn connect(&self, number: u64, room: u32) -> Result<Client> {
        Client::connect(self.server, &self.process.address, number, room).await
    }

    /// Events counted by `tasks` in the time, as a rate, and what they cost the server.
    async fn rate(&self, time: Duration, unit: &'static str, mut tasks: JoinSet<Result<u64>>) -> Result<Outcome> {
        let (cpu, begin) = (self.process.cpu_seconds(), Instant::now());
        let mut events = 0;
        while let Some(counted) = tasks.join_next().await {
            events += counted??;
        }
        // The tasks stop at the deadline; what they counted, they counted before.
        let seconds = begin.elapsed().min(time).as_secs_f64();
        let cpu = self.process.cpu_seconds() - cpu;
        Ok(Outcome {
            value: events as f64 / seconds,
            unit,
            more_is_better: true,
            cpu_per_1000: Some(cpu * 1000.0 / events.max(1) as f64),
            p99: None,
        })
    }
}

/// Publishes with so many events under way until the deadline; counts those acknowledged.
async fn produce(mut client: Client, under_way: u64, until: Instant) -> Result<u64> {
    let payload = payload();
    for _ in 0..under_way {
        client.publish(&payload, 1).await?;
    }
    let mut accepted = 0;
    while let Ok(brought) = tokio::time::timeout_at(until.into(), client.receive()).await {
        let brought = brought?;
        accepted += brought.accepted;
        for _ in 0..brought.accepted {
            client.publish(&payload, 1).await?;
        }
    }
    Ok(accepted)
}

async fn consume(mut client: Client, until: Instant) -> Result<u64> {
    let mut delivered = 0;
    while let Ok(brought) = tokio::time::timeout_at(until.into(), client.receive()).await {
        delivered += brought?.delivered;
    }
    Ok(delivered)
}

async fn publish(setting: &Setting<'_>, producers: u64, time: Duration) -> Result<Outcome> {
    let mut clients = vec![];
    // Each in a room of its own: what they hear is their own.
    for number in 0..producers {
        clients.push(setting.connect(number, number as u32).await?);
    }
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    clients.into_iter().for_each(|client| drop(tasks.spawn(produce(client, 8, until))));
    setting.rate(time, "acks/s", tasks).await
}

async fn fan_out(setting: &Setting<'_>, subscribers: u64, time: Duration) -> Result<Outcome> {
    let mut readers = vec![];
    for number in 0..subscribers {
        readers.push(setting.connect(1000 + number, 0).await?);
    }
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for number in 0..10 {
        let writer = setting.connect(number, 0).await?;
        tasks.spawn(async move { produce(writer, 8, until).await.map(|_| 0) });
    }
    readers.into_iter().for_each(|reader| drop(tasks.spawn(consume(reader, until))));
    setting.rate(time, "deliveries/s", tasks).await
}

/// Two devices a room: whoever hears of an edit makes the next.
async fn rooms(setting: &Setting<'_>, rooms: u32, time: Duration) -> Result<Outcome> {
    let mut pairs = vec![];
    for room in 0..rooms {
        let a = setting.connect(u64::from(room) * 2, room).await?;
        pairs.push((a, setting.connect(u64::from(room) * 2 + 1, room).await?));
    }
    let until = Instant::now() + time;
    let mut tasks = JoinSet::new();
    for (a, b) in pairs {
        tasks.spawn(volley(a, b, until));
    }
    setting.rate(time, "edits/s", tasks).await
}

async fn volley(mut a: Client, mut b: Client, until: Instant) -> Result<u64> {
    let payload = payload();
    let mut edits = 0;
    loop {
        a.publish(&payload, 1).await?;
        while let Ok(brought) = tokio::time::timeout_at(until.into(), b.receive()).await {
            if brought?.delivered > 0 {
                edits += 1;
                break;
            }
        }
        if Instant::now() >= until {
            return Ok(edits);
        }
        std::mem::swap(&mut a, &mut b);
    }
}

/// Fills a room, then measures from a newcomer's connect until it has everything.
async fn catch_up(setting: &Setting<'_>, events: u64) -> Result<Outcome> {
    let mut writer = setting.connect(0, 0).await?;
    let (mut sent, mut accepted) = (0, 0);
    while accepted < events {
        while sent < events && sent - accepted < 2000 {
            let batch = 100.min(events - sent);
            writer.publish(&payload(), batch).await?;
            sent += batch;
        }
        accepted += writer.receive().await?.accepted;
    }
    let mut times = vec![];
    let cpu = setting.process.cpu_seconds();
    const JOINERS: u64 = 5;
    for joiner in 0..JOINERS {
        let begin = Instant::now();
        let mut reader = setting.connect(10 + joiner, 0).await?;
        let mut delivered = 0;
        while delivered < events {
            delivered += tokio::time::timeout(Duration::from_secs(60), reader.receive()).await??.delivered;
        }
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let cpu = (setting.process.cpu_seconds() - cpu) * 1000.0 / (events * JOINERS) as f64;
    times.sort_by(f64::total_cmp);
    Ok(Outcome { value: times[times.len() / 2], unit: "ms", more_is_better: false, cpu_per_1000: Some(cpu), p99: None })
}

async fn idle(setting: &Setting<'_>, connections: u64) -> Result<Outcome> {
    // The first ones pay for what is there once.
    let mut clients = vec![];
    for number in 0..50 {
        clients.push(setting.connect(number, number as u32).await?);
    }
    let before = setting.process.resident_bytes();
    for number in 0..connections {
        clients.push(setting.connect(100 + number, (number % 1000) as u32).await?);
    }
    let bytes = setting.process.resident_bytes().saturating_sub(before) as f64 / connections as f64;
    Ok(Outcome { value: bytes / 1024.0, unit: "KB", more_is_better: false, cpu_per_1000: None, p99: None })
}

/// From the writer's send to the reader's receipt, one clock.
async fn latency(setting: &Setting<'_>, time: Duration) -> Result<Outcome> {
    let mut writer = setting.connect(0, 0).await?;
    let mut reader = setting.connect(1, 0).await?;
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let reading = tokio::spawn(async move {
        loop {
            match reader.receive().await {
                Ok(Brought { delivered: 0, .. }) => {}
                Ok(_) if arrived.send(Instant::now()).is_ok() => {}
                _ => return,
            }
        }
    });
    let (cpu, mut times) = (setting.process.cpu_seconds(), vec![]);
    let until = Instant::now() + time.max(Duration::from_secs(10));
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while Instant::now() < until {
        tick.tick().await;
        let sent = Instant::now();
        writer.publish(&payload(), 1).await?;
        let at = tokio::time::timeout(Duration::from_secs(5), arrivals.recv()).await?.ok_or("the reader ended")?;
        times.push((at - sent).as_secs_f64() * 1000.0);
    }
    reading.abort();
    let cpu = (setting.process.cpu_seconds() - cpu) * 1000.0 / times.len() as f64;
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize];
    Ok(Outcome { value: at(0.5), unit: "ms", more_is_better: false, cpu_per_1000: Some(cpu), p99: Some(at(0.99)) })
}
