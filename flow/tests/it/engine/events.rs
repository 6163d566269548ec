//! Events that runs wait for, send and are called off by, and what they tell each other.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::run::RunState;
use billhook_flow::engine::{Matcher, Publish, Source, publication, signal};
use billhook_flow::{Event, days};
use billhook_testkit::wait;
use jiff::SignedDuration;
use serde_json::json;

use super::{House, functions, on_both};
use crate::database::PATIENCE;

/// An event of the house's time.
fn told(house: &House, id: &str, name: &str, data: serde_json::Value) -> Event {
    Event::new(id, name, data, house.clock.now())
}

fn invoice(id: &str, amount: i64) -> serde_json::Value {
    json!({ "invoice": id, "amount": amount })
}

#[test]
fn a_wait_ends_with_the_event_that_matches_and_each_event_counts_once() {
    on_both("a_wait_ends_with_the_event_that_matches_and_each_event_counts_once", async |house| {
        let engine = house.engine("a");
        assert_eq!(
            house.publish(told(&house, "e0", "app/invoice", invoice("in_1", 99))).await,
            None,
            "its condition is false"
        );
        let run = house.publish(told(&house, "e1", "app/invoice", invoice("in_1", 100))).await.expect("a new run");
        // This one comes before the run can wait for it.
        house.publish(told(&house, "early", "app/paid", invoice("in_1", 1))).await;
        engine.wake();
        let waits = async || {
            let steps = house.store.flow_steps(&run).await.unwrap();
            steps.iter().any(|(key, memo)| key.to_string() == "paid" && memo.contains("early")).then_some(())
        };
        wait::until_async("the early event", PATIENCE, waits).await.unwrap();
        house.until(&run, RunState::Waiting).await;
        for (id, data) in [("other", invoice("in_2", 5)), ("nothing", invoice("in_1", 0)), ("late", invoice("in_1", 7))]
        {
            house.publish(told(&house, id, "app/paid", data)).await;
        }
        engine.wake();
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!(ended.result.as_deref(), Some(r#"["early","late"]"#));
        assert_eq!(house.app.world.count("begin e1"), 1);
        engine.stop().await;
    });
}

#[test]
fn a_wait_finds_an_earlier_event_behind_any_number_of_others() {
    const OTHERS: usize = 1_100;
    on_both("a_wait_finds_an_earlier_event_behind_any_number_of_others", async |house| {
        let run = house.publish(told(&house, "e1", "app/invoice", invoice("in_1", 100))).await.expect("a new run");
        let now = house.clock.now();
        let others = (0..OTHERS).map(|number| told(&house, &format!("a{number}"), "app/paid", invoice("in_2", 1)));
        let events = others.chain([told(&house, "z", "app/paid", invoice("in_1", 1))]);
        let publications =
            events.map(|event| publication(&functions(), &event, Source::User, std::slice::from_ref(&event.name), now));
        let publications = publications.collect();
        house.store.transact(Publish { publications, matcher: Arc::new(Matcher), now }).await.unwrap();
        let engine = house.engine("a");
        let waits = async || {
            let steps = house.store.flow_steps(&run).await.unwrap();
            steps.iter().any(|(key, memo)| key.to_string() == "paid" && memo.contains("came")).then_some(())
        };
        wait::until_async("the early event", PATIENCE, waits).await.unwrap();
        engine.stop().await;
    });
}

#[test]
fn a_wait_ends_by_its_time() {
    on_both("a_wait_ends_by_its_time", async |house| {
        let engine = house.engine("a");
        let run = house.publish(told(&house, "e1", "app/invoice", invoice("in_1", 100))).await.expect("a new run");
        engine.wake();
        let waiting = house.until(&run, RunState::Waiting).await;
        assert_eq!(waiting.due_at, house.clock.now().checked_add(days(3)).ok());
        house.clock.advance(days(3));
        engine.wake();
        let second = async || (house.store.flow_steps(&run).await.unwrap().len() == 3).then_some(());
        wait::until_async("the second wait", PATIENCE, second).await.unwrap();
        house.until(&run, RunState::Waiting).await;
        house.clock.advance(days(3));
        engine.wake();
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some(r#"["nothing","nothing"]"#));
        engine.stop().await;
    });
}

#[test]
fn a_run_is_called_off_by_what_comes_later_and_by_what_came_too_early() {
    on_both("a_run_is_called_off_by_what_comes_later_and_by_what_came_too_early", async |house| {
        let engine = house.engine("a");
        let failed = |id: &str, of: &str| told(&house, id, "app/failed", invoice(of, 1));
        let run = house.publish(failed("f1", "in_1")).await.expect("a new run");
        let other = house.publish(failed("f2", "in_2")).await.expect("a new run");
        assert_eq!(house.publish(failed("f3", "in_1")).await, None, "one chain for an invoice");
        engine.wake();
        house.until(&run, RunState::Waiting).await;
        house.until(&other, RunState::Waiting).await;
        house.clock.advance(SignedDuration::from_hours(1));
        house.publish(told(&house, "p1", "app/paid", invoice("in_1", 1))).await;
        assert_eq!(house.run(&run).await.state, RunState::Cancelled);
        assert_eq!(house.run(&run).await.message.as_deref(), Some("called off by app/paid (p1)"));

        // Paid after it failed, and told before it.
        let happened = house.clock.now();
        house.clock.advance(SignedDuration::from_hours(1));
        house.publish(told(&house, "p3", "app/paid", invoice("in_3", 1))).await;
        house.publish(told(&house, "p4", "app/paid", invoice("in_4", 1))).await;
        let early =
            house.publish(Event::new("f5", "app/failed", invoice("in_3", 1), happened)).await.expect("a new run");
        engine.wake();
        house.until(&early, RunState::Cancelled).await;
        // Paid, and then it failed anew: that is no reason.
        house.clock.advance(SignedDuration::from_hours(1));
        let again = house.publish(failed("f6", "in_4")).await.expect("a new run");
        engine.wake();
        house.until(&again, RunState::Waiting).await;
        house.clock.advance(days(3));
        engine.wake();
        for run in [&other, &again] {
            house.until(run, RunState::Succeeded).await;
        }
        assert_eq!(house.app.world.count("reminded"), 2);
        engine.stop().await;
    });
}

#[test]
fn a_run_sends_each_event_once_and_in_its_time() {
    on_both("a_run_sends_each_event_once_and_in_its_time", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/send").await.expect("a new run");
        engine.wake();
        let sent = house.until(&run, RunState::Succeeded).await;
        house.seen("find", 1).await;
        let ids: (String, String) = serde_json::from_str(&sent.result.expect("a result")).unwrap();
        assert_ne!(ids.0, ids.1);
        let (due, next) = house.store.due_flow_events(house.clock.now(), 10).await.unwrap();
        assert_eq!((due.len(), next), (0, house.clock.now().checked_add(days(30)).ok()));
        // Another run replaces what is scheduled under the same key.
        house.clock.advance(days(1));
        let second = house.send("evt_2", "app/send").await.expect("a new run");
        engine.wake();
        house.until(&second, RunState::Succeeded).await;
        house.clock.advance(days(29) + SignedDuration::from_hours(1));
        let (due, next) = house.store.due_flow_events(house.clock.now(), 10).await.unwrap();
        assert_eq!((due.len(), next.is_some()), (0, true));
        house.clock.advance(days(1));
        house.seen("one", 1).await;
        assert_eq!(house.store.due_flow_events(house.clock.now(), 10).await.unwrap().0.len(), 0);
        engine.stop().await;
        assert_eq!(house.app.world.seen().iter().filter(|seen| seen.starts_with("one ")).count(), 1);
    });
}

#[test]
fn a_function_invokes_others_and_hears_how_they_end() {
    on_both("a_function_invokes_others_and_hears_how_they_end", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/parent").await.expect("a new run");
        engine.wake();
        house.seen("one", 1).await;
        house.until(&run, RunState::Waiting).await;
        // What is executed is due when its lease ends, so it is not enough that nothing is due now.
        let end = house.clock.now().checked_add(days(7)).unwrap();
        let asleep = async || (house.store.next_flow_due().await.unwrap()? == end).then_some(());
        wait::until_async("all to sleep", PATIENCE, asleep).await.unwrap();
        house.clock.advance(days(7));
        engine.wake();
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"6, true\""));
        assert_eq!((house.app.world.count("one"), house.app.world.count("find")), (1, 1));
        engine.stop().await;
    });
}

