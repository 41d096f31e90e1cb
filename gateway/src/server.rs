//! The gateway as a server: opens the store, binds, serves, stops when told.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, ensure};
use balancer::client::Client;
use balancer::config::Configured;
use balancer::tls::{Acceptor, Inside};
use balancer::{http, launch};
use store::AccountsService;
use tokio::net::TcpListener;

use crate::Args;
use crate::accounts::Accounts;
use crate::codes::Codes;
use crate::delivery::Delivery;
use crate::hash_pool::HashPool;
use crate::limits::{BALANCER_DEADLINE, CONNECTIONS_MAX, DRAIN_TIMEOUT, HEAD_TIMEOUT};
use crate::metrics::Metrics;
use crate::password::Hasher;
use crate::routes::{App, router};

/// A gateway whose port and store are open and that does not answer yet.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    tls: Option<Acceptor>,
    app: Arc<App>,
    store: AccountsService,
}

impl Bound {
    /// Checks the arguments, opens the store and the port. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// Whatever of it fails, and what to do about it.
    pub fn new(args: &Args) -> anyhow::Result<Self> {
        let (certificate, tls_key) = (args.tls_cert.as_ref(), args.tls_key.as_ref());
        let tls = Acceptor::load(certificate, tls_key, Inside::Http)?;
        launch::check_exposure(args.listen, args.insecure || tls.is_some())?;
        let threads = match args.hash_threads {
            Some(threads) => threads,
            None => std::thread::available_parallelism()?.get(),
        };
        ensure!((1..=256).contains(&threads), "--hash-threads must be 1 to 256");
        let hasher = Hasher::new(args.hash_memory_kib, args.hash_passes)
            .context("change --hash-memory-kib or --hash-passes")?;
        let mut key = [0; 64];
        getrandom::fill(&mut key)?;
        let delivery = match &args.code_program {
            Some(path) => Delivery::program(path.clone()),
            None if args.development => Delivery::Log,
            None => Delivery::Missing,
        };
        let place = args.store.place(args.data.as_deref())?;
        let store = place
            .accounts_service()
            .with_context(|| format!("cannot open the accounts in {place}"))?;
        let app = App {
            accounts: Accounts::new(store.handle()),
            balancer: Client::trusting(&args.balancer, args.tls_ca.as_deref(), BALANCER_DEADLINE)?,
            codes: Mutex::new(Codes::new(key)),
            delivery,
            hasher: Arc::new(hasher),
            pool: HashPool::new(threads),
            metrics: Metrics::new(),
            skips_verification: args.skip_verification,
        };
        let listener = http::listen(args.listen)
            .with_context(|| format!("cannot listen on {}", args.listen))?;
        Ok(Self { listener, tls, app: Arc::new(app), store })
    }

    /// Where clients call.
    ///
    /// # Errors
    /// The socket is broken.
    pub fn address(&self) -> anyhow::Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// The certificate that clients are shown, which can be read again; `None` without TLS.
    #[must_use]
    pub fn tls(&self) -> Option<Acceptor> {
        self.tls.clone()
    }

    /// Serves until `shutdown` ends, answers what was asked before, closes the store and returns.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) {
        let bounds = http::Bounds {
            connections_max: CONNECTIONS_MAX,
            head_timeout: HEAD_TIMEOUT,
            drain_timeout: DRAIN_TIMEOUT,
        };
        http::serve_inside(self.listener, self.tls, router(self.app), bounds, shutdown).await;
        // Its threads end with their queues empty: what was answered is on the disk.
        self.store.stop();
    }
}

/// Runs a gateway until SIGTERM or SIGINT.
///
/// # Errors
/// It could not start.
pub fn run(config: impl Into<Configured<Args>>) -> anyhow::Result<()> {
    // A gateway has no limit that is an option: what can change is its certificate.
    let (args, mut reloader) = config.into().into_parts(&[]);
    launch::begin(c"rl-gateway");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = launch::Signals::new()?;
        let bound = Bound::new(&args)?;
        launch::announce(&serde_json::json!({
            "ready": "gateway",
            "http": bound.address()?.to_string(),
        }))?;
        let tls = bound.tls();
        launch::on_hangup(move || {
            reloader.reload(|_| Ok(()));
            launch::reload_certificate(tls.as_ref());
        })?;
        tracing::info!(?args, "serving");
        bound.serve(signals.shutdown()).await;
        Ok(())
    })
}
