//! What the committed catalogue must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use billhook_core::table::{
    Column, ColumnType, Expression, IDENTIFIER_BYTES_MAX, Key, Meta, OnDelete, Orphans, Segment, Source,
};

use super::*;

/// Kinds that snapshot events carry and that have no table, with the reason.
const WITHOUT_TABLE: [(&str, &str); 1] = [("billing.alert_triggered", "has no id; the alert itself has a table")];

/// The events that the engine Billhook replaces promises to handle. It names `payment_intent.partially_refunded`, which does not
/// exist; the real name stands here.
const PROMISED_EVENTS: [&str; 67] = [
    "balance.available",
    "charge.captured",
    "charge.expired",
    "charge.failed",
    "charge.pending",
    "charge.refunded",
    "charge.succeeded",
    "charge.updated",
    "charge.dispute.closed",
    "charge.dispute.created",
    "charge.dispute.funds_reinstated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.updated",
    "checkout.session.async_payment_failed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.completed",
    "customer.created",
    "customer.deleted",
    "customer.source.created",
    "customer.source.updated",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.pending_update_applied",
    "customer.subscription.pending_update_expired",
    "customer.subscription.resumed",
    "customer.subscription.updated",
    "customer.updated",
    "invoice.created",
    "invoice.finalized",
    "invoice.paid",
    "invoice.payment_failed",
    "invoice.payment_succeeded",
    "invoice.updated",
    "issuing_authorization.request",
    "issuing_card.created",
    "issuing_cardholder.created",
    "payment_intent.amount_capturable_updated",
    "payment_intent.canceled",
    "payment_intent.created",
    "payment_intent.partially_funded",
    "payment_intent.payment_failed",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.succeeded",
    "payment_method.attached",
    "payment_method.automatically_updated",
    "payment_method.detached",
    "payment_method.updated",
    "plan.created",
    "plan.deleted",
    "plan.updated",
    "price.created",
    "price.deleted",
    "price.updated",
    "product.created",
    "product.deleted",
    "product.updated",
    "setup_intent.canceled",
    "setup_intent.created",
    "setup_intent.requires_action",
    "setup_intent.setup_failed",
    "setup_intent.succeeded",
    "subscription_schedule.canceled",
    "subscription_schedule.created",
    "subscription_schedule.released",
    "subscription_schedule.updated",
];

fn table(name: &str) -> &'static Table {
    table_named(name).unwrap_or_else(|| panic!("no table {name}"))
}

fn column(table_name: &str, name: &str) -> &'static Column {
    let table = table(table_name);
    let at = table.column(name).unwrap_or_else(|| panic!("no column {table_name}.{name}"));
    &table.columns[at]
}

fn path(steps: &[&str]) -> Vec<Segment> {
    let step = |text: &&str| match (*text, text.parse()) {
        ("*", _) => Segment::Every,
        (_, Ok(index)) => Segment::Index(index),
        (key, _) => Segment::Key(key.to_owned()),
    };
    steps.iter().map(step).collect()
}

#[test]
fn the_committed_text_is_well_formed() {
    let parsed = parse::parse(TEXT).expect("catalogue.txt must be readable");
    assert_eq!(parsed.kinds.len(), 183);
    assert_eq!(parsed.events.len(), 275);
    assert_eq!(parsed.thin_events.len(), 327, "326 described ones and the health event");
    assert!(revision() >= 1);
    assert_eq!(api_version(), "2026-10-28.endive");
}

#[test]
fn tables_know_their_place() {
    for (at, table) in tables().iter().enumerate() {
        assert_eq!(table.index, at);
        assert_eq!(table_named(&table.name), Some(table));
        if !table.object.is_empty() {
            assert_eq!(table_of(&table.object), Some(table));
        }
    }
    assert_eq!(other_objects().name, "other_objects");
    assert_eq!(tables().last(), Some(other_objects()));
    assert_eq!(tables().iter().filter(|table| table.object.is_empty()).count(), 1);
}

