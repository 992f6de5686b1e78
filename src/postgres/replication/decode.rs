//! The messages of pgoutput, version 1 of its protocol: as much of them as says which rows were changed.
//!
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>

use bytes::{Buf, Bytes, TryGetError};

use crate::postgres::Error;

#[derive(Debug, PartialEq)]
pub(super) enum Message {
    /// Where its commit stands in the log.
    Begin(u64),
    /// Where what comes after it begins.
    Commit(u64),
    Relation(Relation),
    Insert {
        relation: u32,
        new: Tuple,
    },
    Update {
        relation: u32,
        old: Option<Tuple>,
        new: Tuple,
    },
    Delete {
        relation: u32,
        old: Tuple,
    },
    Truncate(Vec<u32>),
    /// What somebody wrote into the log.
    Said {
        prefix: String,
        content: Bytes,
    },
    /// Types, and where a change came from.
    Other,
}

#[derive(Debug, PartialEq)]
pub(super) struct Relation {
    pub id: u32,
    /// With its schema.
    pub name: String,
    pub columns: Vec<Column>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Column {
    pub name: String,
    /// Updates and deletes tell what was in it.
    pub in_identity: bool,
}

pub(super) type Tuple = Vec<Cell>;

#[derive(Debug, PartialEq)]
pub(super) enum Cell {
    Null,
    /// Large, and as it was before.
    Unchanged,
    Text(Bytes),
}

type Read<T> = Result<T, TryGetError>;

/// # Errors
/// [`Error::Unreadable`].
pub(super) fn decode(data: &[u8]) -> Result<Message, Error> {
    let unreadable =
        |problem: String| Error::unreadable("a message of the logical replication", &problem);
    let mut data = Bytes::copy_from_slice(data);
    let kind = data.try_get_u8().map_err(|error| unreadable(error.to_string()))?;
    let kind_shown = char::from(kind);
    let message = read(kind, &mut data);
    message
        .map_err(|error| unreadable(format!("in {kind_shown:?}, {error}")))?
        .ok_or_else(|| unreadable(format!("in {kind_shown:?}, something is not known")))
}

/// `None`: it is no such message.
fn read(kind: u8, data: &mut Bytes) -> Read<Option<Message>> {
    Ok(Some(match kind {
        b'B' => Message::Begin(data.try_get_u64()?),
        b'C' => {
            let (_flags, _commit) = (data.try_get_u8()?, data.try_get_u64()?);
            Message::Commit(data.try_get_u64()?)
        }
        b'R' => Message::Relation(relation(data)?),
        b'I' => {
            let relation = data.try_get_u32()?;
            let (b'N', new) = (data.try_get_u8()?, tuple(data)?) else { return Ok(None) };
            let Some(new) = new else { return Ok(None) };
            Message::Insert { relation, new }
        }
        b'U' => {
            let relation = data.try_get_u32()?;
            let (mut mark, mut first) = (data.try_get_u8()?, tuple(data)?);
            let mut old = None;
            if matches!(mark, b'K' | b'O') {
                old = first;
                (mark, first) = (data.try_get_u8()?, tuple(data)?);
            }
            let (b'N', Some(new)) = (mark, first) else { return Ok(None) };
            Message::Update { relation, old, new }
        }
        b'D' => {
            let relation = data.try_get_u32()?;
            let (b'K' | b'O', Some(old)) = (data.try_get_u8()?, tuple(data)?) else {
                return Ok(None);
            };
            Message::Delete { relation, old }
        }
        b'T' => {
            let (many, _options) = (data.try_get_u32()?, data.try_get_u8()?);
            Message::Truncate((0..many).map(|_| data.try_get_u32()).collect::<Read<_>>()?)
        }
        b'M' => {
            let (_flags, _position) = (data.try_get_u8()?, data.try_get_u64()?);
            let prefix = text(data)?;
            let length = data.try_get_u32()?;
            Message::Said { prefix, content: bytes(data, length)? }
        }
        b'Y' | b'O' => Message::Other,
        _ => return Ok(None),
    }))
}

fn relation(data: &mut Bytes) -> Read<Relation> {
    let id = data.try_get_u32()?;
    let (schema, table) = (text(data)?, text(data)?);
    // Nothing stands for the schema of the system's own tables.
    let schema = if schema.is_empty() { "pg_catalog" } else { &schema };
    let _identity = data.try_get_u8()?;
    let many = data.try_get_u16()?;
    let column = |data: &mut Bytes| -> Read<Column> {
        let flags = data.try_get_u8()?;
        let name = text(data)?;
        let (_kind, _modifier) = (data.try_get_u32()?, data.try_get_u32()?);
        Ok(Column { name, in_identity: flags & 1 == 1 })
    };
    let columns = (0..many).map(|_| column(data)).collect::<Read<_>>()?;
    Ok(Relation { id, name: format!("{schema}.{table}"), columns })
}

fn tuple(data: &mut Bytes) -> Read<Option<Tuple>> {
    let many = data.try_get_u16()?;
    let mut cells = Vec::with_capacity(many.into());
    for _ in 0..many {
        cells.push(match data.try_get_u8()? {
            b'n' => Cell::Null,
            b'u' => Cell::Unchanged,
            b't' => {
                let length = data.try_get_u32()?;
                Cell::Text(bytes(data, length)?)
            }
            // Bytes were not asked for.
            _ => return Ok(None),
        });
    }
    Ok(Some(cells))
}

fn bytes(data: &mut Bytes, length: u32) -> Read<Bytes> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if data.len() < length {
        return Err(TryGetError { requested: length, available: data.len() });
    }
    Ok(data.split_to(length))
}

/// Up to a zero.
fn text(data: &mut Bytes) -> Read<String> {
    let Some(length) = data.iter().position(|byte| *byte == 0) else {
        return Err(TryGetError { requested: data.len() + 1, available: data.len() });
    };
    let text = data.split_to(length);
    data.advance(1);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Vec<u8> {
        let mut data = b"U\0\0\0\x07K\0\x02t\0\0\0\x011n".to_vec();
        data.extend(b"N\0\x02t\0\0\0\x012u");
        data
    }

    #[test]
    fn an_update_has_the_old_key_and_the_new_row() {
        let cell = |text: &'static str| Cell::Text(Bytes::from_static(text.as_bytes()));
        let read = Message::Update {
            relation: 7,
            old: Some(vec![cell("1"), Cell::Null]),
            new: vec![cell("2"), Cell::Unchanged],
        };
        assert_eq!(decode(&update()).unwrap(), read);
    }

    #[test]
    fn what_is_cut_off_or_not_known_is_an_error_and_no_panic() {
        let relation = b"R\0\0\0\x07public\0users\0d\0\x01\x01id\0\0\0\0\x14\xff\xff\xff\xff";
        let said = b"M\x01\0\0\0\0\0\0\0\0genfence\0\0\0\0\x031 2";
        assert!(decode(relation).is_ok() && decode(said).is_ok());
        for whole in [&update(), &relation[..], said, b"C\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05"] {
            for length in 0..whole.len() {
                let error = decode(&whole[..length]).unwrap_err();
                assert!(matches!(error, Error::Unreadable { .. }), "{error}");
            }
        }
        for strange in [&b"?"[..], b"I\0\0\0\x07N\0\x01b\0\0\0\0", b"D\0\0\0\x07N\0\0"] {
            assert!(decode(strange).is_err());
        }
    }
}
