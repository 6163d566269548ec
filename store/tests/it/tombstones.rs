//! A late update never brings a deleted row back; a re-creation does.

use billhook_core::row::{Rank, Row};
use billhook_store::{Guard, Tombstone};

use crate::harness::{Database, texts};
use crate::tables::{self, Draft, row};

fn tombstone(time: i64) -> Tombstone {
    Tombstone { time, source_event: format!("evt_deleted_{time}"), base_time: None }
}

fn thing(time: i64) -> Row {
    row(tables::things(), "thing_1", time)
}

async fn bury(database: &Database, time: i64) {
    database.bury(tables::things(), vec![("thing_1".to_owned(), tombstone(time))]).await;
}

on_both! {
    async fn a_tombstone_reads_back(database) {
        let database = database.migrated().await;
        let marked = Tombstone { base_time: Some(i64::MIN), ..tombstone(7) };
        let buried = vec![("a".to_owned(), tombstone(5)), ("b".to_owned(), marked.clone())];
        database.bury(tables::things(), buried).await;
        let found = database.tombstones(tables::things(), texts(&["b", "missing", "a"])).await;
        assert_eq!(found, [Some(marked), None, Some(tombstone(5))]);
        // Another table's object of the same id lives.
        assert_eq!(database.tombstones(tables::lines(), texts(&["a"])).await, [None]);
    }

    async fn the_later_tombstone_stands(database) {
        let database = database.migrated().await;
        for time in [10, 5, 12] {
            bury(&database, time).await;
        }
        assert_eq!(database.tombstones(tables::things(), texts(&["thing_1"])).await, [Some(tombstone(12))]);
        bury(&database, 11).await;
        assert_eq!(database.tombstones(tables::things(), texts(&["thing_1"])).await, [Some(tombstone(12))]);
    }

    async fn a_late_update_is_forbidden(database) {
        let database = database.migrated().await;
        bury(&database, 10).await;
        for guard in [Guard::Newer, Guard::NotOlder] {
            for late in [thing(9), thing(10), thing(11), thing(11).rank(Rank::Read)] {
                assert_eq!(database.upsert(tables::things(), vec![late], guard).await, [false]);
            }
        }
        assert!(!database.has("things", "thing_1").await);
    }

    async fn only_a_strictly_later_revival_comes_back(database) {
        let database = database.migrated().await;
        bury(&database, 10).await;
        let revive = async |time| database.upsert(tables::things(), vec![thing(time).reviving()], Guard::Newer).await;
        assert_eq!(revive(9).await, [false]);
        assert_eq!(revive(10).await, [false]);
        assert_eq!(revive(11).await, [true]);
        assert!(database.has("things", "thing_1").await);
        // The tombstone is still there until it is taken away, so the next ordinary update is forbidden.
        assert_eq!(database.upsert(tables::things(), vec![thing(12)], Guard::Newer).await, [false]);
        database.unbury(tables::things(), texts(&["thing_1", "missing"])).await;
        assert_eq!(database.upsert(tables::things(), vec![thing(12)], Guard::Newer).await, [true]);
    }

    async fn a_tombstone_forbids_only_its_own_row(database) {
        let database = database.migrated().await;
        bury(&database, 10).await;
        let rows = vec![thing(11), row(tables::things(), "thing_2", 5)];
        assert_eq!(database.upsert(tables::things(), rows, Guard::Newer).await, [false, true]);
    }

    async fn stubs_obey_tombstones_too(database) {
        let database = database.migrated().await;
        bury(&database, 10).await;
        let stub = thing(11).stub(tables::things());
        assert_eq!(database.upsert(tables::things(), vec![stub], Guard::Newer).await, [false]);
    }

    async fn always_passes_over_tombstones(database) {
        let database = database.migrated().await;
        bury(&database, 10).await;
        assert_eq!(database.upsert(tables::things(), vec![thing(3)], Guard::Always).await, [true]);
    }

    async fn buried_rows_are_removed(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let rows = ["older", "equal", "newer", "free"].map(|id| row(things, id, 10)).to_vec();
        database.upsert(things, rows, Guard::Newer).await;
        let buried = vec![
            ("older".to_owned(), tombstone(11)),
            ("equal".to_owned(), tombstone(10)),
            ("newer".to_owned(), tombstone(9)),
        ];
        database.bury(things, buried).await;
        database.delete_buried(things, texts(&["older", "equal", "newer", "free", "missing"])).await;
        let mut left = Vec::new();
        for id in ["older", "equal", "newer", "free"] {
            if database.has("things", id).await {
                left.push(id);
            }
        }
        assert_eq!(left, ["newer", "free"]);
    }
}
