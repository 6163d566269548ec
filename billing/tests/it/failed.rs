//! Failed payments: one chain for an invoice, and nothing after it is paid, in whatever order things become known.

use billhook_core::run::RunState;
use billhook_flow::{days, hours};
use billhook_testkit::sql;
use serde_json::{Value, json};

use crate::house::{House, START, on_both};

fn invoice(id: &str, status: &str) -> Value {
    json!({
        "id": id, "object": "invoice", "status": status, "amount_due": 1_050, "currency": "huf", "number": "A-1", "due_date": null,
        "hosted_invoice_url": "https://invoice.example.com/1", "customer": "cus_1",
        "parent": { "type": "subscription_details", "subscription_details": { "subscription": "sub_1" } },
    })
}

/// An organisation, its customer and its subscription.
fn settle(house: &House, email: &str) {
    let organisations = house.own("organisations");
    house.execute(&format!(
        "INSERT INTO {organisations} (id, name, stripe_customer_id, stripe_subscription_id) VALUES ('org_1', 'Acme', 'cus_1', 'sub_1')"
    ));
    house.mirror("customers", "email, deleted", &format!("'cus_1', {email}, false"));
    house.mirror("subscriptions", "status", "'sub_1', 'past_due'");
}

fn mirror(house: &House, id: &str, status: &str, attempts: u32) {
    let values = format!("'{id}', '{status}', {attempts}, 'cus_1', 'sub_1'");
    house.mirror("invoices", "status, attempt_count, customer, subscription", &values);
}

fn status(house: &House) -> Value {
    sql::value(&house.url, &format!("SELECT status FROM {}", house.own("organisations"))).unwrap()
}

fn mails(house: &House) -> Vec<Value> {
    house.rows(&format!("SELECT template FROM {} ORDER BY created_at", house.own("outbox")))
}

/// The failure of an attempt as it becomes known.
async fn fails(house: &House, attempt: u32) -> Vec<String> {
    let id = format!("evt_failed_{attempt}");
    house.publish(&id, "invoice.payment_failed", START + i64::from(attempt), &invoice("in_1", "open")).await
}

async fn is_paid(house: &House, id: &str) -> Vec<String> {
    house.publish(&format!("evt_paid_{id}"), "invoice.paid", START + 100, &invoice(id, "paid")).await
}

#[test]
fn eight_failed_attempts_are_one_chain() {
    on_both("eight_failed_attempts_are_one_chain", async |house| {
        settle(&house, "'ada@example.com'");
        mirror(&house, "in_1", "open", 1);
        let engine = house.engine();
        let mut started = Vec::new();
        for attempt in 1..=8 {
            started.extend(fails(&house, attempt).await);
        }
        assert_eq!(started.len(), 1);
        house.until(&started[0], RunState::Waiting).await;
        assert_eq!(status(&house), "payment_failed");
        house.clock.advance(days(3));
        engine.wake();
        let end = house.result(&started[0]).await;
        assert!(end["notice"]["written"].is_string() && end["reminder"]["written"].is_string(), "{end}");
        assert_eq!(mails(&house), [json!({ "template": "payment_failed" }), json!({ "template": "payment_reminder" })]);
        let data = format!("SELECT recipient, data FROM {} WHERE template = 'payment_failed'", house.own("outbox"));
        let mail = house.rows(&data).remove(0);
        let data = mail["data"].as_str().map_or(mail["data"].clone(), |text| serde_json::from_str(text).unwrap());
        assert_eq!(
            (&mail["recipient"], &data["amount_due"], &data["currency"]),
            (&json!("ada@example.com"), &json!(1_050), &json!("huf"))
        );
        assert_eq!((&data["due_date"], &data["organisation"]), (&Value::Null, &json!("Acme")));
        engine.stop().await;
    });
}

