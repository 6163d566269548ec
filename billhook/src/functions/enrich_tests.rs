use std::sync::Arc;

use billhook_core::metrics::Metrics;
use billhook_core::{Secret, SystemClock};
use billhook_flow::ALIASES;
use billhook_mirror::ApplyBatch;
use billhook_mirror::interpret::{Policy, interpret};
use billhook_mirror::route::AppliedEvent;
use billhook_simulator::business::call;
use billhook_simulator::routes::Method;
use billhook_simulator::versions::SHAPES;
use billhook_simulator::{Account, ClockMode, Options, Permission, Simulator};
use billhook_store::{Delivery, Location, Role};
use billhook_stripe::api::{ApiKey, ApiOptions, OnKeyRefused, Rate};
use billhook_stripe::catalogue;
use billhook_testkit::TestDatabase;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::functions::data::data;

/// 2027-01-10, noon. The month that follows has 31 days.
const START: i64 = 1_799_582_400;

const DAY_SECONDS: i64 = 86_400;

/// The first version that no longer says what a charge is for, and the newest one.
const BASIL: &str = SHAPES[2];
const CURRENT: &str = SHAPES[4];

/// An account in which a subscription was paid, not paid, and cancelled, beside an empty mirror.
struct World {
    stripe: Simulator,
    store: Store,
    customer: String,
    subscription: String,
    _database: TestDatabase,
}

/// Runs a test on both stores.
fn on_both<F: Future<Output = ()>>(test: &str, run: impl Fn(World) -> F) {
    for database in TestDatabase::both(test).expect("databases") {
        // It starts a runtime of its own, which a thread that drives one may not.
        let stripe = Simulator::start(Options { clock: ClockMode::Manual(START), ..Options::default() }).unwrap();
        let (customer, subscription) = stripe.account(live);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let store = open(&database).await;
            run(World { stripe, store, customer, subscription, _database: database }).await;
        });
    }
}

fn post(account: &mut Account, path: &str, form: &[(&str, &str)]) -> String {
    let made = call(account, Method::Post, path, form).unwrap_or_else(|error| panic!("POST {path}: {error}"));
    made["id"].as_str().unwrap().to_owned()
}

fn new_card(account: &mut Account, customer: &str, card: &str) {
    let method = post(account, &format!("/v1/payment_methods/{card}/attach"), &[("customer", customer)]);
    let form = [("invoice_settings[default_payment_method]", method.as_str())];
    post(account, &format!("/v1/customers/{customer}"), &form);
}

/// Every event that has a friendly name happens. Returns the customer and the subscription.
fn live(account: &mut Account) -> (String, String) {
    let customer = post(account, "/v1/customers", &[("name", "Ada Brandt"), ("email", "ada@example.com")]);
    new_card(account, &customer, "pm_card_visa");
    let product = post(account, "/v1/products", &[("name", "Pro")]);
    let terms = [("currency", "eur"), ("unit_amount", "2900"), ("recurring[interval]", "month")];
    let price = post(account, "/v1/prices", &[&terms[..], &[("product", product.as_str())]].concat());
    let form = [("customer", customer.as_str()), ("items[0][price]", price.as_str())];
    let subscription = post(account, "/v1/subscriptions", &form);
    new_card(account, &customer, "pm_card_chargeCustomerFail");
    account.advance(33 * DAY_SECONDS);
    call(account, Method::Delete, &format!("/v1/subscriptions/{subscription}"), &[]).unwrap();
    (customer, subscription)
}

pub async fn open(database: &TestDatabase) -> Store {
    let location = Location::from_url(&database.url());
    let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
    let options = billhook_store::Options { location, tables, catalogue_revision, role: Role::Server };
    let store = Store::open(options).await.unwrap();
    store.migrate().await.unwrap();
    store
}

