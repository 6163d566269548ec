//! Clients that take their time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use billhook_web::Limits;
use tokio::net::TcpSocket;

use crate::harness::{Client, Server, delivery, delivery_head, until, within};

/// Limits so wide that only the one under test can end a connection.
fn patient() -> Limits {
    Limits {
        header_deadline_ms: 600_000,
        idle_deadline_ms: 600_000,
        body_deadline_ms: 600_000,
        request_deadline_ms: 600_000,
        write_deadline_ms: 600_000,
        busy_deadline_ms: 600_000,
        ..Limits::default()
    }
}

/// Sends a byte every few milliseconds until the server no longer wants any.
async fn trickle(mut client: Client, bytes: &str) {
    for byte in bytes.bytes().cycle() {
        if client.try_send([byte]).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_client_that_says_nothing_is_cut() {
    let server = Server::start(Limits { header_deadline_ms: 200, ..patient() }).await;
    for beginning in ["", "P", "PRI * HTTP/2.0\r\n", "GET /healthz HTTP/1.1\r\nHost:"] {
        let mut client = server.connect().await;
        client.send(beginning).await;
        assert!(client.rest().await.is_empty(), "{beginning:?}");
    }
}

#[tokio::test]
async fn headers_that_trickle_are_cut_however_steadily_they_come() {
    let server = Server::start(Limits { header_deadline_ms: 200, ..patient() }).await;
    let mut client = server.connect().await;
    client.send("GET /healthz HTTP/1.1\r\n").await;
    within("the connection is cut", trickle(client, "X: y\r\n")).await;
    // The same after a first request that was served.
    let mut client = server.connect().await;
    client.send("GET /healthz HTTP/1.1\r\n\r\n").await;
    assert_eq!(client.reply().await.expect("an answer").status, 200);
    client.send("GET /healthz HTTP/1.1\r\n").await;
    within("the connection is cut", trickle(client, "X: y\r\n")).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_408() {
    let server = Server::start(Limits { body_deadline_ms: 200, ..patient() }).await;
    let mut client = server.connect().await;
    client.send(delivery_head("Content-Length: 100000\r\n")).await;
    for _ in 0..10 {
        client.send("x").await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(client.reply().await.expect("an answer").status, 408);
    assert_eq!(server.outcomes("timeout"), 1);
    within("the connection is cut", trickle(client, "x")).await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_and_an_active_one_is_not() {
    let server = Server::start(Limits { idle_deadline_ms: 300, ..patient() }).await;
    let mut client = server.connect().await;
    for _ in 0..20 {
        client.send(delivery("{}")).await;
        assert_eq!(client.reply().await.expect("the connection is kept").status, 200);
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_delivery_that_waits_is_not_idle() {
    let server = Server::start(Limits { idle_deadline_ms: 50, header_deadline_ms: 50, ..patient() }).await;
    server.deliveries.gate.send_replace(false);
    let mut client = server.connect().await;
    client.send(delivery("{}")).await;
    // A second connection lives through the whole of both deadlines meanwhile.
    assert!(server.connect().await.rest().await.is_empty());
    server.deliveries.gate.send_replace(true);
    assert_eq!(client.reply().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn the_place_of_a_client_that_gave_up_is_free_at_once() {
    let server = Server::start(patient()).await;
    server.deliveries.gate.send_replace(false);
    let mut client = server.connect().await;
    client.send(delivery("{}")).await;
    until("it waits", || server.deliveries.waiting.load(Ordering::SeqCst) == 1).await;
    drop(client);
    until("the connection is gone", || server.connections() == 0).await;
    server.deliveries.gate.send_replace(true);
    server.assert_alive().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut() {
    let server = Server::start(Limits { write_deadline_ms: 200, ..patient() }).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut client = Client::over(socket.connect(server.address).await.unwrap());
    let many = "GET /healthz HTTP/1.1\r\n\r\n".repeat(1_000);
    let refused = async { while client.try_send(&many).await.is_ok() {} };
    within("the server gives up", refused).await;
    until("the connection is gone", || server.connections() == 0).await;
}

#[tokio::test]
async fn a_closed_connection_does_not_linger_for_ever() {
    let server = Server::start(Limits { linger_deadline_ms: 200, ..patient() }).await;
    let mut client = server.connect().await;
    client.send(delivery_head("Content-Length: 100000000\r\n")).await;
    assert_eq!(client.reply().await.expect("an answer").status, 413);
    within("the connection is cut", trickle(client, "x")).await;
    until("the connection is gone", || server.connections() == 0).await;
}
