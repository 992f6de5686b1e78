//! What a command does to one record. The order of the checks is a real server's: policies of the
//! operations, existence, generation, set, filter, user key, TTL, operations, size.

use crate::code::Code;
use crate::expression::{self, Scene};
use crate::map;
use crate::message::{Answer, Message, Op, Reply, info1, info2, info3, op};
use crate::store::{Config, Digest, Record, Store, Ttl};
use crate::value::{self, Value};

/// Runs a command on the record that `digest` names, at `now` (Unix milliseconds).
pub(crate) fn run(store: &mut Store, digest: &Digest, message: &Message, now: u64) -> Reply {
    let ran = if message.info2 & info2::DELETE != 0 {
        delete(store, digest, message, now)
    } else if message.info2 & info2::WRITE != 0 {
        write(store, digest, message, now)
    } else if message.info1 & info1::READ != 0 {
        read(store, digest, message, now)
    } else {
        Err(Code::refuse("a command that neither reads nor writes"))
    };
    // A refusal tells the generation and the expiry of the record that stands in the way.
    ran.unwrap_or_else(|code| match store.records.get(digest) {
        Some(record) if message.info2 & info2::DELETE == 0 => of_record(code, record, Vec::new()),
        _ => code.into(),
    })
}

fn of_record(code: Code, record: &Record, results: Vec<Answer>) -> Reply {
    Reply { code, generation: record.generation, void_time: record.wire_void_time(), results }
}

fn read(store: &Store, digest: &Digest, message: &Message, now: u64) -> Result<Reply, Code> {
    namespace(&store.config, message)?;
    linearized(&store.config, message)?;
    let record = store.records.get(digest).ok_or(Code::NOT_FOUND)?;
    if !message.fields.set.is_empty() {
        same_set(record, message)?;
    }
    // In a read the TTL's place says when to touch: the default here is never, and so is this value.
    if !matches!(message.ttl, 0 | u32::MAX) {
        return Err(Code::refuse("a read that touches"));
    }
    if record.is_expired(now) {
        return Err(Code::NOT_FOUND);
    }
    let scene = Scene { record, digest, now };
    filter(message, &scene)?;
    same_key(record, message)?;
    let results = if message.info1 & info1::NO_BINS != 0 {
        Vec::new()
    } else if message.info1 & info1::GET_ALL != 0 {
        all_bins(record)
    } else if message.ops.is_empty() {
        return Err(Code::refuse("a read without operations"));
    } else {
        let mut results = Vec::new();
        for op in &message.ops {
            if !op.reads() {
                return Err(Code::refuse(format_args!("operation {} in a read", op.kind)));
            }
            results.extend(read_op(op, &scene, responds_to_all(message))?);
        }
        results
    };
    Ok(of_record(Code::OK, record, results))
}

/// A delete. A real server of the Community Edition does not look whether the record has expired.
fn delete(store: &mut Store, digest: &Digest, message: &Message, now: u64) -> Result<Reply, Code> {
    namespace(&store.config, message)?;
    durability(&store.config, message)?;
    let record = store.records.get(digest).ok_or(Code::NOT_FOUND)?;
    if !message.fields.set.is_empty() {
        same_set(record, message)?;
    }
    generation(record.generation, message)?;
    filter(message, &Scene { record, digest, now })?;
    same_key(record, message)?;
    store.records.remove(digest);
    Ok(Code::OK.into())
}

