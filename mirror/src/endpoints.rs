//! Webhook endpoints at Stripe that Billhook looks after: made or taken over, their secrets kept, rotated and removed.
//!
//! An endpoint's version and secret cannot be changed or read later, so every change is Stripe's own procedure for upgrades: a second
//! endpoint is made, both deliver for [`OVERLAP_HOURS`], deliveries are deduplicated by event id, and the old one is removed.
//! Whatever is interrupted is completed by the next call.

mod making;
mod secrets;

use std::sync::Arc;

use billhook_core::{Clock, Secret};
use billhook_store::{Store, StoreError, WebhookEndpoint as Kept};
use billhook_stripe::api::{Api, ApiError, EVERY_EVENT, WebhookEndpoint, WebhookEndpointChange};
use jiff::{SignedDuration, Timestamp};

pub use secrets::{all_secrets, follow};

/// How long an endpoint goes on beside the one that replaces it, in hours: as long as Stripe keeps a rolled secret. Deliveries that
/// failed are repeated by the endpoint they were for, and what it still has after that is found through the list of events.
pub const OVERLAP_HOURS: i64 = 24;

/// Where the server takes deliveries, below the public URL.
const DELIVERY_PATH: &str = "/webhooks";

/// The lease of who changes endpoints, so that two nodes that start together do not make two.
const LEASE: &str = "webhook_endpoints";

/// How long the lease of a node that died keeps others waiting, in seconds.
const LEASE_SECONDS: i64 = 120;

/// Why endpoints could not be managed.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Stripe.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another node or command is at it.
    #[error("another process is changing the webhook endpoints; try again in a moment")]
    Busy,
    /// The public URL is none.
    #[error("{0:?} is no public URL; it looks like https://billhook.example.com and has no query")]
    PublicUrl(String),
    /// The database knows no such endpoint.
    #[error("no webhook endpoint {0:?} is managed by this database; `billhook webhooks list` shows which are")]
    Unknown(String),
    /// There is nothing to rotate.
    #[error("no webhook endpoint is managed yet; create one first")]
    Nothing,
    /// Stripe made an endpoint and did not say its secret.
    #[error("Stripe made the webhook endpoint {0} without telling its secret; remove it and try again")]
    NoSecret(String),
}

/// What [`Endpoints::ensure`] and [`Endpoints::rotate`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ensured {
    /// The endpoint that delivers from now on.
    pub id: String,
    /// Whether it was made now.
    pub is_new: bool,
    /// Whether it was there and had been disabled or narrowed.
    pub is_repaired: bool,
    /// Those it replaces, with when they are removed.
    pub retiring: Vec<(String, Timestamp)>,
}

/// How an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It delivers.
    Active,
    /// Stripe has disabled it, or somebody has.
    Disabled,
    /// It delivers until then, and is then removed.
    Retiring(Timestamp),
    /// Stripe does not know it any more.
    Gone,
}

/// An endpoint as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// `we_…`.
    pub id: String,
    /// Where it delivers.
    pub url: String,
    /// The version of its events; empty for the account's default.
    pub api_version: String,
    /// How it stands.
    pub standing: Standing,
    /// Whether this database has its secret.
    pub is_managed: bool,
}

/// See the module.
#[derive(Clone)]
pub struct Endpoints {
    api: Api,
    store: Store,
    clock: Arc<dyn Clock>,
}

impl Endpoints {
    /// Endpoints of the account whose key `api` has, with their secrets in `store`.
    pub fn new(api: Api, store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { api, store, clock }
    }

