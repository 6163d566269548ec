//! Many runs that sleep, and some of them that wake: what the many cost while nothing happens, and how late the few are.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use billhook_core::{Clock as _, SystemClock};
use billhook_testkit::{DurableDatabase, sql};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::Settings;
use crate::database::open;
use crate::node::Node;

/// How long the many sleep.
const NIGHT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long the process is there before it is measured, and how long it is.
const SETTLE: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(20);

/// Runs that wake in a second.
const WAKE_PER_SECOND: usize = 100;

/// The first of them wakes so long after they are written.
const WAKE_AFTER: SignedDuration = SignedDuration::from_secs(3);

/// How long after the last one was to wake all must have ended.
const LATE_MAX: Duration = Duration::from_secs(120);

/// How often it is looked whether they have ended.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Shows the plan of a prepared statement.
const EXPLAIN: &str = "
    CREATE FUNCTION explained(statement text, parameters text) RETURNS SETOF text LANGUAGE plpgsql AS $body$ BEGIN
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
        EXECUTE 'PREPARE explained AS ' || statement;
        RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) EXECUTE explained(' || parameters || ')';
    END $body$";

/// The statement that claims runs, in which the sleepers are what it must not look at.
const CLAIM: &str = include_str!("../../../store/sql/postgres/flow_runs_claim.sql");

/// More parameters than any statement has.
const PARAMETERS_MAX: usize = 40;

pub async fn measure(settings: &Settings, store_name: &str, steps: u32) -> Result<Value> {
    let (database, began) = (DurableDatabase::make(store_name)?, Instant::now());
    let url = database.url();
    open(url).await?.close().await;
    let night = SystemClock.now() + NIGHT;
    insert(url, "sleep", settings.sleepers, night, 1)?;
    sql::execute(url, "ANALYZE")?;
    eprintln!("{store_name}: {} sleepers after {:.0?}", settings.sleepers, began.elapsed());

    let node = Node::start(url, "bench", steps)?;
    tokio::time::sleep(SETTLE).await;
    let (cpu, rows) = (node.cpu_seconds()?, rows_read(url)?);
    tokio::time::sleep(IDLE).await;
    let cpu_percent = (node.cpu_seconds()? - cpu) / IDLE.as_secs_f64() * 100.0;
    let rows_per_s = rows_read(url)?.zip(rows).map(|(after, before)| (after - before) as f64 / IDLE.as_secs_f64());

    let wakers = settings.seconds as usize * WAKE_PER_SECOND;
    let first = SystemClock.now() + WAKE_AFTER;
    insert(url, "wake", wakers, first, 1_000 / WAKE_PER_SECOND)?;
    let last = Duration::from_secs(u64::from(settings.seconds)) + WAKE_AFTER.unsigned_abs();
    ended(url, wakers, last + LATE_MAX).await?;
    let peak_rss_mb = node.peak_rss_mb()?;
    let report = node.stop()?;
    let plan = if sql::is_postgres(url) { Some(claim_plan(url)?) } else { None };
    Ok(json!({
        "bench": "flow_sleepers", "store": store_name, "steps": steps, "nodes": 1, "sleepers": settings.sleepers,
        "cpu_percent": (cpu_percent * 100.0).round() / 100.0, "rows_read_per_s": rows_per_s, "woken": report.ended,
        "lateness_p50_ms": report.late_p50_ms, "lateness_p99_ms": report.late_p99_ms,
        "peak_rss_mb": peak_rss_mb.round(), "claim_plan": plan,
    }))
}

