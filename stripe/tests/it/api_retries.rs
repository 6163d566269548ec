//! When a request is made again, and when not.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::SystemClock;
use billhook_core::metrics::Metrics;
use billhook_stripe::api::{Api, ApiError, ApiOptions, Limits};
use tokio::time::Instant;

use crate::api_server::{Reply, Server, api, error, get, json, ok, quick, until};

fn server_error() -> Reply {
    error(500, "api_error", "", "An unknown error occurred")
}

fn raw(text: &str) -> Reply {
    Reply::Raw(text.as_bytes().to_vec())
}

#[tokio::test]
async fn what_passes_is_asked_again() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"id\":\"cus_1\"";
    for reply in [
        error(409, "invalid_request_error", "idempotency_key_in_use", "in use"),
        error(429, "invalid_request_error", "rate_limit", "Too many requests"),
        error(429, "invalid_request_error", "rate_limit", "Too many requests").with("Stripe-Should-Retry", "false"),
        error(429, "invalid_request_error", "lock_timeout", "This object cannot be accessed right now"),
        error(400, "invalid_request_error", "rate_limit", "Too many requests"),
        error(402, "card_error", "", "odd, but Stripe knows best").with("Stripe-Should-Retry", "true"),
        server_error(),
        error(503, "api_error", "", "down"),
        json(502, "<html>Bad gateway</html>"),
        json(404, "<html>no such page: not Stripe's</html>"),
        json(200, r#"{"id":"cus_1","object":"cust"#),
        json(200, ""),
        json(200, "<html>Please log in</html>"),
        raw(half),
        raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{\"id\""),
        raw("SSH-2.0-OpenSSH_9.2\r\n"),
        raw(""),
        Reply::Reset,
    ] {
        let what = format!("{reply:?}");
        let server = Server::script(vec![reply, ok()]).await;
        let answer = get(&server.api(), "/v1/customers/cus_1").await.expect(&what);
        assert_eq!((&answer.body[..8], server.asked().len()), (&br#"{"id":"c"#[..], 2), "{what}");
    }
}

#[tokio::test]
async fn what_stays_is_asked_once() {
    for (reply, is_unavailable) in [
        (error(400, "invalid_request_error", "parameter_unknown", "Received unknown parameter"), false),
        (error(404, "invalid_request_error", "resource_missing", "No such customer"), false),
        (error(403, "invalid_request_error", "", "This key does not have the required permissions"), false),
        (error(402, "card_error", "card_declined", "declined"), false),
        (server_error().with("Stripe-Should-Retry", "false"), true),
        (error(409, "invalid_request_error", "lock", "no").with("Stripe-Should-Retry", "false"), false),
        (json(302, "").with("Location", "https://evil.example/v1/x"), true),
    ] {
        let what = format!("{reply:?}");
        let server = Server::script(vec![reply, ok()]).await;
        let error = get(&server.api(), "/v1/customers/cus_1").await.expect_err(&what);
        assert_eq!(matches!(error, ApiError::Unavailable(_)), is_unavailable, "{what}: {error}");
        assert_eq!((server.asked().len(), error.request_id()), (1, Some("req_0")), "{what}");
    }
}

#[tokio::test]
async fn attempts_end() {
    let server = Server::script(vec![server_error()]).await;
    let metrics = Arc::new(Metrics::new());
    let api = Api::new(server.options(), Arc::new(SystemClock), Arc::clone(&metrics)).unwrap();
    let error = get(&api, "/v1/customers").await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable(_)), "{error}");
    assert_eq!((server.asked().len(), error.request_id()), (3, Some("req_2")));
    assert_eq!(metrics.api_retries.get(), 2);
    assert!(metrics.encode().contains(r#"billhook_api_requests_total{outcome="server_error"} 3"#));
}

#[tokio::test]
async fn attempts_end_when_time_is_up() {
    let server = Server::script(vec![server_error()]).await;
    let limits = Limits { attempts: 1_000_000, total_ms: 50, ..quick() };
    let error = get(&api(ApiOptions { limits, ..server.options() }), "/v1/customers").await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable(_)), "{error}");
    assert!((2..=60).contains(&server.asked().len()), "{}", server.asked().len());
}

