//! Errors in Stripe's shape.

use serde_json::{Map, Value, json};

/// An error answer: `{"error": {"type": …, "code": …, "param": …, "message": …}}` with a status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {kind}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `type`, e.g. `invalid_request_error`, `card_error`, `idempotency_error`, `api_error`.
    pub kind: &'static str,
    /// `code`, e.g. `resource_missing`; left out when `None`.
    pub code: Option<String>,
    /// `param`: the parameter at fault; left out when `None`.
    pub param: Option<String>,
    /// For people.
    pub message: String,
    /// Further properties of the error, e.g. `decline_code`, `payment_intent`.
    pub more: Map<String, Value>,
}

impl ApiError {
    /// 400 `invalid_request_error` without a code.
    pub fn invalid(message: impl Into<String>) -> Self {
        let message = message.into();
        Self { status: 400, kind: "invalid_request_error", code: None, param: None, message, more: Map::new() }
    }

    /// 400 about one parameter.
    pub fn parameter(code: &str, param: &str, message: impl Into<String>) -> Self {
        Self { code: Some(code.to_owned()), param: Some(param.to_owned()), ..Self::invalid(message) }
    }

    /// 400 `parameter_missing`.
    pub fn missing_parameter(param: &str) -> Self {
        Self::parameter("parameter_missing", param, format!("Missing required param: {param}."))
    }

    /// 404 `resource_missing`: there is no such object. `param` is `id` when the path names it.
    pub fn no_such(kind: &str, id: &str, param: &str) -> Self {
        let name = kind.rsplit('.').next().unwrap_or(kind);
        let message = format!("No such {name}: '{id}'");
        Self { status: 404, ..Self::parameter("resource_missing", param, message) }
    }

    /// 400 `resource_missing`: a parameter of a write names an object that does not exist.
    pub fn no_such_reference(kind: &str, id: &str, param: &str) -> Self {
        Self { status: 400, ..Self::no_such(kind, id, param) }
    }

    /// 402 `card_error`, as a declined payment gives.
    pub fn card(code: &str, decline_code: Option<&str>, message: impl Into<String>) -> Self {
        let mut error = Self { status: 402, kind: "card_error", code: Some(code.to_owned()), ..Self::invalid(message) };
        if let Some(decline_code) = decline_code {
            error.more.insert("decline_code".to_owned(), Value::from(decline_code));
        }
        error
    }

    /// The body of the answer.
    pub fn body(&self) -> Value {
        let mut error = self.more.clone();
        error.insert("type".to_owned(), json!(self.kind));
        error.insert("message".to_owned(), json!(self.message));
        if let Some(code) = &self.code {
            error.insert("code".to_owned(), json!(code));
        }
        if let Some(param) = &self.param {
            error.insert("param".to_owned(), json!(param));
        }
        json!({ "error": error })
    }
}
