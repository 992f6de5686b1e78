//! The rules of a cluster, each of which a test can take out, to see the harm that it keeps off. Without the feature
//! `undone` all of them hold.

/// What holds where a cluster may split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Reads ask all copies while records move.
    ReadsAskAllCopies,
    /// An abort that finds no reservation of its own writes nothing.
    AbortProvesItself,
    /// No command lets a record vanish.
    RecordsStay,
    /// A command that comes after the lease on the cluster is refused.
    LateIsRefused,
}

#[cfg(feature = "undone")]
thread_local! {
    static UNDONE: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Takes a rule out of what this thread does from now on, and puts the one before back.
#[cfg(feature = "undone")]
pub fn undo(rule: Option<Rule>) {
    UNDONE.set(rule);
}

/// Whether a rule holds.
#[inline]
pub(super) fn holds(rule: Rule) -> bool {
    #[cfg(feature = "undone")]
    return UNDONE.get() != Some(rule);
    #[cfg(not(feature = "undone"))]
    {
        let _ = rule;
        true
    }
}
