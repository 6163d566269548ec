//! The account without a server.

use billhook_simulator::{Account, ClockMode, Options};
use serde_json::json;

fn account() -> Account {
    Account::new(&Options { clock: ClockMode::Manual(1_000), ..Options::default() })
}

#[test]
fn timers_run_in_order_and_see_their_own_time() {
    let mut account = account();
    account.insert(json!({"id": "log", "object": "product", "seen": []}), None);
    let note = |account: &mut Account| {
        let now = account.now();
        account
            .update("product", "log", None, |product| {
                product["seen"].as_array_mut().unwrap().push(json!(now));
            })
            .unwrap();
    };
    account.at(1_030, note);
    account.at(1_010, move |account| {
        note(account);
        // Due within the same movement of the clock.
        account.at(1_020, note);
        account.at(1_015, note);
    });
    account.at(1_500, note);
    account.advance(100);
    assert_eq!(account.get("product", "log").unwrap()["seen"], json!([1_010, 1_015, 1_020, 1_030]));
    assert_eq!((account.now(), account.next_task()), (1_100, Some(1_500)));
}

#[test]
fn a_timer_that_is_made_too_late_does_not_turn_time_back() {
    let mut account = account();
    account.advance(50);
    account.insert(json!({"id": "log", "object": "product"}), None);
    account.at(1_010, |account| {
        let now = account.now();
        account
            .update("product", "log", None, |product| {
                product.insert("seen".to_owned(), json!(now));
            })
            .unwrap();
    });
    account.run_due();
    assert_eq!(account.get("product", "log").unwrap()["seen"], 1_050);
}

#[test]
fn an_update_without_a_change_has_no_event() {
    let mut account = account();
    account.insert(json!({"id": "cus_1", "object": "customer", "name": "Ada"}), Some("customer.created"));
    account.update("customer", "cus_1", Some("customer.updated"), |_| {}).unwrap();
    assert!(account.update("customer", "cus_2", None, |_| {}).is_err());
    assert!(account.remove("customer", "cus_2", None).is_err());
    let simulator_events =
        |account: &mut Account| account.events().map(|event| event.event_type.clone()).collect::<Vec<_>>();
    assert_eq!(simulator_events(&mut account), ["customer.created"]);
    account
        .update("customer", "cus_1", Some("customer.updated"), |customer| {
            customer.insert("name".to_owned(), json!("Eve"));
        })
        .unwrap();
    account.remove("customer", "cus_1", Some("customer.deleted")).unwrap();
    assert_eq!(simulator_events(&mut account), ["customer.created", "customer.updated", "customer.deleted"]);
}

#[test]
fn ids_grow_with_time() {
    let mut account = account();
    for prefix in ["cus_", "in_", "pi_", "evt_"] {
        let early = account.new_id(prefix);
        account.advance(5);
        let late = account.new_id(prefix);
        assert!(early < late && early.starts_with(prefix), "{early} {late}");
    }
}
