//! Making an endpoint so that a crash at any point leaves neither two of them nor a secret that is lost.

use billhook_store::WebhookEndpoint as Kept;
use billhook_stripe::api::{ApiError, EVERY_EVENT, NewWebhookEndpoint, WebhookEndpoint};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

use super::{EndpointError, Endpoints};

/// The setting that names the creation under way; empty when there is none.
const UNDER_WAY: &str = "webhook_endpoint_under_way";

/// The setting that names this database, to tell its endpoints from those of other installations on the same account.
const INSTALLATION: &str = "installation";

/// Under which name endpoints carry the value of [`INSTALLATION`] at Stripe.
const METADATA: &str = "billhook_installation";

/// Bytes of randomness in a name.
const RANDOM_BYTES: usize = 16;

impl Endpoints {
    /// Makes an endpoint and keeps its secret; returns its id.
    ///
    /// The name of the creation is durable before Stripe is asked, and its idempotency key. After a crash the same question is asked
    /// again, and Stripe gives the same answer with the same secret for a day. Later, or for another URL, the endpoint that
    /// nobody has the secret of is recognised by its metadata, and retired.
    pub(super) async fn make(&self, url: &str, version: &str) -> Result<String, EndpointError> {
        if let Some(name) = self.store.setting(UNDER_WAY).await?.filter(|name| !name.is_empty())
            && let Some(made) = self.ask_again(&name, url, version).await?
        {
            return self.keep(made, url, version).await;
        }
        let name = random();
        self.store.write_setting(UNDER_WAY, &name).await?;
        match self.ask(&name, url, version).await {
            Ok(made) => self.keep(made, url, version).await,
            Err(error) => {
                // Stripe would repeat its refusal for a day, whatever is done about its reason.
                if is_refusal(&error) {
                    self.store.write_setting(UNDER_WAY, "").await?;
                }
                Err(error)
            }
        }
    }

    /// Completes a creation that was interrupted; `None` when nothing can come of it any more.
    async fn ask_again(&self, name: &str, url: &str, version: &str) -> Result<Option<WebhookEndpoint>, EndpointError> {
        let made = match self.ask(name, url, version).await {
            Ok(made) => made,
            Err(error) if is_refusal(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // The same answer comes also for an endpoint that was removed meanwhile.
        match self.api.retrieve_webhook_endpoint(&made.id).await {
            Ok(_) => Ok(Some(made)),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn ask(&self, under_way: &str, url: &str, version: &str) -> Result<WebhookEndpoint, EndpointError> {
        let installation = self.installation().await?;
        let new = NewWebhookEndpoint {
            url,
            api_version: version,
            enabled_events: &[EVERY_EVENT],
            description: "Billhook keeps its mirror current with this endpoint and looks after it",
            metadata: &[(METADATA, &installation)],
        };
        let what = hex(digest(&SHA256, format!("{url}\n{version}").as_bytes()).as_ref());
        Ok(self.api.create_webhook_endpoint(&new, &format!("billhook-{under_way}-{what}")).await?)
    }

    async fn keep(&self, made: WebhookEndpoint, url: &str, version: &str) -> Result<String, EndpointError> {
        let secret = made.secret.ok_or_else(|| EndpointError::NoSecret(made.id.clone()))?;
        let kept = Kept {
            id: made.id.clone(),
            url: url.to_owned(),
            api_version: version.to_owned(),
            secret,
            created_at: self.clock.now(),
            retire_at: None,
        };
        self.store.save_endpoint(&kept).await?;
        self.store.write_setting(UNDER_WAY, "").await?;
        tracing::info!(endpoint = %made.id, url, version, "a webhook endpoint was made");
        Ok(made.id)
    }

    pub(super) async fn installation(&self) -> Result<String, EndpointError> {
        Ok(self.store.pin_setting(INSTALLATION, &random()).await?)
    }
}

/// Whether Stripe has answered that it does not; without an answer the endpoint may have been made.
fn is_refusal(error: &EndpointError) -> bool {
    let EndpointError::Api(error) = error else { return false };
    error.failure().and_then(|failure| failure.status).is_some_and(|status| status >= 400)
}

/// Whether an endpoint was made for a database.
pub(super) fn made_by(endpoint: &WebhookEndpoint, installation: &str) -> bool {
    endpoint.metadata.get(METADATA).is_some_and(|value| value == installation)
}

/// A name that nobody else has.
pub(super) fn random() -> String {
    let mut bytes = [0; RANDOM_BYTES];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Names only have to differ; no secret depends on them.
        let now = jiff::Timestamp::now().as_nanosecond().to_be_bytes();
        bytes.copy_from_slice(&now);
    }
    hex(&bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
