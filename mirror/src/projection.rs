//! From a Stripe object to the row of its table and the elements of its embedded lists.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::LazyLock;

use billhook_core::row::{Rank, Row, Value, Version};
use billhook_core::table::{ChildList, Column, Expression, Key, Orphans, Segment, Source, Table};
use billhook_stripe::catalogue;
use billhook_stripe::json::sanitise;

use crate::convert::{self, Converted};
use crate::object::{Fields, ListObject};

/// What a row carries besides the object's own fields.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Owner of the row; empty for the account of this installation.
    pub account: &'a str,
    /// Where the state stands in the object's history.
    pub version: Version,
    /// The event that carries it; empty for a read.
    pub source_event: &'a str,
    /// Whether the state may bring a deleted row back.
    pub revives: bool,
    /// Whether the event says that the object is deleted.
    pub deletes: bool,
    /// The object this one is embedded in.
    pub parent: Option<Parent<'a>>,
}

/// The object that holds a list.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    /// Its primary key.
    pub id: &'a str,
    /// Which of its lists.
    pub list: &'a ChildList,
    /// Its fields.
    pub fields: &'a Fields<'a>,
}

/// A projected object.
#[derive(Debug)]
pub struct Projected {
    /// The row.
    pub row: Row,
    /// The rows of its embedded lists, one entry a list that is present.
    pub lists: Vec<ProjectedList>,
    /// Fields whose type did not fit their column, by position of the table.
    pub mismatches: Vec<usize>,
}

/// The elements of an embedded list as rows.
#[derive(Debug)]
pub struct ProjectedList {
    /// Position of the list in [`Table::children`] of the parent's table.
    pub list: usize,
    /// Whether the list holds all its elements (`has_more` is false).
    pub complete: bool,
    /// Whether the list says that it goes on (`has_more` is true).
    pub truncated: bool,
    /// One row an element; the tables may differ for polymorphic lists.
    pub rows: Vec<Row>,
}

/// Why an object has no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRow {
    /// It names no usable id, or the property that identifies it is missing.
    MissingKey,
    /// It is not a JSON object.
    NotAnObject,
}

/// The row's id of a singleton when the account of this installation is not known.
const SINGLETON_ID: &str = "self";

/// Greatest length of a primary key, in bytes: PostgreSQL's index rows end at 8191, Stripe's ids at 255.
pub(crate) const ID_BYTES_MAX: usize = 255;

/// Projects an object. `object` is sanitised JSON text.
///
/// # Errors
/// When the object has no row; see [`NoRow`].
pub fn project(table: &'static Table, object: &str, context: &Context<'_>) -> Result<Projected, NoRow> {
    let fields = Fields::parse(object).ok_or(NoRow::NotAnObject)?;
    project_fields(table, object, &fields, context)
}

/// The same for an object whose properties are known already; `object` is their text.
///
/// # Errors
/// When the object has no row.
pub fn project_fields(
    table: &'static Table,
    object: &str,
    fields: &Fields<'_>,
    context: &Context<'_>,
) -> Result<Projected, NoRow> {
    let id = row_id(table, fields, context).ok_or(NoRow::MissingKey)?;
    let mut mismatches = Vec::new();
    let row = project_row(table, object, fields, &id, context, &mut mismatches);
    let lists = project_lists(table, fields, &id, context, &mut mismatches);
    Ok(Projected { row, lists, mismatches })
}

/// An embedded list that was read to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedList {
    /// The property of the object that holds it.
    pub property: String,
    /// All its elements, each a JSON object.
    pub elements: Vec<String>,
}

