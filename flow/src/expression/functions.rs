//! The functions of the language. A method `subject.name(…)` is the function `name(subject, …)`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use billhook_core::suggest::nearest;
use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::ExpressionError;
use super::evaluate::Frame;
use super::time;
use super::tree::{Node, Tree, WALKS};
use super::value::{Data, Numeric, numeric};

/// Most bytes of a pattern. One from an event could be as long as the event, and takes many times its length to read.
const PATTERN_SOURCE_BYTES_MAX: usize = 1_024;
/// Most bytes of a compiled pattern: enough for any check of an id or an address, too few for one that takes long to compile.
const PATTERN_BYTES_MAX: usize = 256 * 1_024;
/// Work of compiling a pattern that is not spelled out in the expression, in units.
const PATTERN_WORK: usize = 2_000;
/// Bytes of JSON that are read for one unit of work. A byte of JSON can become sixteen of a value.
const JSON_BYTES_PER_UNIT: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    StartsWith,
    EndsWith,
    Contains,
    Matches,
    Size,
    Lowercase,
    Uppercase,
    Base64Decode,
    JsonParse,
    Date,
    Now,
    NowPlus,
    NowMinus,
    Text,
    Integer,
    Double,
}

/// Names, and how many arguments each takes.
pub(super) const TABLE: [(&str, Function, usize); 19] = [
    ("startsWith", Function::StartsWith, 2),
    ("endsWith", Function::EndsWith, 2),
    ("contains", Function::Contains, 2),
    ("matches", Function::Matches, 2),
    ("size", Function::Size, 1),
    ("lowerAscii", Function::Lowercase, 1),
    ("upperAscii", Function::Uppercase, 1),
    ("lowercase", Function::Lowercase, 1),
    ("uppercase", Function::Uppercase, 1),
    ("b64decode", Function::Base64Decode, 1),
    ("json_parse", Function::JsonParse, 1),
    ("date", Function::Date, 1),
    ("timestamp", Function::Date, 1),
    ("now", Function::Now, 0),
    ("now_plus", Function::NowPlus, 1),
    ("now_minus", Function::NowMinus, 1),
    ("string", Function::Text, 1),
    ("int", Function::Integer, 1),
    ("double", Function::Double, 1),
];

/// A call by name, with what it is called on as its first argument.
pub(super) fn call(name: &str, mut arguments: Vec<Tree>, position: usize) -> Result<Tree, ExpressionError> {
    let Some((_, function, count)) = TABLE.iter().find(|(known, ..)| *known == name) else {
        let known = TABLE.iter().map(|(known, ..)| *known).chain(WALKS.iter().map(|(known, _)| *known));
        let expected = match nearest(name, known.chain(["has"])) {
            Some(meant) => format!("a known function, such as `{meant}`"),
            None => "a known function".to_owned(),
        };
        return Err(ExpressionError::unexpected(position, expected, format!("`{name}`")));
    };
    if arguments.len() != *count {
        let expected = format!("{count} argument(s) for `{name}`, what it is called on included");
        return Err(ExpressionError::unexpected(position, expected, arguments.len().to_string()));
    }
    if *function == Function::Matches
        && let Some(Tree { node: Node::Literal(Value::String(text)), position: at, .. }) = arguments.get(1)
    {
        let pattern = pattern(text).map_err(|message| ExpressionError::failed(*at, message))?;
        return Tree::new(Node::Matches(Box::new(arguments.swap_remove(0)), pattern), position);
    }
    Tree::new(Node::Call(*function, arguments), position)
}

/// Compiles a pattern.
pub(super) fn pattern(pattern: &str) -> Result<Regex, String> {
    if pattern.len() > PATTERN_SOURCE_BYTES_MAX {
        return Err(format!("the pattern of `matches` has more than {PATTERN_SOURCE_BYTES_MAX} bytes"));
    }
    RegexBuilder::new(pattern)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX)
        .build()
        .map_err(|error| format!("the pattern of `matches` cannot be used: {error}"))
}

/// Whether a pattern is found in a text; not in what is missing.
pub(super) fn matches<'s>(subject: &Data<'_>, pattern: &Regex, call: Call<'s>) -> Result<Data<'s>, ExpressionError> {
    if subject.is_null() {
        return Ok(false.into());
    }
    let text = call.text(subject)?;
    // A unit per byte: a pattern may look at a byte many times.
    call.frame.meter.charge(text.len())?;
    Ok(pattern.is_match(&text).into())
}

/// Where a function is called.
#[derive(Clone, Copy)]
pub(super) struct Call<'s> {
    pub tree: &'s Tree,
    pub frame: Frame<'s>,
}

