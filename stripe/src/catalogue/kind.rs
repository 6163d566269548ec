//! Object kinds, event types, and how an id tells its kind.

/// An object kind: a value of `object` in Stripe's JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// The value of `object`; kinds of the v2 API start with `v2.`.
    pub object: &'static str,
    /// Position of its table in [`super::tables`]; `None` for kinds without rows of their own.
    pub table: Option<usize>,
    /// How to list its objects, when Stripe can.
    pub list: Option<List>,
    /// Path that reads one object. Without `{id}` it is a singleton; other braces name the parent's id.
    pub retrieve_path: Option<&'static str>,
    /// Known beginnings of its ids; empty when ids are chosen by users or have no fixed beginning.
    pub prefixes: Vec<&'static str>,
}

/// How the objects of a kind are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The endpoint that needs the fewest parameters.
    pub path: &'static str,
    /// Whether it takes ranges of `created` (`gt`, `gte`, `lt`, `lte`): Unix seconds in v1, RFC 3339 in v2.
    pub created_filter: bool,
    /// Whether it pages with `starting_after` and `ending_before`. v2 lists do not; their pages name `next_page_url`.
    pub paginated: bool,
    /// The parameter in the path that names the parent, when there is one.
    pub parent_param: Option<&'static str>,
    /// Query parameters without which the list fails.
    pub required_query: Vec<&'static str>,
    /// Optional query parameters besides `created`, `limit`, the cursors and `expand`.
    pub filters: Vec<&'static str>,
    /// Further endpoints that list the same kind.
    pub other_paths: Vec<&'static str>,
}

impl List {
    /// Whether the list can be read without knowing another object first.
    pub fn is_top_level(&self) -> bool {
        self.parent_param.is_none() && self.required_query.is_empty()
    }
}

/// A snapshot event type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventType {
    /// E.g. `customer.subscription.updated`.
    pub name: &'static str,
    /// The kinds `data.object` can have: one, or several for polymorphic types such as `customer.source.created`.
    pub objects: Vec<&'static str>,
}

/// A thin event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThinEventType {
    /// E.g. `v1.customer.created`; may contain brackets.
    pub name: &'static str,
    /// Whether the event names the object it is about.
    pub related_object: bool,
    /// Whether the event carries `data`.
    pub data: bool,
}

/// What an id tells about its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    /// Exactly one kind has ids of this form.
    One(&'static Kind),
    /// Several kinds share the prefix (`price_`: prices and plans); the likeliest comes first.
    Several(Vec<&'static Kind>),
    /// No known prefix.
    Unknown,
}

/// Every prefix with the positions of its kinds, the longest prefix first. Of kinds that share a prefix the one that names it
/// earliest in its own list comes first.
pub(super) fn prefixes(kinds: &[Kind]) -> Vec<(&'static str, Vec<usize>)> {
    let mut claims: Vec<(&'static str, usize, usize)> = Vec::new();
    for (kind_at, kind) in kinds.iter().enumerate() {
        claims.extend(kind.prefixes.iter().enumerate().map(|(preference, prefix)| (*prefix, preference, kind_at)));
    }
    claims.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.cmp(b)));
    let mut grouped: Vec<(&'static str, Vec<usize>)> = Vec::new();
    for (prefix, _, kind_at) in claims {
        match grouped.last_mut() {
            Some((last, kinds)) if *last == prefix => kinds.push(kind_at),
            _ => grouped.push((prefix, vec![kind_at])),
        }
    }
    grouped
}

/// Finds the longest prefix of `id` that something follows.
pub(super) fn recognise(prefixes: &[(&'static str, Vec<usize>)], kinds: &'static [Kind], id: &str) -> Recognition {
    let longest = prefixes.iter().find(|(prefix, _)| id.len() > prefix.len() && id.starts_with(prefix));
    let mut candidates: Vec<&'static Kind> =
        longest.into_iter().flat_map(|(_, places)| places).filter_map(|place| kinds.get(*place)).collect();
    match (candidates.pop(), candidates.is_empty()) {
        (None, _) => Recognition::Unknown,
        (Some(only), true) => Recognition::One(only),
        (Some(last), false) => {
            candidates.push(last);
            Recognition::Several(candidates)
        }
    }
}
