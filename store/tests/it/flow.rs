//! Runs of durable functions: started once, held by one at a time, and never changed by who lost them.

use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use billhook_store::{
    ClaimedRun, Control, EventName, FlowClaim, FlowEvent, FlowWait, Keep, Lookback, NewFlowRun, Publication, Published,
    RunCommit, RunNext, StepRecord, StoreError, StoredWait, Suspects, Transaction, WaitKind, WaitMatcher, Work,
};
use jiff::Timestamp;

use crate::harness::{Database, at, delivery};

fn event(id: &str) -> FlowEvent {
    let data = format!("{{\"id\": \"in_1\", \"note\": \"{id} \\u0000 ä\"}}");
    FlowEvent {
        key: format!("stripe/{id}"),
        id: id.to_owned(),
        name: "stripe/invoice.paid".to_owned(),
        data,
        ts: at(50),
    }
}

pub fn run(id: &str, function: &str, event_id: &str, due_at: i64) -> Publication {
    let (id, function, dedupe_key) = (id.to_owned(), function.to_owned(), event_id.to_owned());
    let run = NewFlowRun {
        id,
        function,
        dedupe_key,
        due_at: at(due_at),
        start_by: None,
        end_by: None,
        cancels: Vec::new(),
        control: Control::default(),
    };
    Publication {
        event: event(event_id),
        names: vec!["stripe/invoice.paid".to_owned()],
        keep: Keep::IfUsed,
        runs: vec![run],
    }
}

/// An event `name` with text at the path `value`.
fn told(id: &str, name: &str, value: &str, ts: i64) -> Publication {
    let (key, data) = (format!("user/{id}"), format!("\"{value}\""));
    let event = FlowEvent { key, id: id.to_owned(), name: name.to_owned(), data, ts: at(ts) };
    Publication { event, names: vec![name.to_owned()], keep: Keep::Always, runs: Vec::new() }
}

/// Takes the data of an event for what it carries at every path, and `no` for a condition that is false.
struct Plain;

impl WaitMatcher for Plain {
    fn value(&self, event: &FlowEvent, _path: &str) -> Option<String> {
        serde_json::from_str(&event.data).ok()
    }

    fn matches(&self, stored: &StoredWait, _event: &FlowEvent) -> bool {
        assert_eq!(stored.trigger.name, "stripe/invoice.paid", "the event that started the run is there");
        stored.wait.expression != "no"
    }

    fn memo(&self, event: Option<&FlowEvent>) -> String {
        event.map_or_else(|| "nothing came".to_owned(), |event| format!("{} came", event.id))
    }
}

struct Publish(Vec<Publication>, Timestamp);

impl Work for Publish {
    type Output = Vec<Published>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<Published>, StoreError> {
        let names: Vec<EventName> = self.0.iter().flat_map(Publication::event_names).collect();
        let paths = transaction.attend(&names).await?;
        transaction.publish(&self.0, &paths, &Plain, self.1).await
    }
}

pub async fn publish(database: &Database, publications: Vec<Publication>, now: i64) -> Vec<Published> {
    database.store.transact(Publish(publications, at(now))).await.expect("published")
}

/// Starts runs; returns for each whether it is new.
pub async fn start(database: &Database, runs: Vec<Publication>, now: i64) -> Vec<bool> {
    publish(database, runs, now).await.into_iter().flat_map(|one| one.started).collect()
}

fn wait(run: &ClaimedRun, id: &str, name: &str, value: &str, until: i64) -> FlowWait {
    let path = if value.is_empty() { String::new() } else { "data".to_owned() };
    let (run, name, value) = (run.id.clone(), name.to_owned(), value.to_owned());
    let (kind, key, expression) = (WaitKind::Event, StepKey::new(id, 1), String::new());
    FlowWait { run, kind, key, name, path, value, expression, until: Some(at(until)) }
}

