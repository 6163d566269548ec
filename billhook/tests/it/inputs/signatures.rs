//! Only what Stripe signed comes in (W3, W11, C3): every refusal is the same 400, and nothing of it is stored.

use billhook_testkit::events::{self, fresh_id};
use billhook_testkit::sign::{TEST_SECRET, now, sign};
use billhook_testkit::{Client, Event, Response};
use ring::hmac;
use serde_json::json;

use super::mirror::Mirror;

const NEW_SECRET: &str = "whsec_f00dfeed0123456789abcdef01234567";
const FOREIGN_SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";
/// How far `t` may lie from the server's clock, in seconds.
const TOLERANCE_SECONDS: i64 = 300;
/// Signatures of one header that are looked at.
const CANDIDATES_MAX: usize = 32;
const DAY_SECONDS: i64 = 86_400;

fn customer_event() -> Event {
    events::event("customer.updated", now(), json!({ "id": fresh_id("cus_"), "object": "customer" }), None)
}

fn post(client: &mut Client, signatures: &[&str], body: &[u8]) -> Response {
    let mut headers = vec![("content-type", "application/json; charset=utf-8")];
    headers.extend(signatures.iter().map(|signature| ("stripe-signature", *signature)));
    client.post("/webhooks", &headers, body).unwrap()
}

/// The 64 digits of a signature.
fn digits(secret: &str, at: i64, body: &[u8]) -> String {
    sign(secret, at, body).split_once("v1=").unwrap().1.to_owned()
}

/// Status, headers and body but for the date: all that a forger sees.
fn seen(response: &Response) -> (u16, Vec<(String, String)>, String) {
    let headers = response.headers.iter().filter(|(name, _)| name != "date").cloned().collect();
    (response.status, headers, response.text())
}

/// Does something within one second of the clock, so that an edge of the tolerance stays where it is.
fn within_one_second<T>(mut exchange: impl FnMut(i64) -> T) -> T {
    loop {
        let second = now();
        let result = exchange(second);
        if now() == second {
            return result;
        }
    }
}

/// Headers that are no signature of `body`.
fn forgeries(body: &[u8]) -> Vec<(&'static str, Vec<String>)> {
    let at = now();
    let good = digits(TEST_SECRET, at, body);
    let header = |text: String| vec![text];
    let foreign = digits(FOREIGN_SECRET, at, body);
    vec![
        ("no header", vec![]),
        ("an empty header", header(String::new())),
        ("two headers", vec![format!("t={at},v1={good}"), format!("t={at},v1={good}")]),
        ("only t", header(format!("t={at}"))),
        ("only v1", header(format!("v1={good}"))),
        ("an empty v1", header(format!("t={at},v1="))),
        ("one character", header(format!("t={at},v1={}", &good[..1]))),
        ("one digit too few", header(format!("t={at},v1={}", &good[..63]))),
        ("half a signature", header(format!("t={at},v1={}", &good[..32]))),
        ("one digit too many", header(format!("t={at},v1={good}0"))),
        ("twice the signature", header(format!("t={at},v1={good}{good}"))),
        ("v0 only", header(format!("t={at},v0={good}"))),
        ("v2 only", header(format!("t={at},v2={good}"))),
        ("V1 in upper case", header(format!("t={at},V1={good}"))),
        ("another secret", header(format!("t={at},v1={foreign}"))),
        ("upper-case hex", header(format!("t={at},v1={}", upper(&good)))),
        ("not hex", header(format!("t={at},v1={}", good.replace(|digit: char| digit.is_ascii_digit(), "g")))),
        ("0x", header(format!("t={at},v1=0x{}", &good[2..]))),
        ("tampered t", header(format!("t={},v1={good}", at + 1))),
        ("two t", header(format!("t={at},t={at},v1={good}"))),
        ("an empty t", header(format!("t=,v1={good}"))),
        ("t is a word", header(format!("t=now,v1={}", digits_of_text("now", body)))),
        ("t is a fraction", header(format!("t={at}.0,v1={}", digits_of_text(&format!("{at}.0"), body)))),
        ("t with a sign", header(format!("t=+{at},v1={}", digits_of_text(&format!("+{at}"), body)))),
        ("a negative t", header(format!("t=-{at},v1={}", digits_of_text(&format!("-{at}"), body)))),
        ("t beyond 64 bits", header(format!("t={at}0000000000000,v1={good}"))),
        ("semicolons", header(format!("t={at};v1={good}"))),
        ("unicode", header(format!("t={at},v1=\u{ff10}{good}"))),
        ("a bearer token", header(format!("Bearer {good}"))),
        ("32 wrong ones before the right one", header(crowd(at, CANDIDATES_MAX, &good))),
        ("150 wrong ones", header(crowd(at, 150, &foreign))),
        ("a body of another event", header(format!("t={at},v1={}", digits(TEST_SECRET, at, b"{}")))),
    ]
}

