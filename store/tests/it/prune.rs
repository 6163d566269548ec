//! Retention removes what is done with, and nothing else.

use crate::harness::{Database, at, delivery, texts};
use billhook_store::QuarantineEntry;

fn aside(sequence: i64) -> QuarantineEntry {
    QuarantineEntry { sequence, reason: "wrong_mode", detail: String::new(), applied: false, at: at(2000) }
}

async fn prune(database: &Database, before: i64, limit: usize) -> u64 {
    database.store.prune_deliveries(at(before), limit).await.expect("pruned")
}

on_both! {
    async fn old_applied_deliveries_go(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2", "evt_3"]).await;
        database.claim(sequences).await;
        assert_eq!(prune(&database, 1002, 10).await, 2);
        assert_eq!(database.known_events(texts(&["evt_1", "evt_2", "evt_3"])).await, ["evt_3"]);
        assert_eq!(prune(&database, 1002, 10).await, 0);
    }

    async fn a_limit_bounds_one_step(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2", "evt_3"]).await;
        database.claim(sequences).await;
        assert_eq!(prune(&database, 9999, 2).await, 2);
        assert_eq!(database.known_events(texts(&["evt_1", "evt_2", "evt_3"])).await, ["evt_3"]);
        assert_eq!(prune(&database, 9999, 2).await, 1);
    }

    async fn what_waits_or_needs_a_person_stays(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_waits", "evt_aside", "evt_dropped"]).await;
        database.claim(sequences[1..].to_vec()).await;
        database.quarantine(vec![aside(sequences[1]), aside(sequences[2])]).await;
        database.store.drop_quarantined(&texts(&["evt_dropped"])).await.expect("dropped");
        assert_eq!(prune(&database, 9999, 10).await, 1);
        let mut known = database.known_events(texts(&["evt_waits", "evt_aside", "evt_dropped"])).await;
        known.sort();
        assert_eq!(known, ["evt_aside", "evt_waits"]);
    }

    async fn a_removed_number_is_not_given_again(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        database.claim(sequences.clone()).await;
        assert_eq!(prune(&database, 9999, 10).await, 1);
        let answers = database.store.insert_deliveries(vec![delivery("evt_2", 1000)]).await.expect("written");
        assert!(answers[0].expect("new") > sequences[0]);
    }
}
