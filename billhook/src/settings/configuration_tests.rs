use std::collections::HashMap;

use tempfile::TempDir;

use super::*;
use crate::settings::sources::{Places, Sources};
use crate::settings::table;

const SECRET: &str = "whsec_0123456789abcdef";

/// A working directory with what may stand around the program.
struct World {
    directory: TempDir,
    flags: HashMap<&'static str, String>,
    environment: Vec<(&'static str, &'static str)>,
}

impl World {
    fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), flags: HashMap::new(), environment: Vec::new() }
    }

    fn flag(mut self, key: &'static str, value: &str) -> Self {
        self.flags.insert(key, value.to_owned());
        self
    }

    fn environment(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn resolve(self) -> Resolution {
        let environment = self.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let directory = self.directory.path().to_owned();
        Resolution::of(Sources::read(Places { flags: self.flags, file: None, environment, directory }))
    }

    fn configuration(self) -> Configuration {
        Configuration::check(&self.resolve()).unwrap_or_else(|refusals| panic!("{refusals:?}"))
    }

    fn refusals(self) -> Vec<String> {
        let refusals = Configuration::check(&self.resolve()).map(|_| ()).expect_err("refused");
        refusals.iter().map(ToString::to_string).collect()
    }
}

#[test]
fn the_defaults_are_a_configuration() {
    let configuration = World::new().configuration();
    assert_eq!(configuration.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(configuration.database.to_string(), "sqlite:billhook.db");
    assert_eq!(configuration.apply.lanes, 1);
    assert_eq!(configuration.ingest.tolerance_seconds, 300);
    assert_eq!(configuration.retention_days, 35);
    assert!(configuration.stripe.webhook_secrets.is_empty());
    assert_eq!(configuration.local_secret_file().unwrap().to_str(), Some("billhook.db.secret"));
}

#[test]
fn each_place_is_weaker_than_the_one_before_it() {
    let level = |world: World| world.configuration().log.level;
    let toml = || World::new().file("billhook.toml", "log.level = \"error\"");
    let dotenv = || toml().file(".env", "BILLHOOK_LOG_LEVEL=warn\n");
    let environment = || dotenv().environment("BILLHOOK_LOG_LEVEL", "debug");
    assert_eq!(level(World::new()), "info");
    assert_eq!(level(toml()), "error");
    assert_eq!(level(dotenv()), "warn");
    assert_eq!(level(environment()), "debug");
    assert_eq!(level(environment().flag("log.level", "trace")), "trace");
}

#[test]
fn the_origin_of_every_value_is_known() {
    let resolution = World::new()
        .file("billhook.toml", "schema = \"mirror\"")
        .file(".env", "MAX_POSTGRES_CONNECTIONS='7' # of the pool\nNODE_ENV=production\n")
        .environment("DATABASE_URL", "sqlite:a.db")
        .flag("listen", "127.0.0.1:1")
        .resolve();
    let found = |key: &str| {
        let entry = resolution.entries.iter().find(|entry| entry.setting.key == key).unwrap();
        (entry.origin.place(), entry.origin.name())
    };
    let pair = |place: &str, name: &str| (place.to_owned(), name.to_owned());
    assert_eq!(found("listen"), pair("flag", "--listen"));
    assert_eq!(found("database"), pair("environment", "DATABASE_URL"));
    assert_eq!(found("postgres.connections_max"), pair(".env", "MAX_POSTGRES_CONNECTIONS"));
    assert!(found("schema").0.ends_with("billhook.toml"));
    assert_eq!(found("log.level"), pair("default", "log.level"));
}

#[test]
fn our_own_name_is_stronger_than_a_compatible_one() {
    let world =
        World::new().environment("DATABASE_URL", "postgres://app/app").environment("BILLHOOK_DATABASE", "sqlite:m.db");
    assert_eq!(world.configuration().database.to_string(), "sqlite:m.db");
}

#[test]
fn an_empty_variable_counts_as_none() {
    let world = World::new()
        .environment("PORT", "")
        .environment("SCHEMA", "")
        .environment("PG_SSL_CA", "")
        .environment("REVALIDATE_OBJECTS_VIA_STRIPE_API", "")
        .environment("STRIPE_SECRET_KEY", "");
    let configuration = world.configuration();
    assert_eq!(configuration.listen.port(), 8080);
    assert_eq!(configuration.postgres.schema, "stripe");
}

#[test]
fn an_empty_secret_does_not_count_as_none() {
    for name in ["STRIPE_WEBHOOK_SECRET", "API_KEY", "BILLHOOK_API_KEY"] {
        let refusals = World::new().environment(name, "").refusals();
        assert!(refusals.len() == 1 && refusals[0].starts_with(&format!("{name} is empty; ")), "{refusals:?}");
    }
    let refusals = World::new().environment("STRIPE_SECRET_KEY", " ").refusals();
    assert!(refusals[0].contains("white space"), "{refusals:?}");
}

#[test]
fn port_changes_the_port_and_nothing_else() {
    let listen = |world: World| world.configuration().listen.to_string();
    assert_eq!(listen(World::new().environment("PORT", "9000")), "127.0.0.1:9000");
    let both = || World::new().environment("PORT", "9000").environment("BILLHOOK_LISTEN", "0.0.0.0:80");
    assert_eq!(listen(both()), "0.0.0.0:9000");
    assert_eq!(listen(both().flag("listen", "[::1]:7000")), "[::1]:7000");
    assert_eq!(listen(both().flag("listen", "[::1]:7000").flag("port", "7001")), "[::1]:7001");
    let refusals = World::new().environment("PORT", "http").refusals();
    assert_eq!(refusals, ["PORT is \"http\", not a whole number; set 0 to 65535 (0 = any free port)"]);
}

#[test]
fn a_key_of_the_other_mode_is_refused() {
    let world = |mode, key| World::new().environment("BILLHOOK_MODE", mode).environment("STRIPE_SECRET_KEY", key);
    let refusals = world("test", "sk_live_0123456789abcdef").refusals();
    assert_eq!(refusals, ["STRIPE_SECRET_KEY is a live key, and mode is test; set a test key, or change mode"]);
    assert!(world("live", "rk_test_0123456789abcdef").refusals()[0].contains("is a test key"));
    assert_eq!(world("live", "rk_live_0123456789abcdef").configuration().stripe.mode, Some(Mode::Live));
    assert_eq!(world("auto", "sk_live_0123456789abcdef").configuration().stripe.mode, None);
}

#[test]
fn secrets_are_shown_nowhere() {
    let world = World::new()
        .environment("STRIPE_WEBHOOK_SECRET", "whsec_CANARY0123456789abcdef,whsec_CANARY123456789abcdef0")
        .environment("API_KEY", "CANARY0123456789abcdef")
        .environment("DATABASE_URL", "postgres://me:CANARY@db/app");
    let resolution = world.resolve();
    let configuration = Configuration::check(&resolution).unwrap();
    assert_eq!(configuration.stripe.webhook_secrets.len(), 2);
    assert_eq!(configuration.apply.lanes, 2);
    let shown = format!("{resolution:?}{configuration:?}{}", configuration.database);
    assert!(!shown.contains("CANARY"), "{shown}");
}

#[test]
fn a_local_secret_is_for_sqlite_on_loopback_only() {
    let postgres = World::new().environment("DATABASE_URL", "postgres://localhost/app");
    assert_eq!(postgres.configuration().local_secret_file(), None);
    assert_eq!(World::new().environment("BILLHOOK_LISTEN", "0.0.0.0:80").configuration().local_secret_file(), None);
}

#[test]
fn booleans_of_other_engines_are_true_only_when_they_say_so() {
    let disabled = |name, value| World::new().environment(name, value).configuration().disable_migrations;
    assert!(disabled("DISABLE_MIGRATIONS", "true"));
    assert!(!disabled("DISABLE_MIGRATIONS", "1"));
    assert!(disabled("BILLHOOK_DISABLE_MIGRATIONS", "true"));
    let refusals = World::new().environment("BILLHOOK_DISABLE_MIGRATIONS", "1").refusals();
    assert_eq!(refusals, ["BILLHOOK_DISABLE_MIGRATIONS is \"1\"; set true or false"]);
}

#[test]
fn tls_settings_of_other_engines_become_an_sslmode() {
    let world = |verify| {
        World::new()
            .environment("DATABASE_URL", "postgres://db/app?sslmode=disable")
            .environment("PG_SSL_CONFIG_ENABLED", "true")
            .environment("PG_SSL_REJECT_UNAUTHORIZED", verify)
            .environment("PG_SSL_CA", "-----BEGIN CERTIFICATE-----\\nAA==\\n-----END CERTIFICATE-----")
    };
    for (verify, expected) in [("true", "verify-full"), ("false", "require")] {
        let configuration = world(verify).configuration();
        let Database::Postgres(url) = &configuration.database else { panic!("not PostgreSQL") };
        let url = configuration.postgres.url(url);
        assert_eq!(url.expose(), format!("postgres://db/app?sslmode={expected}"));
        assert_eq!(configuration.postgres.tls_ca.unwrap().lines().count(), 3);
    }
}

#[test]
fn the_way_to_the_database_is_judged() {
    for (url, expected) in [
        ("sqlite:a.db", Transport::SameMachine),
        ("postgres://127.0.0.1/app?sslmode=disable", Transport::SameMachine),
        ("postgres://db/app", Transport::MaybeClear),
        ("postgres://db/app?sslmode=prefer", Transport::MaybeClear),
        ("postgres://db/app?sslmode=require", Transport::Unverified),
        ("postgres://db/app?sslmode=verify-full", Transport::Verified),
    ] {
        assert_eq!(World::new().environment("DATABASE_URL", url).configuration().transport(), expected, "{url}");
    }
    let overridden = World::new()
        .environment("DATABASE_URL", "postgres://db/app?sslmode=disable")
        .environment("PG_SSL_CONFIG_ENABLED", "true");
    assert_eq!(overridden.configuration().transport(), Transport::Unverified);
}

#[test]
fn all_refusals_are_collected() {
    let refusals = World::new()
        .file("billhook.toml", "lisen = 1")
        .file(".env", "API_KEY=changeme\n")
        .environment("STRIPE_WEBHOOK_SECRET", "whsec_test")
        .refusals();
    assert_eq!(refusals.len(), 3, "{refusals:?}");
    assert!(refusals[0].contains("unknown key lisen; did you mean listen?"));
    assert!(refusals[1].starts_with("API_KEY in .env is a placeholder; "));
    assert!(refusals[2].starts_with("STRIPE_WEBHOOK_SECRET is a placeholder; "));
}

#[test]
fn a_broken_dotenv_is_refused_without_its_text() {
    let refusals = World::new().file(".env", "API_KEY=CANARY one two\n").refusals();
    assert!(refusals.len() == 1 && refusals[0].starts_with(".env has a line"), "{refusals:?}");
    assert!(!refusals[0].contains("CANARY"));
}

#[test]
fn a_mistyped_variable_is_pointed_out() {
    let world = World::new().environment("BILLHOOK_LISTN", "x").environment("BILLHOOK_SERVICE_HOST", "10.0.0.1");
    assert_eq!(world.resolve().warnings, ["BILLHOOK_LISTN is not a setting; did you mean BILLHOOK_LISTEN?"]);
}

#[test]
fn metrics_need_an_address_of_their_own() {
    let world = World::new().environment("PORT", "9000").environment("BILLHOOK_METRICS_LISTEN", "127.0.0.1:9000");
    assert!(world.refusals()[0].contains("is the address of listen"));
}

#[test]
fn billing_is_off_until_it_is_named_and_a_column_needs_its_table() {
    assert!(World::new().configuration().billing.workflows.is_empty());
    let world = || {
        let world = World::new().environment("BILLHOOK_BILLING_ENABLED", "record-charge");
        world.environment("BILLHOOK_BILLING_USERS_CUSTOMER_COLUMN", "customer")
    };
    assert!(world().refusals()[0].contains("without billing.users_table"));
    let billing = world().environment("BILLHOOK_BILLING_USERS_TABLE", "public.User").configuration().billing;
    assert_eq!(billing.workflows, [Workflow::RecordCharge]);
    assert_eq!(billing.users_table.map(|table| table.to_string()).as_deref(), Some("\"public\".\"User\""));
}

#[test]
fn every_setting_of_the_table_is_resolved() {
    assert_eq!(World::new().environment("STRIPE_WEBHOOK_SECRET", SECRET).resolve().entries.len(), table::ALL.len());
}
