//! The processes that keep a region's serving leases. What they ask is answered at one instant: an answer that comes later is
//! no better, as a lease counts from before it was asked for.

use genfence::protocol::{Epoch, Refusal, Serving, Standing, Time, serving};

use super::mends::Mend;
use super::replaces::Asker;
use super::setup::{Leases, Setup};
use super::world::World;

pub const PLACES: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Agent {
    pub region: usize,
    pub epoch: Epoch,
    pub founded: bool,
    /// The clusters that the epoch was founded with.
    pub founders: [bool; PLACES],
    /// Until when each lets it serve.
    pub leases: [Time; PLACES],
    /// With `Mend::LeaseFromSending` undone: what was granted, and is not heard of yet.
    pub on_the_way: [bool; PLACES],
    /// It serves nothing before that.
    pub quiet_until: Time,
    rejoined: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Renew(usize),
    /// Waits for that cluster's answer no more.
    GiveUp(usize),
    Hear(usize),
    /// Takes a new epoch, as the lease is lost.
    Rejoin,
    Join(usize),
    Found,
}

impl Agent {
    /// One that has served for long.
    pub fn serving(leases: &Leases, region: usize, epoch: Epoch, until: Time) -> Agent {
        let mut agent = Agent {
            region,
            epoch,
            founded: true,
            founders: [false; PLACES],
            leases: [Time::ZERO; PLACES],
            on_the_way: [false; PLACES],
            quiet_until: Time::ZERO,
            rejoined: false,
        };
        for place in leases.founders.iter().copied().chain([region]) {
            agent.founders[place] = true;
            agent.leases[place] = until;
        }
        agent
    }
}

/// The clusters that have a say: the grantors, and the region's own.
fn asked(setup: &Setup, region: usize) -> impl Iterator<Item = usize> {
    (0..PLACES).filter(move |place| *place == region || setup.grantors().contains(place))
}

impl World {
    /// Whether the process holds its lease.
    pub fn holds(&self, setup: &Setup, agent: &Agent) -> bool {
        let leased = |place: usize| agent.leases[place] > self.now;
        let own = leased(agent.region) || setup.undoes(Mend::OwnClusterGrants);
        let granted = setup.grantors().iter().filter(|place| leased(**place)).count();
        agent.founded && own && granted >= setup.majority()
    }

    /// Whether it serves hits, and takes leases.
    pub fn serves(&self, setup: &Setup, agent: &Agent) -> bool {
        self.holds(setup, agent) && agent.quiet_until <= self.now && self.is_up(agent.region)
    }

    /// The epoch that a region serves in; two of its processes may differ.
    pub fn serving(&self, setup: &Setup, region: usize) -> Vec<(Epoch, bool)> {
        let agents = self.agents.iter().filter(|agent| agent.region == region);
        let mut serving: Vec<_> = agents
            .filter(|agent| self.holds(setup, agent) && self.is_up(region))
            .map(|agent| (agent.epoch, agent.quiet_until <= self.now))
            .collect();
        serving.dedup();
        serving
    }

    /// Runs a command on what a cluster keeps of a region, as far as no mend is undone.
    pub fn ask(
        &mut self,
        setup: &Setup,
        place: usize,
        region: usize,
        command: Serving,
    ) -> Result<Standing, Refusal> {
        let now = self.clock(place);
        let span = setup.span();
        let slot = &mut self.places[place].standings[region];
        match (setup.undone, command, slot.as_mut()) {
            (Some(Mend::LapsedIsNotRenewed), Serving::Renew { epoch }, Some(standing))
                if standing.epoch == epoch =>
            {
                standing.until = standing.until.max(now.after(span));
            }
            (Some(Mend::NoEpochIsNotRenewed), Serving::Renew { epoch }, Some(standing))
                if epoch.is_none() && standing.epoch.is_none() =>
            {
                standing.until = now.after(span);
                return Ok(*standing);
            }
            (Some(Mend::NewEpoch), Serving::Join { epoch }, Some(standing))
                if standing.epoch == epoch =>
            {
                standing.epoch = Epoch::NONE;
            }
            (Some(Mend::MissingIsNotJoined), Serving::Join { epoch }, None) => {
                let standing = Standing { epoch, until: now.after(span), bar: Epoch::NONE };
                return Ok(*slot.insert(standing));
            }
            _ => {}
        }
        serving(slot, now, span, command)
    }

