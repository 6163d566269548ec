//! Whatever a value holds, it comes back as it was and never becomes SQL.

use billhook_core::row::{Row, Value};
use billhook_store::{Delivery, DirtyMark, Guard};
use jiff::Timestamp;
use serde_json::json;

use crate::harness::{at, delivery, texts};
use crate::tables::{self, Draft, row, text};

/// Texts that break what is not written with parameters.
const TEXTS: &[&str] = &[
    "",
    " ",
    "'; DROP TABLE things; --",
    "\"quoted\" and `ticked` and [bracketed]",
    "back\\slash\\n and real\nline\r\n\tbreaks",
    "emoji 🧾💳 and family 👩‍👩‍👧‍👦",
    "מימין לשמאל and العربية \u{202e}reversed",
    "%_*?$1 ?1 :name @name $name {json} ${ENV}",
    "ﬀ Å e\u{301} \u{feff}\u{200b} \u{fffd} \u{1}\u{7f}\u{10ffff}",
    "NULL",
    "0x00",
];

fn thing(id: &str, time: i64) -> Row {
    row(tables::things(), id, time)
}

on_both! {
    async fn texts_come_back_verbatim(database) {
        let database = database.migrated().await;
        let things = tables::things();
        for (number, value) in TEXTS.iter().enumerate() {
            let id = format!("thing_{number}");
            let state = thing(&id, 10).with(things, "name", text(value)).with(things, "order", text(value));
            assert_eq!(database.upsert(things, vec![state], Guard::Newer).await, [true]);
            assert_eq!(database.column("things", &id, "name").await.as_deref(), Some(*value));
            assert_eq!(database.column("things", &id, "order").await.as_deref(), Some(*value));
        }
    }

    async fn texts_are_ids_like_any_other(database) {
        let database = database.migrated().await;
        let things = tables::things();
        for value in TEXTS.iter().filter(|value| !value.is_empty()) {
            assert_eq!(database.upsert(things, vec![thing(value, 10)], Guard::Newer).await, [true]);
            assert!(database.row_states(things, texts(&[value])).await[0].is_some(), "{value:?}");
            let sequences = database.receive(&[value]).await;
            assert_eq!(database.known_events(texts(&[value])).await, [*value]);
            assert_eq!(database.store.event(value).await.expect("read").expect("there").summary.sequence, sequences[0]);
        }
        assert!(database.store.row_counts().await.is_ok());
    }

    async fn texts_of_our_own_tables_come_back_too(database) {
        let database = database.migrated().await;
        for value in TEXTS {
            let mark = DirtyMark {
                object: "thing".to_owned(),
                id: (*value).to_owned(),
                account: (*value).to_owned(),
                reason: "tie".to_owned(),
                event_id: (*value).to_owned(),
                not_before: at(10),
            };
            database.mark_dirty(vec![mark.clone()]).await;
            assert_eq!(database.store.due_dirty(at(10), 10).await.expect("read"), [mark]);
            database.clear_dirty(vec![("thing".to_owned(), (*value).to_owned())], Timestamp::MAX).await;
            assert_eq!(database.store.pin_setting(&format!("key {value}"), value).await.expect("written"), *value);
        }
    }

    async fn json_comes_back_equal(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let documents = [
            json!({"text": TEXTS}),
            json!([]),
            json!("text"),
            json!(true),
            json!(-5),
            json!(12.5),
            json!({"": {"a b": [null, {"c": -0.5}]}}),
        ];
        for (number, document) in documents.into_iter().enumerate() {
            let id = format!("thing_{number}");
            let state = Row { raw: json!({ "v": document }).to_string(), ..thing(&id, 10) };
            let state = state.with(things, "data", Value::Json(document.to_string()));
            assert_eq!(database.upsert(things, vec![state], Guard::Newer).await, [true]);
            assert_eq!(database.json("things", &id, "_raw_data").await, Some(json!({ "v": document })));
            let stored = database.json("things", &id, "data").await;
            assert_eq!(stored, Some(document));
        }
    }

    async fn bodies_come_back_byte_for_byte(database) {
        let database = database.migrated().await;
        let bodies: Vec<Vec<u8>> =
            vec![Vec::new(), vec![0], (0..=255).collect(), b"\xff\xfe\0\xc0\xaf".to_vec(), vec![b'x'; 3_000_000]];
        for (number, body) in bodies.into_iter().enumerate() {
            let event_id = format!("sha256:{number}");
            let sent = Delivery { raw: body.clone().into(), ..delivery(&event_id, 1000) };
            database.store.insert_deliveries(vec![sent]).await.expect("written");
            assert_eq!(database.store.event(&event_id).await.expect("read").expect("there").raw, body);
        }
    }

    async fn a_time_outside_the_calendar_does_not_fail_the_row(database) {
        let database = database.migrated().await;
        for time in [i64::MIN, -1, 0, 253_402_300_800, 9_999_999_999_999, i64::MAX] {
            let id = format!("thing_{time}");
            assert_eq!(database.upsert(tables::things(), vec![thing(&id, time)], Guard::Newer).await, [true], "{time}");
            let state = database.row_states(tables::things(), vec![id]).await.remove(0).expect("there");
            assert_eq!(state.version.time, time);
        }
    }

    async fn extreme_numbers_do_not_fail_the_row(database) {
        let database = database.migrated().await;
        let things = tables::things();
        for number in ["0", "-0.0001", "123456789.123456", "1e20", "99999999999999999999999999", "1e400", "1e-400"] {
            let state = thing(number, 10)
                .with(things, "percent", Value::Decimal(number.to_owned()))
                .with(things, "ratio", Value::Decimal(number.to_owned()))
                .with(things, "amount", Value::BigInt(i64::MIN));
            assert_eq!(database.upsert(things, vec![state], Guard::Newer).await, [true], "{number}");
            assert_eq!(database.column("things", number, "amount").await.as_deref(), Some("-9223372036854775808"));
        }
        let percent: f64 = database.column("things", "-0.0001", "percent").await.expect("set").parse().expect("a number");
        assert_eq!(percent, -0.0001);
    }
}
