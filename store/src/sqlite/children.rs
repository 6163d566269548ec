//! Child rows that a complete list of their parent no longer names.

use billhook_core::table::{ColumnType, Orphans, Table};
use rusqlite::{Connection, params};

use super::errors::refused;
use super::statements::{DELETED, quoted};
use super::times;
use crate::{CompleteList, StoreError};

/// Flags or removes orphans; see [`crate::Transaction::prune_children`]. Cost: reads the parent's children through their index.
pub(super) fn prune(
    connection: &Connection,
    table: &Table,
    parent_column: usize,
    orphans: Orphans,
    lists: &[CompleteList],
) -> Result<(), StoreError> {
    let Some(sql) = statement(table, parent_column, orphans)? else { return Ok(()) };
    let updated_at = times::mirrored(times::now());
    let prune = || {
        let mut statement = connection.prepare_cached(&sql)?;
        for list in lists {
            let children = serde_json::Value::from(list.children.as_slice()).to_string();
            let rank = list.version.rank as i16;
            statement.execute(params![list.parent, children, list.version.time, rank, updated_at])?;
        }
        Ok(())
    };
    prune().map_err(refused("pruning children"))
}

/// `None` when orphans are kept.
fn statement(table: &Table, parent_column: usize, orphans: Orphans) -> Result<Option<String>, StoreError> {
    let Some(parent) = table.columns.get(parent_column) else {
        return Err(StoreError::Configuration(format!(
            "table {} has no column at position {parent_column}",
            table.name
        )));
    };
    let name = quoted(&table.name);
    let verb = match orphans {
        Orphans::Keep => return Ok(None),
        Orphans::Remove => format!("DELETE FROM {name} AS child"),
        Orphans::Flag => {
            let flag =
                table.columns.iter().any(|column| column.name == DELETED && column.column_type == ColumnType::Boolean);
            if !flag {
                return Err(StoreError::Configuration(format!("table {} has no column {DELETED} to flag", table.name)));
            }
            format!("UPDATE {name} AS child SET deleted = true, updated_at = ?5")
        }
    };
    // Parameter 5 is named in every case, since one number of parameters is bound.
    Ok(Some(format!(
        "{verb} WHERE child.{parent} = ?1 AND ?5 IS NOT NULL AND child.id NOT IN (SELECT value FROM json_each(?2)) \
         AND (child._version_time IS NULL OR (child._version_time, coalesce(child._version_rank, 1)) <= (?3, ?4)){unflagged}",
        parent = quoted(&parent.name),
        unflagged = if orphans == Orphans::Flag { " AND deleted IS NOT true" } else { "" },
    )))
}
