//! Runs of durable functions: started once, held by one at a time, and never changed by who lost them.

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use billhook_store::{ClaimedRun, FlowEvent, NewFlowRun, RunCommit, RunNext, StepRecord};

use crate::harness::{Database, at};

fn event(id: &str) -> FlowEvent {
    let data = format!("{{\"id\": \"in_1\", \"note\": \"{id} \\u0000 ä\"}}");
    FlowEvent { id: id.to_owned(), name: "stripe/invoice.paid".to_owned(), data, ts: at(50) }
}

pub fn run(id: &str, function: &str, event_id: &str, due_at: i64) -> NewFlowRun {
    NewFlowRun {
        id: id.to_owned(),
        function: function.to_owned(),
        dedupe_key: event_id.to_owned(),
        event: event(event_id),
        due_at: at(due_at),
    }
}

fn record(id: &str, occurrence: u32, memo: &str, is_final: bool) -> StepRecord {
    StepRecord { key: StepKey::new(id, occurrence), memo: memo.to_owned(), is_final }
}

fn next(state: RunState, due_at: Option<i64>) -> RunNext {
    RunNext { state, due_at: due_at.map(at), failures: 0, result: None, message: None }
}

fn commit(run: &ClaimedRun, records: Vec<StepRecord>, next: Option<RunNext>) -> RunCommit {
    RunCommit { run: run.id.clone(), token: run.token, records, next }
}

pub async fn claim(database: &Database, holder: &str, now: i64) -> Vec<ClaimedRun> {
    let functions = ["f".to_owned(), "g".to_owned()];
    database.store.claim_flow_runs(holder, &functions, at(now), at(now + 10), 10).await.expect("claimed")
}

