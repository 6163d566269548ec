//! The database's own settings, and leases that one node holds at a time.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::times;

/// A setting's value.
pub(super) fn read(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM billhook_settings WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Writes a setting unless it exists; returns the value that stands.
pub(super) fn pin(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<String> {
    connection
        .prepare_cached("INSERT INTO billhook_settings (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute([key, value])?;
    connection.query_row("SELECT value FROM billhook_settings WHERE key = ?1", [key], |row| row.get(0))
}

/// Writes a setting.
pub(super) fn write(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO billhook_settings (key, value) VALUES (?1, ?2) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )
        .map(|_changes| ())
}

/// Takes or lengthens a lease; false when another holder has it.
pub(super) fn take_lease(
    connection: &Connection,
    name: &str,
    holder: &str,
    now: Timestamp,
    until: Timestamp,
) -> rusqlite::Result<bool> {
    let taken = connection
        .prepare_cached(
            "INSERT INTO billhook_leases AS stored (name, holder, until) VALUES (?1, ?2, ?4) ON CONFLICT (name) DO UPDATE \
             SET holder = excluded.holder, until = excluded.until \
             WHERE stored.holder = excluded.holder OR stored.until <= ?3",
        )?
        .execute(params![name, holder, times::precise(now), times::precise(until)])?;
    Ok(taken == 1)
}

/// Gives a lease back when it is the holder's.
pub(super) fn drop_lease(connection: &Connection, name: &str, holder: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM billhook_leases WHERE name = ?1 AND holder = ?2")?
        .execute([name, holder])
        .map(|_changes| ())
}
