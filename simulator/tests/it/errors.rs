//! Errors and headers in Stripe's shape; keys; limits.

use billhook_simulator::{Options, Permission, RateLimits};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::client::{Caller, KEY, NOON, simulator, start};

#[test]
fn every_answer_has_stripes_headers() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let response = caller.request("GET", "/v1/customers", &[], "").unwrap();
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.header("stripe-version"), Some(billhook_stripe::catalogue::api_version()));
    assert!(response.header("request-id").is_some_and(|id| id.starts_with("req_")));
    // The date is the account's: 2026-07-02 14:00:00 UTC.
    assert_eq!(NOON, 1_783_000_800);
    assert_eq!(response.header("date"), Some("Thu, 02 Jul 2026 14:00:00 GMT"));
    simulator.account(|account| account.advance(61));
    let response = caller.request("GET", "/v1/customers", &[("stripe-version", "2025-03-31.basil")], "").unwrap();
    assert_eq!(response.header("date"), Some("Thu, 02 Jul 2026 14:01:01 GMT"));
    assert_eq!(response.header("stripe-version"), Some("2025-03-31.basil"));
    for version in ["tomorrow", "2025-03-31.Basil", "2999-01-01.zebra"] {
        assert_eq!(caller.request("GET", "/v1/customers", &[("stripe-version", version)], "").unwrap().status, 400);
    }
}

#[test]
fn errors_have_stripes_shape() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let (status, body) = caller.read("/v1/customers/cus_none");
    assert_eq!(status, 404);
    assert_eq!(
        body,
        json!({"error": {"type": "invalid_request_error", "code": "resource_missing", "param": "id", "message": "No such customer: 'cus_none'"}})
    );
    let (status, body) = caller.read("/v1/treasure");
    assert_eq!(status, 404);
    assert_eq!(body["error"]["type"], "invalid_request_error");
    assert!(body["error"]["message"].as_str().unwrap().starts_with("Unrecognized request URL (GET: /v1/treasure)"));
}

#[test]
fn keys_are_checked() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    // printf 'sk_test_simulator:' | base64
    let basic = [("authorization", "Basic c2tfdGVzdF9zaW11bGF0b3I6")];
    caller.key = String::new();
    assert_eq!(caller.read("/v1/customers").0, 401);
    let mut plain = billhook_testkit::Client::new(simulator.address());
    assert_eq!(plain.request("GET", "/v1/customers", &basic, b"").unwrap().status, 200);
    caller.key = "sk_test_of_somebody_else_1234".to_owned();
    let (status, body) = caller.read("/v1/customers");
    assert_eq!((status, body["error"]["type"].as_str()), (401, Some("invalid_request_error")));
    let message = body["error"]["message"].as_str().unwrap();
    assert!(message.ends_with("1234") && !message.contains("somebody"), "{message}");

    // Revoked and rotated while it runs.
    caller.key = KEY.to_owned();
    assert_eq!(caller.read("/v1/customers").0, 200);
    simulator.account(|account| account.revoke_key(KEY));
    assert_eq!(caller.read("/v1/customers").0, 401);
    simulator.account(|account| account.add_key("sk_test_rotated"));
    caller.key = "sk_test_rotated".to_owned();
    assert_eq!(caller.read("/v1/customers").0, 200);
}

#[test]
fn a_restricted_key_reads_only_what_it_may() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        account.add_restricted_key(
            "rk_test_1",
            Permission::Read,
            &[("invoice", Permission::None), ("webhook_endpoint", Permission::Write)],
        );
    });
    caller.key = "rk_test_1".to_owned();
    assert_eq!(caller.read("/v1/customers").0, 200);
    for path in ["/v1/invoices", "/v1/invoices/in_1"] {
        let (status, body) = caller.read(path);
        assert_eq!(status, 403, "{path}");
        assert!(body["error"]["message"].as_str().unwrap().contains("rak_invoice_read"));
    }
    assert_eq!(caller.post("/v1/webhook_endpoints", "url=http://127.0.0.1:9/&enabled_events[]=*").0, 200);
    assert_eq!(caller.post("/v1/customers", "name=Ada").0, 403);
    let headers = [("stripe-account", "acct_other")];
    assert_eq!(caller.request("GET", "/v1/customers", &headers, "").unwrap().status, 403);
}

#[test]
fn limits_answer_429_and_the_oracle_counts() {
    let limits = RateLimits { global: 8, endpoint: 5 };
    let simulator = start(Options { limits: Some(limits), ..Options::default() });
    let mut caller = Caller::new(&simulator);
    let mut statuses = Vec::new();
    for path in ["/v1/customers"; 7].into_iter().chain(["/v1/charges"; 4]) {
        let response = caller.request("GET", path, &[], "").unwrap();
        statuses.push((response.status, response.header("stripe-rate-limited-reason").map(str::to_owned)));
    }
    let refused: Vec<&str> = statuses.iter().filter_map(|(_, reason)| reason.as_deref()).collect();
    assert!(refused.contains(&"endpoint-rate"), "{statuses:?}");
    assert!(statuses.iter().all(|(status, reason)| (*status == 429) == reason.is_some()));
    let oracle = simulator.oracle();
    assert_eq!(oracle.requests_total(), 11);
    assert_eq!(oracle.requests_to("GET /v1/customers"), 7);
    assert_eq!(oracle.requests().iter().filter(|request| request.status == 429).count(), refused.len());
    assert!((5..=11).contains(&oracle.busiest_second("")), "{}", oracle.busiest_second(""));
    simulator.set_limits(None);
    assert_eq!(caller.read("/v1/charges").0, 200);
}

#[test]
fn http_2_is_spoken_too() {
    let simulator = simulator();
    simulator.account(|account| account.fill_customers(100));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (version, body) = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(simulator.address()).await.unwrap();
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = http2::handshake(executor, TokioIo::new(tcp)).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get(format!("{}/v1/customers?limit=100", simulator.base_url()))
            .header("authorization", format!("Bearer {KEY}"))
            .body(Empty::<Bytes>::new())
            .unwrap();
        let answer = sender.send_request(request).await.unwrap();
        (answer.version(), answer.into_body().collect().await.unwrap().to_bytes())
    });
    assert_eq!(version, http::Version::HTTP_2);
    let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(page["data"].as_array().unwrap().len(), 100);
}
