//! Statements whose columns the catalogue decides. Each text is built once and kept, so that it is prepared once a connection.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use billhook_core::table::{Column, ColumnType, Meta, OnDelete, Orphans, Path, Segment, Source, Table};

use super::names::{MirrorSchema, quote};
use crate::{Guard, StoreError, text_column};

/// Which statement on a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Statement {
    /// With `from_raw`, columns that show a part of the object take it from the parsed object and are not given.
    Upsert {
        guard: Guard,
        stub: bool,
        from_raw: bool,
    },
    Rewrite,
    Scan,
    Read,
    Object,
    Text {
        column: usize,
    },
    Age,
    Missing,
    States,
    Delete,
    DeleteBuried,
    PruneChildren {
        parent_column: usize,
        orphans: Orphans,
    },
}

/// The built statements.
#[derive(Default)]
pub(super) struct TableStatements {
    built: RwLock<HashMap<(usize, Statement), Arc<str>>>,
}

impl TableStatements {
    pub(super) fn get(
        &self,
        mirror: &MirrorSchema,
        table: &Table,
        statement: Statement,
    ) -> Result<Arc<str>, StoreError> {
        let key = (table.index, statement);
        if let Some(sql) = self.built.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(sql));
        }
        let sql: Arc<str> = Builder::new(mirror, table)?.build(statement)?.into();
        self.built.write().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&sql));
        Ok(sql)
    }
}

/// The columns that an upsert is given values for, in the order of its parameters. Columns that are always null are left out:
/// what an older engine wrote there stays.
pub(super) fn given_columns(table: &Table) -> impl Iterator<Item = (usize, &Column)> {
    let is_given = |at: usize, column: &Column| at == 0 || !matches!(column.source, Source::Null | Source::Meta(_));
    table.columns.iter().enumerate().filter(move |(at, column)| is_given(*at, column))
}

/// Whether an upsert may take a column's value from the object itself.
pub(super) fn is_in_raw(column: &Column) -> bool {
    column.name != "deleted" && column.json_paths().is_some()
}

/// Whether an upsert has to ask for tombstones, which takes one parameter more.
pub(super) fn asks_for_tombstones(table: &Table, guard: Guard) -> bool {
    guard != Guard::Always && table.on_delete != OnDelete::Keep
}

/// PostgreSQL's name of a column type.
pub(super) fn type_name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "text",
        ColumnType::BigInt => "bigint",
        ColumnType::Boolean => "boolean",
        ColumnType::Numeric => "numeric",
        ColumnType::Double => "double precision",
        ColumnType::Json => "jsonb",
        ColumnType::Timestamp => "timestamp with time zone",
    }
}

/// Type of the array that carries a column. Decimals travel as text, because their binary form is made of digits in base
/// 10,000; moments as Unix seconds.
fn array_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text | ColumnType::Numeric => "text[]",
        ColumnType::BigInt => "bigint[]",
        ColumnType::Timestamp => "timestamptz[]",
        ColumnType::Boolean => "boolean[]",
        ColumnType::Double => "double precision[]",
        ColumnType::Json => "jsonb[]",
    }
}

/// Quoted names of the meta columns that statements need.
struct Builder<'a> {
    table: &'a Table,
    target: String,
    raw: String,
    account: String,
    version_time: String,
    version_rank: String,
    source_event: String,
    synced_at: Vec<String>,
    updated_at: Vec<String>,
}

impl<'a> Builder<'a> {
    fn new(mirror: &MirrorSchema, table: &'a Table) -> Result<Self, StoreError> {
        let all = |meta: Meta| {
            let is_meta = move |column: &&Column| column.source == Source::Meta(meta);
            table.columns.iter().filter(is_meta).map(|column| quote(&column.name)).collect::<Vec<_>>()
        };
        let one = |meta: Meta| {
            all(meta).into_iter().next().ok_or_else(|| {
                StoreError::Configuration(format!("the catalogue's table {} has no column for {meta:?}", table.name))
            })
        };
        Ok(Self {
            table,
            target: mirror.table(table),
            raw: one(Meta::RawData)?,
            account: one(Meta::AccountId)?,
            version_time: one(Meta::VersionTime)?,
            version_rank: one(Meta::VersionRank)?,
            source_event: one(Meta::SourceEvent)?,
            synced_at: all(Meta::SyncedAt),
            updated_at: all(Meta::UpdatedAt),
        })
    }

