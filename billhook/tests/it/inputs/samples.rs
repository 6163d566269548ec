//! One sample object of every kind, in its current shape, becomes a row with every column right; the stub that Stripe shows of
//! a deleted one removes or marks it.

use std::collections::BTreeMap;

use billhook_core::table::{OnDelete, Table};
use billhook_stripe::catalogue;
use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::Value;

use super::compare::{Carried, assert_row, is_true};
use super::fixtures::{event, folder};
use super::mirror::Mirror;

/// Any type that exists: the kind of the object decides about its table, not the type.
const OTHER_TYPE: &str = "customer.updated";
/// What the names of the stubs begin with.
const STUB: &str = "deleted_";

/// A sample object of a kind with a table.
struct Sample {
    name: String,
    kind: String,
    table: &'static Table,
    object: Value,
}

impl Sample {
    fn id(&self) -> Option<&str> {
        self.object["id"].as_str()
    }
}

/// The sample objects that have rows. Living ones get an id of their own, since several placeholders are equal; the stub of a
/// kind gets the id of its living one.
fn samples(text: &str) -> (Vec<Sample>, Vec<Sample>) {
    let document: Value = serde_json::from_str(text).unwrap();
    let resources = document["resources"].as_object().unwrap();
    assert!(resources.len() >= 176, "{} sample objects", resources.len());
    let all = resources.iter().filter_map(|(name, object)| {
        let kind = object["object"].as_str()?.to_owned();
        Some(Sample { name: name.clone(), table: catalogue::table_of(&kind)?, kind, object: object.clone() })
    });
    let (mut stubs, mut living): (Vec<Sample>, Vec<Sample>) = all.partition(|sample| sample.name.starts_with(STUB));
    for sample in living.iter_mut().filter(|sample| sample.id().is_some()) {
        sample.object["id"] = fresh_id("sample_").into();
    }
    stubs.retain_mut(|stub| match living.iter().find(|sample| sample.name == stub.kind).and_then(Sample::id) {
        Some(id) => {
            stub.object["id"] = id.into();
            true
        }
        None => false,
    });
    // Two stubs of one kind are two names of one thing.
    stubs.dedup_by(|one, other| one.kind == other.kind);
    (living, stubs)
}

/// The type under which Stripe sends this kind, when it does.
fn event_type(kind: &str) -> &'static str {
    let mut types = catalogue::event_types().iter().filter(|known| known.objects.contains(&kind));
    let living = types.find(|known| !known.name.ends_with(".deleted") && known.name != "invoice.upcoming");
    living.map_or(OTHER_TYPE, |known| known.name)
}

/// Delivers samples, a second each: they embed each other, and an embedded state yields to a later one of its own.
fn deliver(mirror: &Mirror, samples: &[Sample], start: i64) -> Vec<Value> {
    let mut sent = Vec::new();
    for (at, sample) in samples.iter().enumerate() {
        let event = event(&fresh_id("evt_1"), event_type(&sample.kind), start + at as i64, sample.object.clone());
        mirror.accept(&sample.name, event.to_string().as_bytes());
        sent.push(event);
    }
    mirror.settle();
    assert_eq!(mirror.quarantine(), [], "on {}", mirror.dialect());
    sent
}

#[test]
fn every_sample_object_becomes_a_row_and_every_stub_ends_it() {
    let Some(fixtures) = folder("every_sample_object_becomes_a_row") else { return };
    let text = std::fs::read_to_string(fixtures.join("objects/sample-objects.json")).unwrap();
    Mirror::on_each(
        "every_sample_object_becomes_a_row",
        |settings| settings,
        |mirror| {
            let (living, stubs) = samples(&text);
            assert!(living.len() >= 120 && stubs.len() >= 20, "{} samples, {} stubs", living.len(), stubs.len());
            let sent = deliver(mirror, &living, now() - 2_000);
            let mut tables = BTreeMap::new();
            for (sample, event) in living.iter().zip(&sent) {
                let table = &sample.table.name;
                let rows = tables.entry(table).or_insert_with(|| mirror.rows(table));
                let row = match sample.id() {
                    Some(id) => rows.get(id),
                    None => rows.values().find(|row| row["_source_event"] == event["id"]),
                };
                let row = row.unwrap_or_else(|| panic!("{}: no row in {table} on {}", sample.name, mirror.dialect()));
                assert_row(&sample.name, mirror, table, row, Carried { event, deletes: false });
            }
            deliver(mirror, &stubs, now() - 1_000);
            for stub in &stubs {
                let (name, table, dialect) = (&stub.name, stub.table, mirror.dialect());
                let row = mirror.row(&table.name, stub.id().unwrap_or_default());
                match (table.on_delete, row) {
                    (OnDelete::Remove, row) => assert_eq!(row, None, "{name} on {dialect}"),
                    (OnDelete::Flag, Some(row)) => assert!(is_true(&row["deleted"]), "{name} on {dialect}: {row}"),
                    (OnDelete::Flag, None) => panic!("{name}: the row must stay on {dialect}"),
                    (OnDelete::Keep, row) => {
                        panic!("{name}: a kind with a stub is never deleted? {row:?} on {dialect}")
                    }
                }
            }
            println!("{} samples and {} stubs on {}", living.len(), stubs.len(), mirror.dialect());
        },
    );
}
