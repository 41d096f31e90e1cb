//! `loadgen local`: the whole system from this one program, loaded and stopped again.
//!
//! Owns the order: refuse what makes no sense, start, load, drain, end. The servers are processes of their own, each with
//! its own name; this one only starts, loads and watches them.

mod cache;
mod child;
mod layout;
pub mod outage;
pub mod role;
mod system;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::process::{Resource, getrlimit};

use crate::capture::Probe;
use crate::cli::{DurabilityName, IoName, LocalArgs, LoginName, PresetName, StoreName};
use crate::env::allowed_cpus;
use crate::exit::{Exit, Refusal};
use crate::grants_direct::{DirectGrants, DirectNode};
use crate::grants_gateway::GatewayGrants;
use crate::offer::{Offer, ephemeral_ports, loopback_sources, ports_wanted};
use crate::placement::Placement;
use crate::plan::{GrantSource, Watch};
use crate::trial::{Disturbance, Trial};
use crate::validate::{self, Ask, Host};
use layout::{Facts, Layout};
use outage::{How, Outages, Server};
use system::System;

/// Starts the system, loads it and stops it.
///
/// # Errors
/// When the load makes no sense or the system does not come up.
pub fn run(args: &LocalArgs, watch: Arc<Watch>, run_id: u64) -> Result<Vec<Exit>, Refusal> {
    let mut offer = Offer::new(&args.load, run_id)?;
    crate::report::directory::refuse_taken(&args.load)?;
    let layout = lay_out(args)?;
    refuse(args, &offer, &layout)?;
    let ask = validate::local(args, &offer, layout.shards);
    validate::refuse(&ask, &Host::read(), args.load.force)?;
    offer.plan.cpu = Some(layout.generator);
    offer.plan.sources = loopback_sources(ports_wanted(&args.load), ephemeral_ports());
    let mut system = System::start(args, &layout, &watch.stop).map_err(|reason| {
        let interrupted = watch.stop.load(Ordering::Relaxed);
        Refusal { exit: if interrupted { Exit::Interrupted } else { Exit::Internal }, reason }
    })?;
    let found = load(args, offer, &layout, &mut system, watch);
    if args.keep {
        system.keep().iter().for_each(|line| eprintln!("{line}"));
        return found;
    }
    let stopped = system.stop();
    let mut exits = found?;
    if let Err(error) = stopped {
        eprintln!("error: {error:#}");
        exits.push(Exit::Internal);
    } else if !args.load.quiet {
        eprintln!("the system drained and ended cleanly");
    }
    Ok(exits)
}

/// What a local run would ask of this machine.
///
/// # Errors
/// When the load makes no sense, or fits in no node.
pub fn ask(args: &LocalArgs) -> Result<Ask, Refusal> {
    let offer = Offer::new(&args.load, 0)?;
    let layout = lay_out(args)?;
    refuse(args, &offer, &layout)?;
    Ok(validate::local(args, &offer, layout.shards))
}

fn load(
    args: &LocalArgs,
    mut offer: Offer,
    layout: &Layout,
    system: &mut System,
    watch: Arc<Watch>,
) -> Result<Vec<Exit>, Refusal> {
    let addresses = system.addresses();
    let mut probe = Probe::new(&addresses.node_admin)?;
    // Of two processes one after the other there are no figures of one.
    if !args.outage.iter().any(|outage| (outage.server, outage.how) == (Server::Node, How::Kill)) {
        probe = probe.with_process(system.node_pid());
        offer.plan.options.server_pid = Some(system.node_pid());
    }
    let (grants, login): (Box<dyn GrantSource + Send>, _) = match &addresses.gateway {
        Some(gateway) => {
            let gateway = gateway
                .parse()
                .map_err(|_| anyhow::anyhow!("the gateway said it is at {gateway}"))?;
            (Box::new(GatewayGrants::start(&gateway, system.accounts())?), "gateway")
        }
        None => {
            let key =
                balancer::key::load(&addresses.token_key, false).map_err(anyhow::Error::from)?;
            let node = DirectNode::new(&probe.info()?).map_err(anyhow::Error::from)?;
            let grants = DirectGrants::new(key, node);
            (Box::new(grants.placed(args.placement, args.load.connections)), "direct")
        }
    };
    let (processes, data) = (system.pids(), system.data());
    let stop = Arc::clone(&watch.stop);
    let mut outages = Outages::new(system, &args.outage, &stop);
    Trial {
        args: &args.load,
        offer,
        login,
        layout: layout.words(),
        grants,
        probe: Some(probe),
        processes,
        data: (args.store == StoreName::Sqlite).then_some(data),
        require_valid: args.require_valid,
        watch,
        engine: args.load.engine.engine(),
        disturbance: (!args.outage.is_empty()).then_some(&mut outages as &mut dyn Disturbance),
    }
    .run()
}

