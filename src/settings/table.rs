//! Every setting there is: one row each, and all that is told of it anywhere comes from its row.
//!
//! From the rows come [`Options`](super::Options) and [`Access`](super::Access) with their defaults and checks, the
//! setters of the builder, what a URL may say, the properties of the C# options, and the table of the documentation
//! (`tests/generated`). A macro that wants the rows is passed by name and called with them.
//!
//! A row: what is told of it; `STORE name: KIND = "default", "least" to "most";`, of which the upper may
//! be missing. Texts are as they stand in a URL. A bound that is no text is another setting, or `(text, method)`. A default that is no value is
//! `(text)`. Kinds are those of `kinds.rs`. STORE says of which
//! store the setting is: `any`, `memory` or `aerospike`.

macro_rules! cache_settings {
    ($use:ident) => {
        $use! {
            /// How long a value lives, in whole seconds, rounded up.
            any ttl: Span = "5m", "1s" to "3650days";
            /// By which share a default time to live is shortened at random, so that what was stored together does
            /// not expire together.
            any ttl_jitter: Share = "0.1", "0" to "0.5";
            /// How long "the source has nothing" is remembered.
            any negative_ttl: Span = "30s", "1s" to "3650days";
            /// How long a writer's reservation lasts. It must exceed the transaction time-out of the source.
            any reservation_time: Span = "10s", "100ms" to "1h";
            /// What the remaining time of a reservation keeps back of the reservation time, for differences between
            /// the clocks of the cluster's nodes, and for the lag of replicas that loaders read.
            any reservation_margin: Span = "1s", "0s" to ("just below `reservation_time`", just_below_reservation_time);
            /// How long a reader's lease lasts before it must be extended, which the library does while a loader runs.
            any lease_time: Span = "2s", "10ms" to "1m";
            /// How long a load may take: so long a lease is kept alive for its holder, and those of its process wait
            /// for it; after that another caller may load.
            any load_time: Span = "1m", lease_time to "1h";
            /// How long a lookup waits for somebody else's fill before it bypasses. A get-or-fill waits so long for
            /// another process, and for a lease that the program holds; for a load of its own process until that
            /// ends, or `load_time` is over.
            any wait: Span = "2s", "0s" to "1m";
            /// After which share of a value's life a hit of a call that can load also has it loaded anew, in the background, while the
            /// old value goes on being served; 0.1 to 0.99. Each process adds at random up to half of what is left. What is loaded so must use
            /// nothing that ends with the call, such as what belongs to one request.
            any refresh_at: Optional<Share> = ("none: a value is loaded when it is missing");
            /// How long after it was last known to be right a value is answered as *stale*, to callers who ask for that, where the source is slow
            /// or fails; 1 s to 7 days. What is known so is kept in the process.
            any stale_for: Optional<Span> = ("none: there are no stale answers");
            /// The bound on what is kept for stale answers, in bytes.
            any stale_bytes: Bytes = "16MiB", "64KiB";
            /// How long a caller who takes a stale value waits for a load, which then goes on in the background; 1 ms to 1 h.
            any soft_timeout: Optional<Span> = ("none: as long as it takes");
            /// How long a loader may take before it is given up, for every call that loads; 1 ms to 1 h. A program in C bounds its own loads.
            any hard_timeout: Optional<Span> = ("none");
            /// How far the replicas of the source that loaders read may lag behind, where values carry versions. What
            /// was heard of a key is remembered at least this long.
            any replica_lag: Span = "1s", "0s" to ("the shortest time to live, after jitter", shortest_ttl);
            /// What every key begins with, so that several caches can share one store.
            any prefix: Prefix = "", "0" to ("just below `max_key_bytes`", just_below_max_key_bytes);
            /// The largest key in bytes, prefix included.
            any max_key_bytes: Bytes = "1KiB", "1" to "64KiB";
            /// The largest value in bytes. A larger one that was loaded is returned, and not stored. The default, with
            /// all that belongs to a value, is within the 1 MiB that a server allows a record by default.
            any max_value_bytes: Bytes = "1020KiB", "1" to "119MiB";
            /// How often a command is sent before the store counts as unreachable. Plain reads are sent once: a read
            /// that bypasses at once is better than one that waits.
            any attempts: Count = "3", "1" to "100";
            /// What a read does when the store gives no answer.
            any unreachable_read: Choice<UnreachableRead> = "bypass";
            /// What a reserve does when the store gives no answer.
            any unreachable_reserve: Choice<UnreachableReserve> = "error";
            /// The name of the region that this program is in, where each of several regions has a cluster of its own, and none
            /// ships this set to another: 1 to 32 of `a` to `z`, `0` to `9`, `_` and `-`. It is one of `peers`.
            any region: Optional<Text> = ("none: there is one region");
            /// The clusters of all regions, the same text for every program: `eu@10.0.0.1:3000|10.0.0.2,us@10.1.0.1`. Namespace and
            /// set are the same everywhere, and other settings those of the own cluster, where an entry does not say otherwise:
            /// `us@user:password@10.1.0.1:3000?timeout=2s;tls_ca=/etc/us.pem`. What has a meaning in it is written in percent.
            aerospike peers: Peers = "";
            /// Which regions a writer reserves in before it changes the source. All programs of all regions say the same.
            any fence: Choice<Fence> = "own";
            /// What a reserve does where `fence` is `all` or `home` and another region does not answer.
            any unreachable: Choice<UnreachableRegion> = "fail";
            /// Where `unreachable` is `wait`: the regions whose clusters say who may serve, as `eu` or `eu,us,ap`. One, and then best where the
            /// source's primary is, as who cannot reach that cannot change the source; or three and more, most of which
            /// must agree.
            any grantors: Optional<Text> = ("none");
            /// Where `unreachable` is `wait`: how long a region may go on serving that is cut off from the grantors. It is asked for anew when half of
            /// it is over. `reservation_margin` of it is kept back. No less than four times that.
            any serving_lease: Span = "5s", "200ms" to "1m";
            /// The cache serves only while it knows that it was told of every change that is older than this, by a follower of the
            /// source's stream of changes; else reads bypass. 100 ms to 1 h; but for `memory://` at least one and a half
            /// times `reservation_margin`, which is kept back of it, as the clocks of a cluster's nodes may differ by that.
            any stream_bound: Optional<Span> = ("none: what the stream says is not waited for");
            /// Where `fence` is `all`, a commit stores the value in every region, and not in the own one alone.
            any push: Switch = "false";
            /// Where `fence` is `home`: the regions that keys are at home in; and where they were others before, all lists there have been, the
            /// newest last: `eu,us/eu,us,ap`. At most 64. A list may also be the name of a function that the program brings.
            any homes: Optional<Text> = ("all of `peers`, or the program's function");
            /// Where `fence` is `home`: how far the change to the last list of `homes` is. All programs of all regions go through it one step after
            /// the other: keys are reserved at both homes, then read at the new ones, then it is over.
            any homes_phase: Choice<HomesPhase> = "done";
            /// How long a copy of a value may be served by this process without a command, in a store that other processes
            /// use. A writer waits so long before its change may take place: see `near_max`. In `memory://` nothing is waited for.
            any near: Optional<Span> = ("none: no copies are kept");
            /// The longest that any program of the set keeps copies for. All programs of a set say the same, and those that keep none
            /// too, as their writers wait for the others' copies. With `reservation_margin` it must be less than `reservation_time`.
            any near_max: Optional<Span> = ("`near`");
            /// The bound on the copies that are kept, in bytes.
            any near_bytes: Bytes = "64MiB", "64KiB";
            /// Values may bear tags, by which groups of them are purged or changed at once. It changes how all values are kept, so all programs
            /// of a set say the same, and one that says it anew finds nothing of what was there. A hit costs one more trip, for the tags, where
            /// there are no near copies. Not where `fence` is `all` or `home`.
            any tags: Switch = "false";
            /// The bound on all that is held, in bytes. Values are counted by their length; a slice of a larger buffer
            /// keeps all of that alive, so pass values of their own.
            memory max_bytes: Bytes = "64MiB", ("four times `max_value_bytes`", four_values);
        }
    };
}

