//! Masks secrets and e-mail addresses in text that is about to be logged.
//!
//! This is the last line of defence: nothing secret should reach a log message in the first place. It errs on the side of
//! masking too much.

use std::borrow::Cow;
use std::ops::Range;

/// What stands in for what must not be seen.
const MASK: &str = "…";

/// What stands in for an e-mail address.
const EMAIL_MASK: &str = "[e-mail]";

/// Beginnings of Stripe's keys and webhook secrets, and of Billhook's own API keys.
const KEY_PREFIXES: [&str; 5] = ["sk_", "rk_", "pk_", "whsec_", "bh_"];

/// Last characters of a key that stay visible, so that an operator can tell keys apart.
const KEY_CHARACTERS_SHOWN: usize = 4;

/// Keys shorter than this, without their prefix, are masked whole: the last characters would give too much away.
const KEY_CHARACTERS_MIN: usize = 12;

/// Most bytes of the part of an address before the `@` (RFC 5321).
const EMAIL_LOCAL_BYTES_MAX: usize = 64;

/// Most characters of a URL in which its password is searched for, so that hostile text cannot make the search expensive.
const URL_CHARACTERS_MAX: usize = 1024;

/// Names whose value is masked, and whether an unquoted value ends at the next space. Headers end with their line.
const SECRET_NAMES: [(&str, bool); 4] =
    [("authorization", false), ("cookie", false), ("stripe-signature", false), ("password", true)];

/// A part of a text, and what replaces it.
type Finding = (Range<usize>, &'static str);

/// Finds the first part at or after a position that must be masked. Ranges are never empty and begin and end at characters.
type Rule = fn(&str, usize) -> Option<Finding>;

/// Whole values go first, so that later rules see what is left of them.
const RULES: [Rule; 4] = [named_value, url_password, key, email];

/// Masks in `text`:
/// - keys (`sk_`, `rk_`, `pk_`, `whsec_`, `bh_`): the prefix with the mode and the last 4 characters stay,
/// - passwords in URLs (`postgres://user:password@host`) and after `password=`,
/// - the values of `Authorization`, `Cookie` and `Stripe-Signature`, in header, JSON or debug form,
/// - e-mail addresses.
///
/// Borrowed when there is nothing to mask.
pub fn redact(text: &str) -> Cow<'_, str> {
    RULES.into_iter().fold(Cow::Borrowed(text), replace_all)
}

fn replace_all(text: Cow<'_, str>, rule: Rule) -> Cow<'_, str> {
    let mut masked = String::new();
    let mut copied = 0;
    while let Some((range, mask)) = rule(&text, copied) {
        masked.push_str(text.get(copied..range.start).unwrap_or_default());
        masked.push_str(mask);
        copied = range.end;
    }
    if copied == 0 {
        return text;
    }
    masked.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(masked)
}

/// The value after one of [`SECRET_NAMES`] and a colon or an equals sign.
fn named_value(text: &str, from: usize) -> Option<Finding> {
    for (at, separator) in text.get(from..)?.match_indices([':', '=']) {
        let separator = from + at..from + at + separator.len();
        let name = text.get(..separator.start)?.trim_end_matches(['"', '\'', '\\', ' ']);
        let Some((_, ends_at_space)) = SECRET_NAMES.iter().find(|(known, _)| ends_with_ignoring_case(name, known))
        else {
            continue;
        };
        let rest = text.get(separator.end..)?.trim_start_matches(['\\', ' ']);
        let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''));
        let value = quote.map_or(rest, |quote| rest.strip_prefix(quote).unwrap_or(rest));
        let length = match quote {
            Some(quote) => quoted_length(value, quote),
            None if *ends_at_space => value
                .find(|c: char| c.is_whitespace() || matches!(c, '&' | ',' | ';' | '"' | '\''))
                .unwrap_or(value.len()),
            None => value.find(['\n', '\r']).unwrap_or(value.len()),
        };
        let start = text.len() - value.len();
        if value.get(..length).is_some_and(|value| !value.is_empty() && value != MASK) {
            return Some((start..start + length, MASK));
        }
    }
    None
}

fn ends_with_ignoring_case(text: &str, end: &str) -> bool {
    let start = text.len().checked_sub(end.len());
    start.and_then(|start| text.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

/// Length up to the closing quote that no backslash precedes; all of the text when there is none.
fn quoted_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        if character == quote && !is_escaped {
            return at;
        }
        is_escaped = character == '\\' && !is_escaped;
    }
    text.len()
}