/// Upper case, and certainly other bytes than the lower-case digits.
fn upper(digits: &str) -> String {
    let upper = digits.to_ascii_uppercase();
    assert_ne!(upper, digits);
    upper
}

/// The right signature over a `t` that is no number: only the reading of `t` can refuse it.
fn digits_of_text(at: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, TEST_SECRET.as_bytes());
    let tag = hmac::sign(&key, &[at.as_bytes(), b".", body].concat());
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A header with `wrong` well-formed signatures before the last one.
fn crowd(at: i64, wrong: usize, last: &str) -> String {
    let others: Vec<String> = (0..wrong).map(|number| format!("v1={number:064x}")).collect();
    format!("t={at},{},v1={last}", others.join(","))
}

#[test]
fn every_forgery_is_refused_in_the_same_words_and_leaves_nothing() {
    Mirror::shared("every_forgery_is_refused", |mirror| {
        let event = customer_event();
        let mut client = mirror.client();
        let mut first = None;
        for (name, headers) in forgeries(&event.body) {
            let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
            let answer = seen(&post(&mut client, &headers, &event.body));
            assert_eq!(answer.0, 400, "{name} on {}", mirror.dialect());
            assert_eq!(*first.get_or_insert_with(|| answer.clone()), answer, "{name} on {}", mirror.dialect());
        }
        let nothing = sign(TEST_SECRET, now(), b"");
        assert_eq!(Some(seen(&post(&mut client, &[&nothing], b""))), first, "an empty body");
        let mut tampered = event.body.clone();
        tampered.push(b' ');
        let header = sign(TEST_SECRET, now(), &event.body);
        assert_eq!(Some(seen(&post(&mut client, &[&header], &tampered))), first, "a body with one more space");
        mirror.settle();
        assert_eq!(mirror.stored(&event.id), 0, "on {}", mirror.dialect());
        assert_eq!(mirror.row("customers", &event.object_id), None);
    });
}

#[test]
fn huge_headers_are_refused_before_anything_is_computed() {
    Mirror::shared("huge_headers_are_refused", |mirror| {
        let event = customer_event();
        let good = digits(TEST_SECRET, now(), &event.body);
        for (name, header) in [
            ("10,000 signatures", crowd(now(), 10_000, &good)),
            ("64 kB", format!("t={},v1={}", now(), "f".repeat(65_536))),
        ] {
            // The server may cut the connection while the header is still being sent: also a refusal.
            let mut client = mirror.client();
            let headers = [("stripe-signature", header.as_str())];
            if let Ok(answer) = client.post("/webhooks", &headers, &event.body) {
                assert!(matches!(answer.status, 400 | 431), "{name}: {} on {}", answer.status, mirror.dialect());
            }
        }
        mirror.accept("the same event with a signature", &event.body);
    });
}

