//! What Stripe's description does not say about its lists: the table of exceptions, each with its reason.

use super::streams::{Paging, Parent};

/// A stream that the catalogue alone does not give. A kind that has rules has no other streams.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) object: &'static str,
    /// Tells the streams of one kind apart; empty for the plain list.
    pub(super) variant: &'static str,
    /// Instead of the catalogue's path; `{parent}` stands for the parent's id.
    pub(super) path: Option<&'static str>,
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) paging: Option<Paging>,
    pub(super) parent: Option<Parent>,
    pub(super) optional: bool,
    /// Stream that takes over when Stripe asks for a parameter that this one does not have.
    pub(super) fallback: Option<&'static str>,
    /// Whether only [`Rule::fallback`] starts it.
    pub(super) only_fallback: bool,
}

const fn rule(object: &'static str, variant: &'static str) -> Rule {
    Rule {
        object,
        variant,
        path: None,
        query: &[],
        paging: None,
        parent: None,
        optional: false,
        fallback: None,
        only_fallback: false,
    }
}

impl Rule {
    const fn at(self, path: &'static str) -> Self {
        Self { path: Some(path), ..self }
    }

    const fn with(self, query: &'static [(&'static str, &'static str)]) -> Self {
        Self { query, ..self }
    }

    const fn paged(self, paging: Paging) -> Self {
        Self { paging: Some(paging), ..self }
    }

    /// Read once for every row of `object`, whose id stands in the path, or in a query parameter.
    const fn each(self, object: &'static str, parameter: Option<&'static str>) -> Self {
        Self { parent: Some(Parent { object, parameter, on_demand: false }), ..self }
    }

    /// The same for parents that are many: only when the kind is named.
    const fn each_on_demand(self, object: &'static str, parameter: Option<&'static str>) -> Self {
        Self { parent: Some(Parent { object, parameter, on_demand: true }), ..self }
    }

    /// Stripe may refuse it without anything being wrong.
    const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }
}

const CUSTOMER: &str = "customer";
const TEST_CLOCK: &str = "test_helpers.test_clock";
const FINANCIAL_ACCOUNT: &str = "treasury.financial_account";

