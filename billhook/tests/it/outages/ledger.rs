//! What was sent and what was acknowledged, and the comparison with the database.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use billhook_testkit::events::Event;
use billhook_testkit::sign::{TEST_SECRET, push_hex};
use billhook_testkit::{Client, sql, wait};
use serde_json::Value;

use super::history::{Expected, History};

/// After a fault heals, everything works again within this time (promise P9).
pub(super) const HEALED: Duration = Duration::from_secs(30);
/// Longest wait until everything that is stored is applied.
const APPLIED: Duration = Duration::from_secs(60);
/// Longest time until any delivery is answered: the deadline of 5 s and what a busy machine adds.
pub(super) const ANSWERED: Duration = Duration::from_millis(5_800);
/// Pause before a delivery that was not acknowledged is sent again. Stripe waits longer.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// Deliveries read at once from the database.
const PAGE_ROWS: usize = 500;

/// How one delivery ended for the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// 200: the program promises never to lose it.
    Acknowledged,
    /// 503 with `Retry-After`.
    Refused,
    /// No answer: it may be stored or not.
    None,
}

struct Sent {
    event: Arc<Event>,
    acknowledged: bool,
}

/// Keeps account of one history's deliveries.
pub(super) struct Ledger {
    history: History,
    next: AtomicU64,
    sent: Mutex<BTreeMap<u64, Sent>>,
    acknowledged: AtomicU64,
    refused: AtomicU64,
    unanswered: AtomicU64,
    slowest_ms: AtomicU64,
    wrong: Mutex<Vec<String>>,
}

impl Ledger {
    /// An empty ledger of small deliveries.
    pub(super) fn new() -> Arc<Self> {
        Self::with_padding(0)
    }

    /// An empty ledger; every third delivery has `padding` further bytes.
    pub(super) fn with_padding(padding: usize) -> Arc<Self> {
        Arc::new(Self {
            history: History::new(padding),
            next: AtomicU64::new(0),
            sent: Mutex::default(),
            acknowledged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            slowest_ms: AtomicU64::new(0),
            wrong: Mutex::default(),
        })
    }

    fn sent(&self) -> MutexGuard<'_, BTreeMap<u64, Sent>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next event of the history.
    pub(super) fn take(&self) -> (u64, Arc<Event>) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let event = Arc::new(self.history.event(number));
        self.sent().insert(number, Sent { event: Arc::clone(&event), acknowledged: false });
        (number, event)
    }

    /// Delivers an event once and notes the answer.
    pub(super) fn deliver(&self, client: &mut Client, number: u64, event: &Event) -> Answer {
        let started = Instant::now();
        let result = client.deliver(TEST_SECRET, event);
        let took = u64::try_from(started.elapsed().as_millis()).unwrap();
        self.slowest_ms.fetch_max(took, Ordering::Relaxed);
        match result {
            Ok(response) if response.status == 200 => {
                if let Some(sent) = self.sent().get_mut(&number)
                    && !std::mem::replace(&mut sent.acknowledged, true)
                {
                    self.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Answer::Acknowledged
            }
            Ok(response) if response.status == 503 && response.header("retry-after").is_some() => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                Answer::Refused
            }
            Ok(response) => {
                let wrong = format!("{} {:?} {}", response.status, response.headers, response.text());
                self.wrong.lock().unwrap_or_else(PoisonError::into_inner).push(wrong);
                Answer::Refused
            }
            Err(_) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                Answer::None
            }
        }
    }

    /// Delivers the next event once.
    pub(super) fn deliver_next(&self, client: &mut Client) -> Answer {
        let (number, event) = self.take();
        self.deliver(client, number, &event)
    }

    /// Sends again what was not acknowledged, until it is.
    pub(super) fn send_again(&self, address: SocketAddr) {
        let missing: Vec<(u64, Arc<Event>)> = {
            let sent = self.sent();
            let missing = sent.iter().filter(|(_, sent)| !sent.acknowledged);
            missing.map(|(number, sent)| (*number, Arc::clone(&sent.event))).collect()
        };
        let mut client = Client::new(address);
        let deadline = Instant::now() + HEALED;
        for (number, event) in missing {
            while self.deliver(&mut client, number, &event) != Answer::Acknowledged {
                assert!(Instant::now() < deadline, "deliveries are still refused {HEALED:?} after the fault is over");
                std::thread::sleep(AGAIN_AFTER);
            }
        }
    }

    /// Events that were acknowledged at least once.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Answers 503.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Slowest answer so far; then the count begins anew.
    pub(super) fn take_slowest(&self) -> Duration {
        Duration::from_millis(self.slowest_ms.swap(0, Ordering::Relaxed))
    }

    /// Waits until so many more events are acknowledged.
    pub(super) fn wait_for_acknowledged(&self, more: u64) {
        let goal = self.acknowledged() + more;
        let what = format!("{more} more acknowledged deliveries");
        wait::until(&what, HEALED, || (self.acknowledged() >= goal).then_some(())).unwrap();
    }

    /// Waits until so many more deliveries are refused.
    pub(super) fn wait_for_refused(&self, more: u64) {
        let goal = self.refused() + more;
        let what = format!("{more} more refused deliveries");
        wait::until(&what, HEALED, || (self.refused() >= goal).then_some(())).unwrap();
    }

    /// Acknowledged ⊆ stored, byte for byte; stored ⊆ sent; each event once; nothing but the right answers. Returns how many
    /// are stored.
    pub(super) fn compare_inbox(&self, url: &str) -> usize {
        let wrong = std::mem::take(&mut *self.wrong.lock().unwrap_or_else(PoisonError::into_inner));
        assert!(
            wrong.is_empty(),
            "authentic deliveries got other answers than 200, or 503 with Retry-After: {wrong:?}"
        );
        let stored = read_inbox(url);
        let sent = self.sent();
        let by_id: HashMap<&str, &Sent> = sent.values().map(|sent| (sent.event.id.as_str(), sent)).collect();
        let mut found: HashMap<&str, &str> = HashMap::new();
        for (event_id, raw) in &stored {
            assert!(by_id.contains_key(event_id.as_str()), "{event_id} is stored and was never sent");
            assert!(found.insert(event_id, raw).is_none(), "{event_id} is stored twice");
        }
        for (event_id, sent) in &by_id {
            let Some(raw) = found.get(event_id) else {
                assert!(!sent.acknowledged, "{event_id} was acknowledged and is lost");
                continue;
            };
            let mut hex = "\\x".to_owned();
            push_hex(&mut hex, &sent.event.body);
            assert!(*raw == hex, "{event_id} is stored with other bytes than were sent");
        }
        stored.len()
    }

    /// Everything was acknowledged, is stored and is applied: rows, versions and children are those of the last events.
    /// Prints what was measured.
    pub(super) fn compare(&self, fault: &str, url: &str) {
        let pending = format!("SELECT count(*) FROM {}", sql::own_table(url, "pending"));
        wait::until("everything to be applied", APPLIED, || {
            sql::number(url, &pending).is_ok_and(|waiting| waiting == 0).then_some(())
        })
        .unwrap();
        let stored = self.compare_inbox(url);
        let numbers: Vec<u64> = {
            let sent = self.sent();
            assert!(sent.values().all(|sent| sent.acknowledged), "not everything was sent again");
            sent.keys().copied().collect()
        };
        assert_eq!(stored, numbers.len(), "stored and sent differ");
        let quarantined = sql::query(url, &format!("SELECT * FROM {}", sql::own_table(url, "quarantine"))).unwrap();
        assert!(quarantined.is_empty(), "good deliveries were set aside: {quarantined:?}");
        assert_eq!(read_mirror(url), self.history.expected(numbers));
        self.print(fault, url, stored);
    }

    #[expect(clippy::print_stdout, reason = "a passing run says what it covered")]
    fn print(&self, fault: &str, url: &str, stored: usize) {
        let dialect = if sql::is_postgres(url) { "postgres" } else { "sqlite" };
        println!(
            "{fault} on {dialect}: {} acknowledged, {} refused, {} unanswered, {stored} stored and applied",
            self.acknowledged(),
            self.refused(),
            self.unanswered.load(Ordering::Relaxed),
        );
    }
}

