//! SQLite's result codes in the store's words.

use rusqlite::{Error, ErrorCode, ffi};

use crate::StoreError;

/// Turns an error of `operation` into the store's. SQLite's messages name tables and columns, never values.
pub(super) fn refused(operation: &'static str) -> impl Fn(Error) -> StoreError {
    move |error| translate(operation, &error)
}

fn translate(operation: &'static str, error: &Error) -> StoreError {
    let message = error.to_string();
    match error {
        Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DiskFull => StoreError::Full(message),
            // The shared-memory index cannot grow: in practice the disk is full.
            ErrorCode::SystemIoFailure if failure.extended_code == ffi::SQLITE_IOERR_SHMSIZE => {
                StoreError::Full(message)
            }
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::SystemIoFailure => {
                StoreError::Unavailable(format!("{operation}: {message}"))
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt(message),
            _ => StoreError::Refused { operation, message },
        },
        // A stored value that Billhook never writes.
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => StoreError::Corrupt(format!("{operation}: {message}")),
        _ => StoreError::Refused { operation, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32) -> StoreError {
        translate("test", &Error::SqliteFailure(ffi::Error::new(code), None))
    }

    #[test]
    fn codes_become_what_a_caller_must_do() {
        assert!(matches!(of(ffi::SQLITE_FULL), StoreError::Full(_)));
        assert!(matches!(of(ffi::SQLITE_IOERR_SHMSIZE), StoreError::Full(_)));
        assert!(matches!(of(ffi::SQLITE_BUSY), StoreError::Unavailable(_)));
        assert!(matches!(of(ffi::SQLITE_LOCKED), StoreError::Unavailable(_)));
        assert!(matches!(of(ffi::SQLITE_IOERR_FSYNC), StoreError::Unavailable(_)));
        assert!(matches!(of(ffi::SQLITE_CORRUPT), StoreError::Corrupt(_)));
        assert!(matches!(of(ffi::SQLITE_NOTADB), StoreError::Corrupt(_)));
        assert!(matches!(of(ffi::SQLITE_ERROR), StoreError::Refused { .. }));
    }
}
