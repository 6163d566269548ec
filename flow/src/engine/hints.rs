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