/// Event id and body of every delivery.
fn read_inbox(url: &str) -> Vec<(String, String)> {
    let (table, mut after, mut all) = (sql::own_table(url, "inbox"), 0, Vec::new());
    loop {
        let page = format!(
            "SELECT sequence, event_id, raw FROM {table} WHERE sequence > {after} ORDER BY sequence LIMIT {PAGE_ROWS}"
        );
        let rows = sql::query(url, &page).unwrap();
        let Some(last) = rows.last() else { return all };
        after = number(last, "sequence");
        all.extend(rows.iter().map(|row| (text(row, "event_id"), text(row, "raw"))));
    }
}

/// What the mirror holds, in the terms of the history. Every column that is read comes from another place: a typed column, the
/// version, and a field of the raw data.
fn read_mirror(url: &str) -> Expected {
    let rows = |columns: &str, table: &str, condition: &str| {
        let table = sql::mirror_table(url, table);
        sql::query(url, &format!("SELECT id, {columns} FROM {table} WHERE {condition}")).unwrap()
    };
    let versions = |table: &str| {
        let rows = rows("_version_time", table, "true");
        rows.iter().map(|row| (text(row, "id"), number(row, "_version_time"))).collect()
    };
    let customers = rows("name, balance, _version_time, _raw_data ->> 'name' AS raw_name", "customers", "true");
    let items = rows("subscription", "subscription_items", "deleted IS NOT true");
    let tombstones =
        format!("SELECT id, time FROM {} WHERE table_name = 'products'", sql::own_table(url, "tombstones"));
    Expected {
        customers: customers
            .iter()
            .map(|row| {
                let step = number(row, "balance");
                assert_eq!(
                    (text(row, "name"), text(row, "raw_name")),
                    (format!("step {step}"), format!("step {step}"))
                );
                (text(row, "id"), (step, number(row, "_version_time")))
            })
            .collect(),
        products: versions("products"),
        deleted_products: sql::query(url, &tombstones)
            .unwrap()
            .iter()
            .map(|row| (text(row, "id"), number(row, "time")))
            .collect(),
        subscriptions: versions("subscriptions"),
        items: items.iter().map(|row| (text(row, "id"), text(row, "subscription"))).collect(),
    }
}

fn text(row: &Value, column: &str) -> String {
    row[column].as_str().unwrap_or_else(|| panic!("{column} of {row} is no text")).to_owned()
}

fn number(row: &Value, column: &str) -> i64 {
    row[column].as_i64().unwrap_or_else(|| panic!("{column} of {row} is no number"))
}
