//! One JSON line a run; every figure carries its unit in its name.

use std::time::Duration;

use anyhow::Result;
use billhook_testkit::Server;
use billhook_testkit::metrics::Reading;
use serde_json::{Value, json};

use super::load::LoadResult;

/// What the server says about itself at one moment.
pub(super) struct Window {
    metrics: Reading,
    cpu_seconds: f64,
    peak_rss_kb: u64,
}

impl Window {
    /// Reads it now.
    pub(super) fn read(server: &Server) -> Result<Self> {
        Ok(Self { metrics: server.metrics()?, cpu_seconds: server.cpu_seconds()?, peak_rss_kb: server.peak_rss_kb()? })
    }

    /// Deliveries applied since the server started.
    pub(super) fn applied(&self) -> f64 {
        self.metrics.get("billhook_applied_total")
    }
}

/// A line in the making: its fields in the order in which they are printed.
pub(super) struct Line(Vec<(&'static str, Value)>);

impl Line {
    /// A line of a bench. `syncs` says how fast the disk is.
    pub(super) fn new(bench: &str, store: &str, syncs: f64) -> Self {
        Self(vec![("bench", json!(bench)), ("store", json!(store))]).with("disk_syncs_per_s", syncs, 0)
    }

    /// Adds a word.
    pub(super) fn named(mut self, name: &'static str, value: &str) -> Self {
        self.0.push((name, json!(value)));
        self
    }

    /// Adds a figure, rounded to so many decimals.
    pub(super) fn with(mut self, name: &'static str, value: f64, decimals: i32) -> Self {
        let scale = 10_f64.powi(decimals);
        let rounded = (value * scale).round() / scale;
        let value = if decimals == 0 { json!(rounded as i64) } else { json!(rounded) };
        self.0.push((name, value));
        self
    }

    /// Adds the figures of a phase under load. What the server applied and how late is that of the time of sending; `drain`
    /// is how long it went on applying afterwards.
    pub(super) fn with_phase(
        self,
        concurrency: u64,
        result: &LoadResult,
        before: &Window,
        after: &Window,
        drain: Duration,
    ) -> Self {
        let seconds = result.elapsed.as_secs_f64();
        let events = result.acknowledged.max(1) as f64;
        let lag = after.metrics.quantile_since(&before.metrics, "billhook_apply_lag_seconds", 0.99);
        self.with("concurrency", concurrency as f64, 0)
            .with("seconds", seconds, 1)
            .with("acked_per_s", result.acknowledged as f64 / seconds, 0)
            .with("applied_per_s", (after.applied() - before.applied()) / seconds, 0)
            .with("ack_p50_ms", result.latency_ms(0.5), 2)
            .with("ack_p99_ms", result.latency_ms(0.99), 2)
            .with("lag_p99_ms", lag.unwrap_or(0.0) * 1000.0, 1)
            .with("cpu_us_per_event", (after.cpu_seconds - before.cpu_seconds) * 1e6 / events, 1)
            .with("client_cpu_us_per_event", result.client_cpu_seconds * 1e6 / events, 1)
            .with("peak_rss_mb", after.peak_rss_kb as f64 / 1024.0, 1)
            .with("refused", result.refused as f64, 0)
            .with("failed", result.failed as f64, 0)
            .with("drain_s", drain.as_secs_f64(), 2)
    }

    /// Prints it.
    pub(super) fn print(self) {
        println!("{}", self.text());
    }

    fn text(&self) -> String {
        // A JSON object from the library would come out in the order of its names.
        let fields: Vec<String> = self.0.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", fields.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_rounded_and_whole_where_they_count() {
        let line = Line::new("ingest", "sqlite", 412.6).named("phase", "idle").with("idle_rss_mb", 12.3456, 1);
        let expected =
            r#"{"bench":"ingest","store":"sqlite","disk_syncs_per_s":413,"phase":"idle","idle_rss_mb":12.3}"#;
        assert_eq!(line.text(), expected);
    }
}
