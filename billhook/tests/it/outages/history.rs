//! Objects that change again and again, and what the mirror has to hold of them in the end.

use std::collections::BTreeMap;

use billhook_testkit::events::{self, Event};
use billhook_testkit::random;
use serde_json::{Value, json};

/// Time of every object's first event, in Unix seconds; each further event of it is one second later.
const FIRST_CREATED: i64 = 1_760_000_000;
/// Objects that change side by side: a third customers, a third products, a third subscriptions.
const OBJECTS: u64 = 30;
/// Events in the life of a product, from its creation to its deletion. Then the next product takes its place.
const PRODUCT_LIFE_EVENTS: u64 = 4;
/// Items that a subscription has at one time. Each event drops the oldest and adds a new one.
const ITEMS: u64 = 2;

/// An endless history of customers, products that are deleted, and subscriptions whose items come and go. Its events are
/// numbered; events of one object never share a second.
#[derive(Debug)]
pub(super) struct History {
    run: String,
    /// Further characters in every customer, to make bodies large.
    padding: usize,
}

/// What the mirror has to hold after a set of events.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Expected {
    /// Customers by id: step, time.
    pub(super) customers: BTreeMap<String, (i64, i64)>,
    /// Products that live, by id: time.
    pub(super) products: BTreeMap<String, i64>,
    /// Products that were deleted, by id: time.
    pub(super) deleted_products: BTreeMap<String, i64>,
    /// Subscriptions by id: time.
    pub(super) subscriptions: BTreeMap<String, i64>,
    /// Items that live, with their subscription.
    pub(super) items: BTreeMap<String, String>,
}

impl History {
    /// A history that shares no id with any other.
    pub(super) fn new(padding: usize) -> Self {
        Self { run: random::name("r").replace('_', ""), padding }
    }

    /// Event `number`. Its own id is another one at every call.
    pub(super) fn event(&self, number: u64) -> Event {
        let (place, step) = (number % OBJECTS, number / OBJECTS);
        let created = created(step);
        match place % 3 {
            0 => {
                let kind = if step == 0 { "customer.created" } else { "customer.updated" };
                events::event(kind, created, self.customer(place, step), None)
            }
            1 => {
                let kind = match step % PRODUCT_LIFE_EVENTS {
                    0 => "product.created",
                    3 => "product.deleted",
                    _ => "product.updated",
                };
                events::event(kind, created, self.product(place, step), None)
            }
            _ => {
                let kind = if step == 0 { "customer.subscription.created" } else { "customer.subscription.updated" };
                events::event(kind, created, self.subscription(place, step), None)
            }
        }
    }

    /// What the mirror has to hold when exactly these events were applied, in whatever order.
    pub(super) fn expected(&self, numbers: impl IntoIterator<Item = u64>) -> Expected {
        let mut last: BTreeMap<u64, u64> = BTreeMap::new();
        let mut expected = Expected::default();
        for number in numbers {
            let (place, step) = (number % OBJECTS, number / OBJECTS);
            if place % 3 == 1 {
                self.expect_product(&mut expected, place, step);
            } else {
                let step_so_far = last.entry(place).or_insert(step);
                *step_so_far = step.max(*step_so_far);
            }
        }
        for (place, step) in last {
            let time = created(step);
            if place % 3 == 0 {
                let step = i64::try_from(step).unwrap();
                expected.customers.insert(self.id("cus", place), (step, time));
            } else {
                let id = self.id("sub", place);
                for item in step..step + ITEMS {
                    expected.items.insert(self.item_id(place, item), id.clone());
                }
                expected.subscriptions.insert(id, time);
            }
        }
        expected
    }

    fn expect_product(&self, expected: &mut Expected, place: u64, step: u64) {
        let (id, time) = (self.product_id(place, step), created(step));
        if step % PRODUCT_LIFE_EVENTS == PRODUCT_LIFE_EVENTS - 1 {
            expected.products.remove(&id);
            expected.deleted_products.insert(id, time);
        } else if !expected.deleted_products.contains_key(&id) {
            let so_far = expected.products.entry(id).or_insert(time);
            *so_far = time.max(*so_far);
        }
    }

    fn id(&self, prefix: &str, place: u64) -> String {
        format!("{prefix}_{}x{place}", self.run)
    }

    fn product_id(&self, place: u64, step: u64) -> String {
        format!("{}x{}", self.id("prod", place), step / PRODUCT_LIFE_EVENTS)
    }

    fn item_id(&self, place: u64, item: u64) -> String {
        format!("{}x{item}", self.id("si", place))
    }

    fn customer(&self, place: u64, step: u64) -> Value {
        json!({
            "id": self.id("cus", place),
            "object": "customer",
            "balance": step,
            "created": FIRST_CREATED,
            "currency": "eur",
            "description": self.description(place, step),
            "email": format!("customer{place}@example.com"),
            "livemode": false,
            "metadata": {"step": step.to_string()},
            "name": format!("step {step}"),
        })
    }

    /// Letters that no database can make shorter.
    fn description(&self, place: u64, step: u64) -> String {
        let mut letters = Vec::with_capacity(self.padding);
        random::push_letters(&mut letters, random::spread(step) ^ place, self.padding);
        String::from_utf8(letters).unwrap()
    }

    fn product(&self, place: u64, step: u64) -> Value {
        json!({
            "id": self.product_id(place, step),
            "object": "product",
            "active": true,
            "created": FIRST_CREATED,
            "livemode": false,
            "metadata": {},
            "name": format!("step {step}"),
            "updated": created(step),
        })
    }

    fn subscription(&self, place: u64, step: u64) -> Value {
        let id = self.id("sub", place);
        let item = |number| {
            json!({
                "id": self.item_id(place, number),
                "object": "subscription_item",
                "created": FIRST_CREATED,
                "metadata": {},
                "quantity": 1,
                "subscription": id,
            })
        };
        let items: Vec<Value> = (step..step + ITEMS).map(item).collect();
        json!({
            "id": id,
            "object": "subscription",
            "created": FIRST_CREATED,
            "customer": self.id("cus", place - 2),
            "items": {"object": "list", "data": items, "has_more": false, "total_count": ITEMS, "url": "/v1/x"},
            "livemode": false,
            "metadata": {"step": step.to_string()},
            "status": "active",
        })
    }
}

fn created(step: u64) -> i64 {
    FIRST_CREATED + i64::try_from(step).unwrap()
}

#[test]
fn the_order_of_events_does_not_matter_to_what_is_expected() {
    let history = History::new(0);
    let expected = history.expected(0..400);
    assert_eq!(expected, history.expected((0..400).rev()));
    assert_eq!(expected.customers.len() as u64, OBJECTS / 3);
    assert!(!expected.products.is_empty() && !expected.deleted_products.is_empty());
    assert_eq!(expected.items.len(), expected.subscriptions.len() * 2);
}
