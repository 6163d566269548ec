//! Runs of functions that a deploy left out.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::run::RunState;
use billhook_flow::Functions;
use billhook_flow::engine::{Engine, EngineOptions};
use billhook_store::StrayRuns;
use billhook_testkit::wait;
use jiff::SignedDuration;

use super::{App, House, functions, on_both};
use crate::database::PATIENCE;

impl House {
    /// An engine that knows only some of the functions.
    fn engine_knowing(&self, holder: &str, known: &[&str]) -> Engine {
        let of = |id: &&str| functions().get(id).expect("a function").clone();
        let functions = known.iter().map(of).fold(Functions::new(), Functions::<App>::add);
        let (app, clock) = (Arc::new(self.app.clone()), Arc::clone(&self.clock) as Arc<dyn Clock>);
        Engine::start(EngineOptions::new(holder), functions, app, self.store.clone(), clock)
    }
}

#[test]
fn runs_of_an_unknown_function_are_parked_and_go_on_when_a_process_knows_it() {
    on_both("runs_of_an_unknown_function_are_parked_and_go_on_when_a_process_knows_it", async |house| {
        let queued = house.send("evt_1", "app/refused").await.expect("a new run");
        let newer = house.engine_knowing("newer", &["weekly"]);
        // It says what it knows, and works meanwhile on what it does know.
        let weekly = house.send("evt_2", "app/weekly").await.expect("a new run");
        newer.wake();
        house.until(&weekly, RunState::Waiting).await;
        assert_eq!(house.run(&queued).await.state, RunState::Queued);
        let parked = async || {
            // It looks once a minute, and the first time it only tells what it knows.
            house.clock.advance(SignedDuration::from_mins(1));
            let run = house.run(&queued).await;
            (run.state == RunState::Parked).then_some(run)
        };
        let parked = wait::until_async("to be parked", PATIENCE, parked).await.unwrap();
        let rested = house.clock.now().duration_since(parked.created_at);
        assert!(rested >= SignedDuration::from_hours(1), "{rested:#}");
        assert_eq!(parked.message.as_deref(), Some("no process knows function refused"));
        assert_eq!(house.run(&weekly).await.state, RunState::Waiting, "what is known is left alone");
        let older = house.engine_knowing("older", &["refused"]);
        let failed = house.until(&queued, RunState::Failed).await;
        assert_eq!(failed.message.as_deref(), Some("no such\u{fffd} user"));
        newer.stop().await;
        older.stop().await;
    });
}

#[test]
fn only_what_nobody_has_known_for_long_is_parked() {
    on_both("only_what_nobody_has_known_for_long_is_parked", async |house| {
        for (id, name) in [("evt_1", "app/refused"), ("evt_2", "app/broken"), ("evt_3", "app/weekly")] {
            house.send(id, name).await.expect("a new run");
        }
        house.store.pause_function("broken", "a test", house.clock.now()).await.unwrap();
        let begin = house.clock.now();
        house.clock.advance(SignedDuration::from_hours(1));
        let now = house.clock.now();
        let park = async |known: &[&str], since| {
            let known = known.iter().map(|id| (*id).to_owned()).collect();
            house.store.park_stray_flow_runs(StrayRuns { known, since, now, limit: 10 }).await.unwrap()
        };
        let none: Vec<(String, u64)> = Vec::new();
        let before = begin.checked_sub(SignedDuration::from_secs(1)).unwrap();
        assert_eq!(park(&["weekly"], before).await, none, "none has been due for so long");
        let seen = begin.checked_add(SignedDuration::from_secs(1)).unwrap();
        house.store.note_known_functions(&["refused".to_owned()], seen).await.unwrap();
        // Somebody else, whose clock is behind.
        house.store.note_known_functions(&["refused".to_owned()], begin).await.unwrap();
        assert_eq!(park(&["weekly"], begin).await, none, "another process knows it");
        assert_eq!(park(&["weekly"], seen).await, [("refused".to_owned(), 1)], "it has not said so since");
        assert_eq!(park(&[], seen).await, [("weekly".to_owned(), 1)], "a paused function has nobody to miss");
        let taken = house.store.take_in_flow_runs(&["weekly".to_owned(), "broken".to_owned()], now, 10).await;
        assert_eq!(taken.unwrap(), 1);
        assert_eq!(house.store.take_in_flow_runs(&["weekly".to_owned()], now, 10).await.unwrap(), 0);
    });
}
