//! Opening and closing a cache, and what it says of itself.

use std::mem::{offset_of, size_of};
use std::sync::Arc;
use std::time::Duration;

use libc::c_char;

use super::abi::*;
use super::error::{Failure, gf_error};
use super::fields::bytes_of;
use super::guard::{self, guarded};
use super::handles::gf_cache;
use super::home::with_home;
use super::runtime::{self, Runtime};
use crate::{Builder, Cache};

/// Fills options with what they are by default, and with the size and the version of this library. A
/// program in C takes GF_OPTIONS_INIT instead, which has those that it was compiled with.
///
/// # Safety
/// `options` is NULL (then nothing is done) or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_options_init(options: *mut gf_options) {
    if !options.is_null() {
        // SAFETY: by the function's own contract.
        unsafe { options.write(gf_options::new()) };
    }
}

/// Opens a cache: `memory://?options`, or `aerospike://host:port/namespace/set?options`. Takes at most
/// the option `connect_timeout` (5 s), and as long again to test the cluster. `url` is UTF-8 and ends in
/// a zero byte; `options` may be NULL.
///
/// Returns GF_DONE and sets `cache`, which the caller closes and frees; or an error, and then `error`,
/// if it is not NULL, is set to a gf_error that the caller frees. Never repeats the URL, which may hold
/// a password.
///
/// # Safety
/// `url` is NULL or a text; `options` is NULL or initialised; `cache` may be written;
/// `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_open(
    url: *const c_char,
    options: *const gf_options,
    cache: *mut *mut gf_cache,
    error: *mut *mut gf_error,
) -> i32 {
    let open = || {
        // SAFETY: by the function's own contract.
        let (url, options) = unsafe { (text_of(url)?, read(options)?) };
        // SAFETY: by the function's own contract.
        let builder = unsafe { builder(&options) }?;
        // SAFETY: by the function's own contract.
        let runtime = match unsafe { driver(&options) }? {
            Some(runtime) => runtime,
            None => runtime::pool(options.worker_threads)?,
        };
        let opened = runtime::wait(&runtime, true, Box::pin(builder.connect(url)))?;
        Ok(gf_cache::new(opened, runtime))
    };
    // SAFETY: each is NULL or may be written.
    unsafe { guard::give(("cache", cache, std::ptr::null_mut()), error, open) }
}

/// Checks all of a URL and of the options that can be checked without a connection, files that they name included:
/// what gf_open says of them. GF_DONE, or an error as there. Any thread.
///
/// # Safety
/// `url` is NULL or a text; `options` is NULL or initialised; `error` is NULL or may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_check_url(
    url: *const c_char,
    options: *const gf_options,
    error: *mut *mut gf_error,
) -> i32 {
    let checked = guarded(|| {
        // SAFETY: by the function's own contract.
        let (url, options) = unsafe { (text_of(url)?, read(options)?) };
        // SAFETY: by the function's own contract.
        Ok(unsafe { builder(&options) }?.check(url)?)
    });
    // SAFETY: it is NULL or may be written.
    unsafe { guard::tell(checked, error).0 }
}

/// # Safety
/// The prefix is readable; the home is NULL or readable, and its function may be called.
unsafe fn builder(options: &gf_options) -> Result<Builder, Failure> {
    // SAFETY: by the function's own contract.
    let prefix = unsafe { bytes_of("prefix", options.prefix) }?;
    let builder = Cache::builder();
    let builder = if prefix.is_empty() { builder } else { builder.prefix(prefix) };
    // SAFETY: by the function's own contract.
    unsafe { with_home(builder, options.home) }
}

/// # Safety
/// The driver is NULL or alive.
unsafe fn driver(options: &gf_options) -> Result<Option<Arc<Runtime>>, Failure> {
    // SAFETY: by the function's own contract.
    let Some(queue) = (unsafe { options.driver.as_ref() }) else { return Ok(None) };
    let runtime = queue.0.runtime().ok_or_else(|| {
        Failure::invalid(
            "driver",
            "is a queue that does not drive: take one of gf_queue_new_driving",
        )
    })?;
    if options.worker_threads != 0 {
        let given = options.worker_threads;
        let problem = format!("{given}, must be 0 where a driver is given, as it has no threads");
        return Err(Failure::invalid("worker_threads", problem));
    }
    Ok(Some(Arc::clone(runtime)))
}

