//! Bytes and users from outside are hostile: a documented close code or error each, no panic, bounded memory, nobody
//! else disturbed (promise 10).

use crate::client::*;
use crate::process::*;
use bytes::Bytes;
use sync_core::digest::Random;
use sync_core::ids::*;
use sync_core::limits::*;
use sync_core::wire::codec::Writer;
use sync_core::wire::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message as Frame;

/// More than a relay with its store needs in these tests, far less than an attack could ask for.
const MEMORY_BYTES_MAX: u64 = 400 * 1024 * 1024;

/// A relay with two well-behaved devices on it.
struct Scene {
    folder: Folder,
    relay: Relay,
    writer: Client,
    reader: Client,
    author: Author,
}

impl Scene {
    async fn new() -> Scene {
        let folder = Folder::new();
        let relay = Relay::start(&folder, &[]);
        let mut writer = Client::connect(&relay.address, producer(1)).await;
        let mut reader = Client::connect(&relay.address, producer(2)).await;
        writer.subscribe("calm").await.expect("open");
        reader.subscribe("calm").await.expect("open");
        Scene { folder, relay, author: Author::new("calm", writer.producer), writer, reader }
    }
    /// What the two do goes on, and the relay has neither panicked nor grown.
    async fn is_undisturbed(&mut self) {
        self.writer.say(self.author.publish([content("calm")])).await;
        let sequence = self.author.tags.len() as u64 - 1;
        let accepted = |down| if let Down::Accepted { last, .. } = down { Some(last) } else { None };
        assert_eq!(self.writer.hear_until(accepted).await, Ok(sequence));
        let seen = |down| if let Down::Events(events) = down { Some(events.upto) } else { None };
        while self.reader.hear_until(seen).await.expect("open") < Offset(sequence) {}
        self.reader.say(Up::Applied { stream: name("calm"), cursor: Offset(sequence) }).await;
        assert!(self.relay.is_running());
        assert!(!self.relay.log().contains("panicked"), "{}", self.relay.log());
        if let Some(bytes) = self.relay.memory_bytes() {
            assert!(bytes < MEMORY_BYTES_MAX, "{bytes} bytes of memory");
        }
    }
    /// The code that these frames, after a welcome, are answered with.
    async fn code(&self, frames: impl IntoIterator<Item = Frame>) -> Option<CloseCode> {
        let mut client = Client::connect(&self.relay.address, producer(3)).await;
        for frame in frames {
            client.say_frame(frame).await;
        }
        client.hear_close().await
    }
    async fn code_of_bytes(&self, bytes: impl Into<Bytes>) -> Option<CloseCode> {
        self.code([Frame::Binary(bytes.into())]).await
    }
}

