//! Tells other processes of runs that this one has no place for, and hears of theirs.

use std::sync::Arc;

use billhook_store::Store;
use tokio::sync::Notify;

/// Hints between this engine and others. Nothing rests on them: whoever misses one looks a quarter of a second later.
#[derive(Clone, Default)]
pub(super) struct Hints {
    /// Others told of something. Not the same as what wakes the engine itself, or two engines without a free place would tell each other
    /// the same again and again.
    pub(super) heard: Arc<Notify>,
    /// Others shall be told.
    pub(super) tell: Arc<Notify>,
}

impl Hints {
    /// Goes on until it is dropped, on SQLite without anything to do.
    pub(super) async fn run(self, store: Store, scheduled: Arc<Notify>) {
        let hearing = store.hear_flow_hints(|| {
            self.heard.notify_one();
            scheduled.notify_one();
        });
        let telling = async {
            loop {
                self.tell.notified().await;
                store.hint_flow_runs().await;
            }
        };
        tokio::join!(hearing, telling);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use billhook_store::{Location, Options, Role};
    use billhook_testkit::TestDatabase;

    use super::*;

    /// Longest wait for something that must happen.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn opened(url: &str) -> Store {
        let location = Location::from_url(url);
        Store::open(Options { location, tables: &[], catalogue_revision: 1, role: Role::Tool }).await.unwrap()
    }

    async fn told(what: &Notify) {
        tokio::time::timeout(PATIENCE, what.notified()).await.expect("it is told in time");
    }

    #[tokio::test]
    async fn what_another_process_tells_wakes_the_claims_and_the_schedule() {
        let test = "what_another_process_tells_wakes_the_claims_and_the_schedule";
        let Some(database) = TestDatabase::postgres_or_skip(test).unwrap() else { return };
        let (store, other) = (opened(&database.url()).await, opened(&database.url()).await);
        let (hints, scheduled) = (Hints::default(), Arc::new(Notify::new()));
        let running = tokio::spawn(hints.clone().run(store, Arc::clone(&scheduled)));
        // The first time it begins to listen.
        for _ in 0..2 {
            told(&hints.heard).await;
            told(&scheduled).await;
            other.hint_flow_runs().await;
        }
        running.abort();
    }

    #[tokio::test]
    async fn what_this_process_tells_is_heard_by_others() {
        let Some(database) = TestDatabase::postgres_or_skip("what_this_process_tells_is_heard_by_others").unwrap()
        else {
            return;
        };
        let (store, other) = (opened(&database.url()).await, opened(&database.url()).await);
        let (hints, others) = (Hints::default(), Hints::default());
        let running = tokio::spawn(hints.clone().run(store, Arc::default()));
        let listening = tokio::spawn(others.clone().run(other, Arc::default()));
        told(&others.heard).await;
        hints.tell.notify_one();
        told(&others.heard).await;
        running.abort();
        listening.abort();
    }
}
