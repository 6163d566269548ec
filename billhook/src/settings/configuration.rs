//! The checked configuration, as the commands use it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use billhook_billing::{ColumnName, OnMissing, TableName, Workflow};
use billhook_core::Secret;
use billhook_flow::Aliases;
use billhook_stripe::api::ApiKey;

use super::database::{Database, PostgresUrl};
use super::origin::Refusal;
use super::value::Value;
use super::{Entry, Resolution};

/// Everything a command may need, checked.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Which database.
    pub database: Database,
    /// How to speak with PostgreSQL; of no meaning for SQLite.
    pub postgres: Postgres,
    /// Address of the HTTP server.
    pub listen: SocketAddr,
    /// A separate address of `/metrics`.
    pub metrics_listen: Option<SocketAddr>,
    /// Key of the admin endpoints.
    pub api_key: Option<Secret>,
    /// Where Stripe reaches this server.
    pub public_url: Option<String>,
    /// Whether the schema is left alone at start.
    pub disable_migrations: bool,
    /// Stripe's side.
    pub stripe: Stripe,
    /// Limits of taking deliveries.
    pub ingest: Ingest,
    /// Limits of applying deliveries.
    pub apply: Apply,
    /// Reading from Stripe what deliveries did not bring.
    pub sync: Sync,
    /// What Stripe's events are called.
    pub aliases: Aliases,
    /// Key with which programs send events.
    pub event_key: Option<Secret>,
    /// Whether the time of functions may be moved by hand.
    pub test_clock: bool,
    /// The built-in billing workflows.
    pub billing: Billing,
    /// Limits of the HTTP server.
    pub http: Http,
    /// How long applied deliveries are kept, in days.
    pub retention_days: u32,
    /// Form of the log.
    pub log: Log,
}

/// How to speak with PostgreSQL.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// Schema of the mirrored tables.
    pub schema: String,
    /// Greatest number of connections.
    pub connections_max: usize,
    /// Longest statement, in milliseconds.
    pub statement_timeout_ms: u64,
    /// `sslmode` from the `postgres.tls_…` settings, which then replaces the URL's.
    pub sslmode: Option<&'static str>,
    /// Certificate authority to trust, PEM text.
    pub tls_ca: Option<String>,
}

/// Stripe's side.
#[derive(Debug, Clone)]
pub struct Stripe {
    /// Signing secrets; empty when none is configured.
    pub webhook_secrets: Vec<Secret>,
    /// Which world is mirrored; `None` follows the first delivery.
    pub mode: Option<Mode>,
    /// The mirrored account.
    pub account: Option<String>,
    /// The API key, when one is configured.
    pub key: Option<ApiKey>,
    /// Base URL of the API.
    pub api_base: String,
    /// API version of reads and of webhook endpoints that are made here.
    pub api_version: String,
    /// Most requests a second; `None` is half of what Stripe allows.
    pub requests_per_second: Option<u32>,
    /// Whether stored objects hold their whole lists.
    pub auto_expand_lists: bool,
    /// Whether objects that others refer to are read when the mirror lacks them.
    pub backfill_related_entities: bool,
    /// Kinds that are read again after each of their events.
    pub revalidate_objects: Vec<String>,
}

/// Limits of reading from Stripe; the settings of the same names explain them.
#[derive(Debug, Clone)]
pub struct Sync {
    pub segments_max: usize,
    pub catch_up_interval_seconds: u32,
    pub reconcile_period_seconds: u32,
    pub reconcile_requests_per_second: u32,
    pub reconcile_grace_seconds: u32,
}

/// The built-in billing workflows; the settings of the same names explain them.
#[derive(Debug, Clone)]
pub struct Billing {
    /// Those that are switched on.
    pub workflows: Vec<Workflow>,
    /// The user's own table of users.
    pub users_table: Option<TableName>,
    pub users_id_column: ColumnName,
    pub users_email_column: ColumnName,
    pub users_customer_column: Option<ColumnName>,
    pub on_missing: OnMissing,
}

