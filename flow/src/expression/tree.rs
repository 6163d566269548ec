//! The form in which an expression is kept.

use regex::Regex;
use serde_json::Value;

use super::functions::Function;
use super::{DEPTH_MAX, ExpressionError};

/// A part of an expression with its place in the text.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub node: Node,
    /// Of its first character, or of its operator, from 1.
    pub position: usize,
    /// Levels from here down. Evaluation and dropping recurse this deep.
    depth: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    Literal(Value),
    /// `event`
    Event,
    /// `async`
    Other,
    /// The name that a walk gives to an element: 0 is that of the innermost walk.
    Local(usize),
    List(Vec<Tree>),
    Map(Vec<(Tree, Tree)>),
    /// `object.name` and `object[key]`
    Index(Box<Tree>, Box<Tree>),
    /// `has(object.name)`
    Has(Box<Tree>, Box<Tree>),
    Not(Box<Tree>),
    Negative(Box<Tree>),
    Binary(Binary, Box<Tree>, Box<Tree>),
    /// `a && b && …`, flat, so that long conditions are not deep.
    All(Vec<Tree>),
    /// `a || b || …`
    Any(Vec<Tree>),
    Choice(Box<[Tree; 3]>),
    Call(Function, Vec<Tree>),
    /// `matches` with a pattern that the text spells out, so that it is compiled once.
    Matches(Box<Tree>, Regex),
    Walk(Walk, Box<WalkParts>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// What is done with the elements of a list, or the keys of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walk {
    Exists,
    ExistsOne,
    All,
    Filter,
    Map,
}

/// Walks by their names.
pub(super) const WALKS: [(&str, Walk); 5] = [
    ("exists", Walk::Exists),
    ("exists_one", Walk::ExistsOne),
    ("all", Walk::All),
    ("filter", Walk::Filter),
    ("map", Walk::Map),
];

#[derive(Debug, Clone)]
pub(super) struct WalkParts {
    pub over: Tree,
    /// Which elements `map` takes, when it has three arguments.
    pub only: Option<Tree>,
    pub body: Tree,
}

impl Tree {
    pub fn new(node: Node, position: usize) -> Result<Self, ExpressionError> {
        let depth = 1 + node.children().into_iter().map(|child| child.depth).max().unwrap_or(0);
        if depth > DEPTH_MAX {
            return Err(ExpressionError::TooDeep { position });
        }
        Ok(Self { node, position, depth })
    }

    /// Whether this part or any part below is such a node.
    pub fn mentions(&self, wanted: fn(&Node) -> bool) -> bool {
        wanted(&self.node) || self.node.children().into_iter().any(|child| child.mentions(wanted))
    }
}

impl Node {
    pub fn children(&self) -> Vec<&Tree> {
        match self {
            Self::Literal(_) | Self::Event | Self::Other | Self::Local(_) => Vec::new(),
            Self::Not(inner) | Self::Negative(inner) | Self::Matches(inner, _) => vec![inner],
            Self::Index(left, right) | Self::Has(left, right) | Self::Binary(_, left, right) => vec![left, right],
            Self::List(parts) | Self::All(parts) | Self::Any(parts) | Self::Call(_, parts) => parts.iter().collect(),
            Self::Map(entries) => entries.iter().flat_map(|(key, value)| [key, value]).collect(),
            Self::Choice(parts) => parts.iter().collect(),
            Self::Walk(_, parts) => [&parts.over, &parts.body].into_iter().chain(&parts.only).collect(),
        }
    }
}
