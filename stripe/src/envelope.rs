//! The few fields of an event that ingest and the applier need, read without building a tree.

use std::ops::Range;

/// An event, snapshot or thin, as far as it could be read. Absent or mistyped fields are `None`; nothing here is trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `evt_…`: a non-empty string of at most 255 bytes.
    pub id: Option<String>,
    /// `"event"` or `"v2.core.event"`.
    pub object: Option<String>,
    /// The event type.
    pub event_type: Option<String>,
    /// `created` in Unix seconds: an integer, or an RFC 3339 text in thin events.
    pub created: Option<i64>,
    /// Live or test mode.
    pub livemode: Option<bool>,
    /// API version that rendered the event.
    pub api_version: Option<String>,
    /// Connected account.
    pub account: Option<String>,
    /// v2 context.
    pub context: Option<String>,
    /// Where `data.object` stands in the body, when it is a JSON object.
    pub data_object: Option<Range<usize>>,
    /// Where `data.previous_attributes` stands in the body, when it is a JSON object.
    pub previous_attributes: Option<Range<usize>>,
    /// `data.object.object`, or the kind of a thin event's related object.
    pub object_kind: Option<String>,
    /// `data.object.id`, or the id of a thin event's related object: a non-empty string of at most 255 bytes.
    pub object_id: Option<String>,
    /// Thin events: the snapshot event of the same change.
    pub snapshot_event: Option<String>,
}

/// Why a body is not an event at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not UTF-8, or not one JSON document.
    #[error("the body is not a JSON document")]
    NotJson,
    /// JSON, but not an object.
    #[error("the body is not a JSON object")]
    NotAnObject,
}

impl Envelope {
    /// Reads an envelope.
    ///
    /// # Errors
    /// When the body is not one JSON object. Everything else is a field that is `None`.
    pub fn parse(_body: &[u8]) -> Result<Self, EnvelopeError> {
        todo!()
    }

    /// Whether this is a thin event.
    pub fn is_thin(&self) -> bool {
        self.object.as_deref() == Some("v2.core.event")
    }
}
