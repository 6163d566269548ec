//! Every kind can be listed and read; filters, embedded lists and expansion.

use billhook_stripe::catalogue;
use serde_json::{Value, json};

use crate::client::{Caller, ids_of, simulator};

#[test]
fn every_kind_of_the_catalogue_is_listed_and_read() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    for kind in catalogue::kinds() {
        let is_event = matches!(kind.object, "event" | "v2.core.event");
        let lists_owned = matches!(
            kind.object,
            "line_item"
                | "item"
                | "credit_note_line_item"
                | "subscription_item"
                | "tax.calculation_line_item"
                | "tax.transaction_line_item"
                | "payment_intent_amount_details_line_item"
        );
        if is_event || lists_owned {
            continue;
        }
        let id = simulator.account(|account| {
            let mut object = account.plain(kind.object);
            for property in ["active", "open"] {
                if object.contains_key(property) {
                    object.insert(property.to_owned(), json!(true));
                }
            }
            if kind.object == "tax_id" {
                object.insert("owner".to_owned(), json!({"type": "self"}));
            }
            for query in kind.list.iter().flat_map(|list| &list.required_query) {
                object.insert((*query).to_owned(), json!("parent_1"));
            }
            account.insert_below(Some("parent_1"), Value::Object(object), None)
        });
        if let Some(list) = kind.list.as_ref().filter(|list| list.parent_param.is_none()) {
            let query: Vec<String> = list.required_query.iter().map(|name| format!("{name}=parent_1")).collect();
            let page = caller.get(&format!("{}?{}", list.path, query.join("&")));
            assert_eq!(ids_of(&page), std::slice::from_ref(&id), "{}", kind.object);
            if !kind.object.starts_with("v2.") {
                assert_eq!((page["object"].as_str(), page["url"].as_str()), (Some("list"), Some(list.path)));
            }
        }
        if let Some(path) = kind.retrieve_path.filter(|path| path.ends_with("{id}")) {
            let path = path.replace("{id}", &id);
            let path: Vec<&str> =
                path.split('/').map(|part| if part.starts_with('{') { "parent_1" } else { part }).collect();
            assert_eq!(caller.get(&path.join("/"))["id"], json!(id), "{}", kind.object);
        }
    }
}

#[test]
fn singletons_are_read_without_an_id() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    assert_eq!(caller.get("/v1/balance")["object"], "balance");
    assert_eq!(caller.get("/v1/balance_settings")["object"], "balance_settings");
    assert_eq!(caller.get("/v1/tax/settings")["object"], "tax.settings");
    let own = caller.get("/v1/account");
    assert!(own["id"].as_str().is_some_and(|id| id.starts_with("acct_")));
    simulator.account(|account| {
        account.insert(json!({"object": "cash_balance", "customer": "cus_1", "available": {"eur": 5}}), None)
    });
    assert_eq!(caller.get("/v1/customers/cus_1/cash_balance")["available"]["eur"], 5);
}

#[test]
fn children_are_listed_below_their_parent() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        for customer in ["cus_1", "cus_2"] {
            account.insert(json!({"id": customer, "object": "customer", "created": 1, "test_clock": null}), None);
            for at in 0..3 {
                let id = format!("cbtxn_{customer}_{at}");
                account.insert(
                    json!({"id": id, "object": "customer_balance_transaction", "customer": customer, "created": at}),
                    None,
                );
            }
        }
        account.insert(json!({"id": "prod_1", "object": "product", "created": 1}), None);
        account.insert_below(Some("prod_1"), json!({"id": "prodft_1", "object": "product_feature"}), None);
        account.insert_below(Some("prod_2"), json!({"id": "prodft_2", "object": "product_feature"}), None);
    });
    assert_eq!(
        caller.walk("/v1/customers/cus_2/balance_transactions?limit=2"),
        ["cbtxn_cus_2_2", "cbtxn_cus_2_1", "cbtxn_cus_2_0"]
    );
    assert_eq!(caller.ids("/v1/products/prod_1/features"), ["prodft_1"]);
    let (status, body) = caller.read("/v1/customers/cus_9/balance_transactions");
    assert_eq!((status, body["error"]["code"].as_str()), (404, Some("resource_missing")));
}

#[test]
fn filters_select() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        for (id, customer, status, due) in
            [("in_1", "cus_1", "open", 10), ("in_2", "cus_1", "paid", 20), ("in_3", "cus_2", "open", 30)]
        {
            account.insert(
                json!({
                    "id": id, "object": "invoice", "customer": customer, "status": status, "due_date": due, "created": due,
                    "parent": {"type": "subscription_details", "subscription_details": {"subscription": format!("sub_{id}")}},
                }),
                None,
            );
        }
        account.insert(json!({"id": "txi_1", "object": "tax_id", "created": 1, "customer": "cus_1", "owner": {"type": "customer", "customer": "cus_1"}}), None);
        account.insert(json!({"id": "price_1", "object": "price", "created": 1, "active": true, "lookup_key": "gold", "recurring": {"interval": "month"}}), None);
    });
    let cases: [(&str, &[&str]); 9] = [
        ("/v1/invoices?customer=cus_1", &["in_2", "in_1"]),
        ("/v1/invoices?customer=cus_1&status=open", &["in_1"]),
        ("/v1/invoices?status=open", &["in_3", "in_1"]),
        ("/v1/invoices?subscription=sub_in_2", &["in_2"]),
        ("/v1/invoices?due_date[gte]=20", &["in_3", "in_2"]),
        ("/v1/invoices?customer=cus_none", &[]),
        ("/v1/tax_ids?owner[type]=customer&owner[customer]=cus_1", &["txi_1"]),
        ("/v1/prices?lookup_keys[]=gold&lookup_keys[]=silver", &["price_1"]),
        ("/v1/prices?recurring[interval]=year", &[]),
    ];
    for (path, wanted) in cases {
        assert_eq!(caller.ids(path), wanted, "{path}");
    }
    // The index follows changes.
    simulator
        .account(|account| {
            account.update("invoice", "in_3", None, |invoice| {
                invoice.insert("customer".to_owned(), json!("cus_1"));
            })
        })
        .unwrap();
    assert_eq!(caller.ids("/v1/invoices?customer=cus_1"), ["in_3", "in_2", "in_1"]);
    assert_eq!(caller.ids("/v1/invoices?customer=cus_2").len(), 0);
    let (status, body) = caller.read("/v1/invoices?colour=red");
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("parameter_unknown")));
    let (status, body) = caller.read("/v1/setup_attempts");
    assert_eq!((status, body["error"]["param"].as_str()), (400, Some("setup_intent")));
}

