//! Webhook endpoints that Billhook looks after, at a simulated Stripe.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::metrics::Metrics;
use billhook_core::{Clock, ManualClock, Secret};
use billhook_mirror::endpoints::{EndpointError, Endpoints, Ensured, Standing, all_secrets, delivery_url, follow};
use billhook_mirror::{Applier, ApplierOptions, Ingest, IngestOptions, Receipt, Refusal};
use billhook_simulator::{ApiFault, ClockMode, Limit, Options, Simulator};
use billhook_store::Store;
use billhook_stripe::api::{
    Api, ApiError, ApiKey, ApiOptions, Limits, NewWebhookEndpoint, OnKeyRefused, Rate, WebhookEndpoint,
    WebhookEndpointChange,
};
use billhook_stripe::catalogue::api_version;
use billhook_stripe::signature::sign;
use jiff::{SignedDuration, Timestamp};

use crate::harness::{Mirror, on_each_store};

const START: i64 = 1_800_000_000;
const PUBLIC_URL: &str = "https://billhook.example.com";
const URL: &str = "https://billhook.example.com/webhooks";

struct World {
    stripe: Simulator,
    api: Api,
    store: Store,
    clock: Arc<ManualClock>,
    endpoints: Endpoints,
    _mirror: Mirror,
}

/// Runs a test on each database there is, each with a Stripe of its own.
fn in_each_world<F: Future<Output = ()>>(test: impl Fn(World) -> F) {
    on_each_store(async |mirror: Mirror| test(World::new(mirror)).await);
}

impl World {
    fn new(mirror: Mirror) -> Self {
        // It starts a runtime of its own, which a thread that drives one may not.
        let start = || Simulator::start(Options { clock: ClockMode::Manual(START), ..Options::default() }).unwrap();
        let stripe = std::thread::spawn(start).join().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_second(START).unwrap()));
        let options = ApiOptions {
            requests_per_second: Rate::Unlimited,
            on_key_refused: OnKeyRefused::Fail,
            limits: Limits { backoff_first_ms: 1, backoff_longest_ms: 2, attempts: 3, ..Limits::default() },
            ..ApiOptions::new(stripe.base_url(), ApiKey::Fixed(Secret::new("sk_test_simulator")))
        };
        let api = Api::new(options, Arc::<ManualClock>::clone(&clock), Arc::new(Metrics::new())).unwrap();
        let store = mirror.store.clone();
        let endpoints = Endpoints::new(api.clone(), store.clone(), Arc::<ManualClock>::clone(&clock));
        Self { stripe, api, store, clock, endpoints, _mirror: mirror }
    }

    fn advance_hours(&self, hours: i64) {
        self.stripe.account(|account| account.advance(hours * 3_600));
        self.clock.advance(SignedDuration::from_hours(hours));
    }

    fn day_later(&self) -> Timestamp {
        self.clock.now() + SignedDuration::from_hours(24)
    }

    async fn ensure(&self) -> Ensured {
        self.endpoints.ensure(PUBLIC_URL, api_version()).await.unwrap()
    }

    /// Ids at Stripe, sorted.
    async fn ids_at_stripe(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.api.list_webhook_endpoints().await.unwrap().into_iter().map(|one| one.id).collect();
        ids.sort();
        ids
    }

    /// An endpoint that somebody made by hand.
    async fn by_hand(&self, url: &str, version: &str) -> WebhookEndpoint {
        let new = NewWebhookEndpoint {
            url,
            api_version: version,
            enabled_events: &["customer.created"],
            description: "",
            metadata: &[],
        };
        self.api.create_webhook_endpoint(&new, &format!("by hand {url} {version}").replace(' ', "-")).await.unwrap()
    }

    /// A rotation whose endpoint Stripe makes without its answer ever arriving.
    async fn interrupted_rotation(&self) {
        self.stripe.faults().api("/v1/webhook_endpoints", ApiFault::HalfJson, Limit::Next(3));
        let error = self.endpoints.rotate().await.unwrap_err();
        assert!(matches!(error, EndpointError::Api(ApiError::Unavailable(_))), "{error}");
    }

    async fn managed(&self) -> Vec<Secret> {
        all_secrets(&self.store, &[]).await.unwrap()
    }

    fn ingest(&self, secrets: Vec<Secret>) -> Ingest {
        let metrics = Arc::new(Metrics::new());
        let clock = Arc::<ManualClock>::clone(&self.clock);
        let lanes = if self.store.dialect() == "sqlite" { 1 } else { 2 };
        let options = ApplierOptions {
            lanes,
            batch_deliveries_max: 16,
            memory_bytes_max: 1 << 20,
            livemode: None,
            account: String::new(),
            reads: None,
            router: None,
        };
        let applier = Applier::start(options, self.store.clone(), clock.clone(), metrics.clone());
        let options = IngestOptions {
            secrets,
            tolerance_seconds: 300,
            queue_deliveries_max: 16,
            queue_bytes_max: 1 << 20,
            batch_deliveries_max: 16,
            deadline_ms: 10_000,
            lag_seconds_max: 1_000_000,
        };
        Ingest::start(options, self.store.clone(), applier, clock, metrics)
    }

    async fn receive(&self, ingest: &Ingest, id: &str, secret: &Secret) -> Result<Receipt, Refusal> {
        let body = format!(r#"{{"id":"{id}","object":"event","type":"customer.created","created":{START}}}"#);
        let signature = sign(secret, self.clock.now().as_second(), body.as_bytes());
        ingest.receive(Some(&signature), body.into()).await
    }
}

