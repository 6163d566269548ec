use billhook_flow::testing::Trial;
use serde_json::{Value, json};

use super::*;
use crate::{Tables, Users};

fn billing(on_missing: OnMissing) -> Billing {
    let tables = Tables::sqlite().unwrap();
    Billing { users: Users::own(&tables).unwrap(), tables, on_missing }
}

fn data() -> Value {
    json!({ "id": "ch_1", "amount": 500, "currency": "jpy", "created": 1_800_000_000, "customer": "cus_1" })
}

#[tokio::test]
async fn a_missing_user_is_the_end_and_not_an_error() {
    let missing = json!({ "status": 404, "charge": "ch_1", "reason": "no user belongs to the customer cus_1" });
    let trial = |on_missing| Trial::new(&declared(), billing(on_missing), data()).fake("record", missing.clone());
    let end = trial(OnMissing::End).run().await;
    assert_eq!((end.result, end.took, end.memos.len()), (Ok(missing.clone()), SignedDuration::ZERO, 1));
    let end = trial(OnMissing::RetryTenMinutes).run().await;
    assert_eq!((end.result, end.took), (Ok(missing.clone()), minutes(10)));
}

#[tokio::test]
async fn a_user_who_is_there_is_not_looked_for_again() {
    let found = json!({ "status": 200, "charge": "ch_1", "user": "7" });
    let trial = Trial::new(&declared(), billing(OnMissing::RetryTenMinutes), data()).fake("record", found.clone());
    let end = trial.run().await;
    assert_eq!((end.result, end.took), (Ok(found), SignedDuration::ZERO));
}

#[test]
fn what_a_payer_types_counts_only_without_a_customer() {
    let typed = json!({ "email": "typed@example.com" });
    for (customer, receipt, expected) in [
        (json!({ "id": "cus_1", "email": "own@example.com" }), Value::Null, Some("own@example.com")),
        (json!({ "id": "cus_1", "email": null }), Value::Null, None),
        (json!({ "id": "cus_1", "object": "customer", "deleted": true }), Value::Null, None),
        (json!("cus_1"), Value::Null, None),
        (Value::Null, Value::Null, Some("typed@example.com")),
        (Value::Null, json!("receipt@example.com"), Some("receipt@example.com")),
        (Value::Null, json!("  "), Some("typed@example.com")),
    ] {
        let mut data = data();
        data["customer"] = customer;
        data["receipt_email"] = receipt;
        data["billing_details"] = typed.clone();
        let charge: Charge = serde_json::from_value(data.clone()).unwrap();
        assert_eq!(charge.email(), expected, "{data}");
    }
}