    fn build(&self, statement: Statement) -> Result<String, StoreError> {
        Ok(match statement {
            Statement::Upsert { guard, stub, from_raw } => self.upsert(guard, stub, from_raw),
            Statement::Rewrite => self.rewrite(),
            Statement::Scan => self.scan(),
            Statement::Read => self.read(),
            Statement::Object => self.object(),
            Statement::Text { column } => self.text(column)?,
            Statement::Age => self.age(),
            Statement::Missing => self.missing(),
            Statement::States => self.states(),
            Statement::Delete => format!("DELETE FROM {} AS stored WHERE stored.\"id\" = ANY($1)", self.target),
            Statement::DeleteBuried => self.delete_buried(),
            Statement::PruneChildren { parent_column, orphans } => self.prune_children(parent_column, orphans)?,
        })
    }

    /// Time of a stored row's version. Rows of an older engine have none: for them its time of synchronisation stands, so that
    /// they neither need a rewrite of the whole table nor fall back behind what that engine knew.
    fn stored_time(&self) -> String {
        let mut alternatives = vec![format!("stored.{}", self.version_time)];
        alternatives
            .extend(self.synced_at.iter().map(|column| format!("floor(extract(epoch FROM stored.{column}))::bigint")));
        format!("coalesce({}, '-9223372036854775808'::bigint)", alternatives.join(", "))
    }

    /// Version of a stored row, for comparing. Without a rank of its own it is less than every event of its second.
    fn stored_version(&self) -> String {
        format!("({}, coalesce(stored.{}, -1))", self.stored_time(), self.version_rank)
    }

    /// The rows of an upsert as a query, and its number of parameters. `unnest` in the select list yields the arrays in step
    /// without storing them between, unlike in FROM.
    fn given_rows(&self, metas: &[(&str, &str)], from_raw: bool) -> String {
        let columns = given_columns(self.table)
            .filter(|(_, column)| !(from_raw && is_in_raw(column)))
            .map(|(at, column)| (format!("c{at}"), array_type(column.column_type)));
        let metas = metas.iter().map(|(name, array)| ((*name).to_owned(), *array));
        let mut list = String::new();
        for (parameter, (name, array)) in columns.chain(metas).enumerate() {
            let comma = if parameter == 0 { "" } else { ", " };
            let _infallible = write!(list, "{comma}unnest(${}::{array}) AS {name}", parameter + 1);
        }
        format!("(SELECT {list}) AS given")
    }

    /// The value of a column in an upsert.
    fn given_value(&self, at: usize, column: &Column, from_raw: bool) -> Option<String> {
        match column.source {
            _ if from_raw && is_in_raw(column) => column.json_paths().map(|paths| part_of_raw(&paths)),
            Source::Meta(meta) => Some(
                match meta {
                    Meta::RawData => "given.raw",
                    Meta::AccountId => "given.account",
                    Meta::SyncedAt | Meta::VersionAt => "given.version_at",
                    Meta::UpdatedAt => "now()",
                    Meta::VersionTime => "given.version_time",
                    Meta::VersionRank => "given.version_rank",
                    Meta::SourceEvent => "given.source_event",
                }
                .to_owned(),
            ),
            Source::Null if at != 0 => None,
            _ if column.name == "deleted" => Some(format!("coalesce(given.c{at}, false)")),
            _ if column.column_type == ColumnType::Numeric => Some(format!("given.c{at}::numeric")),
            _ => Some(format!("given.c{at}")),
        }
    }

    fn upsert(&self, guard: Guard, stub: bool, from_raw: bool) -> String {
        let mut metas = vec![
            ("raw", "jsonb[]"),
            ("account", "text[]"),
            ("version_time", "bigint[]"),
            ("version_rank", "smallint[]"),
            ("version_at", "timestamptz[]"),
            ("source_event", "text[]"),
        ];
        let asks = asks_for_tombstones(self.table, guard);
        if asks {
            metas.push(("revives", "boolean[]"));
        }
        let mut names = Vec::new();
        let mut values = Vec::new();
        let mut changes = Vec::new();
        for (at, column) in self.table.columns.iter().enumerate() {
            let Some(value) = self.given_value(at, column, from_raw) else { continue };
            let name = quote(&column.name);
            changes.extend(change(at, column, &name, stub));
            names.push(name);
            values.push(value);
        }
        let version = self.stored_version();
        let excluded = format!("(excluded.{}, excluded.{})", self.version_time, self.version_rank);
        let condition = match guard {
            Guard::Newer => format!(" WHERE {version} < {excluded}"),
            Guard::NotOlder => format!(" WHERE {version} <= {excluded}"),
            Guard::Always => String::new(),
        };
        format!(
            "INSERT INTO {} AS stored ({}) SELECT {} FROM {}{} ON CONFLICT (\"id\") DO UPDATE SET {}{condition} RETURNING stored.\"id\"",
            self.target,
            names.join(", "),
            values.join(", "),
            self.given_rows(&metas, from_raw),
            if asks { self.unless_buried() } else { String::new() },
            changes.join(", "),
        )
    }

