//! The rules by which kinds become tables and properties become columns.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use billhook_stripe::catalogue::meta_column_names;

use super::input::{Input, Record};
use super::overlay::{KindOverlay, Overlay};

/// Kinds that are events themselves: a view over the inbox shows them.
const EVENT_KINDS: [&str; 2] = ["event", "v2.core.event"];

/// Columns by which people filter; they get an index wherever they hold plain values.
const INDEXED: [&str; 9] =
    ["customer", "created", "status", "subscription", "invoice", "charge", "payment_intent", "price", "product"];

/// Of these, the ones that hold an id: an expanded object in an old payload must not land in them as JSON.
const REFERENCES: [&str; 7] = ["customer", "subscription", "invoice", "charge", "payment_intent", "price", "product"];

/// A kind as it is printed.
pub(super) struct KindModel {
    pub(super) object: String,
    /// Lines about listing and reading it.
    pub(super) access: Vec<String>,
    pub(super) table: Option<TableModel>,
}

/// A table as it is printed.
pub(super) struct TableModel {
    pub(super) name: String,
    pub(super) key: Option<String>,
    pub(super) delete: String,
    pub(super) children: Vec<String>,
    pub(super) columns: Vec<ColumnModel>,
}

/// A column: its name and its whole line.
pub(super) struct ColumnModel {
    pub(super) name: String,
    pub(super) line: String,
}

/// All kinds in order of their name, then the table for unknown kinds.
pub(super) fn kinds(input: &Input, overlay: &Overlay) -> Result<Vec<KindModel>> {
    let known: BTreeSet<&str> = input.resources.iter().map(|resource| resource.get("object")).collect();
    for object in overlay.kinds.keys() {
        ensure!(object == "*" || known.contains(object.as_str()), "the overlay names the unknown kind {object}");
    }
    let facts = EventFacts::new(input);
    let nothing = KindOverlay::default();
    let mut kinds = Vec::new();
    for resource in &input.resources {
        let object = resource.get("object");
        let added = overlay.kinds.get(object).unwrap_or(&nothing);
        let table = if has_table(resource, added, &facts) { Some(table(object, input, added, &facts)?) } else { None };
        kinds.push(KindModel { object: object.to_owned(), access: access(resource, added), table });
    }
    kinds.sort_by(|a, b| a.object.cmp(&b.object));
    if let Some(added) = overlay.kinds.get("*") {
        kinds.push(KindModel {
            object: "*".to_owned(),
            access: Vec::new(),
            table: Some(table("*", input, added, &facts)?),
        });
    }
    index_parent_columns(&mut kinds)?;
    check_legacy_tables(input, &kinds)?;
    Ok(kinds)
}

/// Which kinds events carry.
struct EventFacts {
    carried: BTreeSet<String>,
    deleted: BTreeSet<String>,
}

impl EventFacts {
    fn new(input: &Input) -> Self {
        let mut facts = Self { carried: BTreeSet::new(), deleted: BTreeSet::new() };
        for event in &input.events {
            for object in event.get("object_type").split('|') {
                facts.carried.insert(object.to_owned());
                if event.get("event_type").ends_with(".deleted") {
                    facts.deleted.insert(object.to_owned());
                }
            }
        }
        facts
    }
}

/// Rows need an identity, and a way to arrive: an event or a list.
fn has_table(resource: &Record, added: &KindOverlay, facts: &EventFacts) -> bool {
    let object = resource.get("object");
    if EVENT_KINDS.contains(&object) {
        return false;
    }
    let arrives = facts.carried.contains(object) || !resource.get("list_path").is_empty() || added.wants_table;
    arrives && (resource.is("has_id") || added.key.is_some())
}

fn access(resource: &Record, added: &KindOverlay) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = |keyword: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("{keyword} {value}"));
        }
    };
    line("prefix", added.prefixes.clone().unwrap_or_else(|| resource.get("id_prefix").replace('|', " ")));
    if !resource.get("list_path").is_empty() {
        let created = if resource.is("created_filter") { " created" } else { "" };
        let pages = if resource.is("paginated") { " pages" } else { "" };
        line("list", format!("{}{created}{pages}", resource.get("list_path")));
        line("parent", resource.get("parent_param").to_owned());
        line("query", resource.get("required_query").replace(',', " "));
        line("filter", resource.get("list_filters").replace(',', " "));
        line("also", resource.get("all_list_paths").to_owned());
    }
    line("read", resource.get("retrieve_path").to_owned());
    lines
}

fn table(object: &str, input: &Input, added: &KindOverlay, facts: &EventFacts) -> Result<TableModel> {
    let name = added.name.clone().unwrap_or_else(|| plural(&object.replace('.', "_")));
    let properties: &[Record] = input.properties.get(object).map_or(&[], Vec::as_slice);
    let deletable =
        facts.deleted.contains(object) || properties.iter().any(|property| property.get("property") == "deleted");
    let delete = added.delete.clone().unwrap_or_else(|| if deletable { "remove" } else { "keep" }.to_owned());
    let id_line = match added.key.as_deref() {
        Some(key) if key != "account" => format!("id ref = id({key})"),
        _ => "id text".to_owned(),
    };
    let mut columns = vec![ColumnModel { name: "id".to_owned(), line: id_line }];
    for legacy in input.legacy_columns.get(&name).map_or(&[][..], Vec::as_slice) {
        let property = properties.iter().find(|property| property.get("property") == legacy.get("column"));
        add(&mut columns, legacy.get("column"), legacy_type(legacy, property)?);
    }
    for property in properties {
        add(&mut columns, property.get("property"), property_type(property)?);
    }
    for line in &added.columns {
        let name = line.split(' ').next().unwrap_or_default().to_owned();
        let column = ColumnModel { name: name.clone(), line: line.clone() };
        match columns.iter_mut().find(|column| column.name == name) {
            Some(existing) => *existing = column,
            None => columns.push(column),
        }
    }
    Ok(TableModel { name, key: added.key.clone(), delete, children: added.children.clone(), columns })
}

