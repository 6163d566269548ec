//! What holds runs back, and the order in which they are claimed.

use billhook_core::run::RunState;
use billhook_store::{
    Blocked, ClaimedRun, Control, FlowClaim, FlowEvent, FlowRun, Gate, Gather, GatherKind, Keep, NewFlowRun, Pace,
    Pause, Publication, RunCommit, RunNext, Singleton, SingletonMode, Suspects,
};
use jiff::SignedDuration;

use crate::flow::{publish, start, write};
use crate::harness::{Database, at, on_postgres};

pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// A run of `f` by the event of the same id.
pub fn run(id: &str, control: Control, now: i64) -> Publication {
    let event = FlowEvent {
        key: format!("user/{id}"),
        id: id.to_owned(),
        name: "app/made".to_owned(),
        data: "{}".to_owned(),
        ts: at(now),
    };
    let (function, dedupe_key) = ("f".to_owned(), event.key.clone());
    let (id, due_at, cancels) = (id.to_owned(), at(now), Vec::new());
    let run = NewFlowRun { id, function, dedupe_key, due_at, start_by: None, end_by: None, cancels, control };
    Publication { names: vec![event.name.clone()], event, keep: Keep::Always, runs: vec![run] }
}

pub fn gate(name: &str, value: &str, places: u32) -> Gate {
    Gate { name: name.to_owned(), value: value.to_owned(), places }
}

pub fn gated(gates: &[Gate], rank: i64) -> Control {
    Control { gates: gates.to_vec(), rank, ..Control::default() }
}

/// Claims runs of `f` with these places.
pub async fn claim(database: &Database, places: &[(&str, u32)], now: i64, limit: usize) -> Vec<ClaimedRun> {
    claim_of(database, &["f"], places, now, limit).await
}

pub async fn claim_of(
    database: &Database,
    functions: &[&str],
    places: &[(&str, u32)],
    now: i64,
    limit: usize,
) -> Vec<ClaimedRun> {
    database.store.claim_flow_runs(asked(functions, places, now, limit)).await.expect("claimed")
}

pub fn asked(functions: &[&str], places: &[(&str, u32)], now: i64, limit: usize) -> FlowClaim {
    FlowClaim {
        holder: "a".to_owned(),
        functions: functions.iter().map(|function| (*function).to_owned()).collect(),
        now: at(now),
        lease_until: at(now + 10),
        limit,
        over: "nothing came".to_owned(),
        places: places.iter().map(|(name, places)| ((*name).to_owned(), *places)).collect(),
        suspects: Suspects::NONE,
        newest: Vec::new(),
        pinned: Vec::new(),
    }
}

pub fn ids(runs: &[ClaimedRun]) -> Vec<&str> {
    runs.iter().map(|run| run.id.as_str()).collect()
}

/// Ends or suspends a run.
pub async fn leave(database: &Database, run: &ClaimedRun, state: RunState, due_at: Option<i64>, now: i64) {
    let next = RunNext { state, due_at: due_at.map(at), failures: 0, result: None, message: None };
    let commit = RunCommit { next: Some(next), ..RunCommit::new(run.id.clone(), run.token) };
    assert_eq!(write(database, vec![commit], now).await, [true]);
}

pub async fn end(database: &Database, run: &ClaimedRun, now: i64) {
    leave(database, run, RunState::Succeeded, None, now).await;
}

pub async fn read(database: &Database, id: &str) -> FlowRun {
    database.store.flow_run(id).await.expect("read").expect("a run")
}

async fn sweep(database: &Database, places: &[(&str, u32)], now: i64) {
    let places: Vec<(String, u32)> = places.iter().map(|(name, places)| ((*name).to_owned(), *places)).collect();
    assert_eq!(database.store.open_flow_gates(&places, "", at(now)).await.expect("opened"), None);
}

pub fn paced(starts: u32, period: i64) -> Option<Pace> {
    Some(Pace { key: "pace/f/k".to_owned(), starts, period: seconds(period) })
}

