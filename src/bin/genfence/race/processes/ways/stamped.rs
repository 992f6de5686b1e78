use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Instant;

use super::super::talk::{Ask, Moment, Source, Task};
use super::local::TOLD;
use super::{Found, Key, Version, dawdles, goes_away, is_purged};

/// Tags as FusionCache and HybridCache have them: a value bears the time at which it was made, and is out of date where that
/// is before the time at which its tag was removed. Which is kept once for all, and a copy of it in each process.
pub struct Stamped {
    task: Task,
    values: RefCell<HashMap<Key, Value>>,
    marks: RefCell<HashMap<Key, (Moment, Instant)>>,
}

#[derive(Clone, Copy)]
struct Value {
    version: Version,
    made: Moment,
    until: Instant,
}

impl Stamped {
    pub fn new(task: &Task) -> Self {
        Stamped { task: task.clone(), values: RefCell::default(), marks: RefCell::default() }
    }

    pub async fn read(&self, key: Key, source: &Source) -> Found {
        let row = self.task.row(key);
        let value = self.values.borrow().get(&key).copied();
        if let Some(value) = value
            && Instant::now() < value.until
            && value.made > self.marked(row, source).await
        {
            return (value.version, false);
        }
        // As of before it is read: later would be worse.
        let made = source.now();
        let version = source.load(row).await;
        let value = Value { version, made, until: Instant::now() + self.task.near * TOLD };
        self.values.borrow_mut().insert(key, value);
        (version, true)
    }

    async fn marked(&self, row: Key, source: &Source) -> Moment {
        let mark = self.marks.borrow().get(&row).copied();
        if let Some((mark, until)) = mark
            && Instant::now() < until
        {
            return mark;
        }
        let mark = source.marked(row).await;
        self.keep(row, mark);
        mark
    }

    fn keep(&self, row: Key, mark: Moment) {
        self.marks.borrow_mut().insert(row, (mark, Instant::now() + self.task.near));
    }

    pub async fn write(&self, row: Key, source: &Source) -> bool {
        dawdles().await;
        let version = if is_purged(row) {
            source.change_unsaid(row).await
        } else {
            source.change(row, None).await.unwrap_or(0)
        };
        if goes_away().await {
            return false;
        }
        self.keep(row, source.mark(row).await);
        if is_purged(row) {
            source.tell(&Ask::Counts { row, version }).await;
        }
        true
    }
}
