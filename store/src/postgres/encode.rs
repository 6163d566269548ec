//! Arrays as PostgreSQL's binary protocol wants them, written straight from the rows: no vector of values in between.

use std::error::Error;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use postgres_types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

/// Unix seconds of 2000-01-01T00:00:00Z, from which PostgreSQL counts microseconds.
const POSTGRES_EPOCH_SECONDS: i64 = 946_684_800;

/// Unix seconds of the first and the last moment that `timestamptz` can hold: 4713 BC and the end of 294276.
const TIMESTAMPTZ_SECONDS: std::ops::Range<i64> = -210_866_803_200..9_224_318_016_000;

/// Dimensions 1, nulls possible; element type, length and lower bound follow.
const ONE_DIMENSION: i32 = 1;
const MAY_HOLD_NULLS: i32 = 1;
const LOWER_BOUND: i32 = 1;
const NULL_LENGTH: i32 = -1;

/// The only version of `jsonb`'s binary form, which is JSON text after this byte.
const JSONB_VERSION: u8 = 1;

/// One encoded array parameter.
pub(super) struct Array {
    element: Type,
    encoded: BytesMut,
}

impl Array {
    /// An array whose elements `write` appends; it returns false for NULL and must then have appended nothing.
    pub(super) fn build<T>(
        element: Type,
        items: impl ExactSizeIterator<Item = T>,
        mut write: impl FnMut(T, &mut BytesMut) -> bool,
    ) -> Self {
        // The lengths are less than 1 GB in all, the protocol's own limit, which the server checks.
        let mut encoded = BytesMut::new();
        encoded.put_i32(ONE_DIMENSION);
        encoded.put_i32(MAY_HOLD_NULLS);
        encoded.put_u32(element.oid());
        encoded.put_i32(protocol_length(items.len()));
        encoded.put_i32(LOWER_BOUND);
        for item in items {
            let start = encoded.len();
            encoded.put_i32(NULL_LENGTH);
            if write(item, &mut encoded) {
                let length = protocol_length(encoded.len() - start - size_of::<i32>());
                encoded[start..start + size_of::<i32>()].copy_from_slice(&length.to_be_bytes());
            }
        }
        Self { element, encoded }
    }

    pub(super) fn text<'a>(items: impl ExactSizeIterator<Item = Option<&'a str>>) -> Self {
        Self::build(Type::TEXT, items, |item, out| item.map(|text| out.extend_from_slice(text.as_bytes())).is_some())
    }

    pub(super) fn jsonb<'a>(items: impl ExactSizeIterator<Item = Option<&'a str>>) -> Self {
        Self::build(Type::JSONB, items, |item, out| {
            let Some(text) = item else { return false };
            out.put_u8(JSONB_VERSION);
            out.extend_from_slice(text.as_bytes());
            true
        })
    }

    pub(super) fn bytea<'a>(items: impl ExactSizeIterator<Item = &'a [u8]>) -> Self {
        Self::build(Type::BYTEA, items, |item, out| {
            out.extend_from_slice(item);
            true
        })
    }

    pub(super) fn bigint(items: impl ExactSizeIterator<Item = Option<i64>>) -> Self {
        Self::build(Type::INT8, items, |item, out| item.map(|number| out.put_i64(number)).is_some())
    }

    pub(super) fn smallint(items: impl ExactSizeIterator<Item = i16>) -> Self {
        Self::build(Type::INT2, items, |item, out| {
            out.put_i16(item);
            true
        })
    }

    pub(super) fn double(items: impl ExactSizeIterator<Item = Option<f64>>) -> Self {
        Self::build(Type::FLOAT8, items, |item, out| item.map(|number| out.put_f64(number)).is_some())
    }

    pub(super) fn boolean(items: impl ExactSizeIterator<Item = Option<bool>>) -> Self {
        Self::build(Type::BOOL, items, |item, out| item.map(|flag| out.put_u8(u8::from(flag))).is_some())
    }

    pub(super) fn timestamps(items: impl ExactSizeIterator<Item = Timestamp>) -> Self {
        Self::build(Type::TIMESTAMPTZ, items, |item, out| {
            out.put_i64(item.as_microsecond() - POSTGRES_EPOCH_SECONDS * 1_000_000);
            true
        })
    }

    /// Unix seconds as `timestamptz`; NULL where the type cannot hold them.
    pub(super) fn unix_seconds(items: impl ExactSizeIterator<Item = Option<i64>>) -> Self {
        Self::build(Type::TIMESTAMPTZ, items, |item, out| {
            let Some(seconds) = item.filter(|seconds| TIMESTAMPTZ_SECONDS.contains(seconds)) else { return false };
            out.put_i64((seconds - POSTGRES_EPOCH_SECONDS) * 1_000_000);
            true
        })
    }
}

