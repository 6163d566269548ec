//! Catch-up: what Stripe's own lists of events show and the inbox does not have.
//!
//! A pass goes from the cursor to Stripe's present, slice by slice. It begins before the cursor, because an event may become
//! visible later than one that was created after it; what the inbox has already is recognised by its id.

use std::sync::Arc;

use billhook_store::EventFilter;
use billhook_stripe::api::ApiError;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;

use super::error::EqualError;
use super::event_log::{EventLog, SNAPSHOT_EVENTS, THIN_EVENTS};
use super::intake::{self, Taken};
use super::lag::Lag;
use super::parts::Parts;
use super::slices::{Slice, Slices};
use super::{gap, health};

/// How far before the cursor a pass begins, in seconds: events become visible within seconds; ten minutes forgive a bad day.
const OVERLAP_SECONDS: i64 = 600;

/// How far before the cursor the first pass begins, and the first one after the database failed, in seconds. A database that was
/// replaced by its copy may have lost its last transactions, and with them deliveries that were acknowledged. How many depends on
/// how far the copy was behind; an hour is more than anybody lets it be.
const OVERLAP_SECONDS_WARY: i64 = 3_600;

/// How long Stripe lists events, in seconds: 30 days, less an hour for a pass that takes long.
const REACH_SECONDS: i64 = 30 * 86_400 - 3_600;

/// How far back the sweep for failed deliveries looks, in seconds. What is older was seen by the sweeps before.
const UNDELIVERED_SECONDS: i64 = 86_400;

/// Pages that wait for the database while the next ones are asked for.
const PAGES_AHEAD: usize = 4;

/// How long an account is taken to be without thin events once Stripe said so, in hours.
const THIN_AGAIN_HOURS: i64 = 24;

/// What a pass did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Caught {
    /// Events that the lists showed.
    pub read: u64,
    /// Of these, those that the inbox did not have.
    pub new: u64,
    /// Whether Stripe's lists no longer reach back to where the last pass ended.
    pub gap: bool,
}

/// Reads Stripe's lists of events into the inbox.
pub struct CatchUp {
    parts: Parts,
    lag: Arc<Lag>,
    slices: Slices,
    thin_slices: Slices,
    wary: bool,
    thin_not_before: Timestamp,
}

impl CatchUp {
    /// Nothing is read yet.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            lag: Arc::default(),
            slices: Slices::default(),
            thin_slices: Slices::default(),
            wary: true,
            thin_not_before: Timestamp::MIN,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    pub(super) fn lag(&self) -> Arc<Lag> {
        Arc::clone(&self.lag)
    }

    /// Reads both lists up to now.
    ///
    /// # Errors
    /// When Stripe or the database does not answer. What was read is kept, and the next pass goes on from there.
    pub async fn pass(&mut self) -> Result<Caught, EqualError> {
        let outcome = self.both().await;
        match outcome {
            Ok(_) => self.wary = false,
            Err(EqualError::Store(_)) => self.wary = true,
            Err(_) => {}
        }
        outcome
    }

    async fn both(&mut self) -> Result<Caught, EqualError> {
        let mut slices = self.slices.clone();
        let mut caught = Caught::default();
        let mut alerts = Vec::new();
        let read = self.read(&SNAPSHOT_EVENTS, &mut slices, &mut caught, &mut alerts).await;
        self.slices = slices;
        read?;
        if self.parts.clock.now() >= self.thin_not_before {
            let mut slices = self.thin_slices.clone();
            let read = self.read(&THIN_EVENTS, &mut slices, &mut caught, &mut alerts).await;
            self.thin_slices = slices;
            self.without_thin(read)?;
        }
        health::react(&self.parts, &alerts).await?;
        Ok(caught)
    }

