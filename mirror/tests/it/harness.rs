//! A store, deliveries for it, and what the tests read back.

use std::sync::atomic::{AtomicU64, Ordering};

use billhook_core::Secret;
use billhook_mirror::interpret::{Policy, interpret};
use billhook_mirror::{ApplyBatch, ApplyOutcome};
use billhook_store::{Delivery, Location, Options, PostgresLocation, Role, Store, StoredDelivery, StoredRow};
use billhook_stripe::catalogue;
use billhook_stripe::envelope::Envelope;
use jiff::Timestamp;
use serde_json::{Value, json};

/// A store of its own for one test.
pub struct Mirror {
    pub store: Store,
    location: Location,
    _directory: tempfile::TempDir,
}

/// Runs a test on each database there is.
pub fn on_each_store<F: Future<Output = ()>>(test: impl Fn(Mirror) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        test(open(sqlite()).await).await;
        match std::env::var("TEST_DATABASE_URL") {
            Ok(url) => test(open(postgres(&url).await).await).await,
            Err(_) => {
                assert!(std::env::var_os("CI").is_none(), "in CI TEST_DATABASE_URL must name a PostgreSQL server");
                eprintln!("skipped on PostgreSQL: TEST_DATABASE_URL is not set");
            }
        }
    });
}

fn sqlite() -> (Location, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (Location::Sqlite { path: directory.path().join("mirror.db") }, directory)
}

