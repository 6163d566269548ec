//! Writes the `schema.prisma` of the mirror.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use billhook_core::table::{ColumnType, Table};
use billhook_stripe::catalogue;

/// The database a schema is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL, with the mirror in a schema of its own.
    Postgres,
    /// SQLite, where the mirror's tables carry their bare names.
    Sqlite,
}

/// Columns of the view over the inbox that is called `events`, as the existing engines have them.
const EVENTS: [(&str, ColumnType); 14] = [
    ("id", ColumnType::Text),
    ("object", ColumnType::Text),
    ("data", ColumnType::Json),
    ("type", ColumnType::Text),
    ("created", ColumnType::BigInt),
    ("request", ColumnType::Text),
    ("updated", ColumnType::BigInt),
    ("livemode", ColumnType::Boolean),
    ("api_version", ColumnType::Text),
    ("pending_webhooks", ColumnType::BigInt),
    ("updated_at", ColumnType::Timestamp),
    ("last_synced_at", ColumnType::Timestamp),
    ("account", ColumnType::Text),
    ("context", ColumnType::Text),
];

const HEAD: &str = "\
// Made by `billhook prisma`. The tables belong to Billhook: read them, and leave their migrations to it.

generator client {
  provider = \"prisma-client\"
  output   = \"./generated\"
}
";

/// The whole schema: a model for each table of the mirror and for the view `events`, in order of their names.
///
/// A model is called like its table, a field like its column. Prisma allows no leading underscore, so `_raw_data` becomes
/// `raw_data` with a `@map`; where that name is taken, an underscore follows it (`_updated_at` becomes `updated_at_`).
/// `mirror_schema` is the PostgreSQL schema that holds the mirror; SQLite has none.
pub fn schema(dialect: Dialect, mirror_schema: &str) -> String {
    let writer = Writer { dialect, mirror_schema: quoted(mirror_schema) };
    let mut models: Vec<(&str, String)> =
        catalogue::tables().iter().map(|table| (table.name.as_str(), writer.table(table))).collect();
    models.push(("events", writer.events()));
    models.sort_by_key(|(name, _)| *name);
    let mut text = format!("{HEAD}\n{}", writer.datasource());
    for (_, model) in models {
        text.push('\n');
        text.push_str(&model);
    }
    text
}

struct Writer {
    dialect: Dialect,
    /// As a Prisma string literal.
    mirror_schema: String,
}

impl Writer {
    fn datasource(&self) -> String {
        match self.dialect {
            Dialect::Postgres => {
                format!("datasource db {{\n  provider = \"postgresql\"\n  schemas  = [{}]\n}}\n", self.mirror_schema)
            }
            Dialect::Sqlite => "datasource db {\n  provider = \"sqlite\"\n}\n".to_owned(),
        }
    }

    fn table(&self, table: &Table) -> String {
        let about = match table.object.as_str() {
            "" => "Objects of kinds that this version of Billhook does not know.".to_owned(),
            object => format!("Stripe's `{object}`."),
        };
        let columns: Vec<(&str, ColumnType)> =
            table.columns.iter().map(|column| (column.name.as_str(), column.column_type)).collect();
        let names = field_names(&columns);
        let mut attributes = String::new();
        for (column, name) in table.columns.iter().zip(&names).filter(|(column, _)| column.indexed) {
            let _ = writeln!(attributes, "  @@index([{name}], map: {})", quoted(&table.index_name(column)));
        }
        self.model(&table.name, &about, &columns, &names, &attributes)
    }

    fn events(&self) -> String {
        let about = "Every event Stripe delivered: a view over Billhook's inbox.";
        self.model("events", about, &EVENTS, &field_names(&EVENTS), "")
    }

    fn model(
        &self,
        name: &str,
        about: &str,
        columns: &[(&str, ColumnType)],
        names: &[String],
        attributes: &str,
    ) -> String {
        let width = names.iter().map(String::len).max().unwrap_or_default();
        let mut text = format!("/// {about}\nmodel {name} {{\n");
        for ((column, column_type), field) in columns.iter().zip(names) {
            let _ = write!(text, "  {field:width$} {}", self.field_type(*column_type));
            text.push_str(if *column == "id" { " @id" } else { "?" });
            if field != column {
                let _ = write!(text, " @map({})", quoted(column));
            }
            text.push_str(self.native_type(*column_type));
            text.push('\n');
        }
        let schema = match self.dialect {
            Dialect::Postgres => format!("  @@schema({})\n", self.mirror_schema),
            Dialect::Sqlite => String::new(),
        };
        if !attributes.is_empty() || !schema.is_empty() {
            let _ = write!(text, "\n{attributes}{schema}");
        }
        text.push_str("}\n");
        text
    }

