//! The account: plain data behind one lock.
//!
//! Objects are kept in the newest shape ([`catalogue::api_version`]), embedded lists that live inside of them complete
//! (`invoice.lines`, `subscription.items`, `credit_note.lines`, `checkout.session.line_items`, …: `{"object": "list", "data": […],
//! "has_more": false, "url": …}`). Reads and events show only their first ten elements, and hide those that need `expand[]`. Lists
//! whose elements are objects of their own (`charge.refunds`, `invoice.payments`, `customer.sources`, …) are not stored at all:
//! reads compose them.

mod changes;
pub(crate) mod collection;
pub(crate) mod embedded;
pub(crate) mod events;
mod ids;
pub(crate) mod keys;
mod plain;
mod replays;
mod timers;

use std::collections::BTreeMap;
use std::sync::Arc;

use billhook_stripe::catalogue;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::error::ApiError;
use crate::faults::Faults;
use crate::options::Options;
use crate::random::Random;
use crate::webhooks::{Endpoints, Queue};
use collection::{Collection, Entry, Omission, Place};
use timers::Timers;

pub use events::{Event, ThinEvent};
pub use keys::Permission;

/// A Stripe account.
#[derive(Debug)]
pub struct Account {
    clock: Clock,
    random: Random,
    id: String,
    /// The letters that all of the account's ids share.
    id_part: String,
    livemode: bool,
    default_version: String,
    pub(crate) kinds: BTreeMap<&'static str, Collection>,
    pub(crate) log: events::Log,
    /// Grows with every insertion and event: their order within a second.
    sequence: u64,
    timers: Timers,
    shown_ms: i64,
    /// What the business remembers besides the objects.
    pub(crate) business: crate::business::State,
    /// The request that is being answered: events name it as their cause.
    pub(crate) request: Option<Request>,
    /// Whether payment methods are listed for one customer only, as for older API versions.
    pub payment_methods_need_customer: bool,
    keys: Vec<keys::Key>,
    replays: replays::Replays,
    pub(crate) endpoints: Endpoints,
    pub(crate) queue: Queue,
    pub(crate) wake: Arc<Notify>,
    pub(crate) faults: Faults,
}

/// The request that caused an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) idempotency_key: Option<String>,
}

