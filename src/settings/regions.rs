//! Several regions: which there are, how their clusters are reached, and what fits together.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::url::hosts;
use super::{Access, Fence, Invalid, Of, Options, UnreachableRegion, UnreachableReserve, within};

/// The longest name of a region, in bytes.
const MAX_NAME: usize = 32;
/// The most regions.
const MAX_REGIONS: usize = 16;

/// The clusters of all regions, as they were given. What is printed of it holds no password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Peers(String);

/// A region's cluster, and how it is reached.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub name: String,
    /// There is at least one.
    pub hosts: Vec<(String, u16)>,
    #[cfg_attr(
        not(feature = "aerospike"),
        expect(dead_code, reason = "no other store is reached")
    )]
    pub access: Access,
}

impl Peers {
    pub fn new(text: impl Into<String>) -> Self {
        Peers(text.into())
    }

    /// Takes it apart. What an entry does not say is as `access` has it.
    fn parse(&self, access: &Access) -> Result<Vec<Peer>, Invalid> {
        if self.0.is_empty() {
            return Ok(Vec::new());
        }
        let peers: Vec<Peer> =
            self.0.split(',').map(|entry| peer(entry, access)).collect::<Result<_, _>>()?;
        unique(peers.iter().map(|peer| &*peer.name))?;
        Ok(peers)
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").finish_non_exhaustive()
    }
}

/// `us@user:password@host:port|host?option=value;option=value`
fn peer(entry: &str, access: &Access) -> Result<Peer, Invalid> {
    let form = "an entry must be name@host:port|host:port";
    let (name, rest) = entry.split_once('@').ok_or_else(|| Invalid::new("peers", form))?;
    check_name("peers", name)?;
    let of = |problem: &str| Invalid::new("peers", format!("of {name}: {problem}"));
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    let mut access = access.clone();
    let hosts = hosts(place, '|', &mut access).map_err(of)?;
    for option in options.split(';').filter(|option| !option.is_empty()) {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let value = percent_decode_str(value).decode_utf8_lossy();
        let invalid = |Invalid { field, problem }| of(&format!("{field}: {problem}"));
        if !access.set(name, &value).map_err(invalid)? {
            let names: Vec<&str> = Access::NAMES.iter().map(|(name, _)| *name).collect();
            return Err(of(&format!("an unknown option; valid options: {}", names.join(", "))));
        }
    }
    access.check().map_err(|Invalid { field, problem }| of(&format!("{field}: {problem}")))?;
    Ok(Peer { name: name.to_owned(), hosts, access })
}

/// The name of a region is told in errors, in metrics, and in a record that all programs read.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), Invalid> {
    within(field, name.len(), 1, Some(MAX_NAME))
        .map_err(|invalid| invalid.noting(&["; that is the length of a region's name"]))?;
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    if name.bytes().all(fits) {
        return Ok(());
    }
    let problem = "a region's name must be of `a` to `z`, `0` to `9`, `_` and `-`";
    Err(Invalid::new(field, problem))
}

fn unique<'n>(names: impl Iterator<Item = &'n str>) -> Result<(), Invalid> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Invalid::new("peers", format!("{name} is there twice")));
        }
    }
    within("peers", seen.len(), 2, Some(MAX_REGIONS))
        .map_err(|invalid| invalid.noting(&["; so many regions there may be"]))
}

