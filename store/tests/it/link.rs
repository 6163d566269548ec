//! Columns that depend on rows of other tables are filled whichever side comes first. On the real catalogue.

use billhook_core::row::{Row, Value};
use billhook_core::table::Table;
use billhook_store::{Guard, Store};
use billhook_stripe::catalogue;

use crate::harness::Database;
use crate::tables::{Draft, row, text};

fn table(name: &str) -> &'static Table {
    catalogue::table_named(name).unwrap_or_else(|| panic!("the catalogue has {name}"))
}

/// A row of the catalogue's table with some text columns set.
fn object(name: &str, id: &str, columns: &[(&str, &str)]) -> Row {
    let table = table(name);
    columns.iter().fold(row(table, id, 10), |row, (column, value)| row.with(table, column, text(value)))
}

fn invoice_payment(id: &str, invoice: &str, default: bool, payment: &str) -> Row {
    let table = table("invoice_payments");
    object("invoice_payments", id, &[("invoice", invoice)]).with(table, "is_default", Value::Boolean(default)).with(
        table,
        "payment",
        Value::Json(payment.to_owned()),
    )
}

/// The same database, opened with the real catalogue.
async fn with_catalogue(database: Database) -> Database {
    let store: Store = database.open_beside(catalogue::tables(), catalogue::revision() + 1).await.expect("opens");
    let catalogued = Database { store, ..database };
    catalogued.migrated().await
}

async fn write(database: &Database, rows: &[Row]) {
    for row in rows {
        let table = &catalogue::tables()[row.table];
        assert_eq!(database.upsert(table, vec![row.clone()], Guard::Newer).await, [true]);
        database.link(table, vec![row.id.clone()]).await;
    }
}

/// What is linked to what, whatever the order of arrival.
async fn assert_linked(database: &Database) {
    let column = async |table, id, name| database.column(table, id, name).await;
    assert_eq!(column("charges", "ch_1", "invoice").await.as_deref(), Some("in_1"));
    assert_eq!(column("charges", "ch_1", "dispute").await.as_deref(), Some("dp_1"));
    assert_eq!(column("payment_intents", "pi_1", "invoice").await.as_deref(), Some("in_1"));
    assert_eq!(column("invoices", "in_1", "charge").await.as_deref(), Some("ch_1"));
    assert_eq!(column("invoices", "in_1", "payment_intent").await.as_deref(), Some("pi_1"));
}

fn family() -> Vec<Row> {
    vec![
        object("charges", "ch_1", &[("payment_intent", "pi_1")]),
        object("payment_intents", "pi_1", &[("latest_charge", "ch_1")]),
        object("invoices", "in_1", &[]),
        invoice_payment("inpay_1", "in_1", true, r#"{"type":"payment_intent","payment_intent":"pi_1"}"#),
        object("disputes", "dp_1", &[("charge", "ch_1")]),
    ]
}

on_both! {
    async fn in_the_order_of_a_payment(database) {
        let database = with_catalogue(database).await;
        write(&database, &family()).await;
        assert_linked(&database).await;
        database.store.close().await;
    }

    async fn in_the_reverse_order(database) {
        let database = with_catalogue(database).await;
        let mut rows = family();
        rows.reverse();
        write(&database, &rows).await;
        assert_linked(&database).await;
        database.store.close().await;
    }

    async fn in_every_rotation(database) {
        let database = with_catalogue(database).await;
        for turn in 0..family().len() {
            let mut rows = family();
            rows.rotate_left(turn);
            write(&database, &rows).await;
            assert_linked(&database).await;
            for table in ["charges", "payment_intents", "invoices", "invoice_payments", "disputes"] {
                database.execute(&format!("DELETE FROM {table}"), &format!("DELETE FROM stripe.{table}")).await;
            }
        }
        database.store.close().await;
    }

    async fn a_payment_by_charge(database) {
        let database = with_catalogue(database).await;
        let rows = [
            object("charges", "ch_2", &[]),
            object("invoices", "in_2", &[]),
            invoice_payment("inpay_2", "in_2", true, r#"{"type":"charge","charge":"ch_2"}"#),
        ];
        write(&database, &rows).await;
        assert_eq!(database.column("charges", "ch_2", "invoice").await.as_deref(), Some("in_2"));
        assert_eq!(database.column("invoices", "in_2", "charge").await.as_deref(), Some("ch_2"));
        database.store.close().await;
    }

    async fn what_the_object_says_wins(database) {
        let database = with_catalogue(database).await;
        let rows = [
            object("charges", "ch_3", &[("invoice", "in_own"), ("dispute", "dp_own")]),
            object("invoices", "in_3", &[("charge", "ch_own"), ("payment_intent", "pi_own")]),
            invoice_payment("inpay_3", "in_3", true, r#"{"type":"charge","charge":"ch_3"}"#),
            object("disputes", "dp_3", &[("charge", "ch_3")]),
        ];
        write(&database, &rows).await;
        assert_eq!(database.column("charges", "ch_3", "invoice").await.as_deref(), Some("in_own"));
        assert_eq!(database.column("charges", "ch_3", "dispute").await.as_deref(), Some("dp_own"));
        assert_eq!(database.column("invoices", "in_3", "charge").await.as_deref(), Some("ch_own"));
        assert_eq!(database.column("invoices", "in_3", "payment_intent").await.as_deref(), Some("pi_own"));
        database.store.close().await;
    }

    async fn the_default_payment_is_taken_first(database) {
        let database = with_catalogue(database).await;
        let rows = [
            invoice_payment("inpay_4", "in_4", false, r#"{"type":"charge","charge":"ch_other"}"#),
            invoice_payment("inpay_5", "in_4", true, r#"{"type":"charge","charge":"ch_default"}"#),
            object("invoices", "in_4", &[]),
        ];
        write(&database, &rows).await;
        assert_eq!(database.column("invoices", "in_4", "charge").await.as_deref(), Some("ch_default"));
        database.store.close().await;
    }
}
