//! The balancer as a server: binds, serves both ports, stops when told.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;

use crate::config::Configured;
use crate::grpc::Front;
use crate::keeper::{Clock, Keeper};
use crate::limits::{CALL_DEADLINE, MESSAGE_BYTES_MAX};
use crate::metrics::{Metrics, Seen};
use crate::proto::balancer_server::{BalancerServer, SERVICE_NAME as BALANCER};
use crate::redis::Link;
use crate::service::Service;
use crate::tls::{Acceptor, Inside};
use crate::{Args, admin, http, key, launch, proto};

/// A balancer whose ports are open and that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    grpc: TcpListener,
    admin: TcpListener,
    tls: Option<Acceptor>,
    service: Service,
    keeper: Arc<Keeper>,
    metrics: Arc<Metrics>,
}

impl Bound {
    /// Checks the arguments, reads the key and opens the ports. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Whatever of it fails, and what to do about it.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let (certificate, tls_key) = (args.tls_cert.as_ref(), args.tls_key.as_ref());
        let clients = args.tls_client_ca.as_ref();
        let tls = Acceptor::load(certificate, tls_key, clients, Inside::Grpc)?;
        ensure!(
            args.listen.ip().is_loopback() || tls.is_none() || clients.is_some() || args.insecure,
            "{} can be reached from other machines, and whoever calls can have a token for any user: say with \
             --tls-client-ca who may, or --insecure if the network is trusted",
            args.listen
        );
        launch::check_exposure(args.listen, args.insecure || tls.is_some())?;
        launch::check_exposure(args.admin, args.insecure)?;
        let settings = args.settings()?;
        let key = key::load(&args.token_key_file, args.development)?;
        let open =
            |address| http::listen(address).with_context(|| format!("cannot listen on {address}"));
        let keeper = Arc::new(match &args.redis {
            Some(url) => Keeper::in_redis(Link::new(url)?, Clock::Real, settings),
            None => Keeper::in_memory(Clock::Real, settings),
        });
        let metrics = Arc::new(Metrics::default());
        let report_interval = Duration::from_millis(args.report_interval_ms);
        let service = Service::new(Arc::clone(&keeper), Arc::clone(&metrics), key, report_interval);
        let (grpc, admin) = (open(args.listen)?, open(args.admin)?);
        Ok(Self { grpc, admin, tls, service, keeper, metrics })
    }

    /// Where gateways and nodes call.
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

    /// The certificate that gateways and nodes are shown, which can be read again; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<Acceptor> {
        self.tls.clone()
    }

    /// Serves until `shutdown` ends, then answers what was asked before and returns.
    ///
    /// # Errors
    /// The gRPC server failed.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let (stop, stopped) = watch::channel(());
        let stopped = || {
            let mut stopped = stopped.clone();
            async move {
                let _ = stopped.changed().await; // An error says the same: the sender is gone.
            }
        };
        let seen = Seen::new(Arc::clone(&self.keeper));
        let mut page = self.metrics.page(&self.keeper, &seen);
        if let Some(tls) = &self.tls {
            tls.handshakes().register(&mut page);
        }
        let admin =
            http::serve(self.admin, admin::router(page, seen), http::Bounds::ADMIN, stopped());
        let service = BalancerServer::new(self.service)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(usize::MAX);
        let names = &[BALANCER];
        let descriptors = &[proto::DESCRIPTORS];
        let front = Front::new(Routes::new(service), names, descriptors, CALL_DEADLINE).await?;
        let admin = tokio::spawn(admin);
        let grpc = front.serve(self.grpc, self.tls, stopped());
        let mut grpc = std::pin::pin!(grpc);
        tokio::select! {
            served = &mut grpc => served.context("the gRPC server failed")?,
            () = shutdown => {
                drop(stop);
                grpc.await.context("the gRPC server failed")?;
            }
        }
        admin.await?;
        Ok(())
    }
}

/// Options that can change while a balancer runs.
const LIVE: &[&str] = &["lease-ms", "token-ttl-ms"];

/// Runs a balancer until SIGTERM or SIGINT.
///
/// # Errors
/// It could not start, or its server failed.
pub fn run(config: impl Into<Configured<Args>>) -> anyhow::Result<()> {
    let (args, mut reloader) = config.into().into_parts(LIVE);
    launch::begin(c"rl-balancer");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = launch::Signals::new()?;
        let bound = Bound::new(&args)?;
        launch::announce(&serde_json::json!({
            "ready": "balancer",
            "grpc": bound.grpc_address()?.to_string(),
            "admin": bound.admin_address()?.to_string(),
        }))?;
        let (tls, keeper) = (bound.tls(), Arc::clone(&bound.keeper));
        let Args { report_interval_ms, grace_ms, .. } = args;
        tracing::info!(?args, "serving");
        launch::on_hangup(move || {
            reloader.reload(|new| {
                // The nodes keep the interval that they were told when they registered.
                let settings = Args { report_interval_ms, grace_ms, ..new.clone() }.settings()?;
                keeper.set_settings(settings);
                Ok(())
            });
            launch::reload_certificate(tls.as_ref());
        })?;
        bound.serve(signals.shutdown()).await
    })
}
