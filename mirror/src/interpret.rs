//! From a delivery's bytes to what it means for the mirror. Pure: the same bytes always mean the same.

use std::collections::HashSet;
use std::sync::Arc;

use billhook_core::row::{Rank, Version};
use billhook_core::table::{OnDelete, Table};
use billhook_store::{DirtyMark, StoredDelivery};
use billhook_stripe::catalogue;
use billhook_stripe::envelope::Envelope;
use billhook_stripe::json::sanitise;
use jiff::Timestamp;

use crate::apply::dirty;
use crate::projection::{self, Context, NoRow, Projected};
use crate::quarantine::Reason;
use crate::route::Routed;

/// Which events this database takes.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The mode of the database, once it is known.
    pub livemode: Option<bool>,
    /// The account of this installation, when it is configured.
    pub account: String,
    /// What is read again from Stripe; `None` without an API key.
    pub reads: Option<Arc<ReadPolicy>>,
}

/// Which objects are read again although an event showed them.
#[derive(Debug, Clone, Default)]
pub struct ReadPolicy {
    /// Kinds whose events are only a hint (`REVALIDATE_OBJECTS_VIA_STRIPE_API`).
    pub revalidate: HashSet<String>,
    /// The API version of the reads. Events that another release train rendered have other shapes, so their objects are read again.
    pub version: String,
    /// Whether referenced objects that the mirror lacks are fetched.
    pub related: bool,
}

impl ReadPolicy {
    fn doubts(&self, kind: &str, api_version: Option<&str>) -> Option<&'static str> {
        // The existing engine's name for the one kind whose own name is longer.
        let revalidated = self.revalidate.contains(kind)
            || (kind == "entitlements.active_entitlement_summary" && self.revalidate.contains("entitlements"));
        if revalidated {
            return Some("revalidate");
        }
        let other = |version: &str| !self.version.is_empty() && release_train(version) != release_train(&self.version);
        api_version.is_some_and(other).then_some("api_version")
    }
}

/// `endive` of `2026-10-28.endive`: only the head of a train breaks shapes. Older versions are trains of their own.
fn release_train(version: &str) -> &str {
    version.split_once('.').map_or(version, |(_, train)| train)
}

/// A state of one object on its way into its table.
#[derive(Debug)]
pub struct Change {
    /// The table.
    pub table: &'static Table,
    /// The row and the rows of its lists.
    pub projected: Projected,
    /// Whether the event deletes the object.
    pub deletes: bool,
}

/// What a delivery means.
#[derive(Debug)]
pub enum Meaning {
    /// A state of an object.
    Change(Box<Change>),
    /// A thin event: the object has to be read.
    Thin(DirtyMark),
    /// An event without a row: `invoice.upcoming`, alerts.
    NoRow,
    /// Nothing that can be applied.
    Refused,
}

/// A delivery with its meaning.
#[derive(Debug)]
pub struct Interpreted {
    /// Order of arrival.
    pub sequence: i64,
    /// `evt_…` or `sha256:…`.
    pub event_id: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// What it means.
    pub meaning: Meaning,
    /// Why it is shown in the quarantine, and the detail.
    pub shown: Option<(Reason, String)>,
    /// Set when the object is to be read from Stripe although the event shows it.
    pub doubt: Option<DirtyMark>,
    /// What it means for functions, see [`crate::route`].
    pub routed: Option<Routed>,
}

/// Seconds of 9999-12-31: the last moment both databases can show.
pub const CREATED_MAX: i64 = 253_402_300_799;

/// The tied second and one more have passed when a read of this many seconds after `created` starts.
const READ_AFTER_SECONDS: i64 = 2;

/// Interprets a delivery. `envelope` is what ingest read already; `None` makes it read again.
pub fn interpret(delivery: &StoredDelivery, envelope: Option<&Envelope>, policy: &Policy) -> Interpreted {
    let parsed;
    let envelope = match envelope {
        Some(envelope) => Ok(envelope),
        None => {
            parsed = Envelope::parse(&delivery.raw);
            parsed.as_ref()
        }
    };
    let meant = envelope
        .or_else(|error| refuse(Reason::NotJson, error.to_string()))
        .and_then(|envelope| Ok((envelope, read(delivery, envelope, policy)?)));
    let (meaning, shown, doubt) = match meant {
        Ok((envelope, (meaning, shown))) => {
            let doubt = doubt(&meaning, envelope, policy);
            (meaning, shown, doubt)
        }
        Err(refusal) => (Meaning::Refused, Some(refusal), None),
    };
    Interpreted {
        sequence: delivery.sequence,
        event_id: delivery.event_id.clone(),
        received_at: delivery.received_at,
        meaning,
        shown,
        doubt,
        routed: None,
    }
}

type Shown = (Reason, String);

/// Whether the object is to be read although the event shows it.
fn doubt(meaning: &Meaning, envelope: &Envelope, policy: &Policy) -> Option<DirtyMark> {
    let (Meaning::Change(change), Some(reads)) = (meaning, &policy.reads) else {
        return None;
    };
    if change.deletes {
        return None;
    }
    let reason = reads.doubts(envelope.object_kind.as_deref()?, envelope.api_version.as_deref())?;
    Some(dirty(change.table, &change.projected.row, reason))
}

fn refuse<T>(reason: Reason, detail: impl Into<String>) -> Result<T, Shown> {
    Err((reason, detail.into()))
}

