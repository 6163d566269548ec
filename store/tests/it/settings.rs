//! The database's own settings, and leases that one node holds at a time.

use crate::harness::{Database, at};

async fn take(database: &Database, holder: &str, now: i64, until: i64) -> bool {
    database.store.take_lease("reader", holder, at(now), at(until)).await.expect("answered")
}

on_both! {
    async fn the_first_value_stands(database) {
        let database = database.migrated().await;
        assert_eq!(database.store.setting("mode").await.expect("read"), None);
        assert_eq!(database.store.pin_setting("mode", "test").await.expect("written"), "test");
        assert_eq!(database.store.pin_setting("mode", "live").await.expect("read"), "test");
        assert_eq!(database.store.setting("mode").await.expect("read").as_deref(), Some("test"));
    }

    async fn of_many_that_pin_at_once_all_get_the_same(database) {
        let database = database.migrated().await;
        let tasks: Vec<_> = (0..6)
            .map(|number| {
                let store = database.store.clone();
                tokio::spawn(async move { store.pin_setting("account", &format!("acct_{number}")).await.expect("pinned") })
            })
            .collect();
        let mut values = Vec::new();
        for task in tasks {
            values.push(task.await.expect("no panic"));
        }
        values.dedup();
        assert_eq!(values.len(), 1, "{values:?}");
    }

    async fn a_written_setting_replaces(database) {
        let database = database.migrated().await;
        for value in ["1", "2"] {
            database.store.write_setting("events_cursor", value).await.expect("written");
            assert_eq!(database.store.setting("events_cursor").await.expect("read").as_deref(), Some(value));
        }
    }

    async fn a_lease_has_one_holder_until_it_ends(database) {
        let database = database.migrated().await;
        assert!(take(&database, "a", 100, 110).await);
        assert!(!take(&database, "b", 109, 119).await);
        assert!(take(&database, "a", 109, 120).await, "its holder lengthens it");
        assert!(!take(&database, "b", 119, 130).await);
        assert!(take(&database, "b", 120, 130).await, "it has ended");
        assert!(!take(&database, "a", 121, 131).await);
    }

    async fn a_lease_is_given_back_by_its_holder_only(database) {
        let database = database.migrated().await;
        assert!(take(&database, "a", 100, 200).await);
        database.store.drop_lease("reader", "b").await.expect("answered");
        assert!(!take(&database, "b", 101, 201).await);
        database.store.drop_lease("reader", "a").await.expect("answered");
        assert!(take(&database, "b", 101, 201).await);
        assert!(database.store.take_lease("other", "a", at(101), at(201)).await.expect("answered"));
    }

    async fn of_many_that_want_a_lease_one_gets_it(database) {
        let database = database.migrated().await;
        let tasks: Vec<_> = (0..6)
            .map(|number| {
                let database = database.clone();
                tokio::spawn(async move { take(&database, &format!("node {number}"), 100, 200).await })
            })
            .collect();
        let mut taken = 0;
        for task in tasks {
            taken += usize::from(task.await.expect("no panic"));
        }
        assert_eq!(taken, 1);
    }
}
