//! Ids of runs: unique without asking anybody, and in the order of their time.

use jiff::Timestamp;

use crate::chance::chance;

/// Characters of an id.
const CHARACTERS: u32 = 26;

/// Bits of chance; the 48 above them are the time in milliseconds.
const CHANCE_BITS: u32 = 80;

/// A new ULID (github.com/ulid/spec) of this time, in Crockford's base 32. Of two ids of different milliseconds the later one is the
/// greater text.
pub fn ulid(now: Timestamp) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let milliseconds = u128::try_from(now.as_millisecond()).unwrap_or_default() & ((1 << 48) - 1);
    let value = milliseconds << CHANCE_BITS | random() & ((1 << CHANCE_BITS) - 1);
    let digit = |place: u32| char::from(ALPHABET[((value >> (5 * place)) & 0x1f) as usize]);
    (0..CHARACTERS).rev().map(digit).collect()
}

/// Without the system's chance the time remains; two ids of one millisecond then meet, and the database refuses the second.
fn random() -> u128 {
    u128::from(chance()) << u64::BITS | u128::from(chance())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_never_meet() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (early, late) = (ulid(at(1_795_188_855)), ulid(at(1_795_188_856)));
        assert_eq!((early.len(), &early[..3]), (26, "01M"));
        assert!(early < late);
        assert_ne!(ulid(at(5)), ulid(at(5)));
    }
}
