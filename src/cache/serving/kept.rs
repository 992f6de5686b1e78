//! What a cluster keeps of a region: a record that changes by what was seen of it, so that any store will do.

use std::time::Duration;

use bytes::Bytes;

use super::super::retry::{Settled, jittered, token};
use super::super::{Cache, Error};
use crate::protocol::{Claim, Epoch, Grant, Refusal, Serving, Standing, Time, Token, Ttl, serving};
use crate::store::{Change, Snapshot, Standing as Ground, Store, StoreError, going_on};

/// What the key of the record of a region begins with, after the cache's prefix; its name follows.
const KEY: &[u8] = b"\0genfence region ";
/// The first byte of what is kept.
const FORMAT: u8 = 1;
/// How long a claim lasts, under which a record is made.
const MAKING: Duration = Duration::from_secs(1);
/// Others come first so often at most.
const TRIES: usize = 16;

/// What is kept of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    pub standing: Standing,
    /// In the region's own cluster, once the epoch was founded.
    pub founded: Option<Founded>,
}

/// How an epoch was founded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founded {
    /// Nobody serves before that, on the region's own cluster's clock.
    pub quiet_until: Time,
    /// The grantors that it was founded with.
    pub founders: Vec<String>,
}

/// A look at what a cluster keeps of a region.
#[derive(Clone, Debug)]
pub struct Look {
    pub kept: Option<Kept>,
    /// What the cluster's clock said.
    pub now: Time,
    /// On this machine's clock, before it was asked.
    pub sent: Duration,
    stamp: Option<Token>,
}

impl Look {
    fn of(known: &Snapshot, sent: Duration) -> Result<Self, Error> {
        let stored = known.record.stored.as_ref();
        let kept = stored.and_then(|stored| stored.value.as_deref()).map(Kept::read).transpose()?;
        Ok(Look { kept, now: known.now, sent, stamp: stored.map(|stored| stored.token) })
    }

    pub fn standing(&self) -> Option<Standing> {
        self.kept.as_ref().map(|kept| kept.standing)
    }
}

impl Kept {
    fn write(&self) -> Bytes {
        let Standing { epoch, until, bar } = self.standing;
        let founded = self.founded.as_ref();
        let quiet_until = founded.map_or(Time::ZERO, |founded| founded.quiet_until);
        let mut bytes = vec![FORMAT];
        for number in [epoch.get(), until.as_nanos(), bar.get(), quiet_until.as_nanos()] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(
            founded.map_or_else(String::new, |of| of.founders.join(",")).as_bytes(),
        );
        bytes.into()
    }

    /// # Errors
    /// Somebody else has written it, or a newer version of this library.
    fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let foreign = || {
            StoreError::refused(
                "what is kept of a region is of a format that this version does not know",
            )
        };
        let (format, rest) = bytes.split_first().ok_or_else(foreign)?;
        let (numbers, names) =
            rest.split_at_checked(32).filter(|_| *format == FORMAT).ok_or_else(foreign)?;
        let number = |index: usize| {
            u64::from_be_bytes(numbers[index * 8..][..8].try_into().expect("there are eight"))
        };
        let names = std::str::from_utf8(names).map_err(|_| foreign())?;
        let standing = Standing {
            epoch: Epoch::new(number(0)),
            until: Time::from_nanos(number(1)),
            bar: Epoch::new(number(2)),
        };
        let founded = (!names.is_empty()).then(|| Founded {
            quiet_until: Time::from_nanos(number(3)),
            founders: names.split(',').map(str::to_owned).collect(),
        });
        Ok(Kept { standing, founded })
    }
}

/// As a cache of the cluster that is asked.
impl Cache {
    fn kept_key(&self, region: &str) -> Bytes {
        [&*self.0.options.prefix, KEY, region.as_bytes()].concat().into()
    }

    /// Looks at what this cluster keeps of a region.
    pub(super) async fn look_at_region(&self, region: &str) -> Result<Look, Error> {
        let sent = going_on();
        let ground = self.may_lease().await?;
        let look = match self.0.store.inspect(&self.kept_key(region)).await? {
            Some(known) => Look::of(&known, sent)?,
            None => self.look_at_nothing(region).await?,
        };
        self.must_be_still(ground).await?;
        Ok(look)
    }

    /// A clock is told with a record alone, so one is made that says nothing.
    async fn look_at_nothing(&self, region: &str) -> Result<Look, Error> {
        let (key, ttl) = (self.kept_key(region), self.0.options.claim_ttl());
        let lease =
            |token, previous| Claim::Lease { token, previous, time: MAKING, ttl, over: None };
        if let Ok((token, _)) = self.claim_anew(&key, &mut Vec::new(), lease).await? {
            self.settle(&key, &Change::Unlease { token, until: None }, None).await?;
        }
        let sent = going_on();
        let known = self.0.store.inspect(&key).await?;
        let known =
            known.ok_or_else(|| StoreError::unavailable("a record of a region vanished"))?;
        Look::of(&known, sent)
    }

