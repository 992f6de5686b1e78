//! Expressions, as the wire carries them: parsed and type-checked as a real server does it before
//! it looks at the record, then evaluated. Knows nothing of what they are for.

mod evaluate;
mod parse;

pub(crate) use evaluate::Scene;
pub(crate) use parse::{filter, operation};

use crate::value::Value;

/// A parsed expression. It evaluates to a value, or to *unknown*: a bin that is missing or of
/// another type, a call that fails, a division by zero.
#[derive(Debug)]
pub(crate) enum Expression {
    Unknown,
    Value(Value),
    Bin(String, Type),
    BinType(String),
    DigestModulo(i64),
    Metadata(Metadata),
    Operator(Operator, Vec<Expression>),
    Cond(Vec<(Expression, Expression)>, Box<Expression>),
    Let(Vec<(String, Expression)>, Box<Expression>),
    Var(String),
    Map { op: i64, modifies: bool, args: Vec<Expression>, map: Box<Expression>, result: Type },
}

/// What is known of a value before the record is (`ExpType` in `expressions/mod.rs` of the client).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Nil,
    Bool,
    Int,
    Str,
    List,
    Map,
    Blob,
    Float,
    /// Infinity and the wildcard: arguments of map calls only.
    Bound,
}

impl Type {
    fn of(value: &Value) -> Type {
        match value {
            Value::Nil => Type::Nil,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Str(_) => Type::Str,
            Value::List(_) => Type::List,
            Value::Map(_) => Type::Map,
            Value::Blob(_) => Type::Blob,
            Value::Float(_) => Type::Float,
            Value::Infinity | Value::Wildcard => Type::Bound,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Metadata {
    LastUpdate,
    SinceUpdate,
    VoidTime,
    Ttl,
    SetName,
    KeyExists,
    IsTombstone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    Eq,
    Ne,
    Gt,
    Ge,
    Lt,
    Le,
    And,
    Or,
    Not,
    Exclusive,
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Log,
    Mod,
    Abs,
    Floor,
    Ceil,
    ToInt,
    ToFloat,
    IntAnd,
    IntOr,
    IntXor,
    IntNot,
    IntLshift,
    IntRshift,
    IntArshift,
    IntCount,
    IntLscan,
    IntRscan,
    Min,
    Max,
}
