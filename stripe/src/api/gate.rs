//! The key in use, and the pause while Stripe refuses it.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use billhook_core::Secret;
use billhook_core::metrics::Metrics;
use tokio::sync::watch;
use tokio::time::Instant;

use super::key::Key;
use super::{ApiError, ApiKey, ApiState, Failure};

/// See the module.
pub(super) struct Gate {
    source: ApiKey,
    metrics: Arc<Metrics>,
    look_every: Duration,
    current: RwLock<Current>,
    looked_at: Mutex<Instant>,
    state: watch::Sender<ApiState>,
    /// What Stripe said when it refused the key.
    refusal: Mutex<Option<Box<Failure>>>,
    /// Held by the one who finds out whether the key is refused for everything.
    pub(super) judging: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone)]
struct Current {
    key: Key,
    /// Counts keys: a refusal of an earlier key says nothing about this one.
    generation: u64,
}

/// What a look at the key's file found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    /// The key in use, or there is no file.
    Same,
    /// Another key, which is now in use.
    Changed,
    /// Nothing that can be used; the sentence says why.
    Unusable(String),
}

impl Gate {
    pub(super) fn new(source: ApiKey, look_every: Duration, metrics: Arc<Metrics>) -> Result<Self, ApiError> {
        let key = Key::read(&source).map_err(ApiError::Configuration)?;
        Ok(Self {
            source,
            metrics,
            look_every,
            current: RwLock::new(Current { key, generation: 0 }),
            looked_at: Mutex::new(Instant::now()),
            state: watch::Sender::new(ApiState::Working),
            refusal: Mutex::new(None),
            judging: tokio::sync::Mutex::new(()),
        })
    }

    /// The key and its generation.
    pub(super) fn current(&self) -> (Secret, u64) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        (current.key.secret.clone(), current.generation)
    }

    pub(super) fn livemode(&self) -> Option<bool> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).key.livemode
    }

    pub(super) fn state(&self) -> watch::Receiver<ApiState> {
        self.state.subscribe()
    }

    pub(super) fn is_paused(&self) -> bool {
        *self.state.borrow() != ApiState::Working
    }

    /// Waits until requests may be made.
    pub(super) async fn working(&self) {
        // The sender lives as long as this does, so that the wait cannot fail.
        let _ = self.state.subscribe().wait_for(|state| *state == ApiState::Working).await;
    }

    /// What Stripe said, while it refuses the key.
    pub(super) fn refusal(&self) -> Option<Box<Failure>> {
        let refusal = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_paused() { refusal.clone() } else { None }
    }

    /// Takes up another key when its file has one, at most once in the interval between two looks.
    pub(super) async fn look_if_due(&self) {
        {
            let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
            if matches!(self.source, ApiKey::Fixed(_)) || looked_at.elapsed() < self.look_every {
                return;
            }
            *looked_at = Instant::now();
        }
        if let Look::Unusable(why) = self.look().await {
            tracing::debug!(why, "the key that is in use stays in use");
        }
    }

    /// Takes up another key when its file has one; a pause ends with that.
    pub(super) async fn look(&self) -> Look {
        if matches!(self.source, ApiKey::Fixed(_)) {
            return Look::Same;
        }
        let source = self.source.clone();
        // Files may be on a network.
        let key = match tokio::task::spawn_blocking(move || Key::read(&source)).await {
            Ok(Ok(key)) => key,
            Ok(Err(why)) => return Look::Unusable(why),
            Err(error) => return Look::Unusable(format!("the key's file could not be read: {error}")),
        };
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if key.secret == current.key.secret {
            return Look::Same;
        }
        if key.livemode != current.key.livemode {
            // Live and test data must not mix in one database.
            return Look::Unusable(
                "the key in the file belongs to another mode (live, test) than the one this process was started with; \
                 put a key of the same mode there, or start again with another database"
                    .to_owned(),
            );
        }
        *current = Current { key, generation: current.generation + 1 };
        drop(current);
        tracing::info!("the Stripe API key was read anew from its file");
        self.resume();
        Look::Changed
    }

    /// Stops all requests and says so once.
    pub(super) fn pause(&self, failure: &Failure) {
        *self.refusal.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(failure.clone()));
        let message = self.message(failure, None);
        tracing::error!(%message, "requests to Stripe are paused");
        self.metrics.api_paused.set(1);
        self.state.send_replace(ApiState::Paused { message });
    }

    /// Adds to the state why what is in the file does not help; `None` when it is merely still the refused key.
    pub(super) fn explain(&self, unusable: Option<&str>) {
        let Some(failure) = self.refusal() else { return };
        let message = self.message(&failure, unusable);
        self.state.send_if_modified(|state| {
            let is_news = matches!(state, ApiState::Paused { message: shown } if *shown != message);
            if is_news {
                tracing::warn!(%message, "requests to Stripe are still paused");
                *state = ApiState::Paused { message };
            }
            is_news
        });
    }

    /// Lets requests go on.
    pub(super) fn resume(&self) {
        let was_paused =
            self.state.send_if_modified(|state| std::mem::replace(state, ApiState::Working) != ApiState::Working);
        if was_paused {
            self.metrics.api_paused.set(0);
            tracing::info!("requests to Stripe go on");
        }
    }

    fn message(&self, failure: &Failure, unusable: Option<&str>) -> String {
        let todo = match &self.source {
            ApiKey::Fixed(_) => "set a key that works and start again; the same key is tried once a minute".to_owned(),
            ApiKey::File(path) => {
                format!("put a key that works into {}; it is picked up within seconds", path.display())
            }
        };
        let unusable = unusable.map(|why| format!(" ({why})")).unwrap_or_default();
        format!("Stripe refuses the API key: {failure}. All requests wait. To go on, {todo}{unusable}")
    }
}

impl std::fmt::Debug for Gate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Gate").field("source", &self.source).field("state", &*self.state.borrow()).finish()
    }
}
