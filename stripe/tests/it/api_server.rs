//! A server on this machine that answers as it is told, and a client for it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use billhook_core::metrics::Metrics;
use billhook_core::{Secret, SystemClock};
use billhook_stripe::api::{Answer, Api, ApiError, ApiKey, ApiOptions, Class, Get, Limits, Rate};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A key that must never be seen.
pub const KEY: &str = "rk_test_51CANARYcanaryCANARYcanary0123456789";

/// Stripe's clock in all answers: 2026-11-25 22:38:27 UTC.
pub const DATE: (&str, i64) = ("Wed, 25 Nov 2026 22:38:27 GMT", 1_795_646_307);

/// A request as it arrived.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Counted from 0 over all connections.
    pub nth: usize,
    pub connection: usize,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// What the server does with a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// Answers, and keeps the connection.
    Answer { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// Sends these bytes, whatever they are, and closes the connection.
    Raw(Vec<u8>),
    /// Sends these bytes one by one with pauses, without end in sight.
    Drip(Vec<u8>, Duration),
    /// Ends the connection with a reset.
    Reset,
    /// Says nothing more on this connection, and keeps it.
    Silence,
}

pub fn json(status: u16, body: &str) -> Reply {
    Reply::Answer { status, headers: vec![("Content-Type", "application/json".to_owned())], body: body.into() }
}

pub fn ok() -> Reply {
    json(200, r#"{"id":"cus_1","object":"customer"}"#)
}

/// An error in Stripe's form.
pub fn error(status: u16, kind: &str, code: &str, message: &str) -> Reply {
    let code = if code.is_empty() { String::new() } else { format!(r#""code":"{code}","#) };
    json(status, &format!(r#"{{"error":{{"type":"{kind}",{code}"message":"{message}","param":"id"}}}}"#))
}

impl Reply {
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

type Behaviour = dyn Fn(&Asked) -> Reply + Send + Sync;

/// See the module. It ends when dropped.
pub struct Server {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start(behaviour: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (seen, behaviour) = (Arc::clone(&asked), Arc::new(behaviour) as Arc<Behaviour>);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            for connection in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                connections.spawn(serve(stream, connection, Arc::clone(&seen), Arc::clone(&behaviour)));
            }
        });
        Self { address, asked, task }
    }

    /// Gives these replies one after the other, and then the last one for ever.
    pub async fn script(replies: Vec<Reply>) -> Self {
        let last = replies.len() - 1;
        Self::start(move |asked| replies[asked.nth.min(last)].clone()).await
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn options(&self) -> ApiOptions {
        ApiOptions {
            requests_per_second: Rate::Unlimited,
            limits: quick(),
            ..ApiOptions::new(self.base(), ApiKey::Fixed(Secret::new(KEY)))
        }
    }

    pub fn api(&self) -> Api {
        api(self.options())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Pauses so short that no test waits, and deadlines so long that none passes by itself.
pub fn quick() -> Limits {
    Limits {
        connect_ms: 60_000,
        attempt_ms: 60_000,
        silence_ms: 60_000,
        total_ms: 60_000,
        attempts: 3,
        backoff_first_ms: 1,
        backoff_longest_ms: 4,
        key_look_ms: 10,
        key_probe_ms: 60_000,
        ..Limits::default()
    }
}

pub fn api(options: ApiOptions) -> Api {
    Api::new(options, Arc::new(SystemClock), Arc::new(Metrics::new())).unwrap()
}

pub async fn get(api: &Api, path: &str) -> Result<Answer, ApiError> {
    api.get(&Get { path, query: &[], account: "", class: Class::Interactive }).await
}

async fn serve(mut stream: TcpStream, connection: usize, seen: Arc<Mutex<Vec<Asked>>>, behaviour: Arc<Behaviour>) {
    let mut buffer = Vec::new();
    while let Some(mut asked) = read_request(&mut stream, &mut buffer).await {
        asked.connection = connection;
        {
            let mut seen = seen.lock().unwrap();
            asked.nth = seen.len();
            seen.push(asked.clone());
        }
        match behaviour(&asked) {
            Reply::Answer { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} X\r\nDate: {}\r\nContent-Length: {}\r\n", DATE.0, body.len());
                head.push_str(&format!("Request-Id: req_{}\r\n", asked.nth));
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                head.push_str("\r\n");
                let _ = stream.write_all(&[head.into_bytes(), body].concat()).await;
            }
            Reply::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                return;
            }
            Reply::Drip(bytes, pause) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
                std::future::pending::<()>().await;
            }
            Reply::Reset => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                return;
            }
            Reply::Silence => std::future::pending::<()>().await,
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(buffer.drain(..end).collect()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut asked = Asked { method, target, headers, ..Asked::default() };
    let length: usize = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while buffer.len() < length {
        if stream.read_buf(buffer).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    asked.body = String::from_utf8(buffer.drain(..length).collect()).unwrap();
    Some(asked)
}

/// Waits for a condition.
pub async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
}
