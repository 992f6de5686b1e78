use bytes::Bytes;
use rmpv::ValueRef as Raw;
use smallvec::SmallVec;

use super::{Expression, Metadata, Operator, Type};
use crate::code::Code;
use crate::map;
use crate::message::MAX_BIN_NAME;
use crate::value::{self, Value};

/// A filter: an expression that says yes or no.
pub(crate) fn filter(bytes: &Bytes) -> Result<Expression, Code> {
    match Parser::default().parse(&value::raw(bytes)?)? {
        (expression, Type::Bool) => Ok(expression),
        (_, other) => Err(Code::refuse(format_args!("a filter of type {other:?}"))),
    }
}

/// The expression of an operation, and its flags.
pub(crate) fn operation(bytes: &Bytes) -> Result<(Expression, i64), Code> {
    let raw = value::raw(bytes)?;
    match raw.as_array().map(Vec::as_slice) {
        Some([expression, flags]) => Ok((Parser::default().parse(expression)?.0, int(flags)?)),
        _ => Err(Code::refuse(format_args!("the expression operation {raw}"))),
    }
}

type Typed = (Expression, Type);

/// Keeps the types of the variables in scope.
#[derive(Default)]
struct Parser {
    variables: Vec<(String, Type)>,
}

impl Parser {
    /// An array is an operation, everything else a literal (`Expression::pack` of the client).
    fn parse(&mut self, raw: &Raw<'_>) -> Result<Typed, Code> {
        let Some(parts) = raw.as_array() else {
            let value = Value::from_raw(raw)?;
            let literal_type = Type::of(&value);
            return Ok((Expression::Value(value), literal_type));
        };
        let (code, args) =
            parts.split_first().ok_or_else(|| Code::refuse("an empty expression"))?;
        let metadata = |metadata, result| Ok((Expression::Metadata(metadata), result));
        match (int(code)?, args) {
            (0, []) => Ok((Expression::Unknown, Type::Bool)),
            (64, [modulo]) => Ok((Expression::DigestModulo(nonzero(modulo)?), Type::Int)),
            (66, []) => metadata(Metadata::LastUpdate, Type::Int),
            (67, []) => metadata(Metadata::SinceUpdate, Type::Int),
            (68, []) => metadata(Metadata::VoidTime, Type::Int),
            (69, []) => metadata(Metadata::Ttl, Type::Int),
            (70, []) => metadata(Metadata::SetName, Type::Str),
            (71, []) => metadata(Metadata::KeyExists, Type::Bool),
            (72, []) => metadata(Metadata::IsTombstone, Type::Bool),
            (81, [bin_type, bin]) => {
                let bin_type = type_of(bin_type)?;
                Ok((Expression::Bin(bin_name(bin)?, bin_type), bin_type))
            }
            (82, [bin]) => Ok((Expression::BinType(bin_name(bin)?), Type::Int)),
            (123, args) => self.cond(args),
            (124, [variable]) => self.var(name(variable)?),
            (125, args) => self.define(args),
            (126, [list @ Raw::Array(_)]) => {
                Ok((Expression::Value(Value::from_raw(list)?), Type::List))
            }
            (127, [result, module, call, map]) => self.call(result, module, call, map),
            (code, args) => self.operator(code, args),
        }
    }

