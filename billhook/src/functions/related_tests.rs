use std::path::{Path, PathBuf};

use billhook_simulator::versions::{Related as Elsewhere, SHAPES, render};
use serde_json::json;

use super::*;

/// The invoice and the charge of whatever is asked, as shapes before basil name them.
struct Paid;

impl Elsewhere for Paid {
    fn object(&self, _kind: &str, _id: &str) -> Option<Value> {
        None
    }

    fn link(&self, _kind: &str, _id: &str, property: &str) -> Value {
        match property {
            "invoice" => "in_1".into(),
            "charge" => "ch_1".into(),
            _ => Value::Null,
        }
    }
}

/// What an object is related to, by id.
type Ids = Vec<(Related, &'static str)>;

/// Objects in the newest shape, and what they say in every version; what only older ones say stands apart.
fn newest() -> Vec<(Value, Ids, Ids)> {
    use Related::{Charge, Customer, Invoice, Subscription};
    let parent = json!({ "type": "subscription_details", "subscription_details": { "subscription": "sub_1" } });
    vec![
        (
            json!({ "id": "in_1", "object": "invoice", "customer": "cus_1", "parent": parent }),
            vec![(Customer, "cus_1"), (Subscription, "sub_1")],
            vec![(Charge, "ch_1")],
        ),
        (
            json!({ "id": "ii_1", "object": "invoiceitem", "customer": "cus_1", "invoice": "in_1", "parent": parent }),
            vec![(Customer, "cus_1"), (Subscription, "sub_1"), (Invoice, "in_1")],
            vec![],
        ),
        (
            json!({ "id": "ch_1", "object": "charge", "customer": "cus_1", "payment_intent": "pi_1" }),
            vec![(Customer, "cus_1")],
            vec![(Invoice, "in_1")],
        ),
        (
            json!({ "id": "pi_1", "object": "payment_intent", "customer": "cus_1", "latest_charge": "ch_1" }),
            vec![(Customer, "cus_1"), (Charge, "ch_1")],
            vec![(Invoice, "in_1")],
        ),
        (
            json!({ "id": "sub_1", "object": "subscription", "customer": "cus_1", "latest_invoice": "in_1" }),
            vec![(Customer, "cus_1"), (Invoice, "in_1")],
            vec![],
        ),
        (json!({ "id": "dp_1", "object": "dispute", "charge": "ch_1" }), vec![(Charge, "ch_1")], vec![]),
        (json!({ "id": "re_1", "object": "refund", "charge": "ch_1" }), vec![(Charge, "ch_1")], vec![]),
        (
            json!({ "id": "inpay_1", "object": "invoice_payment", "invoice": "in_1",
                    "payment": { "type": "charge", "charge": "ch_1" } }),
            vec![(Invoice, "in_1"), (Charge, "ch_1")],
            vec![],
        ),
        (
            json!({ "id": "txi_1", "object": "tax_id", "customer": null,
                    "owner": { "type": "customer", "customer": "cus_1" } }),
            vec![(Customer, "cus_1")],
            vec![],
        ),
        (json!({ "id": "cus_1", "object": "customer" }), vec![], vec![]),
    ]
}

#[test]
fn every_version_says_the_same_in_its_own_places() {
    for (object, always, before_basil) in newest() {
        let kind = object["object"].as_str().unwrap();
        for version in SHAPES {
            let shown = render(&object, version, &Paid);
            let is_older = version < "2025-03-31";
            for related in Related::ALL {
                let of =
                    |list: &[(Related, &'static str)]| list.iter().find(|(of, _)| *of == related).map(|(_, id)| *id);
                let expected = of(&always).or_else(|| of(&before_basil).filter(|_| is_older));
                match (told(kind, &shown, related), expected) {
                    (Told::Is(id, None), Some(expected)) => assert_eq!(id, expected, "{kind} {version}"),
                    (Told::Nothing | Told::Absent, None) => {}
                    (other, _) => panic!("{kind} {version} {related:?}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn what_current_versions_do_not_say_is_looked_for_in_invoice_payments() {
    for (kind, related) in
        [("charge", Related::Invoice), ("payment_intent", Related::Invoice), ("invoice", Related::Charge)]
    {
        assert!(tie(kind, related).is_some());
        let object = json!({ "id": "x_1", "object": kind });
        assert_eq!(told(kind, &object, related), Told::Nothing, "a current {kind} does not say");
        let older = json!({ "id": "x_1", "object": kind, related.name(): null });
        assert_eq!(told(kind, &older, related), Told::Absent, "an older {kind} says that there is none");
    }
}

#[test]
fn a_reference_is_an_id_or_an_object() {
    let charge = |customer: Value| json!({ "id": "ch_1", "object": "charge", "customer": customer });
    let expanded = json!({ "id": "cus_1", "object": "customer", "deleted": true });
    let told_of = |object: &Value| match told("charge", object, Related::Customer) {
        Told::Is(id, expanded) => Some((id.to_owned(), expanded.is_some())),
        _ => None,
    };
    assert_eq!(told_of(&charge("cus_1".into())), Some(("cus_1".to_owned(), false)));
    assert_eq!(told_of(&charge(expanded)), Some(("cus_1".to_owned(), true)));
    for odd in [json!(""), json!(5), json!({}), json!({ "id": null }), json!([]), Value::Null] {
        assert_eq!(told_of(&charge(odd.clone())), None, "{odd}");
    }
}

#[test]
fn questions_name_what_the_object_has() {
    let query = |kind: &str, related, object: &Value| tie(kind, related).unwrap().query(object);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let with_intent = json!({ "id": "ch_1", "payment_intent": { "id": "pi_1" } });
    let expected = vec![
        pair("payment[type]", "payment_intent"),
        pair("payment[payment_intent]", "pi_1"),
        pair("expand[]", "data.invoice"),
    ];
    assert_eq!(query("charge", Related::Invoice, &with_intent), Some(expected));
    let alone = query("charge", Related::Invoice, &json!({ "id": "ch_1", "payment_intent": null })).unwrap();
    assert_eq!(alone[..2], [pair("payment[type]", "charge"), pair("payment[charge]", "ch_1")]);
    assert_eq!(query("invoice", Related::Charge, &json!({ "object": "invoice" })), None, "a preview has no id");
}

#[test]
fn the_default_payment_answers_first() {
    let payment = |id: &str, is_default: bool| json!({ "is_default": is_default, "payment": { "payment_intent": { "latest_charge": id } } });
    let tie = tie("invoice", Related::Charge).unwrap();
    let answer = |payments: &[Value]| tie.answer(&json!({ "data": payments })).cloned();
    assert_eq!(answer(&[payment("ch_1", false), payment("ch_2", true)]), Some("ch_2".into()));
    assert_eq!(answer(&[payment("ch_1", false)]), Some("ch_1".into()));
    let untried = json!({ "is_default": true, "payment": { "payment_intent": { "latest_charge": null } } });
    assert_eq!(answer(&[untried, payment("ch_1", false)]), Some("ch_1".into()));
    assert_eq!(answer(&[]), None);
    assert!(tie.is_absent(&json!({ "attempted": false })) && !tie.is_absent(&json!({ "attempted": true })));
}

#[test]
fn recorded_payloads_say_what_they_belong_to() {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("BILLHOOK_SHARED").map_or(beside, PathBuf::from).join("fixtures/webhooks");
    if !folder.is_dir() {
        eprintln!("skipped: no recorded payloads; set BILLHOOK_SHARED to the folder that holds `fixtures`");
        return;
    }
    use Related::{Charge, Customer, Invoice, Subscription};
    for (file, related, id) in [
        ("charge_succeeded", Customer, "cus_J7Mkgr8mvbl1eK"),
        ("charge_succeeded", Invoice, "in_1KJdKkJDPojXS6LNSwSWkZSN"),
        ("charge_dispute_created", Charge, "ch_1IqtGAJDPojXS6LNstgEfUji"),
        ("refund_created", Charge, "ch_1NirD82eZvKYlo2CIvbtLWuY"),
        ("invoice_paid", Customer, "cus_JsuO3bmrj0QlAw"),
        ("invoice_paid", Subscription, "sub_JsuPyCPhXWfZar"),
        ("subscription_created", Customer, "cus_IhGfebO16cMIGN"),
        ("checkout_session_completed", Invoice, "in_1KJqKBJDPojXS6LNJbvLUgEy"),
        ("credit_note_created", Invoice, "in_1MxvRkLkdIwHu7ixABNtI99m"),
        ("invoice_payment_paid", Invoice, "in_103Q0w2eZvKYlo2C5PYwf6Wf"),
        ("payment_method_attached", Customer, "cus_N4vaPItLFHBqRE"),
    ] {
        let text = std::fs::read_to_string(folder.join(format!("{file}.json"))).unwrap();
        let event: Value = serde_json::from_str(&text).unwrap();
        let object = &event["data"]["object"];
        let told = told(object["object"].as_str().unwrap(), object, related);
        assert!(matches!(told, Told::Is(found, _) if found == id), "{file} {related:?}: {told:?}");
    }
}
