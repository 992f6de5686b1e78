//! What all clients have in common: tokens, asking, time-outs, retries, doubt.

use genfence::protocol::{
    Change, Claim, Generation, Grant, Record, Refusal, Time, Token, Ttl, Version, get,
};

use crate::cluster::{SIDES, Side, Sight};
use crate::mends::Mend;
use crate::network::Command;
use crate::setup::{Role, Setup};
use crate::world::World;
use crate::{others, reader, refresher, writer};

/// Where a client is in its operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Between operations.
    #[default]
    Idle,
    /// A packet of its own is under way.
    Asks,
    /// It was granted a claim.
    Holds,
    /// A retry was refused: the stamp of the value will tell whether the first try stored.
    Doubts,
    /// The reader has heard what became of its fill, and its waiters have not yet.
    Heard,
    /// A waiter has joined a flight.
    Joined { seen: u8, since: Phase },
    /// A waiter was given a value.
    Took { seen: u8, value: u8 },
}

/// How far a flight was when a waiter joined it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// The source was not yet read.
    Unread,
    /// The source was read, the fill was not yet sent.
    Unsent,
    /// The fill was sent: it may have been applied already.
    Sent,
}

/// What a client has concluded about its latest store, and must never be wrong about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Said {
    #[default]
    Nothing,
    /// The value was in the cache.
    Stored,
    /// The value was never in the cache, and never will be.
    Rejected,
    /// After a time-out: the value is not in the cache now, and will not come back.
    Gone,
}

/// A claim that was granted, as its holder remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Held {
    pub grant: Grant,
    /// Whether a commit has a chance.
    pub storable: bool,
    /// Who granted it.
    pub side: Side,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub stage: Stage,
    /// Operations begun.
    pub rounds: u8,
    /// Tokens drawn; the last one is the current one.
    pub drawn: u8,
    /// How many of the tokens just before the current one are this operation's too.
    pub earlier: u8,
    /// Retries of the present packet.
    pub retries: u8,
    pub held: Option<Held>,
    /// What was read from the source, or the version that its change was given there.
    pub value: Option<u8>,
    /// The stamp of the value that a refresher has seen.
    pub seen: Option<Token>,
    /// A COMMIT that nobody hears of any more may reach the source before this instant.
    pub pending: Option<Time>,
    pub said: Said,
    /// Whether the current token was ever seen on a stored value. The client does not know.
    pub landed: bool,
    pub sight: Sight,
}

/// What a client may do of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Begins an operation.
    Start,
    /// Its process dies. A client that merely stops for ever needs no move: it is not moved again.
    Crash,
    /// Stops waiting for an answer.
    TimeOut,
    /// Looks whether its own token is on the stored value. A get changes nothing, so an early or a
    /// late one is no different from one that is answered at once.
    Look,
    /// More time for the claim.
    Prolong,
    /// Writer: the source's COMMIT succeeds.
    Change,
    /// Writer: the source's COMMIT is in doubt, so the reservation is left.
    Leave,
    /// Writer: the COMMIT that was in doubt takes place.
    Land,
    /// Writer: the transaction is certainly rolled back.
    RollBack,
    /// Reader: reads the source.
    Read,
    /// Reader: reads a replica of the source that lags.
    ReadReplica,
    /// Reader: sends what it has read.
    Fill,
    /// Refresher: finds a value with this stamp, and asks to refresh it.
    See(Token),
    /// Reader: the read failed; the lease is given back.
    Unlease,
    /// Reader: its waiters hear what became of the flight.
    Finish,
    /// Waiter: joins the flight.
    Join,
    /// Asks a side of the cluster for its key.
    Ask(Side),
    /// Hears that key.
    Hear(Side),
}

/// Everything lives long enough: the model takes records away by a step of its own.
pub fn ttl() -> Ttl {
    Ttl::from_secs(1).expect("a second is a time to live")
}

pub fn version(number: u8) -> Version {
    Version::new(u64::from(number)).expect("small numbers are versions")
}

/// The record without what only this module's world looks at: how long it lives, and how often it was written.
pub fn normal<V>(mut record: Record<V>) -> Record<V> {
    record.expires = Time::from_nanos(u64::MAX);
    record.generation = Generation::new(1);
    record
}

const TOKENS: u64 = 16;

fn token(who: usize, number: u8) -> Token {
    Token::new(who as u64 * TOKENS + u64::from(number))
}

/// All tokens that a client will ever draw.
pub fn tokens_of(who: usize) -> impl Iterator<Item = Token> {
    (1..TOKENS).map(move |number| Token::new(who as u64 * TOKENS + number))
}

/// Whose token it is, and his how-manieth.
pub fn owner(token: Token) -> (usize, u64) {
    ((token.bits() / TOKENS) as usize, token.bits() % TOKENS)
}

