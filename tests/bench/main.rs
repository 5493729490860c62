//! `cargo xtask bench relay`: the relay beside two floors, in one run: the *merged floor* (`floor.rs`) and the log store
//! alone, without sockets. Ratios mean something, absolute figures are this machine's.
//!
//! `bench relay [--seconds N] [--only NAME] [--markdown]`, and `bench floor --listen ADDRESS --file PATH` for itself.

mod client;
mod floor;
mod measures;
mod process;
mod store_alone;

use client::Server;
use measures::{Measure, Result as Fallible, Setting};
use process::{GENERATOR_CORE, Process};
use std::path::PathBuf;

struct Arguments {
    seconds: u64,
    only: Option<String>,
    markdown: bool,
}

fn main() -> Fallible<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| args.iter().position(|a| a == name).and_then(|at| args.get(at + 1)).cloned();
    match args.first().map(String::as_str) {
        Some("floor") => {
            let listen = value("--listen").unwrap_or_else(|| "127.0.0.1:0".into());
            let file = value("--file").ok_or("floor needs --file")?;
            // As many threads as the relay has on this machine.
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            Ok(runtime.block_on(floor::serve(&listen, file.into()))?)
        }
        Some("relay") => {
            let seconds = value("--seconds").map_or(Ok(4), |s| s.parse())?;
            let markdown = args.iter().any(|a| a == "--markdown");
            pinned(&args)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(relay(&Arguments { seconds, only: value("--only"), markdown }))
        }
        _ => Err("bench relay [--seconds N] [--only NAME] [--markdown]".into()),
    }
}

/// Runs this program again on the generator's core, once.
fn pinned(args: &[String]) -> Fallible<()> {
    const MARK: &str = "TIDELOG_BENCH_PINNED";
    if std::env::var_os(MARK).is_some() {
        return Ok(());
    }
    let status = std::process::Command::new("taskset")
        .args(["-c", GENERATOR_CORE])
        .arg(std::env::current_exe()?)
        .args(args)
        .env(MARK, "1")
        .status()?;
    std::process::exit(status.code().unwrap_or(1));
}

async fn relay(arguments: &Arguments) -> Fallible<()> {
    let folder = std::env::temp_dir().join(format!("tidelog-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let mut table = vec![];
    for measure in Measure::all(arguments.seconds) {
        if arguments.only.as_ref().is_some_and(|only| !measure.name().contains(only.as_str())) {
            continue;
        }
        eprintln!("{} ...", measure.name());
        let mut row = vec![];
        for server in [Server::Tidelog, Server::Floor] {
            let process = start(server, &folder).await?;
            row.push(measure.run(&Setting { server, process: &process }).await?);
            eprintln!("  {server:?}: {}", row[row.len() - 1]);
        }
        table.push((measure.name(), row));
    }
    print_table(&table, arguments.markdown);
    if arguments.only.as_ref().is_none_or(|only| "log store alone".contains(only.as_str())) {
        store_alone::print(&folder, arguments.seconds)?;
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

async fn start(server: Server, folder: &std::path::Path) -> Fallible<Process> {
    let data: PathBuf = folder.join(format!("{server:?}-{}", std::fs::read_dir(folder)?.count()));
    let data = data.to_str().ok_or("a temporary folder's name is text")?;
    let this = std::env::current_exe()?;
    let relay = std::env::var_os("TIDELOG_RELAY").map_or_else(|| this.with_file_name("tidelog-relay"), PathBuf::from);
    Ok(match server {
        Server::Tidelog => {
            Process::start(&relay, &["serve", "--log", "warn", "--listen", "127.0.0.1:0", "--data", data]).await?
        }
        Server::Floor => Process::start(&this, &["floor", "--listen", "127.0.0.1:0", "--file", data]).await?,
    })
}

fn print_table(table: &[(String, Vec<measures::Outcome>)], markdown: bool) {
    let header =
        ["measure", "relay", "merged floor", "relay / floor", "relay: CPU s per 1,000 events", "floor: the same"];
    let rows = table.iter().map(|(name, row)| {
        let cpu = |o: &measures::Outcome| o.cpu_per_1000.map_or("-".to_string(), |cpu| format!("{cpu:.5}"));
        let ratio = if row[0].more_is_better { row[0].value / row[1].value } else { row[1].value / row[0].value };
        [name.clone(), row[0].to_string(), row[1].to_string(), format!("{ratio:.2}"), cpu(&row[0]), cpu(&row[1])]
    });
    if markdown {
        println!("| {} |\n|{}", header.join(" | "), " --- |".repeat(header.len()));
        rows.for_each(|row| println!("| {} |", row.join(" | ")));
    } else {
        rows.for_each(|row| println!("{}", row.join("; ")));
    }
}
