//! Finds what a path is about.

use std::sync::LazyLock;

use crate::account::kind_name;
use crate::business;
use crate::read::routes::{READ_ROUTES, ReadRoute};
use crate::routes::{Method, WriteRoute};
use crate::webhooks;

/// What a request is answered by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    Write(&'static WriteRoute),
    Read(&'static ReadRoute),
}

/// A route with the values of its braces.
#[derive(Debug)]
pub(super) struct Matched {
    pub(super) target: Target,
    pub(super) path: &'static str,
    pub(super) values: Vec<(String, String)>,
}

struct Line {
    method: Method,
    segments: Vec<&'static str>,
    path: &'static str,
    target: Target,
}

/// All routes; of those that match, the first wins: literal segments stand before braces.
static LINES: LazyLock<Vec<Line>> = LazyLock::new(|| {
    let writes = business::routes().chain(webhooks::ROUTES);
    let mut lines: Vec<Line> = writes.map(|route| line(route.method, route.path, Target::Write(route))).collect();
    lines.extend(READ_ROUTES.iter().map(|route| line(Method::Get, &route.path, Target::Read(route))));
    let braces = |line: &Line| line.segments.iter().map(|segment| segment.starts_with('{')).collect::<Vec<bool>>();
    // Stable: of equal paths a computed read stands before a stored one.
    lines.sort_by_key(|line| (line.segments.len(), braces(line)));
    lines
});

fn line(method: Method, path: &'static str, target: Target) -> Line {
    Line { method, segments: path.split('/').skip(1).collect(), path, target }
}

/// Finds the route of a request. `path` is still percent-encoded.
pub(super) fn find(method: Method, path: &str) -> Option<Matched> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    let fits = |line: &&Line| {
        line.method == method
            && line.segments.len() == segments.len()
            && line.segments.iter().zip(&segments).all(|(own, given)| own.starts_with('{') || own == given)
            && !segments.iter().any(|segment| segment.is_empty())
    };
    let line = LINES.iter().find(fits)?;
    let values = line.segments.iter().zip(&segments).filter_map(|(own, given)| {
        let name = own.strip_prefix('{')?.strip_suffix('}')?;
        Some((name.to_owned(), crate::params::decode(given)))
    });
    Some(Matched { target: line.target, path: line.path, values: values.collect() })
}

/// The kind that a key needs permission for.
pub(super) fn kind_of(matched: &Matched) -> &'static str {
    match matched.target {
        Target::Read(route) => route.kind,
        Target::Write(route) => {
            // Writes stand at or below the path of the kind that they are about.
            let reads = READ_ROUTES.iter().filter(|read| route.path.starts_with(read.path.as_str()));
            let closest = reads.max_by_key(|read| read.path.len());
            closest.map(|read| read.kind).or_else(|| kind_name("account")).unwrap_or("account")
        }
    }
}