impl World {
    /// The token of the client's present packet.
    pub fn token(&self, who: usize) -> Token {
        token(who, self.clients[who].drawn)
    }

    pub fn draw(&mut self, who: usize) -> Token {
        self.clients[who].drawn += 1;
        self.token(who)
    }

    /// The tokens of this operation's earlier attempts.
    pub fn previous(&self, who: usize) -> Vec<Token> {
        let Client { drawn, earlier, .. } = self.clients[who];
        (drawn - earlier..drawn).map(|number| token(who, number)).collect()
    }

    pub fn begin_round(&mut self, setup: &Setup, who: usize) {
        let client = &mut self.clients[who];
        client.rounds += 1;
        client.said = Said::Nothing;
        client.landed = false;
        if setup.guards() {
            self.begin_firm(setup, who);
        }
    }

    pub fn ask(&mut self, who: usize, command: Command) {
        self.clients[who].retries = 0;
        self.send(who, command);
    }

    fn send(&mut self, who: usize, command: Command) {
        self.clients[who].stage = Stage::Asks;
        self.network.send(who, command);
    }

    /// The operation is over; only what the client has said of it remains.
    pub fn rest(&mut self, setup: &Setup, who: usize) {
        others::settle(setup, self, who);
        let client = &mut self.clients[who];
        client.stage = Stage::Idle;
        client.held = None;
        client.value = None;
        client.seen = None;
        client.earlier = 0;
        client.retries = 0;
    }

    pub fn hold(&mut self, who: usize, grant: Grant, storable: bool, side: Side) {
        self.begin_confirming(who);
        let client = &mut self.clients[who];
        client.held = Some(Held { grant, storable, side });
        client.stage = Stage::Holds;
    }
}

/// What the client may do next, beside hearing an answer.
pub fn moves(setup: &Setup, world: &World, who: usize, moves: &mut Vec<Move>) {
    let client = &world.clients[who];
    let role = setup.roles[who];
    match client.stage {
        Stage::Idle if !role.begins_at_will() => {}
        Stage::Idle if client.rounds < setup.rounds => moves.push(Move::Start),
        Stage::Asks if world.faults > 0 => moves.push(Move::TimeOut),
        Stage::Doubts => moves.push(Move::Look),
        _ => {}
    }
    if setup.guards() {
        for side in SIDES {
            if world.is_awaiting(who, side) {
                moves.push(Move::Hear(side));
            } else if world.may_ask(setup, who, side) {
                moves.push(Move::Ask(side));
            }
        }
    }
    match role {
        Role::Writer { .. } => writer::moves(setup, world, who, moves),
        Role::Reader { versioned } => reader::moves(setup, world, who, versioned, moves),
        Role::Refresher { versioned } => refresher::moves(setup, world, who, versioned, moves),
        Role::Waiter { flight } => others::waiter_moves(setup, world, who, flight, moves),
        Role::Invalidator { .. } | Role::Foreigner { .. } | Role::Blind | Role::Looker => {}
    }
    if world.faults > 0 && matches!(client.stage, Stage::Asks | Stage::Holds | Stage::Doubts) {
        moves.push(Move::Crash);
    }
}

pub fn act(setup: &Setup, world: &mut World, who: usize, act: Move) {
    match (act, setup.roles[who]) {
        (Move::Start, role) => start(setup, world, who, role),
        (Move::TimeOut, _) => {
            world.faults -= 1;
            let command = world.network.give_up(who).expect("it waits for an answer");
            timed_out(setup, world, who, command);
        }
        (Move::Look, _) => look(setup, world, who),
        (Move::Ask(side), _) => world.ask_side(setup, who, side),
        (Move::Hear(side), _) => world.hear_late(setup, who, side),
        (Move::Crash, _) => {
            world.network.give_up(who);
            world.faults -= 1;
            world.rest(setup, who);
        }
        (act, Role::Writer { versioned }) => writer::act(setup, world, who, versioned, act),
        (act, Role::Reader { versioned }) => reader::act(setup, world, who, versioned, act),
        (act, Role::Refresher { versioned }) => refresher::act(setup, world, who, versioned, act),
        (_, Role::Waiter { flight }) => others::join(world, who, flight),
        (act, role) => unreachable!("{role:?} does not {act:?}"),
    }
}

fn start(setup: &Setup, world: &mut World, who: usize, role: Role) {
    world.begin_round(setup, who);
    match role {
        Role::Writer { .. } => writer::reserve(setup, world, who),
        Role::Reader { .. } => reader::lease(setup, world, who),
        Role::Invalidator { versioned } => others::announce(world, who, versioned),
        Role::Foreigner { versioned } => {
            world.source += 1;
            others::announce(world, who, versioned);
        }
        Role::Blind => others::store(world, who),
        Role::Waiter { .. } | Role::Refresher { .. } | Role::Looker => {
            unreachable!("{role:?} does not begin at will")
        }
    }
}

