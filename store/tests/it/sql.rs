//! SQL of the user's own in the transaction that records a step: all of it or nothing, under the run's token.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::step::StepKey;
use billhook_store::{ClaimedRun, RunCommit, SqlError, SqlRow, SqlSession, SqlValue, StepRecord, sql_session};
use jiff::Timestamp;
use serde_json::json;
use tokio::task::JoinSet;

use crate::flow::{claim, memos, run, start, write};
use crate::harness::{Database, Place, at};

/// Longer than any statement of these tests.
const LONG: Duration = Duration::from_secs(30);

fn open(database: &Database, limit: Duration) -> SqlSession {
    let (session, requests) = sql_session(limit);
    let store = database.store.clone();
    tokio::spawn(async move { store.serve_sql(requests).await });
    session
}

/// A table of the user's, and a run that is held.
async fn prepared(database: Database) -> (Database, ClaimedRun) {
    let database = database.migrated().await;
    let sqlite = "CREATE TABLE charges (id TEXT PRIMARY KEY, amount INTEGER)";
    database.execute(sqlite, "CREATE TABLE charges (id text PRIMARY KEY, amount integer)").await;
    start(&database, vec![run("r1", "f", "evt_1", 100)], 90).await;
    let held = claim(&database, "a", 100).await.remove(0);
    (database, held)
}

async fn insert(session: &SqlSession, id: &str) -> Result<u64, SqlError> {
    session.execute("INSERT INTO charges (id, amount) VALUES ($1, $2)", &[id.into(), 5.into()]).await
}

async fn charges(database: &Database) -> Option<String> {
    let count = "SELECT count(*) FROM charges";
    database.value(count, count).await
}

fn recorded(run: &ClaimedRun) -> RunCommit {
    let record = StepRecord { key: StepKey::new("charge", 1), memo: "{}".to_owned(), is_final: true };
    RunCommit { records: vec![record], ..RunCommit::new(run.id.clone(), run.token) }
}

fn is_postgres(database: &Database) -> bool {
    matches!(database.place, Place::Postgres(_))
}

/// A value that went through the database, with a cast to a type of PostgreSQL's.
async fn through(session: &SqlSession, is_postgres: bool, cast: &str, value: SqlValue) -> SqlRow {
    let sql = if is_postgres { format!("SELECT $1::{cast} AS it") } else { "SELECT $1 AS it".to_owned() };
    session.query(&sql, &[value]).await.unwrap_or_else(|error| panic!("{cast}: {error}")).remove(0)
}

