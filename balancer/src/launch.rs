//! How every Ringline server starts and stops: its name, its log, its one line on stdout, its signals, and the
//! refusal to be reachable by others without encryption.

use std::ffi::CStr;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::tls::Acceptor;

/// A server was told to listen where others can reach it, without encryption and without being told that this is fine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} can be reached from other machines and there is no TLS: use it where --help offers it, listen on a loopback \
     address, or say --insecure if the network is trusted"
)]
pub struct Exposed(pub SocketAddr);

/// Refuses an address that is not loopback unless `insecure` was said.
///
/// # Errors
/// See [`Exposed`].
pub const fn check_exposure(address: SocketAddr, insecure: bool) -> Result<(), Exposed> {
    if insecure || address.ip().is_loopback() { Ok(()) } else { Err(Exposed(address)) }
}

/// Names the process and starts the log: to stderr, `info` and worse unless `RUST_LOG` says otherwise. Call it first
/// in `run`. Where a log was set up already (tests), that one stays.
pub fn begin(process_name: &CStr) {
    let _ = rustix::thread::set_name(process_name); // Only cosmetic: shown by ps and top.
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let _ = tracing_subscriber::fmt() // An error means that a log is there.
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(false)
        // Told to stderr too, and a thread that cannot tell it there would panic: a closed stderr must not end a thread.
        .log_internal_errors(false)
        .try_init();
}

/// How `main` ends: success, or the error and its causes in one line on stderr. A backtrace would tell an operator who
/// mistyped an argument nothing.
#[must_use]
pub fn end(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}"); // Nobody reads it: the exit code says it too.
            ExitCode::FAILURE
        }
    }
}

/// Says on stdout, in one line, that the server serves and where.
///
/// # Errors
/// Stdout is closed.
pub fn announce(ready: &serde_json::Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{ready}")?;
    out.flush()
}

/// Calls `reload` at every SIGHUP, for as long as the runtime runs. Must be called within it.
///
/// # Errors
/// The kernel refused a handler.
pub fn on_hangup(mut reload: impl FnMut() + Send + 'static) -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            reload();
        }
    });
    Ok(())
}

/// Reads a certificate again, if there is one, and says what came of it.
pub fn reload_certificate(tls: Option<&Acceptor>) {
    match tls.map(Acceptor::reload) {
        None => {}
        Some(Ok(())) => tracing::info!("the certificate was read again"),
        Some(Err(error)) => tracing::error!(%error, "the certificate stays as it was"),
    }
}

/// SIGTERM and SIGINT. Must be made within a tokio runtime.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Takes both signals over.
    ///
    /// # Errors
    /// The kernel refused a handler.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for one of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// Waits for the first, and from then on lets a second one end the process at once.
    pub async fn shutdown(mut self) {
        self.next().await;
        tracing::info!("stopping: finishing what was begun; a second signal aborts");
        tokio::spawn(async move {
            self.next().await;
            tracing::error!("second signal: aborted");
            std::process::exit(130);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_is_served_without_being_told() {
        for address in ["0.0.0.0:80", "10.1.2.3:80", "[::]:80"] {
            let address = address.parse().unwrap();
            assert_eq!(check_exposure(address, false), Err(Exposed(address)));
            assert_eq!(check_exposure(address, true), Ok(()));
        }
        for address in ["127.0.0.1:80", "127.8.9.1:80", "[::1]:80"] {
            assert_eq!(check_exposure(address.parse().unwrap(), false), Ok(()));
        }
    }
}
