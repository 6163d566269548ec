//! What a page of the rolling re-list finds: objects whose row is missing or shows another state.

use std::collections::{BTreeMap, HashMap};

use billhook_core::row::{Rank, Row, Version};
use billhook_core::table::{OnDelete, Table};
use billhook_store::{DriftFind, DriftKind, RowState, StoreError, Tombstone, Transaction};
use billhook_stripe::envelope::Envelope;
use jiff::Timestamp;

use super::compare::{Shapes, differing};
use super::drift::has_events;
use crate::interpret::Change;

/// Most bytes of the names in a find.
const DETAIL_BYTES_MAX: usize = 500;

/// What is known of a read besides its objects.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// The API version of the read.
    pub(crate) version: String,
    /// The last second, by Stripe's clock, that it may show.
    pub(crate) until: i64,
}

/// Compares what was read with the rows it is about to replace, in the same transaction and before it replaces them, and notes
/// where they differ.
///
/// Only what the read would change counts: a row that is newer than the read, or an object whose deletion is, differs rightly.
/// Kinds without events are passed over; nothing could have told of their changes.
pub(crate) async fn note<T: Transaction>(
    transaction: &mut T,
    changes: &[Change],
    seen: &Seen,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let mut tables: BTreeMap<usize, BTreeMap<&str, &Row>> = BTreeMap::new();
    for change in changes.iter().filter(|change| has_events(&change.table.object) && !change.deletes) {
        let row = &change.projected.row;
        tables.entry(row.table).or_default().entry(&row.id).or_insert(row);
    }
    let mut finds = Vec::new();
    for (table, rows) in tables {
        let table = &billhook_stripe::catalogue::tables()[table];
        finds.extend(in_table(transaction, table, &rows, &seen.version).await?);
    }
    let finds: Vec<DriftFind> =
        finds.into_iter().map(|find| DriftFind { read_at: seen.until, found_at: now, ..find }).collect();
    if !finds.is_empty() {
        transaction.note_drift(&finds).await?;
    }
    Ok(finds.len() as u64)
}

async fn in_table<T: Transaction>(
    transaction: &mut T,
    table: &'static Table,
    rows: &BTreeMap<&str, &Row>,
    version: &str,
) -> Result<Vec<DriftFind>, StoreError> {
    let ids: Vec<String> = rows.keys().map(|id| (*id).to_owned()).collect();
    let states = transaction.row_states(table, &ids).await?;
    let stones = match table.on_delete {
        OnDelete::Keep => vec![None; ids.len()],
        OnDelete::Flag | OnDelete::Remove => transaction.tombstones(table, &ids).await?,
    };
    let mut finds = Vec::new();
    let mut doubtful: Vec<(&Row, RowState)> = Vec::new();
    for ((row, state), stone) in rows.values().zip(states).zip(stones) {
        match judge(row, state, stone.as_ref()) {
            Judgement::AsItShouldBe => {}
            Judgement::Differs(kind, detail, previous) => finds.push(find(table, row, kind, detail, previous)),
            Judgement::PerhapsAnotherShape(state) => doubtful.push((row, state)),
        }
    }
    let versions = versions_of(transaction, &doubtful).await?;
    for (row, state) in doubtful {
        let same = versions.get(&state.source_event).is_some_and(|stored| stored == version);
        let shapes = if same { Shapes::Same } else { Shapes::Different };
        let names = differing(&table.object, &state.raw, &row.raw, shapes);
        if !names.is_empty() {
            finds.push(find(table, row, DriftKind::Changed, names.join(" "), Previous::of(&state)));
        }
    }
    Ok(finds)
}

/// The state that the mirror had before a find.
#[derive(Default)]
struct Previous {
    /// Unix seconds; `None` when there was none.
    time: Option<i64>,
    /// The event that brought it.
    event: String,
}

impl Previous {
    fn of(state: &RowState) -> Self {
        Self { time: Some(state.version.time), event: state.source_event.clone() }
    }
}

enum Judgement {
    AsItShouldBe,
    Differs(DriftKind, String, Previous),
    /// It differs, but an event wrote the stored state, perhaps in the shape of another API version.
    PerhapsAnotherShape(RowState),
}

fn judge(row: &Row, state: Option<RowState>, stone: Option<&Tombstone>) -> Judgement {
    if let Some(stone) = stone {
        return match stone.time < row.version.time {
            true => {
                let previous = Previous { time: Some(stone.time), event: stone.source_event.clone() };
                Judgement::Differs(DriftKind::Missing, "deleted".to_owned(), previous)
            }
            false => Judgement::AsItShouldBe,
        };
    }
    let Some(state) = state else { return Judgement::Differs(DriftKind::Missing, String::new(), Previous::default()) };
    if state.version >= row.version {
        return Judgement::AsItShouldBe;
    }
    let table = &billhook_stripe::catalogue::tables()[row.table];
    let names = differing(&table.object, &state.raw, &row.raw, Shapes::Same);
    if names.is_empty() {
        return Judgement::AsItShouldBe;
    }
    if state.version.rank == Rank::Read || state.source_event.is_empty() {
        return Judgement::Differs(DriftKind::Changed, names.join(" "), Previous::of(&state));
    }
    Judgement::PerhapsAnotherShape(state)
}

fn find(table: &Table, row: &Row, kind: DriftKind, mut detail: String, previous: Previous) -> DriftFind {
    let end = detail.floor_char_boundary(DETAIL_BYTES_MAX);
    detail.truncate(end);
    DriftFind {
        object: table.object.clone(),
        id: row.id.clone(),
        kind,
        detail,
        previous_time: previous.time,
        previous_event: previous.event,
        read_at: row.version.time,
        found_at: Timestamp::UNIX_EPOCH,
    }
}

/// The API versions that rendered the events behind stored states; unknown ones are missing.
async fn versions_of<T: Transaction>(
    transaction: &mut T,
    doubtful: &[(&Row, RowState)],
) -> Result<HashMap<String, String>, StoreError> {
    let mut events: Vec<String> = doubtful.iter().map(|(_, state)| state.source_event.clone()).collect();
    events.sort_unstable();
    events.dedup();
    if events.is_empty() {
        return Ok(HashMap::new());
    }
    let events = transaction.events(&events).await?;
    let version = |raw: &[u8]| Envelope::parse(raw).ok()?.api_version;
    Ok(events.into_iter().filter_map(|event| Some((event.event_id, version(&event.raw)?))).collect())
}

/// Notes that Stripe no longer has an object whose row is alive, before the row goes. A deletion event that comes late, or a thin
/// one that asked for the read, explains it.
pub(crate) async fn note_gone<T: Transaction>(
    transaction: &mut T,
    table: &'static Table,
    id: &str,
    version: Version,
    now: Timestamp,
) -> Result<(), StoreError> {
    if !has_events(&table.object) {
        return Ok(());
    }
    let ids = [id.to_owned()];
    let state = transaction.row_states(table, &ids).await?.pop().flatten();
    let buried =
        table.on_delete != OnDelete::Keep && transaction.tombstones(table, &ids).await?.pop().flatten().is_some();
    let Some(state) = state.filter(|state| !buried && state.version < version) else { return Ok(()) };
    let find = DriftFind {
        object: table.object.clone(),
        id: id.to_owned(),
        kind: DriftKind::Gone,
        detail: String::new(),
        previous_time: Some(state.version.time),
        previous_event: state.source_event,
        read_at: version.time,
        found_at: now,
    };
    transaction.note_drift(&[find]).await
}
