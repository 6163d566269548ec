//! Reads the catalogue's text form.
//!
//! One statement a line, `#` starts a comment line. `revision` and `api` come first. `kind <object>` opens a block whose
//! indented lines say how to list and read the kind, which table it has, which embedded lists become rows elsewhere, and, as
//! `- <column> <type> [index] [= <source>]`, the table's columns. Without a source a column is the property of its own name.
//! `kind *` is the table for kinds that are not in the catalogue. `event` and `thin` lines name the event types.

use std::fmt;

use billhook_core::table::{
    ChildList, Column, ColumnType, Expression, Key, Meta, OnDelete, Orphans, Segment, Source, Table,
};

use super::expression::{self, Problem};
use super::kind::{EventType, Kind, List, ThinEventType};

/// The columns that every table ends with.
pub(super) const META_COLUMNS: [(&str, ColumnType, Meta); 9] = [
    ("_raw_data", ColumnType::Json, Meta::RawData),
    ("_account_id", ColumnType::Text, Meta::AccountId),
    ("last_synced_at", ColumnType::Timestamp, Meta::SyncedAt),
    ("_last_synced_at", ColumnType::Timestamp, Meta::SyncedAt),
    ("updated_at", ColumnType::Timestamp, Meta::UpdatedAt),
    ("_updated_at", ColumnType::Timestamp, Meta::VersionAt),
    ("_version_time", ColumnType::BigInt, Meta::VersionTime),
    ("_version_rank", ColumnType::BigInt, Meta::VersionRank),
    ("_source_event", ColumnType::Text, Meta::SourceEvent),
];

/// The content of the text.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) revision: i64,
    pub(super) api_version: &'static str,
    pub(super) kinds: Vec<Kind>,
    pub(super) tables: Vec<Table>,
    /// Position of the table for unknown kinds.
    pub(super) other_objects: usize,
    pub(super) events: Vec<EventType>,
    pub(super) thin_events: Vec<ThinEventType>,
}

/// Where the text is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ParseError {
    /// Counted from 1.
    line: usize,
    problem: Problem,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the catalogue: {}", self.line, self.problem)
    }
}

/// Reads the whole text.
pub(super) fn parse(text: &'static str) -> Result<Parsed, ParseError> {
    let mut parser = Parser::default();
    for (at, line) in text.lines().enumerate() {
        parser.line = at + 1;
        parser.statement(line).map_err(|problem| ParseError { line: parser.line, problem })?;
    }
    let last_line = parser.line;
    parser.finish().map_err(|problem| ParseError { line: last_line, problem })
}

/// A child list whose table may be declared further down.
struct PendingChild {
    parent: usize,
    property: &'static str,
    table: &'static str,
    orphans: Orphans,
    parent_column: Option<&'static str>,
}

/// Which kind's block is being read.
#[derive(Clone, Copy, Default)]
enum Block {
    #[default]
    None,
    /// A kind, by its position.
    Kind(usize),
    /// `kind *`.
    Other,
}

#[derive(Default)]
struct Parser {
    line: usize,
    revision: Option<i64>,
    api_version: Option<&'static str>,
    kinds: Vec<Kind>,
    tables: Vec<Table>,
    other_objects: Option<usize>,
    events: Vec<EventType>,
    thin_events: Vec<ThinEventType>,
    children: Vec<PendingChild>,
    block: Block,
    /// The table whose columns are being read.
    open_table: Option<usize>,
}

