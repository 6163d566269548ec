//! More connections than there is room for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use billhook_web::Limits;

use crate::harness::{Client, Server, delivery, until};

#[tokio::test]
async fn at_the_limit_the_connection_that_waited_longest_gives_way() {
    let server = Server::start(Limits { connections_max: 3, ..Limits::default() }).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.send("GET /healthz HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.reply().await.expect("an answer").status, 200);
        clients.push(client);
        // The times must differ for there to be a longest.
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
    server.assert_alive().await;
    assert!(clients[0].rest().await.is_empty(), "the first gave way");
    for client in &mut clients[1..] {
        client.send("GET /healthz HTTP/1.1\r\n\r\n").await;
        assert_eq!(client.reply().await.expect("the others are kept").status, 200);
    }
}

#[tokio::test]
async fn connections_with_requests_do_not_give_way() {
    let server = Server::start(Limits { connections_max: 2, ..Limits::default() }).await;
    server.deliveries.gate.send_replace(false);
    let mut busy = [server.connect().await, server.connect().await];
    for client in &mut busy {
        client.send(delivery("{}")).await;
    }
    until("both are busy", || server.deliveries.waiting.load(Ordering::SeqCst) == 2).await;
    let mut third = server.connect().await;
    third.send(delivery("{}")).await;
    let served = tokio::time::timeout(Duration::from_millis(300), third.reply()).await;
    assert!(served.is_err(), "there is no room for the third");
    assert_eq!(server.connections(), 2);
    server.deliveries.gate.send_replace(true);
    for client in &mut busy {
        assert_eq!(client.reply().await.expect("an answer").status, 200);
    }
    assert_eq!(third.reply().await.expect("its turn comes").status, 200);
}

#[tokio::test]
async fn one_address_may_be_bounded() {
    let server = Server::start(Limits { connections_per_address_max: Some(2), ..Limits::default() }).await;
    let kept = [server.connect().await, server.connect().await];
    until("both are counted", || server.connections() == 2).await;
    assert!(server.connect().await.rest().await.is_empty());
    drop(kept);
    until("both are gone", || server.connections() == 0).await;
    server.assert_alive().await;
}

#[tokio::test]
async fn the_gauge_counts_open_connections() {
    let server = Server::start(Limits::default()).await;
    let client = server.connect().await;
    until("it is counted", || server.connections() == 1).await;
    drop(client);
    until("it is gone", || server.connections() == 0).await;
}

/// A thousand connections that trickle their headers, three times as many at once as there are places, each replaced when it
/// is cut, while a client delivers on fresh connections: every delivery is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_do_not_starve_a_real_one() {
    const ATTACKERS: usize = 300;
    const ATTACKS: usize = 1_000;
    let server = Server::start(Limits { connections_max: 100, header_deadline_ms: 500, ..Limits::default() }).await;
    let opened = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let mut attackers = tokio::task::JoinSet::new();
    for _ in 0..ATTACKERS {
        let (address, opened, over) = (server.address, opened.clone(), over.clone());
        attackers.spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let mut client = Client::connect(address).await;
                opened.fetch_add(1, Ordering::SeqCst);
                while client.try_send("G").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    let mut deliveries = 0;
    while opened.load(Ordering::SeqCst) < ATTACKS || deliveries < 20 {
        server.assert_alive().await;
        deliveries += 1;
    }
    over.store(true, Ordering::SeqCst);
    assert_eq!(server.received().len(), deliveries);
    assert!(server.connections() <= 100);
}
