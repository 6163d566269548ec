//! The shapes of older API versions.

use serde_json::Value;

/// Renders an object of the newest shape as `version` shows it. Embedded objects that have a kind of their own (`lines.data[]`,
/// `items.data[].price`) are the renderer's business too.
pub fn render(object: &Value, kind: &str, version: &str) -> Value {
    let _ = (kind, version);
    object.clone()
}

/// Whether objects of this kind look the same in `version` as in the newest, so that stored bytes can be sent as they are.
pub fn is_newest(version: &str) -> bool {
    version == billhook_stripe::catalogue::api_version()
}