async fn postgres(server: &str) -> (Location, tempfile::TempDir) {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let name = format!("mirror_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
    let (client, connection) = tokio_postgres::connect(server, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
    drop(client);
    connection.await.unwrap().unwrap();
    let location = PostgresLocation {
        url: Secret::new(with_database(server, &name)),
        tls_ca: None,
        connections_max: 4,
        mirror_schema: "stripe".into(),
        statement_timeout_ms: 10_000,
    };
    (Location::Postgres(location), tempfile::tempdir().unwrap())
}

fn with_database(server: &str, name: &str) -> String {
    let (base, parameters) = server.split_once('?').map_or((server, None), |(base, rest)| (base, Some(rest)));
    let authority = base.find("://").map_or(0, |at| at + 3);
    let end = base[authority..].find('/').map_or(base.len(), |at| authority + at);
    let parameters = parameters.map(|rest| format!("?{rest}")).unwrap_or_default();
    format!("{}/{name}{parameters}", &base[..end])
}

async fn open((location, directory): (Location, tempfile::TempDir)) -> Mirror {
    let options = Options {
        location: location.clone(),
        tables: catalogue::tables(),
        catalogue_revision: catalogue::revision(),
        role: Role::Server,
    };
    let store = Store::open(options).await.unwrap();
    store.migrate().await.unwrap();
    Mirror { store, location, _directory: directory }
}

impl Mirror {
    /// Commits and applies events as one batch.
    pub async fn deliver(&self, events: &[Value]) -> ApplyOutcome {
        self.deliver_under(&Policy::default(), events).await
    }

    /// The same under a policy.
    pub async fn deliver_under(&self, policy: &Policy, events: &[Value]) -> ApplyOutcome {
        let deliveries: Vec<Delivery> = events.iter().map(delivery).collect();
        let sequences = self.store.insert_deliveries(deliveries.clone()).await.unwrap();
        let stored: Vec<StoredDelivery> = sequences
            .into_iter()
            .zip(deliveries)
            .filter_map(|(sequence, delivery)| {
                Some(StoredDelivery {
                    sequence: sequence?,
                    event_id: delivery.event_id,
                    received_at: delivery.received_at,
                    raw: delivery.raw,
                })
            })
            .collect();
        self.apply_under(policy, stored).await
    }

    /// Applies stored deliveries as one batch.
    pub async fn apply(&self, stored: Vec<StoredDelivery>) -> ApplyOutcome {
        self.apply_under(&Policy::default(), stored).await
    }

    async fn apply_under(&self, policy: &Policy, stored: Vec<StoredDelivery>) -> ApplyOutcome {
        let policy = policy.clone();
        let deliveries = stored.iter().map(|delivery| interpret(delivery, None, &policy)).collect();
        self.store.transact(ApplyBatch { deliveries, policy, router: None, now: Timestamp::now() }).await.unwrap()
    }

    /// Applies what waits in the database's queue until nothing waits.
    pub async fn drain(&self) {
        loop {
            let pending = self.store.pending_deliveries(Timestamp::MAX, Vec::new(), 1_000, 64 << 20).await.unwrap();
            if pending.is_empty() {
                return;
            }
            self.apply(pending).await;
        }
    }

    /// All rows of a table in order of id.
    pub async fn rows(&self, table: &str) -> Vec<StoredRow> {
        let table = catalogue::table_named(table).unwrap();
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.store.scan_rows(table, &after, 1_000).await.unwrap();
            let Some(last) = page.last() else { return rows };
            after = last.id.clone();
            rows.extend(page);
        }
    }

    /// One row's object.
    pub async fn object(&self, table: &str, id: &str) -> Option<Value> {
        let row = self.rows(table).await.into_iter().find(|row| row.id == id)?;
        Some(serde_json::from_str(&row.raw).unwrap())
    }

    /// Ids of the rows whose column `deleted` is true, as a user's query sees them.
    pub async fn deleted_ids(&self, table: &str) -> Vec<String> {
        match &self.location {
            Location::Sqlite { path } => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let mut query =
                    connection.prepare(&format!("SELECT id FROM {table} WHERE deleted ORDER BY id")).unwrap();
                query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
            }
            Location::Postgres(location) => {
                let (client, connection) =
                    tokio_postgres::connect(location.url.expose(), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                let query = format!("SELECT id FROM stripe.{table} WHERE deleted ORDER BY id");
                client.query(&query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
            }
        }
    }

    /// What a query finds in its only row, each column as text; `None` for NULL. The mirror's tables are named without a schema.
    pub async fn texts(&self, columns: &[String], table: &str, id: &str) -> Vec<Option<String>> {
        let columns: Vec<String> = columns.iter().map(|column| format!(r#"CAST("{column}" AS TEXT)"#)).collect();
        let columns = columns.join(", ");
        match &self.location {
            Location::Sqlite { path } => {
                let connection = rusqlite::Connection::open(path).unwrap();
                let query = format!(r#"SELECT {columns} FROM "{table}" WHERE id = ?1"#);
                let mut statement = connection.prepare(&query).unwrap();
                let count = statement.column_count();
                statement.query_row([id], |row| (0..count).map(|at| row.get(at)).collect()).unwrap()
            }
            Location::Postgres(location) => {
                let (client, connection) =
                    tokio_postgres::connect(location.url.expose(), tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                let query = format!(r#"SELECT {columns} FROM stripe."{table}" WHERE id = $1"#);
                let row = client.query_one(&query, &[&id]).await.unwrap();
                (0..row.len()).map(|at| row.get(at)).collect()
            }
        }
    }

    /// Ids that are marked for reading, with the reasons.
    pub async fn dirty(&self) -> Vec<(String, String)> {
        let marks = self.store.due_dirty(Timestamp::MAX, 10_000).await.unwrap();
        marks.into_iter().map(|mark| (mark.id, mark.reason)).collect()
    }
}

/// A delivery of an event that nobody signed.
pub fn delivery(event: &Value) -> Delivery {
    let raw = bytes::Bytes::from(event.to_string());
    let envelope = Envelope::parse(&raw).unwrap();
    Delivery {
        event_id: envelope.id.unwrap_or_else(|| format!("sha256:{:x}", raw.len())),
        event_type: envelope.event_type.unwrap_or_default(),
        object: envelope.object_kind.unwrap_or_default(),
        object_id: envelope.object_id.unwrap_or_default(),
        account: envelope.account.unwrap_or_default(),
        api_version: envelope.api_version.unwrap_or_default(),
        created: envelope.created,
        livemode: envelope.livemode,
        snapshot_event: envelope.snapshot_event.unwrap_or_default(),
        received_at: Timestamp::now(),
        secret_index: 0,
        raw,
        sha256: [0; 32],
    }
}

/// A snapshot event.
pub fn event(id: &str, event_type: &str, created: i64, object: Value, previous: Option<Value>) -> Value {
    let mut data = json!({ "object": object });
    if let Some(previous) = previous {
        data["previous_attributes"] = previous;
    }
    json!({
        "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": created, "data": data,
        "livemode": false, "pending_webhooks": 1, "request": { "id": null, "idempotency_key": null }, "type": event_type,
    })
}
