//! Recorded deliveries and sample objects. They live beside the repository: in `../shared`, or where `BILLHOOK_SHARED` says.

use std::path::{Path, PathBuf};

use billhook_testkit::skip;
use serde_json::{Value, json};

/// Names the folder that holds `fixtures`.
const VARIABLE: &str = "BILLHOOK_SHARED";

/// The folder `fixtures`; `None`, with a note, when it is not on this machine.
///
/// Its absence is an error only where somebody said that it is there: when the variable names it.
pub fn folder(test: &str) -> Option<PathBuf> {
    let named = std::env::var_os(VARIABLE).map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let fixtures = named.clone().unwrap_or(beside).join("fixtures");
    if fixtures.is_dir() {
        return Some(fixtures);
    }
    assert!(named.is_none(), "{VARIABLE} is set, and {} is no folder", fixtures.display());
    // Not skip::note, which forbids skipping in CI: a public checkout has no fixtures.
    eprintln!("skipped {test}: no fixtures; set {VARIABLE} to the folder that holds `fixtures`");
    if let Some(log) = std::env::var_os(skip::SKIP_LOG_VARIABLE) {
        let line = format!("{test}: no fixtures; set {VARIABLE}\n");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log);
        let _ = file.and_then(|mut file| std::io::Write::write_all(&mut file, line.as_bytes()));
    }
    None
}

/// Files of a folder of fixtures in order of their names, which are given without `.json`.
pub fn texts(folder: &Path) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort_unstable();
    files
}

/// A snapshot event around an object, complete enough for every reader.
pub fn event(id: &str, event_type: &str, created: i64, object: Value) -> Value {
    json!({
        "id": id,
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": created,
        "data": { "object": object },
        "livemode": false,
        "pending_webhooks": 1,
        "request": { "id": null, "idempotency_key": null },
        "type": event_type,
    })
}
