//! Arbitrary bytes at the C boundary: a URL, the bytes of the options, batches of operations. Whatever
//! comes, there is a status, each accepted operation completes once, and nothing is left.
//!
//! Begins with the files of `corpus` and changes them at random. Longer, by hand:
//! `PROPTEST_CASES=100000 cargo test -p genfence-c --test fuzz`. What fails is made small, and stays in
//! `fuzz.proptest-regressions`.
#![allow(unsafe_code, reason = "these are calls of the C interface")]

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, CString};
use std::path::Path;
use std::ptr::{null, null_mut};

use genfence_tested::ffi::*;
use parking_lot::Mutex;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, FileFailurePersistence, TestCaseError, TestRunner};

/// What is alive is counted for the whole process, so one case runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Every status that came, so that a corpus that reaches nothing is noticed.
static SEEN: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Bytes that run out are zero.
struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    fn byte(&mut self) -> u8 {
        self.slice(1).first().copied().unwrap_or(0)
    }

    fn slice(&mut self, count: usize) -> &'b [u8] {
        let (taken, left) = self.0.split_at(count.min(self.0.len()));
        self.0 = left;
        taken
    }

    /// Small, or of any size.
    fn number(&mut self) -> u64 {
        let small = self.byte();
        if small < 0xf0 {
            return small.into();
        }
        let mut wide = [small; 8];
        let given = self.slice(8);
        wide[..given.len()].copy_from_slice(given);
        u64::from_le_bytes(wide)
    }

    /// Valid memory, or NULL with any length.
    fn memory(&mut self) -> gf_slice {
        match self.byte() {
            0xff => gf_slice { data: null(), len: usize::try_from(self.number()).unwrap() },
            count => {
                let bytes = self.slice(usize::from(count) % 80);
                gf_slice { data: bytes.as_ptr(), len: bytes.len() }
            }
        }
    }
}

fn nothing_left() {
    let mut live = std::mem::MaybeUninit::<[i64; 8]>::uninit();
    // SAFETY: a gf_live is eight counts.
    let live = unsafe {
        gf_live_count(live.as_mut_ptr().cast());
        live.assume_init()
    };
    assert_eq!(
        live, [0; 8],
        "caches, queues, leases, reservations, errors, values, bytes, pending"
    );
}

/// An error goes with a status below zero, says something, and is freed.
fn checked(status: i32, error: *mut gf_error) {
    assert!((GF_E_ABI..=GF_TOO_LARGE).contains(&status), "{status}");
    SEEN.lock().insert(status);
    assert_ne!(status, GF_E_PANIC, "{:?}", said(error));
    assert_eq!(status < 0, !error.is_null(), "{status}");
    if let Some((of_error, message, field)) = said(error) {
        assert_eq!(of_error, status);
        assert!(!message.is_empty());
        assert_eq!(status == GF_E_INVALID, !field.is_empty(), "{field}: {message}");
    }
}

fn said(error: *const gf_error) -> Option<(i32, String, String)> {
    // SAFETY: NULL or an error of the library's.
    let error = unsafe { error.as_ref() }?;
    // SAFETY: its texts live as long as it does.
    let text = |text| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
    Some((error.status, text(error.message), text(error.field)))
}

fn open(url: &CStr, options: *const gf_options) -> Option<*mut gf_cache> {
    let (mut cache, mut error) = (null_mut(), null_mut());
    // SAFETY: a text, options that are NULL or readable, and two places to write to.
    let status = unsafe { gf_open(url.as_ptr(), options, &raw mut cache, &raw mut error) };
    checked(status, error);
    assert_eq!(status == GF_DONE, !cache.is_null());
    // SAFETY: NULL or the library's.
    unsafe { gf_error_free(error) };
    (!cache.is_null()).then_some(cache)
}

fn url(bytes: &[u8]) {
    let bytes: Vec<u8> = bytes.iter().copied().take_while(|byte| *byte != 0).collect();
    // Who is named there would be called up.
    if bytes.to_ascii_lowercase().starts_with(b"aerospike") {
        return;
    }
    if let Some(cache) = open(&CString::new(bytes).unwrap(), null()) {
        // SAFETY: just opened.
        unsafe { gf_free(cache) };
    }
}

unsafe extern "C" fn nowhere(
    _: gf_slice,
    _: *mut std::ffi::c_char,
    _: *mut std::ffi::c_void,
) -> i32 {
    GF_E_INVALID
}