macro_rules! access_settings {
    ($use:ident) => {
        $use! {
            /// How the client shows who it is.
            aerospike auth: Choice<Auth> = "internal";
            /// Encrypts connections, and trusts the servers that the system's own certificate authorities vouch for;
            /// or, where `tls_ca` is given, only those that it names. In Rust it needs a feature of the crate.
            aerospike tls: Optional<Switch> = ("whether `tls_ca` is given");
            /// A PEM file with the certificates of the authorities to trust, which turns TLS on. It is read when
            /// connecting.
            aerospike tls_ca: Optional<File> = ("none");
            /// A PEM file with the certificate that the client shows, followed by those between it and its authority.
            /// It needs `tls_key`, and TLS.
            aerospike tls_certificate: Optional<File> = ("none");
            /// A PEM file with the private key of `tls_certificate`: PKCS #8, PKCS #1 or SEC 1, not encrypted.
            aerospike tls_key: Optional<File> = ("none");
            /// The name in the certificates of the nodes to connect to first, where it is not their host name
            /// (Aerospike's `tls-name`). Of the other nodes the cluster tells it.
            aerospike tls_name: Optional<Text> = ("the host's name");
            /// How long connecting may take, TLS and login included.
            aerospike connect_timeout: Span = "5s", "100ms" to "1m";
            /// How long one try of one command may take.
            aerospike timeout: Span = "1s", "1ms" to "1m";
            /// The most connections to each node.
            aerospike max_connections: Count = "256", "1" to "4096";
            /// Lets commands of concurrent callers travel together, in one message to each node: from a dozen callers on
            /// it is faster, and takes less CPU. Nothing waits for others to come. Each command has its own answer and
            /// its own error all the same.
            aerospike merge: Switch = "true";
            /// How many messages of such commands to each node may be under way at once, reads and writes each. 0: as many
            /// as are seen to be best, which is tried from time to time.
            aerospike merge_messages: Count = "0", "0" to "256";
            /// Connections to each node that are kept open also when nobody needs them, so that a burst need not wait
            /// for new ones.
            aerospike min_connections: Count = "0", "0" to max_connections;
            /// How long a connection may go unused before it is closed: a little less than the server's
            /// `proto-fd-idle-ms`, or than a NAT's patience. 0 is for ever.
            aerospike idle_time: Span = "0s", "0s" to "1h";
            /// The circuit breaker. After so many errors of one node within a second (time-outs, lost connections;
            /// never an answer, whatever it says) commands to it fail at once until the second is over, so that reads
            /// bypass instead of each waiting out the time-out. 0 is never.
            aerospike max_errors: Count = "100", "0" to "1000000";
            /// What counts while nodes of the cluster come and go, where the namespace is not strongly consistent.
            aerospike cluster_guard: Choice<ClusterGuard> = "members";
            /// How long a lease on the cluster lasts: so long the nodes' word counts that they agree who is in it. They
            /// are asked four times in that time. After a change of the cluster nothing is claimed for as long. No
            /// program of a set may have a longer one than the first had.
            aerospike cluster_guard_time: Span = "1s", "100ms" to "10s";
            /// How many nodes the cluster has, where that should not be learned: more than half of them must agree who
            /// is in it. 0: as many as any program of the set has seen.
            aerospike cluster_size: Count = "0", "0" to "256";
            /// Asks the nodes for the addresses that they are known by outside their own network (their
            /// `alternate-access-address`), as behind NAT, in Kubernetes, in a cloud.
            aerospike alternate_services: Switch = "false";
            /// The addresses that nodes tell of each other, and those to use instead, as
            /// `10.0.0.1=192.0.2.1,10.0.0.2=192.0.2.2`. A server's `alternate-access-address` with `alternate_services`
            /// is better, as it need not be kept up to date here.
            aerospike address_map: Pairs = "";
            /// No other nodes than those named, whatever these tell of others, as where one address stands for a whole
            /// cluster.
            aerospike seeds_only: Switch = "false";
            /// Opens the cache at once, and connects in the background, again and again until the cluster is there and
            /// fit. Until then commands end as with a store that gives no answer: reads follow `unreachable_read`,
            /// reserves `unreachable_reserve`; during the first try they wait for it, at most for `timeout`. What is
            /// wrong with a setting is still an error at once. A program that can wait for its cache had better.
            aerospike background_connect: Switch = "false";
        }
    };
}

