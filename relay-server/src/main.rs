//! `tidelog-relay`: the relay as a program.

use clap::{Parser, Subcommand};
use relay_server::config::{Flags, LogFormat};
use relay_server::log_store::embedded::{EmbeddedLog, OpenError, Options};
use relay_server::log_store::shell::Store;
use relay_server::log_store::{LogStore, Synced};
use relay_server::validator::{Rules, RulesError};
use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use sync_core::relay::store::StoreError;
use sync_core::relay::{TakeAll, Validator};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

/// Threads that read the log beside the one that writes it.
const READERS: usize = 2;
/// SQLite's log from the start: a moment's writing on opening.
const LOG_BYTES: usize = 16 * 1024 * 1024;

/// These print frames as they are when everything is logged: no filter makes them do so here.
const SAYS_CONTENT: [&str; 3] = ["tungstenite", "tokio_tungstenite", "hyper"];

/// The Tidelog relay: keeps the logs that devices sync through.
#[derive(Parser)]
#[command(version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve devices on /sync, health on /healthz, and, with --static, an app's files
    #[command(
        after_help = "Stop it with Ctrl-C or SIGTERM: it says goodbye to its devices, finishes what is under way \
        and exits with 0.\n\nA page of another site may not connect unless --origin names it; programs that are no \
        browsers may."
    )]
    Serve(Box<Flags>),
}

/// Why the relay does not run.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(
        "{0} can be reached by others, and this version has no access control: anyone could read and write everything. \
         Listen on a loopback address, or say --insecure-anyone-may-write if that is what you want"
    )]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, std::io::Error),
    #[error("--log {0:?} is not a filter: {1}")]
    Log(String, tracing_subscriber::filter::ParseError),
    #[error(transparent)]
    Rules(#[from] RulesError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("the store cannot be started: {0}")]
    Store(#[from] StoreError),
    #[error("the store does not wait for stable storage, so an acknowledgement would mean nothing")]
    NotDurable,
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

#[tokio::main]
async fn main() -> ExitCode {
    let Command::Serve(flags) = Cli::parse().command;
    match serve(*flags).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tidelog-relay: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(flags: Flags) -> Result<(), StartError> {
    let bad_filter = |error| StartError::Log(flags.log.clone(), error);
    let mut filter = EnvFilter::try_new(&flags.log).map_err(bad_filter)?;
    for module in SAYS_CONTENT {
        filter = filter.add_directive(format!("{module}=warn").parse().map_err(bad_filter)?);
    }
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match flags.log_format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    if !flags.listen.ip().is_loopback() {
        if !flags.insecure_anyone_may_write {
            return Err(StartError::NotLoopback(flags.listen));
        }
        eprintln!("tidelog-relay: WARNING: ANYONE who can reach {} may read and write EVERYTHING", flags.listen);
        tracing::warn!("there is no access control: anyone may read and write everything");
    }
    let validator: Arc<dyn Validator> = match &flags.rules {
        Some(file) => Arc::new(Rules::load(file)?),
        None => Arc::new(TakeAll),
    };
    let log =
        EmbeddedLog::open(&flags.data, Options { log_bytes_min: LOG_BYTES, ..Options::new(relay_server::seed()) })?;
    let store = Store::start(log, READERS)?;
    if store.durability().synced == Synced::No {
        return Err(StartError::NotDurable);
    }
    let listener = TcpListener::bind(flags.listen).await.map_err(|error| StartError::Listen(flags.listen, error))?;
    let address = listener.local_addr().map_err(|error| StartError::Listen(flags.listen, error))?;
    writeln!(std::io::stdout(), "tidelog-relay listens on http://{address}").map_err(StartError::Output)?;
    tracing::info!(%address, data = %flags.data.display(), "serving");
    relay_server::run(listener, Arc::new(store), flags.config(validator), stopped()).await;
    tracing::info!("stopped");
    Ok(())
}

/// Ends when the process is asked to stop.
async fn stopped() {
    let interrupt = async {
        if tokio::signal::ctrl_c().await.is_err() {
            // No such signal here: only the others can stop it.
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