/// Runs that have slept since now, the first of them until `first`, each further one so many milliseconds longer. Written with SQL as
/// the engine would leave them: one by one it would take an hour.
fn insert(url: &str, name: &str, count: usize, first: Timestamp, each_ms: usize) -> Result<()> {
    let (now, first) = (SystemClock.now().as_millisecond(), first.as_millisecond());
    let is_postgres = sql::is_postgres(url);
    let until = format!("({first} + number * {each_ms})");
    let numbers = if is_postgres {
        format!("generate_series(1, {count}) AS numbers (number)")
    } else {
        format!(
            "(WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers \
             WHERE number < {count}) SELECT number FROM numbers)"
        )
    };
    let (now, until_time) = (time(is_postgres, &now.to_string()), time(is_postgres, &until));
    let until_text = text(is_postgres, &until);
    let padded = if is_postgres { "lpad(number::text, 9, '0')" } else { "printf('%09d', number)" };
    let [events, runs, steps] = ["flow_events", "flow_runs", "flow_steps"].map(|table| sql::own_table(url, table));
    sql::execute(
        url,
        &format!(
            "BEGIN;
             INSERT INTO {events} (key, id, name, data, ts, received_at)
             SELECT 'user/{name}-' || number, '{name}-' || number, 'app/sleep', '{{\"until_ms\":' || {until} || '}}', {now}, {now}
             FROM {numbers};
             INSERT INTO {runs} (id, function, dedupe_key, event_key, state, due_at, version, inbox_sequence, created_at, started_at)
             SELECT '{name}-' || {padded}, 'sleeping', 'user/{name}-' || number, 'user/{name}-' || number, 'waiting',
                 {until_time}, '', 0, {now}, {now}
             FROM {numbers};
             INSERT INTO {steps} (run, step, occurrence, memo, is_final, recorded_at)
             SELECT '{name}-' || {padded}, 'night', 1, '{{\"sleep\":{{\"until\":\"' || {until_text} || '\"}}}}', FALSE, {now}
             FROM {numbers};
             COMMIT"
        ),
    )
}

/// A time in milliseconds as the tables hold it.
fn time(is_postgres: bool, ms: &str) -> String {
    if is_postgres { format!("to_timestamp({ms} / 1000.0)") } else { text(is_postgres, ms) }
}

/// The same as text, as the record of a sleep holds it.
fn text(is_postgres: bool, ms: &str) -> String {
    if is_postgres {
        format!("to_char(to_timestamp({ms} / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')")
    } else {
        format!("strftime('%Y-%m-%dT%H:%M:%S', {ms} / 1000, 'unixepoch') || printf('.%03d000Z', {ms} % 1000)")
    }
}

async fn ended(url: &str, runs: usize, limit: Duration) -> Result<()> {
    let query = format!("SELECT count(*) FROM {} WHERE ended_at IS NOT NULL", sql::own_table(url, "flow_runs"));
    let began = Instant::now();
    while usize::try_from(sql::number(url, &query)?)? < runs {
        ensure!(began.elapsed() < limit, "not all of {runs} runs have ended after {limit:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Rows of the runs' table and its indexes that were read since the beginning; nothing on SQLite, which does not count.
fn rows_read(url: &str) -> Result<Option<i64>> {
    if !sql::is_postgres(url) {
        return Ok(None);
    }
    let query = "SELECT seq_tup_read + coalesce((SELECT sum(idx_tup_read) FROM pg_stat_user_indexes AS one \
                 WHERE one.relid = tables.relid), 0)::bigint FROM pg_stat_user_tables AS tables \
                 WHERE relname = 'flow_runs'";
    sql::number(url, query).map(Some)
}

/// How PostgreSQL finds the runs that are due.
fn claim_plan(url: &str) -> Result<Vec<String>> {
    sql::execute(url, EXPLAIN)?;
    let parameters: Vec<&str> = (1..=PARAMETERS_MAX).map_while(parameter).collect();
    let parameters = parameters.join(", ");
    let query = format!("SELECT explained($statement${CLAIM}$statement$, $values${parameters}$values$) AS line");
    let rows = sql::query(url, &query)?;
    let lines = rows.iter().filter_map(|row| row["line"].as_str());
    Ok(lines
        .filter(|line| line.contains("Scan") || line.contains("Index Cond"))
        .map(|line| line.trim().to_owned())
        .collect())
}

/// What stands for a parameter of the claim, if it has so many: what decides about the plan is given, and the rest is NULL.
fn parameter(number: usize) -> Option<&'static str> {
    let is_used = |before: &str, after: &str| CLAIM.contains(&format!("{before}${number}{after}"));
    match () {
        () if is_used("due_at <= ", " ") => Some("now()"),
        () if is_used("function = ANY(", ")") => Some("ARRAY['sleeping']"),
        () if is_used("LIMIT ", "\n") => Some("256"),
        () if is_used("", "") => Some("NULL"),
        () => None,
    }
}
