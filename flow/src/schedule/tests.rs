use proptest::prelude::*;

use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The times after this one, as the clock shows them in the zone of the schedule.
fn times(source: &str, after: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(source).unwrap();
    let next = |after: &Timestamp| schedule.next_after(*after);
    std::iter::successors(next(&time(after)), next)
        .take(count)
        .map(|time| time.to_zoned(schedule.zone.clone()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string())
        .collect()
}

fn assert_times(source: &str, after: &str, expected: &[&str]) {
    assert_eq!(times(source, after, expected.len()), expected, "{source} after {after}");
}

#[test]
fn without_a_zone_it_is_utc() {
    assert_times("0 8 * * *", "2026-01-31T08:00:00Z", &["2026-02-01 08:00:00 +00:00", "2026-02-02 08:00:00 +00:00"]);
    assert_eq!(times("TZ=UTC 0 8 * * *", "2026-01-31T08:00:00Z", 5), times("0 8 * * *", "2026-01-31T08:00:00Z", 5));
    assert_eq!(Schedule::parse(" TZ=Europe/Paris  0 8 * * * ").unwrap().source(), " TZ=Europe/Paris  0 8 * * * ");
}

#[test]
fn a_time_comes_after_the_one_before_it() {
    assert_times(
        "59 23 * * *",
        "2026-12-31T23:58:59.999Z",
        &["2026-12-31 23:59:00 +00:00", "2027-01-01 23:59:00 +00:00"],
    );
    assert_times("59 23 * * *", "2026-12-31T23:59:00Z", &["2027-01-01 23:59:00 +00:00"]);
    assert_times("59 23 31 12 *", "2026-12-31T23:59:59Z", &["2027-12-31 23:59:00 +00:00"]);
    assert_times("0 0 1 * *", "2026-11-30T23:59:59Z", &["2026-12-01 00:00:00 +00:00", "2027-01-01 00:00:00 +00:00"]);
    // A leap second is written as the second before it.
    assert_times("0 0 1 1 *", "2016-12-31T23:59:60Z", &["2017-01-01 00:00:00 +00:00"]);
}

#[test]
fn fields_are_those_of_cron() {
    assert_times(
        "*/20 9-10 * * *",
        "2026-01-01T09:30:00Z",
        &["2026-01-01 09:40:00 +00:00", "2026-01-01 10:00:00 +00:00"],
    );
    assert_times("0 0 * * 0", "2026-01-01T00:00:00Z", &["2026-01-04 00:00:00 +00:00"]);
    assert_times("0 0 * * 7", "2026-01-01T00:00:00Z", &["2026-01-04 00:00:00 +00:00"]);
    assert_times("0 0 * JAN,mar MON-WED", "2026-01-29T00:00:00Z", &["2026-03-02 00:00:00 +00:00"]);
    assert_times("0 0 15 * FRI", "2026-01-10T00:00:00Z", &["2026-01-15 00:00:00 +00:00", "2026-01-16 00:00:00 +00:00"]);
    assert_times("0 0 31 * *", "2026-02-01T00:00:00Z", &["2026-03-31 00:00:00 +00:00", "2026-05-31 00:00:00 +00:00"]);
}

#[test]
fn a_time_that_the_clock_jumps_over_comes_at_the_jump() {
    // 02:00 becomes 03:00 on 29 March 2026 in Paris, and on 8 March in New York.
    let paris = ["2026-03-28 02:30:00 +01:00", "2026-03-29 03:00:00 +02:00", "2026-03-30 02:30:00 +02:00"];
    assert_times("TZ=Europe/Paris 30 2 * * *", "2026-03-28T00:00:00Z", &paris);
    let new_york = ["2026-03-07 02:30:00 -05:00", "2026-03-08 03:00:00 -04:00", "2026-03-09 02:30:00 -04:00"];
    assert_times("TZ=America/New_York 30 2 * * *", "2026-03-07T06:00:00Z", &new_york);
    // Several are one, and one that is due at the jump anyway too.
    let quarters = ["2026-03-29 03:00:00 +02:00", "2026-03-29 03:15:00 +02:00"];
    assert_times("TZ=Europe/Paris */15 2-3 * * *", "2026-03-29T00:50:00Z", &quarters);
    assert_times("TZ=Europe/Paris */15 2 * * *", "2026-03-29T01:00:00Z", &["2026-03-30 02:00:00 +02:00"]);
    // Midnight is jumped over, and a whole day.
    assert_times("TZ=America/Havana 0 0 8 3 *", "2026-01-01T00:00:00Z", &["2026-03-08 01:00:00 -04:00"]);
    assert_times("TZ=Pacific/Apia 0 12 30 12 *", "2011-01-01T00:00:00Z", &["2011-12-31 00:00:00 +14:00"]);
}

#[test]
fn a_time_that_the_clock_shows_twice_comes_once() {
    // 03:00 becomes 02:00 on 25 October 2026 in Paris; 02:00 becomes 01:00 on 1 November in New York.
    let paris = ["2026-10-25 02:30:00 +02:00", "2026-10-26 02:30:00 +01:00"];
    assert_times("TZ=Europe/Paris 30 2 * * *", "2026-10-24T12:00:00Z", &paris);
    assert_times("TZ=Europe/Paris 30 2 * * *", "2026-10-25T01:10:00Z", &["2026-10-26 02:30:00 +01:00"]);
    let new_york = ["2026-11-01 01:30:00 -04:00", "2026-11-02 01:30:00 -05:00"];
    assert_times("TZ=America/New_York 30 1 * * *", "2026-10-31T12:00:00Z", &new_york);
    let quarters = ["2026-10-25 02:30:00 +02:00", "2026-10-25 03:00:00 +01:00", "2026-10-25 03:30:00 +01:00"];
    assert_times("TZ=Europe/Paris */30 2,3 * * *", "2026-10-25T00:00:00Z", &quarters);
}

#[test]
fn every_hour_is_every_hour_that_passes() {
    let autumn = [
        "2026-10-25 01:30:00 +02:00",
        "2026-10-25 02:30:00 +02:00",
        "2026-10-25 02:30:00 +01:00",
        "2026-10-25 03:30:00 +01:00",
    ];
    assert_times("TZ=Europe/Paris 30 * * * *", "2026-10-24T23:00:00Z", &autumn);
    let spring = ["2026-03-08 01:30:00 -05:00", "2026-03-08 03:30:00 -04:00"];
    assert_times("TZ=America/New_York 30 * * * *", "2026-03-08T06:00:00Z", &spring);
    let whole = ["2026-03-29 01:00:00 +01:00", "2026-03-29 03:00:00 +02:00", "2026-03-29 04:00:00 +02:00"];
    assert_times("TZ=Europe/Paris 0 * * * *", "2026-03-28T23:30:00Z", &whole);
    let again = ["2026-10-25 02:00:00 +02:00", "2026-10-25 02:00:00 +01:00", "2026-10-25 03:00:00 +01:00"];
    assert_times("TZ=Europe/Paris 0 * * * *", "2026-10-24T23:30:00Z", &again);
    // Half an hour: 02:00 becomes 01:30, and 02:00 becomes 02:30.
    let half = ["2026-04-05 01:45:00 +11:00", "2026-04-05 01:45:00 +10:30", "2026-04-05 02:45:00 +10:30"];
    assert_times("TZ=Australia/Lord_Howe 45 * * * *", "2026-04-04T14:00:00Z", &half);
    let half = ["2026-10-04 01:15:00 +10:30", "2026-10-04 03:15:00 +11:00"];
    assert_times("TZ=Australia/Lord_Howe 15 * * * *", "2026-10-03T14:30:00Z", &half);
}

#[test]
fn leap_days_and_far_years() {
    let leap = ["2028-02-29 08:00:00 +00:00", "2032-02-29 08:00:00 +00:00"];
    assert_times("0 8 29 2 *", "2026-01-01T00:00:00Z", &leap);
    assert_times("0 8 29 2 *", "2096-02-29T08:00:00Z", &["2104-02-29 08:00:00 +00:00"]);
    assert_times("0 8 29 */2 *", "2098-01-30T00:00:00Z", &["2098-03-29 08:00:00 +00:00"]);
    // The longest that a schedule can be silent: a 29 February that has to be a Sunday.
    assert_times("0 8 29 2 */7", "2088-02-29T08:00:00Z", &["2128-02-29 08:00:00 +00:00"]);
    // The end of 32-bit seconds.
    let end = ["2038-01-19 03:14:00 +00:00", "2038-01-20 03:14:00 +00:00"];
    assert_times("14 3 * * *", "2038-01-18T12:00:00Z", &end);
    // The rules of the zones go on beyond their tables; 2100 has no leap day.
    let spring = ["2038-03-28 03:00:00 +02:00", "2038-03-29 02:30:00 +02:00"];
    assert_times("TZ=Europe/Paris 30 2 * 3 *", "2038-03-27T12:00:00Z", &spring);
    assert_times("0 0 * * *", "2100-02-28T00:00:00Z", &["2100-03-01 00:00:00 +00:00"]);
    let autumn = ["2100-11-07 01:30:00 -04:00", "2100-11-08 01:30:00 -05:00"];
    assert_times("TZ=America/New_York 30 1 * * *", "2100-11-06T12:00:00Z", &autumn);
    let schedule = Schedule::parse("TZ=Europe/Paris * * * * *").unwrap();
    assert_eq!(schedule.next_after(Timestamp::MAX), None);
    assert!(schedule.next_after(Timestamp::MIN).is_some());
}

#[test]
fn errors_say_what_is_wrong() {
    for (source, message) in [
        (
            "",
            "the schedule has 0 fields, expected five: minute, hour, day of the month, month, day of the week, such as `0 8 * * *`",
        ),
        (
            "@daily",
            "the schedule has 1 fields, expected five: minute, hour, day of the month, month, day of the week, such as `0 8 * * *`",
        ),
        (
            "0 0 8 * * *",
            "the schedule has 6 fields, expected five: minute, hour, day of the month, month, day of the week, such as `0 8 * * *`",
        ),
        (
            "TZ=Europe/Pariss 0 8 * * *",
            "the time zone `Europe/Pariss` is not known: expected a name such as `TZ=Europe/Paris`",
        ),
        ("TZ= 0 8 * * *", "the time zone `` is not known: expected a name such as `TZ=Europe/Paris`"),
        (
            "0 8 L * *",
            "`L` in the day of the month: expected a number, a name of three letters, `*`, or such with `-`, `/` and `,`",
        ),
        (
            "0 8 * * 5#3",
            "`5#3` in the day of the week: expected a number, a name of three letters, `*`, or such with `-`, `/` and `,`",
        ),
        (
            "0 8 ? * *",
            "`?` in the day of the month: expected a number, a name of three letters, `*`, or such with `-`, `/` and `,`",
        ),
        ("0 8 30 2 *", "the schedule never comes: no month it names has such a day"),
    ] {
        assert_eq!(Schedule::parse(source).unwrap_err().to_string(), message, "{source}");
    }
    for source in [
        "60 8 * * *",
        "0 24 * * *",
        "0 8 0 * *",
        "0 8 * 13 *",
        "0 8 * * 8",
        "0 8 * * XYZ",
        "*/0 8 * * *",
        "5-1 8 * * *",
    ] {
        let error = Schedule::parse(source).unwrap_err();
        assert!(matches!(error, ScheduleError::Invalid(_)), "{source}: {error}");
    }
    let long = "0,".repeat(SCHEDULE_BYTES_MAX / 2) + "0 8 * * *";
    assert_eq!(Schedule::parse(&long).unwrap_err(), ScheduleError::TooLong(long.len()));
}

#[test]
fn what_was_missed_is_skipped_started_once_or_all() {
    let schedule = Schedule::parse("*/15 * * * *").unwrap();
    let due = |last: &str, now: &str, missed| schedule.due(time(last), time(now), missed);
    let (last, now) = ("2026-01-01T00:00:00Z", "2026-01-01T01:07:00Z");
    assert_eq!(due(last, now, Missed::Skip), []);
    assert_eq!(due(last, now, Missed::default()), [time("2026-01-01T01:00:00Z")]);
    let all = ["00:15", "00:30", "00:45", "01:00"].map(|clock| time(&format!("2026-01-01T{clock}:00Z")));
    assert_eq!(due(last, now, Missed::All), all);
    for missed in [Missed::Skip, Missed::Once, Missed::All] {
        assert_eq!(due(last, "2026-01-01T00:14:59.999Z", missed), [], "not yet");
        assert_eq!(due(last, "2026-01-01T00:15:00Z", missed), [time("2026-01-01T00:15:00Z")], "now");
        assert_eq!(due(last, "2026-01-01T00:15:59Z", missed), [time("2026-01-01T00:15:00Z")], "on time");
        assert_eq!(due("2026-01-01T00:15:00Z", "2026-01-01T00:15:59Z", missed), [], "once");
        assert_eq!(due("2026-01-01T01:00:00Z", "2026-01-01T00:30:00Z", missed), [], "the clock was put back");
    }
}

#[test]
fn after_years_nothing_takes_long() {
    let schedule = Schedule::parse("* * * * *").unwrap();
    let (last, now) = (time("2006-01-01T00:00:00Z"), time("2026-01-01T00:00:30Z"));
    assert_eq!(schedule.due(last, now, Missed::Once), [time("2026-01-01T00:00:00Z")]);
    let all = schedule.due(last, now, Missed::All);
    assert_eq!((all.len(), all.last()), (DUE_MAX, Some(&time("2006-01-01T01:40:00Z"))));
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let zone =
        prop::sample::select(vec!["UTC", "Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Havana"]);
    let minute = prop::sample::select(vec!["*", "0", "*/7", "30", "59"]);
    let hour = prop::sample::select(vec!["*", "0", "1-3", "*/2", "2"]);
    let day = prop::sample::select(vec!["* * *", "29 2 *", "1,31 * *", "* 3,10,11 SUN", "13 * FRI"]);
    (zone, minute, hour, day)
        .prop_map(|(zone, minute, hour, day)| Schedule::parse(&format!("TZ={zone} {minute} {hour} {day}")).unwrap())
}

/// What the schedule says of each minute, one after the other: the promises, without the searching.
fn minute_by_minute(
    schedule: &Schedule,
    comes: impl Fn(DateTime) -> bool,
    after: Timestamp,
    minutes: i64,
) -> Vec<Timestamp> {
    let minute = SignedDuration::from_mins(1);
    let wall = |time: Timestamp| schedule.zone.to_datetime(time);
    let holds = |time: &Timestamp| {
        let first_showing =
            schedule.zone.to_ambiguous_timestamp(wall(*time)).earlier().is_ok_and(|first| first == *time);
        let jumped_over = std::iter::successors(Some(wall(*time - minute) + minute), |at| Some(*at + minute));
        let jumped_over = jumped_over.take_while(|at| *at < wall(*time)).any(&comes);
        let shown = comes(wall(*time)) && (schedule.every_hour || first_showing);
        shown || (jumped_over && !schedule.every_hour)
    };
    (1..=minutes).map(|count| after + minute * i32::try_from(count).unwrap()).filter(holds).collect()
}

/// Seconds of the years 1971 to 2105.
const SECONDS: std::ops::Range<i64> = 31_536_000..4_260_211_200;

proptest! {
    #[test]
    fn the_next_time_is_later_and_nothing_lies_between(schedule in schedule(), second in SECONDS, share in 0.0..1.0) {
        let after = Timestamp::from_second(second).unwrap();
        let next = schedule.next_after(after).unwrap();
        prop_assert!(next > after);
        let between = after + next.duration_since(after).mul_f64(share);
        if between < next {
            prop_assert_eq!(schedule.next_after(between), Some(next));
        }
    }

    #[test]
    fn the_latest_is_the_last_of_all(schedule in schedule(), second in SECONDS, minutes in 0_i64..3_000) {
        let last = Timestamp::from_second(second).unwrap();
        let now = last + SignedDuration::from_mins(minutes);
        let mut all = Vec::new();
        let mut from = last;
        loop {
            let more = schedule.due(from, now, Missed::All);
            let Some(end) = more.last() else { break };
            from = *end;
            all.extend(more);
        }
        prop_assert!(all.is_sorted_by(|left, right| left < right));
        let once = schedule.due(last, now, Missed::Once);
        prop_assert_eq!(once.first(), all.last());
    }

    #[test]
    fn no_text_panics(source in "(TZ=[A-Za-z/]{0,12} )?([0-9*/,L#-]{1,6} ){4}[0-9A-Z*/,#-]{1,6}|\\PC{0,40}") {
        if let Ok(schedule) = Schedule::parse(&source) {
            prop_assert!(schedule.next_after(Timestamp::UNIX_EPOCH).is_some());
        }
    }
}

proptest! {
    // A case looks at each of 2,000 minutes.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn around_a_change_of_the_clock_the_promises_hold(
        zone in prop::sample::select(vec!["Europe/Paris", "America/New_York", "Australia/Lord_Howe", "America/Havana"]),
        minutes in prop::sample::select(vec![("*", 1), ("0", 60), ("*/7", 7), ("*/30", 30)]),
        hours in prop::sample::select(vec![("*", 0..24), ("0", 0..1), ("1-3", 1..4), ("2", 2..3), ("3", 3..4)]),
        second in SECONDS,
        before in 0_i64..1_440,
    ) {
        let schedule = Schedule::parse(&format!("TZ={zone} {} {} * * *", minutes.0, hours.0)).unwrap();
        let change = schedule.zone.following(Timestamp::from_second(second).unwrap()).next();
        // Without a change (Lord Howe before 1981) any day will do. Tables of zones may end with one in the middle of a minute.
        let change = change.map_or(second, |change| change.timestamp().as_second());
        let after = Timestamp::from_second((change / 60 - before) * 60).unwrap();
        let comes = |wall: DateTime| wall.minute() % minutes.1 == 0 && hours.1.contains(&wall.hour());
        let expected = minute_by_minute(&schedule, comes, after, 2_000);
        let next = |after: &Timestamp| schedule.next_after(*after);
        let found: Vec<Timestamp> = std::iter::successors(next(&after), next).take(expected.len()).collect();
        prop_assert_eq!(found, expected);
    }
}
