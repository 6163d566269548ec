//! Reads JSON objects without building a tree: a list of properties whose values stay text.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The properties of one JSON object, in their order. Of duplicate keys the last wins, as in both databases.
#[derive(Debug)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// Reads an object; `None` when the text is not one.
    pub fn parse(text: &'a str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// All properties.
    pub fn iter(&self) -> impl Iterator<Item = (&Cow<'a, str>, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name, *value))
    }

    /// The value of a property.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }

    /// The value of a property that is a string.
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text_of(self.get(name)?)
    }
}

/// The content of a JSON string; `None` for any other value.
pub fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str::<String>(text).ok().map(Cow::Owned)
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Properties;

        impl<'de> Visitor<'de> for Properties {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut properties = Vec::with_capacity(24);
                while let Some(name) = map.next_key::<Name<'de>>()? {
                    properties.push((name.0, map.next_value()?));
                }
                Ok(properties)
            }
        }

        deserializer.deserialize_map(Properties).map(Self)
    }
}

/// A property name, borrowed when it holds no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// A list object as Stripe embeds it.
#[derive(Debug)]
pub struct ListObject<'a> {
    /// The elements that are there.
    pub elements: Vec<&'a RawValue>,
    /// Whether these are all.
    pub complete: bool,
    /// Whether the list says that there are more.
    pub truncated: bool,
}

impl<'a> ListObject<'a> {
    /// Reads `{"object": "list", "data": […], "has_more": …}`; `None` for anything else.
    pub fn parse(raw: &'a RawValue) -> Option<Self> {
        let fields = Fields::parse(raw.get())?;
        let elements: Vec<&'a RawValue> = serde_json::from_str(fields.get("data")?.get()).ok()?;
        // A list that does not say that it ends here may go on: absence of proof must not delete a child.
        let more = fields.get("has_more").map(RawValue::get);
        Some(Self { elements, complete: more == Some("false"), truncated: more == Some("true") })
    }
}
