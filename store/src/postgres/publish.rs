//! Events on their way to runs: what they start, end and call off. What each operation does stands at [`crate::Transaction`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use billhook_core::step::StepKey;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::control::{self, Freed};
use super::encode::Array;
use super::flow::{event_at, small, unsigned};
use super::transaction::PostgresTransaction;
use super::{Parameters, column, statements};
use crate::{
    EventName, FlowEvent, FlowWait, Keep, NewFlowRun, Publication, Published, StoreError, StoredWait, WaitKind,
    WaitMatcher,
};

/// The first of the two numbers of an advisory lock, so that ours meet nobody else's: "flow" in ASCII.
const LOCK_CLASS: i32 = 0x666c_6f77;

/// See [`crate::Transaction::attend`].
pub(super) async fn attend(
    transaction: &mut PostgresTransaction,
    names: &[EventName],
) -> Result<Vec<(String, String)>, StoreError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let texts = Array::text(names.iter().map(|one| Some(one.name.as_str())));
    let registers = Array::boolean(names.iter().map(|one| Some(one.registers)));
    transaction
        .execute("keeping waits and events apart", statements::FLOW_NAMES_LOCK, &[&LOCK_CLASS, &texts, &registers])
        .await?;
    // A statement of its own: it has to see what was committed while the locks were awaited.
    let distinct: BTreeSet<&str> = names.iter().map(|one| one.name.as_str()).collect();
    let distinct = Array::text(distinct.iter().map(|name| Some(*name)));
    let rows = transaction.query("looking for waits", statements::FLOW_WAIT_PATHS, &[&distinct]).await?;
    rows.iter().map(|row| Ok((column(row, 0)?, column(row, 1)?))).collect()
}

/// See [`crate::Transaction::take_flow_events`].
pub(super) async fn take(
    transaction: &mut PostgresTransaction,
    keys: &[String],
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    let rows = transaction.query("taking scheduled events", statements::FLOW_EVENTS_TAKE, &[&keys, &now]).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}

/// See [`crate::Transaction::publish`]. The gates of runs that it calls off go to `freed`.
pub(super) async fn publish(
    transaction: &mut PostgresTransaction,
    publications: &[Publication],
    paths: &[(String, String)],
    matcher: &dyn WaitMatcher,
    freed: &mut Freed,
    now: Timestamp,
) -> Result<Vec<Published>, StoreError> {
    let mut published = vec![Published::default(); publications.len()];
    let known = insert(transaction, publications, now).await?;
    for (one, published) in publications.iter().zip(&mut published) {
        published.is_duplicate = known.contains(&one.event.key);
    }
    let started = start(transaction, publications, freed, now).await?;
    for (one, published) in publications.iter().zip(&mut published) {
        published.started = one.runs.iter().map(|run| started.contains(&run.id)).collect();
    }
    let arrivals = arrivals(transaction, publications, &published, paths, matcher).await?;
    arrive(transaction, &arrivals, publications, &mut published, matcher, freed, now).await?;
    Ok(published)
}

