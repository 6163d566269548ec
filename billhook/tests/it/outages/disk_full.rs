//! Fault S1: the disk is full, under SQLite, under PostgreSQL's tables, under PostgreSQL's log.

use std::os::unix::fs::symlink;
use std::process::Command;

use billhook_testkit::postgres::{Account, Cluster, Stop};
use billhook_testkit::tmpfs::Tmpfs;
use billhook_testkit::{Client, ServerSettings, skip, sql, wait};
use serde_json::Value;

use super::ledger::{Answer, HEALED, Ledger};
use super::load::{Load, Pace};
use super::program::{data_directory, own_cluster, settings};

/// Size of the disk, in megabytes. SQLite's reserve takes 16 of them.
const DISK_MEGABYTES: u32 = 48;
/// Size after somebody has made room, in megabytes.
const LARGER_DISK_MEGABYTES: u32 = 160;
/// Further bytes in every third delivery, which fill the disk soon.
const BODY_BYTES: usize = 40_000;
/// Refusals after which the disk counts as full.
const REFUSALS: u64 = 60;
/// Deliveries that come through when there is room again.
const DELIVERIES: u64 = 60;

fn disk(test: &str) -> Option<Tmpfs> {
    let disk = Tmpfs::mount(DISK_MEGABYTES);
    if let Err(error) = &disk {
        skip::note(test, &format!("a small disk cannot be mounted, which needs root: {error:#}"));
    }
    disk.ok()
}

