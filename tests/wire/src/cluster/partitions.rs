//! Which node answers for a partition, and which hold it: what the nodes of a cluster work out whenever they become one.

use crate::store::Digest;

/// Fixed in every Aerospike cluster.
pub(crate) const PARTITIONS: usize = 4096;

/// A node's place among those of the cluster.
pub(crate) type Place = usize;

/// Which copy of a partition a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// The cluster that kept it.
    pub cluster: u64,
    /// Whether it has all records of that cluster's, and not only what was written since it came.
    pub whole: bool,
}

/// A partition as the nodes of one cluster see it.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    /// Who answers for it: until the records have moved, a node that has them.
    pub master: Place,
    /// Who hold other copies, of which the master asks before it writes, and where a read says so.
    pub others: Vec<Place>,
    /// Whether records have yet to move.
    pub moves: bool,
}

/// What a node knows of the cluster that it is in.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Another one for each cluster that was formed.
    pub cluster: u64,
    pub members: Vec<Place>,
    pub partitions: Vec<Partition>,
    /// Grows whenever nodes come and go, and whenever records have moved.
    pub generation: u64,
}

impl View {
    /// Before there is a cluster.
    pub fn none() -> Self {
        View { cluster: 0, members: Vec::new(), partitions: Vec::new(), generation: 0 }
    }

    pub fn moves(&self) -> bool {
        self.partitions.iter().any(|partition| partition.moves)
    }
}

pub(crate) fn partition_of(digest: &Digest) -> usize {
    usize::from(u16::from_le_bytes([digest[0], digest[1]])) % PARTITIONS
}

/// The members in the order in which they are to hold a partition: the master first, then its copies.
pub(crate) fn order(partition: usize, members: &[Place]) -> Vec<Place> {
    // Any function will do that scatters: Sebastiano Vigna's splitmix64.
    let weight = |place: &Place| {
        let mut mixed = (partition as u64) << 8 | *place as u64;
        mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let mut order = members.to_vec();
    order.sort_by_key(weight);
    order
}

/// What becomes of a partition, and of each member's copy, when they become a cluster.
pub(crate) fn balance(
    cluster: u64,
    order: &[Place],
    copies: usize,
    version: impl Fn(Place) -> Option<Version>,
) -> (Partition, Vec<Option<Version>>) {
    let whole = Some(Version { cluster, whole: true });
    let part = Some(Version { cluster, whole: false });
    let versions: Vec<_> = order.iter().map(|place| version(*place)).collect();
    let is_whole = |version: &Option<Version>| version.is_some_and(|version| version.whole);
    let first = versions.iter().position(is_whole).or(versions.iter().position(Option::is_some));
    let Some(master) = first else {
        let partition = Partition { master: order[0], others: Vec::new(), moves: false };
        let new = (0..order.len()).map(|at| if at < copies { whole } else { None });
        return (partition, new.collect());
    };
    // One for each copy that differs; a part of one that another has whole is none.
    let differs = |at: &usize| {
        let Some(own) = versions[*at] else { return false };
        let same = |other: &Option<Version>| {
            other.is_some_and(|other| other.cluster == own.cluster && other.whole)
        };
        let stands_for = if own.whole { versions.iter().position(same) } else { None };
        let covered = !own.whole && versions.iter().any(same);
        *at != master && !covered && stands_for.unwrap_or(*at) == *at
    };
    let others: Vec<usize> = (0..order.len()).filter(differs).collect();
    let lacks = |at: &usize| *at != master && (!others.is_empty() || !is_whole(&versions[*at]));
    let moves = !others.is_empty() || (0..copies).any(|at| lacks(&at));
    let after = |at: usize| match versions[at] {
        _ if at == master => whole,
        _ if !moves => {
            if at < copies {
                whole
            } else {
                None
            }
        }
        None => {
            if at < copies {
                part
            } else {
                None
            }
        }
        // Until the records have moved it is a copy of its own.
        own if others.contains(&at) => own,
        own => {
            let of_the_masters =
                own.map(|own| own.cluster) == versions[master].map(|its| its.cluster);
            match (of_the_masters, at < copies) {
                (true, true) if is_whole(&own) && others.is_empty() => whole,
                (true, true) => part,
                _ => own,
            }
        }
    };
    let after = (0..order.len()).map(after).collect();
    let others = others.into_iter().map(|at| order[at]).collect();
    (Partition { master: order[master], others, moves }, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(cluster: u64) -> Version {
        Version { cluster, whole: true }
    }

    #[test]
    fn every_node_is_first_for_about_its_share() {
        for place in 0..3 {
            let share = (0..PARTITIONS).filter(|at| order(*at, &[0, 1, 2])[0] == place).count();
            assert!((1200..1530).contains(&share), "{share}");
        }
    }

    #[test]
    fn nothing_moves_where_the_copies_are_the_same() {
        let (partition, after) =
            balance(2, &[0, 1, 2], 2, |at| Some(version(1)).filter(|_| at < 2));
        assert!(partition.master == 0 && partition.others.is_empty() && !partition.moves);
        assert_eq!(after, [Some(version(2)), Some(version(2)), None]);
    }

    #[test]
    fn an_empty_node_is_no_master_until_it_has_the_records() {
        let (partition, after) =
            balance(2, &[0, 1, 2], 2, |at| Some(version(1)).filter(|_| at > 0));
        assert!(partition.master == 1 && partition.others.is_empty() && partition.moves);
        let part = Some(Version { cluster: 2, whole: false });
        assert_eq!(after, [part, Some(version(2)), Some(version(1))]);
    }

    #[test]
    fn copies_that_were_kept_apart_are_both_asked() {
        let (partition, after) = balance(3, &[0, 1], 2, |at| Some(version(at as u64 + 1)));
        assert!(partition.master == 0 && partition.others == [1] && partition.moves);
        assert_eq!(after, [Some(version(3)), Some(version(2))]);
    }
}
