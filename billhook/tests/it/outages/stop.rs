//! Fault K6: asked to end in the middle of a load.

use std::time::Duration;

use billhook_testkit::TestDatabase;

use super::ledger::Ledger;
use super::load::{Load, Pace};
use super::program::settings;

/// The program ends within this time, before supervisors kill it.
const ENDED: Duration = Duration::from_secs(10);
/// Deliveries before the request to end.
const DELIVERIES: u64 = 200;

#[test]
fn k6_a_stop_under_load_is_orderly_and_loses_nothing() {
    for database in TestDatabase::both("k6_a_stop_under_load_is_orderly_and_loses_nothing").unwrap() {
        let settings = settings(&database.url());
        let ledger = Ledger::new();
        let server = settings.start().unwrap();
        let load = Load::start(&ledger, server.address(), Pace::BRISK);
        ledger.wait_for_acknowledged(DELIVERIES);
        let (status, took) = server.terminate().unwrap();
        load.stop();
        assert!(status.success(), "the program ended with {status}");
        assert!(took <= ENDED, "the program took {took:?} to end");
        assert_eq!(ledger.refused(), 0, "deliveries were answered 503 while the program ended");
        let server = settings.start().unwrap();
        ledger.send_again(server.address());
        ledger.compare(&format!("K6 ended in {} ms,", took.as_millis()), &database.url());
    }
}
