//! The data of an event as it is stored when the event is routed: what the event itself says. Nothing is looked up here, because it
//! happens in the mirror's transaction.

use billhook_mirror::route::AppliedEvent;
use serde_json::{Map, Value};

use super::related::Related;

/// Where the data holds the event's object as a whole.
pub const OBJECT: &str = "object";

/// What functions see of an event of Stripe's: the object's own fields, the object as a whole under `object` and, for the kinds that
/// functions ask for most, under its own name; `previous_attributes`; and which event it was.
pub fn data(event: &AppliedEvent<'_>, mut delivery: Value) -> Value {
    let object = delivery.pointer_mut("/data/object").map(Value::take).unwrap_or_default();
    let previous = delivery.pointer_mut("/data/previous_attributes").map(Value::take).unwrap_or_default();
    let mut data: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    if let Some(own) = object["object"].as_str().and_then(Related::of_kind) {
        data.insert(own.name().to_owned(), object.clone());
    }
    data.insert("previous_attributes".to_owned(), previous);
    data.insert("eventId".to_owned(), event.id.into());
    data.insert("eventType".to_owned(), event.event_type.into());
    data.insert(OBJECT.to_owned(), object);
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn data_of(event_type: &str, object: &Value, previous: &Value) -> Value {
        let raw = json!({ "id": "evt_1", "type": event_type, "data": {
            "object": object,
            "previous_attributes": previous,
        }});
        let bytes = raw.to_string();
        let created = Timestamp::UNIX_EPOCH;
        data(&AppliedEvent { id: "evt_1", event_type, created, raw: bytes.as_bytes() }, raw)
    }

    #[test]
    fn functions_see_the_object_in_both_forms() {
        let invoice = json!({ "id": "in_1", "object": "invoice", "amount_due": 5, "customer": "cus_1" });
        let data = data_of("invoice.payment_failed", &invoice, &Value::Null);
        assert_eq!((&data["amount_due"], &data["customer"]), (&json!(5), &json!("cus_1")));
        assert_eq!((&data["object"]["id"], &data["invoice"]["id"]), (&json!("in_1"), &json!("in_1")));
        assert_eq!((&data["eventId"], &data["eventType"]), (&json!("evt_1"), &json!("invoice.payment_failed")));
    }

    #[test]
    fn a_change_is_a_key_that_is_there_whatever_its_value() {
        let customer = json!({ "id": "cus_1", "object": "customer" });
        // null to a value, a value to "", to 0 and to null: what stands here is the value before.
        for (before, now) in [
            (Value::Null, json!("Ada")),
            (json!("Ada"), json!("")),
            (json!(5), json!(0)),
            (json!("Ada"), Value::Null),
            (json!(""), json!("Ada")),
            (json!(0), json!(5)),
        ] {
            let mut customer = customer.clone();
            customer["name"] = now.clone();
            let data = data_of("customer.updated", &customer, &json!({ "name": before }));
            let previous = data["previous_attributes"].as_object().expect("an object");
            assert_eq!(previous.get("name"), Some(&before));
            assert_eq!((previous.contains_key("email"), &data["customer"]["name"]), (false, &now));
        }
        assert_eq!(data_of("customer.created", &customer, &Value::Null)["previous_attributes"], Value::Null);
    }
}
