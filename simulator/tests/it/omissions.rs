//! What lists leave out unless asked.

use serde_json::json;

use crate::client::{Caller, simulator};

#[test]
fn default_omissions_are_stripes() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        let objects = [
            json!({"id": "sub_live", "object": "subscription", "status": "active", "customer": "cus_live"}),
            json!({"id": "sub_ended", "object": "subscription", "status": "canceled", "customer": "cus_live"}),
            json!({"id": "sub_expired", "object": "subscription", "status": "incomplete_expired", "customer": "cus_live"}),
            json!({"id": "sub_clock", "object": "subscription", "status": "active", "test_clock": "clock_1"}),
            json!({"id": "price_on", "object": "price", "active": true}),
            json!({"id": "price_off", "object": "price", "active": false}),
            json!({"id": "price_inline", "object": "price", "active": true}),
            json!({"id": "prv_open", "object": "review", "open": true}),
            json!({"id": "prv_closed", "object": "review", "open": false}),
            json!({"id": "txi_own", "object": "tax_id", "owner": {"type": "self"}}),
            json!({"id": "txi_cus", "object": "tax_id", "customer": "cus_live", "owner": {"type": "customer", "customer": "cus_live"}}),
            json!({"id": "pm_card", "object": "payment_method", "type": "card", "customer": "cus_live"}),
            json!({"id": "pm_custom", "object": "payment_method", "type": "custom", "customer": "cus_live"}),
            json!({"id": "cus_live", "object": "customer"}),
            json!({"id": "cus_clock", "object": "customer", "test_clock": "clock_1"}),
            json!({"id": "qt_clock", "object": "quote", "test_clock": "clock_1"}),
        ];
        for object in objects {
            account.insert(object, None);
        }
        account.unlist("price", "price_inline");
    });
    let cases: [(&str, &[&str]); 19] = [
        ("/v1/subscriptions", &["sub_expired", "sub_live"]),
        ("/v1/subscriptions?status=all", &["sub_expired", "sub_ended", "sub_live"]),
        ("/v1/subscriptions?status=canceled", &["sub_ended"]),
        ("/v1/subscriptions?status=ended", &["sub_expired", "sub_ended"]),
        ("/v1/subscriptions?status=all&test_clock=clock_1", &["sub_clock"]),
        ("/v1/subscriptions?test_clock=clock_1", &["sub_clock"]),
        ("/v1/subscriptions?customer=cus_live", &["sub_expired", "sub_live"]),
        ("/v1/prices", &["price_on"]),
        ("/v1/prices?active=true", &["price_on"]),
        ("/v1/prices?active=false", &["price_off"]),
        ("/v1/reviews", &["prv_open"]),
        ("/v1/tax_ids", &["txi_own"]),
        ("/v1/customers/cus_live/tax_ids", &["txi_cus"]),
        ("/v1/payment_methods", &["pm_card"]),
        ("/v1/payment_methods?type=custom", &["pm_custom"]),
        ("/v1/customers", &["cus_live"]),
        ("/v1/customers?test_clock=clock_1", &["cus_clock"]),
        ("/v1/customers?test_clock=clock_2", &[]),
        ("/v1/quotes", &[]),
    ];
    for (path, wanted) in cases {
        assert_eq!(caller.ids(path), wanted, "{path}");
    }
    simulator.account(|account| account.payment_methods_need_customer = true);
    assert_eq!(caller.read("/v1/payment_methods").0, 400);
    assert_eq!(caller.ids("/v1/payment_methods?customer=cus_live"), ["pm_card"]);
    // What lists leave out can be read.
    for path in ["/v1/reviews/prv_closed", "/v1/prices/price_inline", "/v1/prices/price_off", "/v1/customers/cus_clock"]
    {
        assert_eq!(caller.read(path).0, 200, "{path}");
    }
    // An inline price stays out of every list, also after a change.
    simulator
        .account(|account| {
            account.update("price", "price_inline", None, |price| {
                price.insert("nickname".to_owned(), json!("once"));
            })
        })
        .unwrap();
    assert_eq!(caller.ids("/v1/prices"), ["price_on"]);
}

#[test]
fn deleted_objects_leave_a_stub_or_nothing() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        account.insert(json!({"id": "cus_1", "object": "customer"}), None);
        account.insert(json!({"id": "pm_1", "object": "payment_method", "type": "card"}), None);
        account.insert(json!({"id": "GOLD", "object": "coupon"}), None);
        for (kind, id) in [("customer", "cus_1"), ("payment_method", "pm_1"), ("coupon", "GOLD")] {
            account.remove(kind, id, None).unwrap();
        }
    });
    let (status, stub) = caller.read("/v1/customers/cus_1");
    assert_eq!((status, stub), (200, json!({"id": "cus_1", "object": "customer", "deleted": true})));
    let (status, body) = caller.read("/v1/payment_methods/pm_1");
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("resource_missing")));
    assert_eq!(caller.ids("/v1/customers").len(), 0);
    assert_eq!(simulator.oracle().deleted("customer").collect::<Vec<_>>(), ["cus_1"]);
    // An id that the user chose can come back.
    simulator.account(|account| account.insert(json!({"id": "GOLD", "object": "coupon", "created": 1}), None));
    assert_eq!(caller.get("/v1/coupons/GOLD")["created"], 1);
    assert_eq!(simulator.oracle().deleted("coupon").count(), 0);
}