#[test]
fn a_failure_starts_its_handler_and_a_failing_handler_starts_none() {
    on_both("a_failure_starts_its_handler_and_a_failing_handler_starts_none", async |house| {
        let engine = house.engine("a");
        house.send("evt_1", "app/failing").await.expect("a new run");
        engine.wake();
        house.seen("told other-failing", 1).await;
        house.seen("handler", 1).await;
        let quiet = async || house.store.next_flow_due().await.unwrap().is_none().then_some(());
        wait::until_async("all to end", PATIENCE, quiet).await.unwrap();
        assert_eq!((house.app.world.count("told"), house.app.world.count("handler")), (1, 1));
        engine.stop().await;
    });
}

#[test]
fn a_signal_reaches_exactly_the_run_that_waits_for_it() {
    on_both("a_signal_reaches_exactly_the_run_that_waits_for_it", async |house| {
        let engine = house.engine("a");
        let one = house.send("one", "app/approval").await.expect("a new run");
        let two = house.send("two", "app/approval").await.expect("a new run");
        engine.wake();
        let tell = async |name: &str| {
            let publication = signal(name, json!("yes"), house.clock.now());
            house.store.transact(Publish::one(publication, house.clock.now())).await.unwrap().remove(0).woken
        };
        assert_eq!(tell("approve \"three\"").await, [""; 0], "nobody waits for it, and it is not kept");
        house.until(&one, RunState::Waiting).await;
        house.until(&two, RunState::Waiting).await;
        assert_eq!(tell("approve \"two\"").await, std::slice::from_ref(&two));
        engine.wake();
        assert_eq!(house.until(&two, RunState::Succeeded).await.result.as_deref(), Some("\"yes\""));
        house.clock.advance(days(2));
        engine.wake();
        assert_eq!(house.until(&one, RunState::Succeeded).await.result.as_deref(), Some("null"));
        engine.stop().await;
    });
}