/// Nobody answered in time. The packet may have been applied, or will be, or never.
pub fn timed_out(setup: &Setup, world: &mut World, who: usize, command: Command) {
    let judges = command.stores() && setup.undoes(Mend::RefusedRetryFirst);
    let again = world.clients[who].retries < setup.retries;
    match command {
        _ if judges => world.clients[who].stage = Stage::Doubts,
        // To prolong is never tried again: the old deadline is the one that is known.
        Command::Claim(Claim::Extend { .. }) => reader::lost(setup, world, who),
        Command::Claim(Claim::Renew { .. }) => writer::not_renewed(world, who),
        Command::Claim(claim) if again => {
            world.clients[who].retries += 1;
            let claim = renamed(setup, world, who, claim);
            world.send(who, Command::Claim(claim));
        }
        Command::Claim(Claim::Reserve { .. }) => writer::abort(world, who),
        // Only a courtesy: nothing hangs on them.
        Command::Change(Change::Abort { .. } | Change::Unlease { .. }) => world.rest(setup, who),
        Command::Change(_) if again => {
            world.clients[who].retries += 1;
            world.send(who, command);
        }
        Command::Change(Change::Commit { .. } | Change::CommitVersioned { .. }) => {
            writer::release(setup, world, who);
        }
        _ => world.rest(setup, who),
    }
}

/// The same claim for another attempt: one token per packet.
fn renamed(setup: &Setup, world: &mut World, who: usize, claim: Claim) -> Claim {
    if setup.undoes(Mend::OneTokenPerPacket) {
        return claim;
    }
    world.clients[who].earlier += 1;
    let (token, previous) = (world.draw(who), world.previous(who));
    match claim {
        Claim::Lease { time, ttl, .. } => Claim::Lease { token, previous, time, ttl, over: None },
        Claim::Refresh { stamp, time, until, .. } => {
            Claim::Refresh { token, previous, stamp, time, until }
        }
        Claim::Reserve { time, ttl, .. } => Claim::Reserve { token, previous, time, ttl },
        prolonged => prolonged,
    }
}

/// An answer has come in time.
pub fn answered(
    setup: &Setup,
    world: &mut World,
    who: usize,
    command: &Command,
    answer: Result<Option<Grant>, Refusal>,
    side: Side,
) {
    match (command, answer) {
        (Command::Claim(claim), Ok(Some(grant))) => match claim {
            Claim::Lease { .. } | Claim::Extend { .. } | Claim::Refresh { .. } => {
                if world.is_firm(setup, who, side) {
                    world.hold(who, grant, true, side);
                } else {
                    reader::lost(setup, world, who);
                }
            }
            Claim::Hush { .. } => unreachable!("nobody keeps copies here"),
            Claim::Reserve { .. } | Claim::Renew { .. } => {
                writer::granted(setup, world, who, grant, side);
            }
        },
        (Command::Claim(Claim::Extend { .. }), _) => reader::lost(setup, world, who),
        (Command::Claim(Claim::Renew { .. }), _) => writer::not_renewed(world, who),
        (command, Ok(_)) if command.stores() => stored(setup, world, who),
        (command, Err(_)) if command.stores() => {
            if world.clients[who].retries > 0 {
                world.clients[who].stage = Stage::Doubts;
            } else {
                rejected(setup, world, who, Said::Rejected);
            }
        }
        (Command::Change(Change::Release { .. }), _) => {
            writer::released(world, who);
            world.rest(setup, who);
        }
        _ => world.rest(setup, who),
    }
}

fn look(setup: &Setup, world: &mut World, who: usize) {
    let hit = get(world.slot.as_ref(), world.now);
    if hit.is_some_and(|hit| hit.stamp == world.token(who)) {
        stored(setup, world, who);
    } else {
        rejected(setup, world, who, Said::Gone);
    }
}

fn stored(setup: &Setup, world: &mut World, who: usize) {
    world.clients[who].said = Said::Stored;
    match setup.roles[who] {
        Role::Reader { .. } => reader::concluded(setup, world, who),
        _ => world.rest(setup, who),
    }
}

fn rejected(setup: &Setup, world: &mut World, who: usize, said: Said) {
    // A writer's early try may still store, until its release has removed the reservation.
    if !(said == Said::Gone && writer::is(setup, who)) || setup.undoes(Mend::PurgedWhenReleased) {
        world.clients[who].said = said;
    }
    match setup.roles[who] {
        Role::Reader { .. } if setup.undoes(Mend::LeaseAsksNewRead) => {
            reader::lost(setup, world, who);
        }
        Role::Reader { .. } => reader::concluded(setup, world, who),
        Role::Refresher { .. } => world.rest(setup, who),
        _ => writer::release(setup, world, who),
    }
}
