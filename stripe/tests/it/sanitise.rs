//! The parser and database facts: what a database would refuse or distort is replaced, everything else is kept.

use std::borrow::Cow;

use billhook_stripe::json::{DEPTH_MAX, JsonError, NUMBER_DIGITS_MAX, sanitise};
use proptest::prelude::*;
use serde_json::Value;

use crate::properties;

fn assert_kept(text: &str) {
    let sanitised = sanitise(text).expect(text);
    assert!(matches!(sanitised.text, Cow::Borrowed(same) if same == text), "{text}");
    assert!(!sanitised.lossy, "{text}");
}

fn assert_replaced(text: &str, expected: &str) {
    let sanitised = sanitise(text).expect(text);
    assert_eq!((sanitised.text.as_ref(), sanitised.lossy), (expected, true), "{text}");
}

#[test]
fn what_is_kept() {
    let digits = "1".repeat(NUMBER_DIGITS_MAX);
    for text in [
        "{}",
        " [ ] ",
        "null",
        "-0",
        "-0.0",
        "1E+2",
        "1e300",
        "1e-300",
        "0e0",
        "9007199254740993",
        "9223372036854775808",
        "18446744073709551616",
        "1000000000000000000000000000000",
        digits.as_str(),
        r#"{"a":1,"a":2}"#,
        r#""\\u0000""#,
        r#""\\\\u0000""#,
        r#""\\ud800""#,
        r#""\ud83d\ude00""#,
        r#""\uD83D\uDE00 \uFFFD \uffff \u0001""#,
        r#""\"\\\/\b\f\n\r\t""#,
        "\"\u{7f} é 😀 \u{ffff}\"",
        "{\n  \"a\" : [ 1 , 2 ]\r\t}",
    ] {
        assert_kept(text);
    }
}

#[test]
fn characters_no_database_holds() {
    for (text, expected) in [
        (r#""\u0000""#, r#""\ufffd""#),
        (r#""a\u0000b\u0000""#, r#""a\ufffdb\ufffd""#),
        (r#""\\\u0000""#, r#""\\\ufffd""#),
        (r#""\\\\\u0000\\u0000""#, r#""\\\\\ufffd\\u0000""#),
        (r#""\ud800""#, r#""\ufffd""#),
        (r#""\uDFFF!""#, r#""\ufffd!""#),
        (r#""\ud800\u0041""#, r#""\ufffd\u0041""#),
        (r#""\ud800\n""#, r#""\ufffd\n""#),
        (r#""\ud800\\udc00""#, r#""\ufffd\\udc00""#),
        (r#""\ud800\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
        (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
        (r#""\ud800\u0000""#, r#""\ufffd\ufffd""#),
        (r#""\ud83dé\ude00""#, r#""\ufffdé\ufffd""#),
        (r#"{"\u0000":{"\ud800":["\u0000"]}}"#, r#"{"\ufffd":{"\ufffd":["\ufffd"]}}"#),
    ] {
        assert_replaced(text, expected);
    }
}

#[test]
fn numbers_no_reader_takes() {
    let too_long = "1".repeat(NUMBER_DIGITS_MAX + 1);
    for number in [
        "1e400",
        "-1e400",
        "1e301",
        "1e-301",
        "1E+131000",
        "1e200000",
        "0e301",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        too_long.as_str(),
        &format!("0.{}", "0".repeat(NUMBER_DIGITS_MAX)),
        &format!("{}e300", "9".repeat(NUMBER_DIGITS_MAX - 3)),
        &format!("1e{}1", "0".repeat(NUMBER_DIGITS_MAX)),
    ] {
        assert_replaced(number, &format!("\"{number}\""));
        assert_replaced(
            &format!("{{\"a\":[{number} , 1,{number}]}}"),
            &format!("{{\"a\":[\"{number}\" , 1,\"{number}\"]}}"),
        );
    }
}

#[test]
fn the_depth_is_limited_and_its_edge_is_what_serde_json_takes() {
    for (open, inside, close, levels) in [("[", "", "]", 1), ("{\"a\":", "1", "}", 1), ("[{\"a\":", "1", "}]", 2)] {
        let nested = |depth: usize| format!("{}{inside}{}", open.repeat(depth / levels), close.repeat(depth / levels));
        assert_kept(&nested(DEPTH_MAX));
        assert!(serde_json::from_str::<Value>(&nested(DEPTH_MAX)).is_ok());
        let too_deep = nested(DEPTH_MAX + levels);
        assert!(serde_json::from_str::<Value>(&too_deep).is_err());
        assert_eq!(sanitise(&too_deep), Err(JsonError::TooDeep));
        assert_eq!(sanitise(&nested(1_000_000)), Err(JsonError::TooDeep));
    }
    let many = format!("[{}[]]", "[],".repeat(10_000));
    assert_kept(&many);
}

#[test]
fn what_is_not_json() {
    for text in [
        "",
        "{",
        "[1,]",
        "{} {}",
        "\"\u{1}\"",
        "\"\0\"",
        "NaN",
        "01",
        "\"\\u00\"",
        "\u{feff}{}",
        "tru",
        "\"\\'\"",
        "1e400x",
    ] {
        assert_eq!(sanitise(text), Err(JsonError::Invalid), "{text}");
    }
}

/// Any JSON tree whose texts and numbers every reader takes.
fn tree() -> impl Strategy<Value = Value> {
    let text = any::<String>().prop_map(|text| text.replace('\0', "\u{1}"));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e250..1e250).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::vec((text.clone(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn an_ordinary_document_is_kept(tree in tree()) {
        assert_kept(&tree.to_string());
        assert_kept(&serde_json::to_string_pretty(&tree).unwrap());
    }

    #[test]
    fn a_document_with_a_changed_byte(tree in tree(), place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = tree.to_string().into_bytes();
        let at = place.index(text.len());
        text[at] = byte;
        properties::sanitise(&String::from_utf8_lossy(&text));
        properties::envelope(&text);
    }

    #[test]
    fn any_escapes(units in prop::collection::vec(prop_oneof![0u16..3, 0xd7ff..0xe001u16, any::<u16>()], 0..8)) {
        let escapes: String = units.iter().map(|unit| format!("\\u{unit:04x}")).collect();
        let expected: String =
            char::decode_utf16(units).map(|unit| unit.ok().filter(|c| *c != '\0').unwrap_or('\u{fffd}')).collect();
        let text = format!("\"{escapes}\"");
        let sanitised = sanitise(&text).unwrap();
        prop_assert_eq!(serde_json::from_str::<String>(&sanitised.text).unwrap(), expected);
        properties::sanitise(&text);
    }

    #[test]
    fn any_number(number in "-?(0|[1-9][0-9]{0,70})(\\.[0-9]{1,70})?([eE][+-]?[0-9]{1,5})?") {
        properties::sanitise(&number);
        let text = sanitise(&number).unwrap().text.into_owned();
        prop_assert_eq!(text.trim_matches('"'), &number);
    }
}
