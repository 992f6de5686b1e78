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
