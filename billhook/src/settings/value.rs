//! A checked value of a setting.

use std::net::SocketAddr;

use billhook_core::Secret;
use billhook_flow::Aliases;

use super::database::Database;
use super::secret;
use super::setting::{Kind, Setting};

/// A checked value.
#[derive(Debug, Clone)]
pub enum Value {
    /// Text, a choice, a URL, a name: whatever is used as it stands.
    Text(String),
    /// One secret.
    Secret(Secret),
    /// Several secrets.
    Secrets(Vec<Secret>),
    /// A whole number.
    Integer(u64),
    /// True or false.
    Boolean(bool),
    /// Words of a fixed set.
    List(Vec<String>),
    /// Names of events, with the given ones as they were written.
    Aliases(Aliases, String),
    /// An address to listen on.
    Address(SocketAddr),
    /// A database.
    Database(Database),
}

impl Value {
    /// The value as a person may see it: secrets and passwords masked, certificates by their size.
    pub fn shown(&self, setting: &Setting) -> String {
        match self {
            Self::Text(text) if setting.kind == Kind::Pem => format!("PEM text of {} bytes", text.len()),
            Self::Text(text) => text.clone(),
            Self::Secret(secret) => secret::masked(secret),
            Self::Secrets(secrets) => secrets.iter().map(secret::masked).collect::<Vec<_>>().join(","),
            Self::Integer(number) => number.to_string(),
            Self::Boolean(boolean) => boolean.to_string(),
            Self::List(words) => words.join(","),
            Self::Aliases(_, given) => given.clone(),
            Self::Address(address) => address.to_string(),
            Self::Database(database) => database.to_string(),
        }
    }
}
