//! Rows outside of the ordering law: read by id, looked for, and searched for those a sweep did not meet.

use billhook_core::row::Value;
use billhook_store::{Guard, Tombstone, UnseenRow, UnseenRows};

use crate::harness::texts;
use crate::tables::{self, Draft, row, text};

fn unseen(ids: &[&str], next_after: Option<&str>) -> UnseenRows {
    let rows = ids.iter().map(|id| UnseenRow { id: (*id).to_owned(), account: "acct_1".to_owned() }).collect();
    UnseenRows { rows, next_after: next_after.map(ToOwned::to_owned) }
}

on_both! {
    async fn rows_are_read_in_the_order_of_the_ids(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let rows = vec![row(things, "a", 10).with(things, "name", text("x")), row(things, "b", 20)];
        database.upsert(things, rows, Guard::Newer).await;
        let read = database.store.rows(things, &texts(&["b", "missing", "a"])).await.expect("read");
        let shown: Vec<_> = read.iter().map(|row| row.as_ref().map(|row| (row.id.as_str(), row.version.time))).collect();
        assert_eq!(shown, [Some(("b", 20)), None, Some(("a", 10))]);
        let scanned = database.store.scan_rows(things, "a", 1).await.expect("read");
        assert_eq!(read[0].as_ref(), scanned.first());
        assert_eq!(database.store.rows(things, &[]).await.expect("read"), []);
    }

    async fn an_object_is_read_with_whether_it_is_deleted(database) {
        let database = database.migrated().await;
        let (owners, streams) = (tables::owners(), tables::streams());
        let gone = row(owners, "gone", 10).with(owners, "deleted", Value::Boolean(true));
        database.upsert(owners, vec![row(owners, "there", 10), gone], Guard::Newer).await;
        database.upsert(streams, vec![row(streams, "kept", 10)], Guard::Newer).await;
        let read = async |table, id: &str| database.store.object(table, id).await.expect("read");
        let deleted = async |table, id: &str| read(table, id).await.map(|object| object.is_deleted);
        assert_eq!(deleted(owners, "there").await, Some(false));
        assert_eq!(deleted(owners, "gone").await, Some(true));
        assert_eq!(deleted(streams, "kept").await, Some(false));
        assert_eq!(deleted(owners, "missing").await, None);
        let whole = database.store.rows(owners, &texts(&["there"])).await.expect("read").remove(0);
        assert_eq!(read(owners, "there").await.map(|object| object.raw), whole.map(|row| row.raw));
        let insert = |table: &str| format!("INSERT INTO {table} (id, name) VALUES ('old_1', 'x')");
        database.execute(&insert("streams"), &insert("stripe.streams")).await;
        assert_eq!(read(streams, "old_1").await, None, "a row of an older engine has no document");
    }

    async fn a_text_column_is_read_by_its_position(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let rows = vec![row(things, "a", 10).with(things, "order", text("x")), row(things, "b", 10)];
        database.upsert(things, rows, Guard::Newer).await;
        let order = things.column("order").expect("a column");
        let read = async |id: &str| database.store.text_of(things, order, id).await.expect("read");
        assert_eq!(read("a").await.as_deref(), Some("x"));
        assert_eq!((read("b").await, read("missing").await), (None, None));
        for column in [things.column("amount").expect("a column"), usize::MAX] {
            assert!(database.store.text_of(things, column, "a").await.is_err());
        }
    }

    async fn what_is_neither_there_nor_buried_is_missing(database) {
        let database = database.migrated().await;
        let things = tables::things();
        database.upsert(things, vec![row(things, "there", 10)], Guard::Newer).await;
        let stone = Tombstone { time: 10, source_event: String::new(), base_time: None };
        database.bury(things, vec![("buried".to_owned(), stone.clone())]).await;
        database.bury(tables::parts(), vec![("elsewhere".to_owned(), stone)]).await;
        let missing = database.missing_rows(things, texts(&["there", "z", "buried", "elsewhere"])).await;
        assert_eq!(missing, ["z", "elsewhere"]);
        assert!(database.missing_rows(things, Vec::new()).await.is_empty());
    }

    async fn rows_that_a_sweep_did_not_meet_are_found_step_by_step(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let rows = [("a", 10), ("b", 20), ("c", 10), ("d", 19), ("e", 21)].map(|(id, time)| row(things, id, time));
        database.upsert(things, rows.to_vec(), Guard::Newer).await;
        let gone = row(things, "c", 11).with(things, "deleted", Value::Boolean(true));
        database.upsert(things, vec![gone], Guard::Newer).await;
        let step = async |after: &str, limit| database.store.unseen_rows(things, 20, after, limit).await.expect("read");
        assert_eq!(step("", 10).await, unseen(&["a", "d"], None));
        assert_eq!(step("", 2).await, unseen(&["a"], Some("b")));
        assert_eq!(step("b", 2).await, unseen(&["d"], Some("d")));
        assert_eq!(step("d", 2).await, unseen(&[], None));
    }

    async fn rows_from_before_billhook_are_unseen(database) {
        let database = database.migrated().await;
        let insert = |table: &str| format!("INSERT INTO {table} (id, name) VALUES ('old_1', 'x')");
        database.execute(&insert("streams"), &insert("stripe.streams")).await;
        let found = database.store.unseen_rows(tables::streams(), 5, "", 10).await.expect("read");
        let expected = UnseenRow { id: "old_1".to_owned(), account: String::new() };
        assert_eq!(found, UnseenRows { rows: vec![expected], next_after: None });
    }
}