#[test]
fn the_objects_of_every_event_type_have_a_table() {
    for event in event_types() {
        assert!(is_known_event(event.name));
        assert!(!event.objects.is_empty(), "{} carries nothing", event.name);
        for object in &event.objects {
            assert!(is_known_object(object), "{}: {object}", event.name);
            let excused = WITHOUT_TABLE.iter().any(|(kind, _)| kind == object);
            assert_eq!(table_of(object).is_none(), excused, "{}: {object}", event.name);
        }
    }
}

#[test]
fn every_promised_event_lands_in_a_table() {
    let by_name: BTreeMap<&str, &EventType> = event_types().iter().map(|event| (event.name, event)).collect();
    for name in PROMISED_EVENTS {
        let event = by_name.get(name).unwrap_or_else(|| panic!("{name} is unknown"));
        assert!(event.objects.iter().all(|object| table_of(object).is_some()), "{name} has no table");
    }
    assert!(!is_known_event("payment_intent.partially_refunded"));
    assert!(is_known_event("v2.core.health.event_generation_failure.resolved"));
}

#[test]
fn every_listable_kind_has_a_table() {
    for kind in kinds().iter().filter(|kind| kind.list.is_some()) {
        let is_event = matches!(kind.object, "event" | "v2.core.event");
        assert_eq!(kind.table.is_none(), is_event, "{}", kind.object);
    }
    assert!(is_known_object("event") && is_known_object("v2.core.event") && is_known_object("billing.alert_triggered"));
    assert!(!is_known_object("hologram") && table_of("hologram").is_none());
    assert!(!is_known_object("*") && !is_known_object(""));
}

#[test]
fn names_fit_both_databases_and_are_different() {
    let plain = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name.len() <= IDENTIFIER_BYTES_MAX
    };
    let mut names = BTreeSet::new();
    for table in tables() {
        assert!(plain(&table.name) && names.insert(table.name.clone()), "{}", table.name);
        let mut columns = BTreeSet::new();
        for column in &table.columns {
            assert!(plain(&column.name) && columns.insert(&column.name), "{}.{}", table.name, column.name);
            if column.indexed {
                let name = table.index_name(column);
                assert!(plain(&name) && names.insert(name.clone()), "{name}");
                assert!(matches!(column.column_type, ColumnType::Text | ColumnType::BigInt), "{name}");
            }
        }
    }
    assert!(!names.contains("events"), "`events` is the view over the inbox");
}

#[test]
fn long_index_names_are_shortened_and_stay_different() {
    let column = |name: &str| Column {
        name: name.to_owned(),
        column_type: ColumnType::Text,
        indexed: true,
        source: Source::Null,
    };
    let table = Table { name: "a".repeat(60), ..table("customers").clone() };
    let (one, two) = (table.index_name(&column("customer")), table.index_name(&column("created")));
    assert_eq!(one.len(), IDENTIFIER_BYTES_MAX);
    assert_ne!(one, two);
    // The name must stay the same in every release: a database has the index under it.
    assert_eq!(one, format!("stripe_{}_517920da_idx", "a".repeat(43)));
}

#[test]
fn every_table_begins_with_its_id_and_ends_with_the_same_columns() {
    let expected = [
        ("_raw_data", ColumnType::Json, Meta::RawData),
        ("_account_id", ColumnType::Text, Meta::AccountId),
        ("last_synced_at", ColumnType::Timestamp, Meta::SyncedAt),
        ("_last_synced_at", ColumnType::Timestamp, Meta::SyncedAt),
        ("updated_at", ColumnType::Timestamp, Meta::UpdatedAt),
        ("_updated_at", ColumnType::Timestamp, Meta::VersionAt),
        ("_version_time", ColumnType::BigInt, Meta::VersionTime),
        ("_version_rank", ColumnType::BigInt, Meta::VersionRank),
        ("_source_event", ColumnType::Text, Meta::SourceEvent),
    ]
    .map(|(name, column_type, meta)| Column {
        name: name.to_owned(),
        column_type,
        indexed: false,
        source: Source::Meta(meta),
    });
    for table in tables() {
        assert_eq!(table.columns[0].name, "id", "{}", table.name);
        let (own, meta) = table.columns.split_at(table.columns.len() - expected.len());
        assert_eq!(meta, expected, "{}", table.name);
        assert!(own.iter().all(|column| !matches!(column.source, Source::Meta(_))), "{}", table.name);
    }
}

