//! Every run ends once, whatever becomes of the process that executes it.

use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::{Clock as _, ManualClock};
use billhook_flow::days;
use billhook_flow::engine::{Engine, EngineOptions};
use jiff::SignedDuration;

use super::{functions, on_both};

#[test]
fn a_run_ends_behind_its_sleep() {
    on_both("a_run_ends_behind_its_sleep", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/weekly").await.expect("a new run");
        assert_eq!(house.send("evt_1", "app/weekly").await, None, "an event starts a function once");
        engine.wake();
        let waiting = house.until(&run, RunState::Waiting).await;
        assert_eq!(waiting.due_at, house.clock.now().checked_add(days(7)).ok());
        house.clock.advance(days(7) - SignedDuration::from_millis(1));
        engine.wake();
        house.clock.advance(SignedDuration::from_millis(1));
        engine.wake();
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!((ended.result.as_deref(), ended.ended_at), (Some("6"), Some(house.clock.now())));
        assert_eq!(house.app.world.seen().len(), 3);
        engine.stop().await;
    });
}

#[test]
fn a_final_error_ends_a_run_with_its_message() {
    on_both("a_final_error_ends_a_run_with_its_message", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/refused").await.expect("a new run");
        engine.wake();
        let failed = house.until(&run, RunState::Failed).await;
        assert_eq!(failed.message.as_deref(), Some("no such\u{fffd} user"));
        assert_eq!(house.app.world.count("find"), 1);
        engine.stop().await;
    });
}

#[test]
fn a_function_that_panics_fails_its_run_and_no_other() {
    on_both("a_function_that_panics_fails_its_run_and_no_other", async |house| {
        let engine = house.engine("a");
        let broken = house.send("evt_1", "app/broken").await.expect("a new run");
        let other = house.send("evt_2", "app/weekly").await.expect("a new run");
        engine.wake();
        house.until(&broken, RunState::Waiting).await;
        house.until(&other, RunState::Waiting).await;
        house.clock.advance(SignedDuration::from_secs(2));
        engine.wake();
        let failed = house.until(&broken, RunState::Failed).await;
        assert_eq!(failed.message.as_deref(), Some("the function panicked: a bug of the function"));
        assert_eq!((house.app.world.count("once"), house.app.world.count("panic")), (1, 2));
        engine.stop().await;
    });
}

#[test]
fn what_a_dead_process_held_is_finished_by_another_one() {
    on_both("what_a_dead_process_held_is_finished_by_another_one", async |house| {
        let dying = house.engine("a");
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        dying.wake();
        house.seen("second", 1).await;
        dying.abandon();
        let heir = house.engine("b");
        heir.wake();
        assert_eq!(house.run(&run).await.state, RunState::Running, "its lease has not ended");
        house.clock.advance(SignedDuration::from_secs(10));
        heir.wake();
        house.seen("second", 2).await;
        house.app.gate.add_permits(1);
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"done\""));
        assert_eq!(house.app.world.count("first"), 1, "what is recorded is not repeated");
        let mut calls: Vec<String> =
            house.app.world.seen().into_iter().filter(|seen| seen.starts_with("second ")).collect();
        calls.dedup();
        assert_eq!(calls.len(), 1, "both attempts carry one key: {calls:?}");
        heir.stop().await;
    });
}

#[test]
fn a_zombie_cannot_write_to_a_run_it_lost() {
    on_both("a_zombie_cannot_write_to_a_run_it_lost", async |house| {
        // A lease that ends without its holder noticing: it is stopped in the middle of a step, and continued too late.
        let options = EngineOptions { lease: SignedDuration::from_secs(10), ..EngineOptions::new("zombie") };
        let clock = Arc::new(ManualClock::new(house.clock.now()));
        let app = Arc::new(house.app.clone());
        let zombie = Engine::start(options, functions(), app, house.store.clone(), clock);
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        zombie.wake();
        house.seen("second", 1).await;
        house.clock.advance(SignedDuration::from_secs(11));
        let heir = house.engine("heir");
        house.seen("second", 2).await;
        // Both go on; only one of them may end the run.
        house.app.gate.add_permits(2);
        let ended = house.until(&run, RunState::Succeeded).await;
        zombie.stop().await;
        heir.stop().await;
        assert_eq!(house.run(&run).await, ended);
        assert_eq!(house.store.flow_steps(&run).await.unwrap().len(), 2);
    });
}

#[test]
fn many_runs_end_once_each_over_several_engines() {
    const RUNS: usize = 300;
    on_both("many_runs_end_once_each_over_several_engines", async |house| {
        let mut runs = Vec::new();
        for number in 0..RUNS {
            runs.extend(house.send(&format!("evt_{number}"), "app/weekly").await);
        }
        assert_eq!(runs.len(), RUNS);
        let engines = [house.engine("a"), house.engine("b")];
        for run in &runs {
            house.until(run, RunState::Waiting).await;
        }
        house.clock.advance(days(7));
        engines.iter().for_each(Engine::wake);
        for run in &runs {
            assert_eq!(house.until(run, RunState::Succeeded).await.result.as_deref(), Some("6"));
        }
        let mut seen = house.app.world.seen();
        // The clock moved past schedules as well.
        seen.retain(|seen| !seen.starts_with("told "));
        seen.sort();
        let all = seen.len();
        seen.dedup();
        assert_eq!((all, seen.len()), (3 * RUNS, 3 * RUNS), "every step of every run, once");
        for engine in engines {
            engine.stop().await;
        }
    });
}

#[test]
fn a_run_that_kills_its_workers_is_set_aside() {
    on_both("a_run_that_kills_its_workers_is_set_aside", async |house| {
        let (parked, engine) = house.set_aside().await;
        assert!(parked.message.as_deref().is_some_and(|why| why.starts_with("5 workers died")), "{parked:?}");
        assert_eq!(house.app.world.count("second"), 5);
        engine.stop().await;
    });
}

#[test]
fn an_engine_that_stops_gives_back_what_it_has() {
    on_both("an_engine_that_stops_gives_back_what_it_has", async |house| {
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        for times in 1..=5 {
            let engine = house.engine("a");
            house.seen("second", times).await;
            engine.stop().await;
            assert_eq!(house.run(&run).await.state, RunState::Queued, "nobody has to wait for the end of the lease");
        }
        house.app.gate.add_permits(1);
        let engine = house.engine("b");
        house.until(&run, RunState::Succeeded).await;
        engine.stop().await;
    });
}

#[test]
fn a_paused_function_executes_nothing_until_it_is_resumed() {
    on_both("a_paused_function_executes_nothing_until_it_is_resumed", async |house| {
        house.store.pause_function("refused", "a wrong deploy", house.clock.now()).await.unwrap();
        let paused = house.send("evt_1", "app/refused").await.expect("a new run");
        let engine = house.engine("a");
        let other = house.send("evt_2", "app/weekly").await.expect("a new run");
        house.until(&other, RunState::Waiting).await;
        assert_eq!(house.run(&paused).await.state, RunState::Queued);
        assert!(house.store.resume_function("refused").await.unwrap());
        house.until(&paused, RunState::Failed).await;
        engine.stop().await;
    });
}
