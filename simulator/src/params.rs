//! Parameters of a request: Stripe's form encoding (`items[0][price]=…`) as nested JSON.

use serde_json::{Map, Value};

use crate::error::ApiError;

/// Deepest nesting of brackets.
const DEPTH_MAX: usize = 8;
/// Greatest index of an array.
const INDEX_MAX: usize = 1_000;

/// The parameters of a request. Values of forms are strings; arrays come from `a[]` and `a[0]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    /// What the route's braces matched: `id` in `/v1/customers/{id}`.
    path: Vec<(String, String)>,
    values: Map<String, Value>,
}

impl Params {
    /// Parameters that are already nested.
    pub fn new(path: Vec<(String, String)>, values: Map<String, Value>) -> Self {
        Self { path, values }
    }

    /// Reads `key=value` pairs, already percent-decoded.
    ///
    /// # Errors
    /// Brackets that do not close, nesting deeper than 8, an index above 1,000.
    pub fn from_pairs<'a>(
        path: Vec<(String, String)>,
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, ApiError> {
        let mut root = Value::Object(Map::new());
        for (key, value) in pairs {
            let steps = steps(key)
                .ok_or_else(|| ApiError::invalid(format!("Invalid request: cannot read the parameter name {key}")))?;
            put(&mut root, &steps, value);
        }
        let values = match root {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Ok(Self { path, values })
    }

    /// What a brace of the route matched; empty for a name that the route does not have.
    pub fn path(&self, name: &str) -> &str {
        self.path.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// All parameters.
    pub fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// Whether a parameter was sent, be it empty.
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    /// A parameter as it came.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// A text; `None` when absent or nested. An empty text means "unset" in Stripe's updates.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str)
    }

    /// A text that must be there and not be empty.
    ///
    /// # Errors
    /// 400 `parameter_missing`.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name).filter(|text| !text.is_empty()).ok_or_else(|| ApiError::missing_parameter(name))
    }

    /// An integer.
    ///
    /// # Errors
    /// 400 `parameter_invalid_integer` when it is something else.
    pub fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        integer(self.values.get(name), name)
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// 400 when it is something else.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        boolean(self.values.get(name), name)
    }

    /// A nested hash, e.g. `metadata`.
    pub fn hash(&self, name: &str) -> Option<&Map<String, Value>> {
        self.values.get(name).and_then(Value::as_object)
    }

    /// The elements of an array; empty when absent.
    pub fn array(&self, name: &str) -> &[Value] {
        self.values.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The parameters of a nested hash, with the same path.
    pub fn nested(&self, hash: &Map<String, Value>) -> Self {
        Self { path: self.path.clone(), values: hash.clone() }
    }
}

/// Reads an integer, which forms send as text.
///
/// # Errors
/// 400 `parameter_invalid_integer`.
pub fn integer(value: Option<&Value>, name: &str) -> Result<Option<i64>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => Ok(number.as_i64()),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => text
            .parse()
            .map(Some)
            .map_err(|_| ApiError::parameter("parameter_invalid_integer", name, format!("Invalid integer: {text}"))),
        Some(_) => Err(ApiError::parameter("parameter_invalid_integer", name, "Invalid integer")),
    }
}

/// Reads a boolean, which forms send as text.
///
/// # Errors
/// 400 without a code.
pub fn boolean(value: Option<&Value>, name: &str) -> Result<Option<bool>, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(Value::String(text)) if text == "true" => Ok(Some(true)),
        Some(Value::String(text)) if text == "false" => Ok(Some(false)),
        Some(_) => Err(ApiError { param: Some(name.to_owned()), ..ApiError::invalid("Invalid boolean") }),
    }
}

/// Splits `a[b][]` into its steps; an empty step appends to an array.
fn steps(key: &str) -> Option<Vec<&str>> {
    let Some((first, rest)) = key.split_once('[') else {
        return Some(vec![key]);
    };
    let inner = rest.strip_suffix(']')?;
    let mut steps = vec![first];
    steps.extend(inner.split("]["));
    let fits =
        |step: &&str| !step.contains(['[', ']']) && step.parse::<usize>().ok().is_none_or(|index| index <= INDEX_MAX);
    (steps.len() <= DEPTH_MAX && steps.iter().all(fits)).then_some(steps)
}