/// Writes events that stay; returns the keys of those that were there.
async fn insert(
    transaction: &mut PostgresTransaction,
    publications: &[Publication],
    now: Timestamp,
) -> Result<HashSet<String>, StoreError> {
    let mut kept: BTreeMap<&str, &Publication> = BTreeMap::new();
    for one in publications {
        match &one.keep {
            Keep::Already => {}
            Keep::IfUsed if one.runs.is_empty() => {}
            Keep::IfUsed | Keep::Always => drop(kept.entry(&one.event.key).or_insert(one)),
            Keep::Until(_, schedule_key) => {
                if let Some(schedule_key) = schedule_key {
                    let parameters: Parameters<'_> = &[&one.event.name, schedule_key, &one.event.key, &now];
                    transaction
                        .execute("replacing a scheduled event", statements::FLOW_EVENTS_REPLACE, parameters)
                        .await?;
                }
                kept.entry(&one.event.key).or_insert(one);
            }
        }
    }
    if kept.is_empty() {
        return Ok(HashSet::new());
    }
    let text =
        |field: fn(&FlowEvent) -> &String| Array::text(kept.values().map(|one| Some(field(&one.event).as_str())));
    let (keys, ids) = (text(|event| &event.key), text(|event| &event.id));
    let (names, data) = (text(|event| &event.name), text(|event| &event.data));
    let times = Array::timestamps(kept.values().map(|one| one.event.ts));
    let schedule = |one: &Publication| match &one.keep {
        Keep::Until(at, key) => (Some(*at), key.clone()),
        Keep::IfUsed | Keep::Always | Keep::Already => (None, None),
    };
    let (scheduled, schedule_keys): (Vec<Option<Timestamp>>, Vec<Option<String>>) =
        kept.values().map(|one| schedule(one)).unzip();
    let parameters: Parameters<'_> = &[&keys, &ids, &names, &data, &times, &now, &scheduled, &schedule_keys];
    let rows = transaction.query("writing events", statements::FLOW_EVENTS_INSERT, parameters).await?;
    let new = rows.iter().map(|row| column(row, 0)).collect::<Result<HashSet<String>, StoreError>>()?;
    let always = |one: &&Publication| !matches!(one.keep, Keep::IfUsed | Keep::Already);
    let known: HashSet<String> = kept
        .values()
        .copied()
        .filter(always)
        .map(|one| one.event.key.clone())
        .filter(|key| !new.contains(key))
        .collect();
    if !known.is_empty() {
        let keys = Array::text(known.iter().map(|key| Some(key.as_str())));
        transaction.execute("counting an event that came again", statements::FLOW_EVENTS_COUNT, &[&keys]).await?;
    }
    Ok(known)
}

/// Starts runs and registers what calls them off; returns the ids of those that are new.
async fn start(
    transaction: &mut PostgresTransaction,
    publications: &[Publication],
    freed: &mut Freed,
    now: Timestamp,
) -> Result<HashSet<String>, StoreError> {
    let runs = publications.iter().flat_map(|one| one.runs.iter().map(move |run| (run, &one.event)));
    let (free, held): (Vec<(&NewFlowRun, &FlowEvent)>, Vec<_>) = runs.partition(|(run, _)| run.control.is_free());
    let mut started = start_free(transaction, free, now).await?;
    // One after the other: each sees what became of those before.
    for (run, event) in held {
        if control::start(transaction, run, event, freed, now).await? {
            started.insert(run.id.clone());
        }
    }
    Ok(started)
}

/// Starts runs that nothing holds back.
async fn start_free(
    transaction: &mut PostgresTransaction,
    mut sorted: Vec<(&NewFlowRun, &FlowEvent)>,
    now: Timestamp,
) -> Result<HashSet<String>, StoreError> {
    if sorted.is_empty() {
        return Ok(HashSet::new());
    }
    // Sorted for the order of locks in the unique index.
    sorted.sort_by_key(|(run, _)| (&run.function, &run.dedupe_key));
    let text = |field: fn(&NewFlowRun) -> &String| Array::text(sorted.iter().map(|(run, _)| Some(field(run).as_str())));
    let (ids, functions, keys) = (text(|run| &run.id), text(|run| &run.function), text(|run| &run.dedupe_key));
    let events = Array::text(sorted.iter().map(|(_, event)| Some(event.key.as_str())));
    let due = Array::timestamps(sorted.iter().map(|(run, _)| run.due_at));
    let expires: Vec<Option<Timestamp>> = sorted.iter().map(|(run, _)| run.expires_at()).collect();
    let end_by: Vec<Option<Timestamp>> = sorted.iter().map(|(run, _)| run.end_by).collect();
    let ranks = Array::bigint(sorted.iter().map(|(run, _)| (run.due_at <= now).then_some(run.control.rank)));
    let gates = |at: usize| sorted.iter().map(|(run, _)| run.control.gate(at)).collect::<Vec<Option<String>>>();
    let (gates_1, gates_2) = (gates(0), gates(1));
    let parameters: Parameters<'_> =
        &[&ids, &functions, &keys, &events, &due, &now, &expires, &end_by, &ranks, &gates_1, &gates_2];
    let rows = transaction.query("starting runs", statements::FLOW_RUNS_START, parameters).await?;
    let started = rows.iter().map(|row| column(row, 0)).collect::<Result<HashSet<String>, StoreError>>()?;
    let cancels = sorted.iter().filter(|(run, _)| started.contains(&run.id)).flat_map(|(run, _)| &run.cancels);
    register(transaction, &cancels.collect::<Vec<_>>()).await?;
    Ok(started)
}

