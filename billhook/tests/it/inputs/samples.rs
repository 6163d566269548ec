//! One sample object of every kind, in its current shape, becomes a row with every column right.

use std::collections::BTreeMap;

use billhook_stripe::catalogue;
use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::Value;

use super::compare::{Carried, assert_row};
use super::fixtures::{event, folder};
use super::mirror::Mirror;

/// Any type that exists: the kind of the object decides about its table, not the type.
const OTHER_TYPE: &str = "customer.updated";

/// The sample objects with a table of their own, each with an id of its own: several placeholders are equal.
fn samples(text: &str) -> Vec<(String, Value)> {
    let mut document: Value = serde_json::from_str(text).unwrap();
    let resources = document["resources"].as_object_mut().unwrap();
    assert!(resources.len() >= 176, "{} sample objects", resources.len());
    let names: Vec<String> = resources.keys().filter(|name| !name.starts_with("deleted_")).cloned().collect();
    let mut samples = Vec::new();
    for name in names {
        let mut object = resources.remove(&name).unwrap();
        let kind = object["object"].as_str().unwrap_or_default();
        if catalogue::table_of(kind).is_none() {
            continue;
        }
        if object["id"].is_string() {
            object["id"] = fresh_id("sample_").into();
        }
        samples.push((name, object));
    }
    samples
}

/// The type under which Stripe sends this kind, when it does.
fn event_type(kind: &str) -> &'static str {
    let mut types = catalogue::event_types().iter().filter(|known| known.objects.contains(&kind));
    let living = types.find(|known| !known.name.ends_with(".deleted") && known.name != "invoice.upcoming");
    living.map_or(OTHER_TYPE, |known| known.name)
}

#[test]
fn every_sample_object_becomes_a_row_with_every_column() {
    let Some(fixtures) = folder("every_sample_object_becomes_a_row_with_every_column") else { return };
    let text = std::fs::read_to_string(fixtures.join("objects/sample-objects.json")).unwrap();
    Mirror::on_each("every_sample_object_becomes_a_row", |settings| settings, |mirror| {
        let mut sent = Vec::new();
        for (at, (name, object)) in samples(&text).into_iter().enumerate() {
            let kind = object["object"].as_str().unwrap().to_owned();
            // A second each: samples embed each other, and an embedded state yields to a later one of its own.
            let event = event(&fresh_id("evt_1"), event_type(&kind), now() - 1000 + at as i64, object);
            mirror.accept(&name, event.to_string().as_bytes());
            sent.push((name, kind, event));
        }
        mirror.settle();
        assert_eq!(mirror.quarantine(), [], "on {}", mirror.dialect());
        let mut tables = BTreeMap::new();
        for (name, kind, event) in &sent {
            let table = &catalogue::table_of(kind).unwrap().name;
            let rows = tables.entry(table).or_insert_with(|| mirror.rows(table));
            let object = &event["data"]["object"];
            let row = match object["id"].as_str() {
                Some(id) => rows.get(id),
                None => rows.values().find(|row| row["_source_event"] == event["id"]),
            };
            let row = row.unwrap_or_else(|| panic!("{name}: no row in {table} on {}", mirror.dialect()));
            assert_row(name, mirror, table, row, Carried { event, deletes: false });
        }
        assert!(sent.len() > 130, "{} samples", sent.len());
    });
}