/// The exceptions.
pub(super) const RULES: &[Rule] = &[
    // The list of accounts holds connected accounts only.
    rule("account", ""),
    rule("account", "own").at("/v1/account").paged(Paging::Single),
    // A scope has to be named; those of users are private to the app that wrote them.
    rule("apps.secret", "").with(&[("scope[type]", "account")]).optional(),
    // Lists without a parent need a customer at run time, whatever the description says.
    rule("billing.credit_balance_transaction", "customer").each_on_demand(CUSTOMER, Some("customer")),
    rule("capability", "account").each("account", None),
    rule("cash_balance", "customer").paged(Paging::Single).each_on_demand(CUSTOMER, None),
    // What belongs to a test clock is listed only when the clock is named.
    rule("customer", ""),
    rule("customer", "test_clock").each(TEST_CLOCK, Some("test_clock")),
    rule("customer_balance_transaction", "customer").each_on_demand(CUSTOMER, None),
    rule("customer_cash_balance_transaction", "customer").each_on_demand(CUSTOMER, None),
    rule("entitlements.active_entitlement", "customer").each_on_demand(CUSTOMER, Some("customer")),
    rule("financial_connections.transaction", "account").each("financial_connections.account", Some("account")),
    rule("issuing.token", "card").each("issuing.card", Some("card")),
    rule("payment_attempt_record", "payment_record")
        .paged(Paging::Cursor)
        .each_on_demand("payment_record", Some("payment_record")),
    rule("payment_intent_amount_details_line_item", "payment_intent").each_on_demand("payment_intent", None),
    // The list without a type leaves out the type `custom`; older API versions want a customer.
    Rule { fallback: Some("payment_method@customer"), ..rule("payment_method", "") },
    rule("payment_method", "custom").with(&[("type", "custom")]).optional(),
    Rule { only_fallback: true, ..rule("payment_method", "customer").at("/v1/customers/{parent}/payment_methods") }
        .each_on_demand(CUSTOMER, None),
    rule("person", "account").each("account", None),
    // The list without `active` leaves out what is inactive.
    rule("price", "active").with(&[("active", "true")]),
    rule("price", "inactive").with(&[("active", "false")]),
    rule("product_feature", "product").each("product", None),
    rule("quote", ""),
    rule("quote", "test_clock").each(TEST_CLOCK, Some("test_clock")),
    rule("setup_attempt", "setup_intent").each_on_demand("setup_intent", Some("setup_intent")),
    // Sources have no list of their own; a customer's list holds cards and bank accounts too.
    rule("source", "customer")
        .at("/v1/customers/{parent}/sources")
        .paged(Paging::Cursor)
        .each_on_demand(CUSTOMER, None),
    rule("card", "customer").at("/v1/customers/{parent}/sources").paged(Paging::Cursor).each_on_demand(CUSTOMER, None),
    rule("bank_account", "customer")
        .at("/v1/customers/{parent}/sources")
        .paged(Paging::Cursor)
        .each_on_demand(CUSTOMER, None),
    rule("source_transaction", "source").each_on_demand("source", None),
    // The list without a status leaves out what is canceled.
    rule("subscription", "").with(&[("status", "all")]),
    rule("subscription", "test_clock").with(&[("status", "all")]).each(TEST_CLOCK, Some("test_clock")),
    // A server that stands in for Stripe may have no test clocks.
    rule(TEST_CLOCK, "").optional(),
    // The list without an owner holds the account's own tax ids only.
    rule("tax_id", ""),
    rule("tax_id", "customer").at("/v1/customers/{parent}/tax_ids").each_on_demand(CUSTOMER, None),
    rule("treasury.credit_reversal", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.debit_reversal", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.inbound_transfer", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.outbound_payment", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.outbound_transfer", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.received_credit", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.received_debit", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.transaction", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("treasury.transaction_entry", "account").each(FINANCIAL_ACCOUNT, Some("financial_account")),
    rule("v2.core.account_person", "account").each("v2.core.account", None),
];

/// Kinds whose rows arrive inside other objects. Their own lists need one request a parent; the parents' lists bring them along.
pub(super) const COMES_WITH: &[(&str, &[&str])] = &[
    ("credit_note_line_item", &["credit_note"]),
    ("entitlements.active_entitlement_summary", &["entitlements.active_entitlement"]),
    ("fee_refund", &["application_fee"]),
    ("item", &["checkout.session", "payment_link", "quote"]),
    ("line_item", &["invoice"]),
    ("radar.value_list_item", &["radar.value_list"]),
    ("subscription_item", &["subscription"]),
    ("transfer_reversal", &["transfer"]),
];

/// Lists that Stripe embeds only on request and whose elements have a table.
pub(crate) const EXPANSIONS: &[(&str, &[&str])] =
    &[("checkout.session", &["line_items"]), ("payment_link", &["line_items"]), ("quote", &["line_items"])];

/// Time properties that a list's `created` filter looks at, where it is not `created`.
pub(super) const CREATED_PROPERTIES: &[(&str, &str)] = &[("invoiceitem", "date")];

/// The kinds of the HTTP contract in the order of `all`: kind, name in requests, key in answers.
pub(super) const CONTRACT: &[(&str, &str, &str)] = &[
    ("product", "product", "products"),
    ("price", "price", "prices"),
    ("plan", "plan", "plans"),
    ("customer", "customer", "customers"),
    ("subscription", "subscription", "subscriptions"),
    ("subscription_schedule", "subscription_schedules", "subscriptionSchedules"),
    ("invoice", "invoice", "invoices"),
    ("charge", "charge", "charges"),
    ("setup_intent", "setup_intent", "setupIntents"),
    ("payment_method", "payment_method", "paymentMethods"),
    ("payment_intent", "payment_intent", "paymentIntents"),
    ("tax_id", "tax_id", "taxIds"),
    ("credit_note", "credit_note", "creditNotes"),
    ("dispute", "dispute", "disputes"),
    ("radar.early_fraud_warning", "early_fraud_warning", "earlyFraudWarnings"),
    ("refund", "refund", "refunds"),
    ("checkout.session", "checkout_sessions", "checkoutSessions"),
];