fn write(store: &mut Store, digest: &Digest, message: &Message, now: u64) -> Result<Reply, Code> {
    let Store { config, records } = store;
    namespace(config, message)?;
    if config.stop_writes {
        return Err(Code::OUT_OF_SPACE);
    }
    operations(message)?;
    // An expired record is as good as none, also where it was not reaped yet.
    if records.get(digest).is_some_and(|record| record.is_expired(now)) {
        records.remove(digest);
    }
    let before = records.get(digest);
    let ttl = admit(config, before, digest, message, now)?;

    let mut record = before.cloned().unwrap_or_else(|| Record {
        set: message.fields.set.clone(),
        generation: config.first_generation.wrapping_sub(1),
        ..Record::default()
    });
    let existed = before.is_some();
    if record.key.is_none() {
        record.key.clone_from(&message.fields.key);
    }
    if replaces(message) {
        record.bins.clear();
    }
    record.advance(ttl, now, config);
    let results = apply(&mut record, digest, message, now)?;
    if record.bins.is_empty() {
        // A record without bins is no record, so dropping the last one deletes.
        if !existed {
            return Err(Code::NOT_FOUND);
        }
        durability(config, message)?;
        records.remove(digest);
        return Ok(Reply { results, ..Reply::default() });
    }
    if record.size() > config.max_record_size {
        return Err(Code::TOO_BIG);
    }
    let reply = of_record(Code::OK, &record, results);
    records.insert(*digest, record);
    Ok(reply)
}

/// Whether the record, or its absence, lets a write pass, and with what TTL.
fn admit(
    config: &Config,
    before: Option<&Record>,
    digest: &Digest,
    message: &Message,
    now: u64,
) -> Result<Ttl, Code> {
    let must_exist = message.info3 & (info3::UPDATE_ONLY | info3::REPLACE_ONLY) != 0
        || message.ops.iter().any(|op| op.kind == op::TOUCH);
    if must_exist && before.is_none() {
        return Err(Code::NOT_FOUND);
    }
    if message.info2 & info2::CREATE_ONLY != 0 && before.is_some() {
        return Err(Code::EXISTS);
    }
    generation(before.map_or(0, |record| record.generation), message)?;
    // The filter judges what the last write left; where there is no record it is not even read.
    if let Some(record) = before {
        same_set(record, message)?;
        filter(message, &Scene { record, digest, now })?;
        same_key(record, message)?;
    }
    let ttl = match Ttl::from_wire(message.ttl)? {
        Ttl::Keep if before.is_none() => Ttl::Default,
        ttl => ttl,
    };
    let expires = matches!(ttl, Ttl::Seconds(_)) || ttl == Ttl::Default && config.default_ttl != 0;
    if expires && config.nsup_period == 0 { Err(Code::FORBIDDEN) } else { Ok(ttl) }
}

/// What a server refuses before it looks for the record.
fn operations(message: &Message) -> Result<(), Code> {
    if message.ops.is_empty() {
        return Err(Code::refuse("a write without operations"));
    }
    let reads_all = message.ops.iter().any(|op| op.kind == op::READ && reads_all(op, message));
    let reads = message.ops.iter().any(Op::reads);
    for op in &message.ops {
        let changes_in_place = match op.kind {
            op::WRITE => op.particle_type == 0,
            op::MAP_MODIFY | op::ADD | op::TOUCH | op::DELETE => true,
            op::READ | op::MAP_READ | op::EXP_READ | op::EXP_WRITE => false,
            other => return Err(Code::refuse(format_args!("operation {other}"))),
        };
        if replaces(message) && changes_in_place {
            return Err(Code::refuse(format_args!("operation {} in a replace", op.kind)));
        }
    }
    let answers_beside = message.ops.iter().any(|op| match op.kind {
        op::READ => !self::reads_all(op, message),
        kind => matches!(kind, op::MAP_READ | op::MAP_MODIFY | op::EXP_READ),
    });
    if reads && message.info1 & info1::READ == 0
        || reads_all && (responds_to_all(message) || answers_beside)
        || !reads_all && message.info1 & info1::GET_ALL != 0
    {
        return Err(Code::refuse("operations that do not go with the message's attributes"));
    }
    Ok(())
}

fn replaces(message: &Message) -> bool {
    message.info3 & (info3::CREATE_OR_REPLACE | info3::REPLACE_ONLY) != 0
}

fn reads_all(op: &Op, message: &Message) -> bool {
    op.name.is_empty() && message.info1 & info1::GET_ALL != 0
}

fn responds_to_all(message: &Message) -> bool {
    message.info2 & info2::RESPOND_ALL_OPS != 0
}

