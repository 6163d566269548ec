//! Recorded third-party deliveries and complete event bodies. They live beside the repository: in `../shared`, or where
//! `BILLHOOK_SHARED` says.

use std::path::{Path, PathBuf};

use billhook_core::{Clock, ManualClock, Secret};
use billhook_stripe::envelope::Envelope;
use billhook_stripe::json::sanitise;
use billhook_stripe::signature::{SignatureError, Verifier, sign};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The fixtures in `folder`, by file name; `None` when there are none and nobody said that there should be.
fn fixtures(folder: &str) -> Option<Vec<(String, Value)>> {
    let configured = std::env::var_os("BILLHOOK_SHARED").map(PathBuf::from);
    let shared = configured.clone().unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"));
    let directory = shared.join("fixtures").join(folder);
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) => {
            assert!(
                configured.is_none(),
                "BILLHOOK_SHARED is set, but {} cannot be read: {error}",
                directory.display()
            );
            return None;
        }
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.expect("a directory entry").path();
        let text = std::fs::read_to_string(&path).expect("a readable fixture");
        files.push((path.display().to_string(), serde_json::from_str(&text).expect("a JSON fixture")));
    }
    files.sort_by(|(one, _), (other, _)| one.cmp(other));
    Some(files)
}

#[test]
fn recorded_deliveries_verify_at_their_time_and_not_301_seconds_later() {
    let Some(files) = fixtures("localstripe") else {
        eprintln!("skipped: no recorded deliveries; set BILLHOOK_SHARED to the folder that holds `fixtures`");
        return;
    };
    assert_eq!(files.len(), 33);
    let verifier = Verifier::new(&[Secret::new("whsec_local")]);
    for (name, recorded) in files {
        let (header, body) = (recorded["signature"].as_str().unwrap(), recorded["body"].as_str().unwrap());
        let timestamp: i64 = header[2..].split_once(',').unwrap().0.parse().unwrap();
        let clock = ManualClock::new(Timestamp::from_second(timestamp).unwrap());
        let verify = |body: &[u8]| verifier.verify(header, body, clock.now().as_second(), 300);
        assert_eq!(verify(body.as_bytes()).map(|verified| verified.timestamp), Ok(timestamp), "{name}");
        assert_eq!(verify(body.trim_end_matches('}').as_bytes()), Err(SignatureError::Mismatch), "{name}");
        assert_eq!(sign(&Secret::new("whsec_local"), timestamp, body.as_bytes()), header, "{name}");
        clock.advance(SignedDuration::from_secs(301));
        assert_eq!(verify(body.as_bytes()), Err(SignatureError::Time { skew_seconds: 301 }), "{name}");
        check_envelope(&name, body, &serde_json::from_str(body).unwrap());
    }
}

#[test]
fn complete_events_are_read() {
    let Some(files) = fixtures("webhooks") else {
        eprintln!("skipped: no event bodies; set BILLHOOK_SHARED to the folder that holds `fixtures`");
        return;
    };
    assert_eq!(files.len(), 30);
    for (name, event) in files {
        check_envelope(&name, &event.to_string(), &event);
        check_envelope(&name, &serde_json::to_string_pretty(&event).unwrap(), &event);
    }
}

fn check_envelope(name: &str, body: &str, event: &Value) {
    let envelope = Envelope::parse(body.as_bytes()).expect(name);
    let text = |path: &str| event.pointer(path).and_then(Value::as_str);
    assert_eq!(envelope.id.as_deref(), text("/id"), "{name}");
    assert_eq!(envelope.event_type.as_deref(), text("/type"), "{name}");
    assert_eq!(envelope.created, event["created"].as_i64(), "{name}");
    assert_eq!(envelope.livemode, event["livemode"].as_bool(), "{name}");
    assert_eq!(envelope.object_kind.as_deref(), text("/data/object/object"), "{name}");
    assert_eq!(envelope.object_id.as_deref(), text("/data/object/id"), "{name}");
    assert_eq!(envelope.object_deleted, event["data"]["object"]["deleted"] == true, "{name}");
    let object = &body[envelope.data_object.expect(name)];
    let sanitised = sanitise(object).expect(name);
    assert_eq!((sanitised.text.as_ref(), sanitised.lossy), (object, false), "{name}");
    assert_eq!(serde_json::from_str::<Value>(object).expect(name), event["data"]["object"], "{name}");
    let previous = envelope.previous_attributes.map(|range| serde_json::from_str::<Value>(&body[range]).expect(name));
    let expected = event["data"].get("previous_attributes").filter(|value| value.is_object());
    assert_eq!(previous.as_ref(), expected, "{name}");
}