#[test]
fn an_endpoint_is_made_once_and_its_secret_is_kept() {
    in_each_world(async |world| {
        let first = world.ensure().await;
        assert!(first.is_new && first.retiring.is_empty(), "{first:?}");
        let at_stripe = world.api.retrieve_webhook_endpoint(&first.id).await.unwrap();
        assert_eq!((at_stripe.url.as_str(), at_stripe.api_version.as_deref()), (URL, Some(api_version())));
        assert!(at_stripe.has_every_event() && at_stripe.is_enabled() && at_stripe.secret.is_none());
        let secrets = world.managed().await;
        assert!(secrets.len() == 1 && secrets[0].expose().starts_with("whsec_"), "{}", secrets.len());

        let again = world.ensure().await;
        assert_eq!(again, Ensured { id: first.id.clone(), is_new: false, is_repaired: false, retiring: vec![] });
        assert_eq!((world.ids_at_stripe().await, world.managed().await), (vec![first.id], secrets));
    });
}

#[test]
fn an_endpoint_whose_secret_is_unknown_is_replaced_and_removed_a_day_later() {
    in_each_world(async |world| {
        let old = world.by_hand(URL, api_version()).await;
        let other = world.by_hand("https://shop.example.com/hooks", api_version()).await;
        let ensured = world.ensure().await;
        assert_eq!(ensured.retiring, [(old.id.clone(), world.day_later())]);
        // What cannot be read is no secret, and above all not the empty one.
        assert_eq!(world.managed().await.len(), 1);
        world.advance_hours(23);
        assert_eq!(world.endpoints.remove_retired().await.unwrap(), [""; 0]);
        let again = world.ensure().await;
        assert_eq!(again.retiring, ensured.retiring, "the day does not begin anew");
        world.advance_hours(1);
        assert_eq!(world.endpoints.remove_retired().await.unwrap(), [old.id]);
        assert_eq!(world.endpoints.remove_retired().await.unwrap(), [""; 0]);
        let mut left = vec![ensured.id, other.id];
        left.sort();
        assert_eq!(world.ids_at_stripe().await, left);
    });
}

#[test]
fn another_version_or_another_public_url_is_another_endpoint() {
    in_each_world(async |world| {
        let old = world.endpoints.ensure(PUBLIC_URL, "2025-03-31.basil").await.unwrap();
        let newer = world.ensure().await;
        assert_eq!(newer.retiring, [(old.id.clone(), world.day_later())]);
        assert_eq!(world.managed().await.len(), 2);
        let moved = world.endpoints.ensure("https://new.example.com/", api_version()).await.unwrap();
        assert!(moved.is_new && moved.retiring.len() == 2, "{moved:?}");
        world.advance_hours(24);
        world.endpoints.remove_retired().await.unwrap();
        assert_eq!(world.ids_at_stripe().await, [moved.id]);
        assert_eq!(world.managed().await.len(), 1);
    });
}

