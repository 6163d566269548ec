//! Rows are read in order and rewritten only when nothing newer came in between.

use billhook_core::row::{Rank, Row, Value, Version};
use billhook_core::table::Table;
use billhook_store::{Guard, StoredRow};
use serde_json::json;

use crate::harness::Database;
use crate::tables::{self, Draft, row, text};

fn named(id: &str, time: i64, name: &str) -> Row {
    row(tables::things(), id, time).with(tables::things(), "name", text(name))
}

async fn scan(database: &Database, table: &'static Table, after: &str, limit: usize) -> Vec<StoredRow> {
    database.store.scan_rows(table, after, limit).await.expect("read")
}

on_both! {
    async fn a_scan_walks_through_all_rows(database) {
        let database = database.migrated().await;
        let things = tables::things();
        // Byte order, whatever the language of the server.
        let ids = ["A", "B", "_", "a", "b", "é"];
        let rows = ids.iter().rev().map(|id| named(id, 10, "x")).collect();
        database.upsert(things, rows, Guard::Newer).await;
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = scan(&database, things, &after, 4).await;
            let Some(last) = page.last() else { break };
            after = last.id.clone();
            seen.extend(page.into_iter().map(|row| row.id));
        }
        assert_eq!(seen, ids);
        assert_eq!(scan(&database, tables::parts(), "", 4).await, []);
    }

    async fn a_scanned_row_has_what_rebuilding_needs(database) {
        let database = database.migrated().await;
        database.upsert(tables::things(), vec![named("thing_1", 10, "x").rank(Rank::Read)], Guard::Newer).await;
        let found = scan(&database, tables::things(), "", 4).await.remove(0);
        assert_eq!((found.id.as_str(), found.account.as_str(), found.source_event.as_str()), ("thing_1", "acct_1", "evt_thing_1_10"));
        assert_eq!(found.version, Version { time: 10, rank: Rank::Read });
        let raw: serde_json::Value = serde_json::from_str(&found.raw).expect("JSON");
        assert_eq!(raw, json!({"id": "thing_1", "time": 10}));
    }

    async fn rewriting_changes_the_columns_of_objects_only(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let full = named("thing_1", 10, "before")
            .with(things, "amount", Value::BigInt(1))
            .with(things, "owner", text("linked"))
            .with(things, "deleted", Value::Boolean(true));
        database.upsert(things, vec![full], Guard::Newer).await;
        let fresh = Row { raw: "{}".to_owned(), account: "other".to_owned(), ..named("thing_1", 10, "after") };
        assert_eq!(database.store.rewrite_rows(things, vec![fresh]).await.expect("rewritten"), 1);
        let column = async |name| database.column("things", "thing_1", name).await;
        assert_eq!(column("name").await.as_deref(), Some("after"));
        assert_eq!(column("amount").await, None);
        assert_eq!(column("owner").await.as_deref(), Some("linked"));
        assert_eq!(database.flag("things", "thing_1", "deleted").await, Some(true));
        assert_eq!(column("_account_id").await.as_deref(), Some("acct_1"));
        assert_eq!(database.json("things", "thing_1", "_raw_data").await, Some(json!({"id": "thing_1", "time": 10})));
    }

    async fn a_row_that_changed_meanwhile_is_left_alone(database) {
        let database = database.migrated().await;
        let things = tables::things();
        database.upsert(things, vec![named("time", 11, "newer"), named("rank", 10, "read").rank(Rank::Read), named("same", 10, "x")], Guard::Newer).await;
        let stale = ["time", "rank", "same", "missing"].map(|id| named(id, 10, "rebuilt")).to_vec();
        assert_eq!(database.store.rewrite_rows(things, stale).await.expect("rewritten"), 1);
        assert_eq!(database.column("things", "time", "name").await.as_deref(), Some("newer"));
        assert_eq!(database.column("things", "rank", "name").await.as_deref(), Some("read"));
        assert_eq!(database.column("things", "same", "name").await.as_deref(), Some("rebuilt"));
        assert!(!database.has("things", "missing").await);
    }

    async fn every_table_is_counted(database) {
        let database = database.migrated().await;
        database.upsert(tables::things(), vec![named("a", 1, "x"), named("b", 1, "x")], Guard::Newer).await;
        // PostgreSQL answers with an estimate, which ANALYZE makes exact.
        database.execute("SELECT 1", "ANALYZE stripe.things, stripe.owners").await;
        let counts = database.store.row_counts().await.expect("counted");
        assert_eq!(counts.len(), tables::all().len());
        assert!(counts.contains(&("things", 2)), "{counts:?}");
        assert!(counts.contains(&("owners", 0)), "{counts:?}");
    }
}
