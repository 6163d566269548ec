//! Webhooks: signed, retried, in order, and broken on request.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use billhook_core::Secret;
use billhook_simulator::{DeliveryOptions, EndpointOptions, EventFault, Limit, Options, Payload, Simulator};
use billhook_stripe::signature::Verifier;
use billhook_testkit::sign::now;
use serde_json::{Value, json};

use crate::client::{Caller, simulator, start};

const SECRET: &str = "whsec_1f0c9a07be52d863b1f0a9e47c5d2e8a90b7f3c6";
const LONG: Duration = Duration::from_secs(20);

/// A delivery as it arrived.
#[derive(Clone)]
struct Arrived {
    signature: String,
    body: Vec<u8>,
}

impl Arrived {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Receives deliveries and answers with the statuses of a script, then with 200.
struct Receiver {
    url: String,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Receiver {
    fn new(script: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/hook?x=1", listener.local_addr().unwrap());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.iter().rev().copied().collect::<Vec<u16>>()));
        let shared = Arc::clone(&arrived);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, script) = (Arc::clone(&shared), Arc::clone(&script));
                thread::spawn(move || serve(stream.unwrap(), &shared, &script));
            }
        });
        Self { url, arrived }
    }

    fn all(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }

    /// The ids of the objects that the deliveries are about.
    fn objects(&self) -> Vec<String> {
        self.all().iter().map(|arrived| arrived.json()["data"]["object"]["id"].as_str().unwrap().to_owned()).collect()
    }
}

