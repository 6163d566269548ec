//! Queries as users of the existing engines have them in their code give the right rows, unchanged on PostgreSQL, and on SQLite
//! through `ATTACH … AS stripe`.

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::now;
use billhook_testkit::sql;
use rusqlite::types::ValueRef;
use serde_json::{Value, json};

use super::fixtures::event;
use super::mirror::Mirror;

/// An account in the current shape: two customers who pay, one who is deleted, two products.
fn account() -> Vec<(&'static str, Value)> {
    let customer = |id: &str, name: &str, user: &str| {
        json!({
            "id": id, "object": "customer", "name": name, "email": format!("{name}@example.com"), "delinquent": false,
            "created": 1_700_000_000, "metadata": { "user_id": user }, "invoice_settings": { "default_payment_method": null },
        })
    };
    let product = |id: &str, name: &str| json!({ "id": id, "object": "product", "name": name, "active": true });
    let price = |id: &str, product: &str, amount: i64| {
        json!({
            "id": id, "object": "price", "product": product, "unit_amount": amount, "currency": "usd", "active": true,
            "type": "recurring", "recurring": { "interval": "month", "interval_count": 1 },
        })
    };
    let subscription = |id: &str, customer: &str, status: &str, price: Value, quantity: i64| {
        json!({
            "id": id, "object": "subscription", "customer": customer, "status": status, "cancel_at_period_end": false,
            "created": 1_700_000_000, "metadata": {},
            "items": {
                "object": "list", "has_more": false, "url": "/v1/subscription_items",
                "data": [{
                    "id": format!("si_{id}"), "object": "subscription_item", "subscription": id, "price": price,
                    "quantity": quantity, "current_period_start": 1_700_000_000, "current_period_end": 1_702_592_000,
                }],
            },
        })
    };
    let invoice = |id: &str, customer: &str, subscription: &str, status: &str, amount: i64| {
        json!({
            "id": id, "object": "invoice", "customer": customer, "status": status, "amount_due": amount, "total": amount,
            "amount_paid": if status == "paid" { amount } else { 0 }, "created": 1_700_000_100, "number": format!("N-{id}"),
            "parent": { "type": "subscription_details", "subscription_details": { "subscription": subscription } },
            "lines": {
                "object": "list", "has_more": false, "url": "/v1/invoices/lines",
                "data": [
                    { "id": format!("il_1_{id}"), "object": "line_item", "amount": amount - 100, "description": "seats" },
                    { "id": format!("il_2_{id}"), "object": "line_item", "amount": 100, "description": "fee" },
                ],
            },
        })
    };
    let (basic, pro) = (price("price_basic", "prod_basic", 1_000), price("price_pro", "prod_pro", 5_000));
    vec![
        ("customer.created", customer("cus_ada", "ada", "1")),
        ("customer.created", customer("cus_bob", "bob", "2")),
        ("customer.created", customer("cus_eve", "eve", "3")),
        ("product.created", product("prod_basic", "Basic")),
        ("product.created", product("prod_pro", "Pro")),
        ("price.created", basic.clone()),
        ("price.created", pro.clone()),
        ("customer.subscription.created", subscription("sub_ada", "cus_ada", "active", pro.clone(), 2)),
        ("customer.subscription.created", subscription("sub_bob", "cus_bob", "past_due", basic, 1)),
        ("customer.subscription.deleted", subscription("sub_eve", "cus_eve", "canceled", pro, 1)),
        ("invoice.paid", invoice("in_ada", "cus_ada", "sub_ada", "paid", 10_000)),
        ("invoice.payment_failed", invoice("in_bob", "cus_bob", "sub_bob", "open", 1_000)),
        ("customer.deleted", json!({ "id": "cus_eve", "object": "customer", "deleted": true })),
    ]
}