#[test]
fn payment_calls_the_chain_off_and_the_organisation_is_active_again() {
    on_both("payment_calls_the_chain_off_and_the_organisation_is_active_again", async |house| {
        settle(&house, "'ada@example.com'");
        mirror(&house, "in_1", "open", 1);
        let engine = house.engine();
        let chain = fails(&house, 1).await.remove(0);
        house.until(&chain, RunState::Waiting).await;
        house.clock.advance(days(2));
        mirror(&house, "in_1", "paid", 2);
        let recovered = is_paid(&house, "in_1").await.remove(0);
        engine.wake();
        assert_eq!(house.result(&recovered).await, json!({ "recovered": true, "organisation": "org_1" }));
        house.until(&chain, RunState::Cancelled).await;
        house.clock.advance(days(2));
        engine.wake();
        house.quiet().await;
        assert_eq!((status(&house), mails(&house).len()), (json!("active"), 1));
        engine.stop().await;
    });
}

#[test]
fn every_other_end_of_the_debt_calls_it_off_as_well() {
    on_both("every_other_end_of_the_debt_calls_it_off_as_well", async |house| {
        settle(&house, "'ada@example.com'");
        let engine = house.engine();
        let before_basil = json!({ "id": "in_4", "object": "invoice", "status": "open", "amount_due": 5, "currency": "eur",
                                   "customer": "cus_1", "subscription": "sub_1" });
        for (number, failed, event_type, object) in [
            (1, invoice("in_1", "open"), "invoice.voided", invoice("in_1", "void")),
            (2, invoice("in_2", "open"), "invoice.marked_uncollectible", invoice("in_2", "uncollectible")),
            (
                3,
                invoice("in_3", "open"),
                "customer.subscription.deleted",
                json!({ "id": "sub_1", "object": "subscription" }),
            ),
            (4, before_basil, "customer.subscription.deleted", json!({ "id": "sub_1", "object": "subscription" })),
        ] {
            let chain = house
                .publish(&format!("evt_failed_{number}"), "invoice.payment_failed", START + number * 10, &failed)
                .await;
            house.until(&chain[0], RunState::Waiting).await;
            house.publish(&format!("evt_end_{number}"), event_type, START + number * 10 + 1, &object).await;
            house.until(&chain[0], RunState::Cancelled).await;
        }
        engine.stop().await;
    });
}

/// All orders in which three events become known.
const ORDERS: [[&str; 3]; 6] = [
    ["failed 1", "failed 2", "paid"],
    ["failed 2", "failed 1", "paid"],
    ["failed 1", "paid", "failed 2"],
    ["failed 2", "paid", "failed 1"],
    ["paid", "failed 1", "failed 2"],
    ["paid", "failed 2", "failed 1"],
];

#[test]
fn all_orders_of_two_failures_and_a_payment_end_paid() {
    on_both("all_orders_of_two_failures_and_a_payment_end_paid", async |house| {
        settle(&house, "'ada@example.com'");
        let engine = house.engine();
        for (number, order) in ORDERS.iter().enumerate() {
            // At once, with the runs in between at rest, and so late that nobody remembers the payment but the mirror.
            for pause in [hours(0), hours(1), days(5)] {
                let id = format!("in_{number}_{}", pause.as_hours());
                let mut is_known_paid = false;
                for what in order {
                    is_known_paid |= *what == "paid";
                    let (known, attempts) = if is_known_paid { ("paid", 3) } else { ("open", 1) };
                    mirror(&house, &id, known, attempts);
                    let event = format!("evt_{id}_{what}");
                    let (event_type, at, seen) = match *what {
                        "paid" => ("invoice.paid", START + 100, "paid"),
                        "failed 2" => ("invoice.payment_failed", START + 50, "open"),
                        _ => ("invoice.payment_failed", START, "open"),
                    };
                    house.publish(&event, event_type, at, &invoice(&id, seen)).await;
                    engine.wake();
                    if pause.is_positive() {
                        house.quiet().await;
                        // A chain may have gone by between a failure and its payment; then its reminder came before.
                        if is_known_paid {
                            house.clock.advance(pause);
                        }
                    }
                }
                house.quiet().await;
                let reminders = format!("SELECT id FROM {} WHERE template = 'payment_reminder'", house.own("outbox"));
                house.clock.advance(days(4));
                engine.wake();
                house.quiet().await;
                assert_eq!(
                    (house.rows(&reminders), status(&house)),
                    (Vec::new(), json!("active")),
                    "{order:?} {pause}"
                );
            }
        }
        engine.stop().await;
    });
}

