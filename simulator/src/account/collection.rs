//! The objects of one kind.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use serde_json::Value;

/// Where an object stands in lists: by `created`, and by the order of insertion within a second.
pub(crate) type Place = (i64, u64);

/// A stored object.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The whole object in the newest shape, embedded lists complete.
    pub(crate) json: Bytes,
    /// What reads show in the newest version, when it differs: embedded lists cut, hidden ones left out.
    pub(crate) shown: Option<Bytes>,
    /// Lists leave it out unless they are asked for it.
    pub(crate) omitted: bool,
    /// The object below which it is listed, when none of its properties says so.
    pub(crate) parent: Option<Box<str>>,
}

impl Entry {
    /// What reads show in the newest version.
    pub(crate) fn shown(&self) -> &Bytes {
        self.shown.as_ref().unwrap_or(&self.json)
    }

    /// The whole object.
    pub(crate) fn value(&self) -> Value {
        parse(&self.json)
    }
}

/// Reads JSON that this crate wrote.
pub(crate) fn parse(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or(Value::Null)
}

/// An index over the values of one filter.
type Index = HashMap<Box<str>, BTreeSet<Place>>;

/// The objects of one kind in the order of lists (oldest first; lists are read backwards).
#[derive(Debug, Default)]
pub(crate) struct Collection {
    pub(crate) entries: BTreeMap<Place, Entry>,
    places: HashMap<Box<str>, Place>,
    /// Ids that were removed, with the time.
    pub(crate) deleted: BTreeMap<Box<str>, i64>,
    /// Indexes of filters, made when a filter is first used.
    indexes: HashMap<&'static str, Index>,
}

impl Collection {
    pub(crate) fn place(&self, id: &str) -> Option<Place> {
        self.places.get(id).copied()
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(self.places.get(id)?)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Ids with their places, in no order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = (&str, Place)> {
        self.places.iter().map(|(id, place)| (&**id, *place))
    }

    /// Adds or replaces an object. A replaced one keeps its place.
    pub(crate) fn put(&mut self, id: &str, place: Place, entry: Entry) {
        let place = *self.places.entry(id.into()).or_insert(place);
        self.deleted.remove(id);
        self.unindex(place);
        if !self.indexes.is_empty() {
            let value = entry.value();
            for (filter, index) in &mut self.indexes {
                for key in indexed_values(&value, filter) {
                    index.entry(key.into()).or_default().insert(place);
                }
            }
        }
        self.entries.insert(place, entry);
    }

    /// Removes an object and remembers that it was there.
    pub(crate) fn remove(&mut self, id: &str, now: i64) -> Option<Entry> {
        let place = self.places.remove(id)?;
        self.unindex(place);
        self.deleted.insert(id.into(), now);
        self.entries.remove(&place)
    }

    fn unindex(&mut self, place: Place) {
        if self.indexes.is_empty() {
            return;
        }
        let Some(entry) = self.entries.get(&place) else { return };
        let value = entry.value();
        for (filter, index) in &mut self.indexes {
            for key in indexed_values(&value, filter) {
                if let Some(places) = index.get_mut(key) {
                    places.remove(&place);
                }
            }
        }
    }

    /// Places of the objects whose `filter` has a value. The first use of a filter makes its index.
    pub(crate) fn indexed(&mut self, filter: &'static str, value: &str) -> Option<&BTreeSet<Place>> {
        if !self.indexes.contains_key(filter) {
            let mut index = Index::new();
            for (place, entry) in &self.entries {
                for key in indexed_values(&entry.value(), filter) {
                    index.entry(key.into()).or_default().insert(*place);
                }
            }
            self.indexes.insert(filter, index);
        }
        self.indexes.get(filter)?.get(value)
    }
}

/// The ids or texts that an object has for a filter.
pub(crate) fn indexed_values<'a>(object: &'a Value, filter: &str) -> Vec<&'a str> {
    let at = match filter {
        // An invoice's subscription moved under its parent.
        "subscription" if object["subscription"].is_null() => &object["parent"]["subscription_details"]["subscription"],
        _ => &object[filter],
    };
    at.as_str().or_else(|| at["id"].as_str()).into_iter().collect()
}