    /// Sees to it that Stripe delivers every event, in `version`, to the server at `public_url`. What already does so is kept, and
    /// enabled if it was disabled. What delivers there with a secret that nobody knows, in another version, or to an earlier
    /// public URL, is replaced. Worth a call at every start and once an hour.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub async fn ensure(&self, public_url: &str, version: &str) -> Result<Ensured, EndpointError> {
        let url = delivery_url(public_url)?;
        let lease = self.lease().await?;
        let ensured = self.ensure_alone(&url, version).await;
        self.give_back(&lease).await;
        ensured
    }

    async fn ensure_alone(&self, url: &str, version: &str) -> Result<Ensured, EndpointError> {
        let at_stripe = self.api.list_webhook_endpoints().await?;
        let kept = self.store.list_endpoints().await?;
        let fits = |one: &&Kept| {
            one.retire_at.is_none() && one.url == url && one.api_version == version && !one.secret.expose().is_empty()
        };
        let found = kept.iter().rev().filter(fits).find_map(|one| at_stripe.iter().find(|other| other.id == one.id));
        let (id, is_new, is_repaired) = match found {
            Some(endpoint) => (endpoint.id.clone(), false, self.repair(endpoint).await?),
            None => (self.make(url, version).await?, true, false),
        };
        let retiring = self.retire_others(&id, url, &at_stripe, &kept).await?;
        Ok(Ensured { id, is_new, is_repaired, retiring })
    }

    /// Makes an endpoint with a new secret beside the active one, which is removed [`OVERLAP_HOURS`] later.
    ///
    /// # Errors
    /// See [`EndpointError`]; [`EndpointError::Nothing`] when none is active.
    pub async fn rotate(&self) -> Result<Ensured, EndpointError> {
        let lease = self.lease().await?;
        let rotated = self.rotate_alone().await;
        self.give_back(&lease).await;
        rotated
    }

    async fn rotate_alone(&self) -> Result<Ensured, EndpointError> {
        let kept = self.store.list_endpoints().await?;
        let active = kept.iter().rfind(|one| one.retire_at.is_none()).ok_or(EndpointError::Nothing)?;
        let id = self.make(&active.url, &active.api_version).await?;
        let at_stripe = self.api.list_webhook_endpoints().await?;
        let retiring = self.retire_others(&id, &active.url, &at_stripe, &kept).await?;
        Ok(Ensured { id, is_new: true, is_repaired: false, retiring })
    }

    /// Removes an endpoint at Stripe at once, and forgets its secret.
    ///
    /// # Errors
    /// See [`EndpointError`]; [`EndpointError::Unknown`] for one that this database does not manage.
    pub async fn remove(&self, id: &str) -> Result<(), EndpointError> {
        if !self.store.list_endpoints().await?.iter().any(|one| one.id == id) {
            return Err(EndpointError::Unknown(id.to_owned()));
        }
        self.remove_everywhere(id).await
    }

    /// Every endpoint of the account, and those of the database that Stripe does not know any more.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub async fn list(&self) -> Result<Vec<Listed>, EndpointError> {
        let at_stripe = self.api.list_webhook_endpoints().await?;
        let kept = self.store.list_endpoints().await?;
        let mut listed: Vec<Listed> = at_stripe
            .iter()
            .map(|endpoint| {
                let kept = kept.iter().find(|one| one.id == endpoint.id);
                let standing = match kept.and_then(|one| one.retire_at) {
                    Some(at) => Standing::Retiring(at),
                    None if endpoint.is_enabled() => Standing::Active,
                    None => Standing::Disabled,
                };
                Listed {
                    id: endpoint.id.clone(),
                    url: endpoint.url.clone(),
                    api_version: endpoint.api_version.clone().unwrap_or_default(),
                    standing,
                    is_managed: kept.is_some_and(|one| !one.secret.expose().is_empty()),
                }
            })
            .collect();
        let gone = kept.into_iter().filter(|one| !at_stripe.iter().any(|endpoint| endpoint.id == one.id));
        listed.extend(gone.map(|one| Listed {
            id: one.id,
            url: one.url,
            api_version: one.api_version,
            standing: Standing::Gone,
            is_managed: true,
        }));
        Ok(listed)
    }

    /// Removes the endpoints whose time has come; returns their ids. Worth a call every few minutes, on any node.
    ///
    /// # Errors
    /// See [`EndpointError`]; those that are left are removed by the next call.
    pub async fn remove_retired(&self) -> Result<Vec<String>, EndpointError> {
        let now = self.clock.now();
        let mut removed = Vec::new();
        for one in self.store.list_endpoints().await? {
            if one.retire_at.is_some_and(|at| at <= now) {
                self.remove_everywhere(&one.id).await?;
                tracing::info!(endpoint = %one.id, "a replaced webhook endpoint was removed");
                removed.push(one.id);
            }
        }
        Ok(removed)
    }

    /// Stripe first: a secret that is forgotten too early would make its deliveries unreadable.
    async fn remove_everywhere(&self, id: &str) -> Result<(), EndpointError> {
        match self.api.delete_webhook_endpoint(id).await {
            Ok(()) | Err(ApiError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        self.store.remove_endpoint(id).await?;
        Ok(())
    }

    /// Enables a disabled endpoint and widens a narrowed one; returns whether there was need.
    async fn repair(&self, endpoint: &WebhookEndpoint) -> Result<bool, EndpointError> {
        if endpoint.is_enabled() && endpoint.has_every_event() {
            return Ok(false);
        }
        let change = WebhookEndpointChange {
            enabled: Some(true),
            enabled_events: Some(&[EVERY_EVENT]),
            ..WebhookEndpointChange::default()
        };
        self.api.update_webhook_endpoint(&endpoint.id, &change, &making::random()).await?;
        tracing::warn!(endpoint = %endpoint.id, "the webhook endpoint was disabled or did not get every event; repaired");
        Ok(true)
    }

    /// Sets the end of all that `id` replaces.
    async fn retire_others(
        &self,
        id: &str,
        url: &str,
        at_stripe: &[WebhookEndpoint],
        kept: &[Kept],
    ) -> Result<Vec<(String, Timestamp)>, EndpointError> {
        let now = self.clock.now();
        let overlap = SignedDuration::from_hours(OVERLAP_HOURS);
        let end = now.saturating_add(overlap).unwrap_or(Timestamp::MAX);
        let installation = self.installation().await?;
        let mut retiring = Vec::new();
        for endpoint in at_stripe.iter().filter(|endpoint| endpoint.id != id) {
            let known = kept.iter().find(|one| one.id == endpoint.id);
            let is_ours = known.is_some() || endpoint.url == url || making::made_by(endpoint, &installation);
            if !is_ours {
                continue;
            }
            let retire_at = known.and_then(|one| one.retire_at).unwrap_or(end);
            if known.is_none_or(|one| one.retire_at.is_none()) {
                let unknown = || Kept {
                    id: endpoint.id.clone(),
                    url: endpoint.url.clone(),
                    api_version: endpoint.api_version.clone().unwrap_or_default(),
                    // It cannot be read. An empty secret verifies nothing.
                    secret: Secret::new(""),
                    created_at: Timestamp::from_second(endpoint.created).unwrap_or(now),
                    retire_at: None,
                };
                let one = Kept { retire_at: Some(retire_at), ..known.cloned().unwrap_or_else(unknown) };
                self.store.save_endpoint(&one).await?;
                tracing::warn!(endpoint = %one.id, replaced_by = id, until = %retire_at, "a webhook endpoint is being replaced");
            }
            retiring.push((endpoint.id.clone(), retire_at));
        }
        for gone in kept.iter().filter(|one| one.id != id && !at_stripe.iter().any(|other| other.id == one.id)) {
            self.store.remove_endpoint(&gone.id).await?;
        }
        Ok(retiring)
    }

    async fn lease(&self) -> Result<String, EndpointError> {
        let (holder, now) = (making::random(), self.clock.now());
        let until = now.saturating_add(SignedDuration::from_secs(LEASE_SECONDS)).unwrap_or(Timestamp::MAX);
        if self.store.take_lease(LEASE, &holder, now, until).await? { Ok(holder) } else { Err(EndpointError::Busy) }
    }

    async fn give_back(&self, holder: &str) {
        if let Err(error) = self.store.drop_lease(LEASE, holder).await {
            tracing::debug!(%error, "a lease is left to end by itself");
        }
    }
}

/// The URL that is registered at Stripe for a public URL.
///
/// # Errors
/// [`EndpointError::PublicUrl`] when it is not http(s), or has a query or a fragment.
pub fn delivery_url(public_url: &str) -> Result<String, EndpointError> {
    let wrong = || EndpointError::PublicUrl(public_url.chars().take(200).collect());
    let trimmed = public_url.trim().trim_end_matches('/');
    let host = trimmed.strip_prefix("https://").or_else(|| trimmed.strip_prefix("http://")).ok_or_else(wrong)?;
    let is_plain = !host.is_empty()
        && !host.starts_with('/')
        && host.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'@' | b'\\'));
    if is_plain { Ok(format!("{trimmed}{DELIVERY_PATH}")) } else { Err(wrong()) }
}