#[test]
fn a_payment_of_which_no_event_came_is_seen_in_the_mirror() {
    on_both("a_payment_of_which_no_event_came_is_seen_in_the_mirror", async |house| {
        settle(&house, "'ada@example.com'");
        mirror(&house, "in_1", "open", 1);
        let engine = house.engine();
        let chain = fails(&house, 1).await.remove(0);
        house.until(&chain, RunState::Waiting).await;
        mirror(&house, "in_1", "paid", 2);
        house.clock.advance(days(3));
        engine.wake();
        assert_eq!(house.result(&chain).await["reminder"], json!({ "skipped": "the invoice is paid" }));
        engine.stop().await;
    });
}

#[test]
fn an_organisation_that_owes_more_stays_failed_until_all_is_paid() {
    on_both("an_organisation_that_owes_more_stays_failed_until_all_is_paid", async |house| {
        settle(&house, "'ada@example.com'");
        mirror(&house, "in_1", "open", 1);
        mirror(&house, "in_2", "open", 4);
        let engine = house.engine();
        let chain = fails(&house, 1).await.remove(0);
        house.until(&chain, RunState::Waiting).await;
        mirror(&house, "in_1", "paid", 2);
        let run = is_paid(&house, "in_1").await.remove(0);
        assert_eq!(house.result(&run).await["reason"], "another invoice is still open");
        assert_eq!(status(&house), "payment_failed");
        mirror(&house, "in_2", "paid", 4);
        let run = is_paid(&house, "in_2").await.remove(0);
        assert_eq!(house.result(&run).await["recovered"], true);
        assert_eq!(status(&house), "active");
        engine.stop().await;
    });
}

#[test]
fn without_an_address_mails_are_skipped_with_a_reason() {
    on_both("without_an_address_mails_are_skipped_with_a_reason", async |house| {
        settle(&house, "NULL");
        mirror(&house, "in_1", "open", 1);
        let engine = house.engine();
        let chain = fails(&house, 1).await.remove(0);
        house.until(&chain, RunState::Waiting).await;
        assert_eq!(mails(&house), Vec::<Value>::new());
        // An address that comes later is used.
        house.mirror("customers", "email, deleted", "'cus_1', 'late@example.com', false");
        house.clock.advance(days(3));
        engine.wake();
        let end = house.result(&chain).await;
        assert_eq!(end["notice"], json!({ "skipped": "the customer cus_1 has no e-mail address" }));
        assert!(end["reminder"]["written"].is_string(), "{end}");
        let recipients = house.rows(&format!("SELECT recipient FROM {}", house.own("outbox")));
        assert_eq!(
            (status(&house), recipients),
            (json!("payment_failed"), vec![json!({ "recipient": "late@example.com" })])
        );
        engine.stop().await;
    });
}

#[test]
fn a_process_that_dies_in_a_chain_writes_each_mail_once() {
    on_both("a_process_that_dies_in_a_chain_writes_each_mail_once", async |house| {
        settle(&house, "'ada@example.com'");
        mirror(&house, "in_1", "open", 1);
        let chain = fails(&house, 1).await.remove(0);
        for looks in 0..5 {
            let engine = house.engine();
            for _ in 0..looks {
                let _ = sql::number(&house.url, "SELECT 1");
                tokio::task::yield_now().await;
            }
            engine.abandon();
            house.clock.advance(hours(1));
        }
        house.clock.advance(days(3));
        let engine = house.engine();
        let waited = house.until(&chain, RunState::Waiting);
        let ended = house.until(&chain, RunState::Succeeded);
        tokio::select! { _ = waited => {}, _ = ended => {} }
        house.clock.advance(days(3));
        engine.wake();
        house.until(&chain, RunState::Succeeded).await;
        assert_eq!(mails(&house).len(), 2);
        engine.stop().await;
    });
}
