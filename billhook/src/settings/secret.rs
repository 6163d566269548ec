//! What a secret must look like. A secret that is empty, a placeholder or copied with white space is refused at start, since a
//! server that runs with it either refuses every delivery or can be called by anybody.

use billhook_core::Secret;

use super::parse::Problem;
use super::setting::SecretRule;

/// Least length of what follows the prefix.
const SECRET_CHARS_MIN: usize = 16;

/// Shorter secrets show nothing of themselves when masked.
const TAIL_SHOWN_FROM_CHARS: usize = 24;

/// Known beginnings, longest first.
const PREFIXES: &[&str] = &["whsec_local_", "whsec_", "sk_live_", "sk_test_", "rk_live_", "rk_test_", "sk_", "rk_"];

/// Values that people leave in a template.
const PLACEHOLDERS: &[&str] =
    &["changeme", "change_me", "change-me", "false", "true", "none", "null", "undefined", "test"];

/// Beginnings of values that people leave in a template.
const PLACEHOLDER_BEGINNINGS: &[&str] =
    &["your_", "your-", "yours", "my_secret", "replace", "insert_", "todo", "example", "placeholder", "changeme", "<"];

/// Checks one secret.
pub fn check(rule: SecretRule, text: &str) -> Result<Secret, Problem> {
    let what = what_to_set(rule);
    let refuse = |problem: &'static str| Err(Problem::new(problem, what));
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.trim().is_empty() {
        return refuse("holds only white space");
    }
    if text.trim() != text {
        return refuse("begins or ends with white space");
    }
    if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
        return refuse("contains white space or control characters");
    }
    check_prefix(rule, text)?;
    let rest = without_prefix(text);
    if is_placeholder(text) || is_placeholder(rest) {
        return refuse("is a placeholder");
    }
    if rest.chars().count() < SECRET_CHARS_MIN {
        return refuse("is too short to be a secret (at least 16 characters after the prefix)");
    }
    Ok(Secret::new(text))
}

fn check_prefix(rule: SecretRule, text: &str) -> Result<(), Problem> {
    let what = what_to_set(rule);
    let begins_with = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    match rule {
        _ if begins_with(&["pk_"]) => Err(Problem::new("is a publishable key (pk_…), which can read nothing", what)),
        SecretRule::Webhook if !begins_with(&["whsec_"]) => {
            Err(Problem::new("does not begin with whsec_", "copy the endpoint's signing secret from Stripe"))
        }
        SecretRule::StripeKey if begins_with(&["whsec_"]) => {
            Err(Problem::new("is a webhook secret (whsec_…), not an API key", what))
        }
        SecretRule::StripeKey if !begins_with(&["sk_", "rk_"]) => {
            Err(Problem::new("begins with neither sk_ nor rk_", what))
        }
        SecretRule::ApiKey if begins_with(&["sk_", "rk_", "whsec_"]) => {
            Err(Problem::new("is a secret of Stripe's; the API key is one of your own", what))
        }
        _ => Ok(()),
    }
}

fn what_to_set(rule: SecretRule) -> &'static str {
    match rule {
        SecretRule::Webhook => "set the endpoint's signing secret (whsec_…)",
        SecretRule::StripeKey => "set a restricted key (rk_…) or a secret key (sk_…), or leave it unset",
        SecretRule::ApiKey => "set at least 16 random characters (openssl rand -hex 32), or leave it unset",
    }
}

fn without_prefix(text: &str) -> &str {
    PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text)
}

fn is_placeholder(text: &str) -> bool {
    let lower = text.to_lowercase();
    let mut characters = lower.chars();
    let first = characters.next();
    PLACEHOLDERS.contains(&lower.as_str())
        || PLACEHOLDER_BEGINNINGS.iter().any(|beginning| lower.starts_with(beginning))
        || lower.contains("...")
        || lower.contains('…')
        || characters.all(|character| Some(character) == first)
}

/// A secret as a person may see it: what kind it is and, when it is long, the four characters by which Stripe's dashboard
/// shows it. Of a key without a known prefix only the length.
pub fn masked(secret: &Secret) -> String {
    let text = secret.expose();
    match PREFIXES.iter().find(|prefix| text.starts_with(**prefix)) {
        Some(prefix) if text.len() - prefix.len() >= TAIL_SHOWN_FROM_CHARS => {
            let tail: Vec<char> = text.chars().rev().take(4).collect();
            format!("{prefix}…{}", tail.into_iter().rev().collect::<String>())
        }
        Some(prefix) => format!("{prefix}…"),
        None => format!("({} characters)", text.chars().count()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rule: SecretRule, text: &str) -> String {
        check(rule, text).map(|_| ()).expect_err(text).what
    }

    #[test]
    fn webhook_secrets_that_are_none_are_refused() {
        use SecretRule::Webhook;
        assert_eq!(refused(Webhook, ""), "is empty");
        assert_eq!(refused(Webhook, " \t"), "holds only white space");
        assert_eq!(refused(Webhook, " whsec_0123456789abcdef"), "begins or ends with white space");
        assert_eq!(refused(Webhook, "whsec_0123456789abcdef\n"), "begins or ends with white space");
        assert_eq!(refused(Webhook, "whsec_01234567 89abcdef"), "contains white space or control characters");
        assert_eq!(refused(Webhook, "0123456789abcdef"), "does not begin with whsec_");
        for text in
            ["whsec_test", "whsec_...", "whsec_", "whsec_xxxxxxxxxxxxxxxxxxxxxxxx", "whsec_your_endpoint_secret_here"]
        {
            assert_eq!(refused(Webhook, text), "is a placeholder", "{text}");
        }
        assert!(refused(Webhook, "whsec_0123456789abcde").contains("too short"));
        assert!(check(Webhook, "whsec_0123456789abcdef").is_ok());
    }

    #[test]
    fn stripe_keys_of_the_wrong_kind_are_refused() {
        use SecretRule::StripeKey;
        assert!(refused(StripeKey, "pk_live_0123456789abcdef").contains("publishable"));
        assert!(refused(StripeKey, "whsec_0123456789abcdef").contains("webhook secret"));
        assert!(refused(StripeKey, "0123456789abcdef").contains("neither sk_ nor rk_"));
        assert_eq!(refused(StripeKey, "sk_test_..."), "is a placeholder");
        assert!(refused(StripeKey, "sk_test_012345678").contains("too short"));
        assert!(check(StripeKey, "rk_live_0123456789abcdef").is_ok());
    }

    #[test]
    fn api_keys_that_anybody_would_guess_are_refused() {
        use SecretRule::ApiKey;
        for text in ["false", "changeme", "your_api_key_goes_here", "aaaaaaaaaaaaaaaaaaaaaaaa", "<your key>x"] {
            let problem = refused(ApiKey, text);
            assert!(problem == "is a placeholder" || problem.contains("white space"), "{text}: {problem}");
        }
        assert!(refused(ApiKey, "short-one").contains("too short"));
        assert!(refused(ApiKey, "sk_live_0123456789abcdef").contains("Stripe's"));
        assert!(check(ApiKey, "6f1c9d3b7a5e4820").is_ok());
    }

    #[test]
    fn a_masked_secret_shows_at_most_its_prefix_and_four_characters() {
        assert_eq!(masked(&Secret::new("whsec_0123456789abcdef")), "whsec_…");
        assert_eq!(masked(&Secret::new("whsec_0123456789abcdef01234567")), "whsec_…4567");
        assert_eq!(masked(&Secret::new("6f1c9d3b7a5e4820")), "(16 characters)");
    }
}
