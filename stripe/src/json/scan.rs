//! Reads JSON text from left to right without building anything: the grammar of RFC 8259, and no more.
//!
//! It never recurses, so that no depth of nesting can exhaust the stack, and it visits each byte once. Lone surrogates, NUL
//! escapes and numbers of any size are grammatical; what to do with them is the caller's choice.

use std::ops::Range;

use super::JsonError;
use super::nesting::Nesting;
use super::text::JsonText;

/// A position in a JSON text.
///
/// The functions that run for each key are marked for inlining: without it a document takes a third more time.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

/// A value that is not a container, or the key of a member.
pub(crate) enum Leaf<'a> {
    /// A string or a key.
    Text(JsonText<'a>),
    /// A number.
    Number(Number),
}

/// The measures of a number. Counts are of decimal digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Number {
    /// Where it stands.
    pub range: Range<usize>,
    /// Digits before the point.
    pub integer_digits: usize,
    /// All digits: before and after the point, and of the exponent.
    pub digits: usize,
    /// The exponent, saturating; 0 when there is none.
    pub exponent: i64,
}

/// Bytes that end a run of plain characters inside a string: the quote, the backslash, and control characters, which JSON forbids.
const ENDS_PLAIN_RUN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = true;
        byte += 1;
    }
    table[b'"' as usize] = true;
    table[b'\\' as usize] = true;
    table
};

impl<'a> Scanner<'a> {
    /// Starts at byte `at` of `text`.
    pub(crate) fn new(text: &'a str, at: usize) -> Self {
        Self { text, at }
    }

    /// The next byte that is not white space, without passing it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.byte() {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// The text at `range`, which this scanner returned.
    pub(crate) fn slice(&self, range: Range<usize>) -> &'a str {
        self.text.get(range).unwrap_or_default()
    }

    /// Passes the object that stands here and returns where it stands. `member` gets each key and must pass its value.
    pub(crate) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, JsonText<'a>) -> Result<(), JsonError>,
    ) -> Result<Range<usize>, JsonError> {
        let start = self.at;
        self.expect(b'{')?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(start..self.at);
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(start..self.at);
                }
                _ => return Err(JsonError::Invalid),
            }
        }
    }

    /// Passes a string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<JsonText<'a>, JsonError> {
        self.expect(b'"')?;
        let start = self.at;
        let (mut has_escapes, mut has_unicode_escapes) = (false, false);
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| ENDS_PLAIN_RUN[usize::from(*byte)]).ok_or(JsonError::Invalid)?;
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    has_unicode_escapes |= self.escape()?;
                }
                _ => return Err(JsonError::Invalid),
            }
        }
        let inner = start..self.at;
        self.at += 1;
        let raw = self.text.get(inner).ok_or(JsonError::Invalid)?;
        Ok(JsonText { raw, start, has_escapes, has_unicode_escapes })
    }

    /// Passes a number.
    pub(crate) fn number(&mut self) -> Result<Number, JsonError> {
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let leading_zero = self.byte() == Some(b'0');
        let integer_digits = if leading_zero {
            self.at += 1;
            1
        } else {
            self.digits()?
        };
        let mut digits = integer_digits;
        if self.byte() == Some(b'.') {
            self.at += 1;
            digits += self.digits()?;
        }
        let mut exponent = 0;
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            let sign = self.byte();
            if matches!(sign, Some(b'+' | b'-')) {
                self.at += 1;
            }
            let from = self.at;
            digits += self.digits()?;
            // Only a value beyond 64 bits fails to parse here.
            let size = self.text.get(from..self.at).and_then(|text| text.parse().ok()).unwrap_or(i64::MAX);
            exponent = if sign == Some(b'-') { -size } else { size };
        }
        Ok(Number { range: start..self.at, integer_digits, digits, exponent })
    }

    /// Passes any value and returns where it stands.
    pub(crate) fn skip(&mut self) -> Result<Range<usize>, JsonError> {
        self.walk(usize::MAX, |_| {})
    }

    /// Passes any value and shows `visit` its leaves and keys in order. Returns where the value stands.
    ///
    /// # Errors
    /// [`JsonError::TooDeep`] when more than `depth_max` containers are open at once.
    pub(crate) fn walk(
        &mut self,
        depth_max: usize,
        mut visit: impl FnMut(Leaf<'a>),
    ) -> Result<Range<usize>, JsonError> {
        self.peek();
        let start = self.at;
        let mut open = Nesting::default();
        loop {
            if self.enter_value(&mut open, depth_max, &mut visit)? {
                continue;
            }
            if !self.leave_containers(&mut open, &mut visit)? {
                return Ok(start..self.at);
            }
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        if self.peek().is_none() { Ok(()) } else { Err(JsonError::Invalid) }
    }

    /// Passes a leaf, an empty container or the opening of a container; true means that a value inside it comes next.
    fn enter_value(
        &mut self,
        open: &mut Nesting,
        depth_max: usize,
        visit: &mut impl FnMut(Leaf<'a>),
    ) -> Result<bool, JsonError> {
        match self.peek().ok_or(JsonError::Invalid)? {
            b'"' => visit(Leaf::Text(self.string()?)),
            b'{' => {
                self.at += 1;
                open.push(true, depth_max)?;
                if self.peek() != Some(b'}') {
                    visit(Leaf::Text(self.key()?));
                    return Ok(true);
                }
            }
            b'[' => {
                self.at += 1;
                open.push(false, depth_max)?;
                return Ok(self.peek() != Some(b']'));
            }
            b'-' | b'0'..=b'9' => visit(Leaf::Number(self.number()?)),
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => return Err(JsonError::Invalid),
        }
        Ok(false)
    }

    /// After a value: closes what ends here and passes a comma; true means that another value comes next.
    fn leave_containers(&mut self, open: &mut Nesting, visit: &mut impl FnMut(Leaf<'a>)) -> Result<bool, JsonError> {
        while let Some(in_object) = open.innermost_is_object() {
            let byte = self.peek();
            self.at += 1;
            match byte {
                Some(b',') => {
                    if in_object {
                        visit(Leaf::Text(self.key()?));
                    }
                    return Ok(true);
                }
                Some(b'}') if in_object => open.pop(),
                Some(b']') if !in_object => open.pop(),
                _ => return Err(JsonError::Invalid),
            }
        }
        Ok(false)
    }

    #[inline]
    fn key(&mut self) -> Result<JsonText<'a>, JsonError> {
        self.peek();
        let key = self.string()?;
        self.peek();
        self.expect(b':')?;
        Ok(key)
    }

    /// Passes an escape sequence; true when it is a `\u` one.
    fn escape(&mut self) -> Result<bool, JsonError> {
        let rest = self.text.as_bytes().get(self.at + 1..).unwrap_or_default();
        match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => {
                self.at += 2;
                Ok(false)
            }
            [b'u', hex @ ..] if hex.len() >= 4 && hex.iter().take(4).all(u8::is_ascii_hexdigit) => {
                self.at += 6;
                Ok(true)
            }
            _ => Err(JsonError::Invalid),
        }
    }

    /// Passes one or more digits and returns how many.
    fn digits(&mut self) -> Result<usize, JsonError> {
        let from = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > from { Ok(self.at - from) } else { Err(JsonError::Invalid) }
    }

    fn literal(&mut self, word: &str) -> Result<(), JsonError> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(JsonError::Invalid);
        }
        self.at += word.len();
        Ok(())
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.byte() != Some(byte) {
            return Err(JsonError::Invalid);
        }
        self.at += 1;
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}
