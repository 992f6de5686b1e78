//! Maps and the operations on them. The operations are numbered as `operations/maps.rs` of the
//! client numbers them; both bin operations and expressions send those numbers.

use std::cmp::Ordering;

use rmpv::ValueRef as Raw;

use crate::code::Code;
use crate::value::Value;

const SET_TYPE: i64 = 64;
const PUT: i64 = 67;
const PUT_ITEMS: i64 = 68;
const CLEAR: i64 = 75;
const SIZE: i64 = 96;

const KEY_ORDERED: u8 = 1;
/// Marks a reply that keeps its pairs in the order of the answer; the client reads a list of pairs.
const KEEP_ORDER: u8 = 8;

const INVERTED: i64 = 0x1_0000;

/// A map, unordered or sorted by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Map {
    flags: u8,
    entries: Vec<(Value, Value)>,
}

impl Map {
    /// The pairs, in the order in which the map keeps them.
    pub fn entries(&self) -> &[(Value, Value)] {
        &self.entries
    }

    /// The value of a key.
    pub fn get(&self, key: &Value) -> Option<&Value> {
        self.entries.iter().find(|(k, _)| k.compare(key).is_eq()).map(|(_, value)| value)
    }

    /// How many pairs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn flags(&self) -> u8 {
        self.flags
    }

    /// An ordered map begins with a pair of an empty extension, whose type is the order, and nil.
    pub(crate) fn from_raw(pairs: &[(Raw<'_>, Raw<'_>)]) -> Result<Map, Code> {
        let (flags, pairs) = match pairs {
            [(Raw::Ext(flags, []), Raw::Nil), rest @ ..] => {
                (flags.cast_unsigned() & KEY_ORDERED, rest)
            }
            all => (0, all),
        };
        let mut map = Map { flags, entries: Vec::new() };
        for (key, value) in pairs {
            map.insert(valid_key(Value::from_raw(key)?)?, Value::from_raw(value)?);
        }
        Ok(map)
    }

    fn insert(&mut self, key: Value, value: Value) {
        match self.entries.iter_mut().find(|(k, _)| k.compare(&key).is_eq()) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((key, value)),
        }
        self.sort();
    }

    fn sort(&mut self) {
        if self.flags & KEY_ORDERED != 0 {
            self.entries.sort_by(|a, b| a.0.compare(&b.0));
        }
    }

    pub(crate) fn compare(&self, other: &Map) -> Ordering {
        let pairs = self.entries.iter().zip(&other.entries);
        let unequal = pairs.map(|(a, b)| a.0.compare(&b.0).then_with(|| a.1.compare(&b.1)));
        self.len().cmp(&other.len()).then_with(|| {
            unequal.into_iter().find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        })
    }
}

fn valid_key(key: Value) -> Result<Value, Code> {
    match key {
        Value::Int(_) | Value::Str(_) | Value::Blob(_) => Ok(key),
        other => Err(Code::refuse(format_args!("{other:?} as the key of a map"))),
    }
}

/// Whether there is an operation of this number.
pub(crate) fn knows(op: i64) -> bool {
    matches!(op, SET_TYPE | PUT | PUT_ITEMS | CLEAR | SIZE) || Select::numbered(op).is_some()
}

/// Answers a map operation that reads.
pub(crate) fn read(map: &Map, op: i64, args: &[Value]) -> Result<Value, Code> {
    match (op, args) {
        (SIZE, []) => Ok(Value::Int(number(map.len()))),
        (97.., [Value::Int(returns), args @ ..]) => {
            let select = Select::numbered(op).ok_or_else(|| unknown(op))?;
            let found = select.find(map, args, returns & INVERTED != 0)?;
            answer(map, &found, returns & !INVERTED, select.many())
        }
        _ => Err(Code::refuse(format_args!("map read {op} with {args:?}"))),
    }
}

