//! Every metric Billhook exposes, in one list.
//!
//! A metric is one field here and one line in [`Metrics::new`]. Labels hold kinds, outcomes and table names, never ids.

use std::fmt::Write as _;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// What became of something: `accepted`, `duplicate`, `bad_signature`, `too_large`, `overloaded`, ….
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// The outcome.
    pub outcome: &'static str,
}

/// A mirrored table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TableName {
    /// Bare table name, from the catalogue.
    pub table: &'static str,
}

/// A reason from a fixed list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// The reason.
    pub reason: &'static str,
}

/// A webhook secret by its position in the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SecretIndex {
    /// Counted from 0.
    pub index: u32,
}

/// A kind of Stripe's objects.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ObjectKind {
    /// The value of `object`, from the catalogue.
    pub object: &'static str,
}

/// The metrics and the registry that encodes them.
pub struct Metrics {
    registry: Registry,
    /// Deliveries by outcome of their HTTP request.
    pub deliveries: Family<Outcome, Counter>,
    /// Deliveries by the webhook secret that signed them: an old secret that stays at zero can be removed.
    pub deliveries_by_secret: Family<SecretIndex, Counter>,
    /// Deliveries in one inbox commit.
    pub commit_batch_deliveries: Histogram,
    /// Duration of one inbox commit, in seconds.
    pub commit_seconds: Histogram,
    /// From receiving a delivery to its row, in seconds.
    pub apply_lag_seconds: Histogram,
    /// Age of the oldest unapplied delivery, in seconds.
    pub backlog_age_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Deliveries waiting to be applied.
    pub backlog_deliveries: Gauge,
    /// Deliveries applied.
    pub applied: Counter,
    /// Failed attempts to apply a batch; it is tried again.
    pub apply_failures: Counter,
    /// Rows written by table.
    pub rows_written: Family<TableName, Counter>,
    /// Rows by table: an estimate on PostgreSQL.
    pub rows: Family<TableName, Gauge>,
    /// States that were older than what the mirror has, by table.
    pub stale_ignored: Family<TableName, Counter>,
    /// Same-second ties by how they ended: `decided` or `dirty`.
    pub ties: Family<Outcome, Counter>,
    /// Deliveries set aside, by reason.
    pub quarantined: Family<Reason, Counter>,
    /// Fields whose type did not fit their column and became NULL, by table.
    pub field_mismatches: Family<TableName, Counter>,
    /// Our clock minus the signature's time, in seconds, of the latest authentic delivery.
    pub clock_skew_seconds: Gauge,
    /// Open HTTP connections.
    pub http_connections: Gauge,
    /// Whether this process is the one that reads from Stripe: 1 or 0.
    pub reader_active: Gauge,
    /// How long ago the mirror was last known to have every event, in seconds by Stripe's clock. Only on the process that reads.
    pub mirror_lag_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Events read from Stripe's own lists: `new`, or `known` from their delivery.
    pub catch_up_events: Family<Outcome, Counter>,
    /// Stretches of time whose events Stripe no longer had when they were asked for.
    pub gaps: Counter,
    /// Objects that differed from Stripe although no event told of a change, by kind.
    pub drift_found: Family<ObjectKind, Counter>,
    /// Pages of Stripe's lists that were read.
    pub sync_pages: Counter,
    /// Segments of sync runs that this process is reading.
    pub sync_segments: Gauge,
    /// What went wrong while lists were read, by reason.
    pub sync_failures: Family<Reason, Counter>,
    /// Objects that were to be read again, by what became of them: `settled`, `arrived`, `postponed` or `dropped`.
    pub rereads: Family<Outcome, Counter>,
    /// Requests to Stripe's API, each attempt counted, by outcome: `answered`, `refused`, `rate_limited`, `key_refused`,
    /// `server_error`, `connection`, `timeout`, `incomplete`, `unusable`, `redirected`, `too_large`.
    pub api_requests: Family<Outcome, Counter>,
    /// Attempts that followed a failed one.
    pub api_retries: Counter,
    /// Attempts that Stripe turned away for their rate or number.
    pub api_rate_limited: Counter,
    /// 1 while Stripe refuses the key and all requests wait, else 0.
    pub api_paused: Gauge,
    /// Duration of one attempt from asking to the last byte of its answer, in seconds.
    pub api_request_seconds: Histogram,
    /// Our clock minus Stripe's, in seconds, at the latest answer of its API.
    pub api_clock_skew_seconds: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Bounds from 0.5 ms to 5 minutes, fine where the promises lie (25 ms, 250 ms, 1 s).
const SECONDS: [f64; 20] = [
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0,
    60.0, 300.0,
];

impl Metrics {
    /// A fresh set, all at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("billhook");
        let seconds = || Histogram::new(SECONDS);
        let metrics = Self {
            deliveries: Family::default(),
            deliveries_by_secret: Family::default(),
            commit_batch_deliveries: Histogram::new([1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0]),
            commit_seconds: seconds(),
            apply_lag_seconds: seconds(),
            backlog_age_seconds: Gauge::default(),
            backlog_deliveries: Gauge::default(),
            applied: Counter::default(),
            apply_failures: Counter::default(),
            rows_written: Family::default(),
            rows: Family::default(),
            stale_ignored: Family::default(),
            ties: Family::default(),
            quarantined: Family::default(),
            field_mismatches: Family::default(),
            clock_skew_seconds: Gauge::default(),
            http_connections: Gauge::default(),
            reader_active: Gauge::default(),
            mirror_lag_seconds: Gauge::default(),
            catch_up_events: Family::default(),
            gaps: Counter::default(),
            drift_found: Family::default(),
            sync_pages: Counter::default(),
            sync_segments: Gauge::default(),
            sync_failures: Family::default(),
            rereads: Family::default(),
            api_requests: Family::default(),
            api_retries: Counter::default(),
            api_rate_limited: Counter::default(),
            api_paused: Gauge::default(),
            api_request_seconds: seconds(),
            api_clock_skew_seconds: Gauge::default(),
            registry: Registry::default(),
        };
        let m = &metrics;
        registry.register("deliveries", "Deliveries by outcome of their request", m.deliveries.clone());
        registry.register("deliveries_by_secret", "Deliveries by signing secret", m.deliveries_by_secret.clone());
        registry.register(
            "commit_batch_deliveries",
            "Deliveries in one inbox commit",
            m.commit_batch_deliveries.clone(),
        );
        registry.register_with_unit("commit", "Duration of an inbox commit", Unit::Seconds, m.commit_seconds.clone());
        registry.register_with_unit("apply_lag", "From delivery to row", Unit::Seconds, m.apply_lag_seconds.clone());
        registry.register_with_unit(
            "backlog_age",
            "Age of the oldest unapplied delivery",
            Unit::Seconds,
            m.backlog_age_seconds.clone(),
        );
        registry.register("backlog_deliveries", "Deliveries waiting to be applied", m.backlog_deliveries.clone());
        registry.register("applied", "Deliveries applied", m.applied.clone());
        registry.register("apply_failures", "Failed attempts to apply a batch", m.apply_failures.clone());
        registry.register("rows_written", "Rows written by table", m.rows_written.clone());
        registry.register("rows", "Rows by table", m.rows.clone());
        registry.register("stale_ignored", "States older than what the mirror has", m.stale_ignored.clone());
        registry.register("ties", "Same-second ties by how they ended", m.ties.clone());
        registry.register("quarantined", "Deliveries set aside by reason", m.quarantined.clone());
        registry.register("field_mismatches", "Fields that did not fit their column", m.field_mismatches.clone());
        registry.register_with_unit(
            "clock_skew",
            "Our clock minus the time of the latest authentic signature",
            Unit::Seconds,
            m.clock_skew_seconds.clone(),
        );
        registry.register("http_connections", "Open HTTP connections", m.http_connections.clone());
        registry.register("reader_active", "Whether this process reads from Stripe", m.reader_active.clone());
        registry.register_with_unit(
            "mirror_lag",
            "Time since the mirror was known to have every event",
            Unit::Seconds,
            m.mirror_lag_seconds.clone(),
        );
        registry.register("catch_up_events", "Events read from Stripe's own lists", m.catch_up_events.clone());
        registry.register("gaps", "Stretches of time whose events were gone", m.gaps.clone());
        registry.register("drift_found", "Objects that differed from Stripe without an event", m.drift_found.clone());
        registry.register("sync_pages", "Pages of Stripe's lists that were read", m.sync_pages.clone());
        registry.register("sync_segments", "Segments this process is reading", m.sync_segments.clone());
        registry.register("sync_failures", "Failures of reading lists, by reason", m.sync_failures.clone());
        registry.register("rereads", "Objects to read again, by what became of them", m.rereads.clone());
        m.register_api(&mut registry);
        Self { registry, ..metrics }
    }

    fn register_api(&self, registry: &mut Registry) {
        registry.register("api_requests", "Attempts of requests to Stripe by outcome", self.api_requests.clone());
        registry.register("api_retries", "Attempts that followed a failed one", self.api_retries.clone());
        registry.register("api_rate_limited", "Attempts turned away for their rate", self.api_rate_limited.clone());
        registry.register("api_paused", "1 while Stripe refuses the key", self.api_paused.clone());
        registry.register_with_unit(
            "api_request",
            "Duration of an attempt of a request to Stripe",
            Unit::Seconds,
            self.api_request_seconds.clone(),
        );
        registry.register_with_unit(
            "api_clock_skew",
            "Our clock minus Stripe's at the latest answer",
            Unit::Seconds,
            self.api_clock_skew_seconds.clone(),
        );
    }

    /// All metrics in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if let Err(error) = prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            // Writing into a String cannot fail; a metric with an impossible label could.
            let _ = write!(text, "# encoding failed: {error}");
        }
        text
    }
}
