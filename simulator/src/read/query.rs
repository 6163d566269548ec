//! The parameters of a list.

use std::ops::Bound;

use billhook_stripe::catalogue::List;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::account::collection::Place;
use crate::error::ApiError;
use crate::params::{Params, integer};

/// Elements of a page when the caller does not say.
pub(crate) const LIMIT_DEFAULT: usize = 10;
/// Most elements of a page.
pub(crate) const LIMIT_MAX: usize = 100;
/// Most event types of one filter.
const TYPES_MAX: usize = 20;

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cursor {
    Start,
    After(String),
    Before(String),
}

/// A list request, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ListQuery {
    pub(crate) limit: usize,
    pub(crate) cursor: Cursor,
    /// Inclusive bounds of `created`.
    pub(crate) created: (i64, i64),
    pub(crate) expand: Vec<String>,
    pub(crate) filters: Map<String, Value>,
}

impl ListQuery {
    /// Reads the parameters of a list of the catalogue.
    pub(crate) fn read(params: &Params, list: &List) -> Result<Self, ApiError> {
        let mut query = Self::read_common(params)?;
        query.check_known(|name| {
            list.filters.contains(&name)
                || list.required_query.contains(&name)
                || (name == "created" && list.created_filter)
        })?;
        for name in &list.required_query {
            if !query.filters.contains_key(*name) {
                return Err(ApiError::missing_parameter(name));
            }
        }
        if list.created_filter {
            let created = query.filters.remove("created");
            query.created = range(created.as_ref(), "created")?;
        }
        Ok(query)
    }

    /// Reads `limit`, the cursor and `expand`; everything else is left as a filter.
    pub(crate) fn read_common(params: &Params) -> Result<Self, ApiError> {
        let limit = params.integer("limit")?.unwrap_or(LIMIT_DEFAULT as i64);
        let limit = usize::try_from(limit).ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or_else(|| {
            ApiError::parameter(
                "parameter_invalid_integer",
                "limit",
                format!("This value must be between 1 and {LIMIT_MAX}, and it is {limit}."),
            )
        })?;
        let cursor = match (params.text("starting_after"), params.text("ending_before")) {
            (None, None) => Cursor::Start,
            (Some(id), None) => Cursor::After(id.to_owned()),
            (None, Some(id)) => Cursor::Before(id.to_owned()),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid("Give starting_after or ending_before, not both of them."));
            }
        };
        let mut filters = params.values().clone();
        for common in ["limit", "starting_after", "ending_before", "expand"] {
            filters.remove(common);
        }
        Ok(Self { limit, cursor, created: (i64::MIN, i64::MAX), expand: expand(params)?, filters })
    }

    /// Refuses parameters that the list does not have.
    pub(crate) fn check_known(&self, known: impl Fn(&str) -> bool) -> Result<(), ApiError> {
        match self.filters.keys().find(|name| !known(name)) {
            None => Ok(()),
            Some(name) => {
                Err(ApiError::parameter("parameter_unknown", name, format!("Received unknown parameter: {name}")))
            }
        }
    }

    /// The places that a page may show, given that of the cursor.
    pub(crate) fn bounds(&self, cursor: Option<Place>) -> (Bound<Place>, Bound<Place>) {
        let mut low = Bound::Included((self.created.0, 0));
        let mut high = Bound::Included((self.created.1, u64::MAX));
        match (&self.cursor, cursor) {
            (Cursor::After(_), Some(place)) if place <= (self.created.1, u64::MAX) => high = Bound::Excluded(place),
            (Cursor::Before(_), Some(place)) if place >= (self.created.0, 0) => low = Bound::Excluded(place),
            _ => {}
        }
        (low, high)
    }

    /// Whether the page is read from the oldest end of its range.
    pub(crate) fn is_ascending(&self) -> bool {
        matches!(self.cursor, Cursor::Before(_))
    }
}

/// `expand[]`.
pub(crate) fn expand(params: &Params) -> Result<Vec<String>, ApiError> {
    let mut paths = Vec::new();
    for path in params.array("expand") {
        let path = path.as_str().unwrap_or_default();
        if path.split('.').count() > 5 || path.is_empty() {
            return Err(ApiError::parameter("invalid_expand", "expand", "At most four levels can be expanded."));
        }
        paths.push(path.to_owned());
    }
    Ok(paths)
}

/// A range of times as inclusive bounds: `created=5`, `created[gte]=5`, or RFC 3339 for v2.
pub(crate) fn range(value: Option<&Value>, name: &str) -> Result<(i64, i64), ApiError> {
    let mut bounds = (i64::MIN, i64::MAX);
    match value {
        None => {}
        Some(Value::Object(limits)) => {
            for (limit, at) in limits {
                let at = time(at, name)?;
                match limit.as_str() {
                    "gt" => bounds.0 = bounds.0.max(at.saturating_add(1)),
                    "gte" => bounds.0 = bounds.0.max(at),
                    "lt" => bounds.1 = bounds.1.min(at.saturating_sub(1)),
                    "lte" => bounds.1 = bounds.1.min(at),
                    _ => {
                        let param = format!("{name}[{limit}]");
                        let message = format!("Received unknown parameter: {param}");
                        return Err(ApiError::parameter("parameter_unknown", &param, message));
                    }
                }
            }
        }
        Some(at) => {
            let at = time(at, name)?;
            bounds = (at, at);
        }
    }
    Ok(bounds)
}

fn time(value: &Value, name: &str) -> Result<i64, ApiError> {
    let written = value.as_str().and_then(|text| text.parse::<Timestamp>().ok());
    match written {
        Some(at) => Ok(at.as_second()),
        None => integer(Some(value), name)?.ok_or_else(|| {
            ApiError::parameter("parameter_invalid_integer", name, format!("Invalid timestamp in {name}"))
        }),
    }
}

/// The event types that `type` or `types[]` ask for; empty for all.
pub(crate) fn event_types(filters: &Map<String, Value>) -> Result<Vec<String>, ApiError> {
    let several = filters.get("types").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    if several.len() > TYPES_MAX {
        return Err(ApiError::parameter("parameter_invalid", "types", format!("Name at most {TYPES_MAX} types.")));
    }
    let one = filters.get("type");
    Ok(several.iter().chain(one).filter_map(Value::as_str).map(str::to_owned).collect())
}
