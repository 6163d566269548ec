//! The PostgreSQL server for a test run.

use anyhow::{Context, Result, bail};
use billhook_testkit::postgres::{Binaries, Cluster, MISSING};
use billhook_testkit::{database, skip};

use crate::shell;

/// The server all tests of a run share: a throw-away cluster, or the one `TEST_DATABASE_URL` names, or none.
pub(crate) enum TestServer {
    /// Started here; gone with this value.
    Own(Cluster),
    /// The caller's.
    Given(String),
    /// There is none; the tests that need one skip themselves.
    Missing,
}

impl TestServer {
    /// Finds or starts a server; installs its package where that is possible without asking.
    pub(crate) fn start() -> Result<Self> {
        if let Ok(url) = std::env::var(database::URL_VARIABLE) {
            eprintln!("PostgreSQL: the server that {} names", database::URL_VARIABLE);
            return Ok(Self::Given(url));
        }
        if Binaries::find().is_none()
            && let Err(reason) = install()
        {
            if skip::forbidden() {
                bail!("{reason:#}; {MISSING}");
            }
            eprintln!("PostgreSQL: {reason:#}; {MISSING}");
            return Ok(Self::Missing);
        }
        let cluster = Cluster::start().context("the throw-away PostgreSQL cluster does not start")?;
        eprintln!("PostgreSQL: a throw-away cluster at {}", cluster.url());
        Ok(Self::Own(cluster))
    }

    /// Superuser URL, when there is a server.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::Own(cluster) => Some(cluster.url()),
            Self::Given(url) => Some(url.clone()),
            Self::Missing => None,
        }
    }
}

/// Installs the system's PostgreSQL package without starting its service.
fn install() -> Result<()> {
    if !rustix::process::geteuid().is_root() || !shell::exists("apt-get") {
        bail!("no server binaries, and installing them needs root and apt-get");
    }
    eprintln!("PostgreSQL: installing the system's package");
    // The package makes and starts a cluster of its own unless this says no.
    std::fs::create_dir_all("/etc/postgresql-common")?;
    let settings = std::path::Path::new("/etc/postgresql-common/createcluster.conf");
    if !settings.exists() {
        std::fs::write(settings, "create_main_cluster = false\n")?;
    }
    for arguments in [&["update", "-qq"][..], &["install", "-y", "-qq", "--no-install-recommends", "postgresql"]] {
        let mut apt = shell::command("apt-get");
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive").stdin(std::process::Stdio::null());
        apt.stdout(std::io::stderr());
        shell::run(&mut apt)?;
    }
    Binaries::find().map(|_| ()).context("the package is installed, but its server binaries are not found")
}
