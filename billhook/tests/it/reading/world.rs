//! An account, the program, and a database between them.

use std::process::Output;
use std::time::Duration;

use billhook_simulator::{ClockMode, DeliveryOptions, EndpointOptions, Options, Simulator};
use billhook_testkit::sign::TEST_SECRET;
use billhook_testkit::{Server, ServerSettings, TestDatabase, sql, wait};
use serde_json::Value;

use super::oracle;

/// The program, built for these tests.
const PROGRAM: &str = env!("CARGO_BIN_EXE_billhook");

/// The key of the account.
pub(super) const STRIPE_KEY: &str = "sk_test_0123456789abcdefghij";

/// The key of the admin endpoints.
pub(super) const API_KEY: &str = "an-admin-key-of-the-tests";

/// Longest wait for something that must happen, in seconds.
pub(super) const PATIENCE: Duration = Duration::from_secs(300);

/// A simulated account and what mirrors it.
pub(super) struct World {
    /// The account.
    pub(super) simulator: Simulator,
    /// URL of the mirror's database.
    url: String,
    /// The database, where it is the test's own.
    _database: Option<TestDatabase>,
    /// How the program is started.
    pub(super) settings: ServerSettings,
}

/// Runs a test on both stores, each with a fresh account of the same seed.
pub(super) fn on_both(test: &str, seed: u64, run: impl Fn(World)) {
    for database in TestDatabase::both(test).expect("databases") {
        run(World::new(database, seed));
    }
}

fn simulator(clock: ClockMode, seed: u64) -> Simulator {
    let delivery = DeliveryOptions::quick();
    let options = Options { seed, key: STRIPE_KEY.to_owned(), clock, delivery, ..Options::default() };
    Simulator::start(options).expect("a simulator")
}

impl World {
    /// An account with this seed and a database.
    pub(super) fn new(database: TestDatabase, seed: u64) -> Self {
        let url = database.url();
        Self { _database: Some(database), ..Self::on(&url, seed) }
    }

    /// An account with this seed and a database that somebody else looks after.
    pub(super) fn on(url: &str, seed: u64) -> Self {
        let simulator = simulator(ClockMode::Real, seed);
        let settings = ServerSettings::new(PROGRAM, url)
            .expect("a working directory")
            .set("STRIPE_SECRET_KEY", STRIPE_KEY)
            .set("STRIPE_API_BASE", &simulator.base_url())
            .set("API_KEY", API_KEY)
            // The simulator has no other user, and a test should not wait for the rate of a real account.
            .set("BILLHOOK_STRIPE_REQUESTS_PER_SECOND", "2000");
        Self { simulator, url: url.to_owned(), _database: None, settings }
    }

    /// Another account, empty, with a clock of its own.
    pub(super) fn with_clock(mut self, clock: ClockMode, seed: u64) -> Self {
        self.simulator = simulator(clock, seed);
        self.settings = self.settings.set("STRIPE_API_BASE", &self.simulator.base_url());
        self
    }

    /// Sets a variable of the program's environment.
    pub(super) fn set(mut self, name: &str, value: &str) -> Self {
        self.settings = self.settings.set(name, value);
        self
    }

    /// Times that suit a test: catch-up every second, the comparison all the time.
    pub(super) fn impatient(self) -> Self {
        self.set("BILLHOOK_CATCH_UP_INTERVAL_SECONDS", "1")
            .set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "1")
            .set("BILLHOOK_RECONCILE_REQUESTS_PER_SECOND", "500")
            .set("BILLHOOK_RECONCILE_GRACE_SECONDS", "3")
    }

    /// The database's URL.
    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    /// Starts `serve` and lets the account deliver to it.
    pub(super) fn serve(&self) -> Server {
        let server = self.settings.start().expect("the program listens");
        self.deliver_to(&server);
        server
    }

    /// Points the account's webhook endpoint at a server.
    pub(super) fn deliver_to(&self, server: &Server) {
        let url = format!("http://{}/webhooks", server.address());
        self.simulator.account(|account| {
            let known =
                account.all("webhook_endpoint").next().and_then(|endpoint| endpoint["id"].as_str().map(str::to_owned));
            match known {
                None => drop(account.add_endpoint(&EndpointOptions::new(&url, TEST_SECRET))),
                Some(id) => drop(account.update("webhook_endpoint", &id, None, |endpoint| {
                    endpoint.insert("url".to_owned(), url.as_str().into());
                })),
            }
        });
    }

    /// Runs a command of the program to its end.
    pub(super) fn command(&self, arguments: &[&str]) -> Output {
        self.settings.command(arguments).output().expect("the program runs")
    }

    /// Runs a command that must succeed; gives its standard output.
    pub(super) fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{arguments:?} failed:\n{stdout}\n{stderr}");
        stdout.into_owned()
    }

    /// Waits until every row equals the account.
    pub(super) fn assert_becomes_equal(&self, what: &str) {
        oracle::assert_becomes_equal(what, &self.simulator, &self.url());
    }

    /// Fails unless every row equals the account now.
    pub(super) fn assert_equal(&self, what: &str) {
        let differences = oracle::differences(&self.simulator.oracle(), &self.url());
        assert!(differences.is_empty(), "{what}: {differences:#?}");
    }

    /// The number that a query on the database gives.
    pub(super) fn number(&self, query: &str) -> i64 {
        sql::number(&self.url(), query).expect(query)
    }

    /// Rows of a table of the mirror.
    pub(super) fn rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT count(*) FROM {}", sql::mirror_table(&self.url(), table)))
    }
}

/// Waits for a condition that must come true.
pub(super) fn until<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    wait::until(what, PATIENCE, condition).unwrap_or_else(|error| panic!("{error}"))
}

/// An answer's body as JSON.
pub(super) fn json(response: &billhook_testkit::Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}