fn lay_out(args: &LocalArgs) -> Result<Layout, Refusal> {
    let facts = Facts {
        cpus: &allowed_cpus()?,
        shard_cpus: &args.shard_cpus,
        descriptors: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
        has_direct_descriptors: match args.io {
            IoName::Uring => true,
            IoName::Epoll | IoName::Monoio | IoName::TokioUring => false,
        },
    };
    Layout::new(facts, args.shards, planned(args)).map_err(Refusal::usage)
}

/// Places beyond the connections held: one that is being closed still has one.
const SPARE_CONNECTIONS: u32 = 64;

/// The connections that the node is to plan for. Where they come and go, all of them may be coming while the node still
/// has those that went.
const fn planned(args: &LocalArgs) -> u32 {
    let held = match args.load.preset {
        PresetName::Churn => args.load.connections.saturating_mul(2),
        PresetName::Pairs | PresetName::Rooms | PresetName::Idle | PresetName::Mixed => {
            args.load.connections
        }
    };
    held.saturating_add(SPARE_CONNECTIONS)
}

fn refuse(args: &LocalArgs, offer: &Offer, layout: &Layout) -> Result<(), Refusal> {
    match (args.store, args.durability) {
        (StoreName::Memory, Some(DurabilityName::Commit | DurabilityName::Relaxed)) => {
            return Err(Refusal::usage(
                "--store memory keeps nothing on disk: leave out --durability or use --store sqlite",
            ));
        }
        (StoreName::Mysql, _) if args.keep => {
            return Err(Refusal::usage(
                "the database of --store mysql ends with this program: leave out --keep, or start the servers yourself",
            ));
        }
        (StoreName::Memory | StoreName::Mysql | StoreName::Sqlite, _) => {}
    }
    cache::refuse(args)?;
    outage::refuse(&args.outage, args.load.duration).map_err(Refusal::usage)?;
    for outage in &args.outage {
        let missing = match outage.server {
            Server::Mysql if args.store != StoreName::Mysql => "--store mysql",
            Server::Redis if !cache::is_private(args) => "--redis private",
            Server::Gateway | Server::Balancer if args.login != LoginName::Gateway => {
                "--login gateway"
            }
            Server::Node if args.login != LoginName::Gateway => "--login gateway",
            Server::Node if !args.load.reconnect => "--reconnect",
            Server::Mysql | Server::Redis | Server::Gateway | Server::Balancer | Server::Node => {
                continue;
            }
        };
        return Err(Refusal::usage(format!("--outage {outage} needs {missing}")));
    }
    match (args.placement, args.login) {
        (Placement::Home | Placement::Same, LoginName::Direct)
        | (Placement::Home, LoginName::Gateway) => {}
        (Placement::Cross | Placement::Stray, LoginName::Direct) if layout.shards > 1 => {}
        (Placement::Cross | Placement::Stray, LoginName::Direct) => {
            return Err(Refusal::usage("with one shard nobody lives elsewhere: use --shards 2"));
        }
        (_, LoginName::Gateway) => {
            return Err(Refusal::usage(
                "the gateway numbers its accounts itself: choose users with --login direct",
            ));
        }
    }
    offer.refuse_overload(layout.shards, args.load.overload)
}
