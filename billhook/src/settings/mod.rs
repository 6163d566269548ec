//! Settings: one table, four places they come from, and the checked configuration.

pub mod configuration;
pub mod database;
pub mod document;
mod file;
pub mod origin;
mod parse;
mod secret;
pub mod setting;
pub mod sources;
pub mod table;
mod value;

use origin::{Origin, Refusal};
use setting::{Default, Kind, Setting};
use sources::Sources;
use value::Value;

/// One setting with the value that holds.
#[derive(Debug)]
pub struct Entry {
    /// The row of the table.
    pub setting: &'static Setting,
    /// Where the value came from.
    pub origin: Origin,
    /// The checked value; `None` when it is unset.
    pub value: Result<Option<Value>, Refusal>,
}

/// Every setting with the value that holds.
#[derive(Debug)]
pub struct Resolution {
    /// In the order of the table.
    pub entries: Vec<Entry>,
    /// Unreadable files and unknown keys.
    pub refusals: Vec<Refusal>,
    /// What is suspicious and no reason to stop.
    pub warnings: Vec<String>,
}

impl Resolution {
    /// Takes for every setting its strongest value and checks it: flag over environment over `.env` over `billhook.toml` over
    /// default.
    pub fn of(sources: Sources) -> Self {
        let entries = table::ALL.iter().map(|setting| resolve(setting, &sources)).collect();
        Self { entries, refusals: sources.refusals, warnings: sources.warnings }
    }
}

fn resolve(setting: &'static Setting, sources: &Sources) -> Entry {
    let Some((origin, text)) = sources.find(setting) else {
        let origin = Origin::Default(setting.key);
        let value = match setting.default {
            Default::Unset(_) => Ok(None),
            Default::Value(text) => check(setting, &origin, text),
        };
        return Entry { setting, origin, value };
    };
    // An empty Stripe key or certificate is how the existing engines say that there is none.
    let says_none = text.is_empty() && (setting.kind == Kind::Pem || setting.key == "stripe.secret_key");
    let value = if says_none { Ok(None) } else { check(setting, &origin, text) };
    Entry { setting, origin, value }
}

fn check(setting: &Setting, origin: &Origin, text: &str) -> Result<Option<Value>, Refusal> {
    if setting.kind == Kind::Boolean && is_name_of_other_engines(origin) {
        return Ok(Some(parse::compatible_boolean(text)));
    }
    parse::value(setting, text).map(Some).map_err(|problem| Refusal::of_value(origin, problem))
}

fn is_name_of_other_engines(origin: &Origin) -> bool {
    match origin {
        Origin::Environment(name) | Origin::DotEnv(name) => !name.starts_with("BILLHOOK_"),
        _ => false,
    }
}