pub fn delivery(body: &Value) -> Delivery {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &body["data"]["object"];
    Delivery {
        event_id: text(&body["id"]),
        event_type: text(&body["type"]),
        object: text(&object["object"]),
        object_id: text(&object["id"]),
        account: text(&body["account"]),
        api_version: text(&body["api_version"]),
        created: body["created"].as_i64(),
        livemode: Some(false),
        snapshot_event: String::new(),
        received_at: Timestamp::UNIX_EPOCH,
        secret_index: 0,
        raw: body.to_string().into(),
        sha256: [0; 32],
    }
}

/// The event that a function's run begins with, before it is completed.
fn routed(body: &Value) -> Event {
    let text = |name: &str| body[name].as_str().unwrap();
    let created = Timestamp::from_second(body["created"].as_i64().unwrap()).unwrap();
    let raw = body.to_string();
    let applied = AppliedEvent { id: text("id"), event_type: text("type"), created, raw: raw.as_bytes() };
    Event::new(text("id"), format!("stripe/{}", text("type")), data(&applied, body.clone()), created)
}

impl World {
    /// The last event of a type, as it is delivered in a version.
    fn event(&self, event_type: &str, version: &str) -> Value {
        self.stripe.account(|account| {
            let event = account.events().rev().find(|event| event.event_type == event_type);
            let event = event.unwrap_or_else(|| panic!("there is no event {event_type}"));
            serde_json::from_slice(&event.render(version, false, &*account)).unwrap()
        })
    }

    /// Everything that happened goes into the mirror, as it is delivered in a version.
    async fn mirror_all(&self, version: &str) {
        let bodies: Vec<Value> = self.stripe.account(|account| {
            let render = |event: &billhook_simulator::Event| event.render(version, false, &*account);
            account.events().map(|event| serde_json::from_slice(&render(event)).unwrap()).collect()
        });
        self.mirror(&bodies).await;
    }

    async fn mirror(&self, bodies: &[Value]) {
        self.store.insert_deliveries(bodies.iter().map(delivery).collect::<Vec<_>>()).await.unwrap();
        loop {
            let pending = self.store.pending_deliveries(Timestamp::MAX, Vec::new(), 1_000, 64 << 20).await.unwrap();
            if pending.is_empty() {
                return;
            }
            let policy = Policy::default();
            let deliveries = pending.iter().map(|delivery| interpret(delivery, None, &policy)).collect();
            self.store.transact(ApplyBatch { deliveries, policy, router: None, now: Timestamp::now() }).await.unwrap();
        }
    }

    fn api(&self, key: &str) -> Api {
        let mut options = ApiOptions::new(self.stripe.base_url(), ApiKey::Fixed(Secret::new(key)));
        options.requests_per_second = Rate::Unlimited;
        options.on_key_refused = OnKeyRefused::Fail;
        options.limits.backoff_first_ms = 5;
        options.limits.backoff_longest_ms = 20;
        options.limits.total_ms = 500;
        Api::new(options, Arc::new(SystemClock), Arc::new(Metrics::new())).unwrap()
    }

    fn with_api(&self) -> MirrorEnricher {
        MirrorEnricher::new(self.store.clone(), Some(self.api("sk_test_simulator")), String::new())
    }

    fn without_api(&self) -> MirrorEnricher {
        MirrorEnricher::new(self.store.clone(), None, String::new())
    }

    fn requests(&self) -> u64 {
        self.stripe.oracle().requests_total()
    }

