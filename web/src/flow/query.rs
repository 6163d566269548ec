//! The parameters of a query, decoded.

use jiff::Timestamp;

use super::Refusal;

/// Rows of a list unless the caller asks for another number.
const LIMIT_DEFAULT: usize = 20;

/// Most rows of a list: an event may have the size of a delivery, and all of them are in memory at once.
pub(super) const LIMIT_MAX: usize = 100;

/// PostgreSQL's text holds every character but this one, so nothing that is stored has such a name.
pub(super) const NUL: &str = "no id and no name holds the character NUL";

/// Names and values, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=b&c=d` with percent signs and plus signs as forms write them.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        });
        pairs.collect::<Result<Vec<_>, String>>().map(Self)
    }

    /// Refuses parameters that mean nothing here: a filter with a spelling mistake would list everything.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) if known.is_empty() => {
                Err(Refusal::of_request(format!("the parameter {name} means nothing here; this path takes none")))
            }
            Some((name, _)) => Err(Refusal::of_request(format!(
                "the parameter {name} means nothing here; there are {}",
                known.join(", ")
            ))),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// A time as RFC 3339.
    pub(super) fn time(&self, name: &str) -> Result<Option<Timestamp>, Refusal> {
        let parsed = self.get(name).map(str::parse).transpose();
        parsed.map_err(|_| Refusal::of_request(format!("{name} is no time such as 2026-01-31T12:00:00Z")))
    }

    pub(super) fn limit(&self) -> Result<usize, Refusal> {
        let Some(text) = self.get("limit") else { return Ok(LIMIT_DEFAULT) };
        let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or_else(|| Refusal::of_request(format!("limit is a number from 1 to {LIMIT_MAX}")))
    }
}

fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
                match (digit(rest.next()), digit(rest.next())) {
                    (Some(high), Some(low)) => u8::try_from(high << 4 | low).unwrap_or_default(),
                    _ => return Err("a percent sign of the query is not followed by two hexadecimal digits".to_owned()),
                }
            }
            other => other,
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| "the query is not UTF-8 text".to_owned())?;
    if text.contains('\0') { Err(NUL.to_owned()) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_as_forms_write_it() {
        let query = Query::parse("name=stripe%2Finvoice.paid&&reason=not+wanted%20%C3%A4&empty=&bare").unwrap();
        assert_eq!(query.get("name"), Some("stripe/invoice.paid"));
        assert_eq!(query.get("reason"), Some("not wanted ä"));
        assert_eq!((query.get("empty"), query.get("bare"), query.get("none")), (Some(""), Some(""), None));
        for wrong in ["a=%", "a=%2", "a=%zz", "a=%ff", "a=%00"] {
            assert!(Query::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let query = |text: &str| Query::parse(text).unwrap();
        assert!(query("limit=100").limit().is_ok_and(|limit| limit == 100));
        for wrong in ["limit=0", "limit=101", "limit=-1", "limit=", "limit=x"] {
            assert!(query(wrong).limit().is_err(), "{wrong}");
        }
        assert!(query("after=2026-01-31T12:00:00%2B01:00").time("after").is_ok_and(|time| time.is_some()));
        assert!(query("after=yesterday").time("after").is_err());
        assert!(query("state=failed").only(&["state"]).is_ok());
        assert!(query("status=failed").only(&["state"]).is_err());
    }
}
