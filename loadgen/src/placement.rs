//! Which users a run's connections are, and which shard each connects to, where that is chosen deliberately: so that a
//! message between two shards can be measured beside one within a shard.
//!
//! Owns the choice; the hash that names a user's home is the protocol's. Never used with a gateway, whose accounts are
//! numbered by the store.

use clap::ValueEnum;
use wire::{UserId, home_of_user};

/// Where the two users of a pair live and connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Placement {
    /// Wherever the hash puts them, each connected to its home shard.
    #[default]
    Home,
    /// Both live on one shard and are connected to it: no message leaves it.
    Same,
    /// They live on two shards, each connected to its own.
    Cross,
    /// Both live on one shard and are connected to the next one: every message goes there and back.
    Stray,
}

/// The users of a run, by the index of their connection.
#[derive(Clone, Debug, Default)]
pub struct Seats {
    users: Vec<UserId>,
    /// How many shards further than home everybody connects.
    away: u16,
}

impl Seats {
    /// Seats for `connections` on a node of `shards`; pairs are neighbours, and the shards get equally many.
    #[must_use]
    pub fn new(placement: Placement, connections: u32, shards: u16) -> Self {
        let shards = shards.max(1);
        let apart = match placement {
            Placement::Home => return Self::default(),
            Placement::Same | Placement::Stray => 0,
            Placement::Cross => 1,
        };
        // The next unused user of each home, found by trying: the hash spreads them evenly.
        let mut next: Vec<u64> = vec![0; usize::from(shards)];
        let users = (0..connections).map(|index| {
            let home = (index / 2 + apart * (index % 2)) % u32::from(shards);
            let place = &mut next[home as usize];
            *place += 1;
            while u32::from(home_of_user(UserId(*place), shards).0) != home {
                *place += 1;
            }
            UserId(*place)
        });
        Self { users: users.collect(), away: u16::from(placement == Placement::Stray) }
    }

    /// The user of a connection: its index plus one, where nothing else was asked for.
    #[must_use]
    pub fn user(&self, index: u32) -> UserId {
        self.users.get(index as usize).copied().unwrap_or_else(|| UserId(u64::from(index) + 1))
    }

    /// The shard that a user connects to.
    #[must_use]
    pub fn shard(&self, user: UserId, shards: u16) -> u16 {
        (home_of_user(user, shards).0 + self.away) % shards.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn homes(placement: Placement, shards: u16) -> Vec<(u16, u16, u16, u16)> {
        let seats = Seats::new(placement, 200, shards);
        let of = |index| {
            let user = seats.user(index);
            (home_of_user(user, shards).0, seats.shard(user, shards))
        };
        (0..100)
            .map(|pair| (of(2 * pair), of(2 * pair + 1)))
            .map(|((a, at_a), (b, at_b))| (a, at_a, b, at_b))
            .collect()
    }

    #[test]
    fn pairs_live_and_connect_as_asked() {
        for (a, at_a, b, at_b) in homes(Placement::Same, 3) {
            assert!(a == b && at_a == a && at_b == b);
        }
        for (a, at_a, b, at_b) in homes(Placement::Cross, 3) {
            assert!(a != b && at_a == a && at_b == b);
        }
        for (a, at_a, b, at_b) in homes(Placement::Stray, 3) {
            assert!(a == b && at_a != a && at_a == at_b);
        }
        assert!(homes(Placement::Home, 3).iter().all(|(a, at_a, b, at_b)| a == at_a && b == at_b));
    }

    #[test]
    fn nobody_has_two_seats_and_every_shard_has_its_share() {
        for placement in [Placement::Home, Placement::Same, Placement::Cross, Placement::Stray] {
            let seats = Seats::new(placement, 1_000, 2);
            let mut users: Vec<_> = (0..1_000).map(|index| seats.user(index)).collect();
            let at_zero = users.iter().filter(|user| seats.shard(**user, 2) == 0).count();
            assert!((400..=600).contains(&at_zero), "{placement:?}: {at_zero}");
            users.sort_unstable();
            users.dedup();
            assert_eq!(users.len(), 1_000);
        }
    }
}
