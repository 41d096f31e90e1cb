//! How many shards, and how many connections for each. Pure arithmetic over what the host allows.

use std::str::FromStr;

use crate::limits::{FILE_SLACK, FILE_TABLE_MAX, SHARDS_MAX};

/// How many shards are wished for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShardCount {
    /// As many as the cores and the planned connections want.
    #[default]
    Auto,
    /// So many.
    Fixed(u16),
}

impl FromStr for ShardCount {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse::<u16>()) {
            ("auto", _) => Ok(Self::Auto),
            (_, Ok(count @ 1..=SHARDS_MAX)) => Ok(Self::Fixed(count)),
            _ => Err(format!("{text:?} shards: choose auto or 1 to {SHARDS_MAX}")),
        }
    }
}

/// What the host and the driver allow.
#[derive(Clone, Copy, Debug)]
pub struct HostFacts {
    /// Cores that this process may use.
    pub cores: usize,
    /// RLIMIT_NOFILE, after raising it as far as it goes.
    pub descriptors: u64,
    /// Whether connections use descriptors of a ring's own table (see `driver::Caps`).
    pub has_direct_descriptors: bool,
}

/// The sizes of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizing {
    /// Shards.
    pub shards: u16,
    /// Connections that each takes; more are shed.
    pub connections_per_shard: u32,
    /// Places in each ring's descriptor table.
    pub files_per_shard: u32,
}

/// Descriptors of the process that are not for connections: listeners, rings, the store, the metrics page.
const DESCRIPTORS_RESERVED: u64 = 256;

/// Works the sizes out for `planned` connections.
///
/// # Errors
/// If the host cannot hold so many: the text says what to change.
pub fn plan(wish: ShardCount, planned: u32, facts: HostFacts) -> Result<Sizing, String> {
    if facts.has_direct_descriptors {
        plan_direct(wish, planned, facts)
    } else {
        plan_plain(wish, planned, facts)
    }
}

/// A descriptor table is capped per ring and takes nothing from the process: more connections need more rings.
fn plan_direct(wish: ShardCount, planned: u32, facts: HostFacts) -> Result<Sizing, String> {
    let table = u32::try_from(facts.descriptors).unwrap_or(u32::MAX).min(FILE_TABLE_MAX);
    let usable = table.saturating_sub(FILE_SLACK).max(1);
    // A tenth more than planned, since connections do not spread evenly.
    let needed = (u64::from(planned) * 11).div_ceil(u64::from(usable) * 10);
    let shards = match wish {
        ShardCount::Fixed(count) => u64::from(count),
        ShardCount::Auto => needed.max(by_cores(facts)),
    };
    let fits = u64::from(planned) <= shards * u64::from(usable);
    match u16::try_from(shards) {
        Ok(shards @ 1..=SHARDS_MAX) if fits => {
            let connections_per_shard = share(planned, shards).min(usable);
            let files_per_shard = connections_per_shard + FILE_SLACK;
            Ok(Sizing { shards, connections_per_shard, files_per_shard })
        }
        _ => Err(format!(
            "{planned} connections do not fit in {shards} shards of {usable} (the descriptor limit is {}): \
             give --shards {needed}, plan fewer --connections, or raise the limit (ulimit -n)",
            facts.descriptors
        )),
    }
}

/// Every connection is a descriptor of the process.
fn plan_plain(wish: ShardCount, planned: u32, facts: HostFacts) -> Result<Sizing, String> {
    let room = facts.descriptors.saturating_sub(DESCRIPTORS_RESERVED);
    if u64::from(planned) > room {
        return Err(format!(
            "{planned} connections need as many descriptors, and the limit is {}: raise it (ulimit -n), plan fewer \
             --connections, or use --io uring, which needs none",
            facts.descriptors
        ));
    }
    let shards = match wish {
        ShardCount::Fixed(count) => count,
        ShardCount::Auto => u16::try_from(by_cores(facts)).unwrap_or(SHARDS_MAX).min(SHARDS_MAX),
    };
    let connections_per_shard = share(planned, shards);
    Ok(Sizing { shards, connections_per_shard, files_per_shard: 0 })
}

/// One core is left to the kernel's network work, the store and everything else.
fn by_cores(facts: HostFacts) -> u64 {
    facts.cores.saturating_sub(1).max(1) as u64
}

/// One shard takes exactly what was planned; several take a tenth more each, since connections do not spread evenly.
pub(crate) fn share(planned: u32, shards: u16) -> u32 {
    let share = match shards {
        0 | 1 => u64::from(planned),
        shards => (u64::from(planned) * 11).div_ceil(u64::from(shards) * 10),
    };
    u32::try_from(share).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RING: HostFacts =
        HostFacts { cores: 2, descriptors: 20_000, has_direct_descriptors: true };
    const PLAIN: HostFacts = HostFacts { has_direct_descriptors: false, ..RING };

    #[test]
    fn few_connections_need_a_core_less_than_there_are() {
        let sizing = plan(ShardCount::Auto, 10_000, RING).unwrap();
        assert_eq!((sizing.shards, sizing.connections_per_shard), (1, 10_000));
        let big = HostFacts { cores: 16, ..RING };
        assert_eq!(plan(ShardCount::Auto, 10_000, big).unwrap().shards, 15);
    }

    #[test]
    fn many_connections_need_more_tables_than_cores() {
        let sizing = plan(ShardCount::Auto, 100_000, RING).unwrap();
        assert_eq!(sizing.shards, 6);
        assert!(u64::from(sizing.connections_per_shard) * 6 >= 110_000);
        assert!(sizing.files_per_shard <= 20_000);
    }

    #[test]
    fn what_does_not_fit_says_what_to_do() {
        let text = plan(ShardCount::Fixed(1), 30_000, RING).unwrap_err();
        assert!(text.contains("--shards 2"), "{text}");
        let text = plan(ShardCount::Auto, 30_000, PLAIN).unwrap_err();
        assert!(text.contains("--io uring"), "{text}");
    }

    #[test]
    fn a_wish_is_read_or_refused() {
        assert_eq!("auto".parse(), Ok(ShardCount::Auto));
        assert_eq!("3".parse(), Ok(ShardCount::Fixed(3)));
        assert!("0".parse::<ShardCount>().is_err());
        assert!("many".parse::<ShardCount>().is_err());
    }
}
