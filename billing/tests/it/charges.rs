//! Charges: one row for each whose user is known, a visible end for every other.

use billhook_billing::{OnMissing, Users};
use billhook_core::run::RunState;
use billhook_flow::minutes;
use billhook_testkit::sql;
use serde_json::{Value, json};

use crate::house::{House, START, charge, on_both};

fn add_user(house: &House, id: &str, email: &str, customer: &str) {
    let users = house.own("users");
    let customer = if customer.is_empty() { "NULL".to_owned() } else { format!("'{customer}'") };
    house.execute(&format!(
        "INSERT INTO {users} (id, email, stripe_customer_id) VALUES ('{id}', '{email}', {customer})"
    ));
}

async fn recorded(house: &House, id: &str, customer: &Value) -> Value {
    let runs = house.publish(&format!("evt_{id}"), "charge.succeeded", START, &charge(id, customer)).await;
    house.result(&runs[0]).await
}

#[test]
fn a_charge_becomes_one_row_however_often_it_is_delivered() {
    on_both("a_charge_becomes_one_row_however_often_it_is_delivered", async |house| {
        add_user(&house, "7", "ada@example.com", "cus_1");
        let engine = house.engine();
        let mut started = Vec::new();
        for delivery in 0..50 {
            // Two endpoints deliver the same charge under two events, again and again.
            let event = format!("evt_{}", delivery % 2);
            started.extend(house.publish(&event, "charge.succeeded", START, &charge("ch_1", &json!("cus_1"))).await);
        }
        assert_eq!(started.len(), 1);
        assert_eq!(house.result(&started[0]).await, json!({ "status": 200, "charge": "ch_1", "user": "7" }));
        let rows = house.rows(&format!("SELECT id, user_id, amount, currency, event_id FROM {}", house.own("charges")));
        // More than 32 bits, in the currency's smallest unit.
        let row = json!({ "id": "ch_1", "user_id": "7", "amount": 3_000_000_000_i64, "currency": "jpy", "event_id": "evt_0" });
        assert_eq!(rows, [row]);
        engine.stop().await;
    });
}

#[test]
fn a_user_is_found_by_customer_or_by_address() {
    on_both("a_user_is_found_by_customer_or_by_address", async |house| {
        add_user(&house, "1", "ada@example.com", "cus_1");
        add_user(&house, "2", "Bob@Example.com", "");
        add_user(&house, "3", "twice@example.com", "");
        add_user(&house, "4", "Twice@example.com", "");
        let engine = house.engine();
        let customer = |id: &str, email: &str| json!({ "id": id, "object": "customer", "email": email });
        for (number, customer, user) in [
            (1, json!("cus_1"), Some("1")),
            (2, customer("cus_1", "bob@example.com"), Some("1")),
            (3, customer("cus_2", "BOB@example.COM"), Some("2")),
            (4, customer("cus_2", "Twice@example.com"), Some("4")),
            (5, customer("cus_2", "TWICE@example.com"), None),
            (6, customer("cus_2", "' OR 1=1 --"), None),
            (7, json!({ "id": "cus_3", "object": "customer", "deleted": true }), None),
            (8, Value::Null, None),
        ] {
            let end = recorded(&house, &format!("ch_{number}"), &customer).await;
            assert_eq!((end["user"].as_str(), end["status"] == 404), (user, user.is_none()), "{customer}: {end}");
        }
        assert_eq!(house.count("charges"), 4);
        engine.stop().await;
    });
}

#[test]
fn a_missing_user_is_not_looked_for_again_unless_it_is_asked_for() {
    on_both("a_missing_user_is_not_looked_for_again_unless_it_is_asked_for", async |mut house| {
        let engine = house.engine();
        let end = recorded(&house, "ch_1", &json!("cus_1")).await;
        assert_eq!(end, json!({ "status": 404, "charge": "ch_1", "reason": "no user belongs to the customer cus_1" }));
        engine.stop().await;
        house.billing.on_missing = OnMissing::RetryTenMinutes;
        let engine = house.engine();
        let runs = house.publish("evt_2", "charge.succeeded", START, &charge("ch_2", &json!("cus_1"))).await;
        house.until(&runs[0], RunState::Waiting).await;
        add_user(&house, "1", "ada@example.com", "cus_1");
        house.clock.advance(minutes(1));
        engine.wake();
        assert_eq!(house.result(&runs[0]).await["user"], "1");
        assert_eq!(house.count("charges"), 1);
        engine.stop().await;
    });
}

#[test]
fn users_of_another_table_are_found_by_its_own_names() {
    on_both("users_of_another_table_are_found_by_its_own_names", async |mut house| {
        house.execute(
            "CREATE TABLE \"User\" (\"userId\" INTEGER PRIMARY KEY, \"Mail\" VARCHAR(200), \"order\" VARCHAR(40))",
        );
        house.execute("INSERT INTO \"User\" VALUES (42, 'ada@example.com', 'cus_1')");
        house.billing.users = Users {
            table: "User".parse().unwrap(),
            id: "userId".parse().unwrap(),
            email: "Mail".parse().unwrap(),
            customer: Some("order".parse().unwrap()),
        };
        let engine = house.engine();
        assert_eq!(recorded(&house, "ch_1", &json!("cus_1")).await["user"], "42");
        let by_address = json!({ "id": "cus_2", "object": "customer", "email": "ADA@example.com" });
        assert_eq!(recorded(&house, "ch_2", &by_address).await["user"], "42");
        engine.stop().await;
    });
}

#[test]
fn a_process_that_dies_leaves_one_row() {
    on_both("a_process_that_dies_leaves_one_row", async |house| {
        add_user(&house, "7", "ada@example.com", "cus_1");
        for number in 0..10 {
            let id = format!("ch_{number}");
            let runs =
                house.publish(&format!("evt_{id}"), "charge.succeeded", START, &charge(&id, &json!("cus_1"))).await;
            let first = house.engine();
            first.wake();
            // Before, during or after the commit: whenever it happens.
            for _ in 0..number {
                tokio::task::yield_now().await;
                let _ = sql::number(&house.url, "SELECT 1");
            }
            first.abandon();
            house.clock.advance(minutes(1));
            let second = house.engine();
            assert_eq!(house.result(&runs[0]).await["user"], "7");
            second.stop().await;
        }
        assert_eq!(house.count("charges"), 10);
    });
}
