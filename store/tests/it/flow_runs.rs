//! Looking at runs and steering them: every order respects the state of its run, and who held it writes nothing more.

use billhook_core::run::{RunInput, RunState};
use billhook_core::step::StepKey;
use billhook_store::{
    Cancellation, ClaimedRun, Control, FlowEvent, FlowEventFilter, FlowRunDetail, FlowRunFilter, Publication,
    Redelivery, RunCommit, RunNext, StepRecord, Verdict,
};

use crate::flow::{self, start, write};
use crate::harness::{Database, at};

const DONE: &str = r#"{"done":{"paid":true}}"#;
const FAILED: &str = r#"{"failed":{"message":"no such customer"}}"#;
const RETRY: &str = r#"{"retry":{"attempts":1,"at":"2026-01-01T00:00:00Z","error":{"message":"busy"}}}"#;
const BEGUN: &str = r#""begun""#;

fn event(id: &str, name: &str) -> FlowEvent {
    let (key, data) = (format!("stripe/{id}"), r#"{"id":"in_1"}"#.to_owned());
    FlowEvent { key, id: id.to_owned(), name: name.to_owned(), data, ts: at(50) }
}

fn record(id: &str, memo: &str, is_final: bool) -> StepRecord {
    StepRecord { key: StepKey::new(id, 1), memo: memo.to_owned(), is_final }
}

async fn claim(database: &Database, now: i64) -> Vec<ClaimedRun> {
    flow::claim(database, "a", now).await
}

fn run(id: &str, function: &str, event_id: &str) -> Publication {
    Publication { event: event(event_id, "stripe/invoice.paid"), ..flow::run(id, function, event_id, 100) }
}

/// Records what an execution of the run did, and where the run goes.
async fn end(database: &Database, held: &ClaimedRun, records: Vec<StepRecord>, state: RunState) -> bool {
    let due_at = (!state.is_over() && state != RunState::Parked).then(|| at(500));
    let message = matches!(state, RunState::Failed | RunState::Parked).then(|| "no such customer".to_owned());
    let result = (state == RunState::Succeeded).then(|| "7".to_owned());
    let next = RunNext { state, due_at, failures: 3, result, message };
    let commit = RunCommit { records, next: Some(next), ..RunCommit::new(held.id.clone(), held.token) };
    write(database, vec![commit], 105).await == [true]
}

/// Brings a new run into a state, and gives what its holder knows of it, if it was ever held.
async fn in_state(database: &Database, id: &str, state: RunState) -> Option<ClaimedRun> {
    start(database, vec![run(id, "f", &format!("evt_{id}"))], 90).await;
    if state == RunState::Queued {
        return None;
    }
    let held = claim(database, 100).await.into_iter().find(|run| run.id == id).expect("claimed");
    if state != RunState::Running {
        assert!(end(database, &held, vec![record("pay", DONE, true)], state).await);
    }
    Some(held)
}

async fn detail(database: &Database, id: &str) -> FlowRunDetail {
    database.store.flow_run_detail(id).await.expect("read").expect("a run")
}

async fn list(database: &Database, filter: FlowRunFilter) -> Vec<String> {
    let runs = database.store.list_flow_runs(FlowRunFilter { limit: 10, ..filter }).await.expect("listed");
    runs.into_iter().map(|run| run.id).collect()
}

async fn memos(database: &Database, run: &str) -> Vec<(String, String)> {
    let steps = database.store.flow_run_steps(run).await.expect("read");
    steps.into_iter().map(|step| (step.key.to_string(), step.memo)).collect()
}

fn cancellation(id: &str) -> Cancellation {
    Cancellation {
        id: id.to_owned(),
        function: "f".to_owned(),
        event_id: None,
        created_after: None,
        created_before: at(1_000),
        reason: "a wrong deploy".to_owned(),
        requested_at: at(200),
    }
}

on_both! {
    async fn runs_are_listed_newest_first_and_by_what_they_are(database) {
        let database = database.migrated().await;
        start(&database, vec![run("r1", "f", "evt_1"), run("r2", "g", "evt_1")], 90).await;
        start(&database, vec![run("r3", "f", "evt_3"), run("r4", "f", "evt_4")], 95).await;
        let held = claim(&database, 100).await.into_iter().find(|run| run.id == "r3").expect("claimed");
        assert!(end(&database, &held, Vec::new(), RunState::Failed).await);
        let all = FlowRunFilter::default;
        assert_eq!(list(&database, all()).await, ["r4", "r3", "r2", "r1"]);
        let function = Some("f".to_owned());
        assert_eq!(list(&database, FlowRunFilter { function, ..all() }).await, ["r4", "r3", "r1"]);
        assert_eq!(list(&database, FlowRunFilter { state: Some(RunState::Failed), ..all() }).await, ["r3"]);
        let event_id = Some("evt_1".to_owned());
        assert_eq!(list(&database, FlowRunFilter { event_id, ..all() }).await, ["r2", "r1"]);
        assert_eq!(list(&database, FlowRunFilter { before: Some("r3".to_owned()), ..all() }).await, ["r2", "r1"]);
        assert_eq!(list(&database, FlowRunFilter { created_after: Some(at(95)), ..all() }).await, ["r4", "r3"]);
        assert_eq!(list(&database, FlowRunFilter { created_before: Some(at(95)), ..all() }).await, ["r2", "r1"]);
        let two = database.store.list_flow_runs(FlowRunFilter { limit: 2, ..all() }).await.expect("listed");
        assert_eq!(two.len(), 2);
        let failed = &two[1];
        assert_eq!((failed.event_name.as_deref(), failed.holder.as_deref()), (Some("stripe/invoice.paid"), None));
        assert_eq!((failed.message.as_deref(), failed.ended_at), (Some("no such customer"), Some(at(105))));
        assert_eq!(two[0].holder.as_deref(), Some("a"), "r4 is held");
    }

    async fn events_are_listed_newest_first_with_their_runs(database) {
        let database = database.migrated().await;
        let mut other = run("r3", "f", "evt_a");
        other.event.name = "stripe/charge.failed".to_owned();
        start(&database, vec![run("r1", "f", "evt_z"), run("r2", "g", "evt_z")], 90).await;
        start(&database, vec![other, run("r4", "f", "evt_b")], 91).await;
        let store = &database.store;
        let ids = async |filter: FlowEventFilter| {
            let events = store.list_flow_events(FlowEventFilter { limit: 10, ..filter }).await.expect("listed");
            events.into_iter().map(|kept| kept.event.id).collect::<Vec<String>>()
        };
        let all = FlowEventFilter::default;
        assert_eq!(ids(all()).await, ["evt_b", "evt_a", "evt_z"]);
        assert_eq!(ids(FlowEventFilter { before: Some("evt_a".to_owned()), ..all() }).await, ["evt_z"]);
        assert_eq!(ids(FlowEventFilter { before: Some("evt_none".to_owned()), ..all() }).await, [""; 0]);
        let name = Some("stripe/charge.failed".to_owned());
        assert_eq!(ids(FlowEventFilter { name, ..all() }).await, ["evt_a"]);
        let kept = store.flow_event("evt_z").await.expect("read").expect("an event");
        assert_eq!((kept.event, kept.received_at), (event("evt_z", "stripe/invoice.paid"), at(90)));
        assert_eq!(store.flow_event("evt_none").await.expect("read"), None);
        let runs = store.flow_event_runs("evt_z").await.expect("read");
        assert_eq!(runs.iter().map(|run| run.summary.id.as_str()).collect::<Vec<_>>(), ["r2", "r1"]);
    }

    async fn whatever_has_not_ended_is_called_off_and_its_holder_is_refused(database) {
        let database = database.migrated().await;
        for (id, state) in [("r1", RunState::Queued), ("r2", RunState::Running), ("r3", RunState::Waiting), ("r4", RunState::Parked)] {
            let held = in_state(&database, id, state).await;
            assert_eq!(database.store.cancel_flow_run(id, "no longer wanted", at(110)).await.expect("asked"), Verdict::Done);
            let run = detail(&database, id).await.summary;
            assert_eq!((run.state, run.due_at, run.holder), (RunState::Cancelled, None, None), "{state:?}");
            assert_eq!((run.message.as_deref(), run.ended_at), (Some("no longer wanted"), Some(at(110))));
            if let Some(held) = held {
                assert!(!end(&database, &held, vec![record("late", DONE, true)], RunState::Succeeded).await);
                let lease = [(held.id.clone(), held.token)];
                assert_eq!(database.store.renew_flow_runs(&lease, at(999)).await.expect("renewed"), [""; 0]);
            }
            assert!(!memos(&database, id).await.iter().any(|(key, _)| key == "late"));
        }
        assert_eq!(claim(&database, 9_999).await, []);
    }

    async fn an_order_is_done_exactly_where_the_state_takes_it(database) {
        let database = database.migrated().await;
        let store = &database.store;
        for (number, state) in RunState::ALL.into_iter().enumerate() {
            let takes = |input: RunInput| state.after(input).is_ok();
            let cases = [
                ("cancel", takes(RunInput::Cancel)),
                ("retry", takes(RunInput::Retry) || takes(RunInput::Resume)),
                ("resolve", takes(RunInput::Resolve)),
                ("rerun", state.is_over() || state == RunState::Parked),
            ];
            for (order, is_taken) in cases {
                let id = format!("r{number}-{order}");
                in_state(&database, &id, state).await;
                let before = detail(&database, &id).await;
                let verdict = match order {
                    "cancel" => store.cancel_flow_run(&id, "x", at(110)).await,
                    "retry" => store.retry_flow_run(&id, at(110)).await,
                    "resolve" => store.resolve_flow_run(&id, "null", "x", at(110)).await,
                    _ => store.rerun_flow_run(&id, &format!("new-{id}"), at(110)).await,
                };
                let expected = if is_taken { Verdict::Done } else { Verdict::Illegal(state) };
                assert_eq!(verdict.expect("asked"), expected, "{order} {state:?}");
                if !is_taken || order == "rerun" {
                    assert_eq!(detail(&database, &id).await, before, "{order} {state:?}");
                }
            }
        }
        for verdict in [
            store.cancel_flow_run("none", "x", at(1)).await,
            store.retry_flow_run("none", at(1)).await,
            store.resolve_flow_run("none", "1", "x", at(1)).await,
            store.rerun_flow_run("none", "new", at(1)).await,
        ] {
            assert_eq!(verdict.expect("asked"), Verdict::NotFound);
        }
    }

    async fn a_failed_run_goes_on_from_what_failed(database) {
        let database = database.migrated().await;
        start(&database, vec![run("r1", "f", "evt_1")], 90).await;
        let held = claim(&database, 100).await.remove(0);
        let records = vec![
            record("pay", DONE, true),
            record("mail", FAILED, true),
            record("log", RETRY, false),
            record("once", BEGUN, false),
            record("text", r#"{"done":"{\"failed\":1}"}"#, true),
        ];
        assert!(end(&database, &held, records, RunState::Failed).await);
        assert_eq!(database.store.retry_flow_run("r1", at(200)).await.expect("asked"), Verdict::Done);
        let run = detail(&database, "r1").await.summary;
        assert_eq!((run.state, run.due_at, run.failures), (RunState::Queued, Some(at(200)), 0));
        assert_eq!((run.message, run.ended_at), (None, None));
        // A step whose end nobody knows is no failure; when the function comes to it, a person is asked.
        let kept: Vec<String> = memos(&database, "r1").await.into_iter().map(|(key, _)| key).collect();
        assert_eq!(kept, ["once", "pay", "text"]);
        assert!(!end(&database, &held, Vec::new(), RunState::Succeeded).await, "the holder of before has lost it");
        let again = claim(&database, 200).await.remove(0);
        assert!(again.token > held.token + 1 && again.failures == 0);
    }

    async fn who_lets_a_parked_run_go_on_has_decided_about_steps_whose_end_is_unknown(database) {
        let database = database.migrated().await;
        start(&database, vec![run("r1", "f", "evt_1")], 90).await;
        let held = claim(&database, 100).await.remove(0);
        let records = vec![record("pay", DONE, true), record("once", BEGUN, false)];
        assert!(end(&database, &held, records, RunState::Parked).await);
        assert_eq!(database.store.retry_flow_run("r1", at(200)).await.expect("asked"), Verdict::Done);
        assert_eq!(memos(&database, "r1").await, [("pay".to_owned(), DONE.to_owned())]);
    }

    async fn a_given_result_ends_a_run_and_keeps_why_it_was_needed(database) {
        let database = database.migrated().await;
        for (id, state) in [("r1", RunState::Failed), ("r2", RunState::Parked)] {
            in_state(&database, id, state).await;
            let verdict = database.store.resolve_flow_run(id, "{\"paid\":1}", "Ada paid by hand\0", at(200)).await;
            assert_eq!(verdict.expect("asked"), Verdict::Done);
            let FlowRunDetail { summary, result } = detail(&database, id).await;
            assert_eq!((summary.state, summary.ended_at), (RunState::Succeeded, Some(at(200))));
            assert_eq!(result.as_deref(), Some("{\"paid\":1}"));
            let message = summary.message.expect("a message");
            assert!(message.starts_with("Ada paid by hand") && message.ends_with("(before: no such customer)"), "{message}");
        }
    }

    async fn a_run_is_repeated_under_another_id_and_names_the_first(database) {
        let database = database.migrated().await;
        in_state(&database, "r1", RunState::Succeeded).await;
        for new in ["r2", "r3"] {
            assert_eq!(database.store.rerun_flow_run("r1", new, at(200)).await.expect("asked"), Verdict::Done);
            let run = detail(&database, new).await.summary;
            assert_eq!((run.function.as_str(), run.event_id.as_str()), ("f", "evt_r1"));
            assert_eq!((run.state, run.created_at, run.rerun_of.as_deref()), (RunState::Queued, at(200), Some("r1")));
        }
        let claimed = claim(&database, 200).await;
        assert_eq!(claimed.iter().map(|run| (run.id.as_str(), run.memos.len())).collect::<Vec<_>>(), [("r2", 0), ("r3", 0)]);
        assert_eq!(start(&database, vec![run("r4", "f", "evt_r1")], 300).await, [false], "the event counts once still");
    }

    async fn many_runs_are_called_off_in_parts_and_noted(database) {
        let database = database.migrated().await;
        start(&database, vec![run("r1", "f", "evt_1"), run("r2", "g", "evt_1")], 90).await;
        start(&database, vec![run("r3", "f", "evt_3"), run("r4", "f", "evt_4"), run("r5", "f", "evt_5")], 95).await;
        let held = claim(&database, 100).await;
        let held = |id: &str| held.iter().find(|run| run.id == id).expect("claimed");
        assert!(end(&database, held("r5"), Vec::new(), RunState::Succeeded).await);
        let store = &database.store;
        let narrow = Cancellation { created_after: Some(at(95)), event_id: Some("evt_3".to_owned()), ..cancellation("c1") };
        assert_eq!(store.cancellable_flow_runs(&narrow).await.expect("counted"), 1);
        assert_eq!(store.cancellable_flow_runs(&cancellation("c1")).await.expect("counted"), 3);
        let early = Cancellation { created_before: at(95), ..cancellation("c1") };
        assert_eq!(store.cancellable_flow_runs(&early).await.expect("counted"), 1);
        assert_eq!(store.cancel_flow_runs(&cancellation("c1"), 2, at(200)).await.expect("cancelled"), 2);
        assert_eq!(store.cancel_flow_runs(&cancellation("c1"), 2, at(201)).await.expect("cancelled"), 1);
        assert_eq!(store.cancel_flow_runs(&narrow, 2, at(202)).await.expect("cancelled"), 0);
        assert!(!end(&database, held("r4"), Vec::new(), RunState::Succeeded).await);
        let state = Some(RunState::Cancelled);
        assert_eq!(list(&database, FlowRunFilter { state, ..FlowRunFilter::default() }).await, ["r4", "r3", "r1"]);
        assert_eq!(detail(&database, "r5").await.summary.state, RunState::Succeeded);
        assert_eq!(detail(&database, "r2").await.summary.state, RunState::Running);
        assert_eq!(store.cancel_flow_runs(&cancellation("c2"), 2, at(203)).await.expect("cancelled"), 0);
        let noted = store.flow_cancellations(None, 10).await.expect("listed");
        let noted: Vec<_> = noted.into_iter().map(|noted| (noted.cancellation, noted.runs)).collect();
        assert_eq!(noted, [(cancellation("c2"), 0), (cancellation("c1"), 3)]);
        let older = store.flow_cancellations(Some("c2"), 10).await.expect("listed");
        assert_eq!(older[0].cancellation.id, "c1");
    }

    async fn an_event_is_given_to_functions_once_more_under_a_key(database) {
        let database = database.migrated().await;
        in_state(&database, "r1", RunState::Succeeded).await;
        let again = |run: &str, function: &str, key: &str| Redelivery { run: run.into(), function: function.into(), dedupe_key: key.into(), control: Control::default() };
        let runs = [again("r2", "f", "again/1"), again("r3", "g", "evt_r1"), again("r4", "f", "again/1")];
        let store = &database.store;
        assert_eq!(store.redeliver_flow_event("evt_r1", &runs, at(200)).await.expect("asked"), Some(vec![true, true, false]));
        assert_eq!(store.redeliver_flow_event("evt_r1", &runs[..1], at(201)).await.expect("asked"), Some(vec![false]));
        assert_eq!(store.redeliver_flow_event("evt_none", &runs, at(202)).await.expect("asked"), None);
        let claimed = claim(&database, 200).await;
        assert_eq!(claimed.iter().map(|run| run.event.id.as_str()).collect::<Vec<_>>(), ["evt_r1", "evt_r1"]);
    }

    async fn runs_are_counted_by_function_and_state(database) {
        let database = database.migrated().await;
        in_state(&database, "r1", RunState::Failed).await;
        in_state(&database, "r2", RunState::Failed).await;
        start(&database, vec![run("r3", "g", "evt_3"), run("r4", "f", "evt_4")], 90).await;
        let counts = database.store.flow_run_counts().await.expect("counted");
        let counts: Vec<_> = counts.iter().map(|count| (count.function.as_str(), count.state, count.runs)).collect();
        assert_eq!(counts, [("f", RunState::Failed, 2), ("f", RunState::Queued, 1), ("g", RunState::Queued, 1)]);
    }

    async fn a_pause_lasts_until_it_is_ended(database) {
        let database = database.migrated().await;
        let store = &database.store;
        store.pause_function("g", "the mail server is away", at(100)).await.expect("paused");
        store.pause_function("f", "x", at(101)).await.expect("paused");
        store.pause_function("g", "still away", at(102)).await.expect("paused");
        let paused = store.paused_functions().await.expect("read");
        let paused: Vec<_> = paused.iter().map(|one| (one.id.as_str(), one.paused_at, one.reason.as_str())).collect();
        assert_eq!(paused, [("f", at(101), "x"), ("g", at(100), "still away")]);
        assert!(store.resume_function("g").await.expect("resumed"));
        assert!(!store.resume_function("g").await.expect("resumed"));
        assert_eq!(store.paused_functions().await.expect("read").len(), 1);
    }

    async fn of_a_cancellation_and_an_end_the_first_one_counts(database) {
        let database = database.migrated().await;
        for number in 0..20 {
            let id = format!("r{number}");
            let held = in_state(&database, &id, RunState::Running).await.expect("held");
            let records = vec![record("last", DONE, true)];
            let cancel = database.store.cancel_flow_run(&id, "enough", at(105));
            let (verdict, ended) = tokio::join!(cancel, end(&database, &held, records, RunState::Succeeded));
            let is_cancelled = verdict.expect("asked") == Verdict::Done;
            let state = if is_cancelled { RunState::Cancelled } else { RunState::Succeeded };
            assert_eq!((ended, detail(&database, &id).await.summary.state), (!is_cancelled, state));
            assert_eq!(memos(&database, &id).await.len(), usize::from(ended), "all of an execution or nothing");
        }
    }
}
