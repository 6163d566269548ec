//! Chance, from the system; a simulation puts a sequence of its own in its place.

use std::cell::RefCell;

use ring::rand::{SecureRandom, SystemRandom};

thread_local! {
    /// What this thread draws from instead of the system.
    static SEQUENCE: RefCell<Option<Sequence>> = const { RefCell::new(None) };
}

/// 64 random bits, for ids and pauses; not for secrets. They are 0 when the system has none, which costs spread and not correctness.
pub fn chance() -> u64 {
    let repeated = SEQUENCE.with_borrow_mut(|sequence| sequence.as_mut().map(Sequence::draw));
    repeated.unwrap_or_else(|| {
        let mut bytes = [0; size_of::<u64>()];
        SystemRandom::new().fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes))
    })
}

/// Until the result is dropped, [`chance`] gives on this thread what follows from `seed`.
pub fn seed_this_thread(seed: u64) -> Seeded {
    SEQUENCE.set(Some(Sequence::new(seed)));
    Seeded(())
}

/// While it lives, chance on this thread is repeatable.
#[derive(Debug)]
#[must_use = "chance is the system's again when this is dropped"]
pub struct Seeded(());

impl Drop for Seeded {
    fn drop(&mut self) {
        SEQUENCE.set(None);
    }
}

/// A sequence of numbers that look random and follow from a seed: SplitMix64 (Steele, Lea and Flood, 2014).
#[derive(Debug, Clone)]
pub struct Sequence(u64);

impl Sequence {
    /// The sequence of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is greater than 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_only_while_it_is_held() {
        let drawn = |seed| {
            let _seeded = seed_this_thread(seed);
            [chance(), chance(), chance()]
        };
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
        assert_ne!(chance(), chance());
    }

    #[test]
    fn another_thread_draws_from_the_system() {
        let _seeded = seed_this_thread(7);
        let elsewhere = std::thread::spawn(chance).join().unwrap();
        assert_ne!(elsewhere, Sequence::new(7).draw());
    }

    #[test]
    fn the_sequence_is_the_published_one() {
        let mut sequence = Sequence::new(1_234_567);
        assert_eq!(sequence.draw(), 6_457_827_717_110_365_317);
        assert!((0..1_000).all(|_| sequence.below(3) < 3));
    }
}
