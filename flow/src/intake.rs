//! Events as people and programs send them: what `POST /e/{key}` takes.

use billhook_core::ulid::ulid;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::event::Event;
use crate::execution::WAIT_LONGEST;
use crate::names;

/// Most events of one request: they are written in one transaction.
pub const EVENTS_MAX: usize = 5_000;

/// Most bytes of one event's data.
pub const EVENT_BYTES_MAX: usize = 512 * 1024;

/// Longest name and id of an event, in bytes.
pub const NAME_BYTES_MAX: usize = 512;

/// Numbers below this look like seconds and not like milliseconds: as milliseconds they lie in early 1973.
const MILLISECONDS_MIN: f64 = 100_000_000_000.0;

/// The years in which an event may lie, in milliseconds: from 1980 up to 2100.
const YEARS: (i64, i64) = (315_532_800_000, 4_102_444_800_000);

/// Why events are refused. Nothing of the request takes effect then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The body is no event, no array of events and no lines of events.
    #[error("Request body must contain an event object or an array of event objects")]
    NoEvents,
    /// There are more than [`EVENTS_MAX`].
    #[error("the request has {0} events; send at most {EVENTS_MAX} at once")]
    TooMany(usize),
    /// One of them is wrong; counted from 0.
    #[error("event {0}: {1}")]
    Event(usize, String),
}

/// An event as it is sent.
#[derive(Deserialize)]
struct Sent {
    #[serde(default)]
    name: String,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    ts: Value,
    #[serde(default)]
    id: Option<String>,
}

/// Reads events: one object, an array, or one object a line. `ts` is taken as milliseconds or as text of RFC 3339; without it an event
/// happens at `now`, and with one in the future it takes effect then. An event without an id gets one.
///
/// # Errors
/// The first that is wrong with them, and where.
pub fn read(body: &[u8], now: Timestamp) -> Result<Vec<Event>, IntakeError> {
    let sent = sent(body)?;
    if sent.len() > EVENTS_MAX {
        return Err(IntakeError::TooMany(sent.len()));
    }
    let read = |(number, sent)| event(sent, now).map_err(|what| IntakeError::Event(number, what));
    sent.into_iter().enumerate().map(read).collect()
}

fn sent(body: &[u8]) -> Result<Vec<Value>, IntakeError> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Value>() {
        match value.map_err(|_| IntakeError::NoEvents)? {
            Value::Array(array) => values.extend(array),
            value => values.push(value),
        }
    }
    let is_nothing = values.is_empty() && body.iter().all(u8::is_ascii_whitespace);
    if is_nothing || !values.iter().all(Value::is_object) { Err(IntakeError::NoEvents) } else { Ok(values) }
}

fn event(value: Value, now: Timestamp) -> Result<Event, String> {
    let sent: Sent = serde_json::from_value(value).map_err(|error| error.to_string())?;
    let Sent { name, data, ts, id } = sent;
    if name.trim().is_empty() {
        return Err("event name is empty".to_owned());
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(format!("event name has {} bytes, at most {NAME_BYTES_MAX} are allowed", name.len()));
    }
    if names::is_reserved(&name) {
        return Err(format!("event name is reserved for internal use: {name}"));
    }
    let data = match data {
        Value::Null => Value::Object(serde_json::Map::new()),
        Value::Object(_) => data,
        _ => return Err("data must be an object".to_owned()),
    };
    let bytes = data.to_string().len();
    if bytes > EVENT_BYTES_MAX {
        return Err(format!("data has {bytes} bytes, at most {EVENT_BYTES_MAX} are allowed"));
    }
    let id = match id.filter(|id| !id.is_empty()) {
        Some(id) if id.len() > NAME_BYTES_MAX => {
            return Err(format!("id has {} bytes, at most {NAME_BYTES_MAX} are allowed", id.len()));
        }
        Some(id) => id,
        None => ulid(now),
    };
    Ok(Event { id, name, data, ts: time(&ts, now)? })
}

