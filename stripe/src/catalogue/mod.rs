//! The one table of Stripe resources, events and columns, from which migrations, upserts, the Prisma schema and docs derive.

use billhook_core::table::Table;

/// Grows with every change of tables or columns; a database remembers the greatest it has seen.
pub fn revision() -> i64 {
    todo!()
}

/// Every mirrored table.
pub fn tables() -> &'static [Table] {
    todo!()
}

/// The table of a kind (`customer`, `checkout.session`); `None` for kinds the catalogue does not know.
pub fn table_of(_object: &str) -> Option<&'static Table> {
    todo!()
}

/// The generic table for kinds the catalogue does not know.
pub fn other_objects() -> &'static Table {
    todo!()
}

/// Whether a kind is one that the catalogue knows although it has no row of its own (`invoice.upcoming` previews, portal links).
pub fn is_known_object(_object: &str) -> bool {
    todo!()
}

/// Whether a snapshot or thin event type is known.
pub fn is_known_event(_event_type: &str) -> bool {
    todo!()
}
