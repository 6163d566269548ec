//! From the text of a setting to its checked value.

use std::net::SocketAddr;
use std::str::FromStr;

use billhook_billing::{ColumnName, NameDefect, TableName};
use billhook_flow::Aliases;

use super::database::Database;
use super::secret;
use super::setting::{Kind, Setting};
use super::value::Value;

/// Why a value is refused. Neither part ever holds the value of a secret or of a database URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as the rest of a sentence that begins with the name: "is empty".
    pub what: String,
    /// What to do about it.
    pub action: String,
}

impl Problem {
    /// A problem in two halves.
    pub fn new(what: impl Into<String>, action: impl Into<String>) -> Self {
        Self { what: what.into(), action: action.into() }
    }
}

/// Checks a value.
///
/// # Errors
/// When the setting does not take it.
pub fn value(setting: &Setting, text: &str) -> Result<Value, Problem> {
    match setting.kind {
        Kind::Pem => pem(text),
        Kind::Secret(rule) => secret::check(rule, text).map(Value::Secret),
        Kind::Secrets(rule) => {
            text.split(',').map(|part| secret::check(rule, part)).collect::<Result<_, _>>().map(Value::Secrets)
        }
        Kind::Integer { min, max, unit } => integer(text, min, max, unit),
        Kind::Boolean => boolean(text),
        Kind::Choice(words) => choice(setting, text, words),
        Kind::List(words) => list(setting, text, words),
        Kind::Address => address(text),
        Kind::Database => Database::parse(text).map(Value::Database),
        Kind::Url => url(text),
        Kind::File => file(text),
        Kind::Identifier => identifier(text),
        Kind::Table => name::<TableName>(text),
        Kind::Column => name::<ColumnName>(text),
        Kind::ApiVersion => api_version(text),
        Kind::Account => account(text),
        Kind::Aliases => aliases(text),
    }
}

/// The value of a boolean under a name of an older engine: exactly `true` is true, as it was there.
pub fn compatible_boolean(text: &str) -> Value {
    Value::Boolean(text == "true")
}

fn pem(text: &str) -> Result<Value, Problem> {
    let text = text.replace("\\n", "\n");
    if text.contains("-----BEGIN ") {
        Ok(Value::Text(text))
    } else {
        Err(Problem::new("is not PEM text", "set the certificate itself, from -----BEGIN to -----END"))
    }
}

fn integer(text: &str, min: u64, max: u64, unit: &str) -> Result<Value, Problem> {
    match text.trim().parse::<u64>() {
        Ok(number) if (min..=max).contains(&number) => Ok(Value::Integer(number)),
        Ok(number) => Err(Problem::new(format!("is {number}, out of range"), format!("set {min} to {max} {unit}"))),
        Err(_) => {
            Err(Problem::new(format!("is {}, not a whole number", quoted(text)), format!("set {min} to {max} {unit}")))
        }
    }
}

fn boolean(text: &str) -> Result<Value, Problem> {
    match text.trim() {
        "true" => Ok(Value::Boolean(true)),
        "false" => Ok(Value::Boolean(false)),
        other => Err(Problem::new(format!("is {}", quoted(other)), "set true or false")),
    }
}

fn choice(setting: &Setting, text: &str, words: &[&str]) -> Result<Value, Problem> {
    let word = text.trim();
    if words.contains(&word) {
        Ok(Value::Text(word.to_owned()))
    } else {
        Err(Problem::new(format!("is {}", quoted(word)), format!("set {}", setting.kind.describe().replace('`', ""))))
    }
}

fn list(setting: &Setting, text: &str, words: &[&str]) -> Result<Value, Problem> {
    let mut chosen = Vec::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        if !words.contains(&word) {
            let action = format!("set {}", setting.kind.describe().replace('`', ""));
            return Err(Problem::new(format!("contains {}", quoted(word)), action));
        }
        chosen.push(word.to_owned());
    }
    Ok(Value::List(chosen))
}

fn address(text: &str) -> Result<Value, Problem> {
    let numeric = match text.trim().strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.trim().to_owned(),
    };
    numeric.parse::<SocketAddr>().map(Value::Address).map_err(|_| {
        let action = "set a numeric address and a port, e.g. 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080";
        Problem::new(format!("is {}, not an address to listen on", quoted(text)), action)
    })
}

