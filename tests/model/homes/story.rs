//! Tells a trace as a story that can be read without knowing the model.

use genfence::protocol::{Change, Claim};
use stateright::Path;

use super::clients::Move;
use super::setup::{HOMES, List, Role, Setup};
use super::world::{Action, World};
use crate::network::Command;

/// A sentence for each step, and what is wrong at the end.
pub fn tell(setup: &Setup, path: Path<World, Action>, broken: &str) -> Vec<String> {
    let steps = path.into_vec();
    let phase = setup.phases[0];
    let mut story =
        vec![format!("phase 0: read {}, fence {}", homes(phase.reads), homes(phase.writes))];
    if let Some((world, _)) = steps.first() {
        story[0] += &begun(setup, 0, world);
    }
    for pair in steps.windows(2) {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        story.push(sentence(setup, before, *action, after));
    }
    if let Some((world, _)) = steps.last() {
        let hits = world.hits(setup).map(|(list, value)| format!("{value} in {}", home(list)));
        let hits = hits.collect::<Vec<_>>().join(", ");
        story
            .push(format!("BROKEN, {broken}: a hit now {hits}; the source is at {}", world.source));
    }
    story
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    match action {
        Action::Tick => format!("t={}{}", after.now.as_nanos(), begun(setup, before.newest, after)),
        Action::Purge => {
            format!("A: its records are removed{}", begun(setup, before.newest, after))
        }
        Action::End => {
            let begun = begun(setup, before.newest, after);
            format!("the last program of phase {} has ended{begun}", before.oldest)
        }
        Action::Apply(index) => {
            let packet = &before.packets[index];
            let late = if packet.late { "late " } else { "" };
            let command = match &packet.command {
                Command::Claim(Claim::Lease { .. }) => "lease".into(),
                Command::Claim(_) => "reserve".into(),
                Command::Change(Change::Fill { value, .. }) => format!("fill with {value}"),
                Command::Change(
                    Change::Commit { value, .. } | Change::CommitVersioned { value, .. },
                ) => format!("commit of {value}"),
                Command::Change(Change::Release { .. }) => "release".into(),
                Command::Change(Change::Invalidate { .. }) => "invalidate".into(),
                Command::Change(_) => "abort".into(),
            };
            let from = name(setup, packet.from);
            format!("{}: the {late}{command} of {from} arrives", home(packet.list))
        }
        Action::Client(who, step) => {
            let value = after.clients[who].value.unwrap_or_default();
            let said = match step {
                Move::Start(phase, _) if setup.roles[who] == Role::Announcer => {
                    format!("phase {phase}: changes the source: version {}", after.source)
                }
                Move::Start(phase, list) => {
                    format!("phase {phase}, reading {}: sends its claims", home(list))
                }
                Move::TimeOut => "no answer in time".into(),
                Move::Change => format!("its COMMIT lands in the source: version {}", after.source),
                Move::Crash => "its program ends, with its COMMIT under way".into(),
                Move::Land => format!("that COMMIT lands in the source: version {}", after.source),
                Move::Read => format!("reads the source: version {value}"),
                Move::ReadReplica => format!("reads a replica that lags: version {value}"),
                Move::Fill => "sends its fill".into(),
            };
            format!("{}: {said}", name(setup, who))
        }
    }
}

/// The phases that begin with a step.
fn begun(setup: &Setup, newest: usize, after: &World) -> String {
    let begins = |number: usize| {
        let phase = setup.phases[number];
        let (reads, writes) = (homes(phase.reads), homes(phase.writes));
        format!("; phase {number} begins: read {reads}, fence {writes}")
    };
    (newest + 1..=after.newest).map(begins).collect::<Vec<_>>().concat()
}

fn homes(lists: &[List]) -> String {
    lists.iter().map(|list| home(*list)).collect::<Vec<_>>().join(" and ")
}

/// A region, and the number of the list that makes it the home.
fn home(list: List) -> String {
    format!("{}{}", ["A", "B"][HOMES[list]], list + 1)
}

fn name(setup: &Setup, who: usize) -> String {
    match setup.roles[who] {
        Role::Writer => format!("writer {}", who + 1),
        Role::Reader => format!("reader {}", who + 1),
        Role::Announcer => format!("announcer {}", who + 1),
    }
}