/// Puts a value at its place and makes the arrays and hashes on the way.
fn put(at: &mut Value, steps: &[&str], value: &str) {
    let Some((step, rest)) = steps.split_first() else {
        *at = Value::from(value);
        return;
    };
    let is_index = step.is_empty() || step.bytes().all(|byte| byte.is_ascii_digit());
    // A numbered step makes an array only where nothing else was begun: hashes may have numbers as keys.
    if is_index && (at.is_null() || at.is_array()) {
        if at.is_null() {
            *at = Value::Array(Vec::new());
        }
        if let Value::Array(array) = at {
            let index = step.parse().unwrap_or(array.len());
            if array.len() <= index {
                array.resize(index + 1, Value::Null);
            }
            put(&mut array[index], rest, value);
        }
        return;
    }
    if !at.is_object() {
        *at = Value::Object(Map::new());
    }
    if let Value::Object(map) = at {
        // Its keys are the user's, numbers included.
        let begun = if *step == "metadata" && !rest.is_empty() { Value::Object(Map::new()) } else { Value::Null };
        put(map.entry(*step).or_insert(begun), rest, value);
    }
}

/// Appends a parameter to an address, nested as forms are.
pub(crate) fn push_query(url: &mut String, name: &str, value: &Value) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| push_query(url, &format!("{name}[{key}]"), value)),
        Value::Array(array) => {
            array.iter().enumerate().for_each(|(at, value)| push_query(url, &format!("{name}[{at}]"), value));
        }
        Value::String(text) => push_pair(url, name, text),
        other => push_pair(url, name, &other.to_string()),
    }
}

fn push_pair(url: &mut String, name: &str, text: &str) {
    url.push(if url.contains('?') { '&' } else { '?' });
    push_encoded(url, name);
    url.push('=');
    push_encoded(url, text);
}

fn push_encoded(url: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            url.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// Decodes `a=b&c=d` with percent signs and pluses. Broken escapes stay as they are; what is not UTF-8 is replaced.
pub(crate) fn decode_pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// Decodes percent signs and pluses.
pub(crate) fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let escaped = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match (byte, escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = &after[2..];
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Value {
        Value::Object(Params::from_pairs(Vec::new(), pairs.iter().copied()).unwrap().values)
    }

    #[test]
    fn brackets_nest() {
        let got = read(&[
            ("customer", "cus_1"),
            ("items[0][price]", "price_1"),
            ("items[0][quantity]", "2"),
            ("items[1][price]", "price_2"),
            ("expand[]", "customer"),
            ("expand[]", "latest_invoice"),
            ("metadata[7]", "seven"),
            ("created[gte]", "5"),
        ]);
        assert_eq!(
            got,
            json!({
                "customer": "cus_1",
                "items": [{"price": "price_1", "quantity": "2"}, {"price": "price_2"}],
                "expand": ["customer", "latest_invoice"],
                "metadata": {"7": "seven"},
                "created": {"gte": "5"},
            })
        );
    }

    #[test]
    fn broken_names_are_refused() {
        for name in ["a[b", "a[b]c", "a[b[c]]", "a[1001]", "a[b][c][d][e][f][g][h][i]"] {
            assert!(Params::from_pairs(Vec::new(), [(name, "1")]).is_err(), "{name}");
        }
    }

    #[test]
    fn typed_values() {
        let params = Params::from_pairs(Vec::new(), [("n", "12"), ("b", "true"), ("x", "y"), ("e", "")]).unwrap();
        assert_eq!((params.integer("n"), params.boolean("b")), (Ok(Some(12)), Ok(Some(true))));
        assert_eq!(params.integer("absent"), Ok(None));
        assert!(params.integer("x").is_err() && params.boolean("x").is_err());
        assert!(params.required("e").is_err());
        assert_eq!(params.required("x"), Ok("y"));
    }
}
