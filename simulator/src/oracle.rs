//! The truth about the account, for tests that compare.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::account::collection::parse;
use crate::account::{Account, Event, ThinEvent};
use crate::http::traffic::{RequestRecord, Traffic};

/// The state of everything at one moment.
#[derive(Debug, Clone)]
pub struct Oracle {
    objects: BTreeMap<&'static str, BTreeMap<String, Bytes>>,
    deleted: BTreeMap<&'static str, BTreeSet<String>>,
    events: Vec<Event>,
    thin_events: Vec<ThinEvent>,
    requests: Vec<RequestRecord>,
    requests_total: u64,
}

impl Oracle {
    pub(crate) fn new(account: &Account, traffic: &Traffic) -> Self {
        let mut objects: BTreeMap<&'static str, BTreeMap<String, Bytes>> = BTreeMap::new();
        let mut deleted: BTreeMap<&'static str, BTreeSet<String>> = BTreeMap::new();
        for (kind, collection) in &account.kinds {
            let states = collection.ids().filter_map(|(id, place)| {
                collection.entries.get(&place).map(|entry| (id.to_owned(), entry.json.clone()))
            });
            objects.insert(kind, states.collect());
            deleted.insert(kind, collection.deleted.keys().map(|id| id.to_string()).collect());
        }
        Self {
            objects,
            deleted,
            events: account.log.snapshots.values().cloned().collect(),
            thin_events: account.log.thin.values().cloned().collect(),
            requests: traffic.log.clone(),
            requests_total: traffic.total,
        }
    }

    /// Kinds that have, or had, objects.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.objects.keys().copied()
    }

    /// Every object of a kind in the newest shape, embedded lists complete, by id.
    pub fn objects(&self, kind: &str) -> impl Iterator<Item = (&str, Value)> {
        self.objects.get(kind).into_iter().flatten().map(|(id, json)| (id.as_str(), parse(json)))
    }

    /// One object.
    pub fn get(&self, kind: &str, id: &str) -> Option<Value> {
        self.objects.get(kind)?.get(id).map(|json| parse(json))
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        self.objects.get(kind).map_or(0, BTreeMap::len)
    }

    /// Ids of a kind that were there and are not any more.
    pub fn deleted(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.deleted.get(kind).into_iter().flatten().map(String::as_str)
    }

    /// Every snapshot event that ever happened, oldest first, those never generated included.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Every thin event, oldest first.
    pub fn thin_events(&self) -> &[ThinEvent] {
        &self.thin_events
    }

    /// Every request to the API, oldest first (the first two million).
    pub fn requests(&self) -> &[RequestRecord] {
        &self.requests
    }

    /// How many requests there were.
    pub fn requests_total(&self) -> u64 {
        self.requests_total
    }

    /// Requests to endpoints that begin with a text (`GET /v1/customers`).
    pub fn requests_to(&self, endpoint: &str) -> usize {
        self.requests.iter().filter(|request| request.endpoint.starts_with(endpoint)).count()
    }

    /// The most requests within any one second, to endpoints that begin with a text (empty for all).
    pub fn busiest_second(&self, endpoint: &str) -> usize {
        const SECOND_MS: u64 = 1_000;
        let times: Vec<u64> = self
            .requests
            .iter()
            .filter(|request| request.endpoint.starts_with(endpoint))
            .map(|request| request.at_ms)
            .collect();
        let mut first = 0;
        let mut most = 0;
        for (at, time) in times.iter().enumerate() {
            while times[first] + SECOND_MS <= *time {
                first += 1;
            }
            most = most.max(at + 1 - first);
        }
        most
    }

    /// Everything as JSON: `objects` and `deleted` by kind, and `events` with what a comparison needs. Of one kind only when it is
    /// named.
    pub(crate) fn to_json(&self, only: Option<&str>) -> Value {
        let wanted = |kind: &&&'static str| only.is_none_or(|only| only == **kind);
        let objects: Map<String, Value> = self
            .objects
            .keys()
            .filter(wanted)
            .map(|kind| ((*kind).to_owned(), self.objects(kind).map(|(_, object)| object).collect()))
            .collect();
        let deleted: Map<String, Value> = self
            .deleted
            .keys()
            .filter(wanted)
            .map(|kind| ((*kind).to_owned(), self.deleted(kind).map(Value::from).collect()))
            .collect();
        let event = |event: &Event| {
            json!({
                "id": event.id,
                "type": event.event_type,
                "created": event.created,
                "kind": event.kind,
                "object": event.object_id,
                "generated": event.generated,
            })
        };
        json!({"objects": objects, "deleted": deleted, "events": self.events.iter().map(event).collect::<Vec<_>>()})
    }
}
