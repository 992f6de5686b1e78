//! What crosses the boundary: flat structs.

use libc::{c_char, c_void, size_t};

use super::error::gf_error;
use super::handles::{gf_lease, gf_reservation};
pub use super::numbers::*;
use super::queue::gf_queue;

/// Bytes that belong to the caller, and need only be there until the call returns. NULL goes with a
/// length of 0 only.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gf_slice {
    /// The first byte.
    pub data: *const u8,
    /// How many there are.
    pub len: size_t,
}

/// Bytes that this library owns until gf_result_free.
#[repr(C)]
pub struct gf_bytes {
    /// The first byte; not NULL where there is a value, also an empty one.
    pub data: *const u8,
    /// How many there are.
    pub len: size_t,
    /// What keeps them. Not for the caller.
    pub owner: *mut gf_owner,
}

/// What keeps the bytes of a value. Opaque.
pub struct gf_owner(pub(super) bytes::Bytes);

/// How to open a cache. Begin with GF_OPTIONS_INIT: what is added later, in the reserved place, is zero
/// then.
#[repr(C)]
pub struct gf_options {
    /// sizeof(gf_options), as the program was compiled.
    pub struct_size: u32,
    /// GF_ABI_MAJOR, as the program was compiled.
    pub abi_major: u32,
    /// GF_ABI_MINOR, as the program was compiled.
    pub abi_minor: u32,
    /// Threads of this library's own, for all caches of the process: what the first gf_open without a driver says.
    /// 0: one for every two processors, at most 8. At most 256.
    pub worker_threads: i32,
    /// What every key begins with, where it is no UTF-8 and so cannot stand in the URL. Empty: as
    /// the URL says.
    pub prefix: gf_slice,
    /// A queue of gf_queue_new_driving, whose waiting threads do all the work of this cache: connections, time-outs,
    /// what goes on in the background. NULL: threads of the library's own do.
    pub driver: *const gf_queue,
    /// Where the option `fence` is `home`: the program's function that says where keys are at home. It is read by the call. NULL: there is
    /// none.
    pub home: *const gf_home,
    /// Zero.
    pub reserved: [u64; 4],
}

/// Says where a key is at home: writes the name of a region and a zero byte into `region`, which has place for
/// GF_REGION_SIZE bytes, and returns GF_DONE; or anything else where it cannot say, and then the call that asked ends with
/// GF_E_INVALID of the field `home`. The key is as the program gives it, without the prefix, and is there until this returns.
/// Nothing is thrown through it, and nothing jumps out of it.
pub type gf_home_fn =
    Option<unsafe extern "C" fn(key: gf_slice, region: *mut c_char, user_data: *mut c_void) -> i32>;

/// The function that says where keys are at home, where the option `fence` is `home`. It must say the same in all programs and for ever, so
/// give it another name when it changes. It is called for every command, on the thread that calls or submits and on the library's own,
/// often on several at the same time, and calls nothing of this library; until the cache was freed and what was submitted has completed.
#[repr(C)]
pub struct gf_home {
    /// What programs call it, in UTF-8: 1 to 32 of `a` to `z`, `0` to `9`, `_` and `-`. The option `homes` may name it.
    pub name: gf_slice,
    /// The function.
    pub of: gf_home_fn,
    /// Comes with every call. This library does not look at it.
    pub user_data: *mut c_void,
}

/// A value to be stored.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gf_entry {
    /// The bytes, unless the flags say GF_FLAG_NOTHING.
    pub value: gf_slice,
    /// Its version from the source, where the flags say GF_FLAG_VERSION: at most 2^63 - 1.
    pub version: u64,
    /// How long to keep it in milliseconds, rounded up to whole seconds. 0: the cache's own time.
    pub ttl_ms: u64,
    /// GF_FLAG_*
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
}

