//! Parameters and results of the store's operations.

use std::path::PathBuf;

use billhook_core::Secret;
use billhook_core::row::Version;
use billhook_core::table::Table;
use bytes::Bytes;
use jiff::Timestamp;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which database.
    pub location: Location,
    /// The mirror's tables, from the catalogue.
    pub tables: &'static [Table],
    /// Revision of the catalogue; grows with every change of the tables.
    pub catalogue_revision: i64,
    /// Who opens it.
    pub role: Role,
}

/// Who opens a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A server that ingests and applies. On SQLite a second server on the same file is refused.
    Server,
    /// A command that looks or repairs, possibly beside a running server.
    Tool,
}

/// Which database.
#[derive(Debug, Clone)]
pub enum Location {
    /// One SQLite file; missing files are made.
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres(PostgresLocation),
}

impl Location {
    /// What a URL names, for tests and measurements: `sqlite:PATH` is a file, anything else a PostgreSQL server with eight connections, the
    /// usual schema, and 20 s for one statement.
    pub fn from_url(url: &str) -> Self {
        match url.strip_prefix("sqlite:") {
            Some(path) => Self::Sqlite { path: path.into() },
            None => Self::Postgres(PostgresLocation {
                url: Secret::new(url),
                tls_ca: None,
                connections_max: 8,
                mirror_schema: "stripe".to_owned(),
                statement_timeout_ms: 20_000,
            }),
        }
    }
}

/// A PostgreSQL server and how to speak with it.
#[derive(Debug, Clone)]
pub struct PostgresLocation {
    /// `postgres://…`, the password included. `sslmode` is taken from it: `disable`, `prefer` (default), `require`,
    /// `verify-ca` or `verify-full`; `search_path` and other foreign parameters are accepted and ignored.
    pub url: Secret,
    /// PEM text of a certificate authority to trust besides the public ones.
    pub tls_ca: Option<String>,
    /// Greatest number of connections, all purposes together but one: [`crate::Store::hear_flow_hints`] has one of its own.
    pub connections_max: usize,
    /// Schema of the mirror, `stripe` by default.
    pub mirror_schema: String,
    /// How long one statement may take, in milliseconds, before the database gives up.
    pub statement_timeout_ms: u64,
}

/// What a migration did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationReport {
    /// Names of the migrations that were applied, in order.
    pub applied: Vec<String>,
    /// Mirror tables that were made.
    pub tables_created: usize,
    /// Columns that were added to tables that were there before.
    pub columns_added: usize,
    /// What a person should know: a table of an older engine that was widened, renamed or left alone.
    pub notes: Vec<String>,
}

/// How the schema relates to this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SchemaState {
    /// No table of Billhook's is there.
    Empty,
    /// Some migrations are missing.
    Behind(Vec<String>),
    /// As this program wants it.
    Current,
    /// Made by a newer program.
    Newer,
}

/// One authentic delivery on its way into the inbox.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// `evt_…`, or `sha256:<hex>` of the body when the event names no usable id. At most 255 bytes.
    pub event_id: String,
    /// Stripe's event type; empty when unknown. At most 255 bytes.
    pub event_type: String,
    /// Kind of the object the event is about (`data.object.object`); empty when unknown. At most 255 bytes.
    pub object: String,
    /// Id of that object; empty when it has none. At most 255 bytes.
    pub object_id: String,
    /// The connected account the event belongs to; empty for the account of this installation. At most 255 bytes.
    pub account: String,
    /// API version that rendered the event; empty when unknown. At most 255 bytes.
    pub api_version: String,
    /// `event.created` in Unix seconds, when it is a whole number.
    pub created: Option<i64>,
    /// Live or test mode, when the event says so.
    pub livemode: Option<bool>,
    /// For a thin event: the snapshot event of the same change; empty otherwise. At most 255 bytes.
    pub snapshot_event: String,
    /// When the server received it.
    pub received_at: Timestamp,
    /// Which webhook secret signed it, see [`EventDetail::secret_index`].
    pub secret_index: i16,
    /// The body, byte for byte.
    pub raw: Bytes,
    /// SHA-256 of the body.
    pub sha256: [u8; 32],
}

/// A delivery as the applier needs it.
#[derive(Debug, Clone)]
pub struct StoredDelivery {
    /// Order of arrival.
    pub sequence: i64,
    /// `evt_…` or `sha256:…`.
    pub event_id: String,
    /// When the server received it.
    pub received_at: Timestamp,
    /// The body, byte for byte.
    pub raw: Bytes,
}

/// What waits to be applied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Number of deliveries.
    pub deliveries: u64,
    /// When the oldest of them was received.
    pub oldest_received_at: Option<Timestamp>,
}

