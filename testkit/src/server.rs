//! The real program as a process of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;
use crate::metrics::Reading;
use crate::sign::TEST_SECRET;
use crate::watchdog::Watchdog;
use crate::{process, wait};

/// Names the program to test when the test binary does not know it: `cargo xtask test` sets it.
pub const BINARY_VARIABLE: &str = "BILLHOOK_BINARY";
/// Longest wait for the program to listen, in seconds.
const START_SECONDS_MAX: u64 = 60;
/// Longest wait for the program to end after a signal, in seconds. It promises 10 for itself.
const END_SECONDS_MAX: u64 = 60;
/// Lines of its log that a failing test shows.
const SHOWN_LINES_MAX: usize = 60;

/// How to start the program; clone it to start the same again.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    binary: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
    /// Working directory: without a `.env` or a `billhook.toml` unless the test puts one there.
    directory: Arc<TempDir>,
}

impl ServerSettings {
    /// Settings of `serve` on this database, with [`TEST_SECRET`], on a free loopback port.
    ///
    /// # Errors
    /// When no working directory can be made.
    pub fn new(binary: impl AsRef<Path>, database_url: &str) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("billhook-work-").tempdir()?;
        let settings = Self {
            binary: binary.as_ref().to_owned(),
            environment: Vec::new(),
            arguments: vec!["serve".into(), "--listen".into(), "127.0.0.1:0".into()],
            directory: Arc::new(directory),
        };
        Ok(settings.set("DATABASE_URL", database_url).set("STRIPE_WEBHOOK_SECRET", TEST_SECRET))
    }

    /// The program that `BILLHOOK_BINARY` names.
    ///
    /// # Errors
    /// When the variable is not set.
    pub fn binary_from_environment() -> anyhow::Result<PathBuf> {
        let binary = std::env::var_os(BINARY_VARIABLE).with_context(|| format!("{BINARY_VARIABLE} is not set"))?;
        Ok(PathBuf::from(binary))
    }

    /// Sets a variable of the program's environment, which is otherwise empty but for `PATH`.
    #[must_use]
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(existing, _)| existing != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds command-line arguments after `serve --listen …`.
    #[must_use]
    pub fn arguments(mut self, more: &[&str]) -> Self {
        self.arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        self
    }

    /// The working directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A command with the same environment and working directory, for the program's other commands (`events list`).
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().current_dir(self.directory.path()).stdin(Stdio::null()).args(arguments);
        if let Some(path) = std::env::var_os("PATH") {
            command.env("PATH", path);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the program and waits until it listens.
    ///
    /// # Errors
    /// When it ends or stays silent instead; the message contains its log.
    pub fn start(&self) -> anyhow::Result<Server> {
        let mut server = self.spawn()?;
        server.wait_until_listening()?;
        Ok(server)
    }

    /// Starts the program and waits for nothing; [`Server::address`] is known after [`Server::wait_until_listening`].
    ///
    /// # Errors
    /// When it cannot be executed.
    pub fn spawn(&self) -> anyhow::Result<Server> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let started = Instant::now();
        let mut child = self
            .command(&arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} cannot be started", self.binary.display()))?;
        let watchdog = Watchdog::start(Command::new("sh"), "kill -KILL \"$1\"", Path::new(&child.id().to_string()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (sender, listening) = mpsc::channel();
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            std::thread::spawn(move || collect(stderr, &log, &sender));
        }
        Ok(Server {
            child,
            log,
            listening,
            address: None,
            started,
            start_time: None,
            _watchdog: watchdog?,
            _directory: Arc::clone(&self.directory),
        })
    }
}

/// A running program; dropping it kills it.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    listening: mpsc::Receiver<SocketAddr>,
    address: Option<SocketAddr>,
    started: Instant,
    start_time: Option<Duration>,
    _watchdog: Watchdog,
    _directory: Arc<TempDir>,
}