impl Options {
    /// The other regions, where there are some. `opened`: the names of those whose caches are there already; `own`: the
    /// hosts of the own cluster.
    ///
    /// # Errors
    /// What does not fit together, by name.
    pub fn regions(
        &self,
        store: Of,
        opened: &[&str],
        own: &[(String, u16)],
    ) -> Result<Vec<Peer>, Invalid> {
        if self.peers != Peers::default() && store != Of::aerospike {
            return Err(Invalid::new("peers", "is an option of aerospike:// alone; leave it out"));
        }
        let peers = self.peers.parse(&self.access)?;
        let Some(region) = &self.region else {
            if !peers.is_empty() || !opened.is_empty() {
                return Err(Invalid::new("region", "is missing: which of `peers` is this one?"));
            }
            return self.one_region().map(|()| peers);
        };
        check_name("region", region)?;
        if peers.is_empty() && opened.is_empty() {
            let problem = "there are no `peers`: name the clusters of all regions, or leave it out";
            return Err(Invalid::new("region", problem));
        }
        if !peers.is_empty() && !peers.iter().any(|peer| peer.name == *region) {
            let names: Vec<&str> = peers.iter().map(|peer| &*peer.name).collect();
            let problem = format!("{region} is not among `peers`, which are {}", names.join(", "));
            return Err(Invalid::new("region", problem));
        }
        let others: Vec<Peer> = peers.into_iter().filter(|peer| peer.name != *region).collect();
        for name in opened {
            check_name("peer", name)?;
        }
        let names = others.iter().map(|peer| &*peer.name).chain(opened.iter().copied());
        unique(names.chain([&**region]))?;
        if let Some(peer) = others.iter().find(|peer| peer.hosts.iter().any(|at| own.contains(at)))
        {
            let problem = format!("of {}: it has a host of the own cluster's", peer.name);
            return Err(Invalid::new("peers", problem));
        }
        let names = others.iter().map(|peer| &*peer.name).chain(opened.iter().copied());
        self.check_grantors(&names.chain([&**region]).collect::<Vec<_>>())?;
        self.policy().map(|()| others)
    }

    /// The regions whose clusters grant serving leases.
    pub fn grantors(&self) -> Vec<&str> {
        self.grantors
            .as_deref()
            .filter(|names| !names.is_empty())
            .map_or_else(Vec::new, |names| names.split(',').collect())
    }

    fn check_grantors(&self, regions: &[&str]) -> Result<(), Invalid> {
        let grantors = self.grantors();
        let refused = |problem: String| Err(Invalid::new("grantors", problem));
        if self.unreachable != UnreachableRegion::Wait {
            if self.grantors.is_none() {
                return Ok(());
            }
            return refused(
                "has a meaning where `unreachable` is `wait` alone: leave it out, or say so"
                    .to_owned(),
            );
        }
        if let Some(unknown) = grantors.iter().find(|name| !regions.contains(*name)) {
            check_name("grantors", unknown)?;
            return refused(format!("{unknown} is no region; these are {}", regions.join(", ")));
        }
        let count = grantors.iter().collect::<HashSet<_>>().len();
        if count < grantors.len() {
            return refused("one is there twice".to_owned());
        }
        match count {
            0 => {
                return refused(
                    "is missing: who says which regions may serve, where `unreachable` is `wait`?"
                        .to_owned(),
                );
            }
            2 => {
                let problem =
                    "are two, of which both would have to be there: name one, or three and more";
                return refused(problem.to_owned());
            }
            _ => {}
        }
        if self.unreachable_reserve == UnreachableReserve::Proceed {
            let problem = "proceed cannot be where `unreachable` is `wait`: leave it out";
            return Err(Invalid::new("unreachable_reserve", problem));
        }
        let (margin, lease) = (self.reservation_margin, self.serving_lease);
        super::span("serving_lease", lease, margin * 4, Duration::from_secs(60)).map_err(
            |invalid| invalid.noting(&["; the least is four times `reservation_margin`"]),
        )?;
        let least = lease + margin * 3;
        super::span("reservation_time", self.reservation_time, least, Duration::from_secs(60 * 60))
            .map_err(|invalid| {
                invalid.noting(&[
                    "; the least is `serving_lease` and three times `reservation_margin`",
                ])
            })
    }

    fn one_region(&self) -> Result<(), Invalid> {
        if self.fence == Fence::Own {
            return self.policy();
        }
        Err(Invalid::new("fence", "there are no regions: give `region` and `peers` as well"))
    }

