//! Comparison of every mirrored row with the account it mirrors. Written apart from the program's own comparison, so that a
//! mistake in one shows in the other.

use std::collections::BTreeMap;
use std::time::Duration;

use billhook_core::table::{Key, OnDelete, Table};
use billhook_simulator::{Oracle, Simulator};
use billhook_stripe::catalogue::{self, Kind};
use billhook_testkit::{sql, wait};
use serde_json::Value;

/// Longest wait for the mirror to become equal, in seconds.
const EQUAL_SECONDS_MAX: u64 = 300;

/// Differences that a failing test shows.
const SHOWN_MAX: usize = 20;

/// Characters of a value that are shown.
const SHOWN_CHARACTERS_MAX: usize = 120;

/// Waits until every row equals the account, and fails with the differences that remain.
pub(super) fn assert_becomes_equal(what: &str, simulator: &Simulator, url: &str) {
    let mut last = Vec::new();
    let equal = wait::until("the mirror to equal the account", Duration::from_secs(EQUAL_SECONDS_MAX), || {
        last = differences(&simulator.oracle(), url);
        last.is_empty().then_some(())
    });
    if equal.is_err() {
        let shown = &last[..last.len().min(SHOWN_MAX)];
        let marked = sql::query(url, &format!("SELECT * FROM {} LIMIT 5", sql::own_table(url, "dirty")));
        panic!("{what}: {} differences, such as\n{}\nto read again: {marked:?}", last.len(), shown.join("\n"));
    }
}

/// What differs between the account and the mirror, a line each.
pub(super) fn differences(oracle: &Oracle, url: &str) -> Vec<String> {
    let mut found = Vec::new();
    for kind in catalogue::kinds() {
        if let Some(table) = compared(kind) {
            of_table(oracle, kind, table, url, &mut found);
        }
    }
    found
}

/// Kinds whose rows must equal the account: those with ids of their own that a list without a parent or an event shows.
fn compared(kind: &Kind) -> Option<&'static Table> {
    let table = catalogue::table_of(kind.object)?;
    let listed = kind.list.as_ref().is_some_and(|list| list.is_top_level());
    let told = catalogue::event_types().iter().any(|event| event.objects.contains(&kind.object));
    // The account itself is no object of the account, and where it delivers to is the tests' own business.
    let own = ["account", "webhook_endpoint"].contains(&kind.object);
    (!own && table.key == Key::Id && (listed || told)).then_some(table)
}

fn of_table(oracle: &Oracle, kind: &Kind, table: &Table, url: &str, found: &mut Vec<String>) {
    let mut rows = rows(table, url);
    for (id, object) in oracle.objects(kind.object) {
        match rows.remove(id) {
            None => found.push(format!("{} {id} has no row", kind.object)),
            Some(row) if row.deleted => found.push(format!("{} {id} is marked deleted and lives", kind.object)),
            Some(row) => {
                for property in differing(&object, &row.raw) {
                    let (is, should) = (row.raw.get(property), object.get(property));
                    let (is, should) = (shown(is), shown(should));
                    found.push(format!("{} {id} differs in {property}: {is}, at Stripe {should}", kind.object));
                }
            }
        }
    }
    for (id, row) in rows {
        if table.on_delete != OnDelete::Flag || !row.deleted {
            found.push(format!("{} {id} has a row and is no more", kind.object));
        }
    }
}

/// A value for a message, cut.
fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), |value| value.to_string().chars().take(SHOWN_CHARACTERS_MAX).collect())
}

struct Row {
    raw: Value,
    deleted: bool,
}

fn rows(table: &Table, url: &str) -> BTreeMap<String, Row> {
    let deleted = if table.column("deleted").is_some() { "deleted" } else { "NULL" };
    let name = sql::mirror_table(url, &table.name);
    let rows = sql::query(url, &format!("SELECT id, _raw_data, {deleted} AS gone FROM {name}")).expect("rows");
    let row = |row: Value| {
        let raw = match &row["_raw_data"] {
            Value::String(text) => serde_json::from_str(text).expect("JSON"),
            json => json.clone(),
        };
        let deleted = row["gone"] == true || row["gone"] == 1;
        (row["id"].as_str().expect("an id").to_owned(), Row { raw, deleted })
    };
    rows.into_iter().map(row).collect()
}

/// Properties with different values. Embedded lists are left out: they come cut, expanded or not at all, and their elements have
/// tables of their own.
fn differing<'a>(object: &'a Value, row: &'a Value) -> Vec<&'a str> {
    let (Value::Object(object), Value::Object(row)) = (object, row) else { return vec!["its kind of JSON"] };
    let names = object.keys().chain(row.keys().filter(|name| !object.contains_key(*name)));
    let is_list = |value: Option<&Value>| value.is_some_and(|value| value["object"] == "list");
    names
        .filter(|name| {
            let (one, other) = (object.get(*name), row.get(*name));
            !is_list(one) && !is_list(other) && !same(one.unwrap_or(&Value::Null), other.unwrap_or(&Value::Null))
        })
        .map(String::as_str)
        .collect()
}

/// Equality of JSON values; embedded lists further down are left out too.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(_), Value::Object(_)) => differing(one, other).is_empty(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        _ => one == other,
    }
}