fn protocol_length(length: usize) -> i32 {
    // Too long a message is refused by the driver before it is sent.
    i32::try_from(length).unwrap_or(i32::MAX)
}

impl fmt::Debug for Array {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Array of {}", self.element)
    }
}

impl ToSql for Array {
    fn to_sql(&self, _type: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.encoded);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        matches!(kind.kind(), Kind::Array(_))
    }

    fn encode_format(&self, _type: &Type) -> Format {
        Format::Binary
    }

    fn to_sql_checked(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        // The statement's own idea of the element must be the one that was encoded.
        match kind.kind() {
            Kind::Array(element) if *element == self.element => self.to_sql(kind, out),
            _ => Err(format!("an array of {} was given for {kind}", self.element).into()),
        }
    }
}

/// An array of bodies that shares their memory until the message is written, because together they may be large.
#[derive(Debug)]
pub(super) struct Bodies(pub(super) Vec<Bytes>);

impl ToSql for Bodies {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.reserve(self.0.iter().map(|body| body.len() + size_of::<i32>()).sum());
        out.put_i32(ONE_DIMENSION);
        out.put_i32(MAY_HOLD_NULLS);
        out.put_u32(Type::BYTEA.oid());
        out.put_i32(i32::try_from(self.0.len())?);
        out.put_i32(LOWER_BOUND);
        for body in &self.0 {
            out.put_i32(i32::try_from(body.len())?);
            out.extend_from_slice(body);
        }
        debug_assert_eq!(*kind, Type::BYTEA_ARRAY);
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::BYTEA_ARRAY
    }

    to_sql_checked!();
}

/// A decimal number as text that PostgreSQL's `numeric` takes and that does not blow up: `1e131000` is nine bytes here and
/// 131,001 digits there.
pub(super) fn is_storable_decimal(text: &str) -> bool {
    const DIGITS_MAX: usize = 300;
    const EXPONENT_MAX: i32 = 300;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.parse::<i32>().is_ok_and(|exponent| exponent.abs() <= EXPONENT_MAX);
    whole.len() + fraction.len() > 0
        && whole.len() + fraction.len() <= DIGITS_MAX
        && all_digits(whole)
        && all_digits(fraction)
        && exponent_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_laid_out_as_the_protocol_says() {
        let array = Array::text([Some("ab"), None].into_iter());
        let expected: &[u8] =
            &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255];
        assert_eq!(&array.encoded[..], expected);
    }

    #[test]
    fn an_array_is_only_given_for_its_own_type() {
        let array = Array::bigint([Some(1)].into_iter());
        let mut out = BytesMut::new();
        assert!(array.to_sql_checked(&Type::INT8_ARRAY, &mut out).is_ok());
        assert!(array.to_sql_checked(&Type::TEXT_ARRAY, &mut out).is_err());
        assert!(array.to_sql_checked(&Type::INT8, &mut out).is_err());
    }

    #[test]
    fn seconds_outside_of_timestamptz_are_null() {
        let encoded = |seconds| Array::unix_seconds([Some(seconds)].into_iter()).encoded.len();
        let null = encoded(i64::MAX);
        assert_eq!(encoded(i64::MIN), null);
        assert_eq!(encoded(TIMESTAMPTZ_SECONDS.end), null);
        assert_eq!(encoded(TIMESTAMPTZ_SECONDS.start), null + 8);
        assert_eq!(encoded(TIMESTAMPTZ_SECONDS.end - 1), null + 8);
    }

    #[test]
    fn decimals_are_checked_before_the_server_sees_them() {
        for good in ["0", "-1.50", "+3", ".5", "5.", "1e-7", "12.5E3"] {
            assert!(is_storable_decimal(good), "{good}");
        }
        for bad in ["", "-", ".", "NaN", "Infinity", "1e131000", "1e", "1e99999999999", "1 ", "0x1", "1.2.3", "--1"] {
            assert!(!is_storable_decimal(bad), "{bad}");
        }
    }
}