/// What a command of the program prints as JSON.
fn listed(settings: &ServerSettings, arguments: &[&str]) -> Vec<Value> {
    let output = settings.command(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} failed on a full disk: {errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Looking and repairing go on while nothing new is taken.
fn assert_usable(settings: &ServerSettings) {
    let events = listed(settings, &["events", "list", "--limit", "1000", "--json"]);
    assert!(!events.is_empty());
    assert!(listed(settings, &["quarantine", "list", "--json"]).is_empty());
}

/// Delivers until the disk is full, and then some.
fn fill(ledger: &std::sync::Arc<Ledger>, address: std::net::SocketAddr) {
    let load = Load::start(ledger, address, Pace::FLAT_OUT);
    wait::until("a full disk", HEALED, || (ledger.refused() >= REFUSALS).then_some(())).unwrap();
    load.stop();
    assert!(ledger.acknowledged() > DELIVERIES, "the disk was full from the beginning");
    // What was rolled back leaves room in a page, so that one or another delivery still fits after the load has ended.
    let is_refused = |_| {
        let (number, event) = ledger.take();
        ledger.deliver(&mut Client::new(address), number, &event) == Answer::Refused
    };
    assert!((0..DELIVERIES).any(is_refused), "the disk is not full");
}

fn go_on(ledger: &std::sync::Arc<Ledger>, address: std::net::SocketAddr) {
    let load = Load::start(ledger, address, Pace::STEADY);
    ledger.wait_for_acknowledged(DELIVERIES);
    load.stop();
    ledger.send_again(address);
}

#[test]
fn s1_a_full_disk_under_sqlite_refuses_deliveries_and_damages_nothing() {
    let Some(disk) = disk("s1_a_full_disk_under_sqlite_refuses_deliveries_and_damages_nothing") else { return };
    let url = format!("sqlite:{}", disk.path().join("billhook.db").display());
    let (settings, ledger) = (settings(&url), Ledger::with_padding(BODY_BYTES));
    let server = settings.start().unwrap();
    fill(&ledger, server.address());
    let before = ledger.acknowledged();
    assert_usable(&settings);
    let events = listed(&settings, &["events", "list", "--limit", "1", "--json"]);
    let event_id = events[0]["event_id"].as_str().unwrap().to_owned();
    let replayed = settings.command(&["events", "replay", &event_id]).output().unwrap();
    assert!(replayed.status.success(), "{}", String::from_utf8_lossy(&replayed.stderr));
    assert_eq!(sql::value(&url, "PRAGMA integrity_check").unwrap(), "ok");
    ledger.compare_inbox(&url);
    disk.resize(LARGER_DISK_MEGABYTES).unwrap();
    go_on(&ledger, server.address());
    ledger.compare(&format!("S1 full after {before}"), &url);
    assert!(server.terminate().unwrap().0.success());
    assert_eq!(sql::value(&url, "PRAGMA integrity_check").unwrap(), "ok");
    drop(settings.start().unwrap());
}

#[test]
fn s1_a_program_starts_and_lists_on_a_full_disk_under_sqlite() {
    let Some(disk) = disk("s1_a_program_starts_and_lists_on_a_full_disk_under_sqlite") else { return };
    let url = format!("sqlite:{}", disk.path().join("billhook.db").display());
    let (settings, ledger) = (settings(&url), Ledger::with_padding(BODY_BYTES));
    let server = settings.start().unwrap();
    fill(&ledger, server.address());
    server.kill9().unwrap();
    let server = settings.start().unwrap();
    assert_usable(&settings);
    disk.resize(LARGER_DISK_MEGABYTES).unwrap();
    go_on(&ledger, server.address());
    ledger.compare("S1 started on a full disk", &url);
}

/// A directory on the disk that belongs to the database server.
fn servers_directory(disk: &Tmpfs) -> std::path::PathBuf {
    let path = disk.path().join("server");
    std::fs::create_dir(&path).unwrap();
    let account = Account::unprivileged().unwrap();
    account.own(disk.path()).unwrap();
    account.own(&path).unwrap();
    path
}

#[test]
fn s1_a_full_disk_under_postgres_tables_refuses_deliveries_and_damages_nothing() {
    let name = "s1_a_full_disk_under_postgres_tables_refuses_deliveries_and_damages_nothing";
    let Some(disk) = disk(name) else { return };
    let Some(cluster) = own_cluster(name, &[]) else { return };
    let location = servers_directory(&disk);
    sql::execute(&cluster.url(), &format!("CREATE TABLESPACE small LOCATION '{}'", location.display())).unwrap();
    sql::execute(&cluster.url(), "CREATE DATABASE full_disk TABLESPACE small").unwrap();
    let url = cluster.url_of("full_disk");
    let (settings, ledger) = (settings(&url), Ledger::with_padding(BODY_BYTES));
    let server = settings.start().unwrap();
    fill(&ledger, server.address());
    let before = ledger.acknowledged();
    assert_usable(&settings);
    ledger.compare_inbox(&url);
    disk.resize(LARGER_DISK_MEGABYTES).unwrap();
    go_on(&ledger, server.address());
    ledger.compare(&format!("S1 tables full after {before}"), &url);
    drop(server);
    drop(cluster);
}

/// Moves the server's log to the small disk.
fn move_log(cluster: &mut Cluster, disk: &Tmpfs) {
    let log = data_directory(cluster).join("pg_wal");
    let target = servers_directory(disk);
    cluster.stop(Stop::Fast).unwrap();
    let copied = Command::new("cp").arg("-a").arg(log.join(".")).arg(&target).status().unwrap();
    assert!(copied.success());
    std::fs::remove_dir_all(&log).unwrap();
    symlink(&target, &log).unwrap();
    cluster.begin().unwrap();
}

/// PostgreSQL itself gives up when its log has no room: it crashes, and cannot recover before there is room.
#[test]
fn s1_a_full_disk_under_the_postgres_log_refuses_deliveries_and_loses_none() {
    let name = "s1_a_full_disk_under_the_postgres_log_refuses_deliveries_and_loses_none";
    let Some(disk) = disk(name) else { return };
    // Keeping the log lets it grow until the disk is full.
    let Some(mut cluster) = own_cluster(name, &[("wal_keep_size", "1GB")]) else { return };
    let url = cluster.create_database().unwrap();
    let (settings, ledger) = (settings(&url), Ledger::with_padding(BODY_BYTES));
    let server = settings.start().unwrap();
    disk.resize(LARGER_DISK_MEGABYTES).unwrap();
    move_log(&mut cluster, &disk);
    let used = Command::new("du").arg("-sm").arg(disk.path()).output().unwrap().stdout;
    let used: u32 = String::from_utf8_lossy(&used).split_whitespace().next().unwrap().parse().unwrap();
    disk.resize(used + DISK_MEGABYTES).unwrap();
    fill(&ledger, server.address());
    let before = ledger.acknowledged();
    cluster.stop(Stop::Immediate).unwrap();
    disk.resize(2 * LARGER_DISK_MEGABYTES).unwrap();
    cluster.begin().unwrap();
    go_on(&ledger, server.address());
    ledger.compare(&format!("S1 log full after {before}"), &url);
    drop(server);
    drop(cluster);
}
