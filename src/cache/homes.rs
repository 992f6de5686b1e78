//! Homes: where each key has one region, which all others go to for it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::Error;
use crate::protocol::Epoch;
use crate::settings::{self, HomesPhase};

/// A function of the program's that says where a key is at home.
#[derive(Clone)]
pub(super) struct HomeFn {
    pub name: String,
    says: Arc<Says>,
}

/// Gives the region of a key to whom it takes.
type Says = dyn Fn(&[u8], &mut dyn FnMut(&str)) + Send + Sync;

impl HomeFn {
    pub fn new<R: AsRef<str>>(
        name: String,
        says: impl Fn(&[u8]) -> R + Send + Sync + 'static,
    ) -> Self {
        HomeFn { name, says: Arc::new(move |key, take| take(says(key).as_ref())) }
    }
}

impl fmt::Debug for HomeFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HomeFn").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The homes of all keys.
#[derive(Debug)]
pub(super) struct Homes {
    /// All regions that a list names, or that there are.
    regions: Vec<Region>,
    /// The newest last.
    lists: Vec<List>,
    phase: HomesPhase,
}

#[derive(Debug)]
struct Region {
    name: Arc<str>,
    seed: u64,
    /// Whether it is there, and not only in a list of before.
    exists: bool,
}

#[derive(Debug)]
enum List {
    /// Places in [`Homes::regions`].
    Regions(Vec<usize>),
    By(HomeFn),
}

/// A region that a key is at home in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Home {
    pub region: Arc<str>,
    /// The number of the first list since which it is the key's home, or since a function said where that is, counted from one: what this region knows of the key from
    /// before it had another home has another name, and is not found.
    pub epoch: Epoch,
}

impl Homes {
    /// `regions`: all there are.
    pub fn new(homes: &settings::Homes, function: Option<&HomeFn>, regions: &[&str]) -> Self {
        let mut names: Vec<&str> = regions.to_vec();
        let is_by = |list: &[String]| function.is_some_and(|by| list == [by.name.as_str()]);
        for name in homes.lists.iter().filter(|list| !is_by(list)).flatten() {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let place = |name: &String| names.iter().position(|known| *known == name);
        let lists = homes.lists.iter().map(|list| match function {
            Some(by) if is_by(list) => List::By(by.clone()),
            _ => List::Regions(list.iter().filter_map(place).collect()),
        });
        let lists = lists.collect();
        let region = |name: &str| Region {
            name: name.into(),
            seed: mixed(fnv1a(name.as_bytes())),
            exists: regions.contains(&name),
        };
        Homes { regions: names.into_iter().map(region).collect(), lists, phase: homes.phase }
    }

    /// Where a key is read and filled.
    ///
    /// # Errors
    /// The program's function says of none that is there, or panics.
    pub fn of(&self, key: &[u8]) -> Result<Home, Error> {
        let newest = self.lists.len() - 1;
        self.in_list(newest - usize::from(self.phase == HomesPhase::Fence), key)
    }

    /// Where a key is reserved: where it is read first.
    ///
    /// # Errors
    /// As [`of`](Homes::of).
    pub fn fenced(&self, key: &[u8]) -> Result<SmallVec<[Home; 2]>, Error> {
        let newest = self.lists.len() - 1;
        let (read, also) = match self.phase {
            HomesPhase::Done => return Ok(smallvec![self.in_list(newest, key)?]),
            HomesPhase::Fence => (newest - 1, newest),
            HomesPhase::Read => (newest, newest - 1),
        };
        let (read, also) = (self.in_list(read, key)?, self.in_list(also, key)?);
        Ok(if read == also { smallvec![read] } else { smallvec![read, also] })
    }

    fn in_list(&self, list: usize, key: &[u8]) -> Result<Home, Error> {
        let hash = fnv1a(key);
        let home = self.place(list, key, hash)?;
        let region = &self.regions[home];
        if !region.exists {
            return Err(unknown(&region.name, &self.regions));
        }
        // A function of before is not looked through: programs that have it no more must come to the same.
        let before = |list: usize| !matches!(self.lists[list], List::By(_));
        let mut since = list;
        while since > 0 && before(since - 1) && self.place(since - 1, key, hash)? == home {
            since -= 1;
        }
        Ok(Home { region: Arc::clone(&region.name), epoch: Epoch::new(since as u64 + 1) })
    }

    fn place(&self, list: usize, key: &[u8], hash: u64) -> Result<usize, Error> {
        match &self.lists[list] {
            // Rendezvous hashing: a region that comes takes its share from each of the others, and one that goes leaves its own to all.
            List::Regions(places) => {
                let weight = |place: &&usize| mixed(hash ^ self.regions[**place].seed);
                let home = places.iter().max_by_key(weight);
                home.copied().ok_or_else(|| Error::invalid("homes", "is a list of none"))
            }
            List::By(by) => {
                let mut place = Err(Error::invalid("home", "the function says nothing"));
                let mut take = |name: &str| {
                    let known = self.regions.iter().position(|region| *region.name == *name);
                    place = known.ok_or_else(|| unknown(name, &self.regions));
                };
                let said = catch_unwind(AssertUnwindSafe(|| (by.says)(key, &mut take)));
                said.map_err(|_| Error::invalid("home", "the function panicked of a key"))?;
                place
            }
        }
    }
}

#[cold]
fn unknown(name: &str, regions: &[Region]) -> Error {
    let there = regions.iter().filter(|region| region.exists).map(|region| &*region.name);
    let there: Vec<&str> = there.collect();
    let there = there.join(", ");
    let name: String = name.chars().take(32).collect();
    let problem = if name.is_empty() {
        format!("the function does not say where a key is at home; regions are {there}")
    } else {
        format!("the function says {name:?} of a key, which is no region; these are {there}")
    };
    Error::invalid("home", problem)
}

/// FNV-1a of 64 bits. It and what is made of it must stay as it is for ever: tests/cases/homes.json.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// The last steps of MurmurHash3: each bit of what goes in changes half of those that come out.
fn mixed(mut hash: u64) -> u64 {
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}
