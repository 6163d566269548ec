//! Parameters and results of what keeps the mirror complete: sync runs and their segments, leases, drift, gaps and managed webhook
//! endpoints.

use billhook_core::Secret;
use jiff::Timestamp;

/// A sync run to start: one kind of object and one window of `created`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    /// Stripe's kind, e.g. `customer`. At most 255 bytes.
    pub object: String,
    /// Least `created` of the window, in Unix seconds; `None` from the beginning.
    pub created_gte: Option<i64>,
    /// First `created` behind the window, in Unix seconds; `None` up to now.
    pub created_lt: Option<i64>,
    /// Who asked for it: `command`, `http`, `reconcile`, `gap` or `start`. Runs of [`RECONCILE`] are kept apart from all others.
    pub trigger: String,
    /// Whether referenced objects that the mirror lacks are fetched as well.
    pub related: bool,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What there is to read; at least one. They are claimed in this order.
    pub segments: Vec<NewSegment>,
}

/// The trigger of the rolling re-list, whose runs and segments are kept apart from all others.
pub const RECONCILE: &str = "reconcile";

/// A part of a run that one worker reads from its newest object to its oldest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSegment {
    /// Which list is read: the name of a stream. At most 255 bytes.
    pub stream: String,
    /// Least `created`, in Unix seconds; `None` from the beginning.
    pub created_gte: Option<i64>,
    /// First `created` behind it, in Unix seconds; `None` without an upper bound.
    pub created_lt: Option<i64>,
    /// Where to go on; the store does not look into it. Empty at the beginning.
    pub cursor: String,
}

/// What starting a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// A run was made; its id.
    New(i64),
    /// An open run of the same kind, window and sort is joined; its id.
    Joined(i64),
}

impl Started {
    /// The run's id.
    pub fn run(self) -> i64 {
        match self {
            Self::New(id) | Self::Joined(id) => id,
        }
    }
}

/// A segment under the caller's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub id: i64,
    /// The run it belongs to.
    pub run: i64,
    /// Stripe's kind.
    pub object: String,
    /// Which list is read.
    pub stream: String,
    /// Least `created`, in Unix seconds.
    pub created_gte: Option<i64>,
    /// First `created` behind it, in Unix seconds.
    pub created_lt: Option<i64>,
    /// Where to go on; empty at the beginning.
    pub cursor: String,
    /// Counts the claims; what is written under an older token is refused.
    pub token: i64,
    /// Who asked for the run.
    pub trigger: String,
    /// Whether referenced objects that the mirror lacks are fetched as well.
    pub related: bool,
    /// When the run was asked for.
    pub requested_at: Timestamp,
    /// Failures since the last page that was committed.
    pub attempts: i32,
}

/// A page that was read, on its way into the same transaction as its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advance {
    /// The segment.
    pub segment: i64,
    /// The token it was claimed with.
    pub token: i64,
    /// Where to go on.
    pub cursor: String,
    /// The segment's least `created` from now on: it rises when the lower part was split off.
    pub created_gte: Option<i64>,
    /// Least `created` on the page, in Unix seconds: how far the segment has come. `None` keeps what was known.
    pub created_low: Option<i64>,
    /// Objects on the page.
    pub objects: u64,
    /// Requests it took.
    pub requests: u64,
    /// Set when this was the last page.
    pub closed: Option<SegmentEnd>,
    /// What a person should know; empty when all is well.
    pub message: String,
    /// Parts of the segment that others may read from now on.
    pub split: Vec<NewSegment>,
    /// How long the lease lasts from now on.
    pub lease_until: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// How a segment ended, from the best to the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SegmentEnd {
    /// Everything was read.
    Done,
    /// The account has no such product.
    NotAvailable,
    /// The key may not read it.
    NoPermission,
    /// It was given up.
    Failed,
}

impl SegmentEnd {
    /// Its name, as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NotAvailable => "not_available",
            Self::NoPermission => "no_permission",
            Self::Failed => "failed",
        }
    }

    /// The end of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Done, Self::NotAvailable, Self::NoPermission, Self::Failed].into_iter().find(|end| end.name() == name)
    }
}

