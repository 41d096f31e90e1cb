//! Who runs on which processor, and how many shards there are. Pure, so that every machine can be tested here.

use crate::cli::Shards;
use crate::offer::shards_for;

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

impl Layout {
    /// Places a run on the processors `cpus`, which are those that this process may use: the last is the generator's,
    /// the others are the shards'.
    #[must_use]
    pub(super) fn new(cpus: &[usize], asked: Shards, connections: u32, table_max: u64) -> Self {
        let generator = cpus.last().copied().unwrap_or(0);
        let others: Vec<usize> = cpus.iter().copied().filter(|cpu| *cpu != generator).collect();
        let shards_on = if others.is_empty() { vec![generator] } else { others };
        let shards = shards_for(asked, connections, shards_on.len(), table_max);
        // Fewer shards than processors leave some of these to the gateway and the balancer.
        let shards_on = shards_on.into_iter().take(usize::from(shards)).collect();
        Self { generator, shards_on, shards }
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
        if self.shards_on == [self.generator] {
            words.push(
                "there is only one processor: generator and node take it from each other".into(),
            );
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processors_hold_one_shard_and_the_generator() {
        let layout = Layout::new(&[0, 1], Shards::Auto, 10_000, 20_000);
        assert_eq!(layout, Layout { generator: 1, shards_on: vec![0], shards: 1 });
        assert_eq!(
            layout.words(),
            ["one shard on processor 0, the generator on processor 1, everything else unpinned"]
        );
    }

    #[test]
    fn many_connections_need_more_tables_and_so_more_shards() {
        let layout = Layout::new(&[0, 1], Shards::Auto, 100_000, 20_000);
        assert_eq!((layout.shards, layout.cpu_list().as_str()), (6, "0"));
    }

    #[test]
    fn a_larger_machine_gives_the_generator_its_last_processor() {
        let layout = Layout::new(&[2, 3, 6, 7], Shards::Auto, 10_000, 20_000);
        assert_eq!(layout, Layout { generator: 7, shards_on: vec![2, 3, 6], shards: 3 });
        let two = Layout::new(&[2, 3, 6, 7], Shards::Count(2), 10_000, 20_000);
        assert_eq!(two.cpu_list(), "2,3");
    }

    #[test]
    fn one_processor_is_shared_and_says_so() {
        let layout = Layout::new(&[0], Shards::Auto, 10, 20_000);
        assert_eq!((layout.generator, layout.shards_on.as_slice()), (0, [0].as_slice()));
        assert_eq!(layout.words().len(), 2);
    }
}
