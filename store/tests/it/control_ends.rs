//! Whatever ends or interrupts a run lets the next ones at its gates go on, and what goes on again passes its gates again.

use billhook_core::run::RunState;
use billhook_store::{
    Cancellation, ClaimedRun, Control, FlowClaim, FlowRetention, Gate, GatherKind, Publication, Redelivery,
    SingletonMode, StoreError, Suspects, Transaction, Verdict, Work,
};

use crate::control::{
    alone, asked, claim, claim_of, end, gate, gated, gathered, ids, leave, paced, read, run, seconds,
};
use crate::flow::start;
use crate::harness::{Database, at};

const PLACES: [(&str, u32); 1] = [("g", 1)];

/// A run that passes a gate with one place. It has to have ended at 200.
fn one(id: &str, function: &str, rank: i64) -> Publication {
    let mut one = run(id, gated(&[gate("g", "k", 1)], rank), 100);
    one.runs[0].function = function.to_owned();
    one.runs[0].end_by = Some(at(200));
    one
}

/// The run `held` of `other`, which has the only place, and two runs of `f` that want it.
async fn full(database: &Database) -> ClaimedRun {
    start(database, vec![one("held", "other", 1), one("r2", "f", 2), one("r3", "f", 3)], 100).await;
    let mut claimed = claim_of(database, &["f", "other"], &PLACES, 100, 10).await;
    assert_eq!(ids(&claimed), ["held"]);
    claimed.remove(0)
}

/// One run that stands at the gate has its place now.
async fn the_next_goes_on(database: &Database, now: i64) {
    let next = claim(database, &PLACES, now, 10).await;
    assert_eq!(ids(&next), ["r2"]);
    assert!(read(database, "r3").await.blocked.is_some());
}

async fn expire(database: &Database, now: i64) -> Vec<String> {
    database.store.expire_flow_runs(at(now), 10).await.expect("expired")
}

async fn cancel(database: &Database, id: &str, now: i64) {
    assert_eq!(database.store.cancel_flow_run(id, "enough", at(now)).await.expect("asked"), Verdict::Done);
}

async fn retry(database: &Database, id: &str, now: i64) -> Verdict {
    database.store.retry_flow_run(id, at(now)).await.expect("asked")
}

async fn rerun(database: &Database, id: &str, new_id: &str, now: i64) -> Verdict {
    database.store.rerun_flow_run(id, new_id, at(now)).await.expect("asked")
}

async fn cancel_many(database: &Database, function: &str, event_id: Option<&str>, now: i64) -> u64 {
    let cancellation = Cancellation {
        id: format!("c{now}"),
        function: function.to_owned(),
        event_id: event_id.map(str::to_owned),
        created_after: None,
        created_before: at(now),
        reason: "a wrong deploy".to_owned(),
        requested_at: at(now),
    };
    database.store.cancel_flow_runs(&cancellation, 10, at(now)).await.expect("cancelled")
}

