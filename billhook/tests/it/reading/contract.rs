//! The HTTP contract of the existing engines, spoken to the program over HTTP alone.

use billhook_testkit::{Client, Response, Server};
use serde_json::{Map, Value, json};

use super::world::{API_KEY, World, json, on_both};

/// Keys of `all`, in the contract's order.
const KEYS: [&str; 17] = [
    "products",
    "prices",
    "plans",
    "customers",
    "subscriptions",
    "subscriptionSchedules",
    "invoices",
    "charges",
    "setupIntents",
    "paymentMethods",
    "paymentIntents",
    "taxIds",
    "creditNotes",
    "disputes",
    "earlyFraudWarnings",
    "refunds",
    "checkoutSessions",
];

/// What callers send as `object`, and the kind that it means.
const OBJECTS: [(&str, &str, &str); 17] = [
    ("product", "products", "product"),
    ("price", "prices", "price"),
    ("plan", "plans", "plan"),
    ("customer", "customers", "customer"),
    ("subscription", "subscriptions", "subscription"),
    ("subscription_schedules", "subscriptionSchedules", "subscription_schedule"),
    ("invoice", "invoices", "invoice"),
    ("charge", "charges", "charge"),
    ("setup_intent", "setupIntents", "setup_intent"),
    ("payment_method", "paymentMethods", "payment_method"),
    ("payment_intent", "paymentIntents", "payment_intent"),
    ("tax_id", "taxIds", "tax_id"),
    ("credit_note", "creditNotes", "credit_note"),
    ("dispute", "disputes", "dispute"),
    ("early_fraud_warning", "earlyFraudWarnings", "radar.early_fraud_warning"),
    ("refund", "refunds", "refund"),
    ("checkout_sessions", "checkoutSessions", "checkout.session"),
];

/// Seconds in a day.
const DAY: i64 = 86_400;

fn post(client: &mut Client, path: &str, body: &str) -> Response {
    let headers = [("authorization", API_KEY), ("content-type", "application/json")];
    client.post(path, &headers, body.as_bytes()).expect("an answer")
}

/// An account with a little of everything, and with objects of different ages.
fn company(world: &World) {
    world.simulator.account(|account| {
        for number in 0..3 {
            // A tax id belongs to somebody, and is listed below whom it belongs to.
            for (_, _, kind) in OBJECTS.into_iter().filter(|(_, _, kind)| *kind != "tax_id") {
                let mut object = account.plain(kind);
                object.insert("created".to_owned(), json!(account.now() - number * 20 * DAY - 60));
                object.insert("customer".to_owned(), Value::Null);
                account.insert(Value::Object(object), None);
            }
        }
    });
}

fn synced(response: &Response) -> Map<String, Value> {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type"), Some("application/json"));
    let Value::Object(mut document) = json(response) else { panic!("{}", response.text()) };
    assert_eq!(document.remove("statusCode"), Some(json!(200)));
    let ts = document.remove("ts").and_then(|ts| ts.as_i64()).expect("ts");
    assert!((1_700_000_000_000..4_000_000_000_000).contains(&ts), "milliseconds: {ts}");
    document
}

#[test]
fn sync_answers_in_the_contracts_words() {
    on_both("sync_answers_in_the_contracts_words", 11, |world| {
        company(&world);
        let server = world.serve();
        let mut client = server.client();
        all_of_it(&mut client);
        one_kind_after_the_other(&mut client);
        windows(&mut client);
        world.assert_becomes_equal("after everything was synced");
    });
}

