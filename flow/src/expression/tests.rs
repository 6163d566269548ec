use serde_json::json;

use super::*;

/// 2026-03-01T12:00:00Z.
const NOW: i64 = 1_772_366_400;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

fn started_by() -> Value {
    json!({"id": "evt_1", "name": "stripe/invoice.payment_failed", "ts": NOW * 1_000, "data": {
        "id": "in_1", "customer": "cus_1", "amount": 1_500, "rate": 0.5, "whole": 10.0, "text_number": "42", "zero": 0, "empty": "",
        "none": null, "yes": true, "no": false, "created": NOW - 3_600, "day": "2026-02-28", "encoded": "eyJhIjpbMSwyXX0=",
        "lines": [{"id": "il_1", "amount": 500}, {"id": "il_2", "amount": 1_000}], "tags": ["vip", "eu"],
        "metadata": {"team": "t_1", "seats": "5"}, "big": 9_007_199_254_740_993_u64
    }})
}

fn came() -> Value {
    json!({"id": "evt_2", "name": "stripe/invoice.paid", "ts": NOW * 1_000, "data": {"id": "in_1", "amount": 1_500, "number": 42}})
}

pub(super) fn evaluated(source: &str) -> Result<Value, ExpressionError> {
    let (event, other) = (started_by(), came());
    Expression::parse(source)?.evaluate(&Scope { event: &event, other: Some(&other), now: now() })
}

fn assert_values(table: &[(&str, Value)]) {
    for (source, expected) in table {
        assert_eq!(evaluated(source).as_ref(), Ok(expected), "{source}");
    }
}

fn assert_true(sources: &[&str]) {
    for source in sources {
        assert_eq!(evaluated(source), Ok(json!(true)), "{source}");
    }
}

#[test]
fn what_is_missing_is_null() {
    assert_values(&[
        ("event.data.missing", json!(null)),
        ("event.data.missing.deeper['still'][3].x", json!(null)),
        ("event.data.missing == 'x'", json!(false)),
        ("event.data.missing != 'x'", json!(true)),
        ("event.data.missing == null", json!(true)),
        ("event.data.none == event.data.missing", json!(true)),
        ("event.data.missing < 5", json!(false)),
        ("event.data.missing >= 5", json!(false)),
        ("!event.data.missing", json!(true)),
        ("event.data.missing ? 'yes' : 'no'", json!("no")),
        ("event.data.missing.startsWith('x')", json!(false)),
        ("event.data.missing.matches('x')", json!(false)),
        ("event.data.missing.lowerAscii()", json!(null)),
        ("size(event.data.missing)", json!(0)),
        ("event.data.missing + 1", json!(null)),
        ("'a-' + event.data.missing", json!("a-")),
        ("'x' in event.data.missing", json!(false)),
        ("event.data.missing.exists(x, true)", json!(false)),
        ("event.data.missing.all(x, true)", json!(false)),
        ("event.data.missing.map(x, x)", json!(null)),
        ("date(event.data.missing)", json!(null)),
        ("event.data.tags[2]", json!(null)),
        ("event.data.tags[-1]", json!(null)),
        ("event.data.tags['0']", json!(null)),
        ("event.data.id.length", json!(null)),
        ("now().year", json!(null)),
    ]);
}

#[test]
fn kinds_mix_in_comparisons() {
    assert_true(&[
        "event.data.amount == 1500.0",
        "event.data.text_number == 42",
        "42 == event.data.text_number",
        "event.data.metadata.seats > 4",
        "event.data.metadata.seats < 5.5",
        "event.data.rate < 1",
        "'5' != '5.0'",
        "!('5' == true)",
        "true != 'true'",
        "!('a' < 1)",
        "!('a' > 1)",
        "'a' < 'b'",
        "event.data.big == 9007199254740993",
        "event.data.big != 9007199254740992",
        "event.data.big > 9007199254740992.0",
        "-1 < 0",
        "'-1' < 0",
        "'inf' != 1e308",
        "' 5' != 5",
        "[1, '2'] == [1.0, 2]",
        "{'a': 1} == {'a': 1.0}",
        "{'a': 1} != {'b': 1}",
        "5 in ['5']",
        "'vip' in event.data.tags",
        "!('us' in event.data.tags)",
        "'team' in event.data.metadata",
    ]);
}

