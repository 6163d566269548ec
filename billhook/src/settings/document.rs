//! The reference page `docs/configuration.md`, written from the table.

use std::fmt::Write as _;

use super::setting::{Default, Group, Setting};
use super::table;

const PREAMBLE: &str = "\
# Configuration

Written from the table of settings by `UPDATE=1 cargo test -p billhook`; change `billhook/src/settings/table.rs` instead of this
page.

A setting can be given in four places. A place is stronger than those below it:

1. a flag: `billhook serve --listen 0.0.0.0:8080`
2. the environment: `BILLHOOK_LISTEN=0.0.0.0:8080`
3. a file `.env` in the working directory, with lines of the same form; put values with spaces, `#` or `$` into single quotes
4. a file `billhook.toml` in the working directory, or the one that `--config PATH` or `BILLHOOK_CONFIG` names:

```toml
listen = \"0.0.0.0:8080\"

[ingest]
lag_seconds_max = 120
```

`billhook config print` shows every setting with its value and the place it came from, and `billhook config check` says what is
wrong. Billhook does not start with a key it does not know, a value out of range, or a secret that is empty, a placeholder or
copied with white space.

Where several environment names are given, the first one set counts; those without the prefix `BILLHOOK_` are shared with other
sync engines and keep their meaning: a switch is on exactly when its value is `true`. An empty value in the environment counts as
none, except that an empty webhook secret or API key is refused. Secrets have no flag, because every process of a machine can
read a command line. `NODE_ENV` is ignored.
";

/// The page.
pub fn page() -> String {
    let mut page = PREAMBLE.to_owned();
    for group in Group::ALL {
        // Writing into a String cannot fail.
        let _ = write!(page, "\n## {}\n", group.heading());
        for setting in table::ALL.iter().filter(|setting| setting.group == group) {
            section(&mut page, setting);
        }
    }
    page
}

fn section(page: &mut String, setting: &Setting) {
    let names = setting.environment.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let flag = setting.flag.map_or_else(|| "none".to_owned(), |flag| format!("`--{flag}`"));
    let default = match setting.default {
        Default::Value(value) => format!("`{value}`"),
        Default::Unset(meaning) => format!("unset: {meaning}"),
    };
    let _ = write!(
        page,
        "\n### `{}`\n\n{}\n\n| environment | flag | value | default |\n|---|---|---|---|\n| {names} | {flag} | {} | {default} |\n",
        setting.key,
        setting.doc,
        setting.kind.describe(),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_page_is_the_generated_one() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, page()).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(committed == page(), "docs/configuration.md is stale: run UPDATE=1 cargo test -p billhook");
    }
}
