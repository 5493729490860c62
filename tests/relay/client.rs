//! A client that speaks the messages themselves, so that it can also say what no device would.

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use std::collections::VecDeque;
use std::time::Duration;
use sync_core::digest;
use sync_core::event::{Content, Event, Kind};
use sync_core::ids::*;
use sync_core::wire::*;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::{Message as Frame, WebSocketConfig};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// No answer of the relay takes longer.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    heard: VecDeque<Down>,
    pub producer: ProducerId,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The protocol's close code, if one came.
    pub code: Option<CloseCode>,
    /// A close frame came.
    pub is_clean: bool,
}

impl Client {
    /// A socket that has said nothing.
    pub async fn open(address: &str) -> Client {
        Client::open_page(address, None).await
    }
    /// The same, from a page of this origin.
    pub async fn open_page(address: &str, origin: Option<&str>) -> Client {
        let config = WebSocketConfig::default().max_message_size(None).max_frame_size(None);
        let mut request = format!("ws://{address}/sync").into_client_request().expect("an address");
        if let Some(origin) = origin {
            request.headers_mut().insert("Origin", origin.parse().expect("a header"));
        }
        let connecting = tokio_tungstenite::connect_async_with_config(request, Some(config), true);
        let opened = tokio::time::timeout(DEADLINE, connecting).await.expect("an answer in time");
        Client { socket: opened.expect("a WebSocket").0, heard: VecDeque::new(), producer: producer(1) }
    }
    /// A connection that was welcomed.
    pub async fn connect(address: &str, producer: ProducerId) -> Client {
        let mut client = Client::open(address).await;
        client.producer = producer;
        client.say(hello(producer)).await;
        assert!(matches!(client.hear().await, Ok(Down::Welcome(_))));
        client
    }
    pub async fn say(&mut self, message: Up) {
        // Whether it arrives is seen by what is heard.
        let _ = self.socket.send(Frame::Binary(message.encode())).await;
    }
    pub async fn say_frame(&mut self, frame: Frame) {
        let _ = self.socket.send(frame).await;
    }
    /// The next message but `alive`.
    pub async fn hear(&mut self) -> Result<Down, Closed> {
        loop {
            if let Some(down) = self.heard.pop_front() {
                if down == Down::Alive {
                    continue;
                }
                return Ok(down);
            }
            match tokio::time::timeout(DEADLINE, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Frame::Binary(frame))) => {
                    self.heard.extend(Down::decode_frame(&frame).expect("the relay speaks the protocol"));
                }
                Some(Ok(Frame::Close(close))) => {
                    let code = close.and_then(|close| CloseCode::from_number(close.code.into()));
                    return Err(Closed { code, is_clean: true });
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Closed { code: None, is_clean: false }),
            }
        }
    }
    /// Messages up to the first that `pick` takes.
    pub async fn hear_until<T>(&mut self, mut pick: impl FnMut(Down) -> Option<T>) -> Result<T, Closed> {
        loop {
            if let Some(picked) = pick(self.hear().await?) {
                return Ok(picked);
            }
        }
    }
    /// The close code that ends the connection.
    pub async fn hear_close(&mut self) -> Option<CloseCode> {
        loop {
            if let Err(Closed { code, .. }) = self.hear().await {
                return code;
            }
        }
    }
    pub async fn subscribe(&mut self, stream: &str) -> Result<Subscribed, Closed> {
        self.say(subscribe(stream, self.producer)).await;
        self.hear_until(|down| match down {
            Down::Subscribed(answer) => Some(answer),
            _ => None,
        })
        .await
    }
    /// All of a stream's log, read from its start, confirmed as it comes.
    pub async fn read_all(&mut self, stream: &str) -> Result<Vec<Event>, Closed> {
        let head = self.subscribe(stream).await?.head;
        self.read_up_to(stream, head).await
    }
    /// The events that come until offset `upto`. Checks that batches follow one another.
    pub async fn read_up_to(&mut self, stream: &str, upto: Offset) -> Result<Vec<Event>, Closed> {
        let (mut events, mut cursor): (Vec<Event>, Option<Offset>) = (vec![], None);
        while cursor.unwrap_or_default() < upto {
            let Down::Events(batch) = self.hear().await? else { continue };
            assert_eq!(batch.stream, name(stream));
            assert!(cursor.is_none_or(|cursor| cursor == batch.after), "no gap, nothing twice");
            let of_run = |run: &sync_core::event::Run| run.events(|_, _| Some(Bytes::new())).expect("contents");
            events.extend(batch.runs.iter().flat_map(of_run));
            cursor = Some(batch.upto);
            self.say(Up::Applied { stream: name(stream), cursor: batch.upto }).await;
        }
        Ok(events)
    }
}

/// One producer's chain in one stream, as its device would keep it.
pub struct Author {
    pub stream: String,
    pub producer: ProducerId,
    /// The tags of its sequences; the first is that of sequence 0.
    pub tags: Vec<Tag>,
}

impl Author {
    pub fn new(stream: &str, producer: ProducerId) -> Author {
        Author { stream: stream.into(), producer, tags: vec![Tag::ZERO] }
    }
    /// A publish of these contents as the next sequences.
    pub fn publish(&mut self, contents: impl IntoIterator<Item = Bytes>) -> Up {
        let tag_before = *self.tags.last().expect("never empty");
        let first = self.tags.len() as u64;
        let items = contents.into_iter().map(|content| {
            self.tags.push(digest::tag(*self.tags.last().expect("never empty"), &content));
            Item::Event { content, causes: vec![], needs: None }
        });
        let items = items.collect();
        let (stream, producer) = (name(&self.stream), self.producer);
        Up::Publish(Publish { stream, producer, first, tag_before, origin: None, items })
    }
}

pub fn name(stream: &str) -> StreamName {
    StreamName::new(stream).expect("a name")
}

pub fn producer(number: u64) -> ProducerId {
    let mut id = [0xA0; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    ProducerId(id)
}

pub fn hello(producer: ProducerId) -> Up {
    let (version_min, version_max) = sync_core::limits::VERSIONS;
    Up::Hello(Hello { version_min, version_max, producer, token: Some("a-secret-token".into()) })
}

/// From the start, with nothing settled.
pub fn subscribe(stream: &str, producer: ProducerId) -> Up {
    let (stream, epoch, after, check) = (name(stream), Epoch::NONE, Offset::ZERO, Check::default());
    Up::Subscribe(Subscribe { stream, epoch, after, check, producer, settled: 1, records: vec![] })
}

/// An application event.
pub fn content(text: &str) -> Bytes {
    let payload = format!(r#"{{"type":"said","payload":{{"text":"{text}"}}}}"#);
    Content { kind: Kind::Application, time: 1, payload: payload.into() }.encode()
}
