//! Where each kind of object says what it belongs to, over Stripe's API versions. Data; what is done with it stands in `enrich`.

use serde_json::Value;

/// An object that functions get beside the one that their event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Related {
    /// The payment.
    Charge,
    /// What was billed.
    Invoice,
    /// What bills again and again.
    Subscription,
    /// Who pays.
    Customer,
}

impl Related {
    /// All of them, each after those through which it may be found.
    pub const ALL: [Self; 4] = [Self::Charge, Self::Invoice, Self::Subscription, Self::Customer];

    /// Its name in the data of an event, which is Stripe's name of the kind as well.
    pub fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Invoice => "invoice",
            Self::Subscription => "subscription",
            Self::Customer => "customer",
        }
    }

    /// The one that is of this kind.
    pub fn of_kind(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|related| related.name() == kind)
    }

    /// Related objects that lead to it when the event's own object does not, best first.
    pub fn through(self) -> &'static [Self] {
        match self {
            Self::Charge => &[],
            Self::Invoice => &[Self::Charge],
            Self::Subscription => &[Self::Invoice],
            Self::Customer => &[Self::Subscription, Self::Invoice, Self::Charge],
        }
    }
}

/// Places of one kind, as JSON pointers. The first that holds something counts.
struct Places {
    kind: &'static str,
    related: Related,
    pointers: &'static [&'static str],
}

const fn at(kind: &'static str, related: Related, pointers: &'static [&'static str]) -> Places {
    Places { kind, related, pointers }
}

/// Kinds whose references stand elsewhere than under the name of what they refer to, in some version at least.
const PLACES: &[Places] = &[
    // Basil (2025-03-31) moved what an invoice belongs to into `parent`.
    at("invoice", Related::Subscription, &["/parent/subscription_details/subscription", "/subscription"]),
    at("invoiceitem", Related::Subscription, &["/parent/subscription_details/subscription", "/subscription"]),
    at("subscription", Related::Invoice, &["/latest_invoice"]),
    // 2022-11-15 replaced the list of an intent's charges by the latest one.
    at("payment_intent", Related::Charge, &["/latest_charge", "/charges/data/0"]),
    at("invoice_payment", Related::Charge, &["/payment/charge"]),
    at("transfer", Related::Charge, &["/source_transaction"]),
    at("subscription_schedule", Related::Subscription, &["/subscription", "/released_subscription"]),
    at("tax_id", Related::Customer, &["/customer", "/owner/customer"]),
];

/// What an object says about a related one.
#[derive(Debug, Clone, PartialEq)]
pub enum Told<'a> {
    /// It is this one. The object itself is there when Stripe expanded it.
    Is(&'a str, Option<&'a Value>),
    /// There is none.
    Absent,
    /// The object does not say.
    Nothing,
}

/// What an object says about a related one. `kind` is the object's.
pub fn told<'a>(kind: &str, object: &'a Value, related: Related) -> Told<'a> {
    let own = PLACES.iter().find(|places| places.kind == kind && places.related == related);
    let named = format!("/{}", related.name());
    let usual = [named.as_str()];
    let pointers = own.map_or(&usual[..], |places| places.pointers);
    let mut told = Told::Nothing;
    for value in pointers.iter().filter_map(|pointer| object.pointer(pointer)) {
        match value {
            Value::String(id) if !id.is_empty() => return Told::Is(id, None),
            Value::Object(expanded) => match expanded.get("id").and_then(Value::as_str) {
                Some(id) if !id.is_empty() => return Told::Is(id, Some(value)),
                _ => {}
            },
            Value::Null => told = Told::Absent,
            _ => {}
        }
    }
    told
}

