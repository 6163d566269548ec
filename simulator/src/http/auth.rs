//! Who asks, and whether they may.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::account::Account;
use crate::account::keys::{KeyCheck, Permission};
use crate::error::ApiError;

/// Checks the key of a request against the kind that its path is about.
pub(super) fn check(account: &Account, headers: &HeaderMap, kind: &str, needed: Permission) -> Result<(), ApiError> {
    let refused = |status, message| ApiError { status, ..ApiError::invalid(message) };
    let Some(key) = key_of(headers) else {
        let message = "You did not provide an API key. Send it as 'Authorization: Bearer YOUR_SECRET_KEY'.";
        return Err(refused(401, message.to_owned()));
    };
    let shown = redacted(&key);
    match account.check_key(&key, kind, needed) {
        KeyCheck::Granted => Ok(()),
        KeyCheck::Unknown => Err(refused(401, format!("Invalid API Key provided: {shown}"))),
        KeyCheck::Revoked => {
            let error = refused(401, format!("Expired API Key provided: {shown}"));
            Err(ApiError { code: Some("api_key_expired".to_owned()), ..error })
        }
        KeyCheck::Forbidden => {
            let action = if needed == Permission::Read { "read" } else { "write" };
            let name = kind.replace('.', "_");
            let message = format!(
                "The provided key '{shown}' does not have the required permissions for this endpoint on account '{}'. \
                 Having the 'rak_{name}_{action}' permission would allow this request to continue.",
                account.id()
            );
            Err(ApiError { code: Some("more_permissions_required".to_owned()), ..refused(403, message) })
        }
    }
}

/// Refuses requests for another account than this one: there is only one.
pub(super) fn check_account(account: &Account, headers: &HeaderMap) -> Result<(), ApiError> {
    let named = headers.get("stripe-account").or_else(|| headers.get("stripe-context"));
    match named.and_then(|value| value.to_str().ok()) {
        Some(other) if other != account.id() => {
            let message =
                format!("The provided key does not have access to account '{other}' (or that account does not exist).");
            Err(ApiError { status: 403, code: Some("account_invalid".to_owned()), ..ApiError::invalid(message) })
        }
        _ => Ok(()),
    }
}

/// The key, from `Bearer <key>` or as the user of `Basic`.
fn key_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    let key = if scheme.eq_ignore_ascii_case("bearer") {
        credentials.trim().to_owned()
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(base64(credentials.trim())?).ok()?;
        decoded.split(':').next().unwrap_or_default().to_owned()
    } else {
        return None;
    };
    (!key.is_empty()).then_some(key)
}

/// A key as Stripe's errors show it: its beginning and its last four letters.
fn redacted(key: &str) -> String {
    let letters: Vec<char> = key.chars().collect();
    let kept_before = if letters.len() > 16 { 8 } else { 3 };
    let hidden = letters.len().saturating_sub(kept_before + 4);
    let show = |at: usize, letter: &char| if at < kept_before || at >= kept_before + hidden { *letter } else { '*' };
    letters.iter().enumerate().map(|(at, letter)| show(at, letter)).collect()
}

/// Decodes base64 with or without padding.
fn base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for letter in text.trim_end_matches('=').bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_from_both_schemes() {
        let key = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, http::HeaderValue::from_static(value));
            key_of(&headers)
        };
        assert_eq!(key("Bearer sk_test_1").as_deref(), Some("sk_test_1"));
        // printf 'sk_test_1:' | base64
        assert_eq!(key("Basic c2tfdGVzdF8xOg==").as_deref(), Some("sk_test_1"));
        assert_eq!((key("Bearer "), key("Digest x")), (None, None));
    }

    #[test]
    fn errors_do_not_show_a_key() {
        assert_eq!(redacted("sk_test_abcdefghijklmnop"), "sk_test_************mnop");
        assert_eq!(redacted("short"), "short");
    }
}
