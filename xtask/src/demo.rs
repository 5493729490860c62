//! `cargo xtask demo`: builds everything, and runs the demo until Ctrl-C.

use crate::run::{self, Running, run};
use crate::{programs, steps, workspace};
use anyhow::{Context as _, Result, bail};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

const START_LIMIT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(50);

/// What a caller may choose.
#[derive(clap::Args)]
pub struct Options {
    /// Port of the page and the relay, on this machine only
    #[arg(long, default_value_t = 4080)]
    port: u16,
    /// Folder of the relay's log [default: demo-data in cargo's target folder]
    #[arg(long)]
    data: Option<PathBuf>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
}

/// Builds what is needed, starts the relay with the demo's files, opens the page, waits for Ctrl-C.
pub fn demo(options: Options) -> Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, options.port));
    // Before minutes of building: a page keeps its data by address, so another port would be another device.
    if TcpListener::bind(address).is_err() {
        bail!("port {} is in use; choose another with --port", options.port);
    }
    let (_, failed) = steps::perform(&["demo", "relay"])?;
    if failed > 0 {
        bail!("the demo could not be built");
    }

    let data = match options.data {
        Some(data) => std::path::absolute(data)?,
        None => workspace::target()?.join("demo-data"),
    };
    std::fs::create_dir_all(&data).with_context(|| format!("could not make {}", data.display()))?;
    let data = data.to_str().context("the path of the data folder is not Unicode")?;
    let listen = address.to_string();
    let rules = "demo/relay-rules.json";
    let arguments = ["serve", "--listen", &listen, "--data", data, "--static", "demo/dist", "--rules", rules];
    let mut relay = run(&programs::relay()?, arguments).start()?;
    let started = Instant::now();
    while !is_healthy(address) {
        if let Some(status) = relay.ended()? {
            bail!("the relay stopped ({status}): if another one uses {data}, choose another folder with --data");
        }
        if run::interrupted() || started.elapsed() > START_LIMIT {
            bail!("the relay does not answer at http://{listen}/healthz");
        }
        thread::sleep(POLL);
    }

    let page = format!("http://{listen}/");
    let _opener = if options.no_open { None } else { open(&page) };
    // Two windows of one browser share a local log: they are one device.
    println!("\nA second browser or a private window is a second device. Ctrl-C stops the demo.\n\n    {page}\n");
    while !run::interrupted() {
        if let Some(status) = relay.ended()? {
            bail!("the relay stopped ({status})");
        }
        thread::sleep(POLL);
    }
    println!("stopping the relay");
    let status = relay.stop()?;
    if !status.success() {
        bail!("the relay did not stop cleanly ({status})");
    }
    println!("stopped; its log stays in {data}");
    Ok(())
}

/// Whether the relay answers.
fn is_healthy(address: SocketAddr) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        socket.take(1024).read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// Opens the page, if this machine knows how: the address is printed anyway. What the opener has to say is of no use here,
/// and some stay as long as the browser does, so nobody waits for it.
fn open(page: &str) -> Option<Running> {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    if !run::exists(opener) {
        return None;
    }
    run(opener, [page]).quiet().start().ok()
}