    fn field_type(&self, column_type: ColumnType) -> &'static str {
        match column_type {
            ColumnType::Text => "String",
            ColumnType::BigInt => "BigInt",
            ColumnType::Boolean => "Boolean",
            ColumnType::Numeric => "Decimal",
            ColumnType::Double => "Float",
            ColumnType::Json => "Json",
            ColumnType::Timestamp => "DateTime",
        }
    }

    /// Where Prisma's own choice for a type is not the column's type.
    fn native_type(&self, column_type: ColumnType) -> &'static str {
        match (self.dialect, column_type) {
            (Dialect::Postgres, ColumnType::Timestamp) => " @db.Timestamptz(6)",
            (Dialect::Postgres, ColumnType::Numeric) => " @db.Decimal",
            _ => "",
        }
    }
}

/// One field name for each column, in their order and all different.
fn field_names(columns: &[(&str, ColumnType)]) -> Vec<String> {
    let plain: BTreeSet<&str> = columns.iter().map(|(name, _)| *name).filter(|name| !name.starts_with('_')).collect();
    columns
        .iter()
        .map(|(name, _)| match name.strip_prefix('_') {
            None => (*name).to_owned(),
            Some(bare) if plain.contains(bare) => format!("{bare}_"),
            Some(bare) => bare.to_owned(),
        })
        .collect()
}

/// A Prisma string literal.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of one model.
    fn model(schema: &str, name: &str) -> Vec<String> {
        let opening = format!("model {name} {{");
        let lines = schema.lines().skip_while(|line| *line != opening).skip(1);
        lines
            .take_while(|line| *line != "}")
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    }

    #[test]
    fn every_table_and_the_view_have_a_model() {
        for dialect in [Dialect::Postgres, Dialect::Sqlite] {
            let text = schema(dialect, "stripe");
            for name in catalogue::tables().iter().map(|table| table.name.as_str()).chain(["events"]) {
                let lines = model(&text, name);
                assert_eq!(lines.first().map(String::as_str), Some("id String @id"), "model {name}");
            }
        }
    }

    #[test]
    fn field_names_are_valid_and_different_within_a_model() {
        for table in catalogue::tables() {
            let columns: Vec<(&str, ColumnType)> =
                table.columns.iter().map(|column| (column.name.as_str(), column.column_type)).collect();
            let names = field_names(&columns);
            let different: BTreeSet<&String> = names.iter().collect();
            assert_eq!(different.len(), names.len(), "fields of {}", table.name);
            for name in names {
                let valid = name.starts_with(|first: char| first.is_ascii_alphabetic())
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                assert!(valid, "{}.{name}", table.name);
            }
        }
    }

    #[test]
    fn types_are_those_of_the_dialect() {
        let postgres = schema(Dialect::Postgres, "stripe");
        let tax_rates = model(&postgres, "tax_rates");
        for line in [
            "percentage Decimal? @db.Decimal",
            "created BigInt?",
            "metadata Json?",
            "active Boolean?",
            "raw_data Json? @map(\"_raw_data\")",
            "updated_at DateTime? @db.Timestamptz(6)",
            "updated_at_ DateTime? @map(\"_updated_at\") @db.Timestamptz(6)",
            "@@index([created], map: \"stripe_tax_rates_created_idx\")",
            "@@schema(\"stripe\")",
        ] {
            assert!(tax_rates.iter().any(|found| found == line), "{line} is missing in {tax_rates:#?}");
        }
        let sqlite = schema(Dialect::Sqlite, "stripe");
        assert!(model(&sqlite, "subscriptions").contains(&"application_fee_percent Float?".to_owned()));
        assert!(!sqlite.contains("@db.") && !sqlite.contains("@@schema"));
    }

    #[test]
    fn a_schema_name_cannot_break_out_of_its_literal() {
        let text = schema(Dialect::Postgres, "a\"b\\c");
        assert!(text.contains(r#"schemas  = ["a\"b\\c"]"#));
    }
}
