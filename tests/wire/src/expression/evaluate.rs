use std::cmp::Ordering;

use super::{Expression, Metadata, Operator, Type};
use crate::map;
use crate::store::{Digest, Record};
use crate::value::Value;

/// What an expression sees: in a filter the record of the last write, in an operation the record
/// that the command is writing, with its metadata already advanced.
pub(crate) struct Scene<'a> {
    pub record: &'a Record,
    pub digest: &'a Digest,
    /// Unix milliseconds.
    pub now: u64,
}

const NANOS_PER_MILLI: u64 = 1_000_000;
const NANOS_PER_SEC: u64 = 1_000_000_000;

impl Expression {
    /// The value; `None` is unknown.
    pub(crate) fn evaluate(&self, scene: &Scene) -> Option<Value> {
        Evaluation { scene, variables: Vec::new() }.value(self)
    }
}

struct Evaluation<'a> {
    scene: &'a Scene<'a>,
    /// A variable may be unknown, which matters only where it is used.
    variables: Vec<(&'a str, Option<Value>)>,
}

impl<'a> Evaluation<'a> {
    fn value(&mut self, expression: &'a Expression) -> Option<Value> {
        let bins = &self.scene.record.bins;
        match expression {
            Expression::Unknown => None,
            Expression::Value(value) => Some(value.clone()),
            Expression::Bin(name, bin_type) => {
                bins.get(name).filter(|value| Type::of(value) == *bin_type).cloned()
            }
            Expression::BinType(name) => {
                Some(Value::Int(bins.get(name).map_or(0, |value| i64::from(value.particle_type()))))
            }
            Expression::DigestModulo(modulo) => {
                let last: [u8; 4] = self.scene.digest[16..].try_into().ok()?;
                Some(Value::Int(i64::from(u32::from_le_bytes(last)) % modulo))
            }
            Expression::Metadata(metadata) => Some(self.metadata(*metadata)),
            Expression::Operator(Operator::And, args) => {
                self.any(args, false).map(|any| Value::Bool(!any))
            }
            Expression::Operator(Operator::Or, args) => self.any(args, true).map(Value::Bool),
            Expression::Operator(Operator::Exclusive, args) => self.exactly_one(args),
            Expression::Operator(operator, args) => {
                let args = args.iter().map(|arg| self.value(arg)).collect::<Option<Vec<_>>>()?;
                operate(*operator, &args)
            }
            Expression::Cond(cases, default) => {
                for (when, then) in cases {
                    if self.value(when)? == Value::Bool(true) {
                        return self.value(then);
                    }
                }
                self.value(default)
            }
            Expression::Let(definitions, scope) => {
                let outer = self.variables.len();
                for (name, definition) in definitions {
                    let value = self.value(definition);
                    self.variables.push((name, value));
                }
                let value = self.value(scope);
                self.variables.truncate(outer);
                value
            }
            Expression::Var(name) => {
                self.variables.iter().rev().find(|(variable, _)| variable == name)?.1.clone()
            }
            Expression::Map { op, modifies, args, map, result } => {
                let args = args.iter().map(|arg| self.value(arg)).collect::<Option<Vec<_>>>()?;
                let map = match self.value(map)? {
                    Value::Map(map) => Some(map),
                    _ => None,
                };
                let value = if *modifies {
                    map::modify(map, *op, &args).ok()?.0.map_or(Value::Nil, Value::Map)
                } else {
                    map::read(&map?, *op, &args).ok()?
                };
                (Type::of(&value) == *result).then_some(value)
            }
        }
    }

    fn metadata(&self, metadata: Metadata) -> Value {
        let Scene { record, now, .. } = self.scene;
        let int = |value: u64| Value::Int(i64::try_from(value).unwrap_or(i64::MAX));
        match metadata {
            Metadata::LastUpdate => int(record.last_update * NANOS_PER_MILLI),
            Metadata::SinceUpdate => int(now.saturating_sub(record.last_update)),
            Metadata::VoidTime | Metadata::Ttl if record.void_time == 0 => Value::Int(-1),
            Metadata::VoidTime => int(record.void_time * NANOS_PER_SEC),
            Metadata::Ttl => int(record.void_time.saturating_sub(now / 1000)),
            Metadata::SetName => Value::Str(record.set.clone()),
            Metadata::KeyExists => Value::Bool(record.key.is_some()),
            // The Community Edition leaves none.
            Metadata::IsTombstone => Value::Bool(false),
        }
    }

    /// Whether one is `wanted`. What is not known counts only where that does not decide it.
    fn any(&mut self, args: &'a [Expression], wanted: bool) -> Option<bool> {
        let mut known = true;
        for arg in args {
            match self.value(arg) {
                Some(value) if value == Value::Bool(wanted) => return Some(true),
                Some(_) => {}
                None => known = false,
            }
        }
        known.then_some(false)
    }

    fn exactly_one(&mut self, args: &'a [Expression]) -> Option<Value> {
        let mut one = false;
        for arg in args {
            if self.value(arg)? == Value::Bool(true) {
                if one {
                    return Some(Value::Bool(false));
                }
                one = true;
            }
        }
        Some(Value::Bool(one))
    }
}

