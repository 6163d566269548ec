//! Names that do not collide, and reproducible pseudo-random numbers.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A number nobody can foresee, from the operating system's randomness.
pub fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A lower-case name such as `prefix_1f00c2…`, valid as an SQL identifier.
pub fn name(prefix: &str) -> String {
    format!("{prefix}_{:016x}", number())
}

/// Spreads `value` evenly over all 64-bit numbers, always in the same way (the finaliser of SplitMix64).
pub fn spread(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Appends `length` letters and digits that depend only on `seed`.
pub fn push_letters(out: &mut Vec<u8>, seed: u64, length: usize) {
    let mut state = seed;
    let mut left = 0;
    let mut bits = 0;
    for _ in 0..length {
        if left == 0 {
            state = spread(state);
            bits = state;
            left = 10;
        }
        out.push(ALPHABET[(bits % 62) as usize]);
        bits /= 62;
        left -= 1;
    }
}

/// Appends `length` letters and digits that sort as `value` does.
pub fn push_ordered(out: &mut Vec<u8>, value: u64, length: usize) {
    let start = out.len();
    out.resize(start + length, ALPHABET[0]);
    let mut left = value;
    for place in out[start..].iter_mut().rev() {
        *place = ALPHABET[(left % 62) as usize];
        left /= 62;
    }
}

/// A small generator for tests that choose at random and print their seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed; the same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        spread(self.0)
    }

    /// A number in `from..to`; `from` when the range is empty.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.next_number() % to.saturating_sub(from).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_depend_on_the_seed_alone() {
        let letters = |seed| {
            let mut out = Vec::new();
            push_letters(&mut out, seed, 24);
            out
        };
        assert_eq!(letters(7), letters(7));
        assert_ne!(letters(7), letters(8));
        assert_eq!(letters(7).len(), 24);
    }

    #[test]
    fn between_stays_in_its_range() {
        let mut random = Random::new(1);
        assert!((0..1000).all(|_| (50..1500).contains(&random.between(50, 1500))));
    }
}
