//! Billing in the real program: signed deliveries in, rows out.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use billhook_testkit::sign::{TEST_SECRET, now};
use billhook_testkit::{Client, ServerSettings, TestDatabase, sql, wait};
use serde_json::{Value, json};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(120);

/// Threads that deliver the same charge.
const SENDERS: usize = 5;

/// How often each of them does.
const DELIVERIES: usize = 10;

fn own(url: &str, table: &str) -> String {
    if sql::is_postgres(url) { format!("billing.{table}") } else { format!("billing_{table}") }
}

fn deliver(client: &mut Client, id: &str, event_type: &str, created: i64, object: &Value) {
    let event = json!({
        "id": id, "object": "event", "api_version": "2026-10-28.endive", "created": created, "livemode": false,
        "pending_webhooks": 1, "request": null, "type": event_type, "data": { "object": object },
    });
    let response = client.deliver_body(TEST_SECRET, event.to_string().as_bytes()).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

fn customer(id: &str, email: &str) -> Value {
    json!({ "id": id, "object": "customer", "livemode": false, "created": now(), "email": email })
}

fn charge(id: &str, customer: &str) -> Value {
    json!({ "id": id, "object": "charge", "livemode": false, "created": now(), "amount": 1_050, "currency": "usd", "customer": customer,
            "payment_intent": null, "billing_details": { "email": null }, "receipt_email": null })
}

fn invoice(status: &str) -> Value {
    let parent = json!({ "type": "subscription_details", "subscription_details": { "subscription": "sub_1" } });
    json!({ "id": "in_1", "object": "invoice", "livemode": false, "created": now(), "status": status, "attempt_count": 1,
            "amount_due": 1_050, "currency": "usd", "customer": "cus_1", "due_date": null, "parent": parent })
}

/// Runs of a function in a state.
fn runs(url: &str, function: &str, state: &str) -> i64 {
    let runs = sql::own_table(url, "flow_runs");
    let query = format!("SELECT count(*) FROM {runs} WHERE function = '{function}' AND state = '{state}'");
    sql::number(url, &query).unwrap()
}

fn wait_for_runs(url: &str, function: &str, state: &str, count: i64) {
    let reached = || (runs(url, function, state) == count).then_some(());
    wait::until(&format!("{count} runs of {function} that are {state}"), PATIENCE, reached).unwrap();
}

fn settings(url: &str) -> ServerSettings {
    let settings = ServerSettings::new(env!("CARGO_BIN_EXE_billhook"), url).unwrap();
    settings.set("BILLHOOK_BILLING_ENABLED", "record-charge,process-payment-failed")
}

#[test]
fn a_charge_that_is_delivered_fifty_times_is_one_row() {
    for database in TestDatabase::both("a_charge_that_is_delivered_fifty_times_is_one_row").unwrap() {
        let url = database.url();
        let server = settings(&url).start().unwrap();
        let mut client = server.client();
        let users = own(&url, "users");
        sql::execute(&url, &format!("INSERT INTO {users} (id, email) VALUES ('1', 'Ada@Example.com')")).unwrap();
        deliver(&mut client, "evt_customer", "customer.created", now(), &customer("cus_1", "ada@example.com"));
        let row = format!("SELECT count(*) FROM {}", sql::mirror_table(&url, "customers"));
        wait::until("the customer", PATIENCE, || (sql::number(&url, &row).unwrap() == 1).then_some(())).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                let mut client = server.client();
                scope.spawn(move || {
                    for _ in 0..DELIVERIES {
                        deliver(&mut client, "evt_charge", "charge.succeeded", 1_800_000_000, &charge("ch_1", "cus_1"));
                    }
                });
            }
        });
        deliver(&mut client, "evt_other", "charge.succeeded", now(), &charge("ch_2", "cus_2"));
        wait_for_runs(&url, "record-charge", "succeeded", 2);
        let rows = format!("SELECT id, user_id, amount, currency FROM {}", own(&url, "charges"));
        let expected = json!({ "id": "ch_1", "user_id": "1", "amount": 1_050, "currency": "usd" });
        assert_eq!(sql::query(&url, &rows).unwrap(), [expected]);
        let missing = format!("SELECT count(*) FROM {} WHERE result LIKE '%404%'", sql::own_table(&url, "flow_runs"));
        assert_eq!(sql::number(&url, &missing).unwrap(), 1);
        assert!(server.terminate().unwrap().0.success());
    }
}

