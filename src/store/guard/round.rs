//! What the nodes say in one round of questions, and whether that is a majority.

use std::time::Duration;

/// What the state is told in one round.
pub(crate) struct Round {
    /// See [`Guard::begin`](super::Guard::begin).
    pub number: u64,
    /// When the first question was sent.
    pub sent: Duration,
    /// Whether every node must agree that is there, as it is not known where commands go.
    pub all: bool,
    /// What each node said, by its name.
    pub told: Vec<(String, Told)>,
    /// How many nodes their cluster has, in the eyes of those that were asked for it.
    pub size: usize,
}

/// What a node said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The key of its cluster, and how long at least that has been the same.
    Key(String, Duration),
    /// That it is just finding out.
    Unsettled(String),
    /// It cannot be there: connections are refused.
    Absent,
    /// Nothing, and why.
    Nothing(String),
}

/// What the nodes agree on.
pub(super) struct Agreed {
    pub key: String,
    /// How long it has been that at least.
    pub since: Duration,
    pub members: usize,
}

/// Why there is no lease, and whether somebody said so, or was only silent.
pub(super) struct Disagreed {
    pub problem: String,
    pub said: bool,
}

impl Round {
    /// The key that most nodes gave.
    pub fn key(&self) -> Option<&str> {
        let keys = || {
            self.told.iter().filter_map(|(_, told)| match told {
                Told::Key(key, _) => Some(key.as_str()),
                _ => None,
            })
        };
        keys().max_by_key(|key| keys().filter(|other| other == key).count())
    }

    /// What speaks against a node's being in the cluster of this key.
    pub fn problem(told: &Told, key: Option<&str>) -> Option<&'static str> {
        match told {
            Told::Key(own, _) if Some(own.as_str()) != key => {
                Some("does not agree with the others who is in the cluster")
            }
            Told::Key(..) => None,
            Told::Unsettled(_) => Some("is not sure who is in the cluster"),
            Told::Absent => Some("refuses connections"),
            Told::Nothing(_) => Some("does not answer"),
        }
    }

    /// `before`: the key of the lease that there is.
    pub(super) fn agreed(&self, known: usize, before: Option<&str>) -> Result<Agreed, Disagreed> {
        let known = known.max(self.size);
        let key = self.key();
        let (mut members, mut since) = (0, Duration::MAX);
        let (mut problems, mut said, mut missing) = (Vec::new(), false, false);
        let is_news = |(_, told): &(String, Told)| matches!(told, Told::Key(key, _) if Some(key.as_str()) != before);
        said |= self.told.iter().any(is_news);
        for (node, told) in &self.told {
            match (Round::problem(told, key), told) {
                (None, Told::Key(_, stable)) => {
                    members += 1;
                    since = since.min(*stable);
                }
                (problem, told) => {
                    let why = match told {
                        Told::Unsettled(why) | Told::Nothing(why) => format!(": {why}"),
                        Told::Key(..) | Told::Absent => String::new(),
                    };
                    problems.push(format!("{node} {}{why}", problem.unwrap_or_default()));
                    said |= matches!(told, Told::Key(..) | Told::Unsettled(_));
                    missing |= !matches!(told, Told::Absent);
                }
            }
        }
        let Some(key) = key.filter(|_| members * 2 > known) else {
            problems.push(format!(
                "{members} of {known} nodes agree, which is no majority (where the cluster has become smaller for \
                 good, set cluster_size and start again)"
            ));
            return Err(Disagreed { problem: problems.join("; "), said });
        };
        if self.all && missing {
            return Err(Disagreed { problem: problems.join("; "), said });
        }
        Ok(Agreed { key: key.to_owned(), since, members })
    }
}
