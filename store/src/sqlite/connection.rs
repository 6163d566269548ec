//! Opening the file: permissions, the server's lock, and what every connection is set to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::errors::refused;
use crate::StoreError;

/// How long a statement waits for another process's lock before it gives up, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 10_000;
/// Page cache of the connection that writes, in KiB.
const WRITER_CACHE_KIB: i64 = 12 * 1024;
/// Page cache of each connection that reads, in KiB.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Pages in the write-ahead log after which a commit copies them into the database: 32 MB. Pages that many commits touch are
/// then copied once.
const CHECKPOINT_PAGES: i64 = 8_000;
/// Size to which the write-ahead log is cut when it was reset after growing beyond that, in bytes.
const LOG_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Prepared statements that the writing connection keeps. Upserts are the large ones: one a table and guard.
const WRITER_STATEMENTS_MAX: usize = 192;
/// Prepared statements that a reading connection keeps.
const READER_STATEMENTS_MAX: usize = 32;

/// Makes the file when it is missing, readable by its owner only, and returns its real path, so that two names of one file
/// share one lock.
pub(super) fn prepare_file(path: &Path) -> Result<PathBuf, StoreError> {
    let unusable = |error: io::Error| {
        StoreError::Configuration(format!(
            "the database file {} cannot be opened ({error}); its folder must exist and be writable",
            path.display()
        ))
    };
    private_file().create(true).append(true).open(path).map_err(unusable)?;
    path.canonicalize().map_err(unusable)
}

/// The file beside the database with `suffix` added to its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Options that make new files readable by their owner only.
pub(super) fn private_file() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Takes the lock that one server holds for its life. The operating system releases it when the process ends, however it ends.
pub(super) fn lock_for_server(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let unusable = |error: io::Error| {
        StoreError::Configuration(format!("the lock file {} cannot be used ({error})", lock_path.display()))
    };
    let file = private_file().create(true).append(true).open(&lock_path).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(path.display().to_string())),
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

/// Opens the connection that writes.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, WRITER_CACHE_KIB)?;
    let set = || -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "journal_size_limit", LOG_BYTES_MAX)
    };
    set().map_err(refused("opening the database"))?;
    connection.set_prepared_statement_cache_capacity(WRITER_STATEMENTS_MAX);
    Ok(connection)
}

/// Opens a connection that can only read.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, READER_CACHE_KIB)?;
    connection.pragma_update(None, "query_only", true).map_err(refused("opening the database"))?;
    connection.set_prepared_statement_cache_capacity(READER_STATEMENTS_MAX);
    Ok(connection)
}

fn open(path: &Path, cache_kib: i64) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let set = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
        // There are no statistics by which a plan could depend on parameters; without this, statements are prepared anew for each of them.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", false)?;
        connection.pragma_update(None, "temp_store", "memory")?;
        connection.pragma_update(None, "mmap_size", 0)?;
        // Negative numbers are KiB, positive ones pages.
        connection.pragma_update(None, "cache_size", -cache_kib)?;
        Ok(connection)
    };
    set().map_err(refused("opening the database"))
}
