//! The process around the connections: accepts sockets, serves files, ends in good order.

use crate::addresses::{Addresses, Place};
use crate::config::Config;
use crate::hub::{Hub, lock};
use crate::log_store::LogStore;
use crate::{connection, files};
use axum::routing::{any, get};
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};
use sync_core::digest::Random;
use sync_core::limits::{BACKOFF_MS_MAX, HANDSHAKE_MS_MAX, HEAL_TURN_MS_MAX};
use sync_core::relay::{ConnectionId, HealTurns, RelayConfig, Validator};
use sync_core::time::Millis;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

/// Sockets that have not (yet) become WebSockets: page loads, health checks, and those that say nothing.
const HTTP_SOCKETS_MAX: usize = 1_024;
/// Request line and headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// What all connections of a relay share.
pub struct Shared {
    /// The log.
    pub store: Arc<dyn LogStore>,
    /// Who follows what.
    pub hub: Hub,
    /// Whose turn it is to heal.
    pub turns: Mutex<HealTurns>,
    /// What this relay was told.
    pub config: Config,
    /// One permit for each WebSocket.
    pub sockets: Arc<Semaphore>,
    relay: RelayConfig,
    started: Instant,
    connections: AtomicU64,
}

impl Shared {
    fn new(store: Arc<dyn LogStore>, config: Config) -> Shared {
        let mut relay = RelayConfig::new(Random::new(seed()).bytes());
        relay.limits.streams_max = config.streams_max;
        relay.limits.event_bytes_max = config.event_bytes_max;
        Shared {
            hub: Hub::new(store.clone()),
            store,
            turns: Mutex::default(),
            sockets: Arc::new(Semaphore::new(config.connections_max as usize)),
            relay,
            config,
            started: Instant::now(),
            connections: AtomicU64::new(0),
        }
    }
    /// Milliseconds since the start.
    pub fn now(&self) -> Millis {
        Millis(self.started.elapsed().as_millis() as u64)
    }
    /// What every device is told.
    pub fn relay_config(&self) -> RelayConfig {
        self.relay
    }
    /// Who says which events may enter.
    pub fn validator(&self) -> Arc<dyn Validator> {
        self.config.validator.clone()
    }
    /// A number that names a connection in the log lines of this process.
    pub fn next_connection(&self) -> ConnectionId {
        self.connections.fetch_add(1, Relaxed) + 1
    }
}

/// Milliseconds since 1970.
pub fn wall_clock_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// Randomness of the operating system.
pub fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("an operating system that runs a server has randomness");
    seed
}

/// Serves until `shutdown` ends; then stops accepting, says goodbye, finishes what is under way and returns. The store
/// stays open: close it afterwards.
pub async fn run(listener: TcpListener, store: Arc<dyn LogStore>, config: Config, shutdown: impl Future<Output = ()>) {
    let shared = Arc::new(Shared::new(store, config));
    let (drain, draining) = watch::channel(false);
    let mut feed = tokio::spawn({
        let shared = shared.clone();
        async move { shared.hub.pass_on().await }
    });
    let turns = tokio::spawn(pass_on_turns(shared.clone()));
    let stop = async {
        tokio::select! {
            () = shutdown => {}
            // Without the feed nobody would hear of anything: better to end, and be started again.
            _ = &mut feed => tracing::error!("the store's feed has ended"),
        }
    };
    accept(&listener, &shared, &draining, stop).await;
    drop(listener);
    tracing::info!("stopping: no new connections");
    let _ = drain.send(true);
    let delay_ms_max = shared.config.goodbye_delay_ms_max.min(BACKOFF_MS_MAX);
    let mut random = Random::new(seed());
    let everyone = shared.config.connections_max;
    let deadline = tokio::time::Instant::now() + Duration::from_millis(shared.config.drain_ms_max);
    // A connection that was just being opened has missed the first goodbye: say it again until all are gone.
    let gone = async {
        loop {
            shared.hub.drain(|| random.below(delay_ms_max + 1));
            let all = tokio::time::timeout(Duration::from_millis(200), shared.sockets.acquire_many(everyone)).await;
            if all.is_ok() {
                return;
            }
        }
    };
    if tokio::time::timeout_at(deadline, gone).await.is_err() {
        tracing::warn!("some connections did not end in time");
    }
    feed.abort();
    turns.abort();
}

async fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    draining: &watch::Receiver<bool>,
    shutdown: impl Future<Output = ()>,
) {
    let router = router(shared);
    let http_sockets = Arc::new(Semaphore::new(HTTP_SOCKETS_MAX));
    let addresses = Addresses::new(shared.config.address_limits);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => return,
            accepted = listener.accept() => accepted,
        };
        let (socket, client) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: waiting is all that can help.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = addresses.admit(client.ip()) else {
            tracing::debug!(client = %client.ip(), "over the limit of sockets of an address");
            continue;
        };
        if let Ok(permit) = http_sockets.clone().try_acquire_owned() {
            let (router, draining) = (router.clone(), draining.clone());
            tokio::spawn(async move {
                serve_socket(socket, Arc::new(place), router, draining).await;
                drop(permit);
            });
        }
    }
}

/// HTTP on one socket, until it ends or becomes a WebSocket.
async fn serve_socket(socket: TcpStream, place: Arc<Place>, router: Router, mut draining: watch::Receiver<bool>) {
    if socket.set_nodelay(true).is_err() {
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(HANDSHAKE_MS_MAX))
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(socket), TowerToHyperService::new(router.layer(Extension(place))))
        .with_upgrades();
    let mut connection = pin!(connection);
    let drained = async { draining.wait_for(|draining| *draining).await.is_ok() };
    tokio::select! {
        _ = connection.as_mut() => {}
        _ = drained => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    let router = Router::new()
        .route("/sync", any(connection::upgrade))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(shared.clone());
    match &shared.config.static_dir {
        Some(dir) => router.fallback_service(files::serve(dir)),
        None => router,
    }
}

/// Gives the turn to heal to the next one when its holder does not use it.
async fn pass_on_turns(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(Duration::from_millis(HEAL_TURN_MS_MAX / 5));
    loop {
        tick.tick().await;
        let turns = lock(&shared.turns).expired(shared.now());
        shared.hub.tell_turns(turns);
    }
}
