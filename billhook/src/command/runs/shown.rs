//! Runs, times and recorded texts as commands show them.

use billhook_store::FlowRunSummary;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

/// A run, for programs.
#[derive(Debug, Serialize)]
pub struct Run<'a> {
    id: &'a str,
    function: &'a str,
    state: &'static str,
    event_id: &'a str,
    event_name: Option<&'a str>,
    created_at: String,
    started_at: Option<String>,
    ended_at: Option<String>,
    due_at: Option<String>,
    holder: Option<&'a str>,
    failures: u32,
    message: Option<&'a str>,
    rerun_of: Option<&'a str>,
    version: Option<&'a str>,
}

impl<'a> From<&'a FlowRunSummary> for Run<'a> {
    fn from(run: &'a FlowRunSummary) -> Self {
        let text = |time: Option<Timestamp>| time.map(|time| time.to_string());
        Self {
            id: &run.id,
            function: &run.function,
            state: run.state.name(),
            event_id: &run.event_id,
            event_name: run.event_name.as_deref(),
            created_at: run.created_at.to_string(),
            started_at: text(run.started_at),
            ended_at: text(run.ended_at),
            due_at: text(run.due_at),
            holder: run.holder.as_deref(),
            failures: run.failures,
            message: run.message.as_deref(),
            rerun_of: run.rerun_of.as_deref(),
            version: run.version.as_deref(),
        }
    }
}

/// A time to the second, as lists show it.
pub fn moment(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first characters of a text.
pub fn shortened(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A time with how long it is until then, or since.
pub fn until(time: Timestamp, now: Timestamp) -> String {
    let left = time.duration_since(now);
    if left.is_positive() {
        format!("{} (in {})", moment(time), span(left))
    } else {
        format!("{} ({} ago)", moment(time), span(left))
    }
}

/// The two greatest units of a duration.
fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().unsigned_abs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_in_two_units() {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let left = |seconds: i64| until(Timestamp::from_second(1_700_000_000 + seconds).unwrap(), now);
        assert_eq!(left(5), "2023-11-14T22:13:25Z (in 5 s)");
        assert!(left(3_599).ends_with("(in 59 min 59 s)"));
        assert!(left(7_260).ends_with("(in 2 h 1 min)"));
        assert!(left(3 * 86_400 + 3_600).ends_with("(in 3 d 1 h)"));
        assert!(left(-61).ends_with("(1 min 1 s ago)"));
        assert!(left(0).ends_with("(0 s ago)"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!((shortened("äöü", 3), shortened("äöü", 2)), ("äöü".to_owned(), "äö…".to_owned()));
    }
}
