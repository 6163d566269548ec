//! A clock that is moved by hand: what is due on the way is done in its order.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::run::RunState;
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::test_clock::{Advance, ClockControl, ClockError, Moved, TestClock, frozen_at};
use billhook_flow::{Event, Functions, days, hours};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{App, House, functions, on_both};
use crate::database::PATIENCE;

/// An engine by a clock that stands still.
struct Frozen {
    engine: Engine,
    control: ClockControl,
}

impl House {
    async fn frozen(&self, known: &[&str]) -> Frozen {
        let clock = Arc::new(TestClock::open(&self.store).await.unwrap());
        let (app, now) = (Arc::new(self.app.clone()), Arc::clone(&clock) as Arc<dyn Clock>);
        let of = |id: &&str| functions().get(id).expect("a function").clone();
        let functions = known.iter().map(of).fold(Functions::new(), Functions::<App>::add);
        let engine = Engine::start(EngineOptions::new("a"), functions, app, self.store.clone(), now);
        let control = ClockControl::new(clock, self.store.clone(), engine.settle());
        control.freeze().await.unwrap();
        Frozen { engine, control }
    }

    async fn publish_at(&self, now: Timestamp, id: &str, name: &str, data: Value) -> String {
        let event = Event::new(id, name, data, now);
        let publication = publication(&functions(), &event, Source::User, std::slice::from_ref(&event.name), now);
        let run = publication.runs.first().map(|run| run.id.clone()).unwrap_or_default();
        self.store.transact(Publish::one(publication, now)).await.unwrap();
        run
    }
}

impl Frozen {
    fn now(&self) -> Timestamp {
        self.control.clock().now()
    }

    async fn advance(&self, by: SignedDuration) -> Timestamp {
        let moved = self.control.advance(Advance::By(by), PATIENCE).await.unwrap();
        assert!(moved.is_done && moved.now == moved.to, "{moved:?}");
        moved.now
    }
}

#[test]
fn all_that_is_due_on_the_way_is_done_at_its_time() {
    on_both("all_that_is_due_on_the_way_is_done_at_its_time", async |house| {
        let frozen = house.frozen(&["reminder", "weekly", "sender", "refused"]).await;
        let begin = frozen.now();
        // Three days of sleep; a week; and one that is sent for in 30 days, which sleeps a week then.
        house.publish_at(begin, "e1", "app/failed", json!({ "invoice": "in_1" })).await;
        let weekly = house.publish_at(begin, "e2", "app/weekly", json!({})).await;
        house.publish_at(begin, "e3", "app/send", json!({})).await;
        assert_eq!(frozen.advance(days(40)).await, begin.checked_add(days(40)).unwrap());
        // It has come to rest: nothing more happens without the clock.
        let world = &house.app.world;
        let counts = ["noticed", "reminded", "one", "two", "find"].map(|what| world.count(what));
        // What stands before a sleep and in no step is run again behind it.
        assert_eq!(counts, [2, 1, 2, 2, 1], "{:?}", world.seen());
        let ended = house.run(&weekly).await;
        assert_eq!((ended.state, ended.ended_at), (RunState::Succeeded, begin.checked_add(days(7)).ok()));
        frozen.engine.stop().await;
    });
}

#[test]
fn schedules_come_one_after_the_other_each_at_its_time() {
    on_both("schedules_come_one_after_the_other_each_at_its_time", async |house| {
        let frozen = house.frozen(&["hourly", "half-hourly"]).await;
        frozen.advance(hours(12)).await;
        let told = house.app.world.seen();
        assert!(told.len() == 24 && told.is_sorted(), "{told:?}");
        frozen.engine.stop().await;
    });
}

#[test]
fn it_stands_still_and_never_goes_back_also_over_a_restart() {
    on_both("it_stands_still_and_never_goes_back_also_over_a_restart", async |house| {
        assert_eq!(frozen_at(&house.store).await.unwrap(), None);
        let frozen = house.frozen(&["blocked"]).await;
        let begin = frozen.now();
        let run = house.publish_at(begin, "e1", "app/blocked", json!({})).await;
        frozen.engine.wake();
        house.seen("second", 1).await;
        // As when the process is killed: the lease does not end while the clock stands.
        frozen.engine.abandon();
        let frozen = house.frozen(&["blocked"]).await;
        assert_eq!(frozen.now(), begin);
        assert_eq!(house.store.release_all_flow_runs(begin).await.unwrap(), 1);
        house.app.gate.add_permits(2);
        frozen.advance(hours(0)).await;
        assert_eq!(house.run(&run).await.state, RunState::Succeeded);
        let now = frozen.advance(hours(2)).await;
        assert_eq!(frozen_at(&house.store).await.unwrap(), Some(now));
        let back = frozen.control.advance(Advance::To(begin), PATIENCE).await;
        assert!(matches!(back, Err(ClockError::Backward { .. })), "{back:?}");
        let far = frozen.control.advance(Advance::By(days(367)), PATIENCE).await;
        assert!(matches!(far, Err(ClockError::TooFar { .. })), "{far:?}");
        assert_eq!(frozen.control.freeze().await.unwrap(), now);
        frozen.engine.stop().await;
    });
}

#[test]
fn a_move_that_takes_long_is_broken_off_and_goes_on_when_it_is_asked_again() {
    on_both("a_move_that_takes_long_is_broken_off_and_goes_on_when_it_is_asked_again", async |house| {
        let frozen = house.frozen(&["blocked"]).await;
        let begin = frozen.now();
        house.publish_at(begin, "e1", "app/blocked", json!({})).await;
        let moved = frozen.control.advance(Advance::By(hours(1)), Duration::from_millis(1)).await.unwrap();
        let to = begin.checked_add(hours(1)).unwrap();
        assert_eq!(moved, Moved { now: begin, to, is_done: false }, "a step is under way");
        house.app.gate.add_permits(1);
        let moved = frozen.control.advance(Advance::To(to), PATIENCE).await.unwrap();
        assert_eq!(moved, Moved { now: to, to, is_done: true });
        frozen.engine.stop().await;
    });
}