/// Applies a map operation that changes the map, or creates it; `None` is a bin that does not exist.
/// What it answers is beside what it leaves. To remove from a missing bin changes and answers nothing.
pub(crate) fn modify(
    map: Option<Map>,
    op: i64,
    args: &[Value],
) -> Result<(Option<Map>, Value), Code> {
    match (op, args) {
        (SET_TYPE, [Value::Int(order)]) => {
            let mut map = map.unwrap_or_default();
            map.flags = order_of(*order)?;
            map.sort();
            Ok((Some(map), Value::Nil))
        }
        (PUT, [key, value, policy @ ..]) => {
            let pair = (valid_key(key.clone())?, value.clone());
            put(map, vec![pair], policy)
        }
        (PUT_ITEMS, [Value::Map(items), policy @ ..]) => put(map, items.entries.clone(), policy),
        (CLEAR, []) => Ok((map.map(|map| Map { entries: Vec::new(), ..map }), Value::Nil)),
        (76..=87, [Value::Int(returns), args @ ..]) => {
            let Some(mut map) = map else { return Ok((None, Value::Nil)) };
            let select = Select::numbered(op).ok_or_else(|| unknown(op))?;
            let found = select.find(&map, args, returns & INVERTED != 0)?;
            let answer = answer(&map, &found, returns & !INVERTED, select.many())?;
            let mut place = 0;
            map.entries.retain(|_| (!found.contains(&place), place += 1).0);
            Ok((Some(map), answer))
        }
        _ => Err(Code::refuse(format_args!("map change {op} with {args:?}"))),
    }
}

fn unknown(op: i64) -> Code {
    Code::refuse(format_args!("map operation {op}"))
}

fn put(
    map: Option<Map>,
    items: Vec<(Value, Value)>,
    policy: &[Value],
) -> Result<(Option<Map>, Value), Code> {
    const CREATE_ONLY: i64 = 1;
    const UPDATE_ONLY: i64 = 2;
    const NO_FAIL: i64 = 4;
    const PARTIAL: i64 = 8;
    let (order, write) = match policy {
        [] => (0, 0),
        [Value::Int(order)] => (*order, 0),
        [Value::Int(order), Value::Int(write)] => (*order, *write),
        other => return Err(Code::refuse(format_args!("map policy {other:?}"))),
    };
    // The order only counts where the map is new.
    let before = match map {
        Some(map) => map,
        None => Map { flags: order_of(order)?, entries: Vec::new() },
    };
    let mut after = before.clone();
    for (key, value) in items {
        let denied = match before.get(&key) {
            Some(_) if write & CREATE_ONLY != 0 => Some(Code::ELEMENT_EXISTS),
            None if write & UPDATE_ONLY != 0 => Some(Code::ELEMENT_NOT_FOUND),
            _ => None,
        };
        match denied {
            None => after.insert(key, value),
            Some(code) if write & NO_FAIL == 0 => return Err(code),
            Some(_) if write & PARTIAL != 0 => {}
            Some(_) => return Ok((Some(before.clone()), Value::Int(number(before.len())))),
        }
    }
    let len = Value::Int(number(after.len()));
    Ok((Some(after), len))
}

fn order_of(attribute: i64) -> Result<u8, Code> {
    match attribute {
        0 => Ok(0),
        1 => Ok(KEY_ORDERED),
        other => Err(Code::refuse(format_args!("map order {other}"))),
    }
}

/// Which pairs a numbered operation means.
#[derive(Clone, Copy)]
enum Select {
    Key,
    Keys,
    KeyRange,
    Value,
    Values,
    ValueRange,
    Index,
    IndexRange,
    Rank,
    RankRange,
}

impl Select {
    fn numbered(op: i64) -> Option<Select> {
        Some(match op {
            76 | 97 => Select::Key,
            77 | 98 => Select::Index,
            79 | 100 => Select::Rank,
            81 | 107 => Select::Keys,
            82 | 102 => Select::Value,
            83 | 108 => Select::Values,
            84 | 103 => Select::KeyRange,
            85 | 104 => Select::IndexRange,
            86 | 105 => Select::ValueRange,
            87 | 106 => Select::RankRange,
            _ => return None,
        })
    }

    /// Whether it answers with a list, however many pairs there are.
    fn many(self) -> bool {
        !matches!(self, Select::Key | Select::Index | Select::Rank)
    }

