//! When functions start by the clock: cron with time zones.

#[cfg(test)]
mod tests;

use cronexpr::{Crontab, MakeTimestamp};
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

/// Most bytes of a schedule: enough to list every minute of an hour.
pub const SCHEDULE_BYTES_MAX: usize = 512;
/// Most times that [`Schedule::due`] gives at once.
pub const DUE_MAX: usize = 100;
/// How late a time may be without having been missed: schedules count in minutes.
pub const ON_TIME: SignedDuration = SignedDuration::from_secs(60);

/// Years that one search of the cron library looks ahead.
const SEARCH_YEARS: i32 = 4;
/// Searches one after the other. A 29 February on a given weekday comes after 28 years, or 40 when there is none in 2100.
const SEARCHES_MAX: usize = 11;
/// No schedule goes on beyond this year: the calendar of the time library ends with 9999, and a search must not reach its end.
const YEAR_MAX: i16 = 9_990;

const FIELDS: [&str; 5] = ["minute", "hour", "day of the month", "month", "day of the week"];

/// Times given by five cron fields in a time zone: `0 8 * * *`, `TZ=Europe/Paris 30 2 * * MON-FRI`. Without a zone it is UTC.
///
/// Fields are minute, hour, day of the month, month and day of the week (0 and 7 are Sunday), each `*`, a number, a range, a list, or any
/// of them with a step; months and days may be names such as `JAN` and `MON`. When neither day field begins with `*`, either may match.
///
/// Where clocks are changed, nothing is lost and nothing happens twice:
/// - A time that the clock jumps over comes at the moment of the jump. Several of them are one.
/// - A time that the clock shows twice comes the first time.
/// - With `*` as the hour, the schedule follows time as it passes instead: it skips the hour that is not there and comes in both passes
///   of the hour that is there twice.
///
/// ```
/// use billhook_flow::schedule::Schedule;
///
/// let mornings = Schedule::parse("TZ=Europe/Paris 0 8 * * *")?;
/// let next = mornings.next_after("2026-03-28T12:00:00Z".parse().unwrap());
/// assert_eq!(next, Some("2026-03-29T06:00:00Z".parse().unwrap()), "summer time has begun");
/// # Ok::<(), billhook_flow::schedule::ScheduleError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Schedule {
    source: String,
    /// The fields over what a clock on the wall shows. As far as the library knows this clock shows UTC, so that the zone is ours.
    wall: Crontab,
    zone: TimeZone,
    every_hour: bool,
}

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It is longer than [`SCHEDULE_BYTES_MAX`].
    #[error("the schedule has {0} bytes, the most is {SCHEDULE_BYTES_MAX}: use ranges and steps")]
    TooLong(usize),
    /// It has not five fields.
    #[error(
        "the schedule has {0} fields, expected five: minute, hour, day of the month, month, day of the week, such as `0 8 * * *`"
    )]
    Fields(usize),
    /// The zone is not known.
    #[error("the time zone `{0}` is not known: expected a name such as `TZ=Europe/Paris`")]
    Zone(String),
    /// A field has a part of another cron dialect, or of none.
    #[error("`{part}` in the {field}: expected a number, a name of three letters, `*`, or such with `-`, `/` and `,`")]
    Part {
        /// What the field is for.
        field: &'static str,
        /// The part.
        part: String,
    },
    /// A field has a value that does not exist.
    #[error("the schedule is wrong: {0}")]
    Invalid(String),
    /// There is no such day.
    #[error("the schedule never comes: no month it names has such a day")]
    Never,
}

/// What to do about times at which nobody was there to start anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Missed {
    /// Nothing: the next time counts.
    Skip,
    /// Start once for all of them, at the latest.
    #[default]
    Once,
    /// Start for each of them.
    All,
}

impl Schedule {
    /// Reads a schedule.
    ///
    /// # Errors
    /// When it is none, or names a day that does not exist, such as 30 February.
    pub fn parse(source: &str) -> Result<Self, ScheduleError> {
        if source.len() > SCHEDULE_BYTES_MAX {
            return Err(ScheduleError::TooLong(source.len()));
        }
        let mut fields: Vec<&str> = source.split_whitespace().collect();
        let zone = match fields.first().and_then(|first| first.strip_prefix("TZ=")) {
            Some(name) => {
                fields.remove(0);
                TimeZone::get(name).map_err(|_| ScheduleError::Zone(name.to_owned()))?
            }
            None => TimeZone::UTC,
        };
        if fields.len() != FIELDS.len() {
            return Err(ScheduleError::Fields(fields.len()));
        }
        check_parts(&fields)?;
        let wall = cronexpr::parse_crontab(&format!("{} UTC", fields.join(" "))).map_err(|error| {
            // Several lines, with a mark below the place. What is wrong follows the mark.
            let text = error.to_string();
            ScheduleError::Invalid(text.rsplit("^ ").next().unwrap_or(&text).to_owned())
        })?;
        let every_hour = fields.get(1) == Some(&"*");
        let schedule = Self { source: source.to_owned(), wall, zone, every_hour };
        schedule.next_on_the_wall(DateTime::constant(2000, 1, 1, 0, 0, 0, 0)).ok_or(ScheduleError::Never)?;
        Ok(schedule)
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The first time after this one. None only at the end of the calendar.
    pub fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        if self.every_hour { self.next_in_passing_time(after) } else { self.next_by_the_clock(after) }
    }

