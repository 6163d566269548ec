//! States that the upsert's guard turned away: stale, behind a tombstone, or tied with the stored state.

use billhook_core::row::{Rank, Row, Value};
use billhook_core::table::{OnDelete, Table};
use billhook_store::{Contender, Guard, RowState, StoreError, StoredDelivery, Tombstone, Transaction};
use billhook_stripe::envelope::Envelope;
use billhook_stripe::json::sanitise;

use crate::apply::{Facts, Step, dirty, distinct, is_own};
use crate::interpret::{Meaning, interpret};
use crate::law::{self, Candidate};

/// Settles the losers of one table, each of another object.
pub(crate) async fn settle<T: Transaction>(
    step: &mut Step,
    transaction: &mut T,
    table: &'static Table,
    losers: Vec<(Facts, Row)>,
) -> Result<(), StoreError> {
    let ids: Vec<String> = losers.iter().map(|(_, row)| row.id.clone()).collect();
    let states = transaction.row_states(table, &ids).await?;
    let stones = match table.on_delete {
        OnDelete::Keep => vec![None; ids.len()],
        OnDelete::Flag | OnDelete::Remove => transaction.tombstones(table, &ids).await?,
    };
    for (((facts, row), state), stone) in losers.into_iter().zip(states).zip(stones) {
        settle_one(step, transaction, table, facts, row, state, stone).await?;
    }
    Ok(())
}

async fn settle_one<T: Transaction>(
    step: &mut Step,
    transaction: &mut T,
    table: &'static Table,
    facts: Facts,
    row: Row,
    state: Option<RowState>,
    stone: Option<Tombstone>,
) -> Result<(), StoreError> {
    let replayed = state.as_ref().is_some_and(|state| is_own(state, &row))
        || stone.as_ref().is_some_and(|stone| stone.source_event == row.source_event);
    if replayed && !(facts.deletes && table.on_delete == OnDelete::Remove) {
        // Applied again on purpose (`events replay`): the same outcome, written anew.
        return force(step, transaction, table, facts, row).await;
    }
    if let Some(stone) = stone {
        return behind_tombstone(step, transaction, table, facts, row, stone).await;
    }
    match state {
        Some(state) if state.version == row.version && row.version.rank == Rank::Read => {
            // Two reads of one second: of different answers nobody knows which one is later.
            if is_same_document(&state.raw, &row.raw) {
                // The later one may have read embedded lists further.
                let has_lists = !facts.lists.is_empty();
                return if has_lists { force(step, transaction, table, facts, row).await } else { Ok(()) };
            }
            transaction.mark_dirty(&[dirty(table, &row, "read_tie")]).await
        }
        Some(state) if state.version == row.version => tie(step, transaction, table, row, &state).await,
        Some(state) if state.version > row.version => {
            *step.outcome.stale.entry(table.index).or_default() += 1;
            if state.version.time == row.version.time && state.version.rank == Rank::Read {
                // The read may have come before the event inside their second.
                transaction.mark_dirty(&[dirty(table, &row, "read_tie")]).await?;
            }
            Ok(())
        }
        // The row that stood in the way is gone: another node removed it meanwhile.
        _ => force(step, transaction, table, facts, row).await,
    }
}

/// PostgreSQL reorders keys, so texts do not tell.
fn is_same_document(one: &str, other: &str) -> bool {
    let parse = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    one == other || parse(one).is_some_and(|one| parse(other) == Some(one))
}

async fn force<T: Transaction>(
    step: &mut Step,
    transaction: &mut T,
    table: &'static Table,
    facts: Facts,
    row: Row,
) -> Result<(), StoreError> {
    transaction.upsert(table, std::slice::from_ref(&row), Guard::Always).await?;
    step.won(transaction, table, vec![(facts, row)]).await
}