    /// A scalar subquery and no join, so that every row costs one look into the primary key whatever the statistics say.
    fn unless_buried(&self) -> String {
        format!(
            " WHERE (SELECT given.revives AND given.version_time > tombstone.\"time\" FROM billhook.tombstones AS tombstone \
             WHERE tombstone.table_name = {} AND tombstone.id = given.c0) IS NOT FALSE",
            literal(&self.table.name)
        )
    }

    fn rewrite(&self) -> String {
        let is_rewritten = |(at, column): &(usize, &Column)| *at != 0 && column.name != "deleted";
        let changes: Vec<String> = given_columns(self.table)
            .filter(is_rewritten)
            .filter_map(|(at, column)| {
                let name = quote(&column.name);
                let value = self.given_value(at, column, false)?;
                Some(if keeps_stored(&column.source) {
                    format!("{name} = coalesce({value}, stored.{name})")
                } else {
                    format!("{name} = {value}")
                })
            })
            .collect();
        let changes = if changes.is_empty() { "\"id\" = stored.\"id\"".to_owned() } else { changes.join(", ") };
        format!(
            "UPDATE {} AS stored SET {changes} FROM {} WHERE stored.\"id\" = given.c0 AND {} = given.version_time \
             AND coalesce(stored.{}, 0) = given.version_rank",
            self.target,
            self.given_rows(&[("version_time", "bigint[]"), ("version_rank", "smallint[]")], false),
            self.stored_time(),
            self.version_rank,
        )
    }

    fn scan(&self) -> String {
        format!(
            "{} WHERE stored.\"id\" > $1 AND stored.{} IS NOT NULL ORDER BY stored.\"id\" LIMIT $2",
            self.stored_rows(),
            self.raw
        )
    }

    fn read(&self) -> String {
        format!("{} WHERE stored.\"id\" = ANY($1) AND stored.{} IS NOT NULL", self.stored_rows(), self.raw)
    }

    fn object(&self) -> String {
        let deleted = if self.table.column("deleted").is_some() { "stored.\"deleted\" IS TRUE" } else { "false" };
        format!(
            "SELECT stored.{raw}::text, {deleted} FROM {} AS stored WHERE stored.\"id\" = $1 AND stored.{raw} IS NOT NULL",
            self.target,
            raw = self.raw
        )
    }

    fn text(&self, column: usize) -> Result<String, StoreError> {
        let name = quote(text_column(self.table, column)?);
        Ok(format!("SELECT stored.{name} FROM {} AS stored WHERE stored.\"id\" = $1", self.target))
    }

    fn stored_rows(&self) -> String {
        format!(
            "SELECT stored.\"id\", coalesce(stored.{}, ''), {}, coalesce(stored.{}, 0)::smallint, coalesce(stored.{}, ''), \
             stored.{}::text FROM {} AS stored",
            self.account,
            self.stored_time(),
            self.version_rank,
            self.source_event,
            self.raw,
            self.target,
        )
    }

    /// Rows in order of id, each with whether it lives and is older than $3. The reader looks at every row, so that one step
    /// never reads more of the table than its limit.
    fn age(&self) -> String {
        let living = if self.table.column("deleted").is_some() { " AND stored.\"deleted\" IS NOT TRUE" } else { "" };
        format!(
            "SELECT stored.\"id\", coalesce(stored.{}, ''), {} < $3{living} FROM {} AS stored WHERE stored.\"id\" > $1 \
             ORDER BY stored.\"id\" LIMIT $2",
            self.account,
            self.stored_time(),
            self.target,
        )
    }

    /// Scalar subqueries and no joins, as in [`Self::unless_buried`].
    fn missing(&self) -> String {
        format!(
            "SELECT wanted.id FROM (SELECT unnest($1::text[]) AS id) AS wanted \
             WHERE (SELECT true FROM {} AS stored WHERE stored.\"id\" = wanted.id) IS NULL \
             AND (SELECT true FROM billhook.tombstones AS tombstone \
             WHERE tombstone.table_name = {} AND tombstone.id = wanted.id) IS NULL",
            self.target,
            literal(&self.table.name),
        )
    }

    fn states(&self) -> String {
        format!(
            "SELECT stored.\"id\", {}, coalesce(stored.{}, 0)::smallint, coalesce(stored.{}, ''), coalesce(stored.{}::text, 'null') \
             FROM {} AS stored WHERE stored.\"id\" = ANY($1) ORDER BY stored.\"id\" FOR UPDATE",
            self.stored_time(),
            self.version_rank,
            self.source_event,
            self.raw,
            self.target,
        )
    }