/// Runs the operations in order on a record whose metadata is already that of this write.
fn apply(
    record: &mut Record,
    digest: &Digest,
    message: &Message,
    now: u64,
) -> Result<Vec<Answer>, Code> {
    let all = responds_to_all(message);
    let mut results = Vec::new();
    for op in &message.ops {
        let answer = match op.kind {
            // A touch does all it does by being a write, and never answers.
            op::TOUCH => continue,
            op::WRITE => {
                set(record, &op.name, Value::from_particle(op.particle_type, &op.value)?);
                Value::Nil
            }
            op::ADD => {
                add(record, op)?;
                Value::Nil
            }
            op::DELETE => {
                record.bins.clear();
                Value::Nil
            }
            op::MAP_MODIFY => modify_map(record, op)?,
            op::EXP_WRITE => {
                write_expression(record, digest, op, now)?;
                Value::Nil
            }
            op::READ if reads_all(op, message) => {
                results.extend(all_bins(record));
                continue;
            }
            _ => {
                results.extend(read_op(op, &Scene { record, digest, now }, all)?);
                continue;
            }
        };
        if all || answer != Value::Nil {
            results.push(Answer { kind: op.kind, name: op.name.to_string(), value: answer });
        }
    }
    Ok(results)
}

fn set(record: &mut Record, name: &str, value: Value) {
    if value == Value::Nil {
        record.bins.remove(name);
    } else {
        record.bins.insert(name.to_owned(), value);
    }
}

fn add(record: &mut Record, op: &Op) -> Result<(), Code> {
    let by = Value::from_particle(op.particle_type, &op.value)?;
    let sum = match (record.bins.get(&*op.name), by) {
        (None, by @ (Value::Int(_) | Value::Float(_))) => by,
        (Some(Value::Int(int)), Value::Int(by)) => Value::Int(int.wrapping_add(by)),
        (Some(Value::Float(float)), Value::Float(by)) => Value::Float(float + by),
        _ => return Err(Code::INCOMPATIBLE_TYPE),
    };
    set(record, &op.name, sum);
    Ok(())
}

fn modify_map(record: &mut Record, op: &Op) -> Result<Value, Code> {
    let (number, args) = map_operation(op)?;
    let before = match record.bins.get(&*op.name) {
        None => None,
        Some(Value::Map(map)) => Some(map.clone()),
        Some(_) => return Err(Code::INCOMPATIBLE_TYPE),
    };
    let (after, answer) = map::modify(before, number, &args)?;
    set(record, &op.name, after.map_or(Value::Nil, Value::Map));
    Ok(answer)
}

fn map_operation(op: &Op) -> Result<(i64, Vec<Value>), Code> {
    match Value::from_raw(&value::raw(&op.value)?)? {
        Value::List(mut parts) if matches!(parts.first(), Some(Value::Int(64..255))) => {
            let Value::Int(number) = parts.remove(0) else { unreachable!("just matched") };
            Ok((number, parts))
        }
        other => Err(Code::refuse(format_args!("the collection operation {other:?}"))),
    }
}

/// One reading operation's answer; a bin that is not there answers only where all operations do.
fn read_op(op: &Op, scene: &Scene, all: bool) -> Result<Option<Answer>, Code> {
    let bin = scene.record.bins.get(&*op.name);
    let value = match (op.kind, bin) {
        (op::EXP_READ, _) => {
            let (expression, flags) = expression::operation(&op.value)?;
            match expression.evaluate(scene) {
                Some(value) => value,
                None if flags & EVAL_NO_FAIL != 0 => Value::Nil,
                None => return Err(Code::NOT_APPLICABLE),
            }
        }
        (_, None) if all => Value::Nil,
        (_, None) => return Ok(None),
        (op::READ, Some(value)) => value.clone(),
        (op::MAP_READ, Some(Value::Map(map))) => {
            let (number, args) = map_operation(op)?;
            map::read(map, number, &args)?
        }
        (op::MAP_READ, Some(_)) => return Err(Code::INCOMPATIBLE_TYPE),
        (other, _) => return Err(Code::refuse(format_args!("operation {other}"))),
    };
    Ok(Some(Answer { kind: op.kind, name: op.name.to_string(), value }))
}

