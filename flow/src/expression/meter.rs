//! How much an evaluation may do.

use std::cell::Cell;

use serde_json::Value;

use super::{ExpressionError, WORK_MAX};

/// Bytes of text that are looked at or copied for one unit of work.
const BYTES_PER_UNIT: usize = 64;

/// Counts the work of one evaluation: a unit for every part evaluated and for every value looked at, more for long texts.
pub(super) struct Meter(Cell<usize>);

impl Meter {
    pub fn new() -> Self {
        Self(Cell::new(WORK_MAX))
    }

    pub fn charge(&self, units: usize) -> Result<(), ExpressionError> {
        let left = self.0.get().checked_sub(units);
        // What has run out stays so: the other side of an `||` must not go on.
        self.0.set(left.unwrap_or(0));
        left.map(|_| ()).ok_or(ExpressionError::TooMuchWork)
    }

    pub fn charge_text(&self, text: &str) -> Result<(), ExpressionError> {
        self.charge(text.len() / BYTES_PER_UNIT + 1)
    }

    /// For a value with everything in it, before it is copied.
    pub fn charge_value(&self, value: &Value) -> Result<(), ExpressionError> {
        match value {
            Value::String(text) => self.charge_text(text),
            Value::Array(elements) => {
                self.charge(1)?;
                elements.iter().try_for_each(|element| self.charge_value(element))
            }
            Value::Object(entries) => entries.iter().try_for_each(|(key, value)| {
                self.charge_text(key)?;
                self.charge_value(value)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => self.charge(1),
        }
    }
}
