//! Invariant I5: whoever reads the mirror never sees the version of an object go back. A reader looks twenty times a second, with SQL
//! and from outside, while the program is killed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use billhook_testkit::events::{self, Event};
use billhook_testkit::random::Random;
use billhook_testkit::sql;
use serde_json::{Value, json};

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Customers that many events are about.
const CUSTOMERS: usize = 20;
/// Events come so many seconds late at most: some have the same second, and versions grow as long as the test runs.
const SECONDS: u64 = 30;
/// When the customers were created.
const CREATED: i64 = 1_700_000_000;

/// Customers about whom events come in any order.
#[derive(Clone)]
pub struct Customers(Vec<String>);

impl Customers {
    pub fn new() -> Self {
        Self((0..CUSTOMERS).map(|_| events::fresh_id("cus_")).collect())
    }

    /// An event about one of them, some seconds before `until`.
    pub fn event(&self, random: &mut Random, until: i64) -> Event {
        let number = usize::try_from(random.between(0, CUSTOMERS as u64)).unwrap_or_default() % CUSTOMERS;
        let happened = until - i64::try_from(random.between(0, SECONDS)).unwrap_or_default();
        let customer = json!({
            "id": self.0[number],
            "object": "customer",
            "created": CREATED,
            "livemode": false,
            "name": format!("as of {happened}"),
        });
        events::event("customer.updated", happened, customer, Some(json!({ "name": null })))
    }
}

/// The version of a row: its time, and how sure that is.
type Version = (i64, i64);

/// Looks until it is asked to stop.
pub struct Observer {
    stopped: Arc<AtomicBool>,
    looking: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Default)]
struct Seen {
    looks: u64,
    versions: HashMap<String, Version>,
    changes: u64,
    decreases: Vec<String>,
}

impl Observer {
    pub fn start(url: &str, customers: &Customers) -> Self {
        let ids: Vec<String> = customers.0.iter().map(|id| format!("'{id}'")).collect();
        let query = format!(
            "SELECT id, _version_time AS time, coalesce(_version_rank, 1) AS rank FROM {} WHERE id IN ({})",
            sql::mirror_table(url, "customers"),
            ids.join(", ")
        );
        let (url, stopped) = (url.to_owned(), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&stopped);
        let looking = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !stop.load(Ordering::Acquire) {
                let next = Instant::now() + LOOK_EVERY;
                // Before the program has made its tables there is nothing to see.
                if let Ok(rows) = sql::query(&url, &query) {
                    seen.look(&rows);
                }
                // The rhythm is what is promised.
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
            seen
        });
        Self { stopped, looking }
    }

    /// Stops; fails when a version went back, or when there was nothing to see.
    pub fn finish(self) -> Result<String> {
        self.stopped.store(true, Ordering::Release);
        let Seen { looks, versions, changes, decreases } =
            self.looking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ensure!(decreases.is_empty(), "{} versions went back: {decreases:?}", decreases.len());
        ensure!(changes > CUSTOMERS as u64, "only {changes} new versions were seen, so nothing was tested");
        Ok(format!("{looks} looks saw {changes} new versions of {} objects, and none went back", versions.len()))
    }
}

impl Seen {
    fn look(&mut self, rows: &[Value]) {
        self.looks += 1;
        let mut gone: HashSet<&String> = self.versions.keys().collect();
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let (Some(id), Some(time), Some(rank)) = (row["id"].as_str(), row["time"].as_i64(), row["rank"].as_i64())
            else {
                self.decreases.push(format!("a row without a version: {row}"));
                continue;
            };
            gone.remove(&id.to_owned());
            found.push((id.to_owned(), (time, rank)));
        }
        // Nobody deletes any of them.
        self.decreases.extend(gone.iter().map(|id| format!("{id} is gone")));
        for (id, version) in found {
            let before = self.versions.insert(id.clone(), version);
            self.changes += u64::from(before != Some(version));
            if let Some(before) = before.filter(|before| version < *before) {
                self.decreases.push(format!("{id} went from {before:?} to {version:?}"));
            }
        }
    }
}
