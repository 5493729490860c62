//! From an HTTP request to a connection: who may open one, and how large anything on it may be.
//!
//! A browser says which page opens a socket (`Origin`). A page of a foreign site must not reach a relay, least of all
//! one on the visitor's own machine that lets anyone write. So a request with an `Origin` is let in if the operator named
//! that origin, or if it is the relay's own: the host of the origin is the host that the browser was connected to, and,
//! since a foreign name can be made to point at the loopback address, that host is a loopback name or one of the named
//! origins' hosts whenever the relay listens on loopback. Programs that are no browsers send no `Origin`.

use crate::addresses::Place;
use crate::driver::{CLOSE_MS_MAX, Driver};
use crate::server::Shared;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use std::sync::Arc;
use std::time::Duration;
use sync_core::limits::{MESSAGE_BYTES_MAX, WINDOW_BYTES};
use sync_core::wire::CloseCode;

/// tungstenite's own default costs 128 KiB for every connection.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// What is collected before it is written; a flush writes less.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;

/// Of an origin, in a log line.
const ORIGIN_CHARS_MAX: usize = 200;

/// `GET /sync`.
pub async fn upgrade(
    State(shared): State<Arc<Shared>>,
    Extension(place): Extension<Arc<Place>>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let text = |name| headers.get(name).and_then(|value: &axum::http::HeaderValue| value.to_str().ok());
    let origin = headers.contains_key(header::ORIGIN).then(|| text(header::ORIGIN).unwrap_or_default());
    let is_allowed = is_allowed(origin, text(header::HOST), &shared.config.origins, shared.config.is_loopback);
    if !is_allowed {
        let origin: String = origin.unwrap_or_default().chars().take(ORIGIN_CHARS_MAX).collect();
        tracing::warn!("refused a page of {origin:?}; --origin {origin} lets its pages in");
    }
    upgrade
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WINDOW_BYTES + 2 * MESSAGE_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .on_upgrade(async move |mut socket| match shared.sockets.clone().try_acquire_owned() {
            Ok(permit) => {
                if is_allowed {
                    // Boxed: else the task, and what it was before the upgrade, would hold it twice.
                    Box::new(Driver::new(shared, socket, place)).run().await;
                } else {
                    // A page hears of a socket that was refused before the upgrade no more than that there is none.
                    turn_away(&mut socket, CloseCode::ForeignOrigin).await;
                    let end = async { while let Some(Ok(_)) = socket.recv().await {} };
                    // Dropped with unread bytes, it would take the last words with it; it need not answer in time.
                    let _ = tokio::time::timeout(Duration::from_millis(CLOSE_MS_MAX), end).await;
                }
                drop(permit);
            }
            Err(_) => {
                tracing::warn!("over the limit of connections");
                turn_away(&mut socket, CloseCode::Overloaded).await;
            }
        })
}

async fn turn_away(socket: &mut WebSocket, code: CloseCode) {
    let frame = CloseFrame { code: code as u16, reason: format!("{code:?}").into() };
    // Whether it arrives or not: there is no connection.
    let _ = socket.send(Message::Close(Some(frame))).await;
}

/// Whether a request with these headers may open a connection.
fn is_allowed(origin: Option<&str>, host: Option<&str>, origins: &[String], is_loopback: bool) -> bool {
    let Some(origin) = origin else { return true };
    if origins.iter().any(|allowed| allowed == origin) {
        return true;
    }
    let (Some((_, origin_host)), Some(host)) = (origin.split_once("://"), host) else { return false };
    origin_host == host && (!is_loopback || is_loopback_name(host))
}

/// Whether no foreign name server can give this name.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_address = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_and_named_origins_may_connect() {
        let named = ["https://app.example".to_string()];
        let loopback = |origin, host| is_allowed(origin, Some(host), &named, true);
        assert!(loopback(None, "127.0.0.1:7654"), "no browser");
        assert!(loopback(Some("http://127.0.0.1:7654"), "127.0.0.1:7654"));
        assert!(loopback(Some("http://localhost:7654"), "localhost:7654"));
        assert!(loopback(Some("http://[::1]:7654"), "[::1]:7654"));
        assert!(loopback(Some("https://app.example"), "127.0.0.1:7654"), "named");
        assert!(!loopback(Some("https://evil.example"), "127.0.0.1:7654"), "a foreign page");
        assert!(!loopback(Some("http://localhost:3000"), "localhost:7654"), "another port is another origin");
        assert!(!loopback(Some("http://evil.example:7654"), "evil.example:7654"), "a foreign name for this machine");
        assert!(!loopback(Some("null"), "127.0.0.1:7654"), "a sandboxed page");
        assert!(!loopback(Some(""), "127.0.0.1:7654"));
        let public = |origin, host| is_allowed(Some(origin), Some(host), &named, false);
        assert!(public("https://relay.example", "relay.example"));
        assert!(!public("https://evil.example", "relay.example"));
    }
}
