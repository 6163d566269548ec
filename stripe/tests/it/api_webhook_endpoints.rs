//! Managing webhook endpoints.

use billhook_stripe::api::{ApiError, EVERY_EVENT, NewWebhookEndpoint, WebhookEndpointChange};

use crate::api_server::{Server, error, json, ok};

const URL: &str = "https://billhook.example/webhooks";

fn endpoint(id: &str, secret: &str) -> String {
    format!(
        r#"{{"id":"{id}","object":"webhook_endpoint","api_version":"2026-10-28.endive","created":1700000000,"description":null,
        "enabled_events":["*"],"livemode":false,"metadata":{{"made_by":"billhook"}},"status":"enabled","url":"{URL}"{secret}}}"#
    )
}

#[tokio::test]
async fn an_endpoint_is_made_with_a_pinned_version_and_tells_its_secret_once() {
    let made = endpoint("we_1", r#","secret":"whsec_canary""#);
    let server = Server::script(vec![json(200, &made)]).await;
    let new = NewWebhookEndpoint {
        url: URL,
        api_version: "2026-10-28.endive",
        enabled_events: &[EVERY_EVENT],
        description: "Billhook",
        metadata: &[("made_by", "billhook")],
    };
    let endpoint = server.api().create_webhook_endpoint(&new, "key-1").await.unwrap();
    assert_eq!(endpoint.secret.as_ref().unwrap().expose(), "whsec_canary");
    assert!(!format!("{endpoint:?}").contains("canary"));
    assert!(endpoint.is_enabled() && endpoint.has_every_event());
    let asked = server.asked().remove(0);
    assert_eq!(asked.header("idempotency-key"), Some("key-1"));
    assert_eq!(
        asked.body,
        "url=https%3A%2F%2Fbillhook.example%2Fwebhooks&api_version=2026-10-28.endive&description=Billhook&enabled_events%5B%5D=*\
         &metadata%5Bmade_by%5D=billhook"
    );
}

#[tokio::test]
async fn all_pages_of_endpoints_are_read_and_a_list_without_end_is_left() {
    let server = Server::start(|asked| {
        let more = asked.nth < 2;
        let elements = endpoint(&format!("we_{}", asked.nth), "");
        json(200, &format!(r#"{{"object":"list","has_more":{more},"data":[{elements}]}}"#))
    })
    .await;
    let ids: Vec<_> = server.api().list_webhook_endpoints().await.unwrap().into_iter().map(|one| one.id).collect();
    assert_eq!(ids, ["we_0", "we_1", "we_2"]);
    let targets: Vec<_> = server.asked().into_iter().map(|one| one.target).collect();
    assert_eq!(
        targets[1..],
        ["?limit=100&starting_after=we_0", "?limit=100&starting_after=we_1"]
            .map(|q| format!("/v1/webhook_endpoints{q}"))
    );

    let page = format!(r#"{{"has_more":true,"data":[{}]}}"#, endpoint("we_1", ""));
    let server = Server::script(vec![json(200, &page)]).await;
    assert_eq!(server.api().list_webhook_endpoints().await.unwrap().len(), 10);
}

#[tokio::test]
async fn endpoints_are_changed_read_and_deleted() {
    let server = Server::script(vec![
        json(200, &endpoint("we_1", "")),
        json(200, &endpoint("we_1", "")),
        json(200, r#"{"id":"we_1","object":"webhook_endpoint","deleted":true}"#),
        error(404, "invalid_request_error", "resource_missing", "No such webhook endpoint"),
        ok(),
        json(200, r#"{"id":"we_1","object":"webhook_endpoint","deleted":true}"#),
    ])
    .await;
    let api = server.api();
    let change =
        WebhookEndpointChange { enabled: Some(true), enabled_events: Some(&[EVERY_EVENT]), ..Default::default() };
    assert!(api.update_webhook_endpoint("we_1", &change, "key-2").await.unwrap().secret.is_none());
    assert_eq!(api.retrieve_webhook_endpoint("we_1").await.unwrap().id, "we_1");
    api.delete_webhook_endpoint("we_1").await.unwrap();
    assert!(matches!(api.delete_webhook_endpoint("we_1").await, Err(ApiError::NotFound(_))));
    // A customer is no webhook endpoint.
    let error = api.retrieve_webhook_endpoint("we/../1").await.unwrap_err();
    assert!(error.to_string().contains("no webhook endpoint"), "{error}");
    let asked: Vec<_> =
        server.asked().into_iter().map(|one| format!("{} {} {}", one.method, one.target, one.body)).collect();
    assert_eq!(asked[0], "POST /v1/webhook_endpoints/we_1 disabled=false&enabled_events%5B%5D=*");
    assert_eq!(asked[2], "DELETE /v1/webhook_endpoints/we_1 ");
    assert_eq!(asked[4], "GET /v1/webhook_endpoints/we%2F..%2F1 ");
}