#[test]
fn what_somebody_broke_is_repaired() {
    in_each_world(async |world| {
        let first = world.ensure().await;
        let events = ["customer.created"];
        for change in [
            WebhookEndpointChange { enabled: Some(false), ..Default::default() },
            WebhookEndpointChange { enabled_events: Some(&events), ..Default::default() },
        ] {
            world
                .api
                .update_webhook_endpoint(&first.id, &change, &format!("{change:?}").replace(' ', ""))
                .await
                .unwrap();
            let repaired = world.ensure().await;
            assert_eq!((repaired.id.as_str(), repaired.is_repaired), (first.id.as_str(), true));
            let at_stripe = world.api.retrieve_webhook_endpoint(&first.id).await.unwrap();
            assert!(at_stripe.is_enabled() && at_stripe.has_every_event(), "{at_stripe:?}");
        }
        world.api.delete_webhook_endpoint(&first.id).await.unwrap();
        let second = world.ensure().await;
        assert!(second.is_new && second.id != first.id);
        assert_eq!(world.managed().await.len(), 1, "the secret of what is gone is forgotten");
    });
}

#[test]
fn an_interrupted_creation_is_completed_and_not_repeated() {
    in_each_world(async |world| {
        let first = world.ensure().await;
        // Stripe makes the endpoint, and its answer never arrives.
        world.interrupted_rotation().await;
        let made = world.ids_at_stripe().await;
        assert_eq!((made.len(), world.managed().await.len()), (2, 1));
        let rotated = world.endpoints.rotate().await.unwrap();
        assert_eq!((world.ids_at_stripe().await, world.managed().await.len()), (made, 2));
        assert_eq!(rotated.retiring, [(first.id, world.day_later())]);
        // The next one is a new one again.
        world.endpoints.rotate().await.unwrap();
        assert_eq!(world.ids_at_stripe().await.len(), 3);
    });
}

#[test]
fn an_interrupted_creation_that_stays_so_leaves_no_orphan() {
    in_each_world(async |world| {
        let first = world.ensure().await;
        world.interrupted_rotation().await;
        let orphan = world.ids_at_stripe().await.into_iter().find(|id| *id != first.id).unwrap();
        world.advance_hours(30);
        // Not even the URL is the same by now.
        let moved = world.endpoints.ensure("https://new.example.com", api_version()).await.unwrap();
        assert!(moved.retiring.contains(&(orphan, world.day_later())), "{moved:?}");
        assert_eq!(moved.retiring.len(), 2);
    });
}

#[test]
fn a_completed_creation_that_was_removed_meanwhile_is_made_anew() {
    in_each_world(async |world| {
        let first = world.ensure().await;
        world.interrupted_rotation().await;
        let orphan = world.ids_at_stripe().await.into_iter().find(|id| *id != first.id).unwrap();
        world.api.delete_webhook_endpoint(&orphan).await.unwrap();
        let rotated = world.endpoints.rotate().await.unwrap();
        assert_ne!(rotated.id, orphan);
        assert!(world.ids_at_stripe().await.contains(&rotated.id));
    });
}