impl Parser {
    fn statement(&mut self, line: &'static str) -> Result<(), Problem> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(column) = line.strip_prefix("  - ") {
            return self.column(column);
        }
        if let Some(directive) = line.strip_prefix("  ") {
            return self.directive(directive);
        }
        self.close_table();
        let (keyword, rest) = line.split_once(' ').ok_or("a statement without a value")?;
        match keyword {
            "revision" => self.revision = Some(rest.parse().map_err(|_| "the revision is no number")?),
            "api" => self.api_version = Some(rest),
            "kind" => self.kind(rest),
            "event" => {
                let (name, objects) = rest.split_once(' ').ok_or("an event type without its kinds")?;
                self.events.push(EventType { name, objects: objects.split('|').collect() });
            }
            "thin" => {
                let mut words = rest.split(' ');
                let name = words.next().unwrap_or(rest);
                let flags: Vec<&str> = words.collect();
                let (related_object, data) = (flags.contains(&"object"), flags.contains(&"data"));
                self.thin_events.push(ThinEventType { name, related_object, data });
            }
            _ => return Err("an unknown statement"),
        }
        Ok(())
    }

    fn kind(&mut self, object: &'static str) {
        if object == "*" {
            self.block = Block::Other;
            return;
        }
        self.block = Block::Kind(self.kinds.len());
        self.kinds.push(Kind { object, table: None, list: None, retrieve_path: None, prefixes: Vec::new() });
    }

    fn directive(&mut self, text: &'static str) -> Result<(), Problem> {
        let (keyword, rest) = text.split_once(' ').ok_or("a directive without a value")?;
        match keyword {
            "table" => return self.table(rest),
            "child" => return self.child(rest),
            _ => {}
        }
        let Block::Kind(at) = self.block else {
            return Err("a directive outside of a kind");
        };
        let kind = self.kinds.get_mut(at).ok_or("a directive outside of a kind")?;
        let words = || rest.split(' ').collect::<Vec<_>>();
        match keyword {
            "prefix" => kind.prefixes = words(),
            "read" => kind.retrieve_path = Some(rest),
            "list" => kind.list = Some(list(rest)),
            _ => {
                let list = kind.list.as_mut().ok_or("an unknown directive, or a detail of a list before the list")?;
                match keyword {
                    "parent" => list.parent_param = Some(rest),
                    "query" => list.required_query = words(),
                    "filter" => list.filters = words(),
                    "also" => list.other_paths = words(),
                    _ => return Err("an unknown directive"),
                }
            }
        }
        Ok(())
    }

    fn table(&mut self, text: &'static str) -> Result<(), Problem> {
        let index = self.tables.len();
        let object = match self.block {
            Block::None => return Err("a table outside of a kind"),
            Block::Other => {
                self.other_objects = Some(index);
                ""
            }
            Block::Kind(at) => {
                let kind = self.kinds.get_mut(at).ok_or("a table outside of a kind")?;
                kind.table = Some(index);
                kind.object
            }
        };
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default().to_owned();
        let mut table = Table {
            index,
            name,
            object: object.to_owned(),
            key: Key::Id,
            columns: Vec::new(),
            on_delete: OnDelete::Keep,
            children: Vec::new(),
        };
        for word in words {
            match word.split_once('=').ok_or("a table's setting without a value")? {
                ("key", "account") => table.key = Key::Account,
                ("key", property) => table.key = Key::Property(property.to_owned()),
                ("delete", "flag") => table.on_delete = OnDelete::Flag,
                ("delete", "remove") => table.on_delete = OnDelete::Remove,
                ("delete", "keep") => table.on_delete = OnDelete::Keep,
                _ => return Err("an unknown setting of a table"),
            }
        }
        self.tables.push(table);
        self.open_table = Some(index);
        Ok(())
    }

    fn child(&mut self, text: &'static str) -> Result<(), Problem> {
        let parent = self.open_table.ok_or("a child list before its table")?;
        let mut words = text.split(' ');
        let (Some(property), Some(table), Some(orphans)) = (words.next(), words.next(), words.next()) else {
            return Err("a child list takes a property, a table and what becomes of orphans");
        };
        let orphans = match orphans {
            "flag" => Orphans::Flag,
            "remove" => Orphans::Remove,
            "keep" => Orphans::Keep,
            _ => return Err("orphans are flagged, removed or kept"),
        };
        self.children.push(PendingChild { parent, property, table, orphans, parent_column: words.next() });
        Ok(())
    }

    fn column(&mut self, text: &'static str) -> Result<(), Problem> {
        let table = self.open_table.and_then(|at| self.tables.get_mut(at)).ok_or("a column before its table")?;
        let (declaration, source) = match text.split_once(" = ") {
            None => (text, None),
            Some((declaration, source)) => (declaration, Some(expression::source(source)?)),
        };
        let mut words = declaration.split(' ');
        let (Some(name), Some(type_name)) = (words.next(), words.next()) else {
            return Err("a column without a type");
        };
        let indexed = match words.next() {
            None => false,
            Some("index") => true,
            Some(_) => return Err("an unknown setting of a column"),
        };
        let (column_type, is_reference) = column_type(type_name)?;
        let own = vec![Segment::Key(name.to_owned())];
        let own = if is_reference { Expression::Id(own) } else { Expression::Value(own) };
        let source = source.unwrap_or_else(|| Source::Object(vec![own]));
        table.columns.push(Column { name: name.to_owned(), column_type, indexed, source });
        Ok(())
    }

    /// Ends a table with the columns that all have.
    fn close_table(&mut self) {
        let Some(table) = self.open_table.take().and_then(|at| self.tables.get_mut(at)) else {
            return;
        };
        table.columns.extend(META_COLUMNS.iter().map(|(name, column_type, meta)| Column {
            name: (*name).to_owned(),
            column_type: *column_type,
            indexed: false,
            source: Source::Meta(*meta),
        }));
    }

    fn finish(mut self) -> Result<Parsed, Problem> {
        self.close_table();
        for child in std::mem::take(&mut self.children) {
            let list = self.resolve(&child)?;
            self.tables.get_mut(child.parent).ok_or("a child list without its parent")?.children.push(list);
        }
        Ok(Parsed {
            revision: self.revision.ok_or("no revision")?,
            api_version: self.api_version.ok_or("no API version")?,
            kinds: self.kinds,
            tables: self.tables,
            other_objects: self.other_objects.ok_or("no table for unknown kinds")?,
            events: self.events,
            thin_events: self.thin_events,
        })
    }

    fn resolve(&self, child: &PendingChild) -> Result<ChildList, Problem> {
        let table =
            self.tables.iter().find(|table| table.name == child.table).ok_or("a child list of an unknown table")?;
        let parent_column = match child.parent_column {
            None => None,
            Some(name) => Some(table.column(name).ok_or("a child list whose parent column does not exist")?),
        };
        Ok(ChildList { property: child.property.to_owned(), table: table.index, parent_column, orphans: child.orphans })
    }
}

