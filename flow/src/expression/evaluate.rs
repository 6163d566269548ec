//! A tree to a value.

use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::ExpressionError;
use super::arithmetic::calculate;
use super::functions::{self, Call};
use super::meter::Meter;
use super::tree::{Binary, Node, Tree, Walk, WalkParts};
use super::value::{Data, data_equal, data_order, equal, numeric};

type Evaluated<'s> = Result<Data<'s>, ExpressionError>;

/// What an evaluation sees.
#[derive(Clone, Copy)]
pub(super) struct Frame<'s> {
    pub event: &'s Value,
    pub other: Option<&'s Value>,
    pub now: Timestamp,
    pub meter: &'s Meter,
    pub local: Option<&'s Local<'s>>,
}

/// The element at which a walk is, and those of the walks around it.
pub(super) struct Local<'s> {
    element: &'s Value,
    outer: Option<&'s Local<'s>>,
}

pub(super) fn evaluate<'s>(tree: &'s Tree, frame: Frame<'s>) -> Evaluated<'s> {
    frame.meter.charge(1)?;
    match &tree.node {
        Node::Literal(value) => Ok(Data::Seen(value)),
        Node::Event => Ok(Data::Seen(frame.event)),
        Node::Other => Ok(frame.other.map_or(Data::NULL, Data::Seen)),
        Node::Local(distance) => Ok(local(frame.local, *distance)),
        Node::List(parts) => list(parts, frame),
        Node::Map(entries) => map(entries, frame),
        Node::Index(object, key) => index(evaluate(object, frame)?, evaluate(key, frame)?, frame.meter),
        Node::Has(object, key) => {
            let (object, key) = (evaluate(object, frame)?, evaluate(key, frame)?);
            Ok(place(object.value(), &key).is_some().into())
        }
        Node::Not(inner) => Ok((!evaluate(inner, frame)?.is_true()).into()),
        Node::Negative(inner) => {
            let zero = Data::Made(Value::from(0));
            calculate(Binary::Subtract, zero, evaluate(inner, frame)?, Call { tree, frame })
        }
        Node::Binary(operation, left, right) => {
            let (left, right) = (evaluate(left, frame)?, evaluate(right, frame)?);
            binary(*operation, left, right, Call { tree, frame })
        }
        Node::All(parts) => logical(parts, false, frame),
        Node::Any(parts) => logical(parts, true, frame),
        Node::Choice(parts) => {
            let [condition, yes, no] = &**parts;
            evaluate(if evaluate(condition, frame)?.is_true() { yes } else { no }, frame)
        }
        Node::Call(function, arguments) => {
            let arguments = arguments.iter().map(|part| evaluate(part, frame)).collect::<Result<Vec<_>, _>>()?;
            Call { tree, frame }.run(*function, &arguments)
        }
        Node::Matches(subject, pattern) => {
            functions::matches(&evaluate(subject, frame)?, pattern, Call { tree, frame })
        }
        Node::Walk(walk, parts) => walk_over(*walk, parts, Call { tree, frame }),
    }
}

fn local<'s>(innermost: Option<&'s Local<'s>>, distance: usize) -> Data<'s> {
    let mut at = innermost;
    for _ in 0..distance {
        at = at.and_then(|local| local.outer);
    }
    at.map_or(Data::NULL, |local| Data::Seen(local.element))
}

/// A value that goes into a list or a map, paid for when it is copied.
fn owned(data: Data<'_>, meter: &Meter) -> Result<Value, ExpressionError> {
    if let Data::Seen(value) = data {
        meter.charge_value(value)?;
    }
    Ok(data.into_value())
}

fn list<'s>(parts: &'s [Tree], frame: Frame<'s>) -> Evaluated<'s> {
    let elements = parts.iter().map(|part| owned(evaluate(part, frame)?, frame.meter));
    elements.collect::<Result<Vec<_>, _>>().map(|elements| Data::Made(Value::Array(elements)))
}

fn map<'s>(entries: &'s [(Tree, Tree)], frame: Frame<'s>) -> Evaluated<'s> {
    let mut made = Map::new();
    for (key, value) in entries {
        let name = evaluate(key, frame)?.text();
        let name = name.ok_or_else(|| ExpressionError::failed(key.position, "the key of a map must be a text"))?;
        made.insert(name, owned(evaluate(value, frame)?, frame.meter)?);
    }
    Ok(Data::Made(Value::Object(made)))
}

/// What stands at a key or a place; nothing in what has no keys.
fn place<'v>(object: Option<&'v Value>, key: &Data<'_>) -> Option<&'v Value> {
    match object? {
        Value::Object(entries) => entries.get(&*key.name()?),
        Value::Array(elements) => {
            let at = key.value().filter(|key| key.is_number()).and_then(numeric)?.whole()?;
            elements.get(usize::try_from(at).ok()?)
        }
        _ => None,
    }
}

