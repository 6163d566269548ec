//! Reading on request from the mirror's runs and from Stripe itself.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_mirror::interpret::Policy;
use billhook_mirror::sync::runs::{self, Request, StartError, StartedRun};
use billhook_mirror::sync::single::{self, SingleError};
use billhook_mirror::sync::{ApiSource, names};
use billhook_store::{RunSummary, SegmentEnd, Store, StoreError};
use billhook_stripe::api::ApiError;

use crate::sync::{Reads, Single, SyncError, SyncRequest, Synced};

/// Says what is missing when no key is configured.
const NO_KEY: &str = "nothing can be read from Stripe without a key: set STRIPE_SECRET_KEY";

/// Stripe, as one object is read from it.
#[derive(Clone)]
pub struct StripeSource {
    /// Reads objects.
    pub source: ApiSource,
    /// What the database takes.
    pub policy: Policy,
}

/// Reads through the database's runs and Stripe's API.
#[derive(Clone)]
pub struct StripeReads {
    /// Where runs are written and rows read.
    pub store: Store,
    /// Stripe; `None` without a key, and then everything is answered with what is missing.
    pub stripe: Option<StripeSource>,
    /// The time at which runs are asked for.
    pub clock: Arc<dyn Clock>,
    /// Whether objects that are referred to and missing are read too, when a caller does not say.
    pub related: bool,
}

impl StripeReads {
    fn stripe(&self) -> Result<&StripeSource, SyncError> {
        self.stripe.as_ref().ok_or_else(|| SyncError::Unavailable(NO_KEY.to_owned()))
    }

    async fn begin(&self, request: SyncRequest) -> Result<Vec<StartedRun>, SyncError> {
        let livemode = self.stripe()?.policy.livemode;
        let request = Request {
            targets: names::resolve(&request.object).map_err(|error| SyncError::Refused(error.to_string()))?,
            window: request.window,
            trigger: "http",
            related: request.related.unwrap_or(self.related),
            livemode,
        };
        runs::start(&self.store, &request, self.clock.now()).await.map_err(refused_start)
    }
}

impl Reads for StripeReads {
    async fn sync(&self, request: SyncRequest) -> Result<Synced, SyncError> {
        let started = self.begin(request).await?;
        let ids: Vec<i64> = started.iter().map(|started| started.run.run()).collect();
        let ended = runs::wait(&self.store, &ids).await.map_err(unavailable)?;
        let mut synced = Synced::new();
        for started in started.iter().filter(|started| started.requested) {
            let Some(run) = ended.iter().find(|run| run.id == started.run.run()) else { continue };
            if run.end == Some(SegmentEnd::Failed) {
                return Err(SyncError::Failed(format!("{}: {}", run.object, run.message)));
            }
            synced.push((names::response_key(started.object), run.objects));
        }
        Ok(synced)
    }

    async fn start(&self, request: SyncRequest) -> Result<Vec<i64>, SyncError> {
        Ok(self.begin(request).await?.iter().map(|started| started.run.run()).collect())
    }

    async fn single(&self, id: &str, kind: Option<&str>) -> Result<Single, SyncError> {
        let StripeSource { source, policy } = self.stripe()?;
        match single::single(&self.store, source, policy, id, kind, self.clock.now()).await {
            Ok(read) => match read.json.filter(|_| read.found) {
                Some(json) => Ok(Single::Stored(json)),
                None => Err(SyncError::NotFound(format!("Stripe has no {} {id:?}", read.object))),
            },
            Err(SingleError::Unrecognised) => Ok(Single::UnknownPrefix),
            Err(SingleError::Api(error)) => Err(stripe_said(&error)),
            Err(SingleError::Store(error)) => Err(unavailable(error)),
            Err(error) => Err(SyncError::Refused(error.to_string())),
        }
    }

    async fn runs(&self, limit: usize) -> Result<Vec<RunSummary>, SyncError> {
        self.store.list_runs(limit, false).await.map_err(unavailable)
    }
}

fn refused_start(error: StartError) -> SyncError {
    match error {
        StartError::Store(error) => unavailable(error),
        StartError::EmptyWindow | StartError::Mode(_) => SyncError::Refused(error.to_string()),
    }
}

/// The database's own words stay in the log: they may name hosts and tables.
fn unavailable(error: StoreError) -> SyncError {
    tracing::warn!(%error, "a request that reads from Stripe met a database that failed");
    SyncError::Unavailable("the database is away; try again later".to_owned())
}

fn stripe_said(error: &ApiError) -> SyncError {
    match error {
        ApiError::NotFound(_) => SyncError::NotFound(error.to_string()),
        ApiError::KeyRefused(_) | ApiError::Unavailable(_) | ApiError::Configuration(_) => {
            SyncError::Unavailable(error.to_string())
        }
        _ => SyncError::Failed(error.to_string()),
    }
}
