//! What a cluster's own words about itself mean to a cache: each check is a pure function.
//!
//! The names are those of Aerospike's configuration and metrics reference, seen on Community Edition
//! 8.1.2. Strong consistency and XDR are of the Enterprise Edition and taken from that reference.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::store::{Finding, Level, Needs};

/// What one node says of itself.
#[derive(Debug, Default)]
pub(super) struct Facts {
    /// Its address.
    pub node: String,
    pub build: String,
    pub edition: String,
    /// Configuration and statistics of the namespace.
    pub namespace: Pairs,
    /// The same of the set; empty before its first record.
    pub set: Pairs,
    /// Statistics of the node.
    pub statistics: Pairs,
    /// What each destination of XDR takes of the namespace.
    pub destinations: Vec<(String, Pairs)>,
}

/// An info answer of names and values.
#[derive(Debug, Default)]
pub(super) struct Pairs(BTreeMap<String, String>);

impl Pairs {
    pub fn parse(text: &str, separator: char) -> Self {
        let pair = |pair: &str| {
            pair.split_once('=').map(|(name, value)| (name.trim().to_owned(), value.to_owned()))
        };
        Pairs(text.trim_end_matches(';').split(separator).filter_map(pair).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    fn is(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

/// What is said of one node.
struct Said {
    level: Level,
    found: String,
    advice: Option<String>,
}

fn ok(found: impl Into<String>) -> Said {
    Said { level: Level::Ok, found: found.into(), advice: None }
}

fn warning(found: impl Into<String>, advice: impl Into<String>) -> Said {
    Said { level: Level::Warning, found: found.into(), advice: Some(advice.into()) }
}

fn error(found: impl Into<String>, advice: impl Into<String>) -> Said {
    Said { level: Level::Error, found: found.into(), advice: Some(advice.into()) }
}

/// All checks of what the nodes say.
pub(super) fn all(nodes: &[Facts], set: &str, needs: &Needs) -> Vec<Finding> {
    let several = nodes.len() > 1
        || nodes.iter().any(|node| node.namespace.number("ns_cluster_size") > Some(1));
    vec![
        of_each(nodes, "version", VERSION, version),
        of_each(nodes, "nsup-period", NSUP, nsup),
        of_each(nodes, "default-ttl", DEFAULT_TTL, default_ttl),
        of_each(nodes, "max-record-size", RECORD_SIZE, |node| record_size(node, needs)),
        of_each(nodes, "strong-consistency", CONSISTENCY, |node| consistency(node, several)),
        of_each(nodes, "conflict-resolution-policy", CONFLICTS, |node| conflicts(node, several)),
        of_each(nodes, "replication-factor", REPLICATION, replication),
        of_each(nodes, "clock-skew", SKEW, |node| skew(node, needs)),
        of_each(nodes, "read-touch", READ_TOUCH, read_touch),
        of_each(nodes, "xdr", XDR, |node| xdr(node, set)),
        of_each(nodes, "stop-writes", STOP_WRITES, stop_writes),
        of_each(nodes, "evictions", EVICTIONS, evictions),
        of_each(nodes, "may-evict", MAY_EVICT, may_evict),
    ]
}

/// One finding for all nodes: as bad as the worst of them, and who says what where they differ.
fn of_each(
    nodes: &[Facts],
    check: &'static str,
    why: &'static str,
    read: impl Fn(&Facts) -> Said,
) -> Finding {
    let said: Vec<(&str, Said)> =
        nodes.iter().map(|node| (node.node.as_str(), read(node))).collect();
    let alike = said.windows(2).all(|pair| pair[0].1.found == pair[1].1.found);
    let found = if alike {
        said.first().map_or_else(String::new, |(_, said)| said.found.clone())
    } else {
        let each = said.iter().map(|(node, said)| format!("{node}: {}", said.found));
        each.collect::<Vec<_>>().join(", ")
    };
    let worst = said.into_iter().map(|(_, said)| said).max_by_key(|said| said.level);
    let (level, advice) = worst.map_or((Level::Ok, None), |said| (said.level, said.advice));
    Finding { check, level, found, why, advice }
}

const VERSION: &str = "genfence relies on what a server's expressions see, which is not documented; \
    it was tested on 6.4, 7.2 and 8.1, and the finding `clock` tests this cluster";

/// The first that takes commands which write in batches.
pub(super) const OLDEST: (u32, u32) = (6, 0);

/// Of which releases all was tried: the conformance suite, this, and the race.
const TRIED: [(u32, u32); 3] = [(6, 4), (7, 2), (8, 1)];

fn version(node: &Facts) -> Said {
    let found = format!("{} {}", node.edition, node.build);
    let mut numbers = node.build.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let newest = TRIED[TRIED.len() - 1];
    if TRIED.contains(&version) || version > newest {
        ok(found)
    } else if version < OLDEST {
        error(found, format!("upgrade: genfence needs {}.{} or later", OLDEST.0, OLDEST.1))
    } else {
        warning(
            found,
            "run the conformance suite against this version first, or use one that was tried",
        )
    }
}

const NSUP: &str = "every record of the cache has a time to live, which a namespace refuses to take \
    where nothing removes what has expired";

fn nsup(node: &Facts) -> Said {
    match (node.namespace.number("nsup-period"), node.namespace.is("allow-ttl-without-nsup")) {
        (Some(0), false) => {
            error("0: records with a time to live are refused", "set nsup-period to 120 (seconds)")
        }
        (Some(0), true) => warning(
            "0, with allow-ttl-without-nsup: what has expired stays in memory",
            "set nsup-period to 120 (seconds)",
        ),
        (Some(period), _) => ok(format!("{period} s")),
        (None, _) => unsaid("nsup-period"),
    }
}

const DEFAULT_TTL: &str = "every record that genfence writes carries its own time to live, so the \
    default is only for records of others";

fn default_ttl(node: &Facts) -> Said {
    match (node.set.number("default-ttl"), node.namespace.number("default-ttl")) {
        (Some(ttl), _) if ttl > 0 => ok(format!("{ttl} s (of the set)")),
        (_, Some(ttl)) => ok(format!("{ttl} s")),
        (_, None) => unsaid("default-ttl"),
    }
}

const RECORD_SIZE: &str = "a record that is larger is refused, so that a value which \
    `max_value_bytes` allows would be loaded again by every reader";

/// What a record takes beside its value: bins, tokens, reservations, the server's own header.
const BESIDE_THE_VALUE: u64 = 4 << 10;

fn record_size(node: &Facts, needs: &Needs) -> Said {
    let needed = needs.max_value_bytes as u64 + BESIDE_THE_VALUE;
    match node.namespace.number("max-record-size") {
        Some(0) => ok("bounded by the storage engine only"),
        Some(most) if most >= needed => ok(format!("{most} bytes")),
        Some(most) => warning(
            format!("{most} bytes, and `max_value_bytes` is {}", needs.max_value_bytes),
            format!(
                "set max-record-size to {needed}, or `max_value_bytes` to {}",
                most.saturating_sub(BESIDE_THE_VALUE).max(1)
            ),
        ),
        None => unsaid("max-record-size"),
    }
}

const CONSISTENCY: &str = "without it a node that was cut off brings older records back, and it is `cluster_guard` that \
    keeps hits right: with a majority of the nodes, and as long as one of them at a time fails";

fn consistency(node: &Facts, several: bool) -> Said {
    if node.namespace.is("strong-consistency") {
        ok("on")
    } else if several {
        warning(
            "off",
            "keep `cluster_guard` on (it is by default), or use a strong-consistency namespace (Enterprise Edition); \
             where a second node may fail before the cluster is whole again: `cluster_guard=strict`",
        )
    } else {
        ok("off, and there is one node: no partition can split it")
    }
}

const CONFLICTS: &str = "after a partition the record with more writes would win, although another \
    is newer";

/// What to do about it.
pub(super) const LAST_UPDATE: &str = "asinfo -v 'set-config:context=namespace;namespace=…;\
    conflict-resolution-policy=last-update-time' on every node, and the same in its configuration";

fn conflicts(node: &Facts, several: bool) -> Said {
    let policy = node.namespace.get("conflict-resolution-policy");
    match policy {
        _ if node.namespace.is("strong-consistency") => ok("none: strong-consistency is on"),
        Some("generation") if several => error("generation", LAST_UPDATE),
        Some(policy) => ok(policy),
        None => unsaid("conflict-resolution-policy"),
    }
}

const REPLICATION: &str = "a node that fails takes along the reservations that only it held; until \
    their writers are done, a hit may then be stale";

fn replication(node: &Facts) -> Said {
    let configured = node.namespace.number("replication-factor");
    match node.namespace.number("effective_replication_factor").or(configured) {
        Some(1) => warning("1", "set replication-factor to 2, on at least two nodes"),
        Some(copies) => ok(copies.to_string()),
        None => unsaid("replication-factor"),
    }
}

const SKEW: &str = "a reservation's deadline is on the clock of the node that holds it; \
    `reservation_margin` must cover the difference, should another node take over";

fn skew(node: &Facts, needs: &Needs) -> Said {
    let margin = needs.reservation_margin;
    match node.statistics.number("cluster_clock_skew_ms").map(Duration::from_millis) {
        Some(skew) if skew >= margin => error(
            format!("{} ms, and `reservation_margin` is {margin:?}", skew.as_millis()),
            "synchronise the nodes' clocks (chrony, NTP), or raise `reservation_margin`",
        ),
        Some(skew) if skew * 2 >= margin && !skew.is_zero() => warning(
            format!("{} ms, more than half of `reservation_margin` ({margin:?})", skew.as_millis()),
            "synchronise the nodes' clocks (chrony, NTP), or raise `reservation_margin`",
        ),
        Some(skew) => ok(format!("{} ms", skew.as_millis())),
        None => unsaid("cluster_clock_skew_ms"),
    }
}

const READ_TOUCH: &str = "genfence's own reads never prolong a record, but those of other programs \
    do where the server's default says so, and values then outlive their time to live";

fn read_touch(node: &Facts) -> Said {
    let name = "default-read-touch-ttl-pct";
    // In a set, 0 means the namespace's, and what says "never" there reads as the largest number.
    let of_set = node.set.number(name).filter(|share| (1..=100).contains(share));
    match of_set.or(node.namespace.number(name)) {
        Some(share @ 1..=100) => warning(
            format!("{share} %"),
            format!("set {name} to 0 for the cache's namespace and set"),
        ),
        Some(_) => ok("off"),
        // Servers before 7.1 do not know it.
        None => ok("unknown to this server"),
    }
}

const XDR: &str = "each region's cache is its own: a record that XDR ships overwrites another \
    region's claims and values";

fn xdr(node: &Facts, set: &str) -> Said {
    if node.destinations.is_empty() {
        return ok("ships nothing of this namespace");
    }
    let has = |pairs: &Pairs, names: [&str; 2]| {
        let sets = names.iter().find_map(|name| pairs.get(name)).unwrap_or_default();
        sets.split(',').any(|name| name.trim() == set)
    };
    let ships = |pairs: &Pairs| {
        if pairs.is("ship-only-specified-sets") {
            has(pairs, ["shipped-sets", "ship-sets"])
        } else {
            !has(pairs, ["ignored-sets", "ignore-sets"])
        }
    };
    let to: Vec<&str> = node
        .destinations
        .iter()
        .filter(|(_, pairs)| ships(pairs))
        .map(|(name, _)| name.as_str())
        .collect();
    if to.is_empty() {
        ok("does not ship this set")
    } else {
        error(
            format!("ships this set to {}", to.join(", ")),
            format!("add `ignore-set {set}` for the namespace to each of these destinations"),
        )
    }
}

const STOP_WRITES: &str = "no reservation and no lease can be taken then: changes fail, and reads go \
    to the source";

fn stop_writes(node: &Facts) -> Said {
    let advice = "give the namespace memory or storage, or lower the cache's `ttl`";
    let (objects, most) = (node.set.number("objects"), node.set.number("stop-writes-count"));
    if node.namespace.is("clock_skew_stop_writes") {
        error("on, for clock skew", "synchronise the nodes' clocks (chrony, NTP)")
    } else if node.namespace.is("stop_writes") {
        error("on", advice)
    } else if most > Some(0) && objects >= most {
        error("on for this set: stop-writes-count is reached", "raise stop-writes-count of the set")
    } else if node.namespace.is("hwm_breached") {
        warning("off, and records are being evicted for lack of room", advice)
    } else {
        ok("off")
    }
}

const EVICTIONS: &str = "what expires first is evicted first, so reserved records go last; one that \
    goes all the same is outside the guarantee";

fn evictions(node: &Facts) -> Said {
    match node.namespace.number("evicted_objects") {
        _ if node.set.is("disable-eviction") => ok("off for this set"),
        None | Some(0) => ok("none so far"),
        Some(count) => warning(
            format!("{count} records so far"),
            "give the namespace memory or storage, or set disable-eviction for the set",
        ),
    }
}

const MAY_EVICT: &str = "what copies there are of a key stands in its record: a writer that finds none, as it was evicted \
    or has expired, waits for the whole `near_max` before its change";

/// From how full a node is on records are evicted, in percent; 0 is never. From 7.0 on, and before.
const EVICT_FROM: [&str; 9] = [
    "storage-engine.evict-used-pct",
    "evict-indexes-memory-pct",
    "evict-sys-memory-pct",
    "index-type.evict-mounts-pct",
    "sindex-type.evict-mounts-pct",
    "high-water-memory-pct",
    "high-water-disk-pct",
    "index-type.mounts-high-water-pct",
    "sindex-type.mounts-high-water-pct",
];

/// Told, and always well: what was evicted is waited for.
fn may_evict(node: &Facts) -> Said {
    let from = |name: &&str| {
        let share = node.namespace.number(name).filter(|share| *share > 0)?;
        Some(format!("{name} {share}"))
    };
    let from: Vec<String> = EVICT_FROM.iter().filter_map(from).collect();
    if from.is_empty() {
        ok("no: no bound is set")
    } else if node.namespace.number("nsup-period") == Some(0) {
        ok("no: nsup-period is 0")
    } else if node.set.is("disable-eviction") {
        ok("no: disable-eviction is on for this set")
    } else {
        ok(format!(
            "yes, from {} on: where there are near copies, a writer that finds no record waits for all of `near_max`",
            from.join(" or ")
        ))
    }
}

fn unsaid(name: &str) -> Said {
    warning("not told", format!("look up {name} by hand: this server does not tell it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs() -> Needs {
        Needs { max_value_bytes: 1000, reservation_margin: Duration::from_secs(1) }
    }

    fn node(namespace: &str) -> Facts {
        Facts {
            node: "a:3000".into(),
            build: "8.1.2.0".into(),
            edition: "Community".into(),
            namespace: Pairs::parse(namespace, ';'),
            ..Facts::default()
        }
    }

    fn level(nodes: &[Facts], check: &str) -> Level {
        let findings = all(nodes, "cache", &needs());
        let found = findings.iter().find(|finding| finding.check == check).expect("such a check");
        assert_eq!(found.advice.is_none(), found.level == Level::Ok, "{found:?}");
        found.level
    }

    #[test]
    fn each_setting_that_takes_something_away_is_found() {
        use Level::{Error, Ok, Warning};
        for (check, told, expected) in [
            ("nsup-period", "nsup-period=120", Ok),
            ("nsup-period", "nsup-period=0;allow-ttl-without-nsup=false", Error),
            ("nsup-period", "nsup-period=0;allow-ttl-without-nsup=true", Warning),
            ("nsup-period", "", Warning),
            ("max-record-size", "max-record-size=0", Ok),
            ("max-record-size", "max-record-size=5096", Ok),
            ("max-record-size", "max-record-size=5095", Warning),
            ("strong-consistency", "strong-consistency=false;ns_cluster_size=1", Ok),
            ("strong-consistency", "strong-consistency=false;ns_cluster_size=3", Warning),
            ("strong-consistency", "strong-consistency=true;ns_cluster_size=3", Ok),
            ("conflict-resolution-policy", "conflict-resolution-policy=generation", Ok),
            (
                "conflict-resolution-policy",
                "conflict-resolution-policy=generation;ns_cluster_size=2",
                Error,
            ),
            (
                "conflict-resolution-policy",
                "conflict-resolution-policy=last-update-time;ns_cluster_size=2",
                Ok,
            ),
            ("replication-factor", "replication-factor=2;effective_replication_factor=1", Warning),
            ("replication-factor", "effective_replication_factor=2", Ok),
            ("read-touch", "default-read-touch-ttl-pct=0", Ok),
            ("read-touch", "default-read-touch-ttl-pct=80", Warning),
            ("stop-writes", "stop_writes=true", Error),
            ("stop-writes", "clock_skew_stop_writes=true", Error),
            ("stop-writes", "stop_writes=false;hwm_breached=true", Warning),
            ("evictions", "evicted_objects=7", Warning),
            ("evictions", "evicted_objects=0", Ok),
        ] {
            assert_eq!(level(&[node(told)], check), expected, "{check}: {told}");
        }
    }

    #[test]
    fn whether_records_may_be_evicted_is_told_by_the_names_of_each_release() {
        for (told, of_set, expected) in [
            (
                "nsup-period=120;storage-engine.evict-used-pct=0;evict-sys-memory-pct=0",
                "",
                "no: no bound",
            ),
            (
                "nsup-period=120;storage-engine.evict-used-pct=70",
                "",
                "yes, from storage-engine.evict-used-pct 70 on",
            ),
            (
                "nsup-period=120;high-water-memory-pct=60;high-water-disk-pct=50",
                "",
                "60 or high-water-disk-pct 50 on",
            ),
            ("nsup-period=0;high-water-memory-pct=60", "", "no: nsup-period"),
            (
                "nsup-period=120;high-water-memory-pct=60",
                "disable-eviction=true",
                "no: disable-eviction",
            ),
        ] {
            let node = Facts { set: Pairs::parse(of_set, ':'), ..node(told) };
            let said = may_evict(&node);
            assert_eq!(said.level, Level::Ok);
            assert!(said.found.contains(expected), "{told}: {}", said.found);
            assert_eq!(said.found.contains("near_max"), expected.contains(" on"), "{}", said.found);
        }
    }

    #[test]
    fn one_bad_node_among_good_ones_is_found_and_named() {
        let bad = Facts { node: "b:3000".into(), ..node("nsup-period=0") };
        let nodes = [node("nsup-period=120"), bad, node("nsup-period=120")];
        let findings = all(&nodes, "cache", &needs());
        let nsup = findings.iter().find(|finding| finding.check == "nsup-period").unwrap();
        assert_eq!(nsup.level, Level::Error);
        assert!(nsup.found.contains("b:3000: 0"), "{}", nsup.found);
    }

    #[test]
    fn clocks_that_differ_by_more_than_the_margin_are_an_error() {
        let skewed = |millis: u64| Facts {
            statistics: Pairs::parse(&format!("cluster_clock_skew_ms={millis}"), ';'),
            ..node("")
        };
        assert_eq!(level(&[skewed(0)], "clock-skew"), Level::Ok);
        assert_eq!(level(&[skewed(499)], "clock-skew"), Level::Ok);
        assert_eq!(level(&[skewed(500)], "clock-skew"), Level::Warning);
        assert_eq!(level(&[skewed(1000)], "clock-skew"), Level::Error);
    }

    #[test]
    fn a_set_that_xdr_ships_is_an_error_and_one_it_leaves_out_is_not() {
        let ships = |told: &str| Facts {
            destinations: vec![("west".into(), Pairs::parse(told, ';'))],
            ..node("")
        };
        for (told, expected) in [
            ("ship-only-specified-sets=false;ignored-sets=", Level::Error),
            ("ship-only-specified-sets=false;ignored-sets=other,caches", Level::Error),
            ("ship-only-specified-sets=false;ignored-sets=other,cache", Level::Ok),
            ("ship-only-specified-sets=true;shipped-sets=other", Level::Ok),
            ("ship-only-specified-sets=true;shipped-sets=cache,other", Level::Error),
        ] {
            assert_eq!(level(&[ships(told)], "xdr"), expected, "{told}");
        }
        assert_eq!(level(&[node("")], "xdr"), Level::Ok);
    }

    #[test]
    fn a_version_that_was_not_tried_is_a_warning() {
        for (build, expected) in [
            ("8.1.2.0", Level::Ok),
            ("7.2.0.17", Level::Ok),
            ("6.4.0.34", Level::Ok),
            ("9.0", Level::Ok),
            ("8.0.9", Level::Warning),
            ("6.3.0.1", Level::Warning),
            ("5.7.0.8", Level::Error),
            ("?", Level::Error),
        ] {
            assert_eq!(level(&[Facts { build: build.into(), ..node("") }], "version"), expected);
        }
    }
}