impl Account {
    /// An empty account, without a server.
    pub fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed);
        let mut id_part = String::new();
        random.push_letters(&mut id_part, 10);
        let clock = Clock::new(options.clock);
        let shown_ms = clock.now_ms();
        let mut account = Self {
            clock,
            id: format!("acct_1{id_part}SIM"),
            id_part,
            random,
            livemode: options.key.contains("_live_"),
            default_version: options.default_version.clone(),
            kinds: BTreeMap::new(),
            log: events::Log::default(),
            sequence: 0,
            timers: Timers::default(),
            shown_ms,
            business: crate::business::State::default(),
            request: None,
            payment_methods_need_customer: false,
            keys: Vec::new(),
            replays: replays::Replays::default(),
            endpoints: Endpoints::new(),
            queue: Queue::default(),
            wake: Arc::new(Notify::new()),
            faults: Faults::new(options.seed),
        };
        account.add_key(&options.key);
        account
    }

    /// The switches of the faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// The account's own id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether its objects are live.
    pub fn livemode(&self) -> bool {
        self.livemode
    }

    /// The account's default API version.
    pub fn default_version(&self) -> &str {
        &self.default_version
    }

    /// The account's time, in Unix seconds.
    pub fn now(&self) -> i64 {
        self.clock.now_ms().div_euclid(1_000)
    }

    /// The account's time, in milliseconds.
    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    /// The account's seeded random numbers.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// A new id such as `cus_1TX5wQ…`. `prefix` includes the underscore.
    pub fn new_id(&mut self, prefix: &str) -> String {
        ids::new_id(prefix, self.now(), &self.id_part, &mut self.random)
    }

    /// A new id of an object that was made at `created`.
    pub(crate) fn new_id_at(&mut self, prefix: &str, created: i64) -> String {
        ids::new_id(prefix, created, &self.id_part, &mut self.random)
    }

    pub(crate) fn new_request_id(&mut self) -> String {
        let mut id = "req_".to_owned();
        // Not from the account's own numbers: reads must not change its history.
        self.faults.random().push_letters(&mut id, 14);
        id
    }

    /// An object, embedded lists complete. Singletons and kinds without an id are found under what [`Account::insert`] says.
    pub fn get(&self, kind: &str, id: &str) -> Option<Value> {
        Some(self.kinds.get(kind)?.get(id)?.value())
    }

    /// An object that a write refers to.
    ///
    /// # Errors
    /// 404 `resource_missing` for `param`.
    pub fn require(&self, kind: &str, id: &str, param: &str) -> Result<Value, ApiError> {
        self.get(kind, id).ok_or_else(|| ApiError::no_such(kind, id, param))
    }

    /// Whether an id was there and was removed.
    pub fn is_deleted(&self, kind: &str, id: &str) -> bool {
        self.kinds.get(kind).is_some_and(|collection| collection.deleted.contains_key(id))
    }

    /// Stores a new object (or replaces one of the same id without an event of its own) and emits `event` about it. The kind is
    /// its `object` property. An object without `id` is kept under its `customer`, or under `self`. It stands in lists by its
    /// `created`, else by now. Returns its key.
    pub fn insert(&mut self, object: Value, event: Option<&str>) -> String {
        self.insert_below(None, object, event)
    }

    /// Like [`Account::insert`], for an object that is listed below another one that none of its properties names (a feature of a
    /// product).
    pub fn insert_below(&mut self, parent: Option<&str>, object: Value, event: Option<&str>) -> String {
        let key = key_of(&object);
        let Some(kind) = kind_name(object["object"].as_str().unwrap_or_default()) else {
            return key;
        };
        let place = self.next_place(created_of(&object).unwrap_or_else(|| self.now()));
        let entry = entry_of(kind, &object, parent.map(Into::into));
        self.kinds.entry(kind).or_default().put(&key, place, entry);
        if let Some(event) = event {
            self.emit(event, &object, None);
        }
        key
    }

    /// Stores an object that is written already, in the newest shape and listed by every list, without an event.
    pub(crate) fn insert_written(
        &mut self,
        kind: &'static str,
        id: &str,
        created: i64,
        json: Bytes,
        shown: Option<Bytes>,
    ) {
        let place = self.next_place(created);
        let entry = Entry { json, shown, omission: Omission::None, parent: None };
        self.kinds.entry(kind).or_default().put(id, place, entry);
    }

    /// The ids of a kind, oldest first.
    pub fn ids(&self, kind: &str) -> Vec<String> {
        let Some(collection) = self.kinds.get(kind) else { return Vec::new() };
        let mut ids: Vec<(Place, &str)> = collection.ids().map(|(id, place)| (place, id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| id.to_owned()).collect()
    }

    /// Changes an object and emits `event` with its `previous_attributes`; without a real change there is no event. Returns the
    /// changed object.
    ///
    /// # Errors
    /// 404 `resource_missing`.
    pub fn update(
        &mut self,
        kind: &str,
        id: &str,
        event: Option<&str>,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<Value, ApiError> {
        let before = self.require(kind, id, "id")?;
        let mut after = before.clone();
        if let Value::Object(properties) = &mut after {
            change(properties);
        }
        let (Some(kind), true) = (kind_name(kind), before != after) else {
            return Ok(after);
        };
        let collection = self.kinds.entry(kind).or_default();
        if let Some(place) = collection.place(id) {
            let mut entry = entry_of(kind, &after, None);
            if let Some(old) = collection.get(id) {
                entry.parent.clone_from(&old.parent);
                if old.omission == Omission::Always {
                    entry.omission = Omission::Always;
                }
            }
            collection.put(id, place, entry);
        }
        if let Some(event) = event {
            self.emit(event, &after, Some(&before));
        }
        Ok(after)
    }

    /// Removes an object, emits `event` with its last state, and returns that.
    ///
    /// # Errors
    /// 404 `resource_missing`.
    pub fn remove(&mut self, kind: &str, id: &str, event: Option<&str>) -> Result<Value, ApiError> {
        let now = self.now();
        let collection = kind_name(kind).and_then(|kind| self.kinds.get_mut(kind));
        let entry = collection.and_then(|collection| collection.remove(id, now));
        let last = entry.ok_or_else(|| ApiError::no_such(kind, id, "id"))?.value();
        if let Some(event) = event {
            self.emit(event, &last, None);
        }
        Ok(last)
    }

    /// Every object of a kind, oldest first.
    pub fn all(&self, kind: &str) -> impl DoubleEndedIterator<Item = Value> {
        self.kinds.get(kind).into_iter().flat_map(|collection| collection.entries.values().map(Entry::value))
    }

    /// The object of a kind before which so many newer ones stand in lists.
    pub fn recent(&self, kind: &str, newer: usize) -> Option<Value> {
        self.kinds.get(kind)?.entries.values().rev().nth(newer).map(Entry::value)
    }

    /// The objects of a kind whose property (an id or a text, also one that is expanded) has a value, oldest first. Fast: there is
    /// an index for each property that was ever asked for.
    pub fn find(&mut self, kind: &str, property: &'static str, value: &str) -> Vec<Value> {
        let Some(collection) = kind_name(kind).and_then(|kind| self.kinds.get_mut(kind)) else {
            return Vec::new();
        };
        collection.ensure_index(property);
        let places: Vec<Place> = collection.indexed(property, value).into_iter().flatten().copied().collect();
        places.iter().filter_map(|place| collection.entries.get(place)).map(Entry::value).collect()
    }

    /// Leaves an object out of all lists for good, as Stripe does with inline prices.
    pub fn unlist(&mut self, kind: &str, id: &str) {
        if let Some(collection) = kind_name(kind).and_then(|kind| self.kinds.get_mut(kind)) {
            collection.unlist(id);
        }
    }

    /// How many objects of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        self.kinds.get(kind).map_or(0, Collection::len)
    }

    fn next_place(&mut self, created: i64) -> Place {
        self.sequence += 1;
        (created, self.sequence)
    }
}