/// Registers waits. Whoever calls has locked their names.
pub(super) async fn register(transaction: &mut PostgresTransaction, waits: &[&FlowWait]) -> Result<(), StoreError> {
    if waits.is_empty() {
        return Ok(());
    }
    let text = |field: fn(&FlowWait) -> &str| Array::text(waits.iter().map(|wait| Some(field(wait))));
    let (runs, kinds, steps) = (text(|wait| &wait.run), text(|wait| wait.kind.name()), text(|wait| &wait.key.id));
    let occurrences: Vec<i32> = waits.iter().map(|wait| small(wait.key.occurrence)).collect();
    let (names, paths) = (text(|wait| &wait.name), text(|wait| &wait.path));
    let (values, expressions) = (text(|wait| &wait.value), text(|wait| &wait.expression));
    let until: Vec<Option<Timestamp>> = waits.iter().map(|wait| wait.until).collect();
    let parameters: Parameters<'_> =
        &[&runs, &kinds, &steps, &occurrences, &names, &paths, &values, &expressions, &until];
    transaction.execute("registering waits", statements::FLOW_WAITS_REGISTER, parameters).await?;
    Ok(())
}

/// A wait and the publication that matches it.
type Arrival = (FlowWait, usize);

/// Which of the events end which waits: of several events the first one by its time.
async fn arrivals(
    transaction: &mut PostgresTransaction,
    publications: &[Publication],
    published: &[Published],
    paths: &[(String, String)],
    matcher: &dyn WaitMatcher,
) -> Result<Vec<Arrival>, StoreError> {
    let mut wanted: BTreeMap<(&str, &str, String), Vec<usize>> = BTreeMap::new();
    for (number, (one, published)) in publications.iter().zip(published).enumerate() {
        if matches!(one.keep, Keep::Until(..)) || published.is_duplicate {
            continue;
        }
        for (name, path) in paths.iter().filter(|(name, _)| one.names.contains(name)) {
            let value = if path.is_empty() { Some(String::new()) } else { matcher.value(&one.event, path) };
            if let Some(value) = value {
                wanted.entry((name, path, value)).or_default().push(number);
            }
        }
    }
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let names = Array::text(wanted.keys().map(|(name, ..)| Some(*name)));
    let texts = Array::text(wanted.keys().map(|(_, path, _)| Some(*path)));
    let values = Array::text(wanted.keys().map(|(.., value)| Some(value.as_str())));
    let rows = transaction.query("finding waits", statements::FLOW_WAITS_FIND, &[&names, &texts, &values]).await?;
    let mut arrivals = Vec::new();
    for row in &rows {
        let stored = stored_wait(row)?;
        let wait = &stored.wait;
        let mut events =
            wanted.get(&(wait.name.as_str(), wait.path.as_str(), wait.value.clone())).cloned().unwrap_or_default();
        events.sort_by_key(|number| publications[*number].event.ts);
        let first = events.into_iter().find(|number| matcher.matches(&stored, &publications[*number].event));
        arrivals.extend(first.map(|number| (stored.wait, number)));
    }
    Ok(arrivals)
}

