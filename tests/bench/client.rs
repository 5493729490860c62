//! A device as light as one can be: it speaks the protocol, keeps nothing and counts.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use sync_core::digest;
use sync_core::event::{Content, Kind};
use sync_core::ids::*;
use sync_core::limits::{VERSIONS, WINDOW_BYTES};
use sync_core::wire::codec::Reader;
use sync_core::wire::{Down, Hello, Item, Message, Publish, Subscribe, Up};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, protocol::WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// What a message brought, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Own events that are durable now.
    pub accepted: u64,
    /// Events delivered.
    pub delivered: u64,
}

/// One connection of either server.
pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    speaks: Speaks,
}

enum Speaks {
    Tidelog { stream: StreamName, producer: ProducerId, next: Sequence, tag: Tag, cursor: u64, unconfirmed: usize },
    Floor { room: u32 },
}

/// Which server is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    /// The relay.
    Tidelog,
    /// The merged floor.
    Floor,
}

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl Client {
    /// Connects as device `number` to room `room`, for what is in it and what comes: the relay lets nobody else write.
    pub async fn connect(server: Server, address: &str, number: u64, room: u32) -> Fallible<Client> {
        // The floor sends all it has in one frame.
        let max = Some(64 << 20);
        let config = WebSocketConfig::default().read_buffer_size(16 * 1024).max_message_size(max).max_frame_size(max);
        let url = format!("ws://{address}/sync");
        let (socket, _) = tokio_tungstenite::connect_async_with_config(url, Some(config), true).await?;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number + 1).to_be_bytes());
        let producer = ProducerId(id);
        let stream = StreamName::new(&format!("rooms/{room}"))?;
        let speaks = match server {
            Server::Floor => Speaks::Floor { room },
            Server::Tidelog => Speaks::Tidelog { stream, producer, next: 1, tag: Tag::ZERO, cursor: 0, unconfirmed: 0 },
        };
        let mut client = Client { socket, speaks };
        client.greet().await?;
        Ok(client)
    }

    async fn greet(&mut self) -> Fallible<()> {
        match &self.speaks {
            Speaks::Floor { room } => {
                let hello = Bytes::copy_from_slice(&room.to_be_bytes());
                self.socket.send(tungstenite::Message::Binary(hello)).await?;
                // The floor answers nothing; an empty acknowledgement says that it is in the room.
                self.frame().await?;
            }
            Speaks::Tidelog { stream, producer, .. } => {
                let (version_min, version_max) = VERSIONS;
                let hello = Up::Hello(Hello { version_min, version_max, producer: *producer, token: None });
                let ask = Up::Subscribe(Subscribe {
                    stream: stream.clone(),
                    epoch: Epoch::NONE,
                    after: Offset::ZERO,
                    check: Check::default(),
                    producer: *producer,
                    settled: 1,
                    records: vec![],
                });
                self.send(hello.encode()).await?;
                self.frame().await?;
                self.send(ask.encode()).await?;
                self.frame().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, frame: Bytes) -> Fallible<()> {
        Ok(self.socket.send(tungstenite::Message::Binary(frame)).await?)
    }
    async fn frame(&mut self) -> Fallible<Bytes> {
        loop {
            match self.socket.next().await.ok_or("the server closed the connection")?? {
                tungstenite::Message::Binary(bytes) => return Ok(bytes),
                tungstenite::Message::Close(close) => return Err(format!("closed: {close:?}").into()),
                _ => {}
            }
        }
    }

    /// Publishes events of `payload`, one message.
    pub async fn publish(&mut self, payload: &Bytes, events: u64) -> Fallible<()> {
        let frame = match &mut self.speaks {
            Speaks::Floor { .. } => {
                let mut frame = Vec::with_capacity(events as usize * (payload.len() + 4));
                for _ in 0..events {
                    frame.extend_from_slice(&(payload.len() as u32).to_be_bytes());
                    frame.extend_from_slice(payload);
                }
                frame.into()
            }
            Speaks::Tidelog { stream, producer, next, tag, .. } => {
                let (first, tag_before) = (*next, *tag);
                let content = Content { kind: Kind::Application, time: 0, payload: payload.clone() }.encode();
                let item = || Item::Event { content: content.clone(), causes: vec![], needs: None };
                for _ in 0..events {
                    *tag = digest::tag(*tag, &content);
                }
                *next += events;
                let items = (0..events).map(|_| item()).collect();
                Up::Publish(Publish {
                    stream: stream.clone(),
                    producer: *producer,
                    first,
                    tag_before,
                    origin: None,
                    items,
                })
                .encode()
            }
        };
        self.send(frame).await
    }

    /// Waits for a frame and counts what it brought.
    pub async fn receive(&mut self) -> Fallible<Brought> {
        let frame = self.frame().await?;
        let Speaks::Tidelog { stream, cursor, unconfirmed, .. } = &mut self.speaks else {
            return floor_frame(&frame);
        };
        let mut brought = Brought::default();
        // Events are counted by their offsets, which this relay's store makes dense; reading them all would measure the reader.
        if let Some((after, upto)) = events_head(&frame) {
            brought.delivered = upto - after;
            *cursor = upto;
            *unconfirmed += frame.len();
            if *unconfirmed >= WINDOW_BYTES / 8 {
                *unconfirmed = 0;
                let applied = Up::Applied { stream: stream.clone(), cursor: Offset(*cursor) }.encode();
                self.send(applied).await?;
            }
            return Ok(brought);
        }
        for message in Down::decode_frame(&frame)? {
            match message {
                Down::Accepted { first, last, .. } => brought.accepted += last - first + 1,
                Down::Have { .. } | Down::Rejected { .. } | Down::Error { .. } => {
                    return Err(format!("{message:?}").into());
                }
                Down::Events(events) => {
                    brought.delivered += events.upto.0 - events.after.0;
                    if let Speaks::Tidelog { cursor, .. } = &mut self.speaks {
                        *cursor = events.upto.0;
                    }
                }
                _ => {}
            }
        }
        Ok(brought)
    }
}

/// `(after, upto)` of a frame that is one `events` message.
fn events_head(frame: &Bytes) -> Option<(u64, u64)> {
    let mut input = Reader::new(frame);
    if input.array().ok()? != 2 || input.u64().ok()? != 35 {
        return None;
    }
    // The map's first fields are stream, after and upto: the relay writes them so.
    let mut input = minicbor_map(frame, input.position())?;
    (input.u64().ok()? == 0).then_some(())?;
    input.text(STREAM_NAME_BYTES_MAX).ok()?;
    (input.u64().ok()? == 1).then_some(())?;
    let after = input.u64().ok()?;
    (input.u64().ok()? == 2).then_some(())?;
    Some((after, input.u64().ok()?))
}

/// A reader behind the opening byte of an open map.
fn minicbor_map(frame: &Bytes, position: usize) -> Option<Reader<'_>> {
    const OPEN_MAP: u8 = 0xBF;
    (frame.get(position) == Some(&OPEN_MAP)).then(|| Reader::starting_at(frame, position + 1))
}

/// The floor's frames: acknowledged events, then delivered events and their bytes.
fn floor_frame(frame: &Bytes) -> Fallible<Brought> {
    let number = |at: usize| frame.get(at..at + 4).map(|b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
    let (accepted, delivered) = number(0).zip(number(4)).ok_or("a frame of the floor has two counts")?;
    Ok(Brought { accepted: accepted.into(), delivered: delivered.into() })
}
