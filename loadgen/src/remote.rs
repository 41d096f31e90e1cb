//! `loadgen run`: load on a system that runs already, here or elsewhere.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::Context;
use hyper::Uri;

use crate::capture::{NodeInfo, Probe};
use crate::cli::{ProtocolName, RunArgs};
use crate::engines::EngineName;
use crate::env::allowed_cpus;
use crate::exit::{Exit, Refusal};
use crate::grants_direct::{DirectGrants, DirectNode, NodeCell};
use crate::grants_gateway::{Accounts, GatewayGrants};
use crate::grants_raw::RawGrants;
use crate::http::Http;
use crate::offer::{Offer, ephemeral_ports, loopback_sources};
use crate::plan::{GrantSource, Protocol, Watch};
use crate::trial::Trial;
use crate::validate::{self, Ask, Host};

/// How long the gateway may take to say that it is there.
const GATEWAY_DEADLINE: Duration = Duration::from_secs(10);
/// How often a node that may be restarted is asked who it is now.
const NODE_LOOK: Duration = Duration::from_millis(200);

/// Loads the system.
///
/// # Errors
/// When it cannot be reached or the load makes no sense.
pub fn run(args: &RunArgs, watch: Arc<Watch>, run_id: u64) -> Result<Vec<Exit>, Refusal> {
    let mut offer = Offer::new(&args.load, run_id)?;
    crate::report::directory::refuse_taken(&args.load)?;
    if args.protocol == ProtocolName::Raw {
        return run_raw(args, offer, watch);
    }
    if args.target.is_some() && args.token_key.is_none() {
        return Err(Refusal::usage(
            "--target needs the cluster key to make tokens with: name it with --token-key FILE",
        ));
    }
    validate::refuse(&ask(args)?, &Host::read(), args.load.force)?;
    let admin = args.target.as_deref().or(args.node_admin.as_deref());
    let mut probe =
        admin.map(Probe::new).transpose().map_err(|error| Refusal::usage(format!("{error:#}")))?;
    let info = probe.as_ref().map(Probe::info).transpose().map_err(Refusal::unreachable)?;
    if let Some(info) = &info {
        offer.refuse_overload(info.shards.max(1), args.load.overload)?;
    }
    let mut processes = Vec::new();
    if let Some(pid) = info.as_ref().and_then(|info| local_process(info, admin.unwrap_or_default()))
    {
        probe = probe.map(|probe| probe.with_process(pid));
        processes.push(pid);
        offer.plan.options.server_pid = Some(pid);
    }
    let (grants, login) = source(args, info.as_ref(), &watch.stop)?;
    let cpu = args.cpu.or_else(|| allowed_cpus().ok()?.last().copied());
    offer.plan.cpu = cpu;
    offer.plan.sources = sources(args, info.as_ref());
    let on = cpu.map_or_else(|| "unpinned".into(), |cpu| format!("on processor {cpu}"));
    Trial {
        args: &args.load,
        offer,
        login,
        layout: vec![format!("the generator {on}; the servers are where they were started")],
        grants,
        probe,
        processes,
        data: None,
        require_valid: !args.allow_invalid,
        watch,
        engine: args.load.engine.engine(),
        disturbance: None,
    }
    .run()
}

/// What a run against a system elsewhere would ask of this machine: its own part.
///
/// # Errors
/// When the load makes no sense.
pub fn ask(args: &RunArgs) -> Result<Ask, Refusal> {
    let offer = Offer::new(&args.load, 0)?;
    let target = args.target.as_deref().and_then(|target| target.rsplit_once(':'));
    let host = target.map(|(host, _)| host).or_else(|| args.gateway.as_ref()?.host());
    let is_here =
        host.and_then(|host| host.parse::<IpAddr>().ok()).is_some_and(|ip| ip.is_loopback());
    Ok(validate::remote(&offer, &args.source, is_here))
}

/// The same for a server that speaks the raw protocol: it has no page of its own, and logins take no tokens.
fn run_raw(args: &RunArgs, mut offer: Offer, watch: Arc<Watch>) -> Result<Vec<Exit>, Refusal> {
    if args.load.engine != EngineName::Uring {
        return Err(Refusal::usage("--protocol raw needs --engine uring"));
    }
    let target = args.target.as_deref().unwrap_or_default();
    let target: SocketAddrV4 = target
        .parse()
        .map_err(|_| Refusal::usage(format!("`{target}` is no address: write --target IP:PORT")))?;
    let cpu = args.cpu.or_else(|| allowed_cpus().ok()?.last().copied());
    offer.plan.cpu = cpu;
    offer.plan.sources = match args.source.as_slice() {
        [] if target.ip().is_loopback() => default_sources(args),
        sources => sources.to_owned(),
    };
    offer.plan.logout = false;
    offer.plan.options.protocol = Protocol::Raw;
    offer.plan.options.server_pid = args.server_pid;
    offer.plan.options.no_acks = args.no_acks;
    let on = cpu.map_or_else(|| "unpinned".into(), |cpu| format!("on processor {cpu}"));
    Trial {
        args: &args.load,
        offer,
        login: "raw",
        layout: vec![format!("the generator {on}; the server is where it was started")],
        grants: Box::new(RawGrants::new(target)),
        probe: None,
        processes: args.server_pid.into_iter().collect(),
        data: None,
        require_valid: !args.allow_invalid,
        watch,
        engine: args.load.engine.engine(),
        disturbance: None,
    }
    .run()
}

