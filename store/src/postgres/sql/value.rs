//! Columns of the user's own queries, from the binary form of their types.

use std::error::Error;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use postgres_types::{FromSql, Kind, Type};
use tokio_postgres::Row;

use crate::{SqlError, SqlValue};

type Decoded<T> = Result<T, Box<dyn Error + Sync + Send>>;

/// The values of a row in the order of its columns.
pub(super) fn all(row: &Row) -> Result<Vec<SqlValue>, SqlError> {
    let mut values = Vec::with_capacity(row.len());
    for (index, column) in row.columns().iter().enumerate() {
        let refused = |why: String| SqlError::Column(format!("column {}: {why}", column.name()));
        let raw: Option<Raw<'_>> = row.try_get(index).map_err(|error| refused(error.to_string()))?;
        let value = match raw {
            None => SqlValue::Null,
            Some(Raw(bytes)) => match decode(column.type_(), bytes) {
                Ok(Some(value)) => value,
                Ok(None) => return Err(refused(unreadable(column.type_()))),
                Err(error) => return Err(refused(format!("its {} cannot be read: {error}", column.type_()))),
            },
        };
        values.push(value);
    }
    Ok(values)
}

fn unreadable(given: &Type) -> String {
    format!("a {given} cannot be read here; cast it in SQL, to text or with to_jsonb")
}

/// The bytes of a column of any type.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_given: &Type, raw: &'a [u8]) -> Decoded<Self> {
        Ok(Self(raw))
    }

    fn accepts(_given: &Type) -> bool {
        true
    }
}

/// `None` for types that have no value here.
fn decode(given: &Type, raw: &[u8]) -> Decoded<Option<SqlValue>> {
    Ok(Some(match *given {
        Type::BOOL => bool::from_sql(given, raw)?.into(),
        Type::INT2 => i16::from_sql(given, raw)?.into(),
        Type::INT4 => i32::from_sql(given, raw)?.into(),
        Type::INT8 => i64::from_sql(given, raw)?.into(),
        Type::OID => u32::from_sql(given, raw)?.into(),
        Type::FLOAT4 => f32::from_sql(given, raw)?.into(),
        Type::FLOAT8 => f64::from_sql(given, raw)?.into(),
        Type::BYTEA => raw.into(),
        Type::JSON | Type::JSONB => serde_json::Value::from_sql(given, raw)?.into(),
        Type::TIMESTAMPTZ => Timestamp::from_sql(given, raw)?.into(),
        Type::TIMESTAMP => DateTime::from_sql(given, raw)?.to_string().into(),
        Type::DATE => Date::from_sql(given, raw)?.to_string().into(),
        Type::TIME => Time::from_sql(given, raw)?.to_string().into(),
        Type::NUMERIC => numeric(raw).ok_or("its digits are incomplete")?.into(),
        Type::UUID => uuid(raw).into(),
        // What functions without a result return.
        Type::VOID => SqlValue::Null,
        _ if is_text(given) => std::str::from_utf8(raw)?.into(),
        _ => return Ok(None),
    }))
}

fn is_text(given: &Type) -> bool {
    let is_known = [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].contains(given);
    is_known || matches!(given.kind(), Kind::Enum(_)) || given.name() == "citext"
}

fn uuid(raw: &[u8]) -> String {
    let hex = |part: &[u8]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match raw.len() {
        16 => [&raw[..4], &raw[4..6], &raw[6..8], &raw[8..10], &raw[10..]].map(hex).join("-"),
        _ => hex(raw),
    }
}

/// A `numeric`: digits to base 10,000, the first of them at 10,000 to the power of `weight`, and how many decimals are shown.
fn numeric(raw: &[u8]) -> Option<String> {
    const DIGITS_IN_GROUP: usize = 4;
    let word = |at: usize| Some(u16::from_be_bytes([*raw.get(2 * at)?, *raw.get(2 * at + 1)?]));
    let (count, weight, sign, decimals) = (word(0)?, word(1)?.cast_signed(), word(2)?, usize::from(word(3)?));
    match sign {
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let groups = (0..usize::from(count)).map(|at| word(4 + at)).collect::<Option<Vec<u16>>>()?;
    // Groups that are left out are zero.
    let group = |at: i32| usize::try_from(at).ok().and_then(|at| groups.get(at)).copied().unwrap_or(0);
    let weight = i32::from(weight);
    let whole: String = (0..=weight).map(|at| format!("{:04}", group(at))).collect();
    let whole = whole.trim_start_matches('0');
    let mut text = if sign == 0x4000 { "-".to_owned() } else { String::new() };
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if decimals > 0 {
        let places = (weight + 1..).take(decimals.div_ceil(DIGITS_IN_GROUP));
        let fraction: String = places.map(|at| format!("{:04}", group(at))).collect();
        text.push('.');
        text.push_str(&fraction[..decimals]);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(weight: i16, sign: u16, decimals: u16, groups: &[u16]) -> Option<String> {
        let count = u16::try_from(groups.len()).expect("few groups");
        let words = [count, weight.cast_unsigned(), sign, decimals].into_iter().chain(groups.iter().copied());
        numeric(&words.flat_map(u16::to_be_bytes).collect::<Vec<u8>>())
    }

    #[test]
    fn a_numeric_is_told_with_all_its_decimals() {
        let cases = [
            (of(0, 0, 2, &[12, 5000]), "12.50"),
            (of(1, 0x4000, 0, &[1, 5]), "-10005"),
            (of(2, 0, 0, &[1]), "100000000"),
            (of(-1, 0, 3, &[50]), "0.005"),
            (of(-2, 0, 8, &[7]), "0.00000007"),
            (of(0, 0, 4, &[]), "0.0000"),
            (of(0, 0xc000, 0, &[]), "NaN"),
        ];
        for (told, expected) in cases {
            assert_eq!(told.as_deref(), Some(expected));
        }
        assert_eq!(numeric(&[0, 3, 0, 0]), None);
    }
}