fn all_of_it(client: &mut Client) {
    for (path, body) in [("/sync", ""), ("/api/sync", "{}"), ("/sync", r#"{"object":"all"}"#)] {
        let response = post(client, path, body);
        let text = response.text();
        let places: Vec<usize> = KEYS.iter().map(|key| text.find(&format!("\"{key}\"")).expect(key)).collect();
        assert!(places.is_sorted(), "the contract's order: {text}");
        let document = synced(&response);
        assert_eq!(document.len(), KEYS.len(), "{text}");
        assert_eq!(document["customers"], json!({"synced": 3}));
    }
}

fn one_kind_after_the_other(client: &mut Client) {
    for (object, key, _) in OBJECTS {
        let document = synced(&post(client, "/sync", &json!({ "object": object }).to_string()));
        assert_eq!(document.keys().collect::<Vec<_>>(), [key], "{object}");
    }
    let nothing = synced(&post(client, "/sync", r#"{"object":"customer_with_entitlements"}"#));
    assert!(nothing.is_empty());
}

fn windows(client: &mut Client) {
    for prefix in ["", "/api"] {
        for (window, customers) in [("weekly", 1), ("monthly", 2)] {
            let document = synced(&post(client, &format!("{prefix}/sync/{window}"), r#"{"object":"customer"}"#));
            assert_eq!(document["customers"], json!({ "synced": customers }), "{window}");
        }
        let daily = synced(&post(client, &format!("{prefix}/sync/daily"), ""));
        assert!(daily.is_empty(), "the daily window answers without counts: {daily:?}");
    }
    let now = jiff::Timestamp::now().as_second();
    for (created, customers) in [
        (json!({"gte": now - 25 * DAY}), 2),
        (json!({"gt": now - 25 * DAY, "lt": now - 10 * DAY}), 1),
        (json!({"lte": now - 30 * DAY}), 1),
        (json!({"gt": now + DAY}), 0),
    ] {
        let body = json!({"object": "customer", "created": created, "backfillRelatedEntities": false});
        let document = synced(&post(client, "/sync", &body.to_string()));
        assert_eq!(document["customers"], json!({ "synced": customers }), "{created}");
    }
}

#[test]
fn a_single_object_is_read_by_its_id() {
    on_both("a_single_object_is_read_by_its_id", 12, |world| {
        let ids = world.simulator.account(|account| {
            ["customer", "subscription_schedule", "charge", "dispute"].map(|kind| {
                let object = account.plain(kind);
                account.insert(Value::Object(object), None)
            })
        });
        let coupon = world.simulator.account(|account| {
            let mut coupon = account.plain("coupon");
            coupon.insert("id".to_owned(), json!("SUMMER 25"));
            account.insert(Value::Object(coupon), None)
        });
        let server = world.serve();
        let mut client = server.client();
        for (id, table) in ids.iter().zip(["customers", "subscription_schedules", "charges", "disputes"]) {
            for prefix in ["", "/api"] {
                let document = synced(&post(&mut client, &format!("{prefix}/sync/single/{id}"), ""));
                assert_eq!(document["data"][0]["id"], json!(id));
                assert_eq!(world.rows(table), 1, "{table}");
            }
        }
        single_without_a_kind(&mut client, &coupon);
        missing_objects(&mut client);
    });
}

fn single_without_a_kind(client: &mut Client, coupon: &str) {
    let path = format!("/sync/single/{}", coupon.replace(' ', "%20"));
    let unknown = synced(&post(client, &path, ""));
    assert!(!unknown.contains_key("data"), "an unknown prefix answers without data: {unknown:?}");
    let hinted = synced(&post(client, &format!("{path}?object=coupon"), ""));
    assert_eq!(hinted["data"][0]["id"], json!(coupon));
    let ambiguous = post(client, "/sync/single/src_1", "");
    assert_eq!(ambiguous.status, 400);
    let message = json(&ambiguous)["message"].as_str().expect("a message").to_owned();
    assert!(message.contains("source") && message.contains("payment_method"), "{message}");
}

fn missing_objects(client: &mut Client) {
    let missing = post(client, "/sync/single/cus_nobody", "");
    assert_eq!((missing.status, &json(&missing)["statusCode"]), (404, &json!(404)));
    let wrong = post(client, "/sync", r#"{"object":"costumer"}"#);
    assert_eq!(wrong.status, 400);
    assert!(json(&wrong)["message"].as_str().is_some_and(|message| message.contains("customer")));
    let broken = post(client, "/sync", "{");
    let document = json(&broken);
    assert_eq!((broken.status, &document["error"]), (400, &json!("Bad Request")));
}

#[test]
fn every_endpoint_wants_the_key() {
    on_both("every_endpoint_wants_the_key", 13, |world| {
        let server = world.serve();
        let paths = ["/sync", "/sync/daily", "/sync/weekly", "/sync/monthly", "/sync/single/cus_1"];
        let short = &API_KEY[..API_KEY.len() - 1];
        let long = format!("{API_KEY}x");
        for path in paths.iter().flat_map(|path| [(*path).to_owned(), format!("/api{path}")]) {
            for key in ["", short, &long, "false", "Bearer", "k\u{e9}y"] {
                assert_refused(&server, &path, &[("authorization", key)]);
            }
            assert_refused(&server, &path, &[]);
        }
        assert_eq!(world.simulator.oracle().requests_to("GET /v1/customers"), 0, "nobody may make the program read");
    });
}

fn assert_refused(server: &Server, path: &str, headers: &[(&str, &str)]) {
    let response = server.client().post(path, headers, b"{}").expect("an answer");
    assert_eq!((response.status, response.text().as_str()), (401, "Unauthorized"), "{path} {headers:?}");
}

#[test]
fn without_a_stripe_key_it_says_what_is_missing() {
    on_both("without_a_stripe_key_it_says_what_is_missing", 14, |world| {
        let world = world.set("STRIPE_SECRET_KEY", "");
        let server = world.serve();
        let response = post(&mut server.client(), "/sync", "");
        assert_eq!(response.status, 503);
        assert!(json(&response)["message"].as_str().is_some_and(|message| message.contains("STRIPE_SECRET_KEY")));
    });
}

#[test]
fn runs_are_shown() {
    on_both("runs_are_shown", 15, |world| {
        company(&world);
        let server = world.serve();
        let mut client = server.client();
        let started = post(&mut client, "/sync?wait=false", r#"{"object":"customer"}"#);
        assert_eq!(started.status, 202);
        let asked = json(&started)["runs"].as_array().cloned().expect("runs");
        super::world::until("the run is shown as done", || {
            let response = client.request("GET", "/sync/runs", &[("authorization", API_KEY)], b"").expect("an answer");
            let runs = json(&response)["runs"].as_array().cloned().expect("runs");
            let mine = |shown: &Value| asked.contains(&shown["id"]) && shown["object"] == json!("customer");
            let run = runs.into_iter().find(mine).expect("the run");
            (run["state"] == json!("done")).then(|| assert_eq!(run["objects"], json!(3)))
        });
        let listed = world.succeed(&["sync", "status", "--json"]);
        assert!(listed.contains("\"customer\""), "{listed}");
    });
}