#[test]
fn child_lists_name_columns_of_their_tables() {
    for parent in tables() {
        for list in &parent.children {
            assert!(parent.column(&list.property).is_some(), "{}.{}", parent.name, list.property);
            let children = &tables()[list.table];
            match list.parent_column {
                Some(at) => assert!(children.columns[at].indexed, "{} by its parent", children.name),
                None => assert_eq!(list.orphans, Orphans::Keep, "{}.{}", parent.name, list.property),
            }
            if list.orphans == Orphans::Flag {
                assert!(children.column("deleted").is_some(), "{}", children.name);
            }
        }
    }
    let list = |parent: &str, property: &str| {
        let list = table(parent).children.iter().find(|list| list.property == property).expect("a child list");
        let children = &tables()[list.table];
        (children.name.as_str(), list.parent_column.map(|at| children.columns[at].name.as_str()), list.orphans)
    };
    assert_eq!(list("subscriptions", "items"), ("subscription_items", Some("subscription"), Orphans::Flag));
    assert_eq!(list("invoices", "lines"), ("invoice_line_items", Some("invoice"), Orphans::Remove));
    assert_eq!(list("charges", "refunds"), ("refunds", Some("charge"), Orphans::Keep));
    assert_eq!(list("customers", "sources"), ("cards", None, Orphans::Keep));
    assert_eq!(
        list("entitlements_active_entitlement_summaries", "entitlements"),
        ("active_entitlements", Some("customer"), Orphans::Remove)
    );
    assert_eq!(list("quotes", "line_items"), ("checkout_session_line_items", Some("quote"), Orphans::Remove));
}

#[test]
fn deletions_do_what_they_mean() {
    let flagged = ["accounts", "customers", "discounts", "invoices", "subscription_items"];
    let mut deletable: BTreeSet<&str> = event_types()
        .iter()
        .filter(|event| event.name.ends_with(".deleted"))
        .flat_map(|event| event.objects.iter().copied())
        .collect();
    let with_stub = tables().iter().filter(|table| table.column("deleted").is_some());
    deletable.extend(with_stub.map(|table| table.object.as_str()));
    for table in tables() {
        let expected = match table.object.as_str() {
            "subscription" => OnDelete::Keep,
            "" => OnDelete::Remove,
            _ if flagged.contains(&table.name.as_str()) => OnDelete::Flag,
            object if deletable.contains(object) => OnDelete::Remove,
            _ => OnDelete::Keep,
        };
        assert_eq!(table.on_delete, expected, "{}", table.name);
        if expected == OnDelete::Flag {
            assert_eq!(column(&table.name, "deleted").column_type, ColumnType::Boolean);
        }
    }
}

#[test]
fn rows_without_ids_have_another_key() {
    for (name, key) in [
        ("balances", Key::Account),
        ("balance_settings", Key::Account),
        ("tax_settings", Key::Account),
        ("cash_balances", Key::Property("customer".to_owned())),
        ("entitlements_active_entitlement_summaries", Key::Property("customer".to_owned())),
        ("customers", Key::Id),
    ] {
        assert_eq!(table(name).key, key, "{name}");
    }
    assert_eq!(tables().iter().filter(|table| table.key != Key::Id).count(), 5);
}

