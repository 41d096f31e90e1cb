//! What the command line asks for, made into a plan: presets, defaults, and what is refused before anything starts.

use std::net::Ipv4Addr;

use crate::cli::{LoadArgs, PresetName, ReceiveName};
use crate::engines::EngineName;
use crate::exit::Refusal;
use crate::plan::{EngineOptions, Load, Plan, Preset, Receive};
use crate::stamp::STAMP_BYTES;

/// Members of a room in the presets.
const ROOM_SIZE: u32 = 100;
/// Sends per second where nothing is said.
const RATE_DEFAULT: f64 = 10_000.0;
/// The same for rooms: each becomes 99 deliveries.
const RATE_ROOMS: f64 = 500.0;
/// The same where one message in five goes to a room.
const RATE_MIXED: f64 = 2_000.0;
/// Deliveries per second and shard that may be offered without saying so. Beyond it an open loop would measure the
/// length of a queue that only grows.
pub const DELIVERIES_PER_SHARD_MAX: f64 = 150_000.0;
/// How long the last deliveries may take.
const DRAIN_MAX: std::time::Duration = std::time::Duration::from_secs(30);
/// A ramp without any progress for this long has failed.
const RAMP_STALL_MAX: std::time::Duration = std::time::Duration::from_secs(15);
/// Ports of connections that come and go: the kernel takes one again a second after its connection was closed, and a core
/// makes fewer than 100,000 logins in two.
const CHURN_PORTS: u32 = 200_000;

/// A plan with what the report says of it beside.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What the engine is told.
    pub plan: Plan,
    /// What does it.
    pub engine: EngineName,
    /// The preset's name.
    pub preset: &'static str,
    /// Deliveries per second that an open loop makes.
    pub deliveries_per_s: Option<f64>,
}

impl Offer {
    /// Makes a plan.
    ///
    /// # Errors
    /// When the load makes no sense: the message says what to change.
    pub fn new(args: &LoadArgs, run_id: u64) -> Result<Self, Refusal> {
        let (preset, name) = match args.preset {
            PresetName::Pairs => (Preset::Pairs, "pairs"),
            PresetName::Rooms => (Preset::Rooms { room_size: args.room_size }, "rooms"),
            PresetName::Idle => (Preset::Idle, "idle"),
            PresetName::Churn => (Preset::Churn, "churn"),
            PresetName::Mixed => (Preset::Mixed, "mixed"),
        };
        args.engine.refuse(args.connections)?;
        if args.engine != EngineName::Uring
            && (!args.idle.is_zero() || args.receive != ReceiveName::Auto)
        {
            return Err(Refusal::usage(
                "--idle and --receive are of the uring engine: leave out --engine",
            ));
        }
        let load = load(args)?;
        let body = wire::limits::BODY_BYTES_MAX;
        let is_silent = load == Load::None && args.prime == 0;
        if !is_silent && !(STAMP_BYTES..=body).contains(&args.size) {
            let size = args.size;
            return Err(Refusal::usage(format!(
                "--size {size} cannot be sent: a body has {STAMP_BYTES} to {body} bytes, the first {STAMP_BYTES} of \
                 which carry the ledger's stamp"
            )));
        }
        if args.prime > 0 && args.preset == PresetName::Rooms {
            return Err(Refusal::usage(
                "--prime needs partners to write to, and --preset rooms has none: use idle, pairs or mixed",
            ));
        }
        if !is_silent && args.connections < 2 {
            return Err(Refusal::usage(
                "one connection has nobody to talk to: use --connections 2 or --preset idle",
            ));
        }
        if args.duration.is_zero() {
            return Err(Refusal::usage("--duration must be above zero: nothing would be measured"));
        }
        let deliveries_per_s = match load {
            Load::Open { rate_per_s } => Some(rate_per_s * fan_out(preset, args.connections)),
            Load::Closed { .. } | Load::None => None,
        };
        let plan = Plan {
            seed: args.seed,
            run_id,
            connections: args.connections,
            ramp_per_s: args.ramp,
            preset,
            load,
            body_bytes: args.size,
            warmup: args.warmup,
            duration: args.duration,
            drain_max: DRAIN_MAX,
            ramp_stall_max: RAMP_STALL_MAX,
            sources: Vec::new(),
            cpu: None,
            logout: true,
            options: EngineOptions {
                reconnect: args.reconnect,
                prime: args.prime,
                burst: args.burst,
                idle: args.idle,
                receive: receive(args),
                ..EngineOptions::default()
            },
        };
        Ok(Self { plan, engine: args.engine, preset: name, deliveries_per_s })
    }

