//! One database, the observer, and all that was ordered; in the end they have to agree.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use billhook_testkit::{TestDatabase, sql, wait};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::functions::Told;
use crate::host::Ask;
use crate::observer::Observer;
use crate::process::{Host, Settings};

/// Longest wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Events published in one transaction.
const PUBLISHED_AT_ONCE: usize = 100;
/// Final records of an order: five steps, two events that it sends, and a wait.
const RECORDS_OF_AN_ORDER: usize = 8;

/// Tables of the test, and triggers that see what Billhook does to its own.
const SQLITE: &str = "
    CREATE TABLE booked (run TEXT NOT NULL);
    CREATE TABLE seen_ends (run TEXT NOT NULL);
    CREATE TABLE seen_changes (run TEXT NOT NULL, step TEXT NOT NULL);
    CREATE TABLE seen_claims (run TEXT NOT NULL, holder TEXT, at TEXT NOT NULL);
    CREATE TRIGGER see_end AFTER UPDATE OF state ON billhook_flow_runs WHEN NEW.ended_at IS NOT NULL
        BEGIN INSERT INTO seen_ends VALUES (NEW.id); END;
    CREATE TRIGGER see_change AFTER UPDATE ON billhook_flow_steps WHEN OLD.is_final
        BEGIN INSERT INTO seen_changes VALUES (NEW.run, NEW.step); END;
    CREATE TRIGGER see_claim AFTER UPDATE OF token ON billhook_flow_runs WHEN NEW.token <> OLD.token
        BEGIN INSERT INTO seen_claims VALUES (NEW.id, NEW.holder, strftime('%Y-%m-%dT%H:%M:%fZ', 'now')); END;
";
const POSTGRES: &str = "
    CREATE TABLE booked (run text NOT NULL);
    CREATE TABLE seen_ends (run text NOT NULL);
    CREATE TABLE seen_changes (run text NOT NULL, step text NOT NULL);
    CREATE TABLE seen_claims (run text NOT NULL, holder text, at timestamptz NOT NULL);
    CREATE FUNCTION see_end() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.seen_ends VALUES (NEW.id); RETURN NULL; END $$;
    CREATE TRIGGER see_end AFTER UPDATE OF state ON billhook.flow_runs FOR EACH ROW
        WHEN (NEW.ended_at IS NOT NULL) EXECUTE FUNCTION see_end();
    CREATE FUNCTION see_change() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.seen_changes VALUES (NEW.run, NEW.step); RETURN NULL; END $$;
    CREATE TRIGGER see_change AFTER UPDATE ON billhook.flow_steps FOR EACH ROW
        WHEN (OLD.is_final) EXECUTE FUNCTION see_change();
    CREATE FUNCTION see_claim() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.seen_claims VALUES (NEW.id, NEW.holder, clock_timestamp()); RETURN NULL; END $$;
    CREATE TRIGGER see_claim AFTER UPDATE OF token ON billhook.flow_runs FOR EACH ROW
        WHEN (NEW.token <> OLD.token) EXECUTE FUNCTION see_claim();
";

/// Everything of one test.
pub struct World {
    database: TestDatabase,
    pub observer: Observer,
    orders: usize,
    /// Events that no process has acknowledged yet, by their ids: orders come before what approves them.
    unsent: BTreeMap<String, (String, Value)>,
    approved: HashSet<usize>,
}

/// What a passed test covered.
pub struct Report {
    pub orders: usize,
    pub calls: usize,
    pub repeated: usize,
    pub claims: usize,
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, calls, repeated, claims } = self;
        write!(formatter, "{orders} orders, {claims} claims, {calls} calls of steps, {repeated} of them repeated")
    }
}

/// Runs a test on one database, or notes that it was skipped.
pub fn on_sqlite(body: impl FnOnce(World)) {
    body(World::new(TestDatabase::sqlite().unwrap()));
}

/// See [`on_sqlite`].
pub fn on_postgres(test: &str, body: impl FnOnce(World)) {
    if let Some(database) = TestDatabase::postgres_or_skip(test).unwrap() {
        body(World::new(database));
    }
}

impl World {
    fn new(database: TestDatabase) -> Self {
        let observer = Observer::start();
        let world = Self { database, observer, orders: 0, unsent: BTreeMap::new(), approved: HashSet::new() };
        // It makes the schema.
        Host::start(&world, &Settings::default()).stop();
        let url = world.url();
        sql::execute(&url, if sql::is_postgres(&url) { POSTGRES } else { SQLITE }).unwrap();
        world
    }

    pub fn url(&self) -> String {
        self.database.url()
    }

