//! Identifiers in SQL. They come from the catalogue and from the configuration, never from a delivery.

use billhook_core::table::{IDENTIFIER_BYTES_MAX, Table};

use crate::StoreError;

/// Billhook's own schema, which the mirror cannot have.
const OWN_SCHEMA: &str = "billhook";

/// An identifier in quotes.
pub(super) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// The name of the mirror's schema: checked and quoted.
#[derive(Debug, Clone)]
pub(super) struct MirrorSchema {
    bare: String,
    quoted: String,
}

impl MirrorSchema {
    /// # Errors
    /// When it is no plain identifier or one that belongs to PostgreSQL or to Billhook.
    pub(super) fn new(name: &str) -> Result<Self, StoreError> {
        let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        let is_plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
        let is_taken = name == OWN_SCHEMA || name == "information_schema" || name.starts_with("pg_");
        if !starts_well || !is_plain || is_taken || name.len() > IDENTIFIER_BYTES_MAX {
            return Err(StoreError::Configuration(format!(
                "the mirror's schema must be a name of letters, digits and underscores, at most {IDENTIFIER_BYTES_MAX} long, \
                 and not {OWN_SCHEMA} or one of PostgreSQL's own; change the setting for the schema"
            )));
        }
        Ok(Self { bare: name.to_owned(), quoted: quote(name) })
    }

    /// As the system catalogues store it.
    pub(super) fn bare(&self) -> &str {
        &self.bare
    }

    /// As SQL wants it.
    pub(super) fn quoted(&self) -> &str {
        &self.quoted
    }

    /// A table in this schema, quoted.
    pub(super) fn table(&self, table: &Table) -> String {
        format!("{}.{}", self.quoted, quote(&table.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quote("order"), "\"order\"");
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn only_plain_names_are_taken_as_schema() {
        let long = "x".repeat(IDENTIFIER_BYTES_MAX + 1);
        for bad in
            ["", "1a", "a-b", "a b", "a\"; DROP", "billhook", "pg_temp", "information_schema", "größe", long.as_str()]
        {
            assert!(MirrorSchema::new(bad).is_err(), "{bad}");
        }
        for good in ["stripe", "public", "_x1", "Stripe"] {
            assert!(MirrorSchema::new(good).is_ok(), "{good}");
        }
    }
}