    /// What the contract promises for every event of Stripe's.
    fn assert_contract(&self, body: &Value, data: &Value) {
        let (object, event_type) = (&body["data"]["object"], body["type"].as_str().unwrap());
        let version = &body["api_version"];
        assert_eq!(&data["object"], object, "{event_type} {version}");
        assert_eq!((&data["eventId"], &data["eventType"]), (&body["id"], &body["type"]));
        assert_eq!(data["previous_attributes"], body["data"]["previous_attributes"]);
        for (name, value) in object.as_object().unwrap() {
            if Related::of_kind(name).is_none() && name != OBJECT {
                assert_eq!(&data[name], value, "{event_type} {version} {name}");
            }
        }
        for related in Related::ALL {
            let found = data.get(related.name()).expect("every name is there");
            assert!(found.is_null() || found["object"] == related.name(), "{event_type} {version}: {found}");
        }
        let (customer, subscription) = (&data["customer"], &data["subscription"]);
        assert_eq!(customer["id"], *self.customer, "{event_type} {version}");
        assert_eq!(customer["email"], "ada@example.com");
        if event_type == "customer.updated" {
            return;
        }
        assert_eq!(subscription["id"], *self.subscription, "{event_type} {version}");
        let end = subscription["current_period_end"].as_i64().expect("a moment");
        assert!(subscription["current_period_start"].as_i64().expect("a moment") < end);
        assert_eq!(data["invoice"]["subscription_id"], *self.subscription, "{event_type} {version}");
        if !event_type.starts_with("customer.") {
            assert_eq!(data["charge"]["customer"], *self.customer, "{event_type} {version}");
        }
    }
}

#[test]
fn functions_get_what_they_name_from_the_api_when_the_mirror_is_empty() {
    on_both("functions_get_what_they_name_from_the_api", async |world: World| {
        let enricher = world.with_api();
        for (event_type, _) in ALIASES {
            for version in SHAPES {
                let (body, before) = (world.event(event_type, version), world.requests());
                let data = enricher.enrich(&routed(&body)).await.unwrap().expect("data");
                world.assert_contract(&body, &data);
                let asked = world.requests() - before;
                assert!(asked <= 3, "{event_type} {version} asked {asked} times for three related objects");
            }
        }
    });
}

#[test]
fn functions_get_what_they_name_from_the_mirror_alone() {
    for mirrored in [SHAPES[0], BASIL, CURRENT] {
        on_both("functions_get_what_they_name_from_the_mirror", async |world: World| {
            world.mirror_all(mirrored).await;
            let before = world.requests();
            for (event_type, _) in ALIASES {
                for version in SHAPES {
                    let body = world.event(event_type, version);
                    let event = routed(&body);
                    let mut data = world.without_api().enrich(&event).await.unwrap().expect("data");
                    if *event_type == "invoice.payment_failed" && version >= BASIL && mirrored >= BASIL {
                        // No event of these versions names the charge of an invoice that was never paid.
                        assert_eq!(data["charge"], Value::Null);
                        data["charge"] = json!({ "object": "charge", "customer": world.customer });
                        world.assert_contract(&body, &data);
                        continue;
                    }
                    world.assert_contract(&body, &data);
                    assert_eq!(world.with_api().enrich(&event).await, Ok(Some(data)), "{event_type} {version}");
                }
            }
            assert_eq!(world.requests(), before, "nobody asked Stripe");
        });
    }
}

#[test]
fn what_nobody_has_is_null() {
    on_both("what_nobody_has_is_null", async |world: World| {
        let body = world.event("invoice.payment_failed", CURRENT);
        let data = world.without_api().enrich(&routed(&body)).await.unwrap().expect("data");
        assert_eq!(
            (&data["customer"], &data["subscription"], &data["charge"]),
            (&json!(null), &json!(null), &json!(null))
        );
        assert_eq!(
            (&data["invoice"]["id"], &data["object"]["customer"]),
            (&body["data"]["object"]["id"], &json!(world.customer))
        );

        // Stripe does not have it either.
        let mut body = world.event("customer.subscription.created", CURRENT);
        body["data"]["object"]["customer"] = "cus_none".into();
        let data = world.with_api().enrich(&routed(&body)).await.unwrap().expect("data");
        assert_eq!((data.get("customer"), &data["invoice"]["object"]), (Some(&Value::Null), &json!("invoice")));
    });
}

