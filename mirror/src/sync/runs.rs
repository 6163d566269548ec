//! Starting runs, waiting for them, and how far they are.

use std::time::Duration;

use billhook_store::{NewRun, NewSegment, RECONCILE, RunSummary, Started, Store, StoreError};
use jiff::Timestamp;

use super::mode::{ModeError, check_mode};
use super::names::Target;
use super::streams::{self, Stream};
use super::window::Window;

/// What to read.
#[derive(Debug, Clone)]
pub struct Request {
    /// The kinds, in their order.
    pub targets: Vec<Target>,
    /// Which of their objects, where a list takes a window; other lists are read as a whole.
    pub window: Window,
    /// Who asks: `command`, `http`, `gap` or `start`.
    pub trigger: &'static str,
    /// Whether referenced objects that the mirror lacks are fetched as well.
    pub related: bool,
    /// The mode of the API key, when its prefix tells.
    pub livemode: Option<bool>,
}

/// A run that reads one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartedRun {
    /// The kind.
    pub object: &'static str,
    /// The run.
    pub run: Started,
    /// Whether its kind was asked for. Others are read because a list of the former needs their rows.
    pub requested: bool,
}

/// Why a run cannot be started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StartError {
    /// Nothing can be created in this window.
    #[error("the window of `created` is empty: its beginning is not before its end")]
    EmptyWindow,
    /// The key belongs to the other mode.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Writes one run a kind, or joins the open one of the same kind and window, on whatever node it was started. Whoever reads from
/// Stripe for this database finds them by itself.
///
/// A list is walked from its newest object to older ones, so a walk never sees what is created after its first page: that is the
/// ceiling of a window without an end, and needs no clock. What is created later arrives as events, also in a run that was joined.
/// A kind begins as one segment a list; idle workers take over parts of it (see `split`), so nothing is cut before its density is known.
///
/// # Errors
/// See [`StartError`]. Runs that were started before the error stay.
pub async fn start(store: &Store, request: &Request, now: Timestamp) -> Result<Vec<StartedRun>, StartError> {
    if request.window.is_empty() {
        return Err(StartError::EmptyWindow);
    }
    let live = check_mode(store, request.livemode).await? == Some(true);
    let mut started = Vec::new();
    for parent in missing_parents(store, request, live).await? {
        started.push(start_one(store, request, parent, live, now, false).await?);
    }
    for &target in &request.targets {
        let known = started.iter().position(|started: &StartedRun| started.object == target.object);
        match known {
            Some(position) => started[position].requested = true,
            None => started.push(start_one(store, request, target, live, now, true).await?),
        }
    }
    Ok(started)
}

async fn start_one(
    store: &Store,
    request: &Request,
    target: Target,
    live: bool,
    now: Timestamp,
    requested: bool,
) -> Result<StartedRun, StoreError> {
    // What brings the parents along is read from the beginning, whatever the window: their children may be young.
    let window = if requested { request.window } else { Window::default() };
    let segments = streams_of(target, live).into_iter().map(|stream| NewSegment {
        stream: stream.name.clone(),
        created_gte: window.gte,
        created_lt: window.lt,
        cursor: String::new(),
    });
    let run = NewRun {
        object: target.object.to_owned(),
        created_gte: window.gte,
        created_lt: window.lt,
        trigger: request.trigger.to_owned(),
        related: request.related,
        requested_at: now,
        segments: segments.collect(),
    };
    let (segments, run) = (run.segments.len(), store.start_run(run).await?);
    let (id, joined) = (run.run(), matches!(run, Started::Joined(_)));
    // The comparison begins a run a minute for as long as the program lives.
    if request.trigger == RECONCILE {
        tracing::debug!(run = id, object = target.object, segments, "the comparison reads a kind");
    } else {
        tracing::info!(
            run = id,
            object = target.object,
            trigger = request.trigger,
            segments,
            joined,
            "a run is started"
        );
    }
    Ok(StartedRun { object: target.object, run, requested })
}

/// Test clocks exist in test mode only.
fn streams_of(target: Target, live: bool) -> Vec<&'static Stream> {
    let mut streams = streams::of(target.object, target.named);
    streams.retain(|stream| !(live && stream.parent.is_some_and(|parent| parent.object == TEST_CLOCK)));
    streams
}

