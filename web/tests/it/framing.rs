//! Requests that are framed in unusual, wrong or hostile ways.

use billhook_web::Limits;

use crate::harness::{GOOD, Server, delivery, delivery_head};

async fn server() -> Server {
    Server::start(Limits { body_deadline_ms: 200, header_deadline_ms: 2_000, ..Limits::default() }).await
}

#[tokio::test]
async fn keep_alive_and_pipelining_keep_requests_apart() {
    let server = server().await;
    let mut client = server.connect().await;
    let count = 20;
    let requests: String = (0..count).map(|number| delivery(&format!("{{\"n\":{number}}}"))).collect();
    client.send(requests).await;
    for _ in 0..count {
        assert_eq!(client.reply().await.expect("an answer").status, 200);
    }
    let bodies: Vec<_> = (0..count).map(|number| format!("{{\"n\":{number}}}")).collect();
    assert_eq!(server.received(), bodies);
}

#[tokio::test]
async fn a_chunked_body_is_joined() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send(delivery_head("Transfer-Encoding: chunked\r\n")).await;
    for piece in ["5;name=value\r\n{\"a\":", "\r\n1", "\r\n1\r\n", "}\r\n", "0\r\nTrailer: x\r\n\r\n"] {
        client.send(piece).await;
    }
    assert_eq!(client.reply().await.expect("an answer").status, 400, "the chunk sizes above do not add up");
    let mut client = server.connect().await;
    client.send(delivery_head("Transfer-Encoding: chunked\r\n")).await;
    for piece in ["5;name=value\r\n{\"a\":\r\n", "2\r\n1", "}\r\n", "0\r\nTrailer: x\r\n\r\n"] {
        client.send(piece).await;
    }
    assert_eq!(client.reply().await.expect("an answer").status, 200);
    assert_eq!(server.received(), ["{\"a\":1}"]);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send(delivery_head("Expect: 100-continue\r\nContent-Length: 2\r\n")).await;
    assert_eq!(client.reply().await.expect("an interim answer").status, 100);
    client.send("{}").await;
    assert_eq!(client.reply().await.expect("an answer").status, 200);
}

#[tokio::test]
async fn http_1_0_is_answered_and_closed() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send(format!("POST /webhooks HTTP/1.0\r\nStripe-Signature: {GOOD}\r\nContent-Length: 2\r\n\r\n{{}}")).await;
    assert_eq!(client.reply().await.expect("an answer").status, 200);
    assert!(client.rest().await.is_empty());
    let reply = server.ask("POST /webhooks HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").await;
    assert_eq!(reply.status, 400);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_never_a_delivery() {
    let server = server().await;
    for headers in ["Content-Length: 10\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = server.connect().await;
        client.send(delivery_head(headers)).await;
        client.send("4\r\n{}").await;
        client.finish_sending().await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    }
    assert!(server.received().is_empty());
    server.assert_alive().await;
}

#[tokio::test]
async fn a_length_greater_than_the_body_is_408() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send(delivery_head("Content-Length: 10\r\n")).await;
    client.send("{}").await;
    let reply = client.reply().await.expect("an answer");
    assert_eq!(reply.status, 408);
    assert_eq!(reply.header("connection"), Some("close"));
    client.finish_sending().await;
    assert!(client.rest().await.is_empty());
    assert_eq!(server.outcomes("timeout"), 1);
}

#[tokio::test]
async fn a_length_less_than_the_body_makes_the_rest_a_bad_request() {
    let server = server().await;
    let mut client = server.connect().await;
    client.send(delivery_head("Content-Length: 2\r\n")).await;
    client.send("{}{\"more\":true}\r\n\r\n").await;
    assert_eq!(client.reply().await.expect("an answer").status, 200);
    assert_eq!(client.reply().await.expect("an answer").status, 400);
    client.finish_sending().await;
    assert!(client.rest().await.is_empty());
    assert_eq!(server.received(), ["{}"]);
}

/// Two readings of where a request ends are how a second request is smuggled past a proxy. Whatever the first answer is, what
/// follows on the connection must not be served.
#[tokio::test]
async fn ambiguous_framing_never_serves_what_follows() {
    let server = server().await;
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: test\r\n\r\n";
    let framings = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 99999999999999999999999\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding:\u{b}chunked\r\n",
        "Transfer-Encoding\u{0}: chunked\r\n",
    ];
    for framing in framings {
        let mut client = server.connect().await;
        client.send(format!("{}0\r\n\r\n{smuggled}", delivery_head(framing))).await;
        client.finish_sending().await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        let served = answer.matches("HTTP/1.1 200").count();
        assert_eq!(served, 0, "{framing:?} was answered {answer}");
        assert!(answer.matches("HTTP/1.1").count() <= 1, "{framing:?} was answered {answer}");
    }
    assert!(server.received().is_empty());
    server.assert_alive().await;
}

#[tokio::test]
async fn chunk_framing_is_read_strictly() {
    let server = server().await;
    for body in ["g\r\n{}\r\n0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n", "ffffffffffffffffff\r\n{}", "2\r\n{}XX0\r\n\r\n"] {
        let mut client = server.connect().await;
        client.send(delivery_head("Transfer-Encoding: chunked\r\n")).await;
        client.send(body).await;
        client.finish_sending().await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(!answer.contains(" 200 "), "{body:?} was answered {answer}");
    }
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn headers_beyond_the_limits_are_431() {
    let server = server().await;
    let large = format!("GET /healthz HTTP/1.1\r\nHost: test\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("GET /healthz HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(101));
    let long = format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "x".repeat(64 * 1024));
    for request in [large, many, long] {
        let mut client = server.connect().await;
        client.send(&request).await;
        assert_eq!(client.reply().await.expect("an answer").status, 431, "{}", &request[..40]);
        client.finish_sending().await;
        assert!(client.rest().await.is_empty());
    }
    let allowed = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n{}\r\n", "x".repeat(12 * 1024), "X: y\r\n".repeat(90));
    assert_eq!(server.ask(allowed).await.status, 200);
}

#[tokio::test]
async fn garbage_is_answered_400_or_nothing() {
    let server = server().await;
    let all_bytes: Vec<u8> = (0..=255).collect();
    let garbage: [&[u8]; 8] = [
        b"\r\n\r\n\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"get /healthz http/1.1\r\n\r\n",
        b"GET /\x01 HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nno colon\r\n\r\n",
        &all_bytes,
    ];
    for bytes in garbage {
        let mut client = server.connect().await;
        client.send(bytes).await;
        client.finish_sending().await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        let refused = answer.is_empty() || answer.contains(" 400 ") || answer.contains(" 404 ");
        assert!(refused, "{bytes:?} was answered {answer}");
    }
    server.assert_alive().await;
}