fn url(text: &str) -> Result<Value, Problem> {
    let refuse = |what: &str| Err(Problem::new(what, "set an http:// or https:// URL without user name or query"));
    let Some((scheme, rest)) = text.split_once("://") else { return refuse("is not a URL") };
    if !matches!(scheme, "http" | "https") {
        return refuse("is not an HTTP URL");
    }
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || rest.contains(['@', '?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("is not a plain HTTP URL");
    }
    Ok(Value::Text(text.trim_end_matches('/').to_owned()))
}

fn file(text: &str) -> Result<Value, Problem> {
    if text.trim().is_empty() || text.chars().any(char::is_control) {
        return Err(Problem::new("is not a path", "set the path of the file"));
    }
    Ok(Value::Text(text.to_owned()))
}

fn identifier(text: &str) -> Result<Value, Problem> {
    /// PostgreSQL cuts longer names.
    const NAME_BYTES_MAX: usize = 63;
    let mut characters = text.chars();
    let begins_well = characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_');
    let goes_on_well = characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    let reserved = text.starts_with("pg_") || matches!(text, "billhook" | "billing" | "information_schema");
    if begins_well && goes_on_well && !reserved && text.len() <= NAME_BYTES_MAX {
        Ok(Value::Text(text.to_owned()))
    } else if reserved {
        Err(Problem::new(format!("is {}, a reserved schema", quoted(text)), "choose another name"))
    } else {
        let action = "use at most 63 lower-case letters, digits and underscores, not beginning with a digit";
        Err(Problem::new(format!("is {}, not a plain SQL name", quoted(text)), action))
    }
}

/// A name of the user's: whatever its type takes.
fn name<N: FromStr<Err = NameDefect>>(text: &str) -> Result<Value, Problem> {
    match text.parse::<N>() {
        Ok(_) => Ok(Value::Text(text.to_owned())),
        Err(NameDefect { .. }) => {
            let action = "use at most 63 letters, digits and underscores, not beginning with a digit";
            Err(Problem::new(format!("is {}, not a plain SQL name", quoted(text)), action))
        }
    }
}

fn api_version(text: &str) -> Result<Value, Problem> {
    let (date, release) = text.split_once('.').map_or((text, None), |(date, release)| (date, Some(release)));
    let dated = date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok();
    let named = release.is_none_or(|name| !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'));
    if dated && named {
        Ok(Value::Text(text.to_owned()))
    } else {
        let action = "set a version such as 2020-08-27 or 2025-03-31.basil";
        Err(Problem::new(format!("is {}, not an API version", quoted(text)), action))
    }
}

fn account(text: &str) -> Result<Value, Problem> {
    let id = text.strip_prefix("acct_").unwrap_or_default();
    if !id.is_empty() && id.len() <= 64 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Ok(Value::Text(text.to_owned()))
    } else {
        Err(Problem::new(format!("is {}, not an account id", quoted(text)), "set the id that begins with acct_"))
    }
}

fn aliases(text: &str) -> Result<Value, Problem> {
    let mut given = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, event_type)) = part.split_once('=') else {
            let action = "write name=type, e.g. billing/lost=customer.subscription.deleted";
            return Err(Problem::new(format!("contains {}", quoted(part)), action));
        };
        given.push((name.trim(), event_type.trim()));
    }
    let shown: Vec<String> = given.iter().map(|(name, event_type)| format!("{name}={event_type}")).collect();
    match Aliases::default().with(given) {
        Ok(aliases) => Ok(Value::Aliases(aliases, shown.join(","))),
        Err(defects) => {
            let told: Vec<String> =
                defects.iter().map(|defect| format!("{} {}", quoted(&defect.name), defect.what)).collect();
            let action = defects.into_iter().map(|defect| defect.action).next().unwrap_or_default();
            Err(Problem::new(format!("has a name that cannot be: {}", told.join(", ")), action))
        }
    }
}

