use billhook_flow::testing::Trial;
use serde_json::{Value, json};

use super::*;
use crate::{OnMissing, Tables, Users};

fn trial() -> Trial<Billing> {
    let tables = Tables::sqlite().unwrap();
    let billing = Billing { users: Users::own(&tables).unwrap(), tables, on_missing: OnMissing::End };
    let data = json!({ "id": "in_1", "amount_due": 5_120, "currency": "kwd", "customer": "cus_1" });
    Trial::new(&declared(), billing, data)
}

fn failed() -> Value {
    json!({ "failed": { "id": "org_1", "name": "Acme", "status": "active" } })
}

#[tokio::test]
async fn a_reminder_follows_its_notice_after_three_days() {
    let (notice, reminder) = (json!({ "written": "bh_1" }), json!({ "skipped": "the invoice is paid" }));
    let trial = trial().fake("mark", failed()).fake("notice", notice.clone()).fake("reminder", reminder.clone());
    let end = trial.run().await;
    let expected =
        json!({ "status": 200, "invoice": "in_1", "organisation": "org_1", "notice": notice, "reminder": reminder });
    assert_eq!((end.result, end.took), (Ok(expected), days(3)));
    trial.survives_crashes().await.unwrap();
}

#[tokio::test]
async fn without_an_organisation_or_a_debt_nobody_is_written_to() {
    for (marked, status, reason) in [
        (json!("missing"), 404, "no organisation belongs to the invoice"),
        (json!({ "over": "the invoice is paid" }), 200, "the invoice is paid"),
    ] {
        let end = trial().fake("mark", marked).run().await;
        let expected = json!({ "status": status, "invoice": "in_1", "reason": reason });
        assert_eq!((end.result, end.took.is_zero(), end.memos.len()), (Ok(expected), true, 1));
    }
}

#[test]
fn mails_have_the_smallest_unit_and_no_invented_date() {
    let invoice = |due_date: Value| -> Invoice {
        let subscription = json!({ "subscription_details": { "subscription": "sub_1" } });
        serde_json::from_value(json!({ "id": "in_1", "amount_due": 5_120, "currency": "kwd", "due_date": due_date, "parent": subscription }))
            .unwrap()
    };
    let told = invoice(Value::Null).told("Acme");
    assert_eq!(
        (&told["amount_due"], &told["currency"], &told["due_date"]),
        (&json!(5_120), &json!("kwd"), &Value::Null)
    );
    assert_eq!(invoice(json!(1_800_000_000)).told("Acme")["due_date"], "2027-01-15T08:00:00Z");
    assert_eq!(invoice(Value::Null).subscription(), Some("sub_1"));
}
