//! What differs from system to system in the tool, and nothing else.

use std::borrow::Cow;

use tokio_postgres::config::Host;

/// Where a server of PostgreSQL is: a name, or on Unix the folder of its socket.
pub fn place(host: &Host) -> Cow<'_, str> {
    match host {
        Host::Tcp(name) => Cow::from(name),
        #[cfg(unix)]
        Host::Unix(folder) => folder.to_string_lossy(),
    }
}

/// Returns when the system asks the program to end; not for Ctrl-C, and on Windows never.
pub async fn asked_to_end() -> std::io::Result<()> {
    #[cfg(unix)]
    {
        let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        asked.recv().await;
        Ok(())
    }
    #[cfg(not(unix))]
    std::future::pending().await
}

/// What becomes of a process of ours.
#[cfg(feature = "aerospike")]
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// It stands still where it is.
    Stop,
    GoOn,
}

/// Whether processes can be stopped and let go on.
#[cfg(feature = "aerospike")]
pub const STOPS: bool = cfg!(unix);

/// To a process that was started here and not yet waited for. It may have ended by itself.
#[cfg(all(unix, feature = "aerospike"))]
pub fn signal(process: u32, signal: Signal) {
    use rustix::process::{self, Pid, kill_process};

    let signal = match signal {
        Signal::Stop => process::Signal::STOP,
        Signal::GoOn => process::Signal::CONT,
    };
    let Some(process) = process.try_into().ok().and_then(Pid::from_raw) else { return };
    let _: Result<(), _> = kill_process(process, signal);
}

#[cfg(all(not(unix), feature = "aerospike"))]
pub fn signal(_process: u32, _signal: Signal) {}

/// Ends this process with the one that started it, also while it is stopped. To be called in its first thread, as
/// soon as it runs. Elsewhere than on Linux the system lets who was left so go on, and it ends by itself.
#[cfg(feature = "aerospike")]
#[cfg_attr(
    not(target_os = "linux"),
    expect(clippy::unnecessary_wraps, reason = "where the system is asked it may refuse")
)]
pub fn end_with_parent() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Ok(())
}
