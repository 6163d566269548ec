//! The system gives no more sockets. The server runs in a process of its own with few file descriptors, because their limit is
//! the whole process's: the parent test starts this test binary again, with the child test alone.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use billhook_web::Limits;

use crate::harness::{Client, Server, delivery};

/// Set for the child, which does nothing without it.
const CHILD: &str = "BILLHOOK_TEST_FEW_DESCRIPTORS";

/// What the child says before its address.
const LISTENING: &str = "LISTENING ";

const HEALTHZ: &str = "GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n";

#[tokio::test]
#[ignore = "started by another test: it is the server of that one"]
async fn server_with_few_descriptors() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let server = Server::start(Limits::default()).await;
    server.deliveries.gate.send_replace(false);
    println!("\n{LISTENING}{}", server.address);
    // The parent ends the child by closing its standard input.
    let closed = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0; 1]));
    let _ = closed.await;
}

/// The child; killed when dropped.
struct FewDescriptors {
    child: Child,
    address: SocketAddr,
    /// Kept open, so that the child can write its last words.
    _output: BufReader<ChildStdout>,
}

impl FewDescriptors {
    fn start() -> Self {
        let this_test = std::env::current_exe().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\""])
            .arg(this_test)
            .args(["--exact", "accept_exhaustion::server_with_few_descriptors", "--ignored", "--nocapture"])
            .env(CHILD, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let address = loop {
            line.clear();
            assert_ne!(output.read_line(&mut line).unwrap(), 0, "the child ended before it listened");
            if let Some(address) = line.trim().strip_prefix(LISTENING) {
                break address.parse().unwrap();
            }
        };
        Self { child, address, _output: output }
    }

    /// Processor time used so far, in the kernel's ticks of 10 ms.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name in parentheses may hold spaces; user and system time are the 12th and 13th fields after it.
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    }
}

impl Drop for FewDescriptors {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn without_descriptors_the_server_rests_and_recovers() {
    let server = FewDescriptors::start();

    // Silent connections give way, so that a real one gets through although none of the others ends.
    let mut silent = Vec::new();
    for _ in 0..500 {
        silent.push(Client::connect(server.address).await);
    }
    let mut real = Client::connect(server.address).await;
    real.send(HEALTHZ).await;
    assert_eq!(real.reply().await.expect("an answer").status, 200);
    drop(silent);

    // Connections with requests do not: now there is no way to serve one more, and none to be in a hurry.
    let mut busy = Vec::new();
    for _ in 0..100 {
        let mut client = Client::connect(server.address).await;
        client.send(delivery("{}")).await;
        busy.push(client);
    }
    let mut late = Client::connect(server.address).await;
    late.send(HEALTHZ).await;
    let window = Duration::from_secs(1);
    let before = server.ticks();
    assert!(tokio::time::timeout(window, late.reply()).await.is_err(), "all descriptors are in use");
    let used_ms = (server.ticks() - before) * 10;
    assert!(used_ms < 100, "the accept loop used {used_ms} ms of processor time in {window:?}");
    drop(busy);
    assert_eq!(late.reply().await.expect("an answer").status, 200);
}
