//! Events that were there before a run began to wait for them.
//!
//! A wait is registered first and looks back then; an event is written first and looks for waits then. Whatever the order, one of them
//! sees the other. A worker that dies in between leaves the run to one that looks back again.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use billhook_store::{
    ClaimedRun, FlowEvent, Keep, LOOKBACK_MAX, Lookback, Publication, Seen, Store, StoreError, StoredWait, WaitMatcher,
};
use jiff::{SignedDuration, Timestamp};

use super::route::{Matcher, Publish, Source, stored};
use crate::event::Event;
use crate::names::{self, Aliases};

/// How long an event that calls runs off counts for runs that start later: deliveries can be three days late.
const EARLY_CANCEL: SignedDuration = SignedDuration::from_hours(4 * 24);

/// Reads one of Stripe's events from its delivery, as functions see it.
pub type ReadDelivery = fn(&[u8]) -> Option<Event>;

/// Looks back for one run.
pub(super) struct Back<'a> {
    pub(super) store: &'a Store,
    pub(super) read_delivery: Option<ReadDelivery>,
    pub(super) aliases: &'a Aliases,
    pub(super) run: &'a ClaimedRun,
    pub(super) now: Timestamp,
}

impl Back<'_> {
    /// Ends the waits for these names that earlier events end, except by `consumed` ones; returns whether any was.
    pub(super) async fn events(&self, names: &[String], consumed: &HashSet<String>) -> Result<bool, StoreError> {
        let since = self.run.created_at;
        let (mut known, mut has_ended) = (HashSet::new(), false);
        for skip in (0..).step_by(LOOKBACK_MAX) {
            let (mut found, mut is_over) = (Vec::new(), true);
            for name in names {
                for (stored, event_type) in self.stored_names(name) {
                    let event_type = event_type.filter(|_| self.read_delivery.is_some());
                    let seen = self.seen(&stored, event_type, since, skip).await?;
                    is_over &= !seen.is_full();
                    let new =
                        self.all(seen).into_iter().filter(|event| known.insert((event.key.clone(), name.clone())));
                    found.extend(new.map(|event| (event, name.clone())));
                }
            }
            found.retain(|(event, _)| !consumed.contains(&event.id));
            has_ended |= self.publish(found).await?.iter().any(|one| !one.woken.is_empty());
            if is_over {
                break;
            }
        }
        Ok(has_ended)
    }

    /// Calls the run off if an event that does so came before it; returns whether it is.
    pub(super) async fn cancels(&self, names: impl Iterator<Item = &str>) -> Result<bool, StoreError> {
        let since = self.run.created_at.saturating_sub(EARLY_CANCEL).unwrap_or(Timestamp::MIN);
        let names: BTreeSet<&str> = names.collect();
        for skip in (0..).step_by(LOOKBACK_MAX) {
            let (mut found, mut is_over) = (Vec::new(), true);
            for name in &names {
                for (stored, _) in self.stored_names(name) {
                    // The deliveries of these names are kept as events, since a function names them.
                    let seen = self.seen(&stored, None, since, skip).await?;
                    is_over &= !seen.is_full();
                    found.extend(seen.events.into_iter().map(|event| (event, (*name).to_owned())));
                }
            }
            if self.publish(found).await?.iter().any(|one| !one.cancelled.is_empty()) {
                return Ok(true);
            }
            if is_over {
                break;
            }
        }
        Ok(false)
    }

    /// The names under which events are stored that are known by this one, with Stripe's types.
    fn stored_names<'n>(&'n self, name: &'n str) -> Vec<(String, Option<&'n str>)> {
        let types = self.aliases.types_of(name);
        if types.is_empty() {
            return vec![(name.to_owned(), None)];
        }
        types.into_iter().map(|event_type| (names::of_type(event_type), Some(event_type))).collect()
    }

    async fn seen(
        &self,
        name: &str,
        event_type: Option<&str>,
        since: Timestamp,
        skip: usize,
    ) -> Result<Seen, StoreError> {
        let (run, name) = (self.run.id.clone(), name.to_owned());
        let event_type = event_type.map(str::to_owned);
        self.store.flow_lookback(&Lookback { run, name, event_type, since, skip }).await
    }

    fn all(&self, seen: Seen) -> Vec<FlowEvent> {
        let read = |raw: &Vec<u8>| self.read_delivery.and_then(|read| read(raw));
        let mut events = seen.events;
        events.extend(seen.deliveries.iter().filter_map(read).map(|event| stored(&event, Source::Stripe)));
        events
    }

    /// Publishes earlier events, each by the name that the run knows it by.
    async fn publish(&self, events: Vec<(FlowEvent, String)>) -> Result<Vec<billhook_store::Published>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let again = |(event, name)| Publication { event, names: vec![name], keep: Keep::Already, runs: Vec::new() };
        let publications = events.into_iter().map(again).collect();
        let matcher = Arc::new(OnlyFor(self.run.id.clone()));
        self.store.transact(Publish { publications, matcher, now: self.now }).await
    }
}

/// Earlier events end the waits of the run that looked back and of no other, whose beginning they may precede.
struct OnlyFor(String);

impl WaitMatcher for OnlyFor {
    fn value(&self, event: &FlowEvent, path: &str) -> Option<String> {
        Matcher.value(event, path)
    }

    fn matches(&self, stored: &StoredWait, event: &FlowEvent) -> bool {
        stored.wait.run == self.0 && Matcher.matches(stored, event)
    }

    fn memo(&self, event: Option<&FlowEvent>) -> String {
        Matcher.memo(event)
    }
}