/// Missing is null.
fn index<'s>(object: Data<'s>, key: Data<'s>, meter: &Meter) -> Evaluated<'s> {
    Ok(match object {
        Data::Seen(value) => place(Some(value), &key).map_or(Data::NULL, Data::Seen),
        Data::Made(value) => match place(Some(&value), &key) {
            Some(found) => {
                meter.charge_value(found)?;
                Data::Made(found.clone())
            }
            None => Data::NULL,
        },
        Data::Time(_) => Data::NULL,
    })
}

fn binary<'s>(operation: Binary, left: Data<'s>, right: Data<'s>, call: Call<'s>) -> Evaluated<'s> {
    let meter = call.frame.meter;
    let order = |wanted: fn(Ordering) -> bool| {
        data_order(&left, &right, meter).map(|order| Data::from(order.is_some_and(wanted)))
    };
    match operation {
        Binary::Equal => data_equal(&left, &right, meter).map(Data::from),
        Binary::Unequal => data_equal(&left, &right, meter).map(|equal| Data::from(!equal)),
        Binary::Less => order(Ordering::is_lt),
        Binary::LessOrEqual => order(Ordering::is_le),
        Binary::Greater => order(Ordering::is_gt),
        Binary::GreaterOrEqual => order(Ordering::is_ge),
        Binary::In => contained(&left, &right, meter),
        _ => calculate(operation, left, right, call),
    }
}

/// Whether a list has such an element, or a map such a key. Nothing is in anything else.
fn contained<'s>(element: &Data<'_>, container: &Data<'_>, meter: &Meter) -> Evaluated<'s> {
    match container.value() {
        Some(Value::Array(elements)) => {
            for candidate in elements {
                let same = match element.value() {
                    Some(element) => equal(element, candidate, meter)?,
                    None => data_equal(element, &Data::Seen(candidate), meter)?,
                };
                if same {
                    return Ok(true.into());
                }
            }
            Ok(false.into())
        }
        Some(Value::Object(entries)) => Ok(element.name().is_some_and(|key| entries.contains_key(&*key)).into()),
        _ => Ok(false.into()),
    }
}

/// The operand that decides, or the last one. An error on one side does not matter when another side decides.
fn logical<'s>(parts: &'s [Tree], decisive: bool, frame: Frame<'s>) -> Evaluated<'s> {
    let mut last = Ok(Data::NULL);
    for part in parts {
        match evaluate(part, frame) {
            Ok(value) if value.is_true() == decisive => return Ok(value),
            Ok(value) if last.is_ok() => last = Ok(value),
            Ok(_) => {}
            Err(error) if last.is_ok() => last = Err(error),
            Err(_) => {}
        }
    }
    last
}

fn walk_over<'s>(walk: Walk, parts: &'s WalkParts, call: Call<'s>) -> Evaluated<'s> {
    let frame = call.frame;
    let over = evaluate(&parts.over, frame)?;
    let keys: Vec<Value>;
    let elements = match over.value() {
        Some(Value::Array(elements)) => elements,
        Some(Value::Object(entries)) => {
            frame.meter.charge(entries.len())?;
            keys = entries.keys().map(|key| Value::String(key.clone())).collect();
            &keys
        }
        Some(Value::Null) => return Ok(of_nothing(walk)),
        _ => {
            let message = format!("expected a list or a map to walk over, found {}", over.kind());
            return Err(ExpressionError::failed(call.tree.position, message));
        }
    };
    let mut kept = Vec::new();
    let mut held = 0;
    for element in elements {
        let local = Local { element, outer: frame.local };
        let frame = Frame { local: Some(&local), ..frame };
        if let Some(only) = &parts.only
            && !evaluate(only, frame)?.is_true()
        {
            continue;
        }
        let value = evaluate(&parts.body, frame)?;
        match walk {
            Walk::Exists if value.is_true() => return Ok(true.into()),
            Walk::All if !value.is_true() => return Ok(false.into()),
            Walk::ExistsOne if value.is_true() => held += 1,
            Walk::Filter if value.is_true() => kept.push(owned(Data::Seen(element), frame.meter)?),
            Walk::Map => kept.push(owned(value, frame.meter)?),
            _ => {}
        }
    }
    Ok(match walk {
        Walk::Exists => false.into(),
        Walk::All => true.into(),
        Walk::ExistsOne => (held == 1).into(),
        Walk::Filter | Walk::Map => Data::Made(Value::Array(kept)),
    })
}

/// A walk over something missing: no condition holds of it, and what is made of it is missing too.
fn of_nothing(walk: Walk) -> Data<'static> {
    match walk {
        Walk::Exists | Walk::ExistsOne | Walk::All => false.into(),
        Walk::Filter | Walk::Map => Data::NULL,
    }
}
