//! Stripe's webhook endpoints: where it delivers events.

use std::collections::BTreeMap;
use std::fmt;

use billhook_core::Secret;
use serde::Deserialize;

use super::{Answer, Api, ApiError, Class, Failure, Get, path_segment};

/// Where they are managed.
const PATH: &str = "/v1/webhook_endpoints";

/// Objects of one page: Stripe's greatest.
const PAGE_OBJECTS: &str = "100";

/// Pages of endpoints that are read. Stripe allows an account a few dozen endpoints at the most.
const PAGES_MAX: usize = 10;

/// Every type of event but those that Stripe sends only to who names them. Those are questions more than events: an answer to
/// `issuing_authorization.request` decides about a payment, which a mirror must not do.
pub const EVERY_EVENT: &str = "*";

/// An endpoint.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct WebhookEndpoint {
    /// `we_…`.
    pub id: String,
    /// Where Stripe delivers.
    pub url: String,
    /// The version that renders its events; `None` is the account's default.
    #[serde(default)]
    pub api_version: Option<String>,
    /// Types, or [`EVERY_EVENT`].
    #[serde(default)]
    pub enabled_events: Vec<String>,
    /// `enabled` or `disabled`.
    #[serde(default)]
    pub status: String,
    /// Unix seconds.
    #[serde(default)]
    pub created: i64,
    /// What its maker wrote down.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What signs its deliveries: only in the answer to its creation, never again.
    #[serde(default, deserialize_with = "secret")]
    pub secret: Option<Secret>,
}

impl WebhookEndpoint {
    /// Whether Stripe delivers to it.
    pub fn is_enabled(&self) -> bool {
        self.status != "disabled"
    }

    /// Whether it gets every event.
    pub fn has_every_event(&self) -> bool {
        self.enabled_events.iter().any(|name| name == EVERY_EVENT)
    }
}

impl fmt::Debug for WebhookEndpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The metadata is the user's own.
        formatter
            .debug_struct("WebhookEndpoint")
            .field("id", &self.id)
            .field("url", &self.url)
            .field("api_version", &self.api_version)
            .field("enabled_events", &self.enabled_events)
            .field("status", &self.status)
            .field("secret", &self.secret)
            .finish_non_exhaustive()
    }
}

fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    Ok(text.filter(|text| !text.is_empty()).map(Secret::new))
}

/// An endpoint to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewWebhookEndpoint<'a> {
    /// `https`, except in test mode.
    pub url: &'a str,
    /// The version of its events. It cannot be changed afterwards.
    pub api_version: &'a str,
    /// Types, or [`EVERY_EVENT`].
    pub enabled_events: &'a [&'a str],
    /// For people.
    pub description: &'a str,
    /// To be found again.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// What to change of an endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub struct WebhookEndpointChange<'a> {
    /// Types, or [`EVERY_EVENT`].
    pub enabled_events: Option<&'a [&'a str]>,
    /// Whether Stripe delivers to it.
    pub enabled: Option<bool>,
    /// Where it delivers.
    pub url: Option<&'a str>,
}

impl Api {
    /// Makes an endpoint. The answer to a repetition with the same key, within a day, is the same and has the secret again.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::Refused`] when the account has as many as it may have.
    pub async fn create_webhook_endpoint(
        &self,
        endpoint: &NewWebhookEndpoint<'_>,
        idempotency_key: &str,
    ) -> Result<WebhookEndpoint, ApiError> {
        let mut form = vec![
            pair("url", endpoint.url),
            pair("api_version", endpoint.api_version),
            pair("description", endpoint.description),
        ];
        form.extend(endpoint.enabled_events.iter().map(|name| pair("enabled_events[]", name)));
        form.extend(endpoint.metadata.iter().map(|(name, value)| pair(&format!("metadata[{name}]"), value)));
        parse("POST", &self.post(PATH, &form, idempotency_key).await?)
    }

    /// All endpoints of the account in the key's mode.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn list_webhook_endpoints(&self) -> Result<Vec<WebhookEndpoint>, ApiError> {
        let mut endpoints: Vec<WebhookEndpoint> = Vec::new();
        for _ in 0..PAGES_MAX {
            let mut query = vec![pair("limit", PAGE_OBJECTS)];
            query.extend(endpoints.last().map(|last| pair("starting_after", &last.id)));
            let answer = self.get(&Get { path: PATH, query: &query, account: "", class: Class::Interactive }).await?;
            let page = answer.page()?;
            for element in &page.elements {
                let endpoint = serde_json::from_str(element.get()).map_err(|error| unusable("GET", &answer, &error))?;
                endpoints.push(endpoint);
            }
            if !page.has_more || page.elements.is_empty() {
                break;
            }
        }
        Ok(endpoints)
    }

    /// One endpoint.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::NotFound`] when it was deleted.
    pub async fn retrieve_webhook_endpoint(&self, id: &str) -> Result<WebhookEndpoint, ApiError> {
        let path = path_of(id);
        let answer = self.get(&Get { path: &path, query: &[], account: "", class: Class::Interactive }).await?;
        // Of what was deleted Stripe keeps the id, and answers with a success.
        if serde_json::from_slice::<Stub>(&answer.body).is_ok_and(|stub| stub.deleted) {
            return Err(ApiError::NotFound(Box::new(failure("GET", &answer, "it was deleted".to_owned()))));
        }
        parse("GET", &answer)
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::NotFound`] when it was deleted.
    pub async fn update_webhook_endpoint(
        &self,
        id: &str,
        change: &WebhookEndpointChange<'_>,
        idempotency_key: &str,
    ) -> Result<WebhookEndpoint, ApiError> {
        let mut form = Vec::new();
        form.extend(change.url.map(|url| pair("url", url)));
        form.extend(change.enabled.map(|enabled| pair("disabled", if enabled { "false" } else { "true" })));
        form.extend(change.enabled_events.unwrap_or_default().iter().map(|name| pair("enabled_events[]", name)));
        parse("POST", &self.post(&path_of(id), &form, idempotency_key).await?)
    }

    /// Deletes an endpoint. Stripe then makes no further attempt to deliver what it could not deliver to it.
    ///
    /// # Errors
    /// See [`ApiError`]; [`ApiError::NotFound`] when it was deleted before.
    pub async fn delete_webhook_endpoint(&self, id: &str) -> Result<(), ApiError> {
        self.delete(&path_of(id)).await.map(|_| ())
    }
}

fn path_of(id: &str) -> String {
    format!("{PATH}/{}", path_segment(id))
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn parse(method: &'static str, answer: &Answer) -> Result<WebhookEndpoint, ApiError> {
    serde_json::from_slice(&answer.body).map_err(|error| unusable(method, answer, &error))
}

/// What is left of a deleted object.
#[derive(Deserialize)]
struct Stub {
    #[serde(default)]
    deleted: bool,
}

/// The message of the error names a place, never a value.
fn unusable(method: &'static str, answer: &Answer, error: &serde_json::Error) -> ApiError {
    let place = format!("line {}, column {}", error.line(), error.column());
    let message = format!("the answer is no webhook endpoint ({place} of it)");
    ApiError::Unavailable(Box::new(failure(method, answer, message)))
}

fn failure(method: &'static str, answer: &Answer, message: String) -> Failure {
    let (path, request_id) = (answer.path.clone(), answer.request_id.clone());
    Failure { method, path, request_id, message, ..Failure::default() }
}
