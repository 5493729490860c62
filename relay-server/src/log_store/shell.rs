//! Threads around a store of this process: one that writes, a few that read. They make a [`LogStore`] of it.
//!
//! Group commit: whatever arrives while a commit is being synced forms the next one, up to a bound. So one sync serves
//! all who wait, and the store is as fast for a thousand producers as for one. What a commit answers reaches the runtime
//! as one message: one wake-up, however many wait for it.

use super::feed::Feed;
use super::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Requests of one commit.
const COMMIT_REQUESTS_MAX: usize = 8 * 1024;
/// Bytes of one commit: a small part of a second's writing, so that no request waits long for another's bytes.
const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Requests that wait for a commit. Beyond it: [`StoreError::Busy`].
const WAITING_REQUESTS_MAX: usize = 64 * 1024;
/// Bytes of requests that wait for a commit. Beyond it: [`StoreError::Busy`].
const WAITING_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Reads that wait for a reader. Beyond it: [`StoreError::Busy`].
const WAITING_READS_MAX: usize = 64 * 1024;

/// A [`LogStore`] on threads of this process. Closes when dropped: what was asked before is still done.
pub struct Store<L: Log> {
    // Closed by taking them, in `drop`.
    jobs: Option<SyncSender<Job<L>>>,
    reads: Option<SyncSender<Read<L::Reader>>>,
    waiting_bytes: Arc<AtomicUsize>,
    memory: Arc<dyn Memory>,
    feed: Arc<Feed>,
    limits: Limits,
    durability: Durability,
    threads: Vec<JoinHandle<()>>,
}

enum Job<L> {
    Commit(Request, Waiter),
    /// Anything else that writes: in its own transaction, in order with the commits.
    Change(Change<L>),
}

enum Waiter {
    Append(oneshot::Sender<Result<Appended, StoreError>>),
    Heal(oneshot::Sender<Result<Healed, StoreError>>),
}

/// What a commit brought, on its way to those who wait.
struct Told {
    replies: Vec<(Reply, Waiter)>,
    hints: Vec<Hint>,
}

/// Does it, answers, and returns what the feed tells of it.
type Change<L> = Box<dyn FnOnce(&mut L) -> Option<Hint> + Send>;
type Read<R> = Box<dyn FnOnce(&mut R) + Send>;

impl<L: Log> Store<L> {
    /// Starts the threads, and a task of the tokio runtime it is called in. `readers`: how many read at once, at least 1.
    pub fn start(log: L, readers: usize) -> Result<Store<L>, StoreError> {
        let (jobs, arriving) = sync_channel(WAITING_REQUESTS_MAX);
        let (reads, asked) = sync_channel::<Read<L::Reader>>(WAITING_READS_MAX);
        let (limits, durability, memory) = (log.limits(), log.durability(), log.memory());
        let (feed, waiting_bytes) = (Arc::new(Feed::default()), Arc::new(AtomicUsize::new(0)));
        let asked = Arc::new(Mutex::new(asked));
        let mut threads = vec![];
        for _ in 0..readers.max(1) {
            let (mut reader, asked) = (log.reader()?, asked.clone());
            threads.push(spawn("log-reader", move || serve_reads(&mut reader, &asked))?);
        }
        let (told, telling) = unbounded_channel();
        tokio::spawn(tell(telling, feed.clone()));
        let writer = Writer { log, arriving, waiting_bytes: waiting_bytes.clone(), told };
        threads.push(spawn("log-writer", move || writer.run())?);
        Ok(Store { jobs: Some(jobs), reads: Some(reads), waiting_bytes, memory, feed, limits, durability, threads })
    }