#[test]
fn derived_columns_take_the_old_place_first() {
    let value = |steps: &[&str]| Expression::Value(path(steps));
    let id = |steps: &[&str]| Expression::Id(path(steps));
    let alternatives: [(&str, &str, [Expression; 2]); 6] = [
        ("invoices", "subscription", [id(&["subscription"]), id(&["parent", "subscription_details", "subscription"])]),
        ("invoices", "paid", [value(&["paid"]), Expression::Equals(path(&["status"]), "paid".to_owned())]),
        ("invoices", "tax", [value(&["tax"]), Expression::Sum(path(&["total_taxes", "*", "amount"]))]),
        (
            "subscriptions",
            "current_period_end",
            [value(&["current_period_end"]), Expression::Max(path(&["items", "data", "*", "current_period_end"]))],
        ),
        ("subscriptions", "plan", [id(&["plan"]), id(&["items", "data", "0", "plan"])]),
        ("credit_notes", "refund", [id(&["refund"]), id(&["refunds", "0", "refund"])]),
    ];
    for (table, name, expected) in alternatives {
        assert_eq!(column(table, name).source, Source::Object(expected.to_vec()), "{table}.{name}");
    }
    for (table, name, source) in [
        ("subscription_items", "subscription", Source::ParentId(vec![id(&["subscription"])])),
        ("checkout_session_line_items", "checkout_session", Source::ParentId(vec![])),
        ("checkout_session_line_items", "price", Source::Object(vec![id(&["price"])])),
        ("active_entitlements", "customer", Source::Parent(vec!["customer".to_owned()])),
        ("customers", "email", Source::Object(vec![value(&["email"])])),
        ("charges", "customer", Source::Object(vec![id(&["customer"])])),
        ("charges", "invoice", Source::Linked(vec![id(&["invoice"])])),
    ] {
        assert_eq!(column(table, name).source, source, "{table}.{name}");
    }
}

#[test]
fn exactly_the_links_that_the_stores_know_are_linked() {
    let mut linked: Vec<String> = tables()
        .iter()
        .flat_map(|table| table.columns.iter().map(move |column| (table, column)))
        .filter(|(_, column)| matches!(column.source, Source::Linked(_)))
        .map(|(table, column)| format!("{}.{}", table.name, column.name))
        .collect();
    linked.sort();
    let expected =
        ["charges.dispute", "charges.invoice", "invoices.charge", "invoices.payment_intent", "payment_intents.invoice"];
    assert_eq!(linked, expected);
}

#[test]
fn an_id_tells_its_kind() {
    for (id, expected) in [
        ("cus_1", &["customer"][..]),
        ("gcus_1", &["customer"]),
        ("sub_1", &["subscription"]),
        ("sub_sched_1", &["subscription_schedule"]),
        ("il_1", &["line_item"]),
        ("il_tmp_1", &["line_item"]),
        ("tax_1", &["tax.transaction"]),
        ("tax_li_1", &["tax.calculation_line_item", "tax.transaction_line_item"]),
        ("du_1", &["dispute"]),
        ("dp_1", &["dispute"]),
        ("ch_1", &["charge"]),
        ("py_1", &["charge"]),
        ("re_1", &["refund"]),
        ("pyr_1", &["refund"]),
        ("cs_test_1", &["checkout.session"]),
        ("evt_1", &["event"]),
        ("price_1", &["price", "plan"]),
        ("plan_1", &["plan"]),
        ("card_1", &["card", "payment_method"]),
        ("src_1", &["source", "payment_method"]),
        ("cbtxn_1", &["billing.credit_balance_transaction", "customer_balance_transaction"]),
        ("sub_", &[]),
        ("", &[]),
        ("gold", &[]),
        ("\u{fc}_1", &[]),
    ] {
        let found: Vec<&str> = match recognise(id) {
            Recognition::One(kind) => vec![kind.object],
            Recognition::Several(kinds) => kinds.iter().map(|kind| kind.object).collect(),
            Recognition::Unknown => vec![],
        };
        assert_eq!(found, expected, "{id:?}");
    }
}