/// Queries that read the same in both dialects, with the rows they must give.
fn shared_queries() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        (
            "SELECT c.email, s.status FROM stripe.subscriptions s JOIN stripe.customers c ON c.id = s.customer \
             WHERE s.status IN ('active', 'trialing') AND c.deleted = false",
            vec![json!({ "email": "ada@example.com", "status": "active" })],
        ),
        (
            "SELECT p.name AS product, sum(pr.unit_amount * si.quantity) AS mrr FROM stripe.subscriptions s \
             JOIN stripe.subscription_items si ON si.subscription = s.id JOIN stripe.prices pr ON pr.id = si.price \
             JOIN stripe.products p ON p.id = pr.product WHERE s.status <> 'canceled' GROUP BY p.name ORDER BY p.name",
            vec![json!({ "product": "Basic", "mrr": 1_000 }), json!({ "product": "Pro", "mrr": 10_000 })],
        ),
        (
            "SELECT i.number, c.name, i.amount_due FROM stripe.invoices i JOIN stripe.customers c ON c.id = i.customer \
             JOIN stripe.subscriptions s ON s.id = i.subscription WHERE i.status = 'open' AND NOT i.paid",
            vec![json!({ "number": "N-in_bob", "name": "bob", "amount_due": 1_000 })],
        ),
        (
            "SELECT id FROM stripe.subscriptions WHERE current_period_end > 1702000000 AND status = 'active'",
            vec![json!({ "id": "sub_ada" })],
        ),
        ("SELECT id, name FROM stripe.customers WHERE deleted = true", vec![json!({ "id": "cus_eve", "name": "eve" })]),
        ("SELECT id FROM stripe.customers WHERE metadata->>'user_id' = '2'", vec![json!({ "id": "cus_bob" })]),
        (
            "SELECT items->'data'->0->'price'->>'id' AS price, items->'data'->0->>'quantity' AS quantity \
             FROM stripe.subscriptions WHERE id = 'sub_bob'",
            vec![json!({ "price": "price_basic", "quantity": "1" })],
        ),
        (
            "SELECT recurring->>'interval' AS period, count(*) AS prices FROM stripe.prices GROUP BY 1",
            vec![json!({ "period": "month", "prices": 2 })],
        ),
        (
            "SELECT id, description, amount FROM stripe.invoice_line_items WHERE invoice = 'in_ada' ORDER BY id",
            vec![
                json!({ "id": "il_1_in_ada", "description": "seats", "amount": 9_900 }),
                json!({ "id": "il_2_in_ada", "description": "fee", "amount": 100 }),
            ],
        ),
        ("SELECT \"order\", \"id\" FROM stripe.charges", vec![]),
        (
            "SELECT type, count(*) AS events FROM stripe.events WHERE type LIKE 'product.%' GROUP BY type",
            vec![json!({ "type": "product.created", "events": 2 })],
        ),
    ]
}

/// The elements of an embedded list, in each dialect's words.
fn list_query(postgres: bool) -> &'static str {
    if postgres {
        "SELECT i.id, sum((line->>'amount')::bigint)::bigint AS total FROM stripe.invoices i, \
         jsonb_array_elements(i.lines->'data') AS line WHERE i.status = 'paid' GROUP BY i.id"
    } else {
        "SELECT i.id, sum(line.value->>'amount') AS total FROM stripe.invoices i, json_each(i.lines->'data') AS line \
         WHERE i.status = 'paid' GROUP BY i.id"
    }
}

/// Runs a query as a user's own program does: on SQLite with the mirror attached to the user's database.
fn ask(mirror: &Mirror, statement: &str) -> Vec<Value> {
    if mirror.is_postgres() {
        return sql::query(&mirror.url(), statement).unwrap();
    }
    let path = mirror.url().replacen("sqlite:", "", 1);
    let connection = rusqlite::Connection::open_in_memory().unwrap();
    connection.execute("ATTACH ?1 AS stripe", [path]).unwrap();
    let mut prepared = connection.prepare(statement).unwrap();
    let names: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row<'_>| {
        let cells = names.iter().enumerate().map(|(at, name)| Ok((name.clone(), cell(row.get_ref(at)?))));
        cells.collect::<rusqlite::Result<Value>>()
    };
    prepared.query_map([], row).unwrap().map(Result::unwrap).collect()
}

fn cell(found: ValueRef<'_>) -> Value {
    match found {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => String::from_utf8_lossy(bytes).into(),
    }
}

/// `->>` gives a number in SQLite where PostgreSQL gives its text.
fn as_texts(rows: Vec<Value>) -> Vec<Value> {
    let text = |value: &Value| Value::from(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let row = |row: &Value| row.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect();
    rows.iter().map(row).collect()
}

#[test]
fn queries_of_existing_users_give_the_right_rows() {
    Mirror::on_each(
        "queries_of_existing_users",
        |settings| settings,
        |mirror| {
            let start = now() - 100;
            for (at, (event_type, object)) in account().into_iter().enumerate() {
                mirror.accept_event(&event(&fresh_id("evt_1"), event_type, start + at as i64, object));
            }
            mirror.settle();
            for (statement, rows) in shared_queries() {
                assert_eq!(as_texts(ask(mirror, statement)), as_texts(rows), "{statement} on {}", mirror.dialect());
            }
            let listed = ask(mirror, list_query(mirror.is_postgres()));
            assert_eq!(listed, [json!({ "id": "in_ada", "total": 10_000 })], "on {}", mirror.dialect());
        },
    );
}