    /// An account without thin events is nothing to complain about.
    fn without_thin(&mut self, read: Result<(), EqualError>) -> Result<(), EqualError> {
        match read {
            Err(EqualError::Api(
                error @ (ApiError::NotFound(_)
                | ApiError::NotAvailable(_)
                | ApiError::NoPermission(_)
                | ApiError::Refused(_)),
            )) => {
                tracing::debug!(%error, "this account shows no thin events; asking again tomorrow");
                let wait = SignedDuration::from_hours(THIN_AGAIN_HOURS);
                self.thin_not_before = self.parts.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
                Ok(())
            }
            other => other,
        }
    }

    /// Reads one list from its cursor to now, and moves the cursor after every slice.
    async fn read(
        &self,
        log: &'static EventLog,
        slices: &mut Slices,
        caught: &mut Caught,
        alerts: &mut Vec<Bytes>,
    ) -> Result<(), EqualError> {
        let store = &self.parts.store;
        let now = log.now(&self.parts).await?;
        let saved = store.setting(log.cursor).await?.and_then(|cursor| cursor.parse::<i64>().ok());
        let mut cursor = match saved {
            Some(cursor) => cursor.min(now),
            None => self.first_cursor(now).await?,
        };
        let reach = now.saturating_sub(REACH_SECONDS);
        if cursor < reach {
            // The other list has the same age: one gap is recorded for both.
            if !log.thin {
                gap::record(&self.parts, cursor, reach).await?;
                caught.gap = true;
            }
            cursor = reach;
        }
        let overlap = if self.wary { OVERLAP_SECONDS_WARY } else { OVERLAP_SECONDS };
        let mut from = cursor.saturating_sub(overlap).max(reach);
        // The present second belongs to it: what follows within it is seen by the overlap of the next pass.
        while let Some(slice) = slices.next(from, now.saturating_add(1)) {
            let (taken, pages) = self.slice(log, slice, &[]).await?;
            slices.learn(taken.read, pages);
            caught.read += taken.read;
            caught.new += taken.new;
            alerts.extend(taken.alerts);
            from = slice.to;
            cursor = cursor.max(from.min(now));
            store.write_setting(log.cursor, &cursor.to_string()).await?;
            if !log.thin {
                self.lag.note(self.parts.clock.now(), now.saturating_sub(cursor));
            }
        }
        Ok(())
    }

    /// Without a cursor it begins at the newest event there is: what came before was there before anybody asked for more.
    async fn first_cursor(&self, now: i64) -> Result<i64, EqualError> {
        let newest = self.parts.store.list_events(EventFilter { limit: 1, ..EventFilter::default() }).await?;
        Ok(newest.first().and_then(|event| event.created).map_or(now, |created| created.min(now)))
    }

    /// Reads a slice into the inbox: pages arrive while others are being written.
    async fn slice(
        &self,
        log: &'static EventLog,
        slice: Slice,
        more: &[(String, String)],
    ) -> Result<(Taken, u64), EqualError> {
        let (sender, receiver) = mpsc::channel(PAGES_AHEAD);
        // Not `try_join`: what has arrived before a page fails is written and handed over all the same.
        let (pages, taken) =
            tokio::join!(log.read(&self.parts, slice, more, sender), intake::take(&self.parts, receiver));
        let (taken, pages) = (taken?, pages?);
        Ok((taken, pages))
    }

    /// Reads the events whose delivery failed: a second look at those that became visible late, or were lost with a database.
    ///
    /// # Errors
    /// When Stripe or the database does not answer.
    pub async fn sweep_undelivered(&self) -> Result<Caught, EqualError> {
        let log = &SNAPSHOT_EVENTS;
        let now = log.now(&self.parts).await?;
        let slice = Slice { from: now.saturating_sub(UNDELIVERED_SECONDS), to: now.saturating_add(1) };
        let (taken, _) = self.slice(log, slice, &[("delivery_success".to_owned(), "false".to_owned())]).await?;
        Ok(Caught { read: taken.read, new: taken.new, gap: false })
    }
}
