//! Why a run does not go on at the moment, for people.

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use billhook_store::{Blocked, FlowRun, Gate, Pause};
use jiff::Timestamp;

use crate::control;
use crate::exchange::Memo;

/// Why a run does not go on at the moment: a sentence that names the limit, the wait or the time. `steps` is what is recorded of it.
pub fn why(run: &FlowRun, steps: &[(StepKey, String)]) -> String {
    let message = run.message.as_deref().unwrap_or("no reason was given");
    match run.state {
        RunState::Succeeded => "it has ended: it succeeded".to_owned(),
        RunState::Failed => format!("it has ended: it failed with {message}"),
        RunState::Cancelled => format!("it has ended: it was {message}"),
        RunState::Expired => format!("it has ended: its time was over, {message}"),
        RunState::Parked => format!("parked until somebody decides: {message}"),
        RunState::Running => format!("being executed; its worker holds it until {}", shown(run.due_at)),
        RunState::Queued | RunState::Waiting => match &run.blocked {
            Some(blocked) => limited(blocked),
            None => pending(run, steps),
        },
    }
}

fn limited(blocked: &Blocked) -> String {
    let Blocked { gate, taken, places } = blocked;
    let (name, value) = Gate::parts(gate);
    let whose = if control::is_shared(name) { "functions that share" } else { "this function for" };
    let whose = if value.is_empty() { "this function".to_owned() } else { format!("{whose} the key {value}") };
    format!("waits for a place: {taken} of {places} runs of {whose} are under way (concurrency)")
}

fn pending(run: &FlowRun, steps: &[(StepKey, String)]) -> String {
    let at = shown(run.due_at);
    match run.pause {
        Some(Pause::Throttle) => return format!("begins at {at}, since others began before it (throttle)"),
        Some(Pause::Debounce) => return format!("begins at {at}, unless another event comes before (debounce)"),
        Some(Pause::Batch) => {
            let (events, events_max) = run.events;
            return format!("waits for more events until {at}: {events} of {events_max} are there (batch)");
        }
        None => {}
    }
    if run.state == RunState::Queued {
        return format!("waits for a worker; due since {at}");
    }
    if let Some(message) = &run.message {
        return format!("is executed again at {at} (retry {}): {message}", run.failures);
    }
    let waits: Vec<String> = steps.iter().filter_map(|(key, memo)| wait(key, memo, run.due_at)).collect();
    if waits.is_empty() { format!("waits until {at}") } else { waits.join("; ") }
}

/// A step that is waited for; nothing for one that is over.
fn wait(key: &StepKey, memo: &str, due_at: Option<Timestamp>) -> Option<String> {
    let lasts = |until: Timestamp| due_at.is_none_or(|due_at| until >= due_at);
    match serde_json::from_str(memo).ok()? {
        Memo::Sleep { until } if lasts(until) => Some(format!("sleeps until {} ({key})", time(until))),
        Memo::Event { name, matching, until } if lasts(until) => {
            let which = if matching.is_empty() { String::new() } else { format!(" with {matching}") };
            Some(format!("waits for {name}{which} until {} ({key})", time(until)))
        }
        Memo::Retry { attempts, at, error } if lasts(at) => {
            Some(format!("step {key} is tried again at {} (retry {attempts}): {}", time(at), error.message))
        }
        Memo::Begun => Some(format!("step {key} has begun, and nothing is known of its end")),
        Memo::Sleep { .. }
        | Memo::Event { .. }
        | Memo::Retry { .. }
        | Memo::Done(_)
        | Memo::Failed(_)
        | Memo::Came(_) => None,
    }
}

fn shown(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "no time".to_owned(), time)
}

/// To the second.
fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(state: RunState) -> FlowRun {
        let at = Timestamp::from_second(1_800_000_000).unwrap();
        FlowRun {
            id: "r1".to_owned(),
            function: "f".to_owned(),
            event_key: "user/e1".to_owned(),
            state,
            due_at: Some(at),
            failures: 0,
            created_at: at,
            started_at: None,
            ended_at: None,
            result: None,
            message: None,
            blocked: None,
            pause: None,
            events: (1, 1),
        }
    }

    #[test]
    fn every_state_has_a_sentence() {
        for state in RunState::ALL {
            assert!(!why(&run(state), &[]).is_empty());
        }
    }

    #[test]
    fn limits_are_named() {
        let gate = |name: &str, value: &str| Gate { name: name.to_owned(), value: value.to_owned(), places: 2 }.key();
        let at =
            |gate: String| FlowRun { blocked: Some(Blocked { gate, taken: 2, places: 2 }), ..run(RunState::Queued) };
        let told = why(&at(gate("fn/f/1", "cus_1")), &[]);
        assert_eq!(
            told,
            "waits for a place: 2 of 2 runs of this function for the key cus_1 are under way (concurrency)"
        );
        assert!(why(&at(gate("fn/f/1", "")), &[]).contains("of this function are"));
        assert!(why(&at(gate("account/event.data.x", "x")), &[]).contains("functions that share the key x"));
        let paused = |pause| why(&FlowRun { pause: Some(pause), events: (2, 10), ..run(RunState::Queued) }, &[]);
        assert_eq!(paused(Pause::Batch), "waits for more events until 2027-01-15T08:00:00Z: 2 of 10 are there (batch)");
        assert!(paused(Pause::Throttle).contains("throttle") && paused(Pause::Debounce).contains("debounce"));
    }

    #[test]
    fn waits_are_named_and_those_that_are_over_are_not() {
        let until = |second| Timestamp::from_second(second).unwrap();
        let memo = |memo: &Memo| serde_json::to_string(memo).unwrap();
        let paid =
            Memo::Event { name: "app/paid".into(), matching: "async.data.x == 1".into(), until: until(1_800_000_050) };
        let steps = [
            (StepKey::new("a", 1), memo(&Memo::Sleep { until: until(1_700_000_000) })),
            (StepKey::new("b", 1), memo(&Memo::Sleep { until: until(1_800_000_000) })),
            (StepKey::new("c", 2), memo(&paid)),
        ];
        let told = why(&run(RunState::Waiting), &steps);
        assert_eq!(
            told,
            "sleeps until 2027-01-15T08:00:00Z (b); waits for app/paid with async.data.x == 1 until 2027-01-15T08:00:50Z (c#2)"
        );
        let failed = FlowRun { failures: 2, message: Some("no mail".into()), ..run(RunState::Waiting) };
        assert_eq!(why(&failed, &steps), "is executed again at 2027-01-15T08:00:00Z (retry 2): no mail");
    }
}