/// How safe the way to the database is. A password and customers' data must not cross a network in the clear, nor go to
/// whoever answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// It does not leave this machine.
    SameMachine,
    /// Encrypted, and the server is verified.
    Verified,
    /// Encrypted, to whoever answers.
    Unverified,
    /// Encrypted only if the server wants it.
    MaybeClear,
}

/// One of Stripe's two worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Real money.
    Live,
    /// Play money.
    Test,
}

impl Mode {
    /// As the database's settings and the configuration name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// The mode with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Live, Self::Test].into_iter().find(|mode| mode.name() == name)
    }
}

/// Limits of taking deliveries; the settings of the same names explain them.
#[derive(Debug, Clone)]
pub struct Ingest {
    pub tolerance_seconds: u32,
    pub body_bytes_max: usize,
    pub queue_deliveries_max: usize,
    pub queue_bytes_max: usize,
    pub batch_deliveries_max: usize,
    pub deadline_ms: u64,
    pub lag_seconds_max: u64,
}

/// Limits of applying deliveries; the settings of the same names explain them.
#[derive(Debug, Clone)]
pub struct Apply {
    pub lanes: usize,
    pub batch_deliveries_max: usize,
    pub memory_bytes_max: usize,
}

/// Limits of the HTTP server; the settings of the same names explain them.
#[derive(Debug, Clone)]
pub struct Http {
    pub connections_max: usize,
    pub connections_per_address_max: Option<usize>,
    pub bodies_bytes_max: usize,
    pub header_deadline_ms: u64,
    pub body_deadline_ms: u64,
    pub idle_deadline_ms: u64,
}

/// Form of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `auto`, `text` or `json`.
    pub format: String,
    /// The least important level shown.
    pub level: String,
}

impl Configuration {
    /// Checks all settings together.
    ///
    /// # Errors
    /// Every reason not to start; never empty.
    pub fn check(resolution: &Resolution) -> Result<Self, Vec<Refusal>> {
        let of_values = resolution.entries.iter().filter_map(|entry| entry.value.as_ref().err());
        let mut refusals: Vec<Refusal> = resolution.refusals.iter().chain(of_values).cloned().collect();
        if refusals.is_empty() {
            let values = Values(&resolution.entries);
            refusals.extend(contradictions(&values));
            if refusals.is_empty() {
                return Ok(assemble(&values));
            }
        }
        Err(refusals)
    }

