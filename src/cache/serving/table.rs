//! What a writer asks the grantors: which regions serve, and in which epochs; and that one which does not answer be let no longer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::super::regions::{Regions, Target, in_region};
use super::super::retry::jittered;
use super::super::{Cache, Error};
use super::Serves;
use super::kept::Look;
use crate::protocol::{Epoch, Serving};
use crate::store::StoreError;

/// Who may serve.
pub(in crate::cache) struct Table {
    pub targets: Vec<Target>,
    /// So long nobody changes the source: a grantor does not know who served before.
    pub waits: Duration,
}

/// Between two looks whether a region has stopped.
const PAUSE: Duration = Duration::from_millis(50);

impl Cache {
    /// Reads who may serve, at a majority of the grantors.
    ///
    /// # Errors
    /// Too few of them answer.
    pub(in crate::cache) async fn table(
        &self,
        regions: &Regions,
        serves: &Serves,
    ) -> Result<Table, Error> {
        let names: Vec<&Arc<str>> = regions.names().collect();
        let asked = serves.grantors.iter().filter_map(|grantor| {
            let (cache, names) = (self.of_region(grantor)?, &names);
            Some(async move {
                let looks =
                    join_all(names.iter().map(|name| cache.known_region(name, serves.span))).await;
                looks
                    .into_iter()
                    .collect::<Result<Vec<Look>, Error>>()
                    .map_err(|error| in_region(grantor, error))
            })
        });
        let said = majority(asked.collect(), serves.grantors.len()).await?;
        let mut table = Table { targets: Vec::new(), waits: Duration::ZERO };
        for (place, region) in names.into_iter().enumerate() {
            let Some(cache) = self.of_region(region) else { continue };
            let mut epochs = BTreeSet::new();
            for look in said.iter().map(|looks| &looks[place]) {
                match look.standing() {
                    Some(standing) if standing.until <= look.now => {}
                    Some(standing) if !standing.epoch.is_none() => {
                        epochs.insert(standing.epoch);
                    }
                    // It may have let somebody serve, and forgotten.
                    _ => table.waits = serves.span + self.0.options.reservation_margin,
                }
            }
            let target = |epoch| Target { region: Arc::clone(region), cache: cache.clone(), epoch };
            table.targets.extend(epochs.into_iter().map(target));
        }
        Ok(table)
    }

    /// Waits until a region that does not answer serves no more in that epoch, which the grantors are told not to prolong.
    ///
    /// # Errors
    /// Too few grantors answer.
    pub(in crate::cache) async fn wait_out(
        &self,
        serves: &Serves,
        target: &Target,
    ) -> Result<(), Error> {
        let region = &target.region;
        serves.counts.barred.add();
        tracing::warn!(%region, "a region does not answer; it is waited for until it serves no more");
        let asked = serves.grantors.iter().filter_map(|grantor| {
            let cache = self.of_region(grantor)?;
            Some(async move {
                cache
                    .is_out(region, target.epoch, serves.span)
                    .await
                    .map_err(|error| in_region(grantor, error))
            })
        });
        // One that forgets costs as long again.
        let patience = serves.span * 2 + self.0.options.reservation_margin;
        let out = timeout(patience, majority(asked.collect(), serves.grantors.len())).await;
        match out {
            Ok(out) => out.map(drop),
            Err(_) => Err(StoreError::unavailable(format!(
                "region {region} does not answer, and the grantors do not say within {patience:?} that it serves no more"
            ))
            .into()),
        }
    }

    /// What this cluster keeps of a region. Where it knows nothing it notes so, or every writer would wait anew for what may have been
    /// forgotten: of a region without programs, say.
    async fn known_region(&self, region: &str, span: Duration) -> Result<Look, Error> {
        let look = self.look_at_region(region).await?;
        if look.kept.is_none() {
            let noted = self.ask_region(region, Serving::Bar { epoch: Epoch::NONE }, span).await?;
            return Ok(noted.unwrap_or(look));
        }
        Ok(look)
    }

    /// Bars a region at this cluster, and returns once its time there is over.
    async fn is_out(&self, region: &str, epoch: Epoch, span: Duration) -> Result<(), Error> {
        loop {
            let bar = self.ask_region(region, Serving::Bar { epoch }, span).await?;
            let look =
                bar.map_err(|refusal| StoreError::refused(format!("it refused a bar: {refusal}")))?;
            let Some(standing) = look.standing() else { continue };
            if standing.is_out(epoch, look.now) {
                return Ok(());
            }
            sleep(jittered(standing.until.remaining(look.now).min(PAUSE * 4)).max(PAUSE)).await;
        }
    }
}

/// The answers of more than half of so many, as soon as they are there.
async fn majority<T>(
    asked: Vec<impl Future<Output = Result<T, Error>>>,
    of: usize,
) -> Result<Vec<T>, Error> {
    let needed = of / 2 + 1;
    let mut asked: FuturesUnordered<_> = asked.into_iter().collect();
    let (mut answers, mut failed) = (Vec::new(), None);
    while let Some(answer) = asked.next().await {
        match answer {
            Ok(answer) => answers.push(answer),
            Err(error) => failed = Some(error),
        }
        if answers.len() == needed {
            return Ok(answers);
        }
    }
    Err(failed.unwrap_or_else(|| StoreError::refused("no grantor is there").into()))
}
