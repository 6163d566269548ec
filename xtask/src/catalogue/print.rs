//! The two files the generator writes.

use std::fmt::Write as _;

use billhook_stripe::catalogue::meta_column_names;

use super::build::{KindModel, TableModel};
use super::input::Input;
use super::overlay::Overlay;

const CATALOGUE_HEAD: &str = "\
# Stripe's kinds, events and columns. Made by `cargo xtask catalogue` from Stripe's description and overlay.txt: change those.
";

const DOCS_HEAD: &str = "\
# Tables

Made by `cargo xtask catalogue`; do not edit. One row for every table of the mirror.

- **key**: what identifies a row.
- **deletion**: *row stays, `deleted` is true*; *row goes*, and a late event does not bring it back; or *none*: Stripe has no
  deletion for the kind, or means only a new state by it.
- **children**: embedded lists whose elements are rows of another table, and what happens to rows that the complete list no
  longer names: they are *flagged*, *removed* or *kept* (they have events of their own).

`stripe.events` is a view over the inbox and not listed here.

";

/// The catalogue without its revision line, which depends on what was committed before.
pub(super) fn catalogue_body(input: &Input, overlay: &Overlay, kinds: &[KindModel]) -> String {
    let mut text = String::new();
    let mut line = |content: String| {
        text.push_str(&content);
        text.push('\n');
    };
    line(format!("api {}", input.api_version));
    for kind in kinds {
        line(format!("kind {}", kind.object));
        kind.access.iter().for_each(|access| line(format!("  {access}")));
        if let Some(table) = &kind.table {
            let key = table.key.as_ref().map(|key| format!(" key={key}")).unwrap_or_default();
            line(format!("  table {} delete={}{key}", table.name, table.delete));
            table.children.iter().for_each(|child| line(format!("  child {child}")));
            table.columns.iter().for_each(|column| line(format!("  - {}", column.line)));
        }
    }
    for event in &input.events {
        line(format!("event {} {}", event.get("event_type"), event.get("object_type")));
    }
    for event in &input.thin_events {
        let object = if event.is("has_related_object") { " object" } else { "" };
        let data = if event.is("has_data") { " data" } else { "" };
        line(format!("thin {}{object}{data}", event.get("event_type")));
    }
    overlay.thin_events.iter().for_each(|event| line(format!("thin {event}")));
    text
}

/// The whole catalogue.
pub(super) fn catalogue(revision: i64, body: &str) -> String {
    format!("{CATALOGUE_HEAD}revision {revision}\n{body}")
}

/// The revision and the body of a catalogue; `None` when the text has no such form.
pub(super) fn split(text: &str) -> Option<(i64, &str)> {
    let (line, body) = text.strip_prefix(CATALOGUE_HEAD)?.split_once('\n')?;
    Some((line.strip_prefix("revision ")?.parse().ok()?, body))
}

/// `docs/tables.md`.
pub(super) fn docs(kinds: &[KindModel]) -> String {
    let mut tables: Vec<(&KindModel, &TableModel)> =
        kinds.iter().filter_map(|kind| Some((kind, kind.table.as_ref()?))).collect();
    tables.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    let mut text = DOCS_HEAD.to_owned();
    let meta_names = meta_column_names().map(|name| format!("`{name}`")).join(", ");
    let _ = writeln!(text, "Every table ends with the columns {meta_names}; they are counted.\n");
    let _ = writeln!(text, "{} tables, {} columns.\n", tables.len(), total_columns(&tables));
    text.push_str("| table | kind | key | columns | deletion | children |\n|---|---|---|--:|---|---|\n");
    for (kind, table) in tables {
        let object =
            if kind.object == "*" { "every kind not listed here".to_owned() } else { format!("`{}`", kind.object) };
        let key = table.key.as_deref().unwrap_or("id");
        let deletion = match table.delete.as_str() {
            "flag" => "row stays, `deleted` is true",
            "remove" => "row goes",
            _ => "none",
        };
        let children: Vec<String> = table.children.iter().map(|child| child_cell(child)).collect();
        let _ = writeln!(
            text,
            "| `{}` | {object} | {key} | {} | {deletion} | {} |",
            table.name,
            column_count(table),
            children.join(", ")
        );
    }
    text
}

fn total_columns(tables: &[(&KindModel, &TableModel)]) -> usize {
    tables.iter().map(|(_, table)| column_count(table)).sum()
}

fn column_count(table: &TableModel) -> usize {
    table.columns.len() + meta_column_names().len()
}

fn child_cell(child: &str) -> String {
    let mut words = child.split(' ');
    let (property, table) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let orphans = match words.next() {
        Some("flag") => "flagged",
        Some("remove") => "removed",
        _ => "kept",
    };
    format!("`{property}` → `{table}` ({orphans})")
}
