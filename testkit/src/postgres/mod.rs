//! Throw-away PostgreSQL clusters: started on a free loopback port, stopped, killed or frozen by a test, and gone afterwards.

mod account;
mod binaries;
mod settings;

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::Signal;
use tempfile::TempDir;

pub use account::Account;
pub use binaries::{Binaries, MISSING};
pub use settings::{ClusterSettings, Durability};

use crate::watchdog::Watchdog;
use crate::{process, random, sql, wait};

/// Longest wait for a cluster to start, in seconds. Recovery after a crash is part of a start.
const START_SECONDS_MAX: u64 = 60;
/// Longest wait for a cluster to stop, in seconds.
const STOP_SECONDS_MAX: u64 = 60;
/// Attempts with another port when somebody takes the free one first.
const PORT_ATTEMPTS_MAX: u32 = 5;
/// A path to a Unix socket must fit into 107 bytes; longer directories go without one.
const SOCKET_DIRECTORY_BYTES_MAX: usize = 80;

/// How a cluster is told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Disconnects the clients, rolls back what is open, writes a checkpoint.
    Fast,
    /// Like a crash: no checkpoint, recovery at the next start.
    Immediate,
}

/// A PostgreSQL cluster of our own. Dropping it stops the server and removes its files; when this process dies, a watchdog
/// does the same.
#[derive(Debug)]
pub struct Cluster {
    binaries: Binaries,
    account: Account,
    settings: ClusterSettings,
    directory: TempDir,
    port: u16,
    server: Option<Child>,
    _watchdog: Watchdog,
}