    /// The places of the selected pairs in the map, in the order of the answer: by rank where ranks
    /// were asked for, by index where indexes were, else as the map keeps them. (A real server that
    /// keeps a map also sorted by value answers a selection by value in that order; no operation
    /// known here makes it do so.)
    fn find(self, map: &Map, args: &[Value], inverted: bool) -> Result<Vec<usize>, Code> {
        let keep = |wanted: &dyn Fn(&Value, &Value) -> bool| {
            let place =
                |(at, (key, value)): (usize, &(Value, Value))| wanted(key, value).then_some(at);
            map.entries.iter().enumerate().filter_map(place).collect()
        };
        let one_of =
            |values: &[Value], value: &Value| values.iter().any(|one| one.compare(value).is_eq());
        let wanted: Vec<usize> = match (self, args) {
            (Select::Key, [wanted]) => keep(&|key, _| key.compare(wanted).is_eq()),
            (Select::Keys, [Value::List(keys)]) => keep(&|key, _| one_of(keys, key)),
            (Select::KeyRange, [from, to @ ..]) => keep(&|key, _| within(key, from, to)),
            (Select::Value, [wanted]) => keep(&|_, value| value.compare(wanted).is_eq()),
            (Select::Values, [Value::List(values)]) => keep(&|_, value| one_of(values, value)),
            (Select::ValueRange, [from, to @ ..]) => keep(&|_, value| within(value, from, to)),
            (Select::Index | Select::IndexRange, [Value::Int(from), count @ ..]) => {
                slice(&order(map, false), *from, self.count(count)?)
            }
            (Select::Rank | Select::RankRange, [Value::Int(from), count @ ..]) => {
                slice(&order(map, true), *from, self.count(count)?)
            }
            _ => return Err(Code::refuse(format_args!("a map selection by {args:?}"))),
        };
        match (inverted, self.many()) {
            (false, _) => Ok(wanted),
            (true, true) => Ok((0..map.len()).filter(|at| !wanted.contains(at)).collect()),
            (true, false) => Err(Code::NOT_APPLICABLE),
        }
    }

    /// How many places from an index or rank on; `None` is all.
    fn count(self, given: &[Value]) -> Result<Option<i64>, Code> {
        match (self.many(), given) {
            (false, []) => Ok(Some(1)),
            (true, []) => Ok(None),
            (true, [Value::Int(count)]) => Ok(Some(*count)),
            (_, other) => Err(Code::refuse(format_args!("a count of {other:?}"))),
        }
    }
}

/// The places of all pairs by key, or by value.
fn order(map: &Map, by_value: bool) -> Vec<usize> {
    let mut places: Vec<usize> = (0..map.len()).collect();
    places.sort_by(|a, b| {
        let (a, b) = (&map.entries[*a], &map.entries[*b]);
        let by = if by_value { a.1.compare(&b.1) } else { Ordering::Equal };
        by.then_with(|| a.0.compare(&b.0))
    });
    places
}

/// From `from` on, and below `to` where it is given.
fn within(value: &Value, from: &Value, to: &[Value]) -> bool {
    value.compare(from).is_ge() && to.first().is_none_or(|to| value.compare(to).is_lt())
}

fn slice(places: &[usize], from: i64, count: Option<i64>) -> Vec<usize> {
    let len = number(places.len());
    let from = if from < 0 { from + len } else { from };
    let to = count.map_or(len, |count| from.saturating_add(count)).clamp(0, len);
    places
        .iter()
        .copied()
        .zip(0..to)
        .filter(|(_, at)| *at >= from)
        .map(|(place, _)| place)
        .collect()
}

/// What a selection answers with (`MapReturnType` in `operations/maps.rs`).
fn answer(map: &Map, found: &[usize], returns: i64, many: bool) -> Result<Value, Code> {
    let pairs = || found.iter().map(|at| map.entries[*at].clone());
    let listed = |values: Vec<Value>, absent: Value| {
        if many { Value::List(values) } else { values.into_iter().next().unwrap_or(absent) }
    };
    let places = |by_value: bool, reverse: bool| {
        let places = order(map, by_value);
        let place = |at: &usize| {
            let place = places.iter().position(|place| place == at).unwrap_or_default();
            Value::Int(number(if reverse { places.len() - 1 - place } else { place }))
        };
        listed(found.iter().map(place).collect(), Value::Int(-1))
    };
    let as_map = |flags: u8| {
        let mut map = Map { flags, entries: pairs().collect() };
        map.sort();
        Value::Map(map)
    };
    Ok(match returns {
        0 => Value::Nil,
        1 => places(false, false),
        2 => places(false, true),
        3 => places(true, false),
        4 => places(true, true),
        5 => Value::Int(number(found.len())),
        6 => listed(pairs().map(|(key, _)| key).collect(), Value::Nil),
        7 => listed(pairs().map(|(_, value)| value).collect(), Value::Nil),
        8 => as_map(KEEP_ORDER),
        13 => Value::Bool(!found.is_empty()),
        16 => as_map(0),
        17 => as_map(KEY_ORDERED),
        other => return Err(Code::refuse(format_args!("map return type {other}"))),
    })
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
