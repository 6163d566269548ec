//! What reads found and no event had told: noted, then confirmed or forgotten. And stretches of time without events.

use billhook_store::{DriftCount, DriftFind, DriftKind, Gap, StoredDrift};

use crate::harness::{Database, at, delivery};

fn find(id: &str, found_at: i64) -> DriftFind {
    DriftFind {
        object: "thing".to_owned(),
        id: id.to_owned(),
        kind: DriftKind::Changed,
        detail: "name, amount".to_owned(),
        previous_time: Some(found_at - 50),
        previous_event: format!("evt_{found_at}"),
        read_at: found_at - 1,
        found_at: at(found_at),
    }
}

async fn due(database: &Database, before: i64) -> Vec<StoredDrift> {
    database.store.due_drift(at(before), 10).await.expect("read")
}

on_both! {
    async fn finds_are_due_when_their_grace_is_over(database) {
        let database = database.migrated().await;
        let all = vec![find("b", 200), DriftFind { kind: DriftKind::Gone, previous_time: None, ..find("a", 100) }];
        database.note_drift(all.clone()).await;
        assert!(due(&database, 100).await.is_empty());
        assert_eq!(due(&database, 101).await.into_iter().map(|drift| drift.find).collect::<Vec<_>>(), [all[1].clone()]);
        let found = due(&database, 999).await;
        assert_eq!(found.iter().map(|drift| &drift.find).collect::<Vec<_>>(), [&all[1], &all[0]]);
        assert!(found.iter().all(|drift| drift.confirmed_at.is_none()));
        assert_eq!(database.store.due_drift(at(999), 1).await.expect("read").len(), 1);
    }

    async fn each_change_of_an_object_is_a_find_of_its_own(database) {
        let database = database.migrated().await;
        let missing = DriftFind { kind: DriftKind::Missing, previous_time: None, previous_event: String::new(), ..find("a", 100) };
        database.note_drift(vec![missing.clone()]).await;
        database.note_drift(vec![find("a", 500)]).await;
        let found = due(&database, 999).await;
        assert_eq!(found.iter().map(|drift| &drift.find).collect::<Vec<_>>(), [&missing, &find("a", 500)]);
        database.store.settle_drift(&[found[1].number], &[found[0].number], at(600)).await.expect("written");
        let listed = database.store.list_drift(10).await.expect("read");
        assert_eq!(listed.iter().map(|drift| drift.find.found_at).collect::<Vec<_>>(), [at(500)]);
    }

    async fn finds_are_confirmed_or_forgotten(database) {
        let database = database.migrated().await;
        database.note_drift(vec![find("a", 100), find("b", 101), find("c", 102)]).await;
        let numbers: Vec<i64> = due(&database, 999).await.into_iter().map(|drift| drift.number).collect();
        database.store.settle_drift(&numbers[..1], &numbers[1..2], at(300)).await.expect("written");
        assert_eq!(due(&database, 999).await.iter().map(|drift| drift.number).collect::<Vec<_>>(), numbers[2..]);
        let listed = database.store.list_drift(10).await.expect("read");
        let shown: Vec<_> = listed.iter().map(|drift| (drift.find.id.as_str(), drift.confirmed_at)).collect();
        assert_eq!(shown, [("c", None), ("a", Some(at(300)))]);
        // What was decided stays so.
        database.store.settle_drift(&numbers[..1], &numbers[..1], at(400)).await.expect("written");
        assert_eq!(database.store.list_drift(1).await.expect("read")[0].find.id, "c");
        assert_eq!(database.store.list_drift(10).await.expect("read")[1].confirmed_at, Some(at(300)));
    }

    async fn an_object_may_drift_again(database) {
        let database = database.migrated().await;
        database.note_drift(vec![find("a", 100)]).await;
        let first = due(&database, 999).await.remove(0);
        database.store.settle_drift(&[first.number], &[], at(300)).await.expect("written");
        database.note_drift(vec![find("a", 400)]).await;
        let second = due(&database, 999).await.remove(0);
        assert_ne!(second.number, first.number);
        let other = DriftFind { object: "owner".to_owned(), ..find("a", 400) };
        database.note_drift(vec![other]).await;
        let count = |object: &str, waiting, confirmed| DriftCount { object: object.to_owned(), waiting, confirmed };
        let counts = database.store.drift_counts().await.expect("counted");
        assert_eq!(counts, [count("owner", 1, 0), count("thing", 1, 1)]);
    }

    async fn old_drift_is_pruned_and_undecided_finds_are_not(database) {
        let database = database.migrated().await;
        database.note_drift(vec![find("a", 100), find("b", 101), find("c", 102)]).await;
        let numbers: Vec<i64> = due(&database, 999).await.into_iter().map(|drift| drift.number).collect();
        database.store.settle_drift(&numbers[..2], &[], at(300)).await.expect("written");
        assert_eq!(database.store.prune_drift(at(300), 10).await.expect("pruned"), 0);
        assert_eq!(database.store.prune_drift(at(999), 1).await.expect("pruned"), 1);
        assert_eq!(database.store.prune_drift(at(999), 10).await.expect("pruned"), 1);
        assert_eq!(database.store.list_drift(10).await.expect("read").len(), 1);
    }

    async fn an_event_in_a_stretch_of_time_is_found(database) {
        let database = database.migrated().await;
        // About thing_1, at second 1000.
        database.store.insert_deliveries(vec![delivery("evt_1", 1000)]).await.expect("written");
        let has = async |id: &str, after, upto| database.store.object_has_event_between(id, after, upto).await.expect("read");
        assert!(has("thing_1", 999, 1000).await);
        assert!(!has("thing_1", 1000, 2000).await);
        assert!(!has("thing_1", 0, 999).await);
        assert!(!has("thing_2", 0, 2000).await);
        assert!(!has("", 0, 2000).await);
    }

    async fn gaps_are_remembered(database) {
        let database = database.migrated().await;
        let gap = |from, runs| Gap { from, to: from + 100, recorded_at: at(5000), runs };
        let (first, second) = (gap(100, vec![]), gap(300, vec![7, 8]));
        for gap in [&first, &second] {
            database.store.record_gap(gap).await.expect("written");
        }
        assert_eq!(database.store.list_gaps(10).await.expect("read"), [second.clone(), first]);
        assert_eq!(database.store.list_gaps(1).await.expect("read"), [second]);
    }
}
