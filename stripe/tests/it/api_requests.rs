//! What requests carry, and what answers become.

use std::sync::Arc;

use billhook_core::metrics::Metrics;
use billhook_core::{ManualClock, Secret, SystemClock};
use billhook_stripe::api::{Api, ApiError, ApiKey, ApiOptions, Class, Get, Limits};
use jiff::Timestamp;
use tokio::io::AsyncReadExt;

use crate::api_server::{DATE, KEY, Reply, Server, api, get, json, ok, quick};

#[tokio::test]
async fn a_read_carries_its_version_key_and_name_and_keeps_its_connection() {
    let server = Server::script(vec![ok()]).await;
    let api = server.api();
    let query = [("limit".to_owned(), "100".to_owned()), ("created[gte]".to_owned(), "5".to_owned())];
    for _ in 0..3 {
        let request = Get { path: "/v1/customers", query: &query, account: "", class: Class::Backfill };
        let answer = api.get(&request).await.unwrap();
        assert_eq!(&answer.body[..], br#"{"id":"cus_1","object":"customer"}"#);
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|one| one.connection == 0), "{asked:?}");
    let one = &asked[0];
    assert_eq!((one.method.as_str(), one.target.as_str()), ("GET", "/v1/customers?limit=100&created%5Bgte%5D=5"));
    assert_eq!(one.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    assert_eq!(one.header("stripe-version"), Some("2026-10-28.endive"));
    assert_eq!(one.header("user-agent"), Some(concat!("billhook/", env!("CARGO_PKG_VERSION"))));
    for absent in ["stripe-account", "stripe-context", "idempotency-key", "content-type", "cookie", "referer"] {
        assert_eq!(one.header(absent), None, "{absent}");
    }
}

#[tokio::test]
async fn accounts_and_contexts_go_into_their_headers() {
    let server = Server::script(vec![ok()]).await;
    let own = api(server.options());
    let connected = api(ApiOptions { account: Some("acct_own".to_owned()), ..server.options() });
    for (api, path, account, header, value) in [
        (&own, "/v1/customers", "acct_1", "stripe-account", "acct_1"),
        (&own, "/v2/core/accounts", "acct_1", "stripe-context", "acct_1"),
        (&own, "/v1/customers", "wksp_1/acct_1", "stripe-context", "wksp_1/acct_1"),
        (&connected, "/v1/customers", "", "stripe-account", "acct_own"),
        (&connected, "/v1/customers", "acct_2", "stripe-account", "acct_2"),
    ] {
        api.get(&Get { path, query: &[], account, class: Class::Interactive }).await.unwrap();
        let asked = server.asked().pop().unwrap();
        let sent: Vec<_> = ["stripe-account", "stripe-context"].map(|name| (name, asked.header(name))).into();
        assert!(sent.contains(&(header, Some(value))), "{path} {account}: {sent:?}");
        assert_eq!(sent.iter().filter(|(_, value)| value.is_some()).count(), 1, "{path} {account}: {sent:?}");
    }
    let bad = Get { path: "/v1/x", query: &[], account: "acct_1\r\nX: y", class: Class::Interactive };
    assert!(matches!(own.get(&bad).await, Err(ApiError::Configuration(_))));
}

#[tokio::test]
async fn a_write_sends_a_form_with_its_idempotency_key() {
    let server = Server::script(vec![ok()]).await;
    let api = server.api();
    let form =
        [("enabled_events[]".to_owned(), "*".to_owned()), ("url".to_owned(), "https://x.example/a?b=c".to_owned())];
    api.post("/v1/webhook_endpoints", &form, "key-1").await.unwrap();
    api.delete("/v1/webhook_endpoints/we_1").await.unwrap();
    let asked = server.asked();
    assert_eq!((asked[0].method.as_str(), asked[0].header("idempotency-key")), ("POST", Some("key-1")));
    assert_eq!(asked[0].header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked[0].body, "enabled_events%5B%5D=*&url=https%3A%2F%2Fx.example%2Fa%3Fb%3Dc");
    assert_eq!((asked[1].method.as_str(), asked[1].target.as_str()), ("DELETE", "/v1/webhook_endpoints/we_1"));
    for key in ["", "a b", &"x".repeat(256)] {
        assert!(matches!(api.post("/v1/x", &[], key).await, Err(ApiError::Configuration(_))), "{key}");
    }
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_read_has_stripes_time_less_the_round_trip() {
    let server = Server::script(vec![ok()]).await;
    let metrics = Arc::new(Metrics::new());
    // Our clock is a minute ahead of Stripe's.
    let clock = Arc::new(ManualClock::new(Timestamp::from_second(DATE.1 + 60).unwrap()));
    let api = Api::new(server.options(), clock, Arc::clone(&metrics)).unwrap();
    let answer = get(&api, "/v1/customers/cus_1").await.unwrap();
    assert_eq!((answer.date, answer.request_id.as_deref()), (DATE.1, Some("req_0")));
    assert!(answer.read_at < DATE.1 && answer.read_at >= DATE.1 - 60, "{}", answer.read_at);
    assert_eq!(metrics.api_clock_skew_seconds.get(), 60);
    let text = metrics.encode();
    assert!(text.contains(r#"billhook_api_requests_total{outcome="answered"} 1"#), "{text}");
    assert!(text.contains("billhook_api_request_seconds_count 1"), "{text}");
}

#[tokio::test]
async fn pages_name_their_elements_and_never_lead_to_another_host() {
    let server = Server::start(|asked| {
        if asked.target.contains("page=2") {
            json(200, r#"{"data":[{"id":"b"}],"next_page_url":"https://evil.example/v2/core/events?page=3"}"#)
        } else {
            json(200, r#"{"data":[{"id":"a"}],"next_page_url":"/v2/core/events?page=2"}"#)
        }
    })
    .await;
    let api = server.api();
    let first = get(&api, "/v2/core/events").await.unwrap();
    let page = first.page().unwrap();
    assert_eq!((page.elements[0].get(), page.has_more), (r#"{"id":"a"}"#, true));
    let path = api.next_page_path(page.next_page_url.as_deref().unwrap()).unwrap();
    let second = get(&api, &path).await.unwrap();
    assert_eq!(server.asked()[1].target, "/v2/core/events?page=2");
    let foreign = second.page().unwrap().next_page_url.unwrap();
    let error = api.next_page_path(&foreign).unwrap_err().to_string();
    assert!(error.contains("evil.example"), "{error}");
    let error = get(&api, &foreign).await.unwrap_err();
    assert!(matches!(error, ApiError::Configuration(_)), "{error}");
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn an_answer_that_is_no_list_says_so_with_its_request() {
    let server = Server::script(vec![ok()]).await;
    let answer = get(&server.api(), "/v1/customers").await.unwrap();
    let error = answer.page().unwrap_err();
    assert_eq!(error.request_id(), Some("req_0"));
    assert!(error.to_string().contains("/v1/customers"), "{error}");
}

#[tokio::test]
async fn a_base_with_https_is_asked_in_tls_only() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("https://{}", listener.local_addr().unwrap());
    let seen = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; 4096];
        let length = stream.read(&mut bytes).await.unwrap();
        bytes.truncate(length);
        bytes
    });
    let limits = Limits { attempts: 1, ..quick() };
    let options = ApiOptions { limits, ..ApiOptions::new(base, ApiKey::Fixed(Secret::new(KEY))) };
    let error = get(&api(options), "/v1/customers").await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable(_)), "{error}");
    let hello = seen.await.unwrap();
    assert_eq!(hello[..2], [0x16, 0x03], "no TLS handshake");
    assert!(hello.windows(3).any(|window| window == b"\x02h2"), "HTTP/2 is not offered");
}

#[test]
fn clients_are_not_made_of_wrong_settings() {
    let key = || ApiKey::Fixed(Secret::new(KEY));
    let options = [
        ApiOptions::new("http://api.stripe.com", key()),
        ApiOptions::new("https://api.stripe.com", ApiKey::Fixed(Secret::new("pk_live_canary"))),
        ApiOptions::new("https://api.stripe.com", ApiKey::File("/nonexistent/key".into())),
        ApiOptions { version: "2026\r\nX: y".to_owned(), ..ApiOptions::new("https://api.stripe.com", key()) },
    ];
    for options in options {
        let error = Api::new(options, Arc::new(SystemClock), Arc::new(Metrics::new())).unwrap_err();
        assert!(matches!(&error, ApiError::Configuration(text) if !text.contains("canary")), "{error}");
    }
    for (key, livemode) in [("sk_live_1", Some(true)), ("rk_test_1", Some(false)), ("sk_1", None)] {
        let options = ApiOptions::new("https://api.stripe.com", ApiKey::Fixed(Secret::new(key)));
        assert_eq!(api(options).livemode(), livemode);
    }
}

#[tokio::test]
async fn packed_answers_are_unpacked_within_the_bound() {
    // 34 MB of spaces in 33 kB, around a valid object; and a small one.
    let small = gzip_stored(br#"{"id":"cus_1"}"#);
    let bomb = include_bytes!("bomb.json.gz").to_vec();
    let packed =
        |body: Vec<u8>| Reply::Answer { status: 200, headers: vec![("Content-Encoding", "gzip".to_owned())], body };
    let server = Server::script(vec![packed(small), packed(bomb)]).await;
    let api = server.api();
    assert_eq!(&get(&api, "/v1/x").await.unwrap().body[..], br#"{"id":"cus_1"}"#);
    assert_eq!(server.asked()[0].header("accept-encoding"), Some("gzip"));
    let error = get(&api, "/v1/x").await.unwrap_err();
    assert!(matches!(error, ApiError::TooLarge(_)), "{error}");
    assert_eq!(server.asked().len(), 2, "an answer that is too large is not asked for again");
}

/// A gzip file whose one block is not compressed.
fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap();
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    let head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    [
        &head[..],
        &length.to_le_bytes(),
        &(!length).to_le_bytes(),
        bytes,
        &(!crc).to_le_bytes(),
        &u32::from(length).to_le_bytes(),
    ]
    .concat()
}