/// The object is deleted. Older states are stale; later ones wait for the creation that makes them possible.
async fn behind_tombstone<T: Transaction>(
    step: &mut Step,
    transaction: &mut T,
    table: &'static Table,
    facts: Facts,
    mut row: Row,
    stone: Tombstone,
) -> Result<(), StoreError> {
    if row.version.time > stone.time {
        if facts.deletes {
            return force(step, transaction, table, facts, row).await;
        }
        let waiting = contender(table, &row.id, &row.source_event, row.version.time);
        transaction.add_contenders(&[waiting]).await?;
        return transaction.mark_dirty(&[dirty(table, &row, "behind_tombstone")]).await;
    }
    *step.outcome.stale.entry(table.index).or_default() += 1;
    let fills = stone.base_time.is_some_and(|base| row.version.time > base) && !row.stub;
    if !fills || table.on_delete != OnDelete::Flag {
        return Ok(());
    }
    // The deletion came as a stub before this older state: the columns it could not know are filled beneath it.
    let base_time = Some(row.version.time);
    row.version.time = stone.time;
    row.version.rank = Rank::Event;
    row.source_event = stone.source_event.clone();
    if let Some(deleted) = table.column("deleted") {
        row.values[deleted] = Value::Boolean(true);
    }
    let id = row.id.clone();
    transaction.upsert(table, &[row], Guard::Always).await?;
    transaction.bury(table, &[(id, Tombstone { base_time, ..stone })]).await
}

fn contender(table: &Table, id: &str, event_id: &str, time: i64) -> Contender {
    Contender { table: table.index, id: id.to_owned(), event_id: event_id.to_owned(), time }
}

/// Two states of one second: all events of that second are laid side by side.
async fn tie<T: Transaction>(
    step: &mut Step,
    transaction: &mut T,
    table: &'static Table,
    row: Row,
    state: &RowState,
) -> Result<(), StoreError> {
    let time = row.version.time;
    let ids = [row.id.clone()];
    let known = transaction.contenders(table, &ids).await?;
    let mut events: Vec<String> =
        known.into_iter().filter(|known| known.time == time).map(|known| known.event_id).collect();
    events.extend([row.source_event.clone(), state.source_event.clone()]);
    let events = distinct(events.into_iter().filter(|event| !event.is_empty()));
    let deliveries = transaction.events(&events).await?;
    let candidates: Vec<(Candidate, &StoredDelivery)> = deliveries
        .iter()
        .filter_map(|delivery| candidate(step, table, delivery).map(|candidate| (candidate, delivery)))
        .collect();
    let contenders: Vec<Contender> = events.iter().map(|event| contender(table, &row.id, event, time)).collect();
    transaction.add_contenders(&contenders).await?;
    if candidates.is_empty() {
        return transaction.mark_dirty(&[dirty(table, &row, "tie")]).await;
    }
    let (candidates, deliveries): (Vec<Candidate>, Vec<&StoredDelivery>) = candidates.into_iter().unzip();
    let resolution = law::resolve(&candidates);
    // Without the event behind the stored state its side of the evidence is missing.
    let lost_evidence = !candidates.iter().any(|candidate| candidate.event_id == state.source_event);
    if resolution.ambiguous || lost_evidence {
        step.outcome.ties_dirty += 1;
        transaction.mark_dirty(&[dirty(table, &row, "tie")]).await?;
    } else {
        step.outcome.ties_decided += 1;
    }
    let winner = &candidates[resolution.winner];
    if winner.event_id == state.source_event {
        return Ok(());
    }
    if let Meaning::Change(change) = interpret(deliveries[resolution.winner], None, &step.policy).meaning {
        let (facts, row) = Facts::split(*change);
        force(step, transaction, table, facts, row).await?;
    }
    Ok(())
}

/// Reads an event of the tied second as evidence.
fn candidate(step: &Step, table: &Table, delivery: &StoredDelivery) -> Option<Candidate> {
    let envelope = Envelope::parse(&delivery.raw).ok()?;
    let text = |range: Option<std::ops::Range<usize>>| {
        let bytes = delivery.raw.get(range?)?;
        Some(sanitise(std::str::from_utf8(bytes).ok()?).ok()?.text.into_owned())
    };
    let object = serde_json::from_str(&text(envelope.data_object.clone())?).ok()?;
    let previous_attributes =
        text(envelope.previous_attributes.clone()).and_then(|previous| serde_json::from_str(&previous).ok());
    let deletion = match interpret(delivery, Some(&envelope), &step.policy).meaning {
        Meaning::Change(change) if change.table.index == table.index => change.deletes,
        _ => return None,
    };
    Some(Candidate {
        event_id: delivery.event_id.clone(),
        event_type: envelope.event_type.unwrap_or_default(),
        object_kind: envelope.object_kind.unwrap_or_default(),
        object,
        previous_attributes,
        deletion,
    })
}
