//! Structured logs on standard error, without secrets and personal data.

use std::io::{self, IsTerminal, Write};

use tracing::Level;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::settings::configuration::Log;
use billhook_core::redact::redact;

/// Starts logging for a command whose own words matter more: at the usual level only what is wrong.
pub fn start_quiet(log: &Log) {
    let level = if log.level == "info" { "warn".to_owned() } else { log.level.clone() };
    start(&Log { level, format: log.format.clone() });
}

/// Starts logging for the rest of the process. Only the first call has an effect.
pub fn start(log: &Log) {
    let level = log.level.parse::<Level>().map_or(LevelFilter::INFO, LevelFilter::from_level);
    let is_terminal = io::stderr().is_terminal();
    let as_text = match log.format.as_str() {
        "text" => true,
        "json" => false,
        _ => is_terminal,
    };
    let colours = is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(Redacting(io::stderr)).with_ansi(colours);
    // A second subscriber in one process is refused, which leaves the first: what the doc comment promises.
    let _ = if as_text { builder.with_target(false).try_init() } else { builder.json().flatten_event(true).try_init() };
}

/// Makes writers that redact each event, which the subscriber hands over as one piece.
struct Redacting<M>(M);

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Redacting<M> {
    type Writer = RedactingWriter<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        RedactingWriter(self.0.make_writer())
    }
}

struct RedactingWriter<W>(W);

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write_all(redact(&String::from_utf8_lossy(bytes)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(json: bool) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let builder = tracing_subscriber::fmt().with_ansi(false).with_writer(Redacting(move || writer.clone()));
        let dispatch: tracing::Dispatch =
            if json { builder.json().flatten_event(true).finish().into() } else { builder.finish().into() };
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::error!(
                key = "sk_live_CANARY0123456789",
                "connect postgres://me:CANARY@db/app for jane@example.com"
            );
        });
        String::from_utf8(kept.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn secrets_and_addresses_do_not_reach_the_output() {
        for json in [false, true] {
            let text = logged(json);
            assert!(text.contains("connect postgres://me:…@db/app"), "{text}");
            assert!(!text.contains("CANARY") && !text.contains("jane@"), "{text}");
        }
    }

    #[test]
    fn a_json_line_stays_json() {
        let line: serde_json::Value = serde_json::from_str(&logged(true)).unwrap();
        assert_eq!(line["key"], "sk_live_…6789");
    }
}