/// The password in `scheme://user:password@host`.
fn url_password(text: &str, from: usize) -> Option<Finding> {
    for (at, separator) in text.get(from..)?.match_indices("://") {
        let start = from + at + separator.len();
        let rest = text.get(start..)?;
        let scheme = text.get(..from + at)?;
        // People write passwords with `/`, `?` or `#` into database URLs without encoding them.
        let is_database = ["postgres", "postgresql"].iter().any(|known| ends_with_ignoring_case(scheme, known));
        let is_inside = |(_, c): &(usize, char)| match c {
            '/' | '?' | '#' => is_database,
            _ => !c.is_whitespace() && !matches!(c, '"' | '\'' | '`' | '<' | '>'),
        };
        let last = rest.char_indices().take(URL_CHARACTERS_MAX).take_while(is_inside).last();
        let authority_end = last.map_or(0, |(at, c)| at + c.len_utf8());
        let user_and_password = rest.get(..authority_end).and_then(|authority| authority.rsplit_once('@'));
        let password = user_and_password.and_then(|(user_and_password, _)| user_and_password.split_once(':'));
        if let Some((user, password)) = password
            && !password.is_empty()
            && password != MASK
        {
            let start = start + user.len() + 1;
            return Some((start..start + password.len(), MASK));
        }
    }
    None
}

/// The hidden part of a key.
fn key(text: &str, from: usize) -> Option<Finding> {
    for (at, _) in text.get(from..)?.match_indices('_') {
        let prefix_end = from + at + 1;
        let head = text.get(..prefix_end)?;
        let Some(prefix) = KEY_PREFIXES.into_iter().find(|prefix| head.ends_with(prefix)) else { continue };
        let rest = text.get(prefix_end..)?;
        let mode = ["live_", "test_"].into_iter().find(|mode| rest.starts_with(mode));
        let before = head.strip_suffix(prefix).and_then(|before| before.chars().next_back());
        // `task_list` is no key, nor is the end of a masked key; `sk_live_` and `whsec_` are, whatever they are glued to.
        let is_inside_a_word = before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '…'));
        if is_inside_a_word && mode.is_none() && prefix != "whsec_" {
            continue;
        }
        let start = prefix_end + mode.map_or(0, str::len);
        let body = text.get(start..)?;
        let is_end = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '/' | '='));
        let length = body.find(is_end).unwrap_or(body.len());
        let shown = if length < KEY_CHARACTERS_MIN { 0 } else { KEY_CHARACTERS_SHOWN };
        if length > 0 {
            return Some((start..start + length - shown, MASK));
        }
    }
    None
}

/// An e-mail address, its `@` plain or percent-encoded.
fn email(text: &str, from: usize) -> Option<Finding> {
    for (at, sign) in text.get(from..)?.match_indices(['@', '%']) {
        let at = from + at;
        let sign_length = match sign {
            "@" => 1,
            _ if text.get(at..)?.starts_with("%40") => 3,
            _ => continue,
        };
        let before = text.get(from..at)?;
        let local_length = local_part_length(before);
        // `postgres://user@db.example.com` names a host.
        let is_url = before.get(..before.len() - local_length).is_some_and(|before| before.ends_with("://"));
        let domain = text.get(at + sign_length..)?;
        let domain_end =
            domain.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '-'))).unwrap_or(domain.len());
        let domain = domain.get(..domain_end)?.trim_end_matches(['.', '-']);
        let has_dot = domain.split_once('.').is_some_and(|(label, _)| !label.is_empty());
        if local_length > 0 && has_dot && !is_url {
            return Some((at - local_length..at + sign_length + domain.len(), EMAIL_MASK));
        }
    }
    None
}