#[test]
fn a_failed_payment_is_noticed_and_its_payment_calls_the_reminder_off() {
    for database in TestDatabase::both("a_failed_payment_is_noticed").unwrap() {
        let url = database.url();
        let server = settings(&url).start().unwrap();
        let mut client = server.client();
        let organisations = own(&url, "organisations");
        let insert =
            format!("INSERT INTO {organisations} (id, name, stripe_subscription_id) VALUES ('org_1', 'Acme', 'sub_1')");
        sql::execute(&url, &insert).unwrap();
        let status = || sql::value(&url, &format!("SELECT status FROM {organisations}")).unwrap();
        let failed_at = now();
        deliver(&mut client, "evt_customer", "customer.created", failed_at, &customer("cus_1", "ada@example.com"));
        deliver(&mut client, "evt_failed", "invoice.payment_failed", failed_at, &invoice("open"));
        wait_for_runs(&url, "process-payment-failed", "waiting", 1);
        assert_eq!(status(), "payment_failed");
        deliver(&mut client, "evt_paid", "invoice.paid", failed_at + 60, &invoice("paid"));
        wait_for_runs(&url, "process-payment-failed", "cancelled", 1);
        wait_for_runs(&url, "payment-recovered", "succeeded", 1);
        assert_eq!(status(), "active");
        let mails = format!("SELECT recipient, template FROM {}", own(&url, "outbox"));
        let notice = json!({ "recipient": "ada@example.com", "template": "payment_failed" });
        assert_eq!(sql::query(&url, &mails).unwrap(), [notice]);
        assert!(server.terminate().unwrap().0.success());
    }
}

#[test]
fn without_billing_there_are_no_tables_of_it() {
    for database in TestDatabase::both("without_billing_there_are_no_tables_of_it").unwrap() {
        let url = database.url();
        let server = ServerSettings::new(env!("CARGO_BIN_EXE_billhook"), &url).unwrap().start().unwrap();
        assert!(server.terminate().unwrap().0.success());
        let outbox = format!("SELECT count(*) FROM {}", own(&url, "outbox"));
        assert!(sql::number(&url, &outbox).is_err());
        // Who may not change the schema is told what to do.
        let ended = settings(&url).set("DISABLE_MIGRATIONS", "true").start().err().map(|error| format!("{error:#}"));
        assert!(ended.as_deref().is_some_and(|log| log.contains("lacks the tables of billing")), "{ended:?}");
        let migrated = settings(&url).command(&["migrate"]).output().unwrap();
        assert!(String::from_utf8_lossy(&migrated.stdout).contains("applied billing/0001_billing"));
        assert_eq!(sql::number(&url, &outbox).unwrap(), 0);
    }
}

/// The demo as a process; dropping it kills it.
struct Demo {
    child: Child,
    told: Arc<Mutex<Vec<String>>>,
}

impl Demo {
    fn start(folder: &std::path::Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_billhook"))
            .args(["demo", "--listen", "127.0.0.1:0", "--days-per-second", "2", "--folder"])
            .arg(folder)
            .env_clear()
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (told, output) = (Arc::<Mutex<Vec<String>>>::default(), child.stdout.take().unwrap());
        let lines = Arc::clone(&told);
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { child, told }
    }

    fn wait_for(&self, text: &str) {
        let told = || self.told.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| line.contains(text));
        let waited = wait::until(text, PATIENCE, || told().then_some(()));
        assert!(waited.is_ok(), "{text} was not told: {:#?}", self.told.lock().unwrap());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_shows_billing_at_work() {
    let folder = TestDatabase::sqlite().unwrap();
    let url = folder.url();
    let TestDatabase::Sqlite(directory) = &folder else { panic!("an SQLite database") };
    let demo = Demo::start(directory.path());
    for text in [
        " recorded",
        ": 404, not tried again",
        "failed, notice written; reminder in 3 days",
        "has not paid for 3 days, reminder written",
        "the reminder is called off",
    ] {
        demo.wait_for(text);
    }
    wait::until("a recovery", PATIENCE, || {
        let recovered =
            "SELECT count(*) FROM billhook_flow_runs WHERE function = 'payment-recovered' AND result LIKE '%:true%'";
        (sql::number(&url, recovered).unwrap() > 0).then_some(())
    })
    .unwrap();
    // Leases are of this world: nobody lost a run, although the clock of runs flies.
    assert_eq!(sql::number(&url, "SELECT coalesce(max(crashes), 0) FROM billhook_flow_runs").unwrap(), 0);
    let late = "SELECT count(*) FROM billing_outbox r JOIN invoices i ON i.id = json_extract(r.data, '$.invoice') \
                WHERE r.template = 'payment_reminder' AND julianday(r.created_at) - julianday(json_extract( \
                i._raw_data, '$.status_transitions.paid_at'), 'unixepoch') > 1";
    assert_eq!(sql::number(&url, late).unwrap(), 0, "nobody is reminded of what is paid");
}
