//! What all programs of a set say alike, as it stands in its contract.

#[cfg(feature = "cli")]
use super::HomesPhase;
use super::kinds::Words;
use super::{Homes, Options, UnreachableRegion};
use crate::protocol::Terms;

/// What stands there where there is one.
pub(crate) const ONE_REGION: &str = "one region";

/// What all programs of a set must say alike, as it stands in a record of the set: which region it is of, which there are, and
/// how they are fenced.
pub(crate) fn agreement(
    region: Option<&str>,
    names: &[&str],
    options: &Options,
    homes: Option<&Homes>,
) -> String {
    let near = format!("{}{}", near(options), if options.tags { TAGS } else { "" });
    let Some(region) = region else { return format!("{ONE_REGION}{near}") };
    let mut names = names.to_vec();
    names.sort_unstable();
    let fence = options.fence.word();
    let all = format!("{region} of {}, fence={fence}{near}", names.join(","));
    if let Some(homes) = homes {
        return format!("{all}{HOMES}{homes}");
    }
    if options.unreachable != UnreachableRegion::Wait {
        return all;
    }
    let mut grantors = options.grantors();
    grantors.sort_unstable();
    let [lease, reservation] = [options.serving_lease, options.reservation_time];
    let [lease, reservation] = [lease, reservation].map(humantime::format_duration);
    let grantors = grantors.join(",");
    format!("{all}, grantors={grantors}, serving_lease={lease}, reservation_time={reservation}")
}

/// What copies all reckon with, where there are any.
fn near(options: &Options) -> String {
    let Terms { unsaid, clocks } = options.terms();
    if unsaid.is_zero() {
        return String::new();
    }
    let [near, margin] = [unsaid, clocks].map(humantime::format_duration);
    format!("{NEAR}{near}, reservation_margin={margin}")
}

/// What stands before the longest time of a copy.
const NEAR: &str = ", near_max=";

/// What stands where values bear tags.
const TAGS: &str = ", tags=on";

/// What stands before the lists of homes.
const HOMES: &str = ", homes=";

/// Whether programs may go over from the one to the other while some of both run, with the less of what both promise.
#[cfg(feature = "cli")]
pub(crate) fn follows(old: &str, new: &str) -> bool {
    // Who reckons with shorter copies does not wait for the others'.
    if copies(old) != copies(new) {
        return false;
    }
    // Neither reads, nor fences, what the other keeps.
    if old.contains(TAGS) != new.contains(TAGS) {
        return false;
    }
    if old.contains(HOMES) || new.contains(HOMES) {
        // Who knows of no homes fences elsewhere.
        return homes(old).zip(homes(new)).is_some_and(|(old, new)| new.follows(&old));
    }
    let leased = |line: &str| line.contains(", grantors=");
    let all = |line: &str| line.contains(", fence=all");
    let regions = |line: &str| {
        let after = line.split_once(" of ").map(|(_, after)| after.to_owned());
        after.and_then(|after| Some(after.split_once(", fence=")?.0.to_owned()))
    };
    let others = all(old) && all(new) && regions(old) != regions(new);
    !(leased(old) || leased(new) || others)
}

/// Whether the new one reads homes that the old one does not read yet. A writer that was killed before may still have a change under way which
/// was fenced at its old home alone.
#[cfg(feature = "cli")]
pub(crate) fn begins_to_read(old: &str, new: &str) -> bool {
    let reads = |line: &str| homes(line).map(|homes| homes.phase == HomesPhase::Read);
    reads(old) == Some(false) && reads(new) == Some(true)
}

/// What a line says of copies: two settings.
#[cfg(feature = "cli")]
fn copies(line: &str) -> Option<Vec<&str>> {
    line.split_once(NEAR).map(|(_, said)| said.split(", ").take(2).collect())
}

#[cfg(feature = "cli")]
fn homes(line: &str) -> Option<Homes> {
    line.split_once(HOMES).and_then(|(_, homes)| Homes::parse(homes))
}

/// Whether the lists of the new one begin with those of the old one, so that no number is used again.
#[cfg(feature = "cli")]
pub(crate) fn goes_on(old: &str, new: &str) -> bool {
    homes(old).zip(homes(new)).is_none_or(|(old, new)| new.goes_on(&old))
}

/// Whether keys are fenced elsewhere.
#[cfg(feature = "cli")]
pub(crate) fn moves(old: &str, new: &str) -> bool {
    homes(old) != homes(new)
}
