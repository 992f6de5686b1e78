//! Info commands: what the client asks when it connects and tends (`cluster/node_validator.rs`,
//! `cluster/node.rs`, `cluster/partition_tokenizer.rs`), and what a check of the configuration asks.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::cluster::{Fabric, Node, PARTITIONS, Place};
use crate::store::{Config, Store};

/// Answers every line of a request with its own text, a tab and the value.
pub(crate) fn answer(nodes: &Fabric, at: Place, now: u64, request: &str) -> String {
    let mut answers = String::new();
    for command in request.split('\n').filter(|command| !command.is_empty()) {
        let value = value(nodes, at, now, command);
        writeln!(answers, "{command}\t{value}").expect("a String takes every write");
    }
    answers
}

fn value(nodes: &Fabric, at: Place, now: u64, command: &str) -> String {
    let Node { store, view, .. } = nodes.node(at);
    let config = &store.config;
    if let Some(set) = config.info.get(command) {
        return set.clone();
    }
    let (name, arguments) = command.split_once([':', '/']).unwrap_or((command, ""));
    match (name, arguments) {
        ("node", "") => name_of(at),
        ("cluster-name", "") => config.cluster_name.clone(),
        ("build", "") => config.build.clone(),
        ("edition", "") => "Aerospike Community Edition".to_owned(),
        ("version", "") => format!("Aerospike Community Edition build {}", config.build),
        ("status", "") | ("user-agent-set", _) => "ok".to_owned(),
        ("features", "") => {
            "batch-any;batch-index;cdt-list;cdt-map;float;pscans;query-show;replicas".to_owned()
        }
        ("partition-generation" | "rebalance-generation" | "peers-generation", "") => {
            view.generation.to_string()
        }
        ("peers-clear-std" | "peers-clear-alt" | "peers-tls-std" | "peers-tls-alt", "") => {
            peers(nodes, at)
        }
        (
            "service-clear-std" | "service-clear-alt" | "service-tls-std" | "service-tls-alt"
            | "service",
            "",
        ) => nodes.node(at).address.to_string(),
        ("replicas", "") => replicas(nodes, at),
        ("rack-ids", "") => format!("{}:0", config.namespace),
        ("statistics", "") => {
            format!(
                "cluster_size={};cluster_clock_skew_ms=0;time_since_rebalance={}",
                view.members.len(),
                config.rebalanced
            )
        }
        ("cluster-stable", arguments) => {
            let ignores = arguments.split(';').any(|pair| pair == "ignore-migrations=true");
            if view.moves() && !ignores {
                return "ERROR::unstable-cluster".to_owned();
            }
            config.cluster_key.clone()
        }
        ("namespaces", "") => config.namespace.clone(),
        ("namespace", namespace) if namespace == config.namespace => {
            format!("{};{}", statistics(store, view.members.len(), now), configuration(config))
        }
        ("get-config", arguments) => get_config(config, arguments),
        ("sets", namespace) if namespace.is_empty() || namespace == config.namespace => sets(store),
        ("sets", set) => match set.split_once('/') {
            Some((namespace, set)) if namespace == config.namespace => one_set(store, set),
            _ => "ERROR:4:unknown namespace".to_owned(),
        },
        _ => {
            eprintln!("genfence-wire refuses: the info command {command:?}");
            "ERROR:4:unrecognized command".to_owned()
        }
    }
}

fn get_config(config: &Config, arguments: &str) -> String {
    let argument = |name: &str| {
        arguments.split(';').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    };
    match argument("context") {
        Some("namespace") => match argument("namespace").or_else(|| argument("id")) {
            Some(namespace) if namespace == config.namespace => configuration(config),
            _ => "ERROR:4:unknown namespace".to_owned(),
        },
        // The Community Edition has no XDR, and answers with nothing at all.
        Some("xdr") => String::new(),
        _ => "ERROR:4:bad 'context' parameter".to_owned(),
    }
}

fn configuration(config: &Config) -> String {
    [
        ("allow-ttl-without-nsup", "false".to_owned()),
        ("apply-ttl-reductions", config.apply_ttl_reductions.to_string()),
        ("conflict-resolution-policy", config.conflict_resolution_policy.clone()),
        ("default-read-touch-ttl-pct", "0".to_owned()),
        ("default-ttl", config.default_ttl.to_string()),
        ("max-record-size", config.max_record_size.to_string()),
        ("nsup-period", config.nsup_period.to_string()),
        ("replication-factor", config.replication_factor.to_string()),
        ("strong-consistency", config.strong_consistency.to_string()),
    ]
    .map(|(name, value)| format!("{name}={value}"))
    .join(";")
}

fn statistics(store: &Store, members: usize, now: u64) -> String {
    let objects = store.records.values().filter(|record| !record.is_expired(now)).count();
    let config = &store.config;
    format!(
        "ns_cluster_size={members};effective_replication_factor={};objects={objects};stop_writes={};clock_skew_stop_writes=false",
        config.replication_factor, config.stop_writes
    )
}

fn sets(store: &Store) -> String {
    let mut counts = std::collections::BTreeMap::<&str, usize>::new();
    for record in store.records.values().filter(|record| !record.set.is_empty()) {
        *counts.entry(&record.set).or_default() += 1;
    }
    let set = |(set, objects)| format!("ns={}:set={set}:objects={objects}", store.config.namespace);
    counts.into_iter().map(set).collect::<Vec<_>>().join(";")
}

/// Nothing where there is no such set yet. Its names are not repeated, unlike in the answer for all.
fn one_set(store: &Store, set: &str) -> String {
    let objects = store.records.values().filter(|record| record.set == set).count();
    if objects == 0 {
        return String::new();
    }
    format!(
        "objects={objects}:default-read-touch-ttl-pct=0:default-ttl=0:disable-eviction=false:\
         stop-writes-count=0:stop-writes-size=0;"
    )
}

fn name_of(at: Place) -> String {
    format!("BB900000000000{at}")
}

/// Generation, default port, and the others of its cluster: name, name in their certificates, addresses.
fn peers(nodes: &Fabric, at: Place) -> String {
    let view = &nodes.node(at).view;
    let others = view.members.iter().filter(|other| **other != at);
    let told =
        others.map(|other| format!("[{},,[{}]]", name_of(*other), nodes.node(*other).address));
    format!("{},3000,[{}]", view.generation, told.collect::<Vec<_>>().join(","))
}

/// A regime (0 unless consistency is strong, which is how a client knows), one replica, and a bit for each partition
/// that the node answers for.
fn replicas(nodes: &Fabric, at: Place) -> String {
    let config = &nodes.node(at).store.config;
    let mut bits = vec![0_u8; PARTITIONS / 8];
    for (number, partition) in nodes.node(at).view.partitions.iter().enumerate() {
        if partition.master == at {
            bits[number >> 3] |= 0x80 >> (number & 7);
        }
    }
    let bitmap = STANDARD.encode(bits);
    format!("{}:{},1,{bitmap}", config.namespace, u8::from(config.strong_consistency))
}
