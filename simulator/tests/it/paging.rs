//! Pages together are the list: everything once, in order, in both directions.

use proptest::prelude::*;
use serde_json::json;

use crate::client::{Caller, ids_of, simulator};

/// Stores products whose `created` are the given seconds after a common start, and returns their ids, newest first.
fn products(simulator: &billhook_simulator::Simulator, seconds: &[i64]) -> Vec<(i64, String)> {
    simulator.account(|account| {
        let mut made = Vec::new();
        for (at, second) in seconds.iter().enumerate() {
            let id = format!("prod_{at}");
            account.insert(json!({"id": id, "object": "product", "created": second, "active": true}), None);
            made.push((*second, at, id));
        }
        made.sort_by_key(|made| std::cmp::Reverse((made.0, made.1)));
        made.into_iter().map(|(second, _, id)| (second, id)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn pages_are_the_list(
        seconds in prop::collection::vec(1_000_i64..1_020, 0..60),
        limit in 1_usize..=100,
        bounds in prop::option::of((1_000_i64..1_020, 1_000_i64..1_021)),
    ) {
        let simulator = simulator();
        let mut caller = Caller::new(&simulator);
        let all = products(&simulator, &seconds);
        let (range, wanted): (String, Vec<String>) = match bounds {
            None => (String::new(), all.iter().map(|(_, id)| id.clone()).collect()),
            Some((from, to)) => (
                format!("&created[gte]={from}&created[lt]={to}"),
                all.iter().filter(|(at, _)| (from..to).contains(at)).map(|(_, id)| id.clone()).collect(),
            ),
        };
        prop_assert_eq!(&caller.walk(&format!("/v1/products?limit={limit}{range}")), &wanted);

        // Backwards from the oldest: pages come in list order and together are everything before it.
        if let Some(oldest) = wanted.last() {
            let mut collected: Vec<String> = vec![oldest.clone()];
            loop {
                let page = caller.get(&format!("/v1/products?limit={limit}{range}&ending_before={}", collected[0]));
                let mut ids = ids_of(&page);
                ids.append(&mut collected);
                collected = ids;
                if page["has_more"] == false {
                    break;
                }
            }
            prop_assert_eq!(&collected, &wanted);
        }
    }
}

#[test]
fn every_bound_of_created_is_kept() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    products(&simulator, &[10, 20, 30]);
    let counts = [
        ("created[gt]=10", 2),
        ("created[gte]=10", 3),
        ("created[lt]=30", 2),
        ("created[lte]=30", 3),
        ("created=20", 1),
        ("created[gt]=10&created[lt]=30", 1),
        ("created[gt]=30&created[lt]=10", 0),
    ];
    for (query, count) in counts {
        assert_eq!(caller.ids(&format!("/v1/products?{query}")).len(), count, "{query}");
    }
}

#[test]
fn ten_is_the_default_and_a_hundred_the_most() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    products(&simulator, &(0..150).collect::<Vec<i64>>());
    assert_eq!(caller.ids("/v1/products").len(), 10);
    assert_eq!(caller.ids("/v1/products?limit=100").len(), 100);
    for limit in ["0", "101", "-1", "ten"] {
        let (status, body) = caller.read(&format!("/v1/products?limit={limit}"));
        assert_eq!((status, &body["error"]["param"]), (400, &json!("limit")), "{limit}");
    }
}

#[test]
fn a_cursor_that_is_gone_is_an_error_that_names_it() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    products(&simulator, &[1, 2, 3]);
    simulator.account(|account| account.remove("product", "prod_1", None)).unwrap();
    for (param, id) in [("starting_after", "prod_1"), ("ending_before", "prod_1"), ("starting_after", "prod_never")] {
        let (status, body) = caller.read(&format!("/v1/products?{param}={id}"));
        assert_eq!(status, 400);
        assert_eq!(body["error"]["code"], "resource_missing");
        assert_eq!(body["error"]["param"], param);
    }
    let (status, _) = caller.read("/v1/products?starting_after=prod_0&ending_before=prod_2");
    assert_eq!(status, 400);
}

#[test]
fn objects_that_come_while_paging_do_not_disturb() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    let before = products(&simulator, &(0..30).collect::<Vec<i64>>());
    let first = caller.ids("/v1/products?limit=10");
    simulator.account(|account| account.insert(json!({"id": "prod_new", "object": "product", "created": 99}), None));
    let rest = caller.walk(&format!("/v1/products?limit=10&starting_after={}", first[9]));
    let seen: Vec<String> = first.into_iter().chain(rest).collect();
    // The walk began after the cursor, so it must not bring the new object.
    assert_eq!(seen, before.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

#[test]
fn lists_of_the_second_api_name_their_next_page() {
    let simulator = simulator();
    let mut caller = Caller::new(&simulator);
    simulator.account(|account| {
        for _ in 0..25 {
            let object = account.plain("v2.core.event_destination");
            account.insert(object.into(), None);
        }
    });
    let mut url = "/v2/core/event_destinations?limit=10".to_owned();
    let mut ids = Vec::new();
    let mut pages = 0;
    loop {
        let page = caller.get(&url);
        ids.extend(ids_of(&page));
        pages += 1;
        match page["next_page_url"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    ids.sort();
    ids.dedup();
    assert_eq!((pages, ids.len()), (3, 25));
}
