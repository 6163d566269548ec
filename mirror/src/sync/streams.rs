//! Which lists are read for which kind. Data: the catalogue and the rules beside it.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use billhook_core::table::Table;
use billhook_stripe::catalogue::{self, Kind};

use super::rules::{CREATED_PROPERTIES, EXPANSIONS, RULES, Rule};

/// One list of Stripe's.
#[derive(Debug)]
pub struct Stream {
    /// What segments call it: the kind, then `@` and a variant where a kind has several (`price@inactive`).
    pub name: String,
    /// The kind that is asked for. Polymorphic lists hold others too.
    pub kind: &'static Kind,
    /// The table of the kind.
    pub table: &'static Table,
    /// Its path. `{parent}` stands for the id of a parent.
    pub path: String,
    /// Parameters of every request.
    pub query: &'static [(&'static str, &'static str)],
    /// Properties to expand.
    pub expand: &'static [&'static str],
    /// How windows of `created` are asked for.
    pub created: Created,
    /// The integer property that the list is ordered by, newest first, when the elements show it.
    pub created_property: Option<&'static str>,
    /// How it goes on.
    pub paging: Paging,
    /// The rows it is read for, one by one, when it cannot be read as a whole.
    pub parent: Option<Parent>,
    /// Whether Stripe may refuse it without anything being wrong.
    pub optional: bool,
    /// Stream that takes over when Stripe asks for a parameter that this one does not have.
    pub fallback: Option<&'static str>,
    /// Whether only another stream's failure starts it.
    pub(super) only_fallback: bool,
}

/// How windows of `created` are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// Not at all: the whole list is read.
    No,
    /// `created[gte]` and `created[lt]` in Unix seconds.
    Seconds,
    /// The same as RFC 3339 (v2).
    DateTime,
}

/// How a list goes on after a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paging {
    /// `starting_after` with the last id.
    Cursor,
    /// The path in `next_page_url` (v2).
    NextPage,
    /// There is one page.
    OnePage,
    /// The answer is the object itself.
    Single,
}

/// Rows that a stream is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parent {
    /// Their kind.
    pub object: &'static str,
    /// The query parameter that takes the parent's id; `None` when it stands in the path.
    pub parameter: Option<&'static str>,
    /// Whether the parents are so many that the stream is read only when its kind is named.
    pub on_demand: bool,
}

impl Parent {
    /// The parents' table.
    pub fn table(&self) -> &'static Table {
        catalogue::table_of(self.object).unwrap_or_else(catalogue::other_objects)
    }
}

/// Every stream there is.
struct Streams {
    all: Vec<Stream>,
    by_name: HashMap<String, usize>,
    by_object: BTreeMap<&'static str, Vec<usize>>,
}

static STREAMS: LazyLock<Streams> = LazyLock::new(|| {
    let all: Vec<Stream> = catalogue::kinds().iter().flat_map(of_kind).collect();
    let mut by_object: BTreeMap<&'static str, Vec<usize>> = BTreeMap::new();
    for (at, stream) in all.iter().enumerate() {
        by_object.entry(stream.kind.object).or_default().push(at);
    }
    let by_name = all.iter().enumerate().map(|(at, stream)| (stream.name.clone(), at)).collect();
    Streams { all, by_name, by_object }
});

/// A stream by its name.
pub fn named(name: &str) -> Option<&'static Stream> {
    STREAMS.by_name.get(name).map(|&at| &STREAMS.all[at])
}

/// The streams a run of this kind begins with; empty for kinds that Stripe does not list. `named` says that somebody asked for
/// this very kind, so that lists below many parents are read as well.
pub fn of(object: &str, named: bool) -> Vec<&'static Stream> {
    let found = STREAMS.by_object.get(object).map(Vec::as_slice).unwrap_or_default();
    let found = found.iter().map(|&at| &STREAMS.all[at]);
    found.filter(|stream| !stream.only_fallback && (named || !stream.is_on_demand())).collect()
}

/// Properties of a kind that hold lists Stripe embeds only on request.
pub(crate) fn expansions(object: &str) -> &'static [&'static str] {
    EXPANSIONS.iter().find(|(kind, _)| *kind == object).map(|(_, properties)| *properties).unwrap_or_default()
}

impl Stream {
    fn is_on_demand(&self) -> bool {
        self.parent.is_some_and(|parent| parent.on_demand)
    }

    /// Whether every element belongs to a parent whose id the request names.
    pub fn is_fan_out(&self) -> bool {
        self.parent.is_some()
    }
}

fn of_kind(kind: &'static Kind) -> Vec<Stream> {
    let Some(table) = kind.table.and_then(|at| catalogue::tables().get(at)) else { return Vec::new() };
    let rules: Vec<&Rule> = RULES.iter().filter(|rule| rule.object == kind.object).collect();
    if !rules.is_empty() {
        return rules.into_iter().map(|rule| by_rule(kind, table, rule)).collect();
    }
    match (&kind.list, kind.retrieve_path) {
        (Some(list), _) if list.is_top_level() => vec![plain(kind, table)],
        (None, Some(path)) if !path.contains('{') => {
            vec![Stream { path: path.to_owned(), paging: Paging::Single, created: Created::No, ..plain(kind, table) }]
        }
        _ => Vec::new(),
    }
}

