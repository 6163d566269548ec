//! The program and the clusters under test.

use billhook_testkit::postgres::{Binaries, Cluster, ClusterSettings, Durability, MISSING};
use billhook_testkit::{ServerSettings, skip};

/// The program, built for these tests.
pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_billhook");

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
