//! The browser of the end-to-end tests.

use crate::run::{self, run};
use anyhow::{Result, bail};
use std::path::Path;

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MACOS: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/// The path of a Chromium; installs one where that needs no question: as root on a Debian-like system.
pub fn chromium() -> Result<String> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    let root = cfg!(unix) && run("id", ["-u"]).output()?.trim() == "0";
    if !root || !run::exists("apt-get") {
        bail!("the end-to-end tests need Chromium or Chrome: install one, or set CHROME_PATH to its program");
    }
    run("apt-get", ["update"]).go()?;
    run("apt-get", ["install", "-y", "chromium"]).env("DEBIAN_FRONTEND", "noninteractive").go()?;
    match find()? {
        Some(found) => Ok(found),
        None => bail!("the package `chromium` brought no Chromium: install one, or set CHROME_PATH to its program"),
    }
}

fn find() -> Result<Option<String>> {
    if let Ok(path) = std::env::var("CHROME_PATH") {
        if !Path::new(&path).is_file() {
            bail!("CHROME_PATH is {path:?}, which is not a file");
        }
        return Ok(Some(path));
    }
    let in_path = NAMES.iter().find_map(|name| run::find(name));
    Ok(in_path.or_else(|| MACOS.iter().find(|path| Path::new(path).is_file()).map(|path| (*path).to_owned())))
}
