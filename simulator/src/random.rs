//! Numbers that depend only on the seed.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A seeded generator (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed; the same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number in `from..to`; `from` when the range is empty.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        from + self.number() % to.saturating_sub(from).max(1)
    }

    /// True with a probability between 0 and 1.
    pub fn chance(&mut self, probability: f64) -> bool {
        // 53 bits: what a float holds exactly.
        ((self.number() >> 11) as f64) < probability * (1_u64 << 53) as f64
    }

    /// One of several; `None` of nothing.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        let at = self.between(0, of.len() as u64);
        of.get(usize::try_from(at).unwrap_or(0))
    }

    /// Appends `length` letters and digits.
    pub fn push_letters(&mut self, out: &mut String, length: usize) {
        let mut bits = 0;
        for at in 0..length {
            if at % 10 == 0 {
                bits = self.number();
            }
            out.push(char::from(ALPHABET[(bits % 62) as usize]));
            bits /= 62;
        }
    }
}

/// Appends `length` letters and digits that sort as `value` does.
pub fn push_ordered(out: &mut String, value: u64, length: u32) {
    for place in (0..length).rev() {
        out.push(char::from(ALPHABET[(value / 62_u64.pow(place) % 62) as usize]));
    }
}
