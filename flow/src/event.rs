//! What starts functions and wakes them.

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An event: something happened. `T` is the form that a function wants its data in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<T = Value> {
    /// Stripe's id for an event of Stripe's; unique in any case.
    pub id: String,
    /// `stripe/invoice.paid`, or a name of the user's own.
    pub name: String,
    /// What it tells.
    pub data: T,
    /// When it happened.
    pub ts: Timestamp,
}

impl Event<Value> {
    /// An event, for tests and for sending.
    pub fn new(id: impl Into<String>, name: impl Into<String>, data: Value, ts: Timestamp) -> Self {
        Self { id: id.into(), name: name.into(), data, ts }
    }

    /// With its data in another form.
    ///
    /// # Errors
    /// When the data does not have this form; the message says where.
    pub fn typed<T: DeserializeOwned>(self) -> Result<Event<T>, serde_json::Error> {
        let data = serde_json::from_value(self.data)?;
        Ok(Event { id: self.id, name: self.name, data, ts: self.ts })
    }
}
