//! A TCP proxy that breaks connections in chosen ways, between a client and a server that know nothing of it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::SockRef;

/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;
/// How often a pump looks whether it has to end, in milliseconds.
const LOOK_EVERY_MILLISECONDS: u64 = 20;
/// Longest time a side may take to read its last data after the other one has ended, in seconds.
const FINISH_SECONDS_MAX: u64 = 10;

/// What the proxy does to connections; new ones and, where it makes sense, those that are open.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Fault {
    /// Forwards everything.
    #[default]
    None,
    /// Resets every new connection at once, and every open one.
    Refuse,
    /// Keeps connections open and forwards nothing in either direction until the fault changes.
    Silence,
    /// Forwards each piece of data this much later.
    Delay(Duration),
    /// Resets the client's connection after this many bytes from client to server have been forwarded.
    CutAfterBytes(u64),
    /// Forwards the client's bytes up to and including the last of these texts, which come in this order on one connection, then
    /// resets the client's connection; the server still reads and does everything that was sent, but its answer is lost. One
    /// connection; then the fault is over.
    CutAfterTexts(Vec<Vec<u8>>),
    /// Like [`Fault::CutAfterTexts`], but the server never sees the piece of data that holds the last text.
    CutBeforeTexts(Vec<Vec<u8>>),
}

struct Shared {
    fault: Mutex<Fault>,
    stopped: AtomicBool,
    accepted: AtomicU64,
    cuts: AtomicU64,
    open: Mutex<Vec<Arc<ClientSide>>>,
}