fn list(text: &'static str) -> List {
    let mut words = text.split(' ');
    let path = words.next().unwrap_or(text);
    let flags: Vec<&str> = words.collect();
    List {
        path,
        created_filter: flags.contains(&"created"),
        paginated: flags.contains(&"pages"),
        parent_param: None,
        required_query: Vec::new(),
        filters: Vec::new(),
        other_paths: Vec::new(),
    }
}

/// The type, and whether the column holds the id of another object.
fn column_type(name: &str) -> Result<(ColumnType, bool), Problem> {
    Ok(match name {
        "text" => (ColumnType::Text, false),
        "ref" => (ColumnType::Text, true),
        "bigint" => (ColumnType::BigInt, false),
        "boolean" => (ColumnType::Boolean, false),
        "numeric" => (ColumnType::Numeric, false),
        "double" => (ColumnType::Double, false),
        "json" => (ColumnType::Json, false),
        _ => return Err("an unknown column type"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "revision 7\napi x\nkind *\n  table other_objects delete=remove\n  - id text\n";

    fn parse_with(rest: &str) -> Result<Parsed, ParseError> {
        parse(Box::leak(format!("{HEAD}{rest}").into_boxed_str()))
    }

    #[test]
    fn a_mistake_is_reported_with_its_line() {
        for (wrong, problem) in [
            ("kind a\n  table as delete=never\n", "an unknown setting of a table"),
            ("kind a\n  - id text\n", "a column before its table"),
            ("kind a\n  table as\n  - id varchar\n", "an unknown column type"),
            ("kind a\n  table as\n  - id text unique\n", "an unknown setting of a column"),
            ("kind a\n  table as\n  child bs bs keep\n", "a child list of an unknown table"),
            ("kind a\n  query x\n", "an unknown directive, or a detail of a list before the list"),
            ("resource a\n", "an unknown statement"),
        ] {
            let error = parse_with(wrong).expect_err("must be refused");
            assert_eq!(error.problem, problem, "for {wrong:?}");
            assert!(error.line > 5, "for {wrong:?}");
        }
    }

    #[test]
    fn a_child_list_may_name_a_table_further_down() {
        let parsed = parse_with(
            "kind a\n  table as\n  child bs bs flag a\n  - id text\nkind b\n  table bs\n  - id text\n  - a ref = id(a) | @parent\n",
        )
        .expect("correct");
        let list = &parsed.tables[1].children[0];
        assert_eq!((list.table, list.parent_column, list.orphans), (2, Some(1), Orphans::Flag));
    }
}