/// A run that waits as given, and rests.
async fn resting(database: &Database, id: &str, waits: impl Fn(&ClaimedRun) -> Vec<FlowWait>, now: i64) -> ClaimedRun {
    start(database, vec![run(id, "f", &format!("evt_{id}"), now)], now).await;
    let held = claim(database, "a", now).await.remove(0);
    let waits = waits(&held);
    let due_at = waits.iter().filter_map(|wait| wait.until).min().expect("an end");
    let records = waits.iter().map(|wait| record(&wait.key.id, 1, "waits", false)).collect();
    let rest = RunNext { due_at: Some(due_at), ..next(RunState::Waiting, None) };
    let commit = RunCommit { waits, ..commit(&held, records, Some(rest)) };
    assert_eq!(write(database, vec![commit], now).await, [true]);
    held
}

fn record(id: &str, occurrence: u32, memo: &str, is_final: bool) -> StepRecord {
    StepRecord { key: StepKey::new(id, occurrence), memo: memo.to_owned(), is_final }
}

fn next(state: RunState, due_at: Option<i64>) -> RunNext {
    RunNext { state, due_at: due_at.map(at), failures: 0, result: None, message: None }
}

fn commit(run: &ClaimedRun, records: Vec<StepRecord>, next: Option<RunNext>) -> RunCommit {
    RunCommit { records, next, ..RunCommit::new(run.id.clone(), run.token) }
}

pub async fn claim(database: &Database, holder: &str, now: i64) -> Vec<ClaimedRun> {
    claim_of(database, holder, &["f", "g"], now, 10).await
}

async fn claim_of(database: &Database, holder: &str, functions: &[&str], now: i64, limit: usize) -> Vec<ClaimedRun> {
    let claim = asked(holder, functions, now, limit);
    database.store.claim_flow_runs(claim).await.expect("claimed")
}

pub fn asked(holder: &str, functions: &[&str], now: i64, limit: usize) -> FlowClaim {
    FlowClaim {
        holder: holder.to_owned(),
        functions: functions.iter().map(|function| (*function).to_owned()).collect(),
        newest: Vec::new(),
        pinned: Vec::new(),
        now: at(now),
        lease_until: at(now + 10),
        limit,
        over: "nothing came".to_owned(),
        suspects: Suspects::NONE,
        places: Vec::new(),
    }
}

