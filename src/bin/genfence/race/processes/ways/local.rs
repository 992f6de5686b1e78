use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::super::super::Failure;
use super::super::talk::{Ask, Source, Task};
use super::{Found, Key, Version, Way, dawdles, goes_away};

/// Of a backplane, copies live so many times longer than those that nobody is told of.
pub const TOLD: u32 = 10;

/// A memory level, as FusionCache and others have it. There is none behind it, which could only add to what is stale.
pub struct Local {
    copies: RefCell<HashMap<Key, (Version, Instant)>>,
    life: Duration,
    /// Whether other processes are told of changes.
    publishes: bool,
}

impl Local {
    pub async fn open(task: &Task) -> Result<Rc<Self>, Failure> {
        let publishes = task.way == Way::Backplane;
        let life = task.near * if publishes { TOLD } else { 1 };
        let local = Rc::new(Local { copies: RefCell::default(), life, publishes });
        if publishes {
            let backplane = Source::connect(task.at).await?;
            let copies = Rc::clone(&local);
            tokio::task::spawn_local(async move {
                backplane
                    .listen(|row| {
                        copies.copies.borrow_mut().remove(&row);
                    })
                    .await;
            });
        }
        Ok(local)
    }

    pub async fn read(&self, key: Key, source: &Source) -> Found {
        let copy = self.copies.borrow().get(&key).copied();
        if let Some((version, until)) = copy
            && Instant::now() < until
        {
            return (version, false);
        }
        let version = source.load(key).await;
        self.copies.borrow_mut().insert(key, (version, Instant::now() + self.life));
        (version, true)
    }

    pub async fn write(&self, key: Key, source: &Source) -> bool {
        dawdles().await;
        source.change(key, None).await;
        if goes_away().await {
            return false;
        }
        self.copies.borrow_mut().remove(&key);
        if self.publishes {
            source.tell(&Ask::Publish(key)).await;
        }
        true
    }
}
