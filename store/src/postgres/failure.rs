//! What PostgreSQL's errors mean for the caller. Messages never hold values: those may be personal data.

use std::error::Error as _;

use deadpool_postgres::PoolError;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, SqlState};

use crate::StoreError;

/// Translates an error of one operation.
pub(super) fn translate(operation: &'static str, error: &Error) -> StoreError {
    match error.as_db_error() {
        Some(refusal) => translate_refusal(operation, refusal),
        None if error.is_closed() || has_io_cause(error) => {
            StoreError::Unavailable(format!("the connection was lost during: {operation}"))
        }
        None => StoreError::Refused { operation, message: describe(error) },
    }
}

/// Translates an error of making or waiting for a connection.
pub(super) fn translate_pool(error: &PoolError) -> StoreError {
    match error {
        PoolError::Backend(error) => match error.as_db_error() {
            Some(refusal) if is_login_problem(refusal.code()) => StoreError::Configuration(format!(
                "PostgreSQL refused the login: {} (SQLSTATE {}); check user, password and database name in the database URL",
                refusal.message(),
                refusal.code().code()
            )),
            Some(refusal) => translate_refusal("the connection", refusal),
            None if is_certificate_problem(error) => StoreError::Configuration(format!(
                "PostgreSQL's certificate was refused: {}; check sslmode and the certificate authority",
                describe(error)
            )),
            None => StoreError::Unavailable(format!("no connection to PostgreSQL: {}", describe(error))),
        },
        PoolError::Closed => StoreError::Unavailable("the store was closed".to_owned()),
        other => StoreError::Unavailable(format!("no connection to PostgreSQL: {other}")),
    }
}

fn translate_refusal(operation: &'static str, refusal: &DbError) -> StoreError {
    let code = refusal.code();
    let message = || format!("{} (SQLSTATE {}) during: {operation}", refusal.message(), code.code());
    if is_collision(code) || is_stale_plan(refusal) {
        return StoreError::Conflict(message());
    }
    if *code == SqlState::DISK_FULL {
        return StoreError::Full(message());
    }
    if is_unavailability(code) {
        return StoreError::Unavailable(message());
    }
    if is_denial(code) {
        return StoreError::Denied { operation, message: words(refusal) };
    }
    StoreError::Refused { operation, message: words(refusal) }
}

fn is_login_problem(code: &SqlState) -> bool {
    code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME
}

fn is_collision(code: &SqlState) -> bool {
    [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED, SqlState::LOCK_NOT_AVAILABLE].contains(code)
}

/// A table was changed after the statement was prepared. The next attempt prepares it anew on another connection.
fn is_stale_plan(refusal: &DbError) -> bool {
    *refusal.code() == SqlState::FEATURE_NOT_SUPPORTED && refusal.message().contains("cached plan")
}

/// Somebody took away what this program may do, or a table, column or schema that it needs.
fn is_denial(code: &SqlState) -> bool {
    [
        SqlState::INSUFFICIENT_PRIVILEGE,
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INVALID_SCHEMA_NAME,
    ]
    .contains(code)
}

fn is_unavailability(code: &SqlState) -> bool {
    // Classes: 08 connection, 53 resources, 57 operator (shutdown, crash, cancelled by timeout), 58 input and output.
    let text = code.code();
    ["08", "53", "58"].iter().any(|class| text.starts_with(class))
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::QUERY_CANCELED,
            SqlState::READ_ONLY_SQL_TRANSACTION,
            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
        ]
        .contains(code)
        || text == "57P05"
}

/// The server's words. Messages of class 22 (data) quote the offending value, so they are left out; the details of schema
/// errors (a view that depends on a column) are names and help a person, so they stay.
fn words(refusal: &DbError) -> String {
    let code = refusal.code().code();
    if code.starts_with("22") {
        return format!("a value does not fit its column (SQLSTATE {code})");
    }
    match refusal.detail() {
        Some(detail) if ["0A", "2B", "42"].iter().any(|class| code.starts_with(class)) => {
            format!("{}; {detail} (SQLSTATE {code})", refusal.message())
        }
        _ => format!("{} (SQLSTATE {code})", refusal.message()),
    }
}

fn has_io_cause(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(current) = cause {
        if current.is::<std::io::Error>() {
            return true;
        }
        cause = current.source();
    }
    false
}

fn is_certificate_problem(error: &Error) -> bool {
    error
        .source()
        .and_then(|cause| cause.downcast_ref::<std::io::Error>())
        .and_then(std::io::Error::get_ref)
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|inner| matches!(inner, rustls::Error::InvalidCertificate(_)))
}

/// The error with its causes, which for connections are where the reason stands.
fn describe(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let more = current.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = current.source();
    }
    text
}
