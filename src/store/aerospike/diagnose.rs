//! Asks every node what it says of itself, and tries out what it does not say.

use std::time::Duration;

use aerospike::{AdminPolicy, Node};
use futures_util::future::{join, join_all};
use tokio::time::timeout;

use super::checks::{self, Facts, Pairs};
use super::connect::millis;
use super::{Connected, codes};
use crate::store::{Diagnosis, Finding, Level, Needs, StoreError};

/// How long one node may take to answer.
const NODE_TIME: Duration = Duration::from_secs(3);
/// Clocks are tested on so many records for each node, so that hardly any node is left out: which
/// node has a record is the cluster's choice.
const CANARIES: usize = 4;

const CLOCK: &str = "deadlines rest on an operation seeing the time of its own command, which \
    Aerospike does not document";
const NODES: &str = "keys of a node that cannot be reached are not cached, and what a node does not tell \
    could not be checked";

impl Connected {
    /// Looks at the cluster, and tests its clocks. Changes nothing but records of its own.
    pub(super) async fn look_around(&self, needs: &Needs) -> Result<Diagnosis, StoreError> {
        let nodes = self.client.nodes();
        let asked = join_all(nodes.iter().map(|node| self.ask(node))).await;
        let mut told = Vec::new();
        let mut silent = Vec::new();
        for (node, answer) in nodes.iter().zip(asked) {
            match answer {
                Ok(facts) => told.push(facts),
                Err(error) => silent.push(format!("{}: {error}", node.address())),
            }
        }
        if told.is_empty() {
            let named =
                if silent.is_empty() { "there is none".to_owned() } else { silent.join("; ") };
            return Err(StoreError::unavailable(format!(
                "no node answered: {named}; is the server there?"
            )));
        }
        let clocks = self.clocks(nodes.len()).await;
        let (contract, regions) = join(self.look_at_contract(), self.look_at_regions()).await;
        let mut findings = vec![heard_of(&told, &silent), clocks, contract, regions];
        findings.extend(checks::all(&told, &self.set, needs));
        Ok(Diagnosis { findings })
    }

    async fn ask(&self, node: &Node) -> Result<Facts, String> {
        match timeout(NODE_TIME, self.facts(node)).await {
            Ok(Ok(facts)) => Ok(facts),
            // The client's words: they hold what was asked, which holds no secret.
            Ok(Err(error)) => Err(codes::root(&error).base_message().clone()),
            Err(_) => Err(format!("no answer within {NODE_TIME:?}")),
        }
    }

    async fn facts(&self, node: &Node) -> aerospike::Result<Facts> {
        let namespace = format!("namespace/{}", self.namespace);
        let set = format!("sets/{}/{}", self.namespace, self.set);
        let xdr = "get-config:context=xdr";
        let policy = AdminPolicy { timeout: millis(NODE_TIME) };
        let asked = ["build", "edition", "statistics", &namespace, &set, xdr];
        let answers = node.info(&policy, &asked).await?;
        let answer = |name: &str| answers.get(name).map_or("", String::as_str);

        // `dcs=west,east;…`; the Community Edition answers nothing, or that it does not know it.
        let destinations = Pairs::parse(answer(xdr), ';');
        let names = destinations.get("dcs").unwrap_or_default().split(',').map(str::trim);
        let names: Vec<&str> = names.filter(|name| !name.is_empty()).collect();
        let each: Vec<String> = names
            .iter()
            .map(|name| format!("{xdr};dc={name};namespace={}", self.namespace))
            .collect();
        let mut ships = Vec::new();
        if !each.is_empty() {
            let asked: Vec<&str> = each.iter().map(String::as_str).collect();
            let answers = node.info(&policy, &asked).await?;
            for (name, asked) in names.iter().zip(&each) {
                // A destination that does not take this namespace answers with an error.
                let answer = answers.get(asked).filter(|answer| answer.contains('='));
                ships.extend(answer.map(|told| ((*name).to_owned(), Pairs::parse(told, ';'))));
            }
        }
        Ok(Facts {
            node: node.address().to_owned(),
            build: answer("build").to_owned(),
            edition: answer("edition").to_owned(),
            namespace: Pairs::parse(answer(&namespace), ';'),
            set: Pairs::parse(answer(&set), ':'),
            statistics: Pairs::parse(answer("statistics"), ';'),
            destinations: ships,
        })
    }

    async fn clocks(&self, nodes: usize) -> Finding {
        let count = if nodes == 1 { 1 } else { nodes * CANARIES };
        let tests = join_all((0..count).map(|_| self.test_clock())).await;
        let failed = tests.into_iter().find_map(Result::err);
        let (level, found, advice) = match failed {
            None => (Level::Ok, format!("as it must be (records tried: {count})"), None),
            Some(error) if error.may_retry() => {
                (Level::Error, error.to_string(), Some("see that the cluster is up".to_owned()))
            }
            Some(error) => (
                Level::Error,
                error.to_string(),
                Some("do what it says; genfence refuses to connect until then".to_owned()),
            ),
        };
        Finding { check: "clock", level, found, why: CLOCK, advice }
    }
}

fn heard_of(told: &[Facts], silent: &[String]) -> Finding {
    let (check, why) = ("nodes", NODES);
    let (known, answered) = (told.len() + silent.len(), told.len());
    let members = told.iter().filter_map(|node| node.statistics.number("cluster_size")).max();
    let (found, advice) = if !silent.is_empty() {
        let found = format!("{answered} answered, {} did not: {}", silent.len(), silent.join("; "));
        (found, "see why these nodes do not answer, then look again")
    } else if members.is_some_and(|members| members > known as u64) {
        let members = members.unwrap_or_default();
        (
            format!("{known} of the cluster's {members} can be reached from here"),
            "set access-address on each node to one that clients reach, and open the way to it",
        )
    } else {
        return Finding { check, level: Level::Ok, found: known.to_string(), why, advice: None };
    };
    Finding { check, level: Level::Error, found, why, advice: Some(advice.to_owned()) }
}
