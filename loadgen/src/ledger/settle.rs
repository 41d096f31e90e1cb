//! The end of a run: what is missing, for every sender and receiver.

use super::{ACKS, Damaged, Ledger, Violation, track_key};
use crate::outcome::LedgerTotals;

impl Ledger {
    /// Judges what is missing. `is_excused` names receivers of whom nothing can be expected any more: gone for good, or
    /// all of them if the run was cut short.
    #[must_use]
    pub fn finish(mut self, is_excused: impl Fn(u32) -> bool) -> (LedgerTotals, Vec<Violation>) {
        self.totals.indeterminate = self.totals.sent - self.totals.acked - self.refused_for_good;
        for stream in 0..self.fleet.streams() {
            for receiver in self.fleet.members(stream) {
                self.settle(stream, receiver, is_excused(receiver));
            }
        }
        self.totals.lost += self.holes.dropped();
        let (totals, violations) = (self.totals, self.violations.into_vec());
        (totals, violations)
    }

    /// Counts what one receiver of a stream never got.
    fn settle(&mut self, stream: u32, index: u32, is_excused: bool) {
        let receiver = self.place(stream, index);
        for sender in 0..self.fleet.members(stream).len() as u32 {
            let Some(row) = &self.streams[stream as usize][sender as usize] else { continue };
            let key = track_key(stream, sender, receiver);
            let owed = self.left.get(&key).map_or(row.sent, |until| row.sent.min(*until));
            let nothing = Damaged::default();
            let damaged = self.damaged.get(&key).unwrap_or(&nothing);
            let mut unknown = damaged.unknown;
            let track = &row.receivers[receiver as usize];
            for seq in track.missing(key, owed, &self.holes) {
                if !row.acks.contains(track_key(stream, sender, ACKS), seq, &self.holes)
                    || damaged.known.contains(&seq)
                {
                    continue;
                }
                if let Some(rest) = unknown.checked_sub(1) {
                    unknown = rest;
                } else if is_excused {
                    self.totals.indeterminate += 1;
                } else {
                    self.totals.lost += 1;
                    let sender = self.fleet.members(stream).start + sender;
                    self.violations.lost(stream, sender, index, seq);
                }
            }
        }
    }
}
