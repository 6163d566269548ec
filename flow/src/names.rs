//! Names of events: those that Stripe's types give, the friendly ones, and patterns over both.

use billhook_core::suggest;
use billhook_stripe::catalogue;

/// What stands before the type of an event of Stripe's.
const STRIPE: &str = "stripe/";

/// The friendly names that hold when nobody says otherwise: Stripe's type, and what an event of it is called as well.
pub const ALIASES: &[(&str, &str)] = &[
    ("customer.subscription.created", "stripe/subscription.created"),
    ("customer.subscription.deleted", "stripe/subscription.cancelled"),
    ("invoice.payment_failed", "stripe/payment.failed"),
    ("invoice.payment_succeeded", "stripe/invoice.payment_succeeded"),
    ("customer.updated", "stripe/customer.updated"),
    ("charge.succeeded", "stripe/payment.succeeded"),
];

/// Friendly names of Stripe's event types. The default is [`ALIASES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aliases {
    /// Stripe's type, and the name.
    pairs: Vec<(String, String)>,
}

/// Why a friendly name cannot be given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the name {name} {what}; {action}")]
pub struct AliasDefect {
    /// The name.
    pub name: String,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub action: String,
}

impl Default for Aliases {
    fn default() -> Self {
        let pair = |(event_type, name): &(&str, &str)| ((*event_type).to_owned(), (*name).to_owned());
        Self { pairs: ALIASES.iter().map(pair).collect() }
    }
}

impl Aliases {
    /// With names of one's own: the name, and Stripe's type that it stands for. A name may stand for several types. One that [`ALIASES`]
    /// has stands for the given types only.
    ///
    /// # Errors
    /// Every name that is no name, is one of Stripe's own, or stands for a type that Stripe does not have.
    pub fn with<'a>(mut self, given: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, Vec<AliasDefect>> {
        let given: Vec<(&str, &str)> = given.into_iter().collect();
        let defects: Vec<AliasDefect> = given.iter().filter_map(|(name, of)| alias_defect(name, of)).collect();
        if !defects.is_empty() {
            return Err(defects);
        }
        self.pairs.retain(|(_, name)| !given.iter().any(|(own, _)| own == name));
        self.pairs.extend(given.into_iter().map(|(name, of)| (of.to_owned(), name.to_owned())));
        Ok(self)
    }

    /// Every name under which an event of this type of Stripe's starts functions.
    pub fn names_of(&self, event_type: &str) -> Vec<String> {
        let mut names = vec![format!("{STRIPE}{event_type}")];
        for (_, name) in self.pairs.iter().filter(|(of, _)| of == event_type) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }

    /// The types of Stripe's whose events have this name; none when it is one of the user's own.
    pub fn types_of<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let own = stripe_type(name).filter(|own| catalogue::is_known_event(own));
        let friendly = self.pairs.iter().filter(|(_, friendly)| friendly == name).map(|(of, _)| of.as_str());
        let mut types: Vec<&str> = own.into_iter().chain(friendly).collect();
        types.sort_unstable();
        types.dedup();
        types
    }

    /// Every name that an event of Stripe's can have.
    fn producible(&self) -> impl Iterator<Item = String> + '_ {
        catalogue::event_types().iter().flat_map(|event| self.names_of(event.name))
    }

    /// Why nothing can ever start a function with this trigger, if so. Names outside of `stripe/` are the user's own.
    pub(crate) fn defect(&self, pattern: &str) -> Option<String> {
        if pattern.trim().is_empty() {
            return Some("the name of an event is empty".to_owned());
        }
        if !pattern.starts_with(STRIPE) {
            // The commonest slip: Stripe's type without its prefix.
            let is_type = catalogue::is_known_event(pattern);
            return is_type.then(|| format!("{pattern} is a type of Stripe's; did you mean {STRIPE}{pattern}?"));
        }
        if self.producible().any(|name| matches(pattern, &name)) {
            return None;
        }
        let known: Vec<String> = self.producible().collect();
        let meant = suggest::nearest(pattern, known.iter().map(String::as_str));
        let advice =
            meant.map_or_else(|| "see Stripe's list of event types".to_owned(), |name| format!("did you mean {name}?"));
        Some(format!("no event is called {pattern}; {advice}"))
    }
}

