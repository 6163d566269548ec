//! The program is killed with `SIGKILL` again and again while deliveries arrive, each of them twice. A ledger outside of it
//! knows what was sent and what was acknowledged; in the end the database must agree.
#![expect(clippy::print_stdout, reason = "a failure is repeated with the seed, and a passing run says what it covered")]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use billhook_testkit::events::{Event, Generator};
use billhook_testkit::random::{self, Random};
use billhook_testkit::sign::{TEST_SECRET, now, sha256_hex};
use billhook_testkit::{Client, ServerSettings, TestDatabase, sql, wait};

use crate::versions::{Customers, Observer};

/// Says how many rounds to run; `cargo xtask faults` sets it.
const ROUNDS_VARIABLE: &str = "BILLHOOK_FAULT_ROUNDS";
/// Rounds otherwise.
const ROUNDS: u64 = 50;
/// Pairs of senders; the two of a pair send the same events.
const PAIRS: usize = 2;
/// Events that a pair sends again at the start of a round: those whose answer the crash swallowed, and some known ones.
const SENT_AGAIN: u64 = 5;
/// The program is killed this long after it listens, in milliseconds.
const KILLED_AFTER_MILLISECONDS: std::ops::Range<u64> = 20..700;
/// A crashed program must serve again within this time.
const HEALTHY_SECONDS_MAX: u64 = 30;
/// Longest wait until everything is applied, in seconds.
const APPLIED_SECONDS_MAX: u64 = 120;
/// Deliveries read at once when the database is compared with the ledger.
const PAGE_ROWS: usize = 500;
/// Distance between the numbers of two pairs' events.
const PAIR_NUMBERS: u64 = 1_000_000_000;
/// Tables of the generator's objects, in the order of [`Generator::TYPES`].
const TABLES: [&str; 3] = ["customers", "charges", "invoices"];

struct Sent {
    sha256: String,
    event_type: String,
    object_id: String,
    acknowledged: bool,
}

/// What the outside world knows.
#[derive(Default)]
struct Ledger {
    events: Mutex<HashMap<String, Sent>>,
    wrong_answers: Mutex<Vec<String>>,
}

impl Ledger {
    fn events(&self) -> MutexGuard<'_, HashMap<String, Sent>> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sending(&self, event: &Event) {
        self.events().entry(event.id.clone()).or_insert_with(|| Sent {
            sha256: sha256_hex(&event.body),
            event_type: event.event_type.clone(),
            object_id: event.object_id.clone(),
            acknowledged: false,
        });
    }

    fn acknowledged(&self, event: &Event) {
        if let Some(sent) = self.events().get_mut(&event.id) {
            sent.acknowledged = true;
        }
    }

    fn wrong(&self, answer: String) {
        self.wrong_answers.lock().unwrap_or_else(PoisonError::into_inner).push(answer);
    }
}

/// Two senders of the same events.
struct Pair {
    first_number: u64,
    /// Number of events acknowledged without a gap at least once, from which the next round goes on.
    done: AtomicU64,
}

struct Sender<'a> {
    address: SocketAddr,
    generator: &'a Generator,
    created: i64,
    ledger: &'a Ledger,
    pair: &'a Pair,
    stopped: &'a AtomicBool,
}

impl Sender<'_> {
    /// Sends until the program is gone.
    fn run(&self) {
        let mut client = Client::new(self.address);
        let mut next = self.pair.done.load(Ordering::Acquire).saturating_sub(SENT_AGAIN);
        while !self.stopped.load(Ordering::Acquire) {
            let event = self.generator.event(self.pair.first_number + next, self.created);
            self.ledger.sending(&event);
            match client.deliver(TEST_SECRET, &event) {
                Ok(answer) if answer.status == 200 => {
                    self.ledger.acknowledged(&event);
                    next += 1;
                    self.pair.done.fetch_max(next, Ordering::AcqRel);
                }
                // Refused for the moment: the same event again, as Stripe would, only sooner.
                Ok(answer) if answer.status == 503 => {}
                Ok(answer) => return self.ledger.wrong(format!("{} {}", answer.status, answer.text())),
                Err(_) => return,
            }
        }
    }
}

/// Sends events about few objects, in any order of their times, until the program is gone.
fn send_versions(address: SocketAddr, customers: &Customers, random: &mut Random, ledger: &Ledger) {
    let mut client = Client::new(address);
    loop {
        let event = customers.event(random, now());
        ledger.sending(&event);
        match client.deliver(TEST_SECRET, &event) {
            Ok(answer) if answer.status == 200 => ledger.acknowledged(&event),
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => return ledger.wrong(format!("{} {}", answer.status, answer.text())),
            Err(_) => return,
        }
    }
}

fn rounds() -> u64 {
    std::env::var(ROUNDS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS)
}

