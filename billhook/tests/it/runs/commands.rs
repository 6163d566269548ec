//! `billhook runs` and `billhook functions`.

use billhook_core::run::RunState;
use serde_json::{Value, json};

use super::{House, now, record};

impl House {
    /// Runs a command that has to end with this code; gives what it printed on both streams.
    pub(super) fn run_for(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.settings.command(arguments).output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "billhook {arguments:?} on {}: {told}", self.database.dialect());
        told
    }

    pub(super) fn command(&self, arguments: &[&str]) -> String {
        self.run_for(0, arguments)
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.command(arguments)).unwrap()
    }

    /// Asserts that `runs show` of a run prints all of these.
    fn shows(&self, run: &str, expected: &[&str]) {
        let told = self.command(&["runs", "show", run]);
        for expected in expected {
            assert!(told.contains(expected), "{expected} is missing on {}:\n{told}", self.database.dialect());
        }
    }
}

/// A time so many seconds from now.
fn in_seconds(seconds: i64) -> String {
    now().checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap().to_string()
}

#[test]
fn a_run_in_each_state_says_what_happened_and_why_it_does_not_go_on() {
    House::on_each("a_run_in_each_state", |house| {
        let queued = house.start("f1", "evt_1");
        house.shows(&queued, &["queued", "it is due since", "\tevent\tstripe/invoice.paid evt_1", "\trun\tcreated"]);

        let running = house.start_in("f2", "evt_2", RunState::Running, Vec::new());
        house.shows(&running, &["node-7 executes it; its lease ends ", "(in 59 min", "first executed"]);

        let (soon, late) = (in_seconds(200), in_seconds(3 * 86_400 + 7_260));
        let records = vec![
            record("pay", r#"{"done":{"cents":5}}"#, true),
            record("text", format!(r#"{{"done":"{}"}}"#, "x".repeat(500)), true),
            record("nap", r#"{"sleep":{"until":"2026-01-01T00:00:00Z"}}"#, false),
            record("three days", format!(r#"{{"sleep":{{"until":"{late}"}}}}"#), false),
            record(
                "mail",
                format!(r#"{{"retry":{{"attempts":2,"at":"{soon}","error":{{"message":"busy\t!"}}}}}}"#),
                false,
            ),
            record(
                "paid",
                format!(r#"{{"event":{{"name":"stripe/invoice.paid","matching":"a == b","until":"{late}"}}}}"#),
                false,
            ),
            record("voided", r#"{"came":null}"#, true),
            record("new", r#"{"of_a_later_version":1}"#, true),
        ];
        let waiting = house.start_in("f3", "evt_3", RunState::Waiting, records);
        house.shows(
            &waiting,
            &[
                "three days sleeps until ",
                "(in 3 d 2 h); or",
                "mail attempt 2 failed: busy\u{fffd}!; next attempt ",
                "(in 3 min ",
                "paid waits for stripe/invoice.paid with a == b until ",
                "\tpay\tdone: {\"cents\":5}",
                "xxx…",
                "\tnap\tslept until 2026-01-01T00:00:00Z",
                "no event came in time",
                "recorded by another version: {\"of_a_later_version\":1}",
            ],
        );

        let parked = house.start_in("f4", "evt_4", RunState::Parked, vec![record("once", "\"begun\"", false)]);
        house.shows(&parked, &["no such user; decide with `billhook runs retry`", "began; it must not run twice"]);

        let failure = record("mail", r#"{"failed":{"message":"no such user"}}"#, true);
        let failed = house.start_in("f5", "evt_5", RunState::Failed, vec![failure]);
        house.shows(
            &failed,
            &["failed for good: no such user", "`billhook runs retry` goes on", "\trun\tfailed: no such user"],
        );

        let records = vec![
            record("gone", r#"{"done":1}"#, true),
            record("there", r#"{"done":2}"#, true),
            record(" orphans", r#"{"done":[["gone",1]]}"#, false),
        ];
        let changed = house.start_in("f9", "evt_9", RunState::Succeeded, records);
        house.shows(&changed, &["\tgone\tdone: 1; the code has no such step any more", "\tthere\tdone: 2"]);
        let steps = &house.json(&["runs", "show", &changed, "--json"])["steps"];
        let orphans = steps.as_array().unwrap().iter().filter(|step| step["is_orphan"] == true);
        assert_eq!(orphans.map(|step| &step["id"]).collect::<Vec<_>>(), ["gone"]);

        let succeeded = house.start_in("f6", "evt_6", RunState::Succeeded, Vec::new());
        house.shows(&succeeded, &["result    {\"paid\":12345678901234567890}", "it is over", "\trun\tsucceeded"]);

        let cancelled = house.start("f7", "evt_7");
        assert!(house.command(&["runs", "cancel", &cancelled, "--reason", "not wanted"]).contains("is cancelled"));
        house.shows(&cancelled, &["why       not wanted", "\trun\tcancelled: not wanted"]);

        let expired = house.start_in("f8", "evt_8", RunState::Expired, Vec::new());
        house.shows(&expired, &["state     expired"]);

        house.command(&["functions", "pause", "f1", "--reason", "the mail server is away"]);
        house.shows(&queued, &["its function is paused since ", "the mail server is away"]);

        let shown = house.json(&["runs", "show", &waiting, "--json"]);
        assert_eq!((&shown["state"], &shown["steps"].as_array().unwrap().len()), (&json!("waiting"), &8));
        assert!(house.run_for(1, &["runs", "show", "none"]).contains("hint: `billhook runs list`"));
    });
}

#[test]
fn runs_are_listed_and_steered() {
    House::on_each("runs_are_listed_and_steered", |house| {
        let failed = house.start_in("mail", "evt_1", RunState::Failed, Vec::new());
        let parked = house.start_in("mail", "evt_2", RunState::Parked, Vec::new());
        let queued = house.start("remind", "evt_3");
        let listed = house.json(&["runs", "list", "--json"]);
        let ids: Vec<&str> = listed.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap()).collect();
        assert_eq!(ids, [queued.as_str(), parked.as_str(), failed.as_str()]);
        let told = house.command(&["runs", "list", "--state", "failed", "--function", "mail"]);
        assert!(
            told.starts_with("RUN\tFUNCTION\t") && told.contains("no such user") && told.lines().count() == 2,
            "{told}"
        );
        assert_eq!(house.json(&["runs", "list", "--json", "--before", &parked]).as_array().unwrap().len(), 1);
        house.run_for(2, &["runs", "list", "--state", "done"]);

        assert!(house.command(&["runs", "retry", &failed]).contains("goes on"));
        assert_eq!(house.state(&failed), RunState::Queued);
        let told = house.run_for(1, &["runs", "retry", &failed]);
        assert!(told.contains(&format!("the run {failed} is queued")) && told.contains("hint: only failed"), "{told}");
        let told = house.run_for(1, &["runs", "retry", &failed, &parked, "none"]);
        assert!(told.contains("there is no run none") && house.state(&parked) == RunState::Queued, "{told}");

        house.command(&["runs", "cancel", &parked]);
        let told = house.command(&["runs", "rerun", &parked]);
        let again = told.trim().rsplit(' ').next().unwrap().to_owned();
        house.shows(&again, &[&format!("rerun of  {parked}")]);

        let refused = house.run_for(1, &["runs", "resolve", &again, "--value", "1", "--reason", "x"]);
        assert!(refused.contains("is queued"), "{refused}");
        let parked = house.start_in("other", "evt_4", RunState::Parked, Vec::new());
        assert!(
            house.run_for(1, &["runs", "resolve", &parked, "--value", "paid", "--reason", "x"]).contains("is no JSON")
        );
        house.run_for(2, &["runs", "resolve", &parked, "--value", "1"]);
        house.command(&["runs", "resolve", &parked, "--value", "\"paid\"", "--reason", "Ada paid by hand"]);
        house.shows(&parked, &["state     succeeded", "result    \"paid\"", "Ada paid by hand (before: no such user)"]);

        assert!(
            house
                .command(&["runs", "cancel", "--function", "mail", "--dry-run"])
                .starts_with("2 runs of mail would be")
        );
        assert!(house.command(&["runs", "cancel", "--function", "mail"]).starts_with("2 runs of mail cancelled"));
        assert_eq!((house.state(&again), house.state(&queued)), (RunState::Cancelled, RunState::Queued));
        house.run_for(2, &["runs", "cancel"]);
        house.run_for(2, &["runs", "cancel", &queued, "--function", "mail"]);
    });
}

#[test]
fn functions_are_listed_paused_and_resumed() {
    House::on_each("functions_are_listed_paused_and_resumed", |house| {
        house.start_in("mail", "evt_1", RunState::Failed, Vec::new());
        let queued = house.start("mail", "evt_2");
        assert!(house.command(&["functions", "pause", "mail"]).starts_with("mail is paused"));
        assert!(house.command(&["functions", "pause", "mial"]).contains("it has had no run so far"));
        let listed = house.json(&["functions", "list", "--json"]);
        assert_eq!((&listed[0]["id"], &listed[0]["runs"]), (&json!("mail"), &json!({ "failed": 1, "queued": 1 })));
        assert_eq!(
            (&listed[0]["pause_reason"], &listed[1]["id"]),
            (&json!("paused on the command line"), &json!("mial"))
        );
        let told = house.command(&["functions", "list"]);
        assert!(
            told.lines().any(|line| line.starts_with("mail\t20") && line.ends_with("\t1\t0\t0\t0\t0\t1\t0\t0")),
            "{told}"
        );
        let told = house.command(&["functions", "show", "mail"]);
        assert!(told.contains("1 failed, 1 queued") && told.contains(&queued) && told.contains("since 20"), "{told}");
        assert!(house.command(&["functions", "resume", "mail"]).starts_with("mail goes on"));
        assert!(house.run_for(1, &["functions", "resume", "mail"]).contains("is not paused"));
        assert!(house.command(&["functions", "show", "mail"]).contains("paused    no"));
        assert!(house.run_for(1, &["functions", "show", "none"]).contains("nothing is known of a function none"));
    });
}
