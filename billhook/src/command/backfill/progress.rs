//! How far the runs of a backfill are: a bar for each on a terminal, plain lines otherwise.

use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use billhook_mirror::sync::runs;
use billhook_store::RunSummary;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;

/// Between two plain lines, in milliseconds.
const LINE_INTERVAL_MS: u64 = 5_000;

/// Steps of a bar: its share is known in seconds of `created`, which have no natural unit.
const BAR_STEPS: u64 = 1_000;

/// Where progress is shown.
pub enum Display {
    /// A bar a run.
    Bars(Bars),
    /// A line for what is running, every few seconds.
    Lines { last: Instant },
    /// Nowhere: the outcome is for a program.
    Quiet,
}

/// Bars by run.
pub struct Bars {
    all: MultiProgress,
    by_run: HashMap<i64, ProgressBar>,
}

impl Display {
    /// Bars on a terminal, lines elsewhere; nothing when `quiet`.
    pub fn new(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else if std::io::stderr().is_terminal() {
            Self::Bars(Bars { all: MultiProgress::new(), by_run: HashMap::new() })
        } else {
            Self::Lines { last: Instant::now() }
        }
    }

    /// Says something beside the progress.
    pub fn note(&self, text: &str) {
        match self {
            Self::Bars(bars) => drop(bars.all.println(text)),
            Self::Lines { .. } => line(text),
            Self::Quiet => {}
        }
    }

    /// Says that objects were read once more.
    pub fn again(&self, objects: usize) {
        if objects > 0 {
            self.note(&format!("{objects} objects were completed: lists that Stripe cuts, and what others refer to"));
        }
    }

    /// Shows how far the runs are.
    pub fn show(&mut self, runs: &[RunSummary], now: Timestamp) {
        match self {
            Self::Bars(bars) => bars.show(runs, now),
            Self::Lines { last } if last.elapsed() >= Duration::from_millis(LINE_INTERVAL_MS) => {
                *last = Instant::now();
                for run in runs.iter().filter(|run| run.end.is_none() && run.requests > 0) {
                    line(&format!("{}: {}", run.object, told(run, now)));
                }
            }
            Self::Lines { .. } | Self::Quiet => {}
        }
    }

    /// Takes the bars away, so that the outcome stands alone.
    pub fn finish(&self) {
        if let Self::Bars(bars) = self {
            // Progress is a courtesy; a closed terminal must not stop the work.
            let _ = bars.all.clear();
        }
    }
}

impl Bars {
    fn show(&mut self, runs: &[RunSummary], now: Timestamp) {
        for run in runs {
            if run.requests == 0 && run.end.is_none() {
                continue;
            }
            let bar = self.by_run.entry(run.id).or_insert_with(|| self.all.add(bar(&run.object)));
            if let Some(share) = share(run) {
                bar.set_position((share * BAR_STEPS as f64) as u64);
            }
            bar.set_message(told(run, now));
            if run.end.is_some() && !bar.is_finished() {
                bar.finish();
            }
        }
    }
}

fn bar(object: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix:<28} [{bar:20}] {msg}");
    let bar = ProgressBar::new(BAR_STEPS).with_prefix(object.to_owned());
    match style {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        // The template is this program's own text; without it the bar has its usual form.
        Err(_) => bar,
    }
}

/// The share of the window that has been read; `None` when that cannot be known.
fn share(run: &RunSummary) -> Option<f64> {
    if run.end.is_some() {
        return Some(1.0);
    }
    let from = run.created_gte?;
    let to = run.created_lt.unwrap_or(run.requested_at.as_second());
    let all = (to - from).max(1) as f64;
    Some((1.0 - run.seconds_unread? as f64 / all).clamp(0.0, 1.0))
}

/// Count, rate, how far back it is, and what a person should know.
fn told(run: &RunSummary, now: Timestamp) -> String {
    let progress = runs::progress(run, now);
    let mut text = format!("{} objects, {:.0}/s", grouped(run.objects), progress.objects_per_second);
    if run.end.is_some() {
        text.push_str(&format!(", {}", run.state()));
    } else if let Some(seconds) = progress.seconds_left {
        text.push_str(&format!(", about {} left", duration(seconds)));
    } else if let Some(reached) = progress.created_low.and_then(|at| Timestamp::from_second(at).ok()) {
        text.push_str(&format!(", back to {}", reached.strftime("%Y-%m-%d")));
    }
    if !run.message.is_empty() {
        text.push_str(&format!(" ({})", crate::output::printable(&run.message)));
    }
    text
}

fn duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds.div_ceil(60)),
        _ => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
    }
}

/// A number with a comma between each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn line(text: &str) {
    // Progress is a courtesy; a closed stream must not stop the work.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_durations_are_readable() {
        assert_eq!([1, 999, 1_000, 1_234_567].map(grouped), ["1", "999", "1,000", "1,234,567"]);
        assert_eq!([5.9, 61.0, 7_260.0].map(duration), ["5 s", "2 min", "2 h 1 min"]);
    }
}