struct FailParked(&'static str);

impl Work for FailParked {
    type Output = bool;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<bool, StoreError> {
        transaction.fail_parked_flow_run(self.0, at(150)).await
    }
}

on_both! {
    async fn a_run_that_is_called_off_gives_its_place_to_the_next(database) {
        let database = database.migrated().await;
        full(&database).await;
        cancel(&database, "held", 101).await;
        the_next_goes_on(&database, 101).await;
    }

    // Whoever is put off because workers died with it keeps its place: it has begun.
    async fn a_suspect_that_waits_for_others_keeps_its_place(database) {
        let database = database.migrated().await;
        let wanting = |id, rank| run(id, gated(&[gate("g", "k", 2)], rank), 100);
        start(&database, vec![wanting("r1", 1), wanting("r2", 2), wanting("r3", 3)], 100).await;
        let claim = async |now, few| {
            let suspects = Suspects { from: 2, few, alone: 0 };
            let claim = FlowClaim { suspects, ..asked(&["f"], &[("g", 2)], now, 10) };
            database.store.claim_flow_runs(claim).await.expect("claimed")
        };
        assert_eq!(ids(&claim(100, 1).await), ["r1", "r2"]);
        assert_eq!(ids(&claim(110, 1).await), ["r1", "r2"], "one death may be anybody's");
        let first = claim(120, 1).await;
        assert_eq!((ids(&first), first[0].crashes), (vec!["r1"], 2));
        assert!(read(&database, "r3").await.blocked.is_some(), "both places are taken");
        end(&database, &first[0], 121).await;
        assert_eq!(ids(&claim(121, 0).await), ["r3"], "the place that is free is not the suspect's");
        let second = claim(123, 1).await;
        assert_eq!((ids(&second), second[0].crashes), (vec!["r2"], 2));
    }

    async fn runs_that_are_called_off_together_give_their_places_to_the_next(database) {
        let database = database.migrated().await;
        full(&database).await;
        assert_eq!(cancel_many(&database, "other", None, 101).await, 1);
        the_next_goes_on(&database, 101).await;
    }

    async fn a_run_that_expires_gives_its_place_to_the_next(database) {
        let database = database.migrated().await;
        let mut late = one("held", "other", 1);
        late.runs[0].end_by = Some(at(105));
        start(&database, vec![late, one("r2", "f", 2), one("r3", "f", 3)], 100).await;
        assert_eq!(ids(&claim_of(&database, &["f", "other"], &PLACES, 100, 10).await), ["held"]);
        assert_eq!(expire(&database, 105).await, ["held"]);
        the_next_goes_on(&database, 105).await;
    }

    async fn a_run_that_is_parked_gives_its_place_to_the_next(database) {
        let database = database.migrated().await;
        let held = full(&database).await;
        leave(&database, &held, RunState::Parked, None, 101).await;
        the_next_goes_on(&database, 101).await;
        assert!(database.store.transact(FailParked("held")).await.expect("failed"));
        assert_eq!(read(&database, "held").await.state, RunState::Failed);
    }

    async fn a_run_that_is_given_back_gives_its_place_to_whoever_comes_first(database) {
        let database = database.migrated().await;
        let held = full(&database).await;
        database.store.release_flow_runs(&[(held.id, held.token)], at(101)).await.expect("given back");
        the_next_goes_on(&database, 101).await;
        assert_eq!(ids(&claim_of(&database, &["other"], &PLACES, 101, 10).await), [""; 0]);
        assert!(read(&database, "held").await.blocked.is_some(), "it waits for its place like any other");
    }

    async fn whoever_ends_while_it_is_blocked_leaves_the_gate_to_those_behind(database) {
        let database = database.migrated().await;
        let held = full(&database).await;
        let mut late = one("r0", "f", 0);
        late.runs[0].start_by = Some(at(104));
        start(&database, vec![late, one("r1", "f", 1)], 100).await;
        assert_eq!(ids(&claim(&database, &PLACES, 100, 10).await), [""; 0]);
        assert_eq!(expire(&database, 104).await, ["r0"]);
        cancel(&database, "r1", 105).await;
        assert_eq!(cancel_many(&database, "f", Some("r2"), 106).await, 1);
        for id in ["r0", "r1", "r2"] {
            let over = read(&database, id).await;
            assert!(over.state.is_over() && over.blocked.is_none() && over.due_at.is_none(), "{over:?}");
        }
        assert_eq!(ids(&claim(&database, &PLACES, 106, 10).await), [""; 0], "the place is taken still");
        end(&database, &held, 107).await;
        assert_eq!(ids(&claim(&database, &PLACES, 107, 10).await), ["r3"]);
    }

    async fn whoever_ends_between_two_gates_leaves_the_first_one(database) {
        let database = database.migrated().await;
        let one = |id, key: &str, rank| run(id, gated(&[gate("narrow", key, 1), gate("wide", "", 1)], rank), 100);
        let places = [("narrow", 1), ("wide", 1)];
        start(&database, vec![one("a1", "a", 1), one("b1", "b", 2), one("b2", "b", 3), one("b3", "b", 4)], 100).await;
        assert_eq!(ids(&claim(&database, &places, 100, 10).await), ["a1"]);
        for (gone, next, now) in [("b1", "b2", 101), ("b2", "b3", 102)] {
            cancel(&database, gone, now).await;
            assert_eq!(ids(&claim(&database, &places, now, 10).await), [""; 0]);
            let blocked = read(&database, next).await.blocked.expect("blocked");
            assert_eq!(Gate::parts(&blocked.gate).0, "wide");
        }
    }

    async fn a_retried_run_is_ready_and_passes_its_gates_again(database) {
        let database = database.migrated().await;
        let held = full(&database).await;
        leave(&database, &held, RunState::Failed, None, 101).await;
        let next = claim(&database, &PLACES, 101, 10).await;
        assert_eq!(retry(&database, "held", 102).await, Verdict::Done);
        let both = ["f", "other"];
        assert_eq!(ids(&claim_of(&database, &both, &PLACES, 102, 10).await), [""; 0]);
        end(&database, &next[0], 103).await;
        let next = claim_of(&database, &both, &PLACES, 103, 10).await;
        assert_eq!(ids(&next), ["r3"], "those that were ready before go first");
        end(&database, &next[0], 104).await;
        let again = claim_of(&database, &both, &PLACES, 104, 10).await;
        assert_eq!((ids(&again), again[0].rank), (vec!["held"], Some(102_000)));
    }

    async fn a_repeated_run_passes_the_gates_of_the_first(database) {
        let database = database.migrated().await;
        let held = full(&database).await;
        leave(&database, &held, RunState::Parked, None, 101).await;
        let next = claim(&database, &PLACES, 101, 10).await;
        assert_eq!(rerun(&database, "held", "again", 102).await, Verdict::Done);
        end(&database, &next[0], 103).await;
        let next = claim_of(&database, &["f", "other"], &PLACES, 103, 10).await;
        assert_eq!(ids(&next), ["r3"]);
        cancel(&database, "r3", 104).await;
        assert_eq!(ids(&claim_of(&database, &["f", "other"], &PLACES, 104, 10).await), ["again"]);
    }

    async fn a_repeated_batch_has_the_events_of_the_first(database) {
        let database = database.migrated().await;
        let batch = |id: &str| run(id, gathered(GatherKind::Batch { events_max: 2, timeout: seconds(30) }), 100);
        assert_eq!(start(&database, vec![batch("e1"), batch("e2")], 100).await, [true, false]);
        let held = claim(&database, &[], 100, 10).await;
        end(&database, &held[0], 101).await;
        assert_eq!(rerun(&database, "e1", "again", 102).await, Verdict::Done);
        assert_eq!(start(&database, vec![batch("e3")], 103).await, [true], "nothing joins what is repeated");
        let again = claim(&database, &[], 103, 10).await;
        let events: Vec<&str> = again[0].batch.iter().map(|event| event.id.as_str()).collect();
        assert_eq!((ids(&again), events), (vec!["again"], vec!["e1", "e2"]));
    }

    async fn a_run_that_goes_on_after_its_end_has_its_singleton_key_again_unless_another_has_it(database) {
        let database = database.migrated().await;
        let one = |id: &str, now| run(id, alone(SingletonMode::Skip), now);
        start(&database, vec![one("r1", 100)], 100).await;
        let held = claim(&database, &[], 100, 10).await;
        leave(&database, &held[0], RunState::Failed, None, 101).await;
        assert_eq!(start(&database, vec![one("r2", 102)], 102).await, [true]);
        let occupied = |by: &str| Verdict::Occupied(by.to_owned());
        assert_eq!(retry(&database, "r1", 103).await, occupied("r2"));
        assert_eq!(rerun(&database, "r1", "again", 103).await, occupied("r2"));
        assert_eq!(read(&database, "r1").await.state, RunState::Failed);
        let other = claim(&database, &[], 103, 10).await;
        end(&database, &other[0], 104).await;
        assert_eq!(retry(&database, "r1", 105).await, Verdict::Done);
        assert_eq!(start(&database, vec![one("r3", 106)], 106).await, [false], "r1 is back");
        let held = claim(&database, &[], 106, 10).await;
        leave(&database, &held[0], RunState::Parked, None, 107).await;
        assert_eq!(start(&database, vec![one("r4", 108)], 108).await, [false], "what is parked has not ended");
        assert_eq!(rerun(&database, "r1", "again", 109).await, occupied("r1"));
        assert_eq!(retry(&database, "r1", 110).await, Verdict::Done);
        let held = claim(&database, &[], 110, 10).await;
        leave(&database, &held[0], RunState::Parked, None, 111).await;
        assert!(database.store.transact(FailParked("r1")).await.expect("failed"));
        assert_eq!(start(&database, vec![one("r5", 151)], 151).await, [true]);
        cancel(&database, "r5", 152).await;
        assert_eq!(rerun(&database, "r1", "again", 153).await, Verdict::Done);
        assert_eq!(start(&database, vec![one("r6", 154)], 154).await, [false]);
    }

    async fn an_event_that_is_given_once_more_is_held_to_the_limits(database) {
        let database = database.migrated().await;
        let skip = alone(SingletonMode::Skip);
        start(&database, vec![run("r1", skip.clone(), 100)], 100).await;
        let again = |run: &str, control: &Control| {
            let (run, function, dedupe_key) = (run.to_owned(), "f".to_owned(), format!("again/{run}"));
            Redelivery { run, function, dedupe_key, control: control.clone() }
        };
        let replaces = alone(SingletonMode::Cancel);
        let runs = [again("r2", &skip), again("r3", &replaces), again("r4", &gated(&[gate("g", "k", 1)], 7))];
        let started = database.store.redeliver_flow_event("r1", &runs, at(101)).await.expect("asked");
        assert_eq!(started, Some(vec![false, true, true]));
        assert_eq!(read(&database, "r1").await.state, RunState::Cancelled);
        let claimed = claim(&database, &[], 101, 10).await;
        assert_eq!(claimed.last().map(|run| (run.id.as_str(), run.rank)), Some(("r4", Some(7))));
    }

    async fn what_is_noted_of_events_goes_with_their_runs_and_no_earlier(database) {
        let database = database.migrated().await;
        let batch = |id: &str| run(id, gathered(GatherKind::Batch { events_max: 2, timeout: seconds(30) }), 100);
        let limited = |id: &str| run(id, Control { rate_limit: paced(1, 1_000), ..Control::default() }, 100);
        assert_eq!(start(&database, vec![batch("e1"), batch("e2"), limited("e3"), limited("e4")], 100).await, [true, false, true, false]);
        for held in claim(&database, &[], 100, 10).await {
            end(&database, &held, 110).await;
        }
        let prune = async |runs_before, events_before| {
            let (runs_before, events_before) = (at(runs_before), at(events_before));
            let retention = FlowRetention { runs_before, failed_before: runs_before, events_before };
            database.store.prune_flow(retention, 100).await.expect("pruned")
        };
        assert_eq!(prune(100, 5_000).await, 0, "a batch may be repeated");
        assert_eq!(start(&database, vec![batch("e2"), limited("e4")], 120).await, [false, false]);
        assert_eq!(prune(5_000, 5_000).await, 2 + 1 + 4 + 1, "runs, the note of e4, events, the pace");
        assert_eq!(start(&database, vec![batch("e2")], 5_000).await, [true], "all of it is forgotten");
    }

    async fn the_times_of_a_debounced_run_count_from_the_event_it_begins_with(database) {
        let database = database.migrated().await;
        let one = |id: &str, now| {
            let mut one = run(id, gathered(GatherKind::Debounce { period: seconds(10), longest: None }), now);
            one.runs[0].start_by = Some(at(now + 15));
            one
        };
        start(&database, vec![one("e1", 100)], 100).await;
        start(&database, vec![one("e2", 109)], 109).await;
        assert_eq!(expire(&database, 120).await, [""; 0]);
        assert_eq!(expire(&database, 124).await, ["e1"]);
    }
}
