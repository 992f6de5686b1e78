//! Values: as particles in bins, and in Aerospike's dialect of MessagePack, where every string
//! begins with the particle type of its content (`msgpack/encoder.rs` of the client).

use std::cmp::Ordering;

use rmp::encode as pack;
use rmpv::ValueRef as Raw;

use crate::code::Code;
use crate::map::Map;

/// What a bin, a map or an expression holds. Of Aerospike's types HLL and GeoJSON are missing.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing; written to a bin it drops the bin.
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A string.
    Str(String),
    /// A list.
    List(Vec<Value>),
    /// A map.
    Map(Map),
    /// Bytes.
    Blob(Vec<u8>),
    /// A floating point number.
    Float(f64),
    /// Above every other value; only ever an argument.
    Infinity,
    /// Equal to every value; only ever an argument.
    Wildcard,
}

impl Value {
    /// The particle type that stands for the value on the wire (`commands/particle_type.rs`).
    pub fn particle_type(&self) -> u8 {
        match self {
            Value::Nil | Value::Infinity | Value::Wildcard => 0,
            Value::Int(_) => 1,
            Value::Float(_) => 2,
            Value::Str(_) => 3,
            Value::Blob(_) => 4,
            Value::Bool(_) => 17,
            Value::Map(_) => 19,
            Value::List(_) => 20,
        }
    }

    /// The value of a bin as a write sends it.
    pub(crate) fn from_particle(particle_type: u8, bytes: &[u8]) -> Result<Value, Code> {
        Ok(match particle_type {
            0 => Value::Nil,
            1 => Value::Int(i64::from_be_bytes(exactly(bytes)?)),
            2 => Value::Float(f64::from_be_bytes(exactly(bytes)?)),
            3 => Value::Str(utf8(bytes)?),
            4 => Value::Blob(bytes.to_vec()),
            17 => Value::Bool(bytes.first().is_some_and(|byte| *byte != 0)),
            19 | 20 => unpack(bytes)?,
            other => return Err(Code::refuse(format_args!("particle type {other}"))),
        })
    }

    /// The bytes of the value in a reply.
    pub(crate) fn to_particle(&self) -> Vec<u8> {
        match self {
            Value::Nil | Value::Infinity | Value::Wildcard => Vec::new(),
            Value::Int(int) => int.to_be_bytes().to_vec(),
            Value::Float(float) => float.to_be_bytes().to_vec(),
            Value::Str(string) => string.as_bytes().to_vec(),
            Value::Blob(bytes) => bytes.clone(),
            Value::Bool(bool) => vec![u8::from(*bool)],
            Value::Map(_) | Value::List(_) => {
                let mut out = Vec::new();
                self.pack(&mut out).expect("a Vec takes every write");
                out
            }
        }
    }

    /// How many those are.
    pub(crate) fn particle_len(&self) -> usize {
        match self {
            Value::Nil | Value::Infinity | Value::Wildcard => 0,
            Value::Int(_) | Value::Float(_) => 8,
            Value::Str(string) => string.len(),
            Value::Blob(bytes) => bytes.len(),
            Value::Bool(_) => 1,
            Value::Map(_) | Value::List(_) => self.to_particle().len(),
        }
    }

    fn pack(&self, out: &mut Vec<u8>) -> Result<(), pack::ValueWriteError> {
        match self {
            Value::Nil => {
                pack::write_nil(out).map_err(pack::ValueWriteError::InvalidMarkerWrite)?;
            }
            Value::Bool(bool) => {
                pack::write_bool(out, *bool).map_err(pack::ValueWriteError::InvalidMarkerWrite)?;
            }
            Value::Int(int) => drop(pack::write_sint(out, *int)?),
            Value::Float(float) => pack::write_f64(out, *float)?,
            Value::Str(string) => pack_typed(out, 3, string.as_bytes())?,
            Value::Blob(bytes) => pack_typed(out, 4, bytes)?,
            Value::List(items) => {
                pack::write_array_len(out, count(items.len()))?;
                items.iter().try_for_each(|item| item.pack(out))?;
            }
            Value::Map(map) => {
                let ordered = map.flags() != 0;
                pack::write_map_len(out, count(map.len() + usize::from(ordered)))?;
                if ordered {
                    pack::write_ext_meta(out, 0, map.flags().cast_signed())?;
                    Value::Nil.pack(out)?;
                }
                for (key, value) in map.entries() {
                    key.pack(out)?;
                    value.pack(out)?;
                }
            }
            Value::Infinity => out.extend([0xd4, 0xff, 1]),
            Value::Wildcard => out.extend([0xd4, 0xff, 0]),
        }
        Ok(())
    }

