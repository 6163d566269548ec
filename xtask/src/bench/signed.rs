//! Events that are signed before the clock starts, so that the client's own work hardly shows in the figures.

use billhook_testkit::events::Generator;
use billhook_testkit::sign::{Signer, TEST_SECRET, now};

/// A run of events: their bodies are made when they are sent, their signatures are kept, 32 bytes each.
pub(super) struct SignedEvents {
    generator: Generator,
    signer: Signer,
    timestamp: i64,
    digests: Vec<[u8; 32]>,
}

/// Signs the first `count` events of a run with the present time, on all processors.
pub(super) fn sign_ahead(run: u64, count: u64) -> SignedEvents {
    let (generator, signer, timestamp) = (Generator::new(run), Signer::new(TEST_SECRET), now());
    let mut digests = vec![[0; 32]; count as usize];
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = digests.len().div_ceil(threads).max(1);
    std::thread::scope(|scope| {
        for (position, part) in digests.chunks_mut(share).enumerate() {
            let (generator, signer) = (&generator, &signer);
            scope.spawn(move || {
                let mut body = Vec::new();
                for (number, digest) in (position * share..).zip(part) {
                    generator.write(number as u64, timestamp, &mut body);
                    *digest = signer.digest(timestamp, &body);
                }
            });
        }
    });
    SignedEvents { generator, signer, timestamp, digests }
}

impl SignedEvents {
    /// Time of the signatures and of the events, in Unix seconds.
    pub(super) fn timestamp(&self) -> i64 {
        self.timestamp
    }

    /// Writes the body of an event and gives its signature; beyond what was signed ahead it is signed here.
    pub(super) fn write(&self, number: u64, body: &mut Vec<u8>) -> [u8; 32] {
        self.generator.write(number, self.timestamp, body);
        match self.digests.get(number as usize) {
            Some(digest) => *digest,
            None => self.signer.digest(self.timestamp, body),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_made_ahead_equal_those_made_late() {
        let events = sign_ahead(3, 5);
        let mut body = Vec::new();
        for number in 0..7 {
            let digest = events.write(number, &mut body);
            assert_eq!(digest, Signer::new(TEST_SECRET).digest(events.timestamp(), &body));
        }
        assert_eq!(events.digests.len(), 5);
    }
}
