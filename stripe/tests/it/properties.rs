//! What must hold for every input. The mutation tests and the fuzz targets run these same functions.

use billhook_core::Secret;
use billhook_stripe::envelope::{Envelope, EnvelopeError, TEXT_BYTES_MAX};
use billhook_stripe::json::{self, DEPTH_MAX, JsonError};
use billhook_stripe::signature::{CANDIDATES_MAX, SignatureError, Verifier, sign};
use serde::de::IgnoredAny;
use serde_json::Value;

/// The time at which [`signature`] verifies.
const NOW: i64 = 1_700_000_000;
const TOLERANCE_SECONDS: i64 = 300;

/// Takes a header and a body, separated by the first line feed. `{good}` in the header stands for the right signature, which no
/// fuzzer could guess.
pub fn signature(input: &[u8]) {
    let separator = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (header, body) = input.split_at(separator);
    let body = body.get(1..).unwrap_or_default();
    let Ok(header) = std::str::from_utf8(header) else { return };
    let secret = Secret::new("whsec_property");
    let timestamps: Vec<&str> = header.split(',').filter_map(|item| item.strip_prefix("t=")).collect();
    // Only a time in its shortest form can be signed by `sign`.
    let timestamp: Option<i64> = match timestamps.as_slice() {
        [only] => only.parse().ok().filter(|seconds: &i64| *seconds >= 0 && seconds.to_string() == *only),
        _ => None,
    };
    let signed = sign(&secret, timestamp.unwrap_or_default(), body);
    let good = signed.split_once("v1=").map(|(_, signature)| signature).expect("a signed header");
    let header = header.replace("{good}", good);
    let well_formed = |signature: &&str| {
        signature.len() == 64 && signature.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
    };
    let candidates = header.split(',').filter_map(|item| item.strip_prefix("v1=")).filter(well_formed);
    let authentic = candidates.take(CANDIDATES_MAX).any(|candidate| candidate == good);
    let fresh = |seconds: &i64| (NOW - TOLERANCE_SECONDS..=NOW + TOLERANCE_SECONDS).contains(seconds);
    let expected = timestamp.filter(|seconds| !body.is_empty() && authentic && fresh(seconds));
    let result = Verifier::new(&[secret]).verify(&header, body, NOW, TOLERANCE_SECONDS);
    assert_eq!(result.ok().map(|verified| verified.timestamp), expected);
    assert_ne!(result, Err(SignatureError::Header));
}

/// The grammar agrees with serde_json's, ranges are objects, texts keep their limits, and what serde_json can build as a tree
/// has the same fields there.
pub fn envelope(body: &[u8]) {
    let text = std::str::from_utf8(body).ok();
    let document = text.map(|text| text.strip_prefix('\u{feff}').unwrap_or(text));
    let is_json = document.is_some_and(|document| serde_json::from_str::<IgnoredAny>(document).is_ok());
    let envelope = match Envelope::parse(body) {
        Err(EnvelopeError::NotJson) => return assert!(!is_json, "refused a JSON document"),
        Err(EnvelopeError::NotAnObject) => {
            assert!(is_json && !document.unwrap_or_default().trim_start().starts_with('{'));
            return;
        }
        Ok(envelope) => envelope,
    };
    assert!(is_json, "took what is not JSON");
    for range in [&envelope.data_object, &envelope.previous_attributes].into_iter().flatten() {
        let slice = text.and_then(|text| text.get(range.clone())).expect("a range inside the body");
        assert!(slice.starts_with('{') && slice.ends_with('}'));
        assert!(serde_json::from_str::<IgnoredAny>(slice).is_ok());
    }
    for text in [&envelope.id, &envelope.event_type, &envelope.object_kind, &envelope.object_id].into_iter().flatten() {
        assert!(!text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control));
    }
    if let Some(Ok(tree)) = document.map(serde_json::from_str::<Value>) {
        compare_with_tree(&envelope, text.unwrap_or_default(), &tree);
    }
}

fn compare_with_tree(envelope: &Envelope, body: &str, tree: &Value) {
    let text_at = |path: &str| {
        let text = tree.pointer(path).and_then(Value::as_str);
        let usable = |text: &&str| !text.is_empty() && text.len() <= TEXT_BYTES_MAX && !text.contains(char::is_control);
        text.filter(usable).map(str::to_owned)
    };
    assert_eq!(envelope.id, text_at("/id"));
    assert_eq!(envelope.object, text_at("/object"));
    assert_eq!(envelope.event_type, text_at("/type"));
    assert_eq!(envelope.livemode, tree.get("livemode").and_then(Value::as_bool));
    assert_eq!(envelope.api_version, text_at("/api_version"));
    assert_eq!(envelope.account, text_at("/account"));
    assert_eq!(envelope.context, text_at("/context"));
    let created = tree.get("created");
    // serde_json reads the integer -0 as a float.
    if !envelope.is_thin() && created.and_then(Value::as_f64) != Some(0.0) {
        assert_eq!(envelope.created, created.and_then(Value::as_i64));
    }
    let identity = if envelope.is_thin() {
        [text_at("/related_object/type"), text_at("/related_object/id")]
    } else {
        [text_at("/data/object/object"), text_at("/data/object/id")]
    };
    assert_eq!([envelope.object_kind.clone(), envelope.object_id.clone()], identity);
    for (range, path) in
        [(&envelope.data_object, "/data/object"), (&envelope.previous_attributes, "/data/previous_attributes")]
    {
        // A pointer would also find the members of an array, by their position.
        let expected = tree.pointer(path).filter(|value| value.is_object() && tree["data"].is_object());
        let slice = range.clone().and_then(|range| body.get(range));
        let found = slice.and_then(|slice| serde_json::from_str::<Value>(slice).ok());
        assert_eq!(found.as_ref(), expected);
    }
}

/// The result is JSON that serde_json can build as a tree, without NUL; doing it twice changes nothing; what was not changed is
/// the input; and nothing but bad JSON and depth is refused.
pub fn sanitise(text: &str) {
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let sanitised = match json::sanitise(text) {
        Err(JsonError::Invalid) => return assert!(!is_json, "refused a JSON document"),
        Err(JsonError::TooDeep) => {
            let brackets = text.bytes().filter(|byte| matches!(byte, b'{' | b'[')).count();
            return assert!(brackets > DEPTH_MAX, "refused a shallow document as too deep");
        }
        Ok(sanitised) => sanitised,
    };
    assert!(is_json, "took what is not JSON");
    assert_eq!(sanitised.lossy, sanitised.text != text);
    let tree = serde_json::from_str::<Value>(&sanitised.text).expect("serde_json builds every result");
    assert!(!contains_nul(&tree));
    let again = json::sanitise(&sanitised.text).expect("a result is sanitised again");
    assert!(!again.lossy && matches!(again.text, std::borrow::Cow::Borrowed(_)));
}

fn contains_nul(tree: &Value) -> bool {
    match tree {
        Value::String(text) => text.contains('\0'),
        Value::Array(elements) => elements.iter().any(contains_nul),
        Value::Object(members) => members.iter().any(|(key, value)| key.contains('\0') || contains_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
