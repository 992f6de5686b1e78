//! Everything that is counted: one row each.
//!
//! From the rows come [`Stats`](super::Stats) and the counters behind it, gf_stats with its header (`build.rs`), the
//! struct and the metrics of C# (`tests/generated`). A macro that wants the rows is passed by name and called with
//! them. A row: what is told of it; `name: COUNTER "name of the metric";`. Rows are append-only, as gf_stats is.

macro_rules! counters {
    ($use:ident) => {
        $use! {
            /// Reads that found a value.
            hits: Striped "genfence.hits";
            /// Reads that found none.
            misses: Counter "genfence.misses";
            /// Misses that took the value from another caller's fill in this process.
            shared: Counter "genfence.shared";
            /// Leases that were granted.
            leases: Counter "genfence.leases";
            /// Leases that were prolonged for their holder.
            extensions: Counter "genfence.extensions";
            /// Leases that were given back unused.
            leases_returned: Counter "genfence.leases.returned";
            /// Lookups that ended in a bypass.
            bypasses: Counter "genfence.bypasses";
            /// Fills that stored.
            fills_stored: Counter "genfence.fills.stored";
            /// Fills that lost a race and stored nothing.
            fills_rejected: Counter "genfence.fills.rejected";
            /// Values that were too large to store.
            oversized: Counter "genfence.oversized";
            /// Reservations that were taken.
            reservations: Counter "genfence.reservations";
            /// Reservations that were left to expire, neither committed nor released nor aborted.
            reservations_left: Counter "genfence.reservations.left";
            /// Commits that stored.
            commits_stored: Counter "genfence.commits.stored";
            /// Commits that could not store, and releases: they left their key empty.
            purges: Counter "genfence.purges";
            /// Changes that the store did not answer.
            in_doubt: Counter "genfence.in_doubt";
            /// Commands that failed after all tries.
            failures: Counter "genfence.failures";
            /// Reservations whose time was asked for anew, and granted.
            renewals: Counter "genfence.renewals";
            /// Commands that went to the store with others, in one message.
            merged: Store "genfence.merged";
            /// The messages that those went in: `merged` by these is how many a message has.
            batches: Store "genfence.merged.batches";
            /// Reads that were answered by another caller's, which had not been sent when they came.
            joined: Store "genfence.merged.joined";
            /// How long commands waited for a message, in microseconds, all together.
            queued_micros: Store "genfence.merged.queued";
            /// How often the cluster's nodes did not agree any more who is in it, so that reads bypassed.
            leases_lost: Store "genfence.cluster.lost";
            /// How long that was, in microseconds, all together.
            unleased_micros: Store "genfence.cluster.without";
            /// Regions that a reserve went on without, as they did not answer (`unreachable=proceed`).
            regions_left_out: Counter "genfence.regions.left_out";
            /// Changes that a stream told of, and that were applied.
            changes_heard: Counter "genfence.stream.changes";
            /// How often this region's lease on serving lapsed, so that reads bypassed (`unreachable=wait`).
            regions_lapsed: Serving "genfence.regions.lapsed";
            /// Epochs that this process founded for its region, each of which serves nothing for as long as a reservation lasts.
            regions_founded: Serving "genfence.regions.founded";
            /// Regions that did not answer, and that the grantors were told to let serve no more.
            regions_barred: Serving "genfence.regions.barred";
            /// How long this region served nothing, in microseconds, all together; counted when it serves again.
            unserved_micros: Serving "genfence.regions.without";
            /// Hits that needed no command, of copies that this process keeps.
            near_hits: Striped "genfence.near.hits";
            /// Leave to keep a copy that was asked for, and given.
            near_stamps: Counter "genfence.near.stamps";
            /// Permissions to load a value anew while it goes on being served, that were granted (`refresh_at`).
            refreshes: Counter "genfence.refreshes";
            /// Values that were loaded anew so, and stored.
            refreshed: Counter "genfence.refreshes.stored";
            /// Loads of that kind that came to nothing: they failed, took too long, were given up, or the store gave no answer.
            refreshes_failed: Counter "genfence.refreshes.failed";
            /// Stale values that were answered to callers who ask for that (`stale_for`).
            stale_served: Counter "genfence.stale";
            /// Tags that were purged.
            tag_purges: Counter "genfence.tags.purges";
            /// Misses of values that were purged with a tag.
            purged_misses: Counter "genfence.tags.misses";
        }
    };
}
pub(crate) use counters;
