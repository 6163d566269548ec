//! Fault D9: the database is read-only, or takes a permission away.

use billhook_testkit::Server;
use billhook_testkit::postgres::Cluster;
use billhook_testkit::{sql, wait};

use super::ledger::{HEALED, Ledger};
use super::load::{Load, Pace};
use super::program::{ordinary_user, own_cluster, settings};

/// Deliveries that come through before and after each fault.
const DELIVERIES: u64 = 40;
/// Refusals that each fault that concerns the inbox causes.
const REFUSALS: u64 = 20;
/// How often sessions are ended until the program has met the fault.
const ENDINGS_MAX: u32 = 3;

fn end_sessions(superuser_url: &str) {
    sql::execute(superuser_url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'ordinary'")
        .unwrap();
}

fn set_read_only(cluster: &Cluster, superuser_url: &str, read_only: bool) {
    let name = superuser_url.rsplit_once('/').unwrap().1;
    let value = if read_only { "on" } else { "off" };
    sql::execute(&cluster.url(), &format!("ALTER DATABASE {name} SET default_transaction_read_only = {value}"))
        .unwrap();
    end_sessions(superuser_url);
}

/// Waits until the program has told what is wrong. A session that was just beginning when the fault came may not have seen it, nor been
/// seen: it is ended now.
fn logged(server: &Server, superuser_url: &str, what: &str) {
    for _ in 0..ENDINGS_MAX {
        if wait::until("a clear error", HEALED / ENDINGS_MAX, || server.log().contains(what).then_some(())).is_ok() {
            return;
        }
        end_sessions(superuser_url);
    }
    panic!("{what} is not in the log:\n{}", server.log());
}

#[test]
fn d9_a_database_that_refuses_to_be_written_costs_a_503_and_nothing_else() {
    let name = "d9_a_database_that_refuses_to_be_written_costs_a_503_and_nothing_else";
    let Some(cluster) = own_cluster(name, &[]) else { return };
    let (url, superuser_url) = ordinary_user(&cluster);
    let ledger = Ledger::new();
    let server = settings(&url).start().unwrap();
    let load = Load::start(&ledger, server.address(), Pace::STEADY);

    ledger.wait_for_acknowledged(DELIVERIES);
    set_read_only(&cluster, &superuser_url, true);
    ledger.wait_for_refused(REFUSALS);
    logged(&server, &superuser_url, "read-only transaction");
    set_read_only(&cluster, &superuser_url, false);

    ledger.wait_for_acknowledged(DELIVERIES);
    sql::execute(&superuser_url, "REVOKE INSERT ON billhook.inbox FROM ordinary").unwrap();
    ledger.wait_for_refused(REFUSALS);
    logged(&server, &superuser_url, "permission denied for table inbox");
    sql::execute(&superuser_url, "GRANT INSERT ON billhook.inbox TO ordinary").unwrap();

    ledger.wait_for_acknowledged(DELIVERIES);
    load.stop();
    ledger.send_again(server.address());
    ledger.compare("D9 read-only and without permission", &superuser_url);
}

#[test]
fn d9_a_mirror_that_refuses_to_be_written_makes_deliveries_wait_and_sets_none_aside() {
    let name = "d9_a_mirror_that_refuses_to_be_written_makes_deliveries_wait_and_sets_none_aside";
    let Some(cluster) = own_cluster(name, &[]) else { return };
    let (url, superuser_url) = ordinary_user(&cluster);
    let ledger = Ledger::new();
    let server = settings(&url).start().unwrap();
    let load = Load::start(&ledger, server.address(), Pace::STEADY);
    for (revoke, grant) in [
        (
            "REVOKE INSERT, UPDATE ON stripe.customers FROM ordinary",
            "GRANT INSERT, UPDATE ON stripe.customers TO ordinary",
        ),
        ("ALTER TABLE stripe.products RENAME TO hidden", "ALTER TABLE stripe.hidden RENAME TO products"),
        ("ALTER SCHEMA stripe RENAME TO hidden", "ALTER SCHEMA hidden RENAME TO stripe"),
    ] {
        sql::execute(&superuser_url, revoke).unwrap();
        let failures = || server.metrics().unwrap().get("billhook_apply_failures_total");
        let before = failures();
        ledger.wait_for_acknowledged(DELIVERIES);
        wait::until("the applier to be refused", HEALED, || (failures() > before + 1.0).then_some(())).unwrap();
        sql::execute(&superuser_url, grant).unwrap();
    }
    ledger.wait_for_acknowledged(DELIVERIES);
    load.stop();
    assert_eq!(ledger.refused(), 0, "the inbox was not concerned");
    ledger.send_again(server.address());
    ledger.compare("D9 mirror without permission, table and schema", &superuser_url);
}
