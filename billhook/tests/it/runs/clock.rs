//! `billhook clock` and `/test/clock`.

use billhook_testkit::ServerSettings;
use jiff::{SignedDuration, Timestamp};

use super::{API_KEY, House};

/// Functions are executed, and their time may be moved.
const MOVABLE: [(&str, &str); 2] =
    [("BILLHOOK_BILLING_ENABLED", "process-payment-failed"), ("BILLHOOK_FUNCTIONS_TEST_CLOCK", "true")];

impl House {
    fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// Runs a command of the clock; gives the time that it prints, and what stands behind.
    fn clock(&self, arguments: &[&str]) -> (Timestamp, String) {
        let url = self.url();
        let told = self.command(&[&["clock"], arguments, &["--url", &url]].concat());
        let (time, state) = told.trim().split_once(' ').expect("a time and a state");
        (time.parse().expect("a time"), state.to_owned())
    }

    fn scheduled(&self) -> usize {
        self.with(async |store| store.due_flow_events(Timestamp::MAX, 10).await.unwrap().0.len())
    }
}

#[test]
fn the_time_of_functions_is_frozen_and_advanced() {
    House::on_each_with("the_time_of_functions_is_frozen", &MOVABLE, |house| {
        assert_eq!(house.clock(&["show"]).1, "goes with the system's");
        let (begin, state) = house.clock(&["freeze"]);
        assert_eq!((state.as_str(), house.clock(&["show"]).0), ("frozen", begin));
        let later = |hours| begin.checked_add(SignedDuration::from_hours(hours)).unwrap();
        house.command(&["events", "send", "app/later", "--at", &later(48).to_string()]);
        assert_eq!((house.clock(&["advance", "1d 23h"]).0, house.scheduled()), (later(47), 1));
        assert_eq!((house.clock(&["advance", "--to", &later(72).to_string()]).0, house.scheduled()), (later(72), 0));
        let url = house.url();
        let back = house.run_for(1, &["clock", "advance", "--to", &begin.to_string(), "--url", &url]);
        assert!(back.contains("does not go back"), "{back}");
        let month = house.run_for(1, &["clock", "advance", "1mo", "--url", &url]);
        assert!(month.contains("30d"), "{month}");
        // The mode is decided by the first delivery, maybe long after the start.
        house.with(async |store| store.write_setting("mode", "live").await.unwrap());
        let live = house.run_for(1, &["clock", "freeze", "--url", &url]);
        assert!(live.contains("live mode"), "{live}");
    });
}

#[test]
fn only_one_server_moves_the_time_and_others_refuse_a_database_whose_time_stands() {
    House::on_each_with("only_one_server_moves_the_time", &MOVABLE, |house| {
        let (begin, _) = house.clock(&["freeze"]);
        if house.database.dialect() == "postgres" {
            let second = house.run_for(1, &["serve", "--listen", "127.0.0.1:0"]);
            assert!(second.contains("another server has the test clock"), "{second}");
        }
        let binary = env!("CARGO_BIN_EXE_billhook");
        let settings = ServerSettings::new(binary, &house.database.url()).unwrap().set("API_KEY", API_KEY);
        let settings = settings.set(MOVABLE[0].0, MOVABLE[0].1);
        if house.database.dialect() == "postgres" {
            let output = settings.command(&["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && told.contains(&format!("stands at {begin}")), "{told}");
        }
    });
}

#[test]
fn nobody_moves_the_time_without_the_setting_or_in_live_mode() {
    House::on_each("nobody_moves_the_time_without_the_setting", |house| {
        let told = house.run_for(1, &["clock", "freeze", "--url", &house.url()]);
        assert!(told.contains("409") && told.contains("functions.test_clock"), "{told}");
        let mut live = house.settings.command(&["config", "check"]);
        let output = live.env("BILLHOOK_FUNCTIONS_TEST_CLOCK", "true").env("BILLHOOK_MODE", "live").output().unwrap();
        let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(!output.status.success() && told.contains("is set in live mode"), "{told}");
    });
}
