//! Deliveries arrive once, whole and durable.

use billhook_store::{Delivery, EventState};
use bytes::Bytes;

use crate::harness::{at, delivery};

on_both! {
    async fn new_deliveries_are_numbered_in_order(database) {
        let database = database.migrated().await;
        let first = database.receive(&["evt_1", "evt_2"]).await;
        let second = database.receive(&["evt_3"]).await;
        assert!(first[0] < first[1] && first[1] < second[0], "{first:?} {second:?}");
        assert_eq!(database.pending().await, [first, second].concat());
    }

    async fn a_known_event_is_not_written_again(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        let again = Delivery { raw: Bytes::from_static(b"other"), ..delivery("evt_1", 2000) };
        let answers = database.store.insert_deliveries(vec![again, delivery("evt_2", 2001)]).await.expect("written");
        assert_eq!(answers[0], None);
        assert!(answers[1].is_some());
        let stored = database.store.event("evt_1").await.expect("read").expect("there");
        assert_eq!((stored.summary.sequence, stored.raw), (sequences[0], delivery("evt_1", 0).raw));
    }

    async fn twins_in_one_batch_count_as_one(database) {
        let database = database.migrated().await;
        let batch = ["evt_1", "evt_2", "evt_1", "evt_1"].map(|event_id| delivery(event_id, 1000)).to_vec();
        let answers = database.store.insert_deliveries(batch).await.expect("written");
        assert_eq!(answers.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, false, false]);
        assert_eq!(database.pending().await.len(), 2);
    }

    async fn an_applied_event_is_still_known(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        database.claim(sequences).await;
        let answers = database.store.insert_deliveries(vec![delivery("evt_1", 2000)]).await.expect("written");
        assert_eq!(answers, [None]);
        assert_eq!(database.pending().await, Vec::<i64>::new());
    }

    async fn nothing_to_write_is_no_error(database) {
        let database = database.migrated().await;
        assert_eq!(database.store.insert_deliveries(Vec::new()).await.expect("nothing to do"), Vec::<Option<i64>>::new());
    }

    async fn every_field_reads_back(database) {
        let database = database.migrated().await;
        let raw: Vec<u8> = (0..=255).cycle().take(70_000).collect();
        let sent = Delivery {
            event_id: "sha256:00ff".to_owned(),
            event_type: String::new(),
            object: "checkout.session".to_owned(),
            object_id: "cs_1".to_owned(),
            account: "acct_9".to_owned(),
            api_version: String::new(),
            created: None,
            livemode: None,
            snapshot_event: "evt_twin".to_owned(),
            received_at: jiff::Timestamp::from_microsecond(1_700_000_000_123_456).expect("in range"),
            secret_index: 3,
            raw: raw.clone().into(),
            sha256: std::array::from_fn(|position| position as u8),
        };
        database.store.insert_deliveries(vec![sent.clone()]).await.expect("written");
        let stored = database.store.event("sha256:00ff").await.expect("read").expect("there");
        assert_eq!(stored.raw, raw);
        assert_eq!(stored.sha256, sent.sha256);
        assert_eq!(stored.secret_index, 3);
        assert_eq!(stored.api_version, "");
        let summary = stored.summary;
        assert_eq!((summary.event_type.as_str(), summary.object.as_str(), summary.object_id.as_str()), ("", "checkout.session", "cs_1"));
        assert_eq!((summary.created, summary.received_at, summary.state), (None, sent.received_at, EventState::Pending));
        assert!(database.store.event("evt_none").await.expect("read").is_none());
    }

    async fn extreme_times_of_events_are_kept(database) {
        let database = database.migrated().await;
        for created in [i64::MIN, -1, 0, i64::MAX] {
            let event_id = format!("evt_{created}");
            let sent = Delivery { created: Some(created), ..delivery(&event_id, 1000) };
            database.store.insert_deliveries(vec![sent]).await.expect("written");
            let stored = database.store.event(&event_id).await.expect("read").expect("there");
            assert_eq!(stored.summary.created, Some(created));
        }
    }

    async fn of_many_senders_of_one_event_one_is_first(database) {
        let database = database.migrated().await;
        let mut senders = Vec::new();
        for sender in 0..8 {
            let store = database.store.clone();
            senders.push(tokio::spawn(async move {
                let own = format!("evt_own_{sender}");
                store.insert_deliveries(vec![delivery("evt_shared", 1000), delivery(&own, 1000)]).await.expect("written")
            }));
        }
        let mut first = 0;
        for sender in senders {
            let answers = sender.await.expect("no panic");
            first += usize::from(answers[0].is_some());
            assert!(answers[1].is_some());
        }
        assert_eq!(first, 1);
        assert_eq!(database.pending().await.len(), 9);
    }

    async fn what_was_acknowledged_survives_a_restart(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2"]).await;
        database.claim(vec![sequences[0]]).await;
        let database = database.reopened().await;
        assert_eq!(database.pending().await, [sequences[1]]);
        assert!(database.store.event("evt_1").await.expect("read").is_some());
        let answers = database.store.insert_deliveries(vec![delivery("evt_2", 3000), delivery("evt_3", 3000)]).await;
        let answers = answers.expect("written");
        assert_eq!(answers[0], None);
        assert!(answers[1].expect("new") > sequences[1]);
    }

    async fn the_backlog_counts_what_waits(database) {
        let database = database.migrated().await;
        let empty = database.store.backlog().await.expect("counted");
        assert_eq!((empty.deliveries, empty.oldest_received_at), (0, None));
        let sequences = database.receive(&["evt_1", "evt_2", "evt_3"]).await;
        database.claim(vec![sequences[0]]).await;
        let backlog = database.store.backlog().await.expect("counted");
        assert_eq!((backlog.deliveries, backlog.oldest_received_at), (2, Some(at(1001))));
    }

    async fn the_database_answers_a_ping(database) {
        database.store.ping().await.expect("it answers");
    }
}
