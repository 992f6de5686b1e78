//! Tells a trace as a story that can be read without knowing the model.

use genfence::protocol::{Change, Claim, Grant, Refusal, Time, Token};
use stateright::Path;

use crate::client::{Move, Said, owner};
use crate::cluster::Side;
use crate::network::{Command, Packet};
use crate::others::BLIND;
use crate::properties::{Promise, is_truthful, served};
use crate::server::serve;
use crate::setup::{Role, Setup};
use crate::world::{Action, Away, BEGINNING, World};

/// A sentence for each step, and what is wrong at the end.
pub fn tell(setup: &Setup, path: Path<World, Action>, broken: Promise) -> Vec<String> {
    let steps = path.into_vec();
    let mut story = Vec::new();
    if let Some((world, _)) = steps.first() {
        story.push(beginning(setup, world));
    }
    for pair in steps.windows(2) {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        story.push(sentence(setup, before, *action, after));
    }
    if let Some((world, _)) = steps.last() {
        story.push(verdict(setup, world, broken));
    }
    story
}

fn beginning(setup: &Setup, world: &World) -> String {
    let sent = |packet: &Packet| {
        format!("{}'s {}", name(setup, packet.from), command(setup, &packet.command))
    };
    let sent: Vec<_> = world.network.packets().iter().map(sent).collect();
    let parted = match world.copy {
        Away::Gone(..) => "; a node is cut off that had the key's partition, and the others know",
        _ => "",
    };
    format!("at {} under way: {}{parted}", instant(world.now), sent.join(", "))
}

fn sentence(setup: &Setup, before: &World, action: Action, after: &World) -> String {
    match action {
        Action::Tick => format!("server: its clock goes on to {}", instant(after.now)),
        Action::Evict => "server: the record is lost (evicted or expired)".into(),
        Action::Fork => "server: a node with a copy of the record goes away".into(),
        Action::Return => "server: that node is back, with the copy it had".into(),
        Action::ApplyAway(index) => {
            let packet = &before.network.packets()[index];
            let (who, sent) = (name(setup, packet.from), command(setup, &packet.command));
            format!("server: {who}'s {sent} reaches the node that is away")
        }
        Action::Cut(master) => format!(
            "server: a node is cut off from the others, or pauses; {} had the key's partition",
            side(master)
        ),
        Action::Reform(of) => format!(
            "server: {} a cluster of its own now",
            match of {
                Side::Majority => "the others form",
                Side::Node => "that node forms",
            }
        ),
        Action::Restart => "server: the only node starts again, empty".into(),
        Action::Apply(index) => applied(setup, before, &before.network.packets()[index], after),
        Action::Act(who, step) => {
            let said = moved(setup, after, who, step);
            let sent = after.network.awaited(who).filter(|_| step != Move::Join);
            let sent = sent.map(|packet| format!("; it sends {}", command(setup, &packet.command)));
            format!("{}: {said}{}", name(setup, who), sent.unwrap_or_default())
        }
    }
}

fn applied(setup: &Setup, before: &World, packet: &Packet, after: &World) -> String {
    let answer = serve(setup, before.now, &mut before.slot.clone(), packet);
    let said = match answer {
        Ok(Some(grant)) => granted(&packet.command, grant),
        Ok(None) => "done".into(),
        Err(Refusal::Missing) => "refused, there is no record".into(),
        Err(Refusal::Generation) => "refused, the generation differs".into(),
        Err(Refusal::Condition) => "refused".into(),
    };
    let who = name(setup, packet.from);
    let heard = if packet.late { "; nobody hears the answer" } else { "" };
    let late = if packet.late { "late " } else { "" };
    let next = after.network.awaited(packet.from).filter(|_| !packet.late);
    let next = next.map(|packet| format!("; {who} sends {}", command(setup, &packet.command)));
    format!(
        "server: {who}'s {late}{} is applied: {said}{heard}{}",
        command(setup, &packet.command),
        next.unwrap_or_default()
    )
}

fn side(side: Side) -> &'static str {
    match side {
        Side::Majority => "the others",
        Side::Node => "that node",
    }
}

fn granted(command: &Command, grant: Grant) -> String {
    let Grant { generation, deadline, alone, .. } = grant;
    let word = match command {
        Command::Claim(Claim::Lease { .. }) => "Leased",
        Command::Claim(Claim::Extend { .. }) => "Extended",
        Command::Claim(Claim::Refresh { .. }) => "Refreshed",
        Command::Claim(Claim::Reserve { .. }) if alone => "Reserved, alone",
        Command::Claim(Claim::Reserve { .. }) => "Reserved, not alone",
        _ => "Renewed",
    };
    format!("{word} (g={}, d={})", generation.get(), deadline.as_nanos())
}

fn moved(setup: &Setup, after: &World, who: usize, step: Move) -> String {
    let client = &after.clients[who];
    let read = client.value.unwrap_or_default();
    match step {
        Move::Start => match setup.roles[who] {
            Role::Foreigner { .. } => {
                format!("changes the source without a reservation: version {}", after.source)
            }
            _ => "begins".into(),
        },
        Move::Crash => "crashes".into(),
        Move::TimeOut => "no answer in time; its packet is still under way".into(),
        Move::Look if client.said == Said::Stored => "reads the stamp: its own, so Stored".into(),
        Move::Look => "reads the stamp: not its own, so Rejected".into(),
        Move::Prolong => "wants more time".into(),
        Move::Change => format!("its COMMIT lands in the source: version {}", after.source),
        Move::Leave => "its COMMIT at the source is in doubt".into(),
        Move::Land => format!("its COMMIT lands in the source after all: version {}", after.source),
        Move::RollBack => "its transaction is rolled back".into(),
        Move::Read => format!("reads the source: version {read}"),
        Move::ReadReplica => format!("reads a replica that lags: version {read}"),
        Move::Fill => format!("has version {read} to store"),
        Move::See(stamp) => format!("hits the value {}", name_token(setup, stamp)),
        Move::Unlease => "its read of the source fails".into(),
        Move::Finish => "tells its waiters".into(),
        Move::Ask(of) => format!("asks {} for the key of their cluster", side(of)),
        Move::Hear(of) => format!("hears the key that {} gave", side(of)),
        Move::Join => format!("joins the flight, while the source is at {}", after.source),
    }
}

