//! Objects that rows refer to and the mirror lacks: they are marked, so that the loop of re-reads fetches them.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, LazyLock};

use billhook_core::row::{Row, Value};
use billhook_core::table::{ColumnType, Table};
use billhook_store::{DirtyMark, StoreError, Transaction, Work};
use billhook_stripe::catalogue;

use crate::interpret::read_after;

/// The reason of such marks.
pub(crate) const REASON: &str = "related";

/// Columns whose value is the id of an object that queries join. Only objects without which a row cannot be understood, because
/// each missing one costs a request.
const REFERENCES: &[(&str, &str)] = &[
    // Who pays.
    ("customer", "customer"),
    // What was bought.
    ("product", "product"),
    ("price", "price"),
    // What a payment is for, and what paid for it.
    ("invoice", "invoice"),
    ("latest_invoice", "invoice"),
    ("subscription", "subscription"),
    ("payment_intent", "payment_intent"),
    ("charge", "charge"),
    ("latest_charge", "charge"),
    // How it was paid.
    ("payment_method", "payment_method"),
    ("default_payment_method", "payment_method"),
];

/// A column of a table that refers to an object.
struct Reference {
    column: usize,
    target: &'static Table,
}

static REFERENCES_OF: LazyLock<Vec<Vec<Reference>>> = LazyLock::new(|| {
    let of_table = |table: &'static Table| {
        let columns = table.columns.iter().enumerate().filter(|(_, column)| column.column_type == ColumnType::Text);
        let references = columns.filter_map(|(at, column)| {
            let (_, object) = REFERENCES.iter().find(|(name, _)| *name == column.name)?;
            Some(Reference { column: at, target: catalogue::table_of(object)? })
        });
        references.collect()
    };
    catalogue::tables().iter().map(of_table).collect()
});

/// Collects what rows of one transaction refer to.
#[derive(Debug, Default)]
pub(crate) struct Related {
    /// Kinds that are on their way anyway, because a run reads all of them.
    pub(crate) expected: Arc<HashSet<String>>,
    /// By position of the target's table: id and owner.
    wanted: BTreeMap<usize, BTreeSet<(String, String)>>,
    /// The latest version among the rows, in Unix seconds.
    time: i64,
}

impl Related {
    pub(crate) fn new(expected: Arc<HashSet<String>>) -> Self {
        Self { expected, wanted: BTreeMap::new(), time: 0 }
    }

    /// Notes what a row refers to.
    pub(crate) fn add(&mut self, row: &Row) {
        for reference in &REFERENCES_OF[row.table] {
            if self.expected.contains(&reference.target.object) {
                continue;
            }
            if let Some(Value::Text(id)) = row.values.get(reference.column)
                && !id.is_empty()
            {
                let wanted = self.wanted.entry(reference.target.index).or_default();
                wanted.insert((id.clone(), row.account.clone()));
                self.time = self.time.max(row.version.time);
            }
        }
    }

    /// Marks those that the mirror lacks.
    pub(crate) async fn mark<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        for (table, wanted) in self.wanted {
            let table = &catalogue::tables()[table];
            let accounts: BTreeMap<String, String> = wanted.into_iter().collect();
            let ids: Vec<String> = accounts.keys().cloned().collect();
            let missing = transaction.missing_rows(table, &ids).await?;
            let marks: Vec<DirtyMark> = missing
                .into_iter()
                .map(|id| DirtyMark {
                    object: table.object.clone(),
                    account: accounts.get(&id).cloned().unwrap_or_default(),
                    id,
                    reason: REASON.to_owned(),
                    event_id: String::new(),
                    not_before: read_after(self.time),
                })
                .collect();
            if !marks.is_empty() {
                transaction.mark_dirty(&marks).await?;
            }
        }
        Ok(())
    }
}

/// Of these marks, those whose object the mirror still lacks. The others are removed: what they asked for arrived by another way.
/// Marks for other reasons stay, because whoever brought the object may have left a doubt.
pub(crate) struct StillMissing(pub(crate) Vec<DirtyMark>);

impl Work for StillMissing {
    type Output = Vec<DirtyMark>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<DirtyMark>, StoreError> {
        let mut by_object: BTreeMap<String, Vec<DirtyMark>> = BTreeMap::new();
        for mark in self.0 {
            by_object.entry(mark.object.clone()).or_default().push(mark);
        }
        let (mut wanted, mut arrived) = (Vec::new(), Vec::new());
        for (object, marks) in by_object {
            let table = catalogue::table_of(&object).unwrap_or_else(catalogue::other_objects);
            let ids: Vec<String> = marks.iter().map(|mark| mark.id.clone()).collect();
            let missing: HashSet<String> = transaction.missing_rows(table, &ids).await?.into_iter().collect();
            for mark in marks {
                if missing.contains(&mark.id) {
                    wanted.push(mark);
                } else {
                    arrived.push(mark);
                }
            }
        }
        if !arrived.is_empty() {
            transaction.unmark_dirty(&arrived).await?;
        }
        Ok(wanted)
    }
}
