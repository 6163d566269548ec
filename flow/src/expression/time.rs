//! Times and durations as expressions write them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::value::{Data, SPELLED_BYTES_MAX, numeric};

/// Smaller numbers are seconds, others milliseconds. As seconds it is the year 5138, as milliseconds March 1973: Stripe's `created` and
/// an event's `ts` are both read right.
const MILLISECONDS_MIN: i128 = 100_000_000_000;

/// Units of durations, with their length in milliseconds. `ms` stands before `m`, which begins it.
const UNITS: [(&str, f64); 6] =
    [("ms", 1.0), ("s", 1_000.0), ("m", 60_000.0), ("h", 3_600_000.0), ("d", 86_400_000.0), ("w", 604_800_000.0)];

/// The time that a value means: seconds or milliseconds since 1970, RFC 3339, or a date, which is UTC when it names no zone.
pub(super) fn of(data: &Data<'_>) -> Option<Timestamp> {
    if let Data::Time(time) = data {
        return Some(*time);
    }
    let value = data.value()?;
    if let Some(number) = numeric(value) {
        return match number.whole() {
            Some(whole) if whole.abs() >= MILLISECONDS_MIN => {
                Timestamp::from_millisecond(i64::try_from(whole).ok()?).ok()
            }
            Some(whole) => Timestamp::from_second(i64::try_from(whole).ok()?).ok(),
            None => SignedDuration::try_from_secs_f64(number.as_f64())
                .ok()
                .and_then(|since| Timestamp::from_duration(since).ok()),
        };
    }
    let text = value.as_str().filter(|text| text.len() <= SPELLED_BYTES_MAX)?;
    let civil = || text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|time| time.timestamp());
    text.parse().ok().or_else(civil)
}

/// A length of time such as `24h`, `1h30m`, `1.5h`, `90s`, `500ms`, `7d` (of 24 hours each) or `2w`.
pub(super) fn duration(text: &str) -> Option<SignedDuration> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut milliseconds = 0.0;
    loop {
        let end = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let amount: f64 = rest[..end].parse().ok()?;
        let (unit, length) = UNITS.iter().find(|(unit, _)| rest[end..].starts_with(unit))?;
        milliseconds += amount * length;
        rest = &rest[end + unit.len()..];
        if rest.is_empty() {
            break;
        }
    }
    let duration = SignedDuration::try_from_secs_f64(milliseconds / 1_000.0).ok()?;
    Some(if negative { -duration } else { duration })
}
