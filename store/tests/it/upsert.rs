//! Rows: every type reads back, and a row never goes back in time.

use billhook_core::row::{Rank, Row, Value, Version};
use billhook_store::{Guard, StoreError, Transaction, Work};
use serde_json::json;

use crate::harness::texts;
use crate::tables::{self, Draft, row, text};

/// Writes a row and then fails.
struct WriteAndFail(Row);

impl Work for WriteAndFail {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        assert_eq!(transaction.upsert(tables::things(), &[self.0], Guard::Newer).await?, [true]);
        Err(StoreError::Configuration("on purpose".to_owned()))
    }
}

fn named(id: &str, time: i64, name: &str) -> Row {
    row(tables::things(), id, time).with(tables::things(), "name", text(name))
}

/// Writes a row that has one value too few.
struct Misshapen;

impl Work for Misshapen {
    type Output = Vec<bool>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<bool>, StoreError> {
        let mut wrong = named("thing_1", 10, "a");
        wrong.values.pop();
        transaction.upsert(tables::things(), &[wrong], Guard::Newer).await
    }
}

on_both! {
    async fn every_type_reads_back(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let full = named("thing_1", 1_700_000_000, "Ärger & Co")
            .with(things, "amount", Value::BigInt(i64::MAX))
            .with(things, "active", Value::Boolean(true))
            .with(things, "percent", Value::Decimal("12.5".to_owned()))
            .with(things, "ratio", Value::Decimal("0.25".to_owned()))
            .with(things, "data", Value::Json(r#"{"a":[1,null,"x"]}"#.to_owned()))
            .with(things, "order", text("first"))
            .with(things, "owner", text("owner_1"));
        assert_eq!(database.upsert(things, vec![full], Guard::Newer).await, [true]);
        let column = async |name| database.column("things", "thing_1", name).await;
        assert_eq!(column("object").await.as_deref(), Some("thing"));
        assert_eq!(column("name").await.as_deref(), Some("Ärger & Co"));
        assert_eq!(column("amount").await.as_deref(), Some("9223372036854775807"));
        assert_eq!(database.flag("things", "thing_1", "active").await, Some(true));
        assert_eq!(column("percent").await.as_deref(), Some("12.5"));
        assert_eq!(column("ratio").await.as_deref(), Some("0.25"));
        assert_eq!(database.json("things", "thing_1", "data").await, Some(json!({"a": [1, null, "x"]})));
        assert_eq!(column("order").await.as_deref(), Some("first"));
        assert_eq!(column("owner").await.as_deref(), Some("owner_1"));
        assert_eq!(column("legacy").await, None);
    }

    async fn meta_columns_are_written_by_the_store(database) {
        let database = database.migrated().await;
        let before = jiff::Timestamp::now().as_second();
        let read = named("thing_1", 1_700_000_000, "a").rank(Rank::Read);
        database.upsert(tables::things(), vec![read], Guard::Newer).await;
        for column in ["last_synced_at", "_last_synced_at", "_updated_at"] {
            assert_eq!(database.seconds("things", "thing_1", column).await, Some(1_700_000_000), "{column}");
        }
        let updated_at = database.seconds("things", "thing_1", "updated_at").await.expect("set");
        assert!(updated_at >= before, "{updated_at} {before}");
        let column = async |name| database.column("things", "thing_1", name).await;
        assert_eq!(column("_version_time").await.as_deref(), Some("1700000000"));
        assert_eq!(column("_version_rank").await.as_deref(), Some("2"));
        assert_eq!(column("_source_event").await.as_deref(), Some("evt_thing_1_1700000000"));
        assert_eq!(column("_account_id").await.as_deref(), Some("acct_1"));
        assert_eq!(
            database.json("things", "thing_1", "_raw_data").await,
            Some(json!({"id": "thing_1", "time": 1_700_000_000}))
        );
    }

    async fn a_row_is_not_deleted_unless_it_says_so(database) {
        let database = database.migrated().await;
        database.upsert(tables::owners(), vec![row(tables::owners(), "owner_1", 10)], Guard::Newer).await;
        assert_eq!(database.flag("owners", "owner_1", "deleted").await, Some(false));
        let gone = row(tables::owners(), "owner_1", 11).with(tables::owners(), "deleted", Value::Boolean(true));
        database.upsert(tables::owners(), vec![gone], Guard::Newer).await;
        assert_eq!(database.flag("owners", "owner_1", "deleted").await, Some(true));
        database.upsert(tables::owners(), vec![row(tables::owners(), "owner_1", 12)], Guard::Newer).await;
        assert_eq!(database.flag("owners", "owner_1", "deleted").await, Some(false));
    }

    async fn a_newer_state_replaces_and_an_older_one_does_not(database) {
        let database = database.migrated().await;
        let things = tables::things();
        assert_eq!(database.upsert(things, vec![named("thing_1", 20, "now")], Guard::Newer).await, [true]);
        assert_eq!(database.upsert(things, vec![named("thing_1", 19, "older")], Guard::Newer).await, [false]);
        assert_eq!(database.upsert(things, vec![named("thing_1", 20, "twin")], Guard::Newer).await, [false]);
        assert_eq!(database.column("things", "thing_1", "name").await.as_deref(), Some("now"));
        assert_eq!(database.upsert(things, vec![named("thing_1", 21, "newer")], Guard::Newer).await, [true]);
        assert_eq!(database.column("things", "thing_1", "name").await.as_deref(), Some("newer"));
    }

    async fn ranks_decide_inside_one_second(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let states = [(Rank::Event, true), (Rank::Embedded, false), (Rank::Event, false), (Rank::Read, true), (Rank::Event, false)];
        for (step, (rank, written)) in states.into_iter().enumerate() {
            let state = named("thing_1", 20, &format!("step {step}")).rank(rank);
            assert_eq!(database.upsert(things, vec![state], Guard::Newer).await, [written], "step {step}");
        }
        // A later second beats any rank.
        let embedded = named("thing_1", 21, "later").rank(Rank::Embedded);
        assert_eq!(database.upsert(things, vec![embedded], Guard::Newer).await, [true]);
    }

    async fn not_older_lets_an_equal_version_in(database) {
        let database = database.migrated().await;
        let things = tables::things();
        for (name, time, rank, written) in [
            ("first", 20, Rank::Event, true),
            ("twin", 20, Rank::Event, true),
            ("weaker", 20, Rank::Embedded, false),
            ("older", 19, Rank::Read, false),
            ("stronger", 20, Rank::Read, true),
        ] {
            let state = named("thing_1", time, name).rank(rank);
            assert_eq!(database.upsert(things, vec![state], Guard::NotOlder).await, [written], "{name}");
        }
        assert_eq!(database.column("things", "thing_1", "name").await.as_deref(), Some("stronger"));
    }

    async fn always_writes_in_any_case(database) {
        let database = database.migrated().await;
        let things = tables::things();
        database.upsert(things, vec![named("thing_1", 20, "now")], Guard::Newer).await;
        assert_eq!(database.upsert(things, vec![named("thing_1", 5, "decided")], Guard::Always).await, [true]);
        let state = database.row_states(things, texts(&["thing_1"])).await.remove(0).expect("there");
        assert_eq!(state.version, Version { time: 5, rank: Rank::Event });
    }

    async fn answers_stand_in_the_order_of_the_rows(database) {
        let database = database.migrated().await;
        let things = tables::things();
        database.upsert(things, vec![named("b", 20, "b"), named("d", 20, "d")], Guard::Newer).await;
        let rows = vec![named("d", 10, "x"), named("a", 10, "x"), named("c", 10, "x"), named("b", 10, "x")];
        assert_eq!(database.upsert(things, rows, Guard::Newer).await, [false, true, true, false]);
        assert_eq!(database.upsert(things, Vec::new(), Guard::Newer).await, Vec::<bool>::new());
    }

    async fn versions_are_read_in_the_order_of_the_ids(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let rows = vec![named("a", 10, "x"), named("b", 20, "y").rank(Rank::Embedded)];
        database.upsert(things, rows, Guard::Newer).await;
        let states = database.row_states(things, texts(&["b", "missing", "a"])).await;
        let versions: Vec<_> = states.iter().map(|state| state.as_ref().map(|state| (state.version.time, state.version.rank))).collect();
        assert_eq!(versions, [Some((20, Rank::Embedded)), None, Some((10, Rank::Event))]);
        let first = states[0].as_ref().expect("there");
        assert_eq!(first.source_event, "evt_b_20");
        let raw: serde_json::Value = serde_json::from_str(&first.raw).expect("JSON");
        assert_eq!(raw, json!({"id": "b", "time": 20}));
    }

    async fn a_stub_keeps_what_it_says_nothing_about(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let full = named("thing_1", 10, "kept").with(things, "amount", Value::BigInt(5)).with(things, "owner", text("o"));
        database.upsert(things, vec![full], Guard::Newer).await;
        let stub = row(things, "thing_1", 11).stub(things);
        assert_eq!(database.upsert(things, vec![stub], Guard::Newer).await, [true]);
        let column = async |name| database.column("things", "thing_1", name).await;
        assert_eq!(database.flag("things", "thing_1", "deleted").await, Some(true));
        assert_eq!(column("name").await.as_deref(), Some("kept"));
        assert_eq!(column("amount").await.as_deref(), Some("5"));
        assert_eq!(column("owner").await.as_deref(), Some("o"));
        assert_eq!(column("_version_time").await.as_deref(), Some("11"));
        assert_eq!(column("_source_event").await.as_deref(), Some("evt_thing_1_11"));
        assert_eq!(database.json("things", "thing_1", "_raw_data").await, Some(json!({"id": "thing_1", "time": 10})));
        let older = row(things, "thing_1", 10).stub(things);
        assert_eq!(database.upsert(things, vec![older], Guard::Newer).await, [false]);
    }

    async fn a_stub_of_an_unknown_object_is_a_row(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let rows = vec![named("a", 10, "full"), row(things, "b", 10).stub(things), named("c", 10, "full")];
        assert_eq!(database.upsert(things, rows, Guard::Newer).await, [true, true, true]);
        assert_eq!(database.flag("things", "b", "deleted").await, Some(true));
        assert_eq!(database.flag("things", "c", "deleted").await, Some(false));
        assert_eq!(database.json("things", "b", "_raw_data").await, Some(json!({"id": "b", "time": 10})));
    }

    async fn columns_from_elsewhere_keep_what_they_hold(database) {
        let database = database.migrated().await;
        let (things, parts) = (tables::things(), tables::parts());
        database.upsert(things, vec![row(things, "t", 10).with(things, "owner", text("o_1"))], Guard::Newer).await;
        let part = row(parts, "p", 10).with(parts, "owner", text("o_1")).with(parts, "owner_name", text("Olga"));
        database.upsert(parts, vec![part], Guard::Newer).await;
        database.upsert(things, vec![row(things, "t", 11)], Guard::Newer).await;
        database.upsert(parts, vec![row(parts, "p", 11)], Guard::Newer).await;
        assert_eq!(database.column("things", "t", "owner").await.as_deref(), Some("o_1"));
        assert_eq!(database.column("parts", "p", "owner").await.as_deref(), Some("o_1"));
        assert_eq!(database.column("parts", "p", "owner_name").await.as_deref(), Some("Olga"));
        database.upsert(parts, vec![row(parts, "p", 12).with(parts, "owner", text("o_2"))], Guard::Newer).await;
        assert_eq!(database.column("parts", "p", "owner").await.as_deref(), Some("o_2"));
    }

    async fn an_ordinary_column_becomes_empty_again(database) {
        let database = database.migrated().await;
        database.upsert(tables::things(), vec![named("thing_1", 10, "a")], Guard::Newer).await;
        database.upsert(tables::things(), vec![row(tables::things(), "thing_1", 11)], Guard::Newer).await;
        assert_eq!(database.column("things", "thing_1", "name").await, None);
    }

    async fn a_row_from_before_billhook_gives_way(database) {
        let database = database.migrated().await;
        let insert = |table: &str| format!("INSERT INTO {table} (id, name) VALUES ('old_1', 'x'), ('old_2', 'x')");
        database.execute(&insert("things"), &insert("stripe.things")).await;
        let things = tables::things();
        assert_eq!(database.upsert(things, vec![named("old_1", 0, "new")], Guard::Newer).await, [true]);
        assert_eq!(database.upsert(things, vec![named("old_2", 1, "new")], Guard::NotOlder).await, [true]);
        assert_eq!(database.column("things", "old_1", "name").await.as_deref(), Some("new"));
    }

    async fn an_error_leaves_nothing(database) {
        let database = database.migrated().await;
        let failed = database.store.transact(WriteAndFail(named("thing_1", 10, "a"))).await;
        assert!(matches!(failed, Err(StoreError::Configuration(_))), "{failed:?}");
        assert!(!database.has("things", "thing_1").await);
    }

    async fn rows_are_removed_by_id(database) {
        let database = database.migrated().await;
        let things = tables::things();
        database.upsert(things, vec![named("a", 10, "x"), named("b", 10, "x")], Guard::Newer).await;
        database.delete_rows(things, texts(&["a", "missing"])).await;
        assert!(!database.has("things", "a").await);
        assert!(database.has("things", "b").await);
    }

    async fn a_table_without_deletions_obeys_the_same_guards(database) {
        let database = database.migrated().await;
        let streams = tables::streams();
        let state = |time, name| row(streams, "stream_1", time).with(streams, "name", text(name));
        assert_eq!(database.upsert(streams, vec![state(10, "a")], Guard::Newer).await, [true]);
        assert_eq!(database.upsert(streams, vec![state(10, "b")], Guard::Newer).await, [false]);
        assert_eq!(database.upsert(streams, vec![state(10, "c")], Guard::NotOlder).await, [true]);
        assert_eq!(database.upsert(streams, vec![state(9, "d")], Guard::NotOlder).await, [false]);
        assert_eq!(database.column("streams", "stream_1", "name").await.as_deref(), Some("c"));
    }

    async fn concurrent_writers_leave_the_newest(database) {
        let database = database.migrated().await;
        let tasks: Vec<_> = (0..12)
            .map(|time| {
                let database = database.clone();
                tokio::spawn(async move {
                    let rows = ["a", "b", "c"].map(|id| named(id, time, &format!("at {time}"))).to_vec();
                    database.upsert(tables::things(), rows, Guard::Newer).await
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        for id in ["a", "b", "c"] {
            assert_eq!(database.column("things", id, "name").await.as_deref(), Some("at 11"));
        }
    }
}

#[test]
fn on_sqlite_a_row_of_another_shape_is_refused() {
    crate::harness::on_sqlite(|database| async {
        let database = database.migrated().await;
        let refused = database.store.transact(Misshapen).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        assert!(!database.has("things", "thing_1").await);
    });
}
