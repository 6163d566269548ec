//! The account's API keys.

use std::collections::BTreeMap;

use super::Account;

/// What a key may do with one kind of objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing.
    None,
    /// Read and list.
    Read,
    /// Everything.
    Write,
}

/// An API key.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    secret: String,
    default: Permission,
    by_kind: BTreeMap<String, Permission>,
    is_revoked: bool,
}

/// What a key turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyCheck {
    Unknown,
    Revoked,
    Forbidden,
    Granted,
}

impl Account {
    /// Adds a secret key that may do everything.
    pub fn add_key(&mut self, secret: &str) {
        self.add_restricted_key(secret, Permission::Write, &[]);
    }

    /// Adds a restricted key (`rk_…`) that may do `default`, and something else with some kinds. A key of the same text is replaced.
    pub fn add_restricted_key(&mut self, secret: &str, default: Permission, by_kind: &[(&str, Permission)]) {
        self.keys.retain(|key| key.secret != secret);
        let by_kind = by_kind.iter().map(|(kind, permission)| ((*kind).to_owned(), *permission)).collect();
        self.keys.push(Key { secret: secret.to_owned(), default, by_kind, is_revoked: false });
    }

    /// Revokes a key: from now on every request with it is answered 401.
    pub fn revoke_key(&mut self, secret: &str) {
        for key in self.keys.iter_mut().filter(|key| key.secret == secret) {
            key.is_revoked = true;
        }
    }

    pub(crate) fn check_key(&self, secret: &str, kind: &str, needed: Permission) -> KeyCheck {
        let Some(key) = self.keys.iter().find(|key| key.secret == secret) else {
            return KeyCheck::Unknown;
        };
        if key.is_revoked {
            return KeyCheck::Revoked;
        }
        let permission = key.by_kind.get(kind).copied().unwrap_or(key.default);
        if permission >= needed { KeyCheck::Granted } else { KeyCheck::Forbidden }
    }
}
