//! Reads the members of an event, each as far as its type allows.

use std::ops::Range;

use jiff::Timestamp;

use super::{Envelope, TEXT_BYTES_MAX, URL_BYTES_MAX};
use crate::json::{JsonError, JsonText, Scanner};

/// What the members of an event say. Some of it can only be judged when `object` is known, and members come in any order.
#[derive(Default)]
pub(super) struct Fields {
    /// The fields that do not depend on others.
    envelope: Envelope,
    created: Created,
    data: Data,
    related: Related,
    /// `request.idempotency_key`.
    request_key: Option<String>,
    /// `reason.request.idempotency_key`.
    reason_key: Option<String>,
}

#[derive(Default)]
enum Created {
    #[default]
    Unreadable,
    /// An integer.
    Number(i64),
    /// A text that is a time.
    Text(i64),
}

/// `data` of a snapshot event.
#[derive(Default)]
struct Data {
    object: Option<Range<usize>>,
    previous_attributes: Option<Range<usize>>,
    identity: Identity,
}

/// What the top level of `data.object` says about itself.
#[derive(Default)]
struct Identity {
    kind: Option<String>,
    id: Option<String>,
    deleted: bool,
}

/// `related_object` of a thin event.
#[derive(Default)]
struct Related {
    kind: Option<String>,
    id: Option<String>,
    url: Option<String>,
}

impl Fields {
    /// Reads one member of the event.
    pub(super) fn read_member(&mut self, scanner: &mut Scanner<'_>, key: &JsonText<'_>) -> Result<(), JsonError> {
        let envelope = &mut self.envelope;
        match key.decode().as_deref() {
            Some("id") => envelope.id = text(scanner, TEXT_BYTES_MAX)?,
            Some("object") => envelope.object = text(scanner, TEXT_BYTES_MAX)?,
            Some("type") => envelope.event_type = text(scanner, TEXT_BYTES_MAX)?,
            Some("created") => self.created = created(scanner)?,
            Some("livemode") => envelope.livemode = boolean(scanner)?,
            Some("api_version") => envelope.api_version = text(scanner, TEXT_BYTES_MAX)?,
            Some("account") => envelope.account = text(scanner, TEXT_BYTES_MAX)?,
            Some("context") => envelope.context = text(scanner, TEXT_BYTES_MAX)?,
            Some("data") => self.data = data(scanner)?,
            Some("related_object") => self.related = related_object(scanner)?,
            Some("snapshot_event") => envelope.snapshot_event = text(scanner, TEXT_BYTES_MAX)?,
            Some("request") => self.request_key = idempotency_key(scanner)?,
            Some("reason") => self.reason_key = reason(scanner)?,
            _ => pass(scanner)?,
        }
        Ok(())
    }

    /// Decides between what only snapshot events and only thin events have.
    pub(super) fn into_envelope(self) -> Envelope {
        let Self { mut envelope, created, data, related, request_key, reason_key } = self;
        let is_thin = envelope.is_thin();
        envelope.created = match created {
            Created::Number(seconds) => Some(seconds),
            Created::Text(seconds) if is_thin => Some(seconds),
            Created::Text(_) | Created::Unreadable => None,
        };
        envelope.data_object = data.object;
        envelope.previous_attributes = data.previous_attributes;
        if is_thin {
            envelope.object_kind = related.kind;
            envelope.object_id = related.id;
            envelope.related_url = related.url;
            envelope.idempotency_key = reason_key;
        } else {
            envelope.object_kind = data.identity.kind;
            envelope.object_id = data.identity.id;
            envelope.object_deleted = data.identity.deleted;
            envelope.snapshot_event = None;
            envelope.idempotency_key = request_key;
        }
        envelope
    }
}

fn data(scanner: &mut Scanner<'_>) -> Result<Data, JsonError> {
    let mut data = Data::default();
    members(scanner, |scanner, key| {
        match key {
            "object" => (data.object, data.identity) = identity(scanner)?,
            "previous_attributes" => data.previous_attributes = members(scanner, |scanner, _| pass(scanner))?,
            _ => pass(scanner)?,
        }
        Ok(())
    })?;
    Ok(data)
}