/// The time of an event: milliseconds, or text of RFC 3339. Nothing, `null` and 0 mean now.
///
/// # Errors
/// What is wrong with it, for whoever sent it.
pub fn time(ts: &Value, now: Timestamp) -> Result<Timestamp, String> {
    let milliseconds = match ts {
        Value::Null => return Ok(now),
        Value::String(text) if text.is_empty() => return Ok(now),
        Value::String(text) => match text.parse::<Timestamp>() {
            Ok(time) => time.as_millisecond(),
            Err(error) => return Err(format!("ts {text:?} is no time of RFC 3339: {error}")),
        },
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => return Ok(now),
            Some(number) if number.abs() < MILLISECONDS_MIN => {
                return Err(format!(
                    "ts {number} looks like seconds; give milliseconds, or text such as 2026-11-26T08:00:00Z"
                ));
            }
            // The range below bounds it.
            #[expect(clippy::cast_possible_truncation, reason = "what is too large saturates and is refused below")]
            Some(number) => number as i64,
            None => return Err(format!("ts {number} is no time")),
        },
        _ => return Err("ts must be milliseconds or text of RFC 3339".to_owned()),
    };
    if milliseconds < YEARS.0 {
        return Err("timestamp is before Jan 1, 1980".to_owned());
    }
    let time = Timestamp::from_millisecond(milliseconds).ok().filter(|_| milliseconds < YEARS.1);
    let time = time.ok_or("timestamp is after Jan 1, 2100")?;
    let ahead = time.duration_since(now);
    if ahead > WAIT_LONGEST { Err("ts is more than 366 days ahead".to_owned()) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_second(1_795_188_855).unwrap()
    }

    fn names(body: &str) -> Result<Vec<String>, String> {
        let events = read(body.as_bytes(), now()).map_err(|error| error.to_string())?;
        Ok(events.into_iter().map(|event| event.name).collect())
    }

    #[test]
    fn one_event_an_array_and_lines_are_taken() {
        assert_eq!(names(r#"{"name": "a"}"#), Ok(vec!["a".to_owned()]));
        assert_eq!(names(r#"[{"name": "a"}, {"name": "b"}]"#), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(names("{\"name\": \"a\"}\n{\"name\": \"b\"}\n"), Ok(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(names("[]"), Ok(vec![]));
        for body in ["", "  ", "null", "5", "\"a\"", "{\"name\": \"a\"", "[1]"] {
            assert_eq!(names(body), Err(IntakeError::NoEvents.to_string()), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (event, what) in [
            (json!({}), "event 0: event name is empty"),
            (
                json!({ "name": "stripe/invoice.paid" }),
                "event 0: event name is reserved for internal use: stripe/invoice.paid",
            ),
            (json!({ "name": "billhook/cron" }), "event 0: event name is reserved for internal use: billhook/cron"),
            (json!({ "name": "a", "data": "text" }), "event 0: data must be an object"),
            (json!({ "name": "a".repeat(513) }), "event 0: event name has 513 bytes, at most 512 are allowed"),
        ] {
            assert_eq!(names(&event.to_string()), Err(what.to_owned()));
        }
        let many = vec![json!({ "name": "a" }); EVENTS_MAX + 1];
        assert_eq!(read(json!(many).to_string().as_bytes(), now()), Err(IntakeError::TooMany(EVENTS_MAX + 1)));
    }

    #[test]
    fn times_are_milliseconds_or_text() {
        let at = |ts: Value| time(&ts, now()).map(Timestamp::as_millisecond);
        for ts in [json!(null), json!(0), json!("")] {
            assert_eq!(at(ts), Ok(now().as_millisecond()));
        }
        assert_eq!(at(json!(1_795_188_855_123_i64)), Ok(1_795_188_855_123));
        assert_eq!(at(json!(1_795_188_855_123.7)), Ok(1_795_188_855_123));
        assert_eq!(at(json!("2026-11-20T10:14:15.5Z")), Ok(1_795_169_655_500));
        assert_eq!(at(json!("2026-11-20T10:14:15+02:00")), Ok(1_795_162_455_000));
        for (ts, what) in [
            (json!(1_795_188_855), "looks like seconds"),
            (json!(99_999_999_999_i64), "looks like seconds"),
            (json!(100_000_000_000_i64), "before Jan 1, 1980"),
            (json!(4_102_444_800_000_i64), "after Jan 1, 2100"),
            (json!(1e300), "after Jan 1, 2100"),
            (json!("next week"), "no time of RFC 3339"),
            (json!(true), "milliseconds or text"),
            (json!("2028-01-01T00:00:00Z"), "366 days"),
        ] {
            let error = at(ts.clone()).expect_err("refused");
            assert!(error.contains(what), "{ts}: {error}");
        }
    }

    #[test]
    fn ids_are_kept_or_made() {
        let events = read(br#"[{"name": "a", "id": "mine"}, {"name": "a"}, {"name": "a", "id": ""}]"#, now()).unwrap();
        assert_eq!(events[0].id, "mine");
        assert_eq!((events[1].id.len(), events[2].id.len()), (26, 26));
        assert_ne!(events[1].id, events[2].id);
        assert_eq!(events[0].data, json!({}));
    }

    proptest! {
        #[test]
        fn no_body_breaks_it(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&body, now());
        }
    }
}
