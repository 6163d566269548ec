//! The set of open connections and who may join it.

use std::collections::HashMap;
use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use billhook_core::metrics::Metrics;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Instant;

use crate::Limits;
use crate::activity::Activity;

/// How long a connection may wait for its client in any case, in milliseconds: about what an honest client needs from
/// connecting to its first request. Without it a burst of connections would push each other out before any is served.
const GRACE_MS: u64 = 100;

/// The open connections of one listener.
pub(crate) struct Connections {
    open: HashMap<Id, Connection>,
    tasks: JoinSet<()>,
    by_address: HashMap<IpAddr, usize>,
    metrics: Arc<Metrics>,
    connections_max: usize,
    connections_per_address_max: usize,
}

struct Connection {
    address: IpAddr,
    activity: Arc<Activity>,
    task: AbortHandle,
}

impl Connections {
    pub(crate) fn new(limits: &Limits, metrics: Arc<Metrics>) -> Self {
        Self {
            open: HashMap::new(),
            tasks: JoinSet::new(),
            by_address: HashMap::new(),
            metrics,
            // Without a single place nothing would ever be answered.
            connections_max: limits.connections_max.max(1),
            connections_per_address_max: limits.connections_per_address_max.unwrap_or(usize::MAX),
        }
    }

    /// Makes room for one more connection, at the cost of the one that has waited longest for its client when it must. False
    /// when there is no room at this moment.
    pub(crate) fn has_room(&mut self) -> bool {
        self.open.len() < self.connections_max || self.close_longest_waiting(1) > 0
    }

    /// Whether one more connection may come from this address.
    pub(crate) fn admits(&self, address: IpAddr) -> bool {
        self.by_address.get(&network(address)).is_none_or(|open| *open < self.connections_per_address_max)
    }

    /// Runs a connection that was admitted.
    pub(crate) fn add(
        &mut self,
        address: IpAddr,
        activity: Arc<Activity>,
        connection: impl Future<Output = ()> + Send + 'static,
    ) {
        let address = network(address);
        let task = self.tasks.spawn(connection);
        self.open.insert(task.id(), Connection { address, activity, task });
        *self.by_address.entry(address).or_default() += 1;
        self.metrics.http_connections.inc();
    }

    /// Closes at most so many connections: those that have waited longest for their clients, which are the least likely to
    /// bring a request. Those that have not waited for [`GRACE_MS`] stay. Returns how many were closed.
    pub(crate) fn close_longest_waiting(&mut self, at_most: usize) -> usize {
        let mut waiting: Vec<(Instant, Id)> = self
            .open
            .iter()
            .filter_map(|(id, connection)| Some((connection.activity.waiting_since()?, *id)))
            .filter(|(since, _)| since.elapsed() >= Duration::from_millis(GRACE_MS))
            .collect();
        if waiting.len() > at_most {
            waiting.select_nth_unstable_by_key(at_most, |(since, _)| *since);
            waiting.truncate(at_most);
        }
        for (_, id) in &waiting {
            if let Some(connection) = self.open.get(id) {
                connection.task.abort();
            }
            self.remove(*id);
        }
        waiting.len()
    }

    /// Waits until one connection has ended; false when there is none.
    pub(crate) async fn one_ended(&mut self) -> bool {
        match self.tasks.join_next_with_id().await {
            Some(ended) => {
                self.forget(&ended);
                true
            }
            None => false,
        }
    }

    fn forget(&mut self, ended: &Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => *id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!("a connection ended by a panic, which is a defect of Billhook; please report it");
                }
                error.id()
            }
        };
        self.remove(id);
    }

    /// Takes a connection out of the books. It may be out already: closing one does so before its task has ended.
    fn remove(&mut self, id: Id) {
        let Some(connection) = self.open.remove(&id) else { return };
        self.metrics.http_connections.dec();
        if let Some(count) = self.by_address.get_mut(&connection.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&connection.address);
            }
        }
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        // The tasks are aborted with their set; only the gauge is shared with others.
        self.metrics.http_connections.dec_by(i64::try_from(self.open.len()).unwrap_or(0));
    }
}

/// Whom connections of an address are counted for. One IPv6 customer has a whole /64 network.
fn network(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & NETWORK)),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn addresses_of_one_customer_count_together() {
        let network = |text: &str| super::network(text.parse().expect("an address"));
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.7"), network("192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
    }
}