/// Puts complete lists in the place of those the object shows cut off. An element without a row leaves its list incomplete.
pub fn complete_lists(
    table: &'static Table,
    fields: &Fields<'_>,
    context: &Context<'_>,
    completed: &[CompletedList],
    projected: &mut Projected,
) {
    for (position, list) in table.children.iter().enumerate() {
        let Some(completed) = completed.iter().find(|completed| completed.property == list.property) else { continue };
        let parent = Parent { id: &projected.row.id, list, fields };
        let rows = completed.elements.iter().filter_map(|element| {
            let element = sanitise(element).ok()?;
            project_element(&element.text, parent, context, &mut projected.mismatches)
        });
        let rows: Vec<Row> = rows.collect();
        let complete = rows.len() == completed.elements.len();
        projected.lists.retain(|list| list.list != position);
        projected.lists.push(ProjectedList { list: position, complete, truncated: false, rows });
    }
}

fn row_id(table: &Table, fields: &Fields<'_>, context: &Context<'_>) -> Option<String> {
    let id: Cow<'_, str> = match &table.key {
        Key::Id => fields.text("id")?,
        Key::Account if context.account.is_empty() => SINGLETON_ID.into(),
        Key::Account => context.account.into(),
        Key::Property(property) => convert::id_of(fields.get(property)?)?.into(),
    };
    (!id.is_empty() && id.len() <= ID_BYTES_MAX).then(|| id.into_owned())
}

fn project_row(
    table: &'static Table,
    object: &str,
    fields: &Fields<'_>,
    id: &str,
    context: &Context<'_>,
    mismatches: &mut Vec<usize>,
) -> Row {
    let plan = &PLANS[table.index];
    let mut values = vec![Value::Null; table.columns.len()];
    for (name, raw) in fields.iter() {
        for &(position, kind) in plan.simple.get(name.as_ref()).map(Vec::as_slice).unwrap_or_default() {
            values[position] = kept(convert::simple(&table.columns[position], kind, raw, object), table, mismatches);
        }
    }
    for &position in &plan.derived {
        if values[position] == Value::Null {
            values[position] = derive(table, position, (fields, object), context, mismatches);
        }
    }
    values[0] = Value::Text(id.to_owned());
    if let Some(deleted) = plan.deleted {
        values[deleted] = Value::Boolean(context.deletes || values[deleted] == Value::Boolean(true));
    }
    Row {
        table: table.index,
        id: id.to_owned(),
        values,
        raw: object.to_owned(),
        account: context.account.to_owned(),
        version: context.version,
        source_event: context.source_event.to_owned(),
        stub: context.deletes && is_stub(fields),
        revives: context.revives,
    }
}

fn kept(converted: Converted, table: &Table, mismatches: &mut Vec<usize>) -> Value {
    match converted {
        Converted::Value(value) => value,
        Converted::Mismatch => {
            mismatches.push(table.index);
            Value::Null
        }
    }
}

/// A stub says only that the object is gone: `{id, object, deleted: true}`, at most with a mode.
fn is_stub(fields: &Fields<'_>) -> bool {
    const STUB_FIELDS: &[&str] = &["id", "object", "deleted", "livemode"];
    fields.iter().all(|(name, _)| STUB_FIELDS.contains(&name.as_ref()))
}

