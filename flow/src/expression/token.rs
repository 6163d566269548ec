//! Text to tokens.

use serde_json::Number;

use super::ExpressionError;

/// The signs of the language. Longer ones stand before those that they begin with.
const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "!", "<", ">", "+", "-", "*",
    "/", "%",
];

/// The smallest part of an expression that means something.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(String),
    Number(Number),
    Text(String),
    Sign(&'static str),
    End,
}

impl Token {
    /// As it appears in an error.
    pub fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Number(number) => format!("the number {number}"),
            Self::Text(_) => "a text".to_owned(),
            Self::Sign(sign) => format!("`{sign}`"),
            Self::End => "the end".to_owned(),
        }
    }
}

/// All tokens, each with its position; the last one is [`Token::End`].
pub(super) fn tokens(source: &str) -> Result<Vec<(Token, usize)>, ExpressionError> {
    let mut reader = Reader { rest: source, position: 1 };
    let mut tokens = Vec::new();
    loop {
        reader.take_while(char::is_whitespace);
        let position = reader.position;
        let token = reader.token()?;
        let ended = token == Token::End;
        tokens.push((token, position));
        if ended {
            return Ok(tokens);
        }
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// Of the next character, from 1.
    position: usize,
}

impl<'a> Reader<'a> {
    fn token(&mut self) -> Result<Token, ExpressionError> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Token::End);
        };
        if first == '\'' || first == '"' {
            return self.text(false);
        }
        if self.rest.starts_with("r'") || self.rest.starts_with("r\"") {
            self.next();
            return self.text(true);
        }
        if first.is_ascii_digit() {
            return self.number();
        }
        if first.is_ascii_alphabetic() || first == '_' {
            let name = self.take_while(|character| character.is_ascii_alphanumeric() || character == '_');
            return Ok(Token::Name(name.to_owned()));
        }
        match SIGNS.iter().find(|sign| self.rest.starts_with(**sign)) {
            Some(sign) => {
                self.skip(sign.len());
                Ok(Token::Sign(sign))
            }
            None => Err(ExpressionError::unexpected(self.position, "a name, a value or a sign", format!("`{first}`"))),
        }
    }

    fn number(&mut self) -> Result<Token, ExpressionError> {
        let position = self.position;
        let digits = |character: char| character.is_ascii_digit();
        let start = self.rest;
        self.take_while(digits);
        if self.rest.starts_with('.') && self.rest[1..].starts_with(digits) {
            self.next();
            self.take_while(digits);
        }
        if self.rest.starts_with(['e', 'E']) {
            self.next();
            self.take_while(|character| character == '-' || character == '+');
            self.take_while(digits);
        }
        let text = &start[..start.len() - self.rest.len()];
        if let Some(letter) = self.rest.chars().next().filter(|next| next.is_alphanumeric() || *next == '_') {
            return Err(ExpressionError::unexpected(self.position, "the end of a number", format!("`{letter}`")));
        }
        serde_json::from_str(text)
            .map(Token::Number)
            .map_err(|_| ExpressionError::unexpected(position, "a number such as 5, 0.5 or 1e6", format!("`{text}`")))
    }

    /// A text in quotes of either kind. In a raw one, backslashes mean themselves.
    fn text(&mut self, raw: bool) -> Result<Token, ExpressionError> {
        let opened = self.position;
        let quote = self.next();
        let mut text = String::new();
        loop {
            let position = self.position;
            match self.next() {
                None => {
                    let expected = format!("the quote that ends the text begun at character {opened}");
                    return Err(ExpressionError::unexpected(position, expected, "the end"));
                }
                character if character == quote => return Ok(Token::Text(text)),
                Some('\\') if !raw => text.push(self.escaped(position)?),
                Some(character) => text.push(character),
            }
        }
    }

    fn escaped(&mut self, position: usize) -> Result<char, ExpressionError> {
        let letter = self.next();
        let character = match letter {
            Some(character @ ('\\' | '\'' | '"' | '`' | '?')) => Some(character),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('x') => self.code(2),
            Some('u') => self.code(4),
            Some('U') => self.code(8),
            _ => None,
        };
        character.ok_or_else(|| {
            let found = letter.map_or("the end".to_owned(), |letter| format!("`\\{letter}`"));
            let expected = r#"an escape such as \n, \', \\ or \u00e9 (a text r'…' takes backslashes as they are)"#;
            ExpressionError::unexpected(position, expected, found)
        })
    }

    /// The character with a code of so many hexadecimal digits.
    fn code(&mut self, digits: usize) -> Option<char> {
        let code = self.rest.get(..digits).filter(|code| code.chars().all(|digit| digit.is_ascii_hexdigit()))?;
        self.skip(digits);
        u32::from_str_radix(code, 16).ok().and_then(char::from_u32)
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.chars().next()?;
        self.skip(next.len_utf8());
        Some(next)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let end = self.rest.find(|character| !wanted(character)).unwrap_or(self.rest.len());
        let taken = &self.rest[..end];
        self.skip(end);
        taken
    }

    fn skip(&mut self, bytes: usize) {
        let (skipped, rest) = self.rest.split_at(bytes);
        self.position += skipped.chars().count();
        self.rest = rest;
    }
}
