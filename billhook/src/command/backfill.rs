//! `billhook backfill`: reads Stripe's objects into the mirror, and shows how far it is.
//!
//! The work is a durable run in the database. This process does it itself unless a server is reading from Stripe for this
//! database already; then it only asks and watches.

mod progress;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use billhook_core::metrics::Metrics;
use billhook_core::{Clock, SystemClock};
use billhook_mirror::equal::ReaderLease;
use billhook_mirror::reread::reread;
use billhook_mirror::sync::runs::{self, Request, StartedRun};
use billhook_mirror::sync::{SyncOptions, Syncer, Window, names};
use billhook_store::{Role, RunSummary, SegmentEnd, Started, Store};
use billhook_stripe::api::{Api, Class};
use billhook_web::StripeSource;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use self::progress::Display;
use crate::failure::{FAILED, Hinted};
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;
use crate::{database, logging, reading, signals, stripe_api};

/// Between two looks at the runs, in milliseconds.
const LOOK_INTERVAL_MS: u64 = 250;

/// What to read.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Kinds or tables, e.g. `customer invoices`; everything that can be listed when left out
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Only objects created at this time or later: a date, a date with time, or Unix seconds
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<i64>,
    /// Only objects created before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<i64>,
    /// Ask for it and do not wait: a server that reads from Stripe does it
    #[arg(long)]
    detach: bool,
    /// Print the outcome as JSON
    #[arg(long)]
    json: bool,
}

/// Reads a time on the command line; a date means its first moment, UTC.
fn moment(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Ok(seconds);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_second());
    }
    let date = text.parse::<Date>().map_err(|_| "write 2024-01-31, 2024-01-31T12:00:00Z or Unix seconds".to_owned())?;
    date.to_zoned(TimeZone::UTC).map(|start| start.timestamp().as_second()).map_err(|error| error.to_string())
}

/// Starts or joins the runs and waits for their end.
pub fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start_quiet(&configuration.log);
    let request = request(arguments, configuration)?;
    database::block_on(async {
        let metrics = Arc::new(Metrics::new());
        let api = stripe_api::required(configuration, Arc::clone(&metrics))?;
        let store = database::open(configuration, Role::Tool).await?;
        let outcome = async {
            database::prepare(configuration, &store).await?;
            let request = Request { livemode: api.livemode(), ..request };
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let started = runs::start(&store, &request, clock.now()).await.context("start the backfill")?;
            if arguments.detach {
                return told_started(&started, arguments.json);
            }
            work_and_watch(configuration, &store, api, clock, metrics, &started, arguments.json).await
        };
        let outcome = outcome.await;
        store.close().await;
        outcome
    })
}

