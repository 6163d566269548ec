//! A small client of a simulator.

use std::time::Duration;

use billhook_simulator::{ClockMode, DeliveryOptions, Options, Simulator};
use billhook_testkit::{Client, Response};
use serde_json::Value;

/// The key that all tests use.
pub(crate) const KEY: &str = "sk_test_simulator";

/// Noon of a day in 2026, at which manual clocks start.
pub(crate) const NOON: i64 = 1_783_000_800;

/// A simulator whose clock stands still.
pub(crate) fn simulator() -> Simulator {
    start(Options::default())
}

/// A simulator with options, its clock standing still.
pub(crate) fn start(options: Options) -> Simulator {
    let options = Options { clock: ClockMode::Manual(NOON), delivery: DeliveryOptions::quick(), ..options };
    Simulator::start(options).unwrap()
}

/// Speaks to one simulator with the account's key.
pub(crate) struct Caller {
    client: Client,
    pub(crate) key: String,
    pub(crate) version: Option<&'static str>,
}

impl Caller {
    pub(crate) fn new(simulator: &Simulator) -> Self {
        let client = Client::new(simulator.address()).with_limit(Duration::from_secs(10));
        Self { client, key: KEY.to_owned(), version: None }
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> anyhow::Result<Response> {
        let authorization = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend(self.version.map(|version| ("stripe-version", version)));
        all.extend_from_slice(headers);
        self.client.request(method, path, &all, body.as_bytes())
    }

    /// The status and the JSON of a read.
    pub(crate) fn read(&mut self, path: &str) -> (u16, Value) {
        let response = self.request("GET", path, &[], "").unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    /// The JSON of a read that works.
    pub(crate) fn get(&mut self, path: &str) -> Value {
        let (status, body) = self.read(path);
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// The status and the JSON of a form that is posted.
    pub(crate) fn post(&mut self, path: &str, form: &str) -> (u16, Value) {
        let headers = [("content-type", "application/x-www-form-urlencoded")];
        let response = self.request("POST", path, &headers, form).unwrap();
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }

    /// The ids of a page.
    pub(crate) fn ids(&mut self, path: &str) -> Vec<String> {
        ids_of(&self.get(path))
    }

    /// All ids of a list, page after page with `starting_after`.
    pub(crate) fn walk(&mut self, path: &str) -> Vec<String> {
        let join = if path.contains('?') { '&' } else { '?' };
        let mut all: Vec<String> = Vec::new();
        loop {
            let cursor = all.last().map(|last| format!("{join}starting_after={last}")).unwrap_or_default();
            let page = self.get(&format!("{path}{cursor}"));
            all.extend(ids_of(&page));
            if page["has_more"] == false {
                return all;
            }
            assert!(!ids_of(&page).is_empty(), "an empty page says that there is more");
        }
    }
}

/// The ids of a list.
pub(crate) fn ids_of(page: &Value) -> Vec<String> {
    page["data"].as_array().unwrap().iter().map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}