impl Cluster {
    /// Makes and starts a cluster for tests: fast and not durable.
    ///
    /// # Errors
    /// When there are no server binaries ([`MISSING`] says how to get them) or the server does not start.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(ClusterSettings::default())
    }

    /// Makes and starts a cluster.
    ///
    /// # Errors
    /// When there are no server binaries or the server does not start.
    pub fn start_with(settings: ClusterSettings) -> anyhow::Result<Self> {
        let binaries = Binaries::find().context(MISSING)?;
        let account = Account::unprivileged()?;
        let directory = tempfile::Builder::new().prefix("billhook-postgres-").tempdir()?;
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o700))?;
        account.own(directory.path())?;
        let watchdog = Watchdog::start(
            account.command("sh"),
            "pid=$(head -n 1 \"$1/data/postmaster.pid\" 2>/dev/null) && kill -QUIT \"$pid\"; \
             while kill -0 \"$pid\" 2>/dev/null; do sleep 0.1; done; rm -rf \"$1\"",
            directory.path(),
        )?;
        let mut cluster = Self { binaries, account, settings, directory, port: 0, server: None, _watchdog: watchdog };
        cluster.initialise()?;
        cluster.begin()?;
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.account.command(self.binaries.program(program));
        command.current_dir(self.directory.path()).env("LC_ALL", "C").stdin(Stdio::null()).process_group(0);
        command
    }

    fn initialise(&self) -> anyhow::Result<()> {
        let output = self
            .command("initdb")
            .args(["--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(self.data())
            .output()
            .context("initdb cannot be started")?;
        if !output.status.success() {
            bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    /// Starts the server again after [`Cluster::stop`] or [`Cluster::kill`], on the same port.
    ///
    /// # Errors
    /// When it runs already or does not start.
    pub fn begin(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            bail!("the cluster runs already");
        }
        let mut attempt = 1;
        loop {
            if self.port == 0 {
                self.port = free_port()?;
                match self.try_begin() {
                    Err(_) if attempt < PORT_ATTEMPTS_MAX => self.port = 0,
                    result => return result,
                }
            } else {
                // After a kill the old backends may hold the shared memory for a moment.
                return wait::until("the cluster to start again", Duration::from_secs(START_SECONDS_MAX), || {
                    self.try_begin().ok()
                });
            }
            attempt += 1;
        }
    }

    fn try_begin(&mut self) -> anyhow::Result<()> {
        let log = std::fs::File::create(self.log_path())?;
        let directory = self.directory.path().to_string_lossy().into_owned();
        let sockets = if directory.len() > SOCKET_DIRECTORY_BYTES_MAX { "" } else { &directory };
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).stdout(Stdio::null()).stderr(log);
        command.args(["-c", &format!("port={}", self.port), "-c", "listen_addresses=127.0.0.1"]);
        command.args(["-c", &format!("unix_socket_directories={sockets}")]);
        for (name, value) in self.settings.assignments() {
            command.args(["-c", &format!("{name}={value}")]);
        }
        let mut child = command.spawn().context("postgres cannot be started")?;
        let ready = wait::until("the cluster to accept connections", Duration::from_secs(START_SECONDS_MAX), || {
            if child.try_wait().ok().flatten().is_some() {
                Some(false)
            } else {
                self.is_ready(child.id()).then_some(true)
            }
        });
        if ready.is_ok_and(|ready| ready) {
            self.server = Some(child);
            return Ok(());
        }
        let _ = child.kill();
        let _ = child.wait();
        bail!("postgres does not start: {}", self.log());
    }

    /// The postmaster itself writes its state into the eighth line of its pid file.
    fn is_ready(&self, pid: u32) -> bool {
        let Ok(text) = std::fs::read_to_string(self.data().join("postmaster.pid")) else { return false };
        let mut lines = text.lines();
        lines.next().and_then(|line| line.parse().ok()) == Some(pid)
            && lines.nth(6).is_some_and(|state| state.trim() == "ready")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    /// What the server has logged since its last start.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Loopback port; it stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// URL of the database `postgres`, as superuser.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// URL of a database, as superuser.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes a database with a random name and gives its URL.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn create_database(&self) -> anyhow::Result<String> {
        let name = random::name("billhook");
        sql::execute(&self.url(), &format!("CREATE DATABASE {name}"))?;
        Ok(self.url_of(&name))
    }

    /// Stops the server.
    ///
    /// # Errors
    /// When it does not stop in time.
    pub fn stop(&mut self, how: Stop) -> anyhow::Result<()> {
        let signal = match how {
            Stop::Fast => Signal::INT,
            Stop::Immediate => Signal::QUIT,
        };
        self.end(signal)
    }

    /// Kills the postmaster with `SIGKILL`; its backends end themselves when they notice.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.end(Signal::KILL)
    }

    fn end(&mut self, signal: Signal) -> anyhow::Result<()> {
        let mut server = self.server.take().context("the cluster does not run")?;
        process::signal(server.id(), signal)?;
        let stopped = wait::until("the cluster to stop", Duration::from_secs(STOP_SECONDS_MAX), || {
            server.try_wait().ok().flatten()
        });
        if stopped.is_err() {
            self.server = Some(server);
        }
        stopped.map(|_| ())
    }

    fn process_ids(&self) -> anyhow::Result<Vec<u32>> {
        let postmaster = self.server.as_ref().context("the cluster does not run")?.id();
        let mut all = vec![postmaster];
        all.extend(process::children(postmaster));
        Ok(all)
    }

    /// Freezes the server and all its backends; connections stay open and nothing answers.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn pause(&self) -> anyhow::Result<()> {
        // The postmaster first, so that it starts no backend between the look and the signal.
        process::signal(self.server.as_ref().context("the cluster does not run")?.id(), Signal::STOP)?;
        for pid in self.process_ids()? {
            // A backend may have ended since.
            let _ = process::signal(pid, Signal::STOP);
        }
        Ok(())
    }

    /// Wakes what [`Cluster::pause`] froze.
    ///
    /// # Errors
    /// When the server does not run.
    pub fn resume(&self) -> anyhow::Result<()> {
        for pid in self.process_ids()? {
            let _ = process::signal(pid, Signal::CONT);
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // A frozen postmaster would not hear the request to stop.
        let _ = self.resume();
        if self.server.is_some() && self.stop(Stop::Immediate).is_err() {
            let _ = self.kill();
        }
    }
}

/// A loopback port that is free at this moment.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_starts_stops_crashes_and_disappears() {
        if Binaries::find().is_none() {
            return crate::skip::note("a_cluster_starts_stops_crashes_and_disappears", MISSING);
        }
        let mut cluster =
            Cluster::start_with(ClusterSettings { durability: Durability::Full, ..Default::default() }).unwrap();
        let directory = cluster.directory.path().to_owned();
        let url = cluster.create_database().unwrap();
        sql::execute(&url, "CREATE TABLE t (n bigint); INSERT INTO t VALUES (1)").unwrap();
        for how in [Stop::Fast, Stop::Immediate] {
            cluster.stop(how).unwrap();
            assert!(sql::query(&url, "SELECT n FROM t").is_err(), "a stopped server must not answer");
            cluster.begin().unwrap();
        }
        cluster.kill().unwrap();
        cluster.begin().unwrap();
        cluster.pause().unwrap();
        cluster.resume().unwrap();
        assert_eq!(sql::query(&url, "SELECT n FROM t").unwrap(), [serde_json::json!({"n": 1})]);
        drop(cluster);
        assert!(!directory.exists());
    }
}