on_both! {
    async fn what_is_written_and_what_is_recorded_are_one(database) {
        let (database, held) = prepared(database).await;
        let session = open(&database, LONG);
        assert_eq!(insert(&session, "ch_1").await.expect("written"), 1);
        let found = "SELECT id, amount FROM charges WHERE amount < $2 AND id = $1";
        let rows = session.query(found, &["ch_1".into(), 9.into()]).await.expect("read");
        assert_eq!((rows[0].get::<String>("id").expect("text"), rows[0].at::<i64>(1).expect("a number")), ("ch_1".into(), 5));
        assert!(session.commit(recorded(&held), at(101)).await.expect("committed"));
        assert_eq!((charges(&database).await.as_deref(), memos(&database, "r1").await.len()), (Some("1"), 1));
        session.ended().await;
        assert!(matches!(insert(&session, "ch_2").await, Err(SqlError::Overdue(_))), "it is over");
    }

    async fn who_lost_the_run_writes_nothing_of_it(database) {
        let (database, zombie) = prepared(database).await;
        let heir = claim(&database, "b", 110).await.remove(0);
        let session = open(&database, LONG);
        insert(&session, "ch_1").await.expect("taken");
        assert!(!session.commit(recorded(&zombie), at(111)).await.expect("answered"));
        session.ended().await;
        assert_eq!((charges(&database).await.as_deref(), memos(&database, "r1").await.len()), (Some("0"), 0));
        let session = open(&database, LONG);
        insert(&session, "ch_1").await.expect("taken");
        assert!(session.commit(recorded(&heir), at(112)).await.expect("committed"));
        assert_eq!(charges(&database).await.as_deref(), Some("1"));
    }

    async fn what_is_rolled_back_or_let_go_of_is_not_written(database) {
        let (database, held) = prepared(database).await;
        let session = open(&database, LONG);
        insert(&session, "ch_1").await.expect("taken");
        session.roll_back().await;
        assert_eq!(charges(&database).await.as_deref(), Some("0"));
        let session = open(&database, LONG);
        insert(&session, "ch_1").await.expect("taken");
        drop(session);
        // The same row again waits for the first one to be gone.
        let session = open(&database, LONG);
        assert_eq!(insert(&session, "ch_1").await.expect("taken"), 1);
        assert!(session.commit(recorded(&held), at(101)).await.expect("committed"));
        assert_eq!(charges(&database).await.as_deref(), Some("1"));
    }

    async fn a_statement_that_failed_dooms_the_transaction(database) {
        let (database, held) = prepared(database).await;
        let session = open(&database, LONG);
        insert(&session, "ch_1").await.expect("taken");
        let twice = insert(&session, "ch_1").await.expect_err("it is there");
        assert!(twice.to_string().to_lowercase().contains("unique") && !twice.is_passing(), "{twice}");
        assert!(matches!(insert(&session, "ch_2").await, Err(SqlError::Doomed(_))));
        assert!(matches!(session.commit(recorded(&held), at(101)).await, Err(SqlError::Doomed(_))));
        session.ended().await;
        assert_eq!((charges(&database).await.as_deref(), memos(&database, "r1").await.len()), (Some("0"), 0));
    }

    async fn a_transaction_ends_when_its_time_is_over(database) {
        let (database, held) = prepared(database).await;
        let limit = Duration::from_millis(300);
        let idle = open(&database, limit);
        insert(&idle, "ch_1").await.expect("taken");
        idle.ended().await;
        assert!(matches!(idle.commit(recorded(&held), at(101)).await, Err(SqlError::Overdue(_))));
        let busy = open(&database, limit);
        let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
        assert!(matches!(busy.query(endless, &[]).await, Err(SqlError::Overdue(_))));
        busy.ended().await;
        assert_eq!(charges(&database).await.as_deref(), Some("0"));
        assert_eq!(write(&database, vec![recorded(&held)], 102).await, [true]);
    }

    async fn however_many_transactions_are_open_others_are_served(database) {
        let (database, _held) = prepared(database).await;
        let sessions: Vec<Arc<SqlSession>> = (0..20).map(|_| Arc::new(open(&database, LONG))).collect();
        let mut begun = JoinSet::new();
        for session in sessions.iter().map(Arc::clone) {
            begun.spawn(async move { session.query("SELECT 1", &[]).await.map(drop) });
        }
        begun.join_next().await.expect("one of them").expect("no panic").expect("begun");
        database.store.ping().await.expect("served");
        begun.shutdown().await;
        drop(sessions);
        let session = open(&database, LONG);
        insert(&session, "ch_1").await.expect("taken");
        session.roll_back().await;
    }

    async fn the_transaction_is_not_the_users_to_end(database) {
        let (database, _held) = prepared(database).await;
        for sql in ["COMMIT", "  rollback;", "/* a */ SAVEPOINT x", "-- a\nBEGIN", "PRAGMA foreign_keys = on", "ATTACH 'x' AS y"] {
            let session = open(&database, LONG);
            let error = session.execute(sql, &[]).await.expect_err(sql);
            assert!(error.is_final() && error.to_string().contains("cannot be used in tx_step"), "{sql}: {error}");
            session.roll_back().await;
        }
        let session = open(&database, LONG);
        let several = session.execute("DELETE FROM charges; COMMIT", &[]).await.expect_err("two statements");
        assert!(matches!(several, SqlError::Database(_)), "{several}");
        session.roll_back().await;
    }

    async fn values_come_back_as_they_went_in(database) {
        let (database, _held) = prepared(database).await;
        let is_postgres = is_postgres(&database);
        let session = open(&database, LONG);
        for text in ["", "it's \"quoted\" $1 ?1 -- ; \\", "ä\u{1f600}\u{1}\n"] {
            for cast in ["text", "varchar"] {
                assert_eq!(through(&session, is_postgres, cast, text.into()).await.get::<String>("it").expect("text"), text);
            }
        }
        for (cast, number) in [("int2", -32_768), ("int4", i64::from(i32::MAX)), ("int8", i64::MIN)] {
            assert_eq!(through(&session, is_postgres, cast, number.into()).await.at::<i64>(0).expect("a number"), number);
        }
        assert!(through(&session, is_postgres, "bool", true.into()).await.at::<bool>(0).expect("a boolean"));
        assert_eq!(through(&session, is_postgres, "float8", 0.1.into()).await.at::<f64>(0).expect("a number"), 0.1);
        let bytes = vec![0, 255, b'\''];
        assert_eq!(through(&session, is_postgres, "bytea", bytes.clone().into()).await.at::<Vec<u8>>(0).expect("bytes"), bytes);
        let document = json!({"a": [1, null, "it's"], "b": {"c": 1.5}});
        for cast in ["jsonb", "json"] {
            let row = through(&session, is_postgres, cast, document.clone().into()).await;
            assert_eq!(row.at::<serde_json::Value>(0).expect("JSON"), document);
        }
        let time: Timestamp = "2026-02-28T23:59:59.123456Z".parse().expect("a time");
        assert_eq!(through(&session, is_postgres, "timestamptz", time.into()).await.at::<Timestamp>(0).expect("a time"), time);
        for cast in ["text", "int8", "jsonb", "timestamptz"] {
            let row = through(&session, is_postgres, cast, SqlValue::Null).await;
            assert_eq!(row.at::<Option<String>>(0).expect("NULL"), None);
        }
        for (cast, text) in [
            ("numeric", "12345678901234567890.0100"),
            ("numeric", "-0.5"),
            ("numeric", "NaN"),
            ("uuid", "0190163d-8694-739b-aea5-966c26f8ad91"),
            ("date", "2026-02-28"),
        ] {
            assert_eq!(through(&session, is_postgres, cast, text.into()).await.at::<String>(0).expect("text"), text);
        }
        session.roll_back().await;
    }

    async fn a_null_character_is_kept_or_told(database) {
        let (database, held) = prepared(database).await;
        let session = open(&database, LONG);
        let inserted = insert(&session, "a\0b").await;
        if is_postgres(&database) {
            let error = inserted.expect_err("PostgreSQL has no NUL").to_string();
            assert!(error.contains("$1") && error.contains("NUL"), "{error}");
            session.roll_back().await;
        } else {
            assert_eq!(inserted.expect("taken"), 1);
            let rows = session.query("SELECT id FROM charges", &[]).await.expect("read");
            assert_eq!(rows[0].at::<String>(0).expect("text"), "a\0b");
            assert!(session.commit(recorded(&held), at(101)).await.expect("committed"));
        }
    }

    async fn placeholders_are_counted(database) {
        let (database, _held) = prepared(database).await;
        for (sql, parameters) in [("SELECT id FROM charges WHERE id = $1", 0), ("SELECT id FROM charges WHERE id = $1", 2)] {
            let session = open(&database, LONG);
            let parameters = vec![SqlValue::Null; parameters];
            let error = session.query(sql, &parameters).await.expect_err(sql);
            assert!(matches!(error, SqlError::Parameter(_)) && error.to_string().contains("1 placeholders"), "{error}");
            session.roll_back().await;
        }
        let session = open(&database, LONG);
        let rows = session.query("SELECT '$9' AS it WHERE $2 = 2 AND $1 = 'a' AND $1 <> 'b'", &["a".into(), 2.into()]).await;
        assert_eq!(rows.expect("read")[0].at::<String>(0).expect("text"), "$9");
        session.roll_back().await;
    }

    async fn changed_rows_are_counted(database) {
        let (database, _held) = prepared(database).await;
        let session = open(&database, LONG);
        for id in ["a", "b", "c"] {
            insert(&session, id).await.expect("taken");
        }
        let changed = async |sql: &str| session.execute(sql, &[]).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(changed("UPDATE charges SET amount = 7 WHERE id <> 'a'").await, 2);
        assert_eq!(changed("UPDATE charges SET amount = 7 WHERE id = 'none'").await, 0);
        assert_eq!(changed("CREATE TABLE others (id TEXT)").await, 0);
        assert_eq!(changed("DELETE FROM charges WHERE id = 'a' RETURNING id").await, 1);
        session.roll_back().await;
    }
}