/// When an upsert may replace the stored row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Guard {
    /// The new version is greater than the stored one, and no tombstone forbids it (see [`crate::Transaction::upsert`]).
    Newer,
    /// The new version is greater than or equal to the stored one, and no tombstone forbids it. For child rows.
    NotOlder,
    /// In any case: the caller holds the row's lock and has decided.
    Always,
}

/// Version of a stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    /// Where its state stands in the object's history.
    pub version: Version,
    /// The event that wrote it; empty for a read.
    pub source_event: String,
    /// Its `_raw_data` as JSON text. Key order and spacing may differ from what was written (PostgreSQL's `jsonb`).
    pub raw: String,
}

/// Memory of a deleted object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// Unix seconds of the deletion event.
    pub time: i64,
    /// The deletion event.
    pub source_event: String,
    /// Set when the row was marked by a deletion stub: Unix seconds of the state its other columns show (`i64::MIN` when none).
    pub base_time: Option<i64>,
}

/// An event that shares its object's deciding second with another one, or waits behind a tombstone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contender {
    /// Position of the table in the catalogue.
    pub table: usize,
    /// The object.
    pub id: String,
    /// The event.
    pub event_id: String,
    /// `event.created`, Unix seconds.
    pub time: i64,
}

/// The complete embedded list of one parent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompleteList {
    /// The parent's id.
    pub parent: String,
    /// Version of the parent's state that carried the list.
    pub version: Version,
    /// Ids of all its elements.
    pub children: Vec<String>,
}

/// Why an object has to be read again from Stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirtyMark {
    /// Stripe's kind, e.g. `customer`.
    pub object: String,
    /// Its id.
    pub id: String,
    /// The account it belongs to; empty for the account of this installation.
    pub account: String,
    /// `tie`, `truncated_list`, `thin_event`, `behind_tombstone`, …
    pub reason: String,
    /// The event that caused it. For a thin event: its snapshot event, so that the snapshot clears the mark.
    pub event_id: String,
    /// A read before this time could not be told from the state it shall settle.
    pub not_before: Timestamp,
}

/// Why a delivery is shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineEntry {
    /// The delivery.
    pub sequence: i64,
    /// One of the reasons listed in `mirror::quarantine`.
    pub reason: &'static str,
    /// What exactly was wrong, without personal data.
    pub detail: String,
    /// Whether a row was written all the same (an unknown event type of a known object).
    pub applied: bool,
    /// When it was set aside.
    pub at: Timestamp,
}

/// An open quarantine entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantineSummary {
    /// The delivery's event id.
    pub event_id: String,
    /// Its type; empty when unknown.
    pub event_type: String,
    /// Why it is here.
    pub reason: String,
    /// What exactly was wrong.
    pub detail: String,
    /// Whether a row was written all the same.
    pub applied: bool,
    /// When it was set aside.
    pub at: Timestamp,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Only this type.
    pub event_type: Option<String>,
    /// Only events about this object.
    pub object_id: Option<String>,
    /// Only deliveries with a smaller sequence number: the next page.
    pub before_sequence: Option<i64>,
    /// At most so many.
    pub limit: usize,
}

/// A delivery in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventSummary {
    /// Order of arrival.
    pub sequence: i64,
    /// `evt_…` or `sha256:…`.
    pub event_id: String,
    /// Its type; empty when unknown.
    pub event_type: String,
    /// Kind of its object; empty when unknown.
    pub object: String,
    /// Id of its object; empty when it has none.
    pub object_id: String,
    /// `event.created` in Unix seconds.
    pub created: Option<i64>,
    /// When it was received.
    pub received_at: Timestamp,
    /// What became of it.
    pub state: EventState,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// Waits to be applied.
    Pending,
    /// Applied, or found to be older than what the mirror has.
    Applied,
    /// Set aside for a person.
    Quarantined,
}

/// A delivery with its body.
#[derive(Debug, Clone)]
pub struct EventDetail {
    /// The same as in a list.
    pub summary: EventSummary,
    /// API version that rendered it; empty when unknown.
    pub api_version: String,
    /// Which webhook secret signed it, counted from 0: the configured ones, then those of managed endpoints. -1 for what was read from
    /// Stripe's list of events.
    pub secret_index: i16,
    /// The body, byte for byte.
    pub raw: Bytes,
    /// SHA-256 of the body as stored.
    pub sha256: [u8; 32],
}

/// A mirrored object as whoever reads single objects needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredObject {
    /// `_raw_data` as JSON text. Of a deleted object, the last state that was seen of it.
    pub raw: String,
    /// Whether the row is flagged as deleted; false in tables whose rows are removed or stay.
    pub is_deleted: bool,
}

/// A mirrored row as rebuilding needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRow {
    /// Primary key.
    pub id: String,
    /// Owner.
    pub account: String,
    /// Where its state stands in the object's history.
    pub version: Version,
    /// The event that wrote it.
    pub source_event: String,
    /// `_raw_data` as JSON text.
    pub raw: String,
}
