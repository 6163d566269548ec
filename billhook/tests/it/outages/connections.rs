//! Faults D7 and S3: not enough connections to the database, not enough descriptors for the clients.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use billhook_testkit::{ServerSettings, TestDatabase, wait};

use super::held::Held;
use super::ledger::{HEALED, Ledger};
use super::load::{Load, Pace};
use super::program::{PROGRAM, ordinary_user, own_cluster, settings};

/// Deliveries that come through before, during and after.
const DELIVERIES: u64 = 200;
/// Descriptors that the program may have.
const DESCRIPTORS: u32 = 64;
/// Connections that clients try to open.
const CONNECTIONS: usize = 500;
/// How long the program's processor time is measured while it has no descriptor left.
const MEASURED: Duration = Duration::from_secs(3);
/// Share of one processor that a program without descriptors may use. One that spins uses all of it.
const PROCESSOR_SHARE_MAX: f64 = 0.5;

#[test]
fn d7_too_few_database_connections_refuse_some_and_block_none() {
    let name = "d7_too_few_database_connections_refuse_some_and_block_none";
    let limits = [("max_connections", "6"), ("superuser_reserved_connections", "2")];
    let Some(cluster) = own_cluster(name, &limits) else { return };
    let (url, superuser_url) = ordinary_user(&cluster);
    // Others were first: of the four connections that are not in reserve, two are left.
    let held = [(); 2].map(|()| Held::start(&url, &superuser_url, "SELECT 1"));
    let ledger = Ledger::new();
    let server = settings(&url).start().unwrap();
    let load = Load::start(&ledger, server.address(), Pace::BRISK);
    ledger.wait_for_acknowledged(DELIVERIES);
    drop(held);
    ledger.wait_for_acknowledged(DELIVERIES);
    load.stop();
    ledger.send_again(server.address());
    ledger.compare("D7 four database connections", &superuser_url);
}

/// The program under a shell that takes its descriptors away.
fn with_few_descriptors(url: &str) -> (ServerSettings, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let script: PathBuf = directory.path().join("billhook");
    std::fs::write(&script, format!("#!/bin/sh\nulimit -n {DESCRIPTORS}\nexec {PROGRAM} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    (ServerSettings::new(&script, url).unwrap(), directory)
}

/// Opens connections, until the kernel's queue is full too.
fn connect(address: SocketAddr) -> Vec<TcpStream> {
    let limit = Duration::from_millis(20);
    (0..CONNECTIONS).filter_map(|_| TcpStream::connect_timeout(&address, limit).ok()).collect()
}

#[test]
fn s3_a_program_without_descriptors_waits_quietly_and_recovers() {
    for database in TestDatabase::both("s3_a_program_without_descriptors_waits_quietly_and_recovers").unwrap() {
        let (settings, _script) = with_few_descriptors(&database.url());
        let server = settings.start().unwrap();
        let (ledger, mut client) = (Ledger::new(), server.client());
        ledger.deliver_next(&mut client);
        let connections = connect(server.address());
        let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.id())).unwrap().count();
        wait::until("the descriptors to be used up", HEALED, || {
            (descriptors() >= DESCRIPTORS as usize - 2).then_some(())
        })
        .unwrap();
        let (start, used) = (Instant::now(), server.cpu_seconds().unwrap());
        // Not a wait for a condition: the rate over a time is what is measured.
        std::thread::sleep(MEASURED);
        let share = (server.cpu_seconds().unwrap() - used) / start.elapsed().as_secs_f64();
        assert!(share <= PROCESSOR_SHARE_MAX, "the program uses {share:.2} processors without anything to do");
        let open = connections.len();
        drop(connections);
        let load = Load::start(&ledger, server.address(), Pace::STEADY);
        ledger.wait_for_acknowledged(DELIVERIES);
        load.stop();
        ledger.send_again(server.address());
        let fault = format!("S3 {open} connections with {DESCRIPTORS} descriptors, {share:.2} processors,");
        ledger.compare(&fault, &database.url());
    }
}
