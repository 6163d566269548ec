//! The same seed gives the same history.

use billhook_simulator::{Options, Simulator};
use serde_json::Value;

use crate::client::start;

fn history(seed: u64) -> (Vec<Value>, Vec<(String, String)>) {
    let simulator: Simulator = start(Options { seed, ..Options::default() });
    simulator.account(|account| {
        account.fill_customers(40);
        account.fill_invoices(20, 3);
        account.fill_events(20);
    });
    let oracle = simulator.oracle();
    let objects =
        oracle.kinds().flat_map(|kind| oracle.objects(kind).map(|(_, object)| object).collect::<Vec<_>>()).collect();
    let events = oracle.events().iter().map(|event| (event.id.clone(), event.object_id.clone())).collect();
    (objects, events)
}

#[test]
fn a_seed_decides_everything() {
    assert_eq!(history(7), history(7));
    assert_ne!(history(7).1, history(8).1);
}

#[test]
fn filled_objects_are_valid_and_about_as_large_as_real_ones() {
    let simulator = start(Options::default());
    simulator.account(|account| {
        account.fill_customers(200);
        account.fill_invoices(50, 2);
    });
    let oracle = simulator.oracle();
    let mut ids = Vec::new();
    for (id, customer) in oracle.objects("customer") {
        assert_eq!(customer["id"], *id);
        assert_eq!(customer["object"], "customer");
        let size = customer.to_string().len();
        assert!((1_000..1_600).contains(&size), "{size}");
        ids.push(id.to_owned());
    }
    assert_eq!(ids.len(), 200);
    for (id, invoice) in oracle.objects("invoice") {
        assert_eq!(invoice["id"], *id);
        assert_eq!(invoice["lines"]["data"].as_array().unwrap().len(), 2);
        assert!(ids.contains(&invoice["customer"].as_str().unwrap().to_owned()));
        let lines = invoice["lines"]["data"].as_array().unwrap();
        let sum: i64 = lines.iter().map(|line| line["amount"].as_i64().unwrap()).sum();
        assert_eq!(invoice["total"], sum);
    }
}