/// Why a name cannot stand for a type, if so.
fn alias_defect(name: &str, event_type: &str) -> Option<AliasDefect> {
    let defect = |what: String, action: String| Some(AliasDefect { name: name.to_owned(), what, action });
    if name.trim().is_empty() || name.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control()) {
        return defect(
            "is no name".to_owned(),
            "use letters, digits, dots and slashes, as in billing/started".to_owned(),
        );
    }
    if !catalogue::is_known_event(event_type) {
        let meant = suggest::nearest(event_type, catalogue::event_types().iter().map(|event| event.name));
        let action = meant
            .map_or_else(|| "see Stripe's list of event types".to_owned(), |meant| format!("did you mean {meant}?"));
        return defect(format!("stands for {event_type}, which is no type of Stripe's"), action);
    }
    let own = name.strip_prefix(STRIPE).unwrap_or(name);
    if own != event_type && catalogue::is_known_event(own) {
        return defect(format!("is what events of {own} are called"), "choose another name".to_owned());
    }
    None
}

/// Every name under which an event of this type of Stripe's starts functions, by the default names.
pub fn stripe_names(event_type: &str) -> Vec<String> {
    Aliases::default().names_of(event_type)
}

/// The name of events of one of Stripe's types.
pub fn of_type(event_type: &str) -> String {
    format!("{STRIPE}{event_type}")
}

/// What stands before the names of events of Billhook's own.
const OWN: &str = "billhook/";

/// A run failed for good.
pub(crate) const FAILED: &str = "billhook/function.failed";

/// A run that another one had invoked has ended.
pub(crate) const FINISHED: &str = "billhook/function.finished";

/// A run invokes a function.
pub(crate) const INVOKED: &str = "billhook/function.invoked";

/// The second name of every event of Stripe's that the mirror has applied. Whoever routes them says it, so that reads which wait for one
/// event need not know its type.
pub const APPLIED: &str = "billhook/applied";

/// A signal for whoever waits for it.
pub(crate) const SIGNAL: &str = "billhook/signal";

/// A schedule came.
pub(crate) const CRON: &str = "billhook/cron";

/// Whether events of this name come from Stripe or from Billhook itself alone.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with(STRIPE) || name.starts_with(OWN)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn defect(pattern: &str) -> Option<String> {
        Aliases::default().defect(pattern)
    }

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

    #[test]
    fn names_of_ones_own_come_beside_the_defaults_and_replace_those_of_the_same_name() {
        let own = [
            ("billing/lost", "customer.subscription.deleted"),
            ("billing/lost", "customer.deleted"),
            ("stripe/payment.failed", "payment_intent.payment_failed"),
        ];
        let aliases = Aliases::default().with(own).expect("aliases");
        assert_eq!(
            aliases.names_of("customer.subscription.deleted"),
            ["stripe/customer.subscription.deleted", "stripe/subscription.cancelled", "billing/lost"]
        );
        assert_eq!(aliases.names_of("customer.deleted"), ["stripe/customer.deleted", "billing/lost"]);
        assert_eq!(aliases.names_of("invoice.payment_failed"), ["stripe/invoice.payment_failed"]);
        let renamed = ["stripe/payment_intent.payment_failed", "stripe/payment.failed"];
        assert_eq!(aliases.names_of("payment_intent.payment_failed"), renamed);
        let stripe = Aliases::default().with([("stripe/churn", "customer.subscription.deleted")]).expect("aliases");
        assert_eq!((stripe.defect("stripe/churn"), defect("stripe/churn").is_some()), (None, true));
    }

    #[test]
    fn a_name_that_stands_for_nothing_is_refused_with_what_was_meant() {
        for (name, of, told) in [
            ("billing/paid", "invoice.payed", "did you mean invoice.paid?"),
            ("billing/paid", "stripe/invoice.paid", "no type of Stripe's"),
            ("", "invoice.paid", "is no name"),
            ("billing/*", "invoice.paid", "is no name"),
            ("stripe/charge.failed", "invoice.paid", "choose another name"),
            ("charge.failed", "invoice.paid", "choose another name"),
        ] {
            let defects = Aliases::default().with([(name, of)]).expect_err("a defect");
            assert!(defects.len() == 1 && defects[0].to_string().contains(told), "{defects:?}");
        }
        assert!(Aliases::default().with([("stripe/invoice.paid", "invoice.paid")]).is_ok(), "its own name");
    }
}
