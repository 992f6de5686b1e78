//! Tells a trace as a story that can be read without knowing the model.

use genfence::protocol::{Change, Claim, Serving};
use stateright::Path;

use super::agents::Ask;
use super::clients::Move;
use super::promises::Promise;
use super::replaces::Asker;
use super::setup::{Befalls, Role, Setup};
use super::world::{Action, Packet, World};
use crate::network::Command;

/// A sentence for each step, and what is wrong at the end.
pub fn tell(setup: &Setup, path: Path<World, Action>, broken: Promise) -> Vec<String> {
    let steps = path.into_vec();
    let mut story = Vec::new();
    for pair in steps.windows(2) {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        story.push(sentence(setup, before, *action, after));
    }
    if let Some((world, _)) = steps.last() {
        story.push(match broken {
            Promise::Fresh => format!("STALE: a hit now; the source is at {}", world.source),
            Promise::Unheld => "STUCK: the writer was held up longer than a serving lease".into(),
        });
    }
    story
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    match action {
        Action::Tick => format!("t={}", after.now.as_nanos()),
        Action::Apply(index) => {
            let packet = &before.packets[index];
            format!("{}: {}", region(packet.place), applied(setup, packet))
        }
        Action::Replace(index) => {
            let replace = &before.replaces[index];
            let who = match replace.asker {
                Asker::Agent(who) => format!("process {}", who + 1),
                Asker::Writer(who, _) => name(setup, who),
            };
            let what = match replace.command {
                Serving::Renew { epoch } => format!("renew of epoch {epoch}"),
                Serving::Join { epoch } => format!("join of epoch {epoch}"),
                Serving::Bar { epoch } => format!("bar of epoch {epoch}"),
            };
            let same =
                before.places[replace.place].standings == after.places[replace.place].standings;
            let done = if same { "refused" } else { "done" };
            let late = if replace.late { "; nobody hears the answer" } else { "" };
            format!("{}: the {what} by {who} arrives: {done}{late}", region(replace.place))
        }
        Action::Befall => match setup.befalls {
            Befalls::Nothing => "nothing".into(),
            Befalls::Restart(place) => format!("{}: its cluster goes down", region(place)),
            Befalls::Forget(place) => format!("{}: its grants are forgotten", region(place)),
            Befalls::Jump(place, by) => format!("{}: its clock goes ahead by {by}", region(place)),
        },
        Action::Return(place) => format!("{}: its cluster is back, empty", region(place)),
        Action::Agent(who, ask) => {
            let agent = &after.agents[who];
            let name = format!("process {} of {}", who + 1, region(agent.region));
            let leased = |place: usize| {
                let until = agent.leases[place].as_nanos();
                if until > after.now.as_nanos() { format!("until {until}") } else { "no".into() }
            };
            match ask {
                Ask::GiveUp(place) => format!("{name} waits for {} no more", region(place)),
                Ask::Renew(place) if setup.asks_in_steps() => {
                    format!("{name} looks at {} to renew: {}", region(place), leased(place))
                }
                Ask::Join(place) if setup.asks_in_steps() => {
                    format!("{name} looks at {} to join: {}", region(place), leased(place))
                }
                Ask::Renew(place) => {
                    format!("{name} renews at {}: {}", region(place), leased(place))
                }
                Ask::Hear(place) => format!("{name} hears that {} has renewed", region(place)),
                Ask::Rejoin => format!("{name} takes the epoch {}", agent.epoch),
                Ask::Join(place) => format!("{name} joins at {}: {}", region(place), leased(place)),
                Ask::Found => {
                    let quiet = agent.quiet_until.as_nanos();
                    format!("{name} founds the epoch {}, quiet until {quiet}", agent.epoch)
                }
            }
        }
        Action::Client(who, step) => {
            format!("{}: {}", name(setup, who), moved(before, after, who, step))
        }
    }
}

fn region(place: usize) -> &'static str {
    ["A", "B", "C"][place]
}

fn name(setup: &Setup, who: usize) -> String {
    match setup.roles[who] {
        Role::Writer { at, .. } => format!("writer {} in {}", who + 1, region(at)),
        Role::Reader { at, .. } => format!("reader {} in {}", who + 1, region(at)),
    }
}

fn applied(setup: &Setup, packet: &Packet) -> String {
    let command = match &packet.command {
        Command::Claim(Claim::Lease { .. }) => "lease".into(),
        Command::Claim(_) => "reserve".into(),
        Command::Change(Change::Fill { value, .. }) => format!("fill with {value}"),
        Command::Change(Change::Commit { value, .. } | Change::CommitVersioned { value, .. }) => {
            format!("commit of {value}")
        }
        Command::Change(Change::Release { .. }) => "release".into(),
        Command::Change(_) => "abort".into(),
    };
    format!("the {command} of {} arrives, epoch {}", name(setup, packet.from), packet.epoch)
}

fn moved(before: &World, after: &World, who: usize, step: Move) -> String {
    let read = after.clients[who].value.unwrap_or_default();
    let target = |index: usize| {
        let target = &before.clients[who].targets[index];
        format!("{}, epoch {}", region(target.region), target.epoch)
    };
    match step {
        Move::Start | Move::StartLate => "its time begins".into(),
        Move::StartIn(epoch) => format!("asks for a lease, epoch {epoch}"),
        Move::Look(place) => {
            let targets = after.clients[who].targets.iter();
            let named = targets.map(|target| format!("{} {}", region(target.region), target.epoch));
            let named: Vec<_> = named.collect();
            format!("asks {} who serves; reserves in: {}", region(place), named.join(", "))
        }
        Move::TimeOut(index) => format!("no answer of {}", target(index)),
        Move::Bar(index, place) if after.replaces.len() > before.replaces.len() => {
            format!("looks at {} to bar {}", region(place), target(index))
        }
        Move::Bar(index, place) => format!("bars {} at {}", target(index), region(place)),
        Move::Change => format!("its COMMIT lands in the source: version {}", after.source),
        Move::Read => format!("reads the source: version {read}"),
        Move::ReadReplica => format!("reads a replica that lags: version {read}"),
        Move::Fill => "sends its fill".into(),
    }
}
