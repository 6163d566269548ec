//! What the end of a run tells others: failure handlers, and the run that invoked it.

use billhook_core::run::RunState;
use billhook_store::{FlowEvent, Publication, RunNext};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::route::{Source, publication};
use crate::event::Event;
use crate::names::{FAILED, FINISHED, INVOKED};
use crate::registry::Functions;

/// A run at its end.
pub(super) struct Ended<'a> {
    pub(super) run: &'a str,
    pub(super) function: &'a str,
    /// The event that started it.
    pub(super) event: &'a FlowEvent,
    /// Sets this end apart from another one of the same run, which was retried in between.
    pub(super) token: i64,
}

impl Ended<'_> {
    /// The events that tell of this end.
    pub(super) fn told<App>(&self, functions: &Functions<App>, next: &RunNext, now: Timestamp) -> Vec<Publication> {
        if !next.state.is_over() {
            return Vec::new();
        }
        let mut told = Vec::new();
        let names = [FAILED.to_owned()];
        // A failure handler that fails starts no failure handler.
        let has_handler = self.event.name != FAILED && functions.started_by(&names).next().is_some();
        if next.state == RunState::Failed && has_handler {
            let publication = publication(functions, &self.failed(next, now), Source::Own, &names, now);
            told.extend((!publication.runs.is_empty()).then_some(publication));
        }
        if self.event.name == INVOKED {
            let names = [FINISHED.to_owned()];
            told.push(publication(functions, &self.finished(next, now), Source::Own, &names, now));
        }
        told
    }

    fn failed(&self, next: &RunNext, now: Timestamp) -> Event {
        let FlowEvent { id, name, data, ts, .. } = self.event;
        let data: Value = serde_json::from_str(data).unwrap_or_default();
        let data = json!({
            "function": self.function,
            "run": self.run,
            "error": next.message,
            "event": { "id": id, "name": name, "data": data, "ts": ts },
        });
        Event::new(format!("failed/{}/{}", self.run, self.token), FAILED, data, now)
    }

    fn finished(&self, next: &RunNext, now: Timestamp) -> Event {
        let result = next.result.as_deref().and_then(|result| serde_json::from_str::<Value>(result).ok());
        finished(self.run, self.token, next.state.name(), result, next.message.as_deref(), now)
    }
}

/// Tells an invoker that its run was not started, since the function refuses a second one of its kind.
pub(super) fn not_started<App>(functions: &Functions<App>, run: &str, now: Timestamp) -> Publication {
    let why = "another run has the same idempotency key, or a limit of the function refuses it";
    publication(
        functions,
        &finished(run, 0, "not started", None, Some(why), now),
        Source::Own,
        &[FINISHED.to_owned()],
        now,
    )
}

fn finished(run: &str, token: i64, state: &str, result: Option<Value>, error: Option<&str>, now: Timestamp) -> Event {
    let data = json!({ "run": run, "state": state, "result": result, "error": error });
    Event::new(format!("finished/{run}/{token}"), FINISHED, data, now)
}
