//! Child processes: each is printed before it runs, has a longest time, and is stopped, with all that it started,
//! when that time is over or somebody presses Ctrl-C.
//!
//! A child gets a process group of its own, named by its pid, so that stopping `npm` also stops the browser that a test
//! under it opened, and nothing else.

use anyhow::{Context as _, Result, bail};
#[cfg(unix)]
use nix::{sys::signal::Signal, unistd::Pid};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time of a command that does not say otherwise: a cold release build on two slow cores.
const DEFAULT_LIMIT: Duration = Duration::from_secs(45 * 60);
/// How long a child may take to leave after it was asked to.
const STOP_GRACE: Duration = Duration::from_secs(20);
/// How often a silent wait says that it goes on.
const HEARTBEAT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static IN_CI: AtomicBool = AtomicBool::new(false);
/// The newest lines of children that look like a failure. A recorded log often keeps its end only, where the summary stands.
static COMPLAINTS: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
const COMPLAINTS_MAX: usize = 16;
const COMPLAINT_CHARS_MAX: usize = 300;

/// From here on Ctrl-C (and SIGTERM) sets a flag that every wait looks at.
pub fn catch_interrupts() -> Result<()> {
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::SeqCst)).context("could not install the Ctrl-C handler")
}

/// Whether somebody asked this program to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// From here on children are told that they run in CI.
pub fn in_ci() {
    IN_CI.store(true, Ordering::SeqCst);
}

/// What the children since the last call complained of, oldest first: empty where they wrote to a terminal.
pub fn take_complaints() -> Vec<String> {
    COMPLAINTS.lock().map(|mut lines| lines.drain(..).collect()).unwrap_or_default()
}

/// Copies a child's output to ours and remembers what looks like a failure.
fn copy(output: impl Read + Send + 'static, to_stderr: bool) {
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = vec![];
        while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            // Whoever reads us may be gone; the child still runs to its end.
            let _ = if to_stderr { std::io::stderr().write_all(&line) } else { std::io::stdout().write_all(&line) };
            let text = String::from_utf8_lossy(&line);
            if ["FAIL", "panicked at", "error:", "error[", "Error:", "\u{d7} "].iter().any(|sign| text.contains(sign))
                && let Ok(mut lines) = COMPLAINTS.lock()
            {
                lines.push_back(text.trim_end().chars().take(COMPLAINT_CHARS_MAX).collect());
                let surplus = lines.len().saturating_sub(COMPLAINTS_MAX);
                lines.drain(..surplus);
            }
            line.clear();
        }
    });
}

/// A command to be.
pub struct Run {
    command: Command,
    shown: String,
    limit: Duration,
    is_redirected: bool,
}

/// `program` with `arguments`, in the repository's root unless `folder` says otherwise.
pub fn run<S: AsRef<OsStr>>(program: &str, arguments: impl IntoIterator<Item = S>) -> Run {
    let mut command = Command::new(program);
    let mut shown = program.to_owned();
    for argument in arguments {
        command.arg(argument.as_ref());
        shown.push(' ');
        shown.push_str(&quoted(&argument.as_ref().to_string_lossy()));
    }
    command.current_dir(crate::workspace::root()).stdin(Stdio::null());
    if IN_CI.load(Ordering::SeqCst) {
        command.env("CI", "true");
    }
    Run { command, shown, limit: DEFAULT_LIMIT, is_redirected: false }
}

impl Run {
    /// Sets an environment variable; it is printed in front of the command.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value.as_ref());
        self.shown = format!("{name}={} {}", quoted(&value.as_ref().to_string_lossy()), self.shown);
        self
    }

    /// Runs in another folder than the repository's root.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it prints to standard error goes into a file.
    pub fn log(mut self, file: &Path) -> Result<Self> {
        let opened = std::fs::File::create(file).with_context(|| format!("could not write {}", file.display()))?;
        self.command.stderr(opened);
        self.is_redirected = true;
        Ok(self)
    }

    /// What it prints goes nowhere.
    pub fn quiet(mut self) -> Self {
        self.command.stdout(Stdio::null()).stderr(Stdio::null());
        self.is_redirected = true;
        self
    }

    /// The longest time that it may take.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it to its end, its output going where ours goes. An error if it cannot start, fails, or takes too long.
    pub fn go(mut self) -> Result<()> {
        let (limit, shown) = (self.limit, self.shown.clone());
        // Nobody watches: then its complaints are remembered for the summary.
        if !self.is_redirected && !std::io::stdout().is_terminal() {
            self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut running = self.start()?;
        running.child.stdout.take().into_iter().for_each(|output| copy(output, false));
        running.child.stderr.take().into_iter().for_each(|output| copy(output, true));
        let status = running.wait(limit)?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        Ok(())
    }

    /// Runs it to its end and returns what it printed to standard output. Not printed itself: it only asks.
    pub fn output(mut self) -> Result<String> {
        self.command.stdout(Stdio::piped());
        let (limit, shown) = (self.limit, self.shown.clone());
        let mut running = self.start_silently()?;
        let mut stdout = running.child.stdout.take().context("no output of the child: it was asked for above")?;
        let reader = thread::spawn(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).map(|_| text)
        });
        let status = running.wait(limit)?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        match reader.join() {
            Ok(text) => text.with_context(|| format!("`{shown}` did not print text")),
            Err(_) => bail!("reading the output of `{shown}` failed"),
        }
    }

    /// Starts it and returns at once; it is stopped when the value is dropped.
    pub fn start(self) -> Result<Running> {
        println!("$ {}", self.shown);
        self.start_silently()
    }

    fn start_silently(mut self) -> Result<Running> {
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut self.command, 0);
        let child = self.command.spawn().with_context(|| format!("could not start `{}`", self.shown))?;
        Ok(Running { child, shown: self.shown, started: Instant::now() })
    }
}

