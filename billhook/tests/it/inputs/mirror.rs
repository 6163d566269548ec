//! One running program over one fresh database, and how the tests look at both.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use billhook_testkit::metrics::Reading;
use billhook_testkit::sign::{TEST_SECRET, push_hex, sha256_hex};
use billhook_testkit::{Client, Server, ServerSettings, TestDatabase, sql, wait};
use serde_json::Value;

use super::compare::{Kind, is_true};

/// Longest wait for acknowledged deliveries to be applied, in seconds. Far above what is needed; a machine may be busy.
const APPLY_SECONDS_MAX: u64 = 120;

/// Columns of every mirrored table with how the database stores them.
pub type Layout = BTreeMap<String, BTreeMap<String, Kind>>;

/// The program and its database.
pub struct Mirror {
    // Before the database: the program must be gone when the database is dropped.
    server: Mutex<Server>,
    address: SocketAddr,
    client: Mutex<Client>,
    pub settings: ServerSettings,
    database: TestDatabase,
    layout: OnceLock<Layout>,
}

/// A delivery that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quarantined {
    pub event_id: String,
    pub reason: String,
    /// Whether its row was written all the same.
    pub applied: bool,
}

impl Mirror {
    /// Starts the program over `database` with further settings.
    pub fn start(database: TestDatabase, more: impl FnOnce(ServerSettings) -> ServerSettings) -> Self {
        let settings = more(ServerSettings::new(env!("CARGO_BIN_EXE_billhook"), &database.url()).unwrap());
        let server = settings.start().unwrap();
        let (address, client) = (server.address(), Mutex::new(server.client()));
        Self { server: Mutex::new(server), address, client, settings, database, layout: OnceLock::new() }
    }

    /// Runs a test on each database, with a program of its own.
    pub fn on_each(test: &str, more: impl Fn(ServerSettings) -> ServerSettings, run: impl Fn(&Self)) {
        for database in TestDatabase::both(test).unwrap() {
            run(&Self::start(database, &more));
        }
    }

    /// Runs a test on each database with default settings. Tests that run at the same time share the programs, so each works
    /// with objects of its own.
    pub fn shared(test: &str, run: impl Fn(&Self)) {
        static RUNNING: Mutex<Vec<Weak<Mirror>>> = Mutex::new(Vec::new());
        let mirrors: Vec<Arc<Self>> = {
            let mut running = locked(&RUNNING);
            match running.iter().map(Weak::upgrade).collect::<Option<Vec<_>>>().filter(|alive| !alive.is_empty()) {
                Some(alive) => alive,
                None => {
                    let databases = TestDatabase::both(test).unwrap().into_iter();
                    let started: Vec<_> = databases.map(|database| Arc::new(Self::start(database, |it| it))).collect();
                    *running = started.iter().map(Arc::downgrade).collect();
                    started
                }
            }
        };
        mirrors.iter().for_each(|mirror| run(mirror));
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        self.database.url()
    }

