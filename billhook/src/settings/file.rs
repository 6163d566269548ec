//! `billhook.toml`.

use std::path::{Path, PathBuf};

use billhook_core::suggest;

use super::origin::Refusal;
use super::table;

/// A configuration file that was read.
#[derive(Debug, Default)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Dotted keys, all of them known, with their values as text.
    pub values: Vec<(&'static str, String)>,
}

/// Reads a configuration file. A missing file is `None` unless it was asked for.
pub fn read(path: &Path, asked_for: bool, refusals: &mut Vec<Refusal>) -> Option<File> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(parse(path, &text, refusals)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !asked_for => None,
        Err(error) => {
            let what = format!("cannot be read: {error}");
            refusals.push(Refusal::of_file(path, what, "check the path and its permissions"));
            None
        }
    }
}

fn parse(path: &Path, text: &str, refusals: &mut Vec<Refusal>) -> File {
    let mut file = File { path: path.to_owned(), values: Vec::new() };
    match text.parse::<toml::Table>() {
        Ok(root) => flatten("", &root, &mut file, refusals),
        Err(error) => {
            // The error's own text shows the line, which may hold a secret.
            let line =
                error.span().map_or(1, |span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
            refusals.push(Refusal::of_file(path, format!("is not TOML (line {line})"), "write KEY = \"VALUE\" lines"));
        }
    }
    file
}

fn flatten(prefix: &str, table: &toml::Table, file: &mut File, refusals: &mut Vec<Refusal>) {
    for (name, value) in table {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (table::by_key(&key), value) {
            (Some(setting), value) => match text_of(value) {
                Some(text) => file.values.push((setting.key, text)),
                None => {
                    let what = format!("has a value of the wrong type for {key}");
                    refusals.push(Refusal::of_file(
                        &file.path,
                        what,
                        format!("set {}", setting.kind.describe().replace('`', "")),
                    ));
                }
            },
            (None, toml::Value::Table(inner)) if is_section(&key) => flatten(&key, inner, file, refusals),
            (None, _) => refusals.push(unknown(&file.path, &key)),
        }
    }
}

fn is_section(key: &str) -> bool {
    table::ALL.iter().any(|setting| setting.key.strip_prefix(key).is_some_and(|rest| rest.starts_with('.')))
}

fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(boolean) => Some(boolean.to_string()),
        toml::Value::Array(items) => {
            items.iter().map(toml::Value::as_str).collect::<Option<Vec<_>>>().map(|items| items.join(","))
        }
        _ => None,
    }
}

fn unknown(path: &Path, key: &str) -> Refusal {
    let keys = table::ALL.iter().map(|setting| setting.key);
    let last = |key: &'static str| key.rsplit('.').next().unwrap_or(key);
    let typed_last = key.rsplit('.').next().unwrap_or(key);
    // A key that was put into the wrong section, or into none, is found by its last part.
    let suggestion = suggest::nearest(key, keys.clone())
        .or_else(|| keys.clone().find(|known| last(known) == typed_last))
        .map_or_else(|| "see docs/configuration.md for the keys".to_owned(), |name| format!("did you mean {name}?"));
    Refusal::of_file(path, format!("has the unknown key {}", key.escape_debug()), suggestion)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<(&'static str, String)>, Vec<String>) {
        let mut refusals = Vec::new();
        let file = parse(Path::new("billhook.toml"), text, &mut refusals);
        (file.values, refusals.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn sections_and_dotted_keys_are_the_same() {
        let (values, refusals) = parsed("listen = \"127.0.0.1:1\"\nlog.level = \"warn\"\n[ingest]\ndeadline_ms = 7\n");
        assert_eq!(refusals, Vec::<String>::new());
        assert_eq!(
            values,
            [
                ("ingest.deadline_ms", "7".to_owned()),
                ("listen", "127.0.0.1:1".to_owned()),
                ("log.level", "warn".to_owned()),
            ]
        );
    }

    #[test]
    fn arrays_are_lists() {
        let (values, _) = parsed("[stripe]\nrevalidate_objects = [\"charge\", \"invoice\"]\n");
        assert_eq!(values, [("stripe.revalidate_objects", "charge,invoice".to_owned())]);
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest_known_one() {
        for (text, expected) in [
            ("lisen = \"x\"", "billhook.toml has the unknown key lisen; did you mean listen?"),
            ("[ingest]\nlag_second_max = 1", "did you mean ingest.lag_seconds_max?"),
            ("deadline_ms = 1", "did you mean ingest.deadline_ms?"),
            ("[colour]\nred = 1", "billhook.toml has the unknown key colour; see docs/configuration.md for the keys"),
        ] {
            let (_, refusals) = parsed(text);
            assert!(refusals.len() == 1 && refusals[0].contains(expected), "{refusals:?}");
        }
    }

    #[test]
    fn a_broken_file_is_refused_without_its_text() {
        let (_, refusals) = parsed("listen = \"a\"\nstripe.webhook_secret = \"whsec_0123456789abcdef\n");
        assert_eq!(refusals, ["billhook.toml is not TOML (line 2); write KEY = \"VALUE\" lines"]);
    }

    #[test]
    fn a_value_of_the_wrong_type_is_refused() {
        let (_, refusals) = parsed("ingest.deadline_ms = 1.5");
        assert!(refusals[0].contains("wrong type for ingest.deadline_ms"), "{refusals:?}");
    }
}