/// A child that runs.
pub struct Running {
    child: Child,
    shown: String,
    started: Instant,
}

impl Running {
    /// Waits for its end; stops it and fails after `limit` or at Ctrl-C.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let mut heartbeat = HEARTBEAT;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if interrupted() {
                self.stop()?;
                bail!("interrupted");
            }
            let elapsed = self.started.elapsed();
            if elapsed > limit {
                self.stop()?;
                bail!("`{}` was stopped: it took longer than {}", self.shown, duration(limit));
            }
            if elapsed > heartbeat {
                println!("  ... {} so far: {}", duration(elapsed), self.shown);
                heartbeat += HEARTBEAT;
            }
            thread::sleep(POLL);
        }
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().with_context(|| format!("could not wait for `{}`", self.shown))
    }

    /// Asks it to leave, and ends it if it has not after a while; where nothing can be asked (not on Unix), ends it at once.
    /// Returns how it left.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        #[cfg(unix)]
        {
            self.signal(Signal::SIGTERM);
            let asked = Instant::now();
            while asked.elapsed() < STOP_GRACE {
                if let Some(status) = self.ended()? {
                    return Ok(status);
                }
                thread::sleep(POLL);
            }
            println!("`{}` did not leave within {}: ended", self.shown, duration(STOP_GRACE));
            self.signal(Signal::SIGKILL);
        }
        self.child.kill().with_context(|| format!("could not end `{}`", self.shown))?;
        self.child.wait().with_context(|| format!("could not wait for `{}`", self.shown))
    }

    /// Sends a signal to the child and all that it started.
    #[cfg(unix)]
    fn signal(&self, signal: Signal) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It fails when the group has just ended, which is what we want.
            let _ = nix::sys::signal::killpg(Pid::from_raw(pid), signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.ended(), Ok(None)) {
            let _ = self.stop();
        }
    }
}

/// The path of a program that can be started by this name.
pub fn find(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let names = [program.to_owned(), format!("{program}.exe"), format!("{program}.cmd")];
    let mut candidates = std::env::split_paths(&path).flat_map(|folder| names.clone().map(|name| folder.join(name)));
    candidates.find(|path| path.is_file())?.into_os_string().into_string().ok()
}

/// Whether a program can be started by this name.
pub fn exists(program: &str) -> bool {
    find(program).is_some()
}

/// Minutes and seconds, for people.
pub fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..60 => format!("{seconds} s"),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

/// An argument as one would type it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@,+%".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_takes_too_long_is_stopped_with_its_own_children() {
        let mut running = run("sh", ["-c", "sleep 100 & echo $!; wait"]).output_of_start();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut running.1, &mut line).unwrap();
        let grandchild = line.trim().to_owned();
        let pid = Pid::from_raw(grandchild.parse().unwrap());
        let lives = || nix::sys::signal::kill(pid, None).is_ok();
        assert!(lives(), "the grandchild {grandchild} runs");
        let error = running.0.wait(Duration::from_millis(100)).unwrap_err().to_string();
        assert!(error.contains("took longer than 100 ms"), "{error}");
        // It becomes a zombie until its new parent looks at it.
        let started = Instant::now();
        while lives() && started.elapsed() < Duration::from_secs(5) {
            thread::sleep(POLL);
        }
        assert!(!lives(), "the grandchild {grandchild} was stopped too");
    }

    #[test]
    fn what_a_child_complains_of_is_kept_for_the_summary() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        copy(reader, true);
        writer.write_all(b"one test passed\nFAIL the other\n").unwrap();
        drop(writer);
        let started = Instant::now();
        let mut kept = vec![];
        while kept.is_empty() && started.elapsed() < Duration::from_secs(5) {
            kept = take_complaints();
            thread::sleep(POLL);
        }
        assert!(kept.iter().any(|line| line == "FAIL the other") && kept.iter().all(|line| !line.contains("passed")));
    }

    #[test]
    fn a_failure_names_the_command_as_one_would_type_it() {
        let error = run("sh", ["-c", "exit 3"]).go().unwrap_err().to_string();
        assert!(error.starts_with("`sh -c 'exit 3'` failed") && error.contains('3'), "{error}");
        assert!(run("no such program", [""; 0]).go().is_err());
        assert_eq!(run("echo", ["a b"]).output().unwrap(), "a b\n");
    }

    impl Run {
        /// Starts it with its output for the test to read.
        fn output_of_start(mut self) -> (Running, std::io::BufReader<std::process::ChildStdout>) {
            self.command.stdout(Stdio::piped());
            let mut running = self.start().unwrap();
            let stdout = running.child.stdout.take().unwrap();
            (running, std::io::BufReader::new(stdout))
        }
    }
}
