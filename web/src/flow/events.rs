//! `/v1/events`.

use billhook_store::{FlowEventFilter, KeptEvent};
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;

use super::runs::Run;
use super::{Answer, Asked, Refusal, raw};

/// An event as callers see it.
#[derive(Serialize)]
struct Event<'a> {
    id: &'a str,
    name: &'a str,
    data: Option<&'a RawValue>,
    /// Milliseconds since 1970, as events are sent.
    ts: i64,
    received_at: String,
}

impl<'a> From<&'a KeptEvent> for Event<'a> {
    fn from(kept: &'a KeptEvent) -> Self {
        Self {
            id: &kept.event.id,
            name: &kept.event.name,
            data: raw(Some(&kept.event.data)),
            ts: kept.event.ts.as_millisecond(),
            received_at: kept.received_at.to_string(),
        }
    }
}

pub(super) async fn list(asked: &Asked<'_>) -> Answer {
    asked.query.only(&["name", "before", "limit"])?;
    let filter = FlowEventFilter {
        name: asked.query.owned("name"),
        before: asked.query.owned("before"),
        limit: asked.query.limit()?,
    };
    let events = asked.store.list_flow_events(filter).await?;
    asked.answer(events.iter().map(Event::from).collect::<Vec<_>>())
}

pub(super) async fn show(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let event = asked.store.flow_event(asked.id).await?.ok_or_else(|| no_event(asked.id))?;
    asked.answer(Event::from(&event))
}

pub(super) async fn runs(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let runs = asked.store.flow_event_runs(asked.id).await?;
    if runs.is_empty() && asked.store.flow_event(asked.id).await?.is_none() {
        return Err(no_event(asked.id));
    }
    asked.answer(runs.iter().map(Run::from).collect::<Vec<_>>())
}

fn no_event(id: &str) -> Refusal {
    let message = format!("there is no event {id} that started a run; GET /v1/events shows what there is");
    Refusal::new(StatusCode::NOT_FOUND, message)
}
