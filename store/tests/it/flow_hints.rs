//! Hints between processes: heard by others on PostgreSQL, by nobody on SQLite.

use billhook_store::Store;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinHandle, JoinSet};

use crate::harness::{Database, on_postgres, on_sqlite};
use crate::tables;

/// Hints told at the same time.
const MANY: usize = 1_000;

/// What listens, as the server knows it.
const LISTENERS: &str = "pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN billhook_flow%'";

/// Another process with the same database.
async fn other(database: &Database) -> Store {
    database.open_beside(tables::all(), 1).await.expect("it opens beside")
}

/// Listens in the background; gives a message each time something was heard.
fn hear(store: &Store) -> (UnboundedReceiver<()>, JoinHandle<()>) {
    let (sender, heard) = unbounded_channel();
    let store = store.clone();
    let hearing = tokio::spawn(async move {
        let say = || {
            let _ = sender.send(());
        };
        store.hear_flow_hints(say).await;
    });
    (heard, hearing)
}

async fn listeners(database: &Database) -> Option<String> {
    database.value("", &format!("SELECT count(*) FROM {LISTENERS}")).await
}

#[test]
fn a_hint_is_heard_by_all_processes() {
    on_postgres(async |database| {
        let (teller, listener) = (other(&database).await, other(&database).await);
        let (mut first, first_hearing) = hear(&listener);
        let (mut second, second_hearing) = hear(&teller);
        // The first one says that it listens.
        assert!(first.recv().await.is_some() && second.recv().await.is_some());
        teller.hint_flow_runs().await;
        assert!(first.recv().await.is_some() && second.recv().await.is_some());
        first_hearing.abort();
        second_hearing.abort();
        teller.close().await;
        listener.close().await;
    });
}

#[test]
fn many_hints_at_the_same_time_become_few() {
    on_postgres(async |database| {
        let teller = other(&database).await;
        let (mut heard, hearing) = hear(&database.store);
        assert!(heard.recv().await.is_some());
        let mut telling = JoinSet::new();
        for _ in 0..MANY {
            let teller = teller.clone();
            telling.spawn(async move { teller.hint_flow_runs().await });
        }
        telling.join_all().await;
        assert!(heard.recv().await.is_some());
        let mut more = 0;
        while heard.try_recv().is_ok() {
            more += 1;
        }
        assert!(more < MANY / 10, "{more} of {MANY} hints");
        hearing.abort();
        teller.close().await;
    });
}

#[test]
fn whoever_goes_away_while_it_waits_to_tell_keeps_nobody_from_telling() {
    on_postgres(async |database| {
        let teller = other(&database).await;
        let (mut heard, hearing) = hear(&database.store);
        assert!(heard.recv().await.is_some());
        teller.hint_flow_runs().await;
        assert!(heard.recv().await.is_some());
        // It has to wait, since one was told just now, and is dropped.
        tokio::select! {
            biased;
            () = teller.hint_flow_runs() => {}
            () = std::future::ready(()) => {}
        }
        teller.hint_flow_runs().await;
        assert!(heard.recv().await.is_some());
        hearing.abort();
        teller.close().await;
    });
}

#[test]
fn a_listener_whose_connection_ends_listens_again() {
    on_postgres(async |database| {
        let teller = other(&database).await;
        let (mut heard, hearing) = hear(&database.store);
        for _ in 0..3 {
            assert!(heard.recv().await.is_some());
            let ended = database.value("", &format!("SELECT count(pg_terminate_backend(pid)) FROM {LISTENERS}")).await;
            assert_eq!(ended.as_deref(), Some("1"));
        }
        // What was told meanwhile may be lost, so that it counts as heard when it listens again.
        assert!(heard.recv().await.is_some());
        teller.hint_flow_runs().await;
        assert!(heard.recv().await.is_some());
        hearing.abort();
        teller.close().await;
    });
}

#[test]
fn nothing_is_left_of_a_listener_that_ends() {
    on_postgres(async |database| {
        let (mut heard, hearing) = hear(&database.store);
        assert!(heard.recv().await.is_some());
        assert_eq!(listeners(&database).await.as_deref(), Some("1"));
        hearing.abort();
        while listeners(&database).await.as_deref() != Some("0") {
            tokio::task::yield_now().await;
        }
    });
}

#[test]
fn nobody_hears_anything_on_sqlite() {
    on_sqlite(async |database| {
        let (mut heard, hearing) = hear(&database.store);
        database.store.hint_flow_runs().await;
        hearing.await.expect("it ends by itself");
        assert_eq!(heard.recv().await, None);
    });
}