    /// The times to start at, after `last` and up to `now`, oldest first: `last` is the latest time that was started or skipped, or when the
    /// schedule was set up.
    ///
    /// With [`Missed::All`] there are [`DUE_MAX`] at most; asked again with the last of them, it goes on. With [`Missed::Skip`] a time counts
    /// for the length of [`ON_TIME`], with [`Missed::Once`] the latest counts.
    ///
    /// ```
    /// use billhook_flow::schedule::{Missed, Schedule};
    ///
    /// let hourly = Schedule::parse("0 * * * *")?;
    /// let (last, now) = ("2026-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T03:30:00Z".parse().unwrap());
    /// assert_eq!(hourly.due(last, now, Missed::Once), ["2026-01-01T03:00:00Z".parse().unwrap()]);
    /// assert_eq!(hourly.due(last, now, Missed::All).len(), 3);
    /// assert!(hourly.due(last, now, Missed::Skip).is_empty());
    /// # Ok::<(), billhook_flow::schedule::ScheduleError>(())
    /// ```
    pub fn due(&self, last: Timestamp, now: Timestamp, missed: Missed) -> Vec<Timestamp> {
        let until_now = |after: &Timestamp| self.next_after(*after).filter(|next| *next <= now);
        match missed {
            Missed::All => std::iter::successors(until_now(&last), until_now).take(DUE_MAX).collect(),
            Missed::Once => self.latest(last, now).into_iter().collect(),
            Missed::Skip => {
                self.latest(last, now).filter(|latest| now.duration_since(*latest) < ON_TIME).into_iter().collect()
            }
        }
    }

    /// The latest time after `last` and up to `now`, by halving: there may be a million between them.
    fn latest(&self, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let until_now = |after: Timestamp| self.next_after(after).filter(|next| *next <= now);
        let mut latest = until_now(last)?;
        let mut nothing_after = now;
        // Times are whole seconds.
        while nothing_after.duration_since(latest) >= SignedDuration::from_secs(1) {
            let middle = latest.checked_add(nothing_after.duration_since(latest) / 2).ok()?;
            match until_now(middle) {
                Some(later) => latest = later,
                None => nothing_after = middle,
            }
        }
        Some(latest)
    }

    /// The next time that the clock on the wall shows for the first time, or jumps over.
    fn next_by_the_clock(&self, after: Timestamp) -> Option<Timestamp> {
        let mut wall = self.zone.to_datetime(after);
        loop {
            wall = self.next_on_the_wall(wall)?;
            let time = match self.zone.to_ambiguous_timestamp(wall).offset() {
                AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
                    offset.to_timestamp(wall).ok()?
                }
                AmbiguousOffset::Gap { after, .. } => {
                    let before_the_jump = after.to_timestamp(wall).ok()?;
                    self.zone.following(before_the_jump).next()?.timestamp()
                }
            };
            // In the second pass of an hour, the times of its first pass are over.
            if time > after {
                return Some(time);
            }
        }
    }

    /// The next time, when every hour counts that passes. Between two changes of the clock the offset from UTC is constant.
    fn next_in_passing_time(&self, after: Timestamp) -> Option<Timestamp> {
        let mut after = after;
        let mut offset = self.zone.to_offset(after);
        loop {
            let time = offset.to_timestamp(self.next_on_the_wall(offset.to_datetime(after))?).ok()?;
            match self.zone.following(after).next() {
                Some(change) if change.timestamp() <= time => {
                    offset = change.offset();
                    let of_the_change = self.next_on_the_wall(offset.to_datetime(just_before(change.timestamp())?))?;
                    if offset.to_timestamp(of_the_change).ok()? == change.timestamp() {
                        return Some(change.timestamp());
                    }
                    after = change.timestamp();
                }
                _ => return Some(time),
            }
        }
    }

    /// The next time that a clock would show which is never changed.
    fn next_on_the_wall(&self, after: DateTime) -> Option<DateTime> {
        let mut from = after.to_zoned(TimeZone::UTC).ok()?;
        for _ in 0..SEARCHES_MAX {
            if from.year() > YEAR_MAX {
                return None;
            }
            if let Ok(found) = self.wall.find_next(MakeTimestamp(from.timestamp())) {
                return Some(found.datetime());
            }
            from = from.checked_add(SEARCH_YEARS.years()).ok()?;
        }
        None
    }
}

fn just_before(time: Timestamp) -> Option<Timestamp> {
    time.checked_sub(SignedDuration::from_nanos(1)).ok()
}

/// Only the cron that all dialects share. The library's `L` never comes in December, so that what counts on it would miss a month.
fn check_parts(fields: &[&str]) -> Result<(), ScheduleError> {
    for (field, text) in FIELDS.into_iter().zip(fields) {
        let unknown = text.split([',', '-', '/']).find(|part| {
            let number = !part.is_empty() && part.chars().all(|character| character.is_ascii_digit());
            let name = part.len() == 3 && part.chars().all(|character| character.is_ascii_alphabetic());
            !(number || name || *part == "*")
        });
        if let Some(part) = unknown {
            return Err(ScheduleError::Part { field, part: part.to_owned() });
        }
    }
    Ok(())
}
