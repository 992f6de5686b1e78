//! What all programs of a set say of regions: which one it is of, which there are, how they are fenced. It stands in the
//! records of the [contract](super::contract).
//!
//! A writer that fences other regions than the others do, or none, would change the source behind their back.

#[cfg(feature = "cli")]
use std::sync::Arc;

use aerospike::expressions::string_val;
use aerospike::operations::exp::{ExpWriteFlags, write_exp};
use aerospike::operations::get_bin;
#[cfg(feature = "cli")]
use aerospike::{Bin, Value};
use aerospike::{Expiration, Key, WritePolicy};
use futures_util::{StreamExt, stream};

use super::Connected;
use super::bins::Reader;
use super::canary::answered;
use super::contract::{AT_ONCE, COPIES};
use crate::settings::ONE_REGION;
#[cfg(feature = "cli")]
use crate::settings::{begins_to_read, follows, goes_on, moves};
use crate::store::{Finding, Level, StoreError};

/// The bin. While it changes there are two texts, each in a line of its own.
const REGIONS: &str = "regions";

impl Connected {
    /// Whether the others say the same of regions; where nobody has said anything, this is said.
    ///
    /// # Errors
    /// They do not, and `again` is false.
    pub(super) async fn agree_on_regions(&self, again: bool) -> Result<(), StoreError> {
        let Some(own) = &self.regions else { return Ok(()) };
        let said = self.regions_said().await?;
        let differs = |known: &str| !again && !known.lines().any(|line| *line == **own);
        let mut all = said.iter().filter_map(|(_, known)| known.as_deref());
        if let Some(known) = all.clone().find(|known| differs(known)) {
            return Err(disagreement(own, known));
        }
        let known = all.next().map(str::to_owned);
        if known.is_none() && !self.says {
            return Ok(());
        }
        let known = known.unwrap_or_else(|| own.to_string());
        let missing = said.into_iter().filter(|(_, said)| said.is_none());
        let writing = missing.map(|(key, _)| self.write_regions(key, known.clone()));
        let writing = stream::iter(writing.collect::<Vec<_>>());
        let written: Vec<Result<String, StoreError>> =
            writing.buffer_unordered(AT_ONCE).collect().await;
        // Another may have come first.
        if let Some(known) = written.iter().flatten().find(|known| differs(known)) {
            return Err(disagreement(own, known));
        }
        let nothing_said = written.len() == COPIES && written.iter().all(Result::is_err);
        written.into_iter().find(|_| nothing_said).map_or(Ok(()), |failed| failed.map(drop))
    }

    /// What the set's programs say of regions, for the doctor.
    pub(super) async fn look_at_regions(&self) -> Finding {
        let why = "a writer that fences other regions than the other programs do would change the source behind their back";
        let own = self.regions.as_deref().unwrap_or(ONE_REGION);
        let (level, found, advice) = match self.regions_said().await {
            Err(error) => {
                (Level::Error, error.to_string(), Some("see that the cluster is up".to_owned()))
            }
            Ok(said) => {
                let mut said: Vec<&str> =
                    said.iter().filter_map(|(_, said)| said.as_deref()).collect();
                said.dedup();
                let found = if said.is_empty() {
                    "none yet".to_owned()
                } else {
                    said.join("; ").replace('\n', ", or ")
                };
                if said.iter().all(|said| said.lines().any(|line| line == own)) {
                    (Level::Ok, found, None)
                } else {
                    let advice = format!(
                        "give all programs the same, or see `genfence contract --help`; here it is \"{own}\""
                    );
                    (Level::Error, found, Some(advice))
                }
            }
        };
        Finding { check: "regions", level, found, why, advice }
    }