    fn delete_buried(&self) -> String {
        format!(
            "DELETE FROM {} AS stored USING billhook.tombstones AS tombstone WHERE stored.\"id\" = ANY($1) \
             AND tombstone.table_name = {} AND tombstone.id = stored.\"id\" AND tombstone.\"time\" >= {}",
            self.target,
            literal(&self.table.name),
            self.stored_time(),
        )
    }

    fn prune_children(&self, parent_column: usize, orphans: Orphans) -> Result<String, StoreError> {
        let missing = || {
            StoreError::Configuration(format!("the catalogue's table {} has no such parent column", self.table.name))
        };
        let parent = quote(&self.table.columns.get(parent_column).ok_or_else(missing)?.name);
        let lost = format!(
            "WITH lists AS (SELECT unnest($1::text[]) AS parent, unnest($2::bigint[]) AS time, unnest($3::smallint[]) AS rank), \
             lost AS (SELECT stored.\"id\" FROM {} AS stored JOIN lists ON stored.{parent} = lists.parent \
             WHERE {} <= (lists.time, lists.rank) AND stored.\"id\" NOT IN (SELECT unnest($4::text[])) \
             ORDER BY stored.\"id\" FOR UPDATE OF stored)",
            self.target,
            self.stored_version(),
        );
        Ok(match orphans {
            Orphans::Flag => format!(
                "{lost} UPDATE {} AS child SET \"deleted\" = true{} FROM lost WHERE child.\"id\" = lost.\"id\" \
                 AND child.\"deleted\" IS NOT TRUE",
                self.target,
                self.updated_at.iter().map(|column| format!(", {column} = now()")).collect::<String>()
            ),
            Orphans::Remove | Orphans::Keep => {
                format!("{lost} DELETE FROM {} AS child USING lost WHERE child.\"id\" = lost.\"id\"", self.target)
            }
        })
    }
}

/// Columns that only some states of an object can tell: null means unknown here, and what is stored stays.
fn keeps_stored(source: &Source) -> bool {
    matches!(source, Source::Linked(_) | Source::ParentId(_) | Source::Parent(_))
}

fn change(at: usize, column: &Column, name: &str, stub: bool) -> Option<String> {
    let is_meta = matches!(column.source, Source::Meta(_));
    let is_raw = column.source == Source::Meta(Meta::RawData);
    if at == 0 || (stub && (is_raw || !(is_meta || column.name == "deleted"))) {
        return None;
    }
    if keeps_stored(&column.source) {
        return Some(format!("{name} = coalesce(excluded.{name}, stored.{name})"));
    }
    Some(format!("{name} = excluded.{name}"))
}

/// The first part of the object at these paths that is there and not null. Walking the parsed object costs a fraction of reading
/// the part's text once more.
fn part_of_raw(paths: &[&Path]) -> String {
    let part = |path: &&Path| {
        let steps = path.iter().filter_map(|segment| match segment {
            Segment::Key(key) => Some(format!(" -> {}", literal(key))),
            // Not among the paths of a column of this sort.
            Segment::Index(_) | Segment::Every => None,
        });
        format!("nullif(given.raw{}, 'null'::jsonb)", steps.collect::<String>())
    };
    match paths {
        [only] => part(only),
        several => format!("coalesce({})", several.iter().map(part).collect::<Vec<_>>().join(", ")),
    }
}

/// A string literal.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Every statement a table can need, for checking them against a database.
pub(super) fn every_statement(table: &Table) -> Vec<Statement> {
    let guards = [Guard::Newer, Guard::NotOlder, Guard::Always];
    let mut statements = Vec::new();
    for guard in guards {
        for (stub, from_raw) in [(false, false), (false, true), (true, false), (true, true)] {
            statements.push(Statement::Upsert { guard, stub, from_raw });
        }
    }
    statements.extend([
        Statement::Rewrite,
        Statement::Scan,
        Statement::Read,
        Statement::Age,
        Statement::Missing,
        Statement::States,
        Statement::Delete,
        Statement::DeleteBuried,
    ]);
    let parent = table.columns.iter().position(|column| matches!(column.source, Source::ParentId(_)));
    if let Some(parent_column) = parent {
        statements.push(Statement::PruneChildren { parent_column, orphans: Orphans::Remove });
        if table.column("deleted").is_some() {
            statements.push(Statement::PruneChildren { parent_column, orphans: Orphans::Flag });
        }
    }
    statements
}