// The flags of expression operations (`operations/exp.rs`).
const CREATE_ONLY: i64 = 1;
const UPDATE_ONLY: i64 = 1 << 1;
const ALLOW_DELETE: i64 = 1 << 2;
const POLICY_NO_FAIL: i64 = 1 << 3;
const EVAL_NO_FAIL: i64 = 1 << 4;

fn write_expression(record: &mut Record, digest: &Digest, op: &Op, now: u64) -> Result<(), Code> {
    let (expression, flags) = expression::operation(&op.value)?;
    let existed = record.bins.contains_key(&*op.name);
    let denied = match existed {
        true if flags & CREATE_ONLY != 0 => Some(Code::BIN_EXISTS),
        false if flags & UPDATE_ONLY != 0 => Some(Code::BIN_NOT_FOUND),
        _ => None,
    };
    match (denied, expression.evaluate(&Scene { record, digest, now })) {
        (Some(_), _) if flags & POLICY_NO_FAIL != 0 => {}
        (Some(code), _) => return Err(code),
        (None, None) if flags & EVAL_NO_FAIL != 0 => {}
        (None, None) => return Err(Code::NOT_APPLICABLE),
        // A real server means to ask for POLICY_NO_FAIL here, but lets any flag at all pass.
        (None, Some(Value::Nil)) if existed && flags & ALLOW_DELETE == 0 => {
            return if flags == 0 { Err(Code::NOT_APPLICABLE) } else { Ok(()) };
        }
        (None, Some(value)) => set(record, &op.name, value),
    }
    Ok(())
}

fn all_bins(record: &Record) -> Vec<Answer> {
    let answer = |(name, value): (&String, &Value)| Answer {
        kind: op::READ,
        name: name.clone(),
        value: value.clone(),
    };
    record.bins.iter().map(answer).collect()
}

fn namespace(config: &Config, message: &Message) -> Result<(), Code> {
    if message.fields.namespace == config.namespace { Ok(()) } else { Err(Code::NAMESPACE) }
}

fn generation(found: u16, message: &Message) -> Result<(), Code> {
    let found = u32::from(found);
    let holds = if message.info2 & info2::GENERATION != 0 {
        message.generation == found
    } else {
        message.info2 & info2::GENERATION_GT == 0 || message.generation > found
    };
    if holds { Ok(()) } else { Err(Code::GENERATION) }
}

/// What is not true, or cannot be known, filters out.
fn filter(message: &Message, scene: &Scene) -> Result<(), Code> {
    let Some(bytes) = &message.fields.filter else { return Ok(()) };
    match expression::filter(bytes)?.evaluate(scene) {
        Some(Value::Bool(true)) => Ok(()),
        _ => Err(Code::FILTERED_OUT),
    }
}

fn same_set(record: &Record, message: &Message) -> Result<(), Code> {
    if record.set == message.fields.set {
        Ok(())
    } else {
        Err(Code::refuse(format_args!(
            "set {:?} for a record of {:?}",
            message.fields.set, record.set
        )))
    }
}

fn same_key(record: &Record, message: &Message) -> Result<(), Code> {
    match (&record.key, &message.fields.key) {
        (Some(stored), Some(sent)) if stored != sent => Err(Code::KEY_MISMATCH),
        _ => Ok(()),
    }
}

/// The Community Edition refuses a read that is to be linearized.
fn linearized(config: &Config, message: &Message) -> Result<(), Code> {
    let mode = message.info3 & (info3::SC_READ_TYPE | info3::SC_READ_RELAX);
    if mode == info3::SC_READ_TYPE && !config.strong_consistency {
        return Err(Code::ENTERPRISE_ONLY);
    }
    Ok(())
}

/// Whether a record may be removed in this way. The Community Edition knows no durable deletes, and
/// where consistency is strong the Enterprise Edition forbids any other.
fn durability(config: &Config, message: &Message) -> Result<(), Code> {
    match (config.strong_consistency, message.info2 & info2::DURABLE_DELETE != 0) {
        (false, true) => Err(Code::ENTERPRISE_ONLY),
        (true, false) => Err(Code::FORBIDDEN),
        _ => Ok(()),
    }
}
