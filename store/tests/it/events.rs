//! Lists of deliveries, and the inbox as the table `events`.

use billhook_store::{Delivery, EventFilter, EventState, EventSummary};
use serde_json::json;

use crate::harness::{Database, delivery};

fn sent(event_id: &str, event_type: &str, object_id: &str) -> Delivery {
    Delivery { event_type: event_type.to_owned(), object_id: object_id.to_owned(), ..delivery(event_id, 1000) }
}

async fn list(database: &Database, filter: EventFilter) -> Vec<EventSummary> {
    database.store.list_events(filter).await.expect("read")
}

fn ids(events: &[EventSummary]) -> Vec<&str> {
    events.iter().map(|event| event.event_id.as_str()).collect()
}

async fn four(database: &Database) -> Vec<i64> {
    let deliveries = vec![
        sent("evt_1", "thing.created", "thing_1"),
        sent("evt_2", "thing.updated", "thing_1"),
        sent("evt_3", "thing.updated", "thing_2"),
        sent("evt_4", "owner.updated", ""),
    ];
    let answers = database.store.insert_deliveries(deliveries).await.expect("written");
    answers.into_iter().map(|sequence| sequence.expect("new")).collect()
}

/// A scalar of the view for one event.
async fn viewed(database: &Database, event_id: &str, column: &str) -> Option<String> {
    database
        .value(
            &format!("SELECT {column} FROM events WHERE id = '{event_id}'"),
            &format!("SELECT {column} FROM stripe.events WHERE id = '{event_id}'"),
        )
        .await
}

on_both! {
    async fn the_newest_come_first(database) {
        let database = database.migrated().await;
        four(&database).await;
        assert_eq!(ids(&list(&database, EventFilter { limit: 3, ..EventFilter::default() }).await), ["evt_4", "evt_3", "evt_2"]);
    }

    async fn pages_continue_where_the_last_one_ended(database) {
        let database = database.migrated().await;
        let sequences = four(&database).await;
        let page = EventFilter { before_sequence: Some(sequences[2]), limit: 10, ..EventFilter::default() };
        assert_eq!(ids(&list(&database, page).await), ["evt_2", "evt_1"]);
    }

    async fn filters_narrow_the_list(database) {
        let database = database.migrated().await;
        four(&database).await;
        let by_type = EventFilter { event_type: Some("thing.updated".to_owned()), limit: 10, ..EventFilter::default() };
        assert_eq!(ids(&list(&database, by_type.clone()).await), ["evt_3", "evt_2"]);
        let by_object = EventFilter { object_id: Some("thing_1".to_owned()), limit: 10, ..EventFilter::default() };
        assert_eq!(ids(&list(&database, by_object.clone()).await), ["evt_2", "evt_1"]);
        let both = EventFilter { event_type: by_type.event_type, ..by_object };
        assert_eq!(ids(&list(&database, both).await), ["evt_2"]);
        let none = EventFilter { object_id: Some("' OR 1=1 --".to_owned()), limit: 10, ..EventFilter::default() };
        assert_eq!(ids(&list(&database, none).await), Vec::<&str>::new());
    }

    async fn each_shows_what_became_of_it(database) {
        let database = database.migrated().await;
        let sequences = four(&database).await;
        database.claim(vec![sequences[0]]).await;
        let listed = list(&database, EventFilter { limit: 10, ..EventFilter::default() }).await;
        assert_eq!(listed[3].state, EventState::Applied);
        assert_eq!(listed[2].state, EventState::Pending);
        assert_eq!((listed[2].sequence, listed[2].object.as_str(), listed[2].created), (sequences[1], "thing", Some(1000)));
    }

    async fn the_inbox_is_a_table_of_events(database) {
        let database = database.migrated().await;
        let raw = r#"{"id":"evt_1","object":"event","type":"thing.updated","created":1000,"pending_webhooks":2,
            "request":{"id":"req_1","idempotency_key":null},"data":{"object":{"id":"thing_1","amount":12}}}"#;
        let one = Delivery { raw: raw.as_bytes().to_vec().into(), ..delivery("evt_1", 1000) };
        database.store.insert_deliveries(vec![one]).await.expect("written");
        assert_eq!(viewed(&database, "evt_1", "object").await.as_deref(), Some("event"));
        assert_eq!(viewed(&database, "evt_1", "type").await.as_deref(), Some("thing.updated"));
        assert_eq!(viewed(&database, "evt_1", "created").await.as_deref(), Some("1000"));
        assert_eq!(viewed(&database, "evt_1", "pending_webhooks").await.as_deref(), Some("2"));
        assert_eq!(viewed(&database, "evt_1", "api_version").await.as_deref(), Some("2026-10-28.endive"));
        assert_eq!(viewed(&database, "evt_1", "account").await, None);
        assert_eq!(viewed(&database, "evt_1", "updated").await, None);
        let data: serde_json::Value = serde_json::from_str(&viewed(&database, "evt_1", "data").await.expect("data")).expect("JSON");
        assert_eq!(data, json!({"object": {"id": "thing_1", "amount": 12}}));
        let request: serde_json::Value =
            serde_json::from_str(&viewed(&database, "evt_1", "request").await.expect("text")).expect("JSON");
        assert_eq!(request, json!({"id": "req_1", "idempotency_key": null}));
        for column in ["livemode", "context", "updated_at", "last_synced_at", "_raw_data", "_account_id", "_last_synced_at", "_updated_at"] {
            viewed(&database, "evt_1", column).await;
        }
    }

    async fn a_body_that_is_no_json_does_not_break_the_table(database) {
        let database = database.migrated().await;
        let bodies: [&[u8]; 5] = [b"", b"{", b"\xff\xfe", b"{\"id\":\"\\u0000\",\"data\":1} ", b"[1,2]\0"];
        for (number, body) in bodies.into_iter().enumerate() {
            let odd = Delivery { raw: body.to_vec().into(), ..delivery(&format!("sha256:{number}"), 1000) };
            database.store.insert_deliveries(vec![odd]).await.expect("written");
        }
        let deep = Delivery { raw: "[".repeat(100_000).into_bytes().into(), ..delivery("sha256:deep", 1000) };
        database.store.insert_deliveries(vec![deep, delivery("evt_1", 1000)]).await.expect("written");
        let count = database.value(
            "SELECT count(*) FROM events WHERE data IS NOT NULL OR object IS NOT NULL OR request IS NULL",
            "SELECT count(*) FROM stripe.events WHERE data IS NOT NULL OR object IS NOT NULL OR request IS NULL",
        );
        assert_eq!(count.await.as_deref(), Some("7"));
        assert_eq!(viewed(&database, "sha256:1", "data").await, None);
    }
}
