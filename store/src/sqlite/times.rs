//! Times as SQLite keeps them: ISO 8601 text with `T` and `Z` and a fixed number of digits, so that text order is time order.

use billhook_core::{Clock, SystemClock};
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Error, Row};

/// A time of Billhook's own tables, in microseconds.
pub(super) fn precise(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// A time of a mirror column, in milliseconds: the form in which Prisma compares dates.
pub(super) fn mirrored(time: Timestamp) -> String {
    format!("{time:.3}")
}

/// A mirror column's time from Unix seconds; `None` outside the years -9999 to 9999.
pub(super) fn from_seconds(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(mirrored)
}

/// Now. Only columns that say when Billhook wrote something show it; nothing is decided by it.
pub(super) fn now() -> Timestamp {
    SystemClock.now()
}

/// Reads a time that [`precise`] wrote.
pub(super) fn read(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    parse(column, row.get_ref(column)?.as_str()?)
}

/// Reads a time that [`precise`] wrote, or NULL.
pub(super) fn read_optional(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get_ref(column)?.as_str_or_null()?.map(|text| parse(column, text)).transpose()
}

fn parse(column: usize, text: &str) -> rusqlite::Result<Timestamp> {
    text.parse().map_err(|error| Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_order_is_time_order() {
        let earlier = precise(Timestamp::from_microsecond(1_700_000_000_000_000).expect("in range"));
        let later = precise(Timestamp::from_microsecond(1_700_000_000_000_001).expect("in range"));
        assert_eq!(earlier, "2023-11-14T22:13:20.000000Z");
        assert!(earlier < later);
    }

    #[test]
    fn a_second_outside_the_calendar_has_no_text() {
        assert_eq!(from_seconds(1_700_000_000).as_deref(), Some("2023-11-14T22:13:20.000Z"));
        assert_eq!(from_seconds(i64::MAX), None);
        assert_eq!(from_seconds(i64::MIN), None);
    }
}
