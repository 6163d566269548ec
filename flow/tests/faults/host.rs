//! The process that is killed: an engine on a database, told by the test over one connection what to publish.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use billhook_core::{Clock, SystemClock};
use billhook_flow::engine::{Engine, EngineOptions, Matcher, Publish, Source, publication};
use billhook_flow::{Event, Functions};
use billhook_store::{Location, Options, Role, Store};
use billhook_stripe::catalogue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::deploy;
use crate::functions::{App, functions};

/// Names the test to the process: what it listens on for orders.
pub const CONTROL_VARIABLE: &str = "FAULTS_CONTROL";
/// Where steps tell.
pub const OBSERVER_VARIABLE: &str = "FAULTS_OBSERVER";
/// The database.
pub const DATABASE_VARIABLE: &str = "FAULTS_DATABASE";
/// Milliseconds of a lease; the engine's default without it.
pub const LEASE_VARIABLE: &str = "FAULTS_LEASE_MS";
/// Milliseconds of a step's work.
pub const WORK_VARIABLE: &str = "FAULTS_WORK_MS";
/// Seconds by which the clock is wrong.
pub const CLOCK_VARIABLE: &str = "FAULTS_CLOCK_SECONDS";

/// Which of the deploys of the test of deploys it is.
pub const DEPLOY_VARIABLE: &str = "FAULTS_DEPLOY";

/// What the test asks of the process; it answers each with a line.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// Publish events, given by id, name and data.
    Publish(Vec<(String, String, Value)>),
    /// Make the clock wrong by so many seconds.
    Clock(i64),
    /// Stop in good order.
    Stop,
}

/// The machine's clock and by how much it is wrong, in seconds.
#[derive(Default)]
struct WrongClock(AtomicI64);

impl Clock for WrongClock {
    fn now(&self) -> Timestamp {
        let wrong = SignedDuration::from_secs(self.0.load(Ordering::Acquire));
        SystemClock.now().saturating_add(wrong).unwrap_or(Timestamp::MAX)
    }
}

fn number(variable: &str) -> Option<i64> {
    std::env::var(variable).ok()?.parse().ok()
}

pub async fn open(url: &str) -> Store {
    let location = Location::from_url(url);
    let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
    Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await.unwrap()
}

#[test]
#[ignore = "started by another test: it is the process that is killed"]
fn host_process() {
    let address = |variable| std::env::var(variable).ok().and_then(|text| text.parse::<SocketAddr>().ok());
    let (Some(control), Some(observer)) = (address(CONTROL_VARIABLE), address(OBSERVER_VARIABLE)) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(serve(control, observer));
    std::process::exit(0);
}

async fn serve(control: SocketAddr, observer: SocketAddr) {
    let store = open(&std::env::var(DATABASE_VARIABLE).unwrap()).await;
    store.migrate().await.unwrap();
    let clock = Arc::new(WrongClock(AtomicI64::new(number(CLOCK_VARIABLE).unwrap_or_default())));
    let work = Duration::from_millis(number(WORK_VARIABLE).unwrap_or_default().unsigned_abs());
    let app = Arc::new(App { observer, clock: clock.clone(), work });
    let mut options = EngineOptions::new(holder(std::process::id()));
    if let Some(lease) = number(LEASE_VARIABLE) {
        options.lease = SignedDuration::from_millis(lease);
    }
    let functions = number(DEPLOY_VARIABLE).map_or_else(functions, deploy::functions);
    let engine = Engine::start(options, functions.clone(), app, store.clone(), clock.clone());
    let (read, mut write) = TcpStream::connect(control).await.unwrap().into_split();
    let mut asked = BufReader::new(read).lines();
    let hello = format!("{}\n", std::process::id());
    write.write_all(hello.as_bytes()).await.unwrap();
    // The connection ends with the test, and then this process does as well.
    while let Ok(Some(line)) = asked.next_line().await {
        match serde_json::from_str(&line).unwrap() {
            Ask::Publish(events) => {
                let answer = if publish(&store, &functions, &*clock, events).await { "ok\n" } else { "failed\n" };
                engine.wake();
                write.write_all(answer.as_bytes()).await.unwrap();
            }
            Ask::Clock(seconds) => {
                clock.0.store(seconds, Ordering::Release);
                write.write_all(b"ok\n").await.unwrap();
            }
            Ask::Stop => {
                engine.stop().await;
                return;
            }
        }
    }
}

/// The name in which this process holds leases.
pub fn holder(process: u32) -> String {
    format!("host-{process}")
}

async fn publish(
    store: &Store,
    functions: &Functions<App>,
    clock: &dyn Clock,
    events: Vec<(String, String, Value)>,
) -> bool {
    let now = clock.now();
    let publication = |(id, name, data): (String, String, Value)| {
        let event = Event::new(id, name, data, now);
        publication(functions, &event, Source::User, std::slice::from_ref(&event.name), now)
    };
    let publications = events.into_iter().map(publication).collect();
    store.transact(Publish { publications, matcher: Arc::new(Matcher), now }).await.is_ok()
}