/// A value inside a message: short, printable and without anything that looks like a secret pasted into the wrong place.
fn quoted(text: &str) -> String {
    /// Longer values are cut.
    const SHOWN_CHARS_MAX: usize = 60;
    let shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    let rest = if text.chars().count() > SHOWN_CHARS_MAX { "…" } else { "" };
    format!("{:?}{rest}", billhook_core::redact::redact(&shown))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::table;

    fn check(key: &str, text: &str) -> Result<Value, Problem> {
        value(table::by_key(key).unwrap(), text)
    }

    #[test]
    fn numbers_out_of_range_say_the_range() {
        let problem = check("ingest.tolerance_seconds", "0").unwrap_err();
        assert_eq!(problem.what, "is 0, out of range");
        assert_eq!(problem.action, "set 1 to 86400 seconds");
        assert!(check("ingest.body_bytes_max", "8388608").is_ok());
        assert!(check("ingest.body_bytes_max", "8388609").is_err());
        assert!(check("retention.days", "32").is_err());
        assert!(check("ingest.deadline_ms", "5s").unwrap_err().what.contains("not a whole number"));
        assert!(check("ingest.deadline_ms", "-5").is_err());
    }

    #[test]
    fn addresses_are_numeric_with_a_port() {
        for good in ["127.0.0.1:8080", "0.0.0.0:1", "[::1]:8080", "localhost:8080"] {
            assert!(check("listen", good).is_ok(), "{good}");
        }
        for bad in ["8080", ":8080", "example.com:8080", "127.0.0.1", "127.0.0.1:99999", ""] {
            assert!(check("listen", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn schemas_are_plain_names_that_are_not_taken() {
        for good in ["stripe", "stripe_test", "_s2"] {
            assert!(check("schema", good).is_ok(), "{good}");
        }
        for bad in ["", "Stripe", "2stripe", "a b", "a\"b", "a;drop", "billhook", "pg_catalog", &"a".repeat(64)] {
            assert!(check("schema", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_tables_and_columns_are_plain() {
        for good in ["users", "User", "public.users", "auth.users_2"] {
            assert!(check("billing.users_table", good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "users\"; DROP TABLE x", "a.b.c"] {
            assert!(check("billing.users_table", bad).is_err(), "{bad}");
            assert!(check("billing.users_email_column", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn api_versions_are_dates() {
        for good in ["2020-08-27", "2025-03-31.basil"] {
            assert!(check("stripe.api_version", good).is_ok(), "{good}");
        }
        for bad in ["latest", "2020-13-01", "2025-03-31.", "2025-03-31.Basil", ""] {
            assert!(check("stripe.api_version", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_the_word_true_is_true_under_a_compatible_name() {
        for (text, expected) in [("true", true), ("TRUE", false), ("1", false), ("yes", false), ("false", false)] {
            assert!(matches!(compatible_boolean(text), Value::Boolean(found) if found == expected), "{text}");
        }
        assert!(check("disable_migrations", "1").is_err());
    }

    #[test]
    fn a_list_takes_only_known_words() {
        let Ok(Value::List(words)) = check("stripe.revalidate_objects", "charge, invoice,") else { panic!("refused") };
        assert_eq!(words, ["charge", "invoice"]);
        assert!(check("stripe.revalidate_objects", "charges").is_err());
    }

    #[test]
    fn names_of_events_stand_for_types_that_exist() {
        let Ok(Value::Aliases(aliases, given)) =
            check("functions.aliases", "billing/lost=customer.subscription.deleted, billing/paid = invoice.paid,")
        else {
            panic!("refused")
        };
        assert_eq!(aliases.names_of("invoice.paid"), ["stripe/invoice.paid", "billing/paid"]);
        assert_eq!(given, "billing/lost=customer.subscription.deleted,billing/paid=invoice.paid");
        let problem = check("functions.aliases", "billing/paid=invoice.payed").unwrap_err();
        assert!(problem.what.contains("billing/paid") && problem.what.contains("invoice.payed"), "{}", problem.what);
        assert_eq!(problem.action, "did you mean invoice.paid?");
        for bad in ["invoice.paid", "=invoice.paid", "billing/*=invoice.paid", "stripe/charge.failed=invoice.paid"] {
            assert!(check("functions.aliases", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_repeated() {
        let problem = check("listen", "whsec_0123456789abcdef0123").unwrap_err();
        assert!(!problem.what.contains("0123456789"), "{}", problem.what);
    }

    #[test]
    fn one_bad_secret_refuses_the_list() {
        assert!(check("stripe.webhook_secret", "whsec_0123456789abcdef,whsec_fedcba9876543210").is_ok());
        for bad in ["whsec_0123456789abcdef,", "whsec_0123456789abcdef, whsec_fedcba9876543210", ","] {
            assert!(check("stripe.webhook_secret", bad).is_err(), "{bad}");
        }
    }
}
