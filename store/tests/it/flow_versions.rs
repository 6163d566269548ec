//! Runs and the versions of functions with which they began.

use billhook_core::run::RunState;
use billhook_store::{FlowClaim, FlowVersion, MissingVersions};

use crate::flow::{asked, ids, publish, run, state};
use crate::harness::at;

fn version(function: &str, version: &str) -> FlowVersion {
    FlowVersion { function: function.to_owned(), version: version.to_owned() }
}

/// A claim by whoever begins runs with the last of these versions and has all of them.
fn pinned(versions: &[&str], now: i64) -> FlowClaim {
    let pinned: Vec<FlowVersion> = versions.iter().map(|one| version("f", one)).collect();
    let newest = pinned.last().cloned().into_iter().collect();
    FlowClaim { newest, pinned, ..asked("a", &["f", "g"], now, 10) }
}

on_both! {
    async fn a_run_keeps_the_version_with_which_it_was_claimed_first(database) {
        let database = &database.migrated().await;
        publish(database, vec![run("r", "f", "evt", 0)], 0).await;
        for (now, newest, kept) in [(0, "1", "1"), (10, "2", "1")] {
            let claim = FlowClaim { newest: vec![version("f", newest)], ..asked("a", &["f"], now, 10) };
            let claimed = database.store.claim_flow_runs(claim).await.expect("claimed");
            assert_eq!(claimed[0].version.as_deref(), Some(kept), "the latest takes runs of every version");
        }
        let detail = database.store.flow_run_detail("r").await.expect("read").expect("a run");
        assert_eq!(detail.summary.version.as_deref(), Some("1"));
    }

    async fn who_has_other_versions_claims_only_runs_that_have_not_begun(database) {
        let database = &database.migrated().await;
        publish(database, vec![run("begun", "f", "evt_1", 0)], 0).await;
        assert_eq!(ids(&database.store.claim_flow_runs(pinned(&["1"], 0)).await.expect("claimed")), ["begun"]);
        publish(database, vec![run("new", "f", "evt_2", 1), run("other", "g", "evt_3", 1)], 1).await;
        // The lease of the first one has ended.
        assert_eq!(ids(&database.store.claim_flow_runs(pinned(&["2"], 10)).await.expect("claimed")), ["new", "other"]);
        assert_eq!(ids(&database.store.claim_flow_runs(pinned(&["1", "2"], 11)).await.expect("claimed")), ["begun"]);
    }

    async fn what_is_due_for_long_and_has_no_version_anywhere_is_parked(database) {
        let database = &database.migrated().await;
        publish(database, vec![run("begun", "f", "evt_1", 0)], 0).await;
        database.store.claim_flow_runs(pinned(&["1"], 0)).await.expect("claimed");
        publish(database, vec![run("new", "f", "evt_2", 1)], 1).await;
        database.store.note_flow_versions(&[version("f", "1"), version("f", "2")], at(50)).await.expect("noted");
        database.store.note_flow_versions(&[version("f", "1")], at(40)).await.expect("noted");
        let park = async |since, now| {
            let (functions, message) = (vec!["f".to_owned()], "needs {version}".to_owned());
            let missing = MissingVersions { functions, since: at(since), message, limit: 10 };
            database.store.park_missing_versions(&missing, at(now)).await.expect("parked")
        };
        assert_eq!(park(5, 100).await, Vec::<String>::new(), "it is due only since its lease ended");
        assert_eq!(park(49, 100).await, Vec::<String>::new(), "somebody has had it since");
        assert_eq!(park(50, 100).await, ["begun"], "what has not begun needs no version");
        let parked = database.store.flow_run("begun").await.expect("read").expect("a run");
        assert_eq!((parked.state, parked.message.as_deref()), (RunState::Parked, Some("needs 1")));
        assert_eq!(state(database, "new").await, RunState::Queued);
        assert_eq!(ids(&database.store.claim_flow_runs(pinned(&["1"], 101)).await.expect("claimed")), ["new"]);
    }
}