/// Bytes of the longest end of `text` that can stand before an `@`.
fn local_part_length(text: &str) -> usize {
    let is_local = |c: &char| c.is_alphanumeric() || matches!(c, '.' | '_' | '%' | '+' | '-');
    let mut length = 0;
    for character in text.chars().rev().take_while(is_local) {
        if length + character.len_utf8() > EMAIL_LOCAL_BYTES_MAX {
            break;
        }
        length += character.len_utf8();
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_masked() {
        for (text, expected) in [
            ("key sk_live_51HabcdefghijklmnWXYZ used", "key sk_live_…WXYZ used"),
            ("rk_test_51HabcdefghijklmnWXYZ", "rk_test_…WXYZ"),
            ("pk_live_51HabcdefghijklmnWXYZ,", "pk_live_…WXYZ,"),
            ("secrets=whsec_abcdefghijklmnop,whsec_ABCDEFGHIJKLMNOP", "secrets=whsec_…mnop,whsec_…MNOP"),
            ("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD/w=", "whsec_…D/w="),
            ("bh_live_k1_0123456789abcdef", "bh_live_…cdef"),
            ("sk_short", "sk_…"),
            ("whsec_local", "whsec_…"),
            (r"line\nsk_live_51HabcdefghijklmnWXYZ", r"line\nsk_live_…WXYZ"),
            ("postgres://user:pw@host:5432/db", "postgres://user:…@host:5432/db"),
            ("POSTGRESQL://user:p@w/o?r#d@db.example.com/x failed", "POSTGRESQL://user:…@db.example.com/x failed"),
            (r#"url="nats://u:secret@h","nats://u:other@h""#, r#"url="nats://u:…@h","nats://u:…@h""#),
            ("host=db password=hunter2 user=x", "host=db password=… user=x"),
            ("host=db password = 'two words' user=x", "host=db password = '…' user=x"),
            ("?sslmode=require&Password=hunter2&x=1", "?sslmode=require&Password=…&x=1"),
            ("Authorization: Bearer abc.def\nHost: x", "Authorization: …\nHost: x"),
            ("cookie: a=b; c=d\r\nHost: x", "cookie: …\r\nHost: x"),
            ("Set-Cookie: __Host-session=abc; Secure", "Set-Cookie: …"),
            ("Stripe-Signature: t=1,v1=abc", "Stripe-Signature: …"),
            (r#"{"authorization":"Bearer \"x\"","host":"y"}"#, r#"{"authorization":"…","host":"y"}"#),
            (r#"{"authorization": "unclosed"#, r#"{"authorization": "…"#),
            (r#""{\"cookie\":\"a=b\"}" next"#, r#""{\"cookie\":\"…" next"#),
            ("sent to jenny.rosen+x@example.co.uk.", "sent to [e-mail]."),
            ("<jörg@bücher.example>", "<[e-mail]>"),
            ("GET /v1/customers?email=jenny%40example.com&limit=1", "GET /v1/customers?email=[e-mail]&limit=1"),
            ("a@b.co,c@d.co", "[e-mail],[e-mail]"),
        ] {
            assert_eq!(redact(text), expected);
            assert_eq!(redact(expected), expected, "masked once more");
        }
    }

    #[test]
    fn what_is_left_alone() {
        for text in [
            "",
            "delivery evt_1NG8Du2eZvKYlo2C applied to customers",
            "task_list, disk_usage and a tusk_",
            "sk_ pk_live_ whsec_",
            "postgres://user@db.example.com/billhook",
            "postgres://db.example.com:5432/billhook",
            "http://127.0.0.1:8080/x?at=@home",
            "at 12:00:00, user = x, path=/a",
            "Authorization: ",
            "password authentication failed",
            "@ a@ @b.c a@b a@.b x%41y.z 100%",
            "Zoë … 😀",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text}: {}", redact(text));
        }
    }

    #[test]
    fn long_hostile_text_is_masked_in_linear_time() {
        // A quadratic rule takes a minute for one of these, a linear one milliseconds.
        for piece in
            ["a%40", "_", "sk_", "://", "postgres://", "x://a:", "password=", "a@b.c ", ": ", "\\\"", "://a:b@"]
        {
            let text = piece.repeat(200_000 / piece.len());
            let start = std::time::Instant::now();
            assert!(redact(&text).len() <= 4 * text.len());
            assert!(start.elapsed().as_secs() < 10, "{piece}");
        }
    }

    proptest! {
        #[test]
        fn no_secret_survives_in_any_surroundings(
            before in "([a@:=_/.%\"' \\\\\n]|sk_|live_|whsec_|://|password|cookie|%40|\\PC){0,20}",
            after in "[ ,;\"'\n)\\]}].{0,20}",
            canary in "[a-zA-Z0-9]{24}",
        ) {
            for secret in [
                format!("sk_live_{canary}"),
                format!("whsec_{canary}"),
                format!("bh_test_{canary}"),
                format!(" postgres://u:{canary}@h/db"),
                format!("\nAuthorization: Bearer {canary}\n"),
                format!(" {canary}@example.com"),
            ] {
                let text = format!("{before}{secret}{after}");
                let masked = redact(&text);
                prop_assert!(!masked.contains(&canary), "{} became {}", text, masked);
            }
        }
    }
}