/// The catalogue's own text for a kind; `None` for kinds that it does not know.
pub(crate) fn kind_name(kind: &str) -> Option<&'static str> {
    catalogue::kind_of(kind).map(|kind| kind.object)
}

/// What an object is kept under.
pub(crate) fn key_of(object: &Value) -> String {
    let customer = || object["customer"].as_str().map(str::to_owned);
    object["id"].as_str().map(str::to_owned).or_else(customer).unwrap_or_else(|| "self".to_owned())
}

/// `created` in Unix seconds; v2 objects have RFC 3339.
pub(crate) fn created_of(object: &Value) -> Option<i64> {
    let created = &object["created"];
    created.as_i64().or_else(|| created.as_str()?.parse::<Timestamp>().ok().map(|at| at.as_second()))
}

/// A time in Unix seconds as v2 objects show it.
pub(crate) fn rfc3339(at: i64) -> String {
    Timestamp::from_second(at).unwrap_or_default().to_string()
}

fn entry_of(kind: &'static str, object: &Value, parent: Option<Box<str>>) -> Entry {
    let shown = embedded::shown(kind, object).map(|shown| to_bytes(&shown));
    Entry { json: to_bytes(object), shown, omission: omission(kind, object), parent }
}

/// Whether lists leave an object out unless they are asked for it.
fn omission(kind: &str, object: &Value) -> Omission {
    let under_clock = || !object["test_clock"].is_null();
    let omitted = match kind {
        "customer" | "quote" => under_clock(),
        "subscription" => under_clock() || object["status"] == "canceled",
        "price" => object["active"] == false,
        "review" => object["open"] == false,
        "payment_method" => object["type"] == "custom",
        "tax_id" => object["owner"]["type"] != "self",
        _ => false,
    };
    if omitted { Omission::ByDefault } else { Omission::None }
}

pub(crate) fn to_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}
