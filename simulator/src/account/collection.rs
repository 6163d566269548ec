//! The objects of one kind.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

/// Where an object stands in lists: by `created`, and by the order of insertion within a second.
pub(crate) type Place = (i64, u64);

/// Whether lists leave an object out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Omission {
    /// Every list shows it.
    None,
    /// Only lists that are asked for its like show it.
    ByDefault,
    /// No list shows it: an inline price.
    Always,
}

/// A stored object.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// The whole object in the newest shape, embedded lists complete.
    pub(crate) json: Bytes,
    /// What reads show in the newest version, when it differs: embedded lists cut, hidden ones left out.
    pub(crate) shown: Option<Bytes>,
    /// Whether lists leave it out.
    pub(crate) omission: Omission,
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
    /// Those that lists leave out by default or always.
    omitted: BTreeSet<Place>,
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
        let place = match self.places.get(id) {
            Some(place) => *place,
            None => {
                self.places.insert(id.into(), place);
                place
            }
        };
        self.deleted.remove(id);
        self.unindex(place);
        if entry.omission != Omission::None {
            self.omitted.insert(place);
        }
        if !self.indexes.is_empty() {
            let value = entry.value();
            for (filter, index) in &mut self.indexes {
                add(index, filter, place, &entry, &value);
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

    /// Leaves an object out of all lists.
    pub(crate) fn unlist(&mut self, id: &str) {
        if let Some(place) = self.places.get(id) {
            self.omitted.insert(*place);
            if let Some(entry) = self.entries.get_mut(place) {
                entry.omission = Omission::Always;
            }
        }
    }

    fn unindex(&mut self, place: Place) {
        self.omitted.remove(&place);
        if self.indexes.is_empty() {
            return;
        }
        let Some(entry) = self.entries.get(&place) else { return };
        let value = entry.value();
        for (filter, index) in &mut self.indexes {
            for key in indexed_values(&value, filter, entry.parent.as_deref()) {
                if let Some(places) = index.get_mut(key) {
                    places.remove(&place);
                }
            }
        }
    }

    /// Makes the index of a filter, at its first use.
    pub(crate) fn ensure_index(&mut self, filter: &'static str) {
        if self.indexes.contains_key(filter) {
            return;
        }
        let mut index = Index::new();
        for (place, entry) in &self.entries {
            add(&mut index, filter, *place, entry, &peek(&entry.json, filter));
        }
        self.indexes.insert(filter, index);
    }

    /// Places of the objects whose `filter` has a value; `None` when there are none, or no index.
    pub(crate) fn indexed(&self, filter: &str, value: &str) -> Option<&BTreeSet<Place>> {
        self.indexes.get(filter)?.get(value)
    }

    /// Places of the objects that lists leave out.
    pub(crate) fn omitted(&self) -> &BTreeSet<Place> {
        &self.omitted
    }
}

fn add(index: &mut Index, filter: &str, place: Place, entry: &Entry, value: &Value) {
    for key in indexed_values(value, filter, entry.parent.as_deref()) {
        match index.get_mut(key) {
            Some(places) => places.insert(place),
            None => index.entry(key.into()).or_default().insert(place),
        };
    }
}

/// Reads only the properties that a filter looks at; the rest is skipped, which is several times faster.
fn peek(json: &[u8], filter: &str) -> Value {
    let mut reader = serde_json::Deserializer::from_slice(json);
    reader.deserialize_map(Peek { filter }).unwrap_or(Value::Null)
}

/// Collects from a JSON object what [`indexed_values`] needs.
struct Peek<'a> {
    filter: &'a str,
}

impl<'de> Visitor<'de> for Peek<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = serde_json::Map::new();
        while let Some(name) = map.next_key_seed(Name { filter: self.filter })? {
            match name {
                Some(name) => {
                    found.insert(name, map.next_value()?);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(found))
    }
}

/// A property's name, when it is wanted.
struct Name<'a> {
    filter: &'a str,
}

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a property's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<String>, E> {
        // An invoice's subscription stands below its parent.
        let is_wanted = name == self.filter || (self.filter == "subscription" && name == "parent");
        Ok(is_wanted.then(|| name.to_owned()))
    }
}

/// The ids or texts that an object has for a filter.
fn indexed_values<'a>(object: &'a Value, filter: &str, parent: Option<&'a str>) -> Vec<&'a str> {
    let at = match filter {
        // An invoice's subscription moved under its parent.
        "subscription" if object["subscription"].is_null() => &object["parent"]["subscription_details"]["subscription"],
        // The elements of a subscription, by their own ids.
        "items" => {
            let items = object["items"]["data"].as_array().map_or(&[][..], Vec::as_slice);
            return items.iter().filter_map(|item| item["id"].as_str()).collect();
        }
        _ => &object[filter],
    };
    at.as_str().or_else(|| at["id"].as_str()).or(parent).into_iter().collect()
}
