//! Which regions keys are at home in, where each key has one: every list of them that there has been, and how far a change of the list is.

use std::collections::HashSet;
use std::fmt;

use super::kinds::Words;
#[cfg(any(test, all(feature = "aerospike", feature = "cli")))]
use super::kinds::{Choice, Kind};
use super::regions::check_name;
use super::{Fence, HomesPhase, Invalid, Options, within};

/// The most lists.
const MAX_LISTS: usize = 64;

/// What of it all programs of all regions must say alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Homes {
    /// Each sorted, the newest last: regions, or the name of a function of the program's.
    pub lists: Vec<Vec<String>>,
    pub phase: HomesPhase,
}

#[cfg(any(test, all(feature = "aerospike", feature = "cli")))]
impl Homes {
    /// As it stands in the contract: `eu,us/ap,eu,us, homes_phase=fence`.
    pub fn parse(text: &str) -> Option<Self> {
        let (lists, phase) = match text.split_once(", homes_phase=") {
            Some((lists, phase)) => (lists, Choice::parse("homes_phase", phase).ok()?),
            None => (text, HomesPhase::Done),
        };
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Some(Homes { lists: lists.split('/').map(list).collect(), phase })
    }

    /// Whether no number is used again: what was stored under it would be found.
    pub fn goes_on(&self, old: &Self) -> bool {
        let read = match old.phase {
            // Nobody has stored in the new one's yet.
            HomesPhase::Fence => old.lists.len() - 1,
            HomesPhase::Read | HomesPhase::Done => old.lists.len(),
        };
        self.lists.starts_with(&old.lists[..read])
    }

    /// Whether programs may go over to this from that: while some are in the one and some in the other, every writer fences what any of them
    /// reads. A change may be called off as long as nobody reads at the new homes; what was stored there under its number would be found
    /// by the next change that has it.
    pub fn follows(&self, old: &Self) -> bool {
        use HomesPhase::{Done, Fence, Read};
        let adds = |one: &Self, other: &Self| {
            one.lists.split_last().is_some_and(|(_, before)| before == other.lists)
        };
        match (old.phase, self.phase) {
            (Done, Fence) => adds(self, old),
            (Fence, Done) => adds(old, self),
            (Fence, Read) | (Read, Done) => old.lists == self.lists,
            _ => old == self,
        }
    }
}

impl fmt::Display for Homes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lists: Vec<String> = self.lists.iter().map(|list| list.join(",")).collect();
        f.write_str(&lists.join("/"))?;
        if self.phase == HomesPhase::Done {
            return Ok(());
        }
        write!(f, ", homes_phase={}", self.phase.word())
    }
}

impl Options {
    /// The function that a list in use names, for who looks at the settings of a program that has it.
    pub fn home_function(&self, regions: &[&str]) -> Option<&str> {
        let lists = self.homes.as_deref()?.rsplit('/').take(2);
        lists.into_iter().find(|list| !list.contains(',') && !regions.contains(list))
    }

    /// The lists of homes, where `fence` is `home`. `function`: the name of the function that the program brings.
    ///
    /// # Errors
    /// What does not fit together, by name.
    pub fn homes(
        &self,
        regions: &[&str],
        function: Option<&str>,
    ) -> Result<Option<Homes>, Invalid> {
        if self.fence != Fence::Home {
            let problem = "has a meaning where `fence` is `home` alone: leave it out, or say so";
            let refused = |field| Err(Invalid::new(field, problem));
            return match () {
                () if self.homes.is_some() => refused("homes"),
                () if self.homes_phase != HomesPhase::Done => refused("homes_phase"),
                () if function.is_some() => refused("home"),
                () => Ok(None),
            };
        }
        if let Some(name) = function {
            check_name("home", name)?;
            if regions.contains(&name) {
                let problem = format!("{name} is the name of a region: give it another");
                return Err(Invalid::new("home", problem));
            }
        }
        let mut all = regions.to_vec();
        all.sort_unstable();
        let default = function.map_or_else(|| all.join(","), str::to_owned);
        let lists = self.homes.as_deref().unwrap_or(&default).split('/').map(list);
        let lists = lists.collect::<Result<Vec<_>, _>>()?;
        within("homes", lists.len(), 1, Some(MAX_LISTS))
            .map_err(|invalid| invalid.noting(&["; so many lists there may be"]))?;
        let changes = self.homes_phase != HomesPhase::Done;
        if changes && lists.len() == 1 {
            let problem = "in `homes` is one list alone, so nothing changes: leave it out";
            return Err(Invalid::new("homes_phase", problem));
        }
        let is_function = |list: &[String]| function.is_some_and(|name| list == [name]);
        let used = lists.iter().rev().take(1 + usize::from(changes));
        let mut named = used.filter(|list| !is_function(list)).flatten();
        if let Some(unknown) = named.find(|name| !regions.contains(&name.as_str())) {
            let problem = format!(
                "{unknown} is no region, and no function of this program's; regions are {}",
                all.join(", ")
            );
            return Err(Invalid::new("homes", problem));
        }
        if function.is_some() && !lists.iter().any(|list| is_function(list)) {
            return Err(Invalid::new(
                "homes",
                "does not name the function that this program brings",
            ));
        }
        Ok(Some(Homes { lists, phase: self.homes_phase }))
    }
}

