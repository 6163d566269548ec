//! Parameters of a write into properties of an object, by a table.

use serde_json::{Map, Value, json};

use super::shapes::Object;
use crate::error::ApiError;
use crate::params::{self, Params};

/// Most keys of `metadata`.
const METADATA_KEYS_MAX: usize = 50;
/// Longest key of `metadata`, in characters.
const METADATA_KEY_MAX: usize = 40;
/// Longest value of `metadata`, in characters.
const METADATA_VALUE_MAX: usize = 500;

/// How a parameter becomes the property of the same name.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Take {
    /// Text; empty means null.
    Text,
    /// Integer; empty means null.
    Integer,
    /// A decimal number that the API gives as a JSON number.
    Number,
    /// Boolean.
    Boolean,
    /// A hash or array as it is; empty means null.
    Json,
    /// A hash that is merged into the one that stands, with typed leaves.
    Merge,
    /// `metadata`: keys are merged, an empty value removes its key, an empty text removes all.
    Metadata,
}

/// Sets the properties whose parameters were sent.
///
/// # Errors
/// 400 for a value of the wrong type and for metadata beyond Stripe's limits.
pub(crate) fn take(params: &Params, table: &[(&str, Take)], object: &mut Object) -> Result<(), ApiError> {
    for (name, how) in table {
        let Some(sent) = params.get(name) else { continue };
        let value = match how {
            Take::Text => sent.as_str().filter(|text| !text.is_empty()).map_or(Value::Null, Value::from),
            Take::Integer => params::integer(Some(sent), name)?.into(),
            Take::Number => number(sent, name)?,
            Take::Boolean => params::boolean(Some(sent), name)?.into(),
            Take::Json => {
                if sent.as_str() == Some("") {
                    Value::Null
                } else {
                    typed(sent)
                }
            }
            Take::Merge => merged(object.get(*name), sent),
            Take::Metadata => metadata(object.get(*name), sent)?,
        };
        object.insert((*name).to_owned(), value);
    }
    Ok(())
}

fn number(sent: &Value, name: &str) -> Result<Value, ApiError> {
    if sent.is_number() {
        return Ok(sent.clone());
    }
    let text = sent.as_str().unwrap_or_default();
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(whole.into());
    }
    let number = text.parse::<f64>().ok().and_then(serde_json::Number::from_f64);
    number
        .map(Value::Number)
        .ok_or_else(|| ApiError::parameter("parameter_invalid", name, format!("Invalid decimal: {text}")))
}

/// The leaves of a hash as JSON: forms send everything as text.
fn typed(sent: &Value) -> Value {
    match sent {
        Value::String(text) if text.is_empty() => Value::Null,
        Value::String(text) if text == "true" || text == "false" => Value::Bool(text == "true"),
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), typed(value))).collect(),
        Value::Array(values) => values.iter().map(typed).collect(),
        other => other.clone(),
    }
}

fn merged(standing: Option<&Value>, sent: &Value) -> Value {
    match (standing, sent) {
        (Some(Value::Object(standing)), Value::Object(sent)) => {
            let mut merged = standing.clone();
            for (name, value) in sent {
                merged.insert(name.clone(), self::merged(standing.get(name), value));
            }
            Value::Object(merged)
        }
        (_, sent) => typed(sent),
    }
}

fn metadata(standing: Option<&Value>, sent: &Value) -> Result<Value, ApiError> {
    let Value::Object(sent) = sent else { return Ok(json!({})) };
    let mut metadata = standing.and_then(Value::as_object).cloned().unwrap_or_default();
    for (key, value) in sent {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if text.is_empty() {
            metadata.remove(key);
        } else {
            check_metadata(key, &text)?;
            metadata.insert(key.clone(), text.into());
        }
    }
    within_key_limit(metadata)
}

fn check_metadata(key: &str, text: &str) -> Result<(), ApiError> {
    if key.chars().count() > METADATA_KEY_MAX {
        return Err(ApiError::parameter(
            "parameter_invalid",
            "metadata",
            "Metadata keys can be up to 40 characters long.",
        ));
    }
    if text.chars().count() > METADATA_VALUE_MAX {
        return Err(ApiError::parameter(
            "parameter_invalid",
            "metadata",
            "Metadata values can have up to 500 characters.",
        ));
    }
    Ok(())
}

fn within_key_limit(metadata: Map<String, Value>) -> Result<Value, ApiError> {
    if metadata.len() > METADATA_KEYS_MAX {
        return Err(ApiError::parameter("parameter_invalid", "metadata", "Metadata can have up to 50 keys."));
    }
    Ok(Value::Object(metadata))
}
