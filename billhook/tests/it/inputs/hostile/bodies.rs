//! What is JSON and what is not (W7): encodings, control characters, nesting, repeated keys.

use serde_json::json;

use super::{Case, Draft};

/// Deepest object that is mirrored, counted in open containers.
const DEPTH_MAX: usize = 127;
/// Just inside the largest body of 1 MiB, brackets opened and closed.
const DEPTH_OF_A_FULL_BODY: usize = 520_000;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = no_documents();
    cases.extend(broken_text());
    cases.extend(nesting());
    cases.extend(repeated_keys());
    cases
}

fn no_documents() -> Vec<Case> {
    let event = || Draft::new().event.to_string();
    let mut bad_text = event().into_bytes();
    bad_text.insert(8, 0xff);
    let mut overlong = event().into_bytes();
    overlong.splice(8..8, [0xc0, 0xaf]);
    let mut utf16: Vec<u8> = vec![0xff, 0xfe];
    utf16.extend(event().encode_utf16().flat_map(u16::to_le_bytes));
    let raw_nul = event().replace("cus_", "cus_\0");
    let truncated = event()[..100].to_owned();
    let not_json: Vec<(&str, Vec<u8>)> = vec![
        ("bad UTF-8", bad_text),
        ("overlong UTF-8", overlong),
        ("UTF-16", utf16),
        ("raw NUL", raw_nul.into()),
        ("raw line break in a string", event().replace("cus_", "cus_\n").into()),
        ("truncated", truncated.into()),
        ("trailing junk", format!("{} x", event()).into()),
        ("two documents", format!("{}{}", event(), event()).into()),
        ("NaN", event().replace("\"livemode\":false", "\"livemode\":NaN").into()),
        ("Infinity", event().replace("\"livemode\":false", "\"livemode\":-Infinity").into()),
        ("single quotes", event().replace('"', "'").into()),
        ("comment", format!("/* x */{}", event()).into()),
        ("trailing comma", event().replace("\"metadata\":{}", "\"metadata\":{},").into()),
        ("leading zero", event().replace("\"pending_webhooks\":1", "\"pending_webhooks\":01").into()),
        ("plus sign", event().replace("\"pending_webhooks\":1", "\"pending_webhooks\":+1").into()),
        ("bad escape", event().replace("cus_", "cus_\\x41").into()),
        ("two byte order marks", format!("\u{feff}\u{feff}{}", event()).into()),
        ("only white space", b" \n".to_vec()),
        ("a form", b"id=evt_1&type=customer.updated".to_vec()),
        ("XML", b"<event><id>evt_1</id></event>".to_vec()),
        ("a million open brackets", vec![b'['; 1_000_000]),
        ("an array", format!("[{}]", event()).into()),
        ("a string", b"\"evt_1\"".to_vec()),
        ("a number", b"42".to_vec()),
        ("null", b"null".to_vec()),
    ];
    not_json.into_iter().map(|(name, body)| Case::nameless(name, body, "not_json")).collect()
}

fn broken_text() -> Vec<Case> {
    let metadata = |value: &str| format!("{{\"k\":\"{value}\"}}");
    let named = |name: &'static str, escape: &str, wanted: &str| {
        let draft = Draft::new();
        let body = draft.event.to_string().replace("\"metadata\":{}", &format!("\"name\":\"{escape}\""));
        draft.with_body(name, body, vec![("name", json!(wanted))])
    };
    let draft = Draft::new();
    let with_mark = format!("\u{feff}{}", draft.event);
    vec![
        draft.with_body("byte order mark", with_mark, vec![]),
        named("escaped NUL", "a\\u0000b", "a\u{fffd}b"),
        named("lone high surrogate", "a\\ud800b", "a\u{fffd}b"),
        named("lone low surrogate", "a\\uDC00", "a\u{fffd}"),
        named("reversed surrogates", "\\udc00\\ud83d", "\u{fffd}\u{fffd}"),
        named("a pair of surrogates", "\\ud83d\\ude00", "\u{1f600}"),
        named("an escaped backslash before u0000", "a\\\\u0000b", "a\\u0000b"),
        named("non-characters", "\\uffff\\ufffe", "\u{ffff}\u{fffe}"),
        Draft::new().with_metadata("escaped NUL in a key", "{\"a\\u0000b\":\"1\"}", vec![]),
        Draft::new().with_metadata("escaped NUL deep inside", &metadata("\\u0000\\ud83d"), vec![]),
    ]
}

/// An array of `levels` levels.
fn nested(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

fn nesting() -> Vec<Case> {
    // The object itself is the first level.
    let deepest = Draft::new().with_metadata("depth 127", &nested(DEPTH_MAX - 1), vec![]);
    let mut cases = vec![deepest];
    for levels in [DEPTH_MAX, 512, 5_000, DEPTH_OF_A_FULL_BODY] {
        let case = Draft::new().with_metadata(format!("depth {}", levels + 1), &nested(levels), vec![]);
        cases.push(Case { expected: super::Expected::Refused("too_deep"), ..case });
    }
    let draft = Draft::new();
    let outside =
        draft.event.to_string().replace("\"request\":{", &format!("\"request\":{{\"x\":{},", nested(100_000)));
    cases.push(draft.with_body("depth 100,000 outside of the object", outside, vec![]));
    cases
}

fn repeated_keys() -> Vec<Case> {
    let twice = |name: &'static str, from: &str, to: &dyn Fn(&Draft) -> String, columns| {
        let draft = Draft::new();
        let body = draft.event.to_string().replace(from, &to(&draft));
        draft.with_body(name, body, columns)
    };
    vec![
        twice(
            "a property twice: the last one counts",
            "\"metadata\":{}",
            &|_| "\"name\":\"first\",\"name\":\"second\"".into(),
            vec![("name", json!("second"))],
        ),
        twice(
            "a property twice, the last one null",
            "\"metadata\":{}",
            &|_| "\"name\":\"first\",\"name\":null".into(),
            vec![("name", json!(null))],
        ),
        twice(
            "the object's id twice",
            "\"object\":\"customer\"",
            &|draft| format!("\"id\":\"cus_wrong\",\"object\":\"customer\",\"id\":\"{}\"", draft.id),
            vec![],
        ),
        twice(
            "the kind twice",
            "\"object\":\"customer\"",
            &|_| "\"object\":\"price\",\"object\":\"customer\"".into(),
            vec![],
        ),
        twice("an escaped key", "\"metadata\":{}", &|_| "\"n\\u0061me\":\"x\"".into(), vec![("name", json!("x"))]),
        twice(
            "a NUL in a key of its own",
            "\"metadata\":{}",
            &|_| "\"name\\u0000\":\"x\"".into(),
            vec![("name", json!(null))],
        ),
    ]
}