    fn operator(&mut self, code: i64, args: &[Raw<'_>]) -> Result<Typed, Code> {
        let operator = operator(code).ok_or_else(|| {
            Code::refuse(format_args!("expression {code} of {} arguments", args.len()))
        })?;
        let mut parsed = Vec::with_capacity(args.len());
        let mut types = SmallVec::<[Type; 4]>::new();
        for arg in args {
            let (expression, arg_type) = self.parse(arg)?;
            parsed.push(expression);
            types.push(arg_type);
        }
        let result = signature(operator, &types)
            .ok_or_else(|| Code::refuse(format_args!("expression {operator:?} of {types:?}")))?;
        Ok((Expression::Operator(operator, parsed), result))
    }

    fn cond(&mut self, args: &[Raw<'_>]) -> Result<Typed, Code> {
        let (pairs, [default]) = args.as_chunks::<2>() else {
            return Err(Code::refuse("a cond without a default"));
        };
        if pairs.is_empty() {
            return Err(Code::refuse("a cond without a case"));
        }
        let mut result = None;
        let mut cases = Vec::new();
        for [when, then] in pairs {
            let (when, when_type) = self.parse(when)?;
            if when_type != Type::Bool {
                return Err(Code::refuse(format_args!("a condition of type {when_type:?}")));
            }
            let then = self.parse(then)?;
            cases.push((when, agree(&mut result, then)?));
        }
        let default = self.parse(default)?;
        let default = agree(&mut result, default)?;
        Ok((Expression::Cond(cases, Box::new(default)), result.unwrap_or(Type::Bool)))
    }

    fn var(&mut self, name: String) -> Result<Typed, Code> {
        let known = self.variables.iter().rev().find(|(variable, _)| *variable == name);
        let known = known.ok_or_else(|| Code::refuse(format_args!("the variable {name:?}")))?;
        let var_type = known.1;
        Ok((Expression::Var(name), var_type))
    }

    /// `let`: names and their definitions in turn, then the expression they are for.
    fn define(&mut self, args: &[Raw<'_>]) -> Result<Typed, Code> {
        let (pairs, [scope]) = args.as_chunks::<2>() else {
            return Err(Code::refuse("a let without an expression"));
        };
        if pairs.is_empty() {
            return Err(Code::refuse("a let without a variable"));
        }
        let outer = self.variables.len();
        let mut definitions = Vec::new();
        for [variable, definition] in pairs {
            let variable = name(variable)?;
            if !is_identifier(&variable) {
                return Err(Code::refuse(format_args!("the variable name {variable:?}")));
            }
            if self.variables.iter().any(|(known, _)| *known == variable) {
                return Err(Code::refuse(format_args!("the variable {variable:?} twice")));
            }
            // A definition sees those before it, not itself.
            let (definition, definition_type) = self.parse(definition)?;
            self.variables.push((variable.clone(), definition_type));
            definitions.push((variable, definition));
        }
        let (scope, scope_type) = self.parse(scope)?;
        self.variables.truncate(outer);
        Ok((Expression::Let(definitions, Box::new(scope)), scope_type))
    }

    /// A call into the map operations; those on lists, bits and HLLs are not known here.
    fn call(
        &mut self,
        result: &Raw<'_>,
        module: &Raw<'_>,
        call: &Raw<'_>,
        map: &Raw<'_>,
    ) -> Result<Typed, Code> {
        const MAPS: i64 = 0;
        const MODIFY: i64 = 0x40;
        let result = type_of(result)?;
        let module = int(module)?;
        let Some([op, args @ ..]) = call.as_array().map(Vec::as_slice) else {
            return Err(Code::refuse(format_args!("the call {call}")));
        };
        let op = int(op)?;
        let modifies = module == MAPS | MODIFY;
        if !(modifies || module == MAPS) || !map::knows(op) {
            return Err(Code::refuse(format_args!("call {op} of module {module:#x}")));
        }
        let args =
            args.iter().map(|arg| self.parse(arg).map(|(arg, _)| arg)).collect::<Result<_, _>>()?;
        match self.parse(map)? {
            (map, Type::Map | Type::Nil) => {
                Ok((Expression::Map { op, modifies, args, map: Box::new(map), result }, result))
            }
            (_, other) => Err(Code::refuse(format_args!("a map call on {other:?}"))),
        }
    }
}

/// All branches of a `cond` have one type; `unknown` goes with every type.
fn agree(result: &mut Option<Type>, (branch, branch_type): Typed) -> Result<Expression, Code> {
    if !matches!(branch, Expression::Unknown) && *result.get_or_insert(branch_type) != branch_type {
        return Err(Code::refuse(format_args!("a cond of {result:?} and {branch_type:?}")));
    }
    Ok(branch)
}

/// The result's type, where the arguments' types are right.
fn signature(operator: Operator, types: &[Type]) -> Option<Type> {
    use Operator as O;
    use Type::{Blob, Bool, Bound, Float, Int, List, Map, Nil, Str};
    let all = |wanted: Type| !types.is_empty() && types.iter().all(|found| *found == wanted);
    match (operator, types) {
        (O::Eq | O::Ne | O::Gt | O::Ge | O::Lt | O::Le, [left, right]) if left == right => {
            match left {
                Nil | Bool | Int | Str | List | Map | Blob | Float => Some(Bool),
                Bound => None,
            }
        }
        (O::And | O::Or | O::Exclusive, [_, _, ..]) if all(Bool) => Some(Bool),
        (O::Not, [Bool]) => Some(Bool),
        (O::Add | O::Sub | O::Mul | O::Div | O::Min | O::Max, _) | (O::Abs, [_]) => {
            [Int, Float].into_iter().find(|number| all(*number))
        }
        (O::Pow | O::Log, [Float, Float]) | (O::Floor | O::Ceil, [Float]) | (O::ToFloat, [Int]) => {
            Some(Float)
        }
        (O::Mod | O::IntLshift | O::IntRshift | O::IntArshift, [Int, Int])
        | (O::IntLscan | O::IntRscan, [Int, Bool])
        | (O::IntNot | O::IntCount, [Int])
        | (O::ToInt, [Float]) => Some(Int),
        (O::IntAnd | O::IntOr | O::IntXor, _) if all(Int) => Some(Int),
        _ => None,
    }
}

/// The operators' numbers (`ExpOp` in `expressions/mod.rs`).
fn operator(code: i64) -> Option<Operator> {
    use Operator as O;
    Some(match code {
        1 => O::Eq,
        2 => O::Ne,
        3 => O::Gt,
        4 => O::Ge,
        5 => O::Lt,
        6 => O::Le,
        16 => O::And,
        17 => O::Or,
        18 => O::Not,
        19 => O::Exclusive,
        20 => O::Add,
        21 => O::Sub,
        22 => O::Mul,
        23 => O::Div,
        24 => O::Pow,
        25 => O::Log,
        26 => O::Mod,
        27 => O::Abs,
        28 => O::Floor,
        29 => O::Ceil,
        30 => O::ToInt,
        31 => O::ToFloat,
        32 => O::IntAnd,
        33 => O::IntOr,
        34 => O::IntXor,
        35 => O::IntNot,
        36 => O::IntLshift,
        37 => O::IntRshift,
        38 => O::IntArshift,
        39 => O::IntCount,
        40 => O::IntLscan,
        41 => O::IntRscan,
        50 => O::Min,
        51 => O::Max,
        _ => return None,
    })
}

fn type_of(raw: &Raw<'_>) -> Result<Type, Code> {
    Ok(match int(raw)? {
        0 => Type::Nil,
        1 => Type::Bool,
        2 => Type::Int,
        3 => Type::Str,
        4 => Type::List,
        5 => Type::Map,
        6 => Type::Blob,
        7 => Type::Float,
        other => return Err(Code::refuse(format_args!("expression type {other}"))),
    })
}

fn int(raw: &Raw<'_>) -> Result<i64, Code> {
    let int = if let Raw::Integer(int) = raw { int.as_i64() } else { None };
    int.ok_or_else(|| Code::refuse(format_args!("{raw} for an integer")))
}

fn nonzero(raw: &Raw<'_>) -> Result<i64, Code> {
    match int(raw)? {
        0 => Err(Code::refuse("a digest modulo zero")),
        modulo => Ok(modulo),
    }
}

/// Names of bins and variables come without a particle type.
fn name(raw: &Raw<'_>) -> Result<String, Code> {
    let name = if let Raw::String(name) = raw { name.as_str() } else { None };
    name.map(str::to_owned).ok_or_else(|| Code::refuse(format_args!("{raw} for a name")))
}

fn bin_name(raw: &Raw<'_>) -> Result<String, Code> {
    name(raw).and_then(|name| match name.len() {
        ..=MAX_BIN_NAME => Ok(name),
        _ => Err(Code::refuse(format_args!("the bin name {name:?}"))),
    })
}

fn is_identifier(name: &str) -> bool {
    let inside = |c: char| c == '_' || c.is_ascii_alphanumeric();
    name.chars().all(inside) && !name.starts_with(|c: char| c.is_ascii_digit()) && !name.is_empty()
}
