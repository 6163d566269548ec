//! Removes from a text what must not reach a log: secrets, passwords, values of credential headers, e-mail addresses.
//!
//! This is the last line of defence. The first is that nothing puts such values into a message.

use std::borrow::Cow;

/// Beginnings of secret tokens. What follows them is removed.
const TOKEN_PREFIXES: &[&str] = &["whsec_", "sk_", "rk_", "bh_"];

/// Fewer characters after a prefix are a name such as `bh_id` and no secret.
const TOKEN_CHARS_MIN: usize = 6;

/// Names whose value is removed up to the end of the line or of the quoted text.
const CREDENTIAL_NAMES: &[&str] = &["authorization", "cookie", "stripe-signature", "password"];

/// What stands in place of what was removed.
const REMOVED: &str = "[redacted]";

/// The text without what must not be shown; borrowed when there is nothing of it.
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        match found_at(text, at) {
            Some((start, end)) if end > start && start >= copied => {
                shown.push_str(&text[copied..start]);
                shown.push_str(REMOVED);
                copied = end;
                at = end;
            }
            _ => at += text[at..].chars().next().map_or(1, char::len_utf8),
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(&text[copied..]);
    Cow::Owned(shown)
}

/// The bytes to remove for something that begins, or for an address has its `@`, at this place.
fn found_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = &text[at..];
    let begins_word = !text[..at].chars().next_back().is_some_and(|character| character.is_ascii_alphanumeric());
    match rest.as_bytes().first()? {
        b'@' => email(text, at),
        b':' if rest.starts_with("://") => password(text, at),
        _ if begins_word => token(rest).or_else(|| credential(rest)).map(|(start, end)| (at + start, at + end)),
        _ => None,
    }
}

fn token(rest: &str) -> Option<(usize, usize)> {
    let prefix = TOKEN_PREFIXES.iter().find(|prefix| rest.starts_with(**prefix))?;
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    (end - prefix.len() >= TOKEN_CHARS_MIN).then_some((prefix.len(), end))
}

/// `authorization: VALUE`, `"cookie":"VALUE"`, `password=VALUE`.
fn credential(rest: &str) -> Option<(usize, usize)> {
    let is_name = |name: &&&str| rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let name = CREDENTIAL_NAMES.iter().find(is_name)?;
    let value = &rest[name.len()..];
    let separators = value.find(|c: char| !matches!(c, '"' | '\\' | ':' | '=' | ' '))?;
    if !value[..separators].contains([':', '=']) {
        return None;
    }
    let start = name.len() + separators;
    let end = rest[start..].find(['"', '\n', '\r', '&']).map_or(rest.len(), |length| start + length);
    (end > start && !rest[start..end].starts_with(REMOVED)).then_some((start, end))
}

/// `scheme://user:PASSWORD@host`.
fn password(text: &str, at: usize) -> Option<(usize, usize)> {
    let start = at + "://".len();
    let end = text[start..]
        .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '?'))
        .map_or(text.len(), |n| start + n);
    let authority = &text[start..end];
    let (user, _) = authority.rsplit_once('@')?;
    let colon = user.find(':')?;
    Some((start + colon + 1, start + user.len()))
}

fn email(text: &str, at: usize) -> Option<(usize, usize)> {
    let is_local = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+' | '%');
    let local = text[..at].chars().rev().take_while(|c| is_local(*c)).map(char::len_utf8).sum::<usize>();
    let is_domain = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-');
    let domain = text[at + 1..].find(|c: char| !is_domain(c)).unwrap_or(text.len() - at - 1);
    let named = text[at + 1..at + 1 + domain].trim_end_matches('.').contains('.');
    (local > 0 && named).then_some((at - local, at + 1 + domain))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_must_not_be_shown_is_removed() {
        for (text, expected) in [
            ("key sk_live_0123456789 used", "key sk_[redacted] used"),
            ("\"whsec_0123456789abcdef\"", "\"whsec_[redacted]\""),
            ("postgres://me:hunter2@db/app", "postgres://me:[redacted]@db/app"),
            ("postgres://me:a@b@db:1/app?x=1", "postgres://me:[redacted]@db:1/app?x=1"),
            ("Authorization: Bearer abc def", "Authorization: [redacted]"),
            ("{\"cookie\":\"a=b; c=d\",\"x\":1}", "{\"cookie\":\"[redacted]\",\"x\":1}"),
            ("stripe-signature: t=1,v1=ff\nnext", "stripe-signature: [redacted]\nnext"),
            ("host=db password=hunter2", "host=db password=[redacted]"),
            ("mail of jane.doe+x@example.co.uk came", "mail of [redacted] came"),
        ] {
            assert_eq!(redact(text), expected);
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for text in [
            "evt_1 of cus_1 in 3 ms",
            "task_12345678",
            "no authorization given",
            "postgres://db/app",
            "a @ b",
            "bh_id",
            "ünï@x",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{}", redact(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_redacted_and_stays_redacted(text: String) {
            let once = redact(&text).into_owned();
            prop_assert_eq!(redact(&once).into_owned(), once.clone());
        }

        #[test]
        fn a_secret_is_removed_wherever_it_stands(before in "[^a-zA-Z0-9]*", after in "[^a-zA-Z0-9_]*") {
            let text = format!("{before}whsec_CANARY0123456789{after}");
            prop_assert!(!redact(&text).contains("CANARY"));
        }
    }
}
