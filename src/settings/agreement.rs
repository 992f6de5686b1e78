//! What all programs of a set say alike, as it stands in its contract.

use super::kinds::Words;
use super::{Fence, Homes, Options, UnreachableRegion};

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
    let Some(region) = region else { return ONE_REGION.to_owned() };
    let mut names = names.to_vec();
    names.sort_unstable();
    let words = Fence::WORDS.iter();
    let fence = words.filter(|(_, of)| *of == options.fence).map(|(word, _)| *word);
    let fence: String = fence.collect();
    let all = format!("{region} of {}, fence={fence}", names.join(","));
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

/// What stands before the lists of homes.
const HOMES: &str = ", homes=";

/// Whether programs that say the one and the other may run at the same time, with the less of what both promise.
#[cfg(feature = "cli")]
pub(crate) fn meet(one: &str, other: &str) -> bool {
    let homes = |line: &str| line.split_once(HOMES).map(|(_, homes)| Homes::parse(homes));
    let (one_homes, other_homes) = (homes(one), homes(other));
    if one_homes.is_some() || other_homes.is_some() {
        // Who knows of no homes fences elsewhere.
        let both = one_homes.flatten().zip(other_homes.flatten());
        return both.is_some_and(|(one, other)| one.meets(&other));
    }
    let leased = |line: &str| line.contains(", grantors=");
    let all = |line: &str| line.contains(", fence=all");
    let regions = |line: &str| {
        let after = line.split_once(" of ").map(|(_, after)| after.to_owned());
        after.and_then(|after| Some(after.split_once(", fence=")?.0.to_owned()))
    };
    let others = all(one) && all(other) && regions(one) != regions(other);
    !(leased(one) || leased(other) || others)
}