/// The stream that the catalogue describes.
fn plain(kind: &'static Kind, table: &'static Table) -> Stream {
    let v2 = kind.object.starts_with("v2.");
    let list = kind.list.as_ref();
    let filtered = list.is_some_and(|list| list.created_filter);
    let own = CREATED_PROPERTIES.iter().find(|(object, _)| *object == kind.object).map(|(_, property)| *property);
    let created_property = own.or_else(|| table.column("created").map(|_| "created")).filter(|_| filtered && !v2);
    Stream {
        name: kind.object.to_owned(),
        kind,
        table,
        path: list.map(|list| parent_path(list.path)).unwrap_or_default(),
        query: &[],
        expand: expansions(kind.object),
        created: match (filtered, v2) {
            (false, _) => Created::No,
            (true, false) => Created::Seconds,
            (true, true) => Created::DateTime,
        },
        created_property,
        paging: match list {
            Some(_) if v2 => Paging::NextPage,
            Some(list) if list.paginated => Paging::Cursor,
            _ => Paging::OnePage,
        },
        parent: None,
        optional: false,
        fallback: None,
        only_fallback: false,
    }
}

fn by_rule(kind: &'static Kind, table: &'static Table, rule: &Rule) -> Stream {
    let stream = plain(kind, table);
    let paging = rule.paging.unwrap_or(stream.paging);
    let single = paging == Paging::Single;
    let retrieve_path = || kind.retrieve_path.map(parent_path).unwrap_or_default();
    Stream {
        name: if rule.variant.is_empty() { stream.name } else { format!("{}@{}", kind.object, rule.variant) },
        path: match rule.path {
            Some(path) => path.to_owned(),
            None if single => retrieve_path(),
            None => stream.path,
        },
        query: rule.query,
        created: if single { Created::No } else { stream.created },
        paging,
        parent: rule.parent,
        optional: rule.optional,
        fallback: rule.fallback,
        only_fallback: rule.only_fallback,
        ..stream
    }
}

/// A path of the catalogue with its one parameter, whatever its name, as `{parent}`.
fn parent_path(path: &str) -> String {
    match (path.find('{'), path.find('}')) {
        (Some(from), Some(to)) if from < to => format!("{}{{parent}}{}", &path[..from], &path[to + 1..]),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sync::rules::{COMES_WITH, CONTRACT};

    #[test]
    fn names_are_unique_and_paths_are_complete() {
        let names: HashSet<&str> = STREAMS.all.iter().map(|stream| stream.name.as_str()).collect();
        assert_eq!(names.len(), STREAMS.all.len());
        for stream in &STREAMS.all {
            assert!(stream.path.starts_with("/v1/") || stream.path.starts_with("/v2/"), "{stream:?}");
            let wants_path = stream.parent.is_some_and(|parent| parent.parameter.is_none());
            assert_eq!(stream.path.contains("{parent}"), wants_path, "{}", stream.name);
            assert_eq!(stream.path.matches('{').count(), usize::from(wants_path), "{}", stream.name);
        }
    }

    #[test]
    fn every_rule_names_a_kind_with_a_table_and_a_parent_that_is_listed() {
        for rule in RULES {
            assert!(catalogue::table_of(rule.object).is_some(), "{}", rule.object);
            if let Some(parent) = rule.parent {
                assert!(!of(parent.object, true).is_empty(), "{} below {}", rule.object, parent.object);
            }
            if let Some(fallback) = rule.fallback {
                assert!(named(fallback).is_some(), "{fallback}");
            }
        }
        for (object, parents) in COMES_WITH {
            assert!(catalogue::table_of(object).is_some() && of(object, true).is_empty(), "{object}");
            assert!(parents.iter().all(|parent| !of(parent, true).is_empty()), "{object}");
        }
        for (object, _, _) in CONTRACT {
            assert!(!of(object, false).is_empty(), "{object}");
        }
    }

    #[test]
    fn every_kind_that_stripe_lists_and_that_has_a_table_is_read_or_comes_with_another() {
        // Listed below objects that cannot be listed themselves, or with parameters whose values nobody knows.
        const UNREADABLE: &[&str] = &[
            "billing.meter_event_summary",
            "financial_connections.account_owner",
            "tax.calculation_line_item",
            "tax.location",
            "tax.transaction_line_item",
        ];
        for kind in catalogue::kinds().iter().filter(|kind| kind.list.is_some() && kind.table.is_some()) {
            let covered = !of(kind.object, true).is_empty()
                || COMES_WITH.iter().any(|(object, _)| *object == kind.object)
                || UNREADABLE.contains(&kind.object);
            assert!(covered, "{} is never read", kind.object);
        }
    }

    #[test]
    fn what_stripe_omits_by_default_is_asked_for() {
        let queries = |object| of(object, false).iter().map(|stream| stream.query).collect::<Vec<_>>();
        assert!(queries("subscription").iter().all(|query| query.contains(&("status", "all"))));
        assert_eq!(queries("price"), [[("active", "true")], [("active", "false")]]);
        assert!(of("customer", false).iter().any(|stream| stream.name == "customer@test_clock"));
        assert!(!of("tax_id", false).iter().any(|stream| stream.is_fan_out()), "one request a customer, unasked");
        assert!(of("tax_id", true).iter().any(|stream| stream.is_fan_out()));
    }
}
