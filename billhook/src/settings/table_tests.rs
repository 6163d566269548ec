//! What holds for every row of the table.

use std::collections::HashSet;

use super::*;
use crate::settings::parse;

#[test]
fn names_follow_from_the_key() {
    for setting in ALL {
        if setting.key == "port" {
            assert_eq!(setting.environment, ["PORT"]);
            continue;
        }
        let upper = setting.key.replace('.', "_").to_uppercase();
        assert_eq!(setting.environment[0], format!("BILLHOOK_{upper}"));
        if let Some(flag) = setting.flag {
            assert_eq!(flag, setting.key.replace(['.', '_'], "-"));
        }
    }
}

#[test]
fn no_name_is_used_twice() {
    let mut seen = HashSet::new();
    for setting in ALL {
        assert!(seen.insert(setting.key), "{}", setting.key);
        for name in setting.environment {
            assert!(seen.insert(name), "{name}");
        }
    }
}

#[test]
fn secrets_have_no_flag() {
    for setting in ALL {
        assert_eq!(setting.flag.is_none(), setting.is_secret(), "{}", setting.key);
    }
}

#[test]
fn defaults_are_values_the_setting_accepts() {
    for setting in ALL {
        if let Default::Value(text) = setting.default {
            assert!(parse::value(setting, text).is_ok(), "{}", setting.key);
        }
    }
}

#[test]
fn the_version_of_reads_is_the_one_the_catalogue_describes() {
    let version = by_key("stripe.api_version").map(|setting| setting.default);
    assert_eq!(version, Some(Default::Value(billhook_stripe::catalogue::api_version())));
}

#[test]
fn every_name_of_the_existing_engines_is_known() {
    let names: HashSet<&str> = ALL.iter().flat_map(|setting| setting.environment.iter().copied()).collect();
    for name in [
        "DATABASE_URL",
        "STRIPE_WEBHOOK_SECRET",
        "STRIPE_SECRET_KEY",
        "STRIPE_API_BASE",
        "STRIPE_API_VERSION",
        "API_KEY",
        "SCHEMA",
        "PORT",
        "AUTO_EXPAND_LISTS",
        "BACKFILL_RELATED_ENTITIES",
        "MAX_POSTGRES_CONNECTIONS",
        "REVALIDATE_OBJECTS_VIA_STRIPE_API",
        "DISABLE_MIGRATIONS",
        "PG_SSL_CONFIG_ENABLED",
        "PG_SSL_REJECT_UNAUTHORIZED",
        "PG_SSL_REQUEST_CERT",
        "PG_SSL_CA",
        "PG_SSL_CERT",
    ] {
        assert!(names.contains(name), "{name}");
    }
}
