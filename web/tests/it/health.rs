//! Health, readiness and metrics.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use billhook_web::Limits;

use crate::harness::{API_KEY, DatabaseIs, Server, fake_state};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

#[tokio::test]
async fn health_speaks_both_engines_dialects() {
    let server = Server::start(Limits::default()).await;
    for path in ["/health", "/api/health"] {
        let reply = server.ask(get(path)).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.body, "{\"received\":true,\"statusCode\":200,\"ts\":1700000000123}");
    }
}

#[tokio::test]
async fn liveness_asks_nobody() {
    let server = Server::start(Limits::default()).await;
    *server.database.is.lock().unwrap() = DatabaseIs::Silent;
    let reply = server.ask(get("/healthz")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "ok"));
    assert_eq!(server.database.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn readiness_says_what_is_wrong_without_details() {
    for (database, accepting, status, body) in [
        (DatabaseIs::Current, true, 200, "ready"),
        (DatabaseIs::Current, false, 503, "deliveries are refused at the moment"),
        (DatabaseIs::Behind, true, 503, "the schema is not current"),
        (DatabaseIs::Away, true, 503, "the database does not answer"),
        (DatabaseIs::Silent, true, 503, "the database does not answer"),
    ] {
        let server = Server::start(Limits::default()).await;
        *server.database.is.lock().unwrap() = database;
        server.deliveries.ready.store(accepting, Ordering::SeqCst);
        let reply = server.ask(get("/readyz")).await;
        assert_eq!((reply.status, reply.body.as_str()), (status, body));
    }
}

#[tokio::test]
async fn readiness_shields_the_database_from_those_who_ask() {
    let server = Server::start(Limits::default()).await;
    let begun = Instant::now();
    let mut client = server.connect().await;
    let requests = 200;
    for _ in 0..requests {
        client.send(get("/readyz")).await;
        assert_eq!(client.reply().await.expect("an answer").body, "ready");
    }
    // Once for every half second that this took.
    let most = begun.elapsed().as_millis() / 500 + 1;
    assert!(server.database.asked.load(Ordering::SeqCst) as u128 <= most);
    *server.database.is.lock().unwrap() = DatabaseIs::Away;
    crate::harness::within("the change shows", async {
        loop {
            client.send(get("/readyz")).await;
            if client.reply().await.expect("an answer").status == 503 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn metrics_are_open_metrics_text() {
    let server = Server::start(Limits::default()).await;
    server.assert_alive().await;
    let request = format!("GET /metrics HTTP/1.1\r\nAuthorization: {API_KEY}\r\n\r\n");
    let reply = server.ask(request).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(reply.body.contains("billhook_deliveries_total{outcome=\"accepted\"} 1"), "{}", reply.body);
    assert!(reply.body.ends_with("# EOF\n"));
}

#[tokio::test]
async fn a_listener_for_metrics_serves_nothing_else() {
    let server = Server::start_metrics(Limits::default(), fake_state()).await;
    assert_eq!(server.ask(get("/metrics")).await.status, 200);
    assert_eq!(server.ask(get("/healthz")).await.status, 200);
    for path in ["/health", "/readyz", "/webhooks", "/"] {
        assert_eq!(server.ask(get(path)).await.status, 404, "{path}");
    }
}
