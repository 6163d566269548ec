//! What a delivery is answered, and what the metrics say of it.

use billhook_mirror::{Receipt, Refusal};
use billhook_web::Limits;

use crate::harness::{GOOD, Server, delivery, delivery_head};

#[tokio::test]
async fn an_authentic_delivery_is_answered_200_on_both_paths() {
    let server = Server::start(Limits::default()).await;
    for (number, path) in ["/webhooks", "/api/webhooks/stripe"].into_iter().enumerate() {
        let reply = server.ask(delivery("{\"id\":\"evt_1\"}").replace("/webhooks", path)).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, "{\"received\":true}"));
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(server.received().len(), number + 1);
    }
    assert_eq!(server.outcomes("accepted"), 2);
    *server.deliveries.verdict.lock().unwrap() = Ok(Receipt::Duplicate);
    let reply = server.ask(delivery("{}")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "{\"received\":true}"));
    assert_eq!(server.outcomes("duplicate"), 1);
}

#[tokio::test]
async fn the_body_reaches_verification_byte_for_byte() {
    let server = Server::start(Limits::default()).await;
    let body = "{ \"a\" :\t1,\r\n\"b\":\"\u{0}é\u{1F600}\" }\n";
    assert_eq!(server.ask(delivery(body)).await.status, 200);
    // Compressed content is signed as it is sent, so nothing decodes it.
    let head = delivery_head("Content-Encoding: gzip\r\nContent-Length: 6\r\n");
    assert_eq!(server.ask([head.as_bytes(), b"\x1f\x8b\x08\x00\xff\x00"].concat()).await.status, 200);
    let received = server.received();
    assert_eq!(received[0], body.as_bytes());
    assert_eq!(received[1], &b"\x1f\x8b\x08\x00\xff\x00"[..]);
}

#[tokio::test]
async fn everything_that_is_not_authentic_gets_the_same_answer() {
    let server = Server::start(Limits::default()).await;
    let request = |headers: &str, body: &str| {
        format!("POST /webhooks HTTP/1.1\r\nHost: test\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
    };
    let requests = [
        request("", "{}"),
        request("Stripe-Signature: \r\n", "{}"),
        request("Stripe-Signature: t=1,v1=bad\r\n", "{}"),
        request(&format!("Stripe-Signature: {GOOD}\r\nStripe-Signature: {GOOD}\r\n"), "{}"),
        request("Stripe-Signature: t=1,v1=\u{e9}\r\n", "{}"),
        request(&format!("Stripe-Signature: {GOOD}\r\n"), ""),
        format!("POST /webhooks HTTP/1.1\r\nHost: test\r\nStripe-Signature: {GOOD}\r\n\r\n"),
    ];
    for request in &requests {
        let reply = server.ask(request).await;
        assert_eq!(reply.status, 400, "{request}");
        assert_eq!(reply.body, "Webhook Error: the signature could not be verified", "{request}");
    }
    assert_eq!(server.outcomes("bad_signature"), requests.len() as u64);
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn overload_and_an_absent_database_are_503_with_a_time_to_come_back() {
    let server = Server::start(Limits::default()).await;
    for (refusal, outcome) in [(Refusal::Overloaded, "overloaded"), (Refusal::Unavailable, "unavailable")] {
        *server.deliveries.verdict.lock().unwrap() = Err(refusal);
        let mut client = server.connect().await;
        for _ in 0..2 {
            client.send(delivery("{}")).await;
            let reply = client.reply().await.expect("the connection stays usable");
            assert_eq!(reply.status, 503);
            let seconds: u32 = reply.header("retry-after").and_then(|value| value.parse().ok()).expect("seconds");
            assert!((1..=60).contains(&seconds));
        }
        assert_eq!(server.outcomes(outcome), 2);
    }
}

#[tokio::test]
async fn a_verdict_that_does_not_come_is_503() {
    let server = Server::start(Limits { request_deadline_ms: 50, ..Limits::default() }).await;
    server.deliveries.gate.send_replace(false);
    assert_eq!(server.ask(delivery("{}")).await.status, 503);
    assert_eq!(server.outcomes("unavailable"), 1);
}

#[tokio::test]
async fn bodies_up_to_the_limit_are_taken() {
    let server = Server::start(Limits::default()).await;
    let body = "x".repeat(1024 * 1024);
    assert_eq!(server.ask(delivery(&body)).await.status, 200);
    assert_eq!(server.received()[0], body.as_bytes());
    let reply = server.ask(delivery(&format!("{body}x"))).await;
    assert_eq!(reply.status, 413);
    assert_eq!(server.outcomes("too_large"), 1);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_declared_excess_is_refused_before_the_body_and_ends_the_connection() {
    let server = Server::start(Limits::default()).await;
    let mut client = server.connect().await;
    client.send(delivery_head("Content-Length: 100000000\r\nExpect: 100-continue\r\n")).await;
    let reply = client.reply().await.expect("an answer without any byte of the body, and no 100 before it");
    assert_eq!(reply.status, 413);
    assert_eq!(reply.header("connection"), Some("close"));
    client.finish_sending().await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_client_that_is_still_sending_gets_its_413() {
    // 50 at once, each pushing far more than the socket buffers hold before it looks for the answer.
    let server = Server::start(Limits { linger_deadline_ms: 15_000, ..Limits::default() }).await;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (mut client, chunk) = (server.connect().await, chunk.clone());
        clients.spawn(async move {
            client.send(delivery_head("Transfer-Encoding: chunked\r\n")).await;
            for _ in 0..64 {
                client.send(&chunk).await;
            }
            client.reply().await.expect("an answer").status
        });
    }
    assert_eq!(clients.join_all().await, vec![413; 50]);
    assert_eq!(server.outcomes("too_large"), 50);
}

#[tokio::test]
async fn bodies_together_are_bounded_too() {
    let limits = Limits { bodies_bytes_max: 1_000, ..Limits::default() };
    let server = Server::start(limits).await;
    server.deliveries.gate.send_replace(false);
    let mut first = server.connect().await;
    first.send(delivery(&"a".repeat(700))).await;
    crate::harness::until("the first waits", || {
        server.deliveries.waiting.load(std::sync::atomic::Ordering::SeqCst) == 1
    })
    .await;
    let reply = server.ask(delivery(&"b".repeat(700))).await;
    assert_eq!(reply.status, 503);
    assert!(reply.header("retry-after").is_some());
    server.deliveries.gate.send_replace(true);
    assert_eq!(first.reply().await.expect("an answer").status, 200);
    assert_eq!(server.ask(delivery(&"c".repeat(700))).await.status, 200);
}
