//! A host as the test sees it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use billhook_testkit::{process, wait};
use rustix::process::Signal;

use crate::host::{self, Ask};
use crate::world::{PATIENCE, World};

/// Longest wait for an answer of a process that lives.
const ANSWER: Duration = Duration::from_secs(30);

/// How to start one.
#[derive(Default, Clone)]
pub struct Settings {
    pub lease_ms: Option<u64>,
    pub work_ms: u64,
    pub clock_seconds: i64,
    pub failpoint: Option<String>,
    pub deploy: Option<u32>,
}

/// A process with an engine. It dies with its owner.
pub struct Host {
    child: Child,
    control: BufReader<TcpStream>,
}

impl Host {
    /// Starts one, and waits until it is ready.
    pub fn start(world: &World, settings: &Settings) -> Self {
        Self::try_start(world, settings).expect("the process died before it was ready")
    }

    /// Starts one; nothing when it dies before it is ready.
    pub fn try_start(world: &World, settings: &Settings) -> Option<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "host::host_process", "--ignored", "--nocapture"]);
        command.env(host::CONTROL_VARIABLE, listener.local_addr().unwrap().to_string());
        command.env(host::OBSERVER_VARIABLE, world.observer.address().to_string());
        command.env(host::DATABASE_VARIABLE, world.url()).env(host::WORK_VARIABLE, settings.work_ms.to_string());
        command.env(host::CLOCK_VARIABLE, settings.clock_seconds.to_string());
        command.envs(settings.lease_ms.map(|lease| (host::LEASE_VARIABLE, lease.to_string())));
        command.envs(settings.deploy.map(|deploy| (host::DEPLOY_VARIABLE, deploy.to_string())));
        command.envs(settings.failpoint.as_ref().map(|point| ("BILLHOOK_FAILPOINT", point)));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let accepted = wait::until("a process to be ready", PATIENCE, || match listener.accept() {
            Ok((stream, _)) => Some(Some(stream)),
            Err(_) => child.try_wait().unwrap().map(|_died| None),
        });
        let stream = accepted.unwrap()?;
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(ANSWER)).unwrap();
        let mut host = Self { child, control: BufReader::new(stream) };
        host.answer().map(|_id| host)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        self.control.read_line(&mut line).ok().filter(|_| line.ends_with('\n'))?;
        Some(line.trim_end().to_owned())
    }

    /// Asks it; nothing when it is dead.
    pub fn ask(&mut self, ask: &Ask) -> Option<String> {
        let mut line = serde_json::to_vec(ask).unwrap();
        line.push(b'\n');
        self.control.get_ref().write_all(&line).ok()?;
        self.answer()
    }

    pub fn set_clock(&mut self, seconds: i64) {
        assert_eq!(self.ask(&Ask::Clock(seconds)).as_deref(), Some("ok"));
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it in good order.
    pub fn stop(mut self) {
        self.ask(&Ask::Stop);
        self.died(PATIENCE);
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits until it ends by itself.
    pub fn died(&mut self, limit: Duration) -> ExitStatus {
        wait::until("the process to end", limit, || self.child.try_wait().unwrap()).unwrap()
    }

    /// Stops it where it stands, without its knowledge.
    pub fn freeze(&self) {
        process::signal(self.id(), Signal::STOP).unwrap();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        process::signal(self.id(), Signal::CONT).unwrap();
    }

    pub fn cpu_seconds(&self) -> f64 {
        process::cpu_seconds(self.id()).unwrap()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