/// Adds a column unless it is there already. A property that is called like one of the columns that every table ends with is
/// left to `_raw_data`.
fn add(columns: &mut Vec<ColumnModel>, name: &str, type_name: &str) {
    if meta_column_names().contains(&name) || columns.iter().any(|column| column.name == name) {
        return;
    }
    let type_name = if type_name == "text" && REFERENCES.contains(&name) { "ref" } else { type_name };
    let index = if INDEXED.contains(&name) && matches!(type_name, "text" | "ref" | "bigint") { " index" } else { "" };
    columns.push(ColumnModel { name: name.to_owned(), line: format!("{name} {type_name}{index}") });
}

/// The type of an existing engine's column, widened where theirs overflows or refuses new values.
fn legacy_type(column: &Record, property: Option<&Record>) -> Result<&'static str> {
    let is_reference = column.get("note").contains("take object.id")
        || property.is_some_and(|property| property.get("kind") == "text_expandable");
    Ok(match column.get("type") {
        "text" if is_reference => "ref",
        "text" => "text",
        "integer" | "bigint" => "bigint",
        "boolean" => "boolean",
        "float8" => "double",
        "jsonb" => "json",
        // Only the columns that every table ends with; they are skipped by name.
        "timestamptz" => "timestamp",
        enumeration if enumeration.starts_with("enum ") => "text",
        other => bail!("the column {} has the unknown type {other}", column.get("column")),
    })
}

fn property_type(property: &Record) -> Result<&'static str> {
    Ok(match property.get("kind") {
        "text" | "text_decimal" => "text",
        "text_expandable" => "ref",
        "bigint" => "bigint",
        "boolean" => "boolean",
        "numeric" => "numeric",
        "jsonb" => "json",
        other => bail!("the property {} has the unknown kind {other}", property.get("property")),
    })
}

/// Children are looked up by their parent whenever a list is compared with them.
fn index_parent_columns(kinds: &mut [KindModel]) -> Result<()> {
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for child in kinds.iter().filter_map(|kind| kind.table.as_ref()).flat_map(|table| &table.children) {
        let words: Vec<&str> = child.split(' ').collect();
        let [_, table, _, rest @ ..] = words.as_slice() else {
            bail!("the child list {child:?} is incomplete");
        };
        wanted.entry((*table).to_owned()).or_default().extend(rest.iter().map(|column| (*column).to_owned()));
    }
    for table in kinds.iter_mut().filter_map(|kind| kind.table.as_mut()) {
        let parents = wanted.remove(&table.name).unwrap_or_default();
        for parent in parents {
            let Some(column) = table.columns.iter_mut().find(|column| column.name == parent) else {
                bail!("{} has no column {parent} for its parent", table.name);
            };
            let (declaration, source) = match column.line.split_once(" = ") {
                None => (column.line.clone(), String::new()),
                Some((declaration, source)) => (declaration.to_owned(), format!(" = {source}")),
            };
            if !declaration.ends_with(" index") {
                column.line = format!("{declaration} index{source}");
            }
        }
    }
    ensure!(wanted.is_empty(), "child lists name unknown tables: {:?}", wanted.keys());
    Ok(())
}

/// A table of the existing engines that no kind takes over would silently disappear.
fn check_legacy_tables(input: &Input, kinds: &[KindModel]) -> Result<()> {
    let names: BTreeSet<&str> =
        kinds.iter().filter_map(|kind| kind.table.as_ref()).map(|table| table.name.as_str()).collect();
    for legacy in input.legacy_columns.keys() {
        let shown_otherwise = legacy == "*" || legacy == "events";
        ensure!(shown_otherwise || names.contains(legacy.as_str()), "no kind has the table {legacy}");
    }
    Ok(())
}

/// The English plural of a snake-case name's last word.
fn plural(name: &str) -> String {
    let consonant_before_y = |stem: &str| !stem.ends_with(['a', 'e', 'i', 'o', 'u']);
    if let Some(stem) = name.strip_suffix('y').filter(|stem| consonant_before_y(stem)) {
        return format!("{stem}ies");
    }
    if name.ends_with("settings") {
        return name.to_owned();
    }
    if name.ends_with('s') || name.ends_with('x') || name.ends_with("ch") || name.ends_with("sh") {
        return format!("{name}es");
    }
    format!("{name}s")
}

#[cfg(test)]
mod tests {
    use super::plural;

    #[test]
    fn plurals_are_english() {
        for (one, many) in [
            ("capability", "capabilities"),
            ("person", "persons"),
            ("tax_id", "tax_ids"),
            ("tax_settings", "tax_settings"),
            ("treasury_transaction_entry", "treasury_transaction_entries"),
            ("balance", "balances"),
            ("tax", "taxes"),
            ("key", "keys"),
        ] {
            assert_eq!(plural(one), many);
        }
    }
}
