//! Fault D12: two programs on one database.

use billhook_testkit::{Client, TestDatabase, sql};

use super::held::Held;
use super::ledger::{Answer, Ledger};
use super::program::{assert_refused, settings};

/// Events that both programs get at the same time.
const EVENTS: u64 = 400;
/// Clients of each program.
const CLIENTS: u64 = 4;

#[test]
fn d12_two_programs_share_one_postgres_database() {
    let name = "d12_two_programs_share_one_postgres_database";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    // Both make the schema at the same time, too.
    let mut servers = [settings(&url).spawn().unwrap(), settings(&url).spawn().unwrap()];
    let addresses = servers.each_mut().map(|server| server.wait_until_listening().unwrap());
    let ledger = Ledger::new();
    let events: Vec<_> = (0..EVENTS).map(|_| ledger.take()).collect();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            for address in addresses {
                let (ledger, events) = (&ledger, &events);
                scope.spawn(move || {
                    let mut connection = Client::new(address);
                    for (number, event) in events.iter().filter(|(number, _)| number % CLIENTS == client) {
                        assert_eq!(ledger.deliver(&mut connection, *number, event), Answer::Acknowledged);
                    }
                });
            }
        }
    });
    ledger.compare("D12 two programs", &url);
    let sums = |name: &str| servers.each_ref().map(|server| server.metrics().unwrap().sum(name));
    let [one, other] = sums("billhook_applied_total");
    assert_eq!(one + other, EVENTS as f64, "{one} and {other} deliveries were applied");
    let taken =
        |outcome: &str| sums(&format!("billhook_deliveries_total{{outcome=\"{outcome}\"}}")).iter().sum::<f64>();
    assert_eq!((taken("accepted"), taken("duplicate")), (EVENTS as f64, EVENTS as f64));
    assert_eq!(sql::number(&url, "SELECT count(*) FROM billhook.dirty").unwrap(), 0);
}

/// What a program has acknowledged and not applied when it dies, the other one applies.
#[test]
fn d12_the_program_that_is_left_applies_what_the_dead_one_acknowledged() {
    let name = "d12_the_program_that_is_left_applies_what_the_dead_one_acknowledged";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    let (dies, lives) = (settings(&url).start().unwrap(), settings(&url).start().unwrap());
    let held = Held::start(&url, &url, "BEGIN; LOCK TABLE stripe.customers IN ACCESS EXCLUSIVE MODE");
    let ledger = Ledger::new();
    for address in [dies.address(), lives.address()] {
        let mut client = Client::new(address);
        for _ in 0..EVENTS / 4 {
            assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged);
        }
    }
    dies.kill9().unwrap();
    drop(held);
    ledger.compare("D12 one of two killed with a backlog", &url);
}

#[test]
fn d12_a_second_program_on_one_sqlite_file_is_refused() {
    let database = TestDatabase::sqlite().unwrap();
    let settings = settings(&database.url());
    let server = settings.start().unwrap();
    let line = assert_refused(&settings);
    assert!(line.contains("another Billhook process"), "{line}");
    let (ledger, mut client) = (Ledger::new(), server.client());
    assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged, "the first one goes on");
    ledger.compare("D12 second program refused", &database.url());
}
