//! Rows of embedded lists. They change only when their parent's state became the stored one, and a list that does not show all
//! its elements never removes any.

use std::collections::{BTreeMap, HashMap};

use billhook_core::row::{Row, Version};
use billhook_core::table::{Orphans, Table};
use billhook_store::{CompleteList, DirtyMark, Guard, StoreError, Transaction};

use crate::apply::{ApplyOutcome, dirty, distinct};
use crate::projection::ProjectedList;

/// The lists of all parents that won in one transaction.
#[derive(Default)]
pub(crate) struct Families {
    /// By table of the parent, position of the list, and parent: the latest list stands.
    lists: BTreeMap<(usize, usize, String), (Version, ProjectedList)>,
    truncated: Vec<DirtyMark>,
}

impl Families {
    /// Takes the lists of a parent that won. A parent that wins again in the same transaction replaces its lists.
    pub(crate) fn add(&mut self, table: &'static Table, parent: &Row, lists: Vec<ProjectedList>) {
        for list in lists {
            if list.truncated {
                self.truncated.push(dirty(table, parent, "truncated_list"));
            }
            self.lists.insert((table.index, list.list, parent.id.clone()), (parent.version, list));
        }
    }

    /// Writes the rows, then removes or flags what complete lists no longer name.
    pub(crate) async fn write<T: Transaction>(
        self,
        transaction: &mut T,
        outcome: &mut ApplyOutcome,
        written: &mut BTreeMap<usize, Vec<String>>,
    ) -> Result<(), StoreError> {
        let tables = billhook_stripe::catalogue::tables();
        let mut rows: BTreeMap<usize, HashMap<String, Row>> = BTreeMap::new();
        let mut complete: BTreeMap<(usize, usize), Vec<CompleteList>> = BTreeMap::new();
        for ((table, position, parent), (version, list)) in self.lists {
            let definition = &tables[table].children[position];
            if list.complete && definition.orphans != Orphans::Keep {
                let children = distinct(list.rows.iter().map(|row| row.id.clone()));
                complete.entry((table, position)).or_default().push(CompleteList { parent, version, children });
            }
            for row in list.rows {
                let rows = rows.entry(row.table).or_default();
                match rows.get(&row.id) {
                    Some(other) if other.version > row.version => {}
                    _ => drop(rows.insert(row.id.clone(), row)),
                }
            }
        }
        for (table, rows) in rows {
            let rows: Vec<Row> = rows.into_values().collect();
            let wrote = transaction.upsert(&tables[table], &rows, Guard::NotOlder).await?;
            let ids = rows.into_iter().zip(wrote).filter(|(_, wrote)| *wrote).map(|(row, _)| row.id);
            let ids: Vec<String> = ids.collect();
            *outcome.rows_written.entry(table).or_default() += ids.len() as u64;
            written.entry(table).or_default().extend(ids);
        }
        for ((table, position), lists) in complete {
            let definition = &tables[table].children[position];
            if let Some(column) = definition.parent_column {
                transaction.prune_children(&tables[definition.table], column, definition.orphans, &lists).await?;
            }
        }
        if !self.truncated.is_empty() {
            transaction.mark_dirty(&self.truncated).await?;
        }
        Ok(())
    }
}