/// One operation to be submitted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct gf_op {
    /// GF_OP_*
    pub op: u32,
    /// GF_FLAG_*
    pub flags: u32,
    /// Comes back with the completion. This library does not look at it.
    pub user_data: u64,
    /// The key, 1 byte to the option `max_key_bytes` (prefix included); or a tag, 1 to 256 bytes.
    pub key: gf_slice,
    /// The value, at most the option `max_value_bytes`.
    pub value: gf_slice,
    /// As in gf_entry.
    pub version: u64,
    /// As in gf_entry.
    pub ttl_ms: u64,
    /// Of a replace or a refresh: the stamp of the hit that is to be replaced. Of gf_heard: the stamp of the gf_beat.
    pub stamp: u64,
    /// Of a fill, a load that is done, or failed.
    pub lease: *mut gf_lease,
    /// Of a commit, a release, an abort, a renew.
    pub reservation: *mut gf_reservation,
    /// Zero.
    pub reserved: [u64; 2],
}

/// What a call came to. What it owns is freed by gf_result_free; what the caller takes out of it, it
/// sets to NULL there.
#[repr(C)]
pub struct gf_result {
    /// As it was submitted.
    pub user_data: u64,
    /// GF_* above.
    pub status: i32,
    /// More about it: GF_BYPASS_*, GF_REFUSED_*; of gf_load_failed how many callers were told.
    pub detail: i32,
    /// GF_FLAG_*
    pub flags: u32,
    /// Zero.
    pub reserved: u32,
    /// Of a hit, or of GF_STALE; of a diagnosis: JSON; of GF_LOAD_FAILED: what its caller said.
    pub value: gf_bytes,
    /// Of a hit, where the flags say GF_FLAG_VERSION.
    pub version: u64,
    /// Of a hit: names this stored value, for a replace or a refresh. Of gf_beat: for gf_heard.
    pub stamp: u64,
    /// Of a reservation: what was left of it in milliseconds when this was made. Of GF_STALE: how old it is. Of gf_beat: the option `stream_bound`.
    pub remaining_ms: u64,
    /// Owned. Of GF_LEASED.
    pub lease: *mut gf_lease,
    /// Owned. Of GF_RESERVED.
    pub reservation: *mut gf_reservation,
    /// Owned. Of an error.
    pub error: *mut gf_error,
}

impl gf_slice {
    pub(super) const EMPTY: gf_slice = gf_slice { data: std::ptr::null(), len: 0 };
}

impl gf_bytes {
    pub(super) const NONE: gf_bytes =
        gf_bytes { data: std::ptr::null(), len: 0, owner: std::ptr::null_mut() };
}

impl gf_options {
    /// What they are by default, in the size and the version of this library.
    pub(super) fn new() -> Self {
        gf_options {
            struct_size: u32::try_from(size_of::<gf_options>()).unwrap_or(u32::MAX),
            abi_major: GF_ABI_MAJOR,
            abi_minor: GF_ABI_MINOR,
            worker_threads: 0,
            prefix: gf_slice::EMPTY,
            driver: std::ptr::null(),
            home: std::ptr::null(),
            reserved: [0; 4],
        }
    }
}

impl gf_result {
    pub(super) fn new(status: i32) -> Self {
        gf_result {
            user_data: 0,
            status,
            detail: 0,
            flags: 0,
            reserved: 0,
            value: gf_bytes::NONE,
            version: 0,
            stamp: 0,
            remaining_ms: 0,
            lease: std::ptr::null_mut(),
            reservation: std::ptr::null_mut(),
            error: std::ptr::null_mut(),
        }
    }
}

/// A number of the version of this library's interface: the major version times 65536, and the minor.
/// A program that was compiled for major M and minor m can use it if the major is M and the minor is
/// at least m; gf_open checks that.
#[unsafe(no_mangle)]
pub extern "C" fn gf_abi_version() -> u32 {
    GF_ABI_MAJOR << 16 | GF_ABI_MINOR
}

/// The version of this library, as text that lives as long as the process.
#[unsafe(no_mangle)]
pub extern "C" fn gf_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
