//! Deliveries that wait.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::account::Account;
use crate::account::collection::Place;
use crate::faults::EventFault;
use crate::read::events::is_of_type;
use crate::webhooks::Payload;

/// An event in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Which {
    Snapshot(Place),
    Thin(Place),
}

/// An event on its way to an endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) endpoint: String,
    pub(crate) event: Which,
    /// Attempts that were made.
    pub(crate) attempts: u32,
    /// A second copy: its outcome does not count.
    pub(crate) is_copy: bool,
}

/// The deliveries to one endpoint.
#[derive(Debug, Default)]
struct Lane {
    waiting: BTreeMap<(Instant, u64), Delivery>,
    in_flight: usize,
}

/// All deliveries, by endpoint and the time they are due.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lanes: BTreeMap<String, Lane>,
    made: u64,
}

impl Queue {
    pub(crate) fn add(&mut self, delivery: Delivery, due: Instant) {
        self.made += 1;
        let lane = self.lanes.entry(delivery.endpoint.clone()).or_default();
        lane.waiting.insert((due, self.made), delivery);
    }

    /// Takes everything that is due, as far as each endpoint's concurrency allows.
    pub(crate) fn take_due(&mut self, now: Instant, concurrency: usize) -> Vec<Delivery> {
        let mut due = Vec::new();
        for lane in self.lanes.values_mut() {
            while lane.in_flight < concurrency {
                let Some(first) = lane.waiting.first_entry().filter(|first| first.key().0 <= now) else { break };
                due.push(first.remove());
                lane.in_flight += 1;
            }
        }
        due
    }

    /// When the next delivery is due to an endpoint that has room.
    pub(crate) fn next_due(&self, concurrency: usize) -> Option<Instant> {
        let with_room = self.lanes.values().filter(|lane| lane.in_flight < concurrency);
        with_room.filter_map(|lane| lane.waiting.first_key_value().map(|((due, _), _)| *due)).min()
    }

    /// An attempt ended.
    pub(crate) fn ended(&mut self, endpoint: &str) {
        if let Some(lane) = self.lanes.get_mut(endpoint) {
            lane.in_flight = lane.in_flight.saturating_sub(1);
        }
    }

    /// Drops what waits for an endpoint.
    pub(crate) fn forget(&mut self, endpoint: &str) {
        if let Some(lane) = self.lanes.get_mut(endpoint) {
            lane.waiting.clear();
        }
    }

    /// Whether something is on its way or due.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        let is_due = |lane: &Lane| lane.waiting.first_key_value().is_some_and(|((due, _), _)| *due <= now);
        self.lanes.values().any(|lane| lane.in_flight > 0 || is_due(lane))
    }

    /// Deliveries that wait or are on their way.
    pub(crate) fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.waiting.len() + lane.in_flight).sum()
    }
}

impl Account {
    /// Queues an event for every endpoint that wants it. Returns for how many.
    pub(crate) fn deliver(&mut self, event_type: &str, event: Which) -> u32 {
        let mut wanted = 0;
        let endpoints: Vec<String> = self.endpoints.keys().cloned().collect();
        for id in endpoints {
            if self.wants(&id, event_type, event) {
                wanted += 1;
                self.queue_with_faults(&id, event_type, event);
            }
        }
        if wanted > 0 {
            self.wake.notify_one();
        }
        wanted
    }

    fn wants(&self, endpoint: &str, event_type: &str, event: Which) -> bool {
        let Some(payload) = self.endpoints.get(endpoint).map(|hidden| hidden.payload) else {
            return false;
        };
        let fits = match event {
            Which::Snapshot(_) => payload != Payload::Thin,
            Which::Thin(_) => payload != Payload::Snapshot,
        };
        let Some(object) = self.get("webhook_endpoint", endpoint).filter(|_| fits) else {
            return false;
        };
        let types = object["enabled_events"].as_array().map_or(&[][..], Vec::as_slice);
        // Thin twins are asked for under the names of either.
        let short = event_type.strip_prefix("v1.").unwrap_or(event_type);
        let is_enabled =
            types.iter().filter_map(|name| name.as_str()).any(|name| is_of_type(event_type, name) || name == short);
        object["status"] == "enabled" && is_enabled
    }

    fn queue_with_faults(&mut self, endpoint: &str, event_type: &str, event: Which) {
        let name = event_type.strip_prefix("v1.").unwrap_or(event_type);
        let hit = self.faults.hit_event(name, |fault| *fault != EventFault::NeverGenerated);
        if hit.contains(&EventFault::Drop) {
            return;
        }
        let now = Instant::now();
        let mut due = now;
        for fault in &hit {
            due = match fault {
                EventFault::Delay(time) => due + *time,
                EventFault::Reorder(most) => {
                    due + most.mul_f64(self.faults.random().between(0, 1_000) as f64 / 1_000.0)
                }
                _ => due,
            };
        }
        let delivery = Delivery { endpoint: endpoint.to_owned(), event, attempts: 0, is_copy: false };
        if hit.contains(&EventFault::Duplicate) {
            self.queue.add(Delivery { is_copy: true, ..delivery.clone() }, due);
        }
        self.queue.add(delivery, due);
    }
}