#[test]
fn logic_gives_operands_as_in_javascript() {
    assert_values(&[
        ("event.data.missing || event.data.customer", json!("cus_1")),
        ("event.data.empty || event.data.zero", json!(0)),
        ("event.data.zero || event.data.none", json!(null)),
        ("event.data.id && event.data.customer", json!("cus_1")),
        ("event.data.zero && event.data.customer", json!(0)),
        ("event.data.yes && event.data.tags", json!(["vip", "eu"])),
        ("[] || 'x'", json!([])),
        ("false || false || 'last'", json!("last")),
        ("true || false && false", json!(true)),
        ("!'text'", json!(false)),
        ("!!1", json!(true)),
        ("1 / 0 || true", json!(true)),
        ("1 / 0 && false", json!(false)),
    ]);
    assert!(matches!(evaluated("1 / 0 || false"), Err(ExpressionError::Failed { position: 3, .. })));
}

#[test]
fn operators_bind_as_in_cel() {
    assert_values(&[
        ("1 + 2 * 3", json!(7)),
        ("(1 + 2) * 3", json!(9)),
        ("10 - 2 - 3", json!(5)),
        ("7 / 2", json!(3)),
        ("7 % 4", json!(3)),
        ("7 / 2.0", json!(3.5)),
        ("-2 + 5", json!(3)),
        ("- -2", json!(2)),
        ("1 < 2 == true", json!(true)),
        ("true ? false ? 1 : 2 : 3", json!(2)),
        ("false ? 1 : true ? 2 : 3", json!(2)),
        ("'a' + 1 + true", json!("a1true")),
        ("'10' - 1", json!(9)),
        ("[1] + [2]", json!([1, 2])),
        ("{'k' + 1: [1, 2,],}", json!({"k1": [1, 2]})),
        ("18446744073709551615", json!(u64::MAX)),
        ("-9223372036854775808", json!(i64::MIN)),
    ]);
}