    pub fn dialect(&self) -> &'static str {
        self.database.dialect()
    }

    /// Rows of a query in which `{x}` stands for Billhook's table `x`.
    pub fn rows(&self, query: &str) -> Vec<Value> {
        let url = self.url();
        let tables = ["flow_runs", "flow_steps", "flow_waits", "flow_events"];
        let query = tables.iter().fold(query.to_owned(), |query, table| {
            query.replace(&format!("{{{table}}}"), &sql::own_table(&url, table))
        });
        // Some tests end all connections of the server.
        wait::until("an answer of the database", PATIENCE, || sql::query(&url, &query).ok()).unwrap()
    }

    pub fn number(&self, query: &str) -> i64 {
        let rows = self.rows(query);
        rows[0].as_object().unwrap().values().next().unwrap().as_i64().unwrap()
    }

    /// Something to publish as soon as a process lives.
    pub fn publish(&mut self, id: &str, name: &str, data: Value) {
        self.unsent.insert(id.to_owned(), (name.to_owned(), data));
    }

    /// More orders. A third is approved at once, before it waits for that.
    pub fn order(&mut self, count: usize) {
        for number in self.orders..self.orders + count {
            let id = order_id(number);
            self.publish(&id, "app/order", json!({ "order": id }));
            if number % 3 == 0 {
                self.approve(number);
            }
        }
        self.orders += count;
    }

    /// Orders that have not come to their end.
    pub fn open_orders(&self) -> usize {
        let ended = "SELECT count(*) FROM {flow_runs} WHERE function = 'order' AND ended_at IS NOT NULL";
        self.orders - usize::try_from(self.number(ended)).unwrap()
    }

    fn approve(&mut self, number: usize) {
        if self.approved.insert(number) {
            let order = order_id(number);
            self.publish(&approval_id(&order), "app/approved", json!({ "order": order }));
        }
    }

    /// Publishes and approves what is to be; false when the process is dead.
    pub fn tend(&mut self, host: &mut Host) -> bool {
        // A third is approved about when it begins to wait, and a third when it does.
        let about = self.observer.calls().into_iter().filter(|call| call.step == "woke").map(|call| call.event);
        let about: Vec<usize> = about.filter_map(|id| order_number(&id)).filter(|number| number % 3 == 1).collect();
        let waiting = "SELECT event_key FROM {flow_runs} AS run JOIN {flow_waits} AS wait ON wait.run = run.id";
        let waiting = self.rows(waiting);
        let waiting = waiting.iter().filter_map(|row| order_number(row["event_key"].as_str()?.strip_prefix("user/")?));
        for number in about.into_iter().chain(waiting) {
            self.approve(number);
        }
        while !self.unsent.is_empty() {
            let some = self.unsent.iter().take(PUBLISHED_AT_ONCE);
            let events: Vec<(String, String, Value)> =
                some.map(|(id, (name, data))| (id.clone(), name.clone(), data.clone())).collect();
            let ids: Vec<String> = events.iter().map(|(id, ..)| id.clone()).collect();
            match host.ask(&Ask::Publish(events)).as_deref() {
                Some("ok") => ids.iter().for_each(|id| drop(self.unsent.remove(id))),
                // The database was away; it is tried again.
                Some(_) => return true,
                None => return false,
            }
        }
        host.ended().is_none()
    }

    /// Whether all orders and all that they sent have ended.
    pub fn is_over(&self) -> bool {
        let ended = "SELECT count(*) FROM {flow_runs} WHERE function IN ('order', 'shipped', 'reminded') \
                     AND (ended_at IS NOT NULL OR state = 'parked')";
        self.unsent.is_empty() && self.number(ended) == 3 * i64::try_from(self.orders).unwrap()
    }

    /// Lets a process work until everything has ended.
    pub fn finish(&mut self, host: &mut Host) {
        let finished = wait::until("all orders to end", PATIENCE, || {
            assert!(self.tend(host), "the process died");
            self.is_over().then_some(())
        });
        if let Err(error) = finished {
            panic!("{error}: {:?}", self.rows("SELECT * FROM {flow_runs} WHERE ended_at IS NULL LIMIT 5"));
        }
    }

    /// Compares what the observer heard, what is recorded, and what the triggers saw. Calls of `zombies`, processes that were stopped
    /// for longer than their lease, may come after the record of another process: nothing can keep a step that has begun from going on.
    pub fn check(&self, zombies: &[u32]) -> Report {
        self.check_runs();
        let calls = self.observer.calls();
        let records = self.records();
        self.check_calls(&calls, &records, zombies);
        self.check_pauses(&calls, &records);
        let distinct: BTreeSet<(&str, &str)> =
            calls.iter().map(|call| (call.run.as_str(), call.step.as_str())).collect();
        let claims = usize::try_from(self.number("SELECT count(*) FROM seen_claims")).unwrap();
        Report { orders: self.orders, calls: calls.len(), repeated: calls.len() - distinct.len(), claims }
    }

    /// Every order, and each of the two events that it sent, is one run that ended once; its row was booked once.
    fn check_runs(&self) {
        let runs = self.rows("SELECT id, function, event_key, state, result, message FROM {flow_runs} ORDER BY id");
        let mut of: HashMap<&str, usize> = HashMap::new();
        for run in runs.iter().filter(|run| matches!(run["function"].as_str(), Some("order" | "shipped" | "reminded")))
        {
            *of.entry(run["function"].as_str().unwrap()).or_default() += 1;
            assert_eq!(run["state"], "succeeded", "{run}");
            if run["function"] == "order" {
                let order = run["event_key"].as_str().unwrap().strip_prefix("user/").unwrap();
                assert_eq!(run["result"].as_str().unwrap(), format!("{:?}", approval_id(order)), "{run}");
            }
        }
        for function in ["order", "shipped", "reminded"] {
            assert_eq!(of.get(function).copied().unwrap_or_default(), self.orders, "runs of {function}");
        }
        let twice = self.rows("SELECT run, count(*) AS ends FROM seen_ends GROUP BY run HAVING count(*) <> 1");
        assert!(twice.is_empty(), "runs ended more than once: {twice:?}");
        let changed = self.rows("SELECT * FROM seen_changes");
        assert!(changed.is_empty(), "records changed that were final: {changed:?}");
        let booked = self.rows(
            "SELECT run.id, count(booked.run) AS rows FROM {flow_runs} AS run LEFT JOIN booked ON booked.run = run.id \
             WHERE run.function = 'order' GROUP BY run.id HAVING count(booked.run) <> 1",
        );
        assert!(booked.is_empty(), "the transaction of a step took effect more or less than once: {booked:?}");
        assert_eq!(self.number("SELECT count(*) FROM booked"), i64::try_from(self.orders).unwrap());
        let finals = "SELECT count(*) FROM {flow_steps} AS step JOIN {flow_runs} AS run ON run.id = step.run \
                      WHERE run.function = 'order' AND step.is_final";
        assert_eq!(self.number(finals), i64::try_from(self.orders * RECORDS_OF_AN_ORDER).unwrap());
    }

    fn records(&self) -> HashMap<(String, String), (String, Timestamp)> {
        let rows = self.rows("SELECT run, step, memo, recorded_at FROM {flow_steps}");
        let text = |row: &Value, column: &str| row[column].as_str().unwrap().to_owned();
        let record = |row: &Value| {
            ((text(row, "run"), text(row, "step")), (text(row, "memo"), text(row, "recorded_at").parse().unwrap()))
        };
        rows.iter().map(record).collect()
    }

    /// No step is called after its result is recorded, each is called, and all calls of a step carry one key.
    fn check_calls(&self, calls: &[Told], records: &HashMap<(String, String), (String, Timestamp)>, zombies: &[u32]) {
        let mut keys: HashMap<(&str, &str), &str> = HashMap::new();
        for told in calls {
            let key = *keys.entry((&told.run, &told.step)).or_insert(&told.key);
            assert_eq!(key, told.key, "attempts with different keys: {told:?}");
            let Some((_, recorded_at)) = records.get(&(told.run.clone(), told.step.clone())) else { continue };
            let is_late = told.engine_time > recorded_at.as_microsecond() && !zombies.contains(&told.process);
            assert!(!is_late, "its result had been recorded at {recorded_at}: {told:?}");
        }
        let distinct: HashSet<&str> = keys.values().copied().collect();
        assert_eq!(distinct.len(), keys.len(), "two steps had one key");
        for (run, step) in
            records.keys().filter(|(_, step)| !["pause", "approval", "ship", "remind"].contains(&step.as_str()))
        {
            assert!(
                // What begins with a space is the engine's own.
                step == "sleep" || step.starts_with(' ') || keys.contains_key(&(run.as_str(), step.as_str())),
                "{step} of {run} was never called"
            );
        }
    }

    /// What comes behind a sleep comes when it is over, by the engine's clock; so does what was sent for later.
    fn check_pauses(&self, calls: &[Told], records: &HashMap<(String, String), (String, Timestamp)>) {
        for told in calls.iter().filter(|call| call.step == "woke") {
            let sleep = ["pause", "sleep"].into_iter().find_map(|id| records.get(&(told.run.clone(), id.to_owned())));
            let memo: Value = serde_json::from_str(&sleep.expect("a record of the sleep").0).unwrap();
            let until: Timestamp = memo["sleep"]["until"].as_str().unwrap().parse().unwrap();
            assert!(told.engine_time >= until.as_microsecond(), "woke before {until}: {told:?}");
        }
        let events = self.rows("SELECT id, ts FROM {flow_events} WHERE name = 'app/reminded'");
        let due: HashMap<&str, Timestamp> = events
            .iter()
            .map(|row| (row["id"].as_str().unwrap(), row["ts"].as_str().unwrap().parse().unwrap()))
            .collect();
        for told in calls {
            if let Some(ts) = due.get(told.event.as_str()) {
                assert!(told.engine_time >= ts.as_microsecond(), "sent for {ts} and came before: {told:?}");
            }
        }
    }
}

fn order_id(number: usize) -> String {
    format!("order-{number}")
}

fn order_number(id: &str) -> Option<usize> {
    id.strip_prefix("order-")?.parse().ok()
}

/// Sorts behind all orders.
fn approval_id(order: &str) -> String {
    format!("yes-{order}")
}
