//! The worlds, and what can be undone in them.

use super::promises::Promise;
use crate::run::Fault;

/// A rule that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    MissingGetsFloor,
    OlderLowersNothing,
    InvalidationsHaveVersions,
    FloorOutlivesLag,
    HeartbeatsInOrder,
    ConfirmedWhenApplied,
    Gate,
}

/// Somebody in the region that the stream leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Reserves, changes the source, commits with its version.
    Writer,
    /// Takes a lease, reads the source or a replica that lags, fills with the version.
    Reader,
}

#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub roles: &'static [Role],
    /// How many changes of other regions the stream brings.
    pub changes: u8,
    /// Redeliveries, and answers that never come.
    pub faults: u8,
    pub horizon: u64,
    /// How long a floor lives, and how far a replica is behind, in ticks; None: as far as it likes.
    pub floor: u64,
    pub lag: Option<usize>,
    /// How long a region serves after a heartbeat was sent that came by; None: always.
    pub bound: Option<u64>,
    pub undone: Option<Mend>,
}

const PLAIN: Setup = Setup {
    name: "",
    roles: &[],
    changes: 2,
    faults: 2,
    horizon: 4,
    floor: 2,
    lag: Some(1),
    bound: None,
    undone: None,
};

impl Setup {
    pub fn undoes(&self, mend: Mend) -> bool {
        self.undone == Some(mend)
    }
}

pub fn worlds() -> Vec<Setup> {
    use Role::{Reader, Writer};
    let gated = Setup { bound: Some(1), horizon: 5, faults: 1, ..PLAIN };
    let worlds: Vec<(&'static str, &'static [Role], Setup)> = vec![
        ("readers", &[Reader, Reader], PLAIN),
        ("a writer of its own", &[Writer, Reader], PLAIN),
        ("writers of its own", &[Writer, Writer, Reader], Setup { changes: 1, faults: 1, ..PLAIN }),
        ("a gate", &[Reader, Reader], gated.clone()),
        ("a gate, a writer of its own", &[Writer, Reader], Setup { bound: Some(2), ..gated }),
    ];
    worlds.into_iter().map(|(name, roles, setup)| Setup { name, roles, ..setup }).collect()
}

pub fn obligations() -> Vec<Fault<Setup>> {
    const R: &[Role] = &[Role::Reader];
    let told = |mend| Setup { undone: Some(mend), roles: R, faults: 1, ..PLAIN };
    let gated = |mend| Setup { bound: Some(1), ..told(mend) };
    [
        ("g1", "an invalidation of a missing record leaves no floor", Promise::Heard, {
            told(Mend::MissingGetsFloor)
        }),
        ("g2", "an older invalidation that comes again lowers the floor", Promise::Heard, {
            told(Mend::OlderLowersNothing)
        }),
        (
            "g3",
            "an invalidation has no version, and fills read a lagging replica",
            Promise::Heard,
            { told(Mend::InvalidationsHaveVersions) },
        ),
        ("g4", "a floor is lost before the replica has caught up", Promise::Heard, {
            told(Mend::FloorOutlivesLag)
        }),
        // An assumption, about the replica.
        ("g5", "a replica lags longer than a floor lives, and nobody looks", Promise::Heard, {
            Setup { lag: None, roles: R, ..PLAIN }
        }),
        ("g6", "a heartbeat overtakes changes", Promise::Bound, gated(Mend::HeartbeatsInOrder)),
        ("g7", "a position is confirmed before what stands there was applied", Promise::Bound, {
            gated(Mend::ConfirmedWhenApplied)
        }),
        ("g8", "a region serves while the stream is silent", Promise::Bound, gated(Mend::Gate)),
    ]
    .map(|(letter, fault, breaks, case)| Fault::new(letter, fault, breaks.name(), case))
    .into()
}
