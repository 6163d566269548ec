//! The real catalogue: every table takes a row with every column filled.

use billhook_core::row::{Row, Value};
use billhook_core::table::{ColumnType, Meta, Source, Table};
use billhook_store::{Guard, SchemaState};
use billhook_stripe::catalogue;

use crate::harness::Database;
use crate::tables::row;

/// A row with something in every column.
fn full(table: &'static Table) -> Row {
    let mut full = row(table, "id_1", 1_700_000_000);
    full.values = table
        .columns
        .iter()
        .map(|column| match (&column.source, column.column_type) {
            (Source::Meta(_) | Source::Null, _) => Value::Null,
            (_, ColumnType::Text) => Value::Text("text".to_owned()),
            (_, ColumnType::BigInt | ColumnType::Timestamp) => Value::BigInt(1_700_000_000),
            (_, ColumnType::Boolean) => Value::Boolean(true),
            (_, ColumnType::Numeric | ColumnType::Double) => Value::Decimal("1.5".to_owned()),
            (_, ColumnType::Json) => Value::Json(r#"{"a":1}"#.to_owned()),
        })
        .collect();
    full.values[0] = Value::Text("id_1".to_owned());
    full
}

on_both! {
    async fn every_table_takes_a_full_row(database) {
        let store = database.open_beside(catalogue::tables(), catalogue::revision()).await.expect("opens");
        let database = Database { store, ..database };
        let report = database.store.migrate().await.expect("migrates");
        assert_eq!(report.tables_created, catalogue::tables().len());
        assert_eq!(database.store.schema_state().await.expect("read"), SchemaState::Current);
        for table in catalogue::tables() {
            let written = database.upsert(table, vec![full(table)], Guard::Newer).await;
            assert_eq!(written, [true], "{}", table.name);
            database.link(table, vec!["id_1".to_owned()]).await;
            let rewritten = database.store.rewrite_rows(table, vec![full(table)]).await.expect("rewritten");
            assert_eq!(rewritten, 1, "{}", table.name);
        }
        database.store.close().await;
    }
}

#[test]
fn every_table_has_the_columns_that_the_store_names() {
    for table in catalogue::tables() {
        for (meta, name) in [
            (Meta::RawData, "_raw_data"),
            (Meta::AccountId, "_account_id"),
            (Meta::UpdatedAt, "updated_at"),
            (Meta::VersionTime, "_version_time"),
            (Meta::VersionRank, "_version_rank"),
            (Meta::SourceEvent, "_source_event"),
        ] {
            let column = table.column(name).map(|position| &table.columns[position].source);
            assert_eq!(column, Some(&Source::Meta(meta)), "{}.{name}", table.name);
        }
        assert_eq!(table.columns[0].name, "id");
    }
}