#[test]
fn embedded_lists_are_cut_and_can_be_paged_to_their_end() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let ids = simulator.account(|account| account.fill_invoices(1, 137));
    let invoice = caller.get(&format!("/v1/invoices/{}", ids[0]));
    let listed = caller.get("/v1/invoices")["data"][0].clone();
    assert_eq!(invoice, listed);
    assert_eq!(ids_of(&invoice["lines"]).len(), 10);
    assert_eq!(invoice["lines"]["has_more"], true);
    let url = invoice["lines"]["url"].as_str().unwrap();
    let lines = caller.walk(&format!("{url}?limit=50"));
    let complete = simulator.oracle().get("invoice", &ids[0]).unwrap();
    assert_eq!(lines.len(), 137);
    assert_eq!(lines, ids_of(&complete["lines"]));
    assert_eq!(lines[..10], ids_of(&invoice["lines"])[..]);
}

#[test]
fn subscription_items_live_in_their_subscription() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        let items: Vec<Value> =
            (0..12).map(|at| json!({"id": format!("si_{at}"), "object": "subscription_item", "subscription": "sub_1"})).collect();
        let items = json!({"object": "list", "data": items, "has_more": false, "url": "/v1/subscription_items?subscription=sub_1"});
        account.insert(json!({"id": "sub_1", "object": "subscription", "created": 1, "status": "active", "items": items}), None);
    });
    let subscription = caller.get("/v1/subscriptions/sub_1");
    assert_eq!(ids_of(&subscription["items"]).len(), 10);
    assert_eq!(caller.walk("/v1/subscription_items?subscription=sub_1&limit=5").len(), 12);
    assert_eq!(caller.get("/v1/subscription_items/si_11")["subscription"], "sub_1");
    assert_eq!(caller.read("/v1/subscription_items").0, 400);
}

#[test]
fn ids_and_hidden_lists_are_expanded() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        account.insert(
            json!({"id": "cus_1", "object": "customer", "created": 1, "name": "Ada", "default_source": "card_1"}),
            None,
        );
        account.insert(json!({"id": "card_1", "object": "card", "customer": "cus_1"}), None);
        account.insert(
            json!({"id": "ch_1", "object": "charge", "created": 1, "customer": "cus_1", "invoice": null}),
            None,
        );
        for at in 0..12 {
            account
                .insert(json!({"id": format!("re_{at}"), "object": "refund", "created": at, "charge": "ch_1"}), None);
        }
    });
    assert_eq!(caller.get("/v1/charges/ch_1")["customer"], "cus_1");
    assert!(caller.get("/v1/charges/ch_1").get("refunds").is_none());
    let charge = caller.get("/v1/charges/ch_1?expand[]=customer.default_source&expand[]=refunds");
    assert_eq!(charge["customer"]["name"], "Ada");
    assert_eq!(charge["customer"]["default_source"]["object"], "card");
    assert_eq!(ids_of(&charge["refunds"]).len(), 10);
    assert_eq!(charge["refunds"]["has_more"], true);
    let url = charge["refunds"]["url"].as_str().unwrap();
    assert_eq!(caller.walk(&format!("{url}?limit=5")).len(), 12);
    let page = caller.get("/v1/charges?expand[]=data.customer&expand[]=data.refunds");
    assert_eq!(page["data"][0]["customer"]["name"], "Ada");
    assert_eq!(page["data"][0]["refunds"]["data"][0]["id"], "re_11");
    assert_eq!(caller.ids("/v1/customers/cus_1/sources"), ["card_1"]);
    assert_eq!(caller.get("/v1/customers/cus_1/sources/card_1")["id"], "card_1");
    // What cannot be expanded is refused, null is not.
    for path in
        ["/v1/charges?expand[]=customer", "/v1/charges/ch_1?expand[]=colour", "/v1/charges/ch_1?expand[]=a.b.c.d.e.f"]
    {
        assert_eq!(caller.read(path).0, 400, "{path}");
    }
    assert_eq!(caller.get("/v1/charges/ch_1?expand[]=invoice")["invoice"], Value::Null);
    // A deleted object is shown as its stub.
    simulator.account(|account| account.remove("customer", "cus_1", None)).unwrap();
    assert_eq!(caller.get("/v1/charges/ch_1?expand[]=customer")["customer"]["deleted"], true);
}
