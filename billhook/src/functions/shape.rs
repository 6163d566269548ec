//! Fields of related objects that are there whatever API version rendered the object.

use serde_json::{Map, Value};

use super::related::{Related, Told, told};

/// Fills the stable fields of a related object: the period of a subscription, which basil (2025-03-31) moved to its items, and
/// `subscription_id` of an invoice. A deleted object has none.
pub fn stabilise(related: Related, object: &mut Value) {
    if object["deleted"] == true {
        return;
    }
    match related {
        Related::Subscription => {
            // Items may have periods of their own; the columns of the mirror take the same two ends.
            fill(object, "current_period_start", |items| items.iter().min().copied());
            fill(object, "current_period_end", |items| items.iter().max().copied());
        }
        Related::Invoice => {
            let subscription = match told(Related::Invoice.name(), object, Related::Subscription) {
                Told::Is(id, _) => Value::from(id),
                Told::Absent | Told::Nothing => Value::Null,
            };
            if let Some(fields) = object.as_object_mut() {
                fields.insert("subscription_id".to_owned(), subscription);
            }
        }
        Related::Charge | Related::Customer => {}
    }
}

/// Fills a moment of a subscription, in Unix seconds, from those of its items, unless it has one of its own.
fn fill(subscription: &mut Value, property: &str, choose: fn(&[i64]) -> Option<i64>) {
    if !subscription[property].is_null() {
        return;
    }
    let items = subscription.pointer("/items/data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let moments: Vec<i64> = items.iter().filter_map(|item| item[property].as_i64()).collect();
    if let Some(fields) = subscription.as_object_mut() {
        fields.insert(property.to_owned(), choose(&moments).into());
    }
}

/// What functions get of a deleted object, wherever it was read: what Stripe answers for one.
pub fn stub(kind: &str, id: &str) -> Value {
    Value::Object(Map::from_iter([
        ("id".to_owned(), id.into()),
        ("object".to_owned(), kind.into()),
        ("deleted".to_owned(), true.into()),
    ]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stable(related: Related, mut object: Value) -> Value {
        stabilise(related, &mut object);
        object
    }

    #[test]
    fn the_period_of_a_subscription_is_its_own_or_that_of_its_items() {
        let item = |start, end| json!({ "current_period_start": start, "current_period_end": end });
        let items = |items: &[Value]| json!({ "object": "list", "data": items });
        for (subscription, start, end) in [
            (json!({ "current_period_start": 1, "current_period_end": 2 }), json!(1), json!(2)),
            (json!({ "items": items(&[item(1, 2)]) }), json!(1), json!(2)),
            (json!({ "items": items(&[item(3, 9), item(1, 5)]) }), json!(1), json!(9)),
            (json!({ "current_period_end": null, "items": items(&[item(1, 2)]) }), json!(1), json!(2)),
            (
                json!({ "current_period_start": 7, "current_period_end": 8, "items": items(&[item(1, 2)]) }),
                json!(7),
                json!(8),
            ),
            (json!({ "items": items(&[]) }), Value::Null, Value::Null),
            (json!({}), Value::Null, Value::Null),
        ] {
            let stable = stable(Related::Subscription, subscription.clone());
            assert_eq!(
                (&stable["current_period_start"], &stable["current_period_end"]),
                (&start, &end),
                "{subscription}"
            );
        }
    }

    #[test]
    fn an_invoice_names_its_subscription_in_one_place() {
        for (invoice, expected) in [
            (json!({ "subscription": "sub_1" }), json!("sub_1")),
            (json!({ "subscription": { "id": "sub_1" } }), json!("sub_1")),
            (json!({ "parent": { "subscription_details": { "subscription": "sub_1" } } }), json!("sub_1")),
            (json!({ "parent": null }), Value::Null),
            (json!({ "subscription": null }), Value::Null),
        ] {
            let stable = stable(Related::Invoice, invoice.clone());
            assert_eq!(stable.get("subscription_id"), Some(&expected), "{invoice}");
        }
    }

    #[test]
    fn a_deleted_object_stays_as_it_is() {
        for related in Related::ALL {
            let deleted = stub(related.name(), "x_1");
            assert_eq!(stable(related, deleted.clone()), deleted);
        }
    }
}
