//! What holds for any expression.

use proptest::prelude::*;
use serde_json::json;

use super::tests::{evaluated, now};
use super::*;

/// Parts that, put one after the other, are now and then an expression.
fn part() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "event",
        "async",
        ".data",
        ".id",
        ".x",
        "['id']",
        "[0]",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ":",
        "?",
        "&&",
        "||",
        "!",
        "-",
        "+",
        "*",
        "/",
        "%",
        "==",
        "!=",
        "<",
        ">=",
        " in ",
        "'a'",
        "\"5\"",
        "r'\\'",
        "'\\u12'",
        "0",
        "1",
        "9223372036854775807",
        "1e308",
        "0.5",
        "true",
        "false",
        "null",
        "x",
        "has(",
        "size(",
        "now()",
        "now_plus('1h')",
        "date(",
        "json_parse(",
        "b64decode(",
        "string(",
        "int(",
        ".exists(x,",
        ".all(x,",
        ".map(x,",
        ".filter(x,",
        ".matches('a')",
        ".startsWith('i')",
        ".lowerAscii()",
        "ä",
        "'",
        "\\",
        "1.e",
    ])
}

/// Well-formed expressions over `event`, `async` and small values.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "event.data.a",
        "event.data.b",
        "async.data.a",
        "async.data.b",
        "async.data.c",
        "'s'",
        "'5'",
        "5",
        "true",
        "null",
        "async.data",
        "event.data",
        "[5, 's']",
        "now()",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 2, |inner| {
        let operators = prop::sample::select(vec!["==", "==", "&&", "&&", "&&", "||", "!=", "<", ">=", "+", "/", "in"]);
        prop_oneof![
            6 => (inner.clone(), operators, inner.clone()).prop_map(|(left, sign, right)| format!("({left} {sign} {right})")),
            1 => inner.clone().prop_map(|inner| format!("!{inner}")),
            1 => (inner.clone(), inner).prop_map(|(list, body)| format!("[{list}].exists(x, x == {body})")),
        ]
    })
}

fn data() -> impl Strategy<Value = Value> {
    let value = prop::sample::select(vec![
        json!(null),
        json!("s"),
        json!("t"),
        json!("5"),
        json!(5),
        json!(true),
        json!(["s"]),
    ]);
    prop::collection::btree_map("[abc]", value, 0..4)
        .prop_map(|data| json!({"id": "evt", "name": "n", "ts": 0, "data": data}))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_sequence_of_parts_panics(parts in prop::collection::vec(part(), 0..24)) {
        let _ = evaluated(&parts.concat());
    }

    #[test]
    fn no_text_panics(source in any::<String>()) {
        let _ = evaluated(&source);
    }

    #[test]
    fn a_text_is_itself(text in any::<String>()) {
        let quoted = format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        prop_assert_eq!(evaluated(&quoted), Ok(Value::String(text)));
    }

    /// The index never hides an event that the expression would take.
    #[test]
    fn a_correlation_holds_for_every_event_that_makes_it_true(source in expression(), event in data(), other in data()) {
        let expression = Expression::parse(&source).unwrap();
        let holds = expression.is_true(&Scope { event: &event, other: Some(&other), now: now() });
        if let Some(Correlation { path, value }) = expression.correlation(&event, now())
            && holds
        {
            prop_assert_eq!(at_path(&other, &path), Some(&*value), "{}", source);
        }
    }

    #[test]
    fn a_key_fits_into_an_index(text in "\\PC{0,900}") {
        let event = json!({"data": {"text": text}});
        let key = Expression::parse("event.data.text").unwrap().key(&Scope { event: &event, other: None, now: now() }).unwrap();
        prop_assert!(key.len() <= KEY_BYTES_MAX);
    }
}