#[test]
fn rotation_keeps_both_secrets_for_a_day() {
    in_each_world(async |world| {
        assert!(matches!(world.endpoints.rotate().await, Err(EndpointError::Nothing)));
        let configured = Secret::new("whsec_configured");
        let ingest = world.ingest(vec![configured.clone()]);
        let following = tokio::spawn(follow(world.store.clone(), ingest.clone(), vec![configured.clone()]));
        let first = world.ensure().await;
        let old = world.managed().await.remove(0);
        let rotated = world.endpoints.rotate().await.unwrap();
        assert_eq!(rotated.retiring, [(first.id.clone(), world.day_later())]);
        let new = world.managed().await.into_iter().find(|secret| *secret != old).unwrap();
        // Another node's server takes the secrets up by itself.
        until(async || world.receive(&ingest, "evt_1", &new).await != Err(Refusal::BadSignature)).await;
        for (id, secret) in [("evt_2", &old), ("evt_3", &configured)] {
            assert_eq!(world.receive(&ingest, id, secret).await, Ok(Receipt::Accepted));
        }
        // Both deliver every event; it counts once.
        assert_eq!(world.receive(&ingest, "evt_2", &new).await, Ok(Receipt::Duplicate));

        world.advance_hours(24);
        assert_eq!(world.endpoints.remove_retired().await.unwrap(), [first.id]);
        assert_eq!(world.ids_at_stripe().await, std::slice::from_ref(&rotated.id));
        until(async || world.receive(&ingest, "evt_4", &old).await == Err(Refusal::BadSignature)).await;
        assert_eq!(world.receive(&ingest, "evt_5", &new).await, Ok(Receipt::Accepted));
        assert_eq!(world.ensure().await.id, rotated.id, "the next start does not undo it");
        following.abort();
        ingest.stop().await;
    });
}

#[test]
fn endpoints_are_listed_and_removed() {
    in_each_world(async |world| {
        let other = world.by_hand("https://shop.example.com/hooks", "2025-03-31.basil").await;
        let first = world.ensure().await;
        let second = world.endpoints.rotate().await.unwrap();
        let mut listed: Vec<_> = world
            .endpoints
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|one| (one.id, one.standing, one.is_managed))
            .collect();
        let mut expected = vec![
            (other.id.clone(), Standing::Active, false),
            (first.id.clone(), Standing::Retiring(world.day_later()), true),
            (second.id.clone(), Standing::Active, true),
        ];
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        expected.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(listed, expected);

        assert!(matches!(world.endpoints.remove(&other.id).await, Err(EndpointError::Unknown(_))));
        world.endpoints.remove(&first.id).await.unwrap();
        world.api.delete_webhook_endpoint(&second.id).await.unwrap();
        let gone = world.endpoints.list().await.unwrap().into_iter().find(|one| one.id == second.id).unwrap();
        assert_eq!(gone.standing, Standing::Gone);
        // Also what is gone at Stripe can be removed.
        world.endpoints.remove(&second.id).await.unwrap();
        assert_eq!((world.ids_at_stripe().await, world.managed().await), (vec![other.id], vec![]));
    });
}

#[test]
fn two_at_once_make_one_endpoint() {
    in_each_world(async |world| {
        let until = world.clock.now() + SignedDuration::from_secs(60);
        assert!(world.store.take_lease("webhook_endpoints", "another", world.clock.now(), until).await.unwrap());
        let busy = world.endpoints.ensure(PUBLIC_URL, api_version()).await;
        assert!(matches!(busy, Err(EndpointError::Busy)), "{busy:?}");
        world.store.drop_lease("webhook_endpoints", "another").await.unwrap();
        let (one, two) = tokio::join!(
            world.endpoints.ensure(PUBLIC_URL, api_version()),
            world.endpoints.ensure(PUBLIC_URL, api_version())
        );
        assert!(one.is_ok() || two.is_ok());
        assert_eq!(world.managed().await.len(), 1);
    });
}

#[test]
fn public_urls_are_checked() {
    for (public_url, expected) in [
        ("https://billhook.example.com", "https://billhook.example.com/webhooks"),
        ("https://example.com:8443/billhook/", "https://example.com:8443/billhook/webhooks"),
        ("http://localhost:8080", "http://localhost:8080/webhooks"),
    ] {
        assert_eq!(delivery_url(public_url).unwrap(), expected);
    }
    for wrong in [
        "",
        "billhook.example.com",
        "https://",
        "https:///x",
        "ftp://x",
        "https://x?y",
        "https://x#y",
        "https://u@x",
        "https://a b",
    ] {
        assert!(matches!(delivery_url(wrong), Err(EndpointError::PublicUrl(_))), "{wrong}");
    }
}

async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap();
}