#[tokio::test]
async fn refusals_for_the_rate_are_no_attempts() {
    let server = Server::start(|asked| {
        let slow_down = error(429, "invalid_request_error", "rate_limit", "Too many requests");
        if asked.nth < 8 { slow_down.with("Stripe-Rate-Limited-Reason", "global-concurrency") } else { ok() }
    })
    .await;
    let metrics = Arc::new(Metrics::new());
    let api = Api::new(server.options(), Arc::new(SystemClock), Arc::clone(&metrics)).unwrap();
    get(&api, "/v1/customers").await.unwrap();
    assert_eq!((server.asked().len(), metrics.api_rate_limited.get()), (9, 8));
}

#[tokio::test]
async fn stripes_wish_to_wait_is_obeyed() {
    let later = error(503, "api_error", "", "down").with("Retry-After", "1");
    let server = Server::script(vec![later, ok()]).await;
    let start = Instant::now();
    get(&server.api(), "/v1/customers").await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_closed_connection_costs_no_attempt_but_only_once() {
    for last in [Reply::Reset, raw("")] {
        let limits = Limits { attempts: 1, ..quick() };
        let server = Server::script(vec![ok(), last.clone(), ok()]).await;
        let api = api(ApiOptions { limits, ..server.options() });
        // The first answer leaves a connection behind that the second request finds closed.
        get(&api, "/v1/customers").await.unwrap();
        get(&api, "/v1/customers").await.unwrap();
        assert_eq!(server.asked().len(), 3);

        let server = Server::script(vec![last]).await;
        let api = crate::api_server::api(ApiOptions { limits, ..server.options() });
        assert!(matches!(get(&api, "/v1/customers").await, Err(ApiError::Unavailable(_))));
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn a_repeated_write_has_the_same_idempotency_key() {
    let server = Server::script(vec![Reply::Reset, server_error(), raw("HTTP/1.1 200 OK\r\n\r\n{"), ok()]).await;
    let form = [("url".to_owned(), "https://x.example".to_owned())];
    server.api().post("/v1/webhook_endpoints", &form, "key-7").await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    for one in asked {
        assert_eq!((one.header("idempotency-key"), one.body.as_str()), (Some("key-7"), "url=https%3A%2F%2Fx.example"));
    }
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{\"a\":\"".to_vec();
    let endless = [head.clone(), vec![b'x'; 100_000]].concat();
    for (reply, limits, says) in [
        (Reply::Silence, Limits { attempt_ms: 100, ..quick() }, "no answer within 100 ms"),
        (
            Reply::Drip(endless, Duration::from_millis(2)),
            Limits { attempt_ms: 300, ..quick() },
            "not complete within 300 ms",
        ),
        (Reply::Drip(head, Duration::from_millis(1)), Limits { silence_ms: 100, ..quick() }, "no further byte"),
    ] {
        let limits = Limits { attempts: 2, ..limits };
        let server = Server::script(vec![reply]).await;
        let error = get(&api(ApiOptions { limits, ..server.options() }), "/v1/customers").await.unwrap_err();
        assert!(matches!(error, ApiError::Unavailable(_)) && error.to_string().contains(says), "{error}");
        assert_eq!(server.asked().len(), 2);
    }
}

#[tokio::test]
async fn who_stops_waiting_ends_the_request() {
    let server = Server::script(vec![Reply::Silence]).await;
    let api = server.api();
    let request = tokio::spawn(async move { get(&api, "/v1/customers").await });
    until(|| server.asked().len() == 1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_unavailable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = Server::script(vec![ok()]).await;
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = get(&api(ApiOptions { base, ..server.options() }), "/v1/customers").await.unwrap_err();
    assert!(matches!(&error, ApiError::Unavailable(_)) && error.to_string().contains("no connection"), "{error}");
}

#[tokio::test]
async fn a_huge_answer_is_left_alone() {
    let announced = raw("HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n{");
    let unannounced = [b"HTTP/1.1 200 OK\r\n\r\n{\"a\":\"".to_vec(), vec![b'x'; 50 << 20]].concat();
    for reply in [announced, Reply::Raw(unannounced)] {
        let server = Server::script(vec![reply]).await;
        let error = get(&server.api(), "/v1/customers").await.unwrap_err();
        assert!(matches!(error, ApiError::TooLarge(_)), "{error}");
        assert_eq!(server.asked().len(), 1);
    }
}