#[test]
fn a_signal_of_a_run_is_sent_once_and_reaches_whoever_waits_or_has_begun() {
    on_both("a_signal_of_a_run_is_sent_once_and_reaches_whoever_waits_or_has_begun", async |house| {
        let engine = house.engine("a");
        let waiting = house.send("one", "app/approval").await.expect("a new run");
        let asleep = house.send("two", "app/slow-approval").await.expect("a new run");
        let other = house.send("three", "app/approval").await.expect("a new run");
        engine.wake();
        for run in [&waiting, &asleep, &other] {
            house.until(run, RunState::Waiting).await;
        }
        let mut approvers = Vec::new();
        for of in ["one", "two"] {
            let approve = told(&house, &format!("approve {of}"), "app/approve", json!({ "of": of }));
            approvers.push(house.publish(approve).await.expect("a new run"));
        }
        engine.wake();
        assert_eq!(house.until(&waiting, RunState::Succeeded).await.result.as_deref(), Some("\"granted\""));
        house.seen("after", 2).await;
        for run in &approvers {
            house.until(run, RunState::Waiting).await;
        }
        // The senders are replayed behind their signals.
        house.clock.advance(SignedDuration::from_hours(1));
        engine.wake();
        house.seen("after", 4).await;
        let looked = async || (house.store.flow_steps(&asleep).await.unwrap().len() >= 3).then_some(());
        wait::until_async("the second wait", PATIENCE, looked).await.unwrap();
        assert_eq!(house.run(&other).await.state, RunState::Waiting);
        house.clock.advance(days(2));
        engine.wake();
        let heard = house.until(&asleep, RunState::Succeeded).await.result;
        assert_eq!(heard.as_deref(), Some("[\"granted\",null]"), "one signal ends one wait of a run");
        engine.stop().await;
    });
}
