//! The one table of Stripe resources, events and columns, from which migrations, upserts, the Prisma schema and docs derive.
//!
//! The content is `stripe/catalogue/catalogue.txt`, made by `cargo xtask catalogue` and compiled in. It is parsed once, at the
//! first use; that it can be parsed is proved by this crate's tests, because it cannot change after compilation.

mod expression;
mod kind;
mod parse;

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use billhook_core::table::Table;

pub use kind::{EventType, Kind, List, Recognition, ThinEventType};

/// The committed catalogue.
const TEXT: &str = include_str!("../../catalogue/catalogue.txt");

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| match parse::parse(TEXT) {
    Ok(parsed) => Catalogue::index(parsed),
    Err(error) => unreachable!("the tests of this crate parse the same text: {error}"),
});

/// The parsed catalogue with its look-up tables.
struct Catalogue {
    parsed: parse::Parsed,
    kind_by_object: HashMap<&'static str, usize>,
    event_names: HashSet<&'static str>,
    table_by_name: HashMap<String, usize>,
    /// Id prefixes with the positions of their kinds, the longest prefix first.
    prefixes: Vec<(&'static str, Vec<usize>)>,
}

impl Catalogue {
    fn index(parsed: parse::Parsed) -> Self {
        let kind_by_object = parsed.kinds.iter().enumerate().map(|(at, kind)| (kind.object, at)).collect();
        let table_by_name = parsed.tables.iter().map(|table| (table.name.clone(), table.index)).collect();
        let snapshot_names = parsed.events.iter().map(|event| event.name);
        let thin_names = parsed.thin_events.iter().map(|event| event.name);
        let event_names = snapshot_names.chain(thin_names).collect();
        let prefixes = kind::prefixes(&parsed.kinds);
        Self { parsed, kind_by_object, event_names, table_by_name, prefixes }
    }
}

/// Grows with every change of tables or columns; a database remembers the greatest it has seen.
pub fn revision() -> i64 {
    CATALOGUE.parsed.revision
}

/// The Stripe API version whose objects the catalogue describes, e.g. `2026-10-28.endive`.
pub fn api_version() -> &'static str {
    CATALOGUE.parsed.api_version
}

/// Every mirrored table; [`other_objects`] is the last.
pub fn tables() -> &'static [Table] {
    &CATALOGUE.parsed.tables
}

/// Names of the columns that every table ends with, in their order.
pub fn meta_column_names() -> [&'static str; parse::META_COLUMNS.len()] {
    parse::META_COLUMNS.map(|(name, _, _)| name)
}

/// The table of a kind (`customer`, `checkout.session`); `None` for kinds the catalogue does not know, and for those without
/// rows of their own.
pub fn table_of(object: &str) -> Option<&'static Table> {
    let at = kind_of(object)?.table?;
    CATALOGUE.parsed.tables.get(at)
}

/// The table with a name (`customers`, `other_objects`).
pub fn table_named(name: &str) -> Option<&'static Table> {
    let at = CATALOGUE.table_by_name.get(name)?;
    CATALOGUE.parsed.tables.get(*at)
}

/// The generic table for kinds the catalogue does not know.
pub fn other_objects() -> &'static Table {
    &CATALOGUE.parsed.tables[CATALOGUE.parsed.other_objects]
}

/// Every object kind Stripe has, with or without a table, in order of its name.
pub fn kinds() -> &'static [Kind] {
    &CATALOGUE.parsed.kinds
}

/// A kind by its `object` value.
pub fn kind_of(object: &str) -> Option<&'static Kind> {
    let at = CATALOGUE.kind_by_object.get(object)?;
    CATALOGUE.parsed.kinds.get(*at)
}

/// Whether a kind is one that the catalogue knows, including those without rows of their own (portal links, `event` itself).
pub fn is_known_object(object: &str) -> bool {
    CATALOGUE.kind_by_object.contains_key(object)
}

/// Every snapshot event type with the kinds its `data.object` can have.
pub fn event_types() -> &'static [EventType] {
    &CATALOGUE.parsed.events
}

/// Every thin event type.
pub fn thin_event_types() -> &'static [ThinEventType] {
    &CATALOGUE.parsed.thin_events
}

/// Whether a snapshot or thin event type is known.
pub fn is_known_event(event_type: &str) -> bool {
    CATALOGUE.event_names.contains(event_type)
}

/// The kinds an id can belong to, by its longest known prefix (`sub_sched_` before `sub_`).
///
/// Ids of coupons, plans and products can be chosen by the user: they can match nothing, or the prefix of another kind.
pub fn recognise(id: &str) -> Recognition {
    kind::recognise(&CATALOGUE.prefixes, &CATALOGUE.parsed.kinds, id)
}

#[cfg(test)]
mod tests;
