//! The messages of the record protocol: a header of 22 bytes, fields, operations
//! (`commands/buffer.rs` and `commands/field_type.rs` of the client).

use std::ops::Deref;

use bytes::{Buf, BufMut, Bytes, TryGetError};

use crate::code::Code;
use crate::store::Digest;
use crate::value::Value;

pub(crate) const HEADER: u8 = 22;

/// Bytes of a bin's name.
pub(crate) const MAX_BIN_NAME: usize = 15;

pub(crate) mod info1 {
    pub const READ: u8 = 1;
    pub const GET_ALL: u8 = 1 << 1;
    pub const BATCH: u8 = 1 << 3;
    pub const NO_BINS: u8 = 1 << 5;
    pub const ALL_COPIES: u8 = 1 << 6;
    /// SHORT_QUERY, XDR.
    pub const REFUSED: u8 = 1 << 2 | 1 << 4;
}

pub(crate) mod info2 {
    pub const WRITE: u8 = 1;
    pub const DELETE: u8 = 1 << 1;
    pub const GENERATION: u8 = 1 << 2;
    pub const GENERATION_GT: u8 = 1 << 3;
    pub const DURABLE_DELETE: u8 = 1 << 4;
    pub const CREATE_ONLY: u8 = 1 << 5;
    pub const RESPOND_ALL_OPS: u8 = 1 << 7;
}

pub(crate) mod info3 {
    pub const LAST: u8 = 1;
    pub const UPDATE_ONLY: u8 = 1 << 3;
    pub const CREATE_OR_REPLACE: u8 = 1 << 4;
    pub const REPLACE_ONLY: u8 = 1 << 5;
    pub const SC_READ_TYPE: u8 = 1 << 6;
    pub const SC_READ_RELAX: u8 = 1 << 7;
}

/// The operations of a command (`OperationType` in `operations/mod.rs`).
pub(crate) mod op {
    pub const READ: u8 = 1;
    pub const WRITE: u8 = 2;
    pub const MAP_READ: u8 = 3;
    pub const MAP_MODIFY: u8 = 4;
    pub const ADD: u8 = 5;
    pub const EXP_READ: u8 = 7;
    pub const EXP_WRITE: u8 = 8;
    pub const TOUCH: u8 = 11;
    pub const DELETE: u8 = 14;
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub info1: u8,
    pub info2: u8,
    pub info3: u8,
    pub generation: u32,
    pub ttl: u32,
    pub fields: Fields,
    pub ops: Vec<Op>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    pub namespace: String,
    pub set: String,
    pub key: Option<Vec<u8>>,
    pub digest: Option<Digest>,
    pub filter: Option<Bytes>,
    pub batch: Option<Bytes>,
}

#[derive(Clone, Debug)]
pub(crate) struct Op {
    pub kind: u8,
    pub name: Name,
    pub particle_type: u8,
    pub value: Bytes,
}

/// A name, where it stands in its message: there are many, and none is kept.
#[derive(Clone, Debug)]
pub(crate) struct Name(Bytes);

impl Name {
    fn new(bytes: Bytes) -> Result<Name, Code> {
        if std::str::from_utf8(&bytes).is_err() {
            return Err(Code::refuse("a name that is not UTF-8"));
        }
        Ok(Name(bytes))
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        std::str::from_utf8(&self.0).expect("it was looked at when it came")
    }
}

impl Op {
    /// Whether it can only read.
    pub fn reads(&self) -> bool {
        matches!(self.kind, op::READ | op::MAP_READ | op::EXP_READ)
    }
}

impl Message {
    pub fn parse(mut body: Bytes) -> Result<Message, Code> {
        let message = Message::header(&mut body)?;
        if body.is_empty() { Ok(message) } else { Err(Code::refuse("bytes after a message")) }
    }

    fn header(body: &mut Bytes) -> Result<Message, Code> {
        let header_len = body.try_get_u8()?;
        if header_len != HEADER {
            return Err(Code::refuse(format_args!("a header of {header_len} bytes")));
        }
        let mut message = Message {
            info1: body.try_get_u8()?,
            info2: body.try_get_u8()?,
            info3: body.try_get_u8()?,
            ..Message::default()
        };
        check_info4(body.try_get_u8()?)?;
        let _result = body.try_get_u8()?;
        message.generation = body.try_get_u32()?;
        message.ttl = body.try_get_u32()?;
        let _timeout = body.try_get_u32()?;
        message.parts(body)?;
        Ok(message)
    }

