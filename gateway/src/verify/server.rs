//! A verification server of its own: arguments, ports, start and end.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, ensure};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use balancer::config::Configured;
use balancer::tls::{Acceptor, Inside};
use balancer::{admin, http, launch};
use prometheus_client::registry::Registry as Page;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::{Desk, front};
use crate::mail::{MailArgs, Mailer};
use crate::shared::{Shared, SharedArgs};

/// Ringline's verification server: sends codes to e-mail addresses and compares what people type.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "verify-server", version)]
pub struct Args {
    /// Where gateways call (gRPC). Port 0 chooses a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5910")]
    pub listen: SocketAddr,

    /// Where /healthz and /metrics are (HTTP). Port 0 chooses a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:5911")]
    pub admin: SocketAddr,

    /// The certificate that gateways are shown, and those that it was signed with (PEM): TLS. Read again at SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// Its private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// The authorities that sign the certificates of gateways (PEM): nobody else is served. Whoever may call can use codes up
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,

    /// How codes reach people.
    #[command(flatten)]
    pub mail: MailArgs,

    /// Where codes and rates are remembered.
    #[command(flatten)]
    pub shared: SharedArgs,

    /// Listen on addresses that others can reach although nothing is encrypted, or although anybody may call
    #[arg(long)]
    pub insecure: bool,

    /// Show codes in answers, and log them where no way to deliver them is given: for trying things out only
    #[arg(long)]
    pub development: bool,
}

/// A verification server whose ports are open and that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    grpc: TcpListener,
    tls: Option<Acceptor>,
    admin: TcpListener,
    shared: Arc<Shared>,
    desk: Arc<Desk>,
    page: Page,
}

impl Bound {
    /// Checks the arguments and opens the ports. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Whatever of it fails, and what to do about it.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let (certificate, key) = (args.tls_cert.as_ref(), args.tls_key.as_ref());
        let clients = args.tls_client_ca.as_ref();
        let tls = Acceptor::load(certificate, key, clients, Inside::Grpc)?;
        ensure!(
            args.listen.ip().is_loopback() || tls.is_none() || clients.is_some() || args.insecure,
            "{} can be reached from other machines, and whoever calls can use codes up: say with --tls-client-ca who may, \
             or --insecure if the network is trusted",
            args.listen
        );
        launch::check_exposure(args.listen, args.insecure || tls.is_some())?;
        launch::check_exposure(args.admin, args.insecure)?;
        let shared = Arc::new(args.shared.shared()?);
        let mailer = Mailer::new(&args.mail, args.development, args.insecure)?;
        let digester = args.shared.digester(args.development)?;
        let desk = Desk::new(Arc::clone(&shared), mailer, digester, args.development);
        let mut page = Page::with_prefix("ringline_verify");
        shared.register(&mut page);
        desk.register(&mut page);
        if let Some(tls) = &tls {
            tls.handshakes().register(&mut page);
        }
        let open =
            |address| http::listen(address).with_context(|| format!("cannot listen on {address}"));
        let (grpc, admin) = (open(args.listen)?, open(args.admin)?);
        Ok(Self { grpc, tls, admin, shared, desk: Arc::new(desk), page })
    }

    /// Where gateways call.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn grpc_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.grpc.local_addr()?)
    }

    /// Where /healthz and /metrics are.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn admin_address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.admin.local_addr()?)
    }

    /// The certificate that gateways are shown, which can be read again; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<Acceptor> {
        self.tls.clone()
    }

    /// Serves until `shutdown` ends, then answers what was asked before, hands mails over and returns.
    ///
    /// # Errors
    /// The gRPC server failed.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { grpc, tls, admin, shared, desk, page } = self;
        let page = Arc::new(page);
        let router = Router::new()
            .route("/healthz", get(async move || health(&shared)))
            .route("/metrics", get(async move || admin::metrics_page(&page)));
        let (stop, mut stopped) = watch::channel(());
        let admin = tokio::spawn(http::serve(admin, router, http::Bounds::ADMIN, async move {
            let _ = stopped.changed().await; // An error says the same: the sender is gone.
        }));
        let served = front(Arc::clone(&desk)).await?.serve(grpc, tls, shutdown).await;
        desk.drain().await;
        drop(stop);
        admin.await?;
        served
    }
}

/// Whether codes can be made and compared, as far as is known.
fn health(shared: &Shared) -> Response {
    if shared.is_failing() {
        let reasons = serde_json::json!({ "reasons": ["the Redis gives no answer"] });
        return (StatusCode::SERVICE_UNAVAILABLE, Json(reasons)).into_response();
    }
    "ok\n".into_response()
}

/// Runs a verification server until SIGTERM or SIGINT.
///
/// # Errors
/// It could not start, or its server failed.
pub fn run(config: impl Into<Configured<Args>>) -> anyhow::Result<()> {
    let (args, mut reloader) = config.into().into_parts(&["limit"]);
    launch::begin(c"rl-verify");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = launch::Signals::new()?;
        let bound = Bound::new(&args)?;
        launch::announce(&serde_json::json!({
            "ready": "verify-server",
            "grpc": bound.grpc_address()?.to_string(),
            "admin": bound.admin_address()?.to_string(),
        }))?;
        let (tls, shared) = (bound.tls(), Arc::clone(&bound.shared));
        launch::on_hangup(move || {
            reloader.reload(|new| {
                shared.set_limits(&new.shared.limit);
                Ok(())
            });
            launch::reload_certificate(tls.as_ref());
        })?;
        tracing::info!(?args, "serving");
        bound.serve(signals.shutdown()).await
    })
}
