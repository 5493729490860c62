//! `cargo xtask replay [FILE...]`: plays editing traces through real devices, sockets and the real relay, one device an
//! agent and one that only reads, with connections cut and the relay killed on the way. Every device's text must end as
//! the trace says.
//!
//! Without files: the small traces beside this program, and where `TIDELOG_TRACES` names a folder, `friendsforever` and
//! the first 10,000 transactions of `rustcode` from it.

#[path = "../native/mod.rs"]
mod native;
mod trace;

use bytes::Bytes;
use native::device::NativeDevice;
use native::relay::RelayProcess;
use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use sync_core::device::{Append, Input, Notice};
use sync_core::digest::Random;
use sync_core::event::{Content, Kind};
use sync_core::ids::StreamName;
use sync_document::automerge::{ChangeHash, ObjId, Prop};
use sync_document::{Commit, Document, Opening, Operation, Target, Value, read_change};
use trace::{Trace, Transaction};

/// Writes that an agent may have under way: a person types no faster than this either.
const UNDER_WAY_MAX: u64 = 64;
/// Payloads that a page takes in one frame.
const FRAME_PAYLOADS_MAX: usize = 200;
/// Without any progress for so long the run has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The text's key in the document.
const KEY: &str = "text";

/// One person: a device and the document on it.
struct Agent {
    device: NativeDevice,
    doc: Document,
    text: ObjId,
    /// Payloads that came and are not applied yet.
    inbox: Vec<(ChangeHash, Bytes)>,
    writes: u64,
    accepted: u64,
    replayed: usize,
    batched: usize,
}

impl Agent {
    fn new(
        number: usize,
        seed: u64,
        relay: &RelayProcess,
        stream: &StreamName,
        start: &str,
    ) -> Result<Agent, Box<dyn Error>> {
        let mut words = [0; 32];
        words[..8].copy_from_slice(&seed.to_be_bytes());
        words[8] = number as u8;
        let mut random = Random::new(words);
        let mut device_seed = [0; 32];
        device_seed[..16].copy_from_slice(&random.bytes());
        let defaults = vec![(KEY.to_string(), Value::Text(start.to_string()))];
        // Of two characters typed at one place at once the one of the higher actor comes first: agents keep their order.
        let mut actor = random.bytes();
        actor[0] = number as u8;
        let (doc, _) = Document::open(&Opening { actor, defaults, ..Opening::default() })?;
        let (text, _) = doc.find(&[Prop::Map(KEY.into())]).ok_or("the defaults hold the text")?;
        let device = NativeDevice::start(device_seed, relay.address.clone(), stream.clone());
        Ok(Agent { device, doc, text, inbox: vec![], writes: 0, accepted: 0, replayed: 0, batched: 0 })
    }

    /// Takes what the device says; waits for the first of it.
    async fn hear(&mut self) -> Result<(), Box<dyn Error>> {
        let first = tokio::time::timeout(PATIENCE, self.device.notices.recv()).await;
        let mut next = first.map_err(|_| "no progress for a minute")?;
        while let Some(notice) = next {
            match notice {
                Notice::Applied { events, .. } => {
                    for event in events {
                        let payload = Content::decode(&event.content)?.payload;
                        self.inbox.push((read_change(&payload)?.hash(), payload));
                    }
                }
                Notice::Accepted { ids, .. } => self.accepted += ids.len() as u64,
                Notice::Rejected { .. } | Notice::Failed { .. } => return Err(format!("{notice:?}").into()),
                _ => {}
            }
            next = self.device.notices.try_recv().ok();
        }
        Ok(())
    }

    /// Applies the first `count` of what came.
    fn apply(&mut self, count: usize) -> Result<(), Box<dyn Error>> {
        let inbox: Vec<(ChangeHash, Bytes)> = self.inbox.drain(..count).collect();
        let payloads: Vec<&[u8]> = inbox.iter().map(|(_, payload)| &payload[..]).collect();
        let applied = self.doc.apply(&payloads)?;
        self.replayed += applied.replayed;
        self.batched += applied.batched;
        match applied.skipped.is_empty() && applied.rebuilt == 0 {
            true => Ok(()),
            false => Err(format!("a document would not take its log: {:?}", applied.skipped).into()),
        }
    }

    /// Waits until the document holds these changes, and applies no more than it must: who wrote next had no more.
    async fn wait_for(&mut self, hashes: &[ChangeHash]) -> Result<(), Box<dyn Error>> {
        for hash in hashes {
            while !self.doc.holds(hash) {
                match self.inbox.iter().position(|(held, _)| held == hash) {
                    Some(at) => self.apply(at + 1)?,
                    None => self.hear().await?,
                }
            }
        }
        Ok(())
    }

    /// Applies all that came, in parts of what a page takes in one frame.
    async fn read_to(&mut self, hashes: &[ChangeHash]) -> Result<(), Box<dyn Error>> {
        for hash in hashes {
            while !self.doc.holds(hash) {
                if self.inbox.is_empty() {
                    self.hear().await?;
                }
                self.apply(self.inbox.len().min(FRAME_PAYLOADS_MAX))?;
            }
        }
        Ok(())
    }