#[test]
fn kinds_say_how_they_are_listed_and_read() {
    let customer = kind_of("customer").expect("a kind");
    let list = customer.list.as_ref().expect("a list");
    assert_eq!(list.path, "/v1/customers");
    assert!(list.created_filter && list.paginated && list.is_top_level());
    assert_eq!(list.filters, ["email", "test_clock"]);
    assert_eq!(customer.retrieve_path, Some("/v1/customers/{id}"));
    let summary = kind_of("billing.meter_event_summary").and_then(|kind| kind.list.as_ref()).expect("a list");
    assert_eq!((summary.parent_param, summary.required_query.len()), (Some("id"), 3));
    assert!(!summary.is_top_level());
    let item = kind_of("item").and_then(|kind| kind.list.as_ref()).expect("a list");
    assert_eq!(item.other_paths.len(), 3);
    let top_level_v1 = |kind: &&Kind| {
        kind.object.split('.').next() != Some("v2") && kind.list.as_ref().is_some_and(List::is_top_level)
    };
    assert_eq!(kinds().iter().filter(top_level_v1).count(), 78);
}

/// The folder of shared material, or `None` with a word about it.
fn shared() -> Option<PathBuf> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("BILLHOOK_SHARED").map_or(beside, PathBuf::from);
    if folder.join("reference/schema-columns.tsv").is_file() {
        return Some(folder);
    }
    println!("skipped: no reference/schema-columns.tsv in {}; set BILLHOOK_SHARED", folder.display());
    None
}

#[test]
fn the_columns_of_the_existing_engines_are_there_with_their_types() {
    let Some(shared) = shared() else { return };
    let text = std::fs::read_to_string(shared.join("reference/schema-columns.tsv")).expect("a readable file");
    let mut compared = 0;
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        let (table_name, name, type_name) = (fields[0], fields[1], fields[2]);
        if table_name == "events" {
            continue;
        }
        let table_name = if table_name == "*" { "customers" } else { table_name };
        let expected = match type_name {
            "integer" | "bigint" => ColumnType::BigInt,
            "boolean" => ColumnType::Boolean,
            "float8" => ColumnType::Double,
            "jsonb" => ColumnType::Json,
            "timestamptz" => ColumnType::Timestamp,
            _ => ColumnType::Text,
        };
        assert_eq!(column(table_name, name).column_type, expected, "{table_name}.{name}");
        compared += 1;
    }
    assert!(compared > 750, "only {compared} columns were compared");
}

#[test]
fn the_indexes_of_the_existing_engines_are_there() {
    for (table_name, columns) in [
        ("active_entitlements", &["customer", "feature"][..]),
        ("checkout_session_line_items", &["price", "checkout_session"]),
        ("checkout_sessions", &["customer", "invoice", "payment_intent", "subscription"]),
        ("credit_notes", &["customer", "invoice"]),
        ("disputes", &["created"]),
        ("early_fraud_warnings", &["charge", "payment_intent"]),
        ("invoice_payments", &["invoice"]),
        ("invoices", &["customer", "subscription"]),
        ("payment_intents", &["customer", "invoice"]),
        ("payment_methods", &["customer"]),
        ("refunds", &["charge", "payment_intent"]),
        ("reviews", &["charge", "payment_intent"]),
        ("setup_intents", &["customer"]),
        ("tax_ids", &["customer"]),
    ] {
        for name in columns {
            assert!(column(table_name, name).indexed, "{table_name}.{name}");
        }
    }
    let name = |table_name: &str, name: &str| table(table_name).index_name(column(table_name, name));
    assert_eq!(name("invoices", "customer"), "stripe_invoices_customer_idx");
    assert_eq!(name("disputes", "created"), "stripe_dispute_created_idx");
    assert_eq!(
        name("checkout_session_line_items", "checkout_session"),
        "stripe_checkout_session_line_items_session_idx"
    );
}
