//! What an operator relies on: health, files, limits, a good end, and logs that tell nothing they should not.

use crate::client::*;
use crate::process::*;
use sync_core::wire::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The head and the body of the answer to a GET.
async fn get(address: &str, path: &str, headers: &str) -> (String, String) {
    let mut socket = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    socket.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    let reading = socket.read_to_string(&mut answer);
    tokio::time::timeout(DEADLINE, reading).await.expect("in time").expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.to_lowercase(), body.into())
}

#[tokio::test]
async fn health_and_files_are_served() {
    let folder = Folder::new();
    let files = folder.join("static");
    std::fs::create_dir_all(files.join("assets")).expect("made");
    for (name, text) in [("index.html", "<p>hello"), ("sw.js", "1"), ("assets/a-1f2e.wasm", "w"), ("assets/b.js", "2")]
    {
        std::fs::write(files.join(name), text).expect("written");
    }
    std::fs::write(folder.join("secret.txt"), "secret").expect("written");
    let relay = Relay::start(&folder, &["--static", files.to_str().expect("a path of text")]);
    let (head, body) = get(&relay.address, "/healthz", "").await;
    assert!(head.starts_with("http/1.1 200") && body == "ok\n", "{head} {body}");
    let (head, body) = get(&relay.address, "/", "").await;
    assert!(head.contains("content-type: text/html") && head.contains("cache-control: no-cache"), "{head}");
    assert_eq!(body, "<p>hello");
    let (head, _) = get(&relay.address, "/sw.js", "").await;
    assert!(head.contains("javascript") && head.contains("cache-control: no-cache"), "{head}");
    let (head, _) = get(&relay.address, "/assets/a-1f2e.wasm", "").await;
    assert!(head.contains("content-type: application/wasm") && head.contains("immutable"), "{head}");
    for path in ["/../secret.txt", "/%2e%2e/secret.txt", "/assets/../../secret.txt", "/nothing"] {
        let (head, body) = get(&relay.address, path, "").await;
        assert!(!head.starts_with("http/1.1 200") && !body.contains("secret"), "{path}: {head}");
    }
}

#[tokio::test]
async fn a_foreign_page_may_not_connect_unless_it_is_named() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &["--origin", "https://app.example"]);
    let greet = async |origin: &str| {
        let mut page = Client::open_page(&relay.address, Some(origin)).await;
        page.say(hello(producer(1))).await;
        page.hear().await
    };
    let refused = Err(Closed { code: Some(CloseCode::ForeignOrigin), is_clean: true });
    assert_eq!(greet("https://evil.example").await, refused);
    assert_eq!(greet("null").await, refused);
    assert!(matches!(greet("https://app.example").await, Ok(Down::Welcome(_))));
    assert!(matches!(greet(&format!("http://{}", relay.address)).await, Ok(Down::Welcome(_))));
}

/// Stop accepting, goodbye, finish what is under way, commit, exit 0.
#[tokio::test]
async fn a_stopping_relay_says_goodbye_and_finishes() {
    let folder = Folder::new();
    let mut relay = Relay::start(&folder, &["--goodbye-delay-ms-max", "700"]);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    let mut silent = Client::open(&relay.address).await;
    ann.subscribe("s").await.expect("open");
    let mut author = Author::new("s", ann.producer);
    for n in 0..200 {
        ann.say(author.publish([content(&n.to_string())])).await;
    }
    relay.terminate();
    let (mut accepted, mut delay) = (0, None);
    let code = loop {
        match ann.hear().await {
            Ok(Down::Accepted { last, .. }) => accepted = last,
            Ok(Down::Goodbye { delay_ms }) => delay = Some(delay_ms),
            Ok(_) => {}
            Err(Closed { code, .. }) => break code,
        }
    };
    assert_eq!(code, Some(CloseCode::GoingAway));
    assert!(delay.is_some_and(|delay_ms| delay_ms <= 700), "{delay:?}");
    assert_eq!(silent.hear_close().await, Some(CloseCode::GoingAway));
    assert_eq!(relay.wait().code(), Some(0));
    let relay = Relay::start(&folder, &[]);
    let log = Client::connect(&relay.address, producer(2)).await.read_all("s").await.expect("open");
    assert!(log.len() as u64 >= accepted, "{accepted} accepted, {} there", log.len());
}

