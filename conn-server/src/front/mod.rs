//! The TLS front: ends TLS on threads of its own and hands the bytes to the chat port over loopback, behind a header that
//! says whose they are. The shards know nothing of it.
//!
//! Every connection here has a place among so many, a deadline to shake hands, and bytes in memory only while one side
//! does not take them.

mod copy;
mod figures;
mod relay;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use balancer::tls::{Acceptor, Inside};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};

use crate::args::Args;
use crate::limits::{BACKLOG, FRONT_END_TIMEOUT, FRONT_THREADS_MAX, TLS_HANDSHAKE_TIMEOUT};
use crate::registration::Stage;
pub(crate) use figures::Figures;
use relay::Desk;

/// What a front works with: whatever can be refused is refused before the node starts.
#[derive(Debug)]
pub(crate) struct FrontSeat {
    listener: TcpListener,
    tls: Acceptor,
    threads: u16,
    connections: u32,
}

impl FrontSeat {
    /// Reads the certificate and opens the port; `None` if no front is wanted.
    ///
    /// # Errors
    /// A file is no certificate or no key, the port is taken.
    pub(crate) fn open(args: &Args) -> anyhow::Result<Option<Self>> {
        let (certificate, key) = (args.tls_cert.as_ref(), args.tls_key.as_ref());
        let tls = Acceptor::load(certificate, key, None, Inside::Chat)?;
        let (address, tls) = match (args.tls_listen, tls) {
            (Some(address), Some(tls)) => (address, tls),
            (None, None) => return Ok(None),
            (Some(_), None) | (None, Some(_)) => {
                bail!("--tls-listen needs --tls-cert and --tls-key, and they need --tls-listen")
            }
        };
        ensure!(
            (1..=FRONT_THREADS_MAX).contains(&args.tls_threads),
            "--tls-threads must be 1 to {FRONT_THREADS_MAX}"
        );
        let listener =
            listen(address).with_context(|| format!("cannot listen on {address} for TLS"))?;
        let (threads, connections) = (args.tls_threads, args.connections);
        Ok(Some(Self { listener, tls, threads, connections }))
    }

    /// Where clients connect.
    ///
    /// # Errors
    /// The socket is broken.
    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Starts the threads. `chat`: the node's common port. `has_header`: whether it takes a proxy's header.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn start(
        self,
        chat: SocketAddr,
        has_header: bool,
        stage: &watch::Receiver<Stage>,
    ) -> io::Result<Front> {
        let figures = Figures { handshakes: self.tls.handshakes(), ..Figures::default() };
        let desk = Arc::new(Desk {
            tls: self.tls.clone(),
            chat: on_loopback(chat),
            has_header,
            handshake: TLS_HANDSHAKE_TIMEOUT,
            slots: Arc::new(Semaphore::new(self.connections as usize)),
            figures: figures.clone(),
        });
        let threads = (0..self.threads).map(|number| {
            let listener = self.listener.try_clone()?;
            let (desk, stage) = (Arc::clone(&desk), stage.clone());
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (slots, places) = (Arc::clone(&desk.slots), self.connections);
            thread::Builder::new().name(format!("rl-tls-{number}")).spawn(move || {
                runtime.block_on(async move {
                    serve(listener, desk, stage).await;
                    // What the node has said last is on its way; whoever does not take it is cut.
                    let _ =
                        tokio::time::timeout(FRONT_END_TIMEOUT, slots.acquire_many(places)).await;
                });
            })
        });
        let threads = threads.collect::<io::Result<_>>()?;
        Ok(Front { threads, tls: self.tls, figures })
    }
}

/// The running threads. They end after the node has.
#[derive(Debug)]
pub(crate) struct Front {
    threads: Vec<thread::JoinHandle<()>>,
    tls: Acceptor,
    figures: Figures,
}

impl Front {
    /// Its counters.
    pub(crate) fn figures(&self) -> Figures {
        self.figures.clone()
    }

    /// The certificate, which can be read again.
    pub(crate) fn tls(&self) -> Acceptor {
        self.tls.clone()
    }

    /// Waits for the threads: the node has ended and said so.
    pub(crate) fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a TLS thread panicked (a bug: please report it with the log)");
            }
        }
    }
}

/// Accepts until the node drains, and waits for its end.
async fn serve(listener: TcpListener, desk: Arc<Desk>, mut stage: watch::Receiver<Stage>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a TLS thread cannot listen");
            return;
        }
    };
    let mut draining = stage.clone();
    tokio::select! {
        () = desk.accept_all(&listener) => {}
        // An error says the same: the node is gone.
        _ = draining.wait_for(|stage| *stage != Stage::Serving) => {}
    }
    drop(listener);
    let _ = stage.wait_for(|stage| *stage == Stage::Ended).await; // As above.
}

/// Nobody but this machine is asked to carry what TLS has given up.
const fn on_loopback(chat: SocketAddr) -> SocketAddr {
    let loopback = match chat.ip() {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    let ip = if chat.ip().is_unspecified() { loopback } else { chat.ip() };
    SocketAddr::new(ip, chat.port())
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted node must not wait for its predecessor's connections in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// A pause that a thread takes after an accept that failed for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = crate::limits::ACCEPT_RETRY;
