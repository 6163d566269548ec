//! From the database URL to connections and a pool of them.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::{Client, Config, Connection, Socket};

use super::tls::{Encrypted, Tls, Verification};
use crate::{PostgresLocation, StoreError};

const CONNECT_TIMEOUT_SECONDS: u64 = 5;
const KEEPALIVE_IDLE_SECONDS: u64 = 30;
const KEEPALIVE_INTERVAL_SECONDS: u64 = 5;
const KEEPALIVE_RETRIES: u32 = 3;

/// A node that was stopped inside a transaction gives up its row locks after this time, so that the others go on.
const IDLE_IN_TRANSACTION_MS_MAX: u64 = 20_000;

/// Parameters of a URL that the driver understands by itself. All others but `sslmode` are accepted and ignored, because the
/// URLs of other programs carry their own (`search_path`, `schema`, `pgbouncer`, `connection_limit`, …).
const DRIVER_PARAMETERS: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "load_balance_hosts",
];

/// How the connection is encrypted, as libpq names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Where the server is, and how it is spoken to.
pub(super) struct Address {
    config: Config,
    tls: Tls,
}

impl Address {
    /// Reads the URL. No connection is made.
    pub(super) fn new(location: &PostgresLocation) -> Result<Self, StoreError> {
        let (url, encryption) = split_url(location.url.expose())?;
        let config = config(&url, encryption, location.statement_timeout_ms)?;
        let tls = Tls::new(verification(encryption, location.tls_ca.is_some()), location.tls_ca.as_deref())?;
        if encryption == Encryption::Require && location.tls_ca.is_none() && config.get_hosts().iter().any(is_remote) {
            tracing::warn!(
                "the database connection is encrypted but the server is not verified; use sslmode=verify-full in the database URL"
            );
        } else if matches!(encryption, Encryption::Prefer | Encryption::Disable)
            && config.get_hosts().iter().any(is_remote)
        {
            tracing::warn!(
                "the database is remote and its connection may be unencrypted; use sslmode=verify-full in the database URL"
            );
        }
        Ok(Self { config, tls })
    }

    /// Makes the pool. No connection is made yet.
    pub(super) fn pool(&self, connections_max: usize) -> Result<Pool, StoreError> {
        // Fast recycling sends nothing: a session that ended in an unknown state is never given back.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(self.config.clone(), self.tls.clone(), recycling);
        Pool::builder(manager)
            .max_size(connections_max.max(1))
            .build()
            .map_err(|error| StoreError::Configuration(format!("the connection pool cannot be made: {error}")))
    }

    /// Makes a connection beside the pool. Nothing goes on over it unless it is polled, and dropping it closes it.
    pub(super) async fn connect(
        &self,
    ) -> Result<(Client, Connection<Socket, Encrypted<Socket>>), tokio_postgres::Error> {
        self.config.connect(self.tls.clone()).await
    }
}

/// Separates what the driver understands from what is ours or nobody's. Never quotes the URL: it holds the password.
fn split_url(url: &str) -> Result<(String, Encryption), StoreError> {
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut kept = Vec::new();
    let mut encryption = Encryption::Prefer;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name == "sslmode" {
            encryption = parse_encryption(value)?;
        } else if DRIVER_PARAMETERS.contains(&name) {
            kept.push(parameter);
        }
    }
    let url = if kept.is_empty() { base.to_owned() } else { format!("{base}?{}", kept.join("&")) };
    Ok((url, encryption))
}

fn parse_encryption(value: &str) -> Result<Encryption, StoreError> {
    match value {
        "disable" => Ok(Encryption::Disable),
        "allow" | "prefer" => Ok(Encryption::Prefer),
        "require" => Ok(Encryption::Require),
        "verify-ca" => Ok(Encryption::VerifyCa),
        "verify-full" => Ok(Encryption::VerifyFull),
        _ => Err(StoreError::Configuration(
            "sslmode in the database URL must be disable, prefer, require, verify-ca or verify-full".to_owned(),
        )),
    }
}