#[test]
fn it_listens_on_loopback_only_unless_told_loudly() {
    let folder = Folder::new();
    let refused = serve(&folder.join("data"), "0.0.0.0:0").output().expect("it runs");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--insecure-anyone-may-write"));
    assert!(!folder.join("data").exists(), "it has done nothing");
}

#[test]
fn one_process_a_data_folder() {
    let folder = Folder::new();
    let _relay = Relay::start(&folder, &[]);
    let second = serve(&folder.join("data"), "127.0.0.1:0").output().expect("it runs");
    assert!(!second.status.success());
    let says = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(says.contains("another process uses this data folder"), "{says}");
}

/// Even with everything logged, no line holds what a device said.
#[tokio::test]
async fn no_log_line_holds_content_or_a_token() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &["--log", "trace"]);
    let mut ann = Client::connect(&relay.address, producer(1)).await;
    ann.subscribe("s").await.expect("open");
    let word = "Xylophon";
    ann.say(Author::new("s", ann.producer).publish([content(word)])).await;
    ann.hear_until(|down| matches!(down, Down::Accepted { .. }).then_some(())).await.expect("open");
    let log = ann.read_all("s").await.expect("open");
    assert!(log.iter().any(|event| event.content == content(word)));
    ann.say_frame(tokio_tungstenite::tungstenite::Message::Text(word.into())).await;
    ann.hear_close().await;
    let lines = relay.log();
    assert!(lines.contains("opened"), "something was logged: {lines}");
    for secret in [word, "a-secret-token"] {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        let list: Vec<String> = secret.bytes().map(|byte| byte.to_string()).collect();
        for form in [secret, &hex, &hex.to_uppercase(), &list.join(", ")] {
            assert!(!lines.contains(form), "{secret} is in the log as {form}");
        }
    }
}

#[tokio::test]
async fn over_the_limit_of_connections_a_device_is_told_to_come_later() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &["--connections-max", "2"]);
    let first = Client::connect(&relay.address, producer(1)).await;
    let _second = Client::connect(&relay.address, producer(2)).await;
    let mut third = Client::open(&relay.address).await;
    assert_eq!(third.hear_close().await, Some(CloseCode::Overloaded));
    drop(first);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let mut next = Client::open(&relay.address).await;
        next.say(hello(producer(3))).await;
        if next.hear().await.is_ok() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "a free place is given to the next");
    }
}

/// Whether a socket is served: the limits of an address close one that has no place without a word.
async fn is_served(address: &str) -> bool {
    let mut socket = TcpStream::connect(address).await.expect("connected");
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let mut answer = String::new();
    let asked = async {
        socket.write_all(request.as_bytes()).await?;
        socket.read_to_string(&mut answer).await
    };
    let asked = tokio::time::timeout(DEADLINE, asked).await.expect("in time");
    asked.is_ok() && answer.starts_with("HTTP/1.1 200")
}

async fn becomes_served(address: &str, is: bool) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while is_served(address).await != is {
        assert!(tokio::time::Instant::now() < deadline, "a socket is served: {is}");
    }
}

#[tokio::test]
async fn one_address_has_so_many_connections() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &["--connections-per-address-max", "2"]);
    let mut first = Client::connect(&relay.address, producer(1)).await;
    let second = Client::connect(&relay.address, producer(2)).await;
    becomes_served(&relay.address, false).await;
    first.subscribe("s").await.expect("those who are in are served");
    drop(second);
    becomes_served(&relay.address, true).await;
}

#[tokio::test]
async fn one_address_has_so_many_sockets_that_have_not_said_hello() {
    let folder = Folder::new();
    let relay = Relay::start(&folder, &["--handshakes-per-address-max", "2"]);
    let mut known = Client::connect(&relay.address, producer(1)).await;
    let silent = TcpStream::connect(&relay.address).await.expect("connected");
    let unsaid = Client::open(&relay.address).await;
    becomes_served(&relay.address, false).await;
    known.subscribe("s").await.expect("those who are in are served");
    drop((silent, unsaid));
    becomes_served(&relay.address, true).await;
}
