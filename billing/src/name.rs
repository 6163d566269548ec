//! Names of the user's own tables and columns: checked, and quoted wherever they stand in SQL.

use std::fmt;
use std::str::FromStr;

/// PostgreSQL cuts longer names.
const NAME_BYTES_MAX: usize = 63;

/// A column's name. Shown as SQL has it, in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnName(String);

/// A table's name, with or without its schema. Shown as SQL has it, in quotes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName(String);

/// Why a name is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no plain SQL name; use at most {NAME_BYTES_MAX} letters, digits and underscores, not beginning with a digit"
)]
pub struct NameDefect(String);

impl FromStr for ColumnName {
    type Err = NameDefect;

    fn from_str(text: &str) -> Result<Self, NameDefect> {
        quoted(text).map(Self)
    }
}

impl FromStr for TableName {
    type Err = NameDefect;

    fn from_str(text: &str) -> Result<Self, NameDefect> {
        match text.split_once('.') {
            Some((schema, table)) => Ok(Self(format!("{}.{}", quoted(schema)?, quoted(table)?))),
            None => quoted(text).map(Self),
        }
    }
}

/// Upper-case letters count, as Prisma's tables have them.
fn quoted(text: &str) -> Result<String, NameDefect> {
    let begins_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let goes_on_well = text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_');
    if begins_well && goes_on_well && text.len() <= NAME_BYTES_MAX {
        Ok(format!("\"{text}\""))
    } else {
        Err(NameDefect(text.to_owned()))
    }
}

impl fmt::Display for ColumnName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_as_they_are_written() {
        assert_eq!("email".parse::<ColumnName>().unwrap().to_string(), "\"email\"");
        assert_eq!("User".parse::<TableName>().unwrap().to_string(), "\"User\"");
        assert_eq!("public.users_2".parse::<TableName>().unwrap().to_string(), "\"public\".\"users_2\"");
    }

    #[test]
    fn nothing_else_gets_into_sql() {
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for bad in ["", "a b", "a\"b", "a'b", "a;drop", "2a", "a-b", "ä", "a\0", "a.b.c", "a.", ".a", &long] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
            assert!(bad.parse::<ColumnName>().is_err(), "{bad}");
        }
        assert!("a.b".parse::<ColumnName>().is_err());
    }
}
