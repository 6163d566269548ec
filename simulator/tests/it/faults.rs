//! Each fault of the API once.

use std::time::{Duration, Instant};

use billhook_simulator::{ApiFault, Limit};
use serde_json::json;

use crate::client::{Caller, ids_of, simulator};

#[test]
fn the_next_three_requests_of_one_path_fail() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let fault = ApiFault::Status { status: 500, should_retry: Some(false) };
    let id = simulator.faults().api("/v1/invoices", fault, Limit::Next(3));
    assert_eq!(caller.read("/v1/customers").0, 200);
    for _ in 0..3 {
        let response = caller.request("GET", "/v1/invoices", &[], "").unwrap();
        assert_eq!((response.status, response.header("stripe-should-retry")), (500, Some("false")));
        assert!(response.text().contains("api_error"));
    }
    assert_eq!(caller.read("/v1/invoices").0, 200);
    assert_eq!(simulator.faults().fired(id), 3);
    assert_eq!(simulator.oracle().requests_to("GET /v1/invoices"), 4);
}

#[test]
fn shares_are_seeded() {
    let statuses = || {
        let simulator = simulator();
        let mut caller = Caller::new(&simulator);
        let fault = ApiFault::RateLimited { retry_after: Some(2), reason: Some("global-rate".to_owned()) };
        simulator.faults().api("", fault, Limit::Share(0.3));
        (0..60).map(|_| caller.read("/v1/customers").0).collect::<Vec<_>>()
    };
    let first = statuses();
    assert_eq!(first, statuses());
    let limited = first.iter().filter(|status| **status == 429).count();
    assert!((5..=35).contains(&limited), "{limited} of 60");
}

#[test]
fn answers_are_broken_as_told() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| account.fill_customers(3));
    let good = caller.request("GET", "/v1/customers", &[], "").unwrap().body;
    let faults = simulator.faults();
    let once = |fault| faults.api("/v1/customers", fault, Limit::Next(1));

    once(ApiFault::RateLimited { retry_after: None, reason: None });
    let answer = caller.request("GET", "/v1/customers", &[], "").unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (429, None));
    assert!(answer.text().contains("rate_limit"));

    let message = "Your account is not set up to use Issuing.".to_owned();
    once(ApiFault::Refused { status: 400, message: message.clone() });
    let (status, body) = caller.read("/v1/customers");
    assert_eq!((status, body["error"]["message"].as_str()), (400, Some(message.as_str())));

    once(ApiFault::HalfJson);
    let answer = caller.request("GET", "/v1/customers", &[], "").unwrap();
    assert_eq!(answer.body, good[..good.len() / 2]);

    once(ApiFault::Cut);
    assert!(caller.request("GET", "/v1/customers", &[], "").is_err());

    once(ApiFault::Reset);
    assert!(caller.request("GET", "/v1/customers", &[], "").is_err());

    once(ApiFault::Html);
    let answer = caller.request("GET", "/v1/customers", &[], "").unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/html; charset=utf-8")));

    once(ApiFault::GzipBomb { bytes: 100_000_000 });
    let answer = caller.request("GET", "/v1/customers", &[], "").unwrap();
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    assert!((100_000..1_000_000).contains(&answer.body.len()), "{}", answer.body.len());

    once(ApiFault::HugePage { bytes: 50_000_000 });
    let answer = caller.request("GET", "/v1/customers", &[], "").unwrap();
    assert_eq!(answer.body.len(), 50_000_000);

    let start = Instant::now();
    once(ApiFault::Hang(Duration::from_millis(300)));
    assert_eq!(caller.read("/v1/customers").0, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));

    let start = Instant::now();
    once(ApiFault::Drip { bytes_per_second: u32::try_from(good.len()).unwrap() });
    assert_eq!(caller.request("GET", "/v1/customers", &[], "").unwrap().body, good);
    assert!(start.elapsed() >= Duration::from_millis(700), "{:?}", start.elapsed());
    assert_eq!(caller.request("GET", "/v1/customers", &[], "").unwrap().body, good);
}