fn options(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let mut raw = [0u64; size_of::<gf_options>() / 8];
    let given = bytes.slice(size_of_val(&raw));
    for (word, given) in raw.iter_mut().zip(given.chunks(8)) {
        let mut whole = [0; 8];
        whole[..given.len()].copy_from_slice(given);
        *word = u64::from_le_bytes(whole);
    }
    // SAFETY: any bytes are options, and the words are aligned as they are.
    let options = unsafe { &mut *raw.as_mut_ptr().cast::<gf_options>() };
    // Where they point to is the program's to know.
    options.prefix = bytes.memory();
    let mut driving = null_mut();
    // SAFETY: a place to write to, and nobody asks why.
    assert_eq!(unsafe { gf_queue_new_driving(&raw mut driving, null_mut()) }, GF_DONE);
    let sleeping = gf_queue_new();
    options.driver = [null(), driving, sleeping][usize::from(bytes.byte() % 3)];
    let name = bytes.memory();
    let home = |of| gf_home { name, of, user_data: null_mut() };
    let homes = [home(Some(nowhere)), home(None)];
    options.home =
        [null(), &raw const homes[0], &raw const homes[1]][usize::from(bytes.byte() % 3)];
    if let Some(cache) = open(c"memory://", &raw const *options) {
        // SAFETY: just opened.
        unsafe { gf_free(cache) };
    }
    for queue in [driving, sleeping] {
        // SAFETY: just made, and nobody waits on it.
        unsafe { gf_queue_free(queue) };
    }
}

/// Leases and reservations that came out, used up or not.
#[derive(Default)]
struct Handles {
    leases: Vec<*mut gf_lease>,
    reservations: Vec<*mut gf_reservation>,
    stamp: u64,
}

fn any_of<T>(handles: &[*mut T], choice: u8) -> *mut T {
    let none = handles.is_empty() || choice == 0xff;
    if none { null_mut() } else { handles[usize::from(choice) % handles.len()] }
}

fn operation(bytes: &mut Bytes<'_>, handles: &Handles, user_data: u64) -> gf_op {
    let kind = bytes.byte();
    gf_op {
        op: if kind < 0xf0 {
            u32::from(kind % 19)
        } else {
            u32::try_from(bytes.number() >> 32).unwrap()
        },
        flags: match bytes.byte() {
            flags @ 0..0xf0 => u32::from(flags % 32),
            flags => u32::from(flags),
        },
        user_data,
        key: bytes.memory(),
        value: bytes.memory(),
        version: bytes.number(),
        ttl_ms: bytes.number(),
        stamp: if bytes.byte().is_multiple_of(2) { handles.stamp } else { bytes.number() },
        lease: any_of(&handles.leases, bytes.byte()),
        reservation: any_of(&handles.reservations, bytes.byte()),
        reserved: [u64::from(bytes.byte() == 0xff), 0],
    }
}

/// Takes out what is there; `open` is what was accepted and has not completed.
fn take(queue: *const gf_queue, open: &mut HashMap<u64, u32>, handles: &mut Handles) {
    while !open.is_empty() {
        let mut results = std::mem::MaybeUninit::<[gf_result; 3]>::uninit();
        let (mut count, size) = (0, size_of::<gf_result>());
        let first = results.as_mut_ptr().cast::<gf_result>();
        // SAFETY: there is room for three.
        let status = unsafe { gf_queue_wait(queue, first, 3, size, 30_000, &raw mut count) };
        assert_eq!(status, GF_DONE, "{open:?} never completed");
        for index in 0..count {
            // SAFETY: as many were filled.
            let result = unsafe { &mut *first.add(index) };
            let op = open.remove(&result.user_data).expect("it was accepted, and came once");
            keep(result, op, handles);
        }
    }
}

/// What a result brings is what its status says; handles are kept for later operations.
fn keep(result: &mut gf_result, op: u32, handles: &mut Handles) {
    checked(result.status, result.error);
    assert_eq!(result.status == GF_LEASED, !result.lease.is_null(), "{op}");
    assert_eq!(result.status == GF_RESERVED, !result.reservation.is_null(), "{op}");
    if result.status == GF_HIT {
        handles.stamp = result.stamp;
    }
    let (lease, reservation) = (
        std::mem::replace(&mut result.lease, null_mut()),
        std::mem::replace(&mut result.reservation, null_mut()),
    );
    handles.leases.extend((!lease.is_null()).then_some(lease));
    handles.reservations.extend((!reservation.is_null()).then_some(reservation));
    // SAFETY: filled by the library.
    unsafe { gf_result_free(result) };
}

