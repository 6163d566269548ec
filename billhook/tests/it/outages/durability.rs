//! Faults S5 and D5: what the program tells the kernel to write, and what it does when the kernel cannot.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use billhook_testkit::postgres::Stop;
use billhook_testkit::process;
use billhook_testkit::{TestDatabase, skip, wait};
use rustix::process::Signal;

use super::ledger::{Answer, HEALED, Ledger};
use super::program::{data_directory, own_cluster, settings};

/// Deliveries one after the other, so that no commit serves two of them.
const DELIVERIES: u64 = 20;
/// Both names under which SQLite makes a commit durable.
const SYNCS: &str = "fsync,fdatasync";

/// A `strace` that looks at, or meddles with, every thread of some processes.
struct Tracer(Child);

impl Tracer {
    /// Attaches; `None` and a note where that is impossible.
    fn attach(test: &str, pids: &[u32], expression: &str, output: &Path) -> Option<Self> {
        let mut strace = Command::new("strace");
        strace.args(["-qq", "-f", "-e", &format!("trace={SYNCS}"), "-e", expression, "-o"]).arg(output);
        strace.args(pids.iter().map(|pid| format!("--attach={pid}")));
        let Ok(child) = strace.stdin(Stdio::null()).stderr(Stdio::null()).spawn() else {
            skip::note(test, "strace is not installed");
            return None;
        };
        let mut tracer = Self(child);
        let attached = wait::until("strace to attach", HEALED, || match tracer.0.try_wait().unwrap() {
            Some(_) => Some(false),
            None => pids.iter().all(|pid| is_traced(*pid)).then_some(true),
        });
        if !attached.unwrap() {
            skip::note(test, "strace may not attach here");
            return None;
        }
        Some(tracer)
    }
}

/// Whether every thread of a process has a tracer.
fn is_traced(pid: u32) -> bool {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    threads.flatten().all(|thread| {
        let status = std::fs::read_to_string(thread.path().join("status")).unwrap_or_default();
        status.lines().all(|line| line.trim() != "TracerPid:\t0")
    })
}

impl Drop for Tracer {
    /// Lets the processes go on undisturbed.
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
    let Some(tracer) = Tracer::attach(name, &[server.id()], "status=successful", output.path()) else { return };
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
fn d5_nothing_is_acknowledged_on_sqlite_while_the_disk_fails() {
    let name = "d5_nothing_is_acknowledged_on_sqlite_while_the_disk_fails";
    let database = TestDatabase::sqlite().unwrap();
    let settings = settings(&database.url());
    let server = settings.start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    for _ in 0..DELIVERIES {
        assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged);
    }
    let inject = format!("inject={SYNCS}:error=EIO");
    let Some(tracer) = Tracer::attach(name, &[server.id()], &inject, Path::new("/dev/null")) else { return };
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

/// PostgreSQL never trusts a disk that has failed once: it stops, and everything that was acknowledged is in its log.
#[test]
fn d5_nothing_is_acknowledged_on_postgres_while_the_disk_fails() {
    let name = "d5_nothing_is_acknowledged_on_postgres_while_the_disk_fails";
    let Some(mut cluster) = own_cluster(name, &[]) else { return };
    let url = cluster.create_database().unwrap();
    let server = settings(&url).start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    for _ in 0..DELIVERIES {
        assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged);
    }
    let postmaster = std::fs::read_to_string(data_directory(&cluster).join("postmaster.pid")).unwrap();
    let postmaster: u32 = postmaster.lines().next().unwrap().parse().unwrap();
    let mut pids = process::children(postmaster);
    pids.push(postmaster);
    let inject = format!("inject={SYNCS}:error=EIO");
    let Some(tracer) = Tracer::attach(name, &pids, &inject, Path::new("/dev/null")) else { return };
    for _ in 0..DELIVERIES {
        assert_ne!(ledger.deliver_next(&mut client), Answer::Acknowledged, "it is not on the disk");
    }
    drop(tracer);
    cluster.stop(Stop::Immediate).unwrap();
    cluster.begin().unwrap();
    ledger.send_again(server.address());
    ledger.compare("D5 disk that fails", &url);
}
