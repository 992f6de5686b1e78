//! What one caller writes of several keys: to each node in messages of its own.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::AerospikeStore;
use super::bins::Reader;
use super::merge::{Asked, Command, Lanes};
use crate::store::{Answer, StoreError};

/// What came of a command.
type Told = Result<Answer<Option<Reader>>, StoreError>;

impl AerospikeStore {
    /// In the order of the keys.
    pub(super) async fn write_many<C: Command>(&self, commands: &[(Bytes, C)]) -> Vec<Told> {
        // It goes with what other callers have.
        if let [(key, command)] = commands {
            return vec![self.run(key, |on| command.plan(on)).await];
        }
        let on = match self.cluster_now().await {
            Ok(on) => on,
            Err(error) => return vec![Err(error); commands.len()],
        };
        let mut told: Vec<Option<Told>> = vec![None; commands.len()];
        let mut asked: Vec<(Arc<Lanes>, Vec<Asked<C>>)> = Vec::new();
        for (place, (key, command)) in commands.iter().enumerate() {
            let key = match on.key(key) {
                Ok(key) => key,
                Err(error) => {
                    told[place] = Some(Err(error));
                    continue;
                }
            };
            let lanes = on.nodes.of(&key);
            let one = Asked { place, key, command: command.clone() };
            match asked.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &lanes)) {
                Some((_, of_node)) => of_node.push(one),
                None => asked.push((lanes, vec![one])),
            }
        }
        let nodes = asked.into_iter().map(move |(lanes, commands)| {
            let on = Arc::clone(&on);
            async move { on.run_many(lanes, commands).await }
        });
        match self.home.run(true, Box::pin(join_all(nodes))).await {
            Ok(answers) => {
                for (place, answer) in answers.into_iter().flatten() {
                    told[place] = Some(answer);
                }
            }
            Err(error) => return vec![Err(error); commands.len()],
        }
        let unsaid = || Err(StoreError::doubtful("the server gave this command no answer"));
        told.into_iter().map(|answer| answer.unwrap_or_else(unsaid)).collect()
    }
}
