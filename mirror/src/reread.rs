//! Settles marked objects by reading them: the hook between the ordering law and Stripe's API.
//!
//! The law marks what events cannot decide. Whoever can read objects implements [`ObjectSource`]; [`reread`] takes the marks
//! that are due, reads each object once, and writes what it found under the law.

use std::future::Future;

use billhook_core::row::{Rank, Version};
use billhook_core::table::{OnDelete, Table};
use billhook_store::{DirtyMark, Store, StoreError, Transaction, Work};
use billhook_stripe::catalogue;
use billhook_stripe::json::sanitise;
use jiff::Timestamp;

use crate::apply::Step;
use crate::interpret::{Change, Policy};
use crate::projection::{self, Context};

/// What reading an object gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The object as JSON, and the second of the read by Stripe's clock (`Date` header less the round trip, floored).
    Found {
        /// The object.
        json: String,
        /// Unix seconds.
        read_at: i64,
    },
    /// Stripe says that it does not exist.
    Gone {
        /// Unix seconds.
        read_at: i64,
    },
    /// It cannot be read now; the mark stays.
    Later,
}

/// Something that can read objects.
pub trait ObjectSource: Send + Sync {
    /// Reads one object by kind and id, for an account (empty: the account of this installation).
    fn read(&self, object: &str, id: &str, account: &str) -> impl Future<Output = Read> + Send;
}

/// Reads every object whose mark is due, at most `limit`. Returns how many were settled.
///
/// # Errors
/// When the database fails; marks that were not settled stay.
pub async fn reread(
    store: &Store,
    source: &impl ObjectSource,
    policy: &Policy,
    now: Timestamp,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut settled = std::collections::HashSet::new();
    for mark in store.due_dirty(now, limit).await? {
        // An object may be marked for several reasons; one read settles them all.
        let object = (mark.object.clone(), mark.id.clone());
        if settled.contains(&object) {
            continue;
        }
        let read = source.read(&mark.object, &mark.id, &mark.account).await;
        if read != Read::Later {
            store.transact(Settle { mark, read, policy: policy.clone(), now }).await?;
            settled.insert(object);
        }
    }
    Ok(settled.len())
}

struct Settle {
    mark: DirtyMark,
    read: Read,
    policy: Policy,
    now: Timestamp,
}

impl Work for Settle {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        let Self { mark, read, policy, now } = self;
        let table = catalogue::table_of(&mark.object).unwrap_or_else(catalogue::other_objects);
        let (json, read_at) = match read {
            Read::Found { json, read_at } => (json, read_at),
            Read::Gone { read_at } => (stub(&mark), read_at),
            Read::Later => return Ok(()),
        };
        let mut step = Step::new(policy, now);
        if let Some(change) = change(table, &mark, &json, read_at) {
            step.changes(transaction, vec![change]).await?;
            step.finish(transaction).await?;
        }
        transaction.clear_dirty(&[(mark.object, mark.id)]).await
    }
}

/// What Stripe answers for a deleted object of a kind whose deletions leave a stub.
fn stub(mark: &DirtyMark) -> String {
    serde_json::json!({ "id": mark.id, "object": mark.object, "deleted": true }).to_string()
}

fn change(table: &'static Table, mark: &DirtyMark, json: &str, read_at: i64) -> Option<Change> {
    let sanitised = sanitise(json).ok()?;
    let says_deleted = serde_json::from_str::<serde_json::Value>(&sanitised.text)
        .is_ok_and(|object| object.get("deleted") == Some(&serde_json::Value::Bool(true)));
    let deletes = says_deleted && table.on_delete != OnDelete::Keep;
    let context = Context {
        account: &mark.account,
        version: Version { time: read_at, rank: Rank::Read },
        source_event: "",
        revives: !deletes,
        deletes,
        parent: None,
    };
    let projected = projection::project(table, &sanitised.text, &context).ok()?;
    Some(Change { table, projected, deletes })
}
