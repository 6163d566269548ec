//! A server on a loopback address, the fake behind it, and a client that sends exactly the bytes it is told.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use billhook_core::metrics::{Metrics, Outcome};
use billhook_core::{ManualClock, Secret};
use billhook_mirror::{Receipt, Refusal};
use billhook_store::RunSummary;
use billhook_store::{SchemaState, StoreError};
use billhook_web::{Database, Deliveries, Limits, Reads, Single, State, SyncError, SyncRequest, Synced};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// The signature the fake accepts.
pub const GOOD: &str = "t=1700000000,v1=good";

/// The key of the admin routes in all tests.
pub const API_KEY: &str = "test-key-4242";

/// A condition that does not come true within this time fails its test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for something that must happen.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited in vain: {what}"),
    }
}

/// Waits until a condition is true.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    within(what, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

/// Takes deliveries with the signature [`GOOD`] and a body, and answers as it is told.
#[derive(Clone)]
pub struct FakeDeliveries {
    pub verdict: Arc<Mutex<Result<Receipt, Refusal>>>,
    pub received: Arc<Mutex<Vec<Bytes>>>,
    pub ready: Arc<AtomicBool>,
    /// Deliveries that wait for the gate.
    pub waiting: Arc<AtomicUsize>,
    /// Deliveries are answered only while this is true.
    pub gate: watch::Sender<bool>,
}

impl FakeDeliveries {
    fn new() -> Self {
        Self {
            verdict: Arc::new(Mutex::new(Ok(Receipt::Accepted))),
            received: Arc::default(),
            ready: Arc::new(AtomicBool::new(true)),
            waiting: Arc::default(),
            gate: watch::Sender::new(true),
        }
    }
}

impl Deliveries for FakeDeliveries {
    async fn receive(&self, signature: Option<&str>, body: Bytes) -> Result<Receipt, Refusal> {
        if signature != Some(GOOD) || body.is_empty() {
            return Err(Refusal::BadSignature);
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _ = self.gate.subscribe().wait_for(|open| *open).await;
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.received.lock().unwrap().push(body);
        *self.verdict.lock().unwrap()
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }
}

/// How the fake database answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DatabaseIs {
    Current,
    Behind,
    Away,
    Silent,
}

/// Answers for its schema, and counts how often it was asked.
#[derive(Clone)]
pub struct FakeDatabase {
    pub is: Arc<Mutex<DatabaseIs>>,
    pub asked: Arc<AtomicUsize>,
}

impl Database for FakeDatabase {
    async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let is = *self.is.lock().unwrap();
        match is {
            DatabaseIs::Current => Ok(SchemaState::Current),
            DatabaseIs::Behind => Ok(SchemaState::Behind(vec!["0002_secret_name".to_owned()])),
            DatabaseIs::Away => Err(StoreError::Unavailable("db.internal.example:5432 refused".to_owned())),
            DatabaseIs::Silent => std::future::pending().await,
        }
    }
}

/// Reads what it is told, and remembers what it was asked.
#[derive(Clone, Default)]
pub struct FakeReads {
    pub asked: Arc<Mutex<Vec<SyncRequest>>>,
    /// What every request meets, when something is wrong.
    pub error: Arc<Mutex<Option<SyncError>>>,
}

impl FakeReads {
    fn outcome<T>(&self, value: T) -> Result<T, SyncError> {
        self.error.lock().unwrap().clone().map_or(Ok(value), Err)
    }
}

impl Reads for FakeReads {
    async fn sync(&self, request: SyncRequest) -> Result<Synced, SyncError> {
        self.asked.lock().unwrap().push(request);
        self.outcome(vec![("products".to_owned(), 3), ("subscriptionSchedules".to_owned(), 0)])
    }

    async fn start(&self, request: SyncRequest) -> Result<Vec<i64>, SyncError> {
        self.asked.lock().unwrap().push(request);
        self.outcome(vec![4, 5])
    }

    async fn single(&self, id: &str, kind: Option<&str>) -> Result<Single, SyncError> {
        if id.starts_with("own") && kind.is_none() {
            return self.outcome(Single::UnknownPrefix);
        }
        self.outcome(Single::Stored(serde_json::json!({ "id": id, "object": kind }).to_string()))
    }

    async fn runs(&self, _limit: usize) -> Result<Vec<RunSummary>, SyncError> {
        self.outcome(Vec::new())
    }
}

/// A running server. Dropping it stops it.
pub struct Server {
    pub address: SocketAddr,
    pub deliveries: FakeDeliveries,
    pub database: FakeDatabase,
    pub reads: FakeReads,
    pub metrics: Arc<Metrics>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

pub fn fake_state() -> State<FakeDeliveries, FakeDatabase, FakeReads> {
    State {
        ingest: FakeDeliveries::new(),
        store: FakeDatabase { is: Arc::new(Mutex::new(DatabaseIs::Current)), asked: Arc::default() },
        reads: FakeReads::default(),
        flow: None,
        metrics: Arc::new(Metrics::new()),
        clock: Arc::new(ManualClock::new(Timestamp::from_millisecond(1_700_000_000_123).unwrap())),
        events: None,
        test_clock: None,
        event_key: None,
        api_key: Some(Secret::new(API_KEY)),
        metrics_open: false,
    }
}

impl Server {
    pub async fn start(limits: Limits) -> Self {
        Self::start_with(limits, fake_state()).await
    }

