//! The API key: its form, its mode, and where it comes from.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use billhook_core::Secret;

use super::ApiKey;

/// Bytes of a key's file that are read. Keys have about 110 characters.
const KEY_FILE_BYTES_MAX: u64 = 4 << 10;

/// A key that Stripe may accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) secret: Secret,
    /// The mode that its prefix names.
    pub(super) livemode: Option<bool>,
}

impl Key {
    /// Checks the form of a key.
    ///
    /// # Errors
    /// A sentence without the key in it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let begins = |prefix: &str| text.starts_with(prefix);
        let wrong = if text.is_empty() {
            "is empty"
        } else if begins("pk_") {
            "is a publishable key (pk_…), which may read nothing"
        } else if begins("whsec_") {
            "is a webhook secret (whsec_…), not an API key"
        } else if !begins("sk_") && !begins("rk_") {
            "does not begin with sk_ or rk_"
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            "contains a space or another character that no key has"
        } else {
            return Ok(Self { secret: Secret::new(text), livemode: livemode(text) });
        };
        Err(format!(
            "the Stripe API key {wrong}; use a restricted key (rk_…) with read permissions, or a secret key (sk_…)"
        ))
    }

    /// Reads the key from where it is.
    ///
    /// # Errors
    /// A sentence without the key in it.
    pub(super) fn read(source: &ApiKey) -> Result<Self, String> {
        match source {
            ApiKey::Fixed(secret) => Self::parse(secret.expose()),
            ApiKey::File(path) => {
                Self::parse(&read_file(path)?).map_err(|error| format!("{}: {error}", path.display()))
            }
        }
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| format!("the file of the Stripe API key, {}, cannot be read: {error}", path.display()))?;
    Ok(text)
}

/// `sk_live_…`, `rk_test_…`, and keys of organisations (`sk_org_live_…`).
fn livemode(key: &str) -> Option<bool> {
    let rest = key.get(3..)?;
    let rest = rest.strip_prefix("org_").unwrap_or(rest);
    match rest.split_once('_')?.0 {
        "live" => Some(true),
        "test" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_and_restricted_keys_are_taken_and_tell_their_mode() {
        for (text, livemode) in [
            ("sk_live_51Habc", Some(true)),
            ("rk_live_51Habc", Some(true)),
            ("sk_test_51Habc\n", Some(false)),
            ("  rk_test_51Habc", Some(false)),
            ("sk_org_live_abc", Some(true)),
            ("sk_0123456789", None),
        ] {
            let key = Key::parse(text).unwrap();
            assert_eq!((key.secret.expose(), key.livemode), (text.trim(), livemode));
        }
    }

    #[test]
    fn other_keys_are_refused_with_a_sentence_that_does_not_repeat_them() {
        for (text, says) in [
            ("", "empty"),
            (" \n", "empty"),
            ("pk_live_canary", "publishable"),
            ("whsec_canary", "webhook secret"),
            ("Bearer sk_live_canary", "does not begin"),
            ("sk_live_canary canary", "space"),
            ("sk_live_canary\nsk_live_canary", "space"),
            ("sk_live_canaryä", "character"),
        ] {
            let error = Key::parse(text).unwrap_err();
            assert!(error.contains(says) && !error.contains("canary"), "{text:?}: {error}");
        }
    }
}
