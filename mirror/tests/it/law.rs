//! Fault W2 and promise P4: whatever the order of arrival, five events of one object end in the same row, and no observer sees
//! a row's version go back.

use std::collections::BTreeMap;

use billhook_store::StoredRow;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

use crate::harness::{Mirror, event, on_each_store};

/// One change in an object's history.
#[derive(Debug, Clone)]
struct Change {
    /// Seconds since the change before: 0 puts both into the same second.
    pause_seconds: i64,
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Update { field: usize, value: i64, with_previous: bool },
    Delete,
    Recreate,
}

const FIELDS: [&str; 3] = ["name", "unit_label", "statement_descriptor"];
const START: i64 = 1_700_000_000;

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        6 => (0..FIELDS.len(), 0..3_i64, any::<bool>())
            .prop_map(|(field, value, with_previous)| Kind::Update { field, value, with_previous }),
        1 => Just(Kind::Delete),
        1 => Just(Kind::Recreate),
    ]
}

fn history() -> impl Strategy<Value = Vec<Change>> {
    let change = (0..3_i64, kind()).prop_map(|(pause_seconds, kind)| Change { pause_seconds, kind });
    prop::collection::vec(change, 4).prop_map(possible)
}

/// Stripe updates and deletes only what exists, and a re-creation takes at least a second.
fn possible(changes: Vec<Change>) -> Vec<Change> {
    let mut alive = true;
    let mut result = Vec::new();
    for mut change in changes {
        change.kind = match (alive, change.kind) {
            (true, Kind::Recreate) => Kind::Update { field: 0, value: 2, with_previous: true },
            (false, _) => {
                change.pause_seconds = change.pause_seconds.max(1);
                Kind::Recreate
            }
            (true, kind) => kind,
        };
        alive = change.kind != Kind::Delete;
        result.push(change);
    }
    result
}

fn object_id(case: u32, copy: usize) -> String {
    format!("object_{case:03}_{copy:03}")
}

/// The five events of a history, for one object.
fn events(table: &str, changes: &[Change], case: u32, copy: usize) -> Vec<Value> {
    let id = object_id(case, copy);
    let mut object =
        json!({ "id": id, "object": table, "name": "n0", "unit_label": "u0", "statement_descriptor": "s0" });
    let mut created = START;
    let mut events =
        vec![event(&format!("evt_{case:03}_0_{copy:03}"), &format!("{table}.created"), created, object.clone(), None)];
    for (position, change) in changes.iter().enumerate() {
        created += change.pause_seconds;
        let event_id = format!("evt_{case:03}_{}_{copy:03}", position + 1);
        let (event_type, previous) = match change.kind {
            Kind::Update { field, value, with_previous } => {
                let before = object[FIELDS[field]].clone();
                object[FIELDS[field]] = json!(format!("{}{value}", &FIELDS[field][..1]));
                ("updated", with_previous.then(|| json!({ FIELDS[field]: before })))
            }
            Kind::Delete => ("deleted", None),
            Kind::Recreate => {
                object["name"] = json!(format!("again{position}"));
                ("created", None)
            }
        };
        events.push(event(&event_id, &format!("{table}.{event_type}"), created, object.clone(), previous));
    }
    events
}

/// All orders of five.
fn permutations() -> Vec<Vec<usize>> {
    fn extend(prefix: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
        if prefix.len() == 5 {
            all.push(prefix.clone());
        }
        for next in 0..5 {
            if !prefix.contains(&next) {
                prefix.push(next);
                extend(prefix, all);
                prefix.pop();
            }
        }
    }
    let mut all = Vec::new();
    extend(&mut Vec::new(), &mut all);
    assert_eq!(all.len(), 120);
    all
}

/// A row without what differs between copies.
fn comparable(row: Option<&StoredRow>, copy: usize) -> Option<(String, i64, String)> {
    let suffix = format!("_{copy:03}");
    row.map(|row| {
        let mut object: Value = serde_json::from_str(&row.raw).unwrap();
        object["id"] = json!("same");
        (object.to_string(), row.version.time, row.source_event.trim_end_matches(&suffix).to_owned())
    })
}

/// Delivers every order of the history, each to a copy of the object, and compares the ends.
async fn all_orders_agree(mirror: &Mirror, table: &str, plural: &str, changes: &[Change], case: u32) {
    let orders = permutations();
    let histories: Vec<Vec<Value>> = (0..orders.len()).map(|copy| events(table, changes, case, copy)).collect();
    let prefix = format!("object_{case:03}_");
    let mut seen: BTreeMap<String, i64> = BTreeMap::new();
    let mut rows: BTreeMap<String, StoredRow> = BTreeMap::new();
    for position in 0..5 {
        let batch: Vec<Value> =
            orders.iter().enumerate().map(|(copy, order)| histories[copy][order[position]].clone()).collect();
        mirror.deliver(&batch).await;
        mirror.drain().await;
        let found = mirror.rows(plural).await.into_iter().filter(|row| row.id.starts_with(&prefix));
        rows = found.map(|row| (row.id.clone(), row)).collect();
        for row in rows.values() {
            let before = seen.insert(row.id.clone(), row.version.time).unwrap_or(i64::MIN);
            assert!(before <= row.version.time, "{} went back in time: {changes:?}", row.id);
        }
    }
    let first = comparable(rows.get(&object_id(case, 0)), 0);
    for (copy, order) in orders.iter().enumerate() {
        let end = comparable(rows.get(&object_id(case, copy)), copy);
        assert_eq!(end, first, "order {order:?} of {changes:?}");
    }
    if changes.iter().all(|change| change.pause_seconds > 0) {
        let deleted = changes.last().is_some_and(|change| change.kind == Kind::Delete);
        assert_eq!(first.is_some(), !deleted || table == "customer", "the end of {changes:?}");
    }
}

/// Draws histories from a fixed seed, so that a failure repeats.
fn check(table: &'static str, plural: &'static str, cases: u32) {
    on_each_store(async |mirror: Mirror| {
        let mut runner =
            TestRunner::new_with_rng(ProptestConfig::default(), TestRng::deterministic_rng(RngAlgorithm::ChaCha));
        for case in 0..cases {
            let changes = history().new_tree(&mut runner).unwrap().current();
            all_orders_agree(&mirror, table, plural, &changes, case).await;
        }
    });
}

#[test]
fn all_orders_of_five_events_of_a_product_end_in_the_same_row() {
    check("product", "products", 40);
}

#[test]
fn all_orders_of_five_events_of_a_customer_end_in_the_same_row() {
    check("customer", "customers", 20);
}