#[test]
fn harmless_variations_of_a_signature_are_accepted() {
    Mirror::shared("harmless_variations_are_accepted", |mirror| {
        let mut client = mirror.client();
        type Variation = fn(i64, &str) -> String;
        let variations: [(&str, Variation); 6] = [
            ("another scheme behind", |at, good| format!("t={at},v1={good},v0=ff")),
            ("another scheme before", |at, good| format!("v0=ff,t={at},v1={good}")),
            ("v1 before t", |at, good| format!("v1={good},t={at}")),
            ("a wrong v1 before", |at, good| format!("t={at},v1={:064x},v1={good}", 1)),
            ("a wrong v1 behind", |at, good| format!("t={at},v1={good},v1=zz")),
            ("31 wrong ones before the right one", |at, good| crowd(at, CANDIDATES_MAX - 1, good)),
        ];
        for (name, variation) in variations {
            let (event, at) = (customer_event(), now());
            let header = variation(at, &digits(TEST_SECRET, at, &event.body));
            let answer = post(&mut client, &[&header], &event.body);
            assert_eq!(answer.status, 200, "{name} on {}: {}", mirror.dialect(), answer.text());
            assert_eq!(mirror.stored(&event.id), 1, "{name}");
        }
    });
}

#[test]
fn the_tolerance_ends_at_300_seconds_on_both_sides() {
    Mirror::shared("the_tolerance_ends_at_300_seconds", |mirror| {
        let mut client = mirror.client();
        for (skew, status) in [
            (-TOLERANCE_SECONDS + 1, 200),
            (TOLERANCE_SECONDS - 1, 200),
            (-TOLERANCE_SECONDS, 200),
            (TOLERANCE_SECONDS, 200),
            (-TOLERANCE_SECONDS - 1, 400),
            (TOLERANCE_SECONDS + 1, 400),
        ] {
            let answer = within_one_second(|second| {
                let event = customer_event();
                let header = sign(TEST_SECRET, second + skew, &event.body);
                (post(&mut client, &[&header], &event.body).status, mirror.stored(&event.id))
            });
            assert_eq!(answer, (status, i64::from(status == 200)), "t is {skew} s off, on {}", mirror.dialect());
        }
    });
}

#[test]
fn an_old_capture_is_refused_and_the_same_event_freshly_signed_is_taken() {
    Mirror::shared("an_old_capture_is_refused", |mirror| {
        let event = customer_event();
        let mut client = mirror.client();
        let captured = sign(TEST_SECRET, now() - DAY_SECONDS, &event.body);
        assert_eq!(post(&mut client, &[&captured], &event.body).status, 400);
        assert_eq!(mirror.stored(&event.id), 0);
        mirror.accept("freshly signed", &event.body);
        assert_eq!(post(&mut client, &[&captured], &event.body).status, 400, "known or not, an old signature is none");
        mirror.settle();
        assert_eq!(mirror.stored(&event.id), 1);
        assert!(mirror.row("customers", &event.object_id).is_some());
    });
}

#[test]
fn every_configured_secret_is_accepted_and_noted() {
    let secrets = format!("{NEW_SECRET},{TEST_SECRET}");
    Mirror::on_each(
        "every_configured_secret",
        |settings| settings.set("STRIPE_WEBHOOK_SECRET", &secrets),
        |mirror| {
            let mut client = mirror.client();
            for (index, secret) in [NEW_SECRET, TEST_SECRET].into_iter().enumerate() {
                let event = customer_event();
                assert_eq!(client.deliver(secret, &event).unwrap().status, 200, "secret {index}");
                let noted = format!("SELECT secret_index FROM {} WHERE event_id = '{}'", mirror.own("inbox"), event.id);
                assert_eq!(mirror.number(&noted), index as i64);
            }
            let event = customer_event();
            assert_eq!(client.deliver(FOREIGN_SECRET, &event).unwrap().status, 400);
            // While a secret is rolled, one header carries a signature of each.
            let (event, at) = (customer_event(), now());
            let (new, old) = (digits(NEW_SECRET, at, &event.body), digits(TEST_SECRET, at, &event.body));
            let header = format!("t={at},v1={old},v1={new}");
            assert_eq!(post(&mut client, &[&header], &event.body).status, 200);
        },
    );
}