    /// The counts of fields and operations, then these themselves: the tail of a header, and also
    /// of a row in a batch.
    pub fn parts(&mut self, body: &mut Bytes) -> Result<(), Code> {
        if self.info1 & info1::REFUSED != 0 {
            return Err(Code::refuse(format_args!("the read attributes {:#010b}", self.info1)));
        }
        let (fields, ops) = (body.try_get_u16()?, body.try_get_u16()?);
        for _ in 0..fields {
            self.fields.read(body)?;
        }
        self.ops = (0..ops).map(|_| Op::read(body)).collect::<Result<_, _>>()?;
        Ok(())
    }
}

/// Of the fourth attribute byte only the wish for an explanation of errors passes: servers before
/// 8.2 ignore it. The rest is multi-record transactions.
pub(crate) fn check_info4(info4: u8) -> Result<(), Code> {
    const ERROR_DETAIL: u8 = 0x60;
    if info4 & !ERROR_DETAIL == 0 { Ok(()) } else { Err(Code::refuse("multi-record transactions")) }
}

impl Fields {
    fn read(&mut self, body: &mut Bytes) -> Result<(), Code> {
        let mut data = sized(body)?;
        match data.try_get_u8()? {
            0 => self.namespace = utf8(&data)?,
            1 => self.set = utf8(&data)?,
            2 => self.key = Some(data.to_vec()),
            4 => {
                let digest = data.as_ref().try_into();
                self.digest =
                    Some(digest.map_err(|_| Code::refuse("a digest that is not 20 bytes"))?);
            }
            41 => self.batch = Some(data),
            43 => self.filter = Some(data),
            other => return Err(Code::refuse(format_args!("field {other}"))),
        }
        Ok(())
    }
}

impl Op {
    fn read(body: &mut Bytes) -> Result<Op, Code> {
        let mut data = sized(body)?;
        let kind = data.try_get_u8()?;
        let particle_type = data.try_get_u8()?;
        let _version = data.try_get_u8()?;
        let len = usize::from(data.try_get_u8()?);
        let name = Name::new(take(&mut data, len)?)?;
        if name.len() > MAX_BIN_NAME {
            return Err(Code::BIN_NAME);
        }
        Ok(Op { kind, name, particle_type, value: data })
    }
}

fn sized(body: &mut Bytes) -> Result<Bytes, Code> {
    let len = body.try_get_u32()?;
    take(body, usize::try_from(len).unwrap_or(usize::MAX))
}

pub(crate) fn take(body: &mut Bytes, len: usize) -> Result<Bytes, Code> {
    if body.len() < len {
        Err(Code::refuse("a message that is cut short"))
    } else {
        Ok(body.split_to(len))
    }
}

fn utf8(bytes: &[u8]) -> Result<String, Code> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Code::refuse("a name that is not UTF-8"))
}

impl From<TryGetError> for Code {
    fn from(error: TryGetError) -> Self {
        Code::refuse(format_args!("a message that is cut short: {error}"))
    }
}

/// What a command answers.
#[derive(Debug, Default)]
pub(crate) struct Reply {
    pub code: Code,
    pub generation: u16,
    pub void_time: u32,
    pub results: Vec<Answer>,
}

/// One operation's answer, or one bin.
#[derive(Debug)]
pub(crate) struct Answer {
    pub kind: u8,
    pub name: String,
    pub value: Value,
}

impl From<Code> for Reply {
    fn from(code: Code) -> Self {
        Reply { code, ..Reply::default() }
    }
}

impl Reply {
    /// Writes the message without its frame. `row` is the place of the key in its batch.
    pub fn write(&self, row: u32, last: bool, out: &mut Vec<u8>) {
        out.put_slice(&[HEADER, 0, 0, if last { info3::LAST } else { 0 }, 0, self.code.0]);
        out.put_u32(u32::from(self.generation));
        out.put_u32(self.void_time);
        out.put_u32(row);
        out.put_u16(0);
        out.put_u16(u16::try_from(self.results.len()).expect("a command has fewer operations"));
        for Answer { kind, name, value } in &self.results {
            let particle = value.to_particle();
            out.put_u32(
                u32::try_from(4 + name.len() + particle.len()).expect("a record is far smaller"),
            );
            let len = u8::try_from(name.len()).expect("names were checked when they were read");
            out.put_slice(&[*kind, value.particle_type(), 0, len]);
            out.put_slice(name.as_bytes());
            out.put_slice(&particle);
        }
    }
}
