//! Faults S5 and D5: what the program tells the kernel to write, and what it does when the kernel cannot.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use billhook_testkit::process;
use billhook_testkit::{TestDatabase, skip, wait};
use rustix::process::Signal;

use super::ledger::{Answer, HEALED, Ledger};
use super::program::settings;

/// Deliveries one after the other, so that no commit serves two of them.
const DELIVERIES: u64 = 20;
/// Both names under which SQLite makes a commit durable.
const SYNCS: &str = "fsync,fdatasync";

/// A `strace` that looks at, or meddles with, every thread of a process.
struct Tracer(Child);

impl Tracer {
    /// Attaches; `None` and a note where that is impossible.
    fn attach(test: &str, pid: u32, expression: &str, output: &Path) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace
            .args(["-f", "-e", &format!("trace={SYNCS}"), "-e", expression, "-o"])
            .arg(output)
            .args(["-p", &pid.to_string()]);
        let Ok(mut child) = strace.stdin(Stdio::null()).stderr(Stdio::piped()).spawn() else {
            skip::note(test, "strace is not installed");
            return None;
        };
        // It says that it is attached, or ends.
        let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        if lines.take(2).all(|line| !line.contains("attached")) {
            let _ = child.kill();
            let _ = child.wait();
            skip::note(test, "strace may not attach here");
            return None;
        }
        Some(Self(child))
    }
}

impl Drop for Tracer {
    /// Lets the process go on undisturbed.
    fn drop(&mut self) {
        let _ = process::signal(self.0.id(), Signal::INT);
        let _ = self.0.wait();
    }
}

#[test]
fn s5_every_acknowledgement_on_sqlite_waits_for_the_disk() {
    let database = TestDatabase::sqlite().unwrap();
    let server = settings(&database.url()).start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    ledger.deliver_next(&mut client);
    let output = tempfile::NamedTempFile::new().unwrap();
    let name = "s5_every_acknowledgement_on_sqlite_waits_for_the_disk";
    let Some(tracer) = Tracer::attach(name, server.id(), "status=successful", output.path()) else { return };
    let mut syncs_before = 0;
    for _ in 0..DELIVERIES {
        assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged);
        let syncs =
            || std::fs::read_to_string(output.path()).unwrap().lines().filter(|line| line.contains("sync(")).count();
        // The line of a call is written when the call returns, hence before the program can go on.
        let syncs = wait::until("a write to the disk", HEALED, || Some(syncs()).filter(|syncs| *syncs > syncs_before));
        syncs_before = syncs.unwrap();
    }
    drop(tracer);
    assert!(syncs_before as u64 >= DELIVERIES, "{syncs_before} writes to the disk for {DELIVERIES} deliveries");
    ledger.compare(&format!("S5 {syncs_before} writes to the disk"), &database.url());
}

#[test]
fn d5_nothing_is_acknowledged_while_the_disk_does_not_take_it() {
    let name = "d5_nothing_is_acknowledged_while_the_disk_does_not_take_it";
    let database = TestDatabase::sqlite().unwrap();
    let settings = settings(&database.url());
    let server = settings.start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    for _ in 0..DELIVERIES {
        assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged);
    }
    let inject = format!("inject={SYNCS}:error=EIO");
    let Some(tracer) = Tracer::attach(name, server.id(), &inject, Path::new("/dev/null")) else { return };
    for _ in 0..DELIVERIES {
        assert_ne!(ledger.deliver_next(&mut client), Answer::Acknowledged, "it is not on the disk");
    }
    drop(tracer);
    ledger.send_again(server.address());
    ledger.compare("D5 disk that fails", &database.url());
    server.kill9().unwrap();
    let _server = settings.start().unwrap();
    ledger.compare("D5 disk that failed, after a crash", &database.url());
}
