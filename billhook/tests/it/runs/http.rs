//! `/v1`.

use billhook_core::run::RunState;
use billhook_store::{Control, Gate};
use serde_json::{Value, json};

use super::{API_KEY, EVENT_KEY, House, claim, record};

impl House {
    /// Asks with the key; gives the status and the document.
    fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let key = format!("Bearer {API_KEY}");
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        let response = self.server.client().request(method, path, &headers, body.as_bytes()).unwrap();
        let document: Value = serde_json::from_slice(&response.body).unwrap_or_else(|_| panic!("{}", response.text()));
        assert_eq!(response.header("content-type"), Some("application/json"));
        if response.status == 200 {
            assert!(document["metadata"]["fetched_at"].is_string(), "{document}");
        } else {
            assert_eq!((&document["data"], &document["status"]), (&Value::Null, &json!(response.status)));
            assert!(document["error"].as_str().is_some_and(|error| error.len() > 10), "{document}");
        }
        (response.status, document)
    }

    fn get(&self, path: &str) -> Value {
        let (status, mut document) = self.ask("GET", path, "");
        assert_eq!(status, 200, "{path}: {document}");
        document["data"].take()
    }
}

fn ids<'a>(data: &'a Value, key: &str) -> Vec<&'a str> {
    data.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect()
}