/// A relation that current versions keep in an object of its own, the invoice payment: charges and intents no longer name their invoice,
/// nor invoices their charge.
pub struct Tie {
    /// The kind that does not say.
    pub kind: &'static str,
    /// What it does not say.
    pub related: Related,
    /// The column of the kind's table that the mirror fills from invoice payments.
    pub column: &'static str,
    /// Parameters of Stripe's list of invoice payments: the name, and where the object has the value. The first set whose values are all
    /// there counts; a pointer that does not begin with `/` is the value itself.
    pub questions: &'static [&'static [(&'static str, &'static str)]],
    /// What is expanded in the answer, so that one request gives the object itself nearly always.
    pub expand: &'static [&'static str],
    /// Where an invoice payment of the answer has it.
    pub answers: &'static [&'static str],
    /// A place whose value says that nothing is tied, so that nobody needs to be asked.
    pub absent_when: Option<(&'static str, bool)>,
}

const INVOICE_OF_INTENT: &[(&str, &str)] = &[("payment[type]", "payment_intent"), ("payment[payment_intent]", "/id")];

/// All such relations.
pub const TIES: &[Tie] = &[
    Tie {
        kind: "charge",
        related: Related::Invoice,
        column: "invoice",
        questions: &[
            &[("payment[type]", "payment_intent"), ("payment[payment_intent]", "/payment_intent")],
            &[("payment[type]", "charge"), ("payment[charge]", "/id")],
        ],
        expand: &["data.invoice"],
        answers: &["/invoice"],
        absent_when: None,
    },
    Tie {
        kind: "payment_intent",
        related: Related::Invoice,
        column: "invoice",
        questions: &[INVOICE_OF_INTENT],
        expand: &["data.invoice"],
        answers: &["/invoice"],
        absent_when: None,
    },
    Tie {
        kind: "invoice",
        related: Related::Charge,
        column: "charge",
        questions: &[&[("invoice", "/id")]],
        expand: &["data.payment.payment_intent.latest_charge"],
        answers: &["/payment/charge", "/payment/payment_intent/latest_charge"],
        // Nobody has tried to pay it yet.
        absent_when: Some(("/attempted", false)),
    },
];

/// The tie of a kind that does not say.
pub fn tie(kind: &str, related: Related) -> Option<&'static Tie> {
    TIES.iter().find(|tie| tie.kind == kind && tie.related == related)
}

impl Tie {
    /// The parameters that find the invoice payments of an object; `None` when it lacks what they need.
    pub fn query(&self, object: &Value) -> Option<Vec<(String, String)>> {
        let value = |pointer: &str| match pointer.starts_with('/') {
            true => match object.pointer(pointer)? {
                Value::Object(expanded) => expanded.get("id").and_then(Value::as_str).map(str::to_owned),
                value => value.as_str().map(str::to_owned),
            },
            false => Some(pointer.to_owned()),
        };
        let asked = |question: &&[(&str, &str)]| {
            question
                .iter()
                .map(|(name, pointer)| Some(((*name).to_owned(), value(pointer)?)))
                .collect::<Option<Vec<_>>>()
        };
        let mut query = self.questions.iter().find_map(asked)?;
        query.extend(self.expand.iter().map(|path| ("expand[]".to_owned(), (*path).to_owned())));
        Some(query)
    }

    /// What a page of Stripe's invoice payments says: of the default payment, else of the first that has it.
    pub fn answer<'a>(&self, list: &'a Value) -> Option<&'a Value> {
        let payments = list.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let (default, others): (Vec<_>, Vec<_>) = payments.iter().partition(|payment| payment["is_default"] == true);
        let answers = |payment: &'a Value| self.answers.iter().filter_map(|pointer| payment.pointer(pointer));
        default.into_iter().chain(others).flat_map(answers).find(|answer| !answer.is_null())
    }

    /// Whether the object says that nothing is tied to it.
    pub fn is_absent(&self, object: &Value) -> bool {
        self.absent_when.is_some_and(|(pointer, value)| object.pointer(pointer) == Some(&Value::Bool(value)))
    }
}

#[cfg(test)]
#[path = "related_tests.rs"]
mod tests;