    /// A value within MessagePack, decoded from its wire form.
    pub(crate) fn from_raw(raw: &Raw<'_>) -> Result<Value, Code> {
        Ok(match raw {
            Raw::Nil => Value::Nil,
            Raw::Boolean(bool) => Value::Bool(*bool),
            Raw::Integer(int) => {
                Value::Int(int.as_i64().ok_or_else(|| Code::refuse("an integer above i64"))?)
            }
            Raw::F32(float) => Value::Float(f64::from(*float)),
            Raw::F64(float) => Value::Float(*float),
            Raw::String(string) => typed(string.as_bytes())?,
            Raw::Binary(bytes) => typed(bytes)?,
            Raw::Array(items) => {
                Value::List(items.iter().map(Value::from_raw).collect::<Result<_, _>>()?)
            }
            Raw::Map(pairs) => Value::Map(Map::from_raw(pairs)?),
            Raw::Ext(-1, [1]) => Value::Infinity,
            Raw::Ext(-1, [0]) => Value::Wildcard,
            Raw::Ext(kind, _) => return Err(Code::refuse(format_args!("extension {kind}"))),
        })
    }

    /// The order that maps and expressions go by: first the type, in the order of the variants, then
    /// the value.
    pub(crate) fn compare(&self, other: &Value) -> Ordering {
        match (self, other) {
            (Value::Wildcard, _) | (_, Value::Wildcard) => Ordering::Equal,
            (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
            (Value::Int(a), Value::Int(b)) => a.cmp(b),
            (Value::Str(a), Value::Str(b)) => a.cmp(b),
            (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
            (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
            (Value::List(a), Value::List(b)) => {
                let unequal =
                    a.iter().zip(b).map(|(a, b)| a.compare(b)).find(|order| order.is_ne());
                unequal.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Value::Map(a), Value::Map(b)) => a.compare(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Value::Nil => 0,
            Value::Bool(_) => 1,
            Value::Int(_) => 2,
            Value::Str(_) => 3,
            Value::List(_) => 4,
            Value::Map(_) => 5,
            Value::Blob(_) => 6,
            Value::Float(_) => 7,
            Value::Infinity => 8,
            Value::Wildcard => 9,
        }
    }
}

/// The MessagePack value that fills `bytes`.
pub(crate) fn raw(mut bytes: &[u8]) -> Result<Raw<'_>, Code> {
    let raw = rmpv::decode::read_value_ref(&mut bytes)
        .map_err(|error| Code::refuse(format_args!("MessagePack that does not parse: {error}")))?;
    if bytes.is_empty() { Ok(raw) } else { Err(Code::refuse("bytes after a MessagePack value")) }
}

fn unpack(bytes: &[u8]) -> Result<Value, Code> {
    Value::from_raw(&raw(bytes)?)
}

fn typed(bytes: &[u8]) -> Result<Value, Code> {
    match bytes.split_first() {
        Some((3, rest)) => Ok(Value::Str(utf8(rest)?)),
        Some((4, rest)) => Ok(Value::Blob(rest.to_vec())),
        Some((other, _)) => Err(Code::refuse(format_args!("a packed particle of type {other}"))),
        None => Err(Code::refuse("a packed particle without a type")),
    }
}

fn pack_typed(
    out: &mut Vec<u8>,
    particle_type: u8,
    bytes: &[u8],
) -> Result<(), pack::ValueWriteError> {
    pack::write_str_len(out, count(bytes.len() + 1))?;
    out.push(particle_type);
    out.extend_from_slice(bytes);
    Ok(())
}

fn exactly(bytes: &[u8]) -> Result<[u8; 8], Code> {
    bytes.try_into().map_err(|_| Code::refuse(format_args!("a number of {} bytes", bytes.len())))
}

fn utf8(bytes: &[u8]) -> Result<String, Code> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Code::refuse("a string that is not UTF-8"))
}

fn count(len: usize) -> u32 {
    u32::try_from(len).expect("messages are far smaller than 4 GiB")
}

impl From<i64> for Value {
    fn from(int: i64) -> Self {
        Value::Int(int)
    }
}

impl From<&str> for Value {
    fn from(string: &str) -> Self {
        Value::Str(string.to_owned())
    }
}