fn list(text: &str) -> Result<Vec<String>, Invalid> {
    let mut list: Vec<String> = text.split(',').map(str::to_owned).collect();
    let mut seen = HashSet::new();
    for name in &list {
        check_name("homes", name)?;
        if !seen.insert(name) {
            return Err(Invalid::new("homes", format!("{name} is there twice in a list")));
        }
    }
    list.sort_unstable();
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_follows_the_one_before_and_a_change_may_be_called_off_before_it_is_read() {
        let texts = [
            "eu,us",
            "eu,us/ap,eu,us, homes_phase=fence",
            "eu,us/ap,eu,us, homes_phase=read",
            "eu,us/ap,eu,us",
            "eu,us/ap,eu,us/eu,us, homes_phase=fence",
        ];
        let homes = texts.map(|text| Homes::parse(text).unwrap());
        for (one, text) in homes.iter().zip(texts) {
            assert_eq!(one.to_string(), text);
        }
        let called_off = [(1, 0), (4, 3)];
        for (from, old) in homes.iter().enumerate() {
            for (to, new) in homes.iter().enumerate() {
                let may = to == from || to == from + 1 || called_off.contains(&(from, to));
                assert_eq!(new.follows(old), may, "{new} after {old}");
            }
        }
        let goes_on =
            |old: &str, new: &str| Homes::parse(new).unwrap().goes_on(&Homes::parse(old).unwrap());
        assert!(goes_on("eu", "eu/us") && goes_on("eu", "eu") && !goes_on("eu/us", "eu"));
        assert!(!goes_on("eu/us", "eu/us,ap") && goes_on("eu/us, homes_phase=fence", "eu/ap"));
        assert!(!goes_on("eu/us, homes_phase=read", "eu"));
        let other = Homes::parse("eu,us/us, homes_phase=fence").unwrap();
        assert!(!other.follows(&homes[1]) && other.follows(&homes[0]));
    }

    #[test]
    fn what_does_not_fit_together_is_refused_by_name() {
        let options = |fence, homes: &str, homes_phase| Options {
            fence,
            homes: (!homes.is_empty()).then(|| homes.to_owned()),
            homes_phase,
            ..Options::default()
        };
        let (own, home) = (Fence::Own, Fence::Home);
        let (done, fencing) = (HomesPhase::Done, HomesPhase::Fence);
        for (fence, homes, phase, function, field, told) in [
            (own, "eu,us", done, None, "homes", "where `fence` is `home` alone"),
            (own, "", fencing, None, "homes_phase", "where `fence` is `home` alone"),
            (own, "", done, Some("f"), "home", "where `fence` is `home` alone"),
            (home, "", fencing, None, "homes_phase", "one list alone"),
            (home, "eu,ap", done, None, "homes", "ap is no region"),
            (home, "eu,ap/eu", fencing, None, "homes", "ap is no region"),
            (home, "eu,eu", done, None, "homes", "eu is there twice"),
            (home, "eu,", done, None, "homes", "0 is out of bounds, must be 1 to 32"),
            (home, "eu", done, Some("f"), "homes", "does not name the function"),
            (home, "", done, Some("eu"), "home", "eu is the name of a region"),
            (home, "", done, Some("F"), "home", "must be of `a` to `z`"),
        ] {
            let refused = options(fence, homes, phase).homes(&["us", "eu"], function).unwrap_err();
            assert_eq!(refused.field, field, "{homes}: {refused:?}");
            assert!(refused.problem.contains(told), "{homes}: {refused:?}");
        }
        let long = vec!["eu"; MAX_LISTS + 1].join("/");
        assert!(options(home, &long, done).homes(&["us", "eu"], None).is_err());
    }

    #[test]
    fn a_list_may_name_regions_that_are_no_more() {
        let options = Options {
            fence: Fence::Home,
            homes: Some("us,ap,eu/us,eu".to_owned()),
            ..Options::default()
        };
        let homes = options.homes(&["us", "eu"], None).unwrap().unwrap();
        assert_eq!(homes.to_string(), "ap,eu,us/eu,us");
        let default = Options { homes: None, ..options.clone() };
        assert_eq!(default.homes(&["us", "eu"], None).unwrap().unwrap().to_string(), "eu,us");
        let by = default.homes(&["us", "eu"], Some("by-country")).unwrap().unwrap();
        assert_eq!(by.to_string(), "by-country");
    }
}
