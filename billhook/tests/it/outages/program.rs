//! The program and the clusters under test.

use std::path::PathBuf;
use std::time::Duration;

use billhook_testkit::postgres::{Binaries, Cluster, ClusterSettings, Durability, MISSING};
use billhook_testkit::{ServerSettings, skip, sql, wait};

/// The program, built for these tests.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_billhook");

/// Longest time from the end of the program until its last words are read.
const TOLD: Duration = Duration::from_secs(5);

/// Settings of the program on a database.
pub(super) fn settings(database_url: &str) -> ServerSettings {
    ServerSettings::new(PROGRAM, database_url).unwrap()
}

/// A cluster of the test's own, whose commits survive whatever happens to it. `None` and a note when there are no binaries.
pub(super) fn own_cluster(test: &str, extra: &[(&'static str, &str)]) -> Option<Cluster> {
    if Binaries::find().is_none() {
        skip::note(test, MISSING);
        return None;
    }
    let extra = extra.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let settings = ClusterSettings { durability: Durability::Full, extra };
    Some(Cluster::start_with(settings).unwrap())
}

/// A database that belongs to an ordinary user, as URLs for that user and for the superuser.
pub(super) fn ordinary_user(cluster: &Cluster) -> (String, String) {
    sql::execute(&cluster.url(), "CREATE ROLE ordinary LOGIN").unwrap();
    let superuser_url = cluster.create_database().unwrap();
    let name = superuser_url.rsplit_once('/').unwrap().1;
    sql::execute(&cluster.url(), &format!("ALTER DATABASE {name} OWNER TO ordinary")).unwrap();
    (superuser_url.replace("postgres@", "ordinary@"), superuser_url)
}

/// Tries to start the program, which has to refuse: it ends with exit code 1 and one line that says why. Returns that line with
/// its hint.
pub(super) fn assert_refused(settings: &ServerSettings) -> String {
    let mut server = settings.spawn().unwrap();
    let status = server.wait_for_end().unwrap();
    let log = wait::until("the reason of the refusal", TOLD, || {
        Some(server.log()).filter(|log| log.lines().any(|line| line.starts_with("billhook: ")))
    });
    let log = log.unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    let told: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
    let hints = told.iter().filter(|line| line.starts_with("hint: ")).count();
    assert_eq!(told.len(), 1 + hints, "more than one line:\n{log}");
    told.join(" ")
}

/// Where a running cluster keeps its files.
pub(super) fn data_directory(cluster: &Cluster) -> PathBuf {
    let directory = sql::value(&cluster.url(), "SELECT current_setting('data_directory')").unwrap();
    PathBuf::from(directory.as_str().unwrap())
}