    /// What the copies say of regions that can be asked. Where no one says anything and there are some, there is one region.
    ///
    /// # Errors
    /// None can be asked.
    async fn regions_said(&self) -> Result<Vec<(Key, Option<String>)>, StoreError> {
        let copies = stream::iter(0..COPIES).map(|number| async move {
            let key = self.contract_key(number)?;
            let copy = self.read_copy(&key).await?;
            let said = copy.as_ref().map(|copy| copy.text(REGIONS)).transpose()?;
            Ok::<_, StoreError>((key, said))
        });
        let copies: Vec<_> = copies.buffer_unordered(AT_ONCE).collect().await;
        let (asked, failed): (Vec<_>, Vec<_>) = copies.into_iter().partition(Result::is_ok);
        if asked.is_empty() {
            // A node that does not answer has copies of others' as well.
            failed.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
        let asked: Vec<(Key, Option<Option<String>>)> = asked.into_iter().flatten().collect();
        let is_said = asked.iter().any(|(_, copy)| matches!(copy, Some(Some(_))));
        let said = |copy: Option<Option<String>>| match copy {
            Some(None) if !is_said => Some(ONE_REGION.to_owned()),
            other => other.flatten(),
        };
        Ok(asked.into_iter().map(|(key, copy)| (key, said(copy))).collect())
    }

    /// Says it where nothing is said; what is said there then.
    async fn write_regions(&self, key: Key, text: String) -> Result<String, StoreError> {
        let policy = WritePolicy { expiration: Expiration::Never, ..self.write.clone() };
        let once = ExpWriteFlags::CREATE_ONLY | ExpWriteFlags::POLICY_NO_FAIL;
        let operations = [write_exp(REGIONS, string_val(text.clone()), once), get_bin(REGIONS)];
        let record = self.client.operate(&policy, &key, &operations).await.map_err(answered)?;
        Ok(Reader::of_row(record).text(REGIONS)?.unwrap_or(text))
    }
}

/// What all programs of a set say alike, for the tool.
#[cfg(feature = "cli")]
#[doc(hidden)]
pub struct Contract(pub(super) Arc<Connected>);

#[cfg(feature = "cli")]
impl Contract {
    /// What this program says.
    pub fn own(&self) -> String {
        self.0.regions.as_deref().unwrap_or(ONE_REGION).to_owned()
    }

    /// Whether programs may go over from the one to the other while some of both run, with the less of what both promise.
    pub fn follows(old: &str, new: &str) -> bool {
        follows(old, new)
    }

    /// Whether programs that start after all have stopped find nothing of homes that is too old.
    pub fn goes_on(old: &str, new: &str) -> bool {
        goes_on(old, new)
    }

    /// Whether a reservation's time must pass before the first program says the new one.
    pub fn waits(old: &str, new: &str, stopped: bool) -> bool {
        if stopped { moves(old, new) } else { begins_to_read(old, new) }
    }

    /// What is written, a line for each that is let in.
    ///
    /// # Errors
    /// No node answers.
    pub async fn said(&self) -> Result<Vec<String>, StoreError> {
        let said = self.0.regions_said().await?;
        let lines = said.iter().filter_map(|(_, said)| said.as_deref()).flat_map(str::lines);
        let mut lines: Vec<String> = lines.map(str::to_owned).collect();
        lines.sort_unstable();
        lines.dedup();
        Ok(lines)
    }

    /// Writes these lines instead, into all copies.
    ///
    /// # Errors
    /// One was not written: say it again.
    pub async fn say(&self, lines: &[String]) -> Result<(), StoreError> {
        let policy = WritePolicy { expiration: Expiration::Never, ..self.0.write.clone() };
        for number in 0..COPIES {
            let bin = [Bin::new(REGIONS, Value::from(lines.join("\n")))];
            let key = self.0.contract_key(number)?;
            self.0.client.put(&policy, &key, &bin).await.map_err(answered)?;
        }
        Ok(())
    }
}

fn disagreement(own: &str, known: &str) -> StoreError {
    let known = known.replace('\n', "\", or \"");
    StoreError::refused(format!(
        "region, peers and fence: this set is to be \"{own}\" here, and is \"{known}\" for the other programs that use it: \
         give all the same, or see what `genfence contract --help` says of changing it"
    ))
}
