//! The Events API.

use billhook_simulator::{EventFault, Limit};
use serde_json::{Value, json};

use crate::client::{Caller, ids_of, simulator};

const DAY: i64 = 86_400;

#[test]
fn changes_become_events_with_what_was_before() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        account.insert(
            json!({"id": "cus_1", "object": "customer", "name": null, "metadata": {"a": "1"}}),
            Some("customer.created"),
        );
        account.advance(1);
        account
            .update("customer", "cus_1", Some("customer.updated"), |customer| {
                customer.insert("name".to_owned(), json!("Ada"));
                customer["metadata"]["b"] = json!("2");
            })
            .unwrap();
    });
    let page = caller.get("/v1/events");
    let updated = &page["data"][0];
    assert_eq!(updated["type"], "customer.updated");
    assert_eq!(updated["object"], "event");
    assert_eq!(updated["api_version"], billhook_stripe::catalogue::api_version());
    assert_eq!(updated["data"]["object"]["name"], "Ada");
    assert_eq!(updated["data"]["previous_attributes"], json!({"name": null, "metadata": {"b": null}}));
    assert_eq!(updated["request"], json!({"id": null, "idempotency_key": null}));
    let created = &page["data"][1];
    assert_eq!(created["data"].get("previous_attributes"), None);
    let id = created["id"].as_str().unwrap();
    assert_eq!(&caller.get(&format!("/v1/events/{id}")), created);
}

#[test]
fn events_page_in_both_directions_and_are_filtered() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| account.fill_events(45));
    let all = caller.walk("/v1/events?limit=7");
    assert_eq!(all.len(), 45);
    let mut ascending = vec![all.last().unwrap().clone()];
    loop {
        let page = caller.get(&format!("/v1/events?limit=7&ending_before={}", ascending.last().unwrap()));
        ascending.extend(ids_of(&page).into_iter().rev());
        if page["has_more"] == false {
            break;
        }
    }
    ascending.reverse();
    assert_eq!(ascending, all);
    assert_eq!(caller.walk("/v1/events?type=customer.updated&limit=100").len(), 22);
    assert_eq!(caller.walk("/v1/events?types[]=customer.updated&types[]=customer.created").len(), 45);
    assert_eq!(caller.walk("/v1/events?type=customer.*").len(), 45);
    assert_eq!(caller.walk("/v1/events?type=invoice.*").len(), 0);
    let middle = caller.get("/v1/events?limit=1&created[lt]=1782500000")["data"][0]["created"].as_i64().unwrap();
    let before = caller.walk(&format!("/v1/events?created[lte]={middle}")).len();
    let after = caller.walk(&format!("/v1/events?created[gt]={middle}")).len();
    assert_eq!(before + after, 45);
    let many: String = (0..21).map(|at| format!("&types[]=a.{at}")).collect();
    assert_eq!(caller.read(&format!("/v1/events?limit=1{many}")).0, 400);
}

#[test]
fn events_are_kept_thirty_days() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let id = simulator.account(|account| {
        account.insert(json!({"id": "cus_1", "object": "customer"}), Some("customer.created"));
        account.events().next().unwrap().id.clone()
    });
    simulator.account(|account| account.advance(30 * DAY - 1));
    assert_eq!(caller.ids("/v1/events"), std::slice::from_ref(&id));
    simulator.account(|account| account.advance(2));
    assert_eq!(caller.ids("/v1/events").len(), 0);
    assert_eq!(caller.read(&format!("/v1/events/{id}")).0, 404);
    assert_eq!(caller.read(&format!("/v1/events?starting_after={id}")).0, 200);
}

#[test]
fn what_was_never_generated_only_the_oracle_knows() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.faults().events("customer.", EventFault::NeverGenerated, Limit::Next(1));
    simulator.account(|account| {
        account.insert(json!({"id": "cus_1", "object": "customer"}), Some("customer.created"));
        account.insert(json!({"id": "cus_2", "object": "customer"}), Some("customer.created"));
    });
    let page = caller.get("/v1/events");
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    assert_eq!(page["data"][0]["data"]["object"]["id"], "cus_2");
    assert_eq!(caller.get("/v2/core/events")["data"].as_array().unwrap().len(), 1);
    let oracle = simulator.oracle();
    assert_eq!(oracle.events().iter().map(|event| event.generated).collect::<Vec<_>>(), [false, true]);
    assert!(oracle.get("customer", "cus_1").is_some());
}

#[test]
fn thin_events_name_their_object_and_their_twin() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        for at in 0..25 {
            account.insert(json!({"id": format!("cus_{at}"), "object": "customer"}), Some("customer.created"));
        }
    });
    let page = caller.get("/v2/core/events?limit=10");
    let event = &page["data"][0];
    assert_eq!(event["object"], "v2.core.event");
    assert_eq!(event["type"], "v1.customer.created");
    assert_eq!(event["related_object"], json!({"id": "cus_24", "type": "customer", "url": "/v1/customers/cus_24"}));
    assert_eq!(event["created"], "2026-07-02T14:00:00Z");
    let twin = event["snapshot_event"].as_str().unwrap();
    assert_eq!(caller.get(&format!("/v1/events/{twin}"))["data"]["object"]["id"], "cus_24");
    let id = event["id"].as_str().unwrap();
    assert_eq!(&caller.get(&format!("/v2/core/events/{id}")), event);
    let mut seen: Vec<Value> = Vec::new();
    let mut url = "/v2/core/events?limit=10".to_owned();
    loop {
        let page = caller.get(&url);
        seen.extend(page["data"].as_array().unwrap().iter().cloned());
        match page["next_page_url"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen.len(), 25);
    assert_eq!(caller.get("/v2/core/events?object_id=cus_3")["data"].as_array().unwrap().len(), 1);
}