fn identity(scanner: &mut Scanner<'_>) -> Result<(Option<Range<usize>>, Identity), JsonError> {
    let mut identity = Identity::default();
    let range = members(scanner, |scanner, key| {
        match key {
            "object" => identity.kind = text(scanner, TEXT_BYTES_MAX)?,
            "id" => identity.id = text(scanner, TEXT_BYTES_MAX)?,
            "deleted" => identity.deleted = boolean(scanner)? == Some(true),
            _ => pass(scanner)?,
        }
        Ok(())
    })?;
    Ok((range, identity))
}

fn related_object(scanner: &mut Scanner<'_>) -> Result<Related, JsonError> {
    let mut related = Related::default();
    members(scanner, |scanner, key| {
        match key {
            "type" => related.kind = text(scanner, TEXT_BYTES_MAX)?,
            "id" => related.id = text(scanner, TEXT_BYTES_MAX)?,
            "url" => related.url = text(scanner, URL_BYTES_MAX)?,
            _ => pass(scanner)?,
        }
        Ok(())
    })?;
    Ok(related)
}

fn reason(scanner: &mut Scanner<'_>) -> Result<Option<String>, JsonError> {
    let mut found = None;
    members(scanner, |scanner, key| {
        match key {
            "request" => found = idempotency_key(scanner)?,
            _ => pass(scanner)?,
        }
        Ok(())
    })?;
    Ok(found)
}

fn idempotency_key(scanner: &mut Scanner<'_>) -> Result<Option<String>, JsonError> {
    let mut found = None;
    members(scanner, |scanner, key| {
        match key {
            "idempotency_key" => found = text(scanner, TEXT_BYTES_MAX)?,
            _ => pass(scanner)?,
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads the members of an object and returns where it stands; passes any other value and returns `None`.
///
/// A key with a lone surrogate is shown as an empty one: it equals none that Stripe uses.
fn members<'a>(
    scanner: &mut Scanner<'a>,
    mut member: impl FnMut(&mut Scanner<'a>, &str) -> Result<(), JsonError>,
) -> Result<Option<Range<usize>>, JsonError> {
    if scanner.peek() != Some(b'{') {
        pass(scanner)?;
        return Ok(None);
    }
    scanner.object(|scanner, key| member(scanner, key.decode().as_deref().unwrap_or_default())).map(Some)
}

/// A non-empty string without control characters and with at most `bytes_max` bytes.
fn text(scanner: &mut Scanner<'_>, bytes_max: usize) -> Result<Option<String>, JsonError> {
    if scanner.peek() != Some(b'"') {
        pass(scanner)?;
        return Ok(None);
    }
    let decoded = scanner.string()?.decode();
    let usable = decoded.filter(|text| !text.is_empty() && text.len() <= bytes_max && !text.contains(char::is_control));
    Ok(usable.map(|text| text.into_owned()))
}

fn boolean(scanner: &mut Scanner<'_>) -> Result<Option<bool>, JsonError> {
    let first = scanner.peek();
    pass(scanner)?;
    Ok(match first {
        Some(b't') => Some(true),
        Some(b'f') => Some(false),
        _ => None,
    })
}

fn created(scanner: &mut Scanner<'_>) -> Result<Created, JsonError> {
    Ok(match scanner.peek() {
        Some(b'-' | b'0'..=b'9') => {
            let number = scanner.number()?;
            // A fraction, an exponent and a value beyond 64 bits do not parse as an integer.
            let seconds = scanner.slice(number.range).parse();
            seconds.map_or(Created::Unreadable, Created::Number)
        }
        Some(b'"') => {
            let time = text(scanner, TEXT_BYTES_MAX)?.and_then(|text| text.parse::<Timestamp>().ok());
            time.map_or(Created::Unreadable, |time| Created::Text(time.as_second()))
        }
        _ => {
            pass(scanner)?;
            Created::Unreadable
        }
    })
}

fn pass(scanner: &mut Scanner<'_>) -> Result<(), JsonError> {
    scanner.skip().map(|_| ())
}
