//! A command on what a cluster keeps of a region, in the two steps that the library makes of it: a look, and a replace of what was
//! seen. In between others may come first; and the replace may be late.

use genfence::protocol::{Serving, Standing, Time, serving};

use super::mends::Mend;
use super::setup::Setup;
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asker {
    Agent(usize),
    /// A writer, for one of its targets.
    Writer(usize, usize),
}

/// A replace under way. It is applied at most once, at any time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replace {
    pub asker: Asker,
    pub place: usize,
    pub region: usize,
    /// Nobody waits for its answer.
    pub late: bool,
    pub command: Serving,
    seen: Option<Standing>,
    put: Standing,
    /// When the cluster refuses it.
    until: Option<Time>,
    /// What it comes to, if it is applied: of a lease its end, counted from before the look.
    comes: Comes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Comes {
    /// It is refused all the same.
    Nothing,
    Lease(Time),
    /// Whether the region serves no more.
    Bar(bool),
}

impl Replace {
    pub fn order(&self) -> (Asker, usize, bool, Time) {
        (self.asker, self.place, self.late, self.put.until)
    }
}

impl World {
    /// Whether an asker has not heard of what it asked there.
    pub fn is_asking(&self, asker: Asker, place: usize) -> bool {
        let same = |of: &&Replace| of.asker == asker && of.place == place;
        self.replaces.iter().filter(same).any(|of| !of.late)
    }

    /// An asker waits for its answers no more: of one cluster, or of all.
    pub fn asks_no_more(&mut self, asker: Asker, place: Option<usize>) {
        let of = |one: &&mut Replace| one.asker == asker && place.is_none_or(|at| one.place == at);
        self.replaces.iter_mut().filter(of).for_each(|one| one.late = true);
        self.replaces.sort_by_key(Replace::order);
    }

    /// The first step.
    pub fn look_and_ask(
        &mut self,
        setup: &Setup,
        asker: Asker,
        place: usize,
        region: usize,
        command: Serving,
    ) {
        let (now, seen) = (self.clock(place), self.places[place].standings[region]);
        let mut slot = seen;
        let answer = serving(&mut slot, now, setup.span(), command);
        let lease = |of: &Standing| {
            let end = self.now.after(of.until.remaining(now));
            Time::from_nanos(end.as_nanos().saturating_sub(setup.margin))
        };
        let comes = match (command, answer) {
            (Serving::Bar { epoch }, Ok(standing)) => Comes::Bar(standing.is_out(epoch, now)),
            (Serving::Renew { epoch } | Serving::Join { epoch }, _) => {
                let own = answer.ok().or(seen.filter(|seen| seen.may_serve(epoch, now)));
                own.map_or(Comes::Nothing, |standing| Comes::Lease(lease(&standing)))
            }
            (Serving::Bar { .. }, Err(_)) => Comes::Nothing,
        };
        if slot == seen {
            return self.heard(setup, asker, place, comes);
        }
        let Some(put) = slot else { return };
        let renews = matches!(command, Serving::Renew { .. });
        let until = seen.map(|seen| seen.until);
        let until = until.filter(|_| renews && !setup.undoes(Mend::RenewIsInTime));
        let late = false;
        self.replaces.push(Replace {
            asker,
            place,
            region,
            late,
            command,
            seen,
            put,
            until,
            comes,
        });
        self.replaces.sort_by_key(Replace::order);
    }

    /// The second.
    pub fn replace(&mut self, setup: &Setup, index: usize) {
        let replace = self.replaces.remove(index);
        let Replace { asker, place, region, seen, put, until, mut comes, .. } = replace;
        let now = self.clock(place);
        let slot = &mut self.places[place].standings[region];
        let same = *slot == seen || setup.undoes(Mend::SeenIsReplaced);
        if !same || until.is_some_and(|until| now >= until) {
            return;
        }
        *slot = Some(put);
        if let (true, Comes::Lease(_)) = (setup.undoes(Mend::LeaseFromLook), comes) {
            let end = self.now.as_nanos() + setup.span - setup.margin;
            comes = Comes::Lease(Time::from_nanos(end));
        }
        if !replace.late {
            self.heard(setup, asker, place, comes);
        }
    }

    fn heard(&mut self, setup: &Setup, asker: Asker, place: usize, comes: Comes) {
        match (asker, comes) {
            (Asker::Agent(who), Comes::Lease(until)) => {
                let agent = &mut self.agents[who];
                agent.leases[place] = until;
                agent.founders[place] |= !agent.founded;
            }
            (Asker::Writer(who, index), Comes::Bar(is_out)) => {
                self.barred(setup, who, index, place, is_out);
            }
            _ => {}
        }
    }

    /// Replaces that differ only in what is over are one.
    pub fn forget_old_replaces(&mut self) {
        let clocks = [0, 1, 2].map(|place| self.clock(place));
        let now = self.now;
        for replace in &mut self.replaces {
            let clock = clocks[replace.place];
            for standing in replace.seen.iter_mut().chain([&mut replace.put]) {
                if standing.until <= clock {
                    standing.until = Time::ZERO;
                }
            }
            replace.until =
                replace.until.map(|until| if until <= clock { Time::ZERO } else { until });
            if let Comes::Lease(until) = &mut replace.comes
                && *until <= now
            {
                *until = Time::ZERO;
            }
        }
    }
}
