//! Faults W7, W8 and W10 as far as the envelope goes, and thin events.

use billhook_stripe::envelope::{Envelope, EnvelopeError, TEXT_BYTES_MAX};

fn parse(body: &str) -> Envelope {
    Envelope::parse(body.as_bytes()).expect("an envelope")
}

/// The envelope of `{"object":"event", <members>}`.
fn event(members: &str) -> Envelope {
    parse(&format!(r#"{{"object":"event",{members}}}"#))
}

fn slice(body: &str, range: Option<std::ops::Range<usize>>) -> Option<&str> {
    range.and_then(|range| body.get(range))
}

#[test]
fn a_snapshot_event() {
    let body = r#" {"id":"evt_1","object":"event","account":"acct_1","api_version":"2026-10-28.endive","context":"ctx","created":1700000000,
        "data":{"object": {"lines":{"id":"il_1","object":"list"},"id":"in_1","object":"invoice","deleted":true} ,
        "previous_attributes":{"status":"draft"}},"livemode":true,"pending_webhooks":2,
        "request":{"id":"req_1","idempotency_key":"key_1"},"type":"invoice.updated"} "#;
    let envelope = parse(body);
    let text = |text: &str| Some(text.to_owned());
    let object = r#"{"lines":{"id":"il_1","object":"list"},"id":"in_1","object":"invoice","deleted":true}"#;
    assert_eq!(slice(body, envelope.data_object.clone()), Some(object));
    assert_eq!(slice(body, envelope.previous_attributes.clone()), Some(r#"{"status":"draft"}"#));
    let expected = Envelope {
        id: text("evt_1"),
        object: text("event"),
        event_type: text("invoice.updated"),
        created: Some(1_700_000_000),
        livemode: Some(true),
        api_version: text("2026-10-28.endive"),
        account: text("acct_1"),
        context: text("ctx"),
        data_object: envelope.data_object.clone(),
        previous_attributes: envelope.previous_attributes.clone(),
        object_kind: text("invoice"),
        object_id: text("in_1"),
        object_deleted: true,
        related_url: None,
        snapshot_event: None,
        idempotency_key: text("key_1"),
    };
    assert!(!envelope.is_thin());
    assert_eq!(envelope, expected);
}

#[test]
fn a_thin_event() {
    let body = r#"{"created":"2026-11-20T18:00:00.789+01:00","id":"evt_2","livemode":false,"snapshot_event":"evt_1",
        "reason":{"type":"request","request":{"id":"req_1","idempotency_key":"key_2"}},"data":{"developer_message_summary":"x"},
        "related_object":{"id":"cus_1","type":"customer","url":"/v1/customers/cus_1"},
        "type":"v2.core.account[configuration.merchant].updated","object":"v2.core.event"}"#;
    let text = |text: &str| Some(text.to_owned());
    let expected = Envelope {
        id: text("evt_2"),
        object: text("v2.core.event"),
        event_type: text("v2.core.account[configuration.merchant].updated"),
        created: Some(1_795_194_000),
        livemode: Some(false),
        object_kind: text("customer"),
        object_id: text("cus_1"),
        related_url: text("/v1/customers/cus_1"),
        snapshot_event: text("evt_1"),
        idempotency_key: text("key_2"),
        ..Envelope::default()
    };
    let envelope = parse(body);
    assert!(envelope.is_thin());
    assert_eq!(envelope, expected);
}

#[test]
fn what_only_one_style_has_is_ignored_in_the_other() {
    let members = r#""snapshot_event":"evt_1","related_object":{"id":"r","type":"s","url":"/v1/s/r"},"request":{"idempotency_key":"a"},
        "reason":{"request":{"idempotency_key":"b"}},"data":{"object":{"id":"d","object":"e","deleted":true}}"#;
    let snapshot = event(members);
    assert_eq!((snapshot.snapshot_event, snapshot.related_url), (None, None));
    assert_eq!((snapshot.object_kind.as_deref(), snapshot.object_id.as_deref()), (Some("e"), Some("d")));
    assert_eq!((snapshot.idempotency_key.as_deref(), snapshot.object_deleted), (Some("a"), true));
    let thin = parse(&format!(r#"{{{members},"object":"v2.core.event"}}"#));
    assert_eq!((thin.snapshot_event.as_deref(), thin.related_url.as_deref()), (Some("evt_1"), Some("/v1/s/r")));
    assert_eq!((thin.object_kind.as_deref(), thin.object_id.as_deref()), (Some("s"), Some("r")));
    assert_eq!((thin.idempotency_key.as_deref(), thin.object_deleted), (Some("b"), false));
}

#[test]
fn what_is_no_json_document() {
    let bodies: &[&[u8]] = &[
        b"",
        b" ",
        b"{",
        b"{}}",
        b"{} x",
        b"{}\0",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":01}",
        b"{\"a\":1.}",
        b"{\"a\":.5}",
        b"{\"a\":+1}",
        b"{\"a\":-}",
        b"{\"a\":1e}",
        b"{\"a\":tru}",
        b"{\"a\":nulll}",
        b"{\"a\":1,}",
        b"{,}",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\" 1}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\":[1,]}",
        b"{\"a\":[1 2]}",
        b"{\"a\":[}",
        b"{\"a\":[1}",
        b"{\"a\":{]}",
        b"[1}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\u12\"}",
        b"{\"a\":\"\\u12g4\"}",
        b"{\"a\":\"\x01\"}",
        b"{\"a\":\"\0\"}",
        b"{\"a\":\"line\nfeed\"}",
        b"{\"a\":\"",
        b"{\"a\":\"\\",
        b"{/* comment */}",
        b"\xef\xbb\xbf\xef\xbb\xbf{}",
        b" \xef\xbb\xbf{}",
        b"\xef\xbb{}",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":\"\xc0\xaf\"}",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"{\"data\":{\"object\":{\"a\":\"\xf8\x88\x80\x80\x80\"}}}",
        b"\xff\xfe{\0}\0",
    ];
    for body in bodies {
        assert_eq!(Envelope::parse(body), Err(EnvelopeError::NotJson), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn json_that_is_no_object() {
    for body in ["null", "1", " \"text\" ", "[]", "[{\"id\":\"evt_1\"}]", "true", "\u{feff}[]", "1e400", r#""\ud800""#]
    {
        assert_eq!(Envelope::parse(body.as_bytes()), Err(EnvelopeError::NotAnObject), "{body}");
    }
}

#[test]
fn a_mistyped_field_is_none_and_costs_nothing_else() {
    for bad in [
        "null",
        "5",
        "-1.5e3",
        "true",
        "[\"evt_1\"]",
        "{\"id\":\"evt_1\"}",
        "\"\"",
        "1e400",
        r#""\ud800""#,
        r#""evt\u0000""#,
        r#""a\n""#,
    ] {
        let envelope = event(&format!(r#""id":{bad},"type":{bad},"account":{bad},"livemode":"true","created":7"#));
        assert_eq!((envelope.id, envelope.event_type, envelope.account), (None, None, None), "{bad}");
        assert_eq!((envelope.livemode, envelope.created), (None, Some(7)), "{bad}");
        let envelope =
            event(&format!(r#""data":{{"object":{{"id":{bad},"object":"customer"}}}},"request":{bad},"reason":{bad}"#));
        assert_eq!((envelope.object_id, envelope.object_kind.as_deref()), (None, Some("customer")), "{bad}");
        assert!(envelope.data_object.is_some(), "{bad}");
    }
    for bad in ["null", "5", "[]", "[{\"object\":{}}]", "\"text\"", "false", "1e400"] {
        let envelope = event(&format!(r#""data":{bad},"related_object":{bad},"id":"evt_1""#));
        assert_eq!((envelope.data_object, envelope.object_kind), (None, None), "{bad}");
        assert_eq!(envelope.id.as_deref(), Some("evt_1"), "{bad}");
        let envelope = event(&format!(r#""data":{{"object":{bad},"previous_attributes":{bad}}}"#));
        assert_eq!((envelope.data_object, envelope.previous_attributes), (None, None), "{bad}");
    }
    assert_eq!(parse("{}"), Envelope::default());
}

#[test]
fn texts_keep_their_limit() {
    let longest = "x".repeat(TEXT_BYTES_MAX);
    assert_eq!(event(&format!(r#""id":"{longest}""#)).id.as_deref(), Some(longest.as_str()));
    assert_eq!(event(&format!(r#""id":"{longest}y""#)).id, None);
    assert_eq!(event(&format!(r#""id":"{}""#, "é".repeat(128))).id, None, "bytes count, not characters");
    assert_eq!(event(&format!(r#""id":"{}""#, "x".repeat(64 * 1024))).id, None);
}

#[test]
fn texts_are_unescaped() {
    let envelope = event(
        r#""\u0069d":"evt\u005f\u00e9\ud83d\ude00\/\\\"","type":"__proto__","data":{"obj\u0065ct":{"object":"'; DROP"}}"#,
    );
    assert_eq!(envelope.id.as_deref(), Some("evt_é😀/\\\""));
    assert_eq!(envelope.event_type.as_deref(), Some("__proto__"));
    assert_eq!(envelope.object_kind.as_deref(), Some("'; DROP"));
    for control in [r"\t", r"\u0007", r"\u007f", r"\u0085", "\u{7f}"] {
        assert_eq!(event(&format!(r#""id":"evt{control}""#)).id, None, "{control}");
    }
}

#[test]
fn the_time_of_a_snapshot_event_is_an_integer() {
    let cases = [
        ("-1", Some(-1)),
        ("0", Some(0)),
        ("-0", Some(0)),
        ("2147483648", Some(2_147_483_648)),
        ("9007199254740992", Some(9_007_199_254_740_992)),
        ("9223372036854775807", Some(i64::MAX)),
        ("-9223372036854775808", Some(i64::MIN)),
        ("9223372036854775808", None),
        ("18446744073709551616", None),
        ("1700000000.0", None),
        ("17e8", None),
        ("1e400", None),
        ("\"1700000000\"", None),
        ("\"2026-11-20T18:00:00Z\"", None),
        ("null", None),
        ("[1]", None),
    ];
    for (created, expected) in cases {
        assert_eq!(event(&format!(r#""created":{created}"#)).created, expected, "{created}");
    }
}

#[test]
fn the_time_of_a_thin_event_is_a_text() {
    let cases = [
        ("\"1970-01-01T00:00:01Z\"", Some(1)),
        ("\"1970-01-01T01:00:01.999999999+01:00\"", Some(1)),
        ("5", Some(5)),
        ("\"1970-01-01T00:00:01\"", None),
        ("\"yesterday\"", None),
        ("\"\"", None),
        ("1.5", None),
    ];
    for (created, expected) in cases {
        let body = format!(r#"{{"created":{created},"object":"v2.core.event"}}"#);
        assert_eq!(parse(&body).created, expected, "{created}");
    }
}

#[test]
fn of_duplicate_keys_the_last_one_counts() {
    let envelope = event(r#""id":"evt_1","id":"evt_2","created":1,"created":2"#);
    assert_eq!((envelope.id.as_deref(), envelope.created), (Some("evt_2"), Some(2)));
    assert_eq!(event(r#""id":"evt_1","id":5"#).id, None);
    assert_eq!(event(r#""created":1,"created":"x""#).created, None);
    let envelope =
        event(r#""data":{"object":{"id":"a","object":"b"},"previous_attributes":{}},"data":{"object":{"id":"c"}}"#);
    assert_eq!((envelope.object_id.as_deref(), envelope.object_kind), (Some("c"), None));
    assert_eq!(envelope.previous_attributes, None);
    let envelope = event(r#""data":{"object":{"id":"a","deleted":true},"object":null}"#);
    assert_eq!((envelope.object_id, envelope.data_object, envelope.object_deleted), (None, None, false));
}

#[test]
fn content_is_left_alone() {
    let object = r#"{"id":"x","a":"\ud800","\udc00":"\u0000","n":[1e400,1e131000,-0,123456789012345678901234567890],"a":1,"a":2}"#;
    let body = format!(r#"{{"id":"evt_1","\ud800":1,"data":{{"\ud800":2,"object":{object}}}}}"#);
    let envelope = parse(&body);
    assert_eq!(slice(&body, envelope.data_object), Some(object));
    assert_eq!((envelope.id.as_deref(), envelope.object_id.as_deref()), (Some("evt_1"), Some("x")));
}

#[test]
fn a_byte_order_mark_is_passed_and_counted() {
    let body = "\u{feff}{\"data\":{\"object\":{\"id\":\"x\"}}}";
    assert_eq!(slice(body, parse(body).data_object), Some(r#"{"id":"x"}"#));
}

#[test]
fn depth_is_no_limit() {
    for depth in [1, 63, 64, 65, 127, 128, 129, 1_000_000] {
        for (open, close) in [("[", "]"), ("{\"a\":[", "]}")] {
            let nested = format!("{}{}", open.repeat(depth), close.repeat(depth));
            let body = format!(r#"{{"data":{{"object":{{"id":"x","deep":{nested}}}}},"deep":{nested},"id":"evt_1"}}"#);
            let envelope = parse(&body);
            assert_eq!((envelope.id.as_deref(), envelope.object_id.as_deref()), (Some("evt_1"), Some("x")), "{depth}");
            let unclosed = format!("{{\"a\":{}", open.repeat(depth));
            assert_eq!(Envelope::parse(unclosed.as_bytes()), Err(EnvelopeError::NotJson), "{depth}");
            let crossed = format!("{{\"a\":{}{}", open.repeat(depth), "]".repeat(depth + 1));
            assert_eq!(Envelope::parse(crossed.as_bytes()), Err(EnvelopeError::NotJson), "{depth}");
        }
    }
}