/// The words of each [`Choice`](super::kinds::Choice), the default first.
macro_rules! choices {
    ($use:ident) => {
        $use! {
            /// What a read does when the store gives no answer.
            UnreachableRead {
                /// Goes on as if the key were held by somebody: the caller reads the source, stores nothing.
                Bypass = "bypass",
                /// Returns the error.
                Error = "error",
            }
            /// What a reserve does when the store gives no answer.
            UnreachableReserve {
                /// Returns the error, so that the source is not changed behind the cache's back.
                Error = "error",
                /// Goes on without a reservation. The guarantee does not hold for this change: readers may see the
                /// old value until its time to live is over, or until the release that the commit then sends arrives.
                Proceed = "proceed",
            }
            /// Which regions a writer reserves in.
            Fence {
                /// Its own. The others hear of changes by the source's stream of changes: a region is no older than its own
                /// writers' commits and what it was told.
                Own = "own",
                /// All of them: no region serves a stale value. A reserve takes as long as the region that is farthest away.
                All = "all",
                /// The home of the key, one of `homes`: what all regions know of the key is there alone. No region serves a stale value; reads
                /// and changes of most keys go to another region.
                Home = "home",
            }
            /// How far a change of the list of homes is.
            HomesPhase {
                /// It is over: the last list counts.
                Done = "done",
                /// Keys are read at the home that they had before, and reserved at both.
                Fence = "fence",
                /// Keys are read at the new home, and reserved at both.
                Read = "read",
            }
            /// What a reserve does when another region does not answer.
            UnreachableRegion {
                /// Returns the error, and gives back what it has reserved elsewhere. The source is not changed.
                Fail = "fail",
                /// Goes on without that region, which may serve the old value until it hears of the change: the
                /// reservation says which regions these are.
                Proceed = "proceed",
                /// Waits until that region has stopped serving by itself, and goes on without it. From when it was cut off that takes
                /// `serving_lease`, or as long as finding out that it does not answer (`timeout` for each of `attempts`) if that is
                /// longer; where it is not cut off and only does not answer, the sum; and `serving_lease` more where a grantor has lost
                /// what it knew. All of it is taken from what is left of the reservation. Each region serves only while `grantors` let it.
                Wait = "wait",
            }
            /// What counts while nodes of the cluster come and go.
            ClusterGuard {
                /// Hits, claims and stores count only while more than half of the nodes agree who is in the cluster; else
                /// reads bypass. A node that was paused or cut off serves nothing old, whatever clients reach. Of two
                /// nodes both must be there.
                Members = "members",
                /// The same, and only while no partition migrates: also where a second node fails before the cluster is
                /// whole again. Reads bypass for as long as that takes.
                Strict = "strict",
                /// Everything counts. Fit for a cluster of one node that keeps its records when it starts again.
                Off = "off",
            }
            /// How a client shows to the cluster who it is.
            Auth {
                /// By a user and a password that the cluster itself keeps; what is sent is the password's hash. Where
                /// no user is given, by nothing.
                Internal = "internal",
                /// By a user and a password that the cluster passes on to another directory (LDAP). The password
                /// itself is sent, so this needs TLS.
                External = "external",
                /// By the client's certificate alone, so this needs one, and no user.
                Pki = "pki",
            }
        }
    };
}

pub(crate) use {access_settings, cache_settings, choices};
