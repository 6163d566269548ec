//! Reading on request, in the words of the existing engines.

use billhook_mirror::sync::Window;
use billhook_web::{Limits, SyncError};
use serde_json::{Value, json};

use crate::harness::{API_KEY, Reply, Server};

/// The fake clock, in milliseconds and seconds.
const NOW_MS: i64 = 1_700_000_000_123;
const NOW: i64 = 1_700_000_000;

async fn post(server: &Server, path: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: {API_KEY}\r\n{headers}");
    server.ask(format!("{head}Content-Length: {length}\r\n\r\n{body}")).await
}

#[tokio::test]
async fn sync_answers_with_a_count_for_each_kind() {
    let server = Server::start(Limits::default()).await;
    for path in ["/sync", "/api/sync", "/sync/weekly", "/sync/monthly", "/api/sync/monthly"] {
        let reply = post(&server, path, "", "").await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")), "{path}");
        let counts = r#""products":{"synced":3},"subscriptionSchedules":{"synced":0}"#;
        assert_eq!(reply.body, format!(r#"{{"statusCode":200,"ts":{NOW_MS},{counts}}}"#), "{path}");
    }
    let daily = post(&server, "/sync/daily", "", "{}").await;
    assert_eq!(daily.body, format!(r#"{{"statusCode":200,"ts":{NOW_MS}}}"#));
    let asked = server.reads.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|asked| asked.object == "all" && asked.window.lt.is_none()));
    let from = [None, None, Some(7), Some(30), Some(30), Some(1)].map(|days| days.map(|days| NOW - days * 86_400));
    assert_eq!(asked.iter().map(|asked| asked.window.gte).collect::<Vec<_>>(), from);
}

#[tokio::test]
async fn a_body_is_optional_whatever_its_type_says() {
    let server = Server::start(Limits::default()).await;
    let reply = post(&server, "/sync", "Content-Type: application/json\r\n", "").await;
    assert_eq!(reply.status, 200);
    let body = r#"{"object":"charge","created":{"gte":5,"lte":9},"backfillRelatedEntities":false}"#;
    assert_eq!(post(&server, "/sync", "", body).await.status, 200);
    let asked = server.reads.asked.lock().unwrap().pop().expect("it was asked");
    assert_eq!((asked.object.as_str(), asked.window), ("charge", Window { gte: Some(5), lt: Some(10) }));
    assert_eq!(asked.related, Some(false));
}

#[tokio::test]
async fn errors_have_the_shape_of_the_existing_engines() {
    let server = Server::start(Limits::default()).await;
    let broken = post(&server, "/sync", "", "{").await;
    let document: Value = serde_json::from_str(&broken.body).expect("JSON");
    assert_eq!((broken.status, &document["statusCode"], &document["error"]), (400, &json!(400), &json!("Bad Request")));
    assert!(server.reads.asked.lock().unwrap().is_empty());
    for (error, status) in [
        (SyncError::Refused("which".into()), 400),
        (SyncError::NotFound("gone".into()), 404),
        (SyncError::Failed("broke".into()), 500),
        (SyncError::Unavailable("no key".into()), 503),
    ] {
        *server.reads.error.lock().unwrap() = Some(error);
        for path in ["/sync", "/sync/daily", "/sync?wait=false", "/sync/single/cus_1"] {
            let reply = post(&server, path, "", "").await;
            let document: Value = serde_json::from_str(&reply.body).expect("JSON");
            assert_eq!((reply.status, &document["statusCode"]), (status, &json!(status)), "{path}");
            assert!(document["message"].as_str().is_some_and(|message| !message.is_empty()));
        }
    }
}

#[tokio::test]
async fn one_object_is_answered_as_it_is_stored() {
    let server = Server::start(Limits::default()).await;
    let reply = post(&server, "/sync/single/cus_1", "", "").await;
    let data = r#"{"id":"cus_1","object":null}"#;
    assert_eq!(reply.body, format!(r#"{{"statusCode":200,"ts":{NOW_MS},"data":[{data}]}}"#));
    let hinted = post(&server, "/api/sync/single/own%20%C3%A9?object=coupon", "", "").await;
    let document: Value = serde_json::from_str(&hinted.body).expect("JSON");
    assert_eq!(document["data"], json!([{ "id": "own \u{e9}", "object": "coupon" }]));
    let unknown = post(&server, "/sync/single/own_1", "", "").await;
    let document: Value = serde_json::from_str(&unknown.body).expect("JSON");
    assert_eq!((unknown.status, document.get("data")), (200, None));
    assert!(document["message"].as_str().is_some_and(|message| message.contains("?object=")));
}

#[tokio::test]
async fn a_caller_need_not_wait() {
    let server = Server::start(Limits::default()).await;
    let reply = post(&server, "/sync?wait=false", "", "{}").await;
    assert_eq!((reply.status, reply.body), (202, format!(r#"{{"statusCode":202,"ts":{NOW_MS},"runs":[4, 5]}}"#)));
}