#[test]
fn a_deleted_customer_is_a_stub_wherever_it_comes_from() {
    on_both("a_deleted_customer_is_a_stub", async |world: World| {
        let path = format!("/v1/customers/{}", world.customer);
        world.stripe.account(|account| call(account, Method::Delete, &path, &[]).unwrap());
        let stub = json!({ "id": world.customer, "object": "customer", "deleted": true });
        let event = routed(&world.event("customer.subscription.deleted", CURRENT));
        let data = world.with_api().enrich(&event).await.unwrap().expect("data");
        assert_eq!(data["customer"], stub, "from the API");
        world.mirror_all(CURRENT).await;
        let data = world.without_api().enrich(&event).await.unwrap().expect("data");
        assert_eq!(data["customer"], stub, "from the mirror");
        // The event of the deletion itself shows the last state: somebody may want to write to the address.
        let data = world.without_api().enrich(&routed(&world.event("customer.deleted", CURRENT))).await.unwrap();
        assert_eq!(data.expect("data")["customer"]["email"], "ada@example.com");
    });
}

#[test]
fn what_the_key_may_not_read_is_null_and_a_stripe_that_is_away_is_an_error() {
    on_both("what_the_key_may_not_read_is_null", async |world: World| {
        world.stripe.account(|account| {
            account.add_restricted_key("rk_test_1", Permission::Read, &[("customer", Permission::None)]);
        });
        let event = routed(&world.event("invoice.payment_failed", CURRENT));
        let enricher = MirrorEnricher::new(world.store.clone(), Some(world.api("rk_test_1")), String::new());
        let data = enricher.enrich(&event).await.unwrap().expect("data");
        assert_eq!((&data["customer"], &data["subscription"]["id"]), (&Value::Null, &json!(world.subscription)));

        let enricher = MirrorEnricher::new(world.store.clone(), Some(world.api("sk_test_wrong")), String::new());
        let error = enricher.enrich(&event).await.expect_err("an error");
        assert!(error.to_string().contains("Stripe refuses the API key"), "{error}");
    });
}

#[test]
fn the_account_of_an_event_is_read_from_the_inbox() {
    on_both("the_account_of_an_event_is_read_from_the_inbox", async |world: World| {
        let event = |id: &str, account: Option<&str>| {
            let mut body = world.event("charge.succeeded", CURRENT);
            body["id"] = id.into();
            body["account"] = account.into();
            body
        };
        let bodies = [event("evt_1", None), event("evt_2", Some("acct_own")), event("evt_3", Some("acct_other"))];
        world.store.insert_deliveries(bodies.iter().map(delivery).collect::<Vec<_>>()).await.unwrap();
        let objects = Objects::new(world.store.clone(), None, "acct_own".to_owned());
        for (id, account) in [("evt_1", ""), ("evt_2", ""), ("evt_3", "acct_other"), ("evt_unknown", "")] {
            assert_eq!(objects.account_of(id).await.as_deref(), Ok(account), "{id}");
        }
    });
}

#[test]
fn events_of_ones_own_stay_as_they_are() {
    on_both("events_of_ones_own_stay_as_they_are", async |world: World| {
        let object = json!({ "object": { "customer": world.customer } });
        let own = Event::new("1", "billing/started", object, Timestamp::UNIX_EPOCH);
        assert_eq!(world.with_api().enrich(&own).await, Ok(None));
        let without_object = Event::new("2", "stripe/invoice.paid", json!({ "id": "in_1" }), Timestamp::UNIX_EPOCH);
        assert_eq!(world.with_api().enrich(&without_object).await, Ok(None));
        let twice = routed(&world.event("charge.succeeded", CURRENT));
        let once = world.with_api().enrich(&twice).await.unwrap().expect("data");
        let again = Event { data: once.clone(), ..twice };
        assert_eq!(world.with_api().enrich(&again).await, Ok(Some(once)), "to complete it twice changes nothing");
    });
}