#[test]
fn texts_are_written_with_either_quote() {
    assert_values(&[
        (r#""it's""#, json!("it's")),
        (r#"'say "so"'"#, json!("say \"so\"")),
        (r"'\n\t\\\'\x41\u00e9\U0001F600'", json!("\n\t\\'Aé😀")),
        (r"r'\d'", json!("\\d")),
        ("'ä'.size()", json!(1)),
    ]);
}

#[test]
fn functions_and_walks() {
    assert_values(&[
        ("event.name.startsWith('stripe/')", json!(true)),
        ("event.name.endsWith('paid')", json!(false)),
        ("event.name.contains('payment')", json!(true)),
        ("event.data.customer.matches('^cus_[0-9]+$')", json!(true)),
        ("event.data.customer.matches('^' + event.data.customer + '$')", json!(true)),
        ("matches('a1', r'\\d')", json!(true)),
        ("'ÄB'.lowerAscii() + lowercase('X') + uppercase('y') + 'z'.upperAscii()", json!("äbxYZ")),
        ("size([1, 2]) + size({'a': 1}) + 'abc'.size()", json!(6)),
        ("json_parse(b64decode(event.data.encoded)).a[1]", json!(2)),
        ("int('7') + int(7.9) + double(1)", json!(15.0)),
        ("string(10.0) + string(0.5) + string(true)", json!("100.5true")),
        ("has(event.data.none) && has(event.data['id']) && !has(event.data.missing.x)", json!(true)),
        ("event.data.lines.exists(line, line.amount > 900)", json!(true)),
        ("event.data.lines.all(line, line.amount > 900)", json!(false)),
        ("event.data.lines.exists_one(line, line.id == 'il_1')", json!(true)),
        ("event.data.lines.filter(line, line.amount > 900).map(line, line.id)", json!(["il_2"])),
        ("event.data.lines.map(line, line.amount > 900, line.id)", json!(["il_2"])),
        ("event.data.metadata.map(key, event.data.metadata[key])", json!(["5", "t_1"])),
        ("[1, 2].map(a, [10, 20].map(b, a + b))", json!([[11, 21], [12, 22]])),
        ("[1, 2].exists(event, event == 2) && event.data.id == 'in_1'", json!(true)),
        ("[].all(x, false)", json!(true)),
    ]);
}

#[test]
fn times_are_compared_with_what_means_a_time() {
    assert_true(&[
        "date(event.data.created) < now()",
        "date(event.data.created) > now_minus('2h')",
        "event.data.created > now_minus('90m')",
        "event.ts == now()",
        "date(event.ts) == now()",
        "date('2026-03-01T13:00:00+01:00') == now()",
        "date(event.data.day) < now_minus('1d11h')",
        "now_plus('1.5h') == '2026-03-01T13:30:00Z'",
        "now_plus('-24h') == now_minus('24h')",
        "now_plus('500ms') > now()",
        "now() in ['2026-03-01T12:00:00Z']",
        "!(now() < 'never')",
        "now() != null",
        "int(now()) == 1772366400",
    ]);
    assert_values(&[
        ("now_plus('1w')", json!("2026-03-08T12:00:00Z")),
        ("date('2026-02-28T10:00:00')", json!("2026-02-28T10:00:00Z")),
        ("now() || 1", json!("2026-03-01T12:00:00Z")),
    ]);
}

#[test]
fn errors_name_the_place_and_what_to_write() {
    for (source, message) in [
        ("", "at character 1: expected a value, a variable or `(`, found the end"),
        ("event.data.id ==", "at character 17: expected a value, a variable or `(`, found the end"),
        ("event.data.id = 'x'", "at character 15: expected a name, a value or a sign, found `=`"),
        ("'ä' = 'x'", "at character 5: expected a name, a value or a sign, found `=`"),
        ("data.id == 'x'", "at character 1: expected `event` or `async` (texts stand in quotes), found `data`"),
        ("event.id 'x'", "at character 10: expected an operator or the end, found a text"),
        ("(1 + 2", "at character 7: expected `)`, found the end"),
        ("[1 2]", "at character 4: expected `,` or `]`, found the number 2"),
        ("'open", "at character 6: expected the quote that ends the text begun at character 1, found the end"),
        (
            "event.id.startWith('x')",
            "at character 10: expected a known function, such as `startsWith`, found `startWith`",
        ),
        ("now(1)", "at character 1: expected 0 argument(s) for `now`, what it is called on included, found 1"),
        ("has(1)", "at character 1: expected one attribute, as in `has(event.data.id)`, found `has` of another kind"),
        ("12abc", "at character 3: expected the end of a number, found `a`"),
    ] {
        assert_eq!(Expression::parse(source).unwrap_err().to_string(), message, "{source}");
    }
    for (source, message) in [
        ("1 / 0", "at character 3: the result is no number of 64 bits (a division by zero, or too large)"),
        (
            "9223372036854775807 * 9",
            "at character 21: the result is no number of 64 bits (a division by zero, or too large)",
        ),
        ("true + 1", "at character 6: cannot calculate with a boolean and a number"),
        ("event.data.tags.contains('x')", "at character 17: a list has no such method: write `value in list`"),
        ("now_plus('soon')", "at character 1: expected a length of time such as \"24h\", \"90s\" or \"7d\""),
        ("'a'.exists(x, x)", "at character 5: expected a list or a map to walk over, found a text"),
    ] {
        assert_eq!(evaluated(source).unwrap_err().to_string(), message, "{source}");
    }
    let pattern = Expression::parse("event.id.matches('(')").unwrap_err().to_string();
    assert!(pattern.starts_with("at character 18: the pattern of `matches` cannot be used"), "{pattern}");
    let long = format!("event.id.matches('{}' + '{}')", "a".repeat(2_000), "b".repeat(2_000));
    assert!(evaluated(&long).unwrap_err().to_string().contains("more than 1024 bytes"));
}

#[test]
fn length_depth_and_work_are_bounded() {
    let long = "x".repeat(SOURCE_BYTES_MAX + 1);
    assert_eq!(Expression::parse(&long).unwrap_err(), ExpressionError::TooLong { bytes: SOURCE_BYTES_MAX + 1 });
    for deep in [
        "(".repeat(SOURCE_BYTES_MAX),
        "[".repeat(SOURCE_BYTES_MAX),
        "!".repeat(SOURCE_BYTES_MAX - 1) + "1",
        "-".repeat(SOURCE_BYTES_MAX - 1) + "1",
        "1+".repeat(SOURCE_BYTES_MAX / 2 - 1) + "1",
        "event".to_owned() + &".a".repeat(DEPTH_MAX),
        "true?".repeat(DEPTH_MAX) + "1",
    ] {
        assert!(matches!(Expression::parse(&deep), Err(ExpressionError::TooDeep { .. })), "{deep}");
    }
    let wide = "event.data.yes && ".repeat(200) + "true";
    assert_eq!(evaluated(&wide), Ok(json!(true)), "a long condition is not a deep one");

    let digits = "[0,1,2,3,4,5,6,7,8,9]";
    let nested = (0..6).fold("true".to_owned(), |inner, level| format!("{digits}.all(x{level}, {inner})"));
    assert_eq!(evaluated(&nested), Err(ExpressionError::TooMuchWork));
    assert_eq!(evaluated(&format!("{nested} || true")), Err(ExpressionError::TooMuchWork), "it is not passed over");
    let doubling = (0..20).fold("'0123456789'".to_owned(), |inner, _| format!("[{inner}].map(x, x + x)[0]"));
    assert_eq!(evaluated(&doubling), Err(ExpressionError::TooMuchWork));
}

#[test]
fn long_texts_are_paid_for_or_not_read() {
    let text = "1".repeat(200_000);
    let event = json!({"data": {"text": text, "list": vec![0; 5_000]}});
    let scope = Scope { event: &event, other: None, now: now() };
    let value = |source: &str| Expression::parse(source).unwrap().evaluate(&scope);
    assert!(matches!(value("event.data.text - 1"), Err(ExpressionError::Failed { .. })), "no number is as long");
    assert!(matches!(value("date(event.data.text)"), Err(ExpressionError::Failed { .. })), "no time is as long");
    assert_eq!(
        value("event.data.list.exists(x, event.data[event.data.text] != null)"),
        Ok(json!(false)),
        "nothing is copied"
    );
    for costly in [
        "event.data.list.all(x, event.data.text == event.data.text)",
        "event.data.list.all(x, event.data.text.contains('1'))",
        "event.data.list.all(x, event.data == event.data)",
        "event.data.list.map(x, event.data.list)",
        "event.data.text.matches('2')",
    ] {
        assert_eq!(value(costly), Err(ExpressionError::TooMuchWork), "{costly}");
    }
}

#[test]
fn an_expression_that_fails_is_not_true_and_limits_nothing() {
    let event = started_by();
    let scope = Scope { event: &event, other: None, now: now() };
    let failing = Expression::parse("1 / 0").unwrap();
    assert!(!failing.is_true(&scope));
    assert_eq!(failing.key(&scope), None);
    assert!(Expression::parse("async == null && async.data.id == null").unwrap().is_true(&scope));
}

#[test]
fn keys_are_texts() {
    let event = started_by();
    let scope = Scope { event: &event, other: None, now: now() };
    let key = |source: &str| Expression::parse(source).unwrap().key(&scope);
    for (source, expected) in [
        ("event.data.customer", "cus_1"),
        ("event.data.amount", "1500"),
        ("event.data.whole", "10"),
        ("event.data.yes", "true"),
        ("event.data.missing", ""),
        ("event.data.tags", r#"["vip","eu"]"#),
        ("event.data.customer + '-' + event.data.amount", "cus_1-1500"),
        ("now()", "2026-03-01T12:00:00Z"),
    ] {
        assert_eq!(key(source).as_deref(), Some(expected), "{source}");
    }
    assert_eq!(key("event.data.no"), None);
    let long = key(&format!("event.id + '{}'", "x".repeat(KEY_BYTES_MAX))).unwrap();
    assert!(long.starts_with("sha256:") && long.len() == 71, "{long}");
}

#[test]
fn correlations_are_found_where_an_event_must_have_a_text() {
    for (source, expected) in [
        ("async.data.id == event.data.id", Some(("data.id", "in_1"))),
        ("event.data.id == async.data.id", Some(("data.id", "in_1"))),
        ("async.data['id'] == event.data.id", Some(("data.id", "in_1"))),
        (
            "async.data.amount > 5 && (async.data.object.customer == event.data.customer)",
            Some(("data.object.customer", "cus_1")),
        ),
        ("(true && async.data.a == event.data.id) && async.data.b == event.data.customer", Some(("data.a", "in_1"))),
        ("async.data.status == 'paid' && async.data.id == event.data.id", Some(("data.id", "in_1"))),
        ("async.data.status == 'paid'", Some(("data.status", "paid"))),
        ("async.data.id == (event.data.missing || event.data.id)", Some(("data.id", "in_1"))),
        ("async.data.a == event.data.missing && async.data.b == event.data.id", Some(("data.b", "in_1"))),
        // Not a text, or one that equals something that is none.
        ("async.data.amount == event.data.amount", None),
        ("async.data.number == event.data.text_number", None),
        ("async.data.id == event.data.missing", None),
        // Not a condition that has to hold.
        ("async.data.id == event.data.id || true", None),
        ("!(async.data.id == event.data.id)", None),
        ("async.data.id != event.data.id", None),
        // Not a path, or a side that changes.
        ("async.data.lines[0].id == event.data.id", None),
        ("async.data['a.b'] == event.data.id", None),
        ("async == event.data.id", None),
        ("async.data.a == async.data.b", None),
        ("async.data.at == string(now())", None),
        ("async.data.id == event.data.id + 1 / 0", None),
    ] {
        let found = Expression::parse(source).unwrap().correlation(&started_by(), now());
        let found = found.as_ref().map(|found| (&*found.path, &*found.value));
        assert_eq!(found, expected, "{source}");
    }
}

#[test]
fn an_expression_goes_to_other_threads_and_shows_its_source() {
    fn shared<T: Send + Sync + Clone>(value: T) -> T {
        value
    }
    let expression = shared(Expression::parse(" event.id ").unwrap());
    assert_eq!(expression.source(), " event.id ");
    assert_eq!(format!("{expression:?}"), "Expression(\" event.id \")");
}
