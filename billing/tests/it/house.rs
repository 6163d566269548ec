//! A database with a mirror, the workflows in an engine, and a clock that tests move.

use std::sync::Arc;
use std::time::Duration;

use billhook_billing::{Billing, EXTENSION, OnMissing, Tables, Users, Workflow, functions};
use billhook_core::run::RunState;
use billhook_core::{Clock, ManualClock};
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::{Event, Functions, stripe_names};
use billhook_store::{FlowRun, Location, Options, Role, Store};
use billhook_stripe::catalogue;
use billhook_testkit::{TestDatabase, sql, wait};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// Unix seconds at which tests begin.
pub const START: i64 = 1_800_000_000;

pub struct House {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub billing: Billing,
    pub url: String,
    _database: TestDatabase,
}

impl House {
    async fn new(database: TestDatabase) -> Self {
        let url = database.url();
        let location = Location::from_url(&url);
        let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
        let store = Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await.unwrap();
        store.migrate().await.unwrap();
        store.migrate_extension(&EXTENSION).await.unwrap();
        let tables = if sql::is_postgres(&url) { Tables::postgres("stripe") } else { Tables::sqlite() }.unwrap();
        let billing = Billing { users: Users::own(&tables).unwrap(), tables, on_missing: OnMissing::End };
        let clock = Arc::new(ManualClock::new(Timestamp::from_second(START).unwrap()));
        Self { store, clock, billing, url, _database: database }
    }

    fn functions(&self) -> Functions<()> {
        functions(&[Workflow::RecordCharge, Workflow::ProcessPaymentFailed]).bound(self.billing.clone())
    }

    pub fn engine(&self) -> Engine {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Engine::start(EngineOptions::new("a"), self.functions(), Arc::new(()), self.store.clone(), clock)
    }

    /// A table of billing's.
    pub fn own(&self, table: &str) -> String {
        if sql::is_postgres(&self.url) { format!("billing.{table}") } else { format!("billing_{table}") }
    }

    pub fn execute(&self, statements: &str) {
        sql::execute(&self.url, statements).unwrap();
    }

    pub fn count(&self, table: &str) -> i64 {
        sql::number(&self.url, &format!("SELECT count(*) FROM {}", self.own(table))).unwrap()
    }

    pub fn rows(&self, query: &str) -> Vec<Value> {
        sql::query(&self.url, query).unwrap()
    }

    /// The mirror's row of an object, with these columns.
    pub fn mirror(&self, table: &str, columns: &str, values: &str) {
        let table = sql::mirror_table(&self.url, table);
        let now = if sql::is_postgres(&self.url) { "now()" } else { "'2027-01-15T08:00:00.000000Z'" };
        let id = values.split(',').next().unwrap_or_default();
        self.execute(&format!(
            "DELETE FROM {table} WHERE id = {id}; INSERT INTO {table} (id, {columns}, _raw_data, last_synced_at, updated_at) \
             VALUES ({values}, '{{}}', {now}, {now})"
        ));
    }

    /// Publishes an event of Stripe's as the mirror does; returns its new runs.
    pub async fn publish(&self, id: &str, event_type: &str, created: i64, object: &Value) -> Vec<String> {
        let mut data = object.clone();
        data["object"] = object.clone();
        let (names, now) = (stripe_names(event_type), self.clock.now());
        let event = Event::new(id, names[0].clone(), data, Timestamp::from_second(created).unwrap());
        let publication = publication(&self.functions(), &event, Source::Stripe, &names, now);
        let ids: Vec<String> = publication.runs.iter().map(|run| run.id.clone()).collect();
        let published = self.store.transact(Publish::one(publication, now)).await.unwrap().remove(0);
        ids.into_iter().zip(published.started).filter_map(|(id, is_new)| is_new.then_some(id)).collect()
    }

    pub async fn until(&self, run: &str, state: RunState) -> FlowRun {
        let reached = async || self.store.flow_run(run).await.unwrap().filter(|run| run.state == state);
        match wait::until_async(state.name(), PATIENCE, reached).await {
            Ok(run) => run,
            Err(error) => panic!("{error}: {:?}", self.store.flow_run(run).await),
        }
    }

    /// What a run returned.
    pub async fn result(&self, run: &str) -> Value {
        let run = self.until(run, RunState::Succeeded).await;
        serde_json::from_str(&run.result.unwrap_or_default()).unwrap()
    }

    /// Waits until no run is due or under way.
    pub async fn quiet(&self) {
        let now = self.clock.now().to_string();
        let runs = sql::own_table(&self.url, "flow_runs");
        let busy = format!("SELECT count(*) FROM {runs} WHERE state IN ('queued', 'running') OR due_at <= '{now}'");
        let quiet = async || (sql::number(&self.url, &busy).unwrap() == 0).then_some(());
        wait::until_async("all runs to rest", PATIENCE, quiet).await.unwrap();
    }
}

/// Runs a test on both stores.
pub fn on_both<F: Future<Output = ()>>(test: &str, body: impl Fn(House) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for database in TestDatabase::both(test).unwrap() {
        runtime.block_on(async { body(House::new(database).await).await });
    }
}

/// A charge of a customer.
pub fn charge(id: &str, customer: &Value) -> Value {
    json!({ "id": id, "amount": 3_000_000_000_i64, "currency": "jpy", "created": START, "customer": customer })
}
