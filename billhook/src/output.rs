//! What commands print on standard output: tables for a person, tab-separated lines or JSON for a program.

use std::io::{self, IsTerminal, Write};

use comfy_table::{Table, presets};
use serde::Serialize;

/// Rows under a heading.
#[derive(Debug)]
pub struct Listing {
    heading: &'static [&'static str],
    rows: Vec<Vec<String>>,
}

impl Listing {
    /// An empty listing.
    pub fn new(heading: &'static [&'static str]) -> Self {
        Self { heading, rows: Vec::new() }
    }

    /// Adds a row, one cell for each column of the heading.
    pub fn add(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// Prints a table on a terminal; otherwise tab-separated lines with the heading first.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn print(&self) -> io::Result<()> {
        if io::stdout().is_terminal() {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            table.set_header(self.heading.iter().copied());
            for row in &self.rows {
                table.add_row(row);
            }
            return line(&table.trim_fmt());
        }
        let mut text = self.heading.join("\t");
        for row in &self.rows {
            text.push('\n');
            text.push_str(&row.join("\t"));
        }
        line(&text)
    }
}

/// Prints one line.
///
/// # Errors
/// When standard output is closed.
pub fn line(text: &str) -> io::Result<()> {
    bytes(text.as_bytes())?;
    bytes(b"\n")
}

/// Prints bytes as they are.
///
/// # Errors
/// When standard output is closed.
pub fn bytes(bytes: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(bytes)?;
    output.flush()
}

/// Prints a value as JSON.
///
/// # Errors
/// When standard output is closed.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// The text without control characters, which could steer a terminal or break a line into columns that are not there. What
/// Stripe sends is somebody else's text even when it is authentic.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{FFFD}' } else { character }).collect()
}

/// A JSON document with line breaks and indentation, token for token as it was: numbers keep their digits, which a parser
/// would round.
pub fn indented(document: &str) -> String {
    let mut text = String::with_capacity(document.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut characters = document.chars().filter(|character| !character.is_control()).peekable();
    while let Some(character) = characters.next() {
        if in_string {
            text.push(character);
            in_string = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        match character {
            ' ' => {}
            '{' | '[' => {
                text.push(character);
                while characters.next_if_eq(&' ').is_some() {}
                if characters.peek().is_some_and(|next| matches!(next, '}' | ']')) {
                    text.extend(characters.next());
                } else {
                    depth += 1;
                    break_line(&mut text, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                break_line(&mut text, depth);
                text.push(character);
            }
            ',' => {
                text.push(character);
                break_line(&mut text, depth);
            }
            ':' => text.push_str(": "),
            '"' => {
                text.push(character);
                in_string = true;
            }
            other => text.push(other),
        }
    }
    text
}

fn break_line(text: &mut String, depth: usize) {
    text.push('\n');
    text.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\tc\n\u{9b}d"), "a\u{FFFD}[2Jb\u{FFFD}c\u{FFFD}\u{FFFD}d");
    }

    #[test]
    fn indenting_keeps_every_token() {
        let text = r#"{"a":1e400,"b":[ ],"c":{"d":"x, {\"y\"}\\"},"e":[1,12345678901234567890]}"#;
        let expected = "{\n  \"a\": 1e400,\n  \"b\": [],\n  \"c\": {\n    \"d\": \"x, {\\\"y\\\"}\\\\\"\n  },\n  \"e\": [\n    1,\n    12345678901234567890\n  ]\n}";
        assert_eq!(indented(text), expected);
    }

    #[test]
    fn indenting_agrees_with_a_parser() {
        let value = serde_json::json!({"a": [1, {"b": null}, []], "c": "text \" with, [marks]", "d": {}});
        assert_eq!(indented(&value.to_string()), serde_json::to_string_pretty(&value).unwrap());
    }
}
