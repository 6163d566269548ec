//! Stopping without losing what is under way.

use std::sync::atomic::Ordering;

use billhook_web::Limits;
use tokio::net::TcpStream;

use crate::harness::{Server, delivery, delivery_head, until};

#[tokio::test]
async fn a_delivery_under_way_is_answered_and_new_connections_are_not_taken() {
    let mut server = Server::start(Limits::default()).await;
    server.deliveries.gate.send_replace(false);
    let mut busy = server.connect().await;
    busy.send(delivery("{}")).await;
    let mut half = server.connect().await;
    half.send(delivery_head("Content-Length: 2\r\nExpect: 100-continue\r\n")).await;
    assert_eq!(half.reply().await.expect("the body is being read").status, 100);
    half.send("{").await;
    until("one waits", || server.deliveries.waiting.load(Ordering::SeqCst) == 1).await;
    server.tell_to_stop();
    let address = server.address;
    crate::harness::within("the listener closes", async { while TcpStream::connect(address).await.is_ok() {} }).await;
    half.send("}").await;
    until("both wait", || server.deliveries.waiting.load(Ordering::SeqCst) == 2).await;
    server.deliveries.gate.send_replace(true);
    for mut client in [busy, half] {
        let reply = client.reply().await.expect("an answer");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("connection"), Some("close"));
        assert!(client.rest().await.is_empty());
    }
    server.stopped().await;
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = Server::start(Limits { shutdown_deadline_ms: 600_000, ..Limits::default() }).await;
    let mut idle = server.connect().await;
    idle.send(delivery("{}")).await;
    assert_eq!(idle.reply().await.expect("an answer").status, 200);
    let mut silent = server.connect().await;
    until("both are open", || server.connections() == 2).await;
    server.stopped().await;
    assert!(idle.rest().await.is_empty());
    assert!(silent.rest().await.is_empty());
}

#[tokio::test]
async fn what_does_not_finish_is_cut() {
    let server = Server::start(Limits { shutdown_deadline_ms: 100, ..Limits::default() }).await;
    server.deliveries.gate.send_replace(false);
    let mut client = server.connect().await;
    client.send(delivery("{}")).await;
    until("it waits", || server.deliveries.waiting.load(Ordering::SeqCst) == 1).await;
    let metrics = server.metrics.clone();
    server.stopped().await;
    assert!(client.rest().await.is_empty(), "not a byte that could look like an acknowledgement");
    assert_eq!(metrics.http_connections.get(), 0);
}