    pub async fn start_with(limits: Limits, state: State<FakeDeliveries, FakeDatabase, FakeReads>) -> Self {
        let (listener, stop, stopped) = Self::listen().await;
        let address = listener.local_addr().unwrap();
        let (deliveries, database, metrics) = (state.ingest.clone(), state.store.clone(), state.metrics.clone());
        let reads = state.reads.clone();
        let task = tokio::spawn(billhook_web::serve(listener, state, limits, stopped));
        Self { address, deliveries, database, reads, metrics, stop: Some(stop), task }
    }

    pub async fn start_metrics(limits: Limits, state: State<FakeDeliveries, FakeDatabase, FakeReads>) -> Self {
        let (listener, stop, stopped) = Self::listen().await;
        let address = listener.local_addr().unwrap();
        let (deliveries, database, metrics) = (state.ingest.clone(), state.store.clone(), state.metrics.clone());
        let reads = state.reads.clone();
        let task = tokio::spawn(billhook_web::serve_metrics(listener, state, limits, stopped));
        Self { address, deliveries, database, reads, metrics, stop: Some(stop), task }
    }

    async fn listen() -> (TcpListener, oneshot::Sender<()>, impl Future<Output = ()> + Send + 'static) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stop, stopped) = oneshot::channel();
        (listener, stop, async {
            let _ = stopped.await;
        })
    }

    pub async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends bytes on a connection of their own and reads one answer.
    pub async fn ask(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.reply().await.expect("an answer")
    }

    pub fn outcomes(&self, outcome: &'static str) -> u64 {
        self.metrics.deliveries.get_or_create(&Outcome { outcome }).get()
    }

    pub fn received(&self) -> Vec<Bytes> {
        self.deliveries.received.lock().unwrap().clone()
    }

    pub fn connections(&self) -> i64 {
        self.metrics.http_connections.get()
    }

    /// Proves that the server is well after what was done to it.
    pub async fn assert_alive(&self) {
        let reply = self.ask(delivery("{\"alive\":true}")).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "{\"received\":true}"));
    }

    /// Tells the server to stop.
    pub fn tell_to_stop(&mut self) {
        self.stop.take();
    }

    /// Tells the server to stop and waits until it has.
    pub async fn stopped(mut self) {
        self.tell_to_stop();
        within("the server stops", self.task).await.expect("the server does not panic").expect("it ends well");
    }
}

/// A signed delivery with this body, as HTTP/1.1.
pub fn delivery(body: &str) -> String {
    let length = body.len();
    format!(
        "POST /webhooks HTTP/1.1\r\nHost: test\r\nStripe-Signature: {GOOD}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

/// The headers of a signed delivery, with more headers between.
pub fn delivery_head(headers: &str) -> String {
    format!("POST /webhooks HTTP/1.1\r\nHost: test\r\nStripe-Signature: {GOOD}\r\n{headers}\r\n")
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// Reads a status line and headers.
    pub fn parse(lines: &[&str]) -> Self {
        let status = lines[0].split(' ').nth(1).expect("a status line").parse().expect("a status");
        let header = |line: &&str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { status, headers: lines[1..].iter().filter_map(header).collect(), body: String::new() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A connection under the test's full control.
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(within("connecting", TcpStream::connect(address)).await.expect("a connection"))
    }

    pub fn over(stream: TcpStream) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        within("sending", self.stream.write_all(bytes.as_ref())).await.expect("the server takes the bytes");
    }

    /// Sends bytes that the server may not want any more.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        within("sending", self.stream.write_all(bytes.as_ref())).await
    }

    pub async fn finish_sending(&mut self) {
        self.stream.shutdown().await.expect("closing one's own side");
    }

    /// The next answer; `None` when the connection ended before it was whole.
    pub async fn reply(&mut self) -> Option<Reply> {
        within("an answer", self.read_reply()).await
    }

    async fn read_reply(&mut self) -> Option<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await.ok()? == 0 {
                return None;
            }
        }
        let mut reply = Reply::parse(&head.lines().collect::<Vec<_>>());
        let length = reply.header("content-length").map_or(0, |value| value.parse().expect("a length"));
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        reply.body = String::from_utf8(body).expect("text");
        Some(reply)
    }

    /// Everything until the connection ends, however it ends.
    pub async fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = within("the connection ends", self.stream.read_to_end(&mut bytes)).await;
        bytes
    }

    pub async fn read_exact(&mut self, count: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; count];
        within("bytes", self.stream.read_exact(&mut bytes)).await.ok()?;
        Some(bytes)
    }
}