type Source = (Box<dyn GrantSource + Send>, &'static str);

fn source(
    args: &RunArgs,
    info: Option<&NodeInfo>,
    stop: &Arc<AtomicBool>,
) -> Result<Source, Refusal> {
    if let Some(gateway) = &args.gateway {
        reach(gateway)?;
        let accounts =
            Accounts { prefix: args.user_prefix.clone(), password: args.password.clone() };
        let grants = GatewayGrants::start(gateway, accounts)
            .map_err(|error| Refusal::usage(error.to_string()))?;
        return Ok((Box::new(grants), "gateway"));
    }
    let (Some(info), Some(key), Some(admin)) = (info, &args.token_key, &args.target) else {
        return Err(Refusal::usage(
            "name a system: --gateway URL, or --target HOST:ADMINPORT with --token-key FILE",
        ));
    };
    let key = balancer::key::load(key, true).map_err(|error| Refusal::usage(error.to_string()))?;
    let node = DirectNode::new(info).map_err(|error| Refusal::usage(error.to_string()))?;
    if !args.load.reconnect {
        return Ok((Box::new(DirectGrants::new(key, node)), "direct"));
    }
    let cell = NodeCell::new(node.into());
    follow(admin, Arc::clone(&cell), Arc::clone(stop))?;
    Ok((Box::new(DirectGrants::watching(key, cell)), "direct"))
}

/// Puts every new start of the node into the cell, until the run is stopped or the process ends.
fn follow(admin: &str, cell: NodeCell, stop: Arc<AtomicBool>) -> Result<(), Refusal> {
    let probe = Probe::new(admin)?;
    let look = move || {
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            std::thread::sleep(NODE_LOOK);
            // No answer: it is down, and the old tokens are refused until it is back.
            let Some(Ok(now)) = probe.info().ok().map(|info| DirectNode::new(&info)) else {
                continue;
            };
            let mut node = cell.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if node.incarnation != now.incarnation {
                *node = now;
            }
        }
    };
    std::thread::Builder::new().name("lg-follow".into()).spawn(look)?;
    Ok(())
}

/// Asks the gateway whether it is there, so that a wrong address fails now and not at the end of a ramp.
fn reach(gateway: &Uri) -> Result<(), Refusal> {
    let health = format!("{}/healthz", gateway.to_string().trim_end_matches('/')).parse::<Uri>();
    let health = health
        .map_err(|_| Refusal::usage(format!("`{gateway}` is no URL: write http://HOST:PORT")))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(Http::new(1).fetch(&health, GATEWAY_DEADLINE)) {
        // An unhealthy gateway says so in its logins, with the reason.
        Ok(_) | Err(crate::http::HttpError::Status(_)) => Ok(()),
        Err(error) => {
            let reason = Err::<(), _>(error)
                .with_context(|| format!("the gateway at {gateway} cannot be reached"));
            reason.map_err(Refusal::unreachable)
        }
    }
}

/// The node's process, if it is one of this machine.
fn local_process(info: &NodeInfo, admin: &str) -> Option<u32> {
    let here = admin.parse::<SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
    let name = std::fs::read_to_string(format!("/proc/{}/comm", info.pid)).unwrap_or_default();
    (here && name.trim() == "rl-node").then_some(info.pid)
}

fn sources(args: &RunArgs, info: Option<&NodeInfo>) -> Vec<std::net::Ipv4Addr> {
    if !args.source.is_empty() {
        return args.source.clone();
    }
    let node =
        info.and_then(|info| info.chat.parse::<SocketAddr>().ok()).map(|address| address.ip());
    let gateway = args.gateway.as_ref().and_then(|uri| uri.host()?.parse::<IpAddr>().ok());
    match node.or(gateway) {
        Some(ip) if ip.is_loopback() => default_sources(args),
        Some(_) | None => Vec::new(),
    }
}

/// Addresses to connect from on this machine.
fn default_sources(args: &RunArgs) -> Vec<std::net::Ipv4Addr> {
    loopback_sources(crate::offer::ports_wanted(&args.load), ephemeral_ports())
}
