//! Who may call a route.

use std::hint::black_box;

use billhook_core::Secret;
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// Whether the request carries the API key: `Authorization: <key>`, as the existing engines have it, or
/// `Authorization: Bearer <key>`. Without a configured key nobody does.
pub(crate) fn has_api_key(headers: &HeaderMap, api_key: Option<&Secret>) -> bool {
    let Some(key) = api_key.map(|key| key.expose().as_bytes()).filter(|key| !key.is_empty()) else { return false };
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let presented = value.as_bytes();
    let matches_bare = equal_in_constant_time(presented, key);
    let matches_bearer = without_bearer(presented).is_some_and(|presented| equal_in_constant_time(presented, key));
    matches_bare | matches_bearer
}

/// Whether a key that a path carries is the given one. An empty one is none.
pub(crate) fn is_key(presented: &[u8], key: &Secret) -> bool {
    equal_in_constant_time(presented, key.expose().as_bytes())
}

/// What follows `Bearer `, whose case does not matter.
fn without_bearer(value: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let (scheme, rest) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// Compares in a time that depends on the length of `presented` alone, which its sender knows anyway: neither the place of
/// the first difference nor the length of `secret` shows. An empty `secret` equals nothing.
fn equal_in_constant_time(presented: &[u8], secret: &[u8]) -> bool {
    let difference = presented
        .iter()
        .zip(secret.iter().cycle())
        .fold(0_u8, |difference, (left, right)| black_box(difference | (left ^ right)));
    let same_length = presented.len() == secret.len();
    !secret.is_empty() & same_length & (difference == 0)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn granted(values: &[&[u8]], key: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).expect("a value HTTP can carry"));
        }
        has_api_key(&headers, key.map(Secret::new).as_ref())
    }

    #[test]
    fn only_the_exact_key_is_accepted() {
        let key = Some("key-0123456789");
        assert!(granted(&[b"key-0123456789"], key));
        assert!(granted(&[b"Bearer key-0123456789"], key));
        assert!(granted(&[b"bearer key-0123456789"], key));
        for wrong in [
            &b""[..],
            b"key-012345678",
            b"key-01234567890",
            b"key-0123456789key-0123456789",
            b"KEY-0123456789",
            b"Bearer",
            b"Bearer ",
            b"Bearer Bearer key-0123456789",
            b"Basic key-0123456789",
            b"\xff\xfe\x80",
            "kéy-0123456789".as_bytes(),
        ] {
            assert!(!granted(&[wrong], key), "{wrong:?}");
        }
    }

    #[test]
    fn missing_and_repeated_headers_are_refused() {
        assert!(!granted(&[], Some("key")));
        assert!(!granted(&[b"key", b"key"], Some("key")));
    }

    #[test]
    fn without_a_configured_key_everything_is_refused() {
        for key in [None, Some("")] {
            for value in [&b""[..], b"Bearer ", b"Bearer", b"key", b"false"] {
                assert!(!granted(&[value], key), "{key:?} {value:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn comparing_agrees_with_equality(left: Vec<u8>, right: Vec<u8>) {
            prop_assert_eq!(equal_in_constant_time(&left, &right), left == right && !right.is_empty());
            prop_assert_eq!(equal_in_constant_time(&right, &right), !right.is_empty());
        }
    }
}
