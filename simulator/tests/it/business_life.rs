//! A subscription's life.

use billhook_simulator::business::call;
use billhook_simulator::routes::Method::Post;
use billhook_simulator::{Account, ClockMode, Options};

#[test]
fn print_a_life() {
    let mut account = Account::new(&Options { clock: ClockMode::Manual(1_767_225_600), ..Options::default() });
    let product = call(&mut account, Post, "/v1/products", &[("name", "Pro")]).unwrap();
    let price = call(
        &mut account,
        Post,
        "/v1/prices",
        &[
            ("product", product["id"].as_str().unwrap()),
            ("currency", "eur"),
            ("unit_amount", "2900"),
            ("recurring[interval]", "month"),
        ],
    )
    .unwrap();
    let customer =
        call(&mut account, Post, "/v1/customers", &[("name", "Ada"), ("payment_method", "pm_card_visa")]).unwrap();
    let cus = customer["id"].as_str().unwrap();
    let pm = account.find("payment_method", "customer", cus)[0]["id"].as_str().unwrap().to_owned();
    call(&mut account, Post, &format!("/v1/customers/{cus}"), &[("invoice_settings[default_payment_method]", &pm)])
        .unwrap();
    let sub = call(
        &mut account,
        Post,
        "/v1/subscriptions",
        &[("customer", cus), ("items[0][price]", price["id"].as_str().unwrap()), ("trial_period_days", "14")],
    )
    .unwrap();
    account.advance(86_400 * 60);
    let sub2 = call(
        &mut account,
        Post,
        "/v1/subscriptions",
        &[
            ("customer", cus),
            ("items[0][price]", price["id"].as_str().unwrap()),
            ("default_payment_method", "pm_card_chargeCustomerFail"),
        ],
    )
    .unwrap();
    let _ = (sub, sub2);
    for event in account.events() {
        let body: serde_json::Value =
            serde_json::from_slice(&event.render("2026-10-28.endive", false, &account)).unwrap();
        println!(
            "{} {} {} {}",
            event.created - 1_767_225_600,
            event.event_type,
            event.object_id,
            body["data"]["previous_attributes"].to_string().chars().take(150).collect::<String>()
        );
    }
}
