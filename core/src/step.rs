//! Which step of a run, and the key under which its effects count once.

use std::fmt;

use ring::digest::{SHA256, digest};

/// Most characters of a step's id.
pub const STEP_ID_CHARACTERS_MAX: usize = 200;

/// A step of a run: its id, and which use of that id it is. The order in which steps run has no part in it, so that code may be
/// rearranged under sleeping runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepKey {
    /// The id in the function's code.
    pub id: String,
    /// 1 for its first use in the run, 2 for the second, …
    pub occurrence: u32,
}

impl StepKey {
    /// A key; `occurrence` counts from 1.
    pub fn new(id: impl Into<String>, occurrence: u32) -> Self {
        Self { id: id.into(), occurrence }
    }

    /// Why the id cannot be one, if so.
    pub fn defect(&self) -> Option<&'static str> {
        if self.id.trim().is_empty() {
            return Some("the id of a step is empty");
        }
        if self.id.starts_with(' ') {
            return Some("the id of a step begins with a space, as only those of Billhook's own records do");
        }
        if self.id.chars().count() > STEP_ID_CHARACTERS_MAX {
            return Some("the id of a step is longer than 200 characters");
        }
        self.id.chars().any(char::is_control).then_some("the id of a step holds a control character")
    }

    /// What every attempt of this step sends as its idempotency key: `bh_`, the run, and a hash of run, id and occurrence; 82
    /// characters for a run whose id is a ULID. Stripe takes up to 255 and shows it in `event.request.idempotency_key`, where a
    /// function recognises its own writes.
    pub fn idempotency_key(&self, run: &str) -> String {
        let named = format!("{run}\0{}\0{}", self.id, self.occurrence);
        format!("bh_{run}_{}", base32(digest(&SHA256, named.as_bytes()).as_ref()))
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.occurrence {
            0 | 1 => formatter.write_str(&self.id),
            occurrence => write!(formatter, "{}#{occurrence}", self.id),
        }
    }
}

/// RFC 4648, lower case and without padding.
fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    const BITS: u32 = 5;
    let mut text = String::new();
    let (mut buffer, mut held) = (0_u32, 0_u32);
    let mut push = |index: u32| text.push(char::from(ALPHABET[(index & 0x1f) as usize]));
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        held += 8;
        while held >= BITS {
            held -= BITS;
            push(buffer >> held);
        }
    }
    if held > 0 {
        push(buffer << (BITS - held));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "01M7WSG4S1000G40R40M30E20A";

    #[test]
    fn base32_is_that_of_the_rfc() {
        for (plain, coded) in [("", ""), ("f", "my"), ("fo", "mzxq"), ("foobar", "mzxw6ytboi")] {
            assert_eq!(base32(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_key_is_the_same_at_every_attempt_and_another_for_every_step() {
        let key = StepKey::new("charge", 1).idempotency_key(RUN);
        assert_eq!(key.len(), 82);
        assert!(key.starts_with("bh_01M7WSG4S1000G40R40M30E20A_"), "{key}");
        assert_eq!(key, StepKey::new("charge", 1).idempotency_key(RUN));
        for other in [StepKey::new("charge", 2), StepKey::new("charge\u{1}", 1), StepKey::new("charges", 1)] {
            assert_ne!(other.idempotency_key(RUN), key);
        }
        // What separates the parts cannot be part of one of them.
        assert_ne!(StepKey::new("a", 12).idempotency_key("r"), StepKey::new("a\u{0}1", 2).idempotency_key("r"));
    }

    #[test]
    fn ids_that_cannot_be_shown_or_stored_are_named() {
        assert_eq!(StepKey::new("send the receipt", 1).defect(), None);
        for id in ["", "  ", " event", "a\nb", &"x".repeat(201)] {
            assert!(StepKey::new(id, 1).defect().is_some(), "{id:?}");
        }
    }

    #[test]
    fn a_second_use_is_shown_with_its_number() {
        assert_eq!((StepKey::new("a", 1).to_string(), StepKey::new("a", 3).to_string()), ("a".into(), "a#3".into()));
    }
}
