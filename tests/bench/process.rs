//! The measured server as a child process on a core of its own, and what it costs.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// The core of the server; the generator runs on the other.
pub const SERVER_CORE: &str = "0";
/// See `SERVER_CORE`.
pub const GENERATOR_CORE: &str = "1";
/// Ticks of `/proc/<pid>/stat` in a second: fixed in Linux's interface.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server; killed when dropped.
pub struct Process {
    _child: Child,
    /// Host and port.
    pub address: String,
    pid: u32,
}

impl Process {
    /// Starts `program` pinned to the server's core, and waits for the line that holds its address.
    pub async fn start(program: &Path, args: &[&str]) -> std::io::Result<Process> {
        let mut child = Command::new("taskset")
            .args(["-c", SERVER_CORE])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().ok_or_else(|| std::io::Error::other("the server ended at its start"))?;
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let line = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
        let line = line.map_err(|_| std::io::Error::other("the server did not say where it listens"))??;
        let line = line.ok_or_else(|| std::io::Error::other("the server ended at its start"))?;
        let address = line.rsplit("//").next().unwrap_or_default().split('/').next().unwrap_or_default().to_string();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Process { _child: child, address, pid })
    }
    /// User and system time so far, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).unwrap_or_default();
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th field behind it.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
        (ticks(11) + ticks(12)) / TICKS_PER_SECOND
    }
    /// Resident memory, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
    }
}