fn kill_again_and_again(database: &TestDatabase) -> Result<()> {
    let settings = ServerSettings::new(env!("CARGO_BIN_EXE_billhook"), &database.url())?;
    let seed = random::number();
    println!("{}: seed {seed}, {} rounds", database.dialect(), rounds());
    let mut random = Random::new(seed);
    let generator = Generator::new(seed);
    let ledger = Ledger::default();
    let pairs: Vec<Pair> =
        (0..PAIRS as u64).map(|number| Pair { first_number: number * PAIR_NUMBERS, done: AtomicU64::new(0) }).collect();
    let (created, customers) = (now(), Customers::new());
    let observer = Observer::start(&database.url(), &customers);
    for round in 0..rounds() {
        let server = settings.start().with_context(|| format!("round {round}"))?;
        let healthy = server.start_time().unwrap_or_default();
        ensure!(healthy <= Duration::from_secs(HEALTHY_SECONDS_MAX), "round {round}: healthy only after {healthy:?}");
        let (address, stopped) = (server.address(), AtomicBool::new(false));
        let mut versions = Random::new(random.next_number());
        let life =
            Duration::from_millis(random.between(KILLED_AFTER_MILLISECONDS.start, KILLED_AFTER_MILLISECONDS.end));
        std::thread::scope(|scope| {
            for pair in &pairs {
                for _ in 0..2 {
                    let sender =
                        Sender { address, generator: &generator, created, ledger: &ledger, pair, stopped: &stopped };
                    scope.spawn(move || sender.run());
                }
            }
            scope.spawn(|| send_versions(address, &customers, &mut versions, &ledger));
            // Not a wait for a condition: the moment of the crash is the random input of this test.
            std::thread::sleep(life);
            let killed = server.kill9();
            stopped.store(true, Ordering::Release);
            killed.with_context(|| format!("round {round}"))
        })?;
    }
    let wrong = std::mem::take(&mut *ledger.wrong_answers.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(wrong.is_empty(), "authentic deliveries got other answers than 200 and 503: {wrong:?}");
    let server = settings.start()?;
    let url = database.url();
    wait::until("everything to be applied", Duration::from_secs(APPLIED_SECONDS_MAX), || {
        let waiting = sql::number(&url, &format!("SELECT count(*) FROM {}", sql::own_table(&url, "pending")));
        waiting.is_ok_and(|waiting| waiting == 0).then_some(())
    })?;
    let (status, _) = server.terminate()?;
    ensure!(status.success(), "the program ended with {status}");
    println!("I5: {}", observer.finish()?);
    compare(&url, &ledger)
}

/// Acknowledged ⊆ stored, byte for byte; stored ⊆ sent; each once; every stored one applied to its row.
fn compare(url: &str, ledger: &Ledger) -> Result<()> {
    let events = ledger.events();
    let stored = read_inbox(url)?;
    for (event_id, sha256) in &stored {
        let sent = events.get(event_id).with_context(|| format!("{event_id} is stored and was never sent"))?;
        ensure!(*sha256 == sent.sha256, "{event_id} is stored with another body than was sent");
    }
    let ids: HashSet<&str> = stored.iter().map(|(event_id, _)| event_id.as_str()).collect();
    ensure!(ids.len() == stored.len(), "{} deliveries are stored twice", stored.len() - ids.len());
    let acknowledged = events.iter().filter(|(_, sent)| sent.acknowledged);
    let lost: Vec<&String> = acknowledged.map(|(id, _)| id).filter(|id| !ids.contains(id.as_str())).collect();
    ensure!(lost.is_empty(), "{} acknowledged deliveries are lost: {lost:?}", lost.len());
    for (event_type, table) in Generator::TYPES.iter().zip(TABLES) {
        let of_type = events.iter().filter(|(id, sent)| sent.event_type == *event_type && ids.contains(id.as_str()));
        let expected: HashSet<&str> = of_type.map(|(_, sent)| sent.object_id.as_str()).collect();
        let rows = sql::query(url, &format!("SELECT id FROM {}", sql::mirror_table(url, table)))?;
        let found: HashSet<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
        ensure!(rows.len() == found.len(), "{table} has an id twice");
        ensure!(
            found == expected,
            "{table} has {} rows, and {} were stored as deliveries",
            found.len(),
            expected.len()
        );
    }
    let acknowledged = events.values().filter(|sent| sent.acknowledged).count();
    ensure!(acknowledged > 0, "nothing was acknowledged, so nothing was tested");
    println!("{} sent, {acknowledged} acknowledged, {} stored", events.len(), stored.len());
    Ok(())
}

/// Event id and SHA-256 of the stored body of every delivery, computed here from the bytes.
fn read_inbox(url: &str) -> Result<Vec<(String, String)>> {
    let (table, mut after, mut all) = (sql::own_table(url, "inbox"), 0, Vec::new());
    loop {
        let page = format!(
            "SELECT sequence, event_id, raw FROM {table} WHERE sequence > {after} ORDER BY sequence LIMIT {PAGE_ROWS}"
        );
        let rows = sql::query(url, &page)?;
        let Some(last) = rows.last() else { return Ok(all) };
        after = last["sequence"].as_i64().context("sequence")?;
        for row in &rows {
            let event_id = row["event_id"].as_str().context("event_id")?.to_owned();
            let body = bytes_of(row["raw"].as_str().context("raw")?)?;
            all.push((event_id, sha256_hex(&body)));
        }
    }
}

/// Bytes of `\x` and hex.
fn bytes_of(text: &str) -> Result<Vec<u8>> {
    let hex = text.strip_prefix("\\x").context("not bytes")?;
    let pairs = hex.as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}

#[test]
fn crash_loop_on_sqlite_loses_nothing_and_doubles_nothing() {
    kill_again_and_again(&TestDatabase::sqlite().unwrap()).unwrap();
}

#[test]
fn crash_loop_on_postgres_loses_nothing_and_doubles_nothing() {
    let name = "crash_loop_on_postgres_loses_nothing_and_doubles_nothing";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    kill_again_and_again(&database).unwrap();
}
