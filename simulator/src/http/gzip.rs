//! A small answer that becomes a large one.

/// Bytes that one repetition stands for: the most that the format has.
const REPEATED: u64 = 258;

/// A gzip file of nothing but spaces, about 160 times smaller than its content of `size` bytes.
///
/// It is written bit by bit: one space, and then "the last byte, 258 times" as often as needed, in the format's fixed code.
pub(super) fn bomb(size: u64) -> Vec<u8> {
    // Method 8, no name, no time.
    let mut bits = Bits { out: vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff], pending: 0, count: 0 };
    // The last block, in the fixed code.
    bits.push(1, 1);
    bits.push(1, 2);
    // Literals below 144 are eight bits from 0x30 on, the highest first.
    bits.push_code(0x30 + u32::from(b' '), 8);
    let repetitions = size.saturating_sub(1) / REPEATED;
    for _ in 0..repetitions {
        // Length 258 is code 285; distance 1 is code 0.
        bits.push_code(0xc0 + 285 - 280, 8);
        bits.push_code(0, 5);
    }
    bits.push_code(0, 7);
    let mut out = bits.finish();
    let length = 1 + repetitions * REPEATED;
    out.extend_from_slice(&crc_of_spaces(length).to_le_bytes());
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out
}

struct Bits {
    out: Vec<u8>,
    pending: u32,
    count: u32,
}

impl Bits {
    /// Appends bits, the lowest first.
    fn push(&mut self, value: u32, width: u32) {
        self.pending |= value << self.count;
        self.count += width;
        while self.count >= 8 {
            self.out.push(self.pending as u8);
            self.pending >>= 8;
            self.count -= 8;
        }
    }

    /// Appends a code, the highest bit first.
    fn push_code(&mut self, code: u32, width: u32) {
        self.push(code.reverse_bits() >> (32 - width), width);
    }

    fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.out.push(self.pending as u8);
        }
        self.out
    }
}

/// The checksum of so many spaces.
fn crc_of_spaces(length: u64) -> u32 {
    let mut table = [0_u32; 256];
    for (at, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(at as u32, |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 });
    }
    let step = |crc: u32, _| (crc >> 8) ^ table[((crc ^ u32::from(b' ')) & 0xff) as usize];
    !(0..length).fold(u32::MAX, step)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::bomb;

    #[test]
    fn another_program_unpacks_it() {
        let Ok(mut gzip) = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn() else {
            eprintln!("skipped: gzip is not installed");
            return;
        };
        gzip.stdin.take().unwrap().write_all(&bomb(10_000)).unwrap();
        let unpacked = gzip.wait_with_output().unwrap();
        assert!(unpacked.status.success());
        assert_eq!(unpacked.stdout, vec![b' '; 1 + 38 * 258]);
    }
}
