//! Every event type is taken, and its object becomes a row.

use billhook_core::table::{Key, OnDelete};
use billhook_stripe::catalogue;
use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::compare::{Carried, assert_row};
use super::fixtures::event;
use super::mirror::{Mirror, Quarantined};

/// The types that the first engine's documentation promises, with the kind each carries and the table it belongs to.
const PROMISED: [(&str, &str, &str); 67] = [
    ("balance.available", "balance", "balances"),
    ("charge.captured", "charge", "charges"),
    ("charge.expired", "charge", "charges"),
    ("charge.failed", "charge", "charges"),
    ("charge.pending", "charge", "charges"),
    ("charge.refunded", "charge", "charges"),
    ("charge.succeeded", "charge", "charges"),
    ("charge.updated", "charge", "charges"),
    ("charge.dispute.closed", "dispute", "disputes"),
    ("charge.dispute.created", "dispute", "disputes"),
    ("charge.dispute.funds_reinstated", "dispute", "disputes"),
    ("charge.dispute.funds_withdrawn", "dispute", "disputes"),
    ("charge.dispute.updated", "dispute", "disputes"),
    ("checkout.session.async_payment_failed", "checkout.session", "checkout_sessions"),
    ("checkout.session.async_payment_succeeded", "checkout.session", "checkout_sessions"),
    ("checkout.session.completed", "checkout.session", "checkout_sessions"),
    ("customer.created", "customer", "customers"),
    ("customer.deleted", "customer", "customers"),
    ("customer.source.created", "source", "sources"),
    ("customer.source.updated", "card", "cards"),
    ("customer.subscription.created", "subscription", "subscriptions"),
    ("customer.subscription.deleted", "subscription", "subscriptions"),
    ("customer.subscription.paused", "subscription", "subscriptions"),
    ("customer.subscription.pending_update_applied", "subscription", "subscriptions"),
    ("customer.subscription.pending_update_expired", "subscription", "subscriptions"),
    ("customer.subscription.resumed", "subscription", "subscriptions"),
    ("customer.subscription.updated", "subscription", "subscriptions"),
    ("customer.updated", "customer", "customers"),
    ("invoice.created", "invoice", "invoices"),
    ("invoice.finalized", "invoice", "invoices"),
    ("invoice.paid", "invoice", "invoices"),
    ("invoice.payment_failed", "invoice", "invoices"),
    ("invoice.payment_succeeded", "invoice", "invoices"),
    ("invoice.updated", "invoice", "invoices"),
    ("issuing_authorization.request", "issuing.authorization", "issuing_authorizations"),
    ("issuing_card.created", "issuing.card", "issuing_cards"),
    ("issuing_cardholder.created", "issuing.cardholder", "issuing_cardholders"),
    ("payment_intent.amount_capturable_updated", "payment_intent", "payment_intents"),
    ("payment_intent.canceled", "payment_intent", "payment_intents"),
    ("payment_intent.created", "payment_intent", "payment_intents"),
    (NOT_AT_STRIPE, "payment_intent", "payment_intents"),
    ("payment_intent.payment_failed", "payment_intent", "payment_intents"),
    ("payment_intent.processing", "payment_intent", "payment_intents"),
    ("payment_intent.requires_action", "payment_intent", "payment_intents"),
    ("payment_intent.succeeded", "payment_intent", "payment_intents"),
    ("payment_method.attached", "payment_method", "payment_methods"),
    ("payment_method.automatically_updated", "payment_method", "payment_methods"),
    ("payment_method.detached", "payment_method", "payment_methods"),
    ("payment_method.updated", "payment_method", "payment_methods"),
    ("plan.created", "plan", "plans"),
    ("plan.deleted", "plan", "plans"),
    ("plan.updated", "plan", "plans"),
    ("price.created", "price", "prices"),
    ("price.deleted", "price", "prices"),
    ("price.updated", "price", "prices"),
    ("product.created", "product", "products"),
    ("product.deleted", "product", "products"),
    ("product.updated", "product", "products"),
    ("setup_intent.canceled", "setup_intent", "setup_intents"),
    ("setup_intent.created", "setup_intent", "setup_intents"),
    ("setup_intent.requires_action", "setup_intent", "setup_intents"),
    ("setup_intent.setup_failed", "setup_intent", "setup_intents"),
    ("setup_intent.succeeded", "setup_intent", "setup_intents"),
    ("subscription_schedule.canceled", "subscription_schedule", "subscription_schedules"),
    ("subscription_schedule.created", "subscription_schedule", "subscription_schedules"),
    ("subscription_schedule.released", "subscription_schedule", "subscription_schedules"),
    ("subscription_schedule.updated", "subscription_schedule", "subscription_schedules"),
];
/// Stripe has no such event; its object is mirrored all the same, and a person is told.
const NOT_AT_STRIPE: &str = "payment_intent.partially_refunded";
/// Kinds that leave their table when they are deleted; a deleted customer or invoice stays and says so.
const REMOVED: [&str; 3] = ["plan.deleted", "price.deleted", "product.deleted"];

/// One type on its way: the event, and where its object belongs.
struct Case {
    name: String,
    event: Value,
    fate: Fate,
}

