use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn names(stored: &Json, read: &Json) -> Vec<String> {
    differing("charge", &stored.to_string(), &read.to_string(), Shapes::Same)
}

#[test]
fn what_means_the_same_is_no_difference() {
    let same: &[(&str, &str)] = &[
        (r#"{"a":1,"b":[1,2]}"#, r#" { "b" : [ 1 , 2 ] , "a" : 1 } "#),
        (r#"{"a":1}"#, r#"{"a":1.0}"#),
        (r#"{"a":1500}"#, r#"{"a":15e2}"#),
        (r#"{"a":0.0015}"#, r#"{"a":1.50E-3}"#),
        (r#"{"a":-0.0}"#, r#"{"a":0}"#),
        (r#"{"a":123456789012345678901234567890}"#, r#"{"a":1.2345678901234567890123456789e29}"#),
        (r#"{"a":"\u00e9\/"}"#, r#"{"a":"é/"}"#),
        (r#"{"a":"x\u0000"}"#, r#"{"a":"x\ufffd"}"#),
        (r#"{"a":1e400}"#, r#"{"a":"1e400"}"#),
        (r#"{"a":0,"a":1}"#, r#"{"a":1}"#),
        (r#"{"a":null}"#, "{}"),
        (r#"{"customer":"cus_1"}"#, r#"{"customer":{"id":"cus_1","object":"customer","name":"n"}}"#),
        (r#"{"discounts":["di_1"]}"#, r#"{"discounts":[{"id":"di_1","object":"discount"}]}"#),
        ("{}", r#"{"refunds":{"object":"list","data":[{"id":"re_1"}],"has_more":false}}"#),
        (r#"{"client_secret":null}"#, r#"{"client_secret":"pi_1_secret_x"}"#),
        (r#"{"receipt_url":"https://pay.stripe.com/a"}"#, r#"{"receipt_url":"https://pay.stripe.com/b"}"#),
        (
            r#"{"lines":{"object":"list","data":[{"id":"a"},{"id":"b"}],"has_more":false,"url":"/v1/x"}}"#,
            r#"{"lines":{"object":"list","data":[{"id":"a"}],"has_more":true}}"#,
        ),
        (
            r#"{"items":{"object":"list","data":[{"id":"a"},{"id":"b"}],"has_more":false}}"#,
            r#"{"items":{"object":"list","data":[{"id":"b"},{"id":"a"}],"has_more":false,"total_count":2}}"#,
        ),
    ];
    for (stored, read) in same {
        for (stored, read) in [(stored, read), (read, stored)] {
            assert_eq!(differing("charge", stored, read, Shapes::Same), [""; 0], "{stored} {read}");
        }
    }
}

#[test]
fn what_means_something_else_is_named_by_its_property() {
    let different: &[(&str, &str, &[&str])] = &[
        (r#"{"a":1,"b":2}"#, r#"{"a":2,"b":3}"#, &["a", "b"]),
        (r#"{"a":1}"#, r#"{"a":"1"}"#, &["a"]),
        (r#"{"a":false}"#, "{}", &["a"]),
        (r#"{"a":""}"#, "{}", &["a"]),
        (r#"{"a":{}}"#, "{}", &["a"]),
        (r#"{"a":{"b":{"c":[1,2]}}}"#, r#"{"a":{"b":{"c":[2,1]}}}"#, &["a"]),
        (r#"{"a":[1]}"#, r#"{"a":[1,2]}"#, &["a"]),
        (r#"{"a":0.1}"#, r#"{"a":0.10000000000000000001}"#, &["a"]),
        (r#"{"a":1}"#, r#"{"a":-1}"#, &["a"]),
        (r#"{"a":10}"#, r#"{"a":1}"#, &["a"]),
        (r#"{"customer":"cus_1"}"#, r#"{"customer":{"id":"cus_2"}}"#, &["customer"]),
        (r#"{"receipt_url":"https://pay.stripe.com/a"}"#, "{}", &["receipt_url"]),
        (r#"{"url":"https://a"}"#, r#"{"url":"https://b"}"#, &["url"]),
        (
            r#"{"lines":{"object":"list","data":[{"id":"a","n":1}],"has_more":true}}"#,
            r#"{"lines":{"object":"list","data":[{"id":"a","n":2}],"has_more":true}}"#,
            &["lines"],
        ),
        (
            r#"{"lines":{"object":"list","data":[{"id":"a"},{"id":"b"}],"has_more":false}}"#,
            r#"{"lines":{"object":"list","data":[{"id":"a"}],"has_more":false}}"#,
            &["lines"],
        ),
        (
            r#"{"lines":{"object":"list","data":[{"id":"a"}],"has_more":false}}"#,
            r#"{"lines":{"object":"list","data":[{"id":"a"},{"id":"b"}],"has_more":true}}"#,
            &["lines"],
        ),
        (
            r#"{"x":{"object":"list","data":[1,2],"has_more":false}}"#,
            r#"{"x":{"object":"list","data":[1],"has_more":false}}"#,
            &["x"],
        ),
        ("[1]", "[2]", &[""]),
        ("not json", "{}", &[""]),
    ];
    for (stored, read, expected) in different {
        for (stored, read) in [(stored, read), (read, stored)] {
            assert_eq!(differing("charge", stored, read, Shapes::Same), *expected, "{stored} {read}");
        }
    }
}

#[test]
fn between_versions_only_what_both_show_counts() {
    let old = json!({ "status": "active", "current_period_end": 1, "items": { "object": "list", "has_more": false,
        "data": [{ "id": "si_1", "quantity": 1 }] } });
    let mut new = json!({ "status": "active", "billing_mode": { "type": "flexible" }, "items": { "object": "list",
        "has_more": false, "data": [{ "id": "si_1", "quantity": 1, "current_period_end": 1 }] } });
    let compare = |new: &Json, shapes| differing("subscription", &old.to_string(), &new.to_string(), shapes);
    assert_eq!(compare(&new, Shapes::Same), ["billing_mode", "current_period_end", "items"]);
    assert_eq!(compare(&new, Shapes::Different), [""; 0]);
    new["items"]["data"][0]["quantity"] = json!(2);
    assert_eq!(compare(&new, Shapes::Different), ["items"]);
}

#[test]
fn a_signed_link_is_recognised_inside_its_own_kind_only() {
    let with = |kind: &str, link: &str| json!({ "a": { "object": kind, "receipt_url": link } });
    assert_eq!(names(&with("charge", "x"), &with("charge", "y")), [""; 0]);
    assert_eq!(names(&with("refund", "x"), &with("refund", "y")), ["a"]);
}

/// JSON documents without embedded lists and references, whose looser rules have tests of their own.
fn documents() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1e9..1e9_f64).prop_map(Json::from),
        "\\PC{0,8}".prop_map(Json::from),
    ];
    let value = leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::btree_map("[a-h]{1,3}", inner, 0..5)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    });
    prop::collection::btree_map("[a-h]{1,3}", value, 1..6).prop_map(|map| Json::Object(map.into_iter().collect()))
}

/// Writes a document with its keys turned round, blanks, escaped characters and numbers in another form.
fn rewritten(value: &Json) -> String {
    match value {
        Json::Object(map) => {
            let members: Vec<String> =
                map.iter().rev().map(|(name, value)| format!(" {name:?} :\n{}", rewritten(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Json::Array(values) => format!("[ {} ]", values.iter().map(rewritten).collect::<Vec<_>>().join(" ,")),
        Json::String(text) => {
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            format!("\"{escaped}\"")
        }
        Json::Number(number) if number.is_i64() => format!("{number}.00e0"),
        other => other.to_string(),
    }
}

/// Changes the leaf at position `at`, counted through the whole document; returns how many leaves there are before it is found.
fn change_leaf(value: &mut Json, at: &mut usize) -> bool {
    match value {
        Json::Object(map) => map.values_mut().any(|value| change_leaf(value, at)),
        Json::Array(values) => values.iter_mut().any(|value| change_leaf(value, at)),
        leaf if *at == 0 => {
            *leaf = match &*leaf {
                Json::Bool(value) => json!(!value),
                Json::Number(number) => number.as_i64().map_or(json!("a number"), |number| json!(number ^ 1)),
                Json::String(text) => json!(format!("{text}x")),
                _ => json!(1),
            };
            true
        }
        _ => {
            *at -= 1;
            false
        }
    }
}

fn leaves(value: &Json) -> usize {
    match value {
        Json::Object(map) => map.values().map(leaves).sum(),
        Json::Array(values) => values.iter().map(leaves).sum(),
        _ => 1,
    }
}

proptest! {
    #[test]
    fn a_document_equals_itself_however_it_is_written(document in documents()) {
        let (plain, other) = (document.to_string(), rewritten(&document));
        prop_assert_eq!(differing("charge", &plain, &other, Shapes::Same), [""; 0]);
        prop_assert_eq!(differing("charge", &other, &plain, Shapes::Same), [""; 0]);
    }

    #[test]
    fn every_changed_leaf_is_found(document in documents(), position in any::<prop::sample::Index>()) {
        let leaves = leaves(&document);
        prop_assume!(leaves > 0);
        let mut changed = document.clone();
        prop_assert!(change_leaf(&mut changed, &mut position.index(leaves)));
        let expected: Vec<&String> = document.as_object().unwrap().iter()
            .filter(|(name, value)| changed[name.as_str()] != **value).map(|(name, _)| name).collect();
        for shapes in [Shapes::Same, Shapes::Different] {
            let found = differing("charge", &document.to_string(), &rewritten(&changed), shapes);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), expected.clone());
        }
    }
}