/// A run as lists show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSummary {
    /// Its number; later runs have greater ones.
    pub id: i64,
    /// Stripe's kind.
    pub object: String,
    /// Least `created` of the window, in Unix seconds.
    pub created_gte: Option<i64>,
    /// First `created` behind the window, in Unix seconds.
    pub created_lt: Option<i64>,
    /// Who asked for it.
    pub trigger: String,
    /// Whether referenced objects that the mirror lacks are fetched as well.
    pub related: bool,
    /// The worst end of its segments; `None` while it runs.
    pub end: Option<SegmentEnd>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When its last segment ended.
    pub finished_at: Option<Timestamp>,
    /// Objects read.
    pub objects: u64,
    /// Requests made.
    pub requests: u64,
    /// Segments that have not ended.
    pub segments_open: u64,
    /// All its segments.
    pub segments_all: u64,
    /// What a person should know: of the segment that said something last. Empty when all is well.
    pub message: String,
    /// Everything created at this second or later has been read; Unix seconds. `None` when nothing has, or when the lists of this
    /// kind are not in the order of `created`, or when the run has ended.
    pub created_low: Option<i64>,
    /// Seconds of `created` that the open segments have not read yet, together. `None` when one of them has no bounds.
    pub seconds_unread: Option<i64>,
}

impl RunSummary {
    /// `running`, or the name of its end.
    pub fn state(&self) -> &'static str {
        self.end.map_or("running", SegmentEnd::name)
    }
}

/// A row that a sweep of all lists did not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnseenRow {
    /// Primary key.
    pub id: String,
    /// Owner; empty for the account of this installation.
    pub account: String,
}

/// What one step of the search for unseen rows found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnseenRows {
    /// The rows, in order of id.
    pub rows: Vec<UnseenRow>,
    /// Where the next step goes on; `None` at the end of the table.
    pub next_after: Option<String>,
}

/// How a row differs from Stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DriftKind {
    /// Stripe has the object and the mirror did not.
    Missing,
    /// The mirror had another state.
    Changed,
    /// The mirror had the object and Stripe no longer has it.
    Gone,
}

impl DriftKind {
    /// Its name, as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Gone => "gone",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Missing, Self::Changed, Self::Gone].into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that a read found and no event had told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftFind {
    /// Stripe's kind.
    pub object: String,
    /// The object's id.
    pub id: String,
    /// How it differed.
    pub kind: DriftKind,
    /// Names of the properties that differed, without values.
    pub detail: String,
    /// Unix seconds of the state that the mirror had; `None` when it had none.
    pub previous_time: Option<i64>,
    /// The event that brought that state; empty when it was a read, or when there was none.
    pub previous_event: String,
    /// Unix seconds of the read.
    pub read_at: i64,
    /// When it was found.
    pub found_at: Timestamp,
}

/// A find in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDrift {
    /// Its number.
    pub number: i64,
    /// What was found.
    pub find: DriftFind,
    /// When it was decided that no event explains it; `None` while an event may still come.
    pub confirmed_at: Option<Timestamp>,
}

/// Number of finds of one kind of object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DriftCount {
    /// Stripe's kind.
    pub object: String,
    /// Finds that an event may still explain.
    pub waiting: u64,
    /// Finds that no event explains.
    pub confirmed: u64,
}

/// A stretch of time whose events could not be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Its beginning, in Unix seconds.
    pub from: i64,
    /// Its end, in Unix seconds.
    pub to: i64,
    /// When it was noticed.
    pub recorded_at: Timestamp,
    /// The runs that read everything again because of it.
    pub runs: Vec<i64>,
}

/// A webhook endpoint that Billhook made or adopted at Stripe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    /// `we_…`. At most 255 bytes.
    pub id: String,
    /// Where Stripe delivers.
    pub url: String,
    /// The API version that renders its events; empty for the account's default.
    pub api_version: String,
    /// The secret that signs its deliveries.
    pub secret: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it is to be removed, once another one has taken over.
    pub retire_at: Option<Timestamp>,
}
