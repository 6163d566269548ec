//! Names of events: those that Stripe's types give, the friendly ones, and patterns over both.

use billhook_core::suggest;
use billhook_stripe::catalogue;

/// What stands before the type of an event of Stripe's.
const STRIPE: &str = "stripe/";

/// Friendly names: Stripe's type, and what an event of it is called as well.
pub const ALIASES: &[(&str, &str)] = &[
    ("customer.subscription.created", "stripe/subscription.created"),
    ("customer.subscription.deleted", "stripe/subscription.cancelled"),
    ("invoice.payment_failed", "stripe/payment.failed"),
    ("invoice.payment_succeeded", "stripe/invoice.payment_succeeded"),
    ("customer.updated", "stripe/customer.updated"),
    ("charge.succeeded", "stripe/payment.succeeded"),
];

/// Every name under which an event of this type of Stripe's starts functions.
pub fn stripe_names(event_type: &str) -> Vec<String> {
    let own = format!("{STRIPE}{event_type}");
    let friendly = ALIASES.iter().filter(|(of, _)| *of == event_type).map(|(_, name)| (*name).to_owned());
    let mut names: Vec<String> = std::iter::once(own).chain(friendly).collect();
    names.dedup();
    names
}

/// The name under which an event is published that has this name or this friendly one.
pub(crate) fn canonical(name: &str) -> String {
    let own = ALIASES.iter().find(|(_, friendly)| *friendly == name);
    own.map_or_else(|| name.to_owned(), |(event_type, _)| format!("{STRIPE}{event_type}"))
}

/// Whether an event of this name comes from Stripe alone.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(STRIPE)
}

/// Stripe's type behind a name, if it is one of Stripe's events.
pub(crate) fn stripe_type(name: &str) -> Option<&str> {
    name.strip_prefix(STRIPE)
}

/// Whether an event of this name is meant: the same name, or a pattern that ends in `/*` or `.*` and begins it.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) if prefix.ends_with(['/', '.']) => name.len() > prefix.len() && name.starts_with(prefix),
        _ => pattern == name,
    }
}

/// Every name that an event of Stripe's can have.
fn producible() -> impl Iterator<Item = String> {
    catalogue::event_types().iter().flat_map(|event| stripe_names(event.name))
}

/// Why nothing can ever start a function with this trigger, if so. Names outside of `stripe/` are the user's own.
pub(crate) fn defect(pattern: &str) -> Option<String> {
    if pattern.trim().is_empty() {
        return Some("the name of an event is empty".to_owned());
    }
    if !pattern.starts_with(STRIPE) {
        // The commonest slip: Stripe's type without its prefix.
        let is_type = catalogue::is_known_event(pattern);
        return is_type.then(|| format!("{pattern} is a type of Stripe's; did you mean {STRIPE}{pattern}?"));
    }
    if producible().any(|name| matches(pattern, &name)) {
        return None;
    }
    let known: Vec<String> = producible().collect();
    let meant = suggest::nearest(pattern, known.iter().map(String::as_str));
    let advice =
        meant.map_or_else(|| "see Stripe's list of event types".to_owned(), |name| format!("did you mean {name}?"));
    Some(format!("no event is called {pattern}; {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_has_its_own_name_and_its_friendly_ones() {
        assert_eq!(stripe_names("invoice.paid"), ["stripe/invoice.paid"]);
        assert_eq!(stripe_names("invoice.payment_failed"), ["stripe/invoice.payment_failed", "stripe/payment.failed"]);
        assert_eq!(stripe_names("customer.updated"), ["stripe/customer.updated"]);
    }

    #[test]
    fn every_alias_is_of_a_type_that_exists() {
        for (event_type, name) in ALIASES {
            assert!(catalogue::is_known_event(event_type), "{event_type}");
            assert_eq!(defect(name), None);
        }
    }

    #[test]
    fn patterns_end_at_a_separator() {
        for (pattern, name, is_meant) in [
            ("stripe/*", "stripe/invoice.paid", true),
            ("stripe/invoice.*", "stripe/invoice.paid", true),
            ("stripe/invoice.*", "stripe/invoiceitem.created", false),
            ("stripe/invoice.*", "stripe/invoice.", false),
            ("stripe/invoice*", "stripe/invoice.paid", false),
            ("app/order.placed", "app/order.placed", true),
        ] {
            assert_eq!(matches(pattern, name), is_meant, "{pattern} {name}");
        }
    }

    #[test]
    fn a_trigger_that_nothing_fires_is_told_with_what_was_meant() {
        assert_eq!(defect("stripe/invoice.*"), None);
        assert_eq!(defect("app/anything"), None);
        let slip = defect("stripe/invoice.payed").expect("a defect");
        assert!(slip.contains("did you mean stripe/invoice.paid?"), "{slip}");
        let bare = defect("invoice.paid").expect("a defect");
        assert!(bare.contains("did you mean stripe/invoice.paid?"), "{bare}");
        // Found in published lists, and never sent.
        assert!(defect("stripe/payment_intent.partially_refunded").is_some());
    }
}
