//! `/v1/webhook_endpoints`: writes. Reads are those of every kind.

use billhook_stripe::catalogue;
use serde_json::{Map, Value, json};

use super::endpoint::{EndpointOptions, Payload};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::{Params, boolean};
use crate::routes::{WriteRoute, delete, post};

/// The writes.
pub(crate) static ROUTES: &[WriteRoute] = &[
    post("/v1/webhook_endpoints", create),
    post("/v1/webhook_endpoints/{id}", update),
    delete("/v1/webhook_endpoints/{id}", remove),
];

const KIND: &str = "webhook_endpoint";

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let url = checked_url(params.required("url")?)?;
    if params.array("enabled_events").is_empty() {
        return Err(ApiError::missing_parameter("enabled_events"));
    }
    let options = EndpointOptions {
        url: url.to_owned(),
        secret: None,
        api_version: params.text("api_version").map(str::to_owned),
        enabled_events: enabled_events(params)?,
        payload: Payload::Snapshot,
    };
    let (id, secret) = account.add_endpoint(&options);
    let mut created = account.update(KIND, &id, None, |endpoint| set_texts(endpoint, params))?;
    // Shown this once.
    created["secret"] = json!(secret);
    Ok(created)
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let url = params.text("url").map(checked_url).transpose()?;
    let events = if params.has("enabled_events") { Some(enabled_events(params)?) } else { None };
    let disabled = boolean(params.get("disabled"), "disabled")?;
    if params.has("api_version") {
        return Err(ApiError::parameter("parameter_unknown", "api_version", "Received unknown parameter: api_version"));
    }
    account.update(KIND, params.path("id"), None, |endpoint| {
        set_texts(endpoint, params);
        if let Some(url) = url {
            endpoint.insert("url".to_owned(), json!(url));
        }
        if let Some(events) = events {
            endpoint.insert("enabled_events".to_owned(), json!(events));
        }
        if let Some(disabled) = disabled {
            endpoint.insert("status".to_owned(), json!(if disabled { "disabled" } else { "enabled" }));
        }
    })
}

fn remove(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    account.remove(KIND, id, None)?;
    account.endpoints.remove(id);
    account.queue.forget(id);
    Ok(json!({"id": id, "object": KIND, "deleted": true}))
}

fn set_texts(endpoint: &mut Map<String, Value>, params: &Params) {
    if let Some(description) = params.text("description") {
        endpoint.insert("description".to_owned(), json!(Some(description).filter(|text| !text.is_empty())));
    }
    if let Some(metadata) = params.hash("metadata") {
        let own = endpoint.entry("metadata").or_insert_with(|| json!({}));
        for (key, value) in metadata {
            own[key] = value.clone();
        }
    }
}

fn checked_url(url: &str) -> Result<&str, ApiError> {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    let refused = || {
        ApiError::parameter("url_invalid", "url", "Invalid URL: An explicit scheme (such as https) must be provided.")
    };
    is_web.then_some(url).ok_or_else(refused)
}

fn enabled_events(params: &Params) -> Result<Vec<String>, ApiError> {
    let mut names = Vec::new();
    for name in params.array("enabled_events").iter().filter_map(Value::as_str) {
        if name != "*" && !catalogue::is_known_event(name) {
            let message = format!("Invalid enabled_events: there is no event type {name}");
            return Err(ApiError::parameter("parameter_invalid", "enabled_events", message));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}