    /// Runs a command on what this cluster keeps of a region. What is answered is what is there then, and when it was seen.
    ///
    /// # Errors
    /// The cluster does not answer. The command may have been run.
    pub(super) async fn ask_region(
        &self,
        region: &str,
        command: Serving,
        span: Duration,
    ) -> Result<Result<Look, Refusal>, Error> {
        for _ in 0..TRIES {
            let look = self.look_at_region(region).await?;
            let before = look.standing();
            let mut slot = before;
            let answer = serving(&mut slot, look.now, span, command);
            if let Serving::Join { epoch } = command
                && before.is_some_and(|standing| standing.may_serve(epoch, look.now))
            {
                // Its own, whose answer did not come.
                return Ok(Ok(look));
            }
            if slot == before {
                return Ok(answer.map(|_| look));
            }
            let standing = slot.expect("no command removes it");
            // What was founded was so in the same epoch.
            let founded = look.kept.as_ref().and_then(|kept| kept.founded.clone());
            let founded =
                founded.filter(|_| before.is_some_and(|before| before.epoch == standing.epoch));
            // A lapsed lease is never renewed, also by what comes late.
            let until = matches!(command, Serving::Renew { .. })
                .then_some(before.map(|before| before.until))
                .flatten();
            if let Some(look) =
                self.put_region(region, look, Kept { standing, founded }, until).await?
            {
                return Ok(answer.map(|_| look));
            }
        }
        Err(StoreError::unavailable("others change what is kept of a region all the time").into())
    }

    /// Notes that an epoch was founded, while it lasts.
    pub(super) async fn found_region(
        &self,
        region: &str,
        epoch: Epoch,
        founders: &[String],
        quiet: Duration,
    ) -> Result<bool, Error> {
        let look = self.look_at_region(region).await?;
        let Some(standing) = look.standing().filter(|of| of.may_serve(epoch, look.now)) else {
            return Ok(false);
        };
        let founded = Founded { quiet_until: look.now.after(quiet), founders: founders.to_vec() };
        let (until, kept) = (Some(standing.until), Kept { standing, founded: Some(founded) });
        Ok(self.put_region(region, look, kept, until).await?.is_some())
    }

    /// Replaces what was seen, if nothing else has. `None`: something has.
    async fn put_region(
        &self,
        region: &str,
        look: Look,
        kept: Kept,
        until: Option<Time>,
    ) -> Result<Option<Look>, Error> {
        let ground = self.may_lease().await?;
        let (key, ttl) = (self.kept_key(region), Ttl::from_secs(LIFE).expect("it is one"));
        let value = Some(kept.write());
        let (stamp, written) = if let Some(seen) = look.stamp {
            let token = token();
            let change = Change::Replace { stamp: seen, token, value, ttl, until };
            (token, self.settle(&key, &change, Some(token)).await?)
        } else {
            // What two make at once is made by one.
            let lease =
                |token, previous| Claim::Lease { token, previous, time: MAKING, ttl, over: None };
            let leased = self.claim_anew(&key, &mut Vec::new(), lease).await?;
            let Ok((token, Grant { deadline, generation, .. })) = leased else {
                tokio::time::sleep(jittered(MAKING / 10)).await;
                return Ok(None);
            };
            let (version, until) = (None, None);
            let fill = Change::Fill { token, deadline, generation, value, version, ttl, until };
            (token, self.settle(&key, &fill, Some(token)).await?)
        };
        match written {
            Settled::Applied => {}
            Settled::Refused(_) => return Ok(None),
            Settled::InDoubt(error) => return Err(error.into()),
        }
        self.must_be_still(ground).await?;
        Ok(Some(Look { kept: Some(kept), stamp: Some(stamp), ..look }))
    }

    /// # Errors
    /// Another cluster may have answered than was meant.
    async fn must_be_still(&self, ground: Option<Ground>) -> Result<(), Error> {
        if self.is_still(ground).await {
            return Ok(());
        }
        Err(StoreError::doubtful("the cluster changed while it was asked who may serve").into())
    }
}

/// How long a record lives that nobody writes any more. What is forgotten then is waited out.
const LIFE: u32 = 10 * 365 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_what_is_foreign_is_refused() {
        let standing =
            Standing { epoch: Epoch::new(1), until: Time::from_nanos(2), bar: Epoch::new(3) };
        let founders = vec!["eu".to_owned(), "us".to_owned()];
        let founded = Some(Founded { quiet_until: Time::from_nanos(4), founders });
        for kept in [Kept { standing, founded }, Kept { standing, founded: None }] {
            assert_eq!(Kept::read(&kept.write()).unwrap(), kept);
        }
        for foreign in [&b""[..], b"\x01short", &[9; 40]] {
            assert!(Kept::read(foreign).is_err());
        }
    }
}
