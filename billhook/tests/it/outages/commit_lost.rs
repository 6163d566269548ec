//! Fault D6: the connection is lost after the server got the statement and before its answer came back, so that nobody knows
//! whether it was committed.

use std::net::ToSocketAddrs as _;

use billhook_testkit::proxy::{Fault, Proxy};
use billhook_testkit::{ServerSettings, TestDatabase, sql, wait};

use super::ledger::{Answer, HEALED, Ledger};
use super::program::settings;

/// Deliveries before the fault: the statements are then prepared, as in a program that has run for a while.
const DELIVERIES: u32 = 20;
/// Times the connection is cut during the applier's commit.
const CUTS: u64 = 4;

/// The program with a proxy between it and its database.
fn through_proxy(url: &str) -> (ServerSettings, Proxy) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = rest.split_once('/').unwrap();
    let (user, host) = authority.rsplit_once('@').map_or(("", authority), |(user, host)| (user, host));
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:5432") };
    let proxy = Proxy::start(host.to_socket_addrs().unwrap().next().unwrap()).unwrap();
    let at = if user.is_empty() { "" } else { "@" };
    (settings(&format!("{scheme}://{user}{at}{}/{path}", proxy.address())), proxy)
}

#[test]
fn d6_a_delivery_whose_commit_is_in_doubt_is_not_acknowledged_and_stored_once() {
    let name = "d6_a_delivery_whose_commit_is_in_doubt_is_not_acknowledged_and_stored_once";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    let (settings, proxy) = through_proxy(&url);
    let server = settings.start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    for _ in 0..DELIVERIES {
        assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged);
    }
    let (number, event) = ledger.take();
    proxy.set(Fault::CutAfterTexts(vec![event.id.clone().into_bytes()]));
    assert_eq!(ledger.deliver(&mut client, number, &event), Answer::Refused, "the outcome of the commit is unknown");
    assert_eq!(proxy.cuts(), 1);
    let stored = format!("SELECT count(*) FROM billhook.inbox WHERE event_id = '{}'", event.id);
    wait::until("the server to commit what it was sent", HEALED, || {
        sql::number(&url, &stored).is_ok_and(|count| count == 1).then_some(())
    })
    .unwrap();
    assert_eq!(ledger.deliver(&mut client, number, &event), Answer::Acknowledged, "it is stored");
    ledger.compare("D6 commit of the inbox in doubt", &url);
}

#[test]
fn d6_deliveries_whose_application_is_in_doubt_take_effect_once() {
    let name = "d6_deliveries_whose_application_is_in_doubt_take_effect_once";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    let (settings, proxy) = through_proxy(&url);
    let server = settings.start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    for cuts in 0..CUTS {
        // Every other time the server never sees the commit.
        let text = b"COMMIT\0".to_vec();
        proxy.set(if cuts % 2 == 0 { Fault::CutAfterTexts(vec![text]) } else { Fault::CutBeforeTexts(vec![text]) });
        for _ in 0..DELIVERIES {
            assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged, "the inbox has a statement of its own");
        }
        wait::until("the applier to lose its connection", HEALED, || (proxy.cuts() > cuts).then_some(())).unwrap();
    }
    ledger.compare("D6 commit of the applier in doubt", &url);
}
