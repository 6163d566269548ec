//! Remembers what is open while a JSON text is read, in a form that no depth makes expensive.

use super::JsonError;

/// The kinds of the open containers, one bit each: no allocation up to 64 levels.
#[derive(Default)]
pub(super) struct Nesting {
    /// The innermost levels; a set bit is an object.
    word: u64,
    depth: usize,
    /// Full words of the outer levels.
    outer: Vec<u64>,
}

impl Nesting {
    pub(super) fn push(&mut self, is_object: bool, depth_max: usize) -> Result<(), JsonError> {
        if self.depth >= depth_max {
            return Err(JsonError::TooDeep);
        }
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.word);
        }
        self.word = self.word << 1 | u64::from(is_object);
        self.depth += 1;
        Ok(())
    }

    pub(super) fn pop(&mut self) {
        self.word >>= 1;
        self.depth = self.depth.saturating_sub(1);
        if self.depth.is_multiple_of(64)
            && let Some(word) = self.outer.pop()
        {
            self.word = word;
        }
    }

    pub(super) fn innermost_is_object(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.word & 1 == 1)
    }
}