fn serve(mut stream: TcpStream, arrived: &Mutex<Vec<Arrived>>, script: &Mutex<Vec<u16>>) {
    let mut buffer = Vec::new();
    loop {
        let head_end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            let mut part = [0; 4096];
            match stream.read(&mut part) {
                Ok(0) | Err(_) => return,
                Ok(read) => buffer.extend_from_slice(&part[..read]),
            }
        };
        let head = String::from_utf8(buffer[..head_end].to_vec()).unwrap().to_ascii_lowercase();
        let header = |name: &str| {
            let line = head.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_once(": ").unwrap().1.to_owned()
        };
        let length: usize = header("content-length").parse().unwrap();
        while buffer.len() < head_end + length {
            let mut part = [0; 4096];
            let read = stream.read(&mut part).unwrap();
            buffer.extend_from_slice(&part[..read]);
        }
        let body = buffer[head_end..head_end + length].to_vec();
        buffer.drain(..head_end + length);
        arrived.lock().unwrap().push(Arrived { signature: header("stripe-signature"), body });
        let status = script.lock().unwrap().pop().unwrap_or(200);
        if status == 0 {
            return;
        }
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

fn customers(simulator: &Simulator, count: usize) -> Vec<String> {
    simulator.account(|account| {
        let ids: Vec<String> = (0..count).map(|at| format!("cus_{at}")).collect();
        for id in &ids {
            account.insert(json!({"id": id, "object": "customer"}), Some("customer.created"));
        }
        ids
    })
}

#[test]
fn deliveries_are_signed_and_come_in_order() {
    let receiver = Receiver::new(&[]);
    let simulator = simulator();
    let options = EndpointOptions::new(&receiver.url, SECRET);
    let (endpoint, _) = simulator.account(|account| account.add_endpoint(&options));
    let ids = customers(&simulator, 50);
    simulator.settle();
    assert_eq!(receiver.objects(), ids);
    let old = Verifier::new(&[Secret::new(SECRET)]);
    for arrived in receiver.all() {
        assert!(old.verify(&arrived.signature, &arrived.body, now(), 60).is_ok());
    }
    // The Events API says that they were delivered.
    let mut caller = Caller::new(&simulator);
    assert_eq!(caller.walk("/v1/events?delivery_success=true&limit=100").len(), 50);
    assert_eq!(caller.walk("/v1/events?delivery_success=false").len(), 0);

    // While a secret is rolled both sign; afterwards only the new one.
    let rolled = simulator.account(|account| account.roll_secret(&endpoint, 3_600)).unwrap();
    customers(&simulator, 1);
    simulator.settle();
    let last = receiver.all().pop().unwrap();
    assert_eq!(last.signature.matches(",v1=").count(), 2);
    let new = Verifier::new(&[Secret::new(rolled)]);
    assert!(old.verify(&last.signature, &last.body, now(), 60).is_ok());
    assert!(new.verify(&last.signature, &last.body, now(), 60).is_ok());
    let last_secret = simulator.account(|account| account.roll_secret(&endpoint, 0)).unwrap();
    customers(&simulator, 1);
    simulator.settle();
    let last = receiver.all().pop().unwrap();
    let only = Verifier::new(&[Secret::new(last_secret)]);
    assert_eq!(last.signature.matches(",v1=").count(), 1);
    assert!(only.verify(&last.signature, &last.body, now(), 60).is_ok());
}

#[test]
fn failures_are_retried_and_then_given_up() {
    let receiver = Receiver::new(&[500, 302, 404, 0]);
    let simulator = simulator();
    simulator.account(|account| account.add_endpoint(&EndpointOptions::new(&receiver.url, SECRET)));
    customers(&simulator, 1);
    assert!(simulator.settle_all(LONG));
    // Four failures and the success, all with the same event.
    let bodies: Vec<Value> = receiver.all().iter().map(Arrived::json).collect();
    assert_eq!(bodies.len(), 5);
    assert!(bodies.iter().all(|body| body["id"] == bodies[0]["id"]));

    let delivery = DeliveryOptions { attempts_max: 3, ..DeliveryOptions::quick() };
    let receiver = Receiver::new(&[500; 10]);
    let simulator = Simulator::start(Options { delivery, ..Options::default() }).unwrap();
    simulator.account(|account| account.add_endpoint(&EndpointOptions::new(&receiver.url, SECRET)));
    customers(&simulator, 1);
    assert!(simulator.settle_all(LONG));
    assert_eq!(receiver.all().len(), 3);
    let mut caller = Caller::new(&simulator);
    assert_eq!(caller.walk("/v1/events?delivery_success=false").len(), 1);
}

#[test]
fn an_endpoint_gets_what_it_asked_for_in_its_version() {
    let (all, thin, some) = (Receiver::new(&[]), Receiver::new(&[]), Receiver::new(&[]));
    let simulator = simulator();
    simulator.account(|account| {
        account.add_endpoint(&EndpointOptions {
            api_version: Some("2025-03-31.basil".to_owned()),
            ..EndpointOptions::new(&all.url, SECRET)
        });
        account.add_endpoint(&EndpointOptions { payload: Payload::Thin, ..EndpointOptions::new(&thin.url, SECRET) });
        let enabled_events = vec!["invoice.paid".to_owned()];
        account.add_endpoint(&EndpointOptions { enabled_events, ..EndpointOptions::new(&some.url, SECRET) });
    });
    customers(&simulator, 1);
    simulator.settle();
    assert_eq!(all.all()[0].json()["api_version"], "2025-03-31.basil");
    assert_eq!(all.all()[0].json()["pending_webhooks"], 1);
    assert_eq!(thin.all()[0].json()["object"], "v2.core.event");
    assert_eq!(thin.all()[0].json()["snapshot_event"], all.all()[0].json()["id"]);
    assert_eq!((all.all().len(), thin.all().len(), some.all().len()), (1, 1, 0));
}

#[test]
fn endpoints_are_managed_over_the_api() {
    let receiver = Receiver::new(&[]);
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let form = format!(
        "url={}&enabled_events[]=customer.created&api_version=2025-03-31.basil&metadata[by]=test",
        receiver.url
    );
    let (status, created) = caller.post("/v1/webhook_endpoints", &form);
    assert_eq!(status, 200, "{created}");
    assert!(created["secret"].as_str().is_some_and(|secret| secret.starts_with("whsec_")));
    let path = format!("/v1/webhook_endpoints/{}", created["id"].as_str().unwrap());
    let read = caller.get(&path);
    assert_eq!((read.get("secret"), &read["status"]), (None, &json!("enabled")));
    assert_eq!(read["metadata"], json!({"by": "test"}));
    assert_eq!(caller.get("/v1/webhook_endpoints")["data"][0], read);
    assert_eq!(caller.post("/v1/webhook_endpoints", "url=ftp://x&enabled_events[]=*").0, 400);
    assert_eq!(caller.post("/v1/webhook_endpoints", "url=http://x&enabled_events[]=no.such").0, 400);
    assert_eq!(caller.post("/v1/webhook_endpoints", "url=http://x").0, 400);
    assert_eq!(caller.post(&path, "api_version=2025-03-31.basil").0, 400);
    customers(&simulator, 1);
    simulator.settle();
    let verifier = Verifier::new(&[Secret::new(created["secret"].as_str().unwrap())]);
    let arrived = receiver.all();
    assert!(verifier.verify(&arrived[0].signature, &arrived[0].body, now(), 60).is_ok());
    // Disabled and deleted endpoints get nothing.
    assert_eq!(caller.post(&path, "disabled=true").1["status"], "disabled");
    customers(&simulator, 1);
    caller.post(&path, "disabled=false");
    let gone = caller.request("DELETE", &path, &[], "").unwrap();
    assert_eq!(gone.status, 200);
    customers(&simulator, 1);
    assert!(simulator.settle_all(LONG));
    assert_eq!(receiver.all().len(), 1);
    assert_eq!(caller.get(&path)["deleted"], true);
}

#[test]
fn deliveries_are_dropped_doubled_delayed_and_reordered() {
    let receiver = Receiver::new(&[]);
    let simulator = simulator();
    simulator.account(|account| account.add_endpoint(&EndpointOptions::new(&receiver.url, SECRET)));
    let faults = simulator.faults();
    faults.events("customer.", EventFault::Drop, Limit::Next(1));
    let ids = customers(&simulator, 2);
    assert!(simulator.settle_all(LONG));
    assert_eq!(receiver.objects(), ids[1..]);
    let mut caller = Caller::new(&simulator);
    assert_eq!(caller.walk("/v1/events").len(), 2, "a dropped delivery is an event all the same");
    assert_eq!(caller.walk("/v1/events?delivery_success=false").len(), 1);

    let doubled = faults.events("", EventFault::Duplicate, Limit::Next(1));
    customers(&simulator, 1);
    assert!(simulator.settle_all(LONG));
    assert_eq!(receiver.all().len(), 3);
    assert_eq!(receiver.all()[1].json()["id"], receiver.all()[2].json()["id"]);
    assert_eq!(faults.fired(doubled), 1);

    faults.events("", EventFault::Delay(Duration::from_millis(300)), Limit::Next(1));
    let ids = customers(&simulator, 2);
    assert!(simulator.settle_all(LONG));
    assert_eq!(receiver.objects()[3..], [ids[1].clone(), ids[0].clone()]);

    faults.events("", EventFault::Reorder(Duration::from_millis(200)), Limit::Always);
    let ids = customers(&simulator, 30);
    assert!(simulator.settle_all(LONG));
    let got = receiver.objects()[5..].to_vec();
    assert_ne!(got, ids);
    let (mut got, mut ids) = (got, ids);
    got.sort();
    ids.sort();
    assert_eq!(got, ids);
}

#[test]
fn an_endpoint_that_is_down_gets_everything_when_it_is_back() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let simulator = start(Options::default());
    let options = EndpointOptions::new(&format!("http://{address}/hook"), SECRET);
    simulator.account(|account| account.add_endpoint(&options));
    customers(&simulator, 20);
    simulator.settle();
    assert_eq!(simulator.undelivered(), 20);
    let listener = TcpListener::bind(address).unwrap();
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let shared = Arc::clone(&arrived);
    thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &shared, &Mutex::new(Vec::new()));
        }
    });
    assert!(simulator.settle_all(LONG));
    assert_eq!(arrived.lock().unwrap().len(), 20);
}
