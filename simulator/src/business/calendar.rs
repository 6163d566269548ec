//! Billing periods and days, in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, Zoned};

pub(crate) const MINUTE: i64 = 60;
pub(crate) const HOUR: i64 = 60 * MINUTE;
pub(crate) const DAY: i64 = 24 * HOUR;

/// How often a price recurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interval<'a> {
    /// `day`, `week`, `month` or `year`.
    pub(crate) unit: &'a str,
    pub(crate) count: i64,
}

/// The first end of a period after `time`, counted in whole intervals from the billing cycle's anchor.
///
/// An anchor on the 31st gives the last day of shorter months, and the 31st again afterwards.
pub(crate) fn period_end(anchor: i64, interval: Interval<'_>, time: i64) -> i64 {
    let length = roughly(interval).max(1);
    // Start a little early: months differ in length.
    let mut steps = ((time - anchor) / length - 2).max(0);
    loop {
        let end = plus(anchor, interval, steps);
        if end > time {
            return end;
        }
        steps += 1;
    }
}

/// `time` plus a number of intervals.
pub(crate) fn plus(time: i64, interval: Interval<'_>, times: i64) -> i64 {
    let count = interval.count.max(1) * times;
    let months = match interval.unit {
        "month" => count,
        "year" => count * 12,
        _ => return time + roughly(interval) * times,
    };
    let added = Span::new().try_months(months).and_then(|span| utc(time).checked_add(span));
    added.map_or(time + roughly(interval) * times, |end| end.timestamp().as_second())
}

/// Length in seconds; of months and years an approximation from below.
fn roughly(interval: Interval<'_>) -> i64 {
    let days = match interval.unit {
        "day" => 1,
        "week" => 7,
        "year" => 365,
        _ => 28,
    };
    days * DAY * interval.count.max(1)
}

/// The next midnight after a time.
pub(crate) fn next_midnight(time: i64) -> i64 {
    time - time.rem_euclid(DAY) + DAY
}

/// `3 March 2026`, for texts.
pub(crate) fn long_date(time: i64) -> String {
    utc(time).strftime("%-d %B %Y").to_string()
}

/// `3 March`, for texts.
pub(crate) fn short_date(time: i64) -> String {
    utc(time).strftime("%-d %B").to_string()
}

/// The calendar day of a time.
pub(crate) fn date(time: i64) -> Date {
    utc(time).date()
}

fn utc(time: i64) -> Zoned {
    Timestamp::from_second(time).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[test]
    fn an_anchor_at_a_month_s_end_stays_there() {
        let anchor = at("2027-01-31T10:00:00Z");
        let month = Interval { unit: "month", count: 1 };
        let mut time = anchor;
        let mut ends = Vec::new();
        for _ in 0..4 {
            time = period_end(anchor, month, time);
            ends.push(time);
        }
        let expected = ["2027-02-28T10:00:00Z", "2027-03-31T10:00:00Z", "2027-04-30T10:00:00Z", "2027-05-31T10:00:00Z"];
        assert_eq!(ends, expected.map(at));
    }

    #[test]
    fn intervals_of_several_units() {
        let start = at("2026-02-28T00:00:00Z");
        assert_eq!(plus(start, Interval { unit: "year", count: 2 }, 1), at("2028-02-28T00:00:00Z"));
        assert_eq!(plus(start, Interval { unit: "week", count: 2 }, 1), at("2026-03-14T00:00:00Z"));
        assert_eq!(period_end(start, Interval { unit: "day", count: 3 }, start + 10 * DAY), start + 12 * DAY);
        assert_eq!(period_end(start, Interval { unit: "month", count: 3 }, start), at("2026-05-28T00:00:00Z"));
    }

    #[test]
    fn days_for_people() {
        assert_eq!(long_date(at("2026-03-03T23:59:59Z")), "3 March 2026");
        assert_eq!(next_midnight(at("2026-03-03T23:59:59Z")), at("2026-03-04T00:00:00Z"));
    }
}
