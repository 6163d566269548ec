//! Single objects out of the mirror, and out of Stripe's API when the mirror lacks them.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use billhook_flow::engine::EnrichError;
use billhook_store::{Store, StoreError};
use billhook_stripe::api::{Api, ApiError, Class, Get, path_segment};
use billhook_stripe::catalogue;
use billhook_stripe::envelope::Envelope;
use serde_json::Value;

use super::related::{Related, Tie};
use super::shape::stub;

/// How long one read of Stripe's API may take, in seconds. The client tries again by itself, and waits without end while Stripe refuses the
/// key; a run must not be held that long, since it can as well wait in the database.
const READ_SECONDS_MAX: u64 = 20;

/// The list that ties charges and intents to invoices.
const INVOICE_PAYMENTS: &str = "/v1/invoice_payments";

/// Where objects come from.
pub struct Objects {
    store: Store,
    api: Option<Api>,
    /// The account of this installation; empty when it is not configured.
    account: String,
    /// What was said to be unreadable already.
    told: Mutex<BTreeSet<Related>>,
}

impl Objects {
    /// Without `api` there is only the mirror. `account` is that of this installation, empty when unknown.
    pub fn new(store: Store, api: Option<Api>, account: String) -> Self {
        Self { store, api, account, told: Mutex::default() }
    }

    /// Whether Stripe can be asked.
    pub fn has_api(&self) -> bool {
        self.api.is_some()
    }

    /// An object as the mirror has it; a deleted one as Stripe would show it.
    pub async fn mirrored(&self, related: Related, id: &str) -> Result<Option<Value>, EnrichError> {
        let kind = related.name();
        let Some(table) = catalogue::table_of(kind) else { return Ok(None) };
        let found = self.store.object(table, id).await.map_err(|error| mirror_away(&error))?;
        Ok(found.and_then(|found| match found.is_deleted {
            true => Some(stub(kind, id)),
            false => serde_json::from_str(&found.raw).ok(),
        }))
    }

    /// The id that the mirror filled in from invoice payments.
    pub async fn mirrored_tie(&self, tie: &Tie, id: &str) -> Result<Option<String>, EnrichError> {
        let Some(table) = catalogue::table_of(tie.kind) else { return Ok(None) };
        let Some(column) = table.column(tie.column) else { return Ok(None) };
        self.store.text_of(table, column, id).await.map_err(|error| mirror_away(&error))
    }

    /// The account that an event belongs to; empty for that of this installation. The inbox knows, because the data does not tell.
    pub async fn account_of(&self, event_id: &str) -> Result<String, EnrichError> {
        let delivery = self.store.event(event_id).await.map_err(|error| mirror_away(&error))?;
        let envelope = delivery.and_then(|delivery| Envelope::parse(&delivery.raw).ok());
        let account = envelope.and_then(|envelope| envelope.account).unwrap_or_default();
        Ok(if account == self.account { String::new() } else { account })
    }

    /// An object as Stripe's API has it.
    pub async fn retrieved(&self, related: Related, id: &str, account: &str) -> Result<Option<Value>, EnrichError> {
        let path = catalogue::kind_of(related.name()).and_then(|kind| kind.retrieve_path);
        let Some(path) = path.map(|path| path.replace("{id}", &path_segment(id))) else { return Ok(None) };
        self.get(related, &Get { path: &path, query: &[], account, class: Class::Interactive }).await
    }

    /// What Stripe's invoice payments say: the object when the answer holds it, else its id.
    pub async fn retrieved_tie(&self, tie: &Tie, object: &Value, account: &str) -> Result<Option<Value>, EnrichError> {
        let Some(query) = tie.query(object) else { return Ok(None) };
        let request = Get { path: INVOICE_PAYMENTS, query: &query, account, class: Class::Interactive };
        let Some(list) = self.get(tie.related, &request).await? else { return Ok(None) };
        Ok(tie.answer(&list).cloned())
    }

    /// The answer of a read; `None` when Stripe has no such object or does not show it.
    async fn get(&self, related: Related, request: &Get<'_>) -> Result<Option<Value>, EnrichError> {
        let Some(api) = &self.api else { return Ok(None) };
        let (path, patience) = (request.path, Duration::from_secs(READ_SECONDS_MAX));
        let Ok(answer) = tokio::time::timeout(patience, api.get(request)).await else {
            return Err(EnrichError::new(format!("Stripe did not answer GET {path} within {READ_SECONDS_MAX} s")));
        };
        match answer {
            Ok(answer) => serde_json::from_slice(&answer.body)
                .map(Some)
                .map_err(|error| EnrichError::new(format!("Stripe's answer to GET {path} could not be read: {error}"))),
            Err(ApiError::NotFound(_)) => Ok(None),
            // Asked again, Stripe would say the same.
            Err(
                error @ (ApiError::NoPermission(_)
                | ApiError::NotAvailable(_)
                | ApiError::Refused(_)
                | ApiError::TooLarge(_)),
            ) => {
                self.warn(related, &error);
                Ok(None)
            }
            Err(error) => Err(EnrichError::new(error.to_string())),
        }
    }

    /// Says once for each kind that functions do not get it.
    fn warn(&self, related: Related, error: &ApiError) {
        let is_new = self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(related);
        if is_new {
            let name = related.name();
            tracing::warn!(%error, "functions get null for a {name} that the mirror lacks; this is said once");
        }
    }
}

fn mirror_away(error: &StoreError) -> EnrichError {
    EnrichError::new(format!("the mirror could not be read: {error}"))
}