    pub fn dialect(&self) -> &'static str {
        self.database.dialect()
    }

    pub fn is_postgres(&self) -> bool {
        sql::is_postgres(&self.url())
    }

    /// Where the program listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A client with a connection of its own.
    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    /// The program's metrics now.
    pub fn metrics(&self) -> Reading {
        locked(&self.server).metrics().unwrap()
    }

    /// What the program has logged.
    pub fn log(&self) -> String {
        locked(&self.server).log()
    }

    /// Delivers a body as Stripe does and expects that it is acknowledged.
    pub fn accept(&self, name: &str, body: &[u8]) {
        let answer = locked(&self.client).deliver_body(TEST_SECRET, body).unwrap();
        let dialect = self.dialect();
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"received":true}"#), "{name} on {dialect}");
    }

    /// Delivers an event made of JSON.
    pub fn accept_event(&self, event: &Value) {
        self.accept(event["type"].as_str().unwrap_or_default(), event.to_string().as_bytes());
    }

    /// Waits until everything acknowledged is applied.
    pub fn settle(&self) {
        let count = format!("SELECT count(*) AS waiting FROM {}", self.own("pending"));
        let limit = Duration::from_secs(APPLY_SECONDS_MAX);
        wait::until("deliveries to be applied", limit, || (self.number(&count) == 0).then_some(())).unwrap();
    }

    /// Name of a mirrored table.
    pub fn table(&self, name: &str) -> String {
        sql::mirror_table(&self.url(), name)
    }

    /// Name of one of Billhook's own tables.
    pub fn own(&self, name: &str) -> String {
        sql::own_table(&self.url(), name)
    }

    pub fn query(&self, statement: &str) -> Vec<Value> {
        sql::query(&self.url(), statement).unwrap()
    }

    pub fn number(&self, statement: &str) -> i64 {
        sql::number(&self.url(), statement).unwrap()
    }

    /// One row of a mirrored table.
    pub fn row(&self, table: &str, id: &str) -> Option<Value> {
        self.row_of(table, id, &["*"])
    }

    /// Some columns of one row of a mirrored table.
    pub fn row_of(&self, table: &str, id: &str, columns: &[&str]) -> Option<Value> {
        let (columns, table_name) = (columns.join(", "), self.table(table));
        let mut rows = self.query(&format!("SELECT {columns} FROM {table_name} WHERE id = {}", literal(id)));
        assert!(rows.len() <= 1, "{table} has {} rows with id {id}", rows.len());
        rows.pop()
    }

    /// All rows of a mirrored table by id.
    pub fn rows(&self, table: &str) -> BTreeMap<String, Value> {
        let rows = self.query(&format!("SELECT * FROM {}", self.table(table)));
        rows.into_iter().map(|row| (row["id"].as_str().unwrap_or_default().to_owned(), row)).collect()
    }

    /// One column of one row; null when there is no row.
    pub fn column(&self, table: &str, id: &str, column: &str) -> Value {
        self.row_of(table, id, &[column]).map_or(Value::Null, |mut row| row[column].take())
    }

    /// Ids of the rows that a condition selects, sorted.
    pub fn ids(&self, table: &str, condition: &str) -> Vec<String> {
        let rows = self.query(&format!("SELECT id FROM {} WHERE {condition} ORDER BY id", self.table(table)));
        rows.iter().map(|row| row["id"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The open quarantine entries in order of event id.
    pub fn quarantine(&self) -> Vec<Quarantined> {
        let (quarantine, inbox) = (self.own("quarantine"), self.own("inbox"));
        let mut entries: Vec<Quarantined> = self
            .query(&format!(
                "SELECT i.event_id AS event_id, q.reason AS reason, q.applied AS applied FROM {quarantine} q \
                 JOIN {inbox} i ON i.sequence = q.sequence WHERE q.closed_at IS NULL"
            ))
            .iter()
            .map(|row| Quarantined {
                event_id: row["event_id"].as_str().unwrap_or_default().to_owned(),
                reason: row["reason"].as_str().unwrap_or_default().to_owned(),
                applied: is_true(&row["applied"]),
            })
            .collect();
        entries.sort_unstable();
        entries
    }

    /// The open entry of one delivery.
    pub fn quarantined(&self, event_id: &str) -> Option<Quarantined> {
        self.quarantine().into_iter().find(|entry| entry.event_id == event_id)
    }

    /// Asserts that the inbox holds these bytes exactly once, with their digest, and gives the event id they are stored under.
    pub fn assert_stored(&self, name: &str, body: &[u8]) -> String {
        let digest = sha256_hex(body);
        let wanted = if self.is_postgres() { format!("'\\x{digest}'::bytea") } else { format!("x'{digest}'") };
        let inbox = self.own("inbox");
        let rows = self.query(&format!("SELECT event_id, raw FROM {inbox} WHERE sha256 = {wanted}"));
        assert_eq!(rows.len(), 1, "{name}: stored {} times on {}", rows.len(), self.dialect());
        let mut hex = String::from("\\x");
        push_hex(&mut hex, body);
        assert!(rows[0]["raw"] == hex.as_str(), "{name}: other bytes were stored on {}", self.dialect());
        rows[0]["event_id"].as_str().unwrap_or_default().to_owned()
    }

    /// How often an event is in the inbox.
    pub fn stored(&self, event_id: &str) -> i64 {
        let inbox = self.own("inbox");
        self.number(&format!("SELECT count(*) AS stored FROM {inbox} WHERE event_id = {}", literal(event_id)))
    }

    /// The mirror's tables as the database itself describes them.
    pub fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| {
            let statement = if self.is_postgres() {
                "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'stripe'"
            } else {
                "SELECT m.name AS table_name, c.name AS column_name, c.type AS data_type FROM sqlite_master m \
                 JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'billhook_%' \
                 AND m.name NOT LIKE 'sqlite_%'"
            };
            let mut layout = Layout::new();
            for row in self.query(statement) {
                let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
                let columns = layout.entry(text("table_name")).or_default();
                columns.insert(text("column_name"), Kind::of(&text("data_type")));
            }
            layout
        })
    }
}

/// Locks, also after another test has failed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A text as an SQL literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