    pub fn agent_moves(&self, setup: &Setup, who: usize, moves: &mut Vec<Ask>) {
        let agent = &self.agents[who];
        let lasts = self.lasts(setup);
        let late = setup.undoes(Mend::FoundedOnce);
        let renews = agent.founded && setup.leases.is_some_and(|leases| leases.renews);
        for place in asked(setup, agent.region).filter(|place| self.is_up(*place)) {
            if self.is_asking(Asker::Agent(who), place) {
                if self.faults > 0 {
                    moves.push(Ask::GiveUp(place));
                }
                continue;
            }
            if agent.on_the_way[place] {
                moves.push(Ask::Hear(place));
            } else if renews && agent.founders[place] && agent.leases[place] < lasts {
                moves.push(Ask::Renew(place));
            }
            if !agent.founders[place] && (!agent.founded || late) {
                moves.push(Ask::Join(place));
            }
        }
        if agent.founded && !agent.rejoined && !self.holds(setup, agent) {
            moves.push(Ask::Rejoin);
        }
        let joined = setup.grantors().iter().filter(|place| agent.founders[**place]).count();
        let own = agent.founders[agent.region] || setup.undoes(Mend::OwnClusterGrants);
        if !agent.founded && own && joined >= setup.majority() {
            moves.push(Ask::Found);
        }
    }

    /// The end of a lease that is asked for now.
    fn lasts(&self, setup: &Setup) -> Time {
        Time::from_nanos(self.now.as_nanos() + setup.span - setup.margin)
    }

    pub fn agent_acts(&mut self, setup: &Setup, who: usize, act: Ask) {
        let lasts = self.lasts(setup);
        let Agent { region, epoch, .. } = self.agents[who];
        let (asker, in_steps) = (Asker::Agent(who), setup.asks_in_steps());
        match act {
            Ask::GiveUp(place) => {
                self.faults -= 1;
                self.asks_no_more(asker, Some(place));
            }
            Ask::Renew(place) if in_steps => {
                self.look_and_ask(setup, asker, place, region, Serving::Renew { epoch });
            }
            Ask::Join(place) if in_steps => {
                self.look_and_ask(setup, asker, place, region, Serving::Join { epoch });
            }
            Ask::Renew(place) => {
                if self.ask(setup, place, region, Serving::Renew { epoch }).is_ok() {
                    self.granted(setup, who, place, lasts);
                }
            }
            Ask::Hear(place) => {
                let agent = &mut self.agents[who];
                agent.on_the_way[place] = false;
                agent.leases[place] = lasts;
            }
            Ask::Rejoin => {
                self.asks_no_more(asker, None);
                // By its cluster's clock, so that it is new even if everybody has forgotten the one before.
                let number = self.now.as_nanos() * 2 + who as u64;
                let next = if setup.undoes(Mend::NewEpoch) { epoch } else { Epoch::new(number) };
                let agent = &mut self.agents[who];
                agent.epoch = next;
                agent.founded = false;
                agent.founders = [false; PLACES];
                agent.leases = [Time::ZERO; PLACES];
                agent.rejoined = true;
            }
            Ask::Join(place) => {
                if self.ask(setup, place, region, Serving::Join { epoch }).is_ok() {
                    self.agents[who].founders[place] = true;
                    self.agents[who].leases[place] = lasts;
                }
            }
            Ask::Found => {
                let quarantine = !setup.undoes(Mend::Quarantine);
                let quiet_until =
                    if quarantine { self.now.after(setup.reservation()) } else { self.now };
                let agent = &mut self.agents[who];
                agent.founded = true;
                agent.quiet_until = quiet_until;
                if setup.undoes(Mend::EpochInKey) {
                    self.places[region].slots.clear();
                }
            }
        }
    }

    fn granted(&mut self, setup: &Setup, who: usize, place: usize, lasts: Time) {
        if setup.undoes(Mend::LeaseFromSending) {
            self.agents[who].on_the_way[place] = true;
        } else {
            self.agents[who].leases[place] = lasts;
        }
    }
}