fn command(setup: &Setup, command: &Command) -> String {
    let name = |token: &Token| name_token(setup, *token);
    match command {
        Command::Claim(claim) => match claim {
            Claim::Lease { token, previous, .. } => {
                format!("lease {}{}", name(token), removing(setup, previous))
            }
            Claim::Extend { token, deadline, .. } => {
                format!("extend {} (d={})", name(token), deadline.as_nanos())
            }
            Claim::Refresh { token, previous, stamp, .. } => {
                let (token, seen) = (name(token), name(stamp));
                format!("refresh {token} beside {seen}{}", removing(setup, previous))
            }
            Claim::Reserve { token, previous, .. } => {
                format!("reserve {}{}", name(token), removing(setup, previous))
            }
            Claim::Hush { token, .. } => format!("hush {}", name(token)),
            Claim::Renew { token, deadline, .. } => {
                format!("renew {} (d={})", name(token), deadline.as_nanos())
            }
        },
        Command::Change(change) => match change {
            Change::Fill { token, value, version, .. } => {
                let kind = if version.is_some() { "versioned fill" } else { "fill" };
                format!("{kind} {} (value {value})", name(token))
            }
            Change::Refill { token, stamp, value, .. } => {
                format!("refill {} in place of {} (value {value})", name(token), name(stamp))
            }
            Change::Unlease { token, .. } => format!("unlease {}", name(token)),
            Change::Commit { token, value, .. } => {
                format!("commit {} (value {value})", name(token))
            }
            Change::CommitVersioned { token, value, .. } => {
                format!("versioned commit {} (value {value})", name(token))
            }
            Change::Release { token, version, .. } => match version {
                Some(version) => format!("release {} (version {version})", name(token)),
                None => format!("release {}", name(token)),
            },
            Change::Abort { token, previous } => {
                format!("abort {}{}", name(token), removing(setup, previous))
            }
            Change::Invalidate { version: Some(version), .. } => format!("invalidate({version})"),
            Change::Invalidate { version: None, .. } => "invalidate".into(),
            Change::Set { token, .. } => format!("set {}", name(token)),
            Change::Replace { stamp, token, .. } => {
                format!("replace {} by {}", name(stamp), name(token))
            }
            Change::Touch { .. } => "touch".into(),
        },
    }
}

fn removing(setup: &Setup, previous: &[Token]) -> String {
    let names: Vec<_> = previous.iter().map(|token| name_token(setup, *token)).collect();
    if names.is_empty() { String::new() } else { format!(" (before: {})", names.join(", ")) }
}

fn verdict(setup: &Setup, world: &World, broken: Promise) -> String {
    let value = match served(setup, world) {
        BLIND => "nothing, or a blind value".into(),
        value => format!("{value}"),
    };
    let source = world.source;
    match broken {
        Promise::Fresh | Promise::Settled => {
            format!("STALE: a get sent and answered now hits {value}; the source is at {source}")
        }
        Promise::Heard => {
            format!("STALE: a get now hits {value}; the cache was told of {}", world.heard)
        }
        Promise::Truth => {
            let liar = (0..world.clients.len()).find(|who| !is_truthful(setup, world, *who));
            let liar = liar.unwrap_or_default();
            let said = match world.clients[liar].said {
                Said::Nothing => "nothing",
                Said::Stored => "that its value was in the cache",
                Said::Rejected => "that its value was never in the cache",
                Said::Gone => "that its value is not in the cache",
            };
            format!("LIE: {} says {said}; the cache holds {value}", name(setup, liar))
        }
        Promise::Waiters => {
            format!("STALE: a waiter has a value older than its call; the source is at {source}")
        }
        Promise::Unstuck => "STUCK: after every deadline the key cannot be used".into(),
        Promise::Exclusive => "CLASH: that command overrode somebody else's claim".into(),
    }
}

fn instant(time: Time) -> String {
    format!("t={}", time.as_nanos())
}

/// W1 is the first writer, R2 the second reader.
fn name(setup: &Setup, who: usize) -> String {
    let letter = |role: &Role| match role {
        Role::Writer { .. } => "writer W",
        Role::Reader { .. } => "reader R",
        Role::Refresher { .. } => "refresher X",
        Role::Waiter { .. } => "waiter J",
        Role::Invalidator { .. } => "invalidator I",
        Role::Foreigner { .. } => "foreign writer F",
        Role::Blind => "blind writer B",
        Role::Looker => "looker L",
    };
    let kind = letter(&setup.roles[who]);
    let number = setup.roles[..=who].iter().filter(|role| letter(role) == kind).count();
    format!("{kind}{number}")
}

fn name_token(setup: &Setup, token: Token) -> String {
    if token == BEGINNING {
        return "that was there".into();
    }
    let (who, number) = owner(token);
    let name = name(setup, who);
    let short = name.rsplit(' ').next().unwrap_or_default().to_lowercase();
    format!("{short}.{number}")
}