#[test]
fn events_and_runs_are_shown_to_who_has_the_key() {
    House::on_each("events_and_runs_are_shown", |house| {
        let done = record("pay", r#"{"done":{"cents":12345678901234567890}}"#, true);
        let first = house.start_in("remind", "evt_1", RunState::Succeeded, vec![done]);
        let second = house.start_in("mail", "evt_2", RunState::Failed, Vec::new());
        for path in ["/v1/runs", "/v1/events/evt_1", "/v1/cancellations"] {
            for header in [None, Some("Bearer wrong")] {
                let headers: Vec<_> = header.iter().map(|header| ("authorization", *header)).collect();
                let refused = house.server.client().request("GET", path, &headers, b"").unwrap();
                assert_eq!((refused.status, refused.text().as_str()), (401, "Authentication failed"));
            }
        }
        assert_eq!(ids(&house.get("/v1/events"), "id"), ["evt_2", "evt_1"]);
        assert_eq!(ids(&house.get("/v1/events?before=evt_2&name=stripe%2Finvoice.paid"), "id"), ["evt_1"]);
        assert_eq!(ids(&house.get("/v1/events?name=app/other"), "id"), [""; 0]);
        let event = house.get("/v1/events/evt_1");
        assert_eq!((&event["name"], &event["data"]["id"]), (&json!("stripe/invoice.paid"), &json!("in_1")));
        let runs = house.get("/v1/events/evt_1/runs");
        assert_eq!(ids(&runs, "run_id"), [first.as_str()]);
        assert_eq!((&runs[0]["status"], &runs[0]["function_id"]), (&json!("Completed"), &json!("remind")));
        assert_eq!(runs[0]["output"].to_string(), r#"{"paid":12345678901234567890}"#, "no digit is lost");

        assert_eq!(ids(&house.get("/v1/runs"), "run_id"), [second.as_str(), first.as_str()]);
        assert_eq!(ids(&house.get("/v1/runs?limit=1"), "run_id"), [second.as_str()]);
        assert_eq!(ids(&house.get(&format!("/v1/runs?before={second}")), "run_id"), [first.as_str()]);
        assert_eq!(ids(&house.get("/v1/runs?state=failed&function=mail"), "run_id"), [second.as_str()]);
        assert_eq!(ids(&house.get("/v1/runs?event_id=evt_1"), "run_id"), [first.as_str()]);
        assert_eq!(ids(&house.get("/v1/runs?started_after=2200-01-01T00:00:00Z"), "run_id"), [""; 0]);
        let run = house.get(&format!("/v1/runs/{second}"));
        assert_eq!((&run["state"], &run["message"]), (&json!("failed"), &json!("no such user")));
        let steps = house.get(&format!("/v1/runs/{first}/jobs"));
        assert_eq!((&steps[0]["id"], &steps[0]["is_final"]), (&json!("pay"), &json!(true)));
        assert_eq!(house.get(&format!("/v1/runs/{second}/jobs")), json!([]));
        for unknown in ["/v1/events/evt_9", "/v1/events/evt_9/runs", "/v1/runs/none", "/v1/runs/none/jobs"] {
            assert_eq!(house.ask("GET", unknown, "").0, 404, "{unknown}");
        }
        for wrong in [
            "state=done",
            "limit=0",
            "limit=9999",
            "started_after=monday",
            "status=failed",
            "function=%zz",
            "function=%00",
        ] {
            assert_eq!(house.ask("GET", &format!("/v1/runs?{wrong}"), "").0, 400, "{wrong}");
        }
    });
}

#[test]
fn a_run_that_a_limit_holds_back_says_so() {
    House::on_each("a_run_that_a_limit_holds_back_says_so", |house| {
        let gate = Gate { name: "fn/mail/1".to_owned(), value: "cus_1".to_owned(), places: 1 };
        let control = Control { gates: vec![gate.clone()], ..Control::default() };
        let [first, second] = ["evt_1", "evt_2"].map(|event| house.start_limited("mail", event, control.clone()));
        house.with(async |store| assert_eq!(claim(store, "mail", vec![(gate.name.clone(), 1)]).await[0].id, first));
        let why = "1 of 1 runs of this function for the key cus_1 are under way (concurrency)";
        let told = house.get(&format!("/v1/runs/{second}"));
        assert!(told["why"].as_str().unwrap().contains(why), "{told}");
        let shown = house.command(&["runs", "show", &second]);
        assert!(shown.contains(why), "{shown}");
    });
}

#[test]
fn runs_are_steered_and_what_means_nothing_is_refused() {
    House::on_each("runs_are_steered", |house| {
        let failed = record("mail", r#"{"failed":{"message":"no such user"}}"#, true);
        let retried = house.start_in("mail", "evt_1", RunState::Failed, vec![failed]);
        assert_eq!(house.ask("POST", &format!("/v1/runs/{retried}/retry"), "").0, 200);
        assert_eq!(house.state(&retried), RunState::Queued);
        assert_eq!(house.get(&format!("/v1/runs/{retried}/jobs")), json!([]));
        let (status, refused) = house.ask("POST", &format!("/v1/runs/{retried}/retry"), "{}");
        assert!(status == 409 && refused["error"].as_str().unwrap().contains("is queued"), "{refused}");

        let (status, called_off) = house.ask("DELETE", &format!("/v1/runs/{retried}?reason=not+wanted"), "");
        assert_eq!((status, &called_off["data"]["run_id"]), (200, &json!(retried)));
        assert_eq!(house.get(&format!("/v1/runs/{retried}"))["message"], "not wanted");
        assert_eq!(house.ask("DELETE", &format!("/v1/runs/{retried}"), "").0, 409);

        let (status, again) = house.ask("POST", &format!("/v1/runs/{retried}/rerun"), "");
        let again = again["data"]["run_id"].as_str().unwrap().to_owned();
        assert_eq!((status, house.state(&again)), (200, RunState::Queued));
        assert_eq!(house.get(&format!("/v1/runs/{again}"))["rerun_of"], retried.as_str());
        assert_eq!(house.ask("POST", &format!("/v1/runs/{again}/rerun"), "").0, 409);

        let parked = house.start_in("mail", "evt_2", RunState::Parked, Vec::new());
        let resolve = format!("/v1/runs/{parked}/resolve");
        for wrong in
            ["", "{", "{}", r#"{"value":1}"#, r#"{"value":1,"reason":" "}"#, r#"{"value":1,"reason":"x","a":1}"#]
        {
            assert_eq!(house.ask("POST", &resolve, wrong).0, 400, "{wrong}");
        }
        let long = json!({ "value": 1, "reason": "x".repeat(1_001) }).to_string();
        assert_eq!(house.ask("POST", &resolve, &long).0, 400);
        let huge = json!({ "value": "x".repeat(2 << 20), "reason": "x" }).to_string();
        assert_eq!(house.ask("POST", &resolve, &huge).0, 413);
        let body = r#"{"value":{"paid":12345678901234567890},"reason":"Ada paid by hand"}"#;
        assert_eq!(house.ask("POST", &resolve, body).0, 200);
        let run = house.get(&format!("/v1/runs/{parked}"));
        assert_eq!(
            (&run["status"], run["output"].to_string()),
            (&json!("Completed"), r#"{"paid":12345678901234567890}"#.into())
        );
        assert!(run["message"].as_str().unwrap().starts_with("Ada paid by hand"));
        for (method, path) in [("DELETE", ""), ("POST", "/retry"), ("POST", "/rerun")] {
            assert_eq!(house.ask(method, &format!("/v1/runs/none{path}"), "").0, 404);
        }
    });
}

#[test]
fn many_runs_are_called_off_at_once() {
    House::on_each("many_runs_are_called_off_at_once", |house| {
        let mails: Vec<String> = (0..3).map(|number| house.start("mail", &format!("evt_{number}"))).collect();
        let other = house.start("remind", "evt_9");
        let (_, counted) = house.ask("POST", "/v1/cancellations", r#"{"function":"mail","dry_run":true}"#);
        assert_eq!((&counted["data"]["runs"], &counted["data"]["dry_run"]), (&json!(3), &json!(true)));
        assert_eq!(house.state(&mails[0]), RunState::Queued);
        let one = r#"{"function_id":"mail","event_id":"evt_1","reason":"a wrong deploy"}"#;
        assert_eq!(house.ask("POST", "/v1/cancellations", one).1["data"]["runs"], 1);
        let future = r#"{"function":"mail","started_after":"2200-01-01T00:00:00Z"}"#;
        assert_eq!(house.ask("POST", "/v1/cancellations", future).1["data"]["runs"], 0);
        assert_eq!(house.ask("POST", "/v1/cancellations", r#"{"function":"mail"}"#).1["data"]["runs"], 2);
        assert!(mails.iter().all(|run| house.state(run) == RunState::Cancelled));
        assert_eq!(house.state(&other), RunState::Queued);
        let made = house.get("/v1/cancellations");
        let runs: Vec<&Value> = made.as_array().unwrap().iter().map(|one| &one["runs"]).collect();
        assert_eq!(runs, [&json!(2), &json!(0), &json!(1)]);
        assert_eq!((&made[2]["reason"], &made[2]["event_id"]), (&json!("a wrong deploy"), &json!("evt_1")));
        for path in ["/v1/runs/%00", "/v1/runs/%ff", "/v1/events/a%00b/runs"] {
            assert_eq!(house.ask("GET", path, "").0, 400, "{path}");
        }
        for wrong in ["", "{}", r#"{"function":"\u0000"}"#, r#"{"function":""}"#, r#"{"function":"mail","if":"true"}"#]
        {
            assert_eq!(house.ask("POST", "/v1/cancellations", wrong).0, 400, "{wrong}");
        }
    });
}

#[test]
fn programs_send_events_with_the_event_key() {
    House::on_each_with("programs_send_events", &[("BILLHOOK_FUNCTIONS_EVENT_KEY", EVENT_KEY)], |house| {
        let send = |key: &str, body: &str| {
            // The content type does not matter: browsers send forms.
            let headers = [("content-type", "application/x-www-form-urlencoded")];
            let response =
                house.server.client().request("POST", &format!("/e/{key}"), &headers, body.as_bytes()).unwrap();
            let document: Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(document["status"], response.status, "{document}");
            (response.status, document)
        };
        let wrong = json!({ "status": 401, "message": "", "error": "Event key not found" });
        assert_eq!(send(&format!("{EVENT_KEY}x"), "{}"), (401, wrong));
        let body = json!([
            { "name": "app/one", "data": { "n": 1 }, "id": "first" },
            { "name": "app/two", "ts": "2026-01-31T12:00:00+01:00" },
            { "name": "app/three", "ts": 1_800_000_000_000_i64 - 1 },
        ]);
        let (status, sent) = send(EVENT_KEY, &body.to_string());
        assert_eq!((status, &sent["ids"][0], sent["ids"].as_array().map(Vec::len)), (200, &json!("first"), Some(3)));
        assert_eq!(send(EVENT_KEY, &body.to_string()).0, 200, "sent again");
        assert_eq!(send(EVENT_KEY, "[]").1["ids"], json!([]));
        for (bad, why) in [
            (r#"[{"name": "app/ok"}, {"name": ""}]"#, "event name is empty"),
            (r#"{"name": "stripe/invoice.paid"}"#, "reserved"),
            (r#"{"name": "app/ok", "ts": 1795188855}"#, "seconds"),
            ("nonsense", "must contain an event object"),
        ] {
            let (status, refused) = send(EVENT_KEY, bad);
            assert_eq!(
                (status, refused["error"].as_str().is_some_and(|error| error.contains(why))),
                (400, true),
                "{refused}"
            );
        }
        let sent = house.command(&["events", "send", "app/four", "--data", r#"{"n":4}"#, "--id", "fourth"]);
        assert!(sent.contains("app/four fourth is written"), "{sent}");
        let mut names = ids(&house.get("/v1/events"), "name").into_iter().map(str::to_owned).collect::<Vec<_>>();
        names.sort();
        // One of them was sent twice without an id.
        names.dedup();
        assert_eq!(names, ["app/four", "app/one", "app/three", "app/two"], "nothing of a refused request is kept");
        assert_eq!(house.get("/v1/events/first")["data"], json!({ "n": 1 }));
    });
}

#[test]
fn without_an_event_key_no_events_are_taken() {
    House::on_each("without_an_event_key", |house| {
        let refused = house.server.client().request("POST", "/e/", &[], b"{}").unwrap();
        assert_eq!(refused.status, 404);
        let refused = house.server.client().request("POST", "/e/anything", &[], b"{}").unwrap();
        assert_eq!((refused.status, refused.text().contains("functions.event_key")), (503, true));
    });
}

#[test]
fn a_signal_that_nobody_waits_for_is_told_so() {
    House::on_each("a_signal_that_nobody_waits_for", |house| {
        let (status, refused) = house.ask("POST", "/v1/signals", r#"{"signal":"approve","data":true}"#);
        assert_eq!((status, refused["error"].as_str()), (404, Some("no run waits for the signal approve")));
        assert_eq!(house.ask("POST", "/v1/signals", "{}").0, 400);
    });
}
