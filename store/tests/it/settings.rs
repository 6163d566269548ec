//! The database's own settings are written once.

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
}