fn read(delivery: &StoredDelivery, envelope: &Envelope, policy: &Policy) -> Result<(Meaning, Option<Shown>), Shown> {
    if !envelope.is_thin() && envelope.object.as_deref() != Some("event") {
        return refuse(Reason::NotAnEvent, "`object` is neither \"event\" nor \"v2.core.event\"");
    }
    if envelope.id.is_none() {
        return refuse(Reason::MissingEventId, "`id` is missing, empty, too long or not a string");
    }
    let Some(event_type) = envelope.event_type.as_deref() else {
        return refuse(Reason::MissingType, "`type` is missing or not a string");
    };
    check_policy(envelope, policy)?;
    let created = match envelope.created {
        Some(created @ 0..=CREATED_MAX) => created,
        _ => return refuse(Reason::InvalidCreated, "`created` is not a whole second between 1970 and 9999"),
    };
    if envelope.is_thin() {
        return Ok((thin(envelope, event_type, created), unknown_type(event_type)));
    }
    snapshot(delivery, envelope, event_type, created, policy)
}

fn check_policy(envelope: &Envelope, policy: &Policy) -> Result<(), Shown> {
    if let (Some(event), Some(database)) = (envelope.livemode, policy.livemode)
        && event != database
    {
        let mode = |live| if live { "live" } else { "test" };
        return refuse(Reason::WrongMode, format!("the event is {}, the database is {}", mode(event), mode(database)));
    }
    match envelope.account.as_deref() {
        Some(account) if account != policy.account => {
            refuse(Reason::WrongAccount, format!("the event belongs to account {account}"))
        }
        _ => Ok(()),
    }
}

fn unknown_type(event_type: &str) -> Option<Shown> {
    (!catalogue::is_known_event(event_type))
        .then(|| (Reason::UnknownType, format!("type {} is not in the catalogue", quoted(event_type))))
}

fn thin(envelope: &Envelope, event_type: &str, created: i64) -> Meaning {
    match (&envelope.object_kind, &envelope.object_id) {
        (Some(kind), Some(id)) => Meaning::Thin(DirtyMark {
            object: kind.clone(),
            id: id.clone(),
            account: envelope.account.clone().unwrap_or_default(),
            reason: format!("thin event {event_type}"),
            event_id: envelope.snapshot_event.clone().unwrap_or_default(),
            not_before: read_after(created),
        }),
        _ => Meaning::NoRow,
    }
}

/// The earliest moment at which a read can be told from the second `created`.
pub fn read_after(created: i64) -> Timestamp {
    Timestamp::from_second(created.saturating_add(READ_AFTER_SECONDS)).unwrap_or(Timestamp::MAX)
}

fn snapshot(
    delivery: &StoredDelivery,
    envelope: &Envelope,
    event_type: &str,
    created: i64,
    policy: &Policy,
) -> Result<(Meaning, Option<Shown>), Shown> {
    let object = envelope.data_object.clone().and_then(|range| delivery.raw.get(range));
    let Some(object) = object.and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
        return refuse(Reason::MissingObject, "`data.object` is missing or not an object");
    };
    let Some(kind) = envelope.object_kind.as_deref() else {
        return refuse(Reason::MissingKind, "`data.object.object` is missing or not a string");
    };
    if PREVIEW_EVENTS.contains(&event_type) {
        return Ok((Meaning::NoRow, None));
    }
    let (table, unknown) = match catalogue::table_of(kind) {
        Some(table) => (table, None),
        None if catalogue::is_known_object(kind) => return Ok((Meaning::NoRow, unknown_type(event_type))),
        None => {
            let detail = format!("kind {} is not in the catalogue", quoted(kind));
            (catalogue::other_objects(), Some((Reason::UnknownObject, detail)))
        }
    };
    let sanitised = sanitise(object).or_else(|error| refuse(Reason::TooDeep, error.to_string()))?;
    let says_deleted = event_type.ends_with(".deleted") && !DETACHMENTS.contains(&(event_type, kind));
    let deletes = table.on_delete != OnDelete::Keep && (says_deleted || envelope.object_deleted);
    let account = envelope.account.as_deref().unwrap_or(&policy.account);
    let context = Context {
        account,
        version: Version { time: created, rank: Rank::Event },
        source_event: &delivery.event_id,
        revives: event_type.ends_with(".created"),
        deletes,
        parent: None,
    };
    match projection::project(table, &sanitised.text, &context) {
        Ok(projected) => {
            let change = Change { table, projected, deletes };
            Ok((Meaning::Change(Box::new(change)), unknown.or_else(|| unknown_type(event_type))))
        }
        Err(NoRow::MissingKey) => refuse(
            Reason::MissingObjectId,
            format!("the {} of a {} event has no usable id", quoted(kind), quoted(event_type)),
        ),
        Err(NoRow::NotAnObject) => refuse(Reason::MissingObject, "`data.object` is not an object"),
    }
}

/// Events about a preview: an object that does not exist yet, with no id or an invented one (`upcoming_in_…`).
const PREVIEW_EVENTS: &[&str] = &["invoice.upcoming"];

/// Events that end in `.deleted` and only take an object away from another one: an account used as a payment source lives on.
const DETACHMENTS: &[(&str, &str)] = &[("customer.source.deleted", "account")];

/// Characters of a hostile name that are shown.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// A name from outside, cut and escaped, for a message.
fn quoted(name: &str) -> String {
    let cut: String = name.chars().take(SHOWN_CHARACTERS_MAX).collect();
    format!("{cut:?}")
}