pub fn gathered(kind: GatherKind) -> Control {
    Control { gather: Some(Gather { key: "k".to_owned(), kind }), ..Control::default() }
}

pub fn alone(mode: SingletonMode) -> Control {
    Control { singleton: Some(Singleton { key: "k".to_owned(), mode }), ..Control::default() }
}

on_both! {
    async fn a_gate_lets_so_many_be_executed_and_the_next_when_one_leaves(database) {
        let database = database.migrated().await;
        let one = |id, rank| run(id, gated(&[gate("g", "k", 2)], rank), 100);
        start(&database, vec![one("r4", 4), one("r1", 1), one("r3", 3), one("r2", 2)], 100).await;
        let places = [("g", 2)];
        let held = claim(&database, &places, 100, 10).await;
        assert_eq!(ids(&held), ["r1", "r2"]);
        let blocked = read(&database, "r3").await;
        let gate = gate("g", "k", 2).key();
        assert_eq!((blocked.state, blocked.due_at), (RunState::Queued, None));
        assert_eq!(blocked.blocked, Some(Blocked { gate, taken: 2, places: 2 }));
        assert_eq!(ids(&claim(&database, &places, 101, 10).await), [""; 0]);
        assert_eq!(database.store.next_flow_due().await.expect("read"), Some(at(110)), "blocked runs are not due");
        // Who sleeps leaves its place as well.
        leave(&database, &held[0], RunState::Waiting, Some(150), 102).await;
        let third = claim(&database, &places, 102, 10).await;
        assert_eq!(ids(&third), ["r3"]);
        end(&database, &held[1], 103).await;
        end(&database, &third[0], 103).await;
        let fourth = claim(&database, &places, 103, 10).await;
        assert_eq!(ids(&fourth), ["r4"]);
        let again = claim(&database, &places, 150, 10).await;
        assert_eq!(ids(&again), ["r4", "r1"], "the lease of r4 ended at 113, and it has its place");
    }

    async fn a_place_is_kept_by_who_died_until_the_run_goes_on(database) {
        let database = database.migrated().await;
        let one = |id, rank| run(id, gated(&[gate("g", "k", 1)], rank), 100);
        start(&database, vec![one("r1", 1), one("r2", 2)], 100).await;
        let places = [("g", 1)];
        assert_eq!(ids(&claim(&database, &places, 100, 10).await), ["r1"]);
        let heir = claim(&database, &places, 110, 10).await;
        assert_eq!((ids(&heir), heir[0].crashes), (vec!["r1"], 1));
        end(&database, &heir[0], 111).await;
        assert_eq!(ids(&claim(&database, &places, 111, 10).await), ["r2"]);
    }

    async fn a_run_keeps_the_narrow_place_while_it_waits_for_the_wide_one(database) {
        let database = database.migrated().await;
        let one = |id, key: &str, rank| run(id, gated(&[gate("narrow", key, 1), gate("wide", "", 2)], rank), 100);
        start(&database, vec![one("a1", "a", 1), one("a2", "a", 2), one("a3", "a", 3), one("b1", "b", 4), one("c1", "c", 5)], 100).await;
        let places = [("narrow", 1), ("wide", 2)];
        let held = claim(&database, &places, 100, 10).await;
        assert_eq!(ids(&held), ["a1", "b1"], "a flood of one key does not fill the wide gate");
        let at_wide = read(&database, "c1").await.blocked.expect("blocked");
        assert_eq!(Gate::parts(&at_wide.gate), ("wide", ""));
        let at_narrow = read(&database, "a2").await.blocked.expect("blocked");
        assert_eq!((Gate::parts(&at_narrow.gate), at_narrow.taken, at_narrow.places), (("narrow", "a"), 1, 1));
        end(&database, &held[0], 101).await;
        assert_eq!(ids(&claim(&database, &places, 101, 10).await), ["a2"], "by rank");
        end(&database, &held[1], 102).await;
        assert_eq!(ids(&claim(&database, &places, 102, 10).await), ["c1"]);
        let mut rest = Vec::new();
        for now in 103..110 {
            for id in ["a2", "c1", "a3"] {
                if read(&database, id).await.state == RunState::Running {
                    end(&database, &ClaimedRun { id: id.to_owned(), token: 1, ..held[0].clone() }, now).await;
                }
            }
            rest.extend(claim(&database, &places, now, 10).await.into_iter().map(|run| run.id));
        }
        assert_eq!(rest, ["a3"]);
    }

    async fn many_blocked_runs_do_not_keep_others_from_being_claimed(database) {
        let database = database.migrated().await;
        let flood = (0..60).map(|number| run(&format!("a{number:02}"), gated(&[gate("g", "k", 1)], number), 100));
        start(&database, flood.chain([run("b", gated(&[], 999), 100)]).collect(), 100).await;
        assert_eq!(ids(&claim(&database, &[("g", 1)], 100, 20).await), ["a00", "b"]);
    }

    async fn a_raised_limit_and_a_lost_candidate_are_found_by_the_sweep(database) {
        let database = database.migrated().await;
        let one = |id, rank| run(id, gated(&[gate("g", "k", 1)], rank), 100);
        start(&database, vec![one("r1", 1), one("r2", 2), one("r3", 3), one("r4", 4)], 100).await;
        claim(&database, &[("g", 1)], 100, 10).await;
        sweep(&database, &[("g", 1)], 101).await;
        assert_eq!(ids(&claim(&database, &[("g", 1)], 101, 10).await), [""; 0]);
        sweep(&database, &[("g", 3)], 102).await;
        assert_eq!(ids(&claim(&database, &[("g", 3)], 102, 10).await), ["r2", "r3"]);
        sweep(&database, &[], 103).await;
        assert_eq!(ids(&claim(&database, &[("other", 1)], 103, 10).await), ["r4"], "without a limit the gate is open");
    }

    async fn a_run_that_waits_for_its_time_and_is_blocked_then_is_woken_as_well(database) {
        let database = database.migrated().await;
        let one = |id, rank| run(id, gated(&[gate("g", "k", 1)], rank), 100);
        start(&database, vec![one("r1", 1)], 100).await;
        let places = [("g", 1)];
        let held = claim(&database, &places, 100, 10).await;
        leave(&database, &held[0], RunState::Waiting, Some(120), 101).await;
        start(&database, vec![one("r2", 2)], 101).await;
        let other = claim(&database, &places, 115, 10).await;
        assert_eq!(ids(&other), ["r2"]);
        assert_eq!(ids(&claim(&database, &places, 120, 10).await), [""; 0]);
        assert!(read(&database, "r1").await.blocked.is_some());
        end(&database, &other[0], 121).await;
        assert_eq!(ids(&claim(&database, &places, 121, 10).await), ["r1"]);
    }

    async fn ready_runs_are_claimed_by_rank_and_in_turn_with_timers(database) {
        let database = database.migrated().await;
        let one = |id: &str, rank, due_at| {
            let mut one = run(id, gated(&[], rank), 100);
            one.runs[0].due_at = at(due_at);
            one
        };
        start(&database, vec![one("t1", 0, 110), one("t2", 0, 111), one("t3", 0, 112), one("r3", 300, 100), one("r1", -5, 100), one("r2", 7, 90)], 100).await;
        let claimed = claim(&database, &[], 120, 5).await;
        assert_eq!(ids(&claimed), ["t1", "r1", "t2", "r2", "t3"]);
        assert_eq!(claimed.iter().map(|run| run.rank).collect::<Vec<_>>(), [None, Some(-5), None, Some(7), None]);
    }

    async fn a_throttle_spreads_starts(database) {
        let database = database.migrated().await;
        let throttled = || Control { throttle: paced(2, 60), ..Control::default() };
        let ids_of = ["r1", "r2", "r3"];
        assert_eq!(start(&database, ids_of.iter().map(|id| run(id, throttled(), 100)).collect(), 100).await, [true, true, true]);
        let mut due = Vec::new();
        for id in ids_of {
            let run = read(&database, id).await;
            due.push((run.due_at, run.pause));
        }
        assert_eq!(due, [(Some(at(100)), None), (Some(at(130)), Some(Pause::Throttle)), (Some(at(160)), Some(Pause::Throttle))]);
        assert_eq!(start(&database, vec![run("r2", throttled(), 100)], 101).await, [false], "a second delivery takes no turn");
        assert_eq!(ids(&claim(&database, &[], 130, 10).await), ["r2", "r1"]);
        assert_eq!(read(&database, "r2").await.pause, None);
    }

    async fn a_rate_limit_starts_nothing_and_counts(database) {
        let database = database.migrated().await;
        let limited = || Control { rate_limit: paced(1, 60), ..Control::default() };
        assert_eq!(start(&database, vec![run("r1", limited(), 100), run("r2", limited(), 100)], 100).await, [true, false]);
        assert_eq!(start(&database, vec![run("r3", limited(), 110)], 110).await, [false]);
        let refused = database.store.flow_refusals(10).await.expect("read");
        assert_eq!(refused, [("pace/f/k".to_owned(), 2, at(110))]);
        assert_eq!(start(&database, vec![run("r4", limited(), 160), run("r2", limited(), 160)], 160).await, [true, false]);
        assert_eq!(database.store.flow_run("r3").await.expect("read"), None);
        assert_eq!(start(&database, vec![run("r3", limited(), 110)], 999).await, [false], "what was refused stays so");
    }

    async fn a_debounce_starts_with_what_happened_last(database) {
        let database = database.migrated().await;
        let kind = GatherKind::Debounce { period: seconds(10), longest: Some(seconds(25)) };
        let one = |id: &str, now| run(id, gathered(kind), now);
        assert_eq!(start(&database, vec![one("e1", 100)], 100).await, [true]);
        assert_eq!(start(&database, vec![one("e2", 105)], 105).await, [false]);
        let waiting = read(&database, "e1").await;
        assert_eq!((waiting.due_at, waiting.pause, waiting.event_key.as_str(), waiting.events.0), (Some(at(115)), Some(Pause::Debounce), "user/e2", 2));
        assert_eq!(start(&database, vec![one("e0", 99)], 114).await, [false]);
        assert_eq!(start(&database, vec![one("e2", 105)], 115).await, [false], "a second delivery puts nothing off");
        let waiting = read(&database, "e1").await;
        assert_eq!((waiting.due_at, waiting.event_key.as_str()), (Some(at(124)), "user/e2"), "e0 happened before");
        start(&database, vec![one("e3", 120)], 120).await;
        let claimed = claim(&database, &[], 125, 10).await;
        assert_eq!((ids(&claimed), claimed[0].event.id.as_str(), claimed[0].batch.len()), (vec!["e1"], "e3", 0));
        assert_eq!(start(&database, vec![one("e4", 126)], 126).await, [true], "the next one begins anew");
    }

    async fn a_batch_is_full_or_its_time_is_over(database) {
        let database = database.migrated().await;
        let one = |id: &str, now| run(id, gathered(GatherKind::Batch { events_max: 3, timeout: seconds(30) }), now);
        assert_eq!(start(&database, vec![one("e3", 100), one("e1", 100)], 100).await, [true, false]);
        let waiting = read(&database, "e3").await;
        assert_eq!((waiting.due_at, waiting.pause, waiting.events), (Some(at(130)), Some(Pause::Batch), (2, 3)));
        assert_eq!(claim(&database, &[], 101, 10).await, []);
        assert_eq!(start(&database, vec![one("e1", 102), one("e2", 102), one("e4", 102)], 102).await, [false, false, true]);
        let claimed = claim(&database, &[], 102, 10).await;
        let events = |run: &ClaimedRun| run.batch.iter().map(|event| event.id.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&claimed), events(&claimed[0])), (vec!["e3"], vec!["e3".to_owned(), "e1".to_owned(), "e2".to_owned()]));
        end(&database, &claimed[0], 103).await;
        let claimed = claim(&database, &[], 132, 10).await;
        assert_eq!((ids(&claimed), events(&claimed[0])), (vec!["e4"], vec!["e4".to_owned()]));
        assert_eq!(start(&database, vec![one("e5", 133)], 133).await, [true], "what is executed takes no more");
    }

    async fn a_singleton_lets_the_new_one_or_the_present_one_go(database) {
        let database = database.migrated().await;
        let one = |id: &str, mode, now| run(id, alone(mode), now);
        let (skip, cancel) = (SingletonMode::Skip, SingletonMode::Cancel);
        assert_eq!(start(&database, vec![one("r1", skip, 100), one("r2", skip, 100)], 100).await, [true, false]);
        let held = claim(&database, &[], 100, 10).await;
        leave(&database, &held[0], RunState::Waiting, Some(500), 101).await;
        assert_eq!(start(&database, vec![one("r3", skip, 102)], 102).await, [false], "it sleeps and has not ended");
        assert_eq!(start(&database, vec![one("r4", cancel, 103)], 103).await, [true]);
        assert_eq!(read(&database, "r1").await.state, RunState::Cancelled);
        let held = claim(&database, &[], 103, 10).await;
        assert_eq!(ids(&held), ["r4"]);
        assert_eq!(start(&database, vec![one("r5", cancel, 104)], 104).await, [true]);
        let late = RunCommit::new("r4", held[0].token);
        assert_eq!(write(&database, vec![late], 105).await, [false], "whoever has it is refused");
        let held = claim(&database, &[], 105, 10).await;
        end(&database, &held[0], 106).await;
        assert_eq!(start(&database, vec![one("r2", skip, 107), one("r6", skip, 107)], 107).await, [false, true]);
    }

    async fn who_is_called_off_at_a_gate_leaves_it_to_the_next(database) {
        let database = database.migrated().await;
        let control = |rank| Control { gates: vec![gate("g", "k", 1)], rank, ..alone(SingletonMode::Cancel) };
        let places = [("g", 1)];
        start(&database, vec![run("r1", gated(&[gate("g", "k", 1)], 1), 100), run("r2", control(2), 100), run("r3", gated(&[gate("g", "k", 1)], 3), 100)], 100).await;
        let held = claim(&database, &places, 100, 10).await;
        assert_eq!(ids(&held), ["r1"]);
        end(&database, &held[0], 101).await;
        // r2 is the candidate now, and is called off before anybody claims it.
        publish(&database, vec![run("r4", control(4), 101)], 101).await;
        assert_eq!(read(&database, "r2").await.state, RunState::Cancelled);
        assert_eq!(ids(&claim(&database, &places, 101, 10).await), ["r3"]);
    }
}

