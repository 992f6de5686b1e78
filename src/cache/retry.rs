//! Sending a command until there is an answer: the rules for time-outs and doubt.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt;

use super::Cache;
use crate::protocol::{Claim, Grant, Refusal, Token};
use crate::store::{Answer, Change, Read, Store, StoreError};

/// What became of a [`Change`].
#[derive(Clone, Debug)]
pub(super) enum Settled {
    /// It was applied.
    Applied,
    /// It was not, and no packet of it can still be.
    Refused(Refusal),
    /// The store did not answer, and why. It may have been applied, or may still be.
    InDoubt(StoreError),
}

/// A change of several that was not answered, or that the store will not do.
pub(super) struct Unsettled {
    /// Where it stands among them.
    pub place: usize,
    /// Whether it may have been applied, or may still be.
    pub doubted: bool,
    pub error: StoreError,
}

/// A random token: never used twice, as two equal ones in 2⁶⁴ would have to meet on one key.
pub(super) fn token() -> Token {
    Token::new(rand::rng().random_range(1..=u64::MAX))
}

/// Counts the tries of one command and waits a little longer before each.
pub(super) struct Tries {
    left: usize,
    pause: Duration,
    /// Whether a try so far may have been applied.
    pub doubted: bool,
}

impl Tries {
    pub fn new(attempts: usize) -> Self {
        Tries { left: attempts, pause: Duration::from_millis(2), doubted: false }
    }

    /// After a failed try: returns when it is time for the next.
    ///
    /// # Errors
    /// The same error, when there is to be no further try.
    pub async fn again(&mut self, error: StoreError) -> Result<(), StoreError> {
        self.left = self.left.saturating_sub(1);
        self.doubted |= error.in_doubt();
        if self.left == 0 || !error.may_retry() {
            return Err(error);
        }
        tokio::time::sleep(jittered(self.pause)).await;
        self.pause = (self.pause * 2).min(Duration::from_millis(100));
        Ok(())
    }
}

/// Half of the span to all of it, at random, so that callers who met once do not meet again.
pub(super) fn jittered(span: Duration) -> Duration {
    span.mul_f64(0.5 + 0.5 * rand::rng().random::<f64>())
}

impl Cache {
    pub(super) fn tries(&self) -> Tries {
        Tries::new(self.0.options.attempts)
    }

    /// Sends a lease or a reserve until it is answered, each time under a new token: an earlier
    /// packet may still be under way, and must not bring back a claim that was used since.
    ///
    /// `unanswered` gathers the tokens whose answer never came. A token is in it from before its
    /// packet is sent until its answer is there, so that a caller that is dropped in between
    /// leaves its token behind for whoever goes on.
    pub(super) async fn claim_anew(
        &self,
        key: &[u8],
        unanswered: &mut Vec<Token>,
        claim: impl Fn(Token, Vec<Token>) -> Claim,
    ) -> Result<Answer<(Token, Grant)>, StoreError> {
        let mut tries = self.tries();
        loop {
            let token = token();
            let command = claim(token, unanswered.clone());
            unanswered.push(token);
            match self.send_claim(key, &command).await {
                Ok(answer) => {
                    unanswered.pop();
                    return Ok(answer.map(|grant| (token, grant)));
                }
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Sends an extend or a renew once more after each time-out, as it was: applied twice, the
    /// second is refused, and a refused one only ends the claim early.
    pub(super) async fn claim_again(
        &self,
        key: &[u8],
        claim: &Claim,
    ) -> Result<Answer<Grant>, StoreError> {
        let mut tries = self.tries();
        loop {
            match self.send_claim(key, claim).await {
                Ok(answer) => return Ok(answer),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Sends a change, as it was, until it is answered. A *refused retry* of a change that stores
    /// under `stamp` may mean that the first packet did arrive: then the stored value bears the
    /// stamp.
    ///
    /// # Errors
    /// The store's error, where the change was certainly never applied.
    pub(super) async fn settle(
        &self,
        key: &[u8],
        change: &Change,
        stamp: Option<Token>,
    ) -> Result<Settled, StoreError> {
        let mut tries = self.tries();
        loop {
            match self.send_change(key, change).await {
                Ok(Ok(())) => return Ok(Settled::Applied),
                Ok(Err(refusal)) => {
                    let Some(stamp) = stamp.filter(|_| tries.doubted) else {
                        return Ok(Settled::Refused(refusal));
                    };
                    return Ok(self.recognise(key, stamp, refusal).await);
                }
                Err(error) => match tries.again(error).await {
                    Ok(()) => {}
                    Err(error) if tries.doubted => return Ok(Settled::InDoubt(error)),
                    Err(error) => return Err(error),
                },
            }
        }
    }

    /// Sends changes that store nothing, as they are, each until it is answered; only those that were not are sent again.
    /// What is left.
    pub(super) async fn settle_many(&self, changes: &[(Bytes, Change)]) -> Vec<Unsettled> {
        let mut tries = self.tries();
        let answers = self.0.store.change_many(changes).await.into_iter().enumerate();
        let failed = |(place, answer): (usize, Result<_, StoreError>)| {
            let error = answer.err()?;
            Some(Unsettled { place, doubted: error.in_doubt(), error })
        };
        let mut failed: Vec<Unsettled> = answers.filter_map(failed).collect();
        let mut hopeless = Vec::new();
        loop {
            hopeless.extend(failed.extract_if(.., |failed| !failed.error.may_retry()));
            let Some(first) = failed.first() else { return hopeless };
            if tries.again(first.error.clone()).await.is_err() {
                hopeless.append(&mut failed);
                return hopeless;
            }
            let again: Vec<_> = failed.iter().map(|failed| changes[failed.place].clone()).collect();
            let answers = self.0.store.change_many(&again).await.into_iter();
            let fails_again = |(failed, answer): (Unsettled, Result<_, StoreError>)| {
                let error = answer.err()?;
                Some(Unsettled { doubted: failed.doubted || error.in_doubt(), error, ..failed })
            };
            failed = failed.into_iter().zip(answers).filter_map(fails_again).collect();
        }
    }

    async fn recognise(&self, key: &[u8], stamp: Token, refusal: Refusal) -> Settled {
        let mut tries = self.tries();
        loop {
            match self.0.store.get(key).await {
                Ok(Read::Hit(hit)) if hit.stamp == stamp => return Settled::Applied,
                Ok(_) => return Settled::Refused(refusal),
                Err(error) => {
                    if let Err(error) = tries.again(error).await {
                        return Settled::InDoubt(error);
                    }
                }
            }
        }
    }
}
