//! Values that must never reach a log, an error or a debug print.

use std::fmt;

/// A secret string. It has no `Display` and its `Debug` shows only that something is there.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself, for the one place that uses it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_only_when_asked() {
        let secret = Secret::new("whsec_canary");
        assert_eq!(secret.expose(), "whsec_canary");
        for shown in [format!("{secret:?}"), format!("{secret:#?}"), format!("{:?}", Some(vec![secret.clone()]))] {
            assert!(shown.contains("Secret(…)") && !shown.contains("canary"), "{shown}");
        }
    }

    #[test]
    fn secrets_are_equal_by_value() {
        assert_eq!(Secret::new("one"), Secret::new(String::from("one")));
        assert_ne!(Secret::new("one"), Secret::new("One"));
    }
}
