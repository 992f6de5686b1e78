//! Tells a trace as a story that can be read without knowing the model.

use genfence::protocol::{Change, Claim};
use stateright::Path;

use super::clients::Move;
use super::setup::{Role, Setup};
use super::world::{Action, Command, Key, World};

/// A sentence for each step, and what is wrong at the end.
pub fn tell(setup: &Setup, path: Path<World, Action>, broken: &str) -> Vec<String> {
    let steps = path.into_vec();
    let begins = if setup.empty { "nothing" } else { "what the source does, 0" };
    let mut story = vec![format!("t=1: the cache holds {begins}")];
    for pair in steps.windows(2) {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        let said = sentence(setup, before, *action, after);
        story.push(said + &over(setup, before, after));
    }
    if let Some((world, _)) = steps.last() {
        story.push(verdict(setup, world, broken));
    }
    story
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    match action {
        Action::Tick => format!("t={}", after.now.as_nanos()),
        Action::Evict(key) => format!("server: the record of {} is lost", named(key)),
        Action::Apply(index) | Action::ApplyTwice(index) => {
            let packet = &before.packets[index];
            let late = if packet.late { "late " } else { "" };
            let twice =
                if matches!(action, Action::ApplyTwice(_)) { ", and will be again" } else { "" };
            let done = before.slots.get(&packet.key) != after.slots.get(&packet.key);
            let said = if done { "done" } else { "refused, or changes nothing" };
            let (what, of) = (sent(&packet.command), named(packet.key));
            let from = name(setup, packet.from);
            format!("server: the {late}{what} of {of} by {from} is applied: {said}{twice}")
        }
        Action::Client(who, step) => {
            format!("{}: {}", name(setup, who), moved(setup, after, who, step))
        }
    }
}

fn moved(setup: &Setup, after: &World, who: usize, step: Move) -> String {
    let read = after.clients[who].value.unwrap_or_default();
    match step {
        Move::Start => match setup.roles[who] {
            Role::Caller { .. } => "calls, and reads the value".into(),
            Role::Refresher { .. } => "sees the value, and asks to refresh it".into(),
            Role::Purger { .. } => {
                format!("changes the source: {}; sends its purge", sources(after))
            }
            _ => "sends its reserve".into(),
        },
        Move::StartWithNonces => "calls, and reads the nonces".into(),
        Move::ReadValue => "reads the value".into(),
        Move::Compare => "reads the nonces".into(),
        Move::Remember => "reads nonces, with no call".into(),
        Move::Nonce(tag) => {
            format!("reads the nonce of {}, and opens it where there is none", named(Key::Tag(tag)))
        }
        Move::Kept(tag) => format!("takes the copy of the nonce of {}", named(Key::Tag(tag))),
        Move::Read => format!("reads the source: {read}"),
        Move::Change => format!("its COMMIT lands in the source: {}", sources(after)),
        Move::Store => "sends what it has to store".into(),
        Move::GiveUp => "has no nonce, and stores nothing".into(),
        Move::TimeOut => "no answer in time".into(),
        Move::Crash => "its program ends, with its COMMIT under way".into(),
        Move::Land => format!("that COMMIT lands in the source: {}", sources(after)),
        Move::Stamp(key) => format!("asks for leave to keep a copy of {}", named(key)),
    }
}

fn sent(command: &Command) -> String {
    match command {
        Command::Claim(Claim::Lease { over: Some(_), .. }) => "lease over the value".into(),
        Command::Claim(Claim::Lease { .. }) => "lease".into(),
        Command::Claim(Claim::Refresh { .. }) => "refresh".into(),
        Command::Claim(_) => "reserve".into(),
        Command::Stamp(_) => "stamp".into(),
        Command::Change(change) => match change {
            Change::Fill { value, .. } => format!("fill with {}", value.value),
            Change::Refill { value, .. } => format!("refill with {}", value.value),
            Change::Commit { value, .. } => format!("commit of {}", value.value),
            Change::Invalidate { .. } => "purge".into(),
            Change::Set { .. } => "purge, with a nonce,".into(),
            Change::Unlease { .. } => "unlease".into(),
            _ => "release".into(),
        },
    }
}

fn verdict(setup: &Setup, world: &World, broken: &str) -> String {
    let hits: Vec<_> = world
        .hits(setup)
        .into_iter()
        .map(|(of, value)| format!("{value} of {}", named(Key::Value(of))))
        .collect();
    let hits = if hits.is_empty() { "none".into() } else { hits.join(", ") };
    let call =
        if world.stale || world.unheard { "that call was given an older value; " } else { "" };
    format!("BROKEN, {broken}: {call}hits now: {hits}; the source is at {}", sources(world))
}

fn sources(world: &World) -> String {
    let sources: Vec<_> = world.sources.iter().map(u8::to_string).collect();
    sources.join(" and ")
}

/// What ends with a step.
fn over(setup: &Setup, before: &World, after: &World) -> String {
    let mut said = Vec::new();
    for (who, (old, new)) in before.clients.iter().zip(&after.clients).enumerate() {
        if old.ready.is_some() && new.ready.is_none() {
            said.push(format!("; {} has waited", name(setup, who)));
        }
    }
    said.concat()
}

/// A value is called by a letter from the end, a tag by one from the beginning.
fn named(key: Key) -> String {
    match key {
        Key::Value(value) => format!("value {}", ["Y", "Z"][value]),
        Key::Tag(tag) => format!("tag {}", ["A", "B"][tag]),
    }
}

fn name(setup: &Setup, who: usize) -> String {
    let role = match setup.roles[who] {
        Role::Caller { .. } => "caller",
        Role::Refresher { .. } => "refresher",
        Role::Writer { .. } => "writer",
        Role::Group { .. } => "group's writer",
        Role::Purger { .. } => "purger",
        Role::Keeper { .. } => "keeper",
    };
    format!("{role} {}", who + 1)
}
