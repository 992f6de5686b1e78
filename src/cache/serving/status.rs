//! How the regions stand, for an operator.

use std::time::Duration;

use futures_util::future::{join, join_all};

use super::super::{Cache, Error};
use super::kept::Look;
use crate::protocol::Epoch;

/// How a region stands, as its own cluster and the grantors say.
///
/// # Example
/// See [`Cache::regions`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RegionStatus {
    /// Its name.
    pub region: String,
    /// Whether it is the region of this program.
    pub is_own: bool,
    /// What is wrong with its cluster, as seen from here. `None`: it answers.
    pub problem: Option<String>,
    /// The epoch that it serves in. 0 where it has none, as where regions do not serve under leases.
    pub epoch: u64,
    /// For how long it has had that epoch.
    #[cfg_attr(feature = "serde", serde(serialize_with = "millis"))]
    pub age: Duration,
    /// For how long it still serves nothing, as the epoch is new.
    #[cfg_attr(feature = "serde", serde(serialize_with = "millis"))]
    pub quiet_for: Duration,
    /// What each grantor says of it.
    pub grants: Vec<RegionGrant>,
}

/// What a grantor says of a region.
///
/// # Example
/// See [`Cache::regions`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RegionGrant {
    /// The region whose cluster it is.
    pub grantor: String,
    /// What is wrong with it, as seen from here. `None`: it answers.
    pub problem: Option<String>,
    /// For how long it lets the region serve.
    #[cfg_attr(feature = "serde", serde(serialize_with = "millis"))]
    pub left: Duration,
    /// Whether it lets the region serve in this epoch no more after that, as a writer got no answer from it.
    pub is_barred: bool,
}

#[cfg(feature = "serde")]
fn millis<S: serde::Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

impl Cache {
    /// How all regions stand, the own one first; none where there is one region. Each cluster is asked, within the bounds of the
    /// commands there.
    ///
    /// # Errors
    /// [`Error::ShutDown`]. A cluster that does not answer is a problem of its region.
    ///
    /// # Example
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), genfence::Error> {
    /// use genfence::{Cache, Fence};
    ///
    /// let us = Cache::connect("memory://").await?;
    /// let eu = Cache::builder().region("eu").fence(Fence::All).peer("us", us).connect("memory://").await?;
    /// for region in eu.regions().await? {
    ///     println!("{}: {}", region.region, region.problem.as_deref().unwrap_or("it answers"));
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn regions(&self) -> Result<Vec<RegionStatus>, Error> {
        self.open_or_shut_down()?;
        let Some(regions) = &self.0.regions else { return Ok(Vec::new()) };
        let names = regions.names().map(|name| self.status_of(name, *name == regions.own));
        Ok(Box::pin(join_all(names)).await)
    }

    async fn status_of(&self, region: &str, is_own: bool) -> RegionStatus {
        let serves = self.0.serves.as_ref();
        let grantors: &[String] = serves.map_or(&[], |serves| &serves.grantors);
        let own = async {
            match self.of_region(region) {
                // Where nobody serves under a lease, only whether it answers is of interest.
                Some(cache) if serves.is_none() => {
                    cache.0.store.answers().await.map(|()| None).map_err(Error::from)
                }
                Some(cache) => cache.look_at_region(region).await.map(Some),
                None => Ok(None),
            }
        };
        let grants = grantors.iter().map(async |grantor| {
            let look = match self.of_region(grantor) {
                Some(cache) => cache.look_at_region(region).await,
                None => Err(Error::invalid("grantors", "it is no region")),
            };
            grant(grantor, look)
        });
        let (own, grants) = join(own, join_all(grants)).await;
        let (look, problem) = match own {
            Ok(look) => (look, None),
            Err(error) => (None, Some(error.to_string())),
        };
        let epoch = look.as_ref().and_then(Look::standing).map_or(Epoch::NONE, |of| of.epoch);
        let now = look.as_ref().map(|look| look.now);
        let quiet =
            look.as_ref().and_then(|look| Some(look.kept.as_ref()?.founded.as_ref()?.quiet_until));
        let age =
            now.filter(|_| !epoch.is_none()).map(|now| now.as_nanos().saturating_sub(epoch.get()));
        RegionStatus {
            region: region.to_owned(),
            is_own,
            problem,
            epoch: epoch.get(),
            age: Duration::from_nanos(age.unwrap_or_default()),
            quiet_for: quiet.zip(now).map_or(Duration::ZERO, |(quiet, now)| quiet.remaining(now)),
            grants,
        }
    }
}

fn grant(grantor: &str, look: Result<Look, Error>) -> RegionGrant {
    let (look, problem) = match look {
        Ok(look) => (Some(look), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let standing = look.as_ref().and_then(|look| Some((look.standing()?, look.now)));
    RegionGrant {
        grantor: grantor.to_owned(),
        problem,
        left: standing.map_or(Duration::ZERO, |(of, now)| of.until.remaining(now)),
        is_barred: standing.is_some_and(|(of, _)| of.bar > of.epoch),
    }
}