/// As in libpq, a given certificate authority makes `require` mean `verify-ca`.
fn verification(encryption: Encryption, has_authority: bool) -> Verification {
    match encryption {
        Encryption::VerifyFull => Verification::AuthorityAndHost,
        Encryption::VerifyCa => Verification::Authority,
        Encryption::Require if has_authority => Verification::Authority,
        Encryption::Require | Encryption::Prefer | Encryption::Disable => Verification::Nothing,
    }
}

fn config(url: &str, encryption: Encryption, statement_timeout_ms: u64) -> Result<Config, StoreError> {
    // The driver's error may quote parts of the URL, hence its password: it is not passed on.
    let mut config: Config = url.parse().map_err(|_unquotable| {
        StoreError::Configuration(
            "the database URL cannot be understood; it looks like postgres://user:password@host:5432/database, \
             with special characters of the password written as %XX"
                .to_owned(),
        )
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(StoreError::Configuration("the database URL names no host".to_owned()));
    }
    let only_sockets = config.get_hostaddrs().is_empty() && config.get_hosts().iter().all(is_socket);
    config.ssl_mode(match encryption {
        _ if only_sockets => SslMode::Disable,
        Encryption::Disable => SslMode::Disable,
        Encryption::Prefer => SslMode::Prefer,
        Encryption::Require | Encryption::VerifyCa | Encryption::VerifyFull => SslMode::Require,
    });
    if config.get_application_name().is_none() {
        config.application_name("billhook");
    }
    // As start parameters these cost no round trip and hold for the whole session.
    let own = format!(
        "-c statement_timeout={statement_timeout_ms} -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS_MAX}"
    );
    let options = config.get_options().map_or_else(|| own.clone(), |given| format!("{given} {own}"));
    config.options(options);
    config.connect_timeout(Duration::from_secs(CONNECT_TIMEOUT_SECONDS));
    config.keepalives(true);
    config.keepalives_idle(Duration::from_secs(KEEPALIVE_IDLE_SECONDS));
    config.keepalives_interval(Duration::from_secs(KEEPALIVE_INTERVAL_SECONDS));
    config.keepalives_retries(KEEPALIVE_RETRIES);
    Ok(config)
}

fn is_socket(host: &Host) -> bool {
    match host {
        Host::Tcp(_) => false,
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn is_remote(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name != "localhost" && !name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_parameters_are_ignored_and_known_ones_kept() {
        let (url, encryption) =
            split_url("postgres://u:p@h/d?search_path=stripe&sslmode=verify-full&connect_timeout=2&pgbouncer=true")
                .unwrap();
        assert_eq!(url, "postgres://u:p@h/d?connect_timeout=2");
        assert_eq!(encryption, Encryption::VerifyFull);
    }

    #[test]
    fn sslmode_means_what_it_means_in_libpq() {
        let verified = |mode, authority| verification(parse_encryption(mode).unwrap(), authority);
        assert_eq!(verified("require", false), Verification::Nothing);
        assert_eq!(verified("require", true), Verification::Authority);
        assert_eq!(verified("verify-ca", false), Verification::Authority);
        assert_eq!(verified("verify-full", true), Verification::AuthorityAndHost);
        assert!(parse_encryption("verify_full").is_err());
    }

    #[test]
    fn errors_about_the_url_do_not_quote_it() {
        for url in ["postgres://user:s3cret@host:port/db", "mysql://s3cret", "postgres://user:s3cret@h/d?port=s3cret"] {
            let error = config(url, Encryption::Prefer, 1000).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn session_settings_are_added_to_the_given_options() {
        let config = config("postgres://u@localhost/d?options=-c%20work_mem%3D8MB", Encryption::Prefer, 4000).unwrap();
        let options = config.get_options().unwrap_or_default();
        assert!(options.starts_with("-c work_mem=8MB -c statement_timeout=4000 "), "{options}");
        assert_eq!(config.get_application_name(), Some("billhook"));
    }

    #[test]
    fn a_unix_socket_needs_no_encryption() {
        let config = config("postgres://u@%2Frun%2Fpostgresql/d", Encryption::Require, 4000).unwrap();
        assert_eq!(config.get_ssl_mode(), SslMode::Disable);
    }
}
