//! An invoked run that ends without its function ends the wait of whoever invoked it.

use billhook_core::Clock;
use billhook_core::run::RunState;
use billhook_core::ulid::ulid;
use billhook_flow::engine::Engine;
use billhook_flow::{Event, days};
use billhook_store::{Cancellation, FlowRun, FlowRunFilter, Verdict};
use billhook_testkit::wait;
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{House, on_both};
use crate::database::PATIENCE;

impl House {
    /// A run that invokes a function with this data, and the invoked run as soon as it is there.
    async fn invokes(&self, engine: &Engine, function: &str, data: Value) -> (String, String) {
        let before = self.runs_of(function).await.len();
        let (id, data) = (ulid(self.clock.now()), json!({ "function": function, "data": data }));
        let caller = self.publish(Event::new(id, "app/call", data, self.clock.now())).await.expect("a new run");
        engine.wake();
        let begun = async || self.runs_of(function).await.into_iter().next().filter(|_| before == 0);
        let invoked = wait::until_async("the invoked run", PATIENCE, begun).await.unwrap();
        self.until(&caller, RunState::Waiting).await;
        (caller, invoked)
    }

    /// The runs of a function, newest first.
    async fn runs_of(&self, function: &str) -> Vec<String> {
        let filter = FlowRunFilter { function: Some(function.into()), limit: 10, ..FlowRunFilter::default() };
        self.store.list_flow_runs(filter).await.unwrap().into_iter().map(|run| run.id).collect()
    }

    /// What an invoker heard, without the ids.
    async fn heard(&self, caller: &str) -> String {
        let FlowRun { result, .. } = self.until(caller, RunState::Succeeded).await;
        result.unwrap()
    }
}

#[test]
fn an_invoker_hears_of_a_run_that_a_person_calls_off() {
    on_both("an_invoker_hears_of_a_run_that_a_person_calls_off", async |house| {
        let engine = house.engine("a");
        let (caller, invoked) = house.invokes(&engine, "weekly", json!({})).await;
        let verdict = house.store.cancel_flow_run(&invoked, "not wanted", house.clock.now()).await.unwrap();
        assert_eq!(verdict, Verdict::Done);
        let heard = house.heard(&caller).await;
        assert!(heard.contains(&format!("weekly (run {invoked}) is cancelled: not wanted")), "{heard}");
        engine.stop().await;
    });
}

#[test]
fn an_invoker_hears_of_a_run_that_is_called_off_with_many() {
    on_both("an_invoker_hears_of_a_run_that_is_called_off_with_many", async |house| {
        let engine = house.engine("a");
        let (caller, _) = house.invokes(&engine, "weekly", json!({})).await;
        house.clock.advance(SignedDuration::from_secs(1));
        // Nobody is there to tell when it happens.
        engine.stop().await;
        let now = house.clock.now();
        let cancellation = Cancellation {
            id: ulid(now),
            function: "weekly".into(),
            event_id: None,
            created_after: None,
            created_before: now,
            reason: "all of them".into(),
            requested_at: now,
        };
        assert_eq!(house.store.cancel_all_flow_runs(&cancellation, now).await.unwrap(), 1);
        let engines = [house.engine("b"), house.engine("c")];
        let heard = house.heard(&caller).await;
        assert!(heard.contains("is cancelled: all of them"), "{heard}");
        for engine in engines {
            engine.stop().await;
        }
    });
}

#[test]
fn an_invoker_hears_of_a_run_that_an_event_calls_off() {
    on_both("an_invoker_hears_of_a_run_that_an_event_calls_off", async |house| {
        let engine = house.engine("a");
        let (caller, invoked) = house.invokes(&engine, "reminder", json!({ "invoice": "in_1" })).await;
        house.until(&invoked, RunState::Waiting).await;
        house.publish(Event::new("evt_paid", "app/paid", json!({ "invoice": "in_1" }), house.clock.now())).await;
        house.until(&invoked, RunState::Cancelled).await;
        let heard = house.heard(&caller).await;
        assert!(heard.contains("is cancelled: called off by app/paid (evt_paid)"), "{heard}");
        engine.stop().await;
    });
}

#[test]
fn an_invoker_hears_of_a_run_that_expires_before_it_begins() {
    on_both("an_invoker_hears_of_a_run_that_expires_before_it_begins", async |house| {
        house.store.pause_function("late", "a test", house.clock.now()).await.unwrap();
        let engine = house.engine("a");
        let (caller, invoked) = house.invokes(&engine, "late", json!({})).await;
        assert_eq!(house.run(&invoked).await.started_at, None);
        house.clock.advance(days(1));
        let heard = house.heard(&caller).await;
        assert!(heard.contains("is expired: it did not begin in time"), "{heard}");
        engine.stop().await;
    });
}

#[test]
fn an_invoker_gets_the_result_that_a_person_gives_a_parked_run() {
    on_both("an_invoker_gets_the_result_that_a_person_gives_a_parked_run", async |house| {
        let engine = house.engine("a");
        let (caller, invoked) = house.invokes(&engine, "number", json!("no number")).await;
        house.until(&invoked, RunState::Parked).await;
        let now = house.clock.now();
        assert_eq!(house.store.resolve_flow_run(&invoked, "7", "seen to", now).await.unwrap(), Verdict::Done);
        assert_eq!(house.heard(&caller).await, "\"it returned 7\"");
        engine.stop().await;
    });
}

#[test]
fn an_invoker_hears_of_a_run_that_was_parked_for_a_month() {
    on_both("an_invoker_hears_of_a_run_that_was_parked_for_a_month", async |house| {
        let engine = house.engine("a");
        let (caller, invoked) = house.invokes(&engine, "number", json!("no number")).await;
        house.until(&invoked, RunState::Parked).await;
        house.clock.advance(days(30));
        let heard = house.heard(&caller).await;
        assert!(heard.contains("is failed: parked:"), "{heard}");
        engine.stop().await;
    });
}

#[test]
fn an_invoker_hears_of_a_run_that_the_function_does_not_start() {
    on_both("an_invoker_hears_of_a_run_that_the_function_does_not_start", async |house| {
        let engine = house.engine("a");
        house.invokes(&engine, "reminder", json!({ "invoice": "in_1" })).await;
        let call = json!({ "function": "reminder", "data": { "invoice": "in_1" } });
        let second = house.publish(Event::new("evt_2", "app/call", call, house.clock.now())).await.expect("a new run");
        engine.wake();
        let heard = house.heard(&second).await;
        assert!(heard.contains("is not started: another run has the same idempotency key"), "{heard}");
        engine.stop().await;
    });
}
