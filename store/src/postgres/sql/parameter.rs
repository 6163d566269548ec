//! Parameters by the types that the statement gives its placeholders.
//!
//! All but bytes go as text: the server reads `numeric`, `uuid`, enums and dates from it with its own rules. What a value may be used
//! for is decided here, so that a mistake is told by its placeholder and not by a code of the server's.

use std::error::Error;

use bytes::BytesMut;
use postgres_types::{Format, IsNull, Kind, ToSql, Type};

use crate::{SqlError, SqlValue};

/// A parameter that fits its placeholder.
#[derive(Debug)]
pub(super) enum Parameter<'a> {
    Null,
    Text(String),
    Bytes(&'a [u8]),
}

/// Every value for its placeholder.
pub(super) fn all<'a>(types: &[Type], values: &'a [SqlValue]) -> Result<Vec<Parameter<'a>>, SqlError> {
    if types.len() != values.len() {
        let (wanted, given) = (types.len(), values.len());
        return Err(SqlError::Parameter(format!("the statement has {wanted} placeholders and got {given} parameters")));
    }
    let numbered = types.iter().zip(values).zip(1..);
    numbered
        .map(|((given, value), number)| one(given, value).map_err(|why| refused(number, given, value, why)))
        .collect()
}

fn refused(number: usize, given: &Type, value: &SqlValue, why: Option<&str>) -> SqlError {
    let reason = why.map_or_else(String::new, |why| format!(": {why}"));
    SqlError::Parameter(format!("${number} is {}, which cannot be {}{reason}", value.kind(), given.name()))
}

/// `Err` holds the reason where the two types alone do not say it.
fn one<'a>(given: &Type, value: &'a SqlValue) -> Result<Parameter<'a>, Option<&'static str>> {
    if let Kind::Domain(inner) = given.kind() {
        return one(inner, value);
    }
    let text = match value {
        SqlValue::Null => return Ok(Parameter::Null),
        SqlValue::Bytes(bytes) if *given == Type::BYTEA => return Ok(Parameter::Bytes(bytes)),
        SqlValue::Bool(value) if *given == Type::BOOL => value.to_string(),
        SqlValue::Integer(number) => integer(given, *number)?,
        SqlValue::Real(number) if is_fraction(given) => number.to_string(),
        SqlValue::Text(text) if takes_text(given) => {
            if text.contains('\0') {
                return Err(Some("it holds a NUL character, which PostgreSQL cannot store"));
            }
            text.clone()
        }
        SqlValue::Json(json) if is_text(given) || [Type::JSON, Type::JSONB].contains(given) => json.to_string(),
        SqlValue::Timestamp(time) if [Type::TIMESTAMPTZ, Type::TIMESTAMP].contains(given) => format!("{time:.6}"),
        _ => return Err(None),
    };
    Ok(Parameter::Text(text))
}

fn integer(given: &Type, number: i64) -> Result<String, Option<&'static str>> {
    let fits = match *given {
        Type::INT2 => i16::try_from(number).is_ok(),
        Type::INT4 => i32::try_from(number).is_ok(),
        Type::OID => u32::try_from(number).is_ok(),
        Type::INT8 => true,
        _ if is_fraction(given) => true,
        _ => return Err(None),
    };
    if fits { Ok(number.to_string()) } else { Err(Some("it is out of range")) }
}

fn is_fraction(given: &Type) -> bool {
    [Type::FLOAT4, Type::FLOAT8, Type::NUMERIC].contains(given)
}

fn is_text(given: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN].contains(given)
}

fn takes_text(given: &Type) -> bool {
    const OTHERS: &[Type] =
        &[Type::BOOL, Type::INT2, Type::INT4, Type::INT8, Type::OID, Type::FLOAT4, Type::FLOAT8, Type::BYTEA];
    !OTHERS.contains(given)
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self, _given: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_given: &Type) -> bool {
        // What does not fit was refused before.
        true
    }

    fn encode_format(&self, _given: &Type) -> Format {
        match self {
            Self::Bytes(_) => Format::Binary,
            Self::Null | Self::Text(_) => Format::Text,
        }
    }

    fn to_sql_checked(&self, given: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.to_sql(given, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(given: Type, value: SqlValue) -> String {
        all(&[given], &[value]).map_or_else(|error| error.to_string(), |parameters| format!("{:?}", parameters[0]))
    }

    #[test]
    fn values_fit_what_can_hold_them() {
        assert_eq!(told(Type::INT2, 32_767.into()), "Text(\"32767\")");
        assert_eq!(told(Type::NUMERIC, "12.50".into()), "Text(\"12.50\")");
        assert_eq!(told(Type::UUID, SqlValue::Null), "Null");
        assert_eq!(told(Type::BYTEA, vec![0_u8].into()), "Bytes([0])");
    }

    #[test]
    fn what_does_not_fit_is_told_by_its_placeholder() {
        assert_eq!(told(Type::INT2, 32_768.into()), "$1 is a whole number, which cannot be int2: it is out of range");
        assert_eq!(told(Type::INT8, "5".into()), "$1 is text, which cannot be int8");
        assert_eq!(told(Type::TEXT, 5.into()), "$1 is a whole number, which cannot be text");
        assert!(told(Type::TEXT, "a\0b".into()).contains("NUL"));
        let counted = all(&[Type::TEXT], &[]).expect_err("one is missing").to_string();
        assert_eq!(counted, "the statement has 1 placeholders and got 0 parameters");
    }
}
