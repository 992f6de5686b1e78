//! Tells a trace as a story that can be read without knowing the model.

use genfence::protocol::{Change, Claim, Stamp};
use stateright::Path;

use super::clients::{Client, Move};
use super::server::{Answer, Command, NOTHING, serve};
use super::setup::{Role, Setup};
use super::world::{Action, World};

/// A sentence for each step, and what is wrong at the end.
pub fn tell(setup: &Setup, path: Path<World, Action>, broken: &str) -> Vec<String> {
    let steps = path.into_vec();
    let mut story = Vec::new();
    if let Some((world, _)) = steps.first() {
        let ahead = if world.ahead > 0 { ", on a clock that is ahead by 1" } else { "" };
        story.push(format!(
            "t={}: the cache holds 0, as the source does{ahead}",
            world.now.as_nanos()
        ));
    }
    for pair in steps.windows(2) {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        let said = sentence(setup, before, *action, after);
        story.push(said + &over(setup, before, after));
    }
    if let Some((world, _)) = steps.last() {
        let hits: Vec<_> = world.hits().map(|value| value.to_string()).collect();
        let (source, heard) = (world.source, world.heard);
        story.push(format!(
            "BROKEN, {broken}: hits now are {}; the source is at {source}, announced was {heard}",
            hits.join(", ")
        ));
    }
    story
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    let now = after.now.as_nanos();
    match action {
        Action::Tick => format!("t={now}"),
        Action::Slip(who) => {
            format!("t={now}, and the clock of {} is wrong by 1", name(setup, who))
        }
        Action::Shift => {
            format!("server: another clock counts; its time is {}", after.server().as_nanos())
        }
        Action::Evict => "server: the record is lost".into(),
        Action::Apply(index) => {
            let packet = &before.packets[index];
            let late = if packet.late { "late " } else { "" };
            let answer = serve(setup, before.server(), &mut before.slot.clone(), &packet.command);
            let said = answered(&answer);
            format!(
                "server: the {late}{} of {}: {said}",
                sent(&packet.command),
                name(setup, packet.from)
            )
        }
        Action::Hear(index) => {
            let who = before.packets[index].from;
            let copy = after.clients[who].copy;
            let kept = copy.map_or("no copy".into(), |copy| {
                format!("a copy of {} until t={} of its clock", copy.value, copy.until.as_nanos())
            });
            format!("{}: hears the answer, and has {kept}", name(setup, who))
        }
        Action::Client(who, step) => {
            format!("{}: {}", name(setup, who), moved(setup, after, who, step))
        }
    }
}

fn moved(setup: &Setup, after: &World, who: usize, step: Move) -> String {
    let client: &Client = &after.clients[who];
    match step {
        Move::Start => match setup.roles[who] {
            Role::Keeper { .. } => "begins".into(),
            Role::Writer => "sends its reserve".into(),
            Role::Husher => "sends its hush".into(),
            Role::Reader => "sends its lease".into(),
            Role::Announcer => {
                format!("changes the source: version {}; sends its invalidate", after.source)
            }
            Role::Setter => format!("changes the source: version {}; sends its set", after.source),
            Role::Toucher => "sends its touch".into(),
        },
        Move::Reserve => "sends its reserve".into(),
        Move::Stamp => "asks for leave to keep a copy".into(),
        Move::Look => "looks".into(),
        Move::TimeOut => "no answer in time".into(),
        Move::Change => format!("its COMMIT lands in the source: version {}", after.source),
        Move::Crash => "its program ends, with its COMMIT under way".into(),
        Move::Land => format!("that COMMIT lands in the source: version {}", after.source),
        Move::Read => format!("reads the source: version {}", client.value.unwrap_or_default()),
        Move::Recall => format!(
            "the source does not answer; takes the last copy there was: version {}",
            client.value.unwrap_or_default()
        ),
        Move::Fill => "sends its fill".into(),
    }
}

fn sent(command: &Command) -> String {
    match command {
        Command::Claim(Claim::Lease { .. }) => "lease".into(),
        Command::Claim(Claim::Hush { time, .. }) => format!("hush for {}", time.as_nanos()),
        Command::Claim(_) => "reserve".into(),
        Command::Stamp(Stamp { time, .. }) => format!("stamp for {}", time.as_nanos()),
        Command::Look => "look".into(),
        Command::Change(change) => match change {
            Change::Fill { value, .. } => format!("fill with {value}"),
            Change::Commit { value, .. } | Change::CommitVersioned { value, .. } => {
                format!("commit of {value}")
            }
            Change::Invalidate { .. } => "invalidate".into(),
            Change::Set { value, .. } => format!("set to {value}"),
            Change::Touch { .. } => "touch".into(),
            _ => "release".into(),
        },
    }
}

fn answered(answer: &Answer) -> String {
    match answer {
        Answer::Refused => "refused".into(),
        Answer::Done => "done".into(),
        Answer::Granted(grant) => format!("granted, wait for {}", grant.wait.as_nanos()),
        Answer::Copied(copied) if copied.hit.value == NOTHING => {
            format!("more time: {}", copied.lives.as_nanos())
        }
        Answer::Copied(copied) => {
            format!("a copy of {} may live for {}", copied.hit.value, copied.lives.as_nanos())
        }
        Answer::Looked(copied, wait) => {
            let copied = copied.as_ref();
            let copied = copied.map_or("nothing".into(), |copied| {
                format!("a copy of {} may live for {}", copied.hit.value, copied.lives.as_nanos())
            });
            format!("{copied}; those of others for {} at most", wait.as_nanos())
        }
    }
}

/// What ends with a step.
fn over(setup: &Setup, before: &World, after: &World) -> String {
    let mut said = Vec::new();
    for (who, (old, new)) in before.clients.iter().zip(&after.clients).enumerate() {
        if old.copy.is_some() && new.copy.is_none() {
            said.push(format!("; the copy of {} ends", name(setup, who)));
        }
        if old.ready.is_some() && new.ready.is_none() {
            said.push(format!("; {} has waited", name(setup, who)));
        }
    }
    said.concat()
}

fn name(setup: &Setup, who: usize) -> String {
    let role = match setup.roles[who] {
        Role::Keeper { .. } => "keeper",
        Role::Writer => "writer",
        Role::Husher => "husher",
        Role::Reader => "reader",
        Role::Announcer => "announcer",
        Role::Setter => "setter",
        Role::Toucher => "toucher",
    };
    format!("{role} {}", who + 1)
}
