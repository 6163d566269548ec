//! Every setting Billhook has. Flags, environment names, `billhook.toml`, `--help`, `config print` and the reference page
//! `docs/configuration.md` derive from these rows.
//!
//! Names follow from the key: `ingest.deadline_ms` is `--ingest-deadline-ms` and `BILLHOOK_INGEST_DEADLINE_MS`. Further names
//! are those that existing engines use. `PORT` is the exception without a name of its own: Kubernetes sets `BILLHOOK_PORT` to
//! something else when a service is called `billhook`.

use billhook_billing::{OnMissing, Workflow};

use super::setting::{Default, Group, Kind, SecretRule, Setting};

/// Kinds that can be read again instead of trusting the event, in the words of the existing engines.
const REVALIDATED_KINDS: &[&str] = &[
    "charge",
    "credit_note",
    "customer",
    "dispute",
    "entitlements",
    "invoice",
    "payment_intent",
    "payment_method",
    "plan",
    "price",
    "product",
    "radar.early_fraud_warning",
    "refund",
    "review",
    "setup_intent",
    "subscription",
    "subscription_schedule",
    "tax_id",
];

const MIB: u64 = 1 << 20;

/// The settings, in the order of the documents.
pub static ALL: &[Setting] = &[
    Setting {
        key: "database",
        flag: Some("database"),
        environment: &["BILLHOOK_DATABASE", "DATABASE_URL"],
        kind: Kind::Database,
        default: Default::Value("sqlite:billhook.db"),
        group: Group::General,
        doc: "The database that holds the mirror. `sqlite:PATH` is one file, made when it is missing; \
              `postgres://USER:PASSWORD@HOST/NAME` is a PostgreSQL server, with `?sslmode=verify-full` for one \
              that is not on this machine.",
    },
    Setting {
        key: "schema",
        flag: Some("schema"),
        environment: &["BILLHOOK_SCHEMA", "SCHEMA"],
        kind: Kind::Identifier,
        default: Default::Value("stripe"),
        group: Group::General,
        doc: "PostgreSQL schema of the mirrored tables. SQLite has no schemas: there the tables carry their bare \
              names.",
    },
    Setting {
        key: "listen",
        flag: Some("listen"),
        environment: &["BILLHOOK_LISTEN"],
        kind: Kind::Address,
        default: Default::Value("127.0.0.1:8080"),
        group: Group::General,
        doc: "Address and port of the HTTP server. The default is reachable from this machine only; in a container \
              use `0.0.0.0:8080`.",
    },
    Setting {
        key: "port",
        flag: Some("port"),
        environment: &["PORT"],
        kind: Kind::Integer { min: 0, max: 65_535, unit: "(0 = any free port)" },
        default: Default::Unset("the port of `listen`"),
        group: Group::General,
        doc: "Changes the port of `listen` and leaves its address, as hosting platforms expect of `PORT`. It does \
              not change a `listen` that was given in a stronger place, e.g. as a flag.",
    },
    Setting {
        key: "mode",
        flag: Some("mode"),
        environment: &["BILLHOOK_MODE"],
        kind: Kind::Choice(&["live", "test", "auto"]),
        default: Default::Value("auto"),
        group: Group::General,
        doc: "Which of Stripe's two worlds the database mirrors; deliveries from the other one are quarantined. \
              `auto` takes the mode of the first delivery and keeps it.",
    },
    Setting {
        key: "api_key",
        flag: None,
        environment: &["BILLHOOK_API_KEY", "API_KEY"],
        kind: Kind::Secret(SecretRule::ApiKey),
        default: Default::Unset("the admin endpoints answer 401"),
        group: Group::General,
        doc: "Key of the admin endpoints (`/sync…`, `/v1…`) and of `/metrics` when the server is reachable from other \
              machines. Callers send it as the whole value of the `Authorization` header. At least 16 characters; \
              `openssl rand -hex 32` makes a good one.",
    },
    Setting {
        key: "disable_migrations",
        flag: Some("disable-migrations"),
        environment: &["BILLHOOK_DISABLE_MIGRATIONS", "DISABLE_MIGRATIONS"],
        kind: Kind::Boolean,
        default: Default::Value("false"),
        group: Group::General,
        doc: "Do not change the schema at start; `serve` then refuses a schema that is not current. For \
              installations where `billhook migrate` runs as another database user.",
    },
    Setting {
        key: "public_url",
        flag: Some("public-url"),
        environment: &["BILLHOOK_PUBLIC_URL"],
        kind: Kind::Url,
        default: Default::Unset("webhook endpoints are left alone"),
        group: Group::General,
        doc: "Where Stripe reaches this server, e.g. `https://billing.example.com`. `serve` then makes the webhook \
              endpoint `<public_url>/webhooks` in Stripe, with a fixed API version and all event types, and keeps its \
              secret in the database. Needs a Stripe key that may write webhook endpoints.",
    },
    Setting {
        key: "stripe.webhook_secret",
        flag: None,
        environment: &["BILLHOOK_STRIPE_WEBHOOK_SECRET", "STRIPE_WEBHOOK_SECRET"],
        kind: Kind::Secrets(SecretRule::Webhook),
        default: Default::Unset("refused, except with SQLite on a loopback address, where a local secret is made"),
        group: Group::Stripe,
        doc: "Signing secrets (`whsec_…`) of the webhook endpoint, separated by commas without spaces. While a \
              secret is being rolled, name the new and the old one. With SQLite and a loopback address a random \
              secret is kept in `<database file>.secret`, so that `billhook events send-test` works at once.",
    },
    Setting {
        key: "stripe.secret_key",
        flag: None,
        environment: &["BILLHOOK_STRIPE_SECRET_KEY", "STRIPE_SECRET_KEY"],
        kind: Kind::Secret(SecretRule::StripeKey),
        default: Default::Unset("nothing is read from Stripe"),
        group: Group::Stripe,
        doc: "API key (`sk_…`, better a restricted `rk_…` that may read) for reading from Stripe: backfill, missed \
              events, objects that events leave undecided, comparison. It must belong to `mode`. Writing is needed \
              for `public_url` and `billhook webhooks` only, and on webhook endpoints only. An empty value counts as \
              none.",
    },
    Setting {
        key: "stripe.secret_key_file",
        flag: Some("stripe-secret-key-file"),
        environment: &["BILLHOOK_STRIPE_SECRET_KEY_FILE"],
        kind: Kind::File,
        default: Default::Unset("none"),
        group: Group::Stripe,
        doc: "A file that holds the API key, instead of `stripe.secret_key`. It is read again when it changes and \
              when Stripe refuses the key, so that a key can be rolled without a restart.",
    },
    Setting {
        key: "stripe.api_base",
        flag: Some("stripe-api-base"),
        environment: &["BILLHOOK_STRIPE_API_BASE", "STRIPE_API_BASE"],
        kind: Kind::Url,
        default: Default::Value("https://api.stripe.com"),
        group: Group::Stripe,
        doc: "Where Stripe's API is. Only for tests against a simulator. `http://` is taken for this machine only.",
    },
    Setting {
        key: "stripe.api_version",
        flag: Some("stripe-api-version"),
        environment: &["BILLHOOK_STRIPE_API_VERSION", "STRIPE_API_VERSION"],
        kind: Kind::ApiVersion,
        default: Default::Value("2026-10-28.endive"),
        group: Group::Stripe,
        doc: "API version of reads, and of webhook endpoints that Billhook makes. Deliveries of other endpoints come \
              in their own version; an object that arrives in one of another release train is read again in this one.",
    },
    Setting {
        key: "stripe.requests_per_second",
        flag: Some("stripe-requests-per-second"),
        environment: &["BILLHOOK_STRIPE_REQUESTS_PER_SECOND"],
        kind: Kind::Integer { min: 1, max: 100_000, unit: "requests a second" },
        default: Default::Unset("half of what Stripe allows the account: live 50, test 12, one endpoint 12"),
        group: Group::Stripe,
        doc: "Most requests that are sent to Stripe, per endpoint and in all. Stripe allows an account 100 a second \
              (25 in test mode) and one endpoint 25; the other half is left to your own application. When Stripe \
              answers 429, the rate falls and creeps up again.",
    },
    Setting {
        key: "stripe.account",
        flag: Some("stripe-account"),
        environment: &["BILLHOOK_STRIPE_ACCOUNT"],
        kind: Kind::Account,
        default: Default::Unset("unknown"),
        group: Group::Stripe,
        doc: "The account whose objects are mirrored. When set, deliveries that name another account are \
              quarantined instead of mixed in.",
    },
    Setting {
        key: "stripe.auto_expand_lists",
        flag: Some("stripe-auto-expand-lists"),
        environment: &["BILLHOOK_STRIPE_AUTO_EXPAND_LISTS", "AUTO_EXPAND_LISTS"],
        kind: Kind::Boolean,
        default: Default::Value("false"),
        group: Group::Stripe,
        doc: "Complete the lists that Stripe truncates inside an object (invoice lines, subscription items, \
              refunds of a charge, credit note lines) in the stored object too. The rows of the lists' own tables are \
              complete in any case, once a Stripe key is set.",
    },
    Setting {
        key: "stripe.backfill_related_entities",
        flag: Some("stripe-backfill-related-entities"),
        environment: &["BILLHOOK_STRIPE_BACKFILL_RELATED_ENTITIES", "BACKFILL_RELATED_ENTITIES"],
        kind: Kind::Boolean,
        default: Default::Value("true"),
        group: Group::Stripe,
        doc: "Read objects that a mirrored object refers to and that the mirror lacks. Needs a Stripe key.",
    },
    Setting {
        key: "stripe.revalidate_objects",
        flag: Some("stripe-revalidate-objects"),
        environment: &["BILLHOOK_STRIPE_REVALIDATE_OBJECTS", "REVALIDATE_OBJECTS_VIA_STRIPE_API"],
        kind: Kind::List(REVALIDATED_KINDS),
        default: Default::Unset("none"),
        group: Group::Stripe,
        doc: "Kinds that are read again from Stripe after each event. The ordering of events does not need it. Needs \
              a Stripe key.",
    },
    Setting {
        key: "postgres.connections_max",
        flag: Some("postgres-connections-max"),
        environment: &["BILLHOOK_POSTGRES_CONNECTIONS_MAX", "MAX_POSTGRES_CONNECTIONS"],
        kind: Kind::Integer { min: 2, max: 1_000, unit: "connections" },
        default: Default::Value("10"),
        group: Group::Postgres,
        doc: "Greatest number of connections to PostgreSQL. A server that executes functions has one more, on which it \
              hears of runs that other processes started.",
    },
    Setting {
        key: "postgres.statement_timeout_ms",
        flag: Some("postgres-statement-timeout-ms"),
        environment: &["BILLHOOK_POSTGRES_STATEMENT_TIMEOUT_MS"],
        kind: Kind::Integer { min: 100, max: 3_600_000, unit: "milliseconds" },
        default: Default::Value("30000"),
        group: Group::Postgres,
        doc: "How long one statement may take before PostgreSQL gives it up.",
    },
    Setting {
        key: "postgres.tls_configured",
        flag: Some("postgres-tls-configured"),
        environment: &["BILLHOOK_POSTGRES_TLS_CONFIGURED", "PG_SSL_CONFIG_ENABLED"],
        kind: Kind::Boolean,
        default: Default::Value("false"),
        group: Group::Postgres,
        doc: "Take TLS from the `postgres.tls_…` settings instead of from `sslmode` in the database URL. For \
              installations that come from another engine; `?sslmode=verify-full` in the URL says the same with \
              less.",
    },
    Setting {
        key: "postgres.tls_verify",
        flag: Some("postgres-tls-verify"),
        environment: &["BILLHOOK_POSTGRES_TLS_VERIFY", "PG_SSL_REJECT_UNAUTHORIZED"],
        kind: Kind::Boolean,
        default: Default::Value("false"),
        group: Group::Postgres,
        doc: "With `postgres.tls_configured`: verify the server's certificate and name (`sslmode=verify-full`). \
              Otherwise the connection is encrypted and the server not verified (`sslmode=require`).",
    },
    Setting {
        key: "postgres.tls_request_certificate",
        flag: Some("postgres-tls-request-certificate"),
        environment: &["BILLHOOK_POSTGRES_TLS_REQUEST_CERTIFICATE", "PG_SSL_REQUEST_CERT"],
        kind: Kind::Boolean,
        default: Default::Value("false"),
        group: Group::Postgres,
        doc: "Accepted for compatibility and without effect: a client always receives the server's certificate.",
    },
    Setting {
        key: "postgres.tls_ca",
        flag: Some("postgres-tls-ca"),
        environment: &["BILLHOOK_POSTGRES_TLS_CA", "PG_SSL_CA"],
        kind: Kind::Pem,
        default: Default::Unset("the public authorities"),
        group: Group::Postgres,
        doc: "Certificate authority to trust for PostgreSQL besides the public ones, as PEM text. `\\n` inside the \
              value stands for a line break. Used whenever it is set, with or without `postgres.tls_configured`.",
    },
    Setting {
        key: "postgres.tls_certificate",
        flag: Some("postgres-tls-certificate"),
        environment: &["BILLHOOK_POSTGRES_TLS_CERTIFICATE", "PG_SSL_CERT"],
        kind: Kind::Pem,
        default: Default::Unset("none"),
        group: Group::Postgres,
        doc: "Accepted for compatibility and without effect: a client certificate is of no use without its key, \
              which has no name in those engines.",
    },
    Setting {
        key: "ingest.tolerance_seconds",
        flag: Some("ingest-tolerance-seconds"),
        environment: &["BILLHOOK_INGEST_TOLERANCE_SECONDS"],
        kind: Kind::Integer { min: 1, max: 86_400, unit: "seconds" },
        default: Default::Value("300"),
        group: Group::Ingest,
        doc: "How far a signature's time may lie from this machine's clock. Stripe's own libraries use 300.",
    },
    Setting {
        key: "ingest.body_bytes_max",
        flag: Some("ingest-body-bytes-max"),
        environment: &["BILLHOOK_INGEST_BODY_BYTES_MAX"],
        kind: Kind::Integer { min: 64 << 10, max: 8 * MIB, unit: "bytes" },
        default: Default::Value("1048576"),
        group: Group::Ingest,
        doc: "Greatest body of a delivery; larger ones are answered 413.",
    },
    Setting {
        key: "ingest.queue_deliveries_max",
        flag: Some("ingest-queue-deliveries-max"),
        environment: &["BILLHOOK_INGEST_QUEUE_DELIVERIES_MAX"],
        kind: Kind::Integer { min: 1, max: 1_000_000, unit: "deliveries" },
        default: Default::Value("4096"),
        group: Group::Ingest,
        doc: "Deliveries that may wait for their commit; above it new ones are answered 503 and Stripe sends them \
              again.",
    },
    Setting {
        key: "ingest.queue_bytes_max",
        flag: Some("ingest-queue-bytes-max"),
        environment: &["BILLHOOK_INGEST_QUEUE_BYTES_MAX"],
        kind: Kind::Integer { min: 8 * MIB, max: 4096 * MIB, unit: "bytes" },
        default: Default::Value("16777216"),
        group: Group::Ingest,
        doc: "Bytes of bodies that may wait for their commit; above it new deliveries are answered 503.",
    },
    Setting {
        key: "ingest.batch_deliveries_max",
        flag: Some("ingest-batch-deliveries-max"),
        environment: &["BILLHOOK_INGEST_BATCH_DELIVERIES_MAX"],
        kind: Kind::Integer { min: 1, max: 4_096, unit: "deliveries" },
        default: Default::Value("256"),
        group: Group::Ingest,
        doc: "Deliveries that are written in one commit. A commit takes what has arrived and never waits for more.",
    },
    Setting {
        key: "ingest.deadline_ms",
        flag: Some("ingest-deadline-ms"),
        environment: &["BILLHOOK_INGEST_DEADLINE_MS"],
        kind: Kind::Integer { min: 100, max: 60_000, unit: "milliseconds" },
        default: Default::Value("5000"),
        group: Group::Ingest,
        doc: "How long a delivery may wait for its commit before it is answered 503. Stripe itself gives up after \
              some ten seconds.",
    },
    Setting {
        key: "ingest.lag_seconds_max",
        flag: Some("ingest-lag-seconds-max"),
        environment: &["BILLHOOK_INGEST_LAG_SECONDS_MAX"],
        kind: Kind::Integer { min: 1, max: 86_400, unit: "seconds" },
        default: Default::Value("300"),
        group: Group::Ingest,
        doc: "Age of the oldest delivery that is stored and not yet applied, above which new ones are answered \
              503, so that Stripe holds them until the mirror has caught up.",
    },
    Setting {
        key: "apply.lanes",
        flag: Some("apply-lanes"),
        environment: &["BILLHOOK_APPLY_LANES"],
        kind: Kind::Integer { min: 1, max: 64, unit: "lanes" },
        default: Default::Unset("2 on PostgreSQL, 1 on SQLite"),
        group: Group::Apply,
        doc: "Batches that are applied at the same time. Deliveries of one object always share a lane. SQLite has \
              one writer, so more lanes do not help there.",
    },
    Setting {
        key: "apply.batch_deliveries_max",
        flag: Some("apply-batch-deliveries-max"),
        environment: &["BILLHOOK_APPLY_BATCH_DELIVERIES_MAX"],
        kind: Kind::Integer { min: 1, max: 4_096, unit: "deliveries" },
        default: Default::Value("320"),
        group: Group::Apply,
        doc: "Deliveries that are applied in one transaction.",
    },
    Setting {
        key: "apply.memory_bytes_max",
        flag: Some("apply-memory-bytes-max"),
        environment: &["BILLHOOK_APPLY_MEMORY_BYTES_MAX"],
        kind: Kind::Integer { min: MIB, max: 4096 * MIB, unit: "bytes" },
        default: Default::Value("6291456"),
        group: Group::Apply,
        doc: "Bytes of committed bodies that are kept in memory for the applier. What exceeds it is read back from \
              the database, so it bounds memory and not the backlog.",
    },
    Setting {
        key: "sync.segments_max",
        flag: Some("sync-segments-max"),
        environment: &["BILLHOOK_SYNC_SEGMENTS_MAX"],
        kind: Kind::Integer { min: 1, max: 64, unit: "segments" },
        default: Default::Value("8"),
        group: Group::Sync,
        doc: "Parts of a backfill that are read at the same time, within `stripe.requests_per_second`.",
    },
    Setting {
        key: "catch_up.interval_seconds",
        flag: Some("catch-up-interval-seconds"),
        environment: &["BILLHOOK_CATCH_UP_INTERVAL_SECONDS"],
        kind: Kind::Integer { min: 1, max: 3_600, unit: "seconds" },
        default: Default::Value("60"),
        group: Group::Sync,
        doc: "How often Stripe's list of events is read for deliveries that did not arrive. One request when nothing is \
              missing.",
    },
    Setting {
        key: "reconcile.period_seconds",
        flag: Some("reconcile-period-seconds"),
        environment: &["BILLHOOK_RECONCILE_PERIOD_SECONDS"],
        kind: Kind::Integer { min: 0, max: 31_536_000, unit: "seconds (0 = never)" },
        default: Default::Value("86400"),
        group: Group::Sync,
        doc: "How often all objects of a kind are listed and compared with the mirror, which finds what no event told. \
              A large account takes longer than this at `reconcile.requests_per_second`; the next round then follows \
              at once.",
    },
    Setting {
        key: "reconcile.requests_per_second",
        flag: Some("reconcile-requests-per-second"),
        environment: &["BILLHOOK_RECONCILE_REQUESTS_PER_SECOND"],
        kind: Kind::Integer { min: 1, max: 1_000, unit: "requests a second" },
        default: Default::Value("1"),
        group: Group::Sync,
        doc: "Most requests that this comparison sends to Stripe; 100 objects come with one.",
    },
    Setting {
        key: "reconcile.grace_seconds",
        flag: Some("reconcile-grace-seconds"),
        environment: &["BILLHOOK_RECONCILE_GRACE_SECONDS"],
        kind: Kind::Integer { min: 1, max: 86_400, unit: "seconds" },
        default: Default::Value("180"),
        group: Group::Sync,
        doc: "How long an event may be late before a difference that it would explain counts as drift.",
    },
    Setting {
        key: "functions.event_key",
        flag: None,
        environment: &["BILLHOOK_FUNCTIONS_EVENT_KEY"],
        kind: Kind::Secret(SecretRule::ApiKey),
        default: Default::Unset("`POST /e/…` answers 503"),
        group: Group::Functions,
        doc: "Key with which programs send events of their own, as the last part of `POST /e/{key}`. It stands in addresses and so \
              in logs: it should open nothing else. At least 16 characters.",
    },
    Setting {
        key: "functions.aliases",
        flag: Some("functions-aliases"),
        environment: &["BILLHOOK_FUNCTIONS_ALIASES"],
        kind: Kind::Aliases,
        default: Default::Unset("the built-in names only"),
        group: Group::Functions,
        doc: "Names of your own for Stripe's events, beside `stripe/<type>`, e.g. \
              `billing/lost=customer.subscription.deleted`; a name may stand for several types. Built in are \
              `stripe/subscription.created`, `stripe/subscription.cancelled` (`customer.subscription.deleted`), \
              `stripe/payment.failed` (`invoice.payment_failed`) and `stripe/payment.succeeded` \
              (`charge.succeeded`); one that is given here stands for the given types only.",
    },
    Setting {
        key: "functions.test_clock",
        flag: Some("functions-test-clock"),
        environment: &["BILLHOOK_FUNCTIONS_TEST_CLOCK"],
        kind: Kind::Boolean,
        default: Default::Value("false"),
        group: Group::Functions,
        doc: "Lets `billhook clock` freeze and advance the time of functions: of their sleeps, waits, retries, schedules and \
              delayed events, and of how long runs are kept. For tests: refused with a live key or in live mode, and only one \
              server may use the database. A database whose clock stands is only served with this setting.",
    },
    Setting {
        key: "billing.enabled",
        flag: Some("billing-enabled"),
        environment: &["BILLHOOK_BILLING_ENABLED"],
        kind: Kind::List(Workflow::NAMES),
        default: Default::Unset("none"),
        group: Group::Billing,
        doc: "Which billing workflows `serve` executes; `demo` executes all of them. The first start with one makes the \
              tables of the schema `billing` (on SQLite `billing_…`). `docs/billing.md` tells more.",
    },
    Setting {
        key: "billing.users_table",
        flag: Some("billing-users-table"),
        environment: &["BILLHOOK_BILLING_USERS_TABLE"],
        kind: Kind::Table,
        default: Default::Unset("Billhook's own: `billing.users`, on SQLite `billing_users`"),
        group: Group::Billing,
        doc: "The table in which `record-charge` looks for users, in the database of the mirror. It is only read. Upper \
              and lower case count, as in Prisma's `User`.",
    },
    Setting {
        key: "billing.users_id_column",
        flag: Some("billing-users-id-column"),
        environment: &["BILLHOOK_BILLING_USERS_ID_COLUMN"],
        kind: Kind::Column,
        default: Default::Value("id"),
        group: Group::Billing,
        doc: "The column of `billing.users_table` that names a user. Charges hold its value as text.",
    },
    Setting {
        key: "billing.users_email_column",
        flag: Some("billing-users-email-column"),
        environment: &["BILLHOOK_BILLING_USERS_EMAIL_COLUMN"],
        kind: Kind::Column,
        default: Default::Value("email"),
        group: Group::Billing,
        doc: "The column of `billing.users_table` that holds the e-mail address. Upper and lower case are the same in \
              addresses; an index on `lower(email)` keeps the search fast.",
    },
    Setting {
        key: "billing.users_customer_column",
        flag: Some("billing-users-customer-column"),
        environment: &["BILLHOOK_BILLING_USERS_CUSTOMER_COLUMN"],
        kind: Kind::Column,
        default: Default::Unset("users are found by their address only"),
        group: Group::Billing,
        doc: "The column of `billing.users_table` that holds Stripe's customer id (`cus_…`), if it has one. Users are then \
              found by it first.",
    },
    Setting {
        key: "billing.on_missing",
        flag: Some("billing-on-missing"),
        environment: &["BILLHOOK_BILLING_ON_MISSING"],
        kind: Kind::Choice(OnMissing::NAMES),
        default: Default::Value("end"),
        group: Group::Billing,
        doc: "What happens to a charge whose user is not found. `end` ends its run at once with the status 404. `retry 10m` \
              looks again during ten minutes, for sign-ups that are slower than Stripe, and ends in the same way.",
    },
    Setting {
        key: "http.connections_max",
        flag: Some("http-connections-max"),
        environment: &["BILLHOOK_HTTP_CONNECTIONS_MAX"],
        kind: Kind::Integer { min: 1, max: 65_536, unit: "connections" },
        default: Default::Value("1024"),
        group: Group::Http,
        doc: "Open connections. A further one takes the place of one that is idle, or is closed when none is.",
    },
    Setting {
        key: "http.connections_per_address_max",
        flag: Some("http-connections-per-address-max"),
        environment: &["BILLHOOK_HTTP_CONNECTIONS_PER_ADDRESS_MAX"],
        kind: Kind::Integer { min: 1, max: 65_536, unit: "connections" },
        default: Default::Unset("no limit of its own"),
        group: Group::Http,
        doc: "Open connections of one client address (of one /64 network for IPv6). Leave it unset behind a \
              reverse proxy, whose address is every client's address.",
    },
    Setting {
        key: "http.bodies_bytes_max",
        flag: Some("http-bodies-bytes-max"),
        environment: &["BILLHOOK_HTTP_BODIES_BYTES_MAX"],
        kind: Kind::Integer { min: 8 * MIB, max: 4096 * MIB, unit: "bytes" },
        default: Default::Value("67108864"),
        group: Group::Http,
        doc: "Bodies of all requests in progress together; above it requests are answered 503.",
    },
    Setting {
        key: "http.header_deadline_ms",
        flag: Some("http-header-deadline-ms"),
        environment: &["BILLHOOK_HTTP_HEADER_DEADLINE_MS"],
        kind: Kind::Integer { min: 100, max: 120_000, unit: "milliseconds" },
        default: Default::Value("10000"),
        group: Group::Http,
        doc: "How long a client may take to send the head of a request.",
    },
    Setting {
        key: "http.body_deadline_ms",
        flag: Some("http-body-deadline-ms"),
        environment: &["BILLHOOK_HTTP_BODY_DEADLINE_MS"],
        kind: Kind::Integer { min: 100, max: 120_000, unit: "milliseconds" },
        default: Default::Value("10000"),
        group: Group::Http,
        doc: "How long a client may take to send the body of a request.",
    },
    Setting {
        key: "http.idle_deadline_ms",
        flag: Some("http-idle-deadline-ms"),
        environment: &["BILLHOOK_HTTP_IDLE_DEADLINE_MS"],
        kind: Kind::Integer { min: 1_000, max: 3_600_000, unit: "milliseconds" },
        default: Default::Value("75000"),
        group: Group::Http,
        doc: "How long a connection may stay open without a request.",
    },
    Setting {
        key: "log.format",
        flag: Some("log-format"),
        environment: &["BILLHOOK_LOG_FORMAT"],
        kind: Kind::Choice(&["auto", "text", "json"]),
        default: Default::Value("auto"),
        group: Group::Operation,
        doc: "Form of the log on standard error. `auto` writes text to a terminal and one JSON object a line \
              otherwise.",
    },
    Setting {
        key: "log.level",
        flag: Some("log-level"),
        environment: &["BILLHOOK_LOG_LEVEL"],
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: Default::Value("info"),
        group: Group::Operation,
        doc: "The least important level that is logged. No level shows payloads, secrets or personal data.",
    },
    Setting {
        key: "metrics.listen",
        flag: Some("metrics-listen"),
        environment: &["BILLHOOK_METRICS_LISTEN"],
        kind: Kind::Address,
        default: Default::Unset("`/metrics` on `listen`"),
        group: Group::Operation,
        doc: "A separate address for `/metrics`, open to whoever reaches it. Without it `/metrics` stands on \
              `listen` and needs the `api_key`, unless `listen` is a loopback address.",
    },
    Setting {
        key: "retention.days",
        flag: Some("retention-days"),
        environment: &["BILLHOOK_RETENTION_DAYS"],
        kind: Kind::Integer { min: 33, max: 3_650, unit: "days" },
        default: Default::Value("35"),
        group: Group::Operation,
        doc: "How long applied deliveries are kept. Mirrored rows are not affected. The minimum covers the 30 days \
              for which Stripe can send an event again, and its 3 days of retries.",
    },
];

/// The setting with this key.
pub fn by_key(key: &str) -> Option<&'static Setting> {
    ALL.iter().find(|setting| setting.key == key)
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
