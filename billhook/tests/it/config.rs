//! The settings of the real binary: where they come from, how they are shown, and what is refused at start.
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has to fail")]

use serde_json::Value;

use crate::cli::{Program, stderr, stdout};

fn setting(program: &Program, arguments: &[&str], key: &str) -> Value {
    let output = program.run(&[&["config", "print", "--json"], arguments].concat());
    let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    settings.into_iter().find(|setting| setting["key"] == key).unwrap()
}

/// Why the server does not start: one line, exit code 2, and nothing was made.
fn refusal(program: &Program, arguments: &[&str]) -> String {
    let before = std::fs::read_dir(program.directory.path()).unwrap().count();
    let output = program.run(&[&["serve", "--port", "0"], arguments].concat());
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(std::fs::read_dir(program.directory.path()).unwrap().count(), before);
    let text = stderr(&output);
    assert!(text.starts_with("billhook: ") && text.lines().count() == 1, "{text}");
    text["billhook: ".len()..].trim_end().to_owned()
}

#[test]
fn every_place_overrides_the_weaker_ones() {
    let shown = |program: &Program, arguments: &[&str]| {
        let shown = setting(program, arguments, "retention.days");
        ["value", "source", "name"].map(|field| shown[field].as_str().unwrap().to_owned())
    };
    let program = Program::new();
    assert_eq!(shown(&program, &[]), ["35", "default", "retention.days"]);
    let program = program.file("billhook.toml", "[retention]\ndays = 40\n");
    assert_eq!(shown(&program, &[]), ["40", "billhook.toml", "retention.days"]);
    let program = program.file(".env", "BILLHOOK_RETENTION_DAYS=50\n");
    assert_eq!(shown(&program, &[]), ["50", ".env", "BILLHOOK_RETENTION_DAYS"]);
    let program = program.set("BILLHOOK_RETENTION_DAYS", "60");
    assert_eq!(shown(&program, &[]), ["60", "environment", "BILLHOOK_RETENTION_DAYS"]);
    assert_eq!(shown(&program, &["--retention-days", "70"]), ["70", "flag", "--retention-days"]);
}

#[test]
fn another_file_can_be_named() {
    let program = Program::new().file("other.toml", "schema = \"other\"\n").file("billhook.toml", "schema = \"own\"\n");
    assert_eq!(setting(&program, &[], "schema")["value"], "own");
    assert_eq!(setting(&program, &["--config", "other.toml"], "schema")["value"], "other");
    assert!(refusal(&program, &["--config", "missing.toml"]).starts_with("missing.toml cannot be read: "));
    let program = program.set("BILLHOOK_CONFIG", "other.toml");
    assert_eq!(setting(&program, &[], "schema")["value"], "other");
}

#[test]
fn printing_shows_no_secret() {
    let program = Program::new()
        .set("STRIPE_WEBHOOK_SECRET", "whsec_CANARYCANARYCANARYCANARY9876")
        .set("API_KEY", "CANARYCANARYCANARYCANARY")
        .set("STRIPE_SECRET_KEY", "rk_test_CANARYCANARYCANARY")
        .set("DATABASE_URL", "postgres://me:CANARY@localhost/app")
        .set("PG_SSL_CA", "-----BEGIN CERTIFICATE-----CANARY");
    for arguments in [&["config", "print"][..], &["config", "print", "--json"], &["config", "check"]] {
        let output = program.run(arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(!stdout(&output).contains("CANARY") && !stderr(&output).contains("CANARY"));
    }
    assert_eq!(setting(&program, &[], "stripe.webhook_secret")["value"], "whsec_…9876");
    assert_eq!(setting(&program, &[], "database")["value"], "postgres://me:***@localhost/app");
}

#[test]
fn secrets_that_are_none_are_refused() {
    let webhook = |value| refusal(&Program::new().set("STRIPE_WEBHOOK_SECRET", value), &[]);
    for (value, expected) in [
        ("", "STRIPE_WEBHOOK_SECRET is empty; "),
        ("  ", "STRIPE_WEBHOOK_SECRET holds only white space; "),
        ("whsec_0123456789abcdef ", "STRIPE_WEBHOOK_SECRET begins or ends with white space; "),
        ("whsec_test", "STRIPE_WEBHOOK_SECRET is a placeholder; "),
        ("whsec_...", "STRIPE_WEBHOOK_SECRET is a placeholder; "),
        ("0123456789abcdef0123", "STRIPE_WEBHOOK_SECRET does not begin with whsec_; "),
        ("pk_test_0123456789abcdef", "STRIPE_WEBHOOK_SECRET is a publishable key"),
    ] {
        assert!(webhook(value).starts_with(expected), "{value}: {}", webhook(value));
    }
    for value in ["false", "changeme", "your_api_key_goes_right_here"] {
        assert!(
            refusal(&Program::new().set("API_KEY", value), &[]).starts_with("API_KEY is a placeholder; "),
            "{value}"
        );
    }
    let key = |value| refusal(&Program::new().set("STRIPE_SECRET_KEY", value), &["--mode", "test"]);
    assert!(key("pk_live_0123456789abcdef").contains("publishable key"));
    assert!(key("sk_live_0123456789abcdef").contains("is a live key, and mode is test"));
}

#[test]
fn without_a_secret_only_sqlite_on_loopback_starts() {
    let program = Program::new();
    let expected = "STRIPE_WEBHOOK_SECRET is not set; set the endpoint's signing secret (whsec_…)";
    assert!(refusal(&program, &["--listen", "0.0.0.0:0"]).starts_with(expected));
    assert!(refusal(&program, &["--database", "postgres://localhost/app"]).starts_with(expected));
    assert!(program.run(&["serve", "--check"]).status.success());
}

#[test]
fn unknown_keys_and_bad_values_are_refused() {
    let program = Program::new().file("billhook.toml", "[ingest]\nlag_second_max = 1\n");
    assert_eq!(
        refusal(&program, &[]),
        "billhook.toml has the unknown key ingest.lag_second_max; did you mean ingest.lag_seconds_max?"
    );
    for (arguments, expected) in [
        (["--listen", "here"], "--listen is \"here\", not an address to listen on; "),
        (["--ingest-tolerance-seconds", "0"], "--ingest-tolerance-seconds is 0, out of range; set 1 to 86400 seconds"),
        (["--retention-days", "32"], "--retention-days is 32, out of range; "),
        (["--mode", "both"], "--mode is \"both\"; set live, test or auto"),
        (["--database", "billhook.db"], "--database is neither a sqlite: nor a postgres: URL; "),
    ] {
        assert!(refusal(&Program::new(), &arguments).starts_with(expected), "{}", refusal(&Program::new(), &arguments));
    }
}

#[test]
fn check_lists_everything_that_is_wrong() {
    let program = Program::new()
        .set("API_KEY", "changeme")
        .set("PORT", "http")
        .set("BILLHOOK_LISTN", "x")
        .file("billhook.toml", "lisen = 1\n");
    let output = program.run(&["config", "check"]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert_eq!(text.lines().filter(|line| line.starts_with("refused: ")).count(), 3, "{text}");
    assert!(text.starts_with("warning: BILLHOOK_LISTN is not a setting; did you mean BILLHOOK_LISTEN?\n"), "{text}");
    let refused = refusal(&program, &[]);
    assert!(refused.ends_with("(and 1 more: billhook config check)"), "{refused}");
}

#[test]
fn the_generated_page_is_printed() {
    let output = Program::new().run(&["docs"]);
    assert!(stdout(&output).starts_with("# Configuration\n") && output.status.success());
}