    fn commit<T: Send + 'static>(
        &self,
        request: Request,
        waiter: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Waiter,
    ) -> Answer<T> {
        let bytes = request.bytes();
        if self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed) > WAITING_BYTES_MAX {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return refused(StoreError::Busy);
        }
        let (tell, told) = oneshot::channel();
        match self.send(Job::Commit(request, waiter(tell))) {
            Ok(()) => later(told),
            Err(error) => {
                self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
                refused(error)
            }
        }
    }

    fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut L) -> Result<T, StoreError> + Send + 'static,
        hint: impl FnOnce(&T) -> Option<Hint> + Send + 'static,
    ) -> Answer<T> {
        let (tell, told) = oneshot::channel();
        let job = Job::Change(Box::new(move |log| {
            let answer = work(log);
            let hint = answer.as_ref().ok().and_then(hint);
            // Whoever asked may have gone.
            let _ = tell.send(answer);
            hint
        }));
        match self.send(job) {
            Ok(()) => later(told),
            Err(error) => refused(error),
        }
    }

    fn send(&self, job: Job<L>) -> Result<(), StoreError> {
        let jobs = self.jobs.as_ref().ok_or(StoreError::Busy)?;
        // Full, or its thread is gone: either way it was not written.
        jobs.try_send(job).map_err(|_| StoreError::Busy)
    }

    fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut L::Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let (tell, told) = oneshot::channel();
        let read: Read<L::Reader> = Box::new(move |reader| {
            // Whoever asked may have gone.
            let _ = tell.send(work(reader));
        });
        match self.reads.as_ref().map(|reads| reads.try_send(read)) {
            Some(Ok(())) => Box::pin(async move { told.await.unwrap_or(Err(StoreError::Busy)) }),
            Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) | None => refused(StoreError::Busy),
        }
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new().name(name.into()).spawn(work).map_err(|_| StoreError::Busy)
}

fn refused<T: Send + 'static>(error: StoreError) -> Answer<T> {
    Box::pin(std::future::ready(Err(error)))
}

fn told<T: Send + 'static>(answer: Result<T, StoreError>) -> Answer<T> {
    Box::pin(std::future::ready(answer))
}

/// The writer's answer. A writer that ended without one may have written.
fn later<T: Send + 'static>(told: oneshot::Receiver<Result<T, StoreError>>) -> Answer<T> {
    Box::pin(async move { told.await.unwrap_or(Err(StoreError::Unknown)) })
}

fn serve_reads<R>(reader: &mut R, asked: &Mutex<Receiver<Read<R>>>) {
    loop {
        let next = asked.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(read) = next else { return };
        read(reader);
    }
}

struct Writer<L: Log> {
    log: L,
    arriving: Receiver<Job<L>>,
    waiting_bytes: Arc<AtomicUsize>,
    /// Bounded by what may wait for a commit.
    told: UnboundedSender<Told>,
}

/// Tells what commits brought, until the writer ends and all is told.
async fn tell(mut telling: UnboundedReceiver<Told>, feed: Arc<Feed>) {
    while let Some(Told { replies, hints }) = telling.recv().await {
        for (reply, waiter) in replies {
            // Whoever asked may have gone.
            match (reply, waiter) {
                (Reply::Append(answer), Waiter::Append(tell)) => drop(tell.send(answer)),
                (Reply::Heal(answer), Waiter::Heal(tell)) => drop(tell.send(answer)),
                (Reply::Append(_), Waiter::Heal(_)) | (Reply::Heal(_), Waiter::Append(_)) => {
                    unreachable!("a log replies to each request, in order")
                }
            }
        }
        // Woken last, the feed's task runs first (tokio's last-in slot): an author finds answer and events together, and
        // both leave in one write.
        feed.push(hints);
    }
    feed.close();
}

impl<L: Log> Writer<L> {
    fn run(mut self) {
        let mut held = VecDeque::new();
        while let Some(job) = held.pop_front().or_else(|| self.arriving.recv().ok()) {
            match job {
                Job::Change(work) => {
                    let hints = work(&mut self.log).into_iter().collect();
                    self.tell(Told { replies: vec![], hints });
                }
                Job::Commit(request, waiter) => {
                    let (requests, waiters) = self.group(request, waiter, &mut held);
                    self.commit(requests, waiters);
                }
            }
        }
    }

