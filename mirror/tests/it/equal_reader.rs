//! The reader: one process at a time, and everything goes on by itself.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_mirror::equal::{Reader, ReaderLease, ReaderOptions};
use billhook_simulator::{ApiFault, Limit};

use crate::world::{World, customer, in_each_world, rename};

fn lease(world: &World, holder: &str) -> ReaderLease {
    let clock: Arc<dyn Clock> = world.parts.clock.clone();
    ReaderLease::start(world.mirror.store.clone(), holder.to_owned(), clock)
}

async fn until_active(world: &World, lease: &ReaderLease) {
    let mut active = lease.active();
    world.wait_until("the lease is held", async || *active.borrow_and_update()).await;
}

#[test]
fn one_process_reads_and_another_takes_over() {
    in_each_world(async |world: World| {
        let first = lease(&world, "one");
        until_active(&world, &first).await;
        let second = lease(&world, "two");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(!*second.active().borrow(), "the lease is held");
        first.stop().await;
        assert!(!*first.active().borrow());
        until_active(&world, &second).await;
        let third = lease(&world, "three");
        // The second one is dead, for all anybody knows: its lease runs out.
        drop(second);
        world.advance(11);
        until_active(&world, &third).await;
        third.stop().await;
    });
}

#[test]
fn the_reader_recovers_what_was_not_delivered_and_reads_what_is_marked() {
    in_each_world(async |world: World| {
        let lease = lease(&world, "one");
        let options = ReaderOptions { interval: Duration::from_millis(50), ..ReaderOptions::default() };
        let reader = Reader::start(options, world.parts.clone(), lease.active());
        let told = world.at_stripe(|account| customer(account, "told", Some("customer.created")));
        let thin = world.at_stripe(|account| {
            let id = customer(account, "only a thin event", None);
            let object = account.get("customer", &id).unwrap();
            account.emit_thin("v1.customer.something_new", Some(&object), None);
            id
        });
        world.advance(30);
        world
            .wait_until("both are there", async || {
                world.mirror.object("customers", &told).await.is_some()
                    && world.mirror.object("customers", &thin).await.is_some()
            })
            .await;
        assert_eq!(world.differences("customer").await, [""; 0]);
        world.wait_until("the metrics tell", async || world.metric("billhook_reader_active") == 1.0).await;
        let status = reader.status();
        assert!(status.active && status.paused.is_none() && status.complete.is_some(), "{status:?}");

        // Stripe is away, and comes back.
        world.stripe.faults().api("/v1/events", ApiFault::Reset, Limit::Always);
        world.at_stripe(|account| rename(account, &told, "meanwhile", Some("customer.updated")));
        world
            .wait_until("the failure shows", async || {
                reader.status().failures.iter().any(|(chore, _)| *chore == "catch-up")
            })
            .await;
        world.stripe.faults().clear();
        world.advance(10);
        world
            .wait_until("it has gone on", async || {
                world.mirror.object("customers", &told).await.unwrap()["name"] == "meanwhile"
            })
            .await;
        world.wait_until("nothing fails", async || reader.status().failures.is_empty()).await;

        // Without the lease nothing is read.
        lease.stop().await;
        world.wait_until("it knows", async || !reader.status().active).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let before = world.stripe.oracle().requests_total();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(world.stripe.oracle().requests_total(), before);
        reader.stop().await;
        assert_eq!(world.metric("billhook_reader_active"), 0.0);
    });
}
