//! What holds for every write.

use crate::client::{Caller, simulator};

#[test]
fn an_idempotency_key_repeats_the_answer() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("idempotency-key", "key-1")];
    let form = "url=http://127.0.0.1:9/&enabled_events[]=*";
    let first = caller.request("POST", "/v1/webhook_endpoints", &headers, form).unwrap();
    let second = caller.request("POST", "/v1/webhook_endpoints", &headers, form).unwrap();
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!(second.header("idempotent-replayed"), Some("true"));
    assert_eq!(second.header("original-request"), first.header("request-id"));
    let other = caller
        .request("POST", "/v1/webhook_endpoints", &headers, "url=http://127.0.0.1:8/&enabled_events[]=*")
        .unwrap();
    assert_eq!(other.status, 400);
    assert!(other.text().contains("idempotency_error"));
    assert_eq!(caller.ids("/v1/webhook_endpoints").len(), 1);
    // After a day the key is a new one.
    simulator.account(|account| account.advance(86_401));
    assert_eq!(caller.request("POST", "/v1/webhook_endpoints", &headers, form).unwrap().status, 200);
    assert_eq!(caller.ids("/v1/webhook_endpoints").len(), 2);
}