fn ids(runs: &[ClaimedRun]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

async fn write(database: &Database, commits: Vec<RunCommit>, now: i64) -> Vec<bool> {
    database.store.commit_flow_runs(commits, at(now)).await.expect("written")
}

async fn state(database: &Database, id: &str) -> RunState {
    database.store.flow_run(id).await.expect("read").expect("a run").state
}

pub async fn memos(database: &Database, run: &str) -> Vec<(String, String)> {
    let steps = database.store.flow_steps(run).await.expect("read");
    steps.into_iter().map(|(key, memo)| (key.to_string(), memo)).collect()
}

on_both! {
    async fn an_event_starts_a_function_once(database) {
        let database = database.migrated().await;
        let runs = vec![run("r1", "f", "evt_1", 100), run("r2", "g", "evt_1", 100), run("r3", "f", "evt_1", 100)];
        assert_eq!(database.start_flow_runs(runs, at(90)).await, [true, true, false]);
        assert_eq!(database.start_flow_runs(vec![run("r4", "f", "evt_1", 1)], at(91)).await, [false]);
        let claimed = claim(&database, "a", 100).await;
        assert_eq!(ids(&claimed), ["r1", "r2"]);
        assert_eq!(claimed[0].event, event("evt_1"));
        assert_eq!((claimed[0].token, claimed[0].failures, claimed[0].memos.len()), (1, 0, 0));
    }

    async fn runs_are_claimed_in_their_time_by_those_who_know_them(database) {
        let database = database.migrated().await;
        let runs = vec![run("r1", "f", "evt_1", 200), run("r2", "f", "evt_2", 100), run("r3", "unknown", "evt_3", 1)];
        database.start_flow_runs(runs, at(90)).await;
        assert_eq!(claim(&database, "a", 99).await, []);
        assert_eq!(ids(&claim(&database, "a", 100).await), ["r2"]);
        assert_eq!(ids(&claim(&database, "a", 200).await), ["r2", "r1"], "the lease of r2 ended at 110");
        assert_eq!(database.store.next_flow_due().await.expect("read"), Some(at(1)), "somebody else knows it");
        let functions = ["f".to_owned()];
        let store = &database.store;
        assert_eq!(store.claim_flow_runs("b", &functions, at(300), at(310), 1).await.expect("claimed").len(), 1);
    }

    async fn what_is_recorded_comes_back_and_what_is_final_stays(database) {
        let database = database.migrated().await;
        database.start_flow_runs(vec![run("r1", "f", "evt_1", 100)], at(90)).await;
        let held = claim(&database, "a", 100).await.remove(0);
        let records = vec![record("pay", 1, "{\"retry\":1}", false), record("pay", 2, "7", true), record("mail", 1, "{}", true)];
        assert_eq!(write(&database, vec![commit(&held, records, None)], 101).await, [true]);
        let changed = vec![record("pay", 1, "{\"done\":1}", true), record("pay", 2, "8", true)];
        let waiting = next(RunState::Waiting, Some(500));
        assert_eq!(write(&database, vec![commit(&held, changed, Some(waiting))], 102).await, [true]);
        assert_eq!(claim(&database, "a", 499).await, []);
        let again = claim(&database, "b", 500).await.remove(0);
        assert_eq!(again.token, 2);
        let expected = [("mail", 1, "{}"), ("pay", 2, "7"), ("pay", 1, "{\"done\":1}")];
        let expected: Vec<_> = expected.map(|(id, nth, memo)| (StepKey::new(id, nth), memo.to_owned())).into();
        assert_eq!(again.memos, expected);
    }

    async fn who_lost_a_run_writes_nothing(database) {
        let database = database.migrated().await;
        database.start_flow_runs(vec![run("r1", "f", "evt_1", 100)], at(90)).await;
        let zombie = claim(&database, "a", 100).await.remove(0);
        let heir = claim(&database, "b", 110).await.remove(0);
        let late = commit(&zombie, vec![record("pay", 1, "1", true)], Some(next(RunState::Succeeded, None)));
        assert_eq!(write(&database, vec![late.clone()], 111).await, [false]);
        assert_eq!((state(&database, "r1").await, memos(&database, "r1").await.len()), (RunState::Running, 0));
        let held = [("r1".to_owned(), zombie.token)];
        assert_eq!(database.store.renew_flow_runs(&held, at(999)).await.expect("renewed"), [""; 0]);
        // In one transaction with one who holds it.
        let result = Some("{\"paid\":true}".to_owned());
        let end = RunNext { result, failures: 2, ..next(RunState::Succeeded, None) };
        assert_eq!(write(&database, vec![late, commit(&heir, Vec::new(), Some(end))], 112).await, [false, true]);
        let run = database.store.flow_run("r1").await.expect("read").expect("a run");
        assert_eq!((run.state, run.failures, run.due_at, run.ended_at), (RunState::Succeeded, 2, None, Some(at(112))));
        assert_eq!((run.result.as_deref(), run.started_at, run.created_at), (Some("{\"paid\":true}"), Some(at(100)), at(90)));
    }

    async fn an_end_is_an_end(database) {
        let database = database.migrated().await;
        database.start_flow_runs(vec![run("r1", "f", "evt_1", 100)], at(90)).await;
        let held = claim(&database, "a", 100).await.remove(0);
        let message = Some("the event has another form".to_owned());
        let parked = RunNext { message, ..next(RunState::Parked, None) };
        assert_eq!(write(&database, vec![commit(&held, Vec::new(), Some(parked))], 101).await, [true]);
        let run = database.store.flow_run("r1").await.expect("read").expect("a run");
        assert_eq!((run.state, run.ended_at, run.message.is_some()), (RunState::Parked, None, true));
        let again = commit(&held, vec![record("pay", 1, "1", true)], Some(next(RunState::Failed, None)));
        assert_eq!(write(&database, vec![again], 102).await, [false]);
        assert_eq!(claim(&database, "a", 9_999).await, []);
        assert_eq!(database.store.next_flow_due().await.expect("read"), None);
        assert_eq!(database.store.flow_run("none").await.expect("read"), None);
    }

    async fn leases_are_lengthened_while_they_are_held(database) {
        let database = database.migrated().await;
        database.start_flow_runs(vec![run("r1", "f", "evt_1", 100), run("r2", "f", "evt_2", 100)], at(90)).await;
        let held: Vec<(String, i64)> = claim(&database, "a", 100).await.into_iter().map(|run| (run.id, run.token)).collect();
        assert_eq!(database.store.renew_flow_runs(&held[..1], at(200)).await.expect("renewed"), ["r1"]);
        assert_eq!(ids(&claim(&database, "b", 150).await), ["r2"], "the lease of r2 ended at 110");
        assert_eq!(ids(&claim(&database, "b", 200).await), ["r2", "r1"]);
    }
}
