//! A region whose caches hear of other regions' changes by the stream of the source alone: in order, each perhaps twice,
//! some late. It is never older than what it heard of; and by heartbeats in the stream it knows how old that is.

mod promises;
mod setup;
mod world;

use stateright::Path;

use crate::run::Case;
use setup::{Role, Setup};
pub use setup::{obligations, worlds};
use world::{Action, Entry, Move, World};

impl Case for Setup {
    fn title(&self) -> String {
        format!("stream: {}", self.name)
    }

    fn tell(&self, path: Path<World, Action>, broken: &str) -> Vec<String> {
        let steps = path.into_vec();
        let mut story: Vec<_> = steps
            .windows(2)
            .filter_map(|pair| Some(sentence(self, &pair[0].0, pair[0].1?, &pair[1].0)))
            .collect();
        story.push(format!("BROKEN: {broken}"));
        story
    }
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    let name = |who: usize| match setup.roles[who] {
        Role::Writer => format!("writer {}", who + 1),
        Role::Reader => format!("reader {}", who + 1),
    };
    match action {
        Action::Tick => format!("t={}", after.now.as_nanos()),
        Action::Evict => "the record is lost".into(),
        Action::Apply(index) => {
            let packet = &before.packets[index];
            let late = if packet.late { "late, " } else { "" };
            let from = packet.from.map_or("follower".into(), name);
            format!("{late}of {from} arrives: {:?}", packet.command)
        }
        Action::Change => format!("another region changes the source: version {}", after.source),
        Action::Beat => "the follower writes a heartbeat".into(),
        Action::Take(at) => match before.stream[at] {
            Entry::Change(version) => format!("the follower takes version {version}"),
            Entry::Beat(since) => format!("the heartbeat of t={} comes by", since.as_nanos()),
        },
        Action::Again => "the follower hears no answer".into(),
        Action::Redeliver => "the stream goes back by one".into(),
        Action::Client(who, step) => {
            let name = name(who);
            match step {
                Move::Start => format!("{name} sends its claim"),
                Move::Change => format!("{name} changes the source: version {}", after.source),
                Move::Read | Move::ReadReplica => format!("{name} reads: {:?}", after.clients[who]),
                Move::Fill => format!("{name} sends its fill"),
            }
        }
    }
}
