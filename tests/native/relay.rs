//! The relay as a child process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A running relay; killed when dropped.
pub struct RelayProcess {
    child: Child,
    /// `127.0.0.1:<port>`
    pub address: String,
    data: PathBuf,
}

/// Where the relay's binary is: beside this program, unless `TIDELOG_RELAY` says otherwise.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("TIDELOG_RELAY") {
        return path.into();
    }
    let mut path = std::env::current_exe().expect("this program has a path");
    path.pop();
    if path.ends_with("deps") {
        path.pop();
    }
    path.join("tidelog-relay")
}

impl RelayProcess {
    /// Starts it on `listen` and waits until it says where it listens.
    pub async fn start(data: &Path, listen: &str) -> std::io::Result<RelayProcess> {
        let mut child = Command::new(binary())
            .args(["serve", "--log", "warn", "--listen", listen, "--data"])
            .arg(data)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let wait = tokio::time::timeout(Duration::from_secs(20), lines.next_line());
        let line = wait.await.map_err(|_| std::io::Error::other("the relay did not say where it listens"))??;
        let line = line.ok_or_else(|| std::io::Error::other("the relay ended at its start"))?;
        let address = line.rsplit("//").next().unwrap_or_default().split('/').next().unwrap_or_default().to_string();
        // Nobody reads on: the pipe stays open so that a later line does not end the relay.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(RelayProcess { child, address, data: data.to_path_buf() })
    }
    /// SIGKILL, then the same relay again on the same address and data.
    pub async fn kill_and_restart(&mut self) -> std::io::Result<()> {
        self.child.kill().await?;
        *self = RelayProcess::start(&self.data.clone(), &self.address.clone()).await?;
        Ok(())
    }
}