fn derive(
    table: &Table,
    position: usize,
    own: (&Fields<'_>, &str),
    context: &Context<'_>,
    mismatches: &mut Vec<usize>,
) -> Value {
    let column = &table.columns[position];
    match &column.source {
        Source::Object(expressions) | Source::Linked(expressions) => {
            first_present(column, expressions, own, table, mismatches)
        }
        Source::ParentId(expressions) => match first_present(column, expressions, own, table, mismatches) {
            Value::Null => match context.parent {
                // A list of another kind of parent has another column for it.
                Some(parent) if parent.list.parent_column == Some(position) => Value::Text(parent.id.to_owned()),
                _ => Value::Null,
            },
            own => own,
        },
        Source::Parent(path) => {
            let path = path.iter().cloned().map(Segment::Key).collect();
            context.parent.map_or(Value::Null, |parent| {
                kept(convert::evaluate(column, &Expression::Id(path), parent.fields, ""), table, mismatches)
            })
        }
        Source::Null | Source::Meta(_) => Value::Null,
    }
}

fn first_present(
    column: &Column,
    expressions: &[Expression],
    (fields, object): (&Fields<'_>, &str),
    table: &Table,
    mismatches: &mut Vec<usize>,
) -> Value {
    let evaluate = |expression| convert::evaluate(column, expression, fields, object);
    let values = expressions.iter().map(|expression| kept(evaluate(expression), table, mismatches));
    values.into_iter().find(|value| *value != Value::Null).unwrap_or(Value::Null)
}

fn project_lists(
    table: &'static Table,
    fields: &Fields<'_>,
    id: &str,
    context: &Context<'_>,
    mismatches: &mut Vec<usize>,
) -> Vec<ProjectedList> {
    let mut lists = Vec::new();
    for (position, list) in table.children.iter().enumerate() {
        let Some(found) = fields.get(&list.property).and_then(ListObject::parse) else { continue };
        let parent = Parent { id, list, fields };
        let rows =
            found.elements.iter().filter_map(|element| project_element(element.get(), parent, context, mismatches));
        let rows: Vec<Row> = rows.collect();
        // An element without a row could be one that the table has under another state: then nothing may be pruned.
        let complete = found.complete && rows.len() == found.elements.len();
        lists.push(ProjectedList { list: position, complete, truncated: found.truncated, rows });
    }
    lists
}

fn project_element(
    element: &str,
    parent: Parent<'_>,
    context: &Context<'_>,
    mismatches: &mut Vec<usize>,
) -> Option<Row> {
    let fields = Fields::parse(element)?;
    let expected = &catalogue::tables()[parent.list.table];
    let kind = fields.text("object").unwrap_or_default();
    let table = match catalogue::table_of(&kind) {
        // Polymorphic lists (external accounts, sources) hold kinds with tables of their own; without a kind the list decides.
        Some(table) if expected.object != kind && parent.list.parent_column.is_none() => table,
        _ => expected,
    };
    // Children without events of their own follow their parent; others yield to their own event of the same second.
    let rank = if parent.list.orphans == Orphans::Keep { Rank::Embedded } else { Rank::Event };
    let version = Version { time: context.version.time, rank };
    let context = Context { parent: Some(parent), version, revives: false, deletes: false, ..context.clone() };
    let id = row_id(table, &fields, &context)?;
    Some(project_row(table, element, &fields, &id, &context, mismatches))
}

/// How one property feeds a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Simple {
    /// The value itself.
    Value,
    /// The id of a reference.
    Id,
}

/// A table's columns, arranged for one pass over an object's properties.
struct Plan {
    /// Columns whose first source is a top-level property.
    simple: HashMap<&'static str, Vec<(usize, Simple)>>,
    /// Columns that need more than that.
    derived: Vec<usize>,
    /// The column `deleted`.
    deleted: Option<usize>,
}

static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| catalogue::tables().iter().map(plan).collect());

fn plan(table: &'static Table) -> Plan {
    let mut plan = Plan { simple: HashMap::new(), derived: Vec::new(), deleted: table.column("deleted") };
    for (position, column) in table.columns.iter().enumerate() {
        match &column.source {
            Source::Object(expressions) | Source::Linked(expressions) => {
                let first = match expressions.first() {
                    Some(Expression::Value(path)) => only_key(path).map(|key| (key, Simple::Value)),
                    Some(Expression::Id(path)) => only_key(path).map(|key| (key, Simple::Id)),
                    _ => None,
                };
                if let Some((key, kind)) = first {
                    plan.simple.entry(key).or_default().push((position, kind));
                }
                if first.is_none() || expressions.len() > 1 {
                    plan.derived.push(position);
                }
            }
            Source::ParentId(_) | Source::Parent(_) => plan.derived.push(position),
            Source::Null | Source::Meta(_) => {}
        }
    }
    plan
}

fn only_key(path: &'static [Segment]) -> Option<&'static str> {
    match path {
        [Segment::Key(key)] => Some(key),
        _ => None,
    }
}
