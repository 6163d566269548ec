//! The few fields of an event that ingest and the applier need, read in one pass and without building a tree.

mod fields;

use std::ops::Range;

use crate::json::{JsonError, Scanner};
use fields::Fields;

/// Most bytes of an id, a type and every other short text. Both databases can index that much.
pub const TEXT_BYTES_MAX: usize = 255;

/// Most bytes of the path of a related object.
pub const URL_BYTES_MAX: usize = 2048;

/// What a thin event says in `object`.
const THIN_EVENT: &str = "v2.core.event";

/// Some editors and proxies put it before a document. It is no JSON, but harmless at the very beginning.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// An event, snapshot or thin, as far as it could be read.
///
/// Absent or mistyped fields are `None`; nothing here is trusted. Every text is non-empty, has at most [`TEXT_BYTES_MAX`] bytes
/// and no control character; a text that is anything else counts as mistyped. Of duplicate keys the last one counts. Ranges are
/// byte positions in the body, without the white space around the value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Envelope {
    /// `evt_…`.
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
    /// `data.object.id`, or the id of a thin event's related object.
    pub object_id: Option<String>,
    /// Whether `data.object.deleted` is true.
    pub object_deleted: bool,
    /// Thin events: the path of the related object, of at most [`URL_BYTES_MAX`] bytes. Never to be joined to another host.
    pub related_url: Option<String>,
    /// Thin events: the snapshot event of the same change.
    pub snapshot_event: Option<String>,
    /// Idempotency key of the API request that caused the event: `request.idempotency_key`, or that of a thin event's `reason`.
    pub idempotency_key: Option<String>,
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
    /// Reads an envelope. The whole body is checked against the JSON grammar, whatever its depth; what it says inside
    /// `data.object`, impossible numbers and lone surrogates included, is left alone.
    ///
    /// # Errors
    /// When the body is not one JSON object. Everything else is a field that is `None`.
    pub fn parse(body: &[u8]) -> Result<Self, EnvelopeError> {
        let text = std::str::from_utf8(body).map_err(|_| EnvelopeError::NotJson)?;
        match read(text) {
            Ok(Some(fields)) => Ok(fields.into_envelope()),
            Ok(None) => Err(EnvelopeError::NotAnObject),
            Err(JsonError::Invalid | JsonError::TooDeep) => Err(EnvelopeError::NotJson),
        }
    }

    /// Whether this is a thin event.
    pub fn is_thin(&self) -> bool {
        self.object.as_deref() == Some(THIN_EVENT)
    }
}

/// The fields of a document, or `None` when it is another JSON value.
fn read(text: &str) -> Result<Option<Fields>, JsonError> {
    let start = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len_utf8() } else { 0 };
    let mut scanner = Scanner::new(text, start);
    let fields = if scanner.peek() == Some(b'{') {
        let mut fields = Fields::default();
        scanner.object(|scanner, key| fields.read_member(scanner, &key))?;
        Some(fields)
    } else {
        scanner.skip()?;
        None
    };
    scanner.end()?;
    Ok(fields)
}
