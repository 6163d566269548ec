//! Every path that can be read, derived from the catalogue.

use std::sync::LazyLock;

use billhook_stripe::catalogue::{self, Kind, List};

use crate::account::embedded::{EMBEDDED, Elements, Embedded};

/// What a path reads.
#[derive(Debug, Clone)]
pub(crate) enum Read {
    /// Objects of a kind.
    List(&'static str),
    /// Objects of a kind below another object, which they name in the property. The parent's kind may be unknown.
    Below(&'static str, Option<&'static str>, &'static str),
    /// Objects of several kinds below another object.
    Several(&'static [&'static str], &'static str, &'static str),
    /// Elements that live inside of the object that the path or the query names.
    Elements(&'static Embedded, Option<&'static str>),
    /// A list that is always empty: nothing is previewed for reads.
    Empty,
    /// One object by its id.
    Object(&'static str),
    /// One object of several kinds by its id.
    ObjectOf(&'static [&'static str]),
    /// The one object of a kind.
    Singleton(&'static str),
    /// The account itself.
    OwnAccount,
    /// The Events API.
    Events,
    /// One snapshot event.
    Event,
    /// The thin events.
    ThinEvents,
    /// One thin event.
    ThinEvent,
}

/// A path with what it reads.
#[derive(Debug)]
pub(crate) struct ReadRoute {
    /// With braces where ids stand.
    pub(crate) path: String,
    pub(crate) read: Read,
    /// The rules of a list; of the elements' own for other reads.
    pub(crate) list: List,
    /// The kind that a restricted key needs permission for.
    pub(crate) kind: &'static str,
}

/// All of them.
pub(crate) static READ_ROUTES: LazyLock<Vec<ReadRoute>> = LazyLock::new(make);

fn make() -> Vec<ReadRoute> {
    let mut routes: Vec<ReadRoute> = Vec::new();
    let mut add = |path: &str, read: Read, list: Option<&List>, kind: &'static str| {
        if !routes.iter().any(|route| route.path == path) {
            let list = list.cloned().unwrap_or_else(plain_list);
            routes.push(ReadRoute { path: path.to_owned(), read, list, kind });
        }
    };
    add("/v1/events", Read::Events, list_of("event"), "event");
    add("/v1/events/{id}", Read::Event, None, "event");
    add("/v2/core/events", Read::ThinEvents, list_of("v2.core.event"), "v2.core.event");
    add("/v2/core/events/{id}", Read::ThinEvent, None, "v2.core.event");
    add("/v1/account", Read::OwnAccount, None, "account");
    add("/v1/credit_notes/preview/lines", Read::Empty, None, "credit_note_line_item");
    add("/v1/quotes/{id}/computed_upfront_line_items", Read::Empty, None, "item");
    for embedded in &EMBEDDED {
        // Those with a query are lists of their own in the catalogue.
        let is_path = !embedded.url.contains('?');
        match embedded.elements {
            Elements::Own(kind) if is_path => add(embedded.url, Read::Elements(embedded, None), None, kind),
            Elements::Own(kind) => {
                let list = list_of(kind);
                if let Some(list) = list {
                    add(list.path, Read::Elements(embedded, list.required_query.first().copied()), Some(list), kind);
                }
            }
            Elements::Apart(kinds, property) if is_path => {
                let [first, ..] = kinds else { continue };
                let several = Read::Several(kinds, property, embedded.kind);
                add(embedded.url, several, None, first);
                add(&format!("{}/{{elementId}}", embedded.url), Read::ObjectOf(kinds), None, first);
            }
            Elements::Apart(..) => {}
        }
    }
    for kind in catalogue::kinds() {
        if let Some(list) = &kind.list {
            add(list.path, list_read(kind.object, list.path), Some(list), kind.object);
            for path in &list.other_paths {
                add(path, list_read(kind.object, path), Some(list), kind.object);
            }
        }
        if let Some(path) = kind.retrieve_path {
            let read = if path.ends_with('}') { Read::Object(kind.object) } else { Read::Singleton(kind.object) };
            add(path, read, None, kind.object);
        }
    }
    routes
}

fn list_of(kind: &str) -> Option<&'static List> {
    catalogue::kind_of(kind).and_then(|kind| kind.list.as_ref())
}

/// A list without filters.
fn plain_list() -> List {
    List {
        path: "",
        created_filter: false,
        paginated: true,
        parent_param: None,
        required_query: Vec::new(),
        filters: Vec::new(),
        other_paths: Vec::new(),
    }
}

/// How the objects of a kind are listed at a path: below the object that the path names, or all.
fn list_read(kind: &'static str, path: &str) -> Read {
    let Some((before, _)) = path.split_once("/{") else {
        return Read::List(kind);
    };
    let is_parent = |kind: &&Kind| kind.retrieve_path.is_some_and(|read| read == format!("{before}/{{id}}"));
    let parent = catalogue::kinds().iter().find(is_parent).map(|kind| kind.object);
    let property = match parent {
        Some("application_fee") => "fee",
        Some(parent) => parent.rsplit('.').next().unwrap_or(parent),
        None => "parent",
    };
    Read::Below(kind, parent, property)
}