const TEST_CLOCK: &str = "test_helpers.test_clock";

/// Kinds that were not asked for and whose rows a list needs: test clocks always, others while there are no rows at all.
async fn missing_parents(store: &Store, request: &Request, live: bool) -> Result<Vec<Target>, StoreError> {
    let mut missing: Vec<Target> = Vec::new();
    for &target in &request.targets {
        for parent in streams_of(target, live).into_iter().filter_map(|stream| stream.parent) {
            let known = request.targets.iter().chain(&missing).any(|known| known.object == parent.object);
            let wanted = !known
                && (parent.object == TEST_CLOCK
                    || (target.named && store.scan_rows(parent.table(), "", 1).await?.is_empty()));
            if wanted && !streams_of(Target { object: parent.object, named: false }, live).is_empty() {
                missing.push(Target { object: parent.object, named: false });
            }
        }
    }
    Ok(missing)
}

/// How often [`wait`] looks, in milliseconds.
pub const WAIT_INTERVAL_MS: u64 = 200;

/// Waits until all these runs have ended; returns them in their order. A run that is gone counts as ended and is left out.
///
/// # Errors
/// When the database fails for good; while it is away for a moment, waiting goes on.
pub async fn wait(store: &Store, runs: &[i64]) -> Result<Vec<RunSummary>, StoreError> {
    loop {
        match status(store, runs).await {
            Ok(found) if found.iter().all(|run| run.end.is_some()) => return Ok(found),
            Ok(_) => {}
            Err(error) if error.is_transient() => tracing::debug!(%error, "looking at the runs failed"),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(Duration::from_millis(WAIT_INTERVAL_MS)).await;
    }
}

/// The runs as they are now, in their order; those that are gone are left out.
///
/// # Errors
/// When the database fails.
pub async fn status(store: &Store, runs: &[i64]) -> Result<Vec<RunSummary>, StoreError> {
    let mut found = Vec::with_capacity(runs.len());
    for &run in runs {
        found.extend(store.run(run).await?);
    }
    Ok(found)
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Seconds since it was asked for, or that it took.
    pub seconds: f64,
    /// Objects a second, over all that time.
    pub objects_per_second: f64,
    /// Everything created at this second or later has been read.
    pub created_low: Option<i64>,
    /// Seconds until it is probably done, from the share of its window that has been read; `None` when that cannot be known.
    pub seconds_left: Option<f64>,
}

/// How far a run is at `now`.
pub fn progress(run: &RunSummary, now: Timestamp) -> Progress {
    let until = run.finished_at.unwrap_or(now);
    let seconds = until.duration_since(run.requested_at).as_secs_f64().max(0.001);
    let bounds = run.created_gte.zip(Some(run.created_lt.unwrap_or(run.requested_at.as_second())));
    let seconds_left = bounds.zip(run.seconds_unread).and_then(|((gte, lt), unread)| {
        let read = (lt - gte - unread).max(0);
        (run.end.is_none() && read > 0).then(|| seconds * unread as f64 / read as f64)
    });
    Progress { seconds, objects_per_second: run.objects as f64 / seconds, created_low: run.created_low, seconds_left }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_is_left_follows_from_the_share_of_the_window_that_was_read() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let run = RunSummary {
            id: 1,
            object: "customer".into(),
            created_gte: Some(1_000),
            created_lt: Some(2_000),
            trigger: "command".into(),
            related: false,
            end: None,
            requested_at: at(5_000),
            finished_at: None,
            objects: 300,
            requests: 3,
            segments_open: 1,
            segments_all: 2,
            message: String::new(),
            created_low: Some(1_750),
            seconds_unread: Some(750),
        };
        let now = progress(&run, at(5_010));
        assert_eq!((now.seconds, now.objects_per_second, now.seconds_left), (10.0, 30.0, Some(30.0)));
        let unbounded = RunSummary { created_gte: None, seconds_unread: None, ..run.clone() };
        assert_eq!(progress(&unbounded, at(5_010)).seconds_left, None);
        let over = RunSummary { end: Some(billhook_store::SegmentEnd::Done), finished_at: Some(at(5_020)), ..run };
        assert_eq!((progress(&over, at(9_999)).seconds, progress(&over, at(9_999)).seconds_left), (20.0, None));
    }
}