#[test]
fn lists_are_broken_as_told() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let mut ids = simulator.account(|account| account.fill_customers(30));
    ids.reverse();
    let faults = simulator.faults();
    let once = |fault| faults.api("/v1/customers", fault, Limit::Next(1));
    let second_page = format!("/v1/customers?limit=10&starting_after={}", ids[9]);

    once(ApiFault::RepeatPage);
    let page = caller.get(&second_page);
    assert_eq!((ids_of(&page), &page["has_more"]), (ids[..10].to_vec(), &json!(true)));

    once(ApiFault::EmptyPage);
    let page = caller.get(&second_page);
    assert_eq!((ids_of(&page).len(), &page["has_more"]), (0, &json!(true)));

    once(ApiFault::RepeatIds);
    assert_eq!(caller.ids(&second_page), ids[9..20]);

    once(ApiFault::Misordered);
    let reversed: Vec<String> = ids[10..20].iter().rev().cloned().collect();
    assert_eq!(caller.ids(&second_page), reversed);

    once(ApiFault::DeleteCursor);
    let (status, body) = caller.read(&second_page);
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("resource_missing")));
    assert_eq!(simulator.oracle().deleted("customer").collect::<Vec<_>>(), [ids[9].as_str()]);
    assert_eq!(simulator.oracle().events().last().unwrap().event_type, "customer.deleted");
}

#[test]
fn the_account_changes_between_pages() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| account.fill_customers(50));
    simulator.faults().api("/v1/customers", ApiFault::Mutate, Limit::Next(3));
    for _ in 0..5 {
        caller.get("/v1/customers");
    }
    let oracle = simulator.oracle();
    let types: Vec<&str> = oracle.events().iter().map(|event| event.event_type.as_str()).collect();
    for change in ["customer.created", "customer.updated", "customer.deleted"] {
        assert_eq!(types.iter().filter(|event_type| **event_type == change).count(), 3, "{types:?}");
    }
    assert_eq!((oracle.count("customer"), oracle.deleted("customer").count()), (50, 3));

    // Or as a test says itself.
    let mut pages = 0;
    simulator.faults().between_pages("/v1/customers", move |account| {
        pages += 1;
        account.insert(json!({"id": format!("cus_between_{pages}"), "object": "customer"}), Some("customer.created"));
    });
    caller.get("/v1/customers");
    caller.get("/v1/charges");
    caller.get("/v1/customers");
    simulator.faults().clear();
    caller.get("/v1/customers");
    assert_eq!(simulator.oracle().count("customer"), 52);
}

#[test]
fn faults_are_switched_over_http_too() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let json = [("content-type", "application/json")];
    let body = r#"{"fault": "status", "path": "/v1/charges", "status": 503, "next": 1}"#;
    assert_eq!(caller.request("POST", "/_simulator/faults", &json, body).unwrap().status, 200);
    assert_eq!(caller.read("/v1/charges").0, 503);
    assert_eq!(caller.read("/v1/charges").0, 200);
    let unknown = caller.request("POST", "/_simulator/faults", &json, r#"{"fault": "flood"}"#).unwrap();
    assert_eq!(unknown.status, 400);
    let object = r#"{"object": {"id": "cus_1", "object": "customer"}, "event": "customer.created"}"#;
    assert_eq!(caller.request("POST", "/_simulator/objects", &json, object).unwrap().status, 200);
    let oracle = caller.get("/_simulator/oracle");
    assert_eq!(oracle["objects"]["customer"][0]["id"], "cus_1");
    assert_eq!(oracle["events"][0]["type"], "customer.created");
    assert_eq!(caller.request("POST", "/_simulator/clock", &json, r#"{"advance": 60}"#).unwrap().status, 200);
    assert_eq!(caller.request("POST", "/_simulator/settle", &json, "{}").unwrap().status, 200);
    assert_eq!(caller.get("/_simulator/requests")["total"], 2);
    assert_eq!(caller.request("POST", "/_simulator/nonsense", &json, "{}").unwrap().status, 404);
}
