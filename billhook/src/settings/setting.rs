//! What a setting is: one row of the table from which flags, environment names, documents and checks derive.

/// One setting. The rows stand in [`super::table::ALL`].
#[derive(Debug)]
pub struct Setting {
    /// Dotted name, as in `billhook.toml`: `ingest.lag_seconds_max`.
    pub key: &'static str,
    /// Long flag without dashes. Secrets have none, since every process on the machine can read a command line.
    pub flag: Option<&'static str>,
    /// Environment names in order of precedence: Billhook's own first, then those of the engines it replaces.
    pub environment: &'static [&'static str],
    /// What values it takes.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: Default,
    /// Where it stands in `--help` and in the reference page.
    pub group: Group,
    /// One paragraph: what it does and when to change it.
    pub doc: &'static str,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Certificates in PEM form. Shown by its size only, since it fills a screen.
    Pem,
    /// One secret.
    Secret(SecretRule),
    /// Secrets separated by commas.
    Secrets(SecretRule),
    /// A whole number of `unit`.
    Integer {
        /// Least value accepted.
        min: u64,
        /// Greatest value accepted.
        max: u64,
        /// What is counted.
        unit: &'static str,
    },
    /// `true` or `false`. Under a name of an older engine everything but `true` is false, as it was there.
    Boolean,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Some of a few words, separated by commas.
    List(&'static [&'static str]),
    /// `host:port` with a numeric host.
    Address,
    /// `sqlite:path` or `postgres://…`.
    Database,
    /// `http://…` or `https://…`.
    Url,
    /// The path of a file.
    File,
    /// A plain SQL identifier.
    Identifier,
    /// The name of a table of the user's, with or without its schema.
    Table,
    /// The name of a column of the user's.
    Column,
    /// A Stripe API version: a date, with or without a release name.
    ApiVersion,
    /// A Stripe account id.
    Account,
    /// Names of events, each with the type of Stripe's that it stands for: `name=type`, separated by commas.
    Aliases,
}

/// Which secret it is: each has its own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretRule {
    /// `whsec_…`
    Webhook,
    /// `sk_…` or `rk_…`
    StripeKey,
    /// Chosen by the operator.
    ApiKey,
}

/// What holds when nobody sets a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// This value.
    Value(&'static str),
    /// No value; the words say what that means.
    Unset(&'static str),
}

/// Where a setting stands in `--help` and in the reference page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// What nearly everyone sets.
    General,
    /// Stripe's side.
    Stripe,
    /// The PostgreSQL connection.
    Postgres,
    /// Taking deliveries.
    Ingest,
    /// Turning deliveries into rows.
    Apply,
    /// Reading from Stripe what deliveries did not bring.
    Sync,
    /// Durable functions.
    Functions,
    /// The built-in billing workflows.
    Billing,
    /// The HTTP server.
    Http,
    /// Logs, metrics, retention.
    Operation,
}

impl Group {
    /// Every group, in the order of the documents.
    pub const ALL: [Self; 10] = [
        Self::General,
        Self::Stripe,
        Self::Postgres,
        Self::Ingest,
        Self::Apply,
        Self::Sync,
        Self::Functions,
        Self::Billing,
        Self::Http,
        Self::Operation,
    ];

    /// Its heading.
    pub fn heading(self) -> &'static str {
        match self {
            Self::General => "General settings",
            Self::Stripe => "Stripe",
            Self::Postgres => "PostgreSQL",
            Self::Ingest => "Taking deliveries",
            Self::Apply => "Applying deliveries",
            Self::Sync => "Reading from Stripe",
            Self::Functions => "Durable functions",
            Self::Billing => "Billing workflows",
            Self::Http => "HTTP server",
            Self::Operation => "Operation",
        }
    }
}

impl Setting {
    /// Whether its value must never be shown.
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Secret(_) | Kind::Secrets(_))
    }
}

impl Kind {
    /// The placeholder of a value in `--help`.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Pem => "PEM",
            Self::Secret(_) => "SECRET",
            Self::Secrets(_) => "SECRETS",
            Self::Integer { unit, .. } => unit_placeholder(unit),
            Self::Boolean => "BOOLEAN",
            Self::Choice(_) => "CHOICE",
            Self::List(_) => "LIST",
            Self::Address => "ADDRESS",
            Self::Database | Self::Url => "URL",
            Self::File => "PATH",
            Self::Identifier | Self::Table | Self::Column => "NAME",
            Self::ApiVersion => "VERSION",
            Self::Account => "ACCOUNT",
            Self::Aliases => "NAME=TYPE",
        }
    }

    /// What values it takes, for the documents.
    pub fn describe(self) -> String {
        match self {
            Self::Pem => "certificates as PEM text".to_owned(),
            Self::Secret(_) => "secret".to_owned(),
            Self::Secrets(_) => "secrets, separated by commas".to_owned(),
            Self::Integer { min, max, unit } => format!("{min} to {max} {unit}"),
            Self::Boolean => "`true` or `false`".to_owned(),
            Self::Choice(words) => one_of(words),
            Self::List(words) => format!("any of {}, separated by commas", quoted(words)),
            Self::Address => "address and port, e.g. `127.0.0.1:8080`".to_owned(),
            Self::Database => "`sqlite:path` or `postgres://…`".to_owned(),
            Self::Url => "`http://…` or `https://…`".to_owned(),
            Self::File => "path of a file".to_owned(),
            Self::Identifier => "SQL name: lower-case letters, digits and `_`".to_owned(),
            Self::Table => "SQL name: letters, digits and `_`, with or without a schema and a dot before it".to_owned(),
            Self::Column => "SQL name: letters, digits and `_`".to_owned(),
            Self::ApiVersion => "API version, e.g. `2020-08-27`".to_owned(),
            Self::Account => "account id (`acct_…`)".to_owned(),
            Self::Aliases => "`name=type`, separated by commas".to_owned(),
        }
    }
}

fn unit_placeholder(unit: &'static str) -> &'static str {
    match unit {
        "seconds" => "SECONDS",
        "milliseconds" => "MILLISECONDS",
        "bytes" => "BYTES",
        "days" => "DAYS",
        _ => "NUMBER",
    }
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

fn one_of(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or `{last}`", quoted(rest)),
        _ => quoted(words),
    }
}
