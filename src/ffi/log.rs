//! What the library logs, for a host that has no tracing subscriber of its own.

use std::cell::Cell;
use std::ffi::CString;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use libc::{c_char, c_void};
use parking_lot::{Mutex, RwLock};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};

use super::abi::{GF_DONE, GF_E_INVALID};
use super::error::Failure;
use super::guard::guarded;

/// Log nothing.
pub const GF_LOG_OFF: i32 = 0;
/// What somebody should mend.
pub const GF_LOG_ERROR: i32 = 1;
/// What went wrong and was survived.
pub const GF_LOG_WARN: i32 = 2;
/// What is worth knowing.
pub const GF_LOG_INFO: i32 = 3;
/// Each lost race, each bypass.
pub const GF_LOG_DEBUG: i32 = 4;

/// Takes a line of the log: its level, and a text that lives as long as the call.
pub type gf_log_fn =
    Option<unsafe extern "C" fn(level: i32, message: *const c_char, user_data: *mut c_void)>;

/// Lines that may wait for a slow host; what comes on top is dropped and counted.
const WAITING: usize = 1024;

static LEVEL: AtomicI32 = AtomicI32::new(GF_LOG_OFF);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static LINES: RwLock<Option<SyncSender<(i32, String)>>> = RwLock::new(None);
static WRITER: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// Sends what the library logs, up to `level`, to `write`, on one thread of its own that does nothing
/// else; a slow host loses lines, which a later line says, and never slows the cache. With GF_LOG_OFF
/// or a NULL `write` it stops: what waits is written, and when this returns, `write` is called no more.
/// Process-wide; the last call counts.
///
/// Returns GF_DONE, or GF_E_INVALID: the level is none, this was called from within `write`, or the
/// process has a tracing subscriber of its own already.
///
/// # Safety
/// `write` may be called with `user_data` from another thread until this is called again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gf_log_set(level: i32, write: gf_log_fn, user_data: *mut c_void) -> i32 {
    let set = guarded(|| {
        if !(GF_LOG_OFF..=GF_LOG_DEBUG).contains(&level) {
            return Err(Failure::invalid("level", "must be GF_LOG_OFF to GF_LOG_DEBUG"));
        }
        if WRITING.get() {
            return Err(Failure::invalid("write", "this thread cannot wait for its own end"));
        }
        let mut writer = WRITER.lock();
        let (level, lines, next, go) = match write {
            Some(write) if level > GF_LOG_OFF => {
                let Next { lines, writer, go } = start(Host { write, user_data })?;
                (level, Some(lines), Some(writer), Some(go))
            }
            _ => (GF_LOG_OFF, None, None, None),
        };
        // At once from one to the next, so that no line is lost between them.
        LEVEL.store(level, SeqCst);
        *LINES.write() = lines;
        // A place that logs for the first time while a subscriber is being set takes it that there is none, for good.
        tracing::callsite::rebuild_interest_cache();
        if let Some(last) = std::mem::replace(&mut *writer, next) {
            let _: thread::Result<()> = last.join();
        }
        // Not before, as it is one thread that calls the host.
        drop(go);
        Ok(())
    });
    set.map_or(GF_E_INVALID, |()| GF_DONE)
}

/// A writer that waits for the end of the one before.
struct Next {
    writer: JoinHandle<()>,
    /// Dropped when that has come.
    go: SyncSender<()>,
    lines: SyncSender<(i32, String)>,
}

fn start(host: Host) -> Result<Next, Failure> {
    if !subscribed() {
        return Err(Failure::invalid("write", "this process has a tracing subscriber already"));
    }
    let (lines, waiting) = sync_channel(WAITING);
    let (go, gone) = sync_channel::<()>(0);
    let writer = thread::Builder::new()
        .name("genfence-log".into())
        .spawn(move || {
            let _ = gone.recv();
            host.write_all(&waiting);
        })
        .map_err(|error| Failure::invalid("write", error.to_string()))?;
    Ok(Next { writer, go, lines })
}

/// Whether this process's subscriber is ours: it is once nobody was faster.
fn subscribed() -> bool {
    static OURS: std::sync::OnceLock<bool> = std::sync::OnceLock::new();
    *OURS.get_or_init(|| tracing::subscriber::set_global_default(ToHost).is_ok())
}

thread_local! {
    /// Whether this is the log's own thread.
    static WRITING: Cell<bool> = const { Cell::new(false) };
}

struct Host {
    write: unsafe extern "C" fn(i32, *const c_char, *mut c_void),
    user_data: *mut c_void,
}

// SAFETY: the host says that it may be called from another thread.
unsafe impl Send for Host {}

impl Host {
    fn write_all(self, lines: &Receiver<(i32, String)>) {
        WRITING.set(true);
        while let Ok((level, line)) = lines.recv() {
            self.write(level, &line);
            let dropped = DROPPED.swap(0, SeqCst);
            if dropped > 0 {
                self.write(GF_LOG_WARN, &format!("{dropped} lines were dropped: the log is slow"));
            }
        }
    }

    fn write(&self, level: i32, line: &str) {
        let line = CString::new(line.replace('\0', "\u{fffd}")).unwrap_or_default();
        // SAFETY: the host's own function, with its own data, as it promised.
        unsafe { (self.write)(level, line.as_ptr(), self.user_data) };
    }
}

struct ToHost;

fn number(level: Level) -> i32 {
    match level {
        Level::ERROR => GF_LOG_ERROR,
        Level::WARN => GF_LOG_WARN,
        Level::INFO => GF_LOG_INFO,
        Level::DEBUG => GF_LOG_DEBUG,
        Level::TRACE => GF_LOG_DEBUG + 1,
    }
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_event() && metadata.target().starts_with("genfence")
}

/// Only what this library says, and no spans: it has none.
impl Subscriber for ToHost {
    /// What is asked once a place is not the level, which may change.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_ours(metadata) { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_ours(metadata) && number(*metadata.level()) <= LEVEL.load(SeqCst)
    }

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new(), String::new());
        event.record(&mut line);
        let text = line.0 + &line.1;
        if let Some(sender) = &*LINES.read()
            && sender.try_send((number(*event.metadata().level()), text)).is_err()
        {
            DROPPED.fetch_add(1, SeqCst);
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// The message, and the other fields behind it.
struct Line(String, String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let written = if field.name() == "message" {
            write!(self.0, "{value:?}")
        } else {
            write!(self.1, " {}={value:?}", field.name())
        };
        written.expect("a String takes every write");
    }
}
