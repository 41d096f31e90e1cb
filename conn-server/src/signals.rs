//! SIGTERM and SIGINT: the first one drains the node, the second one ends it at once. SIGHUP: the configuration is read
//! again.

use std::io;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::server::NodeHandle;

/// Listens for signals until it is dropped.
#[derive(Debug)]
pub struct SignalWatch {
    handle: Handle,
    thread: Option<thread::JoinHandle<()>>,
}

impl SignalWatch {
    /// Lets SIGTERM and SIGINT of this process drain the node, and a second one abort it. `on_drain` is called first,
    /// on a thread of its own, so that whoever sends logins here hears of it at once; `on_hangup`, there too, at SIGHUP.
    ///
    /// # Errors
    /// If the handlers or the thread cannot be set up.
    pub fn start(
        node: NodeHandle,
        on_drain: impl Fn() + Send + 'static,
        mut on_hangup: impl FnMut() + Send + 'static,
    ) -> io::Result<Self> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        let handle = signals.handle();
        let thread = thread::Builder::new().name("rl-signals".to_owned()).spawn(move || {
            let mut is_draining = false;
            for signal in &mut signals {
                if signal == SIGHUP {
                    on_hangup();
                } else if std::mem::replace(&mut is_draining, true) {
                    tracing::warn!(signal, "second signal: ending at once");
                    node.abort();
                } else {
                    tracing::info!(signal, "draining; a second signal ends at once");
                    on_drain();
                    node.drain();
                }
            }
        })?;
        Ok(Self { handle, thread: Some(thread) })
    }
}

impl Drop for SignalWatch {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // It can only have panicked in a log line; the signals are handled no more either way.
            let _ = thread.join();
        }
    }
}