impl Server {
    /// Waits for the log line that says where the program listens.
    ///
    /// # Errors
    /// When the program ends or stays silent instead; the message contains its log.
    pub fn wait_until_listening(&mut self) -> anyhow::Result<SocketAddr> {
        if let Some(address) = self.address {
            return Ok(address);
        }
        // The channel closes when the program ends.
        match self.listening.recv_timeout(Duration::from_secs(START_SECONDS_MAX)) {
            Ok(address) => {
                self.start_time = Some(self.started.elapsed());
                self.address = Some(address);
                Ok(address)
            }
            Err(mpsc::RecvTimeoutError::Timeout) => bail!("the program does not say where it listens:\n{}", self.log()),
            Err(mpsc::RecvTimeoutError::Disconnected) => bail!("the program ended at its start:\n{}", self.log()),
        }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Before [`Server::wait_until_listening`].
    pub fn address(&self) -> SocketAddr {
        match self.address {
            Some(address) => address,
            None => panic!("the address is known only after wait_until_listening"),
        }
    }

    /// From starting the process to its log line.
    pub fn start_time(&self) -> Option<Duration> {
        self.start_time
    }

    /// A client of this server.
    pub fn client(&self) -> Client {
        Client::new(self.address())
    }

    /// Reads `/metrics`.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub fn metrics(&self) -> anyhow::Result<Reading> {
        let response = self.client().get("/metrics")?;
        if response.status != 200 {
            bail!("/metrics answers {}", response.status);
        }
        Ok(Reading::parse(&response.text()))
    }

    /// Everything it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash does: nothing is flushed, no handler runs.
    ///
    /// # Errors
    /// When it has ended already.
    pub fn kill9(mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the program had already ended with {status}:\n{}", self.log());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (`SIGTERM`) and says how, and how long it took.
    ///
    /// # Errors
    /// When it does not end.
    pub fn terminate(mut self) -> anyhow::Result<(ExitStatus, Duration)> {
        process::signal(self.id(), Signal::TERM)?;
        let asked = Instant::now();
        let status = self.wait_for_end()?;
        Ok((status, asked.elapsed()))
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it does not end.
    pub fn wait_for_end(&mut self) -> anyhow::Result<ExitStatus> {
        let limit = Duration::from_secs(END_SECONDS_MAX);
        wait::until("the program to end", limit, || self.child.try_wait().ok().flatten())
    }

    /// Freezes it (`SIGSTOP`).
    ///
    /// # Errors
    /// When it has ended.
    pub fn pause(&self) -> anyhow::Result<()> {
        process::signal(self.id(), Signal::STOP)
    }

    /// Wakes it (`SIGCONT`).
    ///
    /// # Errors
    /// When it has ended.
    pub fn resume(&self) -> anyhow::Result<()> {
        process::signal(self.id(), Signal::CONT)
    }

    /// Resident memory now, in kB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn rss_kb(&self) -> anyhow::Result<u64> {
        process::rss_kilobytes(self.id())
    }

    /// Greatest resident memory so far, in kB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak_rss_kb(&self) -> anyhow::Result<u64> {
        process::peak_rss_kilobytes(self.id())
    }

    /// Processor time used so far, in seconds.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        process::cpu_seconds(self.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
            let shown = &log[log.len().saturating_sub(SHOWN_LINES_MAX)..];
            eprintln!("the last lines of the program's log:\n{}", shown.join("\n"));
        }
    }
}

/// Keeps the program's log and reports the address it listens on, once.
fn collect(stderr: ChildStderr, log: &Mutex<Vec<String>>, listening: &mpsc::Sender<SocketAddr>) {
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        if let Some(address) = listening_address(&line) {
            let _ = listening.send(address);
        }
        log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// The address in a JSON log line that says `listening`.
fn listening_address(line: &str) -> Option<SocketAddr> {
    if !line.contains("listening") {
        return None;
    }
    address_in(&serde_json::from_str(line).ok()?)
}

fn address_in(value: &Value) -> Option<SocketAddr> {
    match value {
        Value::String(text) => text.trim_start_matches("http://").trim_end_matches('/').parse().ok(),
        Value::Object(fields) => fields.values().find_map(address_in),
        _ => None,
    }
}

/// An address on which nothing listens at this moment.
///
/// # Errors
/// When no port can be opened.
pub fn unused_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_the_log_line() {
        let line = r#"{"timestamp":"2026-01-01T00:00:00Z","level":"INFO","fields":{"message":"listening","address":"127.0.0.1:4242"}}"#;
        assert_eq!(listening_address(line), Some(([127, 0, 0, 1], 4242).into()));
        assert_eq!(
            listening_address(r#"{"message":"listening","url":"http://127.0.0.1:8080"}"#),
            Some(([127, 0, 0, 1], 8080).into())
        );
        assert_eq!(listening_address(r#"{"message":"started","address":"127.0.0.1:4242"}"#), None);
    }

    #[test]
    fn a_program_that_ends_at_its_start_is_reported_with_its_log() {
        let settings = ServerSettings::new("/bin/sh", "sqlite:x").unwrap();
        let error = settings.start().err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("ended at its start"), "{error}");
    }
}
