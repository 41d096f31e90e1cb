//! Who runs on which processor, and how many shards there are. Pure, so that every machine can be tested here.

use conn_server::sizing::{self, HostFacts, ShardCount};

/// The places of a local run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// The generator's processor.
    pub(super) generator: usize,
    /// The shards' processors, used in turn.
    pub(super) shards_on: Vec<usize>,
    /// Shards of the node.
    pub(super) shards: u16,
}

/// What a layout follows from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts<'a> {
    /// The processors that this process may use.
    pub(super) cpus: &'a [usize],
    /// The processors that the shards were asked to be on; empty: all but the generator's.
    pub(super) shard_cpus: &'a [usize],
    /// The limit of descriptors.
    pub(super) descriptors: u64,
    /// Whether the driver's connections need none of the process's descriptors.
    pub(super) has_direct_descriptors: bool,
}

impl Layout {
    /// Places a run: the last processor is the generator's, the others are the shards', and the node itself would choose
    /// as many shards.
    ///
    /// # Errors
    /// When so many connections fit in no node here: the text says what to change.
    pub(super) fn new(
        facts: Facts<'_>,
        asked: ShardCount,
        connections: u32,
    ) -> Result<Self, String> {
        let generator = facts.cpus.last().copied().unwrap_or(0);
        let others: Vec<usize> =
            facts.cpus.iter().copied().filter(|cpu| *cpu != generator).collect();
        let shards_on = match facts.shard_cpus {
            [] if others.is_empty() => vec![generator],
            [] => others,
            asked => asked.to_vec(),
        };
        let host = HostFacts {
            cores: facts.cpus.len().max(1),
            descriptors: facts.descriptors,
            has_direct_descriptors: facts.has_direct_descriptors,
        };
        let shards = sizing::plan(asked, connections, host)?.shards;
        // Fewer shards than processors leave some of these to the gateway and the balancer.
        let shards_on = shards_on.into_iter().take(usize::from(shards)).collect();
        Ok(Self { generator, shards_on, shards })
    }

    /// The node's `--cpus`.
    #[must_use]
    pub(super) fn cpu_list(&self) -> String {
        let cpus: Vec<String> = self.shards_on.iter().map(ToString::to_string).collect();
        cpus.join(",")
    }

    /// The placement in words.
    #[must_use]
    pub(super) fn words(&self) -> Vec<String> {
        let shards =
            if self.shards == 1 { "one shard".into() } else { format!("{} shards", self.shards) };
        let noun = if self.shards_on.len() == 1 { "processor" } else { "processors" };
        let mut words = vec![format!(
            "{shards} on {noun} {}, the generator on processor {}, everything else unpinned",
            self.cpu_list(),
            self.generator
        )];
        if self.shards_on.contains(&self.generator) {
            words.push("generator and node take a processor from each other".into());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(cpus: &[usize], asked: ShardCount, connections: u32) -> Result<Layout, String> {
        let facts =
            Facts { cpus, shard_cpus: &[], descriptors: 20_000, has_direct_descriptors: true };
        Layout::new(facts, asked, connections)
    }

    #[test]
    fn two_processors_hold_one_shard_and_the_generator() {
        let layout = layout(&[0, 1], ShardCount::Auto, 10_000).unwrap();
        assert_eq!(layout, Layout { generator: 1, shards_on: vec![0], shards: 1 });
        assert_eq!(
            layout.words(),
            ["one shard on processor 0, the generator on processor 1, everything else unpinned"]
        );
    }

    #[test]
    fn many_connections_need_more_tables_and_so_more_shards() {
        let layout = layout(&[0, 1], ShardCount::Auto, 100_000).unwrap();
        assert_eq!((layout.shards, layout.cpu_list().as_str()), (6, "0"));
    }

    #[test]
    fn a_larger_machine_gives_the_generator_its_last_processor() {
        let all = layout(&[2, 3, 6, 7], ShardCount::Auto, 10_000).unwrap();
        assert_eq!(all, Layout { generator: 7, shards_on: vec![2, 3, 6], shards: 3 });
        let two = layout(&[2, 3, 6, 7], ShardCount::Fixed(2), 10_000).unwrap();
        assert_eq!(two.cpu_list(), "2,3");
    }

    #[test]
    fn one_processor_is_shared_and_says_so() {
        let layout = layout(&[0], ShardCount::Auto, 10).unwrap();
        assert_eq!((layout.generator, layout.shards_on.as_slice()), (0, [0].as_slice()));
        assert_eq!(layout.words().len(), 2);
    }

    #[test]
    fn shards_may_be_asked_to_share_the_generators_processor() {
        let facts = Facts {
            cpus: &[0, 1],
            shard_cpus: &[0, 1],
            descriptors: 20_000,
            has_direct_descriptors: true,
        };
        let layout = Layout::new(facts, ShardCount::Fixed(2), 100).unwrap();
        assert_eq!((layout.generator, layout.cpu_list().as_str()), (1, "0,1"));
        assert_eq!(layout.words().len(), 2);
    }

    #[test]
    fn what_fits_nowhere_says_what_would() {
        assert!(layout(&[0, 1], ShardCount::Fixed(1), 30_000).unwrap_err().contains("--shards 2"));
        let facts = Facts {
            cpus: &[0, 1],
            shard_cpus: &[],
            descriptors: 20_000,
            has_direct_descriptors: false,
        };
        assert!(Layout::new(facts, ShardCount::Auto, 30_000).unwrap_err().contains("--io uring"));
    }
}
