//! Every operation there is: one row each. Numbers are append-only.
//!
//! From the rows come the numbers, here, in the header (`build.rs`) and in C# (`tests/generated`), and how an
//! operation is checked and read out of a gf_op (`op.rs`). A macro that wants the rows is passed by name and called
//! with them.
//!
//! A row: what is told of it, if anything; `NUMBER_NAME Name = number { fields }`, in the order in which they are
//! checked and taken, so that what is used up comes last. Fields are those of gf_op, and `entry` (value, flags,
//! version, ttl_ms), `held` (a reservation that is not used up), `sole` (one of one key), `several` (one
//! of several), `adding` (one of several, which is added to), `within` (ttl_ms, as a time to wait for), `beat`
//! (stamp, as a time of the cluster's), `tag` (key). In parentheses stand flags that count.

macro_rules! operations {
    ($use:ident) => {
        $use! {
            GF_OP_GET Get = 1 { key, flags(GF_FLAG_STRICT) }
            GF_OP_LOOKUP Lookup = 2 { key }
            GF_OP_FILL Fill = 3 { entry, lease }
            GF_OP_RESERVE Reserve = 4 { key, flags(GF_FLAG_SETTLED) }
            GF_OP_COMMIT Commit = 5 { entry, sole }
            GF_OP_RELEASE Release = 6 { version, reservation }
            GF_OP_ABORT Abort = 7 { reservation }
            GF_OP_RENEW Renew = 8 { held }
            GF_OP_SET Set = 9 { key, entry }
            GF_OP_REPLACE Replace = 10 { key, stamp, entry }
            GF_OP_INVALIDATE Invalidate = 11 { key, version, flags(GF_FLAG_OWN_REGION) }
            GF_OP_TOUCH Touch = 12 { key, ttl_ms }
            GF_OP_DIAGNOSE Diagnose = 13 { }
            /// All of one batch are one gf_lookup_many: one read for all of them, which waits for nobody.
            GF_OP_LOOKUP_MANY LookupMany = 14 { key }
            /// See gf_load.
            GF_OP_LOAD Load = 15 { key, flags(GF_FLAG_UNREAD) }
            /// See gf_loaded.
            GF_OP_LOADED Loaded = 16 { entry, flags(GF_FLAG_UNSTORED), lease }
            /// See gf_load_failed.
            GF_OP_LOAD_FAILED LoadFailed = 17 { value, lease }
            /// See gf_ready.
            GF_OP_READY Ready = 18 { within }
            /// See gf_inspect.
            GF_OP_INSPECT Inspect = 19 { key }
            /// See gf_beat.
            GF_OP_BEAT Beat = 20 { }
            /// See gf_heard.
            GF_OP_HEARD Heard = 21 { beat }
            /// See gf_settled.
            GF_OP_SETTLED Settled = 22 { held }
            /// See gf_refresh.
            GF_OP_REFRESH Refresh = 23 { key, stamp }
            /// See gf_last_known.
            GF_OP_LAST_KNOWN LastKnown = 24 { key }
            /// See gf_reserve_tag.
            GF_OP_RESERVE_TAG ReserveTag = 25 { tag, flags(GF_FLAG_SETTLED) }
            /// Of one tag. See gf_purge_tags.
            GF_OP_PURGE_TAG PurgeTag = 26 { tag }
            /// Reserves what gf_name named, as gf_reserve_more.
            GF_OP_RESERVE_MANY ReserveMany = 27 { adding, flags(GF_FLAG_SETTLED) }
            /// See gf_commit_many.
            GF_OP_COMMIT_MANY CommitMany = 28 { several }
        }
    };
}
pub(crate) use operations;
