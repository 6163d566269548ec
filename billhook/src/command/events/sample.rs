//! Events as Stripe sends them, made here.

use anyhow::bail;
use billhook_core::suggest;
use billhook_stripe::catalogue;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::{Value, json};

use crate::failure::Hinted;

/// Random bytes in an id.
const ID_BYTES: usize = 12;

/// An event that was made.
#[derive(Debug)]
pub struct Sample {
    /// Its id.
    pub event_id: String,
    /// The body, compact as Stripe's.
    pub body: Vec<u8>,
}

/// Makes an event of a type the catalogue knows, about an object with a fresh id.
///
/// # Errors
/// When the type is not known.
pub fn event(event_type: &str, created: i64, livemode: bool) -> anyhow::Result<Sample> {
    let Some(known) = catalogue::event_types().iter().find(|known| known.name == event_type) else {
        let nearest = suggest::nearest(event_type, catalogue::event_types().iter().map(|known| known.name));
        let hint =
            nearest.map_or("see Stripe's list of event types".to_owned(), |name| format!("did you mean {name}?"));
        return Err(Hinted::new(format!("there is no event type {}", event_type.escape_debug()), hint).into());
    };
    let kind = known.objects.first().copied().unwrap_or("customer");
    let prefixes = catalogue::kind_of(kind).map(|kind| kind.prefixes.as_slice()).unwrap_or_default();
    let id = format!("{}test{}", prefixes.first().copied().unwrap_or_default(), random_hex()?);
    let event_id = format!("evt_test{}", random_hex()?);
    let mut object = match kind {
        "customer" => customer(created),
        _ => json!({ "metadata": {} }),
    };
    object["id"] = id.into();
    object["object"] = kind.into();
    object["created"] = created.into();
    object["livemode"] = livemode.into();
    let event = json!({
        "id": event_id,
        "object": "event",
        "api_version": catalogue::api_version(),
        "created": created,
        "data": { "object": object },
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": { "id": null, "idempotency_key": null },
        "type": event_type,
    });
    Ok(Sample { event_id, body: event.to_string().into_bytes() })
}

fn customer(created: i64) -> Value {
    json!({
        "address": null,
        "balance": 0,
        "currency": null,
        "default_source": null,
        "delinquent": false,
        "description": "made by billhook events send-test",
        "discount": null,
        "email": "test@example.com",
        "invoice_prefix": "TEST0001",
        "invoice_settings": { "custom_fields": null, "default_payment_method": null, "footer": null, "rendering_options": null },
        "metadata": { "made_at": created.to_string() },
        "name": "Billhook Test",
        "next_invoice_sequence": 1,
        "phone": null,
        "preferred_locales": [],
        "shipping": null,
        "tax_exempt": "none",
        "test_clock": null,
    })
}

fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; ID_BYTES];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bail!("the system gave no random bytes for an id");
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use billhook_stripe::envelope::Envelope;

    use super::*;

    #[test]
    fn an_event_of_every_known_type_can_be_read() {
        for known in catalogue::event_types() {
            let sample = event(known.name, 1_700_000_000, false).unwrap();
            let envelope = Envelope::parse(&sample.body).unwrap();
            assert_eq!(envelope.id.as_deref(), Some(sample.event_id.as_str()));
            assert_eq!(envelope.event_type.as_deref(), Some(known.name));
            assert_eq!(envelope.object_kind.as_deref(), known.objects.first().copied(), "{}", known.name);
            assert!(envelope.object_id.is_some() && envelope.created == Some(1_700_000_000));
        }
    }

    #[test]
    fn two_events_differ() {
        let id = || event("customer.created", 0, false).unwrap().event_id;
        assert_ne!(id(), id());
    }

    #[test]
    fn an_unknown_type_is_refused_with_the_nearest_known_one() {
        let error = event("customer.create", 0, false).unwrap_err();
        assert!(error.to_string().contains("no event type customer.create"), "{error}");
    }
}
