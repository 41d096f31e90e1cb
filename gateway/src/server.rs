//! The gateway as a server: opens the store, binds, serves, stops when told.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, ensure};
use balancer::client::Client;
use balancer::config::Configured;
use balancer::http::Tally;
use balancer::tls::{Acceptor, Inside};
use balancer::{http, launch};
use store::AccountsService;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::Args;
use crate::accounts::Accounts;
use crate::clients::Clients;
use crate::ender::Ender;
use crate::hash_pool::HashPool;
use crate::limits::{
    BALANCER_DEADLINE, CONNECTIONS_MAX, CONNECTIONS_PER_CLIENT_MAX, DRAIN_TIMEOUT, HEAD_BYTES_MAX,
    HEAD_TIMEOUT,
};
use crate::mail::Mailer;
use crate::metrics::{Metrics, page};
use crate::password::Hasher;
use crate::routes::{App, router};
use crate::verify::{Desk, Remote, Verifier, front};

/// A gateway whose ports and store are open and that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    tls: Option<Acceptor>,
    /// Where other gateways ask for codes.
    verify: Option<TcpListener>,
    verify_tls: Option<Acceptor>,
    app: Arc<App>,
    store: AccountsService,
}

impl Bound {
    /// Checks the arguments, opens the store and the ports. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Whatever of it fails, and what to do about it.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let (certificate, tls_key) = (args.tls_cert.as_ref(), args.tls_key.as_ref());
        let tls = Acceptor::load(certificate, tls_key, None, Inside::Http)?;
        launch::check_exposure(args.listen, args.insecure || tls.is_some())?;
        let clients = args.verify_client_ca.as_ref();
        let verify_tls = match args.verify_listen {
            None => None,
            Some(address) => {
                let tls = Acceptor::load(certificate, tls_key, clients, Inside::Grpc)?;
                check_callers(address, tls.is_some() && clients.is_some(), args.insecure)?;
                tls
            }
        };
        let threads = match args.hash_threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism()?.get(),
        };
        ensure!((1..=256).contains(&threads), "--hash-threads must be 1 to 256");
        let hasher = Hasher::new(args.hash_memory_kib, args.hash_passes)
            .context("change --hash-memory-kib or --hash-passes")?;
        let balancer = Client::trusting(&args.balancer, &args.trust, BALANCER_DEADLINE)
            .context("--balancer")?;
        let shared = Arc::new(args.shared.shared()?);
        let verifier = match &args.verify {
            Some(url) => Verifier::There(Remote::new(url, &args.trust).context("--verify")?),
            None => {
                let mailer = Mailer::new(&args.mail, args.development, args.insecure)?;
                let digester = args.shared.digester(args.development)?;
                let desk = Desk::new(Arc::clone(&shared), mailer, digester, args.development);
                Verifier::Here(Arc::new(desk))
            }
        };
        let place = args.store.place(args.data.as_deref())?;
        place.check_exposure(args.insecure)?;
        let store = place
            .accounts_service()
            .with_context(|| format!("cannot open the accounts in {place}"))?;
        let app = App {
            accounts: Accounts::new(store.handle()),
            ender: Ender::new(balancer.clone()),
            balancer,
            verifier,
            shared,
            clients: Clients {
                proxies: args.trusted_proxy.clone(),
                unlimited: args.unlimited.clone(),
            },
            hasher: Arc::new(hasher),
            pool: HashPool::new(threads),
            metrics: Metrics::new(),
            skips_verification: args.skip_verification,
        };
        let open =
            |address| http::listen(address).with_context(|| format!("cannot listen on {address}"));
        let listener = open(args.listen)?;
        let verify = args.verify_listen.map(open).transpose()?;
        Ok(Self { listener, tls, verify, verify_tls, app: Arc::new(app), store })
    }

    /// Where clients call.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The certificate as clients are shown it, and as other gateways are: each can be read again. Empty without TLS.
    #[must_use]
    pub fn tls(&self) -> Vec<Acceptor> {
        [&self.tls, &self.verify_tls].into_iter().flatten().cloned().collect()
    }

    /// Where other gateways ask for codes, if they may.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn verify_address(&self) -> anyhow::Result<Option<SocketAddr>> {
        Ok(self.verify.as_ref().map(TcpListener::local_addr).transpose()?)
    }

    /// Serves until `shutdown` ends, answers what was asked before, hands mails over, closes the store and returns.
    ///
    /// # Errors
    /// The gRPC server for other gateways failed.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { listener, tls, verify, verify_tls, app, store } = self;
        let tally = Tally::default();
        // All clients of a proxy come from its one address.
        let is_proxied = !app.clients.proxies.is_empty();
        let bounds = http::Bounds {
            connections_max: CONNECTIONS_MAX,
            peer_connections_max: if is_proxied {
                CONNECTIONS_MAX
            } else {
                CONNECTIONS_PER_CLIENT_MAX
            },
            head_bytes_max: HEAD_BYTES_MAX,
            head_timeout: HEAD_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
            tally: Some(tally.clone()),
        };
        let desk = match &app.verifier {
            Verifier::Here(desk) => Some(Arc::clone(desk)),
            Verifier::There(_) => None,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let codes = match (verify, &desk) {
            (Some(listener), Some(desk)) => {
                let front = front(Arc::clone(desk)).await?;
                let tls = verify_tls.clone();
                Some(tokio::spawn(front.serve(listener, tls, async {
                    let _ = stopped.await; // Dropped: the same.
                })))
            }
            (Some(_) | None, _) => None,
        };
        let mut page = page(&app, &tally);
        if let Some(tls) = &tls {
            tls.handshakes().register(&mut page);
        }
        if let Some(tls) = &verify_tls {
            tls.handshakes().register(page.sub_registry_with_prefix("verify"));
        }
        http::serve_inside(listener, tls, router(app, page), bounds, shutdown).await;
        drop(stop);
        if let Some(codes) = codes {
            codes.await?.context("the gRPC server for verification codes failed")?;
        }
        if let Some(desk) = desk {
            desk.drain().await;
        }
        // Its threads end with their queues empty: what was answered is on the disk.
        store.stop();
        Ok(())
    }
}

/// Whoever may call the port for other gateways can use codes up: others reach it only if it asks who they are.
fn check_callers(address: SocketAddr, is_asked: bool, insecure: bool) -> anyhow::Result<()> {
    ensure!(
        address.ip().is_loopback() || is_asked || insecure,
        "{address} of --verify-listen can be reached from other machines, and whoever calls can use codes up: give \
         --tls-cert and say with --verify-client-ca who may, or --insecure if the network is trusted"
    );
    Ok(())
}

/// Runs a gateway until SIGTERM or SIGINT.
///
/// # Errors
/// It could not start.
pub fn run(config: impl Into<Configured<Args>>) -> anyhow::Result<()> {
    let (args, mut reloader) = config.into().into_parts(&["limit"]);
    launch::begin(c"rl-gateway");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = launch::Signals::new()?;
        let bound = Bound::new(&args)?;
        launch::announce(&serde_json::json!({
            "ready": "gateway",
            "http": bound.address()?.to_string(),
            "verify": bound.verify_address()?.map(|address| address.to_string()),
        }))?;
        let (tls, shared) = (bound.tls(), Arc::clone(&bound.app.shared));
        launch::on_hangup(move || {
            reloader.reload(|new| {
                shared.set_limits(&new.shared.limit);
                Ok(())
            });
            tls.iter().for_each(|tls| launch::reload_certificate(Some(tls)));
        })?;
        tracing::info!(?args, "serving");
        bound.serve(signals.shutdown()).await
    })
}
