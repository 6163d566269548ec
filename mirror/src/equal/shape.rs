//! Rows that an event wrote may have the shape of another API version than a read.

use billhook_core::row::Rank;
use billhook_core::table::Table;
use billhook_store::{Store, StoreError, StoredRow};

use super::compare::{Shapes, differing};

/// Names of the properties in which a row differs from a read of API version `version`.
pub(super) async fn differing_in_shape(
    store: &Store,
    version: &str,
    table: &Table,
    stored: &StoredRow,
    read: &str,
) -> Result<Vec<String>, StoreError> {
    let names = differing(&table.object, &stored.raw, read, Shapes::Same);
    if names.is_empty() || stored.version.rank == Rank::Read || stored.source_event.is_empty() {
        return Ok(names);
    }
    let event = store.event(&stored.source_event).await?;
    if event.is_some_and(|event| event.api_version == version) {
        return Ok(names);
    }
    Ok(differing(&table.object, &stored.raw, read, Shapes::Different))
}
