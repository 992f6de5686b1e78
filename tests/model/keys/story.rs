//! Tells a trace as a story that can be read without knowing the model.

use genfence::protocol::{Change, Claim};
use stateright::Path;

use super::setup::{Key, Role, Row, Rows, Setup};
use super::world::{Action, Command, World};
use super::{reader, writer};

/// A sentence for each step, and what is wrong at the end.
pub fn tell(setup: &Setup, path: Path<World, Action>, broken: &str) -> Vec<String> {
    let steps = path.into_vec();
    let made: Vec<_> = (0..setup.values.len()).map(|key| made(setup, key)).collect();
    let mut story = vec![format!("t=1: the cache holds what the source does: {}", made.join(", "))];
    for pair in steps.windows(2) {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        story.push(sentence(setup, before, *action, after));
    }
    if let Some((world, _)) = steps.last() {
        let hit = |key: Key| Some(format!("{} {}", name(key), value(setup, key, world.hit(key)?)));
        let hits: Vec<_> = (0..setup.values.len()).filter_map(hit).collect();
        let hits = if hits.is_empty() { "none".into() } else { hits.join(", ") };
        let source = rows(world.source());
        story.push(format!("BROKEN, {broken}: hits now: {hits}; the source is at {source}"));
    }
    story
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    match action {
        Action::Tick => format!("t={}", after.now.as_nanos()),
        Action::Apply(index) => {
            let packet = &before.packets[index];
            let late = if packet.late { "late " } else { "" };
            let (who, key) = (client(setup, packet.from), name(packet.key));
            let what = sent(setup, packet.key, &packet.command);
            format!("the {late}{what} of {who} for {key} arrives")
        }
        Action::Writer(who, step) => {
            let source = rows(after.source());
            let said = match step {
                writer::Move::Look => format!("reads the source: {source}"),
                writer::Move::Start if after.rows_of(who).is_none() => {
                    "reserves what it knows".into()
                }
                writer::Move::TimeOut => "no answer in time".into(),
                writer::Move::Start | writer::Move::Begin => {
                    let seen = after.rows_of(who).map(rows).unwrap_or_default();
                    format!("its transaction begins: in it the source is {seen}")
                }
                writer::Move::Add => "reserves what it came to know".into(),
                writer::Move::Renew => "asks for more time".into(),
                writer::Move::Commit => "sends its COMMIT".into(),
                writer::Move::Land => format!("its COMMIT lands in the source: {source}"),
                writer::Move::RollBack => "its transaction is rolled back".into(),
                writer::Move::Leave => "it hears nothing more".into(),
            };
            format!("{}: {said}", client(setup, who))
        }
        Action::Reader(who, step) => {
            let key = before.key_of(setup, who);
            let said = match (step, before.hit(key)) {
                (reader::Move::Get, Some(hit)) => {
                    format!("reads {}: a hit, {}", name(key), value(setup, key, hit))
                }
                (reader::Move::Get, None) => format!("reads {}: none, sends its lease", name(key)),
                (reader::Move::TimeOut, _) => "no answer in time".into(),
                (reader::Move::Read, _) => {
                    format!("reads the source: {}", value(setup, key, before.source()))
                }
                (reader::Move::Fill, _) => "sends its fill".into(),
            };
            format!("{}: {said}", client(setup, who))
        }
    }
}

fn sent(setup: &Setup, key: Key, command: &Command) -> String {
    match command {
        Command::Claim(Claim::Lease { .. }) => "lease".into(),
        Command::Claim(Claim::Renew { .. }) => "renew".into(),
        Command::Claim(_) => "reserve".into(),
        Command::Change(Change::Fill { value: of, .. }) => {
            format!("fill with {}", value(setup, key, *of))
        }
        Command::Change(
            Change::Commit { value: of, .. } | Change::CommitVersioned { value: of, .. },
        ) => format!("commit of {}", value(setup, key, *of)),
        Command::Change(Change::Abort { .. }) => "abort".into(),
        Command::Change(_) => "release".into(),
    }
}

/// A value, by how often each row that it is made of was changed.
fn value(setup: &Setup, key: Key, value: Rows) -> String {
    told(setup.values[key].iter().map(|row| (*row, value[*row])))
}

fn told(rows: impl Iterator<Item = (Row, u8)>) -> String {
    rows.map(|(row, changes)| format!("{}{changes}", row_name(row))).collect::<Vec<_>>().concat()
}

fn rows(rows: Rows) -> String {
    told(rows.iter().enumerate().map(|(row, changes)| (row, *changes)))
}

fn made(setup: &Setup, key: Key) -> String {
    format!("{} {}", name(key), value(setup, key, Rows::default()))
}

fn row_name(row: Row) -> &'static str {
    ["a", "b"][row]
}

fn name(key: Key) -> &'static str {
    ["K", "L"][key]
}

fn client(setup: &Setup, who: usize) -> String {
    let role = match setup.roles[who] {
        Role::Writer(_) => "writer",
        Role::Reader(_) => "reader",
    };
    format!("{role} {}", who + 1)
}
