//! Webhook endpoints keep their secrets, and show them to nobody by accident.

use billhook_core::Secret;
use billhook_store::WebhookEndpoint;

use crate::harness::at;

fn endpoint(id: &str, secret: &str, created_at: i64) -> WebhookEndpoint {
    WebhookEndpoint {
        id: id.to_owned(),
        url: "https://example.com/webhooks".to_owned(),
        api_version: "2026-10-28.endive".to_owned(),
        secret: Secret::new(secret),
        created_at: at(created_at),
        retire_at: None,
    }
}

on_both! {
    async fn an_endpoint_is_kept_with_its_secret(database) {
        let database = database.migrated().await;
        let (old, new) = (endpoint("we_2", "whsec_canary_old", 100), endpoint("we_1", "whsec_canary_new", 200));
        for endpoint in [&new, &old] {
            database.store.save_endpoint(endpoint).await.expect("written");
        }
        assert_eq!(database.store.list_endpoints().await.expect("read"), [old.clone(), new.clone()]);
        let retiring = WebhookEndpoint { retire_at: Some(at(900)), secret: Secret::new("whsec_other"), ..old };
        database.store.save_endpoint(&retiring).await.expect("written");
        assert_eq!(database.store.list_endpoints().await.expect("read"), [retiring, new]);
    }

    async fn a_removed_endpoint_takes_its_secret_along(database) {
        let database = database.migrated().await;
        database.store.save_endpoint(&endpoint("we_1", "whsec_canary", 100)).await.expect("written");
        assert!(database.store.remove_endpoint("we_1").await.expect("removed"));
        assert!(!database.store.remove_endpoint("we_1").await.expect("removed"));
        assert!(database.store.list_endpoints().await.expect("read").is_empty());
    }

    async fn a_secret_is_not_shown(database) {
        let database = database.migrated().await;
        let canary = endpoint("we_1", "whsec_canary", 100);
        database.store.save_endpoint(&canary).await.expect("written");
        let listed = database.store.list_endpoints().await.expect("read");
        let drop = format!("DROP TABLE {}", database.own("webhook_endpoints"));
        database.execute(&drop, &drop).await;
        let error = database.store.save_endpoint(&canary).await.expect_err("the table is gone");
        for shown in [format!("{listed:?}"), format!("{canary:#?}"), format!("{error}"), format!("{error:?}")] {
            assert!(!shown.contains("canary"), "{shown}");
        }
    }
}