    /// Refuses more deliveries than the shards are known to carry, unless overload is what is wanted.
    ///
    /// # Errors
    /// When more is offered.
    pub fn refuse_overload(&self, shards: u16, overload: bool) -> Result<(), Refusal> {
        let most = DELIVERIES_PER_SHARD_MAX * f64::from(shards);
        match self.deliveries_per_s {
            Some(offered) if offered > most && !overload => Err(Refusal::usage(format!(
                "this load makes {offered:.0} deliveries/s for {shards} shard(s); beyond {most:.0}/s the queues only grow \
                 and the latencies say nothing. Lower --rate, or say --overload if that is what you want to see"
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// Connections up to which a receive stands ready on each: beyond it the memory of the receives decides what fits.
const ARMED_MAX: u32 = 1_000_000;

/// How arriving bytes are waited for.
#[must_use]
pub const fn receive(args: &LoadArgs) -> Receive {
    match args.receive {
        ReceiveName::Auto if args.connections > ARMED_MAX => Receive::Polled,
        ReceiveName::Auto | ReceiveName::Armed => Receive::Armed,
        ReceiveName::Polled => Receive::Polled,
    }
}

fn load(args: &LoadArgs) -> Result<Load, Refusal> {
    let default = match args.preset {
        PresetName::Idle | PresetName::Churn => {
            return match (args.rate, args.closed) {
                (None, None) => Ok(Load::None),
                _ => Err(Refusal::usage(
                    "this preset sends no messages: leave out --rate and --closed",
                )),
            };
        }
        PresetName::Pairs => RATE_DEFAULT,
        PresetName::Rooms => RATE_ROOMS,
        PresetName::Mixed => RATE_MIXED,
    };
    Ok(match args.closed {
        Some(window) => Load::Closed { window },
        None => Load::Open { rate_per_s: args.rate.unwrap_or(default) },
    })
}

/// Deliveries that one send makes, on average.
fn fan_out(preset: Preset, connections: u32) -> f64 {
    let room = |size: u32| f64::from(size.min(connections).saturating_sub(1));
    match preset {
        Preset::Pairs => 1.0,
        Preset::Rooms { room_size } => room(room_size),
        Preset::Mixed => 0.8 + 0.2 * room(ROOM_SIZE),
        Preset::Idle | Preset::Churn => 0.0,
    }
}

/// Ports that a load takes: one for each connection; connections that come and go leave theirs behind for a while.
#[must_use]
pub fn ports_wanted(args: &LoadArgs) -> u32 {
    match args.preset {
        PresetName::Churn => CHURN_PORTS,
        PresetName::Pairs | PresetName::Rooms | PresetName::Idle | PresetName::Mixed => {
            args.connections
        }
    }
}

/// Loopback addresses to connect from, so many that no source and destination share more than half of the ephemeral
/// ports: beyond that the kernel searches for a free one, and a ramp becomes ten times slower.
#[must_use]
pub fn loopback_sources(connections: u32, ports: u32) -> Vec<Ipv4Addr> {
    let each = (ports / 2).max(1);
    let count = connections.div_ceil(each).clamp(1, 250 * 250);
    (0..count).map(|n| Ipv4Addr::new(127, 1, (n / 250) as u8, (n % 250 + 1) as u8)).collect()
}

/// Ports that the kernel may give to outgoing connections: its default range, if it does not say.
#[must_use]
pub fn ephemeral_ports() -> u32 {
    const DEFAULT: u32 = 28_232;
    let range =
        std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().filter_map(|end| end.parse::<u32>().ok());
    ends.next().zip(ends.next()).map_or(DEFAULT, |(low, high)| high.saturating_sub(low) + 1)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn offer(words: &str) -> Result<Offer, Refusal> {
        let words = ["loadgen", "local"].into_iter().chain(words.split_whitespace());
        let Command::Local(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("it is `local`")
        };
        Offer::new(&args.load, 7)
    }

    #[track_caller]
    fn refused(words: &str, because: &str) {
        let refusal = offer(words).expect_err("it should be refused");
        assert_eq!(refusal.exit, crate::exit::Exit::Usage);
        assert!(refusal.reason.to_string().contains(because), "{}", refusal.reason);
    }

    #[test]
    fn presets_have_rates_of_their_own() {
        assert_eq!(offer("").unwrap().plan.load, Load::Open { rate_per_s: 10_000.0 });
        assert_eq!(offer("--preset rooms").unwrap().plan.load, Load::Open { rate_per_s: 500.0 });
        assert_eq!(offer("--preset rooms").unwrap().deliveries_per_s, Some(49_500.0));
        assert_eq!(offer("--preset idle").unwrap().plan.load, Load::None);
        assert_eq!(offer("--closed 256").unwrap().plan.load, Load::Closed { window: 256 });
    }

    #[test]
    fn beyond_a_million_connections_bytes_are_polled_for() {
        let receive = |words: &str| offer(words).unwrap().plan.options.receive;
        assert_eq!(receive("--connections 1000000"), Receive::Armed);
        assert_eq!(receive("--connections 1000001"), Receive::Polled);
        assert_eq!(receive("--connections 2000000 --receive armed"), Receive::Armed);
        refused("--engine epoll --idle 1s", "uring");
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        refused("--size 8", "--size 8 cannot be sent");
        refused("--size 1000000000", "cannot be sent");
        refused("--connections 1", "nobody to talk to");
        refused("--preset idle --rate 5/s", "sends no messages");
        refused("--duration 0s", "above zero");
        refused("--engine epoll --connections 5000000", "use --engine uring");
        assert!(offer("--preset idle --connections 1").is_ok());
    }

    #[test]
    fn overload_must_be_asked_for() {
        let rooms = offer("--preset rooms --rate 2000/s").unwrap();
        let refusal = rooms.refuse_overload(1, false).unwrap_err();
        assert!(refusal.reason.to_string().contains("198000 deliveries/s"), "{}", refusal.reason);
        assert!(rooms.refuse_overload(2, false).is_ok());
        assert!(rooms.refuse_overload(1, true).is_ok());
        assert!(offer("--preset rooms").unwrap().refuse_overload(1, false).is_ok());
    }

    #[test]
    fn sources_keep_below_half_of_the_ports() {
        assert_eq!(loopback_sources(10_000, 28_232).len(), 1);
        assert_eq!(loopback_sources(100_000, 28_232).len(), 8);
        let many = loopback_sources(1_000_000, 28_232);
        let unique: std::collections::BTreeSet<_> = many.iter().collect();
        assert_eq!(unique.len(), 71);
    }
}
