//! Documents that stand in an object and documents that are given beside it become the same columns.

use billhook_core::row::{Rank, Row, Value as Column, Version};
use billhook_core::table::{Segment, Source, Table};
use billhook_mirror::projection::{self, Context};
use billhook_store::{Guard, StoreError, Transaction, Work};
use billhook_stripe::catalogue;
use serde_json::{Map, Value, json};

use crate::harness::on_each_store;

/// Objects of each table.
const OBJECTS: u64 = 40;

struct Upsert {
    table: &'static Table,
    rows: Vec<Row>,
}

impl Work for Upsert {
    type Output = Vec<bool>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<bool>, StoreError> {
        transaction.upsert(self.table, &self.rows, Guard::Newer).await
    }
}

/// Numbers that depend only on the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth == 0 { 6 } else { 9 }) {
            0 | 1 => Value::Null,
            2 => json!("te\"xt ∑"),
            3 => json!(self.below(1000)),
            4 => json!(false),
            5 => json!(1.25e-7),
            6 => Value::Array((0..self.below(3)).map(|_| self.value(depth - 1)).collect()),
            _ => json!({ "a": self.value(depth - 1), "amount": self.below(9), "data": [self.value(depth - 1)] }),
        }
    }

    /// An object with something at every path that a document of the table comes from.
    fn object(&mut self, table: &Table, id: &str) -> String {
        let mut object = Map::new();
        object.insert("id".to_owned(), json!(id));
        for path in table.columns.iter().filter_map(|column| column.json_paths()).flatten() {
            let Some(Segment::Key(key)) = path.first() else { continue };
            if self.below(5) > 0 {
                object.insert(key.clone(), self.value(2));
            }
        }
        Value::Object(object).to_string()
    }
}

fn project(table: &'static Table, object: &str, time: i64) -> Row {
    let context = Context {
        account: "",
        version: Version { time, rank: Rank::Read },
        source_event: "",
        revives: true,
        deletes: false,
        parent: None,
    };
    projection::project(table, object, &context).unwrap().row
}

/// The same row with every document written out.
fn given(mut row: Row) -> Row {
    let values = row.values.iter().map(|value| match row.json(value) {
        Some(document) => Column::Json(document.to_owned()),
        None => value.clone(),
    });
    row.values = values.collect();
    row
}

/// Columns that come from the object.
fn own_columns(table: &Table) -> Vec<String> {
    let own = table.columns.iter().filter(|column| !matches!(column.source, Source::Meta(_)));
    own.map(|column| column.name.clone()).collect()
}

#[test]
fn a_document_in_the_object_is_the_same_as_one_beside_it() {
    on_each_store(|mirror| async move {
        let mut random = Random(7);
        let mut documents = 0;
        for name in ["invoices", "charges", "customers", "invoice_line_items", "credit_note_line_items"] {
            let table = catalogue::table_named(name).unwrap();
            let columns = own_columns(table);
            for number in 0..OBJECTS {
                let id = format!("object_{number}");
                let object = random.object(table, &id);
                let row = project(table, &object, 2);
                let parts = row.values.iter().filter(|value| matches!(value, Column::InRaw(_))).count();
                assert!(row.values.iter().all(|value| !matches!(value, Column::Json(_))), "{name}: {object}");
                documents += parts;
                let beside = Upsert { table, rows: vec![given(project(table, &object, 1))] };
                assert_eq!(mirror.store.transact(beside).await.unwrap(), [true]);
                let expected = mirror.texts(&columns, name, &id).await;
                assert_eq!(mirror.store.transact(Upsert { table, rows: vec![row] }).await.unwrap(), [true]);
                let found = mirror.texts(&columns, name, &id).await;
                assert_eq!(found, expected, "{name}: {object}");
            }
        }
        assert!(documents > 1_000, "{documents}");
    });
}