/// # Safety
/// `text` is NULL or a text that lives as long as it is used.
unsafe fn text_of<'t>(text: *const c_char) -> Result<&'t str, Failure> {
    if text.is_null() {
        return Err(Failure::invalid("url", "is NULL"));
    }
    // SAFETY: not NULL, and a text by the caller's word.
    let text = unsafe { std::ffi::CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::invalid("url", "is no UTF-8"))
}

/// Reads options of this size or of an older, smaller one.
///
/// # Safety
/// NULL, or readable for as many bytes as it says.
unsafe fn read(given: *const gf_options) -> Result<gf_options, Failure> {
    let mut options = gf_options::new();
    if given.is_null() {
        return Ok(options);
    }
    // SAFETY: the size stands first in every version.
    let size = unsafe { (&raw const (*given).struct_size).read() } as usize;
    let least = offset_of!(gf_options, prefix);
    // No field is cut in two.
    if size < least
        || size > size_of::<gf_options>()
        || !size.is_multiple_of(align_of::<gf_options>())
    {
        let most = size_of::<gf_options>();
        return Err(Failure::abi(format!(
            "struct_size of gf_options: {size} bytes, must be {least} to {most} in steps of {}: begin \
             with GF_OPTIONS_INIT",
            align_of::<gf_options>()
        )));
    }
    // SAFETY: both are at least this long.
    unsafe {
        std::ptr::copy_nonoverlapping(given.cast::<u8>(), (&raw mut options).cast::<u8>(), size);
    }
    if options.abi_major != GF_ABI_MAJOR || options.abi_minor > GF_ABI_MINOR {
        return Err(Failure::abi(format!(
            "the program was compiled for version {}.{} of the interface, and this library has \
             {GF_ABI_MAJOR}.{GF_ABI_MINOR}",
            options.abi_major, options.abi_minor
        )));
    }
    if !(0..=256).contains(&options.worker_threads) {
        let given = options.worker_threads;
        return Err(Failure::invalid("worker_threads", format!("{given}, must be 0 to 256")));
    }
    if options.reserved != [0; 4] {
        return Err(Failure::invalid("reserved", "must be 0"));
    }
    Ok(options)
}

/// Closes a cache: from now on every call on it ends with GF_E_SHUT_DOWN. What is under way gets
/// `within_ms` to end; submitted operations that are not done by then complete with GF_E_SHUT_DOWN.
/// A lease that is out is under way, as it is kept alive: fill or free it first, or the whole time
/// passes. Leases and reservations that are out can still be used, by the calls that are not submitted.
/// Closes all handles of the cache, of gf_open and gf_tagged. Any thread, also twice.
///
/// Returns GF_DONE if all ended by itself, else GF_TIMED_OUT; GF_E_INVALID for NULL.
///
/// # Safety
/// `cache` is NULL or was given by gf_open, gf_tagged or gf_near and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_close(cache: *const gf_cache, within_ms: u64) -> i32 {
    let closed = guarded(|| {
        // SAFETY: by the function's own contract.
        let cache = unsafe { cache.as_ref() };
        let cache = cache.ok_or_else(|| Failure::invalid("cache", "is NULL"))?;
        let within = Duration::from_millis(within_ms);
        Ok(runtime::wait(&cache.runtime, cache.is_networked(), async {
            let start = std::time::Instant::now();
            let ended = cache.cache.close(within).await;
            cache.submitted.close();
            let left = within.saturating_sub(start.elapsed());
            let done = tokio::time::timeout(left, cache.submitted.wait()).await.is_ok();
            cache.cut();
            cache.submitted.wait().await;
            ended && done
        }))
    });
    match closed {
        Ok(true) => GF_DONE,
        Ok(false) => GF_TIMED_OUT,
        Err(failure) => failure.status,
    }
}

/// Frees a cache. One that was not closed is closed, with no time to end for what is under way; one of gf_tagged or gf_near
/// closes nothing. No other thread may be in a call with it. NULL is allowed.
///
/// # Safety
/// `cache` is NULL or was given by gf_open, gf_tagged or gf_near and not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_free(cache: *mut gf_cache) {
    if cache.is_null() {
        return;
    }
    // SAFETY: alive, by the function's own contract.
    unsafe {
        let cache = Box::from_raw(cache);
        if !cache.is_another {
            gf_close(&raw const *cache, 0);
        }
        let _stopped = guarded(|| {
            drop(cache);
            Ok(())
        });
    }
}
