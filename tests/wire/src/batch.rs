//! Batches: one message that carries many rows, each a command of its own, answered by one message
//! of as many rows (`Buffer::set_batch_operate` and `commands/batch_operate_command.rs`).

use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::code::Code;
use crate::message::{Message, Reply, check_info4, info3, take};
use crate::store::Digest;

/// A row is the repetition of the one before, for another key.
const REPEAT: u8 = 0x1;
const HAS_INFO: u8 = 0x2;
const HAS_GENERATION: u8 = 0x4;
const HAS_TTL: u8 = 0x8;
const HAS_INFO4: u8 = 0x10;

/// Rows after one that failed are answered too.
const RESPOND_ALL_KEYS: u8 = 0x4;

pub(crate) struct Batch {
    respond_all_keys: bool,
    pub rows: Vec<Row>,
}

pub(crate) struct Row {
    index: u32,
    pub digest: Digest,
    /// One for all that repeat it.
    pub message: Arc<Message>,
}

impl Batch {
    pub fn parse(message: &Message) -> Result<Batch, Code> {
        let mut body =
            message.fields.batch.clone().ok_or_else(|| Code::refuse("a batch without rows"))?;
        let count = body.try_get_u32()?;
        let flags = body.try_get_u8()?;
        let mut rows: Vec<Row> = Vec::new();
        for _ in 0..count {
            let row = Row::read(&mut body, rows.last(), message)?;
            rows.push(row);
        }
        if rows.is_empty() || !body.is_empty() {
            return Err(Code::refuse("a batch whose count is not that of its rows"));
        }
        Ok(Batch { respond_all_keys: flags & RESPOND_ALL_KEYS != 0, rows })
    }

    /// Answers all rows, or up to the first that failed. The last row of the answer is the end's mark; it then says what
    /// failed.
    pub fn write(&self, replies: &[&Reply], out: &mut Vec<u8>) {
        let mut failed = Code::OK;
        for (row, reply) in self.rows.iter().zip(replies) {
            if failed == Code::OK {
                reply.write(row.index, false, out);
            }
            let fails = !matches!(reply.code, Code::OK | Code::NOT_FOUND | Code::FILTERED_OUT);
            if fails && !self.respond_all_keys && failed == Code::OK {
                failed = reply.code;
            }
        }
        Reply::from(failed).write(0, true, out);
    }
}

impl Row {
    fn read(body: &mut Bytes, before: Option<&Row>, parent: &Message) -> Result<Row, Code> {
        let index = body.try_get_u32()?;
        let digest = take(body, 20)?.as_ref().try_into().expect("took as many bytes");
        let has = body.try_get_u8()?;
        if has & REPEAT != 0 {
            let before = before.ok_or_else(|| Code::refuse("a first row that repeats"))?;
            return Ok(Row { index, digest, message: Arc::clone(&before.message) });
        }
        let mut message = Message { info1: body.try_get_u8()?, ..Message::default() };
        if has & HAS_INFO != 0 {
            message.info2 = body.try_get_u8()?;
            message.info3 = body.try_get_u8()?;
        } else {
            message.info3 = parent.info3 & (info3::SC_READ_TYPE | info3::SC_READ_RELAX);
        }
        if has & HAS_INFO4 != 0 {
            check_info4(body.try_get_u8()?)?;
        }
        if has & HAS_GENERATION != 0 {
            message.generation = u32::from(body.try_get_u16()?);
        }
        if has & HAS_TTL != 0 {
            message.ttl = body.try_get_u32()?;
        }
        message.parts(body)?;
        if message.fields.filter.is_none() {
            message.fields.filter.clone_from(&parent.fields.filter);
        }
        Ok(Row { index, digest, message: Arc::new(message) })
    }
}
