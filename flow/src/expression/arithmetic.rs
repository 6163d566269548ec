//! `+`, `-`, `*`, `/` and `%`.

use serde_json::Value;

use super::ExpressionError;
use super::functions::Call;
use super::tree::Binary;
use super::value::{Data, Numeric, numeric};

/// What an operation gives. With something missing it gives null, except that a missing part of a text is empty. Integers stay integers:
/// `7 / 2` is 3.
pub(super) fn calculate<'s>(
    operation: Binary,
    left: Data<'s>,
    right: Data<'s>,
    call: Call<'s>,
) -> Result<Data<'s>, ExpressionError> {
    let failed = |message: String| ExpressionError::failed(call.tree.position, message);
    if operation == Binary::Add
        && let Some(joined) = joined(&left, &right, call)?
    {
        return Ok(Data::Made(joined));
    }
    if left.is_null() || right.is_null() {
        return Ok(Data::NULL);
    }
    let (Some(first), Some(second)) = (left.value().and_then(numeric), right.value().and_then(numeric)) else {
        return Err(failed(format!("cannot calculate with {} and {}", left.kind(), right.kind())));
    };
    operate(operation, first, second)
        .and_then(Numeric::into_value)
        .map(Data::Made)
        .ok_or_else(|| failed("the result is no number of 64 bits (a division by zero, or too large)".to_owned()))
}

/// Texts and lists put one after the other; none when neither side is one.
fn joined(left: &Data<'_>, right: &Data<'_>, call: Call<'_>) -> Result<Option<Value>, ExpressionError> {
    match (left.value(), right.value()) {
        (Some(Value::Array(first)), Some(Value::Array(second))) => {
            let both = first.iter().chain(second);
            both.clone().try_for_each(|element| call.frame.meter.charge_value(element))?;
            Ok(Some(Value::Array(both.cloned().collect())))
        }
        (Some(Value::String(_)), _) | (_, Some(Value::String(_))) => {
            let (Some(first), Some(second)) = (part(left), part(right)) else {
                let message = format!("cannot join {} and {}", left.kind(), right.kind());
                return Err(ExpressionError::failed(call.tree.position, message));
            };
            call.frame.meter.charge_text(&first)?;
            call.frame.meter.charge_text(&second)?;
            Ok(Some(Value::String(first + &second)))
        }
        _ => Ok(None),
    }
}

fn part(data: &Data<'_>) -> Option<String> {
    if data.is_null() { Some(String::new()) } else { data.text() }
}

fn operate(operation: Binary, left: Numeric, right: Numeric) -> Option<Numeric> {
    if let (Numeric::Integer(left), Numeric::Integer(right)) = (left, right) {
        let result = match operation {
            Binary::Add => left.checked_add(right),
            Binary::Subtract => left.checked_sub(right),
            Binary::Multiply => left.checked_mul(right),
            Binary::Divide => left.checked_div(right),
            _ => left.checked_rem(right),
        };
        return result.map(Numeric::Integer);
    }
    let (left, right) = (left.as_f64(), right.as_f64());
    Some(Numeric::Float(match operation {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        Binary::Divide => left / right,
        _ => left % right,
    }))
}
