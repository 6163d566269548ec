//! Reads where a column's value comes from: the part of a column's line behind `=`.

use billhook_core::table::{Expression, Path, Segment, Source};

/// What is wrong with the text of a source.
pub(super) type Problem = &'static str;

/// Reads `null`, `@parent.customer`, `linked id(invoice)`, `id(subscription) | @parent`, `tax | sum(total_taxes[*].amount)`, ….
pub(super) fn source(text: &str) -> Result<Source, Problem> {
    if text == "null" {
        return Ok(Source::Null);
    }
    if let Some(path) = text.strip_prefix("@parent.") {
        return Ok(Source::Parent(path.split('.').map(str::to_owned).collect()));
    }
    if text == "@parent" {
        return Ok(Source::ParentId(Vec::new()));
    }
    if let Some(own) = text.strip_suffix(" | @parent") {
        return Ok(Source::ParentId(alternatives(own)?));
    }
    if let Some(own) = text.strip_prefix("linked ") {
        return Ok(Source::Linked(alternatives(own)?));
    }
    Ok(Source::Object(alternatives(text)?))
}

fn alternatives(text: &str) -> Result<Vec<Expression>, Problem> {
    text.split(" | ").map(expression).collect()
}

fn expression(text: &str) -> Result<Expression, Problem> {
    let Some((function, rest)) = text.split_once('(') else {
        return Ok(Expression::Value(path(text)?));
    };
    let argument = rest.strip_suffix(')').ok_or("a function without its closing parenthesis")?;
    Ok(match function {
        "id" => Expression::Id(path(argument)?),
        "sum" => Expression::Sum(path(argument)?),
        "min" => Expression::Min(path(argument)?),
        "max" => Expression::Max(path(argument)?),
        "equals" => {
            let (place, literal) = argument.split_once(',').ok_or("equals() takes a path and a literal")?;
            Expression::Equals(path(place)?, literal.trim().to_owned())
        }
        _ => return Err("an unknown function"),
    })
}

/// Reads `items.data[*].current_period_end`, `discounts[0]`, ….
fn path(text: &str) -> Result<Path, Problem> {
    let mut segments = Path::new();
    for step in text.split('.') {
        let (key, index) = match step.split_once('[') {
            None => (step, None),
            Some((key, rest)) => (key, Some(rest.strip_suffix(']').ok_or("an index without its closing bracket")?)),
        };
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err("a path segment that is no property name");
        }
        segments.push(Segment::Key(key.to_owned()));
        match index {
            None => {}
            Some("*") => segments.push(Segment::Every),
            Some(number) => segments.push(Segment::Index(number.parse().map_err(|_| "an index that is no number")?)),
        }
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Segment {
        Segment::Key(name.to_owned())
    }

    #[test]
    fn every_form_of_a_source_is_read() {
        assert_eq!(source("null"), Ok(Source::Null));
        assert_eq!(source("@parent"), Ok(Source::ParentId(vec![])));
        assert_eq!(source("@parent.customer"), Ok(Source::Parent(vec!["customer".to_owned()])));
        assert_eq!(source("id(fee) | @parent"), Ok(Source::ParentId(vec![Expression::Id(vec![key("fee")])])));
        assert_eq!(source("linked id(invoice)"), Ok(Source::Linked(vec![Expression::Id(vec![key("invoice")])])));
        assert_eq!(
            source("paid | equals(status, paid)"),
            Ok(Source::Object(vec![
                Expression::Value(vec![key("paid")]),
                Expression::Equals(vec![key("status")], "paid".to_owned())
            ]))
        );
        assert_eq!(
            source("max(items.data[*].current_period_end) | discounts[0]"),
            Ok(Source::Object(vec![
                Expression::Max(vec![key("items"), key("data"), Segment::Every, key("current_period_end")]),
                Expression::Value(vec![key("discounts"), Segment::Index(0)])
            ]))
        );
    }

    #[test]
    fn mistakes_are_named() {
        for wrong in
            ["", "a..b", "a[", "a[x]", "id(a", "equals(a)", "upper(a)", "@mother", "@parent | a", "a |b", "linked "]
        {
            assert!(source(wrong).is_err(), "{wrong:?} should be refused");
        }
    }
}
