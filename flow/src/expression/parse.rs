//! Tokens to a tree.

use serde_json::Value;

use super::functions::call;
use super::token::{Token, tokens};
use super::tree::{Binary, Node, Tree, WALKS, Walk, WalkParts};
use super::{DEPTH_MAX, ExpressionError, SOURCE_BYTES_MAX};

/// Operators of two sides that are not logical, with how strongly they bind. `in` is a name and stands in [`Parser::operator`].
const OPERATORS: [(&str, Binary, u8); 11] = [
    ("==", Binary::Equal, COMPARISON),
    ("!=", Binary::Unequal, COMPARISON),
    ("<", Binary::Less, COMPARISON),
    ("<=", Binary::LessOrEqual, COMPARISON),
    (">", Binary::Greater, COMPARISON),
    (">=", Binary::GreaterOrEqual, COMPARISON),
    ("+", Binary::Add, COMPARISON + 1),
    ("-", Binary::Subtract, COMPARISON + 1),
    ("*", Binary::Multiply, COMPARISON + 2),
    ("/", Binary::Divide, COMPARISON + 2),
    ("%", Binary::Remainder, COMPARISON + 2),
];
const COMPARISON: u8 = 0;

type Parsed = Result<Tree, ExpressionError>;
/// What a sign before a part makes of it.
type Sign = fn(Box<Tree>) -> Node;

pub(super) fn parse(source: &str) -> Parsed {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(ExpressionError::TooLong { bytes: source.len() });
    }
    let mut parser = Parser { tokens: tokens(source)?, next: 0, locals: Vec::new(), nesting: 0 };
    let tree = parser.expression()?;
    match parser.peek() {
        Token::End => Ok(tree),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    /// Names of the elements of the walks around the present place, the innermost last.
    locals: Vec<String>,
    /// Expressions around the present place. Bounds the recursion, since brackets leave no level in the tree.
    nesting: usize,
}

impl Parser {
    fn expression(&mut self) -> Parsed {
        let position = self.position();
        if self.nesting >= DEPTH_MAX {
            return Err(ExpressionError::TooDeep { position });
        }
        self.nesting += 1;
        let condition = self.any()?;
        let tree = if self.taken("?") {
            let yes = self.expression()?;
            self.expect(":")?;
            let no = self.expression()?;
            Tree::new(Node::Choice(Box::new([condition, yes, no])), position)
        } else {
            Ok(condition)
        };
        self.nesting -= 1;
        tree
    }

    fn any(&mut self) -> Parsed {
        let position = self.position();
        let mut parts = vec![self.all()?];
        while self.taken("||") {
            parts.push(self.all()?);
        }
        flat(parts, Node::Any, position)
    }

    fn all(&mut self) -> Parsed {
        let position = self.position();
        let mut parts = vec![self.binary(COMPARISON)?];
        while self.taken("&&") {
            parts.push(self.binary(COMPARISON)?);
        }
        flat(parts, Node::All, position)
    }

    /// Operators that bind at least so strongly, from left to right.
    fn binary(&mut self, least: u8) -> Parsed {
        let mut left = self.unary()?;
        while let Some((operation, binding)) = self.operator().filter(|(_, binding)| *binding >= least) {
            let position = self.position();
            self.next += 1;
            let right = self.binary(binding + 1)?;
            left = Tree::new(Node::Binary(operation, Box::new(left), Box::new(right)), position)?;
        }
        Ok(left)
    }

    fn operator(&self) -> Option<(Binary, u8)> {
        match self.peek() {
            Token::Name(name) if name == "in" => Some((Binary::In, COMPARISON)),
            Token::Sign(sign) => {
                OPERATORS.iter().find(|(known, ..)| known == sign).map(|(_, operation, binding)| (*operation, *binding))
            }
            _ => None,
        }
    }

    fn unary(&mut self) -> Parsed {
        let mut signs: Vec<(usize, Sign)> = Vec::new();
        loop {
            let position = self.position();
            if self.taken("!") {
                signs.push((position, Node::Not));
            } else if self.taken("-") {
                signs.push((position, Node::Negative));
            } else {
                break;
            }
        }
        let mut tree = self.postfix()?;
        while let Some((position, node)) = signs.pop() {
            tree = Tree::new(node(Box::new(tree)), position)?;
        }
        Ok(tree)
    }

    fn postfix(&mut self) -> Parsed {
        let mut tree = self.primary()?;
        loop {
            let position = self.position();
            if self.taken(".") {
                let name = self.name("the name of an attribute or a method")?;
                tree = if self.taken("(") {
                    self.method(tree, &name, position + 1)?
                } else {
                    let key = Tree::new(Node::Literal(Value::String(name)), position + 1)?;
                    Tree::new(Node::Index(Box::new(tree), Box::new(key)), position)?
                };
            } else if self.taken("[") {
                let key = self.expression()?;
                self.expect("]")?;
                tree = Tree::new(Node::Index(Box::new(tree), Box::new(key)), position)?;
            } else {
                return Ok(tree);
            }
        }
    }