impl<'s> Call<'s> {
    pub fn run(self, function: Function, arguments: &[Data<'s>]) -> Result<Data<'s>, ExpressionError> {
        match (function, arguments) {
            (Function::Now, _) => Ok(Data::Time(self.frame.now)),
            (Function::StartsWith | Function::EndsWith | Function::Contains, [subject, part]) => {
                self.part(function, subject, part)
            }
            (Function::Matches, [subject, source]) => {
                let source = self.text(source)?;
                self.frame.meter.charge(PATTERN_WORK)?;
                matches(subject, &pattern(&source).map_err(|message| self.failed(message))?, self)
            }
            (Function::Size, [subject]) => self.size(subject),
            (_, [argument]) if argument.is_null() => Ok(Data::NULL),
            (_, [argument]) => self.convert(function, argument),
            _ => Err(self.failed("a function is called with a wrong number of arguments")),
        }
    }

    fn part(self, function: Function, subject: &Data<'_>, part: &Data<'_>) -> Result<Data<'s>, ExpressionError> {
        if subject.is_null() || part.is_null() {
            return Ok(false.into());
        }
        if matches!(subject.value(), Some(Value::Array(_))) {
            return Err(self.failed("a list has no such method: write `value in list`"));
        }
        let (subject, part) = (self.text(subject)?, self.text(part)?);
        let found = match function {
            Function::StartsWith => subject.starts_with(&part),
            Function::EndsWith => subject.ends_with(&part),
            _ => subject.contains(&part),
        };
        Ok(found.into())
    }

    fn size(self, subject: &Data<'_>) -> Result<Data<'s>, ExpressionError> {
        let size = match subject.value() {
            Some(Value::Null) => 0,
            Some(Value::String(text)) => {
                self.frame.meter.charge_text(text)?;
                text.chars().count()
            }
            Some(Value::Array(elements)) => elements.len(),
            Some(Value::Object(entries)) => entries.len(),
            _ => return Err(self.failed(format!("`size` needs a text, a list or a map, not {}", subject.kind()))),
        };
        Ok(Data::Made(Value::from(size)))
    }

    /// A function of one value that is not missing.
    fn convert(self, function: Function, argument: &Data<'s>) -> Result<Data<'s>, ExpressionError> {
        match function {
            Function::Lowercase => Ok(self.text(argument)?.to_lowercase().into()),
            Function::Uppercase => Ok(self.text(argument)?.to_uppercase().into()),
            Function::Text => Ok(self.text(argument)?.into()),
            Function::Base64Decode => self.base64(argument),
            Function::JsonParse => self.json(argument),
            Function::Date => time::of(argument).map(Data::Time).ok_or_else(|| {
                self.failed("`date` needs RFC 3339, a date such as 2026-01-31, or seconds or milliseconds since 1970")
            }),
            Function::NowPlus | Function::NowMinus => self.beside_now(function, argument),
            Function::Integer | Function::Double => self.number(function, argument),
            _ => Err(self.failed("a function is called with a wrong number of arguments")),
        }
    }

    fn json(self, argument: &Data<'_>) -> Result<Data<'s>, ExpressionError> {
        let text = self.text(argument)?;
        self.frame.meter.charge(text.len() / JSON_BYTES_PER_UNIT)?;
        serde_json::from_str(&text)
            .map(Data::Made)
            .map_err(|error| self.failed(format!("`json_parse` got no JSON: {error}")))
    }

    fn base64(self, argument: &Data<'_>) -> Result<Data<'s>, ExpressionError> {
        STANDARD
            .decode(self.text(argument)?)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .map(Data::from)
            .ok_or_else(|| self.failed("`b64decode` needs standard Base64 of a UTF-8 text"))
    }

    fn beside_now(self, function: Function, argument: &Data<'_>) -> Result<Data<'s>, ExpressionError> {
        let length = time::duration(&self.text(argument)?)
            .ok_or_else(|| self.failed("expected a length of time such as \"24h\", \"90s\" or \"7d\""))?;
        let time = match function {
            Function::NowPlus => self.frame.now.checked_add(length),
            _ => self.frame.now.checked_sub(length),
        };
        time.map(Data::Time).map_err(|_| self.failed("this time is outside of the calendar"))
    }

    fn number(self, function: Function, argument: &Data<'_>) -> Result<Data<'s>, ExpressionError> {
        let number = match argument {
            Data::Time(time) => Some(Numeric::Integer(time.as_second().into())),
            _ => argument.value().and_then(numeric),
        };
        let converted = number.map(|number| match function {
            Function::Double => Numeric::Float(number.as_f64()),
            _ => Numeric::Integer(number.whole().unwrap_or(number.as_f64() as i128)),
        });
        converted
            .and_then(Numeric::into_value)
            .map(Data::Made)
            .ok_or_else(|| self.failed(format!("{} is no such number", argument.kind())))
    }

    /// The text of an argument, paid for.
    fn text(self, argument: &Data<'_>) -> Result<String, ExpressionError> {
        if let Some(Value::String(text)) = argument.value() {
            self.frame.meter.charge_text(text)?;
        }
        argument.text().ok_or_else(|| self.failed(format!("expected a text, found {}", argument.kind())))
    }

    fn failed(self, message: impl Into<String>) -> ExpressionError {
        ExpressionError::failed(self.tree.position, message)
    }
}