pub fn ids(runs: &[ClaimedRun]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

pub async fn write(database: &Database, commits: Vec<RunCommit>, now: i64) -> Vec<bool> {
    database.store.commit_flow_runs(commits, Arc::new(Plain), at(now)).await.expect("written")
}

pub async fn state(database: &Database, id: &str) -> RunState {
    database.store.flow_run(id).await.expect("read").expect("a run").state
}

pub async fn memos(database: &Database, run: &str) -> Vec<(String, String)> {
    let steps = database.store.flow_steps(run).await.expect("read");
    steps.into_iter().map(|(key, memo)| (key.to_string(), memo)).collect()
}

on_both! {
    // Runs with which workers died are given out a few at a time, then one by one, and who waits for that is held by nobody: the next death
    // is not theirs.
    async fn runs_that_saw_deaths_are_given_out_alone(database) {
        let database = &database.migrated().await;
        let claim = async |now, few, alone| {
            let claim = FlowClaim { suspects: Suspects { from: 2, few, alone }, ..asked("a", &["f"], now, 10) };
            let mut runs = database.store.claim_flow_runs(claim).await.expect("claimed");
            // In which order old and new ones are given out is not what this is about.
            runs.sort_by(|one, other| one.id.cmp(&other.id));
            runs
        };
        for id in ["r1", "r2", "r3"] {
            publish(database, vec![run(id, "f", &format!("evt_{id}"), 0)], 0).await;
        }
        assert_eq!(ids(&claim(0, 2, 1).await), ["r1", "r2", "r3"]);
        assert_eq!(ids(&claim(10, 2, 1).await), ["r1", "r2", "r3"], "one death may be anybody's");
        publish(database, vec![run("new", "f", "evt_new", 19)], 19).await;
        let few = claim(20, 2, 1).await;
        assert_eq!((ids(&few), few[1].crashes), (vec!["new", "r1", "r2"], 2));
        assert_eq!(ids(&claim(21, 0, 1).await), Vec::<&str>::new(), "there are enough of them");
        let third = claim(22, 2, 1).await;
        assert_eq!((ids(&third), third[0].crashes), (vec!["r3"], 2), "it was put off and nobody held it");
        // The holder dies. The new one is no suspect, and of the two others one is given out.
        let alone = claim(30, 2, 1).await;
        assert_eq!((ids(&alone), alone[1].crashes), (vec!["new", "r1"], 3));
        assert!(!write(database, vec![commit(&few[2], vec![], None)], 30).await[0], "who had it before cannot write");
        let other = claim(31, 2, 1).await;
        assert_eq!((ids(&other), other[0].crashes), (vec!["r2"], 3));
    }

    // Or a few that kill would set aside whoever is said to be the only suspect.
    async fn the_only_suspect_is_not_given_out_beside_a_few(database) {
        let database = &database.migrated().await;
        let claim = async |now, few, alone| {
            let claim = FlowClaim { suspects: Suspects { from: 2, few, alone }, ..asked("a", &["f"], now, 10) };
            database.store.claim_flow_runs(claim).await.expect("claimed")
        };
        for id in ["r1", "r2", "r3"] {
            publish(database, vec![run(id, "f", &format!("evt_{id}"), 0)], 0).await;
        }
        for now in [0, 10] {
            assert_eq!(claim(now, 1, 1).await.len(), 3);
        }
        assert_eq!(ids(&claim(20, 1, 1).await), ["r1"], "the others are put off");
        // The holder dies. Two may be the few; r1 saw more deaths than they.
        let few = claim(30, 2, 1).await;
        assert_eq!((ids(&few), few[0].crashes), (vec!["r2", "r3"], 2));
        let records = |run: &ClaimedRun| commit(run, vec![], Some(next(RunState::Succeeded, None)));
        assert_eq!(write(database, few.iter().map(records).collect(), 31).await, [true, true]);
        let alone = claim(32, 2, 1).await;
        assert_eq!((ids(&alone), alone[0].crashes), (vec!["r1"], 3), "now it is the only one");
    }

    async fn an_event_starts_a_function_once(database) {
        let database = database.migrated().await;
        let runs = vec![run("r1", "f", "evt_1", 100), run("r2", "g", "evt_1", 100), run("r3", "f", "evt_1", 100)];
        assert_eq!(start(&database, runs, 90).await, [true, true, false]);
        assert_eq!(start(&database, vec![run("r4", "f", "evt_1", 1)], 91).await, [false]);
        let claimed = claim(&database, "a", 100).await;
        assert_eq!(ids(&claimed), ["r1", "r2"]);
        assert_eq!(claimed[0].event, event("evt_1"));
        assert_eq!((claimed[0].token, claimed[0].failures, claimed[0].memos.len()), (1, 0, 0));
    }

    async fn runs_are_claimed_in_their_time_by_those_who_know_them(database) {
        let database = database.migrated().await;
        let runs = vec![run("r1", "f", "evt_1", 200), run("r2", "f", "evt_2", 100), run("r3", "unknown", "evt_3", 1)];
        start(&database, runs, 90).await;
        assert_eq!(claim(&database, "a", 99).await, []);
        assert_eq!(ids(&claim(&database, "a", 100).await), ["r2"]);
        assert_eq!(ids(&claim(&database, "a", 200).await), ["r2", "r1"], "the lease of r2 ended at 110");
        assert_eq!(database.store.next_flow_due().await.expect("read"), Some(at(1)), "somebody else knows it");
        assert_eq!(claim_of(&database, "b", &["f"], 300, 1).await.len(), 1);
    }

    async fn what_is_recorded_comes_back_and_what_is_final_stays(database) {
        let database = database.migrated().await;
        start(&database, vec![run("r1", "f", "evt_1", 100)], 90).await;
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
        start(&database, vec![run("r1", "f", "evt_1", 100)], 90).await;
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
        start(&database, vec![run("r1", "f", "evt_1", 100)], 90).await;
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
        start(&database, vec![run("r1", "f", "evt_1", 100), run("r2", "f", "evt_2", 100)], 90).await;
        let held: Vec<(String, i64)> = claim(&database, "a", 100).await.into_iter().map(|run| (run.id, run.token)).collect();
        assert_eq!(database.store.renew_flow_runs(&held[..1], at(200)).await.expect("renewed"), ["r1"]);
        assert_eq!(ids(&claim(&database, "b", 150).await), ["r2"], "the lease of r2 ended at 110");
        assert_eq!(ids(&claim(&database, "b", 200).await), ["r2", "r1"]);
    }

    async fn an_event_ends_the_waits_that_look_for_what_it_carries(database) {
        let database = database.migrated().await;
        let waits = |held: &ClaimedRun| vec![wait(held, "paid", "paid", "in_1", 900), wait(held, "any", "called", "", 800)];
        resting(&database, "r1", waits, 100).await;
        let other = publish(&database, vec![told("e1", "paid", "in_2", 110), told("e2", "unknown", "in_1", 110)], 110).await;
        assert!(other.iter().all(|one| one.woken.is_empty()), "{other:?}");
        let met = publish(&database, vec![told("e4", "paid", "in_1", 121), told("e3", "paid", "in_1", 120)], 125).await;
        assert_eq!((met[0].woken.len(), &met[1].woken[..]), (0, &["r1".to_owned()][..]), "the earliest counts");
        assert_eq!(state(&database, "r1").await, RunState::Queued);
        let held = claim(&database, "a", 125).await.remove(0);
        assert_eq!(memos(&database, "r1").await, [("any".to_owned(), "waits".to_owned()), ("paid".to_owned(), "e3 came".to_owned())]);
        assert_eq!((held.crashes, held.is_first), (0, false));
        // While it is executed, the other one comes: it does not rest.
        assert_eq!(publish(&database, vec![told("e5", "called", "x", 130)], 130).await[0].woken, ["r1"]);
        assert_eq!(state(&database, "r1").await, RunState::Running);
        write(&database, vec![commit(&held, vec![], Some(next(RunState::Waiting, Some(800))))], 131).await;
        let held = claim(&database, "a", 131).await.remove(0);
        assert!(held.memos.contains(&(StepKey::new("any", 1), "e5 came".to_owned())));
        // What has an end keeps it.
        assert!(publish(&database, vec![told("e6", "paid", "in_1", 140)], 140).await[0].woken.is_empty());
    }

    async fn a_wait_that_ends_by_time_hears_nothing_more(database) {
        let database = database.migrated().await;
        resting(&database, "r1", |held| vec![wait(held, "paid", "paid", "in_1", 200), wait(held, "later", "paid", "in_1", 900)], 100).await;
        let held = claim(&database, "a", 200).await.remove(0);
        let expected = [(StepKey::new("later", 1), "waits".to_owned()), (StepKey::new("paid", 1), "nothing came".to_owned())];
        assert_eq!(held.memos.iter().cloned().collect::<std::collections::BTreeSet<_>>(), expected.into());
        publish(&database, vec![told("e1", "paid", "in_1", 201)], 201).await;
        assert_eq!(memos(&database, "r1").await.into_iter().collect::<std::collections::BTreeSet<_>>(), [("later".to_owned(), "e1 came".to_owned()), ("paid".to_owned(), "nothing came".to_owned())].into());
    }

    async fn a_condition_that_is_false_ends_nothing(database) {
        let database = database.migrated().await;
        resting(&database, "r1", |held| vec![FlowWait { expression: "no".to_owned(), ..wait(held, "paid", "paid", "in_1", 200) }], 100).await;
        assert!(publish(&database, vec![told("e1", "paid", "in_1", 120)], 120).await[0].woken.is_empty());
        assert_eq!(state(&database, "r1").await, RunState::Waiting);
    }

    async fn an_event_calls_off_what_has_not_ended(database) {
        let database = database.migrated().await;
        let cancel = |id: &str| FlowWait {
            run: id.to_owned(), kind: WaitKind::Cancel, key: StepKey::new("", 1), name: "paid".to_owned(),
            path: "data".to_owned(), value: "in_1".to_owned(), expression: String::new(), until: None,
        };
        let mut publications = vec![run("r1", "f", "evt_1", 100), run("r2", "f", "evt_2", 300), run("r3", "g", "evt_3", 100)];
        publications.iter_mut().for_each(|one| one.runs[0].cancels = vec![cancel(&one.runs[0].id)]);
        start(&database, publications, 90).await;
        let held = claim(&database, "a", 100).await;
        assert_eq!(ids(&held), ["r1", "r3"]);
        write(&database, vec![commit(&held[1], vec![], Some(next(RunState::Succeeded, None)))], 101).await;
        let mut off = publish(&database, vec![told("e1", "paid", "in_1", 110)], 110).await.remove(0).cancelled;
        off.sort();
        assert_eq!(off, ["r1", "r2"]);
        let late = commit(&held[0], vec![record("pay", 1, "1", true)], Some(next(RunState::Succeeded, None)));
        assert_eq!(write(&database, vec![late], 111).await, [false], "whoever has it is refused");
        let found = database.store.flow_run("r1").await.expect("read").expect("a run");
        assert_eq!((found.state, found.ended_at, found.message.as_deref()), (RunState::Cancelled, Some(at(110)), Some("called off by paid (e1)")));
        assert_eq!(state(&database, "r3").await, RunState::Succeeded);
        assert_eq!(claim(&database, "a", 9_999).await, []);
    }

    async fn what_a_run_sends_is_written_with_its_record(database) {
        let database = database.migrated().await;
        resting(&database, "r1", |held| vec![wait(held, "paid", "paid", "in_1", 900)], 100).await;
        start(&database, vec![run("r2", "f", "evt_2", 100)], 100).await;
        let sender = claim(&database, "a", 100).await.remove(0);
        let mut sent = told("e1", "paid", "in_1", 101);
        sent.runs = run("r3", "f", "sent", 101).runs;
        let stale = RunCommit { publications: vec![told("e0", "paid", "in_1", 99)], ..RunCommit::new("r2", sender.token - 1) };
        let both = vec![stale, RunCommit { publications: vec![sent], ..commit(&sender, vec![record("send", 1, "1", true)], None) }];
        assert_eq!(write(&database, both, 101).await, [false, true]);
        assert_eq!(memos(&database, "r1").await, [("paid".to_owned(), "e1 came".to_owned())]);
        assert_eq!(state(&database, "r3").await, RunState::Queued);
    }

    async fn a_second_event_with_one_key_starts_and_ends_nothing(database) {
        let database = database.migrated().await;
        assert!(!publish(&database, vec![told("e1", "paid", "in_1", 90)], 90).await[0].is_duplicate);
        resting(&database, "r1", |held| vec![wait(held, "paid", "paid", "in_1", 900)], 100).await;
        let again = publish(&database, vec![told("e1", "paid", "in_1", 110)], 110).await.remove(0);
        assert!(again.is_duplicate && again.woken.is_empty(), "{again:?}");
    }

    async fn a_scheduled_event_is_taken_once_and_can_be_replaced_or_called_off(database) {
        let database = database.migrated().await;
        let scheduled = |id: &str, at_second: i64, key: Option<&str>| Publication {
            keep: Keep::Until(at(at_second), key.map(str::to_owned)), ..told(id, "delete", id, at_second)
        };
        let all = vec![scheduled("e1", 500, Some("cus_1")), scheduled("e2", 400, None), scheduled("e3", 450, None)];
        publish(&database, all, 100).await;
        publish(&database, vec![scheduled("e4", 300, Some("cus_1"))], 101).await;
        let due = async |now: i64| {
            let (due, next) = database.store.due_flow_events(at(now), 10).await.expect("read");
            (due.into_iter().map(|event| event.id).collect::<Vec<_>>(), next)
        };
        assert_eq!(due(299).await, (vec![], Some(at(300))));
        assert!(database.store.cancel_flow_event("user/e3", at(200)).await.expect("written"));
        assert!(!database.store.cancel_flow_event("user/e3", at(200)).await.expect("written"));
        assert_eq!(due(999).await, (vec!["e4".to_owned(), "e2".to_owned()], None));
        assert!(!database.store.cancel_flow_event("user/e4", at(300)).await.expect("written"), "its time has come");
        let keys = ["e4", "e3", "e2", "e1"].map(|id| format!("user/{id}"));
        assert_eq!(database.store.transact(Take(keys.to_vec(), at(350))).await.expect("taken"), ["user/e4"]);
        assert_eq!(database.store.transact(Take(keys.to_vec(), at(350))).await.expect("taken"), [""; 0]);
    }

    async fn a_wait_can_look_back(database) {
        let database = database.migrated().await;
        database.store.insert_deliveries(vec![delivery("evt_0", 1000)]).await.expect("written");
        publish(&database, vec![told("e0", "paid", "in_1", 80)], 80).await;
        start(&database, vec![run("r1", "f", "evt_r1", 100)], 90).await;
        publish(&database, vec![told("e1", "paid", "in_1", 91), told("e2", "other", "in_1", 91)], 91).await;
        let scheduled = Publication { keep: Keep::Until(at(500), None), ..told("e3", "paid", "in_1", 500) };
        publish(&database, vec![scheduled], 92).await;
        let seen = async |event_type: Option<&str>| {
            let (run, name, since) = ("r1".to_owned(), "paid".to_owned(), at(90));
            let lookback = Lookback { run, name, event_type: event_type.map(str::to_owned), since, skip: 0 };
            database.store.flow_lookback(&lookback).await.expect("read")
        };
        let events: Vec<String> = seen(None).await.events.into_iter().map(|event| event.id).collect();
        assert_eq!(events, ["e1"]);
        let one = delivery("evt_0", 1000);
        assert_eq!(seen(Some(&one.event_type)).await.deliveries, [one.raw.to_vec()]);
        assert!(seen(Some("another.type")).await.deliveries.is_empty());
    }

    async fn a_dead_worker_is_counted_until_the_run_gets_on(database) {
        let database = database.migrated().await;
        start(&database, vec![run("r1", "f", "evt_1", 100)], 90).await;
        assert_eq!(claim(&database, "a", 100).await[0].crashes, 0);
        assert_eq!(claim(&database, "b", 110).await[0].crashes, 1);
        let held = claim(&database, "c", 120).await.remove(0);
        assert_eq!((held.crashes, held.is_first), (2, false));
        let progress = RunCommit { got_on: true, ..commit(&held, vec![record("pay", 1, "1", true)], None) };
        write(&database, vec![progress], 121).await;
        let held = claim(&database, "d", 130).await.remove(0);
        assert_eq!(held.crashes, 1);
        database.store.release_flow_runs(&[("r1".to_owned(), held.token - 1)], at(131)).await.expect("written");
        assert_eq!(claim(&database, "e", 131).await, []);
        database.store.release_flow_runs(&[("r1".to_owned(), held.token)], at(131)).await.expect("written");
        assert_eq!(claim(&database, "e", 131).await[0].crashes, 1, "it was given back, and nobody died");
    }
}

struct Take(Vec<String>, Timestamp);

impl Work for Take {
    type Output = Vec<String>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<String>, StoreError> {
        let mut taken = transaction.take_flow_events(&self.0, self.1).await?;
        taken.sort();
        Ok(taken)
    }
}
