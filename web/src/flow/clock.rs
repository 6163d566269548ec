//! `/test/clock`: the time of functions, moved by hand.

use std::time::Duration;

use billhook_core::Clock as _;
use billhook_flow::test_clock::{Advance, ClockControl, ClockError, Moved};
use http::StatusCode;
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Asked, Refusal};

/// How long one request moves the clock, in milliseconds: well within the time for which a connection may be busy, and short
/// enough for a server that is to stop. Whoever asks asks again until it is done.
const PATIENCE_MS: u64 = 5_000;

/// What is to be done; exactly one of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(default)]
    freeze: bool,
    advance_to: Option<Timestamp>,
    advance_by: Option<String>,
}

pub(super) async fn show(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let clock = control(asked)?.clock();
    asked.answer(json!({ "now": clock.now().to_string(), "frozen": clock.frozen().is_some() }))
}

/// Answers when all is done that was due on the way, or after a while with how far it is.
pub(super) async fn set(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let control = control(asked)?;
    let body: Body = asked.document()?;
    let patience = Duration::from_millis(PATIENCE_MS);
    let moved = match (body.freeze, body.advance_to, body.advance_by) {
        (true, None, None) => control.freeze().await.map(|now| Moved { now, to: now, is_done: true }),
        (false, Some(to), None) => control.advance(Advance::To(to), patience).await,
        (false, None, Some(by)) => control.advance(Advance::By(duration(&by)?), patience).await,
        _ => {
            let what = "send one of {\"freeze\": true}, {\"advance_to\": \"2026-12-24T18:00:00Z\"} and {\"advance_by\": \"30d\"}";
            return Err(Refusal::of_request(what));
        }
    };
    let Moved { now, to, is_done } = moved.map_err(refusal)?;
    asked.answer(json!({ "now": now.to_string(), "frozen": true, "to": to.to_string(), "done": is_done }))
}

fn control<'a>(asked: &Asked<'a>) -> Result<&'a ClockControl, Refusal> {
    asked.clock.ok_or_else(|| {
        let what = "the time of functions is not moved here; set functions.test_clock in a test installation";
        Refusal::new(StatusCode::CONFLICT, what)
    })
}

/// Days count 24 hours. Months have no fixed length and are refused.
fn duration(text: &str) -> Result<SignedDuration, Refusal> {
    let span: Result<Span, jiff::Error> = text.parse();
    let duration = span.and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    duration.map_err(|error| {
        Refusal::of_request(format!("advance_by {text:?} is no time such as 30d, 12h or 1h30m: {error}"))
    })
}

fn refusal(error: ClockError) -> Refusal {
    match error {
        ClockError::Store(error) => error.into(),
        live @ ClockError::Live => Refusal::new(StatusCode::CONFLICT, live.to_string()),
        refused @ (ClockError::Backward { .. } | ClockError::TooFar { .. }) => Refusal::of_request(refused.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_24_hours_and_months_are_refused() {
        for (text, hours) in [("30d", 720), ("1d 2h", 26), ("PT3H", 3), ("90m", 1), ("0s", 0)] {
            assert_eq!(duration(text).map_err(|refused| refused.message).map(|by| by.as_hours()), Ok(hours), "{text}");
        }
        for bad in ["1mo", "2y", "", "soon", "3"] {
            let refused = duration(bad).expect_err("refused");
            assert!(refused.message.contains("30d"), "{}", refused.message);
        }
    }
}