/// The claim of runs without limits reads two short ranges of two indexes, whatever else waits.
#[test]
fn a_claim_goes_by_its_indexes() {
    on_postgres(async |database: Database| {
        let database = database.migrated().await;
        let many = |number: i64| run(&format!("r{number:05}"), gated(&[gate("g", "k", 1)], number), 100);
        start(&database, (0..3_000).map(many).collect(), 100).await;
        claim(&database, &[("g", 1)], 100, 256).await;
        database.execute("", "ANALYZE billhook.flow_runs").await;
        let names = "ARRAY['f', 'g']";
        let values = ["'a'", "now()", "now()", "16", names, "2", names, names, names, names];
        // The last one first, or $1 of $10 would be taken for $1.
        let claim = (1..=values.len())
            .rev()
            .fold(include_str!("../../sql/postgres/flow_runs_claim.sql").to_owned(), |claim, number| {
                claim.replace(&format!("${number}"), values[number - 1])
            });
        let plan = database.plan(&claim).await;
        assert!(plan.contains("flow_runs_ready_idx") && plan.contains("flow_runs_due_idx"), "{plan}");
        assert!(!plan.contains("Seq Scan on flow_runs"), "{plan}");
        let ended = include_str!("../../sql/postgres/flow_ended_read.sql").replace("$1", "500");
        let plan = database.plan(&ended).await;
        assert!(!plan.contains("Seq Scan on flow_runs") && !plan.contains("Seq Scan on flow_events"), "{plan}");
    });
}
