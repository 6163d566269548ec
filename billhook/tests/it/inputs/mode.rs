//! A database takes one of Stripe's two worlds. The first delivery that belongs into it decides which.

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use super::fixtures::event;
use super::mirror::Mirror;

const OWN_ACCOUNT: &str = "acct_own00000000";

fn customer(livemode: bool) -> (String, Value) {
    let id = fresh_id("cus_");
    let object = json!({ "id": id, "object": "customer", "livemode": livemode });
    let mut event = event(&fresh_id("evt_1"), "customer.updated", now(), object);
    event["livemode"] = livemode.into();
    (id, event)
}

fn reason(mirror: &Mirror, event: &Value) -> Option<String> {
    mirror.quarantined(event["id"].as_str().unwrap()).map(|entry| entry.reason)
}

#[test]
fn the_first_delivery_that_is_taken_decides_the_mode() {
    let settings = |settings: billhook_testkit::ServerSettings| settings.set("BILLHOOK_STRIPE_ACCOUNT", OWN_ACCOUNT);
    Mirror::on_each("the_first_delivery_decides", settings, |mirror| {
        let dialect = mirror.dialect();
        let (_, mut of_another) = customer(true);
        of_another["account"] = "acct_other0000000".into();
        let (_, mut broken) = customer(true);
        broken["created"] = "yesterday".into();
        for (refused, wanted) in [(of_another, "wrong_account"), (broken, "invalid_created")] {
            mirror.accept_event(&refused);
            mirror.settle();
            assert_eq!(reason(mirror, &refused).as_deref(), Some(wanted), "on {dialect}");
        }
        let (own, mut first) = customer(false);
        first["account"] = OWN_ACCOUNT.into();
        mirror.accept_event(&first);
        mirror.settle();
        assert_eq!(reason(mirror, &first), None, "a refused delivery decided the mode, on {dialect}");
        assert_eq!(mirror.column("customers", &own, "_account_id"), OWN_ACCOUNT);
        let (other, live) = customer(true);
        mirror.accept_event(&live);
        mirror.settle();
        assert_eq!(reason(mirror, &live).as_deref(), Some("wrong_mode"), "on {dialect}");
        assert_eq!(mirror.row("customers", &other), None, "on {dialect}");
    });
}

#[test]
fn a_configured_mode_is_kept_from_the_first_delivery_on() {
    Mirror::on_each(
        "a_configured_mode",
        |settings| settings.set("BILLHOOK_MODE", "live"),
        |mirror| {
            let ((test_id, test), (live_id, live)) = (customer(false), customer(true));
            mirror.accept_event(&test);
            mirror.accept_event(&live);
            mirror.settle();
            assert_eq!(reason(mirror, &test).as_deref(), Some("wrong_mode"), "on {}", mirror.dialect());
            assert_eq!(mirror.row("customers", &test_id), None);
            assert!(mirror.row("customers", &live_id).is_some(), "on {}", mirror.dialect());
        },
    );
}
