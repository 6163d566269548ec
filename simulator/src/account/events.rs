//! Events: what happened in the account.

use std::collections::{BTreeMap, HashMap};

use billhook_stripe::catalogue;
use bytes::Bytes;
use serde_json::{Value, json};

use super::changes::previous_attributes;
use super::collection::{Place, parse};
use super::{Account, Request, embedded, key_of, to_bytes};
use crate::faults::EventFault;
use crate::versions::{self, Related};
use crate::webhooks::Which;

/// A snapshot event.
#[derive(Debug, Clone)]
pub struct Event {
    /// `evt_…`.
    pub id: String,
    /// E.g. `customer.updated`.
    pub event_type: String,
    /// Unix seconds.
    pub created: i64,
    /// The kind of `data.object`.
    pub kind: String,
    /// The id of `data.object`, or what an object without one is kept under.
    pub object_id: String,
    /// False when the fault "never generated" took it: it is neither listed nor delivered, and only the log knows of it.
    pub generated: bool,
    /// The account's default version when it happened: the Events API shows `data` in it.
    pub api_version: String,
    /// `data.object` in the newest version.
    pub(crate) object: Bytes,
    /// The object before the change, as it was shown.
    pub(crate) before: Option<Bytes>,
    /// `data.previous_attributes` in the newest version.
    pub(crate) previous: Option<Bytes>,
    pub(crate) request: Option<Request>,
    /// Deliveries that were not acknowledged.
    pub(crate) pending: u32,
}

/// A thin event.
#[derive(Debug, Clone)]
pub struct ThinEvent {
    /// `evt_…`.
    pub id: String,
    /// E.g. `v1.customer.updated`.
    pub event_type: String,
    /// Unix seconds.
    pub created: i64,
    /// False when the fault "never generated" took it.
    pub generated: bool,
    /// What the event is about: id, kind and URL.
    pub related_object: Option<(String, String, String)>,
    /// The id of the snapshot event about the same change.
    pub snapshot_event: Option<String>,
    /// `data`, for the types that carry it.
    pub data: Option<Value>,
    pub(crate) request: Option<Request>,
}

/// Everything that ever happened, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) snapshots: BTreeMap<Place, Event>,
    pub(crate) thin: BTreeMap<Place, ThinEvent>,
    places: HashMap<String, Place>,
}

impl Log {
    pub(crate) fn snapshot(&self, id: &str) -> Option<&Event> {
        self.snapshots.get(self.places.get(id)?)
    }

    pub(crate) fn thin(&self, id: &str) -> Option<&ThinEvent> {
        self.thin.get(self.places.get(id)?)
    }

    pub(crate) fn place(&self, id: &str) -> Option<Place> {
        self.places.get(id).copied()
    }
}

impl Account {
    /// Records an event about an object in its present state (newest shape, embedded lists complete), with what it was before for
    /// `*.updated`; lists and delivers it, together with its thin twin where the type has one. Returns its id.
    pub fn emit(&mut self, event_type: &str, object: &Value, before: Option<&Value>) -> String {
        self.emit_at(self.now(), event_type, object, before)
    }

    /// Like [`Account::emit`], for a history that is filled afterwards.
    pub(crate) fn emit_at(&mut self, at: i64, event_type: &str, object: &Value, before: Option<&Value>) -> String {
        let kind = object["object"].as_str().unwrap_or_default().to_owned();
        let shown = |object: &Value| embedded::shown(&kind, object);
        let object_shown = shown(object);
        let object_shown = object_shown.as_ref().unwrap_or(object);
        let before_shown = before.map(|before| shown(before).unwrap_or_else(|| before.clone()));
        let previous = before_shown.as_ref().map(|before| Value::Object(previous_attributes(before, object_shown)));
        let lost = self.faults.hit_event(event_type, |fault| *fault == EventFault::NeverGenerated);
        let id = self.new_id_at("evt_", at);
        let event = Event {
            id: id.clone(),
            event_type: event_type.to_owned(),
            created: at,
            object_id: key_of(object),
            kind,
            generated: lost.is_empty(),
            api_version: self.default_version.clone(),
            object: to_bytes(object_shown),
            before: before_shown.as_ref().map(to_bytes),
            previous: previous.as_ref().map(to_bytes),
            request: self.request.clone(),
            pending: 0,
        };
        self.record(event);
        let thin_type = format!("v1.{event_type}");
        if let Some(thin) = catalogue::thin_event_types().iter().find(|thin| thin.name == thin_type) {
            let data = thin.data.then(|| json!({}));
            let related = thin.related_object.then_some(object);
            self.record_thin(&thin_type, related, data, Some(id.clone()), lost.is_empty());
        }
        id
    }