fn batch(bytes: &[u8]) {
    let mut bytes = Bytes(bytes);
    let limits = c"memory://?wait=1ms&lease_time=10ms&load_time=10ms&max_key_bytes=40&max_value_bytes=60&max_bytes=16KiB";
    let cache = open(limits, null()).unwrap();
    let queue = gf_queue_new();
    let (mut handles, mut open, mut number) = (Handles::default(), HashMap::new(), 0);
    while !bytes.0.is_empty() {
        let kind = bytes.byte();
        let count = usize::from(kind % 8);
        let ops: Vec<gf_op> = (0..count)
            .map(|_| {
                number += 1;
                operation(&mut bytes, &handles, number)
            })
            .collect();
        let mut error = null_mut();
        let size = size_of::<gf_op>();
        if let ([op], true) = (&ops[..], kind & 8 != 0) {
            let mut result = std::mem::MaybeUninit::uninit();
            let (out, room) = (result.as_mut_ptr(), size_of::<gf_result>());
            // SAFETY: all of it is alive, and slices are readable or NULL.
            let status = unsafe { gf_start(cache, queue, op, size, out, room) };
            // SAFETY: it was filled.
            let result = unsafe { result.assume_init_mut() };
            assert_eq!(status, result.status);
            if status == GF_SUBMITTED {
                open.insert(op.user_data, op.op);
            }
            keep(result, op.op, &mut handles);
        } else {
            // SAFETY: all of it is alive, and slices are readable or NULL.
            let status =
                unsafe { gf_submit(cache, queue, ops.as_ptr(), count, size, &raw mut error) };
            checked(status, error);
            // SAFETY: NULL or the library's.
            unsafe { gf_error_free(error) };
            if status == GF_DONE {
                open.extend(ops.iter().map(|op| (op.user_data, op.op)));
            }
        }
        match bytes.byte() % 8 {
            // SAFETY: alive, and may be closed twice.
            7 => unsafe { assert!(gf_close(cache, 0) >= GF_DONE) },
            6 => {} // goes on while those are under way
            _ => take(queue, &mut open, &mut handles),
        }
    }
    // SAFETY: each is freed once, and not used any more.
    unsafe {
        gf_free(cache);
        take(queue, &mut open, &mut handles);
        handles.leases.into_iter().for_each(|lease| gf_lease_free(lease));
        handles.reservations.into_iter().for_each(|reservation| gf_reservation_free(reservation));
        gf_queue_free(queue);
    }
}

/// Runs the corpus as it is, then changed at random.
fn fuzz(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let mut corpus: Vec<Vec<u8>> = files.map(|file| std::fs::read(file).unwrap()).collect();
    assert!(corpus.len() >= 3, "{} has a corpus", folder.display());
    let run = |bytes: &[u8]| {
        let _alone = ALONE.lock();
        target(bytes);
        nothing_left();
    };
    for bytes in &corpus {
        run(bytes);
    }
    corpus.push(Vec::new());
    let changed = (
        proptest::sample::select(corpus),
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        vec(any::<u8>(), 0..400),
    );
    let persistence = FileFailurePersistence::WithSource("proptest-regressions");
    let config = Config {
        failure_persistence: Some(Box::new(persistence)),
        source_file: Some(file!()),
        ..Config::default()
    };
    let ran = TestRunner::new(config).run(&changed, |(mut bytes, edits, tail)| {
        bytes.extend(tail);
        for (place, byte) in edits {
            if !bytes.is_empty() {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
        }
        run(&bytes);
        Ok::<(), TestCaseError>(())
    });
    ran.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn any_url_has_a_status() {
    fuzz("url", url);
}

#[test]
fn any_options_have_a_status() {
    fuzz("options", options);
}

#[test]
fn any_batch_completes_once_and_leaves_nothing() {
    fuzz("batch", batch);
    let reached = SEEN.lock();
    let outcomes = [
        GF_HIT,
        GF_MISS,
        GF_LEASED,
        GF_BYPASS,
        GF_PENDING,
        GF_STORED,
        GF_REJECTED,
        GF_RESERVED,
        GF_PURGED,
        GF_CONFLICT,
        GF_BUSY,
        GF_SUBMITTED,
        GF_E_INVALID,
        GF_E_SHUT_DOWN,
    ];
    for outcome in outcomes {
        assert!(reached.contains(&outcome), "{outcome} was never reached: {reached:?}");
    }
}
