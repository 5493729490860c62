//! The merged floor: the least that a relay with durable acknowledgements can do. A bare tokio-tungstenite server, one
//! log file, one fdatasync for all that has arrived, then one frame for each subscriber with all of that batch. It
//! checks nothing, orders nothing, forgets nothing and knows no producer.
//!
//! A frame to a client: events acknowledged (u32), events delivered (u32), the events.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig};

/// What a connection's task is to send.
type Outbox = mpsc::UnboundedSender<Bytes>;

struct Arrival {
    room: u32,
    author: u64,
    events: Bytes,
    count: u32,
}

#[derive(Default)]
struct Room {
    /// Everything so far, for late joiners.
    log: Vec<u8>,
    events: u32,
    subscribers: Vec<Outbox>,
}

#[derive(Default)]
struct Shared {
    rooms: HashMap<u32, Room>,
    authors: HashMap<u64, Outbox>,
}

/// Serves until it is killed; prints its address.
pub async fn serve(listen: &str, file: PathBuf) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    println!("ws://{}/sync", listener.local_addr()?);
    let shared = Arc::new(Mutex::new(Shared::default()));
    let (arrivals, inbox) = std::sync::mpsc::channel();
    let (file, writer) = (File::create(file)?, shared.clone());
    std::thread::spawn(move || write(file, &inbox, &writer));
    let mut number = 0;
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        number += 1;
        tokio::spawn(connection(socket, number, shared.clone(), arrivals.clone()));
    }
}

/// The one writer: everything that has arrived, one write, one fdatasync, one frame each.
fn write(mut file: File, inbox: &std::sync::mpsc::Receiver<Arrival>, shared: &Mutex<Shared>) {
    while let Ok(first) = inbox.recv() {
        let batch: Vec<Arrival> = std::iter::once(first).chain(inbox.try_iter()).collect();
        let bytes: Vec<u8> = batch.iter().flat_map(|arrival| arrival.events.iter().copied()).collect();
        if file.write_all(&bytes).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        let mut shared = shared.lock().expect("no thread panics while it holds the lock");
        let mut rooms: HashMap<u32, (u32, Vec<u8>)> = HashMap::new();
        for arrival in &batch {
            let (count, bytes) = rooms.entry(arrival.room).or_default();
            *count += arrival.count;
            bytes.extend_from_slice(&arrival.events);
            if let Some(author) = shared.authors.get(&arrival.author) {
                drop(author.send(frame(arrival.count, 0, &[])));
            }
        }
        for (number, (count, bytes)) in rooms {
            let room = shared.rooms.entry(number).or_default();
            room.events += count;
            room.log.extend_from_slice(&bytes);
            let shared_frame = frame(0, count, &bytes);
            room.subscribers.retain(|subscriber| subscriber.send(shared_frame.clone()).is_ok());
        }
    }
}

fn frame(accepted: u32, delivered: u32, events: &[u8]) -> Bytes {
    [&accepted.to_be_bytes()[..], &delivered.to_be_bytes(), events].concat().into()
}

/// Everything that is ready, in one write.
async fn send_all(
    sink: &mut (impl SinkExt<tungstenite::Message, Error = tungstenite::Error> + Unpin),
    first: Bytes,
    to_send: &mut mpsc::UnboundedReceiver<Bytes>,
) -> Result<(), tungstenite::Error> {
    sink.feed(tungstenite::Message::Binary(first)).await?;
    while let Ok(bytes) = to_send.try_recv() {
        sink.feed(tungstenite::Message::Binary(bytes)).await?;
    }
    sink.flush().await
}

async fn connection(
    socket: TcpStream,
    number: u64,
    shared: Arc<Mutex<Shared>>,
    arrivals: std::sync::mpsc::Sender<Arrival>,
) {
    let config = WebSocketConfig::default().read_buffer_size(4096);
    let Ok(socket) = tokio_tungstenite::accept_async_with_config(socket, Some(config)).await else { return };
    let (mut sink, mut stream) = socket.split();
    let (outbox, mut to_send) = mpsc::unbounded_channel::<Bytes>();
    let Some(Ok(tungstenite::Message::Binary(hello))) = stream.next().await else { return };
    let Ok(room) = <[u8; 4]>::try_from(&hello[..]).map(u32::from_be_bytes) else { return };
    {
        let mut shared = shared.lock().expect("no thread panics while it holds the lock");
        shared.authors.insert(number, outbox.clone());
        drop(outbox.send(frame(0, 0, &[])));
        let room = shared.rooms.entry(room).or_default();
        if room.events > 0 {
            drop(outbox.send(frame(0, room.events, &room.log)));
        }
        room.subscribers.push(outbox);
    }
    loop {
        tokio::select! {
            bytes = to_send.recv() => {
                let Some(bytes) = bytes else { break };
                if send_all(&mut sink, bytes, &mut to_send).await.is_err() { break }
            }
            message = stream.next() => {
                let Some(Ok(tungstenite::Message::Binary(events))) = message else { break };
                let mut count = 0;
                let mut at = 0;
                while let Some(len) = events.get(at..at + 4) {
                    at += 4 + u32::from_be_bytes([len[0], len[1], len[2], len[3]]) as usize;
                    count += 1;
                }
                if arrivals.send(Arrival { room, author: number, events, count }).is_err() { break }
            }
        }
    }
    shared.lock().expect("no thread panics while it holds the lock").authors.remove(&number);
}
