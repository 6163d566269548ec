//! Deliveries that a person has to look at.

use billhook_store::{EventState, QuarantineEntry};

use crate::harness::{Database, at, texts};

fn entry(sequence: i64, reason: &'static str, second: i64) -> QuarantineEntry {
    QuarantineEntry { sequence, reason, detail: "the mode is live".to_owned(), applied: false, at: at(second) }
}

async fn state(database: &Database, event_id: &str) -> EventState {
    database.store.event(event_id).await.expect("read").expect("there").summary.state
}

/// Two deliveries, both applied and set aside.
async fn two_aside(database: &Database) -> Vec<i64> {
    let sequences = database.receive(&["evt_1", "evt_2"]).await;
    database.claim(sequences.clone()).await;
    database.quarantine(vec![entry(sequences[0], "wrong_mode", 2000), entry(sequences[1], "unreadable", 2001)]).await;
    sequences
}

on_both! {
    async fn open_entries_are_listed_newest_first(database) {
        let database = database.migrated().await;
        two_aside(&database).await;
        let listed = database.store.list_quarantine(10).await.expect("read");
        let seen: Vec<_> = listed.iter().map(|entry| (entry.event_id.as_str(), entry.reason.as_str(), entry.at)).collect();
        assert_eq!(seen, [("evt_2", "unreadable", at(2001)), ("evt_1", "wrong_mode", at(2000))]);
        assert_eq!((listed[0].event_type.as_str(), listed[0].detail.as_str(), listed[0].applied), ("thing.updated", "the mode is live", false));
        assert_eq!(database.store.list_quarantine(1).await.expect("read").len(), 1);
        assert_eq!(state(&database, "evt_1").await, EventState::Quarantined);
    }

    async fn retrying_puts_back_what_was_open(database) {
        let database = database.migrated().await;
        let sequences = two_aside(&database).await;
        assert_eq!(database.store.retry_quarantined(&texts(&["evt_1", "evt_unknown"])).await.expect("retried"), 1);
        assert_eq!(database.pending().await, [sequences[0]]);
        assert_eq!(state(&database, "evt_1").await, EventState::Pending);
        assert_eq!(database.store.list_quarantine(10).await.expect("read").len(), 1);
        assert_eq!(database.store.retry_quarantined(&texts(&["evt_1"])).await.expect("retried"), 0);
    }

    async fn dropping_only_closes(database) {
        let database = database.migrated().await;
        two_aside(&database).await;
        assert_eq!(database.store.drop_quarantined(&texts(&["evt_1", "evt_2"])).await.expect("dropped"), 2);
        assert_eq!(database.store.drop_quarantined(&texts(&["evt_1", "evt_2"])).await.expect("dropped"), 0);
        assert_eq!(database.pending().await, Vec::<i64>::new());
        assert_eq!(database.store.list_quarantine(10).await.expect("read"), []);
        assert_eq!(state(&database, "evt_1").await, EventState::Applied);
        assert_eq!(database.store.retry_quarantined(&texts(&["evt_1"])).await.expect("retried"), 0);
    }

    async fn a_second_entry_replaces_the_first_and_opens_it_again(database) {
        let database = database.migrated().await;
        let sequences = two_aside(&database).await;
        database.store.drop_quarantined(&texts(&["evt_1"])).await.expect("dropped");
        let again = QuarantineEntry { applied: true, detail: "again".to_owned(), ..entry(sequences[0], "unknown_type", 3000) };
        database.quarantine(vec![again]).await;
        let listed = database.store.list_quarantine(10).await.expect("read");
        let first = listed.iter().find(|entry| entry.event_id == "evt_1").expect("open again");
        assert_eq!((first.reason.as_str(), first.detail.as_str(), first.applied, first.at), ("unknown_type", "again", true, at(3000)));
        assert_eq!(listed.len(), 2);
    }
}