#[tokio::test]
async fn rubbish_is_malformed() {
    let mut scene = Scene::new().await;
    let whole = subscribe("a/b", producer(3)).encode();
    for cut in 0..whole.len() {
        assert_eq!(scene.code_of_bytes(whole.slice(..cut)).await, Some(CloseCode::Malformed), "cut at {cut}");
    }
    let mut wrong_type = Writer::new();
    wrong_type.array(2).u64(2).begin_map().u64(0).u64(7).end();
    assert_eq!(scene.code_of_bytes(wrong_type.finish()).await, Some(CloseCode::Malformed), "a number for a name");
    let mut unknown = Writer::new();
    unknown.array(2).u64(99).begin_map().end();
    assert_eq!(scene.code_of_bytes(unknown.finish()).await, Some(CloseCode::Malformed), "an unknown message");
    assert_eq!(scene.code_of_bytes(Down::Alive.encode()).await, Some(CloseCode::Malformed), "the relay's own message");
    for byte in [0x9F, 0x81, 0xBF, 0x5F, 0xDB] {
        let deep = [&[0x82, 0x02, 0xBF, 0x18, 0x63][..], &vec![byte; 400_000]].concat();
        assert_eq!(scene.code_of_bytes(deep).await, Some(CloseCode::Malformed), "{byte:x} nested deep");
    }
    assert_eq!(scene.code([Frame::Text("hello".into())]).await, Some(CloseCode::Malformed), "a text frame");
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn random_bytes_are_malformed() {
    let mut scene = Scene::new().await;
    let mut random = Random::new([5; 32]);
    for _ in 0..200 {
        let len = random.below(300) + 1;
        let mut bytes: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        // No message is an array of three: this cannot be a message by chance.
        bytes[0] |= 1;
        assert_eq!(scene.code_of_bytes(bytes).await, Some(CloseCode::Malformed));
    }
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn lengths_that_lie_allocate_nothing() {
    let mut scene = Scene::new().await;
    // A byte string, a text, an array and a map that claim 2^60, where a stream's name and a list of items belong.
    for (key, head) in [(0, 0x7B), (0, 0x5B), (5, 0x9B), (5, 0xBB)] {
        let claim = [&[0x82, 0x04, 0xBF, key, head, 0x10][..], &[0; 7], b"abc"].concat();
        assert_eq!(scene.code_of_bytes(claim).await, Some(CloseCode::Malformed), "{head:x} at {key}");
    }
    // A WebSocket frame that claims 2^40 bytes and sends ten.
    let mut socket = upgraded(&scene.relay.address).await;
    let frame = [&[0x82, 0xFF][..], &(1_u64 << 40).to_be_bytes(), &[0; 14]].concat();
    socket.write_all(&frame).await.expect("sent");
    assert_eq!(close_code(&mut socket).await, Some(CloseCode::TooLarge as u16));
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn what_is_too_large_is_told_so() {
    let mut scene = Scene::new().await;
    let oversized = vec![0; MESSAGE_BYTES_MAX + 1];
    assert_eq!(scene.code_of_bytes(oversized).await, Some(CloseCode::TooLarge));
    // An event over the limit in a message within it: refused, its sequence used up, and the next one goes on.
    let mut client = Client::connect(&scene.relay.address, producer(3)).await;
    client.subscribe("large").await.expect("open");
    let mut author = Author::new("large", client.producer);
    client.say(author.publish([content(&"x".repeat(EVENT_BYTES_MAX + 1))])).await;
    let refused = |down| if let Down::Rejected { refusal, .. } = down { Some(refusal) } else { None };
    let refusal = client.hear_until(refused).await.expect("open");
    assert_eq!((refusal.sequence, &refusal.code[..]), (1, "too-large"));
    client.say(author.publish([content("small"), Bytes::from_static(b"no content")])).await;
    let refusal = client.hear_until(refused).await.expect("open");
    assert_eq!((refusal.sequence, &refusal.code[..]), (3, "invalid-content"));
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn what_is_said_at_the_wrong_time_or_in_another_version_has_its_code() {
    let mut scene = Scene::new().await;
    let first = async |message: Up| {
        let mut client = Client::open(&scene.relay.address).await;
        client.say(message).await;
        client.hear_close().await
    };
    assert_eq!(first(subscribe("s", producer(3))).await, Some(CloseCode::Unexpected));
    let newer = Hello { version_min: 2, version_max: 9, producer: producer(3), token: None };
    assert_eq!(first(Up::Hello(newer)).await, Some(CloseCode::Version));
    let again = scene.code([Frame::Binary(hello(producer(3)).encode())]).await;
    assert_eq!(again, Some(CloseCode::Unexpected), "hello twice");
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn ten_thousand_subscribes_meet_the_limit() {
    let mut scene = Scene::new().await;
    let mut client = Client::connect(&scene.relay.address, producer(3)).await;
    for n in 0..10_000 {
        client.say(subscribe(&format!("s/{n}"), producer(3))).await;
    }
    let mut answered = 0;
    let code = loop {
        match client.hear().await {
            Ok(Down::Subscribed(_)) => answered += 1,
            Ok(other) => panic!("{other:?}"),
            Err(Closed { code, .. }) => break code,
        }
    };
    assert!(answered <= STREAMS_PER_CONNECTION_MAX, "{answered}");
    assert_eq!(code, Some(CloseCode::Limit));
    scene.is_undisturbed().await;
}

/// Many small messages in few frames, each of which asks the store something and then does not want the answer.
#[tokio::test]
async fn questions_that_are_taken_back_do_not_pile_up() {
    let mut scene = Scene::new().await;
    let mut client = Client::connect(&scene.relay.address, producer(3)).await;
    let pair = [subscribe("s", producer(3)), Up::Unsubscribe { stream: name("s") }];
    let pair: Vec<u8> = pair.iter().flat_map(|up| up.encode()).collect();
    for _ in 0..10 {
        client.say_frame(Frame::Binary(pair.repeat(2_000).into())).await;
    }
    scene.is_undisturbed().await;
    assert_eq!(client.subscribe("s").await.map(|answer| answer.resume), Ok(true), "it is served, in its turn");
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn names_that_are_paths_are_no_names() {
    let mut scene = Scene::new().await;
    let long = "x".repeat(STREAM_NAME_BYTES_MAX + 1);
    for bad in ["../../etc/passwd", "/etc/passwd", "a/../b", "a//b", "..", "a\\b", "a\0b", "", "c:", &long] {
        let mut out = Writer::new();
        out.array(2).u64(2).begin_map().u64(0).text(bad).u64(4).bytes(&producer(3).0).end();
        assert_eq!(scene.code_of_bytes(out.finish()).await, Some(CloseCode::Malformed), "{bad:?}");
    }
    let files = std::fs::read_dir(scene.folder.join("data")).expect("the data folder");
    let names: Vec<_> = files.map(|file| file.expect("an entry").file_name()).collect();
    let known = |name: &str| name == "lock" || name.starts_with("log.sqlite");
    assert!(names.iter().all(|name| name.to_str().is_some_and(known)), "{names:?}");
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn an_id_used_again_for_other_content_changes_nothing() {
    let mut scene = Scene::new().await;
    let mut client = Client::connect(&scene.relay.address, producer(3)).await;
    client.subscribe("s").await.expect("open");
    let have = |down| if let Down::Have { sequence, known, .. } = down { Some((sequence, known)) } else { None };
    let mut honest = Author::new("s", client.producer);
    client.say(honest.publish(["a1", "a2"].map(content))).await;
    let mut other = Author::new("s", client.producer);
    client.say(other.publish([content("b1")])).await;
    let (sequence, known) = client.hear_until(have).await.expect("open");
    assert_eq!((sequence, known.last, known.tag), (1, 2, honest.tags[2]));
    client.say(other.publish([content("b2")])).await;
    assert_eq!(client.hear_until(have).await.expect("open").1.last, 2, "a chain of other content is not continued");
    client.say(other.publish([content("b3")])).await;
    assert_eq!(client.hear_until(have).await.expect("open").1.last, 2, "nor with the next sequence");
    let log = client.read_all("s").await.expect("open");
    assert_eq!(log.iter().map(|event| event.tag).collect::<Vec<_>>(), honest.tags[1..]);
    let items = vec![Item::Void { tag: Tag([1; 8]) }; 2];
    let (stream, first, tag_before) = (name("s"), (1 << 53) - 1, Tag([2; 8]));
    client.say(Up::Publish(Publish { stream, producer: producer(3), first, tag_before, origin: None, items })).await;
    assert_eq!(client.hear_close().await, Some(CloseCode::Limit), "a sequence that no log can hold");
    scene.is_undisturbed().await;
}

#[tokio::test]
async fn a_frame_a_byte_is_slow_but_valid() {
    let mut scene = Scene::new().await;
    let mut socket = upgraded(&scene.relay.address).await;
    let hello = hello(producer(3)).encode();
    // One message in fragments of one byte, each byte of them written by itself.
    for (index, byte) in hello.iter().enumerate() {
        let opcode = if index == 0 { 0x02 } else { 0x00 };
        let fin = if index + 1 == hello.len() { 0x80 } else { 0x00 };
        for byte in [opcode | fin, 0x81, 0, 0, 0, 0, *byte] {
            socket.write_all(&[byte]).await.expect("sent");
        }
    }
    let mut head = [0; 2];
    socket.read_exact(&mut head).await.expect("an answer");
    assert_eq!(head[0], 0x82, "a binary message: the welcome");
    scene.is_undisturbed().await;
}

/// Sockets that say nothing, half a request, or nothing after the upgrade: each ends by itself.
#[tokio::test]
async fn half_open_connections_end_in_time() {
    let mut scene = Scene::new().await;
    let address = scene.relay.address.clone();
    let mut idle = vec![];
    for n in 0..200 {
        let mut socket = TcpStream::connect(&address).await.expect("connected");
        if n % 2 == 0 {
            socket.write_all(b"GET /sync HTTP/1.1\r\nHost: ").await.expect("sent");
        }
        idle.push(socket);
    }
    let mut silent = Client::open(&address).await;
    scene.is_undisturbed().await;
    assert_eq!(silent.hear_close().await, Some(CloseCode::HandshakeTimeout));
    for mut socket in idle {
        let mut answer = vec![];
        let ended = tokio::time::timeout(DEADLINE, socket.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "a half-open socket is closed");
    }
    scene.is_undisturbed().await;
}

/// A subscriber that never reads, on a stream that many megabytes are written to.
#[tokio::test]
async fn a_subscriber_that_does_not_read_costs_no_memory() {
    let mut scene = Scene::new().await;
    let mut deaf = vec![];
    for n in 0..20 {
        let mut client = Client::connect(&scene.relay.address, producer(100 + n)).await;
        client.say(subscribe("loud", client.producer)).await;
        deaf.push(client);
    }
    let mut client = Client::connect(&scene.relay.address, producer(3)).await;
    client.subscribe("loud").await.expect("open");
    let mut author = Author::new("loud", client.producer);
    for sequence in 1..=100 {
        client.say(author.publish([content(&"x".repeat(400_000))])).await;
        let accepted = |down| if let Down::Accepted { last, .. } = down { Some(last) } else { None };
        assert_eq!(client.hear_until(accepted).await, Ok(sequence));
    }
    scene.is_undisturbed().await;
    // The log is their buffer: one of them reads after all and misses nothing.
    let mut late = deaf.remove(0);
    let mut cursor = Offset::ZERO;
    while cursor < Offset(100) {
        if let Down::Events(events) = late.hear().await.expect("open") {
            assert_eq!(events.after, cursor);
            cursor = events.upto;
            late.say(Up::Applied { stream: name("loud"), cursor }).await;
        }
    }
    scene.is_undisturbed().await;
}

/// A socket after the upgrade, by hand.
async fn upgraded(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.expect("connected");
    let request = format!(
        "GET /sync HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.expect("an answer"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    socket
}

/// The code of the close frame that comes next.
async fn close_code(socket: &mut TcpStream) -> Option<u16> {
    let mut frame = [0; 4];
    tokio::time::timeout(DEADLINE, socket.read_exact(&mut frame)).await.expect("in time").ok()?;
    (frame[0] == 0x88).then(|| u16::from_be_bytes([frame[2], frame[3]]))
}
