//! One TLS connection from its accept to its end.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use balancer::tls::Acceptor;
use chat::ProxyHeader;
use tokio::io::{AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::ACCEPT_PAUSE;
use super::copy::copy;
use super::figures::Figures;
use crate::limits::{FRONT_CONNECT_TIMEOUT, FRONT_LINGER};

/// What every connection needs.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) tls: Acceptor,
    /// The chat port.
    pub(super) chat: SocketAddr,
    /// Whether it takes a proxy's header.
    pub(super) has_header: bool,
    /// Time to shake hands.
    pub(super) handshake: Duration,
    /// Places for connections.
    pub(super) slots: Arc<Semaphore>,
    pub(super) figures: Figures,
}

impl Desk {
    /// Accepts for ever. Waits for a free place first, so that a flood waits in the kernel's queue.
    pub(super) async fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        loop {
            if self.slots.available_permits() == 0 {
                self.figures.full.inc();
            }
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                return; // Never closed.
            };
            match listener.accept().await {
                Ok((stream, peer)) => {
                    self.figures.accepted.inc();
                    tokio::spawn(Arc::clone(self).serve(stream, peer, slot));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a TLS connection: raise the descriptor limit?");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        slot: OwnedSemaphorePermit,
    ) {
        self.figures.open.inc();
        if let Err(error) = self.relay(stream, peer).await {
            tracing::debug!(%peer, %error, "a TLS connection ended");
        }
        self.figures.open.dec();
        drop(slot);
    }

    async fn relay(&self, stream: TcpStream, peer: SocketAddr) -> io::Result<()> {
        let _ = stream.set_nodelay(true); // A refusal costs latency only.
        let local = stream.local_addr()?;
        let tls = self.tls.accept(stream, self.handshake).await?;
        let chat = self.connect(peer, local).await.inspect_err(|_| {
            self.figures.chat_refused.inc();
        })?;
        let (from_client, to_client) = split(tls);
        let (from_chat, to_chat) = chat.into_split();
        let mut up = pin!(copy(from_client, to_chat));
        let mut down = pin!(copy(from_chat, to_client));
        tokio::select! {
            // The client has finished: what the node still has to say is bounded by the node's own deadlines.
            done = &mut up => {
                done?;
                down.await
            }
            done = &mut down => {
                done?;
                timeout(FRONT_LINGER, up).await.unwrap_or_else(|_| {
                    self.figures.linger_cuts.inc();
                    Ok(())
                })
            }
        }
    }

    /// Connects to the chat port and says for whom.
    async fn connect(&self, peer: SocketAddr, local: SocketAddr) -> io::Result<TcpStream> {
        let connect = async {
            let mut chat = TcpStream::connect(self.chat).await?;
            let _ = chat.set_nodelay(true); // As above.
            if self.has_header {
                chat.write_all(&ProxyHeader::write(peer, local)).await?;
            }
            Ok(chat)
        };
        timeout(FRONT_CONNECT_TIMEOUT, connect)
            .await
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}