impl Shared {
    fn fault(&self) -> MutexGuard<'_, Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running proxy; dropping it resets all its connections.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// Listens on a free loopback port and forwards to `target`.
    ///
    /// # Errors
    /// When no port can be opened.
    pub fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            fault: Mutex::default(),
            stopped: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                if accepting.stopped.load(Ordering::Acquire) {
                    break;
                }
                accepting.accepted.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || forward(&shared, stream, target));
            }
        });
        Ok(Self { address, shared })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what happens to connections.
    pub fn set(&self, fault: Fault) {
        let refuse = fault == Fault::Refuse;
        *self.shared.fault() = fault;
        if refuse {
            self.reset_all();
        }
    }

    /// Resets every open connection.
    pub fn reset_all(&self) {
        let open = std::mem::take(&mut *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner));
        for client in open {
            client.reset();
        }
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Connections cut by one of the `Cut…` faults so far.
    pub fn cuts(&self) -> u64 {
        self.shared.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        self.reset_all();
        // Wakes the accept loop so that it sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

/// The writing half of a client's connection, which answers go to until it is reset.
struct ClientSide(Mutex<Option<TcpStream>>);

impl ClientSide {
    fn stream(&self) -> MutexGuard<'_, Option<TcpStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes an answer, or throws it away after a reset. Returns whether the server's next answer is worth reading.
    fn write(&self, data: &[u8]) -> bool {
        self.stream().as_mut().is_none_or(|stream| stream.write_all(data).is_ok())
    }

    /// Ends the connection with a reset instead of an orderly close: the kernel sends it once the reading half, which this
    /// wakes, is closed too.
    fn reset(&self) {
        if let Some(stream) = self.stream().take() {
            let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            let _ = stream.shutdown(Shutdown::Read);
        }
    }

    fn finish(&self) {
        if let Some(stream) = self.stream().take() {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
}

/// One connection: two pumps, the client's on this thread.
fn forward(shared: &Arc<Shared>, client: TcpStream, target: SocketAddr) {
    let Ok(writer) = client.try_clone() else { return };
    let _ = writer.set_nodelay(true);
    let _ = writer.set_write_timeout(Some(Duration::from_secs(FINISH_SECONDS_MAX)));
    let answers_to = Arc::new(ClientSide(Mutex::new(Some(writer))));
    if *shared.fault() == Fault::Refuse {
        return answers_to.reset();
    }
    let Ok(server) = TcpStream::connect(target) else { return answers_to.reset() };
    let _ = server.set_nodelay(true);
    let Ok(server_reader) = server.try_clone() else { return answers_to.reset() };
    let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|other| other.stream().is_some());
    open.push(Arc::clone(&answers_to));
    drop(open);
    let (answering, writer) = (Arc::clone(shared), Arc::clone(&answers_to));
    let answers = std::thread::spawn(move || pump_answers(&answering, server_reader, &writer));
    pump_requests(shared, client, server, &answers_to);
    let _ = answers.join();
}

fn pump_answers(shared: &Shared, mut server: TcpStream, client: &ClientSide) {
    let mut buffer = vec![0; CHUNK_BYTES];
    while let Ok(count @ 1..) = server.read(&mut buffer) {
        hold(shared);
        if !client.write(&buffer[..count]) {
            break;
        }
    }
    client.finish();
}

fn pump_requests(shared: &Shared, mut client: TcpStream, mut server: TcpStream, answers_to: &ClientSide) {
    let mut buffer = vec![0; CHUNK_BYTES];
    let mut forwarded = 0_u64;
    let mut sought = Sought::default();
    while let Ok(count @ 1..) = client.read(&mut buffer) {
        hold(shared);
        let data = &buffer[..count];
        let (send, cut) = decide(shared, data, forwarded, &mut sought);
        if cut {
            // Before the server has the data, so that its answer cannot slip through.
            answers_to.reset();
            shared.cuts.fetch_add(1, Ordering::Relaxed);
        }
        if server.write_all(&data[..send]).is_err() || cut {
            break;
        }
        forwarded += send as u64;
    }
    // An orderly end towards the server: a reset would make it throw away what it has not read yet.
    let _ = server.shutdown(Shutdown::Write);
    let _ = server.set_read_timeout(Some(Duration::from_secs(FINISH_SECONDS_MAX)));
}

/// Waits as the present fault demands before a piece of data goes on.
fn hold(shared: &Shared) {
    if let Fault::Delay(delay) = *shared.fault() {
        std::thread::sleep(delay);
    }
    while *shared.fault() == Fault::Silence && !shared.stopped.load(Ordering::Acquire) {
        std::thread::sleep(Duration::from_millis(LOOK_EVERY_MILLISECONDS));
    }
}

/// How far a connection has come with the texts that are looked for.
#[derive(Default)]
struct Sought {
    found: usize,
    /// The end of what came before, since a text may arrive in two pieces.
    tail: Vec<u8>,
}

impl Sought {
    /// Whether the last of the texts came with this data.
    fn finds(&mut self, texts: &[Vec<u8>], data: &[u8]) -> bool {
        self.tail.extend_from_slice(data);
        while let Some(text) = texts.get(self.found) {
            let Some(at) = self.tail.windows(text.len().max(1)).position(|window| window == text.as_slice()) else {
                let keep = self.tail.len().min(text.len().saturating_sub(1));
                self.tail.drain(..self.tail.len() - keep);
                return false;
            };
            self.tail.drain(..at + text.len());
            self.found += 1;
        }
        true
    }
}

/// How many of the client's bytes to forward, and whether the connection is cut after them.
fn decide(shared: &Shared, data: &[u8], forwarded: u64, sought: &mut Sought) -> (usize, bool) {
    let mut fault = shared.fault();
    match &*fault {
        Fault::CutAfterBytes(limit) => {
            let left = usize::try_from(limit.saturating_sub(forwarded)).unwrap_or(usize::MAX);
            if data.len() >= left { (left, true) } else { (data.len(), false) }
        }
        Fault::CutAfterTexts(texts) | Fault::CutBeforeTexts(texts) => {
            if !sought.finds(texts, data) {
                return (data.len(), false);
            }
            // PostgreSQL's messages end with a byte after the text; the rest of the piece goes along.
            let sent = if matches!(*fault, Fault::CutBeforeTexts(_)) { 0 } else { data.len() };
            *fault = Fault::None;
            (sent, true)
        }
        _ => {
            *sought = Sought::default();
            (data.len(), false)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A server that sends back what it gets and tells the test about it.
    fn echo() -> (SocketAddr, std::sync::mpsc::Receiver<Vec<u8>>) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().filter_map(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    let mut buffer = [0; 1024];
                    while let Ok(count @ 1..) = stream.read(&mut buffer) {
                        let _ = sender.send(buffer[..count].to_vec());
                        let _ = stream.write_all(&buffer[..count]);
                    }
                });
            }
        });
        (address, receiver)
    }

    fn connect(proxy: &Proxy) -> TcpStream {
        let stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream
    }

    fn exchange(stream: &mut TcpStream, data: &[u8]) -> std::io::Result<Vec<u8>> {
        stream.write_all(data)?;
        let mut buffer = vec![0; data.len()];
        stream.read_exact(&mut buffer)?;
        Ok(buffer)
    }

    #[test]
    fn a_cut_after_a_text_loses_the_answer_and_not_the_request() {
        let (target, seen) = echo();
        let proxy = Proxy::start(target).unwrap();
        let mut stream = connect(&proxy);
        assert_eq!(exchange(&mut stream, b"BEGIN").unwrap(), b"BEGIN");
        assert_eq!(seen.recv_timeout(LIMIT).unwrap(), b"BEGIN");
        proxy.set(Fault::CutAfterTexts(vec![b"COMMIT".to_vec()]));
        assert_eq!(exchange(&mut stream, b"COM").unwrap(), b"COM");
        assert!(exchange(&mut stream, b"MIT").is_err());
        assert_eq!(seen.recv_timeout(LIMIT).unwrap(), b"COM");
        assert_eq!(seen.recv_timeout(LIMIT).unwrap(), b"MIT");
        assert_eq!(proxy.cuts(), 1);
        assert_eq!(exchange(&mut connect(&proxy), b"COMMIT").unwrap(), b"COMMIT", "the fault is over");
    }

    #[test]
    fn a_cut_before_a_text_keeps_it_from_the_server() {
        let (target, seen) = echo();
        let proxy = Proxy::start(target).unwrap();
        proxy.set(Fault::CutBeforeTexts(vec![b"COMMIT".to_vec()]));
        assert!(exchange(&mut connect(&proxy), b"COMMIT").is_err());
        assert_eq!(exchange(&mut connect(&proxy), b"x").unwrap(), b"x");
        assert_eq!(seen.recv_timeout(LIMIT).unwrap(), b"x", "the first thing the server sees");
    }

    #[test]
    fn refused_silent_and_short_connections() {
        let (target, _seen) = echo();
        let proxy = Proxy::start(target).unwrap();
        let mut open = connect(&proxy);
        assert!(exchange(&mut open, b"a").is_ok());
        proxy.set(Fault::Refuse);
        assert!(exchange(&mut open, b"a").is_err());
        assert!(exchange(&mut connect(&proxy), b"a").is_err());
        proxy.set(Fault::CutAfterBytes(3));
        let mut short = connect(&proxy);
        assert!(exchange(&mut short, b"ab").is_ok());
        assert!(exchange(&mut short, b"cd").is_err());
        proxy.set(Fault::Silence);
        let mut silent = connect(&proxy);
        silent.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        assert!(exchange(&mut silent, b"a").is_err());
        proxy.set(Fault::None);
        silent.set_read_timeout(Some(LIMIT)).unwrap();
        let mut late = [0; 1];
        silent.read_exact(&mut late).unwrap();
        assert_eq!(&late, b"a", "what was held back goes on");
    }
}