/// Ends waits and calls off runs. Runs are locked in the order of their ids.
async fn arrive(
    transaction: &mut PostgresTransaction,
    arrivals: &[Arrival],
    publications: &[Publication],
    published: &mut [Published],
    matcher: &dyn WaitMatcher,
    freed: &mut Freed,
    now: Timestamp,
) -> Result<(), StoreError> {
    if arrivals.is_empty() {
        return Ok(());
    }
    let runs: BTreeSet<&str> = arrivals.iter().map(|(wait, _)| wait.run.as_str()).collect();
    let runs = Array::text(runs.iter().map(|run| Some(*run)));
    transaction.query("locking runs that wait", statements::FLOW_RUNS_LOCK_ALL, &[&runs]).await?;
    let text = |field: fn(&FlowWait) -> &str| Array::text(arrivals.iter().map(|(wait, _)| Some(field(wait))));
    let (runs, kinds, steps) = (text(|wait| &wait.run), text(|wait| wait.kind.name()), text(|wait| &wait.key.id));
    let occurrences: Vec<i32> = arrivals.iter().map(|(wait, _)| small(wait.key.occurrence)).collect();
    let memos: HashMap<usize, String> =
        arrivals.iter().map(|(_, number)| (*number, matcher.memo(Some(&publications[*number].event)))).collect();
    let texts = Array::text(arrivals.iter().map(|(_, number)| memos.get(number).map(String::as_str)));
    let parameters: Parameters<'_> = &[&runs, &kinds, &steps, &occurrences, &texts, &now];
    let rows = transaction.query("ending waits", statements::FLOW_WAITS_END, parameters).await?;
    let ended = rows.iter().map(|row| column(row, 0)).collect::<Result<HashSet<String>, StoreError>>()?;
    for (wait, number) in arrivals.iter().filter(|(wait, _)| wait.kind == WaitKind::Event && ended.contains(&wait.run))
    {
        published[*number].woken.push(wait.run.clone());
    }
    let called_off: BTreeMap<&str, usize> = arrivals
        .iter()
        .filter(|(wait, _)| wait.kind == WaitKind::Cancel)
        .map(|(wait, number)| (wait.run.as_str(), *number))
        .collect();
    let why = |number: usize| {
        let event = &publications[number].event;
        format!("called off by {} ({})", event.name, event.id)
    };
    let runs: Vec<(&str, String)> = called_off.iter().map(|(run, number)| (*run, why(*number))).collect();
    for run in cancel(transaction, &runs, freed, now).await? {
        if let Some(number) = called_off.get(run.as_str()) {
            published[*number].cancelled.push(run);
        }
    }
    Ok(())
}

/// Calls runs off, each with the reason; returns those that had not ended.
pub(super) async fn cancel(
    transaction: &mut PostgresTransaction,
    runs: &[(&str, String)],
    freed: &mut Freed,
    now: Timestamp,
) -> Result<Vec<String>, StoreError> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let ids = Array::text(runs.iter().map(|(run, _)| Some(*run)));
    let messages = Array::text(runs.iter().map(|(_, message)| Some(message.as_str())));
    let rows = transaction.query("calling runs off", statements::FLOW_RUNS_CALL_OFF, &[&ids, &messages, &now]).await?;
    rows.iter().try_for_each(|row| freed.add(row, 1))?;
    rows.iter().map(|row| column(row, 0)).collect()
}

fn stored_wait(row: &Row) -> Result<StoredWait, StoreError> {
    let wait = FlowWait {
        run: column(row, 0)?,
        kind: WaitKind::from_name(column(row, 1)?)
            .ok_or_else(|| StoreError::Corrupt("billhook.flow_waits holds an unknown kind".to_owned()))?,
        key: StepKey::new(column::<String>(row, 2)?, unsigned(column(row, 3)?)),
        name: column(row, 4)?,
        path: column(row, 5)?,
        value: column(row, 6)?,
        expression: column(row, 7)?,
        until: column(row, 8)?,
    };
    Ok(StoredWait { wait, trigger: event_at(row, 9)? })
}
