//! A file in reserve for the day the disk is full.
//!
//! SQLite cannot even delete rows without writing to its log. The ballast keeps some room for that: when the disk is full it is
//! removed, new deliveries and rows are refused, and what makes room goes on working. It comes back when there is room again.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::connection::{beside, private_file};

/// Size of the ballast, in bytes.
const BALLAST_BYTES: u64 = 16 * 1024 * 1024;
/// Room that must remain beside a new ballast, in bytes.
const BESIDE_BALLAST_BYTES: u64 = 4 * 1024 * 1024;
/// Unused pages inside the database that count as room although the disk has none, in bytes.
const UNUSED_PAGES_BYTES: u64 = 4 * 1024 * 1024;
/// Zeros written at once, in bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// The reserve beside one database file.
pub(super) struct Ballast {
    path: PathBuf,
    /// The disk was found full and has not had room since.
    spent: bool,
}

impl Ballast {
    /// Looks after the ballast of `database`. A server makes it when it is missing; a tool only uses it up.
    pub(super) fn new(database: &Path, create: bool) -> Self {
        let ballast = Self { path: beside(database, ".ballast"), spent: false };
        if create {
            ballast.create_if_room();
        }
        ballast
    }

    /// The disk is full: gives the reserve back to it.
    pub(super) fn spend(&mut self) {
        if !self.spent {
            tracing::error!(
                "the disk of the database is full; the reserve was released and new data is refused until there is room"
            );
        }
        self.spent = true;
        if let Err(error) = std::fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, "the reserve beside the database could not be released");
        }
    }

    /// Whether new data may be written. While the disk was full, it looks whether that is over.
    pub(super) fn allows_growth(&mut self, connection: &Connection) -> bool {
        if !self.spent {
            return true;
        }
        empty_log(connection);
        let back = self.create_if_room() || unused_bytes(connection) >= UNUSED_PAGES_BYTES;
        if back {
            tracing::info!("there is room for the database again");
        }
        self.spent = !back;
        back
    }

    /// Makes the ballast where there is room; returns whether it is there afterwards.
    fn create_if_room(&self) -> bool {
        if std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= BALLAST_BYTES) {
            return true;
        }
        if free_bytes(&self.path).is_none_or(|free| free < BALLAST_BYTES + BESIDE_BALLAST_BYTES) {
            return false;
        }
        let made = self.write_zeros();
        if made.is_err() {
            // A part of a ballast would only use up room.
            std::fs::remove_file(&self.path).ok();
        }
        made.is_ok()
    }

    fn write_zeros(&self) -> io::Result<()> {
        let mut file = private_file().create(true).truncate(true).write(true).open(&self.path)?;
        let zeros = vec![0; CHUNK_BYTES];
        for _ in 0..BALLAST_BYTES / CHUNK_BYTES as u64 {
            file.write_all(&zeros)?;
        }
        Ok(())
    }
}

/// Room on the disk for this user; `None` when the system does not say.
fn free_bytes(beside: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(beside.parent()?).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

/// Gives the log's room back to the disk, as far as nobody reads it. What fails here is tried again with the next job.
fn empty_log(connection: &Connection) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(())) {
        tracing::debug!(%error, "the write-ahead log could not be emptied on the full disk");
    }
}

/// Bytes of pages that deleted rows left in the file.
fn unused_bytes(connection: &Connection) -> u64 {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).unwrap_or(0);
    u64::try_from(pragma("freelist_count").saturating_mul(pragma("page_size"))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_when_there_is_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut ballast = Ballast::new(&folder.path().join("a.db"), true);
        let path = folder.path().join("a.db.ballast");
        assert_eq!(std::fs::metadata(&path).expect("made at open").len(), BALLAST_BYTES);

        ballast.spend();
        assert!(!path.exists());

        let connection = Connection::open_in_memory().expect("a database");
        assert!(ballast.allows_growth(&connection));
        assert_eq!(std::fs::metadata(&path).expect("made again").len(), BALLAST_BYTES);
    }

    #[test]
    fn a_tool_makes_none() {
        let folder = tempfile::tempdir().expect("a folder");
        Ballast::new(&folder.path().join("a.db"), false);
        assert!(!folder.path().join("a.db.ballast").exists());
    }
}
