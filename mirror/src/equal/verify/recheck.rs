//! The second look: each suspect is read on its own, and its row after a while.

use std::collections::{BTreeMap, BTreeSet};

use billhook_core::table::Table;
use billhook_store::{Store, StoredRow};
use billhook_stripe::catalogue;
use futures_util::StreamExt;

use super::survey::{Suspect, buried};
use super::{Difference, DifferenceKind, PropertyDifference, REST_LEAST, VerifyOptions};
use crate::equal::error::EqualError;
use crate::equal::shape::differing_in_shape;
use crate::object::Fields;
use crate::reread::{ObjectSource, Read, says_deleted};

/// Looks at an object that differs, each after a rest of its own: two may fall into a busy moment, three hardly.
const LOOKS: usize = 3;

/// Reads at the same time.
const READS_IN_FLIGHT: usize = 8;

/// Suspects looked into together.
const AT_ONCE: usize = 500;

/// What the second look left.
#[derive(Debug, Default)]
pub(super) struct Checked {
    pub(super) differences: Vec<Difference>,
    pub(super) unproved: u64,
}

/// Looks into every suspect. `version` is the API version of the reads.
pub(super) async fn recheck(
    store: &Store,
    source: &impl ObjectSource,
    options: &VerifyOptions,
    version: &str,
    suspects: BTreeSet<Suspect>,
) -> Result<Checked, EqualError> {
    let mut checked = Checked::default();
    let suspects: Vec<Suspect> = suspects.into_iter().collect();
    for some in suspects.chunks(AT_ONCE) {
        let mut left: Vec<Suspect> = some.to_vec();
        for look in 1..=LOOKS {
            let found = look_into(store, source, options, version, left).await?;
            checked.unproved += found.unproved;
            if look == LOOKS {
                checked.differences.extend(found.differing.into_iter().map(|(_, difference)| difference));
                break;
            }
            left = found.differing.into_iter().map(|(suspect, _)| suspect).collect();
            if left.is_empty() {
                break;
            }
        }
    }
    Ok(checked)
}

#[derive(Default)]
struct Found {
    differing: Vec<(Suspect, Difference)>,
    unproved: u64,
}

async fn look_into(
    store: &Store,
    source: &impl ObjectSource,
    options: &VerifyOptions,
    version: &str,
    suspects: Vec<Suspect>,
) -> Result<Found, EqualError> {
    let reads = futures_util::stream::iter(suspects).map(|suspect| async move {
        let read = source.read(suspect.object, &suspect.id, &suspect.account).await;
        (suspect, read)
    });
    let reads: Vec<(Suspect, Read)> = reads.buffered(READS_IN_FLIGHT).collect().await;
    tokio::time::sleep(options.rest.max(REST_LEAST)).await;
    let mut by_object: BTreeMap<&'static str, Vec<(Suspect, Read)>> = BTreeMap::new();
    for (suspect, read) in reads {
        by_object.entry(suspect.object).or_default().push((suspect, read));
    }
    let mut found = Found::default();
    for (object, reads) in by_object {
        let table = catalogue::table_of(object).unwrap_or_else(catalogue::other_objects);
        let ids: Vec<String> = reads.iter().map(|(suspect, _)| suspect.id.clone()).collect();
        let rows = store.rows(table, &ids).await?;
        let buried = buried(store, table, ids).await?;
        for (((suspect, read), row), buried) in reads.into_iter().zip(rows).zip(buried) {
            let row = row.filter(|_| !buried);
            match judge(store, options, version, table, &suspect, read, row).await? {
                Verdict::Same => {}
                Verdict::Unproved => found.unproved += 1,
                Verdict::Differs(difference) => found.differing.push((suspect, difference)),
            }
        }
    }
    Ok(found)
}

enum Verdict {
    Same,
    Unproved,
    Differs(Difference),
}

async fn judge(
    store: &Store,
    options: &VerifyOptions,
    version: &str,
    table: &'static Table,
    suspect: &Suspect,
    read: Read,
    row: Option<StoredRow>,
) -> Result<Verdict, EqualError> {
    let difference = |kind, properties| {
        let (object, table, id) = (suspect.object, table.name.as_str(), suspect.id.clone());
        Verdict::Differs(Difference { object, table, id, kind, properties })
    };
    let json = match read {
        Read::Found { json, .. } if !Fields::parse(&json).is_some_and(|fields| says_deleted(&fields)) => json,
        Read::Found { .. } | Read::Gone { .. } => {
            return Ok(match row {
                Some(_) => difference(DifferenceKind::Extra, Vec::new()),
                None => Verdict::Same,
            });
        }
        Read::Later | Read::Never(_) => return Ok(Verdict::Unproved),
    };
    let Some(row) = row else { return Ok(difference(DifferenceKind::Missing, Vec::new())) };
    let names = differing_in_shape(store, version, table, &row, &json).await?;
    if names.is_empty() {
        return Ok(Verdict::Same);
    }
    let properties = names.into_iter().map(|name| property(name, &row.raw, &json, options.values)).collect();
    Ok(difference(DifferenceKind::Different, properties))
}

fn property(name: String, stored: &str, read: &str, values: bool) -> PropertyDifference {
    let value = |json: &str| {
        let fields = Fields::parse(json).filter(|_| values)?;
        Some(fields.get(&name).map_or_else(|| "null".to_owned(), |raw| raw.get().to_owned()))
    };
    let (stored, stripe) = (value(stored), value(read));
    PropertyDifference { name, stored, stripe }
}
