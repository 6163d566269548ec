//! SQL for assertions, the same on both databases: rows come back as JSON objects.
//!
//! Bytes appear as `\x` and hex. JSON columns are nested values on PostgreSQL and text on SQLite.

use std::time::Duration;

use anyhow::Context;
use rusqlite::config::DbConfig;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Map, Value};

use crate::sign::push_hex;

/// Longest wait for a database to answer, in seconds.
const ANSWER_SECONDS_MAX: u64 = 120;

/// Runs a query and gives each row as a JSON object by column name.
///
/// `url` is `postgres://…` or `sqlite:<path>`. SQLite is opened read-only in effect and may be in use by the program.
///
/// # Errors
/// When the database cannot be reached or refuses the query.
pub fn query(url: &str, sql: &str) -> anyhow::Result<Vec<Value>> {
    match url.strip_prefix("sqlite:") {
        Some(path) => query_sqlite(path, sql).with_context(|| format!("on SQLite: {sql}")),
        None => query_postgres(url, sql).with_context(|| format!("on PostgreSQL: {sql}")),
    }
}

/// The single value of a query that gives one row with one column.
///
/// # Errors
/// When the query fails or gives something else.
pub fn value(url: &str, sql: &str) -> anyhow::Result<Value> {
    let mut rows = query(url, sql)?;
    let row = rows.pop().filter(|_| rows.is_empty()).with_context(|| format!("not exactly one row: {sql}"))?;
    let columns: Vec<Value> = row.as_object().map(|row| row.values().cloned().collect()).unwrap_or_default();
    match <[Value; 1]>::try_from(columns) {
        Ok([value]) => Ok(value),
        Err(_) => anyhow::bail!("not exactly one column: {sql}"),
    }
}

/// The single whole number of a query, a count for example.
///
/// # Errors
/// When the query fails or gives something else.
pub fn number(url: &str, sql: &str) -> anyhow::Result<i64> {
    value(url, sql)?.as_i64().with_context(|| format!("not a whole number: {sql}"))
}

/// Runs statements that give no rows.
///
/// # Errors
/// When the database cannot be reached or refuses one of them.
pub fn execute(url: &str, statements: &str) -> anyhow::Result<()> {
    if let Some(path) = url.strip_prefix("sqlite:") {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_secs(ANSWER_SECONDS_MAX))?;
        return connection.execute_batch(statements).with_context(|| format!("on SQLite: {statements}"));
    }
    on_postgres(url, async |client| client.batch_execute(statements).await)
        .with_context(|| format!("on PostgreSQL: {statements}"))
}

/// Whether this URL names a PostgreSQL database.
pub fn is_postgres(url: &str) -> bool {
    !url.starts_with("sqlite:")
}

/// The mirror's name of a table: `stripe.customers` on PostgreSQL, `customers` on SQLite.
pub fn mirror_table(url: &str, table: &str) -> String {
    if is_postgres(url) { format!("stripe.{table}") } else { table.to_owned() }
}

/// The name of one of Billhook's own tables: `billhook.inbox` on PostgreSQL, `billhook_inbox` on SQLite.
pub fn own_table(url: &str, table: &str) -> String {
    if is_postgres(url) { format!("billhook.{table}") } else { format!("billhook_{table}") }
}

fn query_postgres(url: &str, sql: &str) -> anyhow::Result<Vec<Value>> {
    let as_json = format!("SELECT row_to_json(answer)::text FROM ({sql}) AS answer");
    let rows = on_postgres(url, async |client| client.query(&as_json, &[]).await)?;
    rows.iter().map(|row| Ok(serde_json::from_str(row.try_get(0)?)?)).collect()
}

/// Runs one exchange on a connection of its own. A thread of its own too, since the caller may be inside a runtime.
fn on_postgres<T: Send>(
    url: &str,
    exchange: impl AsyncFnOnce(&tokio_postgres::Client) -> Result<T, tokio_postgres::Error> + Send,
) -> anyhow::Result<T> {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let limit = Duration::from_secs(ANSWER_SECONDS_MAX);
            tokio::time::timeout(limit, async {
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
                let connection = tokio::spawn(connection);
                let answer = exchange(&client).await;
                drop(client);
                let _ = connection.await;
                Ok(answer?)
            })
            .await
            .context("the database does not answer")?
        })
    };
    std::thread::scope(|scope| match scope.spawn(run).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

fn query_sqlite(path: &str, sql: &str) -> anyhow::Result<Vec<Value>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(ANSWER_SECONDS_MAX))?;
    connection.execute_batch("PRAGMA query_only = on")?;
    // Who looks after a crash leaves the log as the crash left it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    let mut statement = connection.prepare(sql)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut rows = statement.query([])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let mut object = Map::new();
        for (position, name) in names.iter().enumerate() {
            object.insert(name.clone(), sqlite_value(row.get_ref(position)?));
        }
        all.push(Value::Object(object));
    }
    Ok(all)
}

fn sqlite_value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(bytes) => {
            let mut hex = "\\x".to_owned();
            push_hex(&mut hex, bytes);
            hex.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_sqlite_are_json_objects() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", directory.path().join("a.db").display());
        execute(&url, "CREATE TABLE t (a TEXT, b BLOB); INSERT INTO t VALUES ('x', x'00ff')").unwrap();
        assert_eq!(query(&url, "SELECT a, b FROM t").unwrap(), [serde_json::json!({"a": "x", "b": "\\x00ff"})]);
        assert_eq!(number(&url, "SELECT count(*) FROM t").unwrap(), 1);
        assert!(query(&url, "DELETE FROM t RETURNING a").is_err(), "an assertion must not write");
    }
}