    /// A method whose opening bracket is taken.
    fn method(&mut self, subject: Tree, name: &str, position: usize) -> Parsed {
        if let Some((_, walk)) = WALKS.iter().find(|(known, _)| *known == name) {
            return self.walk(*walk, subject, position);
        }
        let mut arguments = vec![subject];
        arguments.extend(self.list(")")?);
        call(name, arguments, position)
    }

    /// `(element, body)` of a walk, or `(element, only, body)` of `map`.
    fn walk(&mut self, walk: Walk, over: Tree, position: usize) -> Parsed {
        let element = self.name("a name for the elements")?;
        self.locals.push(element);
        self.expect(",")?;
        let mut body = self.expression()?;
        let mut only = None;
        if walk == Walk::Map && self.taken(",") {
            only = Some(std::mem::replace(&mut body, self.expression()?));
        }
        self.expect(")")?;
        self.locals.pop();
        Tree::new(Node::Walk(walk, Box::new(WalkParts { over, only, body })), position)
    }

    fn primary(&mut self) -> Parsed {
        let position = self.position();
        let expected = "a value, a variable or `(`";
        let node = match self.peek().clone() {
            Token::Number(number) => Node::Literal(Value::Number(number)),
            Token::Text(text) => Node::Literal(Value::String(text)),
            Token::Sign("(") => {
                self.next += 1;
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => {
                self.next += 1;
                return Tree::new(Node::List(self.list("]")?), position);
            }
            Token::Sign("{") => {
                self.next += 1;
                return Tree::new(Node::Map(self.entries()?), position);
            }
            Token::Name(name) if name != "in" => {
                if self.tokens.get(self.next + 1).is_some_and(|(token, _)| *token == Token::Sign("(")) {
                    self.next += 2;
                    return self.call(&name, position);
                }
                self.variable(&name)?
            }
            _ => return Err(self.unexpected(expected)),
        };
        self.next += 1;
        Tree::new(node, position)
    }

    fn variable(&self, name: &str) -> Result<Node, ExpressionError> {
        if let Some(distance) = self.locals.iter().rev().position(|local| local == name) {
            return Ok(Node::Local(distance));
        }
        match name {
            "event" => Ok(Node::Event),
            "async" => Ok(Node::Other),
            "true" => Ok(Node::Literal(Value::Bool(true))),
            "false" => Ok(Node::Literal(Value::Bool(false))),
            "null" => Ok(Node::Literal(Value::Null)),
            _ => Err(self.unexpected("`event` or `async` (texts stand in quotes)")),
        }
    }

    /// A function whose opening bracket is taken.
    fn call(&mut self, name: &str, position: usize) -> Parsed {
        let mut arguments = self.list(")")?;
        if name != "has" {
            return call(name, arguments, position);
        }
        match arguments.pop().map(|argument| argument.node) {
            Some(Node::Index(object, key)) if arguments.is_empty() => Tree::new(Node::Has(object, key), position),
            _ => Err(ExpressionError::unexpected(
                position,
                "one attribute, as in `has(event.data.id)`",
                "`has` of another kind",
            )),
        }
    }

    /// Expressions with commas between them, up to this sign.
    fn list(&mut self, end: &'static str) -> Result<Vec<Tree>, ExpressionError> {
        let mut parts = Vec::new();
        while !self.taken(end) {
            if !parts.is_empty() {
                self.expect_one_of(",", end)?;
                if self.taken(end) {
                    break;
                }
            }
            parts.push(self.expression()?);
        }
        Ok(parts)
    }

    fn entries(&mut self) -> Result<Vec<(Tree, Tree)>, ExpressionError> {
        let mut entries = Vec::new();
        while !self.taken("}") {
            if !entries.is_empty() {
                self.expect_one_of(",", "}")?;
                if self.taken("}") {
                    break;
                }
            }
            let key = self.expression()?;
            self.expect(":")?;
            entries.push((key, self.expression()?));
        }
        Ok(entries)
    }

    fn name(&mut self, expected: &str) -> Result<String, ExpressionError> {
        match self.peek().clone() {
            Token::Name(name) => {
                self.next += 1;
                Ok(name)
            }
            _ => Err(self.unexpected(expected)),
        }
    }

    fn taken(&mut self, sign: &'static str) -> bool {
        let taken = *self.peek() == Token::Sign(sign);
        self.next += usize::from(taken);
        taken
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), ExpressionError> {
        if self.taken(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}`"))) }
    }

    fn expect_one_of(&mut self, sign: &'static str, end: &'static str) -> Result<(), ExpressionError> {
        if self.taken(sign) { Ok(()) } else { Err(self.unexpected(&format!("`{sign}` or `{end}`"))) }
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.next).map_or(&Token::End, |(token, _)| token)
    }

    fn position(&self) -> usize {
        self.tokens.get(self.next).or(self.tokens.last()).map_or(1, |(_, position)| *position)
    }

    fn unexpected(&self, expected: &str) -> ExpressionError {
        ExpressionError::unexpected(self.position(), expected, self.peek().describe())
    }
}

/// One part is itself; several are one node, however many.
fn flat(mut parts: Vec<Tree>, node: fn(Vec<Tree>) -> Node, position: usize) -> Parsed {
    match parts.pop() {
        Some(only) if parts.is_empty() => Ok(only),
        last => {
            parts.extend(last);
            Tree::new(node(parts), position)
        }
    }
}