    fn policy(&self) -> Result<(), Invalid> {
        let needs = |field| {
            Invalid::new(
                field,
                "has a meaning where `fence` is `all` alone: leave it out, or say so",
            )
        };
        match self.fence {
            Fence::Own if self.unreachable != UnreachableRegion::Fail => {
                let problem =
                    "has a meaning where `fence` is `all` or `home` alone: leave it out, or say so";
                Err(Invalid::new("unreachable", problem))
            }
            Fence::Home if self.unreachable == UnreachableRegion::Wait => {
                let problem =
                    "cannot be wait where `fence` is `home`: a key whose home is gone has no other";
                Err(Invalid::new("unreachable", problem))
            }
            Fence::Own | Fence::Home if self.push => Err(needs("push")),
            Fence::Own | Fence::Home if self.grantors.is_some() => Err(needs("grantors")),
            Fence::All if self.push && self.unreachable == UnreachableRegion::Wait => {
                // Whether a region stores yet is known there alone.
                Err(Invalid::new("push", "cannot be where `unreachable` is `wait`: leave it out"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Target;

    fn regions(query: &str) -> Result<Vec<Peer>, Invalid> {
        let mut options = Options::default();
        let url = format!("aerospike://ada:own-secret@own:1/test/set?{query}");
        let Target::Aerospike { hosts, .. } = super::super::parse(&url, &mut options).unwrap()
        else {
            panic!("not Aerospike")
        };
        assert!(!format!("{options:?}").contains("secret"), "{options:?}");
        options.regions(Of::aerospike, &[], &hosts)
    }

    #[test]
    fn an_entry_says_what_is_not_as_for_the_own_cluster() {
        let query = "region=eu&fence=all&timeout=2s\
            &peers=eu@own:1,us@bob:other%252Csecret@a:3100|b?timeout=3s;tls_ca=%252Fus,ap@c";
        let peers = regions(query).unwrap();
        let [us, ap] = &peers[..] else { panic!("{peers:?}") };
        assert_eq!((&*us.name, &*ap.name), ("us", "ap"));
        assert_eq!(us.hosts, [("a".to_owned(), 3100), ("b".to_owned(), 3000)]);
        let seconds = |peer: &Peer| peer.access.timeout.as_secs();
        assert_eq!((seconds(us), seconds(ap)), (3, 2));
        assert_eq!(us.access.tls_ca, Some("/us".into()));
        let logins: Vec<_> = peers.iter().filter_map(|peer| peer.access.login.clone()).collect();
        let logins: Vec<_> = logins.iter().map(|login| (&*login.user, &*login.password)).collect();
        assert_eq!(logins, [("bob", "other,secret"), ("ada", "own-secret")]);
    }

    #[test]
    fn what_does_not_fit_together_is_refused_by_name_and_keeps_the_secret() {
        let many: Vec<String> = (0..17).map(|number| format!("r{number}@h{number}")).collect();
        let many = format!("region=r0&peers={}", many.join(","));
        for (query, field, told) in [
            ("region=eu", "region", "there are no `peers`"),
            ("peers=eu@own:1,us@a", "region", "is missing"),
            (
                "region=ap&peers=eu@own:1,us@a",
                "region",
                "ap is not among `peers`, which are eu, us",
            ),
            ("region=eu&peers=eu@own:1", "peers", "1 is out of bounds, must be 2 to 16"),
            (&many, "peers", "17 is out of bounds"),
            ("region=eu&peers=eu@own:1,us@a,us@b", "peers", "us is there twice"),
            (
                "region=eu&peers=eu@own:1,us@own:1",
                "peers",
                "of us: it has a host of the own cluster's",
            ),
            ("region=EU&peers=EU@own:1,us@a", "peers", "must be of `a` to `z`"),
            ("region=&peers=eu@own:1,us@a", "region", "0 is out of bounds, must be 1 to 32"),
            ("region=eu&peers=eu@own:1,us", "peers", "name@host:port|host:port"),
            ("region=eu&peers=eu@own:1,us@", "peers", "of us: a host must not be empty"),
            ("region=eu&peers=eu@own:1,us@a:secret", "peers", "of us: a port must be 1 to 65535"),
            ("region=eu&peers=eu@own:1,us@secret@a", "peers", "of us: before the @ must stand"),
            (
                "region=eu&peers=eu@own:1,us@a?secret=1",
                "peers",
                "of us: an unknown option; valid options: auth",
            ),
            ("region=eu&peers=eu@own:1,us@a?timeout=secret", "peers", "of us: timeout: "),
            (
                "region=eu&peers=eu@own:1,us@a?timeout=1h",
                "peers",
                "of us: timeout: 1h is out of bounds",
            ),
            ("fence=all", "fence", "there are no regions"),
            ("push=true", "push", "where `fence` is `all` alone"),
            (
                "region=eu&peers=eu@own:1,us@a&unreachable=proceed",
                "unreachable",
                "where `fence` is `all` or `home` alone",
            ),
        ] {
            let refused = regions(query).unwrap_err();
            assert_eq!(refused.field, field, "{query}: {refused:?}");
            assert!(refused.problem.contains(told), "{query}: {refused:?}");
            assert!(!refused.problem.contains("secret"), "{query}: {refused:?}");
        }
    }
}
