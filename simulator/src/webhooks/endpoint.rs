//! Where events are delivered to.

use std::collections::BTreeMap;

use serde_json::json;

use crate::account::Account;
use crate::clock::wall_ms;
use crate::error::ApiError;

/// Letters of a secret after `whsec_`.
const SECRET_LETTERS: usize = 32;

/// Which events an endpoint gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Snapshot events.
    Snapshot,
    /// Thin events.
    Thin,
    /// Both of each change.
    Both,
}

/// An endpoint as Rust configures it.
#[derive(Debug, Clone)]
pub struct EndpointOptions {
    /// `http://…` on loopback.
    pub url: String,
    /// The signing secret; `None` makes one.
    pub secret: Option<String>,
    /// The version that snapshot events are rendered in; `None` for the account's default.
    pub api_version: Option<String>,
    /// Event types, or `*`.
    pub enabled_events: Vec<String>,
    /// Which events it gets.
    pub payload: Payload,
}

impl EndpointOptions {
    /// All snapshot events, in the account's default version.
    pub fn new(url: &str, secret: &str) -> Self {
        Self {
            url: url.to_owned(),
            secret: Some(secret.to_owned()),
            api_version: None,
            enabled_events: vec!["*".to_owned()],
            payload: Payload::Snapshot,
        }
    }
}

/// What the object of an endpoint does not show.
#[derive(Debug, Clone)]
pub(crate) struct Hidden {
    /// Secrets with the wall-clock time in milliseconds after which they sign no more; the newest is first.
    secrets: Vec<(String, Option<i64>)>,
    pub(crate) payload: Payload,
}

impl Hidden {
    /// Secrets that sign now.
    pub(crate) fn active_secrets(&self) -> Vec<String> {
        let now = wall_ms();
        let active = self.secrets.iter().filter(|(_, until)| until.is_none_or(|until| until > now));
        active.map(|(secret, _)| secret.clone()).collect()
    }
}

/// The hidden sides of all endpoints, by id.
pub(crate) type Endpoints = BTreeMap<String, Hidden>;

impl Account {
    /// Adds a webhook endpoint. Returns its id and its secret.
    pub fn add_endpoint(&mut self, options: &EndpointOptions) -> (String, String) {
        let id = self.new_id("we_");
        let secret = options.secret.clone().unwrap_or_else(|| self.new_secret());
        let object = json!({
            "id": id,
            "object": "webhook_endpoint",
            "api_version": options.api_version,
            "application": null,
            "created": self.now(),
            "description": null,
            "enabled_events": options.enabled_events,
            "livemode": self.livemode(),
            "metadata": {},
            "status": "enabled",
            "url": options.url,
        });
        self.endpoints.insert(id.clone(), Hidden { secrets: vec![(secret.clone(), None)], payload: options.payload });
        self.insert(object, None);
        (id, secret)
    }

    /// Gives an endpoint a new secret. The old one goes on signing for `seconds` of real time, so that deliveries meanwhile carry
    /// two signatures. Returns the new secret.
    ///
    /// # Errors
    /// 404 when there is no such endpoint.
    pub fn roll_secret(&mut self, endpoint: &str, seconds: u32) -> Result<String, ApiError> {
        let secret = self.new_secret();
        let until = wall_ms() + i64::from(seconds) * 1_000;
        let hidden = self.endpoints.get_mut(endpoint);
        let hidden = hidden.ok_or_else(|| ApiError::no_such("webhook_endpoint", endpoint, "id"))?;
        for (_, end) in &mut hidden.secrets {
            *end = Some(end.map_or(until, |end| end.min(until)));
        }
        hidden.secrets.insert(0, (secret.clone(), None));
        Ok(secret)
    }

    fn new_secret(&mut self) -> String {
        let mut secret = "whsec_".to_owned();
        self.random().push_letters(&mut secret, SECRET_LETTERS);
        secret
    }
}