/// An operator whose arguments are all known and were checked for their types.
fn operate(operator: Operator, args: &[Value]) -> Option<Value> {
    use Operator as O;
    Some(match (operator, args) {
        (O::Eq | O::Ne | O::Gt | O::Ge | O::Lt | O::Le, [left, right]) => {
            Value::Bool(holds(operator, compare(left, right)?))
        }
        (O::Not, [Value::Bool(bool)]) => Value::Bool(!bool),
        (O::Add, _) => fold(args, |a, b| Some(a.wrapping_add(b)), |a, b| a + b)?,
        (O::Sub, [Value::Int(int)]) => Value::Int(int.wrapping_neg()),
        (O::Sub, [Value::Float(float)]) => Value::Float(-float),
        (O::Sub, _) => fold(args, |a, b| Some(a.wrapping_sub(b)), |a, b| a - b)?,
        (O::Mul, _) => fold(args, |a, b| Some(a.wrapping_mul(b)), |a, b| a * b)?,
        (O::Div, [only]) => divide(&one_like(only), only)?,
        (O::Div, [first, rest @ ..]) => divide(first, &operate(O::Mul, rest)?)?,
        (O::Min, _) => fold(args, |a, b| Some(a.min(b)), f64::min)?,
        (O::Max, _) => fold(args, |a, b| Some(a.max(b)), f64::max)?,
        (O::Pow, [Value::Float(base), Value::Float(exponent)]) => {
            Value::Float(base.powf(*exponent))
        }
        (O::Log, [Value::Float(float), Value::Float(base)]) => Value::Float(float.ln() / base.ln()),
        (O::Mod, [Value::Int(a), Value::Int(b)]) => Value::Int(a.checked_rem(*b)?),
        (O::Abs, [Value::Int(int)]) => Value::Int(int.wrapping_abs()),
        (O::Abs, [Value::Float(float)]) => Value::Float(float.abs()),
        (O::Floor, [Value::Float(float)]) => Value::Float(float.floor()),
        (O::Ceil, [Value::Float(float)]) => Value::Float(float.ceil()),
        #[expect(clippy::cast_possible_truncation, reason = "the operator is this conversion")]
        (O::ToInt, [Value::Float(float)]) => Value::Int(*float as i64),
        #[expect(clippy::cast_precision_loss, reason = "the operator is this conversion")]
        (O::ToFloat, [Value::Int(int)]) => Value::Float(*int as f64),
        (O::IntAnd, _) => ints(args, |a, b| a & b)?,
        (O::IntOr, _) => ints(args, |a, b| a | b)?,
        (O::IntXor, _) => ints(args, |a, b| a ^ b)?,
        (O::IntNot, [Value::Int(int)]) => Value::Int(!int),
        (O::IntCount, [Value::Int(int)]) => Value::Int(i64::from(int.count_ones())),
        (O::IntLshift, [Value::Int(int), Value::Int(by)]) => {
            Value::Int(int.wrapping_shl(bits(*by)))
        }
        (O::IntRshift, [Value::Int(int), Value::Int(by)]) => {
            Value::Int(int.cast_unsigned().wrapping_shr(bits(*by)).cast_signed())
        }
        (O::IntArshift, [Value::Int(int), Value::Int(by)]) => {
            Value::Int(int.wrapping_shr(bits(*by)))
        }
        (O::IntLscan, [Value::Int(int), Value::Bool(bit)]) => {
            let before = if *bit { int.leading_zeros() } else { int.leading_ones() };
            Value::Int(if before == 64 { -1 } else { i64::from(before) })
        }
        (O::IntRscan, [Value::Int(int), Value::Bool(bit)]) => {
            let after = if *bit { int.trailing_zeros() } else { int.trailing_ones() };
            Value::Int(63 - i64::from(after))
        }
        _ => return None,
    })
}

/// A structure that holds an unordered map compares with nothing.
fn compare(left: &Value, right: &Value) -> Option<Ordering> {
    (is_ordered(left) && is_ordered(right)).then(|| left.compare(right))
}

fn is_ordered(value: &Value) -> bool {
    match value {
        Value::List(items) => items.iter().all(is_ordered),
        Value::Map(map) => {
            map.flags() != 0 && map.entries().iter().all(|(_, value)| is_ordered(value))
        }
        _ => true,
    }
}

fn holds(operator: Operator, order: Ordering) -> bool {
    match operator {
        Operator::Eq => order.is_eq(),
        Operator::Ne => order.is_ne(),
        Operator::Gt => order.is_gt(),
        Operator::Ge => order.is_ge(),
        Operator::Lt => order.is_lt(),
        _ => order.is_le(),
    }
}

fn fold(
    args: &[Value],
    int: fn(i64, i64) -> Option<i64>,
    float: fn(f64, f64) -> f64,
) -> Option<Value> {
    let (first, rest) = args.split_first()?;
    rest.iter().try_fold(first.clone(), |so_far, arg| match (so_far, arg) {
        (Value::Int(a), Value::Int(b)) => int(a, *b).map(Value::Int),
        (Value::Float(a), Value::Float(b)) => Some(Value::Float(float(a, *b))),
        _ => None,
    })
}

fn ints(args: &[Value], int: fn(i64, i64) -> i64) -> Option<Value> {
    let ints = args.iter().map(|arg| if let Value::Int(int) = arg { Some(*int) } else { None });
    ints.collect::<Option<Vec<_>>>()?.into_iter().reduce(int).map(Value::Int)
}

fn divide(dividend: &Value, divisor: &Value) -> Option<Value> {
    fold(&[dividend.clone(), divisor.clone()], i64::checked_div, |a, b| a / b)
}

fn one_like(number: &Value) -> Value {
    if matches!(number, Value::Int(_)) { Value::Int(1) } else { Value::Float(1.0) }
}

/// A shift uses the lowest six bits of its distance, as the processor does.
fn bits(by: i64) -> u32 {
    u32::try_from(by & 63).unwrap_or_default()
}
