//! What a relay can be told, by flags or by the environment.

use crate::addresses::AddressLimits;
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use sync_core::limits::{EVENT_BYTES_MAX, STREAMS_PER_CONNECTION_MAX};
use sync_core::relay::{TakeAll, Validator};

/// What [`run`](crate::run) needs to know.
#[derive(Clone)]
pub struct Config {
    /// Files to serve, if any.
    pub static_dir: Option<PathBuf>,
    /// Foreign origins whose pages may connect, such as `https://app.example`.
    pub origins: Vec<String>,
    /// The relay listens on a loopback address: then only loopback names are its own.
    pub is_loopback: bool,
    /// Which events may enter which streams.
    pub validator: Arc<dyn Validator>,
    /// WebSockets at a time.
    pub connections_max: u32,
    /// What one client address may have.
    pub address_limits: AddressLimits,
    /// Streams that one connection may follow.
    pub streams_max: u64,
    /// Content of one event, in bytes.
    pub event_bytes_max: u64,
    /// At most so long does a stopping relay wait for its connections, in milliseconds.
    pub drain_ms_max: u64,
    /// At most so long are devices told to wait before they reconnect to a relay that stops, in milliseconds.
    pub goodbye_delay_ms_max: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            static_dir: None,
            origins: vec![],
            is_loopback: true,
            validator: Arc::new(TakeAll),
            connections_max: 10_000,
            address_limits: AddressLimits::default(),
            streams_max: STREAMS_PER_CONNECTION_MAX as u64,
            event_bytes_max: EVENT_BYTES_MAX as u64,
            drain_ms_max: 10_000,
            goodbye_delay_ms_max: 3_000,
        }
    }
}

/// `tidelog-relay serve`
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// Address to listen on; port 0 takes a free one. The address is printed as a line when the relay is ready
    #[arg(long, env = "TIDELOG_LISTEN", default_value = "127.0.0.1:7654", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,
    /// Folder of the log; made if missing. One process at a time may use it
    #[arg(long, env = "TIDELOG_DATA", default_value = "tidelog-data", value_name = "FOLDER")]
    pub data: PathBuf,
    /// Serve the files of this folder beside the relay: an app, say
    #[arg(long = "static", env = "TIDELOG_STATIC", value_name = "FOLDER")]
    pub static_dir: Option<PathBuf>,
    /// Origins, beside the relay's own, whose pages may connect, such as https://app.example; repeat or separate by commas
    #[arg(long = "origin", env = "TIDELOG_ORIGINS", value_delimiter = ',', value_name = "ORIGIN")]
    pub origins: Vec<String>,
    /// JSON file that says which events are refused, e.g.
    /// { "rules": [ { "streams": "comments", "words": ["spam"], "code": "not-nice", "reason": "Please say it otherwise." } ] }
    #[arg(long, env = "TIDELOG_RULES", value_name = "FILE")]
    pub rules: Option<PathBuf>,
    /// Listen on an address that others can reach although this version has no access control: ANYONE who reaches it
    /// may read and write EVERYTHING
    #[arg(long, env = "TIDELOG_INSECURE_ANYONE_MAY_WRITE")]
    pub insecure_anyone_may_write: bool,
    /// Connections at a time
    #[arg(long, env = "TIDELOG_CONNECTIONS_MAX", default_value_t = 10_000, value_name = "NUMBER",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub connections_max: u32,
    /// Connections at a time of one client address (of IPv6: its first 64 bits); 0: no limit. Behind a proxy all clients
    /// have the proxy's address [default: no limit on a loopback address, else 256]
    #[arg(long, env = "TIDELOG_CONNECTIONS_PER_ADDRESS_MAX", value_name = "NUMBER")]
    pub connections_per_address_max: Option<u32>,
    /// Of these, at most so many that have not yet said who they are, page loads among them; 0: no limit
    /// [default: no limit on a loopback address, else 64]
    #[arg(long, env = "TIDELOG_HANDSHAKES_PER_ADDRESS_MAX", value_name = "NUMBER")]
    pub handshakes_per_address_max: Option<u32>,
    /// Streams that one connection may follow
    #[arg(long, env = "TIDELOG_STREAMS_MAX", default_value_t = STREAMS_PER_CONNECTION_MAX as u64, value_name = "NUMBER",
        value_parser = clap::value_parser!(u64).range(1..=STREAMS_PER_CONNECTION_MAX as u64))]
    pub streams_max: u64,
    /// Largest content of one event, in bytes; a larger one is refused (too-large)
    #[arg(long, env = "TIDELOG_EVENT_BYTES_MAX", default_value_t = EVENT_BYTES_MAX as u64, value_name = "BYTES",
        value_parser = clap::value_parser!(u64).range(64..=EVENT_BYTES_MAX as u64))]
    pub event_bytes_max: u64,
    /// When stopped, wait at most this long for connections to finish, in milliseconds
    #[arg(long, env = "TIDELOG_DRAIN_MS_MAX", default_value_t = 10_000, value_name = "MILLISECONDS")]
    pub drain_ms_max: u64,
    /// When stopped, tell devices to reconnect after a random wait of at most this, in milliseconds
    #[arg(long, env = "TIDELOG_GOODBYE_DELAY_MS_MAX", default_value_t = 3_000, value_name = "MILLISECONDS")]
    pub goodbye_delay_ms_max: u64,
    /// Form of the log lines on standard error
    #[arg(long, env = "TIDELOG_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// Which log lines: error, warn, info, debug, trace, or per module as in tracing's EnvFilter
    #[arg(long, env = "TIDELOG_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

/// Form of the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Flags {
    fn address_limits(&self) -> AddressLimits {
        let limit = |told: Option<u32>, usual: u32| {
            let usual = if self.listen.ip().is_loopback() { 0 } else { usual };
            Some(told.unwrap_or(usual)).filter(|max| *max > 0)
        };
        AddressLimits {
            sockets_max: limit(self.connections_per_address_max, 256),
            strangers_max: limit(self.handshakes_per_address_max, 64),
        }
    }

    /// What [`run`](crate::run) needs of them.
    pub fn config(&self, validator: Arc<dyn Validator>) -> Config {
        Config {
            static_dir: self.static_dir.clone(),
            origins: self.origins.clone(),
            is_loopback: self.listen.ip().is_loopback(),
            validator,
            connections_max: self.connections_max,
            address_limits: self.address_limits(),
            streams_max: self.streams_max,
            event_bytes_max: self.event_bytes_max,
            drain_ms_max: self.drain_ms_max,
            goodbye_delay_ms_max: self.goodbye_delay_ms_max,
        }
    }
}
