//! Functions read the mirror, and wait until it has applied an event.

use std::sync::{Arc, Mutex};

use billhook_core::Clock;
use billhook_core::run::RunState;
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::{APPLIED, Ctx, Event, Functions, Mirror, Pending, Progress, Result, days, function, minutes};
use billhook_store::FlowRun;
use serde_json::{Value, json};

use super::{App, House, on_both};

/// A mirror with one invoice, which says of events what the test wants: each answer once, the last one for ever.
#[derive(Clone)]
struct Told(Arc<Mutex<Vec<Progress>>>);

impl Told {
    fn new(progress: &[Progress]) -> Self {
        Self(Arc::new(Mutex::new(progress.iter().rev().copied().collect())))
    }
}

impl Mirror for Told {
    fn object<'a>(&'a self, object: &'a str, id: &'a str) -> Pending<'a, Result<Option<Value>>> {
        Box::pin(async move { Ok((object == "invoice").then(|| json!({ "id": id, "status": "paid" }))) })
    }

    fn progress<'a>(&'a self, _event: &'a str) -> Pending<'a, Result<Progress>> {
        let mut told = self.0.lock().unwrap();
        let progress = if told.len() > 1 { told.pop() } else { told.last().copied() };
        Box::pin(async move { Ok(progress.unwrap_or(Progress::Unknown)) })
    }
}

/// Reads what its event names.
async fn reader(event: Event, ctx: Ctx<App>) -> Result<Value> {
    let read = ctx.mirror::<Value>(event.data["object"].as_str().unwrap_or_default(), "in_1");
    let read = match event.data["at_least"].as_str() {
        Some(event) => read.at_least(event).timeout(minutes(5)),
        None => read,
    };
    Ok(read.await?.unwrap_or_default()["status"].clone())
}

fn functions() -> Functions<App> {
    Functions::new().add(function("reader", reader).on("app/read"))
}

impl House {
    fn mirrored(&self, told: &Told) -> Engine {
        let options = EngineOptions { mirror: Some(Arc::new(told.clone())), ..EngineOptions::new("a") };
        let (app, clock) = (Arc::new(self.app.clone()), Arc::clone(&self.clock) as Arc<dyn Clock>);
        Engine::start(options, functions(), app, self.store.clone(), clock)
    }

    /// A run that reads.
    async fn reads(&self, id: &str, data: Value) -> String {
        let now = self.clock.now();
        let event = Event::new(id, "app/read", data, now);
        let publication = publication(&functions(), &event, Source::User, std::slice::from_ref(&event.name), now);
        let run = publication.runs[0].id.clone();
        self.store.transact(Publish::one(publication, now)).await.unwrap();
        run
    }

    /// The mirror applies an event of Stripe's.
    async fn applies(&self, id: &str) -> Vec<String> {
        let now = self.clock.now();
        let (event, names) = (Event::new(id, "stripe/invoice.paid", json!({}), now), [APPLIED.to_owned()]);
        let publication = publication(&functions(), &event, Source::Stripe, &names, now);
        self.store.transact(Publish::one(publication, now)).await.unwrap().remove(0).woken
    }
}

fn at_least(event: &str) -> Value {
    json!({ "object": "invoice", "at_least": event })
}

#[test]
fn a_read_without_a_bound_gives_what_is_there() {
    on_both("a_read_without_a_bound_gives_what_is_there", async |house| {
        let engine = house.mirrored(&Told::new(&[Progress::Unknown]));
        for (object, status) in [("invoice", "\"paid\""), ("coupon", "null")] {
            let run = house.reads(object, json!({ "object": object })).await;
            engine.wake();
            assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some(status));
        }
        engine.stop().await;
    });
}

#[test]
fn a_read_waits_for_the_event_and_for_no_other() {
    on_both("a_read_waits_for_the_event_and_for_no_other", async |house| {
        let engine = house.mirrored(&Told::new(&[Progress::Unknown]));
        let run = house.reads("e1", at_least("evt_1")).await;
        engine.wake();
        house.until(&run, RunState::Waiting).await;
        assert_eq!(house.applies("evt_2").await, [""; 0]);
        assert_eq!(house.applies("evt_1").await, std::slice::from_ref(&run));
        engine.wake();
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"paid\""));
        engine.stop().await;
    });
}

#[test]
fn an_event_that_is_applied_while_the_wait_begins_is_not_missed() {
    on_both("an_event_that_is_applied_while_the_wait_begins_is_not_missed", async |house| {
        let engine = house.mirrored(&Told::new(&[Progress::Waiting, Progress::Applied]));
        let run = house.reads("e1", at_least("evt_1")).await;
        engine.wake();
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"paid\""));
        engine.stop().await;
    });
}

#[test]
fn a_read_fails_in_time_and_says_what_is_missing() {
    for (progress, why) in [
        (Progress::Unknown, "evt_1 did not arrive within 5m"),
        (Progress::Waiting, "evt_1 has arrived and was not applied within 5m"),
        (Progress::SetAside, "the mirror has set evt_1 aside"),
    ] {
        on_both("a_read_fails_in_time_and_says_what_is_missing", async |house| {
            let engine = house.mirrored(&Told::new(&[progress]));
            let run = house.reads("e1", at_least("evt_1")).await;
            engine.wake();
            if progress != Progress::SetAside {
                house.until(&run, RunState::Waiting).await;
                house.clock.advance(minutes(5));
                engine.wake();
            }
            let FlowRun { message, .. } = house.until(&run, RunState::Failed).await;
            assert!(message.as_deref().is_some_and(|message| message.starts_with(why)), "{message:?}");
            engine.stop().await;
        });
    }
}

#[test]
fn an_event_that_nobody_told_of_counts_when_the_time_is_over() {
    on_both("an_event_that_nobody_told_of_counts_when_the_time_is_over", async |house| {
        let told = Told::new(&[Progress::Waiting, Progress::Waiting, Progress::Applied]);
        let engine = house.mirrored(&told);
        let run = house.reads("e1", at_least("evt_1")).await;
        engine.wake();
        house.until(&run, RunState::Waiting).await;
        house.clock.advance(days(1));
        engine.wake();
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"paid\""));
        engine.stop().await;
    });
}