    /// Makes the transaction at the heads its author had.
    fn write(
        &mut self,
        stream: &StreamName,
        txn: &Transaction,
        parents: &[ChangeHash],
    ) -> Result<ChangeHash, Box<dyn Error>> {
        let target = || Target::Object(self.text.clone());
        let splice = |(at, del, text): &(usize, usize, String)| Operation::Splice(target(), *at, *del, text.clone());
        let operations: Vec<Operation> = txn.patches.iter().map(splice).collect();
        let mut heads = self.doc.heads();
        let mut wanted = parents.to_vec();
        heads.sort();
        wanted.sort();
        let commit = if heads == wanted {
            self.doc.record(operations)?;
            self.doc.commit(0, None)?
        } else {
            self.doc.change_at(&wanted, &operations, 0, None)?.map(|(commit, _)| commit)
        };
        let Commit { change, first } = commit.ok_or("a transaction that changes nothing")?;
        let hash = change.hash;
        for payload in first.into_iter().chain([change]) {
            self.writes += 1;
            let (write, payload) = (self.writes, payload.bytes.into());
            let stream = stream.clone();
            let append = Append { write, stream, kind: Kind::Change, time: 0, payload, dependent: true };
            self.device.input(Input::Append(append));
        }
        Ok(hash)
    }
}

/// How a run is disturbed.
struct Chaos {
    random: Random,
    cut_every: u64,
    kill_every: u64,
    cuts: u32,
    kills: u32,
}

impl Chaos {
    async fn maybe(&mut self, agents: &[Agent], relay: &mut RelayProcess) -> Result<(), Box<dyn Error>> {
        if self.random.below(self.cut_every) == 0 {
            self.cuts += 1;
            agents[self.random.below(agents.len() as u64) as usize].device.cut();
        }
        if self.random.below(self.kill_every) == 0 {
            self.kills += 1;
            relay.kill_and_restart().await?;
        }
        Ok(())
    }
}

async fn play(name: &str, trace: &Trace, seed: u64) -> Result<(), Box<dyn Error>> {
    let begin = Instant::now();
    let data = std::env::temp_dir().join(format!("tidelog-replay-{}-{seed}", std::process::id()));
    let mut relay = RelayProcess::start(&data, "127.0.0.1:0").await?;
    let stream = StreamName::new(&format!("traces/{name}"))?;
    // The last one only reads: what it applies came from others.
    let agents = (0..=trace.num_agents).map(|n| Agent::new(n, seed, &relay, &stream, &trace.start_content));
    let mut agents = agents.collect::<Result<Vec<Agent>, _>>()?;
    let base = agents[0].doc.heads();
    let every = |times: u64| (trace.txns.len() as u64 / times).max(1);
    let random = Random::new([seed as u8; 32]);
    let mut chaos = Chaos { random, cut_every: every(100), kill_every: every(5), cuts: 0, kills: 0 };
    let mut hashes: Vec<ChangeHash> = Vec::with_capacity(trace.txns.len());
    for (index, txn) in trace.txns.iter().enumerate() {
        let parents: Vec<ChangeHash> = txn.parents.iter().flatten().map(|p| hashes[*p]).collect();
        let parents = if parents.is_empty() { base.clone() } else { parents };
        let agent = &mut agents[txn.agent];
        agent.wait_for(&parents).await?;
        while agent.writes - agent.accepted.min(agent.writes) > UNDER_WAY_MAX {
            agent.hear().await?;
        }
        hashes.push(agent.write(&stream, txn, &parents)?);
        chaos.maybe(&agents, &mut relay).await?;
        if (index + 1) % 5000 == 0 {
            eprintln!(
                "  {name}: {} of {} transactions, {:.0} s",
                index + 1,
                trace.txns.len(),
                begin.elapsed().as_secs_f32()
            );
        }
    }
    let (mut replayed, mut batched) = (0, 0);
    for (number, agent) in agents.iter_mut().enumerate() {
        agent.read_to(&hashes).await?;
        if agent.doc.text(&agent.text).as_deref() != Some(&trace.end_content) {
            return Err(format!("{name}: the text of device {number} is not what the trace ends with").into());
        }
        replayed += agent.replayed;
        batched += agent.batched;
    }
    std::fs::remove_dir_all(&data)?;
    println!(
        "{name}: {} transactions on {} devices equal; {} connections cut, relay killed {} times; remote changes: {replayed} replayed, {batched} in batches; {:.1} s",
        trace.txns.len(),
        agents.len(),
        chaos.cuts,
        chaos.kills,
        begin.elapsed().as_secs_f32()
    );
    Ok(())
}

/// A file to play, and how many transactions of it if not all.
type Played = (PathBuf, Option<usize>);

/// What is played when nothing is named.
fn default_files() -> Result<Vec<Played>, Box<dyn Error>> {
    let mut files = vec![];
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/replay/traces"))? {
        files.push((entry?.path(), None));
    }
    files.sort();
    if let Some(folder) = std::env::var_os("TIDELOG_TRACES").map(PathBuf::from) {
        files.push((folder.join("friendsforever.json.gz"), None));
        files.push((folder.join("rustcode.json.gz"), Some(10_000)));
    }
    Ok(files)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut seed = 1;
    let mut transactions = None;
    let mut files = vec![];
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seed" => seed = args.next().ok_or("--seed takes a number")?.parse()?,
            "--transactions" => transactions = Some(args.next().ok_or("--transactions takes a number")?.parse()?),
            "--help" => {
                println!("replay [--seed N] [--transactions N] [FILE.json.gz...]");
                return Ok(());
            }
            file => files.push((PathBuf::from(file), transactions)),
        }
    }
    if files.is_empty() {
        files = default_files()?;
    }
    for (path, transactions) in files {
        let trace = Trace::read(&path, transactions)?;
        let stem = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.split('.').next()).unwrap_or("trace");
        play(stem, &trace, seed).await?;
    }
    Ok(())
}