    /// Whether only this machine can reach the HTTP server.
    pub fn is_loopback(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// How safe the way to the database is.
    pub fn transport(&self) -> Transport {
        let Database::Postgres(url) = &self.database else { return Transport::SameMachine };
        if url.is_local {
            return Transport::SameMachine;
        }
        match self.postgres.sslmode.or(url.sslmode.as_deref()) {
            Some("verify-full" | "verify-ca") => Transport::Verified,
            Some("require") => Transport::Unverified,
            _ => Transport::MaybeClear,
        }
    }

    /// The file in which a locally made webhook secret is kept, when one may be made: with SQLite on a loopback address.
    pub fn local_secret_file(&self) -> Option<PathBuf> {
        match &self.database {
            Database::Sqlite { path } if self.is_loopback() => {
                let mut file = path.clone().into_os_string();
                file.push(".secret");
                Some(file.into())
            }
            _ => None,
        }
    }
}

impl Postgres {
    /// The URL to connect with.
    pub fn url(&self, url: &PostgresUrl) -> Secret {
        match self.sslmode {
            Some(sslmode) => url.with_sslmode(sslmode),
            None => url.url.clone(),
        }
    }
}

/// The mode that a Stripe key belongs to by its prefix.
fn mode_of_key(key: &Secret) -> Option<Mode> {
    let (_, rest) = key.expose().split_once('_')?;
    Mode::of_name(rest.split('_').next()?)
}

fn key_mode_is(values: &Values<'_>, mode: Mode) -> bool {
    values.secret("stripe.secret_key").as_ref().and_then(mode_of_key) == Some(mode)
}

fn contradictions(values: &Values<'_>) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mode = Mode::of_name(values.text("mode"));
    if let (Some(mode), Some(key_mode)) = (mode, values.secret("stripe.secret_key").as_ref().and_then(mode_of_key))
        && mode != key_mode
    {
        let what = format!("is a {} key, and mode is {}", key_mode.name(), mode.name());
        let action = format!("set a {} key, or change mode", mode.name());
        refusals.push(Refusal::of_combination(values.name("stripe.secret_key"), what, action));
    }
    let is_live = key_mode_is(values, Mode::Live) || mode == Some(Mode::Live);
    if values.boolean("functions.test_clock") && is_live {
        let action = "leave it out; the time of functions is only moved in test mode";
        refusals.push(Refusal::of_combination(values.name("functions.test_clock"), "is set in live mode", action));
    }
    if values.secret("stripe.secret_key").is_some() && values.optional_text("stripe.secret_key_file").is_some() {
        let action = "keep one of them; the file can be changed while the program runs";
        let what = "is set beside stripe.secret_key";
        refusals.push(Refusal::of_combination(values.name("stripe.secret_key_file"), what, action));
    }
    let has_key = key(values).is_some();
    if let Some(url) = values.optional_text("public_url") {
        if !has_key {
            let action = "set STRIPE_SECRET_KEY, or make the webhook endpoint by hand and leave public_url out";
            refusals.push(Refusal::of_combination(values.name("public_url"), "needs a Stripe key", action));
        }
        if !url.starts_with("https://") && values.text("stripe.api_base") == "https://api.stripe.com" {
            let what = "is no https:// URL, and Stripe delivers to no other";
            refusals.push(Refusal::of_combination(values.name("public_url"), what, "put a TLS proxy in front"));
        }
    }
    if values.optional_text("billing.users_customer_column").is_some()
        && values.optional_text("billing.users_table").is_none()
    {
        let what = "is set without billing.users_table";
        let action = "name the table that has the column; Billhook's own has stripe_customer_id";
        refusals.push(Refusal::of_combination(values.name("billing.users_customer_column"), what, action));
    }
    let (body, queue) = (values.integer("ingest.body_bytes_max"), values.integer("ingest.queue_bytes_max"));
    if body > queue {
        let what = format!("is {queue}, less than one body of ingest.body_bytes_max ({body})");
        refusals.push(Refusal::of_combination(values.name("ingest.queue_bytes_max"), what, "raise it"));
    }
    let listen = listen(values);
    if values.address("metrics.listen").is_some_and(|metrics| metrics == listen && metrics.port() != 0) {
        let what = "is the address of listen";
        let action = "choose another port, or leave it unset to have /metrics on listen";
        refusals.push(Refusal::of_combination(values.name("metrics.listen"), what, action));
    }
    refusals
}

/// `listen`, with the port of `port` unless `listen` was given in a stronger place.
fn listen(values: &Values<'_>) -> SocketAddr {
    let mut address = values.address("listen").unwrap_or_else(|| missing("listen"));
    let stronger = values.entry("listen").origin.strength() > values.entry("port").origin.strength();
    if let Some(port) = values.optional_integer("port").and_then(|port| u16::try_from(port).ok())
        && !stronger
    {
        address.set_port(port);
    }
    address
}

fn assemble(values: &Values<'_>) -> Configuration {
    let database = values.database();
    let lanes = match database {
        Database::Sqlite { .. } => 1,
        Database::Postgres(_) => 2,
    };
    Configuration {
        postgres: postgres(values),
        listen: listen(values),
        metrics_listen: values.address("metrics.listen"),
        api_key: values.secret("api_key"),
        disable_migrations: values.boolean("disable_migrations"),
        stripe: Stripe {
            webhook_secrets: values.secrets("stripe.webhook_secret"),
            mode: Mode::of_name(values.text("mode")),
            account: values.optional_text("stripe.account").map(str::to_owned),
            key: key(values),
            api_base: values.text("stripe.api_base").to_owned(),
            api_version: values.text("stripe.api_version").to_owned(),
            requests_per_second: values.optional_number("stripe.requests_per_second"),
            auto_expand_lists: values.boolean("stripe.auto_expand_lists"),
            backfill_related_entities: values.boolean("stripe.backfill_related_entities"),
            revalidate_objects: values.list("stripe.revalidate_objects"),
        },
        public_url: values.optional_text("public_url").map(str::to_owned),
        ingest: Ingest {
            tolerance_seconds: values.number("ingest.tolerance_seconds"),
            body_bytes_max: values.number("ingest.body_bytes_max"),
            queue_deliveries_max: values.number("ingest.queue_deliveries_max"),
            queue_bytes_max: values.number("ingest.queue_bytes_max"),
            batch_deliveries_max: values.number("ingest.batch_deliveries_max"),
            deadline_ms: values.integer("ingest.deadline_ms"),
            lag_seconds_max: values.integer("ingest.lag_seconds_max"),
        },
        apply: Apply {
            lanes: values.optional_number("apply.lanes").unwrap_or(lanes),
            batch_deliveries_max: values.number("apply.batch_deliveries_max"),
            memory_bytes_max: values.number("apply.memory_bytes_max"),
        },
        sync: Sync {
            segments_max: values.number("sync.segments_max"),
            catch_up_interval_seconds: values.number("catch_up.interval_seconds"),
            reconcile_period_seconds: values.number("reconcile.period_seconds"),
            reconcile_requests_per_second: values.number("reconcile.requests_per_second"),
            reconcile_grace_seconds: values.number("reconcile.grace_seconds"),
        },
        aliases: values.aliases("functions.aliases"),
        event_key: values.secret("functions.event_key"),
        test_clock: values.boolean("functions.test_clock"),
        billing: billing(values),
        http: Http {
            connections_max: values.number("http.connections_max"),
            connections_per_address_max: values.optional_number("http.connections_per_address_max"),
            bodies_bytes_max: values.number("http.bodies_bytes_max"),
            header_deadline_ms: values.integer("http.header_deadline_ms"),
            body_deadline_ms: values.integer("http.body_deadline_ms"),
            idle_deadline_ms: values.integer("http.idle_deadline_ms"),
        },
        retention_days: values.number("retention.days"),
        log: Log { format: values.text("log.format").to_owned(), level: values.text("log.level").to_owned() },
        database,
    }
}

fn billing(values: &Values<'_>) -> Billing {
    let workflows = values.list("billing.enabled");
    Billing {
        workflows: workflows.iter().filter_map(|name| Workflow::of_name(name)).collect(),
        users_table: values.optional_parsed("billing.users_table"),
        users_id_column: values.parsed("billing.users_id_column"),
        users_email_column: values.parsed("billing.users_email_column"),
        users_customer_column: values.optional_parsed("billing.users_customer_column"),
        on_missing: OnMissing::of_name(values.text("billing.on_missing"))
            .unwrap_or_else(|| missing("billing.on_missing")),
    }
}

fn key(values: &Values<'_>) -> Option<ApiKey> {
    let file = values.optional_text("stripe.secret_key_file").map(|path| ApiKey::File(PathBuf::from(path)));
    file.or_else(|| values.secret("stripe.secret_key").map(ApiKey::Fixed))
}

fn postgres(values: &Values<'_>) -> Postgres {
    let sslmode = match (values.boolean("postgres.tls_configured"), values.boolean("postgres.tls_verify")) {
        (false, _) => None,
        (true, false) => Some("require"),
        (true, true) => Some("verify-full"),
    };
    Postgres {
        schema: values.text("schema").to_owned(),
        connections_max: values.number("postgres.connections_max"),
        statement_timeout_ms: values.integer("postgres.statement_timeout_ms"),
        sslmode,
        tls_ca: values.optional_text("postgres.tls_ca").map(str::to_owned),
    }
}

/// Checked values by key. A key that is not in the table, or is of another kind, is an error of this file, which the test
/// `the_defaults_are_a_configuration` finds.
struct Values<'a>(&'a [Entry]);

