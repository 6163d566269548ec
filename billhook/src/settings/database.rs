//! The database URL: which database, and what of it a person may see.

use std::fmt;
use std::path::PathBuf;

use billhook_core::Secret;

use super::parse::Problem;

/// Which database the mirror lives in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// One file.
    Sqlite {
        /// The file, relative to the working directory unless absolute.
        path: PathBuf,
    },
    /// A server.
    Postgres(PostgresUrl),
}

/// A `postgres://` URL, taken apart as far as Billhook itself needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    /// The whole URL with the password.
    pub url: Secret,
    /// The URL without password and parameters.
    shown: String,
    /// Whether every host is this machine: a socket directory, `localhost` or a loopback address.
    pub is_local: bool,
    /// The parameter `sslmode`.
    pub sslmode: Option<String>,
}

impl Database {
    /// Reads a database URL.
    ///
    /// # Errors
    /// When it is of no known form. The problem never repeats the URL, which may hold a password.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let action = "set sqlite:billhook.db or postgres://user:password@host/database";
        let text = text.trim();
        if let Some(rest) = text.strip_prefix("sqlite:") {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            return match path {
                "" => Err(Problem::new("names no file", action)),
                ":memory:" => {
                    Err(Problem::new("names a database in memory, which loses what was acknowledged", action))
                }
                _ if path.contains('?') || path.contains('\0') => {
                    Err(Problem::new("has parameters, which a SQLite file does not take", action))
                }
                _ => Ok(Self::Sqlite { path: PathBuf::from(path) }),
            };
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return PostgresUrl::parse(text).map(Self::Postgres);
        }
        Err(Problem::new("is neither a sqlite: nor a postgres: URL", action))
    }
}

impl PostgresUrl {
    fn parse(text: &str) -> Result<Self, Problem> {
        let action = "set postgres://user:password@host:5432/database";
        if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
            return Err(Problem::new("contains white space", action));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("postgres", text));
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        // A password may contain an unescaped @, a host may not.
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let parameter = |name: &str| {
            query
                .split('&')
                .filter_map(|pair| pair.split_once('='))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value)
        };
        let hosts = if hosts.is_empty() { parameter("host").unwrap_or_default() } else { hosts };
        if hosts.is_empty() {
            return Err(Problem::new("names no host", action));
        }
        let sslmode = parameter("sslmode").map(str::to_owned);
        if let Some(mode) = &sslmode
            && !["disable", "allow", "prefer", "require", "verify-ca", "verify-full"].contains(&mode.as_str())
        {
            let action = "use sslmode=disable, prefer, require, verify-ca or verify-full";
            return Err(Problem::new("has an unknown sslmode", action));
        }
        let shown_user = match user.split_once(':') {
            Some((name, _)) => format!("{name}:***@"),
            None if user.is_empty() => String::new(),
            None => format!("{user}@"),
        };
        Ok(Self {
            url: Secret::new(text),
            shown: format!("{scheme}://{shown_user}{hosts}/{database}"),
            is_local: hosts.split(',').all(is_local_host),
            sslmode,
        })
    }

    /// The URL with `sslmode` replaced.
    pub fn with_sslmode(&self, sslmode: &str) -> Secret {
        let text = self.url.expose();
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut parameters: Vec<&str> =
            query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("sslmode=")).collect();
        let replaced = format!("sslmode={sslmode}");
        parameters.push(&replaced);
        Secret::new(format!("{base}?{}", parameters.join("&")))
    }
}

fn is_local_host(host: &str) -> bool {
    if host.starts_with('/') || host.to_ascii_lowercase().starts_with("%2f") {
        return true;
    }
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(formatter, "sqlite:{}", path.display()),
            Self::Postgres(postgres) => formatter.write_str(&postgres.shown),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn postgres(text: &str) -> PostgresUrl {
        match Database::parse(text) {
            Ok(Database::Postgres(url)) => url,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_sqlite_url_names_a_file() {
        for (text, path) in [
            ("sqlite:billhook.db", "billhook.db"),
            ("sqlite:///var/lib/b.db", "/var/lib/b.db"),
            ("sqlite://b.db", "b.db"),
            ("sqlite:/b.db", "/b.db"),
        ] {
            assert_eq!(Database::parse(text), Ok(Database::Sqlite { path: path.into() }), "{text}");
        }
        for text in ["sqlite:", "sqlite::memory:", "sqlite:b.db?mode=ro", "b.db", "mysql://h/d", ""] {
            assert!(Database::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_password_is_masked_even_with_an_at_sign_in_it() {
        for text in ["postgres://me:pa@ss@db.example.com:5433/app?sslmode=require", "postgresql://me:hunter2@[::1]/app"]
        {
            let url = postgres(text);
            let shown = Database::Postgres(url.clone()).to_string();
            assert!(shown.contains("me:***@"), "{shown}");
            assert!(!shown.contains("ss@") && !shown.contains("hunter2"), "{shown}");
            assert!(!format!("{url:?}").contains("hunter2"));
        }
    }

    #[test]
    fn a_password_in_a_parameter_is_not_shown() {
        let url = postgres("postgres://db/app?user=me&password=hunter2");
        assert_eq!(Database::Postgres(url).to_string(), "postgres://db/app");
    }

    #[test]
    fn local_hosts_are_recognised() {
        for text in [
            "postgres://localhost/a",
            "postgres://u@127.0.0.1:5432/a",
            "postgres://[::1]:5432/a",
            "postgres:///a?host=/run",
        ] {
            assert!(postgres(text).is_local, "{text}");
        }
        for text in ["postgres://db/a", "postgres://localhost,db/a", "postgres://10.0.0.1/a"] {
            assert!(!postgres(text).is_local, "{text}");
        }
    }

    #[test]
    fn sslmode_is_read_and_replaced() {
        let url = postgres("postgres://db/app?sslmode=disable&search_path=stripe");
        assert_eq!(url.sslmode.as_deref(), Some("disable"));
        let replaced = url.with_sslmode("verify-full");
        assert_eq!(replaced.expose(), "postgres://db/app?search_path=stripe&sslmode=verify-full");
        assert!(Database::parse("postgres://db/app?sslmode=yes").is_err());
    }

    #[test]
    fn a_problem_never_repeats_the_url() {
        let problem = Database::parse("postgres://me:hunter2@/app").unwrap_err();
        assert!(!problem.what.contains("hunter2") && !problem.action.contains("hunter2"));
    }
}