fn request(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<Request> {
    let mut targets = Vec::new();
    for name in &arguments.objects {
        targets.extend(names::resolve(name).map_err(|error| {
            Hinted::new(error.to_string(), "kinds are singular as in Stripe's JSON (customer, checkout.session)")
        })?);
    }
    if arguments.objects.is_empty() {
        targets = names::everything();
    }
    Ok(Request {
        targets,
        window: Window { gte: arguments.since, lt: arguments.until },
        trigger: "command",
        related: configuration.stripe.backfill_related_entities,
        livemode: None,
    })
}

fn told_started(started: &[StartedRun], json: bool) -> anyhow::Result<ExitCode> {
    let ids: Vec<i64> = started.iter().map(|started| started.run.run()).collect();
    if json {
        output::json(&serde_json::json!({ "runs": ids }))?;
    } else {
        output::line(&format!("{} runs are waiting for a server; see `billhook sync status`", ids.len()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Walks the segments while no other process reads from Stripe, and shows the runs until they have ended.
async fn work_and_watch(
    configuration: &Configuration,
    store: &Store,
    api: Api,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    started: &[StartedRun],
    json: bool,
) -> anyhow::Result<ExitCode> {
    let mut stopped = signals::listen().context("listen for signals")?;
    let holder = stripe_api::holder();
    let lease = ReaderLease::start(store.clone(), holder.clone(), Arc::clone(&clock));
    let options = SyncOptions {
        parallel: configuration.sync.segments_max.max(1),
        account: configuration.stripe.account.clone().unwrap_or_default(),
        ..SyncOptions::new(holder)
    };
    let again = Again { store, stripe: reading::source(configuration, &api, store, Class::Backfill), clock: &clock };
    let syncer = Syncer::start(options, store.clone(), api, Arc::clone(&clock), metrics, lease.active());
    let ids: Vec<i64> = started.iter().map(|started| started.run.run()).collect();
    let mut display = Display::new(json);
    for started in started.iter().filter(|started| matches!(started.run, Started::Joined(_))) {
        display.note(&format!("{}: an open run of the same window is joined", started.object));
    }
    let ended = loop {
        let found = runs::status(store, &ids).await.context("look at the runs")?;
        display.show(&found, clock.now());
        let over = found.iter().all(|run| run.end.is_some());
        if over && !(*lease.active().borrow() && again.step(&mut display).await?) {
            break Some(found);
        }
        tokio::select! {
            _ = stopped.wait_for(|stopped| *stopped) => break None,
            () = tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)) => {}
        }
    };
    display.finish();
    syncer.stop().await;
    lease.stop().await;
    match ended {
        Some(ended) => told_end(&ended, json),
        None => {
            let hint = "the same command goes on from the last page that was written, and so does `billhook serve`";
            Err(Hinted::new("stopped before the end", hint).into())
        }
    }
}

/// Objects that have to be read once more, because a list inside them was cut or something they refer to is missing. A server does
/// this all the time.
struct Again<'a> {
    store: &'a Store,
    stripe: StripeSource,
    clock: &'a Arc<dyn Clock>,
}

/// Objects read again in one step.
const AGAIN_MAX: usize = 200;

impl Again<'_> {
    /// Reads what is due. Returns whether more is to come soon; what cannot be read now is left to a server.
    async fn step(&self, display: &mut Display) -> anyhow::Result<bool> {
        let StripeSource { source, policy } = &self.stripe;
        let now = self.clock.now();
        let read = reread(self.store, source, policy, now, AGAIN_MAX).await.context("read objects again")?;
        if read.settled + read.arrived > 0 {
            display.again(read.settled);
            return Ok(true);
        }
        let soon = now.saturating_add(SignedDuration::from_secs(AGAIN_SOON_SECONDS)).unwrap_or(now);
        Ok(!self.store.due_dirty(soon, 1).await.context("look for objects to read again")?.is_empty())
    }
}

/// How long the command stays for objects that may be read a little later, in seconds: a read must not fall into the second of
/// the state that it shall settle.
const AGAIN_SOON_SECONDS: i64 = 5;

/// A finished run, for programs.
#[derive(Debug, Serialize)]
struct Ended<'a> {
    run: i64,
    object: &'a str,
    state: &'static str,
    objects: u64,
    requests: u64,
    seconds: f64,
    message: &'a str,
}

impl<'a> From<&'a RunSummary> for Ended<'a> {
    fn from(run: &'a RunSummary) -> Self {
        let progress = runs::progress(run, run.finished_at.unwrap_or(run.requested_at));
        Self {
            run: run.id,
            object: &run.object,
            state: run.state(),
            objects: run.objects,
            requests: run.requests,
            seconds: progress.seconds,
            message: &run.message,
        }
    }
}

/// Up to so many kinds, those without objects are listed like the others.
const SHOWN_EMPTY_MAX: usize = 20;

fn told_end(runs: &[RunSummary], json: bool) -> anyhow::Result<ExitCode> {
    let ended: Vec<Ended<'_>> = runs.iter().map(Ended::from).collect();
    if json {
        output::json(&ended)?;
    } else {
        let mut listing = Listing::new(&["OBJECT", "STATE", "OBJECTS", "REQUESTS", "SECONDS", "NOTE"]);
        // Most of Stripe's kinds are empty for most accounts.
        let (empty, shown): (Vec<_>, Vec<_>) = ended
            .iter()
            .partition(|run| ended.len() > SHOWN_EMPTY_MAX && run.objects == 0 && run.state == SegmentEnd::Done.name());
        for run in shown {
            listing.add([
                run.object.to_owned(),
                run.state.to_owned(),
                run.objects.to_string(),
                run.requests.to_string(),
                format!("{:.1}", run.seconds),
                run.message.to_owned(),
            ]);
        }
        listing.print()?;
        if !empty.is_empty() {
            output::line(&format!("and {} kinds of which there is nothing", empty.len()))?;
        }
    }
    let failed = runs.iter().any(|run| run.end == Some(SegmentEnd::Failed));
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_three_forms() {
        for text in ["2024-02-29", "2024-02-29T00:00:00Z", "1709164800"] {
            assert_eq!(moment(text), Ok(1_709_164_800), "{text}");
        }
        for text in ["yesterday", "2023-02-29", ""] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
