//! A bounded gRPC front: so many connections, streams and bytes, a deadline on every call, keep-alive; with the standard
//! health and reflection services beside the server's own.
//!
//! Never stays alive for a peer that does not finish its stream: a shutdown is over after its drain time.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic_health::ServingStatus;
use tonic_health::server::{HealthReporter, health_reporter};

use crate::incoming::Incoming;
use crate::limits::{
    GRPC_KEEPALIVE_INTERVAL, GRPC_KEEPALIVE_TIMEOUT, HTTP_DRAIN_TIMEOUT, STREAMS_MAX,
};
use crate::tls::Acceptor;

/// The services of one port.
#[derive(Debug)]
pub struct Front {
    routes: Routes,
    health: HealthReporter,
    names: &'static [&'static str],
    call_deadline: Duration,
}

impl Front {
    /// Puts health and reflection beside the services in `routes`: `names` are these, as health checks ask for them, and
    /// `descriptors` the encoded descriptor sets of their protocol files. No call is worked on for longer than
    /// `call_deadline`, whatever its caller said.
    ///
    /// # Errors
    /// The descriptors are none.
    pub async fn new(
        routes: Routes,
        names: &'static [&'static str],
        descriptors: &[&[u8]],
        call_deadline: Duration,
    ) -> anyhow::Result<Self> {
        let (health, health_service) = health_reporter();
        for name in names {
            health.set_service_status(name, ServingStatus::Serving).await;
        }
        let reflection = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
            descriptors
                .iter()
                .fold(builder, |builder, set| builder.register_encoded_file_descriptor_set(set))
        };
        let routes = routes
            .add_service(health_service)
            .add_service(reflection().build_v1()?)
            // What older tools ask for.
            .add_service(reflection().build_v1alpha()?);
        Ok(Self { routes, health, names, call_deadline })
    }

    /// Serves until `shutdown` ends, inside TLS if there is an acceptor, then answers what was asked before and returns.
    ///
    /// # Errors
    /// The server failed.
    pub async fn serve(
        self,
        listener: TcpListener,
        tls: Option<Acceptor>,
        shutdown: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let Self { routes, health, names, call_deadline } = self;
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let served = Server::builder()
            .timeout(call_deadline)
            .max_concurrent_streams(STREAMS_MAX)
            // Finds dead peers, whose connections would otherwise stay open for ever.
            .http2_keepalive_interval(Some(GRPC_KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(GRPC_KEEPALIVE_TIMEOUT))
            .add_routes(routes)
            .serve_with_incoming_shutdown(Incoming::new(listener, tls), async {
                let _ = stopped.await; // Dropped: the same.
            });
        let mut served = tokio::spawn(served);
        tokio::select! {
            done = &mut served => return Ok(done??),
            () = shutdown => {}
        }
        // Who watches the health hears of the end, and its stream ends with it.
        for name in names.iter().copied().chain([""]) {
            health.set_service_status(name, ServingStatus::NotServing).await;
            health.clone().clear_service_status(name).await;
        }
        let _ = stop.send(()); // It has just ended by itself.
        match tokio::time::timeout(HTTP_DRAIN_TIMEOUT, &mut served).await {
            Ok(done) => Ok(done??),
            Err(_) => {
                served.abort();
                tracing::warn!("some calls were cut at shutdown: the drain time is over");
                Ok(())
            }
        }
    }
}
