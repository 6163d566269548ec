//! Stripe's own word that it failed to make events: what they would have told is read again.

use std::collections::HashSet;

use billhook_stripe::api::{ApiError, Class, Get, path_segment};
use billhook_stripe::catalogue;
use billhook_stripe::envelope::Envelope;
use bytes::Bytes;
use serde_json::Value;

use super::error::EqualError;
use super::gap;
use super::parts::Parts;
use crate::sync::names::{self, Target};
use crate::sync::streams;

/// The setting that remembers the alerts that were acted upon: event ids, the newest last, separated by blanks.
const HANDLED: &str = "event_failures_handled";

/// Alerts remembered: a list that overlaps shows the same ones for an hour at most.
const HANDLED_MAX: usize = 100;

/// Starts reading again what the alerts name, once for each alert.
pub(super) async fn react(parts: &Parts, alerts: &[Bytes]) -> Result<(), EqualError> {
    if alerts.is_empty() {
        return Ok(());
    }
    let handled = parts.store.setting(HANDLED).await?.unwrap_or_default();
    let mut handled: Vec<String> = handled.split_whitespace().map(str::to_owned).collect();
    let mut targets: Vec<Target> = Vec::new();
    let before = handled.len();
    for alert in alerts {
        let Some(id) = Envelope::parse(alert).ok().and_then(|envelope| envelope.id) else { continue };
        if handled.contains(&id) {
            continue;
        }
        let data = data(parts, &id, alert).await?;
        for target in affected(&data) {
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
        handled.push(id);
    }
    if handled.len() == before {
        return Ok(());
    }
    let objects: HashSet<&str> = targets.iter().map(|target| target.object).collect();
    tracing::warn!(
        ?objects,
        "Stripe failed to make events about some objects; all objects of these kinds are read again"
    );
    gap::read_again(parts, targets).await?;
    let oldest = handled.len().saturating_sub(HANDLED_MAX);
    parts.store.write_setting(HANDLED, &handled[oldest..].join(" ")).await?;
    Ok(())
}

/// What the alert says. A delivered thin event leaves it out, so that it has to be asked for.
async fn data(parts: &Parts, id: &str, alert: &[u8]) -> Result<Value, EqualError> {
    let of = |body: &[u8]| {
        serde_json::from_slice::<Value>(body).ok().and_then(|mut event| event.get_mut("data").map(Value::take))
    };
    if let Some(data) = of(alert).filter(Value::is_object) {
        return Ok(data);
    }
    let path = format!("/v2/core/events/{}", path_segment(id));
    match parts.api.get(&Get { path: &path, query: &[], account: "", class: Class::Interactive }).await {
        Ok(answer) => Ok(of(&answer.body).unwrap_or_default()),
        Err(error @ (ApiError::Unavailable(_) | ApiError::KeyRefused(_))) => Err(error.into()),
        // Without its data it names nothing, and everything is read again.
        Err(_) => Ok(Value::Null),
    }
}

/// The kinds to read again: those of the event type that could not be made, else of the object it is about; everything when the
/// alert names nothing that is known and can be listed.
fn affected(data: &Value) -> Vec<Target> {
    let impact = data.get("impact").unwrap_or(data);
    let event_types = texts(impact.get("event_type")).chain(texts(impact.get("event_types")));
    let mut objects: Vec<&'static str> = event_types.flat_map(objects_of).collect();
    let related = impact.get("related_object").and_then(|related| related.get("type")).and_then(Value::as_str);
    objects.extend(related.and_then(catalogue::kind_of).map(|kind| kind.object));
    objects.sort_unstable();
    objects.dedup();
    objects.retain(|object| !streams::of(object, false).is_empty());
    if objects.is_empty() {
        return names::everything();
    }
    objects.into_iter().map(|object| Target { object, named: false }).collect()
}

/// A text, or each text of an array.
fn texts(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let array = value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    value.and_then(Value::as_str).into_iter().chain(array.iter().filter_map(Value::as_str))
}

/// The kinds an event type is about; that of a thin event (`v1.customer.created`) is its snapshot twin's.
fn objects_of(event_type: &str) -> Vec<&'static str> {
    let snapshot = event_type.strip_prefix("v1.").unwrap_or(event_type);
    match catalogue::event_types().iter().find(|known| known.name == snapshot) {
        Some(known) => known.objects.clone(),
        None => catalogue::kinds()
            .iter()
            .map(|kind| kind.object)
            .filter(|object| {
                event_type.strip_prefix(object).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('['))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn objects(data: Value) -> Vec<&'static str> {
        affected(&data).into_iter().map(|target| target.object).collect()
    }

    #[test]
    fn the_kinds_of_what_was_not_told_are_read_again() {
        assert_eq!(objects(json!({ "impact": { "event_type": "customer.updated" } })), ["customer"]);
        assert_eq!(objects(json!({ "impact": { "event_type": "v1.customer.updated" } })), ["customer"]);
        assert_eq!(
            objects(json!({ "impact": { "event_types": ["invoice.paid", "charge.succeeded"] } })),
            ["charge", "invoice"]
        );
        assert_eq!(
            objects(json!({ "impact": { "event_type": "v2.core.account[identity].updated" } })),
            ["v2.core.account"]
        );
        let related = json!({ "impact": { "event_type": "new.thing", "related_object": { "type": "product" } } });
        assert_eq!(objects(related), ["product"]);
    }

    #[test]
    fn what_names_nothing_leads_to_everything() {
        let everything = names::everything().len();
        for data in
            [json!(null), json!({ "impact": { "event_type": "new.thing" } }), json!({ "impact": 7 }), json!([1])]
        {
            assert_eq!(affected(&data).len(), everything, "{data}");
        }
    }
}