fn missing(key: &str) -> ! {
    unreachable!("the settings table has no such value: {key}")
}

impl<'a> Values<'a> {
    fn entry(&self, key: &str) -> &'a Entry {
        self.0.iter().find(|entry| entry.setting.key == key).unwrap_or_else(|| missing(key))
    }

    /// The name under which the value was given, for messages.
    fn name(&self, key: &str) -> String {
        self.entry(key).origin.name()
    }

    fn value(&self, key: &str) -> Option<&'a Value> {
        self.entry(key).value.as_ref().ok().and_then(Option::as_ref)
    }

    fn optional_text(&self, key: &str) -> Option<&'a str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => missing(key),
        }
    }

    fn text(&self, key: &str) -> &'a str {
        self.optional_text(key).unwrap_or_else(|| missing(key))
    }

    /// A text in the type of its use, which the check of its kind made sure of.
    fn optional_parsed<T: FromStr>(&self, key: &str) -> Option<T> {
        self.optional_text(key).map(|text| text.parse().unwrap_or_else(|_| missing(key)))
    }

    fn parsed<T: FromStr>(&self, key: &str) -> T {
        self.optional_parsed(key).unwrap_or_else(|| missing(key))
    }

    fn optional_integer(&self, key: &str) -> Option<u64> {
        match self.value(key)? {
            Value::Integer(number) => Some(*number),
            _ => missing(key),
        }
    }

    fn integer(&self, key: &str) -> u64 {
        self.optional_integer(key).unwrap_or_else(|| missing(key))
    }

    /// An integer in the type of its use, which its range in the table fits.
    fn optional_number<N: TryFrom<u64>>(&self, key: &str) -> Option<N> {
        self.optional_integer(key).map(|number| N::try_from(number).unwrap_or_else(|_| missing(key)))
    }

    fn number<N: TryFrom<u64>>(&self, key: &str) -> N {
        self.optional_number(key).unwrap_or_else(|| missing(key))
    }

    fn boolean(&self, key: &str) -> bool {
        match self.value(key) {
            Some(Value::Boolean(boolean)) => *boolean,
            _ => missing(key),
        }
    }

    fn address(&self, key: &str) -> Option<SocketAddr> {
        match self.value(key)? {
            Value::Address(address) => Some(*address),
            _ => missing(key),
        }
    }

    fn secret(&self, key: &str) -> Option<Secret> {
        match self.value(key)? {
            Value::Secret(secret) => Some(secret.clone()),
            _ => missing(key),
        }
    }

    fn secrets(&self, key: &str) -> Vec<Secret> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::Secrets(secrets)) => secrets.clone(),
            Some(_) => missing(key),
        }
    }

    fn list(&self, key: &str) -> Vec<String> {
        match self.value(key) {
            None => Vec::new(),
            Some(Value::List(words)) => words.clone(),
            Some(_) => missing(key),
        }
    }

    fn aliases(&self, key: &str) -> Aliases {
        match self.value(key) {
            None => Aliases::default(),
            Some(Value::Aliases(aliases, _)) => aliases.clone(),
            Some(_) => missing(key),
        }
    }

    fn database(&self) -> Database {
        match self.value("database") {
            Some(Value::Database(database)) => database.clone(),
            _ => missing("database"),
        }
    }
}

#[cfg(test)]
#[path = "configuration_tests.rs"]
mod tests;