    /// Every snapshot event that ever happened, oldest first, those never generated included.
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.log.snapshots.values()
    }

    /// Records a thin event that has no snapshot twin. `related` is the object that it is about, `data` what it carries.
    pub fn emit_thin(&mut self, event_type: &str, related: Option<&Value>, data: Option<Value>) -> String {
        let lost = self.faults.hit_event(event_type, |fault| *fault == EventFault::NeverGenerated);
        self.record_thin(event_type, related, data, None, lost.is_empty())
    }

    pub(crate) fn record(&mut self, event: Event) {
        let place = self.next_place(event.created);
        let (event_type, generated) = (event.event_type.clone(), event.generated);
        self.log.places.insert(event.id.clone(), place);
        self.log.snapshots.insert(place, event);
        if generated {
            let pending = self.deliver(&event_type, Which::Snapshot(place));
            if let Some(event) = self.log.snapshots.get_mut(&place) {
                event.pending = pending;
            }
        }
    }

    fn record_thin(
        &mut self,
        event_type: &str,
        related: Option<&Value>,
        data: Option<Value>,
        snapshot_event: Option<String>,
        generated: bool,
    ) -> String {
        let id = self.new_id("evt_");
        let related_object = related.map(|object| {
            let kind = object["object"].as_str().unwrap_or_default();
            (key_of(object), kind.to_owned(), url_of(kind, object))
        });
        let event = ThinEvent {
            id: id.clone(),
            event_type: event_type.to_owned(),
            created: self.now(),
            generated,
            related_object,
            snapshot_event,
            data,
            request: self.request.clone(),
        };
        let place = self.next_place(event.created);
        self.log.places.insert(id.clone(), place);
        self.log.thin.insert(place, event);
        if generated {
            self.deliver(event_type, Which::Thin(place));
        }
        id
    }
}

/// The path that reads an object; other braces than `{id}` take the customer or the account that the object names.
fn url_of(kind: &str, object: &Value) -> String {
    let path = catalogue::kind_of(kind).and_then(|kind| kind.retrieve_path).unwrap_or("");
    let mut url = path.replace("{id}", &key_of(object));
    for (brace, property) in
        [("{customerId}", "customer"), ("{accountId}", "account"), ("{feeId}", "fee"), ("{transferId}", "transfer")]
    {
        url = url.replace(brace, object[property].as_str().unwrap_or_default());
    }
    url
}

impl Event {
    /// The event with its data in an API version. `related` knows what older shapes say about other objects.
    pub fn render(&self, version: &str, livemode: bool, related: &dyn Related) -> Bytes {
        let newest;
        let (object, previous) = if versions::is_newest(version) {
            (&self.object, &self.previous)
        } else {
            newest = self.data_in(version, related);
            (&newest.0, &newest.1)
        };
        let mut out = Vec::with_capacity(object.len() + previous.as_ref().map_or(0, Bytes::len) + 400);
        let mut push = |text: &str| out.extend_from_slice(text.as_bytes());
        push(&format!(
            r#"{{"id":"{}","object":"event","api_version":"{version}","created":{},"data":{{"object":"#,
            self.id, self.created
        ));
        out.extend_from_slice(object);
        if let Some(previous) = previous {
            out.extend_from_slice(br#","previous_attributes":"#);
            out.extend_from_slice(previous);
        }
        let (request, key) = request_of(self.request.as_ref());
        out.extend_from_slice(
            format!(
                r#"}},"livemode":{livemode},"pending_webhooks":{},"request":{{"id":{request},"idempotency_key":{key}}},"type":"{}"}}"#,
                self.pending, self.event_type
            )
            .as_bytes(),
        );
        Bytes::from(out)
    }

    fn data_in(&self, version: &str, related: &dyn Related) -> (Bytes, Option<Bytes>) {
        let object = versions::render(&parse(&self.object), version, related);
        let previous = self.before.as_ref().map(|before| {
            let before = versions::render(&parse(before), version, related);
            to_bytes(&Value::Object(previous_attributes(&before, &object)))
        });
        (to_bytes(&object), previous)
    }
}

impl ThinEvent {
    /// The event as it is listed and delivered.
    pub fn render(&self, livemode: bool) -> Value {
        let related = self.related_object.as_ref().map(|(id, kind, url)| json!({"id": id, "type": kind, "url": url}));
        let reason = self.request.as_ref().map(|request| {
            json!({"type": "request", "request": {"id": request.id, "idempotency_key": request.idempotency_key}})
        });
        let mut event = json!({
            "id": self.id,
            "object": "v2.core.event",
            "type": self.event_type,
            "created": super::rfc3339(self.created),
            "livemode": livemode,
            "context": null,
            "related_object": related,
            "reason": reason,
            "snapshot_event": self.snapshot_event,
        });
        if let (Some(data), Some(event)) = (&self.data, event.as_object_mut()) {
            event.insert("data".to_owned(), data.clone());
        }
        event
    }
}

fn request_of(request: Option<&Request>) -> (Value, Value) {
    request.map_or((Value::Null, Value::Null), |request| {
        (Value::from(request.id.as_str()), Value::from(request.idempotency_key.clone()))
    })
}