    /// All that has arrived behind a request, up to the bounds of a commit.
    fn group(&self, request: Request, waiter: Waiter, held: &mut VecDeque<Job<L>>) -> (Vec<Request>, Vec<Waiter>) {
        let mut bytes = request.bytes();
        let (mut requests, mut waiters) = (vec![request], vec![waiter]);
        while requests.len() < COMMIT_REQUESTS_MAX && bytes < COMMIT_BYTES_MAX {
            match self.arriving.try_recv() {
                Ok(Job::Commit(request, waiter)) => {
                    bytes += request.bytes();
                    requests.push(request);
                    waiters.push(waiter);
                }
                Ok(change) => {
                    held.push_back(change);
                    break;
                }
                Err(_) => break,
            }
        }
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        (requests, waiters)
    }

    fn commit(&mut self, requests: Vec<Request>, waiters: Vec<Waiter>) {
        let Committed { replies, hints } = self.log.commit(requests);
        self.tell(Told { replies: replies.into_iter().zip(waiters).collect(), hints });
    }

    fn tell(&self, told: Told) {
        // A runtime that has ended has nobody left who waits.
        let _ = self.told.send(told);
    }
}

impl<L: Log> Drop for Store<L> {
    fn drop(&mut self) {
        (self.jobs, self.reads) = (None, None);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// What the feed tells of a log that was replaced.
fn replaced(stream: StreamName) -> impl FnOnce(&Epoch) -> Option<Hint> + Send {
    move |epoch| Some(Hint::NewEpoch { stream, epoch: *epoch })
}

impl<L: Log> LogStore for Store<L> {
    fn limits(&self) -> Limits {
        self.limits
    }
    fn durability(&self) -> Durability {
        self.durability
    }
    fn resume(&self, request: ResumeRequest) -> Answer<ResumeInfo> {
        match self.memory.resume(&request) {
            Some(info) => told(Ok(info)),
            None => self.ask(move |reader| reader.resume(&request)),
        }
    }
    fn append(&self, append: Append) -> Answer<Appended> {
        self.commit(Request::Append(append), Waiter::Append)
    }
    fn heal(&self, heal: HealRequest) -> Answer<Healed> {
        self.commit(Request::Heal(heal), Waiter::Heal)
    }
    fn offsets_of(&self, stream: StreamName, producer: ProducerId, sequences: SequenceRange) -> Answer<Placed> {
        if sequences.count as usize > self.limits.append_events_max {
            return refused(StoreError::TooLarge);
        }
        self.ask(move |reader| reader.offsets_of(&stream, producer, sequences))
    }
    fn read(&self, mut request: ReadRequest) -> Answer<ReadAnswer> {
        request.bytes_max = request.bytes_max.min(self.limits.read_bytes_max);
        match self.memory.read(&request) {
            Some(answer) => told(Ok(answer)),
            None => self.ask(move |reader| reader.read(&request)),
        }
    }
    fn check(&self, stream: StreamName, epoch: Epoch, offset: Offset) -> Answer<Option<Check>> {
        self.ask(move |reader| reader.check(&stream, epoch, offset))
    }
    fn follow(&self, stream: &StreamName) {
        self.feed.follow(stream);
    }
    fn unfollow(&self, stream: &StreamName) {
        self.feed.unfollow(stream);
    }
    fn next(&self) -> Pin<Box<dyn Future<Output = Vec<Hint>> + Send + '_>> {
        Box::pin(self.feed.next())
    }
    fn trim(&self, stream: StreamName, epoch: Epoch, upto: Offset) -> Answer<Offset> {
        self.change(move |log| log.trim(&stream, epoch, upto), |_| None)
    }
    fn put_snapshot(&self, stream: StreamName, epoch: Epoch, snapshot: Snapshot) -> Answer<SnapshotPut> {
        self.change(move |log| log.put_snapshot(&stream, epoch, &snapshot), |_| None)
    }
    fn snapshot(&self, stream: StreamName, producers: Vec<ProducerId>) -> Answer<Option<(Epoch, Snapshot)>> {
        self.ask(move |reader| reader.snapshot(&stream, &producers))
    }
    fn new_epoch(&self, stream: StreamName, current: Epoch) -> Answer<Epoch> {
        let name = stream.clone();
        self.change(move |log| log.new_epoch(&name, current), replaced(stream))
    }
    fn delete(&self, stream: StreamName) -> Answer<Epoch> {
        let name = stream.clone();
        self.change(move |log| log.delete(&name), replaced(stream))
    }
}
