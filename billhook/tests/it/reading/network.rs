//! Faults N1 and N2: Stripe or the database cannot be reached for a while, and names that do not resolve.

use std::time::{Duration, Instant};

use billhook_testkit::proxy::{Fault, Proxy};
use billhook_testkit::sql;
use serde_json::{Value, json};

use super::world::{World, on_both, until};

/// After the network is well, everything must be well again within this time.
const HEALTHY: Duration = Duration::from_secs(30);

fn customers(world: &World, count: usize) {
    world.simulator.account(|account| {
        for _ in 0..count {
            let mut customer = account.plain("customer");
            customer.insert("email".to_owned(), json!("someone@example.test"));
            account.insert(Value::Object(customer), Some("customer.created"));
        }
    });
}

#[test]
fn n1_without_stripe_deliveries_go_on_and_reading_resumes() {
    on_both("n1_without_stripe_deliveries_go_on_and_reading_resumes", 51, |world| {
        let proxy = Proxy::start(world.simulator.address()).expect("a proxy");
        let world = world
            .impatient()
            .set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0")
            .set("STRIPE_API_BASE", &format!("http://{}", proxy.address()));
        world.simulator.account(|account| drop(account.fill_customers(3_000)));
        let server = world.serve();
        for fault in [Fault::Silence, Fault::Refuse] {
            let what = format!("N1 {fault:?}");
            proxy.set(fault);
            world.succeed(&["backfill", "customer", "--detach"]);
            customers(&world, 25);
            let stored = format!("SELECT count(*) FROM {}", sql::own_table(&world.url(), "inbox"));
            let before = world.number(&stored);
            customers(&world, 25);
            world.simulator.settle();
            assert!(world.number(&stored) >= before, "{what}: deliveries are taken meanwhile");
            let healed = Instant::now();
            proxy.set(Fault::None);
            world.assert_becomes_equal(&what);
            assert!(healed.elapsed() < HEALTHY * 3, "{what}: {:?}", healed.elapsed());
        }
        drop(server);
    });
}

#[test]
fn n2_a_host_that_does_not_resolve_harms_nothing_else() {
    on_both("n2_a_host_that_does_not_resolve_harms_nothing_else", 52, |world| {
        let base = world.simulator.base_url();
        let world = world.impatient().set("STRIPE_API_BASE", "https://api.stripe.invalid");
        let server = world.serve();
        customers(&world, 10);
        world.simulator.settle();
        until("the deliveries are rows", || (world.rows("customers") == 10).then_some(()));
        let ready = server.client().get("/readyz").expect("an answer");
        assert_eq!(ready.status, 200, "{}", ready.text());
        assert!(!server.log().contains("panicked"), "{}", server.log());
        drop(server);
        let world = world.set("STRIPE_API_BASE", &base);
        let server = world.serve();
        world.assert_becomes_equal("N2 with the right name again");
        drop(server);
    });
}