enum Fate {
    Row { table: String, id: String, deletes: bool },
    Removed { table: String, id: String },
    None,
}

/// An object as small as it can be.
fn minimal(kind: &str, id: &str) -> Value {
    json!({ "id": id, "object": kind, "livemode": false, "metadata": { "made": "for a test" } })
}

fn promised(name: &'static str, kind: &str, table: &str) -> Case {
    let created = now();
    if kind == "balance" {
        let object = json!({ "object": kind, "available": [{ "amount": 100, "currency": "usd" }], "livemode": false });
        let fate = Fate::Row { table: table.into(), id: "self".into(), deletes: false };
        return Case { name: name.into(), event: event(&fresh_id("evt_1"), name, created, object), fate };
    }
    let id = fresh_id("case_");
    let event = event(&fresh_id("evt_1"), name, created, minimal(kind, &id));
    let (table, deletes) = (table.to_owned(), name == "customer.deleted");
    let fate = if REMOVED.contains(&name) { Fate::Removed { table, id } } else { Fate::Row { table, id, deletes } };
    Case { name: name.into(), event, fate }
}

fn catalogued(event_type: &'static str, kind: &'static str) -> Case {
    let (created, id) = (now(), fresh_id("case_"));
    let name = format!("{event_type} with {kind}");
    let made = |object| event(&fresh_id("evt_1"), event_type, created, object);
    let Some(table) = catalogue::table_of(kind).filter(|_| event_type != "invoice.upcoming") else {
        return Case { name, event: made(json!({ "object": kind, "livemode": false })), fate: Fate::None };
    };
    let (object, id) = match &table.key {
        Key::Id => (minimal(kind, &id), id),
        Key::Account => (json!({ "object": kind, "livemode": false }), "self".to_owned()),
        Key::Property(property) => (json!({ "object": kind, property.as_str(): id, "livemode": false }), id),
    };
    // An account used as a payment source lives on when it is taken away from its customer.
    let deletes = event_type.ends_with(".deleted") && (event_type, kind) != ("customer.source.deleted", "account");
    let table_name = table.name.clone();
    let fate = match table.on_delete {
        OnDelete::Remove if deletes => Fate::Removed { table: table_name, id },
        on_delete => Fate::Row { table: table_name, id, deletes: deletes && on_delete == OnDelete::Flag },
    };
    Case { name, event: made(object), fate }
}

fn check(mirror: &Mirror, cases: &[Case]) {
    for case in cases {
        mirror.accept(&case.name, case.event.to_string().as_bytes());
    }
    mirror.settle();
    let mut tables = std::collections::BTreeMap::new();
    for case in cases {
        if let Fate::Row { table, .. } | Fate::Removed { table, .. } = &case.fate {
            tables.entry(table.clone()).or_insert_with(|| mirror.rows(table));
        }
    }
    for case in cases {
        match &case.fate {
            Fate::Row { table, id, deletes } => {
                let row = tables[table].get(id);
                let row =
                    row.unwrap_or_else(|| panic!("{}: no row {id} in {table} on {}", case.name, mirror.dialect()));
                assert_row(&case.name, mirror, table, row, Carried { event: &case.event, deletes: *deletes });
            }
            Fate::Removed { table, id } => {
                assert!(!tables[table].contains_key(id), "{}: the row must be gone on {}", case.name, mirror.dialect());
            }
            Fate::None => {}
        }
    }
}

#[test]
fn every_promised_type_becomes_a_row() {
    Mirror::on_each(
        "every_promised_type_becomes_a_row",
        |settings| settings,
        |mirror| {
            let cases: Vec<Case> =
                PROMISED.into_iter().map(|(name, kind, table)| promised(name, kind, table)).collect();
            check(mirror, &cases);
            let unknown = cases.iter().find(|case| case.name == NOT_AT_STRIPE).unwrap();
            let event_id = unknown.event["id"].as_str().unwrap().to_owned();
            let expected = Quarantined { event_id, reason: "unknown_type".into(), applied: true };
            assert_eq!(mirror.quarantine(), [expected], "on {}", mirror.dialect());
        },
    );
}

#[test]
fn every_type_of_the_catalogue_becomes_a_row_or_is_known_to_have_none() {
    Mirror::on_each(
        "every_type_of_the_catalogue_becomes_a_row",
        |settings| settings,
        |mirror| {
            let types = catalogue::event_types();
            assert!(types.len() >= 275, "{} types", types.len());
            let cases: Vec<Case> = types
                .iter()
                .flat_map(|event_type| event_type.objects.iter().map(|kind| catalogued(event_type.name, kind)))
                .collect();
            check(mirror, &cases);
            assert_eq!(mirror.quarantine(), [], "on {}", mirror.dialect());
            let without: Vec<&str> = cases
                .iter()
                .filter(|case| matches!(case.fate, Fate::None))
                .map(|case| case.event["type"].as_str().unwrap())
                .collect();
            println!("without a row of their own: {without:?}");
            assert!(without.len() < 10, "{without:?}");
        },
    );
}

#[test]
fn the_promised_types_exist_at_stripe_but_for_one() {
    for (name, _, _) in PROMISED {
        assert_eq!(catalogue::is_known_event(name), name != NOT_AT_STRIPE, "{name}");
    }
}
