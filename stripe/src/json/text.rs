//! Strings of a JSON text: their escapes, and which of them no database can hold.

use std::borrow::Cow;
use std::ops::Range;

/// Bytes of a `\uXXXX` escape.
const UNICODE_ESCAPE_BYTES: usize = 6;

/// A string that [`super::scan::Scanner`] has passed, so its escapes are grammatical.
pub(crate) struct JsonText<'a> {
    /// What stands between the quotes.
    pub raw: &'a str,
    /// Where `raw` stands in the document.
    pub start: usize,
    /// Whether it contains a backslash.
    pub has_escapes: bool,
    /// Whether it contains a `\u` escape.
    pub has_unicode_escapes: bool,
}

impl<'a> JsonText<'a> {
    /// The text that the string stands for; `None` when it contains a lone surrogate, which is no character.
    pub(crate) fn decode(&self) -> Option<Cow<'a, str>> {
        if !self.has_escapes {
            return Some(Cow::Borrowed(self.raw));
        }
        let mut decoded = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some((plain, escape)) = rest.split_once('\\') {
            let (character, length) = unescape(escape)?;
            decoded.push_str(plain);
            decoded.push(character);
            rest = escape.get(length..)?;
        }
        decoded.push_str(rest);
        Some(Cow::Owned(decoded))
    }

    /// Shows `found` where each escape of a NUL or of a lone surrogate stands in the document.
    pub(crate) fn unstorable_escapes(&self, mut found: impl FnMut(Range<usize>)) {
        if !self.has_unicode_escapes {
            return;
        }
        let mut at = 0;
        while let Some(plain) = self.raw.get(at..).and_then(|rest| rest.find('\\')) {
            let backslash = at + plain;
            let decoded = self.raw.get(backslash + 1..).and_then(unescape);
            at = match decoded {
                Some((_, length)) => backslash + 1 + length,
                None => backslash + UNICODE_ESCAPE_BYTES,
            };
            if matches!(decoded, None | Some(('\0', _))) {
                found(self.start + backslash..self.start + at);
            }
        }
    }
}

/// The character of an escape and its length in bytes, without the first backslash. `None` for a lone surrogate.
fn unescape(escape: &str) -> Option<(char, usize)> {
    let character = match escape.as_bytes().first()? {
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unicode(escape),
        other => char::from(*other),
    };
    Some((character, 1))
}

/// Reads `uXXXX`, or `uXXXX\uXXXX` for a pair of surrogates.
fn unescape_unicode(escape: &str) -> Option<(char, usize)> {
    let first = code_unit(escape)?;
    if let Some(character) = char::from_u32(u32::from(first)) {
        return Some((character, UNICODE_ESCAPE_BYTES - 1));
    }
    let second = code_unit(escape.get(UNICODE_ESCAPE_BYTES - 1..)?.strip_prefix('\\')?)?;
    let character = char::decode_utf16([first, second]).next()?.ok()?;
    Some((character, 2 * UNICODE_ESCAPE_BYTES - 1))
}

/// The UTF-16 code unit of `uXXXX`.
fn code_unit(escape: &str) -> Option<u16> {
    u16::from_str_radix(escape.strip_prefix('u')?.get(..4)?, 16).ok()
}
