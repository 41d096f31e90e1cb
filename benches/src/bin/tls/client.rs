//! The clients of a round: one thread, all connections, each with one message outstanding.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use wire::{
    ClientMessageId, Command, Event, FrameView, Login, Message, SendText, UserId, split_frame,
};

/// A round.
pub(crate) struct Plan {
    pub(crate) at: SocketAddr,
    /// With TLS, whom to trust.
    pub(crate) trust: Option<Arc<ClientConfig>>,
    /// One of each user, from 1.
    pub(crate) tokens: Vec<Vec<u8>>,
    pub(crate) messages: u64,
    pub(crate) body: Vec<u8>,
}

/// Runs a round; what `read` says of the time between its begin and its end: processor seconds and seconds.
pub(crate) fn run(
    plan: Plan,
    read: impl Fn() -> anyhow::Result<(f64, Instant)>,
) -> anyhow::Result<(f64, f64)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let plan = Arc::new(plan);
        let users = plan.tokens.len();
        // Twice: all are logged in; the first reading is taken. Once more: all are done.
        let barrier = Arc::new(Barrier::new(users + 1));
        let mut clients = JoinSet::new();
        for user in 0..users {
            clients.spawn(one(Arc::clone(&plan), user, Arc::clone(&barrier)));
        }
        let all = async {
            barrier.wait().await;
            let begun = read()?;
            barrier.wait().await;
            barrier.wait().await;
            let done = read()?;
            barrier.wait().await;
            anyhow::Ok((done.0 - begun.0, (done.1 - begun.1).as_secs_f64()))
        };
        let failure = async {
            while let Some(ended) = clients.join_next().await {
                match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => return error,
                    Err(error) => return error.into(),
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            read = all => read,
            error = failure => Err(error),
        }
    })
}

async fn one(plan: Arc<Plan>, user: usize, barrier: Arc<Barrier>) -> anyhow::Result<()> {
    let stream = TcpStream::connect(plan.at).await?;
    stream.set_nodelay(true)?;
    match &plan.trust {
        None => talk(&plan, user, &barrier, stream).await,
        Some(trust) => {
            let name = ServerName::try_from("localhost")?;
            let stream = TlsConnector::from(Arc::clone(trust)).connect(name, stream).await?;
            talk(&plan, user, &barrier, stream).await
        }
    }
}

async fn talk(
    plan: &Plan,
    user: usize,
    barrier: &Barrier,
    stream: impl AsyncRead + AsyncWrite + Unpin,
) -> anyhow::Result<()> {
    let token = plan.tokens.get(user).context("a token for each")?;
    let mut peer = Peer { stream, read: Vec::new(), out: Vec::new() };
    peer.send(Command::Login(Login { token })).await?;
    peer.wait(|event| matches!(event, Event::Welcome(_))).await?;
    barrier.wait().await;
    barrier.wait().await;
    let to = UserId(((user + 1) % plan.tokens.len()) as u64 + 1);
    for number in 1..=plan.messages {
        let client_message_id = ClientMessageId(number);
        let text = SendText { to, client_message_id, body: &plan.body };
        peer.send(Command::SendText(text)).await?;
        peer.wait(|event| matches!(event, Event::Acked(_))).await?;
    }
    barrier.wait().await;
    barrier.wait().await;
    Ok(())
}

struct Peer<S> {
    stream: S,
    read: Vec<u8>,
    out: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    async fn send(&mut self, command: Command<'_>) -> anyhow::Result<()> {
        self.out.clear();
        assert!(Message::from(command).append_to(1, &mut self.out), "a command fits a frame");
        self.stream.write_all(&self.out).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// Reads until such an event has come; what comes before it is dropped.
    async fn wait(&mut self, is_it: impl Fn(&Event<'_>) -> bool) -> anyhow::Result<()> {
        loop {
            let mut rest = self.read.as_slice();
            let mut found = false;
            while let Some((frame, after)) = split_frame(rest).context("a frame")? {
                let view = FrameView::parse(frame).context("a valid frame")?;
                let Message::Event(event) = view.message() else { bail!("a node sends events") };
                if let Event::Goodbye(goodbye) = &event {
                    bail!("the node said goodbye: reason {}", goodbye.reason);
                }
                found |= is_it(&event);
                rest = after;
            }
            let left = rest.len();
            self.read.drain(..self.read.len() - left);
            if found {
                return Ok(());
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("the node closed the connection");
            }
        }
    }
}
