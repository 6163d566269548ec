//! Engines tell each other of runs, on PostgreSQL; without any hint they find them all the same.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::run::RunState;
use billhook_flow::engine::{Engine, EngineOptions};
use billhook_testkit::{sql, wait};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::{House, functions, on_both};
use crate::database::{PATIENCE, opened};

/// What listens, as the server knows it.
const LISTENERS: &str = "pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN billhook_flow%'";

fn is_postgres(house: &House) -> bool {
    house.store.dialect() == "postgres"
}

/// Waits until so many engines listen.
async fn until_listening(house: &House, engines: i64) {
    let count = format!("SELECT count(*) FROM {LISTENERS}");
    let reached = async || (sql::number(&house.url(), &count).unwrap() == engines).then_some(());
    wait::until_async("engines that listen", PATIENCE, reached).await.unwrap();
}

/// Listens as another process does; gives a message each time something was heard, the first one when it begins to listen.
async fn hear(house: &House) -> UnboundedReceiver<()> {
    let (sender, mut heard) = unbounded_channel();
    let store = opened(&house.url()).await;
    tokio::spawn(async move {
        let say = || {
            let _ = sender.send(());
        };
        store.hear_flow_hints(say).await;
    });
    told(&mut heard).await;
    heard
}

/// Waits until something is heard.
async fn told(heard: &mut UnboundedReceiver<()>) {
    let something = timeout(PATIENCE, heard.recv()).await.expect("something is heard in time");
    something.expect("it goes on listening");
}

#[test]
fn runs_are_executed_while_the_connection_that_listens_ends_again_and_again() {
    on_both("runs_are_executed_while_the_connection_that_listens_ends_again_and_again", async |house| {
        let engine = house.engine("a");
        for round in 0..3 {
            if is_postgres(&house) {
                until_listening(&house, 1).await;
                sql::query(&house.url(), &format!("SELECT pg_terminate_backend(pid) FROM {LISTENERS}")).unwrap();
            }
            // Another process makes it ready, so nobody wakes the engine.
            let run = house.send(&format!("evt_{round}"), "app/refused").await.expect("a new run");
            house.store.hint_flow_runs().await;
            house.until(&run, RunState::Failed).await;
        }
        engine.stop().await;
        if is_postgres(&house) {
            until_listening(&house, 0).await;
        }
    });
}

#[test]
fn an_engine_without_a_free_place_tells_others_of_what_it_makes_ready() {
    on_both("an_engine_without_a_free_place_tells_others_of_what_it_makes_ready", async |house| {
        if !is_postgres(&house) {
            return;
        }
        let options = EngineOptions { runs_max: 1, ..EngineOptions::new("full") };
        let clock = Arc::clone(&house.clock) as Arc<dyn Clock>;
        let app = Arc::new(house.app.clone());
        let full = Engine::start(options, functions(), app, house.store.clone(), clock);
        let blocked = house.send("evt_1", "app/blocked").await.expect("a new run");
        full.wake();
        house.seen("second", 1).await;
        let mut heard = hear(&house).await;
        while heard.try_recv().is_ok() {}
        let run = house.send("evt_2", "app/refused").await.expect("a new run");
        full.wake();
        told(&mut heard).await;
        let free = house.engine("free");
        house.until(&run, RunState::Failed).await;
        house.app.gate.add_permits(1);
        house.until(&blocked, RunState::Succeeded).await;
        full.stop().await;
        free.stop().await;
    });
}

#[test]
fn an_engine_that_gives_runs_back_tells_others() {
    on_both("an_engine_that_gives_runs_back_tells_others", async |house| {
        if !is_postgres(&house) {
            return;
        }
        let engine = house.engine("stopping");
        house.send("evt_1", "app/blocked").await.expect("a new run");
        engine.wake();
        house.seen("second", 1).await;
        let mut heard = hear(&house).await;
        while heard.try_recv().is_ok() {}
        engine.stop().await;
        told(&mut heard).await;
    });
}
